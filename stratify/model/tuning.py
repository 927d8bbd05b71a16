"""A few settings of the classifier chosen inside the training patients.

Whoever judges a tuned model has to choose its settings again in every training fold: call
:func:`tuned` on the training rows and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from stratify.errors import ArgumentError
from stratify.model.classifier import ResistanceClassifier

if TYPE_CHECKING:
    import optuna

__all__ = ["tuned"]

Floats = npt.NDArray[np.float64]

# Settings that matter on public cohorts, and the values among which to choose.
_CHOICES: dict[str, tuple[float, ...]] = {
    "num_leaves": (2, 4, 8, 16),
    "n_estimators": (50, 100, 200),
}
_ANCHOR_CHOICES: dict[str, tuple[float, ...]] = {"anchor_start": (0.0, 0.5, 1.0)}
_ANCHOR_VARIANCE = (0.05, 10.0)
# Members of a model in the search; their number moves the noise of a loss, not its rank.
_MEMBERS, _FOLDS = 4, 3


def tuned(
    template: ResistanceClassifier,
    X: pd.DataFrame,
    y: Any,
    sample_weight: Any = None,
    auxiliary: Any = None,
    *,
    trials: int = 20,
    storage: str | Path | None = None,
    tried: Callable[[dict[str, float]], None] | None = None,
) -> ResistanceClassifier:
    """Choose number and size of trees, strength and share of the anchor on training patients.

    Parameters
    ----------
    template : ResistanceClassifier
        Every other setting, the seed among them; it is left as it is.
    X, y, sample_weight, auxiliary
        Of the training patients only, as for :meth:`ResistanceClassifier.fit`.
    trials : int
        Settings tried.
    storage : str or Path, optional
        File in which the search is kept, so that a search that was interrupted goes on where it
        stopped; it holds settings and losses, no patient. Searches on other patients or from
        other templates may share the file.
    tried : callable, optional
        Told at the end of each setting tried, with its ``log_loss``.

    Returns
    -------
    ResistanceClassifier
        Unfitted. The template's settings stay unless others have a smaller out-of-fold log loss,
        by more than one standard error of the difference over patients: the best of many is
        flattered.

    Raises
    ------
    ArgumentError
        If `trials` is no whole number above 0, or the patients cannot be fitted.

    Notes
    -----
    Tree-structured Parzen estimator (Bergstra 2011; Akiba 2019, 10.1145/3292500.3330701), seeded
    by the template's `random_state`: the same patients give the same settings, in any order of
    rows, on any number of threads, interrupted or not.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"albumin": rng.normal(3.9, 0.5, 80), "tmb": rng.lognormal(1.8, 1, 80)})
    >>> y = (rng.random(80) < 1 / (1 + np.exp(2 * (X["albumin"] - 3.9)))).astype(int)
    >>> template = ResistanceClassifier(n_members=2, max_bin=15)
    >>> chosen = tuned(template, X, y, trials=2)
    >>> chosen.max_bin, hasattr(chosen, "ensemble_")
    (15, False)
    """
    import optuna

    if not isinstance(trials, (int, np.integer)) or trials < 1:
        raise ArgumentError(f"trials is {trials!r}; a whole number of at least 1 is expected.")
    small = clone(template).set_params(
        n_members=min(template.n_members, _MEMBERS), calibration_folds=_FOLDS
    )
    data = (X, y, sample_weight, auxiliary)
    usual = _losses(small, data)
    seed = int(template.random_state)
    with _quiet():
        study = optuna.create_study(
            storage=None if storage is None else _journal(storage),
            study_name=_name(small, data),
            load_if_exists=True,
        )
        for number in range(_finished(study), trials):
            # a sampler of its own for each trial, so that an interruption changes nothing
            study.sampler = optuna.samplers.TPESampler(seed=seed + number)
            trial = study.ask()
            candidate = clone(small).set_params(**_settings(trial, template))
            study.tell(trial, round(float(_losses(candidate, data).mean()), 9))
        best = study.best_params
        if tried is not None:
            for done in study.trials:
                tried({**done.params, "log_loss": float(done.value or np.nan)})
    gain = usual - _losses(clone(small).set_params(**best), data)
    if gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain)):
        best = {}
    chosen: ResistanceClassifier = clone(template).set_params(**best)
    return chosen


def _settings(trial: optuna.Trial, template: ResistanceClassifier) -> dict[str, Any]:
    choices = {**_CHOICES, **(_ANCHOR_CHOICES if template.anchor is not None else {})}
    settings = {name: trial.suggest_categorical(name, values) for name, values in choices.items()}
    if template.anchor is not None:
        settings["anchor_variance"] = trial.suggest_float(
            "anchor_variance", *_ANCHOR_VARIANCE, log=True
        )
    return settings


def _losses(model: ResistanceClassifier, data: tuple[Any, Any, Any, Any]) -> Floats:
    """Out-of-fold log loss of each patient of weight above 0, times the weight."""
    X, y, sample_weight, auxiliary = data
    model.fit(X, y, sample_weight, auxiliary)
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    used = weight > 0
    resistant = np.asarray(y).ravel()[used] == model.classes_[1]
    risk = np.clip(model.oof_risk_[used], 1e-9, 1 - 1e-9)
    losses: Floats = -np.log(np.where(resistant, risk, 1 - risk)) * weight[used]
    losses /= weight[used].mean()
    return losses


def _finished(study: optuna.Study) -> int:
    return sum(trial.state.is_finished() for trial in study.trials)


def _journal(path: str | Path) -> optuna.storages.BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _name(model: ResistanceClassifier, data: tuple[Any, Any, Any, Any]) -> str:
    """Name by content, so that a search never goes on with other patients or settings."""
    parts = {name: value for name, value in model.get_params().items() if name != "n_jobs"}
    digest = hashlib.sha256(repr(sorted(parts.items())).encode())
    for part in data:
        if part is not None:
            rows = pd.util.hash_pandas_object(pd.DataFrame(part), index=False)
            digest.update(rows.to_numpy().tobytes())
    return f"stratify-{digest.hexdigest()}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave optuna's logging as it was."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)

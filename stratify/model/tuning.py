"""A few settings of the classifier chosen inside the training patients.

Whoever judges a tuned model has to choose its settings again in every training fold: call
:func:`tuned` on the training rows and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from stratify.arrays import Floats
from stratify.errors import ArgumentError, FileError
from stratify.model.capacity import log_losses
from stratify.model.classifier import ResistanceClassifier
from stratify.model.design import Boosting, Design, TrainingSet
from stratify.model.ensemble import AnchoredEnsemble
from stratify.model.threads import one_thread
from stratify.progress import Clock, Progress

if TYPE_CHECKING:
    import optuna

__all__ = ["tuned"]


# Settings that matter on public cohorts, and the values among which to choose. How many trees there
# are is not searched: each ensemble is looked at while it grows.
_CHOICES: dict[str, tuple[float, ...]] = {"num_leaves": (2, 4, 8, 16)}
_ANCHOR_CHOICES: dict[str, tuple[float, ...]] = {"anchor_start": (0.0, 0.5, 1.0)}
_ANCHOR_VARIANCE = (0.05, 10.0)
_ROUNDS = tuple(range(25, 201, 25))
# Members of a model in the search; their number moves the noise of a loss, not its rank.
_MEMBERS, _FOLDS = 4, 3
_FULL = 3  # settings judged on all folds before any is given up


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
    progress: Progress | None = None,
) -> ResistanceClassifier:
    """Choose number and size of trees, strength and share of the anchor on training patients.

    Parameters
    ----------
    storage : str or Path, optional
        File in which the search is kept, so that a search that was interrupted goes on where it
        stopped; it holds settings and losses, no patient. Searches on other patients or from
        other templates may share the file.

    Notes
    -----
    Early stopping: an ensemble grows by 25 trees a member, and no more once the left-out patients
    gain nothing. Pruning: settings whose loss on the first folds is above the median of those tried
    are given up (Akiba 2019).

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
    search = _Search.on(template, X, y, sample_weight, auxiliary)
    if not search.folds:
        return _with(template, {})
    usual, _ = search.losses(search.boosting, (template.n_estimators,))
    seed = int(template.random_state)
    kept: dict[int, Floats] = {}
    with _quiet(), _readable(storage):
        study = optuna.create_study(
            storage=None if storage is None else _journal(storage),
            study_name=search.name,
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_FULL),
        )
        finished = sum(trial.state.is_finished() for trial in study.trials)
        clock = Clock("settings tried", trials, progress or (lambda _: None), done=finished)
        for number in range(finished, trials):
            # a sampler of its own for each trial, so that an interruption changes nothing
            study.sampler = optuna.samplers.TPESampler(seed=seed + number)
            trial = study.ask()
            boosting = replace(search.boosting, **_settings(trial, template))
            try:
                losses, rounds = search.losses(boosting, _ROUNDS, trial)
            except optuna.TrialPruned:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                trial.set_user_attr("n_estimators", rounds)
                study.tell(trial, round(float(losses.mean()), 9))
                kept = {study.best_trial.number: kept.get(study.best_trial.number, losses)}
            clock.tick()
        best = study.best_trial
        chosen = {**best.params, **best.user_attrs}
        if tried is not None:
            for done in study.trials:
                if done.state.is_finished():
                    loss = {"log_loss": np.nan if done.value is None else done.value}
                    tried({**done.params, **done.user_attrs, **loss})
    if best.number in kept:
        losses = kept[best.number]
    else:  # of a search before this one
        settings = {name: value for name, value in chosen.items() if name != "n_estimators"}
        again = replace(search.boosting, **settings)
        losses, _ = search.losses(again, (chosen["n_estimators"],))
    gain = usual - losses
    if gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain)):
        chosen = {}
    return _with(template, chosen)


@dataclass(frozen=True)
class _Search:
    """Training patients, encoded once, and the folds on which settings are judged."""

    patients: TrainingSet
    design: Design
    boosting: Boosting
    folds: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]
    seed: int
    n_jobs: int
    name: str

    @classmethod
    def on(
        cls, template: ResistanceClassifier, X: Any, y: Any, sample_weight: Any, auxiliary: Any
    ) -> _Search:
        model = clone(template)
        patients, design, _, _ = model.training_patients(X, y, sample_weight, auxiliary)
        boosting = replace(model.boosting, n_members=min(model.n_members, _MEMBERS))
        seed = int(template.random_state)
        return cls(
            patients,
            design,
            boosting,
            patients.folds(_FOLDS, seed),
            seed,
            template.n_jobs,
            _name(template, patients, design),
        )

    def losses(
        self, boosting: Boosting, rounds: tuple[int, ...], trial: optuna.Trial | None = None
    ) -> tuple[Floats, int]:
        """Out-of-fold log loss of each patient, times the weight, and the best of the `rounds`.

        A trial reports the loss after each fold, and is pruned if that is too great.
        """
        import optuna

        stages: list[Floats] = []
        seen: list[npt.NDArray[Any]] = []
        for k, (train, left_out) in enumerate(self.folds):
            with one_thread():
                margins = AnchoredEnsemble.stages(
                    self.patients.take(train),
                    self.patients.take(left_out),
                    self.design,
                    boosting,
                    rounds,
                    seed=self.seed + 1 + k,
                    n_jobs=self.n_jobs,
                )
            stages.append(margins)
            seen.append(left_out)
            whole = min(map(len, stages))  # each fold may have stopped at another number
            margin = np.concatenate([s[:whole] for s in stages], axis=1)
            judged = self.patients.take(np.concatenate(seen))
            with one_thread():
                by_stage = [log_losses(m, judged) for m in margin]
            at = int(np.argmin([losses.mean() for losses in by_stage]))
            if trial is not None and k + 1 < len(self.folds):
                trial.report(float(by_stage[at].mean()), k)
                if trial.should_prune():
                    raise optuna.TrialPruned
        found = np.empty(len(self.patients))
        found[np.concatenate(seen)] = by_stage[at]
        return found, rounds[at]


def _settings(trial: optuna.Trial, template: ResistanceClassifier) -> dict[str, Any]:
    choices = _CHOICES | (_ANCHOR_CHOICES if template.anchor is not None else {})
    settings = {name: trial.suggest_categorical(name, values) for name, values in choices.items()}
    if template.anchor is not None:
        variance = trial.suggest_float("anchor_variance", *_ANCHOR_VARIANCE, log=True)
        settings["anchor_variance"] = variance
    return settings


def _with(template: ResistanceClassifier, settings: dict[str, Any]) -> ResistanceClassifier:
    chosen: ResistanceClassifier = clone(template).set_params(**settings)
    return chosen


def _journal(path: str | Path) -> optuna.storages.BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _name(model: ResistanceClassifier, patients: TrainingSet, design: Design) -> str:
    """Name by content, so that a search never goes on with other patients, settings or choices."""
    settings = {name: value for name, value in model.get_params().items() if name != "n_jobs"}
    choices = (_CHOICES, _ANCHOR_CHOICES, _ANCHOR_VARIANCE, _ROUNDS, _MEMBERS, _FOLDS, _FULL)
    digest = hashlib.sha256(repr((sorted(settings.items()), design.features, choices)).encode())
    for values in (patients.matrix, patients.label, patients.graded, patients.weight):
        digest.update(np.ascontiguousarray(values).tobytes())
    return f"stratify-{digest.hexdigest()}"


@contextmanager
def _readable(storage: str | Path | None) -> Iterator[None]:
    """Name the file of a search that cannot be read or written."""
    try:
        yield
    except (OSError, json.JSONDecodeError) as error:  # optuna reads lines of JSON
        if storage is None:
            raise
        fault = "is damaged. Remove it and train again"
        if isinstance(error, OSError):
            fault = f"cannot be kept: {error.strerror or error}"
        raise FileError(f"The search {storage} {fault}.") from error


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

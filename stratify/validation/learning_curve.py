"""Learning curve: performance against the number of training patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from stratify.arrays import Floats
from stratify.errors import ArgumentError
from stratify.model.classifier import ResistanceClassifier
from stratify.references.known import plain_logistic
from stratify.references.logistic import LogisticModel
from stratify.statistics.calibration import brier
from stratify.statistics.discrimination import auroc
from stratify.statistics.intervals import Estimate, normal_quantile, wald
from stratify.statistics.performance import MODEL
from stratify.validation.training import fit_model, predicted

__all__ = ["LEARNING_CURVE_COLUMNS", "learning_curve"]


LEARNING_CURVE_COLUMNS = (
    *("model", "metric", "n_train", "value", "low", "high", "n", "n_events", "repeats"),
)
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
PLAIN = plain_logistic().name  # the reference that learns from as many patients
_LEVEL = 0.95


def learning_curve(
    classifier: ResistanceClassifier,
    table: pd.DataFrame,
    features: Sequence[str],
    *,
    shares: Sequence[float] = SHARES,
    repeats: int = 5,
    folds: int = 5,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Judge models trained on ever more patients, always on patients that they never saw.

    In each repeat the patients are divided into folds anew; the model of a fold learns from a
    random share of the patients of the other folds, and all patients are judged out of fold.

    Parameters
    ----------
    shares : sequence of float
        Of the training patients of a fold, above 0 and at most 1.

    References
    ----------
    Christodoulou E et al. Diagn Progn Res 2021;5:19 (adaptive sample size by learning curves).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"albumin": rng.normal(3.9, 0.5, 200)})
    >>> table["label"] = (rng.random(200) < 1 / (1 + np.exp(3 * (table["albumin"] - 3.9)))) * 1.0
    >>> small = ResistanceClassifier(n_members=2, n_estimators=5, calibration_folds=0)
    >>> curve = learning_curve(small, table, ["albumin"], shares=(0.5, 1), repeats=2, folds=2)
    >>> curve.loc[curve["model"] == "logistic", ["metric", "n_train"]].values.tolist()
    [['auroc', 51], ['auroc', 100], ['brier', 51], ['brier', 100]]
    """
    label = table["label"].to_numpy(dtype=float)
    _check(label, shares, repeats, folds)
    found: dict[tuple[str, str, float], list[Estimate]] = {}
    sizes: dict[float, int] = {}
    for share in shares:
        if progress:
            progress(f"learning curve, {100 * share:.0f} % of the training patients")
        for repeat in range(repeats):
            split = StratifiedKFold(folds, shuffle=True, random_state=seed + repeat)
            risks = {name: np.empty(len(label)) for name in (MODEL, PLAIN)}
            n_train = []
            for train, test in split.split(label, label):
                drawn = _part(train, label, share, seed + repeat)
                n_train.append(len(drawn))
                home, away = table.iloc[drawn], table.iloc[test]
                for name, risk in _fitted(classifier, home, away, list(features)).items():
                    risks[name][test] = risk
            sizes[share] = round(float(np.mean(n_train)))
            for name, risk in risks.items():
                found.setdefault((name, "auroc", share), []).append(auroc(label, risk, _LEVEL))
                found.setdefault((name, "brier", share), []).append(brier(label, risk, _LEVEL))
    rows = [
        (name, metric, sizes[share], *_mean(estimates), len(label), int(label.sum()), repeats)
        for (name, metric, share), estimates in found.items()
    ]
    curve = pd.DataFrame(rows, columns=list(LEARNING_CURVE_COLUMNS))
    return curve.sort_values(["model", "metric", "n_train"], ignore_index=True)


def _check(label: Floats, shares: Sequence[float], repeats: int, folds: int) -> None:
    for name, value in (("repeats", repeats), ("folds", folds)):
        if value < 2:
            raise ArgumentError(f"{name} is {value}; at least 2 is expected.")
    if wrong := [share for share in shares if not 0 < share <= 1]:
        raise ArgumentError(f"shares has {wrong}; shares above 0 and at most 1 are expected.")
    smaller = int(min(label.sum(), (1 - label).sum()))
    if smaller < folds:
        raise ArgumentError(
            f"the smaller class has {smaller} patients; at least one a fold ({folds}) is expected."
        )


def _part(
    train: npt.NDArray[np.intp], label: Floats, share: float, seed: int
) -> npt.NDArray[np.intp]:
    """Draw a share of the patients, both labels in proportion."""
    rng = np.random.default_rng(seed)
    drawn = [
        rng.permutation(each)[: int(np.ceil(share * len(each)))]
        for each in (train[label[train] == 0], train[label[train] == 1])
    ]
    return np.sort(np.concatenate(drawn))


def _fitted(
    classifier: ResistanceClassifier, home: pd.DataFrame, away: pd.DataFrame, features: list[str]
) -> dict[str, Floats]:
    plain = LogisticModel.fit(home, features, home["label"].to_numpy(dtype=float))
    return {
        MODEL: predicted(fit_model(classifier, home, features), away),
        PLAIN: plain.risk(away),
    }


def _mean(estimates: list[Estimate]) -> Estimate:
    """Mean of the repeats, which judge the same patients: their error does not average out."""
    z = normal_quantile(_LEVEL)
    values = np.array([each.value for each in estimates])
    judged = np.mean([((each.high - each.low) / 2 / z) ** 2 for each in estimates])
    error = float(np.sqrt(judged + values.var(ddof=1) / len(values)))
    return wald(float(values.mean()), error, _LEVEL, 0, 1)

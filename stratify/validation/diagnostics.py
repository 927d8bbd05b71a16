"""Checks of the training data before a model is fitted: a leak, informative gaps, few patients.

Each finding has a permanent code; what they look at is judged out of fold.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Floats
from stratify.cohort.features import model_matrix
from stratify.cohort.reading import Cohort
from stratify.statistics.discrimination import auroc
from stratify.statistics.sample_size import candidate_parameters, required_sample_size
from stratify.tables.findings import Findings
from stratify.tables.schema import field_named

__all__ = ["check_training", "cohort_from_missingness", "missingness_auroc", "single_feature_auroc"]


# No baseline biomarker of resistance comes near; TMB and PD-L1 reach 0.6 to 0.7.
LEAK = 0.95
# From this AUROC on, the gaps alone predict the label as well as a usual biomarker does.
INFORMATIVE = 0.65
# Of the errors of naming the largest cohort for everybody, the share that the gaps avoid.
FEWER_ERRORS = 0.5
_FOLDS, _BINS = 5, 10


def check_training(home: Cohort, features: list[str]) -> None:
    """Add findings on a leak, on gaps that predict label or cohort, and on too few patients.

    `home` holds the training patients with a label and gets the findings.
    """
    label = home.table["label"].to_numpy(dtype=float)
    matrix = model_matrix(home.table, features)
    needed = required_sample_size(candidate_parameters(matrix), float(label.mean()))
    if len(label) < needed.required:
        home.findings.add(
            "sample_size_small",
            f"{len(label)} training patients for {needed.parameters} parameters. A regression "
            f"needs {needed.shrinkage} for a shrinkage of at least 0.9, {needed.optimism} for an "
            f"optimism of at most 0.05 in Nagelkerke's R2 and {needed.intercept} for the overall "
            f"risk to within 0.05, at a Cox–Snell R2 of {needed.cox_snell:.3f} (15 % of its "
            "maximum).",
            n=len(label),
        )
    if min(label.sum(), (1 - label).sum()) < _FOLDS:
        return
    for name, area in single_feature_auroc(matrix, label).items():
        if area > LEAK:
            home.findings.add(
                "leak_suspected",
                f"{name} alone predicts the label with a cross-validated AUROC of {area:.3f}; "
                f"above {LEAK} is not expected of a biomarker.",
                panel=field_named(name).panel,
                column=name,
                n=len(label),
            )
    _check_missingness(matrix, label, home.table["cohort"], home.findings)


def _check_missingness(
    matrix: pd.DataFrame, label: Floats, cohort: pd.Series, findings: Findings
) -> None:
    area = missingness_auroc(matrix, label)
    if area >= INFORMATIVE:
        findings.add(
            "missingness_tells_label",
            "which features are missing predicts the label with a cross-validated AUROC of "
            f"{area:.3f}; near 0.5 is expected.",
            n=len(label),
        )
    named, largest = cohort_from_missingness(matrix, cohort)
    if named - largest > FEWER_ERRORS * (1 - largest):
        findings.add(
            "missingness_tells_cohort",
            f"which features are missing predicts the cohort of {100 * named:.0f} % of the "
            f"patients; the largest cohort holds {100 * largest:.0f} %.",
            n=len(label),
        )


def single_feature_auroc(matrix: pd.DataFrame, label: npt.ArrayLike) -> dict[str, float]:
    """Judge each feature alone, whatever the shape of its relation to the label.

    The cross-validated AUROC is that of the share of label 1 by level or by tenth of the number;
    missing is a level of its own, so that an informative gap is seen too. At least 5 patients of
    each label are needed.

    Examples
    --------
    >>> y = np.tile([0.0, 1.0], 50)
    >>> matrix = pd.DataFrame({"age": np.arange(100.0) // 2, "response": 1 - y})
    >>> {name: area > 0.95 for name, area in single_feature_auroc(matrix, y).items()}
    {'age': False, 'response': True}
    """
    truth = np.asarray(label, dtype=float)
    return {str(name): _alone(column, truth) for name, column in matrix.items()}


def _alone(column: pd.Series, label: Floats) -> float:
    number = pd.api.types.is_numeric_dtype(column)
    levels = column.to_numpy(dtype=float) if number else pd.factorize(column)[0].astype(float)
    missing = column.isna().to_numpy()
    risk = np.empty(len(label))
    for train, test in _folds(label):
        known = levels[train][~missing[train]]
        if number and len(np.unique(known)) > _BINS:
            edges = np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])
            codes = np.searchsorted(edges, levels, side="right")
        else:
            codes = np.unique(levels, return_inverse=True)[1]
        codes = np.where(missing, 0, codes + 1)
        n = np.bincount(codes[train], minlength=codes.max() + 1)
        events = np.bincount(codes[train], label[train], minlength=codes.max() + 1)
        share = np.where(n > 0, events / np.maximum(n, 1), label[train].mean())
        risk[test] = share[codes[test]]
    return auroc(label, risk).value


def missingness_auroc(matrix: pd.DataFrame, label: npt.ArrayLike) -> float:
    """Cross-validated AUROC of a ridge logistic regression on what is missing; 0.5 without gaps.

    At least 5 patients of each label are needed.

    Examples
    --------
    >>> y = np.tile([0.0, 1.0], 50)
    >>> missingness_auroc(pd.DataFrame({"tmb": np.where(y == 1, np.nan, 8.0)}), y)
    1.0
    """
    truth = np.asarray(label, dtype=float)
    shares = _predicted_by_gaps(matrix, truth)
    return 0.5 if shares is None else auroc(truth, shares[:, 1]).value


def cohort_from_missingness(matrix: pd.DataFrame, groups: npt.ArrayLike) -> tuple[float, float]:
    """How well the gaps alone predict the cohort, site or another group.

    Groups of fewer than 5 patients count as the largest.

    Returns
    -------
    named, largest : float
        Cross-validated share of patients whose group is named rightly, and the share of the
        largest group, which anybody can name.

    Examples
    --------
    >>> cohort = np.repeat(["a", "b"], [60, 40])
    >>> cohort_from_missingness(pd.DataFrame({"tmb": np.where(cohort == "a", 8.0, np.nan)}), cohort)
    (1.0, 0.6)
    """
    names = pd.Series(np.asarray(groups, dtype=object))
    counts = names.map(names.value_counts())
    names = names.where(counts >= _FOLDS, names.value_counts().index[0])
    codes, found = pd.factorize(names, sort=True)
    largest = float(np.bincount(codes).max() / len(codes))
    shares = _predicted_by_gaps(matrix, codes) if len(found) > 1 else None
    if shares is None:
        return largest, largest
    return float((shares.argmax(axis=1) == codes).mean()), largest


def _predicted_by_gaps(matrix: pd.DataFrame, target: npt.NDArray[np.number]) -> Floats | None:
    """Return out-of-fold probabilities of each class of the target, None without gaps."""
    from sklearn.linear_model import LogisticRegression

    gaps = matrix.isna().to_numpy(dtype=float)
    gaps = np.unique(gaps[:, gaps.any(axis=0) & ~gaps.all(axis=0)], axis=1)
    if not gaps.shape[1]:
        return None
    shares = np.zeros((len(target), len(np.unique(target))))
    for train, test in _folds(target):
        model = LogisticRegression(max_iter=1000).fit(gaps[train], target[train])
        shares[test] = model.predict_proba(gaps[test])
    return shares


def _folds(
    target: npt.NDArray[np.number],
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    from sklearn.model_selection import StratifiedKFold

    split = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    yield from split.split(np.zeros(len(target)), target)

"""Doubly robust scores of both treatments, the average effect, and the value of a rule.

A patient's score of a treatment is what an outcome model expects plus, if the patient had it, the
weighted residual. Means of scores are unbiased where either the outcome model or the propensity is
right; where patients were randomised the propensity is known. Outcome models are cross-fitted: no
patient's own outcome enters the patient's prediction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Flags, Floats, Ints
from stratify.statistics.intervals import Estimate, mean_interval

__all__ = ["Scores", "doubly_robust_scores", "folds_of", "regressor", "value_table"]


FOLDS = 5


def regressor() -> Any:
    """Small LightGBM model for outcomes and effects: shallow, one thread, the same every time."""
    from lightgbm import LGBMRegressor

    return LGBMRegressor(
        n_estimators=60,
        learning_rate=0.08,
        num_leaves=6,
        min_child_samples=15,
        reg_lambda=5.0,
        subsample=1.0,
        random_state=0,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )


@dataclass(frozen=True, eq=False)
class Scores:
    """Doubly robust scores.

    Attributes
    ----------
    reference, alternative : ndarray of shape (n_patients,)
        Score of each treatment, in the unit of the outcome.
    """

    reference: Floats
    alternative: Floats

    @property
    def effect(self) -> Floats:
        """Alternative minus reference: noisy for one patient, unbiased in the mean."""
        return self.alternative - self.reference

    def of(self, treats: Flags | Floats) -> Floats:
        """Score of the treatment that a rule gives; a number between 0 and 1 is a lottery."""
        share = np.asarray(treats, dtype=float)
        return share * self.alternative + (1 - share) * self.reference

    def average_effect(self, level: float = 0.95) -> Estimate:
        """Average effect with Wald interval."""
        return mean_interval(self.effect, level)

    def take(self, rows: npt.NDArray[Any]) -> Scores:
        """Scores of some patients."""
        return Scores(self.reference[rows], self.alternative[rows])


def folds_of(treated: Flags, seed: int, folds: int = FOLDS) -> Ints:
    """Fold of each patient, arms spread evenly; the order of rows decides nothing but ties."""
    from sklearn.model_selection import StratifiedKFold

    fold = np.zeros(len(treated), dtype=np.int64)
    split = StratifiedKFold(folds, shuffle=True, random_state=seed).split(treated[:, None], treated)
    for k, (_, test) in enumerate(split):
        fold[test] = k
    return fold


def doubly_robust_scores(
    X: Floats,
    treated: Flags,
    outcome: Floats,
    propensity: Floats,
    *,
    fold: Ints,
) -> Scores:
    """Cross-fitted scores of both treatments.

    Parameters
    ----------
    X : ndarray of shape (n_patients, n_covariates)
    treated : ndarray of shape (n_patients,)
    outcome : ndarray of shape (n_patients,)
        Higher is better.
    propensity : ndarray of shape (n_patients,)
        Probability of the alternative, above 0 and below 1.
    fold : ndarray of shape (n_patients,)
        From :func:`folds_of`.

    References
    ----------
    Robins JM, Rotnitzky A, Zhao LP. J Am Stat Assoc 1994;89:846-866. Chernozhukov V et al.
    Econom J 2018;21:C1-C68 (cross-fitting).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, treated = rng.normal(size=(400, 2)), np.arange(400) % 2 == 0
    >>> outcome = X[:, 0] + 2.0 * treated
    >>> scores = doubly_robust_scores(X, treated, outcome, np.full(400, 0.5),
    ...                               fold=folds_of(treated, 0))
    >>> 1.8 < scores.average_effect().value < 2.2
    True
    """
    scores = []
    for arm, probability in ((~treated, 1 - propensity), (treated, propensity)):
        expected = np.empty(len(X))
        for k in np.unique(fold):
            rows, test = (fold != k) & arm, fold == k
            if X.shape[1]:
                expected[test] = regressor().fit(X[rows], outcome[rows]).predict(X[test])
            else:
                expected[test] = outcome[rows].mean()
        scores.append(expected + np.where(arm, (outcome - expected) / probability, 0.0))
    return Scores(*scores)


def value_table(
    scores: Scores, rules: Mapping[str, Flags | Floats], *, level: float = 0.95
) -> pd.DataFrame:
    """Value of each rule, and its difference to each of the others, on the same patients.

    Parameters
    ----------
    rules : mapping of name to ndarray of shape (n_patients,)
        Who gets the alternative. A learned rule has to be cross-fitted: learned without the
        patient it is applied to.

    Returns
    -------
    DataFrame
        rule, against (empty for the value itself), value, low, high, share_treated, n: means of
        scores with Wald intervals of their influence function.

    References
    ----------
    Dudik M, Langford J, Li L. ICML 2011. Athey S, Wager S. Econometrica 2021;89:133-161.

    Examples
    --------
    >>> scores = Scores(np.array([1.0, 2.0, 3.0, 2.0]), np.array([2.0, 2.0, 5.0, 3.0]))
    >>> table = value_table(scores, {"all": np.ones(4), "none": np.zeros(4)})
    >>> table[["rule", "against", "value"]].values.tolist()
    [['all', '', 3.0], ['none', '', 2.0], ['all', 'none', 1.0]]
    """
    share = {name: float(np.asarray(treats, dtype=float).mean()) for name, treats in rules.items()}
    own = {name: scores.of(treats) for name, treats in rules.items()}
    compared = [(name, "", own[name]) for name in own]
    compared += [(one, two, own[one] - own[two]) for one, two in combinations(own, 2)]
    rows = [
        (name, against, *mean_interval(values, level), share[name], values.size)
        for name, against, values in compared
    ]
    columns = ["rule", "against", "value", "low", "high", "share_treated", "n"]
    return pd.DataFrame(rows, columns=columns)

"""Anchored ensemble: bagged LightGBM models that start from a linear score.

The linear score (the anchor) carries what is known to be roughly linear; the trees learn what it
misses. Each member sees a bootstrap sample of patients twice: as they are, and as a copy in which
values and whole panels are made missing, so that any subset of panels can be scored and a missing
value is never read as zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stratify.linear import LinearScore

if TYPE_CHECKING:
    import lightgbm

__all__ = ["AnchoredEnsemble", "Boosting", "Design"]

Floats = npt.NDArray[np.float64]

# Categories rarer than this in training are pooled by LightGBM's smoothing, not split off.
_MIN_DATA_PER_CATEGORY = 20
# Folds in which the anchor's starting margins are predicted for patients it was not fitted on.
_ANCHOR_FOLDS = 5


@dataclass(frozen=True)
class Boosting:
    """Settings of the boosting; names and meaning as in ``ResistanceClassifier``."""

    n_members: int
    n_estimators: int
    learning_rate: float
    num_leaves: int
    min_child_samples: int
    reg_lambda: float
    feature_fraction: float
    max_bin: int
    mask_value: float
    mask_panel: float
    masked_weight: float
    anchor_penalty: float


@dataclass(frozen=True)
class Design:
    """What the columns of the matrix are.

    Attributes
    ----------
    features : list of str
    n_levels : mapping of str to int
        Number of levels of each categorical column, coded 0, 1, ...
    directions : list of int
        +1, -1 or 0 by column: monotone constraint of the trees and of the anchor.
    panels : list of ndarray of bool of shape (n_features,)
        Columns that are masked together.
    anchor : list of int
        Columns of the anchor; none for no anchor.
    """

    features: list[str]
    n_levels: Mapping[str, int]
    directions: list[int]
    panels: list[npt.NDArray[np.bool_]]
    anchor: list[int]


@dataclass(frozen=True)
class AnchoredEnsemble:
    """A fitted ensemble.

    Attributes
    ----------
    members : list of lightgbm.Booster
    anchor : LinearScore or None
    anchor_columns : list of int
    base_value : float
        Expected margin, the origin of the contributions: LightGBM's expected value of the trees
        over their training rows, plus the anchor's training mean.
    """

    members: list[lightgbm.Booster]
    anchor: LinearScore | None
    anchor_columns: list[int]
    base_value: float

    @classmethod
    def fit(
        cls,
        matrix: Floats,
        label: Floats,
        weight: Floats,
        design: Design,
        boosting: Boosting,
        *,
        seed: int,
        n_jobs: int = 1,
    ) -> AnchoredEnsemble:
        """Fit anchor and members.

        Parameters
        ----------
        matrix : ndarray of shape (n_patients, n_features)
            Numbers and level codes, NaN for missing, rows in an order that does not depend on the
            file.
        label, weight : ndarray of shape (n_patients,)
        design : Design
        boosting : Boosting
        seed : int
        n_jobs : int
            Threads; each member is trained on one, so that the number does not matter.
        """
        from joblib import Parallel, delayed

        anchor, anchors, fold = _anchors(matrix, label, weight, design, boosting, seed)
        streams = np.random.default_rng(seed).spawn(boosting.n_members)
        members: list[lightgbm.Booster] = Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(_member)(matrix, label, weight, design, boosting, anchors, fold, stream)
            for stream in streams
        )
        base = float(_mean_contributions(members, matrix[:1])[0, -1])
        if anchor is not None:
            base += anchor.base_value
        return cls(members, anchor, design.anchor, base)

    def margins(self, matrix: Floats) -> Floats:
        """Margin by each member, anchor and trees together, in log-odds.

        Returns
        -------
        ndarray of shape (n_members, n_patients)
        """
        trees = [m.predict(matrix, raw_score=True, num_threads=1) for m in self.members]
        start = _start(self.anchor, matrix[:, self.anchor_columns])
        margins: Floats = start + np.array(trees)
        return margins

    def contributions(self, matrix: Floats) -> Floats:
        """Exact SHAP values of the mean margin.

        Returns
        -------
        ndarray of shape (n_patients, n_features)
        """
        values = _mean_contributions(self.members, matrix)[:, :-1]
        if self.anchor is not None:
            parts = self.anchor.contributions(matrix[:, self.anchor_columns])
            values[:, self.anchor_columns] += parts
        return values


def _anchors(
    matrix: Floats,
    label: Floats,
    weight: Floats,
    design: Design,
    boosting: Boosting,
    seed: int,
) -> tuple[LinearScore | None, list[LinearScore], npt.NDArray[np.int_]]:
    """Anchor on all patients; anchors by fold, and the fold each patient is left out of."""
    fold = np.zeros(len(label), dtype=int)
    folds = min(_ANCHOR_FOLDS, int(label.sum()), int((1 - label).sum()))
    if not design.anchor or folds < 2:
        return None, [], fold
    from sklearn.model_selection import StratifiedKFold

    names = [design.features[j] for j in design.anchor]
    counts = {name: design.n_levels[name] for name in names if name in design.n_levels}
    directions = [design.directions[j] for j in design.anchor]

    def fitted(rows: npt.NDArray[np.int_]) -> LinearScore:
        return LinearScore.fit(
            matrix[np.ix_(rows, np.array(design.anchor))],
            names,
            counts,
            label[rows],
            weight=weight[rows],
            penalty=boosting.anchor_penalty,
            directions=directions,
        )

    out_of_fold = []
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for k, (train, test) in enumerate(split.split(matrix, label)):
        fold[test] = k
        out_of_fold.append(fitted(train))
    return fitted(np.arange(len(label))), out_of_fold, fold


def _start(anchor: LinearScore | None, columns: Floats) -> Floats:
    """Margin from which the trees start."""
    return np.zeros(len(columns)) if anchor is None else anchor.margin(columns)


def _member(
    matrix: Floats,
    label: Floats,
    weight: Floats,
    design: Design,
    boosting: Boosting,
    anchors: list[LinearScore],
    fold: npt.NDArray[np.int_],
    rng: np.random.Generator,
) -> lightgbm.Booster:
    import lightgbm

    rows = rng.integers(0, len(label), len(label))
    if len(np.unique(label[rows])) < 2:  # tiny data: keep both classes
        rows = np.arange(len(label))
    sample, target, weights, home = matrix[rows], label[rows], weight[rows], fold[rows]
    if boosting.masked_weight > 0:
        copy = sample.copy()
        copy[rng.random(copy.shape) < boosting.mask_value] = np.nan
        for columns in design.panels:
            masked = rng.random(len(rows)) < boosting.mask_panel
            copy[masked[:, None] & columns] = np.nan
        sample = np.vstack([sample, copy])
        target, home = np.tile(target, 2), np.tile(home, 2)
        weights = np.concatenate([weights, boosting.masked_weight * weights])
    start = np.zeros(len(target))
    for k, anchor in enumerate(anchors):
        left_out = home == k
        start[left_out] = _start(anchor, sample[left_out][:, design.anchor])
    data = lightgbm.Dataset(
        sample,
        target,
        weight=weights,
        init_score=start if anchors else None,
        feature_name=[f"f{j}" for j in range(sample.shape[1])],
        categorical_feature=[j for j, n in enumerate(design.features) if n in design.n_levels],
        params={"max_bin": boosting.max_bin, "verbose": -1, "num_threads": 1},
    )
    parameters = {
        "objective": "binary",
        "learning_rate": boosting.learning_rate,
        "num_leaves": boosting.num_leaves,
        "min_data_in_leaf": boosting.min_child_samples,
        "lambda_l2": boosting.reg_lambda,
        "feature_fraction": boosting.feature_fraction,
        "max_bin": boosting.max_bin,
        "min_data_per_group": _MIN_DATA_PER_CATEGORY,
        "cat_smooth": 20,
        "cat_l2": 10,
        "monotone_constraints": design.directions,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "seed": int(rng.integers(2**31 - 1)),
        "verbose": -1,
    }
    return lightgbm.train(parameters, data, num_boost_round=boosting.n_estimators)


def _mean_contributions(members: Sequence[lightgbm.Booster], matrix: Floats) -> Floats:
    total = np.zeros((len(matrix), matrix.shape[1] + 1))
    if len(matrix) == 0:  # LightGBM divides by the number of rows
        return total
    for member in members:
        total += member.predict(matrix, pred_contrib=True, num_threads=1)
    return total / len(members)

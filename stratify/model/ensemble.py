"""Anchored ensemble: bagged LightGBM models that start from a linear score.

The linear score (the anchor) carries what is roughly linear. The trees start from a share of its
out-of-fold margin: from all of it they learn only what it misses; from less they also see where its
lines are wrong, and the sum is a mean of two views. Each member sees a bootstrap sample of patients
twice: as they are, and as a copy in which values and whole panels are made missing, so that any
subset of panels can be scored and a missing value is never read as zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stratify.arrays import Floats
from stratify.model.design import Boosting, Design, TrainingSet
from stratify.model.linear import LinearScore
from stratify.tables.schema import family_of
from stratify.trees.members import Members

if TYPE_CHECKING:
    import lightgbm

__all__ = ["AnchoredEnsemble"]


# Categories rarer than this in training are pooled by LightGBM's smoothing, not split off.
_MIN_DATA_PER_CATEGORY = 20
# Folds in which the anchor's starting margins are predicted for patients it was not fitted on.
_ANCHOR_FOLDS = 5
# Looks at a growing ensemble without gain after which it grows no more.
_PATIENCE = 2
# Rows from which the compiled loops repay their check, which the many models of a nested
# validation, each for a few patients, would not.
_MANY = 4000


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
        over their training rows, plus the anchor's margin of a patient of whom nothing is known.
    """

    members: list[lightgbm.Booster]
    anchor: LinearScore | None
    anchor_columns: list[int]
    base_value: float

    @classmethod
    def fit(
        cls,
        patients: TrainingSet,
        design: Design,
        boosting: Boosting,
        *,
        seed: int,
        n_jobs: int = 1,
    ) -> AnchoredEnsemble:
        """Fit anchor and members."""
        from joblib import Parallel, delayed

        anchor, start = _anchored(patients, design, boosting, seed)
        streams = np.random.default_rng(seed).spawn(boosting.n_members)
        members: list[lightgbm.Booster] = Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(_member)(patients, design, boosting, start, stream) for stream in streams
        )
        base = float(Members(members, None).base_values.mean())
        if anchor is not None:
            base += anchor.base_value
        return cls(members, anchor, design.anchor, base)

    @staticmethod
    def stages(
        patients: TrainingSet,
        judged: TrainingSet,
        design: Design,
        boosting: Boosting,
        rounds: Sequence[int],
        *,
        seed: int,
        n_jobs: int = 1,
    ) -> Floats:
        """Margins of other patients as an ensemble grows, for as long as it gains.

        Returns
        -------
        ndarray of shape (n_stages, n_judged)
            Mean margin over the members, at the first numbers of `rounds`: all of them, or until
            the log loss has not become smaller for `_PATIENCE`.
        """
        from joblib import Parallel, delayed

        anchor, start = _anchored(patients, design, boosting, seed)
        margin = np.zeros(len(judged))
        if anchor is not None:
            margin += anchor.margin(judged.matrix[:, design.anchor])
        streams = np.random.default_rng(seed).spawn(boosting.n_members)
        stages: list[Floats] = []
        losses: list[float] = []
        with Parallel(n_jobs=n_jobs, prefer="threads") as pool:
            growing = pool(
                delayed(_seedling)(patients, design, boosting, start, stream) for stream in streams
            )
            for before, after in zip([0, *rounds], rounds, strict=False):
                grown = pool(
                    delayed(_grown)(member, before, after, judged.matrix) for member in growing
                )
                margin = margin + np.mean(grown, axis=0)
                loss = np.logaddexp(0, margin) - judged.label * margin
                stages.append(margin)
                losses.append(float(judged.weight @ loss))
                if len(losses) - 1 - int(np.argmin(losses)) >= _PATIENCE:
                    break
        return np.array(stages)

    @cached_property
    def trees(self) -> Members:
        """The members as they score many patients: checked against LightGBM on first use."""
        return Members.checked(self.members)

    def margins(self, matrix: Floats) -> Floats:
        """Margin by each member, of anchor and trees, in log-odds.

        Returns
        -------
        ndarray of shape (n_members, n_patients)
        """
        checked = "trees" in self.__dict__ or len(matrix) >= _MANY
        trees = self.trees if checked else Members(self.members, None)  # equal to the last bit
        return self._combined(trees.margins(matrix), self._anchor_contributions(matrix))

    def contributions(self, matrix: Floats) -> Floats:
        """Exact SHAP values of the mean margin.

        Returns
        -------
        ndarray of shape (n_patients, n_features)
        """
        return self.explained(matrix)[1]

    def explained(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Margins and contributions, in less time than one after the other.

        Returns
        -------
        margins : ndarray of shape (n_members, n_patients)
        contributions : ndarray of shape (n_patients, n_features)
        """
        margins, values = self.trees.explained(matrix)
        linear = self._anchor_contributions(matrix)
        if linear is not None:
            values[:, self.anchor_columns] += linear
        return self._combined(margins, linear), values

    def _anchor_contributions(self, matrix: Floats) -> Floats | None:
        if self.anchor is None:
            return None
        return self.anchor.contributions(matrix[:, self.anchor_columns])

    def _combined(self, margins: Floats, linear: Floats | None) -> Floats:
        """Margins of the trees plus the anchor's, by its contributions."""
        if self.anchor is not None and linear is not None:
            margins += self.anchor.base_value + linear.sum(axis=1)
        return margins

    def interactions(self, matrix: Floats) -> Floats:
        """Exact pairwise SHAP interactions of the mean margin.

        Returns
        -------
        ndarray of shape (n_patients, n_features, n_features)
            Rows add up to the contributions; the anchor has no interactions and stands on the
            diagonal.
        """
        values, linear = self.trees.interactions(matrix), self._anchor_contributions(matrix)
        if linear is not None:
            values[:, self.anchor_columns, self.anchor_columns] += linear
        return values


@dataclass(frozen=True)
class _Start:
    """Margins from which the trees start: of each patient by anchors that did not see them."""

    anchors: list[LinearScore]
    home: npt.NDArray[np.int_]  # the anchor of each training patient
    columns: list[int]
    share: float
    margin: Floats  # of the training patients as they are

    def of_rows(self, matrix: Floats, rows: npt.NDArray[np.int_], *, expect: bool) -> Floats:
        """Margins of a matrix whose rows are these training patients, with other gaps maybe."""
        margin = np.empty(len(matrix))
        for k, anchor in enumerate(self.anchors):
            here = self.home[rows] == k
            linear = anchor.contributions(matrix[here][:, self.columns], expect=expect)
            margin[here] = anchor.base_value + self.share * linear.sum(axis=1)
        return margin


def _anchored(
    patients: TrainingSet, design: Design, boosting: Boosting, seed: int
) -> tuple[LinearScore | None, _Start | None]:
    """Anchor on all patients, and the margin by anchors that did not see the patient."""
    folds = patients.folds(_ANCHOR_FOLDS, seed) if design.anchor else []
    if not folds:
        return None, None
    names = [design.features[j] for j in design.anchor]

    def fitted(some: TrainingSet) -> LinearScore:
        return LinearScore.fit(
            some.matrix[:, design.anchor],
            names,
            {name: design.n_levels[name] for name in names if name in design.n_levels},
            some.graded,
            weight=some.weight,
            penalty=_variances(names, boosting.anchor_variance),
            directions=[design.directions[j] for j in design.anchor],
            expect=True,
        )

    home = np.empty(len(patients), dtype=int)
    for k, (_, left_out) in enumerate(folds):
        home[left_out] = k
    anchors = [fitted(patients.take(train)) for train, _ in folds]
    everyone = np.arange(len(patients))
    start = _Start(anchors, home, design.anchor, boosting.anchor_start, np.empty(len(patients)))
    start.margin[:] = start.of_rows(patients.matrix, everyone, expect=True)
    return fitted(patients), start


def _variances(names: list[str], total: float) -> list[float]:
    """Prior variance by feature; a hundred signatures share what one biomarker has."""
    families = [family_of(name) for name in names]
    share = total / len(set(families))
    return [share / families.count(family) for family in families]


def _member(
    patients: TrainingSet,
    design: Design,
    boosting: Boosting,
    start: _Start | None,
    rng: np.random.Generator,
) -> lightgbm.Booster:
    import lightgbm

    data, parameters = _sampled(patients, design, boosting, start, rng)
    return lightgbm.train(parameters, data, num_boost_round=boosting.n_estimators)


def _seedling(
    patients: TrainingSet,
    design: Design,
    boosting: Boosting,
    start: _Start | None,
    rng: np.random.Generator,
) -> lightgbm.Booster:
    """Make a member without trees, the same as :func:`_member` would grow."""
    import lightgbm

    data, parameters = _sampled(patients, design, boosting, start, rng)
    return lightgbm.Booster(parameters, data)


def _grown(member: lightgbm.Booster, before: int, after: int, matrix: Floats) -> Floats:
    """Grow a member to more trees; what these add to the margins of patients."""
    for _ in range(before, after):
        member.update()
    added: Floats = member.predict(
        matrix, start_iteration=before, num_iteration=after - before, raw_score=True, num_threads=1
    )
    return added


def _sampled(
    patients: TrainingSet,
    design: Design,
    boosting: Boosting,
    start: _Start | None,
    rng: np.random.Generator,
) -> tuple[lightgbm.Dataset, dict[str, Any]]:
    """Patients of a member, with their copies, and the parameters of its training."""
    import lightgbm

    rows = rng.integers(0, len(patients), len(patients))
    if len(np.unique(patients.label[rows])) < 2:  # tiny data: keep both classes
        rows = np.arange(len(patients))
    drawn = patients.take(rows)
    sample, target, weights = drawn.matrix, drawn.label, drawn.weight
    margin = None if start is None else start.margin[rows]
    if boosting.masked_weight > 0:
        copy = sample.copy()
        copy[rng.random(copy.shape) < boosting.mask_value] = np.nan
        for columns in design.panels:
            masked = rng.random(len(rows)) < boosting.mask_panel
            copy[masked[:, None] & columns] = np.nan
        if start is not None:  # nearly every copy has gaps of its own
            margin = np.append(start.margin[rows], start.of_rows(copy, rows, expect=False))
        sample = np.vstack([sample, copy])
        target = np.tile(target, 2)
        weights = np.concatenate([weights, boosting.masked_weight * weights])
    data = lightgbm.Dataset(
        sample,
        target,
        weight=weights,
        init_score=margin,
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
    return data, parameters

"""The members of an ensemble ready to score: margins and exact Shapley values at speed.

Members are read into arrays and scored by compiled loops (:mod:`stratify.trees.margins`,
:mod:`stratify.trees.shapley`, :mod:`stratify.trees.tabulated`), which are imported on first use.
Before these are trusted, their answers for rows made up from the members' own thresholds are
compared with LightGBM's; members that they do not cover, or on which they differ, are scored by
LightGBM.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stratify.arrays import Floats
from stratify.errors import ArgumentError
from stratify.trees.model_text import CODES, Trees, UnsupportedTreesError, read_trees

if TYPE_CHECKING:
    import lightgbm

    from stratify.trees.shapley import Paths
    from stratify.trees.tabulated import Answers

__all__ = ["Members", "trying_rows"]


_log = logging.getLogger(__name__)

# Largest difference between Shapley values on the rows tried, relative to the largest margin.
_TOLERANCE = 1e-9
# The same for the sums of shap's interactions, which it computes in other ways than LightGBM.
_BY_SHAP = 1e-6
_NO_INTERACTIONS = "The interactions of these members cannot be computed; contributions can."


@dataclass(frozen=True)
class Members:
    """Members of an ensemble.

    Attributes
    ----------
    boosters : sequence of lightgbm.Booster
    trees : Trees or None
        None where LightGBM scores.

    Examples
    --------
    >>> import lightgbm, numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> data = lightgbm.Dataset(X, X[:, 0] > X[:, 1], params={"verbose": -1})
    >>> boosters = [lightgbm.train({"seed": k, "verbose": -1}, data, 5) for k in range(2)]
    >>> members = Members.checked(boosters)
    >>> members.margins(X).shape, members.contributions(X).shape, members.interactions(X).shape
    ((2, 200), (200, 3), (200, 3, 3))
    >>> explained = members.base_values.mean() + members.contributions(X).sum(axis=1)
    >>> bool(np.allclose(explained, members.margins(X).mean(axis=0)))
    True
    """

    boosters: Sequence[lightgbm.Booster]
    trees: Trees | None

    @classmethod
    def checked(cls, boosters: Sequence[lightgbm.Booster], sample: Floats | None = None) -> Members:
        """Members, scored by compiled loops if these agree with LightGBM on a sample.

        Parameters
        ----------
        sample : ndarray of shape (n_rows, n_features), optional
            Rows on which to compare; by default `trying_rows`, made up from the thresholds.
        """
        plain = cls(boosters, None)
        try:
            trees = read_trees([booster.model_to_string() for booster in boosters])
        except UnsupportedTreesError as unsupported:
            _log.warning("Members are scored by LightGBM, which takes longer: %s", unsupported)
            return plain
        fast = cls(boosters, trees)
        rows = fast._rows(trying_rows(trees) if sample is None else sample)
        margins = plain.margins(rows)
        alone = rows[:1]  # has loops of its own
        if np.array_equal(fast.margins(rows), margins) and np.array_equal(
            fast.margins(alone), margins[:, :1]
        ):
            if fast._explains(rows, margins) and fast._explains(alone, margins[:, :1]):
                return fast
            differing = "Shapley values"
        else:
            differing = "margins"
        _log.warning(
            "Members are scored by LightGBM, which takes longer: the compiled %s differ from its "
            "own on the rows tried.",
            differing,
        )
        return plain

    def _explains(self, rows: Floats, margins: Floats) -> bool:
        """Whether the Shapley values add up to the margins and agree with LightGBM's.

        Only where LightGBM's add up are they compared: it loses digits below more than some forty
        features, and gives NaN below a leaf without training rows.
        """
        bound = _TOLERANCE * max(1.0, np.abs(margins).max(initial=0))
        ours = self.contributions(rows, each=True)
        if not (np.abs(ours.sum(axis=2) + self.base_values[:, None] - margins) <= bound).all():
            return False
        theirs = np.array([_contributions(booster, rows) for booster in self.boosters])
        sound = np.abs(theirs.sum(axis=2) - margins) <= bound
        return bool((np.abs(ours - theirs[..., :-1])[sound] <= bound).all())

    @cached_property
    def n_features(self) -> int:
        """Columns of a matrix."""
        return int(self.boosters[0].num_feature())

    @cached_property
    def base_values(self) -> Floats:
        """Expected margin of each member over its training rows, of shape (n_members,)."""
        if self.trees is None:
            row = np.zeros((1, self.n_features))
            return np.array([_contributions(booster, row)[0, -1] for booster in self.boosters])
        trees, base = self.trees, np.zeros(len(self.boosters))
        for k, member in enumerate(trees.member):
            leaves = slice(trees.leaf_start[k], trees.leaf_start[k + 1])
            count = trees.leaf_cover[leaves]
            stump = len(count) == 1  # LightGBM may give it no count
            share = 1.0 if stump else count / trees.cover[trees.node_start[k]]
            base[member] += (trees.leaf_value[leaves] * share).sum()
        return base

    def margins(self, matrix: Floats) -> Floats:
        """Margin by each member.

        Parameters
        ----------
        matrix : ndarray of shape (n_rows, n_features)
            Numbers and codes of categories, NaN for missing.

        Returns
        -------
        ndarray of shape (n_members, n_rows)
            In log-odds; equal to ``predict(raw_score=True)`` of each booster to the last bit.
        """
        rows = self._rows(matrix)
        if self.trees is None:
            margins = np.zeros((len(self.boosters), len(rows)))
            for k, booster in enumerate(self.boosters if len(rows) else []):
                margins[k] = booster.predict(rows, raw_score=True, num_threads=1)
            return margins
        from stratify.trees.margins import margins as compiled_margins

        return compiled_margins(self.trees, rows)

    def contributions(
        self, matrix: Floats, *, each: bool = False, dtype: npt.DTypeLike = np.float64
    ) -> Floats:
        """Exact path-dependent Shapley values.

        Parameters
        ----------
        matrix : ndarray of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, n_features), or (n_members, n_rows, n_features) for `each`
            In log-odds; with the base values they add up to the margins.
        """
        rows = self._rows(matrix)
        if self.trees is None:
            values = np.array([_contributions(booster, rows)[:, :-1] for booster in self.boosters])
            values = values.astype(dtype)
            return values if each else values.mean(axis=0)
        answers = self._answers
        if answers is not None:
            from stratify.trees.tabulated import looked_up

            kept = answers.values.astype(dtype, copy=False)
            return looked_up(self.trees, answers._replace(values=kept), rows, each=each)[1]
        from stratify.trees.shapley import shapley_values

        return shapley_values(self.trees, self._paths(dtype), rows, each=each)

    def explained(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Margins and contributions, in less time than one after the other where trees are small.

        Parameters
        ----------
        matrix : ndarray of shape (n_rows, n_features)

        Returns
        -------
        margins : ndarray of shape (n_members, n_rows)
        contributions : ndarray of shape (n_rows, n_features)
        """
        if self.trees is None or self._answers is None:
            return self.margins(matrix), self.contributions(matrix)
        from stratify.trees.tabulated import looked_up

        return looked_up(self.trees, self._answers, self._rows(matrix))

    def interactions(self, matrix: Floats) -> Floats:
        """Exact pairwise Shapley interactions of the mean margin.

        Parameters
        ----------
        matrix : ndarray of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, n_features, n_features)
            In log-odds, symmetric; half of an interaction stands on either side of the diagonal,
            and rows add up to the contributions.

        Notes
        -----
        LightGBM has no interactions: members that it scores take those of shap.
        """
        if self.trees is None:
            return self._interactions_by_shap(self._rows(matrix))
        from stratify.trees.shapley import interactions

        return interactions(self.trees, self._paths(np.float64), self._rows(matrix))

    def _interactions_by_shap(self, rows: Floats) -> Floats:
        import shap

        _log.warning("Interactions are computed by shap, which takes longer.")
        pairs = np.zeros((len(rows), self.n_features, self.n_features))
        try:
            for booster in self.boosters if len(rows) else []:
                pairs += shap.TreeExplainer(booster).shap_interaction_values(rows)
            contributions = self.contributions(rows)
        except Exception as error:  # of many kinds
            raise UnsupportedTreesError(_NO_INTERACTIONS) from error
        pairs /= len(self.boosters)
        bound = _BY_SHAP * max(1.0, np.abs(contributions).max(initial=0))
        if not (np.abs(pairs.sum(axis=2) - contributions) <= bound).all():
            raise UnsupportedTreesError(_NO_INTERACTIONS)
        return pairs

    @cached_property
    def _exact(self) -> Paths:
        from stratify.trees.shapley import paths_of

        assert self.trees is not None
        return paths_of(self.trees)

    @cached_property
    def _answers(self) -> Answers | None:
        """Values of small trees, tabulated."""
        from stratify.trees.tabulated import answers_of

        assert self.trees is not None
        return answers_of(self.trees, self._exact)

    def _paths(self, dtype: npt.DTypeLike) -> Paths:
        return self._exact._replace(weights=self._exact.weights.astype(dtype))

    def _rows(self, matrix: Floats) -> Floats:
        """Check a matrix, in the one memory layout that the loops are compiled for."""
        rows = np.require(matrix, np.float64, ["C", "A", "W"])
        if rows.ndim != 2 or rows.shape[1] != self.n_features:
            raise ArgumentError(
                f"The matrix is of shape {rows.shape}; (n_rows, {self.n_features}) is expected."
            )
        return rows


def trying_rows(trees: Trees, n_rows: int = 32) -> Floats:
    """Make up rows that try the splits: values at, just above and between the thresholds.

    Returns
    -------
    ndarray of shape (n_rows, n_features)
        The same for the same trees; a fifth of the values missing, codes also such as no set
        holds, 0 for features without a split.
    """
    random = np.random.default_rng(0)
    widths = np.diff(trees.set_start)
    pools = [[0.0] for _ in range(trees.n_features)]
    for c, (j, kind) in enumerate(zip(trees.column_feature, trees.column_kind, strict=True)):
        if kind == CODES:
            pools[j] += range(-1, 32 * int(widths[trees.column == c].max()) + 2)
        else:
            cuts = trees.cuts[trees.cut_start[c] : trees.cut_start[c + 1]]
            pools[j] += [*cuts, *np.nextafter(cuts, np.inf)]
    rows = np.column_stack([random.choice(pool, n_rows) for pool in pools])
    used = [len(pool) > 1 for pool in pools]
    rows[(random.random(rows.shape) < 0.2) & used] = np.nan
    return rows


def _contributions(booster: lightgbm.Booster, rows: Floats) -> Floats:
    """LightGBM's own Shapley values, the base value last."""
    if len(rows) == 0:  # LightGBM divides by the number of rows
        return np.zeros((0, rows.shape[1] + 1))
    values: Floats = booster.predict(rows, pred_contrib=True, num_threads=1)
    return values

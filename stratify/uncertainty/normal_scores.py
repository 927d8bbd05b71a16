"""Normal scores: each number by its rank among the training patients, on the scale of a deviate.

Skewed markers, yes/no columns and counts are then comparable. Only quantiles are
kept, no training patient.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
import pandas as pd

from stratify.arrays import Floats, Ints
from stratify.model.columns import FeatureColumns

__all__ = ["NormalScores"]


# The outer two per cent are left out: in a small cohort they would be single patients.
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
_DEVIATES = [NormalDist().inv_cdf(share) for share in _SHARES]
_FARTHEST = 4.0  # a value beyond the training range has a flag of its own


@dataclass(frozen=True)
class NormalScores:
    """Normal scores of some columns.

    Attributes
    ----------
    knots : dict of str to (list of float, list of float)
        By column: distinct quantiles of the training patients, to three digits, and the mean
        normal score of each; empty where fewer than two differ.

    References
    ----------
    van der Waerden BL. Indagationes Math 1952;14:453-458.

    Examples
    --------
    >>> tmb = pd.DataFrame({"tmb": np.exp(np.linspace(-2, 2, 500))})
    >>> scores = NormalScores.fit(tmb, ["tmb"])
    >>> scores(pd.DataFrame({"tmb": [1.0, 7.0, None]})).round(1).tolist()
    [[0.0], [2.1], [nan]]
    """

    knots: dict[str, tuple[list[float], list[float]]]

    @classmethod
    def fit(cls, matrix: pd.DataFrame, names: Iterable[str]) -> NormalScores:
        """Learn the quantiles of the named columns.

        Parameters
        ----------
        matrix : DataFrame of shape (n_patients, ...)
        """
        return cls(
            {name: _knots(matrix[name].dropna().to_numpy(dtype=float)) for name in sorted(names)}
        )

    def __call__(self, matrix: pd.DataFrame | FeatureColumns) -> Floats:
        """Scores of patients, along straight lines between the quantiles and beyond them.

        Parameters
        ----------
        matrix : DataFrame or FeatureColumns of shape (n_patients, ...)

        Returns
        -------
        ndarray of shape (n_patients, n_columns)
            From -4 to 4, 0 the training median; NaN where a value is missing.
        """
        if isinstance(matrix, FeatureColumns):  # several uses of a score ask for the same
            return matrix.once(self._key, lambda: self._scores(matrix))
        return self._scores(matrix)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.knots)

    @cached_property
    def _key(self) -> str:
        return repr(self.knots)

    def _scores(self, matrix: pd.DataFrame | FeatureColumns) -> Floats:
        from stratify.uncertainty.whitening import interpolated

        if isinstance(matrix, FeatureColumns):
            values = matrix.numbers(self._names)
        else:
            values = np.empty((len(matrix), len(self.knots)))
            for j, name in enumerate(self.knots):
                values[:, j] = matrix[name]
        interpolated(values, *self._lines, _FARTHEST)  # type: ignore[no-untyped-call]
        return values

    @cached_property
    def _lines(self) -> tuple[Ints, Floats, Floats]:
        """First knot of each column; places and scores of all knots in their order."""
        lengths = [len(at) for at, _ in self.knots.values()]
        start = np.cumsum([0, *lengths], dtype=np.int64)
        places = [x for at, _ in self.knots.values() for x in at]
        scores = [y for _, score in self.knots.values() for y in score]
        return start, np.array(places, dtype=np.float64), np.array(scores, dtype=np.float64)

    def values(self, name: str, scores: Floats, *, steps: bool = False) -> Floats:
        """Values of a column that have these scores: the inverse.

        Parameters
        ----------
        name : str
            A column with two quantiles or more.
        scores : ndarray of shape (n,)
        steps : bool
            Only values that are quantiles, as for yes/no columns; by default along straight lines
            between them, where a value that many patients share keeps their share. Nothing lies
            beyond the outer quantiles.

        Examples
        --------
        >>> table = pd.DataFrame({"msi_high": np.repeat([0.0, 1.0], [80, 20])})
        >>> found = NormalScores.fit(table, ["msi_high"])
        >>> found.values("msi_high", np.array([-1.0, 0.5, 1.5]), steps=True).tolist()
        [0.0, 0.0, 1.0]
        """
        quantiles = self._quantiles(name)
        if not steps:
            along: Floats = np.interp(scores, _DEVIATES, quantiles)
            return along
        edges = (np.array(_DEVIATES[:-1]) + _DEVIATES[1:]) / 2
        stepped: Floats = quantiles[np.searchsorted(edges, scores)]
        return stepped

    def _quantiles(self, name: str) -> Floats:
        """Quantiles with their ties: how many had a value follows from its mean score."""
        at, score = self.knots[name]
        ties, start = [], 0
        for k, mean in enumerate(score):
            ends = range(start + 1, len(_DEVIATES) - (len(score) - k - 1) + 1)
            end = min(ends, key=lambda end: abs(float(np.mean(_DEVIATES[start:end])) - mean))
            ties.append(end - start)
            start = end
        ties[-1] += len(_DEVIATES) - start
        quantiles: Floats = np.repeat(np.array(at, dtype=float), ties)
        return quantiles


def _knots(values: Floats) -> tuple[list[float], list[float]]:
    if not values.size:
        return [], []
    rounded = [float(f"{quantile:.3g}") for quantile in np.quantile(values, _SHARES)]
    at, tied = np.unique(rounded, return_inverse=True)
    if len(at) < 2:
        return [], []
    scores = np.bincount(tied, _DEVIATES) / np.bincount(tied)
    return at.tolist(), scores.round(4).tolist()

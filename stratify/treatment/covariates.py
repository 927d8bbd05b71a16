"""Baseline covariates as a dense matrix: medians and levels are learned on training rows only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.cohort.features import model_matrix
from stratify.model.columns import FeatureColumns
from stratify.model.encoding import levels_of
from stratify.tables.schema import field_named

__all__ = ["CovariateMatrix"]


class CovariateMatrix:
    """Numbers standardised with gaps at the median, levels as columns, and columns that mark gaps.

    Parameters
    ----------
    features : sequence of str

    Attributes
    ----------
    names_ : list of str
        Columns of the matrix: ``tmb``, ``cancer_type=renal``, ``tmb missing``.

    Examples
    --------
    >>> table = pd.DataFrame({"tmb": [2.0, None, 4.0], "cancer_type": ["renal", "nsclc", "renal"]})
    >>> covariates = CovariateMatrix(["tmb", "cancer_type"]).fit(table)
    >>> covariates.names_
    ['tmb', 'tmb missing', 'cancer_type=renal']
    >>> covariates.transform(table).round(2).tolist()
    [[-1.22, 0.0, 1.0], [0.0, 1.0, 0.0], [1.22, 0.0, 1.0]]
    """

    def __init__(self, features: Sequence[str]) -> None:
        self.features = list(features)

    def fit(self, table: pd.DataFrame) -> CovariateMatrix:
        """Learn medians, spreads and levels."""
        matrix = model_matrix(table, self.features)
        self.levels_ = levels_of(matrix)
        numbers = FeatureColumns(matrix, self._numeric, {}).encoded
        none = np.isnan(numbers).all(axis=0)
        filled = np.where(none, 0.0, numbers)
        self.median_ = np.nanmedian(filled, axis=0) if numbers.size else np.zeros(0)
        filled = np.where(np.isnan(filled), self.median_, filled)
        self.mean_, spread = filled.mean(axis=0), filled.std(axis=0)
        self.spread_ = np.where(spread > 0, spread, 1.0)
        self.gaps_ = np.atleast_1d(np.isnan(numbers).any(axis=0) & ~none)
        self.names_ = self._names()
        return self

    def transform(self, table: pd.DataFrame) -> Floats:
        """Matrix of shape (n_patients, n_columns), nothing missing."""
        matrix = model_matrix(table, self.features)
        numbers = FeatureColumns(matrix, self._numeric, {}).encoded
        missing = np.isnan(numbers)
        filled = (np.where(missing, self.median_, numbers) - self.mean_) / self.spread_
        columns = [filled, missing[:, self.gaps_].astype(float)]
        for name, levels in self.levels_.items():
            column = matrix[name].astype(object).map(str, na_action="ignore")
            columns += [(column == level).to_numpy(dtype=float)[:, None] for level in levels[1:]]
        return np.hstack(columns)

    def plain(self, column: int, value: float) -> float:
        """Value of a column in its own unit."""
        if column < len(self._numeric):
            return float(value * self.spread_[column] + self.mean_[column])
        return value

    @property
    def _numeric(self) -> list[str]:
        return [name for name in self.features if name not in self.levels_]

    def _names(self) -> list[str]:
        gaps = [f"{n} missing" for n, gap in zip(self._numeric, self.gaps_, strict=True) if gap]
        levels = [f"{n}={level}" for n, known in self.levels_.items() for level in known[1:]]
        numbers = [f"{n}=true" if field_named(n).dtype == "boolean" else n for n in self._numeric]
        return [*numbers, *gaps, *levels]

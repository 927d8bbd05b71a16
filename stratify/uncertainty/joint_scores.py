"""Joint distribution of the features of the training patients: levels, and numbers within levels.

The general location model on normal scores: a patient's levels shift the scores of the numbers,
and what is left is normal with one covariance. Values that many patients share (no PD-L1 staining,
yes and no) hide some of a correlation; it is put back. No training patient is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.uncertainty.normal_scores import NormalScores

__all__ = ["JointScores"]


_FEW = 20  # a correlation counts as n / (n + this) of it, n patients having both
_RIDGE = 5  # patients by which the shift of a level is drawn to none
_SMALLEST = 0.01  # eigenvalue; near-copies stay near-copies
_MOST = 0.9  # of a score's variance that levels may explain
_TERMS, _GRID = 40, 4001  # of the Hermite series, and points at which a score is looked at
_NEAREST = 0.99  # correlation


@dataclass(frozen=True)
class JointScores:
    """Shifts by level, and covariance within levels, of normal scores.

    Attributes
    ----------
    shifts : dict of str to dict of str to list of float
        By categorical feature and level: shift of each score, in the order of the numbers. Over
        the training patients the shifts of a feature have mean 0.
    covariance : list of list of float
        Of the scores within levels; total variances are 1.

    References
    ----------
    Olkin I, Tate RF. Ann Math Stat 1961;32:448-465; Little RJA, Schluchter MD. Biometrika
    1985;72:497-512 (levels and numbers with missing values). Cario MC, Nelson BL. Modeling and
    generating random vectors with arbitrary marginal distributions and correlation matrix, 1997
    (correlation before ties).
    """

    shifts: dict[str, dict[str, list[float]]]
    covariance: list[list[float]]

    @classmethod
    def fit(
        cls,
        matrix: pd.DataFrame,
        numbers: NormalScores,
        shares: Mapping[str, Mapping[str, float]],
    ) -> JointScores:
        """Describe the training patients.

        Parameters
        ----------
        matrix : DataFrame of shape (n_patients, n_features)
            As :func:`stratify.cohort.features.model_matrix`.
        shares : mapping of str to mapping of str to float
            Share of each level by categorical feature.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> cells = rng.normal(0, 1, 400)
        >>> matrix = pd.DataFrame({"cd8_density": np.exp(cells), "pdl1_tps": cells > 0.5})
        >>> matrix = matrix.astype(float).assign(
        ...     immune_phenotype=np.where(cells > 0, "inflamed", "desert"))
        >>> numbers = NormalScores.fit(matrix, ["cd8_density", "pdl1_tps"])
        >>> shares = {"immune_phenotype": {"desert": 0.5, "inflamed": 0.5}}
        >>> joint = JointScores.fit(matrix, numbers, shares)
        >>> joint.shifts["immune_phenotype"]["inflamed"][0] > 0.7
        True
        """
        scores = numbers(matrix)
        known = ~np.isnan(scores)
        filled, both = np.where(known, scores, 0.0), known.T.astype(float) @ known
        series = np.array([_series(numbers, name) for name in numbers.knots]).reshape(-1, _TERMS)
        correlation = _untied(pd.DataFrame(scores).corr(min_periods=_FEW).to_numpy(), series)
        correlation *= both / (both + _FEW)
        np.fill_diagonal(correlation, 1.0)
        names = [(name, level) for name, levels in shares.items() for level in levels]
        design = np.zeros((len(matrix), len(names)))
        for k, (name, level) in enumerate(names):
            stated = matrix[name].notna().to_numpy()
            design[stated, k] = (matrix[name].astype(str) == level)[stated] - shares[name][level]
        shifts = np.zeros((len(names), len(numbers.knots)))
        seen = np.maximum(series[:, 0], 0.1)  # what ties leave of a shift
        for j in np.flatnonzero(known.sum(axis=0) >= _FEW) if names else []:
            rows = design[known[:, j]]
            wall = rows.T @ rows + _RIDGE * np.eye(len(names))
            shifts[:, j] = np.linalg.solve(wall, rows.T @ filled[known[:, j], j]) / seen[j]
        spread = np.einsum("ij,ik->jk", design, design) / max(len(matrix), 1)
        between = shifts.T @ spread @ shifts
        scale = np.sqrt(np.minimum(1, _MOST / np.maximum(np.diag(between), 1e-12)))
        shifts, between = shifts * scale, between * np.outer(scale, scale)
        centred = _centred(names, shifts, shares)
        return cls(
            {
                name: {level: centred[names.index((name, level))].round(4).tolist() for level in of}
                for name, of in shares.items()
            },
            _proper(correlation - between, 1 - np.diag(between)).round(5).tolist(),
        )

    @cached_property
    def within(self) -> Floats:
        """Covariance within levels as an array of shape (n_numbers, n_numbers)."""
        return np.array(self.covariance, dtype=float).reshape(len(self.covariance), -1)

    def shift(self, name: str) -> Floats:
        """Shifts of a categorical feature, of shape (n_levels, n_numbers)."""
        levels = self.shifts[name]
        shifts: Floats = np.array(list(levels.values()), dtype=float).reshape(len(levels), -1)
        return shifts


def _series(numbers: NormalScores, name: str) -> Floats:
    """Hermite coefficients of a column's score as a function of the normal deviate behind it.

    The first is the correlation of the two; where nothing is tied it is 1 and the others are 0.
    """
    from scipy.special import ndtri

    if not numbers.knots[name][0]:
        untied: Floats = np.eye(1, _TERMS)[0]
        return untied
    z = ndtri((np.arange(_GRID) + 0.5) / _GRID)
    single = NormalScores({name: numbers.knots[name]})
    own = single(pd.DataFrame({name: single.values(name, z)}))[:, 0]
    own = (own - own.mean()) / max(own.std(), 1e-9)
    terms, before, now = np.empty(_TERMS), np.ones(_GRID), z.copy()
    for k in range(1, _TERMS + 1):  # orthonormal polynomials, by their recursion
        terms[k - 1] = (own * now).mean()
        before, now = now, (z * now - np.sqrt(k) * before) / np.sqrt(k + 1)
    return terms


def _untied(correlation: Floats, series: Floats) -> Floats:
    """Correlations of the deviates that show as these correlations of the scores."""
    low = np.full(correlation.shape, -_NEAREST)
    high = -low
    powers = np.arange(1, series.shape[1] + 1)
    for _ in range(20):
        middle = (low + high) / 2
        shown = np.zeros_like(middle)
        power = np.ones_like(middle)
        for k in range(len(powers)):
            power = power * middle
            shown += np.outer(series[:, k], series[:, k]) * power
        below = shown < correlation
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found: Floats = np.where(np.isnan(correlation), 0.0, (low + high) / 2)
    return found


def _centred(
    names: list[tuple[str, str]], shifts: Floats, shares: Mapping[str, Mapping[str, float]]
) -> Floats:
    """Shifts whose mean over the training patients is 0, by feature."""
    centred = shifts.copy()
    for name, levels in shares.items():
        at = [names.index((name, level)) for level in levels]
        share = np.array(list(levels.values()))
        centred[at] -= share @ shifts[at] / max(share.sum(), 1e-12)
    return centred


def _proper(covariance: Floats, variances: Floats) -> Floats:
    """Nearest covariance without a vanishing eigenvalue, of these variances."""
    if not covariance.size:
        return covariance
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    raised = (vectors * np.maximum(values, _SMALLEST)) @ vectors.T
    scale = np.sqrt(variances / np.diag(raised))
    proper: Floats = raised * np.outer(scale, scale)
    return proper

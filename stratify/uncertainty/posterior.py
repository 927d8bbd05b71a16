"""Linear posterior: what training leaves open about each effect, and what is not measured.

Trees and ridge penalties shrink towards no effect, and bootstrap samples shrink alike, so that the
spread of an ensemble's members misses most of its error. Here each effect has a normal prior whose
spread is learned from the training patients; what they hardly inform stays wide. A feature
that was not measured adds the variance of what it could have added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Floats
from stratify.model.columns import FeatureColumns, codes_of
from stratify.uncertainty.normal_scores import NormalScores

__all__ = ["LinearPosterior"]


# Log variances of the prior of a coefficient, each as likely as another before the data.
_LOG_PRIOR_VARIANCES = np.linspace(-9.0, 1.0, 21)
_DIGITS = 7
_PAIRS = 20  # patients with both features, below which two features count as unrelated


@dataclass(frozen=True)
class LinearPosterior:
    """Bayesian logistic regression on normal scores and levels, Laplace's approximation.

    Attributes
    ----------
    numbers : NormalScores
        Of all features but the categorical ones; a missing number counts as the median.
    shares : dict of str to dict of str to float
        By categorical feature: share of each level among the training patients, the centre of its
        indicator; a missing or unseen level counts as the centre.
    coefficients : list of float
        Log-odds: intercept, numbers, levels in the order of `shares`.
    covariance : list of list of float
        Posterior covariance of the coefficients.
    unmeasured : list of list of float
        Covariance, over patients, of what each number or level adds to the log-odds; summed over
        those not measured, it is the variance that they leave.

    References
    ----------
    MacKay DJC. Neural Comput 1992;4:720-736 (evidence of the prior's spread, and Laplace's
    approximation for classification).
    """

    numbers: NormalScores
    shares: dict[str, dict[str, float]]
    coefficients: list[float]
    covariance: list[list[float]]
    unmeasured: list[list[float]]

    @classmethod
    def fit(
        cls,
        matrix: pd.DataFrame,
        levels: Mapping[str, Sequence[str]],
        label: Floats,
        weight: Floats | None = None,
    ) -> LinearPosterior:
        """Fit on training patients, averaged over the prior's spread by its evidence.

        Parameters
        ----------
        matrix : DataFrame of shape (n_patients, n_features)
            As :func:`stratify.cohort.features.model_matrix`.
        label : ndarray of shape (n_patients,)
            1 or 0, both present.
        weight : ndarray of shape (n_patients,), optional

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> matrix = pd.DataFrame({"albumin": rng.normal(4, 0.4, 200)})
        >>> risk = 1 / (1 + np.exp(3 * (matrix["albumin"].to_numpy() - 4)))
        >>> label = (rng.random(200) < risk).astype(float)
        >>> posterior = LinearPosterior.fit(matrix, {}, label)
        >>> mean, variance = posterior.margin(pd.DataFrame({"albumin": [4.0, 5.5]}))
        >>> bool(mean[0] > mean[1]), bool(variance[0] < variance[1])
        (True, True)
        """
        numbers = NormalScores.fit(matrix, [n for n in matrix.columns if n not in levels])
        shares = {
            name: {
                level: round(float((matrix[name].dropna().astype(str) == level).mean()), 4)
                for level in sorted(known)
            }
            for name, known in sorted(levels.items())
        }
        known = _design(matrix, numbers, _indicators(shares))
        design = np.nan_to_num(known)
        weights = np.ones(len(label)) if weight is None else weight

        coefficients, covariance = _averaged(design, label, weights)
        between = pd.DataFrame(known).cov(min_periods=_PAIRS).fillna(0).to_numpy()
        unmeasured = between * (np.outer(coefficients, coefficients) + covariance)
        return cls(
            numbers,
            shares,
            coefficients.round(_DIGITS).tolist(),
            covariance.round(_DIGITS).tolist(),
            unmeasured.round(_DIGITS).tolist(),
        )

    def margin(self, matrix: pd.DataFrame | FeatureColumns) -> tuple[Floats, Floats]:
        """Mean and variance of each patient's log-odds, given what is measured.

        Parameters
        ----------
        matrix : DataFrame of shape (n_patients, n_features)

        Returns
        -------
        mean, variance : ndarray of shape (n_patients,)
        """
        known = self._design(matrix)
        gaps = np.isnan(known)
        missing, design = gaps.astype(float), np.where(gaps, 0.0, known)
        coefficients, covariance, unmeasured = self._arrays
        mean: Floats = (design * coefficients).sum(axis=1)
        variance: Floats = np.maximum(_forms(design, covariance), 0)
        variance += np.maximum(_forms(missing, unmeasured), 0)
        return mean, variance

    def change(
        self, before: pd.DataFrame | FeatureColumns, after: pd.DataFrame | FeatureColumns
    ) -> tuple[Floats, Floats]:
        """Mean and variance of how each patient's log-odds differ between two sets of values.

        What the two have in common cancels out; a value that is not measured counts as the centre.

        Parameters
        ----------
        before, after : DataFrame of shape (n_patients, n_features)

        Returns
        -------
        mean, variance : ndarray of shape (n_patients,)
        """
        there, here = (np.nan_to_num(self._design(matrix)) for matrix in (before, after))
        coefficients, covariance, _ = self._arrays
        mean: Floats = ((here - there) * coefficients).sum(axis=1)
        return mean, np.maximum(_forms(here - there, covariance), 0)

    def drawn_differences(
        self, matrix: pd.DataFrame, draws: int, rng: np.random.Generator
    ) -> Iterator[Floats]:
        """By how much each feature's contribution would differ with other effects, draw by draw.

        Parameters
        ----------
        matrix : DataFrame of shape (n_patients, n_features)

        Yields
        ------
        ndarray of shape (n_patients, n_features)
            Log-odds, features as columns of `matrix`; 0 where a value is not measured.
        """
        design = np.nan_to_num(self._design(matrix))
        values, vectors = np.linalg.eigh(self._arrays[1])
        half = vectors * np.sqrt(np.maximum(values, 0))
        names = ["", *self.numbers.knots]
        names += [name for name, levels in self.shares.items() for _ in levels]
        place = {name: j for j, name in enumerate(matrix.columns)}
        sums = np.zeros((len(names), len(place)))  # of the levels of a feature
        for k, name in enumerate(names):
            if name in place:
                sums[k, place[name]] = 1
        for off in rng.standard_normal((draws, len(half))) @ half.T:
            yield (design * off) @ sums

    def _design(self, matrix: pd.DataFrame | FeatureColumns) -> Floats:
        return _design(matrix, self.numbers, self._indicators)

    @cached_property
    def _indicators(self) -> list[_Indicators]:
        return _indicators(self.shares)

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats, Floats]:
        return np.array(self.coefficients), np.array(self.covariance), np.array(self.unmeasured)


# Name, levels, their codes, and the centres of their indicators.
_Indicators = tuple[str, tuple[str, ...], npt.NDArray[np.int_], Floats]


def _indicators(shares: Mapping[str, Mapping[str, float]]) -> list[_Indicators]:
    return [
        (name, tuple(known), np.arange(len(known)), np.array(list(known.values()), dtype=float))
        for name, known in shares.items()
    ]


def _design(
    matrix: pd.DataFrame | FeatureColumns,
    numbers: NormalScores,
    indicators: Sequence[_Indicators],
) -> Floats:
    """Intercept, normal scores, centred indicators; NaN where missing or never seen."""
    columns = [np.ones((len(matrix), 1)), numbers(matrix)]
    for name, known, places, centres in indicators:
        level = codes_of(matrix, name, known)[:, None]
        columns.append(np.where(np.isnan(level), np.nan, (level == places) - centres))
    return np.concatenate(columns, axis=1)


def _forms(rows: Floats, matrix: Floats) -> Floats:
    """Quadratic form of the matrix by row, the same to the last bit whatever the other rows."""
    half = np.einsum("ij,jk->ik", rows, matrix)
    forms: Floats = np.einsum("ik,ik->i", half, rows)
    return forms


def _averaged(design: Floats, label: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance over the prior's spreads, each as much as its evidence.

    One spread alone, the likeliest, would be taken as known, and intervals come out too narrow.
    """
    fits = [_fitted(design, label, weight, float(np.exp(v))) for v in _LOG_PRIOR_VARIANCES]
    evidence = np.array([log_evidence for *_, log_evidence in fits])
    share = np.exp(evidence - evidence.max())
    share /= share.sum()
    modes = np.array([mode for mode, *_ in fits])
    mean: Floats = share @ modes
    off = modes - mean
    within = sum(
        w * np.linalg.inv(precision) for w, (_, precision, _) in zip(share, fits, strict=True)
    )
    return mean, within + (off * share[:, None]).T @ off


def _fitted(
    design: Floats, label: Floats, weight: Floats, prior_variance: float
) -> tuple[Floats, Floats, float]:
    """Mode, precision there, and log evidence of the prior (up to a constant)."""
    from scipy.special import expit

    prior = np.full(design.shape[1], 1 / prior_variance)
    prior[0] = 1e-6  # the intercept is free
    theta = np.zeros(design.shape[1])
    for _ in range(50):
        risk = expit(design @ theta)
        slope = design.T @ (weight * (label - risk)) - prior * theta
        precision = (design * (weight * risk * (1 - risk))[:, None]).T @ design + np.diag(prior)
        step = np.linalg.solve(precision, slope)
        theta = theta + step / max(1.0, float(np.abs(step).max()))  # no step beyond 1 log-odds
        if np.abs(step).max() < 1e-8:
            break
    margin = design @ theta
    likelihood = float(weight @ (label * margin - np.logaddexp(0, margin)))
    determinant = float(np.linalg.slogdet(precision)[1])
    penalty = float(prior @ theta**2) + determinant - float(np.log(prior).sum())
    return theta, precision, likelihood - penalty / 2

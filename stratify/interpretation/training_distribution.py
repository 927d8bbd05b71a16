"""What the training patients looked like, as far as a bundle knows: draws of unmeasured features.

A Gaussian copula on the normal scores that :mod:`stratify.doubt` keeps: quantiles of each feature,
correlations of their normal scores, shares of levels. No training patient is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.doubt.normal_scores import NormalScores
from stratify.doubt.uncertainty import Uncertainty
from stratify.tables.schema import known_field

__all__ = ["TrainingDistribution"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrainingDistribution:
    """Joint distribution of the features over the training patients.

    Attributes
    ----------
    numbers : NormalScores
    correlation : ndarray of shape (n_numbers, n_numbers)
        Of the normal scores, in the order of `numbers`.
    shares : mapping of str to mapping of str to float
        Share of each level by categorical feature; levels are drawn independently of all else.

    References
    ----------
    Hoff PD. Ann Appl Stat 2007;1:265-283 (Gaussian copula of normal scores for missing values).
    """

    numbers: NormalScores
    correlation: Floats
    shares: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, uncertainty: Uncertainty) -> TrainingDistribution:
        """Take what a bundle keeps of its training patients."""
        known = uncertainty.applicability
        n = len(known.numbers.knots)
        correlation = np.array(known.correlation, dtype=float).reshape(n, n)
        return cls(known.numbers, correlation, uncertainty.posterior.shares)

    def median(self, feature: str) -> float:
        """Training median of a number, NaN where it is not known."""
        if not self.numbers.knots.get(feature, ([], []))[0]:
            return float("nan")
        return float(_values(self.numbers, feature, np.zeros(1))[0])

    def draw(
        self, patient: pd.DataFrame, features: list[str], n: int, rng: np.random.Generator
    ) -> pd.DataFrame:
        """Draw values of unmeasured features given those that are measured.

        Parameters
        ----------
        patient : DataFrame of shape (1, n_features)
            As :func:`stratify.cohort.features.model_matrix`.
        features : list of str
            Features to draw; a number of which the bundle knows no two values stays missing.
        n : int
            Draws.
        rng : Generator

        Returns
        -------
        DataFrame of shape (n, n_features)
            The patient, `n` times, with the features drawn.
        """
        drawn = pd.DataFrame(
            {name: np.repeat(patient[name].to_numpy(), n) for name in patient.columns}
        )
        names = list(self.numbers.knots)
        told = [j for j, f in enumerate(names) if f in features and self.numbers.knots[f][0]]
        wanted = np.array(told, dtype=int)
        scores = self.numbers(patient)[0]
        given = np.flatnonzero(~np.isnan(scores) & ~np.isin(np.arange(len(names)), wanted))
        r = self.correlation
        if len(wanted):
            covariance, mean = r[np.ix_(wanted, wanted)], np.zeros(len(wanted))
            if len(given):
                weights = np.linalg.solve(r[np.ix_(given, given)], r[np.ix_(given, wanted)]).T
                mean = weights @ scores[given]
                covariance = covariance - weights @ r[np.ix_(given, wanted)]
            half = _half(covariance)
            z = mean + rng.standard_normal((n, len(wanted))) @ half.T
            for k, j in enumerate(wanted):
                drawn[names[j]] = _values(self.numbers, names[j], z[:, k])
        for name in features:
            if self.shares.get(name):
                levels = list(self.shares[name])
                share = np.array([self.shares[name][level] for level in levels])
                picked = rng.choice(np.array(levels, dtype=object), n, p=share / share.sum())
                drawn[name] = picked
        return drawn


def _half(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    half: Floats = vectors * np.sqrt(np.maximum(values, 0))
    return half


def _values(numbers: NormalScores, feature: str, scores: Floats) -> Floats:
    """Values of normal scores; counts and yes/no only take values that were seen."""
    field = known_field(feature)
    steps = len(numbers.knots[feature][0]) == 2 or (field is not None and field.type == "boolean")
    values = numbers.values(feature, scores, steps=steps)
    whole = field is not None and field.type == "integer"
    return np.round(values) if whole else values

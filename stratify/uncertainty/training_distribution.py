"""What the training patients looked like, as far as a bundle knows: draws of unmeasured features.

All that a patient lacks is drawn jointly: levels given the numbers that are measured, numbers
given those and the levels. No training patient is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Floats
from stratify.tables.schema import known_field
from stratify.uncertainty.joint_scores import JointScores
from stratify.uncertainty.normal_scores import NormalScores

__all__ = ["TrainingDistribution"]


_NOISE = 0.3  # variance by which a measured score is trusted less, so that copies do not add up
_SWEEPS = 5  # over several missing levels, each given the others


@dataclass(frozen=True)
class TrainingDistribution:
    """Joint distribution of the features over the training patients.

    Attributes
    ----------
    numbers : NormalScores
    joint : JointScores
    shares : mapping of str to mapping of str to float
        Share of each level by categorical feature.

    References
    ----------
    Little RJA, Schluchter MD. Biometrika 1985;72:497-512 (levels and numbers drawn jointly).
    Hoff PD. Ann Appl Stat 2007;1:265-283 (normal scores for missing values).
    """

    numbers: NormalScores
    joint: JointScores
    shares: Mapping[str, Mapping[str, float]]

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

        Returns
        -------
        DataFrame of shape (n, n_features)
            The patient, `n` times, with the features drawn.
        """
        drawn = pd.DataFrame(
            {name: np.repeat(patient[name].to_numpy(), n) for name in patient.columns}
        )
        names = list(self.numbers.knots)
        known = [j for j, f in enumerate(names) if f in features and self.numbers.knots[f][0]]
        wanted = np.array(known, dtype=int)
        scores = self.numbers(patient)[0]
        given = np.flatnonzero(~np.isnan(scores) & ~np.isin(np.arange(len(names)), wanted))
        levels, shifted = self._levels(patient, features, scores, given, n, rng)
        for name in features:
            if name in levels:
                stated = np.array(list(self.shares[name]), dtype=object)
                drawn[name] = stated[levels[name]]
        if len(wanted):
            r = self.joint.within
            covariance, mean = r[np.ix_(wanted, wanted)], shifted[:, wanted]
            if len(given):
                weights = np.linalg.solve(self._of(given), r[np.ix_(given, wanted)])
                mean = mean + (scores[given] - shifted[:, given]) @ weights
                covariance = covariance - weights.T @ r[np.ix_(given, wanted)]
            z = mean + rng.standard_normal((n, len(wanted))) @ _half(covariance).T
            for k, j in enumerate(wanted):
                drawn[names[j]] = _values(self.numbers, names[j], z[:, k])
        return drawn

    def _of(self, given: npt.NDArray[np.intp]) -> Floats:
        """Covariance of measured scores."""
        noise = _NOISE * np.eye(len(given))
        covariance: Floats = self.joint.within[np.ix_(given, given)] + noise
        return covariance

    def _levels(
        self,
        patient: pd.DataFrame,
        features: list[str],
        scores: Floats,
        given: npt.NDArray[np.intp],
        n: int,
        rng: np.random.Generator,
    ) -> tuple[dict[str, npt.NDArray[np.intp]], Floats]:
        """Codes of the levels that are not known, by draw, and the shift of every score by all."""
        shifted = np.zeros((n, len(scores)))
        unknown = []
        for name, share in self.shares.items():
            level = patient[name].iloc[0] if name in patient and name not in features else None
            if isinstance(level, str) and level in share:
                shifted += self.joint.shift(name)[list(share).index(level)]
            elif sum(share.values()) > 0:
                unknown.append(name)
        codes: dict[str, npt.NDArray[np.intp]] = {}
        for name in unknown:
            weight = np.array(list(self.shares[name].values()))
            codes[name] = rng.choice(len(weight), n, p=weight / weight.sum())
            shifted += self.joint.shift(name)[codes[name]]
        if not len(given):
            return codes, shifted
        precision = np.linalg.inv(self._of(given))
        for _ in range(_SWEEPS if len(unknown) > 1 else 1):
            for name in unknown:
                shift = self.joint.shift(name)
                shifted -= shift[codes[name]]
                rest, own = scores[given] - shifted[:, given], shift[:, given]
                weight = np.array(list(self.shares[name].values()))
                fit = rest @ precision @ own.T - np.einsum("ki,ij,kj->k", own, precision, own) / 2
                with np.errstate(divide="ignore"):
                    odds = fit + np.log(weight)
                likely = np.exp(odds - odds.max(axis=1, keepdims=True)).cumsum(axis=1)
                lot = rng.random((n, 1)) * likely[:, -1:]
                codes[name] = (likely < lot).sum(axis=1)
                shifted += shift[codes[name]]
        return codes, shifted


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

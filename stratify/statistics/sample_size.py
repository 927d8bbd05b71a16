"""How many patients a prediction model needs: the criteria of Riley for a binary outcome.

They are those of regression; more flexible models need more patients (van der Ploeg 2014,
10.1186/1471-2288-14-137), so that they are a lower bound for boosted trees.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, log
from statistics import NormalDist

import numpy as np
import pandas as pd

from stratify.errors import ArgumentError

__all__ = [
    "SampleSize",
    "candidate_parameters",
    "cox_snell_from_auroc",
    "cox_snell_maximum",
    "required_sample_size",
]

SHRINKAGE = 0.9
OPTIMISM = 0.05
MARGIN = 0.05
# Of its maximum, where no earlier model gives the explained variation (Riley 2020).
ANTICIPATED_SHARE = 0.15


@dataclass(frozen=True)
class SampleSize:
    """Patients needed by each criterion.

    Attributes
    ----------
    parameters : int
        Candidate predictor parameters.
    prevalence, cox_snell : float
        Share of patients with the event; anticipated Cox–Snell R².
    shrinkage, optimism, intercept : int
        Patients for a shrinkage of at least 0.9; for at most 0.05 between apparent and adjusted
        Nagelkerke R²; for the overall risk to within 0.05.
    """

    parameters: int
    prevalence: float
    cox_snell: float
    shrinkage: int
    optimism: int
    intercept: int

    @property
    def required(self) -> int:
        """Patients that meet every criterion."""
        return max(self.shrinkage, self.optimism, self.intercept)


def required_sample_size(
    parameters: int, prevalence: float, cox_snell: float | None = None
) -> SampleSize:
    """Compute the patients needed to develop a model of a binary outcome.

    Parameters
    ----------
    parameters : int
        Candidate predictor parameters, at least 1; see :func:`candidate_parameters`.
    prevalence : float
        Share of patients with the event, between 0 and 1.
    cox_snell : float, optional
        Anticipated Cox–Snell R² of the model, above 0 and below its maximum, for example by
        :func:`cox_snell_from_auroc`; by default 15 % of its maximum (Riley 2020).

    Raises
    ------
    ArgumentError
        If a number is outside its range.

    References
    ----------
    Riley RD et al. BMJ 2020;368:m441. Riley RD et al. Stat Med 2019;38:1276-1296.

    Examples
    --------
    >>> required_sample_size(24, 0.174, 0.288)  # Riley 2019, Chagas disease
    SampleSize(parameters=24, prevalence=0.174, cox_snell=0.288, shrinkage=623, optimism=662,
    intercept=221)
    >>> required_sample_size(30, 0.05, 0.05).required
    5249
    """
    if parameters < 1:
        raise ArgumentError(f"parameters is {parameters}; at least 1 is expected.")
    most = cox_snell_maximum(prevalence)
    anticipated = ANTICIPATED_SHARE * most if cox_snell is None else cox_snell
    if not 0 < anticipated < most:
        raise ArgumentError(
            f"cox_snell is {anticipated}; above 0 and below its maximum of {most:.3f} at this "
            "prevalence is expected."
        )
    if anticipated >= SHRINKAGE:
        raise ArgumentError(f"cox_snell is {anticipated}; below {SHRINKAGE} is expected.")
    shrinkage_for_optimism = anticipated / (anticipated + OPTIMISM * most)
    return SampleSize(
        parameters=parameters,
        prevalence=prevalence,
        cox_snell=anticipated,
        shrinkage=_for_shrinkage(parameters, anticipated, SHRINKAGE),
        optimism=_for_shrinkage(parameters, anticipated, shrinkage_for_optimism),
        intercept=ceil((1.96 / MARGIN) ** 2 * prevalence * (1 - prevalence)),
    )


def _for_shrinkage(parameters: int, cox_snell: float, shrinkage: float) -> int:
    return ceil(parameters / ((shrinkage - 1) * log(1 - cox_snell / shrinkage)))


def cox_snell_maximum(prevalence: float) -> float:
    """Compute the greatest Cox–Snell R² that a model can have at a prevalence between 0 and 1.

    References
    ----------
    Riley RD et al. Stat Med 2019;38:1276-1296, equation 23.

    Examples
    --------
    >>> round(cox_snell_maximum(0.05), 2), round(cox_snell_maximum(0.5), 2)
    (0.33, 0.75)
    """
    if not 0 < prevalence < 1:
        raise ArgumentError(f"prevalence is {prevalence}; a share between 0 and 1 is expected.")
    return 1 - exp(2 * (prevalence * log(prevalence) + (1 - prevalence) * log(1 - prevalence)))


def cox_snell_from_auroc(auroc: float, prevalence: float) -> float:
    """Compute the Cox–Snell R² of a calibrated model from its AUROC.

    The margins are taken as normal with equal variance in both classes. The published method
    simulates a million patients; here the same expectation is integrated.

    References
    ----------
    Riley RD, Van Calster B, Collins GS. Stat Med 2021;40:859-864.

    Examples
    --------
    >>> round(cox_snell_from_auroc(0.75, 0.15), 3)
    0.103
    """
    if not 0.5 < auroc < 1:
        raise ArgumentError(f"auroc is {auroc}; a number above 0.5 and below 1 is expected.")
    most = cox_snell_maximum(prevalence)
    distance = 2**0.5 * NormalDist().inv_cdf(auroc)
    points, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    # normal scores of equal variance: log-odds are linear in the score
    shift = log(prevalence / (1 - prevalence)) - distance**2 / 2
    events = -np.logaddexp(0, -(shift + distance * (points + distance)))
    others = -np.logaddexp(0, shift + distance * points)
    likelihood = prevalence * weights @ events + (1 - prevalence) * weights @ others
    return float(1 - (1 - most) * exp(-2 * likelihood))


def candidate_parameters(matrix: pd.DataFrame) -> int:
    """Count the parameters of a linear model: one a number, one less than its levels a category.

    Examples
    --------
    >>> candidate_parameters(pd.DataFrame({"age": [60.0, 70.0, 50.0],
    ...                                    "cancer_type": ["nsclc", "renal", "sclc"]}))
    3
    """
    return sum(
        1 if pd.api.types.is_numeric_dtype(column) else max(column.nunique() - 1, 1)
        for _, column in matrix.items()
    )

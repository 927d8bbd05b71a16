"""Recalibration on a small local cohort: intercept, or intercept and slope, of a model's log-odds.

How much is changed is decided by closed testing (Vergouwe 2017), so that a few patients do not
move a model that fits them: the model is kept unless intercept and slope jointly are
significantly off; the slope is changed only if that is significantly better than the intercept
alone. At least ten patients of the rarer label are asked for each number that is fitted (Peduzzi
1996).

References
----------
Vergouwe Y et al. Stat Med 2017;36:4529-4539 (closed testing; here without its last step, the
refitting of all effects). Steyerberg EW et al. Stat Med 2004;23:2567-2586 (parsimonious updating
in small samples). Peduzzi P et al. J Clin Epidemiol 1996;49:1373-1379.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stratify.arrays import Floats
from stratify.errors import CohortError
from stratify.statistics.calibration import (
    calibration_intercept,
    recalibration_line,
)
from stratify.statistics.intervals import Estimate, wald

__all__ = ["METHODS", "PER_NUMBER", "Recalibration", "rarer"]


METHODS = ("closed_test", "intercept", "intercept_slope")
PER_NUMBER = 10  # patients of the rarer label for each number fitted
_SIGNIFICANT, _LEVEL = 0.05, 0.95


@dataclass(frozen=True)
class Recalibration:
    """A straight line from the log-odds of a model to those of a cohort.

    Attributes
    ----------
    changed : {"none", "intercept", "intercept_slope"}
    intercept, slope : Estimate
        With 95 % intervals; 0 and 1, without width, where they were not changed.
    covariance : list of list of float
        Of intercept and slope.
    n, n_events : int
        Patients on whom it was fitted, and those with the label 1.
    """

    changed: str
    intercept: Estimate
    slope: Estimate
    covariance: list[list[float]]
    n: int
    n_events: int

    @classmethod
    def fit(cls, y: Floats, p: Floats, what: str = "closed_test") -> Recalibration:
        """Fit the line by maximum likelihood.

        Parameters
        ----------
        y : ndarray of shape (n_patients,)
            1 with the event, else 0; both present.
        p : ndarray of shape (n_patients,)
            Risks between 0 and 1 by the model.

        Examples
        --------
        >>> y = np.repeat([0.0, 1, 0, 1], [40, 10, 30, 20])
        >>> p = np.repeat([0.4, 0.6], 50)
        >>> line = Recalibration.fit(y, p)
        >>> line.changed, round(line.intercept.value, 2), line.risk(p)[[0, 99]].round(2).tolist()
        ('intercept', -0.88, [0.22, 0.38])
        """
        logit = np.log(p) - np.log1p(-p)
        lines = {"intercept": _intercept_only(y, p)}
        coefficients, covariance = recalibration_line(y, logit)
        if rarer(y) >= 2 * PER_NUMBER and np.isfinite(coefficients).all():
            lines["intercept_slope"] = (*coefficients, covariance)
        if what == "closed_test":
            what = _closed_test(y, logit, lines)
        if what == "none":
            return cls(what, Estimate(0, 0, 0), Estimate(1, 1, 1), [[0, 0], [0, 0]], *_counts(y))
        if what not in lines:
            raise CohortError(
                "A slope cannot be fitted: the label separates the risks, or fewer than "
                f"{2 * PER_NUMBER} patients have the rarer one. Recalibrate the intercept only."
            )
        intercept, slope, covariance = lines[what]
        errors = np.sqrt(np.diag(covariance))
        return cls(
            what,
            wald(intercept, errors[0], _LEVEL),
            wald(slope, errors[1], _LEVEL),
            covariance.tolist(),
            *_counts(y),
        )

    def __call__(self, logit: Floats) -> Floats:
        """Recalibrated log-odds."""
        return self.intercept.value + self.slope.value * logit

    def original(self, logit: Floats) -> Floats:
        """Log-odds before recalibration; the inverse of calling."""
        return (logit - self.intercept.value) / self.slope.value

    def variance(self, logit: Floats) -> Floats:
        """Variance of the recalibrated log-odds, from that of the line, by the original ones."""
        (first, both), (_, second) = self.covariance
        return first + 2 * both * logit + second * logit**2

    def risk(self, p: Floats) -> Floats:
        """Recalibrated risks of risks from 0 to 1."""
        from scipy.special import expit, logit

        risk: Floats = expit(self(logit(p)))
        return risk

    def to_json(self) -> dict[str, Any]:
        """Plain data for the card."""
        return asdict(self) | {"intercept": [*self.intercept], "slope": [*self.slope]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Recalibration:
        """Inverse of :meth:`to_json`; other keys are left aside."""
        return cls(
            document["changed"],
            Estimate(*document["intercept"]),
            Estimate(*document["slope"]),
            document["covariance"],
            document["n"],
            document["n_events"],
        )


def rarer(y: Floats) -> int:
    """Patients of the rarer label."""
    return int(min(y.sum(), len(y) - y.sum()))


def _counts(y: Floats) -> tuple[int, int]:
    return len(y), int(y.sum())


def _intercept_only(y: Floats, p: Floats) -> tuple[float, float, Floats]:
    shift = calibration_intercept(y, p).value
    risk = 1 / (1 + (1 - p) / p * np.exp(-shift))
    return shift, 1.0, np.array([[1 / float((risk * (1 - risk)).sum()), 0.0], [0.0, 0.0]])


def _closed_test(y: Floats, logit: Floats, lines: Mapping[str, tuple[float, float, Floats]]) -> str:
    """Least change that no more extensive one improves on significantly."""
    from scipy.stats import chi2

    def likelihood(intercept: float, slope: float) -> float:
        margin = intercept + slope * logit
        return float((y * margin - np.logaddexp(0, margin)).sum())

    most = "intercept_slope" if "intercept_slope" in lines else "intercept"
    best = likelihood(*lines[most][:2])
    numbers = 2 if most == "intercept_slope" else 1
    if chi2.sf(2 * (best - likelihood(0, 1)), numbers) >= _SIGNIFICANT:
        return "none"
    if chi2.sf(2 * (best - likelihood(*lines["intercept"][:2])), 1) >= _SIGNIFICANT:
        return "intercept"
    return most

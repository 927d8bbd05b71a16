"""Estimates with their two-sided intervals: Wald's, Wilson's, and of a weighted mean."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stratify.arrays import Floats
from stratify.errors import ArgumentError

__all__ = [
    "UNDEFINED",
    "Estimate",
    "log_odds",
    "mean_interval",
    "normal_quantile",
    "standard_error",
    "wald",
    "weighted_mean",
    "wilson",
    "wilson_limits",
]


class Estimate(NamedTuple):
    """A value with the limits of its two-sided interval, on the scale of the metric.

    Examples
    --------
    >>> Estimate(0.7, 0.6, 0.8).low
    0.6
    """

    value: float
    low: float
    high: float


UNDEFINED = Estimate(np.nan, np.nan, np.nan)


def normal_quantile(level: float) -> float:
    """Half-width, in standard errors, of a two-sided interval of a coverage between 0 and 1.

    Examples
    --------
    >>> round(normal_quantile(0.95), 2)
    1.96
    """
    if not 0 < level < 1:
        message = f"level is {level}; expected a coverage between 0 and 1, such as 0.95."
        raise ArgumentError(message)
    return NormalDist().inv_cdf(0.5 + level / 2)


def wald(
    value: float, error: float, level: float, low: float = -np.inf, high: float = np.inf
) -> Estimate:
    """Value with the interval of its standard error, clipped to ``[low, high]``.

    Examples
    --------
    >>> wald(0.9, 0.1, 0.95, high=1).high
    1.0
    """
    half = normal_quantile(level) * error
    limits = np.clip([value - half, value + half], low, high)
    return Estimate(float(value), float(limits[0]), float(limits[1]))


def standard_error(values: Floats) -> float:
    """Return the standard error of a mean; NaN for a single value."""
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else np.nan


def mean_interval(
    values: Floats, level: float, low: float = -np.inf, high: float = np.inf
) -> Estimate:
    """Mean of independent values with its Wald interval, clipped to ``[low, high]``."""
    return wald(float(values.mean()), standard_error(values), level, low, high)


def weighted_mean(values: ArrayLike, errors: ArrayLike, weight: ArrayLike) -> tuple[float, float]:
    """Mean of independent estimates, weighted, and its standard error.

    Examples
    --------
    >>> weighted_mean([0.1, 0.2], [0.03, 0.04], [1, 1])
    (0.15000000000000002, 0.025)
    """
    share = np.asarray(weight, dtype=float)
    share = share / share.sum()
    error = np.sqrt(((share * np.asarray(errors, dtype=float)) ** 2).sum())
    return float(share @ np.asarray(values, dtype=float)), float(error)


def log_odds(p: Floats, clip: float) -> Floats:
    """Log-odds of probabilities, clipped to ``[clip, 1 - clip]`` so that 0 and 1 have some."""
    clipped = np.clip(p, clip, 1 - clip)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def wilson_limits(
    count: ArrayLike, total: ArrayLike, level: float
) -> tuple[Floats, Floats, Floats]:
    """Shares with their Wilson limits; NaN where nobody is in the denominator.

    References
    ----------
    Wilson EB. J Am Stat Assoc 1927;22:209-212.
    """
    counts, totals = np.broadcast_arrays(np.asarray(count, float), np.asarray(total, float))
    totals = np.where(totals > 0, totals, np.nan)
    share, square = counts / totals, normal_quantile(level) ** 2
    centre = (counts + square / 2) / (totals + square)
    half = np.sqrt(square * (totals * share * (1 - share) + square / 4)) / (totals + square)
    # Rounding may leave a share of 0 or 1 just outside its own limits.
    low, high = np.minimum(centre - half, share), np.maximum(centre + half, share)
    return share, np.clip(low, 0, 1), np.clip(high, 0, 1)


def wilson(count: float, total: float, level: float) -> Estimate:
    """One share with its Wilson interval, as :func:`wilson_limits`.

    Examples
    --------
    >>> round(wilson(10, 20, 0.95).low, 3)
    0.299
    """
    value, low, high = wilson_limits([count], [total], level)
    return Estimate(float(value[0]), float(low[0]), float(high[0]))

"""Whether predicted risks are right as probabilities; every number with its interval.

Conventions of arguments and errors: :mod:`stratify.statistics.discrimination`.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stratify.arrays import Floats
from stratify.errors import ArgumentError
from stratify.statistics.bootstrap import percentile_interval, resamples
from stratify.statistics.checks import check_both_classes, checked
from stratify.statistics.intervals import (
    UNDEFINED,
    Estimate,
    log_odds,
    mean_interval,
    normal_quantile,
    wald,
    wilson,
    wilson_limits,
)

__all__ = [
    "brier",
    "brier_skill",
    "calibration_curve",
    "calibration_intercept",
    "calibration_slope",
    "delta_brier",
    "mean_observed",
    "mean_predicted",
    "recalibration_line",
]

_CLIP = 1e-6


def brier(y: ArrayLike, p: ArrayLike, level: float = 0.95) -> Estimate:
    """Brier score: the mean squared error of the probability; Wald interval clipped to [0, 1].

    References
    ----------
    Brier GW. Mon Weather Rev 1950;78:1-3. Bradley AA et al. Weather Forecast 2008;23:992-1006.

    Examples
    --------
    >>> brier([0, 1], [0.5, 0.5]).value
    0.25
    """
    truth, risk = checked(("y", y, "binary"), ("p", p, "probability"))
    squares = (risk - truth) ** 2
    return mean_interval(squares, level, 0, 1)


def delta_brier(y: ArrayLike, p_a: ArrayLike, p_b: ArrayLike, level: float = 0.95) -> Estimate:
    """Brier score of `p_a` minus that of `p_b`, paired Wald interval; below 0 favours `p_a`.

    References
    ----------
    Bradley AA et al. Weather Forecast 2008;23:992-1006 (per-patient variance).

    Examples
    --------
    >>> delta_brier([0, 1], [0.0, 1.0], [0.5, 0.5]).value
    -0.25
    """
    truth, first, second = checked(
        ("y", y, "binary"), ("p_a", p_a, "probability"), ("p_b", p_b, "probability")
    )
    gaps = (first - truth) ** 2 - (second - truth) ** 2
    return mean_interval(gaps, level, -1, 1)


def brier_skill(y: ArrayLike, p: ArrayLike, level: float = 0.95) -> Estimate:
    """Brier skill, 1 - Brier / (prevalence (1 - prevalence)): 1 perfect, 0 no better than it.

    The prevalence is the observed one. Percentile interval of 1000 bootstrap samples of patients,
    fixed seed, whatever the order of rows; one-class samples are left out. Needs both classes.

    References
    ----------
    Steyerberg EW et al. Epidemiology 2010;21:128-138 (scaled Brier score).

    Examples
    --------
    >>> brier_skill([0, 1], [0.5, 0.5]).value
    0.0
    """
    truth, risk = checked(("y", y, "binary"), ("p", p, "probability"))
    check_both_classes(truth)
    normal_quantile(level)
    order = np.lexsort((truth, risk))
    columns = np.column_stack([truth, (risk - truth) ** 2])[order]

    def skill(weights: Floats) -> Floats:
        prevalence, squares = (weights @ columns / truth.size).T
        spread = prevalence * (1 - prevalence)
        gains: Floats = 1 - squares / np.where(spread > 0, spread, np.nan)
        return gains

    value = float(1 - columns[:, 1].mean() / (truth.mean() * (1 - truth.mean())))
    return percentile_interval(value, [skill(block) for block in resamples(truth.size)], level)


def calibration_intercept(y: ArrayLike, p: ArrayLike, level: float = 0.95) -> Estimate:
    """Calibration in the large: log-odds to add to every prediction; 0 is perfect.

    Maximum likelihood of the logistic model with logit(p) as offset, p clipped to
    [1e-6, 1 - 1e-6]; Wald interval. Above 0, risks are predicted too low. NaN for one class.

    References
    ----------
    Cox DR. Biometrika 1958;45:562-565. Van Calster B et al. BMC Med 2019;17:230.

    Examples
    --------
    >>> round(calibration_intercept([0, 0, 0, 1], [0.5, 0.5, 0.5, 0.5]).value, 4)
    -1.0986
    """
    from scipy.optimize import brentq
    from scipy.special import expit

    truth, risk = checked(("y", y, "binary"), ("p", p, "probability"))
    normal_quantile(level)
    if truth.sum() in (0, truth.size):
        return UNDEFINED
    offset = log_odds(risk, _CLIP)
    # The score falls with the shift, so bisection finds its one root where least squares
    # reweighted diverges on confident and wrong predictions.
    bound = float(np.abs(offset).max() + np.log(truth.size) + 1)
    shift = float(brentq(lambda a: (truth - expit(offset + a)).sum(), -bound, bound, xtol=1e-10))
    fitted = expit(offset + shift)
    return wald(shift, float((fitted * (1 - fitted)).sum() ** -0.5), level)


def calibration_slope(y: ArrayLike, p: ArrayLike, level: float = 0.95) -> Estimate:
    """Calibration slope: coefficient of logit(p) in a logistic model of y; 1 is perfect.

    Maximum likelihood, p clipped to [1e-6, 1 - 1e-6]; Wald interval. Below 1, risks are too
    extreme. NaN where no maximum exists: one class, classes separated by `p`, `p` constant.

    References
    ----------
    Cox DR. Biometrika 1958;45:562-565. Albert A, Anderson JA. Biometrika 1984;71:1-10.

    Examples
    --------
    >>> round(calibration_slope([0, 1, 0, 1, 1], [0.2, 0.3, 0.5, 0.6, 0.9]).value, 3)
    1.244
    """
    truth, risk = checked(("y", y, "binary"), ("p", p, "probability"))
    normal_quantile(level)
    coefficients, covariance = recalibration_line(truth, log_odds(risk, _CLIP))
    return wald(float(coefficients[1]), float(covariance[1, 1] ** 0.5), level)


def recalibration_line(y: Floats, logit: Floats) -> tuple[Floats, Floats]:
    """Intercept and slope of the logistic model of y on the log-odds predicted.

    Returns
    -------
    coefficients : ndarray of shape (2,)
        NaN where no maximum of the likelihood exists, as stated in :func:`calibration_slope`.
    covariance : ndarray of shape (2, 2)

    References
    ----------
    Cox DR. Biometrika 1958;45:562-565. Albert A, Anderson JA. Biometrika 1984;71:1-10.

    Examples
    --------
    >>> y, logit = np.array([0.0, 0, 1, 0, 1, 1]), np.array([-1, 0, -0.5, 0.5, 0.3, 1])
    >>> recalibration_line(y, logit)[0].round(2).tolist()
    [-0.06, 1.09]
    """
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    undefined = np.full(2, np.nan), np.full((2, 2), np.nan)
    events, others = logit[y == 1], logit[y == 0]
    if not (events.size and others.size):
        return undefined
    if events.min() >= others.max() or events.max() <= others.min():
        return undefined
    design = np.column_stack([np.ones(y.size), logit])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = GLM(y, design, family=Binomial()).fit(maxiter=100)
    # Reweighted least squares can call a divergence converged: only a zero score is a maximum.
    if not np.abs(design.T @ (y - fit.fittedvalues)).max() < 1e-6 * y.size:
        return undefined
    return np.asarray(fit.params), np.asarray(fit.cov_params())


def mean_predicted(p: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean predicted probability; Wald interval of the mean, clipped to [0, 1].

    References
    ----------
    Van Calster B et al. J Clin Epidemiol 2016;74:167-176 (mean calibration).

    Examples
    --------
    >>> mean_predicted([0.25, 0.75]).value
    0.5
    """
    (risk,) = checked(("p", p, "probability"))
    return mean_interval(risk, level, 0, 1)


def mean_observed(y: ArrayLike, level: float = 0.95) -> Estimate:
    """Share of patients with the event, Wilson interval.

    References
    ----------
    Wilson EB. J Am Stat Assoc 1927;22:209-212.

    Examples
    --------
    >>> mean_observed([0, 1]).value
    0.5
    """
    (truth,) = checked(("y", y, "binary"))
    return wilson(truth.sum(), truth.size, level)


def calibration_curve(
    y: ArrayLike, p: ArrayLike, n_bins: int = 10, level: float = 0.95
) -> pd.DataFrame:
    """Mean predicted against observed probability in quantile bins of `p`.

    Columns mean_predicted, mean_observed, low, high (Wilson limits of the observed share), n,
    n_events; one row per bin, lowest first. Equal `p` share a bin, so bins may be fewer.

    References
    ----------
    Van Calster B et al. J Clin Epidemiol 2016;74:167-176.

    Examples
    --------
    >>> calibration_curve([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.8], n_bins=2)["n_events"].tolist()
    [0, 2]
    """
    truth, risk = checked(("y", y, "binary"), ("p", p, "probability"))
    if n_bins < 1:
        message = f"n_bins is {n_bins}; expected 1 or more, such as 10."
        raise ArgumentError(message)
    edges = np.unique(np.quantile(risk, np.linspace(0, 1, n_bins + 1)[1:-1]))
    codes = np.unique(np.searchsorted(edges, risk), return_inverse=True)[1]
    n = np.bincount(codes)
    events = np.bincount(codes, weights=truth).astype(np.int64)
    observed, low, high = wilson_limits(events, n, level)
    return pd.DataFrame(
        {
            "mean_predicted": np.bincount(codes, weights=risk) / n,
            "mean_observed": observed,
            "low": low,
            "high": high,
            "n": n,
            "n_events": events,
        }
    )

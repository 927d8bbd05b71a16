"""Performance pooled over cohorts by random effects, with the interval for a cohort to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stratify.arrays import Floats
from stratify.errors import ArgumentError
from stratify.statistics.checks import checked
from stratify.statistics.intervals import normal_quantile

__all__ = ["META_ANALYSIS_COLUMNS", "Pooled", "pool_performance", "random_effects"]


META_ANALYSIS_COLUMNS = (
    *("model", "reference", "metric", "value", "low", "high", "prediction_low"),
    *("prediction_high", "tau", "weighted", "weighted_low", "weighted_high"),
    *("n_cohorts", "n", "n_events"),
)


class _Scale(NamedTuple):
    """Where a metric is about normal, the way back, and the slope of the way there."""

    there: Callable[[Floats], Floats]
    back: Callable[[float], float]
    slope: Callable[[Floats], Floats]


_PLAIN = _Scale(lambda x: x, lambda x: x, np.ones_like)
_LOG = _Scale(np.log, lambda x: float(np.exp(x)), lambda x: 1 / x)
_LOGIT = _Scale(
    lambda x: np.log(x / (1 - x)),
    lambda x: float(1 / (1 + np.exp(-x))),
    lambda x: 1 / (x * (1 - x)),
)
# Scales: Snell 2018; differences on their own.
_SCALES = {
    "auroc": _LOGIT,
    "observed_expected": _LOG,
    "calibration_slope": _PLAIN,
    "calibration_intercept": _PLAIN,
    "delta_auroc": _PLAIN,
    "delta_brier": _PLAIN,
}


class Pooled(NamedTuple):
    """Mean over cohorts with the limits of its interval, and what a new cohort would show.

    The prediction interval is for the true value of a new cohort, NaN for fewer than 3 cohorts;
    ``tau`` is the standard deviation between cohorts, NaN for one.
    """

    value: float
    low: float
    high: float
    prediction_low: float
    prediction_high: float
    tau: float


def random_effects(estimates: ArrayLike, errors: ArrayLike, level: float = 0.95) -> Pooled:
    """Pool estimates of independent cohorts by a random-effects meta-analysis.

    Parameters
    ----------
    estimates : array_like of shape (n_cohorts,)
        On a scale where they are about normal.
    errors : array_like of shape (n_cohorts,)
        Standard errors, above 0.
    level : float
        Coverage of both intervals.

    Returns
    -------
    Pooled
        Between-cohort variance by restricted maximum likelihood; interval of the mean by Hartung,
        Knapp, Sidik and Jonkman, never narrower than without them; prediction interval by the t
        distribution with two degrees of freedom less than cohorts, which covers too little where
        cohorts are few (about 90 % for 8; Partlett and Riley 2017).

    Raises
    ------
    ArgumentError
        If there is no cohort, the lengths differ or a value is not finite, or an error not above 0.

    References
    ----------
    Debray TPA et al. BMJ 2017;356:i6460. IntHout J et al. BMC Med Res Methodol 2014;14:25 (HKSJ).
    Röver C et al. BMC Med Res Methodol 2015;15:99 (never narrower). Higgins JPT et al. J R Stat
    Soc A 2009;172:137-159 (prediction interval). Partlett C, Riley RD. Stat Med 2017;36:301-317.

    Examples
    --------
    >>> pooled = random_effects([0.8, 1.1, 0.6, 1.4], [0.1, 0.1, 0.2, 0.15])
    >>> round(pooled.value, 3), round(pooled.tau, 3)
    (0.986, 0.298)
    """
    from scipy.stats import t

    means, spread = checked(("estimates", estimates, "number"), ("errors", errors, "number"))
    z = normal_quantile(level)
    if (spread <= 0).any():
        raise ArgumentError(
            f"errors has {int((spread <= 0).sum())} of {spread.size} values that are not above 0; "
            "standard errors are expected: leave out cohorts without one."
        )
    k = means.size
    if k == 1:
        half = z * float(spread[0])
        value = float(means[0])
        return Pooled(value, value - half, value + half, np.nan, np.nan, np.nan)
    variance = _between(means, spread**2)
    weight = 1 / (spread**2 + variance)
    value = float(weight @ means / weight.sum())
    scatter = float(weight @ (means - value) ** 2 / (k - 1))
    error = np.sqrt(max(1.0, scatter) / weight.sum())
    tail = 0.5 + level / 2
    half = float(t.ppf(tail, k - 1) * error)
    reach = float(t.ppf(tail, k - 2) * np.sqrt(variance + error**2)) if k > 2 else np.nan
    return Pooled(value, value - half, value + half, value - reach, value + reach, variance**0.5)


def _between(means: Floats, variances: Floats) -> float:
    """Between-cohort variance of greatest restricted likelihood."""
    from scipy.optimize import minimize_scalar

    def loss(between: float) -> float:
        weight = 1 / (variances + between)
        residual = means - weight @ means / weight.sum()
        return float(-np.log(weight).sum() + np.log(weight.sum()) + weight @ residual**2)

    most = 10 * float(means.var()) + float(variances.max())
    found = minimize_scalar(
        loss, bounds=(0, most), method="bounded", options={"xatol": 1e-9 * most}
    )
    return float(found.x) if loss(float(found.x)) < loss(0.0) else 0.0


def pool_performance(performance: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Pool discrimination, calibration and differences of every model over cohorts.

    Parameters
    ----------
    performance : DataFrame
        As in the ``performance`` dictionary, one row a cohort, model, reference and metric; rows
        of other metrics are passed over, cohorts where a metric is undefined too.
    level : float
        Coverage of the intervals, and of those of `performance`.

    Returns
    -------
    DataFrame
        As in the ``meta_analysis`` dictionary. AUROC is pooled on the logit scale, O:E on the log
        scale, calibration slope and intercept and differences on their own. ``weighted`` is the
        mean of the same cohorts weighted by their patients, which speaks of these cohorts alone.
        Models may have been judged in different cohorts (``n_cohorts``); differences never were.

    Raises
    ------
    ArgumentError
        If a cohort has two rows of one metric, model and reference.

    References
    ----------
    Snell KIE et al. Stat Methods Med Res 2018;27:3505-3522 (scales).

    Examples
    --------
    >>> rows = pd.DataFrame({"cohort": ["a", "b"], "model": "stratify", "reference": "",
    ...                      "metric": "auroc", "value": [0.7, 0.75], "low": [0.6, 0.65],
    ...                      "high": [0.8, 0.85], "n": [100, 120], "n_events": [60, 70]})
    >>> pool_performance(rows)[["metric", "n_cohorts", "n"]].to_dict("records")
    [{'metric': 'auroc', 'n_cohorts': 2, 'n': 220}]
    """
    key = ["model", "reference", "metric"]
    rows = performance[performance["metric"].isin(list(_SCALES))]
    twice = int(rows.duplicated(["cohort", *key]).sum())
    if twice:
        raise ArgumentError(
            f"performance has {twice} rows of a cohort, model, reference and metric that are there "
            "already; choose one split and subgroup."
        )
    pooled, z = [], normal_quantile(level)
    for (model, reference, metric), cohorts in rows.groupby(key, sort=False):
        scale = _SCALES[str(metric)]
        value, low, high = (cohorts[name].to_numpy(float) for name in ("value", "low", "high"))
        with np.errstate(divide="ignore", invalid="ignore"):
            means = scale.there(value)
            errors = np.fmax(value - low, high - value) * scale.slope(value) / z
            if scale is _LOG:  # the interval is symmetric there
                errors = np.log(high / value) / z
        usable = np.isfinite(means) & np.isfinite(errors) & (errors > 0)
        if not usable.any():
            continue
        found = random_effects(means[usable], errors[usable], level)
        counts = cohorts[usable]
        share = counts["n"].to_numpy(float) / counts["n"].sum()
        weighted = float(share @ value[usable])
        half = float(np.sqrt(share**2 @ ((high - low)[usable] / 2) ** 2))
        pooled.append(
            (
                *(model, reference, metric),
                *(scale.back(limit) for limit in found[:5]),
                *(found.tau, weighted, weighted - half, weighted + half),
                *(len(counts), int(counts["n"].sum()), int(counts["n_events"].sum())),
            )
        )
    return pd.DataFrame(pooled, columns=list(META_ANALYSIS_COLUMNS))

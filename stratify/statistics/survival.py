"""Survival of groups of patients, compared, every number with its interval.

Conventions of arguments and errors: :mod:`stratify.statistics.discrimination`.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stratify.arrays import Floats
from stratify.errors import ArgumentError
from stratify.statistics.checks import checked
from stratify.statistics.discrimination import Counts
from stratify.statistics.intervals import UNDEFINED, Estimate, normal_quantile

__all__ = [
    "censoring_weights",
    "hazard_ratio",
    "hazard_ratio_per_sd",
    "log_rank",
    "survival_by_group",
]


def hazard_ratio(
    time: ArrayLike, event: ArrayLike, group_indicator: ArrayLike, level: float = 0.95
) -> Estimate:
    """Cox hazard ratio of group 1 against group 0, ties after Efron, Wald interval on the log.

    NaN where the likelihood has no maximum (no events, or none in one group). Raises
    ``ArgumentError`` when a group is empty. Seconds above 10,000 patients.

    References
    ----------
    Cox DR. J R Stat Soc B 1972;34:187-220. Efron B. J Am Stat Assoc 1977;72:557-565.

    Examples
    --------
    >>> round(hazard_ratio([1, 2, 3, 4], [1, 1, 1, 1], [1, 0, 1, 0]).value, 3)
    2.562
    """
    times, events, indicator = checked(
        ("time", time, "time"),
        ("event", event, "binary"),
        ("group_indicator", group_indicator, "binary"),
    )
    normal_quantile(level)
    _two_groups("group_indicator", len(np.unique(indicator)))
    return _cox(times, events, indicator, level)


def hazard_ratio_per_sd(
    time: ArrayLike, event: ArrayLike, score: ArrayLike, level: float = 0.95
) -> Estimate:
    """Cox hazard ratio of one standard deviation of a score, ties after Efron.

    NaN where the likelihood has no maximum. Raises ``ArgumentError`` when all scores are equal.

    Examples
    --------
    >>> ratio = hazard_ratio_per_sd([1, 2, 3, 4, 5], [1, 1, 1, 1, 1], [5, 4, 3, 1, 2])
    >>> ratio.value > 1
    True
    """
    times, events, scores = checked(
        ("time", time, "time"), ("event", event, "binary"), ("score", score, "number")
    )
    normal_quantile(level)
    spread = float(scores.std())
    if spread == 0:
        raise ArgumentError("`score` has one value for all; scores that differ are expected.")
    return _cox(times, events, (scores - scores.mean()) / spread, level)


def _cox(times: Floats, events: Floats, indicator: Floats, level: float) -> Estimate:
    from statsmodels.duration.hazard_regression import PHReg

    if events.sum() == 0:
        return UNDEFINED
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            fit = PHReg(times, indicator[:, None], status=events, ties="efron").fit(disp=0)
        except np.linalg.LinAlgError:
            return UNDEFINED
    log_ratio, error = float(fit.params[0]), float(fit.bse[0])
    # Without a maximum the optimiser stops far out on a flat slope.
    if not (abs(log_ratio) < 15 and error < 100):
        return UNDEFINED
    half = normal_quantile(level) * error
    return Estimate(*(float(x) for x in np.exp([log_ratio, log_ratio - half, log_ratio + half])))


def log_rank(time: ArrayLike, event: ArrayLike, group: ArrayLike) -> float:
    """Two-sided p-value of the log-rank test that all groups share one survival curve.

    `group` holds labels, one per patient, at least two distinct ones (else ``ArgumentError``).
    NaN where nothing can be compared, for instance without events.

    References
    ----------
    Peto R, Peto J. J R Stat Soc A 1972;135:185-207.

    Examples
    --------
    >>> round(log_rank([1, 2, 3, 4], [1, 1, 1, 1], ["a", "a", "b", "b"]), 4)
    0.0896
    """
    times, events = checked(("time", time, "time"), ("event", event, "binary"))
    codes, labels = _groups(group, times.size)
    _two_groups("group", len(labels))
    return _log_rank(times, events, codes, len(labels))


def _log_rank(times: Floats, events: Floats, codes: Counts, k: int) -> float:
    from scipy.stats import chi2
    from statsmodels.duration.survfunc import survdiff

    try:
        statistic = survdiff(times, events, codes)[0]
    except np.linalg.LinAlgError:
        return float("nan")
    return float(chi2.sf(statistic, k - 1))


def _two_groups(name: str, found: int) -> None:
    if found < 2:
        message = f"{name} holds {found} group; expected at least two: add the patients to compare."
        raise ArgumentError(message)


def _groups(group: ArrayLike, n: int) -> tuple[Counts, list[object]]:
    """Return codes and labels, sorted, or in the order of the categories of a categorical."""
    categories = pd.Series(group).astype("category").cat.remove_unused_categories()
    codes = categories.cat.codes.to_numpy().astype(np.int64)
    if codes.size != n:
        message = (
            f"group has {codes.size} values where time has {n}; "
            "expected one per patient: pass the same patients in the same order."
        )
        raise ArgumentError(message)
    if (codes < 0).any():
        message = (
            f"group has {int((codes < 0).sum())} of {n} values missing; expected a label for each "
            "patient: mend them or leave those patients out of every array."
        )
        raise ArgumentError(message)
    return codes, list(categories.cat.categories)


def survival_by_group(
    time: ArrayLike, event: ArrayLike, group: ArrayLike, level: float = 0.95
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Kaplan-Meier curves per group, and a summary with medians, hazard ratios and log-rank.

    Groups are sorted by label; those of a categorical keep its order.

    Returns
    -------
    curves : pandas.DataFrame
        group, time, survival, low, high (log-log limits, NaN at survival 0), n_at_risk (just
        before the time): one row at time 0 and one per time of an event or of censoring.
    summary : pandas.DataFrame
        One row per group: group, n, n_events; median, median_low, median_high in the unit of
        `time`, NaN where not reached; hazard_ratio, hazard_ratio_low, hazard_ratio_high against
        the first group, pairwise as :func:`hazard_ratio`, NaN for the first itself; log_rank_p
        over all groups, the same in each row, NaN for one group.

    References
    ----------
    Kaplan EL, Meier P. J Am Stat Assoc 1958;53:457-481. Brookmeyer R, Crowley J. Biometrics
    1982;38:29-41 (limits of the median, here where the limits of the curve cross one half).

    Examples
    --------
    >>> curves, summary = survival_by_group([1, 2, 3, 4], [1, 1, 1, 0], ["a", "a", "b", "b"])
    >>> curves.loc[curves["group"] == "b", "survival"].tolist()
    [1.0, 0.5, 0.5]
    >>> summary["median"].tolist()
    [1.0, 3.0]
    """
    from statsmodels.duration.survfunc import SurvfuncRight

    times, events = checked(("time", time, "time"), ("event", event, "binary"))
    codes, labels = _groups(group, times.size)
    p_value = _log_rank(times, events, codes, len(labels)) if len(labels) > 1 else np.nan
    curves, summary, z = [], [], normal_quantile(level)
    for code, label in enumerate(labels):
        mine = codes == code
        with np.errstate(all="ignore"):
            fit = SurvfuncRight(times[mine], events[mine])
            alive = np.append(1.0, fit.surv_prob)
            half = z * np.append(0.0, fit.surv_prob_se) / np.abs(alive * np.log(alive))
            half[0] = 0.0
            low, high = alive ** np.exp(half), alive ** np.exp(-half)
        at = np.append(0.0, fit.surv_times)
        # censored times too: the curve is flat there but the number at risk falls
        every = np.union1d([0.0], times[mine])
        step = np.searchsorted(at, every, side="right") - 1
        curve = {"group": label, "time": every, "survival": alive[step], "low": low[step]}
        ordered = np.sort(times[mine])
        at_risk = ordered.size - np.searchsorted(ordered, every, side="left")
        curves.append(pd.DataFrame(curve | {"high": high[step], "n_at_risk": at_risk}))
        ratio = UNDEFINED
        if code > 0:
            pair = mine | (codes == 0)
            ratio = _cox(times[pair], events[pair], mine[pair].astype(np.float64), level)
        medians = [_first_half(at, line) for line in (alive, low, high)]
        counts = (int(mine.sum()), int(events[mine].sum()))
        summary.append((label, *counts, *medians, *ratio, p_value))
    columns = ["group", "n", "n_events", "median", "median_low", "median_high"]
    columns += ["hazard_ratio", "hazard_ratio_low", "hazard_ratio_high", "log_rank_p"]
    return pd.concat(curves, ignore_index=True), pd.DataFrame(summary, columns=columns)


def _first_half(times: Floats, survival: Floats) -> float:
    """Return the first time with survival of one half or less; NaN when it is not reached."""
    reached = np.flatnonzero(survival <= 0.5 + 1e-9)
    return float(times[reached[0]]) if reached.size else np.nan


def censoring_weights(time: ArrayLike, event: ArrayLike, horizon: float) -> Floats:
    """Inverse-probability-of-censoring weights for a label known at a horizon.

    A patient followed to the horizon, or with an event before, stands for those like them who
    were censored: the weight is one over the Kaplan-Meier probability of not being censored until
    then. Patients censored before the horizon have weight 0. Assumes that censoring does not
    depend on prognosis.

    Parameters
    ----------
    time, event : array-like of shape (n_patients,)
        Follow-up and whether it ended with the event (1) or was censored (0).

    Returns
    -------
    ndarray of shape (n_patients,)
        Weights that sum to about the number of patients.

    References
    ----------
    Robins JM, Finkelstein DM. Biometrics 2000;56:779-788; Graf E et al. Stat Med 1999;18:2529-2545.

    Examples
    --------
    >>> censoring_weights([2, 4, 9, 9], [1, 0, 0, 1], horizon=6).round(3).tolist()
    [1.0, 0.0, 1.5, 1.5]
    """
    times, events = checked(("time", time, "time"), ("event", event, "binary"))
    known = (events == 1) | (times >= horizon)
    reached = np.minimum(times, horizon)
    at, left = np.unique(times[events == 0], return_counts=True)
    ordered = np.sort(times)
    at_risk = ordered.size - np.searchsorted(ordered, at, side="left")
    # events come before censoring at the same time, so they are no longer at risk of it
    gone = np.searchsorted(np.sort(times[events == 1]), at, side="right") - np.searchsorted(
        np.sort(times[events == 1]), at, side="left"
    )
    uncensored = np.append(1.0, np.cumprod(1 - left / np.maximum(at_risk - gone, 1)))
    # just before: censoring at one's own time does not lower one's own chance
    probability = uncensored[np.searchsorted(at, reached, side="left")]
    return np.where(known, 1 / np.maximum(probability, 1e-6), 0.0)

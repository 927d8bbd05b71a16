"""Restricted mean survival time with censoring weights, as one number a patient.

Conventions of arguments and errors: :mod:`stratify.statistics.discrimination`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from stratify.arrays import Floats
from stratify.errors import ArgumentError
from stratify.statistics.checks import checked

__all__ = ["unbiased_times"]


def unbiased_times(time: ArrayLike, event: ArrayLike, horizon: float) -> Floats:
    """Time up to a horizon, transformed so that its mean is not biased by censoring.

    A patient known at the horizon counts by one over the probability of not being censored; a
    patient censored before counts by the mean of those like them who were followed on (augmented
    inverse probability of censoring weighting, both by Kaplan and Meier). The mean is the
    restricted mean survival time by Kaplan and Meier, the spread that of its influence function.
    Call it for each arm by itself; within an arm censoring must not depend on prognosis.

    Parameters
    ----------
    time, event : array_like of shape (n_patients,)
        Follow-up, and whether it ended with the event (1) or was censored (0).

    Returns
    -------
    ndarray of shape (n_patients,)
        In the unit of `time`; single values may lie below 0 or above the horizon.

    References
    ----------
    Rubin D, van der Laan MJ. Int J Biostat 2007;3:4 (doubly robust transformation). Robins JM,
    Rotnitzky A. 1992 (augmentation). Royston P, Parmar MKB. BMC Med Res Methodol 2013;13:152.

    Examples
    --------
    >>> unbiased_times([2, 4, 9, 9], [1, 0, 0, 1], horizon=6).round(3).tolist()
    [2.0, 6.0, 6.0, 6.0]
    """
    times, events = checked(("time", time, "time"), ("event", event, "binary"))
    if not horizon > 0:
        raise ArgumentError(f"horizon is {horizon}; a time above 0 is expected.")
    if not (times >= horizon).any() and not (times[events == 1].max(initial=0) == times.max()):
        raise ArgumentError(
            f"The longest follow-up is {times.max():.4g}, the horizon {horizon:g}: nobody was "
            "followed to it. Choose a nearer horizon."
        )
    reached = np.minimum(times, horizon)
    known = (events == 1) | (times >= horizon)
    ordered = np.sort(times)
    # survival: steps at events
    died, deaths = np.unique(times[(events == 1) & (times <= horizon)], return_counts=True)
    at_risk = times.size - np.searchsorted(ordered, died, side="left")
    survival = np.append(1.0, np.cumprod(1 - deaths / at_risk))
    # censoring before the horizon: events come before censoring at the same time
    left, counts = np.unique(times[(events == 0) & (times < horizon)], return_counts=True)
    if not left.size:
        return reached
    event_times = np.sort(times[events == 1])
    gone = np.searchsorted(event_times, left, side="right") - np.searchsorted(
        event_times, left, side="left"
    )
    exposed = times.size - np.searchsorted(ordered, left, side="left") - gone
    hazard = counts / exposed
    uncensored = np.cumprod(1 - hazard)  # just after each time of censoring
    # mean time to event or horizon of those still at risk just after a time of censoring
    grid = np.concatenate([[0.0], died, [horizon]])
    area = np.append(0.0, np.cumsum(survival * np.diff(grid)))  # up to each grid time
    step = np.searchsorted(died, left, side="right")
    alive = survival[step]
    ahead = area[-1] - (area[step] + alive * (left - grid[step]))
    mean = left + np.divide(ahead, alive, out=np.zeros_like(ahead), where=alive > 0)
    weight = np.divide(mean, uncensored, out=np.zeros_like(mean), where=uncensored > 0)
    # - integral of m/G dLambda over the times at risk, + m/G at one's own censoring
    cumulated = np.append(0.0, np.cumsum(weight * hazard))
    until = np.searchsorted(left, reached, side="right")
    # who had the event at a time is no longer at risk of being censored at it
    until = np.where(events == 1, np.searchsorted(left, reached, side="left"), until)
    until = np.where(times >= horizon, left.size, until)
    result: Floats = -cumulated[until]
    g = np.append(1.0, uncensored)[until]
    result += np.where(known, np.divide(reached, g, out=np.zeros_like(g), where=g > 0), 0.0)
    result[~known] += weight[np.searchsorted(left, times[~known], side="left")]
    return result

"""Restricted mean survival time with censoring weights, as one number a patient.

Conventions of arguments and errors: :mod:`stratify.statistics.discrimination`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stratify.arrays import Floats, Ints
from stratify.errors import ArgumentError
from stratify.statistics.checks import checked
from stratify.statistics.proportional_hazards import RidgeCox, ridge_cox

__all__ = ["LARGEST_WEIGHT", "AdjustedTimes", "adjusted_times", "unbiased_times"]

# A patient counts for at most so many: one weight of 100 would decide a trial.
LARGEST_WEIGHT = 20.0
FOLDS = 5
OWN_BASELINE = 30  # patients of a stratum from which on its baseline hazards are its own
ROWS = 500  # patients taken together, for memory


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


@dataclass(frozen=True, eq=False)
class AdjustedTimes:
    """Times up to a horizon, adjusted for censoring that depends on covariates.

    Attributes
    ----------
    values : ndarray of shape (n_patients,)
        Their mean is the restricted mean; in the unit of the times.
    weight : ndarray of shape (n_patients,)
        One over the probability of being followed to the event or the horizon, of those who were;
        0 for the others.
    uncensored : ndarray of shape (n_patients, n_event_times)
        Probability of being followed to each distinct time of an event.
    truncated : int
        Patients whose weight was lowered to ``LARGEST_WEIGHT``.
    """

    values: Floats
    weight: Floats
    uncensored: Floats
    truncated: int


def adjusted_times(
    time: Floats,
    event: Floats,
    horizon: float,
    X: Floats,
    stratum: Ints,
    *,
    at: Floats,
) -> AdjustedTimes:
    """Transform times up to a horizon so that censoring by recorded covariates does no harm.

    As :func:`unbiased_times`, with the probability of censoring and the survival of each patient
    from ridge Cox models of the covariates (:func:`ridge_cox`), baselines by stratum, in five
    folds: no patient's follow-up enters the patient's own prediction. The mean is unbiased where
    either of the two models is right. Call it for each arm by itself.

    Parameters
    ----------
    time, event, stratum : ndarray of shape (n_patients,)
    X : ndarray of shape (n_patients, n_covariates)
        In standard deviations; nothing missing.
    at : ndarray of shape (n_times,)
        Times for `uncensored`.

    References
    ----------
    Rubin D, van der Laan MJ. Int J Biostat 2007;3:4. Steingrimsson JA, Diao L, Molinaro AM,
    Strawderman RL. Stat Med 2016;35:3595-3612. Chernozhukov V et al. Econom J 2018;21:C1-C68.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 1))
    >>> died, lost = (rng.exponential(8 * np.exp(-0.7 * X[:, 0])) for _ in range(2))
    >>> time, event = np.minimum(died, lost), (died <= lost).astype(float)
    >>> stratum = np.zeros(2000, dtype=int)
    >>> found = adjusted_times(time, event, 6.0, X, stratum, at=np.zeros(0))
    >>> plain, truth = unbiased_times(time, event, 6.0).mean(), np.minimum(died, 6).mean()
    >>> bool(abs(found.values.mean() - truth) < 0.1 < abs(plain - truth))
    True
    """
    known = (event == 1) | (time >= horizon)
    values, weight = np.minimum(time, horizon), known.astype(float)
    uncensored, truncated = np.ones((len(time), len(at))), 0
    sizes = np.bincount(stratum)
    baseline = np.where(sizes[stratum] >= OWN_BASELINE, stratum, -1)
    # events come before censoring at the same time, so who has one is not at risk of censoring
    order = 2 * np.searchsorted(np.unique(time), time) + (event == 0)
    lost = ((event == 0) & (time < horizon)).astype(float)
    if not lost.any():
        return AdjustedTimes(values, weight, uncensored, 0)
    if not X.shape[1] or len(time) < 2 * FOLDS:
        X = np.zeros((len(time), 0))
    fold = np.empty(len(time), dtype=int)
    fold[np.lexsort((*X.T, time, event))] = np.arange(len(time)) % FOLDS  # like follow-up in each
    for k in range(FOLDS):
        train, test = fold != k, np.flatnonzero(fold == k)
        args = (X[train], order[train].astype(float))
        censoring = ridge_cox(*args, lost[train], baseline[train])
        survival = ridge_cox(X[train], time[train], event[train], baseline[train])
        for start in range(0, len(test), ROWS):
            rows = test[start : start + ROWS]
            given = _Follow(time[rows], order[rows], known[rows], X[rows], baseline[rows])
            found = given.adjusted(censoring, survival, np.unique(time), horizon, at)
            values[rows], weight[rows], uncensored[rows] = found[:3]
            truncated += found[3]
    return AdjustedTimes(values, weight, uncensored, truncated)


@dataclass(frozen=True, eq=False)
class _Follow:
    """Patients of a fold whose censoring and survival others predict."""

    time: Floats
    order: Ints
    known: Floats
    X: Floats
    stratum: Ints

    def adjusted(
        self, censoring: RidgeCox, survival: RidgeCox, times: Floats, horizon: float, at: Floats
    ) -> tuple[Floats, Floats, Floats, int]:
        ranks = np.unique(np.concatenate([times for times, _ in censoring.baseline.values()]))
        left = times[(ranks // 2).astype(int)]  # times of censoring
        limit = np.log(LARGEST_WEIGHT)
        hazard = censoring.cumulative_hazard(self.X, self.stratum, ranks)
        hazard, capped = np.minimum(hazard, limit), hazard > limit
        free = np.exp(-hazard)  # not censored until just after each time
        jump = 1 - np.exp(-np.diff(hazard, axis=1, prepend=0.0))
        mean = self._mean_ahead(survival, left, horizon)
        counted = mean / free
        # - integral over the times at risk, + the mean at one's own time of censoring
        passed = ranks <= self.order[:, None]  # ranks of censoring are odd, those of events even
        values = -(counted * jump * passed).sum(axis=1)
        reached = np.minimum(self.time, horizon)
        until = np.where(self.time >= horizon, len(ranks), passed.sum(axis=1))
        g = np.column_stack([np.ones(len(free)), free])[np.arange(len(free)), until]
        last = np.maximum(passed.sum(axis=1) - 1, 0)
        own = counted[np.arange(len(free)), last]
        values = values + np.where(self.known, reached / g, own)
        step = np.searchsorted(left, at, side="left")  # just before each time
        uncensored = np.column_stack([np.ones(len(free)), free])[:, step]
        at_end = capped[np.arange(len(free)), np.maximum(until - 1, 0)] & (until > 0) & self.known
        return values, np.where(self.known, 1 / g, 0.0), uncensored, int(at_end.sum())

    def _mean_ahead(self, survival: RidgeCox, left: Floats, horizon: float) -> Floats:
        """Mean time to event or horizon of those still at risk at each time of censoring."""
        grid = np.unique(np.concatenate([[0.0, horizon], left, *(
            times[times < horizon] for times, _ in survival.baseline.values())]))  # fmt: skip
        alive = np.exp(-survival.cumulative_hazard(self.X, self.stratum, grid))
        area = np.cumsum(alive[:, :-1] * np.diff(grid), axis=1)
        area = np.column_stack([np.zeros(len(alive)), area])
        here = np.searchsorted(grid, left)
        ahead = area[:, -1:] - area[:, here]
        return np.asarray(left + ahead / np.maximum(alive[:, here], 1e-12))

"""How well a score separates patients with and without the event, every number with its interval.

Shared conventions
------------------
``y`` is 1 for primary resistance (the event) and 0 otherwise. ``score`` is any finite number,
``p`` and ``risk`` are probabilities from 0 to 1; the higher, the likelier the event. ``time`` is
0 or more, in any one unit; ``event`` is 1 where the event was seen, 0 where censored. All are
array_like of shape (n_patients,), read by position, never modified. ``level`` is the coverage
of the two-sided interval. A function raises :class:`~stratify.errors.ArgumentError` when
lengths differ, a value is missing, infinite or outside its range, or the number is undefined
for want of both classes; it raises ``TypeError`` when an array does not hold numbers. A limit
is NaN where the patients are too few to estimate it.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from stratify.arrays import Floats
from stratify.errors import ArgumentError
from stratify.statistics.bootstrap import percentile_interval, resamples
from stratify.statistics.checks import check_both_classes, checked
from stratify.statistics.intervals import (
    Estimate,
    normal_quantile,
    standard_error,
    wald,
    wilson,
    wilson_limits,
)

__all__ = ["auroc", "average_precision", "c_index", "delta_auroc", "roc_curve_table"]

Counts: TypeAlias = NDArray[np.int64]


def _midranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def _placements(y: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Return each event's share of non-events below it, each non-event's share of events above."""
    events, others = score[y == 1], score[y == 0]
    ranks = _midranks(np.concatenate([events, others]))
    above = (ranks[: events.size] - _midranks(events)) / others.size
    below = 1 - (ranks[events.size :] - _midranks(others)) / events.size
    return above, below


def auroc(y: ArrayLike, score: ArrayLike, level: float = 0.95) -> Estimate:
    """Area under the ROC curve with DeLong's interval.

    The interval is the plain Wald one, clipped to [0, 1], and NaN when a class holds one patient.
    Where the classes are separated, at an area of 0 or 1, DeLong's error is 0; the interval is then
    Wilson's of the share of the smaller class that lies on the right side, which is all of it.
    Needs both classes. Time O(n log n).

    References
    ----------
    DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 1988;44:837-845. Sun X, Xu W. IEEE
    Signal Process Lett 2014;21:1389-1393 (midranks).

    Examples
    --------
    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).value
    0.75
    >>> auroc([0] * 20 + [1] * 10, range(30)).low < 0.8
    True
    """
    truth, ranked = checked(("y", y, "binary"), ("score", score, "number"))
    check_both_classes(truth)
    above, below = _placements(truth, ranked)
    error = float(np.hypot(standard_error(above), standard_error(below)))
    area = float(above.mean())
    if error == 0 and area in (0.0, 1.0):
        fewer = min(len(above), len(below))
        return wilson(area * fewer, fewer, level)
    return wald(area, error, level, 0, 1)


def delta_auroc(
    y: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, level: float = 0.95
) -> Estimate:
    """Area of `score_a` minus area of `score_b` on the same patients, paired DeLong interval.

    Wald interval clipped to [-1, 1]. Needs both classes. Method and references as :func:`auroc`.

    Examples
    --------
    >>> delta_auroc([0, 0, 1, 1], [1, 2, 3, 4], [1, 3, 2, 4]).value
    0.25
    """
    truth, first, second = checked(
        ("y", y, "binary"), ("score_a", score_a, "number"), ("score_b", score_b, "number")
    )
    check_both_classes(truth)
    above_a, below_a = _placements(truth, first)
    above_b, below_b = _placements(truth, second)
    above, below = above_a - above_b, below_a - below_b
    error = float(np.hypot(standard_error(above), standard_error(below)))
    return wald(float(above.mean()), error, level, -1, 1)


def average_precision(y: ArrayLike, score: ArrayLike, level: float = 0.95) -> Estimate:
    """Average precision: the step-wise area under the precision-recall curve.

    Percentile interval of 1000 bootstrap samples of patients, fixed seed, whatever the order of
    rows; samples without an event are left out. Needs both classes.

    References
    ----------
    Boyd K, Eng KH, Page CD. ECML PKDD 2013:451-466.

    Examples
    --------
    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).value, 4)
    0.8333
    """
    from stratify.statistics.resampled import precision_areas

    truth, ranked = checked(("y", y, "binary"), ("score", score, "number"))
    check_both_classes(truth)
    normal_quantile(level)
    order = np.lexsort((-truth, -ranked))
    truth, ranked = truth[order], ranked[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)

    def precision(weights: Floats) -> Floats:
        areas = np.empty(len(weights))
        precision_areas(weights, truth, ends, areas)  # type: ignore[no-untyped-call]
        return areas

    once = np.ones((1, truth.size))
    once.setflags(write=False)  # as the draws: compiled for one kind of array
    value = float(precision(once)[0])
    return percentile_interval(value, [precision(block) for block in resamples(truth.size)], level)


def roc_curve_table(y: ArrayLike, score: ArrayLike, level: float = 0.95) -> pd.DataFrame:
    """Points of the ROC curve, from nobody flagged (threshold inf) to everybody flagged.

    Columns threshold (flagged is ``score >= threshold``), specificity, sensitivity, low, high
    (Wilson limits of the sensitivity), n, n_events. One row per distinct score. Needs both
    classes.

    References
    ----------
    Fawcett T. Pattern Recognit Lett 2006;27:861-874.

    Examples
    --------
    >>> roc_curve_table([0, 1, 1], [0.2, 0.2, 0.9])["sensitivity"].tolist()
    [0.0, 0.5, 1.0]
    """
    truth, ranked = checked(("y", y, "binary"), ("score", score, "number"))
    check_both_classes(truth)
    order = np.argsort(-ranked, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(ranked[order])), ranked.size - 1)
    hits = np.append(0.0, np.cumsum(truth[order])[ends])
    alarms = np.append(0, ends + 1) - hits
    events = int(truth.sum())
    sensitivity, low, high = wilson_limits(hits, events, level)
    return pd.DataFrame(
        {
            "threshold": np.append(np.inf, ranked[order][ends]),
            "specificity": 1 - alarms / (truth.size - events),
            "sensitivity": sensitivity,
            "low": low,
            "high": high,
            "n": truth.size,
            "n_events": events,
        }
    )


def _half_counts(points: Counts, prefix: Counts, query: Counts) -> Floats:
    """Count, per query, the first `prefix` points that are smaller, equal ones a half.

    A wavelet matrix (Claude, Navarro, Ordonez 2015): points are split by their bits, the highest
    first, and each query follows its own. Time O(n log n), memory O(n).
    """
    low, high = np.zeros_like(query), prefix.astype(np.int64)
    smaller = np.zeros(query.size, dtype=np.int64)
    if points.size:
        for bit in range(int(max(points.max(), query.max(initial=0))).bit_length() - 1, -1, -1):
            ones = (points >> bit) & 1 == 1
            zeros_before = np.append(0, np.cumsum(~ones))
            from_low, from_high = zeros_before[low], zeros_before[high]
            up = (query >> bit) & 1 == 1
            smaller += np.where(up, from_high - from_low, 0)
            low = np.where(up, zeros_before[-1] + low - from_low, from_low)
            high = np.where(up, zeros_before[-1] + high - from_high, from_high)
            points = np.concatenate([points[~ones], points[ones]])
    result: Floats = smaller + (high - low) / 2
    return result


def c_index(time: ArrayLike, event: ArrayLike, score: ArrayLike, level: float = 0.95) -> Estimate:
    """Harrell's C: how often the patient with the higher score has the event sooner.

    A pair counts when the earlier time is an event; of an event and a censoring at one time the
    event is earlier; two events at one time do not count; equal scores count a half. The Wald
    interval, clipped to [0, 1], has the infinitesimal jackknife variance. Also raises
    ``ArgumentError`` when no pair can be compared.

    References
    ----------
    Harrell FE, Lee KL, Mark DB. Stat Med 1996;15:361-387. Therneau TM, Watson DA. Mayo Clinic
    Technical Report 85, 2015.

    Examples
    --------
    >>> c_index([5, 3, 8, 6], [1, 1, 0, 1], [0.6, 0.9, 0.1, 0.7]).value
    0.8333333333333334
    """
    times, events, ranked = checked(
        ("time", time, "time"), ("event", event, "binary"), ("score", score, "number")
    )
    order = np.lexsort((-events, times))
    times, died = times[order], events[order] == 1
    ranks = np.unique(ranked[order], return_inverse=True)[1].astype(np.int64)
    n = times.size
    # Sorted by time, events before censorings, each event's later partners are one suffix.
    key = np.cumsum(np.append(0, (np.diff(times) > 0) | (died[1:] != died[:-1])))
    first_later = np.searchsorted(key, key[died], side="right").astype(np.int64)
    earlier_events = np.searchsorted(first_later, np.arange(n), side="right").astype(np.int64)
    compared = earlier_events.astype(np.float64)
    compared[died] += n - first_later
    pairs = compared.sum() / 2
    if pairs == 0:
        message = (
            f"time and event give no pair to compare among {n} patients with {int(died.sum())} "
            "events; expected an event before another patient's time: use longer follow-up."
        )
        raise ArgumentError(message)
    concordant = _half_counts(ranks.max() - ranks[died], earlier_events, ranks.max() - ranks)
    concordant[died] += _half_counts(ranks[::-1], n - first_later, ranks[died])
    value = concordant.sum() / 2 / pairs
    influence = (concordant - value * compared) / pairs
    return wald(float(value), float(np.sqrt((influence**2).sum())), level, 0, 1)

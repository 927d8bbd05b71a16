"""iRECIST: progression that must be confirmed -> response, best response, PFS.

The first progression is unconfirmed (iUPD). It opens a block that persists over iUPD and NE, until
growth confirms it (iCPD) or iSD, iPR or iCR resets the bar. Up to the first iUPD all is as in
:mod:`stratify.response.recist`, and the nadir stays the smallest sum so far, whatever was reset.
Where the guideline is silent:

- what is compared is the first iUPD of the block, so that growth adds up over its visits; a
  category not assessed then is compared with its first assessment in the block;
- growth too early for iCPD keeps iUPD, but shrinkage ends a block at any time;
- while new lesions that made a block persist, only a better response of the targets than at its
  first iUPD, or non-target disease that progresses no more, resets the bar;
- after a reset, new lesions that persist are taken as known: progression are more of them, or a
  sum 20 % and 5 mm above their smallest since; they rule out iCR;
- after iCPD every later visit is iCPD.

References
----------
Seymour L. Lancet Oncol 2017;18:e143-e152, 10.1016/S1470-2045(17)30074-8, and the questions
answered on recist.eortc.org.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints, Strings
from stratify.response.best_response import Outcome
from stratify.response.recist import Course, at_place, course_of
from stratify.response.visits import (
    ABSENT,
    CR,
    NE,
    NON,
    PD,
    PR,
    PROGRESSIONS,
    ROUNDING,
    SD,
    UPD,
    first_in,
    grown,
    joined,
    runs,
)
from stratify.study.response_criteria import ResponseCriteria, limits

__all__ = ["assess_irecist", "best_irecist"]

IRECIST = {
    NE: "NE",
    UPD: "iUPD",
    PD: "iCPD",
    NON: "NON-iCR/NON-iUPD",
    SD: "iSD",
    PR: "iPR",
    CR: "iCR",
}
TARGET, NEW, OTHER = range(3)  # categories, in the order of PROGRESSIONS
CONFIRMATIONS = (
    "target_growth",
    "non_target_growth",
    "more_new_lesions",
    "larger_new_lesions",
    "progression_in_another_category",
)


def assess_irecist(
    visits: pd.DataFrame,
    criteria: ResponseCriteria | None = None,
) -> pd.DataFrame:
    """Response at each visit by iRECIST.

    Parameters
    ----------
    visits : DataFrame of shape (n_visits, ...)
        See :func:`stratify.response.recist.assess_recist`; ``n_new_lesions``, ``new_lesion_sum``
        and ``non_target_worse`` are needed for their ways of confirmation. ``new_lesion`` without
        ``n_new_lesions`` counts as one.
    criteria : ResponseCriteria, optional
        See :func:`stratify.response.recist.assess_recist`; ``min_icpd_days`` are the least days
        from the first iUPD of a block to iCPD, usually 4 to 8 weeks.

    Returns
    -------
    DataFrame of shape (n_visits, 7)
        See :func:`stratify.response.recist.assess_recist`; ``response`` is iCR, iPR, iSD,
        NON-iCR/NON-iUPD, iUPD, iCPD or NE.

    References
    ----------
    Seymour L. Lancet Oncol 2017;18:e143-e152, table 2.

    Examples
    --------
    >>> visits = pd.DataFrame({"patient_id": "a", "visit_day": [0, 42, 84, 126, 168],
    ...                        "target_sum": [100.0, 120.0, 90.0, 110.0, 115.0]})
    >>> assess_irecist(visits)[["response", "nadir_mm", "reason"]]
      response  nadir_mm              reason
    0     None       NaN            baseline
    1     iUPD     100.0  target_progression
    2      iSD     100.0    stable;bar_reset
    3     iUPD      90.0  target_progression
    4     iCPD      90.0       target_growth
    """
    criteria = criteria or ResponseCriteria()
    course = course_of(visits, criteria)
    code, reason = course.response(course.n_new > 0)
    reason[(code == SD) & (course.day < criteria.min_sd_days)] = "stable_before_min_sd_days"
    blocks = _Blocks(course, code, reason, criteria.min_icpd_days)
    for step in course.steps:
        blocks.follow(step[course.place[step] == "after"])
    return course.table(visits, **at_place(course, IRECIST, blocks.code, blocks.reason))


class _Block(NamedTuple):
    """Rows of a patient's open block, -1 for none: its first iUPD, first assessments in it."""

    first: Ints
    target: Ints
    non_target: Ints
    new: Ints


class _Blocks:
    """Blocks of all patients, followed from visit to visit of all at once.

    Responses that hold where nothing progresses become iUPD and iCPD.
    """

    def __init__(self, course: Course, code: Ints, reason: Strings, min_icpd_days: float) -> None:
        n = course.n_patients
        self.course, self.min_icpd_days = course, min_icpd_days
        self.code, self.reason = code.copy(), reason.copy()
        self._block = _Block(*(np.full(n, -1) for _ in _Block._fields))
        self._worse, self._confirmed = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        # New lesions taken as known, none at first, and their smallest sum since.
        self._known, self._known_sum = np.zeros(n), np.full(n, np.nan)
        none = np.zeros(len(code), dtype=bool)
        self._progresses = np.column_stack([course.target == PD, none, course.non_target == PD])
        new_measured = (course.n_new > 0) & ~np.isnan(course.new_sum)
        self._assessed = np.column_stack(
            [~np.isnan(course.total), new_measured, course.non_target != NE]
        )

    def follow(self, row: Ints) -> None:
        """Judge one visit of each of some patients, after all their visits before it."""
        course, progresses, who = self.course, self._progresses, self.course.patient[row]
        larger = grown(course.new_sum[row], self._known_sum[who])
        larger &= (course.n_new[row] > 0) & (self._known[who] > 0)
        progresses[row, NEW] = (course.n_new[row] > self._known[who]) | larger
        target_pd, new_pd, other_pd = progresses[row].T
        was = _Block(*(rows[who] for rows in self._block))
        within = was.first >= 0
        self._worse[who] = within & (self._worse[who] | course.worse[row])

        growth = np.where(within, _growth(course, row, was, self._worse[who], progresses), 0)
        waited = course.day[row] - course.day[was.first] >= self.min_icpd_days
        confirms = (growth > 0) & waited
        held = new_pd & ~_better(course, row, was, progresses)
        persists = within & ~confirms & (target_pd | other_pd | held | (growth > 0))
        opens = ~within & progresses[row].any(axis=1)
        resets = within & ~confirms & ~persists & (self.code[row] != NE)

        bits = course.progression[row] | (new_pd << NEW)
        cases = [
            (self._confirmed[who], PD, "confirmed_before"),
            (confirms, PD, joined(CONFIRMATIONS, growth)),
            (persists & (growth > 0), UPD, "too_early_to_confirm"),
            (persists, UPD, "unconfirmed"),
            (opens, UPD, joined(PROGRESSIONS, bits)),
            (resets, self.code[row], self.reason[row] + ";bar_reset"),
        ]
        met, codes, reasons = zip(*cases, strict=True)
        self.code[row] = np.select(met, codes, self.code[row])
        self.reason[row] = np.select(met, reasons, self.reason[row])
        self._confirmed[who] |= confirms
        self._remember(row, was, opens, resets)

    def _remember(self, row: Ints, was: _Block, opens: Flags, resets: Flags) -> None:
        """Keep what later visits are compared with."""
        who, within = self.course.patient[row], was.first >= 0
        self._block.first[who] = np.select([opens, resets], [row, -1], was.first)
        categories = (TARGET, OTHER, NEW)
        for rows, at, category in zip(self._block[1:], was[1:], categories, strict=True):
            seen = np.where(self._assessed[row, category], row, -1)
            kept = np.where(within & (at < 0), seen, at)
            rows[who] = np.select([opens, resets], [seen, -1], kept)
        n_new, new_sum, free = self.course.n_new[row], self.course.new_sum[row], ~within & ~opens
        known, known_sum = self._known[who], self._known_sum[who]
        self._known[who] = np.select([resets, free], [n_new, np.minimum(known, n_new)], known)
        smallest = np.fmin(known_sum, new_sum)
        self._known_sum[who] = np.select([resets, free], [new_sum, smallest], known_sum)


def _growth(course: Course, row: Ints, block: _Block, worse: Flags, progresses: Flags) -> Ints:
    """Bits of CONFIRMATIONS: how disease grew since the first iUPD of the block."""
    had_target = (block.target >= 0) & progresses[block.target, TARGET]
    had_other = (block.non_target >= 0) & progresses[block.non_target, OTHER]
    had_new = progresses[block.first, NEW]
    others_left = ~np.isin(course.non_target[row], [ABSENT, CR])
    other_grew = (course.worse[row] & others_left) | (worse & progresses[row, OTHER])
    elsewhere = (
        ((block.target >= 0) & ~had_target & progresses[row, TARGET])
        | ((block.non_target >= 0) & ~had_other & progresses[row, OTHER])
        | (~had_new & progresses[row, NEW])
    )
    ways = [
        had_target & _more(course.total[row], course.total[block.target]),
        had_other & other_grew,
        had_new & (course.n_new[row] > course.n_new[block.first]),
        had_new & (block.new >= 0) & _more(course.new_sum[row], course.new_sum[block.new]),
        elsewhere,
    ]
    return np.asarray(sum(way.astype(np.int64) << bit for bit, way in enumerate(ways)))


def _more(size: Floats, before: Floats) -> Flags:
    return size - before >= limits()["growth_mm"] - ROUNDING * (size + before)


def _better(course: Course, row: Ints, block: _Block, progresses: Flags) -> Flags:
    """Whether targets respond better than in the block, or non-targets progress no more."""
    target = (block.target >= 0) & (course.target[row] > course.target[block.target])
    other = (block.non_target >= 0) & progresses[block.non_target, OTHER]
    return np.asarray(target | (other & np.isin(course.non_target[row], [NON, CR])))


def best_irecist(
    visits_assessed: pd.DataFrame,
    patients: pd.DataFrame | None = None,
    criteria: ResponseCriteria | None = None,
) -> pd.DataFrame:
    """Best overall response (iBOR), PFS and duration of response of each patient by iRECIST.

    Parameters
    ----------
    visits_assessed : DataFrame of shape (n_visits, ...)
        Output of :func:`assess_irecist`, with the same options.

    Returns
    -------
    DataFrame of shape (n_patients, 10)
        See :func:`stratify.response.best_response.best_response`. The best of iCR, iPR, iSD and
        NON-iCR/NON-iUPD up to iCPD, else iCPD, else iUPD, else NE. The day of progression is that
        of the first iUPD of the block that was confirmed; blocks that were reset do not count.

    References
    ----------
    Seymour L. Lancet Oncol 2017;18:e143-e152, table 3 and statistical considerations.

    Examples
    --------
    >>> visits = pd.DataFrame({"patient_id": "a", "visit_day": [0, 42, 84, 126, 168],
    ...                        "target_sum": [100.0, 120.0, 90.0, 110.0, 115.0]})
    >>> best = best_irecist(assess_irecist(visits))
    >>> best[["best_response", "best_response_day", "pfs_days", "pfs_event", "reason"]]
      best_response  best_response_day  pfs_days  pfs_event  reason
    0           iSD               84.0     126.0        1.0  stable
    """
    criteria = criteria or ResponseCriteria()
    outcome = Outcome.of(visits_assessed, patients, IRECIST)
    run = runs(outcome.patient, ~np.isin(outcome.code, [UPD, PD, NE]))
    progressing = np.isin(outcome.code, [UPD, PD])
    start = first_in(outcome.day, run, progressing, len(run))[run]
    counted = outcome.code == PD
    if criteria.count_unconfirmed_last:
        counted |= np.diff(outcome.patient, append=-1) != 0
    progression = first_in(start, outcome.patient, counted, len(outcome.ids))
    return outcome.table(IRECIST, progression, criteria)

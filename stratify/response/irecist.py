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
    CONFIRM_DAYS,
    CR,
    GROWTH_MM,
    MIN_ICPD_DAYS,
    MIN_SD_DAYS,
    NE,
    NON,
    PD,
    PR,
    PROGRESSIONS,
    ROUNDING,
    SD,
    UPD,
    check_days,
    first_in,
    grown,
    joined,
    runs,
)

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
    *,
    confirm: bool = False,
    min_sd_days: float = MIN_SD_DAYS,
    confirm_days: float = CONFIRM_DAYS,
    min_icpd_days: float = MIN_ICPD_DAYS,
) -> pd.DataFrame:
    """Response at each visit by iRECIST.

    Parameters
    ----------
    visits : DataFrame of shape (n_visits, ...)
        See :func:`stratify.response.recist.assess_recist`; ``n_new_lesions``, ``new_lesion_sum``
        and ``non_target_worse`` are needed for their ways of confirmation. ``new_lesion`` without
        ``n_new_lesions`` counts as one.
    confirm, min_sd_days, confirm_days
        See :func:`stratify.response.recist.assess_recist`.
    min_icpd_days : float
        Least days from the first iUPD of a block to iCPD; usually 4 to 8 weeks.

    Returns
    -------
    DataFrame of shape (n_visits, 7)
        See :func:`stratify.response.recist.assess_recist`; ``response`` is iCR, iPR, iSD,
        NON-iCR/NON-iUPD, iUPD, iCPD or NE.

    Raises
    ------
    DataError, TypeError, ArgumentError
        See :func:`stratify.response.recist.assess_recist`.

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
    days = {"min_sd_days": min_sd_days, "confirm_days": confirm_days}
    check_days(**days, min_icpd_days=min_icpd_days)
    course = course_of(visits, confirm, confirm_days)
    code, reason = course.response(course.n_new > 0)
    reason[(code == SD) & (course.day < min_sd_days)] = "stable_before_min_sd_days"
    code, reason = _follow_blocks(course, code, reason, min_icpd_days)
    return course.table(visits, **at_place(course, IRECIST, code, reason))


class _Block(NamedTuple):
    """Rows of a patient's open block, -1 for none: its first iUPD, first assessments in it."""

    first: Ints
    target: Ints
    non_target: Ints
    new: Ints


def _follow_blocks(
    course: Course, code: Ints, reason: Strings, min_icpd_days: float
) -> tuple[Ints, Strings]:
    """Put iUPD and iCPD over the responses that hold where nothing progresses."""
    n = course.n_patients
    code, reason = code.copy(), reason.copy()
    block = _Block(*(np.full(n, -1) for _ in _Block._fields))
    worse, confirmed = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    # New lesions taken as known, none at first, and their smallest sum since.
    known, known_sum = np.zeros(n), np.full(n, np.nan)
    progresses = np.column_stack(
        [course.target == PD, np.zeros(len(code), dtype=bool), course.non_target == PD]
    )
    assessed = np.column_stack(
        [
            ~np.isnan(course.total),
            (course.n_new > 0) & ~np.isnan(course.new_sum),
            course.non_target != NE,
        ]
    )
    for step in course.steps:
        row = step[course.place[step] == "after"]
        who = course.patient[row]
        n_new, new_sum = course.n_new[row], course.new_sum[row]
        larger = (n_new > 0) & (known[who] > 0) & grown(new_sum, known_sum[who])
        progresses[row, NEW] = (n_new > known[who]) | larger
        target_pd, new_pd, other_pd = progresses[row].T
        was = _Block(*(rows[who] for rows in block))
        within = was.first >= 0
        worse[who] = within & (worse[who] | course.worse[row])

        growth = np.where(within, _growth(course, row, was, worse[who], progresses), 0)
        waited = course.day[row] - course.day[was.first] >= min_icpd_days
        confirms = (growth > 0) & waited
        held = new_pd & ~_better(course, row, was, progresses)
        persists = within & ~confirms & (target_pd | other_pd | held | (growth > 0))
        opens = ~within & progresses[row].any(axis=1)
        resets = within & ~confirms & ~persists & (code[row] != NE)

        bits = course.progression[row] | (new_pd << NEW)
        cases = [
            (confirmed[who], PD, "confirmed_before"),
            (confirms, PD, joined(CONFIRMATIONS, growth)),
            (persists & (growth > 0), UPD, "too_early_to_confirm"),
            (persists, UPD, "unconfirmed"),
            (opens, UPD, joined(PROGRESSIONS, bits)),
            (resets, code[row], reason[row] + ";bar_reset"),
        ]
        met, codes, reasons = zip(*cases, strict=True)
        code[row] = np.select(met, codes, code[row])
        reason[row] = np.select(met, reasons, reason[row])

        confirmed[who] |= confirms
        block.first[who] = np.select([opens, resets], [row, -1], was.first)
        for rows, at, category in zip(block[1:], was[1:], (TARGET, OTHER, NEW), strict=True):
            seen = np.where(assessed[row, category], row, -1)
            kept = np.where(within & (at < 0), seen, at)
            rows[who] = np.select([opens, resets], [seen, -1], kept)
        free = ~within & ~opens
        known[who] = np.select([resets, free], [n_new, np.minimum(known[who], n_new)], known[who])
        known_sum[who] = np.select(
            [resets, free], [new_sum, np.fmin(known_sum[who], new_sum)], known_sum[who]
        )
    return code, reason


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
    return size - before >= GROWTH_MM - ROUNDING * (size + before)


def _better(course: Course, row: Ints, block: _Block, progresses: Flags) -> Flags:
    """Whether targets respond better than in the block, or non-targets progress no more."""
    target = (block.target >= 0) & (course.target[row] > course.target[block.target])
    other = (block.non_target >= 0) & progresses[block.non_target, OTHER]
    return np.asarray(target | (other & np.isin(course.non_target[row], [NON, CR])))


def best_irecist(
    visits_assessed: pd.DataFrame,
    patients: pd.DataFrame | None = None,
    *,
    confirm: bool = False,
    min_sd_days: float = MIN_SD_DAYS,
    confirm_days: float = CONFIRM_DAYS,
    count_unconfirmed_last: bool = True,
) -> pd.DataFrame:
    """Best overall response (iBOR), PFS and duration of response of each patient by iRECIST.

    Parameters
    ----------
    visits_assessed : DataFrame of shape (n_visits, ...)
        Output of :func:`assess_irecist`, with the same options.
    patients, confirm, min_sd_days, confirm_days
        See :func:`stratify.response.best_response.best_response`. An iUPD between a response and
        its confirmation undoes the confirmation.
    count_unconfirmed_last : bool
        Whether a last block that was never confirmed nor reset is a progression. The guideline
        says so where treatment stopped, nothing more was assessed, all later visits were iUPD, or
        the patient died of the cancer. If False, it is left out: PFS ends with death, or is
        censored at the last assessment that is neither iUPD nor NE.

    Returns
    -------
    DataFrame of shape (n_patients, 10)
        See :func:`stratify.response.best_response.best_response`. The best of iCR, iPR, iSD and
        NON-iCR/NON-iUPD up to iCPD, else iCPD, else iUPD, else NE. The day of progression is that
        of the first iUPD of the block that was confirmed; blocks that were reset do not count.

    Raises
    ------
    ArgumentError, DataError
        See :func:`stratify.response.best_response.best_response`.

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
    check_days(min_sd_days=min_sd_days, confirm_days=confirm_days)
    outcome = Outcome.of(visits_assessed, patients, IRECIST)
    run = runs(outcome.patient, ~np.isin(outcome.code, [UPD, PD, NE]))
    progressing = np.isin(outcome.code, [UPD, PD])
    start = first_in(outcome.day, run, progressing, len(run))[run]
    counted = outcome.code == PD
    if count_unconfirmed_last:
        counted |= np.diff(outcome.patient, append=-1) != 0
    progression = first_in(start, outcome.patient, counted, len(outcome.ids))
    return outcome.table(IRECIST, progression, confirm, min_sd_days, confirm_days)

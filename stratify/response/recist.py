"""RECIST 1.1: measured tumours at each visit to the response at it.

Visits are as in ``data_schemas/panels/visits.yaml``; :mod:`stratify.response.irecist` goes on from
here. Baseline is the last assessment at or before day 0. Thresholds are compared unrounded; what
was first assessed stays as assessed, whatever comes later. Where the guideline is silent:

- no target sum (or 0) at baseline means no target disease; a sum at a later visit is then NE;
- a target sum without its non-nodal part is taken as all non-nodal;
- each visit is judged anew, so that less than 30 % after a PR is SD; best responses stay;
- non-target disease that was never stated is absent, until it is stated: from then on an empty
  cell is NE, and disease first stated after a CR was not seen before, so that it is no relapse;
- targets gone and all nodes below 10 mm are CR of the targets even if the nodes' sum grew;
- disease seen again after a CR is PD (RECIST 1.1, table 3); where CR needs confirmation, only
  after a confirmed one, else the first CR counts as PR;
- between a PR and its confirmation SD and NE may lie, between a CR and its own only NE;
- death counts for PFS however long after the last assessment; SD needs its days from day 0.

References
----------
Eisenhauer EA. Eur J Cancer 2009;45:228-247, 10.1016/j.ejca.2008.10.026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stratify.arrays import Flags, Floats, Ints, Strings
from stratify.errors import DataError
from stratify.response.visits import (
    ABSENT,
    CR,
    MEASURES,
    NE,
    NON,
    NON_TARGET,
    PD,
    PR,
    PROGRESSIONS,
    RECIST,
    ROUNDING,
    SD,
    YES_NO,
    grown,
    joined,
    visit_faults,
)
from stratify.study.response_criteria import ResponseCriteria, limits
from stratify.tables.rows import numbers_of

__all__ = ["Course", "assess_recist", "at_place", "course_of"]


@dataclass(frozen=True)
class Course:
    """Visits sorted by patient and day, with what each category of disease shows.

    Arrays are over visits; ``steps`` are the rows of each patient's first visit, of the second,
    and so on, so that a rule that looks back runs over all patients at once.
    """

    order: Ints
    patient: Ints
    n_patients: int
    steps: Sequence[Ints]
    day: Floats
    place: Strings
    baseline: Floats
    nadir: Floats
    total: Floats
    target: Ints
    non_target: Ints
    n_new: Floats
    new_sum: Floats
    worse: Flags
    progression: Ints  # bits of PROGRESSIONS, without new lesions

    def response(self, new: Flags) -> tuple[Ints, Strings]:
        """Response and its reason by RECIST 1.1, tables 1 and 2, if nothing progresses.

        New lesions that persist without being progression (iRECIST only) rule out CR.
        """
        target, other = self.target, self.non_target
        clear = np.isin(other, [ABSENT, CR]) & ~new
        cases = [
            ((target == NE) & ~(self.baseline > 0), NE, "baseline_sum_missing"),
            (target == NE, NE, "target_not_measured"),
            ((target == CR) & clear, CR, "complete_response"),
            ((target == CR) & (other == NE), PR, "targets_gone_non_target_not_evaluated"),
            ((target == CR) & (other == NON), PR, "targets_gone_non_target_persists"),
            (target == CR, PR, "new_lesion_persists"),
            (target == PR, PR, "partial_response"),
            (target == SD, SD, "stable"),
            ((other == CR) & clear, CR, "complete_response"),
            (other == CR, NON, "new_lesion_persists"),
            (other == NON, NON, "non_target_persists"),
            (other == NE, NE, "non_target_not_evaluated"),
        ]
        met, codes, reasons = zip(*cases, strict=True)
        code = np.select(met, codes, NE)
        reason = np.select(met, reasons, "no_disease_recorded").astype(object)
        return code, reason

    def table(self, visits: pd.DataFrame, **columns: NDArray[Any]) -> pd.DataFrame:
        """Columns over visits, in the order in which the visits were given."""
        back = np.argsort(self.order)
        seen = self.place == "after"
        sums = {"nadir_mm": np.where(seen, self.nadir, np.nan)}
        for name, before in (("baseline", self.baseline), ("nadir", sums["nadir_mm"])):
            sums[f"change_from_{name}"] = self.total / np.where(before > 0, before, np.nan) - 1
        table = visits[["patient_id", "visit_day"]].copy()
        for name in ("response", *sums, "reason"):
            values = (columns | sums)[name]
            table[name] = pd.Series(values[back], index=table.index, dtype=values.dtype)
        return table


def course_of(visits: pd.DataFrame, criteria: ResponseCriteria) -> Course:
    """Check and sort visits, and judge target and non-target disease at each of them."""
    faults = visit_faults(visits)
    if faults.rows:
        codes = ", ".join(dict.fromkeys(faults.codes()))
        text = f"visits cannot be assessed ({codes}); `visit_findings` lists every finding."
        raise DataError(text, faults.table())
    patient, ids = pd.factorize(visits["patient_id"])
    order = np.lexsort((numbers_of(visits, "visit_day"), patient))
    patient = patient[order].astype(np.int64)
    measures = {name: numbers_of(visits, name)[order] for name in ("visit_day", *MEASURES, *YES_NO)}
    day, total = measures["visit_day"], measures["target_sum"]
    place, start, steps = _places(patient, day, len(ids))
    after = place == "after"
    at_start = np.where(place == "no_baseline", np.nan, total[start])
    baseline, has_target = np.where(after, at_start, np.nan), after & (at_start > 0)
    other, stated_before = _non_target(visits, order, patient)
    n_new = np.nan_to_num(np.fmax(measures["n_new_lesions"], measures["new_lesion"]))
    measured, (not_nodes, gone) = ~np.isnan(total), _targets_left(measures)
    no_new = after & (n_new == 0)
    complete = no_new & np.where(
        has_target, gone & np.isin(other, [ABSENT, CR]), ~(total > 0) & (other == CR)
    )
    silent = no_new & (other != PD) & np.where(has_target, ~measured, other == NE)
    counted = np.where((after | (place == "baseline")) & (at_start > 0), total, np.nan)
    nadir = _smallest_before(patient, steps, counted)
    apart = criteria.confirm * criteria.confirm_days
    had_complete = _complete_before(patient, steps, day, complete, silent, apart)

    larger = grown(np.where(measured, total, measures["target_sum_partial"]), nadir) & ~gone
    target_back = had_complete & has_target & (not_nodes > 0) & measured & ~larger
    other_back = had_complete & (other == NON) & stated_before
    target = _target(total, baseline, has_target, larger | target_back, gone)
    bits = [larger & has_target, other == PD, target_back | other_back]
    progression = sum(flag * (1 << i) for i, flag in zip((0, 2, 3), bits, strict=True))
    return Course(
        order=order,
        patient=patient,
        n_patients=len(ids),
        steps=steps,
        day=day,
        place=place,
        baseline=baseline,
        nadir=nadir,
        total=total,
        target=target,
        non_target=np.where(other_back, PD, other),
        n_new=n_new,
        new_sum=measures["new_lesion_sum"],
        worse=measures["non_target_worse"] > 0,
        progression=np.asarray(progression),
    )


def _target(total: Floats, baseline: Floats, has: Flags, progresses: Flags, gone: Flags) -> Ints:
    """Category of the target lesions at each visit."""
    cases = [
        (~has & (total > 0), NE),
        (~has, ABSENT),
        (progresses, PD),
        (np.isnan(total), NE),
        (gone, CR),
        (total <= (1 - limits()["shrinkage"] + ROUNDING) * baseline, PR),
    ]
    met, codes = zip(*cases, strict=True)
    return np.asarray(np.select(met, codes, SD))


def _places(patient: Ints, day: Floats, n: int) -> tuple[Strings, Ints, list[Ints]]:
    """Place of each visit by the baseline, the row of that, and rows of first, second, ... visits.

    Visits are sorted by patient and day.
    """
    rows = np.arange(len(day))
    first_row = np.searchsorted(patient, np.arange(n))
    n_before = np.bincount(patient[day <= 0], minlength=n)
    start = (first_row + n_before - 1)[patient]
    place = np.select(
        [(n_before == 0)[patient], rows < start, rows == start],
        ["no_baseline", "before_baseline", "baseline"],
        "after",
    ).astype(object)
    number = rows - first_row[patient]
    steps = np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))[:-1])
    return place, start, steps


def _non_target(visits: pd.DataFrame, order: Ints, patient: Ints) -> tuple[Ints, Flags]:
    """Non-target disease at each visit, and whether anything was stated of it before the visit.

    Once it was there, nothing given is not evaluated; before that, absent.
    """
    given = np.full(len(order), np.nan)
    if "non_target" in visits:
        codes = visits["non_target"].astype(object).map(NON_TARGET)
        given = codes.to_numpy(dtype=float, na_value=np.nan)[order]
    rows, first = np.arange(len(order)), np.searchsorted(patient, patient)
    stated, seen = ~np.isnan(given), given > ABSENT

    def last(chosen: Flags) -> Ints:
        return np.asarray(np.maximum.accumulate(np.where(chosen, rows, -1)))

    before = np.roll(last(stated), 1) >= first
    code = np.where(stated, given, np.where(last(seen) >= first, NE, ABSENT))
    return code.astype(np.int64), before & (rows > first)


def _targets_left(measures: Mapping[str, Floats]) -> tuple[Floats, Flags]:
    """Sum of the targets that are no nodes, and whether all targets are gone."""
    total, non_nodal = measures["target_sum"], measures["target_non_nodal_sum"]
    not_nodes = np.where(np.isnan(non_nodal), total, non_nodal)
    node = measures["max_nodal_short_axis"]
    normal = np.where(np.isnan(node), total, node) < limits()["normal_node_mm"]
    return not_nodes, (not_nodes == 0) & normal & ~np.isnan(total)


def _smallest_before(patient: Ints, steps: Sequence[Ints], sums: Floats) -> Floats:
    """Smallest sum of the patient's visits before each, NaN without."""
    before, smallest = np.full(len(sums), np.nan), np.full(int(patient.max(initial=0)) + 1, np.nan)
    for step in steps:
        before[step] = smallest[patient[step]]
        smallest[patient[step]] = np.fmin(before[step], sums[step])
    return before


def _complete_before(
    patient: Ints,
    steps: Sequence[Ints],
    day: Floats,
    complete: Flags,
    silent: Flags,
    least_days: float,
) -> Flags:
    """Whether a CR was seen before each visit, over at least so many days; silent visits pass."""
    n = int(patient.max(initial=0)) + 1
    before, had, since = np.zeros(len(day), bool), np.zeros(n, bool), np.full(n, np.nan)
    for step in steps:
        who = patient[step]
        before[step] = had[who]
        kept = np.where(silent[step] | complete[step], since[who], np.nan)
        since[who] = np.where(complete[step], np.fmin(kept, day[step]), kept)
        had[who] |= complete[step] & (day[step] - since[who] >= least_days)
    return before


def assess_recist(
    visits: pd.DataFrame,
    criteria: ResponseCriteria | None = None,
) -> pd.DataFrame:
    """Response at each visit by RECIST 1.1.

    Parameters
    ----------
    visits : DataFrame of shape (n_visits, ...)
        As in the ``visits`` dictionary: ``patient_id``, ``visit_day``, and ``target_sum`` or
        ``non_target``; every other column may be absent. Rows in any order.

    Returns
    -------
    DataFrame of shape (n_visits, 7)
        On the index of ``visits``: ``patient_id``, ``visit_day``, ``response`` (None up to
        baseline), ``nadir_mm`` (smallest sum before the visit, baseline included; NaN without
        target disease), ``change_from_baseline`` and ``change_from_nadir`` (fractions, -0.3 is
        30 % less; NaN where the reference is 0 or missing) and ``reason`` (codes of the ``visits``
        dictionary, separated by semicolons).

    References
    ----------
    Eisenhauer EA. Eur J Cancer 2009;45:228-247, 4.3 and tables 1 to 3.

    Examples
    --------
    >>> visits = pd.DataFrame({"patient_id": "a", "visit_day": [-7, 42, 84, 126],
    ...                        "target_sum": [100.0, 70.0, 60.0, 72.0]})
    >>> assess_recist(visits)[["response", "nadir_mm", "change_from_baseline", "reason"]]
      response  nadir_mm  change_from_baseline              reason
    0     None       NaN                   NaN            baseline
    1       PR     100.0                 -0.30    partial_response
    2       PR      70.0                 -0.40    partial_response
    3       PD      60.0                 -0.28  target_progression
    """
    criteria = criteria or ResponseCriteria()
    course = course_of(visits, criteria)
    new = course.n_new > 0
    code, reason = course.response(new)
    reason[(code == SD) & (course.day < criteria.min_sd_days)] = "stable_before_min_sd_days"
    progression = course.progression + new * 2
    code = np.where(progression > 0, PD, code)
    reason = np.where(progression > 0, joined(PROGRESSIONS, progression), reason)
    return course.table(visits, **at_place(course, RECIST, code, reason))


def at_place(
    course: Course, names: Mapping[int, str], code: Ints, reason: Strings
) -> dict[str, Strings]:
    """Responses by name after baseline; NE without a baseline, and none up to it."""
    place = course.place
    response = pd.Series(code).map(names).to_numpy(dtype=object)
    response = np.where(place == "no_baseline", names[NE], response)
    response[np.isin(place, ["baseline", "before_baseline"])] = None
    return {"response": response, "reason": np.where(place == "after", reason, place)}

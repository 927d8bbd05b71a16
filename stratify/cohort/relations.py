"""What the columns of a cohort say of each other, once all its files are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.study.comparator import Comparator
from stratify.tables.findings import Findings
from stratify.tables.rows import numbers_of
from stratify.tables.schema import field_named

__all__ = ["RELATIONS", "check_comparators", "check_relations"]

ENOUGH = 30  # patients below which two columns say nothing of each other
MANY, SOME = 0.1, 3  # share and number of patients from which on a contradiction is no slip
FIRST_SCAN = 1.4  # months: six weeks; nobody is known to respond much earlier
LATE = 6.0  # months: whose best response is progression progressed long before
AFTER_DEATH = 0.3  # share of the dead without an event of PFS from which on events look swapped


class Contradiction(NamedTuple):
    """What two columns say of each other: code, column, number of patients, message, columns."""

    code: str
    column: str
    n: int
    text: str
    of: tuple[str, ...] = ()


def check_relations(table: pd.DataFrame, cohort: str, findings: Findings) -> None:
    """Add what columns of one cohort contradict, or cannot both be.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        One cohort, in canonical names and units.
    """
    faulty = {
        row["column"]
        for row in findings.rows
        if row["cohort"] == cohort and row["severity"] == "error"
    }
    for relation in RELATIONS:
        for found in relation(table):
            if faulty.isdisjoint(found.of):  # else it follows from what has been found
                panel = field_named(found.column).panel
                findings.add(
                    found.code, found.text, cohort=cohort, panel=panel, column=found.column,
                    n=found.n,
                )  # fmt: skip


def _often(wrong: Flags, of: int) -> bool:
    return int(wrong.sum()) > max(SOME, MANY * of)


def _response_and_pfs(table: pd.DataFrame) -> Iterator[Contradiction]:
    """Progression as best response is early, and responders do not progress at once."""
    if not {"best_response", "pfs", "pfs_event"} <= set(table):
        return
    pfs, event = numbers_of(table, "pfs"), numbers_of(table, "pfs_event")
    best = table["best_response"].to_numpy(dtype=object)
    progressed = (best == "PD") & ~np.isnan(pfs)
    responded = np.isin(best.astype(str), ["CR", "PR"]) & ~np.isnan(pfs)
    wrong = (progressed & (pfs > LATE)) | (responded & (pfs < FIRST_SCAN) & (event == 1))
    of = int((progressed | responded).sum())
    if of < ENOUGH or not _often(wrong, of):
        return
    yield Contradiction(
        "outcome_contradicts_response",
        "best_response",
        int(wrong.sum()),
        f"{int(wrong.sum())} of {of} patients with a response or with progression as best response "
        f"have a PFS that contradicts it (PD beyond {LATE:g} months, or CR or PR with an event "
        f"before {FIRST_SCAN:g}).",
        ("best_response", "pfs", "pfs_event", "os"),
    )


def _events(table: pd.DataFrame) -> Iterator[Contradiction]:
    """Death is an event of PFS; times and events differ between PFS and OS, and vary."""
    pfs, os = numbers_of(table, "pfs"), numbers_of(table, "os")
    progressed, died = numbers_of(table, "pfs_event"), numbers_of(table, "os_event")
    dead = died == 1
    without = dead & (progressed == 0)
    if dead.sum() >= ENOUGH and without.sum() > AFTER_DEATH * dead.sum():
        yield Contradiction(
            "events_swapped_suspected",
            "pfs_event",
            int(without.sum()),
            f"{int(without.sum())} of {int(dead.sum())} patients who died have no event of PFS, of "
            "which death is one.",
        )
    both = ~np.isnan(pfs) & ~np.isnan(os)
    if both.sum() >= ENOUGH and (pfs[both] == os[both]).all():
        yield Contradiction(
            "os_equals_pfs",
            "os",
            int(both.sum()),
            f"os equals pfs in all {int(both.sum())} patients.",
            ("pfs", "os"),
        )
    for name, time, event in (("pfs", pfs, progressed), ("os", os, died)):
        known = ~np.isnan(time) & ~np.isnan(event)
        n, values = int(known.sum()), set(event[known])
        if n < ENOUGH or len(values) > 1:
            continue
        unknown = len(table) - n
        if name == "os" and values == {1.0} and unknown > MANY * len(table):
            yield Contradiction(
                "survival_of_the_dead_alone",
                "os",
                n,
                f"os is recorded for {n} patients, all of whom died, and for none of the "
                f"{unknown} others.",
            )
            continue
        yield Contradiction(
            "event_never_varies",
            f"{name}_event",
            n,
            f"{name}_event is the same for all {n} patients.",
        )


def _response_from_survival(table: pd.DataFrame) -> Iterator[Contradiction]:
    """Find a response that says no more than that a time is long."""
    for name in ("os", "pfs"):
        response, time = numbers_of(table, "objective_response"), numbers_of(table, name)
        known = ~np.isnan(response) & ~np.isnan(time)
        yes, no = time[known & (response == 1)], time[known & (response == 0)]
        if min(yes.size, no.size) >= ENOUGH / 2 and yes.min() >= no.max():
            yield Contradiction(
                "response_made_from_survival",
                "objective_response",
                int(known.sum()),
                f"every patient with a response has a longer {name} than every patient without "
                f"({yes.size} and {no.size} patients).",
            )


def _detection_and_vaf(table: pd.DataFrame) -> Iterator[Contradiction]:
    """Find ctDNA that is detected without an amount, and the reverse."""
    if "ctdna_detected" not in table:
        return
    detected = numbers_of(table, "ctdna_detected")
    for name in ("ctdna_max_vaf", "ctdna_mean_vaf", "ctdna_mtm_per_ml"):
        value = numbers_of(table, name)
        known = ~np.isnan(detected) & ~np.isnan(value)
        # a positive call may rest on reads below what is reported; a negative one on no reads
        wrong = known & (detected == 0) & (value > 0) & (value > _least(value[detected == 1]))
        wrong |= known & (detected == 1) & (value == 0)
        if known.sum() >= ENOUGH and _often(wrong, int(known.sum())):
            yield Contradiction(
                "detection_contradicts_vaf",
                "ctdna_detected",
                int(wrong.sum()),
                f"{int(wrong.sum())} of {int(known.sum())} patients have ctDNA detected with "
                f"{name} 0, or not detected with {name} above 0.",
            )
            return
    measured = [numbers_of(table, name) for name in sorted(_AMOUNTS & set(table))]
    if not measured:
        return
    none = np.all([np.isnan(each) for each in measured], axis=0)
    negative = detected == 0
    if negative.sum() >= ENOUGH and (negative & none).sum() > (negative & ~none).sum():
        some = (detected == 1) & ~none
        if some.sum() >= ENOUGH and not ((detected == 1) & none).any():
            yield Contradiction(
                "not_measured_as_negative",
                "ctdna_detected",
                int((negative & none).sum()),
                f"{int((negative & none).sum())} of {int(negative.sum())} patients without "
                "detected ctDNA have no measured amount, as if they had not been measured.",
            )


# measured whether ctDNA is detected or not
_AMOUNTS = {"cfdna_concentration", "cfdna_hge_per_ml"}


def _least(values: Floats) -> float:
    above = values[values > 0]
    return float(np.quantile(above, 0.05)) if above.size else 0.0


def _year_and_date(table: pd.DataFrame) -> Iterator[Contradiction]:
    """Year of the start, and date of the first dose."""
    if not {"start_year", "first_dose_date"} <= set(table):
        return
    year, date = numbers_of(table, "start_year"), table["first_dose_date"]
    known = ~np.isnan(year) & date.notna().to_numpy()
    wrong = known & (year != date.dt.year.to_numpy(dtype=float, na_value=np.nan))
    if known.sum() >= ENOUGH and _often(wrong, int(known.sum())):
        yield Contradiction(
            "start_year_contradicts",
            "start_year",
            int(wrong.sum()),
            f"{int(wrong.sum())} of {int(known.sum())} patients have another start_year than "
            "first_dose_date.",
        )


def _dates(table: pd.DataFrame) -> Iterator[Contradiction]:
    """Dates that no patient under an immune checkpoint inhibitor can have."""
    today = pd.Timestamp.now().normalize()
    for name in table.columns:
        if table[name].dtype.kind != "M":
            continue
        dates = table[name]
        wrong = ((dates < EARLIEST) | (dates > today)).to_numpy(dtype=bool, na_value=False)
        if wrong.any():
            yield Contradiction(
                "date_impossible",
                str(name),
                int(wrong.sum()),
                f"{int(wrong.sum())} of {int(dates.notna().sum())} dates of {name} lie before "
                f"{EARLIEST.year} or after today.",
            )


EARLIEST = pd.Timestamp("1980-01-01")

# Each gives what it finds in a table of one cohort; another is another function.
RELATIONS: tuple[Callable[[pd.DataFrame], Iterator[Contradiction]], ...] = (
    _response_and_pfs,
    _response_from_survival,
    _events,
    _detection_and_vaf,
    _year_and_date,
    _dates,
)


def check_comparators(
    table: pd.DataFrame, comparators: Iterable[Comparator], findings: Findings
) -> None:
    """Add columns that are said to be probabilities and are none."""
    for each in comparators:
        if each.kind != "probability" or each.column not in table:
            continue
        values = table[each.column].to_numpy(dtype=float, na_value=np.nan)
        outside, known = int(((values < 0) | (values > 1)).sum()), int((~np.isnan(values)).sum())
        if outside:
            findings.add(
                "comparator_not_a_probability",
                f"{each.name}: {outside} of {known} values lie outside 0 to 1.",
                panel=field_named(each.column).panel,
                column=each.column,
                n=outside,
            )

"""Survival from the events of a patient: PFS and OS where a file gives times or dates of each.

The commonest layout of a hospital has a date of progression, of death and of last contact, empty
where there was none, and neither times nor flags. Time runs to the earliest event; a patient
without one is censored at the last contact.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stratify.arrays import Floats
from stratify.biomarkers.derivation import Columns, DerivationFault, DerivationRules

__all__ = ["SURVIVAL", "OverallSurvival", "ProgressionFreeSurvival"]

_PROGRESSION, _DEATH, _CONTACT = "time_to_progression", "time_to_death", "time_to_last_contact"
_ROUNDED = 0.1  # months: dates rounded to days or tenths of months


class OverallSurvival:
    """OS, see :class:`stratify.biomarkers.derivation.Derivation`.

    Examples
    --------
    >>> none = np.nan
    >>> times = {
    ...     "time_to_death": np.array([none, 7.7, none]),
    ...     "time_to_last_contact": np.array([11.7, 7.7, 10.7]),
    ... }
    >>> found = OverallSurvival().derive(times, DerivationRules())
    >>> found["os"], found["os_event"]
    (array([11.7,  7.7, 10.7]), array([0., 1., 0.]))
    """

    name = "os"
    source = "times of events"
    needs: tuple[str, ...] = (_CONTACT, _DEATH)
    uses: tuple[str, ...] = (_PROGRESSION,)
    gives: tuple[str, ...] = ("os", "os_event")
    replaces = False

    def derive(self, columns: Columns, rules: DerivationRules) -> Columns:
        """Time to death, else to the last contact."""
        death, contact = _ends(columns)
        time, event = _first(death, contact)
        return {"os": time, "os_event": event}

    def faults(self, columns: Columns, rules: DerivationRules) -> Iterable[DerivationFault]:
        """Report contacts after death."""
        yield from _after_death(columns, _CONTACT, "a last contact")


class ProgressionFreeSurvival:
    """PFS, see :class:`stratify.biomarkers.derivation.Derivation`.

    Death and last contact are also known from ``os`` and ``os_event``.

    Examples
    --------
    >>> none = np.nan
    >>> times = {
    ...     "time_to_progression": np.array([1.7, none, none]),
    ...     "time_to_death": np.array([none, 7.7, none]),
    ...     "time_to_last_contact": np.array([11.7, 7.7, 10.7]),
    ... }
    >>> found = ProgressionFreeSurvival().derive(times, DerivationRules())
    >>> found["pfs"], found["pfs_event"]
    (array([ 1.7,  7.7, 10.7]), array([1., 1., 0.]))
    """

    name = "pfs"
    source = "times of events"
    needs: tuple[str, ...] = (_PROGRESSION,)
    uses: tuple[str, ...] = (_DEATH, _CONTACT, "os", "os_event")
    gives: tuple[str, ...] = ("pfs", "pfs_event", "pfs_event_kind")
    replaces = False

    def derive(self, columns: Columns, rules: DerivationRules) -> Columns:
        """Time to progression or death, whichever is first, else to the last contact."""
        death, contact = _ends(columns)
        progression = columns[_PROGRESSION]
        time, event = _first(np.fmin(progression, death), contact)
        kind = np.full(len(time), np.nan, dtype=object)
        ended = event == 1
        kind[ended] = np.where(progression[ended] == time[ended], "progression", "death")
        return {"pfs": time, "pfs_event": event, "pfs_event_kind": kind}

    def faults(self, columns: Columns, rules: DerivationRules) -> Iterable[DerivationFault]:
        """Report progressions after death, and that no death is known."""
        yield from _after_death(columns, _PROGRESSION, "a progression")
        death, _ = _ends(columns)
        if not np.isfinite(death).any():
            text = (
                "pfs follows from time_to_progression alone, since no death is recorded; deaths "
                "would be events."
            )
            yield DerivationFault("death_not_recorded", _DEATH, len(death), text)


SURVIVAL = (OverallSurvival(), ProgressionFreeSurvival())


def _first(event: Floats, contact: Floats) -> tuple[Floats, Floats]:
    """Months to the event, else to the last contact; 1 for an event, 0 where censored."""
    seen = np.isfinite(event)
    time = np.where(seen, event, contact)
    return time, np.where(np.isfinite(time), seen.astype(float), np.nan)


def _after_death(columns: Columns, name: str, what: str) -> Iterable[DerivationFault]:
    death, _ = _ends(columns)
    later = int((columns[name] > death + _ROUNDED).sum())
    if later:
        text = f"{later} of {int(np.isfinite(death).sum())} deaths have {what} after them."
        yield DerivationFault("event_times_out_of_order", name, later, text)


def _ends(columns: Columns) -> tuple[Floats, Floats]:
    """Months to death, NaN where none is known, and to the last contact."""
    absent = np.full(len(next(iter(columns.values()))), np.nan)
    os, died = columns.get("os", absent), columns.get("os_event", absent)
    death = columns.get(_DEATH, absent)
    death = np.where(np.isnan(death) & (died == 1), os, death)
    contact = np.fmax(columns.get(_CONTACT, absent), np.where(died == 0, os, np.nan))
    # a progression after the contact was entered later: the patient was alive then
    alive = np.fmax(contact, columns.get(_PROGRESSION, absent))
    return death, np.where(np.isnan(contact), np.nan, alive)

"""Survival from the events of a patient: PFS and OS where a file gives times or dates of each.

The commonest layout of a hospital has a date of progression, of death and of last contact, empty
where there was none, and neither times nor flags. Time runs to the earliest event; a patient
without one is censored at the last contact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stratify.arrays import Floats
from stratify.biomarkers.derivation import Columns, DerivationFault, DerivationRules

__all__ = ["SURVIVAL", "SurvivalFromEvents"]

_PROGRESSION, _DEATH, _CONTACT = "time_to_progression", "time_to_death", "time_to_last_contact"
_ROUNDED = 0.1  # months: dates rounded to days or tenths of months


@dataclass(frozen=True)
class SurvivalFromEvents:
    """One survival, see :class:`stratify.biomarkers.derivation.Derivation`.

    Death is also known from ``os`` and ``os_event``, where a file gives these instead.

    Examples
    --------
    >>> pfs = SURVIVAL[1]
    >>> none = np.nan
    >>> times = {
    ...     "time_to_progression": np.array([1.7, none, none]),
    ...     "time_to_death": np.array([none, 7.7, none]),
    ...     "time_to_last_contact": np.array([11.7, 7.7, 10.7]),
    ... }
    >>> found = pfs.derive(times, DerivationRules())
    >>> found["pfs"], found["pfs_event"]
    (array([ 1.7,  7.7, 10.7]), array([1., 1., 0.]))
    """

    name: str
    needs: tuple[str, ...]
    uses: tuple[str, ...]
    gives: tuple[str, ...]
    source: str = "times of events"
    replaces: bool = False

    def derive(self, columns: Columns, rules: DerivationRules) -> Columns:
        """Time to the earliest event, else to the last contact."""
        death, contact = _ends(columns)
        progression = columns.get(_PROGRESSION, np.full(len(death), np.nan))
        first = np.fmin(progression, death) if self.name == "pfs" else death
        event = np.isfinite(first)
        time = np.where(event, first, contact)
        known = np.where(np.isfinite(time), event.astype(float), np.nan)
        if self.name == "os":
            return {"os": time, "os_event": known}
        kind = np.full(len(time), np.nan, dtype=object)
        kind[event] = np.where(progression[event] == first[event], "progression", "death")
        return {"pfs": time, "pfs_event": known, "pfs_event_kind": kind}

    def faults(self, columns: Columns, rules: DerivationRules) -> Iterable[DerivationFault]:
        """Report what comes after death, and deaths that are not known."""
        death, _ = _ends(columns)
        name, what = self.needs[0], "a progression" if self.name == "pfs" else "a last contact"
        later = int((columns[name] > death + _ROUNDED).sum())
        if later:
            text = f"{later} of {int(np.isfinite(death).sum())} deaths have {what} after them."
            yield DerivationFault("event_times_out_of_order", name, later, text)
        if self.name == "pfs" and not np.isfinite(death).any():
            text = (
                "pfs follows from time_to_progression alone, since no death is recorded; deaths "
                "would be events."
            )
            yield DerivationFault("death_not_recorded", "time_to_death", len(death), text)


def _ends(columns: Columns) -> tuple[Floats, Floats]:
    """Months to death, NaN where none is known, and to the last contact."""
    absent = np.full(len(next(iter(columns.values()))), np.nan)
    os, died = columns.get("os", absent), columns.get("os_event", absent)
    death = columns.get(_DEATH, absent)
    death = np.where(np.isnan(death) & (died == 1), os, death)
    contact = np.fmax(columns.get(_CONTACT, absent), np.where(died == 0, os, np.nan))
    alive = np.fmax(contact, columns.get(_PROGRESSION, absent))  # entered before it, or not at all
    return death, np.where(np.isnan(contact), np.nan, alive)


SURVIVAL = (
    SurvivalFromEvents("os", (_CONTACT, _DEATH), (_PROGRESSION,), ("os", "os_event")),
    SurvivalFromEvents(
        "pfs",
        (_PROGRESSION,),
        (_DEATH, _CONTACT, "os", "os_event"),
        ("pfs", "pfs_event", "pfs_event_kind"),
    ),
)

"""Which dictionaries of panels there are: their order, and what one row of each is."""

from __future__ import annotations

from functools import cache
from typing import Any

from stratify.tables.documents import document, schemas_folder

__all__ = ["long_panels", "outcome_panels", "patient_panels", "raw_panels", "visit_panels"]


@cache
def _heads() -> list[tuple[str, dict[str, Any]]]:
    """Dictionaries of panels by name, in the order they state."""
    names = (path.stem for path in (schemas_folder() / "panels").glob("*.yaml"))
    return sorted(
        ((name, document(f"panels/{name}")) for name in names), key=lambda head: head[1]["order"]
    )


@cache
def patient_panels() -> tuple[str, ...]:
    """Panels with one row a patient.

    Examples
    --------
    >>> patient_panels()
    ('clinical', 'pdl1', 'tmb', 'infiltration', 'ctdna', 'comparators', 'outcomes')
    """
    return tuple(name for name, head in _heads() if head["rows"] == "patient")


@cache
def long_panels() -> tuple[str, ...]:
    """Panels with several rows a patient, from which those of one row are derived."""
    return tuple(name for name, head in _heads() if head["rows"] != "patient")


@cache
def visit_panels() -> tuple[str, ...]:
    """Panels of several rows a patient that outcomes are derived from."""
    return tuple(name for name, head in _heads() if head.get("feeds") == "outcomes")


def outcome_panels() -> tuple[str, ...]:
    """Panels that hold nothing but outcomes."""
    return ("outcomes", *visit_panels())


@cache
def raw_panels() -> tuple[str, ...]:
    """Panels of several rows a patient that features are derived from."""
    return tuple(name for name in long_panels() if name not in visit_panels())

"""A defect planted in a clean study, and what must be told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stratify.tables.schema import load_schema

CODES = load_schema("findings").codes
MARKERS = ("pdl1", "tmb", "infiltration", "ctdna")


@dataclass(frozen=True)
class Case:
    """A defect and what must be said of it; ``also`` are codes that follow from it."""

    code: str
    plant: Callable[[Any], Any]
    message: str
    n: int
    column: str = ""
    panel: str = ""
    cohort: str = "home"
    also: tuple[str, ...] = ()
    name: str = ""

    @property
    def id(self) -> str:
        return f"{self.code} {self.name}".strip()

    def check(self, found: list[dict[str, Any]]) -> None:
        """The finding stands there whole, and nothing else is grave but what follows."""
        assert [
            row for row in found if row["code"] == self.code and row["message"] == self.message
        ] == [
            {
                "code": self.code,
                "severity": CODES[self.code]["severity"],
                "cohort": self.cohort,
                "panel": self.panel,
                "column": self.column,
                "n": self.n,
                "message": self.message,
            }
        ], "\n".join(row["message"] for row in found)
        grave = sorted(row["code"] for row in found if row["severity"] != "info")
        own = () if CODES[self.code]["severity"] == "info" else (self.code,)
        assert grave == sorted([*own, *self.also])

"""ENDPOINTS.md and DECISIONS.md, whose tables are both documentation and test cases."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from stratify.endpoint import ProgressionRule, endpoint_reasons, endpoint_rules

DOCUMENT = Path(__file__).parents[2] / "ENDPOINTS.md"
DECISIONS = DOCUMENT.with_name("DECISIONS.md")
SETTINGS = (
    *("inclusive", "response_spares", "best_response_pd", "confirmation"),
    *("exposure_weeks", "strict", "secondary_months", "regimens"),
)


@cache
def _sections(document: Path) -> dict[str, list[list[str]]]:
    sections: dict[str, list[list[str]]] = {}
    rows: list[list[str]] = []
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            rows = sections.setdefault(line.lstrip("# "), [])
        elif line.startswith("|") and not line.startswith("|-"):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return sections


def cases_of(heading: str, document: Path = DOCUMENT) -> list[list[str]]:
    """Rows of all tables under a heading, without their heads."""
    rows = _sections(document)[heading]
    return [row for row in rows if row != rows[0]]


def by_sentence(heading: str) -> list[Any]:
    return [pytest.param(*cells, id=sentence) for sentence, *cells in cases_of(heading)]


def _markdown(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, float):
        return f"{value:g}"
    return {True: "yes", False: "no", None: "."}.get(value, str(value))


def rules_table() -> str:
    """Settings of the rules by progression, from the data file."""
    rules = {
        name: rule for name, rule in endpoint_rules().items() if isinstance(rule, ProgressionRule)
    }
    head = ["setting", *rules]
    rows = [[name, *(_cell(getattr(rule, name)) for rule in rules.values())] for name in SETTINGS]
    return _markdown([head, *rows])


def reasons_table() -> str:
    """Codes of reasons with their states, from the data file."""
    rows = [[code, entry["state"], entry["meaning"]] for code, entry in endpoint_reasons().items()]
    return _markdown([["reason", "state", "meaning"], *rows])

"""Findings: everything noticed about the data, collected and told at once.

Codes, severities and advice stand in ``data_schemas/results/findings.yaml``; code only says where
a finding arises and what was found. No message holds a patient's value or identifier: lines of the
file and counts are given instead, and levels of a category only if several patients share them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stratify.errors import DataError
from stratify.tables.schema import load_schema

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Findings", "lines_text", "listed", "shared_levels"]

# A level of a category is named in a message only if at least so many patients share it.
SMALLEST_NAMED_GROUP = 5


@dataclass
class Findings:
    """Collector of findings.

    Attributes
    ----------
    rows : list of dict
    whole : bool
        Whether tables are read whole; of a batch of rows nothing is said, nor read as missing,
        because one value stands in every row.

    Examples
    --------
    >>> findings = Findings()
    >>> findings.add("unit_absent", "g/dL or g/L is expected.", cohort="a", panel="clinical",
    ...              column="albumin", n=12)
    >>> findings.table()[["code", "severity", "column", "n"]].to_dict("records")
    [{'code': 'unit_absent', 'severity': 'error', 'column': 'albumin', 'n': 12}]
    >>> findings.has_errors
    True
    """

    rows: list[dict[str, object]] = field(default_factory=list)
    whole: bool = True

    def add(
        self,
        code: str,
        message: str,
        *,
        cohort: str = "",
        panel: str = "",
        column: str = "",
        n: int = 0,
    ) -> None:
        """Add one finding; severity and advice come from the code."""
        known = load_schema("findings").codes[code]
        self.rows.append(
            {
                "code": code,
                "severity": known["severity"],
                "cohort": cohort,
                "panel": panel,
                "column": column,
                "n": int(n),
                "message": message,
                "advice": known["advice"],
            }
        )

    def extend(self, other: Findings) -> None:
        """Add all findings of another collector."""
        self.rows.extend(other.rows)

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error."""
        return any(row["severity"] == "error" for row in self.rows)

    def codes(self) -> list[str]:
        """Codes in the order found."""
        return [str(row["code"]) for row in self.rows]

    def table(self) -> pd.DataFrame:
        """All findings as a table, errors first; columns as in the ``findings`` dictionary."""
        import pandas as pd

        columns = list(load_schema("findings").fields)
        table = pd.DataFrame(self.rows, columns=columns)
        rank = table["severity"].map({"error": 0, "warning": 1, "info": 2})
        return table.iloc[rank.argsort(kind="stable")].reset_index(drop=True)

    def raise_errors(self, what: str) -> None:
        """Raise if there are errors.

        Raises
        ------
        DataError
            Names the number of errors and their codes; carries the table.
        """
        errors = [row for row in self.rows if row["severity"] == "error"]
        if errors:
            codes = ", ".join(dict.fromkeys(str(row["code"]) for row in errors))
            plural = "s" if len(errors) > 1 else ""
            raise DataError(
                f"{what} has {len(errors)} error{plural} ({codes}). "
                "`stratify validate` lists every finding with advice.",
                self.table(),
            )


def lines_text(numbers: Iterable[int], word: str = "line", *, most: int = 5) -> str:
    """Lines of a file (``row`` where the file has no lines) as text.

    Examples
    --------
    >>> lines_text([2, 5])
    'lines 2 and 5'
    >>> lines_text(range(2, 11), "row")
    'rows 2, 3, 4, 5, 6 and 4 more'
    """
    lines = [int(number) for number in numbers]
    shown, rest = lines[:most], len(lines) - most
    if rest > 0:
        return f"{word}s {', '.join(map(str, shown))} and {rest} more"
    if len(lines) == 1:
        return f"{word} {lines[0]}"
    return f"{word}s {', '.join(map(str, lines[:-1]))} and {lines[-1]}"


def shared_levels(levels: Sequence[object]) -> str:
    """Levels that several patients share, as text; rarer ones are only counted.

    Examples
    --------
    >>> shared_levels(["Lunge"] * 7 + ["x"])
    "'Lunge' (7 rows) and 1 rarer level"
    >>> shared_levels(["Lunge"] * 7 + ["Haut"] * 5)
    "'Lunge' (7 rows) and 'Haut' (5 rows)"
    >>> shared_levels(["x"])
    '1 rare level'
    """
    counts: dict[str, int] = {}
    for level in levels:
        counts[str(level)] = counts.get(str(level), 0) + 1
    named = [(k, n) for k, n in counts.items() if n >= SMALLEST_NAMED_GROUP]
    rare = len(counts) - len(named)
    if not named:
        return f"{rare} rare level{'s' if rare > 1 else ''}"
    parts = [f"{level!r} ({n} rows)" for level, n in named]
    if rare:
        parts.append(f"{rare} rarer level{'s' if rare > 1 else ''}")
    return listed(parts)


def listed(parts: Sequence[str]) -> str:
    """Join as in a sentence.

    Examples
    --------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

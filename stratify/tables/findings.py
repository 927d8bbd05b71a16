"""Findings: everything noticed about the data, collected and stated at once.

Codes, severities and advice stand in ``data_schemas/results/findings.yaml``; code only says where
a finding arises and what was found. No message holds a patient's value or identifier: lines of the
file and counts are given instead, and levels of a category only if several patients share them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from stratify.errors import DataError
from stratify.tables.schema import Field, load_schema

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ColumnFindings", "Findings", "lines_text", "listed", "named_levels", "shared_levels"]

# A level of a category is named in a message only if at least so many patients share it.
SMALLEST_NAMED_GROUP = 5


@dataclass
class _Coding:
    """A coding that cohorts may share, and what none of them holds."""

    unused: list[str]
    cohorts: int = 0
    row: dict[str, Any] | None = None


@dataclass
class Findings:
    """Collector of findings.

    Attributes
    ----------
    rows : list of dict
    whole : bool
        Whether tables are read whole; of a batch of rows nothing is said, nor read as missing,
        because one value stands in every row.
    panel, table_name : str
        Dictionary and name of the table that findings are about, such as that of its file.
    lines : Index or None
        Number of each row of that table; what a number counts is the name of the index.

    Examples
    --------
    >>> import pandas as pd
    >>> findings = Findings()
    >>> findings.add("unit_absent", "g/dL or g/L is expected.", cohort="a", panel="clinical",
    ...              column="albumin", n=12)
    >>> findings.table()[["code", "severity", "column", "n"]].to_dict("records")
    [{'code': 'unit_absent', 'severity': 'error', 'column': 'albumin', 'n': 12}]
    >>> findings.has_errors
    True
    >>> of_file = Findings.of_table(pd.DataFrame({"age": [50.0, -1.0]}), "a.csv")
    >>> of_file.add_rows("outside_limits", "age", [False, True], "age below 0 years.")
    >>> of_file.messages()
    ['a.csv, row 2: age below 0 years.']
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    whole: bool = True
    panel: str = ""
    table_name: str = ""
    lines: pd.Index | None = field(default=None, compare=False, repr=False)
    _codings: dict[tuple[str, ...], _Coding] = field(
        default_factory=dict, compare=False, repr=False
    )

    @classmethod
    def of_table(cls, table: pd.DataFrame, name: str, panel: str = "") -> Findings:
        """Collector for one table: rows are named by its index if it counts lines, else from 1."""
        import pandas as pd

        counted = table.index.name in ("line", "row", "variable")
        lines = table.index if counted else pd.RangeIndex(1, len(table) + 1, name="row")
        return cls(panel=panel, table_name=name, lines=lines)

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
                "panel": panel or self.panel,
                "column": column,
                "n": int(n),
                "message": message,
                "advice": known["advice"],
            }
        )

    def add_rows(
        self,
        code: str,
        column: str,
        wrong: Any,
        message: str,
        n: int | None = None,
        *,
        lines: pd.Index | None = None,
    ) -> None:
        """Add a finding about rows of the table, if there are any.

        Parameters
        ----------
        code, column, message
            As for :meth:`add`; table and lines are put before the message.
        wrong : array-like of bool of shape (n_rows,)
            Which rows.
        n : int, optional
            What is counted; rows by default.
        lines : Index, optional
            Numbers in place of those of the rows, such as of columns.
        """
        lines = self.lines if lines is None else lines
        if lines is not None and len(lines := lines[np.asarray(wrong, dtype=bool)]):
            text = f"{self.table_name}, {lines_text(lines, str(lines.name))}: {message}"
            self.add(code, text, column=column, n=len(lines) if n is None else n)

    def add_absent(self, columns: Sequence[str]) -> None:
        """Add that the table lacks columns of its dictionary, if it does."""
        if columns:
            text = f"{self.table_name}: no column {' and '.join(columns)}; see the {self.panel} "
            self.add("missing_column", f"{text}dictionary.", n=len(columns))

    def add_coding(self, found: ColumnFindings, coding: Iterable[str], held: Set[str]) -> None:
        """Add the texts of a coding that no cohort holds, in one finding for all that share it."""
        about = (found.field.panel, found.field.name)
        known = self._codings.setdefault((*about, *coding), _Coding(list(coding)))
        known.unused = [text for text in known.unused if text not in held]
        known.cohorts += 1
        if known.row is not None:
            self.rows = [row for row in self.rows if row is not known.row]
        if known.unused:
            one = known.cohorts == 1
            text = f"{found.field.name} holds no {' and no '.join(map(repr, known.unused))}"
            text = f"{found.file}: {text}" if one else f"{text} in any of {known.cohorts} cohorts"
            text += ", which its coding names."
            cohort = found.cohort if one else ""
            self.add(
                "coding_unused", text, cohort=cohort, panel=about[0], column=about[1],
                n=len(known.unused),
            )  # fmt: skip
            known.row = self.rows[-1]

    def extend(self, other: Findings, *, cohort: str = "", panel: str = "") -> None:
        """Add all findings of another collector, with cohort and panel where they have none."""
        about = {"cohort": cohort, "panel": panel}
        self.rows.extend(
            row | {key: row[key] or value for key, value in about.items()} for row in other.rows
        )

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error."""
        return any(row["severity"] == "error" for row in self.rows)

    def codes(self) -> list[str]:
        """Codes in the order found."""
        return [str(row["code"]) for row in self.rows]

    def messages(self) -> list[str]:
        """Messages in the order found."""
        return [str(row["message"]) for row in self.rows]

    def table(self) -> pd.DataFrame:
        """All findings as a table, errors first; columns as in the ``findings`` dictionary."""
        import pandas as pd

        columns = list(load_schema("findings").fields)
        table = pd.DataFrame(self.rows, columns=columns)
        rank = table["severity"].map({"error": 0, "warning": 1, "info": 2})
        return table.iloc[rank.argsort(kind="stable")].reset_index(drop=True)

    def raise_errors(self, what: str) -> None:
        """Raise if there are errors."""
        errors = [row for row in self.rows if row["severity"] == "error"]
        if errors:
            codes = ", ".join(dict.fromkeys(str(row["code"]) for row in errors))
            plural = "s" if len(errors) > 1 else ""
            raise DataError(
                f"{what} has {len(errors)} error{plural} ({codes}). "
                "`stratify validate` lists every finding with advice.",
                self.table(),
            )


@dataclass(frozen=True)
class ColumnFindings:
    """Findings about one column of one file of a cohort."""

    findings: Findings
    cohort: str
    file: str
    field: Field

    def add(self, code: str, message: str, n: int) -> None:
        """Add a finding about the whole column."""
        self._add(code, f"{self.file}: {message}", n)

    def add_rows(self, code: str, wrong: pd.Series, message: str) -> None:
        """Add a finding about the rows marked in ``wrong``, if there are any."""
        lines = wrong.index[wrong.to_numpy(dtype=bool)]
        if len(lines):
            where = lines_text(lines, str(lines.name or "row"))
            self._add(code, f"{self.file}, {where}: {message}", len(lines))

    def _add(self, code: str, message: str, n: int) -> None:
        about = {"cohort": self.cohort, "panel": self.field.panel, "column": self.field.name}
        self.findings.add(code, message, **about, n=n)


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
    texts = [f"{level!r} ({n} rows)" for level, n in named]
    if rare:
        texts.append(f"{rare} rarer level{'s' if rare > 1 else ''}")
    return listed(texts)


def named_levels(levels: Sequence[object], most: int = 12) -> str:
    """Levels of a public vocabulary as text: terms written as such, and what several rows share.

    Examples
    --------
    >>> named_levels(["NEW_TERM", "Mrs X", "NEW_TERM"])
    "'NEW_TERM' (2 rows) and 1 rare level"
    """
    terms = Counter(str(x) for x in levels if re.fullmatch(r"[A-Za-z]+(_[A-Za-z0-9']+)+", str(x)))
    others = [level for level in levels if str(level) not in terms]
    texts = [f"{t!r} ({n} row{'s' if n > 1 else ''})" for t, n in terms.most_common(most)]
    if len(terms) > most:
        texts.append(f"{len(terms) - most} more")
    return listed([*texts, *([shared_levels(others)] if others else [])])


def listed(texts: Sequence[str]) -> str:
    """Join as in a sentence.

    Examples
    --------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)

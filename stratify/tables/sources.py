"""Where each column of a cohort comes from: part of the study file.

Every fault is stated with its place in the file; unknown keys are faults.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from stratify.tables.measurements import (
    BurdenRule,
    DeconvolutionTable,
    ExpressionMatrix,
    PairedSamples,
    Pdl1Rule,
    PlasmaRule,
)
from stratify.tables.schema import Field as Column
from stratify.tables.schema import load_schema, long_panels, patient_panels, visit_panels
from stratify.tables.strict import (
    Level,
    Name,
    OneOrMore,
    Pattern,
    Place,
    Strict,
    Texts,
    as_text,
    keys_as_text,
    list_of,
    mapping_of,
    one_of,
)

__all__ = ["CohortSource", "ColumnSource", "TableSource"]

# forms of a time column other than a number in a unit
DAY_FORMS = ("date", "study_day")


def matrices_of(table: dict[str, Any]) -> list[str]:
    """Keys of a table that name a matrix."""
    return [key for key in ("expression", "deconvolution") if table.get(key) is not None]


class ColumnSource(Strict):
    """How one canonical column is found in a file.

    Attributes
    ----------
    column : str
        Name in the file; ``*`` for ``signature_*``: every column that is not mapped otherwise.
        Alternatively ``value``: one value for all patients.
    unit, scale : str
        Unit of the numbers, or for a time ``date`` (days are counted from the patient's
        ``first_dose_date``) or ``study_day`` (as in CDISC: day 1 is the first dose, and there is
        no day 0); ``ln``, ``log2``, ``log10`` or ``log1p`` if they are logarithms.
    scored_mb : float
        Megabases scored by the assay, for numbers of mutations.
    coding : mapping
        Text in the file to value; null means missing, and the key ``""`` stands for empty cells.
        Texts of a coding are never taken for missing.
    missing : list of str
        Further texts that mean missing.
    pattern : str
        Regular expression; its first group is what is read of each text, before ``coding``.
    assay : str
        Assay or antibody clone.
    date_format : str
        For dates that are not ISO 8601, for example ``%d.%m.%Y``.
    unit_confirmed : bool
        The unit has been checked although the values look like another.
    """

    column: Name | None = None
    value: Level = None
    unit: str | None = None
    scale: Literal["linear", "ln", "log2", "log10", "log1p"] = "linear"
    scored_mb: Annotated[float, Field(gt=0)] | None = None
    coding: Annotated[dict[str, Level], BeforeValidator(keys_as_text)] | None = None
    missing: Texts = []
    pattern: Pattern | None = None
    assay: str | None = None
    date_format: str | None = None
    unit_confirmed: bool = False

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:
        return {"column": data} if isinstance(data, str) else data

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """One source, and options that agree."""
        if (data.get("column") is None) == (data.get("value") is None):
            yield (), "state either `column` (its name in the file) or `value`"
        coded = {as_text(key) for key in mapping_of(data.get("coding"))}
        both = sorted(coded & {as_text(text) for text in list_of(data.get("missing"))})
        if both:
            yield (), f"both in `coding` and in `missing`: {', '.join(map(repr, both))}"
        if (form := data.get("date_format")) is not None and not _reads_dates(form):
            yield ("date_format",), "no form of a date; for example %d.%m.%Y is expected"
        if data.get("scored_mb") is not None and data.get("unit") != "mutations":
            yield (), "`scored_mb` is for numbers of mutations; state `unit: mutations`"


def _reads_dates(form: object) -> bool:
    """Whether a form writes dates that it can read again, year included."""
    day = dt.datetime(2021, 11, 23, tzinfo=dt.UTC)
    try:
        text = day.strftime(str(form))
        return dt.datetime.strptime(text, str(form)).year == day.year
    except ValueError:
        return False


def _misplaced(options: Mapping[str, Any], field: Column) -> list[str]:
    """Options without a meaning for the column's type."""
    belongs = {
        "unit": field.numeric,
        "scale": field.numeric,
        "unit_confirmed": field.numeric,
        "date_format": field.type == "date" or options.get("unit") == "date",
        "coding": field.numeric or field.type == "boolean" or bool(field.enum),
    }
    kind = {"string": "text", "boolean": "yes/no"}.get(field.type, field.type)
    return [
        f"`{option}` has no meaning for a {kind} column"
        for option, fits in belongs.items()
        if option in options and not fits
    ]


class Identifier(Strict):
    r"""How the identifiers of a file are written, where the first table writes them otherwise.

    Attributes
    ----------
    pattern : str
        Regular expression that the whole identifier fits; rows with another one are left out.
    written : str
        How the first table writes it, in the groups of the pattern: ``\1-\2``.
    """

    pattern: Pattern
    written: str = r"\1"

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Find groups that the pattern does not have."""
        try:
            groups = re.compile(str(data.get("pattern"))).groups
        except re.error:
            return
        named = [int(n) for n in re.findall(r"\\(\d+)", str(data.get("written", r"\1")))]
        if max(named, default=0) > groups:
            yield ("written",), f"group {max(named)} of a pattern with {groups}"


class TableSource(Strict):
    """One file and the panels that are cut out of it.

    Attributes
    ----------
    file : str
        Name of the file in the study's ``data`` folder.
    sheet : str or int
        Sheet of an Excel workbook: its name, or its number counted from 0.
    delimiter, encoding : str
        Of a text file, where they are not found by themselves.
    decimal, thousands : str
        Decimal sign, and what groups digits, in numbers that are written as text. Digits may be
        grouped only if ``thousands`` says so: ``1,234`` and ``1.234`` are never guessed.
    comment : str
        Lines that start with this are passed over; by default those of ``#`` before the header.
    quoting : {"none"}
        Quotation marks of a text file are plain text, where they are not closed.
    header_row : int
        Row or line of the header, from 1, where it is not the first.
    missing : list of str
        Texts that mean missing in all columns.
    patient_id : str
        Column of the patient identifier.
    identifier : Identifier
        Where it is written otherwise than in the first table.
    rows : mapping of str to str or list of str
        Column to the cell or cells of the rows that are taken, where a file holds several cohorts
        or visits; all rows without it.
    panels : mapping
        By panel, canonical column to :class:`ColumnSource`. Panels with several rows a patient
        (visits, mutations, plasma_variants, ...) need a table of their own.
    fills : bool
        Columns may stand in an earlier table too: where both have a value they are compared and
        the earlier one is kept, where the earlier has none this one fills.
    burden : BurdenRule
        How ``mutations`` are counted.
    expression, deconvolution : ExpressionMatrix, DeconvolutionTable
        In place of ``patient_id`` and ``panels``, for a matrix of genes, or a table of cells.
    """

    file: str
    sheet: Annotated[str | int | None, one_of("a name or a number", str, int)] = None
    delimiter: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    encoding: str | None = None
    comment: str | None = None
    quoting: Literal["none"] | None = None
    header_row: Annotated[int, Field(ge=1)] | None = None
    missing: Texts = []
    patient_id: Name = ""
    identifier: Identifier | None = None
    rows: dict[Name, OneOrMore] = {}
    panels: dict[str, dict[str, ColumnSource]] = {}
    fills: bool = False
    burden: BurdenRule | None = None
    expression: ExpressionMatrix | None = None
    deconvolution: DeconvolutionTable | None = None

    @property
    def text_layout(self) -> dict[str, Any]:
        """How a text file is written, as :class:`stratify.tables.files.TableFile` takes it."""
        names = ("delimiter", "encoding", "comment", "quoting", "header_row")
        return {name: getattr(self, name) for name in names}

    @property
    def has_dates(self) -> bool:
        """Whether a time is given as a date, to be counted from the first dose."""
        columns = (each for panel in self.panels.values() for each in panel.values())
        return any(column.unit in DAY_FORMS for column in columns)

    @property
    def matrix(self) -> ExpressionMatrix | DeconvolutionTable | None:
        """What stands in place of panels."""
        return self.expression or self.deconvolution

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Names that no dictionary has, and one column of the file read as two numbers."""
        yield from cls._contents(data)
        if data.get("thousands") is not None and data["thousands"] == data.get("decimal", "."):
            yield (), "`thousands` and `decimal` are the same sign"
        numbers: dict[str, list[str]] = {}
        for panel, columns in mapping_of(data.get("panels")).items():
            if panel not in (*patient_panels(), *long_panels()):
                there = ", ".join((*patient_panels(), *long_panels()))
                yield ("panels", str(panel)), f"no such panel; there are {there}"
                continue
            if panel in long_panels() and len(data["panels"]) > 1:
                yield ("panels", panel), "has several rows a patient; map it in a table of its own"
            fields = load_schema(panel).fields
            for name, source in mapping_of(columns).items():
                place = ("panels", panel, str(name))
                if name == "patient_id":
                    yield place, "stated for the table, not in a panel"
                elif name not in fields:
                    near = get_close_matches(str(name), fields, n=3)
                    known = ", ".join(near or [n for n in fields if n != "patient_id"])
                    hint = "near names are" if near else "there are"
                    yield place, f"no such column; {hint} {known}"
                else:
                    options = {"column": source} if isinstance(source, str) else mapping_of(source)
                    if name.endswith("*") != (options.get("column") == "*"):
                        yield place, '`column: "*"` and a name that ends in * need each other'
                    yield from ((place, text) for text in _misplaced(options, fields[name]))
                    if fields[name].numeric and "coding" not in options:
                        numbers.setdefault(str(options.get("column")), []).append(name)
        for column, names in numbers.items():
            if column != "None" and len(names) > 1:
                yield ("panels",), f"{column!r} is read as several numbers: {', '.join(names)}"

    @classmethod
    def _contents(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Panels with their identifiers, or a matrix; a burden where mutations are counted."""
        matrices = matrices_of(data)
        if len(matrices) > 1:
            yield (), "either `expression` or `deconvolution`; one file holds one matrix"
        for key in ("patient_id", "panels"):
            if matrices and data.get(key):
                yield (key,), f"not with `{matrices[0]}`, whose `labels` say where patients stand"
            if not matrices and data.get(key) is None:
                yield (key,), "required, but not stated"
        mutations = "mutations" in mapping_of(data.get("panels"))
        if mutations and data.get("burden") is None:
            yield ("burden",), "required to count mutations, for example `burden: {scored_mb: 1.1}`"
        if not mutations and data.get("burden") is not None:
            yield ("burden",), "is for a table of mutations"


class CohortSource(Strict):
    """One cohort: its files and what it serves for."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    role: Literal["train", "test", "external"] = "train"
    title: str = ""
    tables: Annotated[list[TableSource], Field(min_length=1)]
    plasma: PlasmaRule = PlasmaRule()
    pdl1: Pdl1Rule = Pdl1Rule()
    tmb_pairs: PairedSamples | None = None

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Columns that two tables give, and tables in a place that cannot be."""
        stated = [mapping_of(table) for table in list_of(data.get("tables"))]
        tables = [set(mapping_of(table.get("panels"))) for table in stated]
        long = [panel for panels in tables for panel in long_panels() if panel in panels]
        long += [key for table in stated for key in matrices_of(table)]
        visits = [panel for panel in long if panel in visit_panels()]
        if len(visits) > 1:
            yield ("tables",), f"one table of visits or lesions is expected, not {len(visits)}"
        for name in sorted({name for name in long if long.count(name) > 1} - set(visit_panels())):
            yield ("tables",), f"one table of {name} is expected, not {long.count(name)}"
        if tables and (tables[0] & set(long_panels()) or matrices_of(stated[0])):
            yield ("tables",), "the first table needs one row a patient"
        names = [
            name
            for table in stated
            if table.get("fills") is not True
            for panel, columns in mapping_of(table.get("panels")).items()
            if panel not in long_panels()
            for name in mapping_of(columns)
        ]
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            yield (), f"mapped more than once: {', '.join(twice)}"

"""Where each column of a cohort comes from: part of the study file.

Every fault is told, by its place in the file; unknown keys are faults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from stratify.tables.schema import LONG_PANELS, PANELS, load_schema
from stratify.tables.schema import Field as Column

__all__ = [
    "BurdenRule",
    "CohortSource",
    "ColumnSource",
    "DeconvolutionTable",
    "ExpressionMatrix",
    "PlasmaRule",
    "RegionRule",
    "TableSource",
]

# forms of a time column other than a number in a unit
DAY_FORMS = ("date", "study_day")


def as_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _keys_as_text(value: object) -> object:
    if isinstance(value, dict):
        return {as_text(key): level for key, level in value.items()}
    return value


def _items_as_text(value: object) -> object:
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return value


def one_of(what: str, *kinds: type) -> BeforeValidator:
    """One fault where pydantic would tell one for each kind of a union."""

    def checked(value: object) -> object:
        if value is not None and not isinstance(value, kinds):
            raise ValueError(f"{what} is expected")
        return value

    return BeforeValidator(checked)


Level = Annotated[
    bool | int | float | str | None,
    one_of("a number, a text, true or false", bool, int, float, str),
]
Name = Annotated[str, AfterValidator(lambda name: " ".join(name.split()))]  # spaces as in headers
Texts = Annotated[list[str], BeforeValidator(_items_as_text)]


Place = tuple[str | int, ...]


# pydantic's kinds of fault in the words of a study file
_WORDS = {
    "extra_forbidden": "unknown key",
    "missing": "required, but not stated",
    "string_pattern_mismatch": "letters, digits, '_', '.' and '-' are expected",
}


def mapping_of(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


class Strict(BaseModel):
    """Unknown keys are faults, and all faults are told at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Faults between keys, found in the raw mapping, which may be wrong in other ways too."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _every_fault(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # pydantic's own checks between keys are passed over as soon as one key is wrong
        faults: list[tuple[Place, str]] = []
        model = None
        try:
            model = handler(data)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_input=False):
                text = item["msg"].removeprefix("Value error, ")
                faults.append((item["loc"], _WORDS.get(item["type"], text)))
        if isinstance(data, dict):
            faults += cls.contradictions(data)
        if model is not None and not faults:
            return model
        raise ValidationError.from_exception_data(
            cls.__name__,
            [
                InitErrorDetails(type=PydanticCustomError("fault", text), loc=loc, input=None)
                for loc, text in faults
            ],
        )


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
    coding: Annotated[dict[str, Level], BeforeValidator(_keys_as_text)] | None = None
    missing: Texts = []
    assay: str | None = None
    date_format: str | None = None
    unit_confirmed: bool = False

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:
        return {"column": data} if isinstance(data, str) else data

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """One source, and options that fit together."""
        if (data.get("column") is None) == (data.get("value") is None):
            yield (), "state either `column` (its name in the file) or `value`"
        coded = {as_text(key) for key in mapping_of(data.get("coding"))}
        both = sorted(coded & {as_text(text) for text in list_of(data.get("missing"))})
        if both:
            yield (), f"both in `coding` and in `missing`: {', '.join(map(repr, both))}"
        if data.get("scored_mb") is not None and data.get("unit") != "mutations":
            yield (), "`scored_mb` is for numbers of mutations; state `unit: mutations`"


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
        Lines that start with this are passed over.
    missing : list of str
        Texts that mean missing in all columns.
    patient_id : str
        Column of the patient identifier.
    panels : mapping
        By panel, canonical column to :class:`ColumnSource`. ``visits`` or ``lesions``, which have
        several rows a patient, need a table of their own.
    """

    file: str
    sheet: Annotated[str | int | None, one_of("a name or a number", str, int)] = None
    delimiter: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    encoding: str | None = None
    comment: str | None = None
    missing: Texts = []
    patient_id: Name
    panels: dict[str, dict[str, ColumnSource]]

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Names that no dictionary has, and one column of the file read as two numbers."""
        if data.get("thousands") is not None and data["thousands"] == data.get("decimal", "."):
            yield (), "`thousands` and `decimal` are the same sign"
        numbers: dict[str, list[str]] = {}
        for panel, columns in mapping_of(data.get("panels")).items():
            if panel not in (*PANELS, *LONG_PANELS):
                there = ", ".join((*PANELS, *LONG_PANELS))
                yield ("panels", str(panel)), f"no such panel; there are {there}"
                continue
            if panel in LONG_PANELS and len(data["panels"]) > 1:
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
                        yield place, '`column: "*"` and a name that ends in * go together'
                    yield from ((place, text) for text in _misplaced(options, fields[name]))
                    if fields[name].numeric and "coding" not in options:
                        numbers.setdefault(str(options.get("column")), []).append(name)
        for column, names in numbers.items():
            if column != "None" and len(names) > 1:
                yield ("panels",), f"{column!r} is read as several numbers: {', '.join(names)}"


class CohortSource(Strict):
    """One cohort: its files and what it serves for."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    role: Literal["train", "test", "external"] = "train"
    title: str = ""
    tables: Annotated[list[TableSource], Field(min_length=1)]

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Columns that two tables give, and tables in a place that cannot be."""
        tables = [
            set(mapping_of(mapping_of(table).get("panels")))
            for table in list_of(data.get("tables"))
        ]
        long = [panel for panels in tables for panel in LONG_PANELS if panel in panels]
        if len(long) > 1:
            yield ("tables",), f"one table of visits or lesions is expected, not {len(long)}"
        if tables and tables[0] & set(LONG_PANELS):
            yield ("tables",), "the first table needs one row a patient"
        names = [
            name
            for table in list_of(data.get("tables"))
            for panel, columns in mapping_of(mapping_of(table).get("panels")).items()
            if panel not in LONG_PANELS
            for name in mapping_of(columns)
        ]
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            yield (), f"mapped more than once: {', '.join(twice)}"


class BurdenRule(Strict):
    """How mutations are counted into a burden.

    Attributes
    ----------
    scored_mb : float
        Megabases in which the assay counts: the scored region, not the whole panel.
    consequences : list of str
        Classes that count, as in the ``mutations`` dictionary; by default every mutation that the
        laboratory counts (``counted``).
    min_vaf : float
        Smallest variant allele fraction that counts, as a fraction.
    min_depth : float
        Least depth at which a mutation counts.
    tumour_only : bool
        Whether mutations were called without matched normal tissue.
    """

    scored_mb: Annotated[float, Field(gt=0, le=100)]
    consequences: Annotated[list[str], Field(min_length=1)] | None = None
    min_vaf: Annotated[float, Field(ge=0, lt=1)] = 0
    min_depth: Annotated[float, Field(ge=0)] = 0
    tumour_only: bool | None = None

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Classes that no dictionary has."""
        classes = load_schema("mutations").fields["consequence"].enum
        for name in list_of(data.get("consequences")):
            if isinstance(name, str) and name not in classes:
                yield ("consequences",), f"{name!r} is not known; classes are {', '.join(classes)}"


class PlasmaRule(Strict):
    """How variants in plasma and blood draws become features of the ctdna panel.

    Attributes
    ----------
    burden : str
        What is followed on treatment.
    vaf_below : float
        Variants with this fraction or a greater one, which may be germline, are left out of mean
        and maximum VAF.
    min_depth : float
        Variants at a smaller depth are left out of mean and maximum VAF.
    drop_chip : {"none", "white_cells", "genes"}
        Clonal haematopoiesis: keep it, leave out variants that matched white cells show too, or
        those and all in ``chip_genes``.
    chip_genes : list of str
        The usual genes (Jaiswal 2014, 10.1056/NEJMoa1408617; Razavi 2019,
        10.1038/s41591-019-0652-7); TP53 is not among them, being a driver of many tumours.
    btmb : BurdenRule
        Count bTMB of the baseline draw by this rule.
    weeks : list of int
        Visits on treatment that become features.
    within_days, baseline_within_days : float
        Days by which a draw on treatment may miss its week, and by which the baseline draw may
        precede the first dose.
    """

    burden: Literal[
        "ctdna_mean_vaf", "ctdna_max_vaf", "ctdna_tumour_fraction", "ctdna_mtm_per_ml"
    ] = "ctdna_mean_vaf"
    vaf_below: Annotated[float, Field(gt=0, le=1)] | None = None
    min_depth: Annotated[float, Field(ge=0)] = 0
    drop_chip: Literal["none", "white_cells", "genes"] = "none"
    chip_genes: Annotated[list[str], Field(min_length=1)] = [
        *("ASXL1", "CBL", "DNMT3A", "GNB1", "JAK2", "PPM1D", "SF3B1", "SRSF2", "TET2"),
    ]
    btmb: BurdenRule | None = None
    weeks: list[int] = [3, 6, 9, 12]
    within_days: Annotated[float, Field(ge=0)] = 7
    baseline_within_days: Annotated[float, Field(ge=0)] = 42

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Weeks without a feature, and windows that overlap."""
        visits = load_schema("plasma_draws").fields["draw_visit"].enum
        known = [int(visit.removeprefix("week_")) for visit in visits if visit != "baseline"]
        weeks = list_of(data.get("weeks", [3, 6, 9, 12]))
        for week in weeks:
            if week not in known:
                yield ("weeks",), f"{week!r} is not known; weeks are {', '.join(map(str, known))}"
        ordered = sorted(week for week in weeks if week in known)
        days = data.get("within_days", 7)
        for one, next_one in pairwise(ordered):
            if isinstance(days, (int, float)) and 7 * (next_one - one) <= 2 * days:
                yield (
                    ("within_days",),
                    f"the windows of week {one} and week {next_one} share days; fewer days or "
                    "other `weeks` are expected",
                )


class RegionRule(Strict):
    """How regions of a tumour become one value a patient.

    Attributes
    ----------
    aggregate : {"mean", "median", "max", "min"}
        Over regions; the mean is weighted by area where all regions of the patient have one.
        Scores are whole numbers: for mean and median the lower median is taken.
    inflamed_from : float
        CD8+ cells/mm2 from which a compartment counts as infiltrated. With it the phenotype, where
        none is recorded, follows from the densities: inflamed if the tumour is infiltrated,
        excluded if stroma or margin alone is, else desert. No value is agreed upon.
    """

    aggregate: Literal["mean", "median", "max", "min"] = "mean"
    inflamed_from: Annotated[float, Field(gt=0)] | None = None


class DeconvolutionTable(Strict):
    """A table of cells by deconvolution of expression.

    Attributes
    ----------
    method : {"cibersortx", "quantiseq", "mcpcounter"}
    labels : str
        Column with the patients, or with the cells where patients stand in columns; the first
        one by default.
    """

    method: Literal["cibersortx", "quantiseq", "mcpcounter"]
    labels: Name | None = None


class ExpressionMatrix(Strict):
    """How a matrix of bulk expression is written.

    Attributes
    ----------
    unit : {"TPM", "FPKM", "CPM", "counts", "normalised"}
        Quantity before any logarithm. FPKM are brought to TPM, counts to CPM. ``normalised`` is
        anything else that is comparable between patients, such as NanoString counts; signatures
        that compare genes within a patient need TPM or FPKM.
    scale : {"linear", "ln", "log2", "log10"}
        Logarithm that was taken.
    offset : float
        What was added before the logarithm: 1 in log2(TPM + 1).
    genes : {"rows", "columns"}
        Where the genes stand; patients stand in the other.
    labels : str
        Column with the names of the genes (of the patients if genes stand in columns); the first
        one by default.
    min_coverage : float
        Share of a signature's genes, by weight, that must be measured.
    assay : str
        Platform and library; scores of different ones are not comparable.
    scale_confirmed : bool
        Unit and scale have been checked although the values look like others.
    """

    unit: Literal["TPM", "FPKM", "CPM", "counts", "normalised"]
    scale: Literal["linear", "ln", "log2", "log10"] = "linear"
    offset: Annotated[float, Field(gt=0)] = 1
    genes: Literal["rows", "columns"] = "rows"
    labels: Name | None = None
    min_coverage: Annotated[float, Field(gt=0, le=1)] = 0.8
    assay: str | None = None
    scale_confirmed: bool = False

    @property
    def unit_read(self) -> str:
        """Unit to which the matrix is brought."""
        return {"FPKM": "TPM", "counts": "CPM"}.get(self.unit, self.unit)

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Find an offset without a logarithm."""
        if "offset" in data and data.get("scale", "linear") == "linear":
            yield ("offset",), "is what was added before a logarithm; state `scale`"

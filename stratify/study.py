"""The study file: everything that a hospital's export does not say about itself.

One YAML names the files, which column is which biomarker, units, codings, assays, arms, the
endpoint rule, the split, the features and the policy. Unknown keys are errors, so that a typing
mistake never passes silently; keys that start with ``x-`` are free (for YAML anchors).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
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

from stratify.errors import DataError
from stratify.schema import PANELS, endpoint_rules, field_named, load_schema
from stratify.schema import Field as Column
from stratify.tabular import read_mapping

__all__ = ["CohortSource", "ColumnSource", "Split", "Study", "TableSource"]

MONOTHERAPY = frozenset({"anti_pd1_pdl1", "single_agent_ici"})


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _keys_as_text(value: object) -> object:
    if isinstance(value, dict):
        return {_as_text(key): level for key, level in value.items()}
    return value


def _items_as_text(value: object) -> object:
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return value


def _one_of(what: str, *kinds: type) -> BeforeValidator:
    """One fault where pydantic would tell one for each kind of a union."""

    def checked(value: object) -> object:
        if value is not None and not isinstance(value, kinds):
            raise ValueError(f"{what} is expected")
        return value

    return BeforeValidator(checked)


Level = Annotated[
    bool | int | float | str | None,
    _one_of("a number, a text, true or false", bool, int, float, str),
]
Name = Annotated[str, AfterValidator(lambda name: " ".join(name.split()))]  # spaces as in headers
Texts = Annotated[list[str], BeforeValidator(_items_as_text)]


_Place = tuple[str | int, ...]


# pydantic's kinds of fault in the words of a study file
_WORDS = {
    "extra_forbidden": "unknown key",
    "missing": "required, but not stated",
    "string_pattern_mismatch": "letters, digits, '_', '.' and '-' are expected",
}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


class _Strict(BaseModel):
    """Unknown keys are faults, and all faults are told at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[_Place, str]]:
        """Faults between keys, found in the raw mapping, which may be wrong in other ways too."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _every_fault(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # pydantic's own checks between keys are passed over as soon as one key is wrong
        faults: list[tuple[_Place, str]] = []
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


class ColumnSource(_Strict):
    """How one canonical column is found in a file.

    Attributes
    ----------
    column : str
        Name in the file. Alternatively ``value``: one value for all patients.
    unit, scale : str
        Unit of the numbers; ``ln``, ``log2``, ``log10`` or ``log1p`` if they are logarithms.
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
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[_Place, str]]:
        """One source, and options that fit together."""
        if (data.get("column") is None) == (data.get("value") is None):
            yield (), "state either `column` (its name in the file) or `value`"
        coded = {_as_text(key) for key in _mapping(data.get("coding"))}
        both = sorted(coded & {_as_text(text) for text in _list(data.get("missing"))})
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
        "date_format": field.type == "date",
        "coding": field.numeric or field.type == "boolean" or bool(field.enum),
    }
    kind = {"string": "text", "boolean": "yes/no"}.get(field.type, field.type)
    return [
        f"`{option}` has no meaning for a {kind} column"
        for option, fits in belongs.items()
        if option in options and not fits
    ]


class TableSource(_Strict):
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
        By panel, canonical column to :class:`ColumnSource`.
    """

    file: str
    sheet: Annotated[str | int | None, _one_of("a name or a number", str, int)] = None
    delimiter: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    encoding: str | None = None
    comment: str | None = None
    missing: Texts = []
    patient_id: Name
    panels: dict[str, dict[str, ColumnSource]]

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[_Place, str]]:
        """Names that no dictionary has, and one column of the file read as two numbers."""
        if data.get("thousands") is not None and data["thousands"] == data.get("decimal", "."):
            yield (), "`thousands` and `decimal` are the same sign"
        numbers: dict[str, list[str]] = {}
        for panel, columns in _mapping(data.get("panels")).items():
            if panel not in PANELS:
                yield ("panels", str(panel)), f"no such panel; there are {', '.join(PANELS)}"
                continue
            fields = load_schema(panel).fields
            for name, source in _mapping(columns).items():
                place = ("panels", panel, str(name))
                if name == "patient_id":
                    yield place, "stated for the table, not in a panel"
                elif name not in fields:
                    near = get_close_matches(str(name), fields, n=3)
                    known = ", ".join(near or [n for n in fields if n != "patient_id"])
                    hint = "near names are" if near else "there are"
                    yield place, f"no such column; {hint} {known}"
                else:
                    options = {"column": source} if isinstance(source, str) else _mapping(source)
                    yield from ((place, text) for text in _misplaced(options, fields[name]))
                    if fields[name].numeric and "coding" not in options:
                        numbers.setdefault(str(options.get("column")), []).append(name)
        for column, names in numbers.items():
            if column != "None" and len(names) > 1:
                yield ("panels",), f"{column!r} is read as several numbers: {', '.join(names)}"


class CohortSource(_Strict):
    """One cohort: its files and what it serves for."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    role: Literal["train", "test", "external"] = "train"
    title: str = ""
    tables: Annotated[list[TableSource], Field(min_length=1)]

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[_Place, str]]:
        """Columns that two tables give."""
        names = [
            name
            for table in _list(data.get("tables"))
            for columns in _mapping(_mapping(table).get("panels")).values()
            for name in _mapping(columns)
        ]
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            yield (), f"mapped more than once: {', '.join(twice)}"


class Split(_Strict):
    """How patients are divided into training and test data.

    ``by: cohort`` takes each cohort's ``role``. Otherwise the patients of the cohorts with role
    ``train`` are divided by ``site`` (``test``: list of sites), ``year`` (``test_from``) or at
    random (``test_fraction``, ``seed``).
    """

    by: Literal["cohort", "site", "year", "random"] = "cohort"
    test: Texts = []
    test_from: int | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: int = 0

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[_Place, str]]:
        """Keys that a split needs, and keys that only another kind of split needs."""
        by = data.get("by", "cohort")
        needs = {"site": "test", "year": "test_from", "random": "test_fraction"}
        if by in needs and not data.get(needs[by]):
            yield (), f"a split by {by} needs `{needs[by]}`"
        if by == "cohort" or by in needs:
            for other, key in needs.items():
                if other != by and data.get(key):
                    yield (key,), f"is for a split by {other}, not by {by}"


class Study(_Strict):
    """A study file, checked.

    Examples
    --------
    >>> study = Study.model_validate({
    ...     "stratify": 1, "name": "example", "cohorts": [{"name": "a", "tables": [{
    ...         "file": "a.csv", "patient_id": "ID", "panels": {
    ...             "clinical": {"albumin": {"column": "ALB", "unit": "g/L"}}}}]}]})
    >>> study.endpoint, study.mixed_regimens
    ('proxy_pfs6', False)
    """

    stratify: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    title: str = ""
    description: str = ""
    data: str = "."
    cohorts: Annotated[list[CohortSource], Field(min_length=1)]
    endpoint: str = "proxy_pfs6"
    eligible_regimens: Annotated[list[str], Field(min_length=1)] = ["anti_pd1_pdl1"]
    split: Split = Split()
    landmark_weeks: Annotated[float, Field(gt=0)] | None = None
    censored_early: Literal["exclude", "weight"] = "exclude"
    features: list[str] | None = None
    policy: Annotated[str | dict[str, Any] | None, _one_of("a file or a mapping", str, dict)] = None
    thresholds: list[Annotated[float, Field(gt=0, lt=1)]] = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    seed: Annotated[int, Field(ge=0)] = 0
    model: dict[str, Any] = {}
    source: Path | None = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_anchors(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {k: v for k, v in data.items() if not str(k).startswith("x-")}
        return data

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[_Place, str]]:
        """Rules, regimens and features that do not exist, and cohorts of one name."""
        endpoint = data.get("endpoint")
        if isinstance(endpoint, str) and endpoint not in endpoint_rules():
            yield (
                ("endpoint",),
                f"{endpoint!r} is not known; rules are {', '.join(endpoint_rules())}",
            )
        regimens = field_named("regimen").enum
        for regimen in _list(data.get("eligible_regimens")):
            if isinstance(regimen, str) and regimen not in regimens:
                yield (
                    ("eligible_regimens",),
                    f"{regimen!r} is not known; regimens are {', '.join(regimens)}",
                )
        names = [_mapping(cohort).get("name") for cohort in _list(data.get("cohorts"))]
        for name in sorted({str(n) for n in names if n is not None and names.count(n) > 1}):
            yield ("cohorts",), f"two cohorts have the name {name!r}"
        for name in _list(data.get("features")):
            try:
                field = field_named(str(name))
            except ValueError as error:
                yield ("features",), str(error)
                continue
            if field.role != "feature":
                yield ("features",), f"{name} has the role {field.role} and is never a feature"

    @property
    def mixed_regimens(self) -> bool:
        """Whether other regimens than anti-PD-(L)1 monotherapy are eligible."""
        return not MONOTHERAPY.issuperset(self.eligible_regimens)

    @classmethod
    def load(cls, path: str | Path, *, endpoint: str | None = None) -> Study:
        """Read a study file.

        Parameters
        ----------
        path : path
            The YAML file.
        endpoint : str, optional
            Takes the place of the file's endpoint rule.

        Raises
        ------
        FileError
            If it cannot be read.
        DataError
            If it is not YAML or anything in it is wrong; all faults are listed.
        """
        path = Path(path)
        document = read_mapping(path, "study file")
        if endpoint is not None:
            document["endpoint"] = endpoint
        try:
            study = cls.model_validate(document)
        except ValidationError as error:
            raise DataError(f"{path}: {_all_faults(error)}") from None
        return study.model_copy(update={"source": path.resolve()})

    @property
    def folder(self) -> Path:
        """Folder of the data files; ``${NAME:-default}`` is replaced from the environment.

        A value from the environment is relative to the working folder, anything else to the
        study file.
        """
        base = self.source.parent if self.source else Path.cwd()
        match = re.match(r"^\$\{(\w+)(?::-([^}]*))?\}(.*)$", self.data)
        if not match:
            return (base / self.data).resolve()
        name, default, rest = match.groups()
        if os.environ.get(name):
            return Path(os.environ[name] + rest).resolve()
        if default is None:
            raise DataError(f"data: the environment variable {name} is not set.")
        return (base / (default + rest)).resolve()

    def resolved(self) -> dict[str, Any]:
        """Return the study with defaults filled in (but those of columns), as data for YAML."""
        document = self.model_dump(mode="json")
        document["data"] = str(self.folder)
        if isinstance(self.policy, str) and self.source:
            document["policy"] = str((self.source.parent / self.policy).resolve())
        for cohort, plain in zip(self.cohorts, document["cohorts"], strict=True):
            for table, entry in zip(cohort.tables, plain["tables"], strict=True):
                entry["panels"] = table.model_dump(mode="json", exclude_defaults=True)["panels"]
        return document


def _all_faults(error: ValidationError) -> str:
    faults = []
    for item in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in item["loc"]) or "study"
        faults.append(f"{where}: {item['msg']}")
    count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
    return f"{count} in the study file:\n  " + "\n  ".join(faults)

"""Data dictionaries: what every column means, its unit, its limits and where that comes from.

The dictionaries are YAML files in ``data_schemas/`` (Frictionless Table Schema vocabulary plus
``unit, accepted_units, assay, limits, typical, cap, direction, available_at, window_days, role,
reference, loinc``), reviewed by clinicians and read by everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cache, cached_property
from typing import Any, Literal, TypeVar, cast

import numpy as np

from stratify.errors import ArgumentError, StratifyError
from stratify.tables.dictionaries import (
    long_panels,
    outcome_panels,
    patient_panels,
    raw_panels,
    visit_panels,
)
from stratify.tables.documents import document, schemas_folder
from stratify.tables.levels import plain_text

__all__ = [
    "Field",
    "Schema",
    "convert",
    "family_of",
    "field_named",
    "known_field",
    "load_schema",
    "long_panels",
    "outcome_panels",
    "panel_versions",
    "patient_panels",
    "pdl1_cutoffs",
    "raw_panels",
    "signature_sets",
    "visit_panels",
    "week_of",
]

Values = TypeVar("Values", bound=Any)


@cache
def _units() -> dict[str, tuple[str, Fraction]]:
    return {
        unit: (entry["dimension"], Fraction(entry["factor"]))
        for unit, entry in document("units")["units"].items()
    }


@dataclass(frozen=True)
class Field:
    """One column of a dictionary.

    Attributes
    ----------
    name, panel, title, description : str
        Canonical name, its panel, and what it means.
    type : {"string", "number", "integer", "boolean", "date"}
        Frictionless type.
    role : {"feature", "alternative", "identifier", "design", "outcome", "comparator"}
        Only ``feature`` columns may enter a model, and ``alternative`` ones, other forms of a
        feature, where a study names them.
    unit : str or None
        Canonical unit.
    accepted_units : mapping of str to Fraction
        Units a file may have and the exact factor to the canonical unit.
    minimum, maximum : float or None
        Possible values; outside is an error.
    limits, typical, cap : tuple of float or None
        Usual values; range of a cohort's median; range a linear reference model is capped to.
    synonyms : mapping of str to str
        Other spellings of levels and the level they mean.
    severity, uninformative : tuple of str
        Levels from the most severe on, where a cell may hold several terms, of which the most
        severe one is read; terms that say nothing beside others.
    public : bool
        Whether terms are of a public vocabulary, and no patient's: unknown ones are named.
    interval : bool
        Whether laboratories report intervals (``<1``, ``1-49 %``), which are read as such.
    labels : tuple of str
        What may stand before such a value: ``TPS <1 %``.
    skewed : bool
        Whether values span orders of magnitude, so that symmetric ones look like logarithms.
    zeros : float or None
        Largest share of patients with a value of exactly 0 that is known.
    direction : mapping of str to int
        +1 where more goes with more resistance, -1 with less, by indication or ``any``.
    available_at : str
        ``baseline`` or the visit at which the value is known.
    weeks : mapping of str to float
        Weeks from the first dose at which visits, the levels, are due.
    family : str or None
        Pattern of the names that the entry stands for; its group is what their titles add.

    Examples
    --------
    >>> field_named("albumin").unit
    'g/dL'
    >>> smoker = field_named("ever_smoker")
    >>> smoker.direction_for("nsclc"), smoker.direction_for()
    (-1, 0)
    """

    name: str
    panel: str
    type: str
    title: str
    description: str
    role: Literal["feature", "alternative", "identifier", "design", "outcome", "comparator"] = (
        "feature"
    )
    unit: str | None = None
    accepted_units: Mapping[str, Fraction] = field(default_factory=dict)
    assay: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[str, ...] = ()
    synonyms: Mapping[str, str] = field(default_factory=dict)
    severity: tuple[str, ...] = ()
    uninformative: tuple[str, ...] = ()
    public: bool = False
    unique: bool = False
    interval: bool = False
    labels: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    typical: tuple[float, float] | None = None
    cap: tuple[float, float] | None = None
    direction: Mapping[str, int] = field(default_factory=dict)
    available_at: str = "baseline"
    weeks: Mapping[str, float] = field(default_factory=dict)
    family: str | None = None
    skewed: bool = False
    zeros: float | None = None
    window_days: tuple[float, float] | None = None
    time: str | None = None
    reference: str | None = None
    loinc: str | None = None

    @property
    def numeric(self) -> bool:
        """Whether values are numbers with a scale (yes/no columns are not)."""
        return self.type in ("number", "integer")

    @property
    def enters_models(self) -> bool:
        """Whether a model may learn from it."""
        return self.role in ("feature", "alternative")

    @property
    def categorical(self) -> bool:
        """Whether values are levels."""
        return self.type == "string"

    @property
    def dtype(self) -> str:
        """Type of the column in a table that was read."""
        if self.type == "date":
            return "datetime64[s]"
        return "object" if self.categorical else "float64"

    @property
    def spellings(self) -> dict[str, str]:
        """Level by its spellings as :func:`plain_text` gives them."""
        texts = {**self.synonyms, **{level: level for level in self.enum}}
        return {plain_text(text): level for text, level in texts.items()}

    def most_severe(self, text: str, coding: Mapping[str, Any]) -> Any:
        """Level of a cell that holds several terms, the most severe; None where one is unknown.

        Examples
        --------
        >>> field = load_schema("mutations").fields["consequence"]
        >>> field.most_severe("splice_region_variant,missense_variant&NMD_transcript_variant", {})
        'missense'
        >>> field.most_severe("missense_variant,some_new_term", {}) is None
        True
        """
        known = {plain_text(term): level for term, level in coding.items()}
        silent = {plain_text(term) for term in self.uninformative}
        terms = [plain_text(term) for term in re.split(r"[,&;|+]", text)]
        levels = [
            {**self.spellings, **known}.get(term) for term in terms if term and term not in silent
        ]
        if not levels or not set(levels) <= set(self.severity):
            return None
        return min(levels, key=self.severity.index)

    def known_by(self, landmark_weeks: float | None = None) -> bool:
        """Whether the value is known at the baseline, or at a landmark in weeks.

        Parameters
        ----------
        landmark_weeks : float, optional
            Weeks from the first dose; None for the baseline.
        """
        week = week_of(self.available_at)
        return week == 0 or (landmark_weeks is not None and week <= landmark_weeks)

    def direction_for(self, indication: str | None = None) -> int:
        """Direction of the association with resistance, 0 where none holds."""
        if indication is not None and indication in self.direction:
            return self.direction[indication]
        return self.direction.get("any", 0)


class Fields(dict[str, Field]):
    """Fields by name; the entry of a family stands for each of its members."""

    @cached_property
    def _families(self) -> list[tuple[re.Pattern[str], Field]]:
        return [(re.compile(entry.family), entry) for entry in self.values() if entry.family]

    def _member(self, name: object) -> tuple[Field, str] | None:
        """Entry of the family that a name belongs to, and what the name adds to it."""
        for pattern, entry in self._families:
            if isinstance(name, str) and (found := pattern.fullmatch(name)):
                return entry, found[1]
        return None

    def __missing__(self, name: str) -> Field:
        member = self._member(name)
        if member is None:
            raise KeyError(name)
        entry, added = member
        return replace(
            entry, name=name, title=f"{entry.title}: {added.replace('_', ' ')}", family=None
        )

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or self._member(name) is not None

    def entry_of(self, name: str) -> str:
        """Entry that a name falls under; itself where none does."""
        member = None if super().__contains__(name) else self._member(name)
        return name if member is None else member[0].name

    def among(self, names: Iterable[str]) -> dict[str, Field]:
        """Fields of the columns named, in the order of the dictionary, then by name."""
        place = {name: i for i, name in enumerate(self)}
        known = sorted(
            (name for name in set(names) if name in self),
            key=lambda name: (place.get(name, len(place)), name),
        )
        return {name: self[name] for name in known}


@dataclass(frozen=True)
class Schema:
    """One dictionary: the fields of a panel or of a result table.

    Examples
    --------
    >>> schema = load_schema("tmb")
    >>> schema.version, schema.fields["tmb"].unit
    ('1.2.0', 'mut/Mb')
    """

    name: str
    version: str
    title: str
    fields: Fields
    rules: tuple[Mapping[str, Any], ...] = ()
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def _accepted(entry: Mapping[str, Any]) -> dict[str, Fraction]:
    canonical = entry.get("unit")
    if canonical is None:
        return {}
    dimension, to_base = _units()[canonical]
    factors: dict[str, Fraction] = {}
    for unit in entry["accepted_units"]:
        if isinstance(unit, Mapping):  # substance-specific, for example mmol/L
            factors.update({name: Fraction(factor) for name, factor in unit.items()})
        elif unit == "mutations":  # needs the assay's scored Mb, which the study file states
            factors[unit] = Fraction(1)
        else:
            other, factor = _units()[unit]
            if other != dimension:
                raise ArgumentError(f"{entry['name']}: {unit} is not a {dimension}.")
            factors[unit] = factor / to_base
    return factors


def _synonyms(entry: Mapping[str, Any], levels: Sequence[str]) -> dict[str, str]:
    """Level by each of its spellings."""
    stated = entry.get("synonyms", {})
    if isinstance(stated, str):  # the same as of another column
        stated = _entry_of(stated)["synonyms"]
    return {text: level for level, texts in stated.items() if level in levels for text in texts}


_OF_TERMS = ("severity", "uninformative", "public")


def _entry_of(place: str) -> Mapping[str, Any]:
    """Entry of another dictionary, as `mutations.consequence`."""
    panel, _, column = place.partition(".")
    entries: list[dict[str, Any]] = document(f"panels/{panel}")["fields"]
    return next(field for field in entries if field["name"] == column)


def _field(entry: Mapping[str, Any], panel: str) -> Field:
    stated = {**entry.get("constraints", {}), **entry}
    if isinstance(stated.get("synonyms"), str):  # read as another column is
        other = _entry_of(stated["synonyms"])
        stated |= {name: other[name] for name in _OF_TERMS if name in other}
    kept = {f.name: stated[f.name] for f in fields(Field) if f.name in stated}
    enum = tuple(stated.get("enum", ()))
    pairs = {
        name: (float(stated[name][0]), float(stated[name][1]))
        for name in ("limits", "typical", "cap", "window_days")
        if name in stated
    }
    read = {
        "panel": panel,
        "enum": enum,
        "synonyms": _synonyms(entry, enum),
        "accepted_units": _accepted(entry),
        **{name: tuple(stated.get(name, ())) for name in ("labels", "severity", "uninformative")},
    }
    return Field(**{**kept, **pairs, **read})


def _read_field(entry: Mapping[str, Any], panel: str) -> Field:
    try:
        return _field(entry, panel)
    except (KeyError, TypeError, ValueError) as error:  # only packages have entries untested
        raise StratifyError(
            f"The dictionary {panel} has an entry {entry.get('name')} that cannot be read: "
            f"{type(error).__name__}, {error}. Correct it in the package that adds it."
        ) from error


@cache
def load_schema(name: str) -> Schema:
    """Load a dictionary by name.

    Examples
    --------
    >>> list(load_schema("findings").fields)
    ['code', 'severity', 'cohort', 'panel', 'column', 'n', 'message', 'advice']
    """
    for folder in ("panels", "results"):
        if (schemas_folder() / folder / f"{name}.yaml").is_file():
            content = document(f"{folder}/{name}")
            return Schema(
                name=content["name"],
                version=content["version"],
                title=content["title"],
                fields=Fields({e["name"]: _read_field(e, name) for e in content["fields"]}),
                rules=tuple(content.get("rules", ())),
                codes=content.get("codes", {}),
            )
    known = sorted(path.stem for path in schemas_folder().glob("*s/*.yaml"))
    raise ArgumentError(f"No data dictionary is named {name!r}; there are {', '.join(known)}.")


@cache
def _fields() -> Fields:
    found = Fields()
    for panel in patient_panels():
        for name, entry in load_schema(panel).fields.items():
            if name in found.keys():  # noqa: SIM118, members of families may have their own entry
                raise StratifyError(
                    f"The panels {found[name].panel} and {panel} both have a column {name}. Rename "
                    "it in the package that adds it, or uninstall the package."
                )
            if name != "patient_id":
                found[name] = entry
    return found


def field_named(name: str) -> Field:
    """Field of any panel by its canonical name.

    Examples
    --------
    >>> field_named("pdl1_tps").panel
    'pdl1'
    >>> field_named("signature_tgf_beta").title
    'Expression signature: tgf beta'
    """
    fields = _fields()
    if name not in fields:
        from difflib import get_close_matches

        near = get_close_matches(name, fields, n=3)
        hint = f"; near names are {', '.join(near)}" if near else ""
        raise ArgumentError(f"No panel has a column named {name!r}{hint}.")
    return fields[name]


def known_field(name: str) -> Field | None:
    """Field of any panel by its canonical name, None for a column outside the dictionaries.

    Examples
    --------
    >>> known_field("shoe_size") is None
    True
    """
    fields = _fields()
    return fields[name] if name in fields else None  # noqa: SIM401, `get` knows no pattern


def family_of(name: str) -> str:
    """Entry of the dictionaries that a name falls under; itself where none does.

    Examples
    --------
    >>> family_of("signature_tgfb"), family_of("albumin"), family_of("shoe_size")
    ('signature_*', 'albumin', 'shoe_size')
    """
    return _fields().entry_of(name)


def week_of(visit: str) -> float:
    """Weeks from the first dose at which a visit is due, as in the ``plasma_draws`` dictionary.

    Examples
    --------
    >>> week_of("baseline"), week_of("week_6")
    (0, 6)
    """
    return load_schema("plasma_draws").fields["draw_visit"].weeks[visit]


def panel_versions() -> dict[str, str]:
    """Version of the dictionary of every panel with one row a patient.

    Examples
    --------
    >>> panel_versions()["tmb"].count(".")
    2
    """
    return {panel: load_schema(panel).version for panel in patient_panels()}


def signature_sets() -> dict[str, Any]:
    """Genes of signatures and cells of deconvolution, as in ``data_schemas/signatures.yaml``.

    Examples
    --------
    >>> signature_sets()["signatures"]["cyt"]["genes"]
    ['GZMA', 'PRF1']
    """
    return document("signatures")


def pdl1_cutoffs() -> dict[str, Any]:
    """Clones, levels and dated cut-offs of PD-L1, as in ``data_schemas/pdl1_cutoffs.yaml``.

    Examples
    --------
    >>> pdl1_cutoffs()["levels"]["pdl1_ic"]["IC1"]
    [1, 5]
    """
    return document("pdl1_cutoffs")


def convert(values: Values, unit: str, name: str | Field, *, back: bool = False) -> Values:
    """Convert values of a column from a file's unit to the canonical unit, or back.

    The factor is an exact fraction, applied as one multiplication and one division, so that
    38 g/L is 3.8 g/dL and not 3.8000000000000003.

    Parameters
    ----------
    unit : str
        One of the column's accepted units.
    name : str or Field
        Canonical column name of a panel with one row a patient, or the column of any.

    Examples
    --------
    >>> convert(38.0, "g/L", "albumin")
    3.8
    >>> convert(182.625, "days", "pfs")
    6.0
    >>> convert(6.0, "days", "pfs", back=True)
    182.625
    """
    column = name if isinstance(name, Field) else field_named(name)
    accepted = column.accepted_units
    if unit not in accepted:
        raise ArgumentError(
            f"{column.name} cannot be read in {unit!r}; accepted units are "
            f"{', '.join(accepted) or 'none'}."
        )
    factor = 1 / accepted[unit] if back else accepted[unit]
    if factor == 1:
        return values
    with np.errstate(over="ignore"):
        return cast(Values, values * float(factor.numerator) / float(factor.denominator))

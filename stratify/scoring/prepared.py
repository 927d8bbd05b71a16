"""Patients as a model takes them, made in one way from whatever holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Flags, Ints, Strings
from stratify.biomarkers.derivation import DerivationRules, derive
from stratify.cohort.feature_plan import FeaturePlan
from stratify.cohort.features import model_matrix
from stratify.errors import DataError
from stratify.model.columns import FeatureColumns, array_of, array_of_one
from stratify.tables.dictionaries import patient_panels
from stratify.tables.findings import Findings
from stratify.tables.possible import contradicts, impossible_numbers, unknown_levels
from stratify.tables.schema import Field, field_named, known_field, load_schema

__all__ = ["KEYS", "Prepared", "prepared"]

KEYS = ("patient_id", "cohort")


@dataclass(frozen=True)
class Prepared:
    """Patients with everything that a model asks of them.

    Attributes
    ----------
    values : mapping of str to ndarray of shape (n_patients,)
        Canonical columns, derived ones included.
    columns : FeatureColumns
        Features of the model.
    assays : mapping of str to mapping of str to str
        Assay by column and cohort.
    index : Index
        That of the table given.
    faults : dict of tuple of str to ndarray of bool of shape (n_patients,)
        Values that cannot be, by code of the finding and column; they are read as missing.
    contradictions : dict of tuple of str to ndarray of bool of shape (n_patients,)
        Values that contradict those of another column, by code and column; they are kept.
    """

    values: Mapping[str, npt.NDArray[Any]]
    columns: FeatureColumns
    assays: Mapping[str, Mapping[str, str]]
    index: pd.Index
    faults: Mapping[tuple[str, str], Flags] = field(default_factory=dict)
    contradictions: Mapping[tuple[str, str], Flags] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Canonical columns as a table of shape (n_patients, ...)."""
        return pd.DataFrame(dict(self.values), index=self.index)

    @cached_property
    def matrix(self) -> pd.DataFrame:
        """Features as a table of shape (n_patients, n_features): float64, levels as objects."""
        return model_matrix(self.table, self.columns.columns)

    def take(self, rows: Flags | Ints | slice) -> Prepared:
        """Give some of the patients; what is wrong with others is left out."""
        values = {name: each[rows] for name, each in self.values.items()}
        index = self.index[rows]
        known = self.columns
        columns = FeatureColumns(values, known.columns, known.levels, len(index))
        faults, contradictions = (
            {key: wrong[rows] for key, wrong in each.items() if wrong[rows].any()}
            for each in (self.faults, self.contradictions)
        )
        return Prepared(values, columns, self.assays, index, faults, contradictions)

    @property
    def cohorts(self) -> Strings:
        """Cohort of each patient."""
        return self.values["cohort"]

    def add_faults(self, findings: Findings) -> None:
        """Report the values that cannot be, by column."""
        for (code, name), wrong in self.faults.items():
            known, n = field_named(name), int(wrong.sum())
            text = f"{name}: values of {n} of {len(self)} patients {_WRONG[code]}."
            findings.add(code, text.format(_expected(known)), panel=known.panel, column=name, n=n)

    def add_contradictions(self, findings: Findings) -> None:
        """Report the values that contradict those of another column."""
        for (code, name), wrong in self.contradictions.items():
            n, panel = int(wrong.sum()), field_named(name).panel
            text = f"{name} is smaller than it can be with another column in {n} of {len(self)}"
            findings.add(code, f"{text} patients.", panel=panel, column=name, n=n)

    def require_sound(self, findings: Findings | None = None) -> Prepared:
        """Raise a DataError that lists the values that cannot be, or collect it in `findings`."""
        if self.faults:
            collector = Findings() if findings is None else findings
            self.add_faults(collector)
            if findings is None:
                texts = " ".join(str(row["message"]) for row in collector.rows)
                raise DataError(f"Values cannot be scored. {texts}", collector.table())
        return self

    @property
    def sound(self) -> Flags:
        """Patients without values that cannot be."""
        sound = np.ones(len(self), dtype=bool)
        for wrong in self.faults.values():
            sound &= ~wrong
        return sound

    def findings_by_patient(self) -> Strings:
        """List what is wrong with each patient, as ``code:column`` separated by semicolons."""
        texts = np.full(len(self), "", dtype=object)
        for (code, name), wrong in (*self.faults.items(), *self.contradictions.items()):
            what = f"{code}:{name}"
            texts[wrong] = [f"{text};{what}" if text else what for text in texts[wrong]]
        return texts


# What is wrong with a value that cannot be, and what is expected of its column.
_WRONG = {
    "not_numeric": "are no finite numbers",
    "outside_limits": "lie outside the possible {}",
    "not_integer": "are fractions where whole numbers are expected",
    "unknown_category": "are not known; {}",
}


def _expected(known: Field) -> str:
    if known.categorical:
        return f"levels are {', '.join(known.enum)}" if known.enum else "short texts are expected"
    if known.type == "boolean":
        return "0 and 1"
    ends = [f"{end:g}" for end in (known.minimum, known.maximum) if end is not None]
    return f"{' to '.join(ends)}{f' {known.unit}' if known.unit else ''}"


def prepared(
    source: pd.DataFrame | Mapping[str, Any],
    plan: FeaturePlan,
    levels: Mapping[str, Sequence[str]],
    *,
    assays: Mapping[str, Mapping[str, str]] | None = None,
    rules: Mapping[str, DerivationRules] | None = None,
    findings: Findings | None = None,
    cohort: str = "table",
) -> Prepared:
    """Patients as a model takes them.

    Parameters
    ----------
    source : DataFrame of shape (n_patients, ...), or mapping of str to value
        Canonical columns in the units of the dictionaries, any of them absent; a mapping is one
        patient.
    assays : mapping of str to mapping of str to str, optional
        Assay by column and cohort.
    rules : mapping of str to DerivationRules, optional
        By cohort; by default those of the plan.
    findings : Findings, optional
        Collector of what derivations find; by default it is not reported.

    Returns
    -------
    Prepared
        Values that cannot be are missing in it, and stand in its `faults`.
    """
    n = len(source) if isinstance(source, pd.DataFrame) else 1
    values, faults = _read(source, plan, n)
    index = source.index if isinstance(source, pd.DataFrame) else pd.RangeIndex(1)
    values.setdefault("patient_id", np.array([str(i + 1) for i in range(n)], dtype=object))
    values.setdefault("cohort", np.full(n, cohort, dtype=object))
    stated = assays or {}
    by_cohort = {}
    names = values["cohort"] if n == 1 else pd.unique(values["cohort"])
    for name in map(str, names):
        of_cohort = {column: each[name] for column, each in stated.items() if name in each}
        by_cohort[name] = (rules or {}).get(name) or plan.rules(of_cohort)
    for rule, own in _alike(by_cohort):
        rows = None if len(own) == len(by_cohort) else np.isin(values["cohort"], own)
        part = values if rows is None else {name: each[rows] for name, each in values.items()}
        changed = derive(part, plan.derivations, rule, cohort=own[0], findings=findings)
        for name, derived in changed.items():
            if rows is None:
                values[name] = derived
                continue
            whole = values.get(name, np.full(n, np.nan, dtype=derived.dtype)).copy()
            whole[rows] = derived
            values[name] = whole
    columns = FeatureColumns(values, plan.features, levels, n)
    return Prepared(values, columns, stated, index, faults, _contradictions(values, plan, stated))


@cache
def _rules() -> tuple[Mapping[str, Any], ...]:
    return tuple(rule for panel in patient_panels() for rule in load_schema(panel).rules)


def _contradictions(
    values: Mapping[str, npt.NDArray[Any]],
    plan: FeaturePlan,
    assays: Mapping[str, Mapping[str, str]],
) -> dict[tuple[str, str], Flags]:
    """Values that contradict those of another column, by the rules of the dictionaries."""
    found: dict[tuple[str, str], Flags] = {}
    for rule in _rules():
        larger, smaller = rule["column"], rule["at_least"]
        both = {larger, smaller} <= values.keys()
        if not both or any(_kind(name, plan.input_set) != "number" for name in (larger, smaller)):
            continue
        if rule.get("same_assay") and assays.get(larger) != assays.get(smaller):
            continue
        wrong = contradicts(rule, values)
        if wrong.any():
            key = rule["code"], larger
            found[key] = wrong | found.get(key, False)
    return found


def _alike(by_cohort: Mapping[str, DerivationRules]) -> list[tuple[DerivationRules, list[str]]]:
    """Cohorts of the same rules together."""
    groups: list[tuple[DerivationRules, list[str]]] = []
    for name, rule in by_cohort.items():
        for known, names in groups:
            if known == rule:
                names.append(name)
                break
        else:
            groups.append((rule, [name]))
    return groups


def _read(
    source: pd.DataFrame | Mapping[str, Any], plan: FeaturePlan, n: int
) -> tuple[dict[str, npt.NDArray[Any]], dict[tuple[str, str], Flags]]:
    """Read columns as arrays of their kind; values that cannot be are missing, and listed."""
    one, inputs = not isinstance(source, pd.DataFrame), plan.input_set
    values: dict[str, npt.NDArray[Any]] = {}
    wrong: dict[tuple[str, str], Flags] = {}
    numbers = []
    for name in map(str, source):
        kind = _kind(name, inputs)
        if kind == "number":
            numbers.append(name)
        elif kind == "level":
            cells = source[name]
            values[name] = array_of_one(cells, level=True)[0] if one else cells.to_numpy(object)
            for unknown in unknown_levels(values[name], field_named(name)):
                wrong["unknown_category", name] = unknown
        else:
            cells = [source[name]] if one else source[name]
            values[name] = np.asarray(cells, dtype=object if one else None)
    matrix = np.empty((n, len(numbers)), order="F")
    garbled = np.zeros_like(matrix, dtype=bool)
    read = array_of_one if one else array_of
    for j, name in enumerate(numbers):
        matrix[:, j], text = read(source[name], level=False)
        if text is not None:
            garbled[:, j] = text
        values[name] = matrix[:, j]
    for code, marks in {"text": garbled, **impossible_numbers(matrix, tuple(numbers))}.items():
        for j in np.flatnonzero(marks.any(axis=0)).tolist():
            key = ("not_numeric" if code == "text" else code, numbers[j])
            wrong[key] = marks[:, j] | wrong.get(key, False)
    for (_, name), rows in wrong.items():
        values[name] = np.where(rows, np.nan, values[name])
    if len(wrong) > 1:  # in the order of the columns
        place = {str(name): k for k, name in enumerate(source)}
        wrong = dict(sorted(wrong.items(), key=lambda each: place[each[0][1]]))
    return values, wrong


@lru_cache(maxsize=4096)
def _kind(name: str, plan_inputs: frozenset[str]) -> str:
    """How a column is read: as numbers, levels, or as it is."""
    known = None if name in KEYS else known_field(name)
    if known is None or known.type == "date":
        return "other"
    if name not in plan_inputs and known.role not in ("feature", "alternative", "design"):
        return "other"
    return "level" if known.categorical else "number"

"""Plausibility of whole columns: another unit, filled-in values, impossible values, contradictions.

Every check reads its limits from the dictionary and says what it found without naming a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stratify.findings import Findings, lines_text
from stratify.schema import Field, Schema, convert
from stratify.study import ColumnSource

__all__ = [
    "SCALES",
    "Place",
    "check_events",
    "check_filled_in",
    "check_possible",
    "check_rules",
    "check_usual",
    "fits_another_unit",
]

# Checks of a whole column need so many values; fewer say nothing about units or filling in.
ENOUGH_VALUES = 20
# Above this share, one value of a continuous biomarker looks filled in.
IMPUTED_SHARE = 0.3
SCALES: Mapping[str, Callable[[Any], Any]] = {
    "ln": np.exp,
    "log2": np.exp2,
    "log10": lambda x: 10.0**x,
    "log1p": np.expm1,
}


@dataclass(frozen=True)
class Place:
    """Where a column is read; gives findings their cohort, panel and column."""

    findings: Findings
    cohort: str
    file: str
    field: Field

    def add(self, code: str, message: str, n: int) -> None:
        """Add a finding about this column."""
        self.findings.add(
            code,
            message,
            cohort=self.cohort,
            panel=self.field.panel,
            column=self.field.name,
            n=n,
        )

    def at(self, wrong: pd.Series) -> str:
        """File and lines of the rows marked in ``wrong``."""
        return f"{self.file}, {lines_text(np.flatnonzero(wrong.to_numpy()))}"


def fits_another_unit(
    values: pd.Series, unit: str | None, source: ColumnSource, place: Place
) -> str | None:
    """Say that the values fit another unit or scale; None if they fit the stated one."""
    field = place.field
    given = values.dropna()
    if len(given) <= ENOUGH_VALUES or (unit is None and len(field.accepted_units) > 1):
        return None
    stated = source.unit or field.unit
    suspect = None
    if field.unit == "percent" and unit == "percent" and 0 < given.max() <= 1:
        suspect = f"fraction (no value exceeds 1 among {len(given)})"
    elif field.unit == "fraction" and unit == "fraction" and 1 < given.max() <= 100:
        suspect = f"percent (values exceed 1 among {len(given)})"
    elif field.typical:
        low, high = field.typical
        median = float(given.median())
        if not low <= median <= high or (given < 0).any():
            raw_median = median if unit is None else convert(median, unit, field.name, back=True)
            usual = f"the median lies outside {low:g} to {high:g} {field.unit}"
            for other, factor in field.accepted_units.items():
                if other not in (unit, "mutations") and (
                    low <= raw_median * float(factor) <= high and not (given < 0).any()
                ):
                    suspect = f"{other} ({usual})"
                    break
            if suspect is None and source.scale == "linear" and (given < 0).any():
                for scale, inverse in SCALES.items():
                    if field.minimum == 0 and low <= float(np.median(inverse(given))) <= high:
                        suspect = f"{scale} of {stated} (negative values)"
                        break
            if suspect is None and field.unit == "mut/Mb" and unit == "mut/Mb" and median > high:
                suspect = f"mutations per exome or panel ({usual})"
    if suspect is None:
        return None
    place.add(
        "looks_like_another_unit",
        f"{place.file}: {field.name} is stated in {stated or 'no unit'} but looks like {suspect}.",
        len(given),
    )
    return suspect


def check_usual(values: pd.Series, place: Place) -> None:
    """Tell of values that are possible but outside the usual limits."""
    field = place.field
    if field.limits is None:
        return
    low, high = field.limits
    possible = values.between(
        -np.inf if field.minimum is None else field.minimum,
        np.inf if field.maximum is None else field.maximum,
    )
    unusual = possible & ~values.between(low, high)
    if unusual.any():
        place.add(
            "unusual_value",
            f"{place.at(unusual)}: outside the usual {low:g} to {high:g} {field.unit}.",
            int(unusual.sum()),
        )


def check_filled_in(values: pd.Series, place: Place, source: ColumnSource) -> pd.Series:
    """Read a biomarker with one value for all as missing; tell of one too frequent value."""
    given = values.dropna()
    if len(given) < ENOUGH_VALUES or place.field.role != "feature":
        return values
    counts = given.value_counts()
    value, times = float(counts.index[0]), int(counts.iloc[0])
    if len(counts) == 1 and source.column is not None and value not in (0.0, place.field.maximum):
        place.add(
            "constant_column",
            f"{place.file}: one value for all {len(given)} patients; measured values differ.",
            len(given),
        )
        return pd.Series(np.nan, index=values.index, dtype=float)
    boundary = {0.0, 1.0, float(given.min()), float(given.max()), place.field.maximum}
    if (
        times > IMPUTED_SHARE * len(given)
        and len(counts) >= ENOUGH_VALUES
        and value not in boundary
    ):
        place.add(
            "imputed_looking",
            f"{place.file}: one value stands in {times} of {len(given)} patients, as if filled in.",
            times,
        )
    return values


def check_possible(
    frame: pd.DataFrame,
    schema: Schema,
    columns: dict[str, ColumnSource],
    file: str,
    cohort: str,
    findings: Findings,
) -> None:
    """Possible values, checked by pandera from the dictionary's constraints, all at once."""
    told = {
        str(row["column"])
        for row in findings.rows
        if row["code"] in ("looks_like_another_unit", "unit_absent", "unit_unknown")
        and row["cohort"] == cohort
    }
    fast = [
        name
        for name in columns
        if schema.fields[name].numeric and name not in told and _outside(frame, schema.fields[name])
    ]
    if not fast:
        return
    import pandera.pandas as pa
    from pandera.errors import SchemaErrors

    compiled = pa.DataFrameSchema(
        {
            name: pa.Column(
                nullable=True,
                checks=[
                    pa.Check.ge(bound) if side == "minimum" else pa.Check.le(bound)
                    for side in ("minimum", "maximum")
                    if (bound := getattr(schema.fields[name], side)) is not None
                ],
            )
            for name in fast
        }
    )
    try:
        compiled.validate(frame, lazy=True)
    except SchemaErrors as errors:
        for name, cases in errors.failure_cases.groupby("column", sort=False):
            field = schema.fields[str(name)]
            wrong = frame.index.isin(cases["index"].dropna().astype(int))
            place = Place(findings, cohort, file, field)
            negative_time = field.role == "outcome" and (frame.loc[wrong, str(name)] < 0).all()
            low = "" if field.minimum is None else f"{field.minimum:g}"
            high = "" if field.maximum is None else f" to {field.maximum:g}"
            where = place.at(pd.Series(wrong))
            if negative_time:
                place.add(
                    "outcome_before_first_dose",
                    f"{where}: {field.name} is negative; time is counted from the first dose.",
                    int(wrong.sum()),
                )
            else:
                place.add(
                    "outside_limits",
                    f"{where}: {field.name} outside the possible {low}{high} "
                    f"{field.unit or ''}".rstrip()
                    + ".",
                    int(wrong.sum()),
                )


def _outside(frame: pd.DataFrame, field: Field) -> bool:
    """Fast check; pandera reports only on columns that fail it."""
    values = frame[field.name]
    low = -np.inf if field.minimum is None else field.minimum
    high = np.inf if field.maximum is None else field.maximum
    return bool((values.notna() & ~values.between(low, high)).any())


def check_rules(
    frame: pd.DataFrame,
    schema: Schema,
    columns: dict[str, ColumnSource],
    file: str,
    cohort: str,
    findings: Findings,
) -> None:
    """Check the dictionary's rules between two columns, such as CPS at least TPS."""
    for rule in schema.rules:
        larger, smaller = rule["column"], rule["at_least"]
        if larger not in columns or smaller not in columns:
            continue
        if rule.get("same_assay") and columns[larger].assay != columns[smaller].assay:
            continue
        wrong = frame[larger] < frame[smaller] - rule["tolerance"]
        if wrong.any():
            place = Place(findings, cohort, file, schema.fields[larger])
            both = int((frame[larger].notna() & frame[smaller].notna()).sum())
            many = rule.get("many")
            is_many = many is not None and wrong.sum() > max(3, many["share"] * both)
            place.add(
                many["code"] if is_many else rule["code"],
                f"{place.at(wrong)}: {larger} is smaller than {smaller} in {int(wrong.sum())} of "
                f"{both} patients.",
                int(wrong.sum()),
            )


def check_events(frame: pd.DataFrame, schema: Schema, cohort: str, findings: Findings) -> None:
    """Censored patients have been followed longer than patients with events took to have them."""
    for field in schema.fields.values():
        if field.time is None or not {field.name, field.time} <= set(frame.columns):
            continue
        events = frame.loc[frame[field.name] == 1, field.time].dropna()
        censored = frame.loc[frame[field.name] == 0, field.time].dropna()
        if min(len(events), len(censored)) < 10:
            continue
        if events.median() > 1.5 * censored.median():
            findings.add(
                "event_coding_suspicious",
                f"{field.name}: by median {field.time}, events come "
                f"{events.median() / censored.median():.1f} times later than censored follow-up "
                "ends.",
                cohort=cohort,
                panel=field.panel,
                column=field.name,
                n=len(events) + len(censored),
            )

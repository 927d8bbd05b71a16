"""Plausibility of columns and cohorts: another unit, filled-in values, contradictions.

Every check reads its limits from the dictionary and says what it found without naming a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stratify.tables.findings import Findings, lines_text
from stratify.tables.schema import Field, Schema, field_named, long_panels
from stratify.tables.sources import ColumnSource

__all__ = [
    "SCALES",
    "Place",
    "check_assays",
    "check_dates",
    "check_events",
    "check_features_time",
    "check_filled_in",
    "check_possible",
    "check_rules",
    "check_usable",
    "check_usual",
    "fits_another_unit",
]

# Checks of a whole column need so many values; fewer say nothing about units or filling in.
ENOUGH_VALUES = 20
# Above this share, one value of a continuous biomarker looks filled in.
IMPUTED_SHARE = 0.3
# Up to this share, impossible values are faults of single cells, not of the whole column.
FEW = 0.05
# Below so many patients in the smaller class, figures say little (definitions and README).
FEW_EVENTS = 50
_Flags = np.ndarray[Any, np.dtype[np.bool_]]
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
        return f"{self.file}, {lines_text(wrong.index[wrong], str(wrong.index.name or 'row'))}"


def fits_another_unit(
    values: pd.Series, as_given: pd.Series, source: ColumnSource, place: Place
) -> bool:
    """Say if the values fit another unit or scale than the stated one.

    ``values`` are in the canonical unit, ``as_given`` in the file's.
    """
    field = place.field
    known = values.notna().to_numpy()
    given, raw = values.to_numpy()[known], as_given.to_numpy()[known]
    if len(given) <= ENOUGH_VALUES or field.panel in long_panels():  # those: at baseline alone
        return False
    suspect = None
    above = int((raw > 1).sum())
    low_shares = field.unit == "fraction" and field.typical is not None  # such as VAF in percent
    if source.unit == "percent" and 0 < raw.max() <= 1 and not low_shares:
        suspect = f"fraction (no value exceeds 1 among {len(given)})"
    elif source.unit == "fraction" and raw.max() <= 100 and above > FEW * len(given):
        suspect = f"percent ({above} values exceed 1 among {len(given)})"
    elif field.typical:
        low, high = field.typical
        negative = int((given < 0).sum())
        if negative > max(1, FEW * len(given)):
            if source.scale == "linear" and field.minimum == 0 and field.role == "feature":
                with np.errstate(over="ignore"):
                    medians = {name: np.median(inverse(given)) for name, inverse in SCALES.items()}
                fitting = [name for name, median in medians.items() if low <= median <= high]
                if fitting:
                    suspect = (
                        f"its logarithm, {' or '.join(fitting)} ({negative} values of "
                        f"{len(given)} are negative)"
                    )
        elif not low <= (median := float(np.median(given))) <= high:
            usual = f"the median lies outside {low:g} to {high:g} {field.unit}"
            fitting = [
                unit
                for unit, factor in field.accepted_units.items()
                if unit not in (source.unit, "mutations")
                and low <= float(np.median(raw)) * float(factor) <= high
            ]
            if fitting:
                suspect = f"{' or '.join(fitting)} ({usual})"
            elif field.unit == source.unit == "mut/Mb" and median > high:
                suspect = f"mutations per exome or panel ({usual})"
    if suspect is None:
        return False
    place.add(
        "looks_like_another_unit",
        f"{place.file}: {field.name} is stated in {source.unit or field.unit} but looks like "
        f"{suspect}.",
        len(given),
    )
    return True


def check_usual(values: pd.Series, place: Place) -> None:
    """Tell of values that are possible but outside the usual limits."""
    field = place.field
    if field.limits is None:
        return
    low, high = field.limits
    unusual = _within(values, field.minimum, field.maximum) & ~_within(values, low, high)
    if unusual.any():
        place.add(
            "unusual_value",
            f"{place.at(pd.Series(unusual, values.index))}: {field.name} outside the usual "
            f"{low:g} to {high:g} {field.unit}.",
            int(unusual.sum()),
        )


def _within(values: pd.Series, low: float | None, high: float | None) -> _Flags:
    """Flag values between two limits; missing values are between none."""
    numbers = values.to_numpy()
    return np.asarray(
        (numbers >= (-np.inf if low is None else low))
        & (numbers <= (np.inf if high is None else high))
    )


def check_filled_in(values: pd.Series, place: Place, source: ColumnSource) -> pd.Series:
    """Read a biomarker with one value for all as missing; tell of one too frequent value."""
    given = values.dropna().to_numpy()
    if len(given) < ENOUGH_VALUES or place.field.role != "feature" or not place.findings.whole:
        return values
    distinct, counts = np.unique(given, return_counts=True)
    if (
        len(distinct) == 1
        and source.column is not None
        and distinct[0] not in (0.0, place.field.maximum)
    ):
        place.add(
            "constant_column",
            f"{place.file}: one value for all {len(given)} patients; measured values differ.",
            len(given),
        )
        return pd.Series(np.nan, index=values.index, dtype=float)
    # scores end at their limits in many patients; nobody ends at one value within
    ends = (0.0, 1.0, distinct[0], distinct[-1], place.field.maximum)
    most = max(
        (n for value, n in zip(distinct, counts, strict=True) if value not in ends), default=0
    )
    if len(distinct) >= ENOUGH_VALUES and most > IMPUTED_SHARE * len(given):
        place.add(
            "imputed_looking",
            f"{place.file}: one value stands in {most} of {len(given)} patients, as if filled in.",
            most,
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
    """Possible values by the dictionary's constraints; a doubtful unit says it already."""
    unsure = {
        str(row["column"])
        for row in findings.rows
        if row["code"] in ("looks_like_another_unit", "unit_absent", "unit_unknown")
        and row["cohort"] == cohort
    }
    for name in columns:
        field = schema.fields[name]
        if not field.numeric or name in unsure:
            continue
        values = frame[name]
        wrong = values.notna() & ~_within(values, field.minimum, field.maximum)
        place = Place(findings, cohort, file, field)
        before = wrong & (values < 0) & (field.role == "outcome")
        if before.any():
            place.add(
                "outcome_before_first_dose",
                f"{place.at(before)}: {field.name} is negative; time is counted from the "
                "first dose.",
                int(before.sum()),
            )
        beyond = wrong & ~before
        if beyond.any():
            unit = f" {field.unit}" if field.unit else ""
            place.add(
                "outside_limits",
                f"{place.at(beyond)}: {field.name} outside the possible {field.minimum:g} to "
                f"{field.maximum:g}{unit}.",
                int(beyond.sum()),
            )


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
        # as far as intervals allow: up to the upper bound of one, from the lower of the other
        high, low = f"{larger}_high", f"{smaller}_low"
        most = frame[high if high in frame else larger]
        wrong = most < frame[low if low in frame else smaller] - rule["tolerance"]
        if wrong.any():
            place = Place(findings, cohort, file, schema.fields[larger])
            both = int((frame[larger].notna() & frame[smaller].notna()).sum())
            many = rule.get("many")
            code = rule["code"]
            if many is not None and wrong.sum() > max(3, many["share"] * both):
                code = many["code"]
            place.add(
                code,
                f"{place.at(wrong)}: {larger} is smaller than {smaller} in {int(wrong.sum())} of "
                f"{both} patients.",
                int(wrong.sum()),
            )


def check_events(
    frame: pd.DataFrame, schema: Schema, file: str, cohort: str, findings: Findings
) -> None:
    """Events come no later than follow-up ends, and progressive disease is an event of PFS."""
    for field in schema.fields.values():
        if field.time is None or not {field.name, field.time} <= set(frame.columns):
            continue
        place = Place(findings, cohort, file, field)
        events = frame.loc[frame[field.name] == 1, field.time].dropna()
        censored = frame.loc[frame[field.name] == 0, field.time].dropna()
        if min(len(events), len(censored)) >= 10 and events.median() > 1.5 * censored.median():
            times = events.median() / max(float(censored.median()), 0.01)
            place.add(
                "event_coding_suspicious",
                f"{file}: by median {field.time}, events of {field.name} come {times:.1f} times "
                "later than censored follow-up ends.",
                len(events) + len(censored),
            )
    if {"pfs_event", "best_response"} <= set(frame.columns):
        known = frame.loc[frame["best_response"] == "PD", "pfs_event"].dropna()
        without = int((known == 0).sum())
        if len(known) >= 10 and without > len(known) / 2:
            Place(findings, cohort, file, schema.fields["pfs_event"]).add(
                "event_coding_suspicious",
                f"{file}: {without} of {len(known)} patients with progressive disease as best "
                "response have no event of PFS.",
                without,
            )


def check_dates(joined: pd.DataFrame, cohort: str, findings: Findings) -> None:
    """Sample dates against the first dose: later is leakage, much earlier is stale."""
    if "first_dose_date" not in joined:
        return
    for name in joined.columns:
        if (
            name in ("patient_id", "cohort", "split")
            or (window := field_named(name).window_days) is None
        ):
            continue
        days = (joined[name] - joined["first_dose_date"]).dt.days
        field = field_named(name)
        for code, wrong, text in (
            ("post_baseline_value", days > window[1], "after the first dose"),
            (
                "date_outside_window",
                days < window[0],
                f"more than {-window[0]:g} days before the first dose",
            ),
        ):
            if wrong.any():
                findings.add(
                    code,
                    f"{int(wrong.sum())} of {int(days.notna().sum())} samples were taken {text}.",
                    cohort=cohort,
                    panel=field.panel,
                    column=name,
                    n=int(wrong.sum()),
                )


def check_features_time(
    features: Sequence[str] | None, findings: Findings, landmark_weeks: float | None = None
) -> None:
    """Tell of features that are known only after the first dose, or after the landmark."""
    for name in features or []:
        field = field_named(name)
        if not field.known_by(landmark_weeks):
            after = "the first dose" if landmark_weeks is None else "the landmark"
            findings.add(
                "post_baseline_value",
                f"{name} is known at {field.available_at}, after {after}.",
                panel=field.panel,
                column=name,
                n=1,
            )


def check_assays(assays: Mapping[str, Mapping[str, str]], findings: Findings) -> None:
    """Tell of biomarkers measured with different assays, which must not be pooled unseen."""
    for name, by_cohort in sorted(assays.items()):
        if len(set(by_cohort.values())) > 1:
            listed = ", ".join(f"{cohort}: {assay}" for cohort, assay in by_cohort.items())
            findings.add(
                "assay_differs",
                f"{name} by cohort: {listed}.",
                panel=field_named(name).panel,
                column=name,
                n=len(set(by_cohort.values())),
            )


def check_usable(table: pd.DataFrame, findings: Findings) -> None:
    """Whether training data and each other cohort hold patients of both labels, and enough."""
    groups = [("", table[table["split"] == "train"])] + [
        (str(c), rows) for c, rows in table[table["split"] != "train"].groupby("cohort", sort=True)
    ]
    for cohort, rows in groups:
        label = rows["label"].dropna()
        what = cohort or "training data"
        if label.empty and len(rows):
            findings.add(
                "no_patient_left",
                f"{what}: none of {len(rows)} eligible patients has a label.",
                cohort=cohort,
                panel="outcomes",
                n=len(rows),
            )
        if label.empty:
            continue
        smaller = int(min((label == 0).sum(), (label == 1).sum()))
        if smaller == 0:
            findings.add(
                "single_class_outcome",
                f"{what}: all {len(label)} evaluable patients have the label {label.iloc[0]:g}.",
                cohort=cohort,
                panel="outcomes",
                n=len(label),
            )
        elif smaller < FEW_EVENTS:
            findings.add(
                "too_few_events",
                f"{what}: {smaller} patients in the smaller class of {len(label)}; at least "
                f"{FEW_EVENTS} are expected.",
                cohort=cohort,
                panel="outcomes",
                n=smaller,
            )

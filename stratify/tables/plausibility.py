"""Plausibility of columns and cohorts: another unit, filled-in values, contradictions.

Every check reads its limits from the dictionary and says what it found without naming a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.tables.distribution import looks_logarithmic
from stratify.tables.findings import ColumnFindings, Findings
from stratify.tables.possible import contradicts
from stratify.tables.schema import Field, Schema, convert, field_named, long_panels
from stratify.tables.sources import ColumnSource

__all__ = [
    "SCALES",
    "check_assays",
    "check_dates",
    "check_derived",
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
# A median so many times outside its usual range is no cohort's, whatever the unit.
FAR = 2.0
# Below so many patients in the smaller class, figures say little (definitions and README).
FEW_EVENTS = 50
# Findings after which the size of values says nothing.
UNIT_CODES = ("looks_like_another_unit", "unit_absent", "unit_unknown")
SCALES: Mapping[str, Callable[[Any], Any]] = {
    "ln": np.exp,
    "log2": np.exp2,
    "log10": lambda x: 10.0**x,
    "log1p": np.expm1,
}


def fits_another_unit(
    values: pd.Series, as_given: pd.Series, source: ColumnSource, found: ColumnFindings
) -> bool:
    """Say if the values fit another unit or scale than the stated one.

    ``values`` are in the canonical unit, ``as_given`` in the file's.
    """
    suspect = _other_unit(values, as_given, source, found.field)
    if suspect is None:
        return False
    unit = source.unit or found.field.unit
    text = f"{found.field.name} is stated in {unit} but looks like {suspect}."
    found.add("looks_like_another_unit", text, int(values.notna().sum()))
    return True


def _other_unit(
    values: pd.Series, as_given: pd.Series, source: ColumnSource, field: Field
) -> str | None:
    """Name the unit or scale that values fit better than the stated one, and why."""
    known = values.notna().to_numpy()
    given, raw = values.to_numpy()[known], as_given.to_numpy()[known]
    if len(given) <= ENOUGH_VALUES or field.panel in long_panels():  # those: at baseline alone
        return None
    above = int((raw > 1).sum())
    low_shares = field.unit == "fraction" and field.typical is not None  # such as VAF in percent
    if source.unit == "percent" and 0 < raw.max() <= 1 and not low_shares:
        return f"fraction (no value exceeds 1 among {len(given)})"
    if source.unit == "fraction" and raw.max() <= 100 and above > FEW * len(given):
        return f"percent ({above} values exceed 1 among {len(given)})"
    if field.typical is None:
        return None
    low, high = field.typical
    linear = source.scale == "linear"
    negative = int((given < 0).sum())
    if negative > max(1, FEW * len(given)):
        if not linear or field.minimum != 0 or field.role != "feature":
            return None
        with np.errstate(over="ignore"):
            medians = {name: np.median(inverse(given)) for name, inverse in SCALES.items()}
        fitting = [name for name, median in medians.items() if low <= median <= high]
        negatives = f"{negative} values of {len(given)} are negative"
        return f"its logarithm, {' or '.join(fitting)} ({negatives})" if fitting else None
    positive = given > 0 if field.minimum == 0 else np.ones(len(given), dtype=bool)
    if positive.sum() <= ENOUGH_VALUES:
        return None
    written, given, raw = raw, given[positive], raw[positive]
    median = float(np.median(given))
    inside = low <= median <= high
    unit = f" {field.unit}" if field.unit else ""
    usual = f"the median lies outside {low:g} to {high:g}{unit}"
    fitting = [
        unit
        for unit, factor in field.accepted_units.items()
        if not inside
        and unit not in (source.unit, "mutations")
        and low <= float(np.median(raw)) * float(factor) <= high
    ]
    if fitting:
        return f"{' or '.join(fitting)} ({usual})"
    if linear and field.skewed:
        with np.errstate(over="ignore"):
            fitting = [
                name
                for name, inverse in SCALES.items()
                if looks_logarithmic(
                    written, _canonical(inverse(written), source, field), (low, high)
                )
            ]
        if fitting:
            return f"its logarithm, {' or '.join(fitting)} (the values are not skewed)"
    if inside:
        return None
    if field.unit == source.unit == "mut/Mb" and median > high:
        return f"mutations per exome or panel ({usual})"
    far = median < low / FAR or median > high * FAR
    return f"no unit of it ({usual})" if far and field.role == "feature" else None


def _canonical(given: Floats, source: ColumnSource, field: Field) -> Floats:
    """Values of the file in the canonical unit."""
    if source.scored_mb:
        return given / source.scored_mb
    return given if source.unit is None else convert(given, source.unit, field)


def check_usual(values: pd.Series, found: ColumnFindings) -> None:
    """Add values that are possible but outside the usual limits."""
    field = found.field
    above = values[values > 0]
    if field.typical and len(above) > ENOUGH_VALUES and found.findings.whole:
        least, most = field.typical
        if field.panel not in long_panels() and not least <= above.median() <= most:
            unit = f" {field.unit}" if field.unit else ""
            text = f"the median of {field.name} lies outside the usual {least:g} to {most:g}{unit}."
            found.add("unusual_median", text, len(above))
    if field.limits is None:
        return
    low, high = field.limits
    unusual = _within(values, field.minimum, field.maximum) & ~_within(values, low, high)
    text = f"{field.name} outside the usual {low:g} to {high:g} {field.unit}."
    found.add_rows("unusual_value", pd.Series(unusual, values.index), text)


def _within(values: pd.Series, low: float | None, high: float | None) -> Flags:
    """Flag values between two limits; missing values are between none."""
    numbers = values.to_numpy()
    return np.asarray(
        (numbers >= (-np.inf if low is None else low))
        & (numbers <= (np.inf if high is None else high))
    )


def check_filled_in(values: pd.Series, found: ColumnFindings, source: ColumnSource) -> pd.Series:
    """Read a biomarker with one value for all as missing; add one too frequent value."""
    given, field = values.dropna().to_numpy(), found.field
    laboratory = field.role == "design" and field.panel not in long_panels()
    measured = field.role == "feature" or laboratory
    if len(given) < ENOUGH_VALUES or not measured or not found.findings.whole:
        return values
    distinct, counts = np.unique(given, return_counts=True)
    counted = source.column is not None and distinct[0] not in (0.0, field.maximum)
    if len(distinct) == 1 and counted:
        text = f"one value for all {len(given)} patients; measured values differ."
        found.add("constant_column", text, len(given))
        return pd.Series(np.nan, index=values.index, dtype=float)
    # scores end at their limits in many patients; nobody ends at one value within
    ends = (0.0, 1.0, distinct[0], distinct[-1], field.maximum)
    within = [n for value, n in zip(distinct, counts, strict=True) if value not in ends]
    most = max(within, default=0)
    if len(distinct) >= ENOUGH_VALUES and most > IMPUTED_SHARE * len(given):
        text = f"one value stands in {most} of {len(given)} patients, as if filled in."
        found.add("imputed_looking", text, most)
    return values


def check_possible(values: pd.Series, found: ColumnFindings) -> None:
    """Possible values by the dictionary; where the unit is uncertain, that has been added."""
    field = found.field
    uncertain = any(
        (row["cohort"], row["column"]) == (found.cohort, field.name) and row["code"] in UNIT_CODES
        for row in found.findings.rows
    )
    if not field.numeric or uncertain:
        return
    wrong = values.notna() & ~_within(values, field.minimum, field.maximum)
    before = wrong & (values < 0) & (field.role == "outcome")
    text = f"{field.name} is negative; time is counted from the first dose."
    found.add_rows("outcome_before_first_dose", before, text)
    unit = f" {field.unit}" if field.unit else ""
    text = f"{field.name} outside the possible {field.minimum:g} to {field.maximum:g}{unit}."
    found.add_rows("outside_limits", wrong & ~before, text)


def check_derived(values: pd.Series, found: ColumnFindings, *, confirmed: bool = False) -> None:
    """Check a column that was counted or calculated by the limits of one that is reported.

    Parameters
    ----------
    values : Series of shape (n_patients,)
        In the canonical unit; missing where not measured.
    confirmed : bool
        An unusual median has been checked.
    """
    field = found.field
    if not field.numeric or not values.notna().any():
        return
    known = values[values.notna()].astype(float)
    low, high = field.minimum, field.maximum
    unit, made = f" {field.unit}" if field.unit else "", f"{field.name} as derived"
    wrong = int((~_within(known, low, high)).sum())
    if wrong:
        text = f"{made} outside the possible {low:g} to {high:g}{unit} in {wrong} of {len(known)}"
        found.add("outside_limits", f"{text} patients.", wrong)
        return
    above = known[known > 0]  # nothing found, as in plasma without tumour DNA, is common
    if field.typical and not confirmed and len(above) > ENOUGH_VALUES and found.findings.whole:
        least, most = field.typical
        if not least <= above.median() <= most:
            text = f"{made} has its median outside {least:g} to {most:g}{unit}"
            found.add("derived_unlikely", f"{text} ({len(above)} patients above 0).", len(above))


def check_rules(
    frame: pd.DataFrame,
    schema: Schema,
    columns: Mapping[str, ColumnSource],
    about: Callable[[Field], ColumnFindings],
) -> None:
    """Check the dictionary's rules between two columns, such as CPS at least TPS."""
    for rule in schema.rules:
        larger, smaller = rule["column"], rule["at_least"]
        if larger not in columns or smaller not in columns:
            continue
        if rule.get("same_assay") and columns[larger].assay != columns[smaller].assay:
            continue
        wrong = contradicts(rule, frame)
        both = int((frame[larger].notna() & frame[smaller].notna()).sum())
        n, code, many = int(wrong.sum()), rule["code"], rule.get("many")
        if many is not None and n > max(3, many["share"] * both):
            code = many["code"]
        text = f"{larger} is smaller than {smaller} in {n} of {both} patients."
        about(schema.fields[larger]).add_rows(code, wrong, text)


def check_events(
    frame: pd.DataFrame, schema: Schema, about: Callable[[Field], ColumnFindings]
) -> None:
    """Events come no later than follow-up ends, and progressive disease is an event of PFS."""
    code = "event_coding_suspicious"
    for field in schema.fields.values():
        if field.time is None or not {field.name, field.time} <= set(frame.columns):
            continue
        events = frame.loc[frame[field.name] == 1, field.time].dropna()
        censored = frame.loc[frame[field.name] == 0, field.time].dropna()
        if min(len(events), len(censored)) >= 10 and events.median() > 1.5 * censored.median():
            times = events.median() / max(float(censored.median()), 0.01)
            text = (
                f"by median {field.time}, events of {field.name} come {times:.1f} times later than "
                "censored follow-up ends."
            )
            about(field).add(code, text, len(events) + len(censored))
    if {"pfs_event", "best_response"} <= set(frame.columns):
        known = frame.loc[frame["best_response"] == "PD", "pfs_event"].dropna()
        without = int((known == 0).sum())
        if len(known) >= 10 and without > len(known) / 2:
            text = (
                f"{without} of {len(known)} patients with progressive disease as best response "
                "have no event of PFS."
            )
            about(schema.fields["pfs_event"]).add(code, text, without)


def check_dates(joined: pd.DataFrame, cohort: str, findings: Findings) -> None:
    """Sample dates against the first dose: later is leakage, much earlier is stale."""
    if "first_dose_date" not in joined:
        return
    for name in joined.columns.difference(["patient_id", "cohort", "split"], sort=False):
        field = field_named(name)
        if field.window_days is None:
            continue
        first, last = field.window_days
        days = (joined[name] - joined["first_dose_date"]).dt.days
        early = f"more than {-first:g} days before the first dose"
        for code, wrong, text in (
            ("post_baseline_value", days > last, "after the first dose"),
            ("date_outside_window", days < first, early),
        ):
            if n := int(wrong.sum()):
                text = f"{n} of {int(days.notna().sum())} samples were taken {text}."
                findings.add(code, text, cohort=cohort, panel=field.panel, column=name, n=n)


def check_features_time(
    features: Sequence[str] | None, findings: Findings, landmark_weeks: float | None = None
) -> None:
    """Add features that are known only after the first dose, or after the landmark."""
    after = "the first dose" if landmark_weeks is None else "the landmark"
    for name in features or []:
        field = field_named(name)
        if not field.known_by(landmark_weeks):
            text = f"{name} is known at {field.available_at}, after {after}."
            findings.add("post_baseline_value", text, panel=field.panel, column=name, n=1)


def check_assays(assays: Mapping[str, Mapping[str, str]], findings: Findings) -> None:
    """Add biomarkers measured with different assays, which must not be pooled unseen."""
    for name, by_cohort in sorted(assays.items()):
        if (n := len(set(by_cohort.values()))) > 1:
            listed = ", ".join(f"{cohort}: {assay}" for cohort, assay in by_cohort.items())
            panel, text = field_named(name).panel, f"{name} by cohort: {listed}."
            findings.add("assay_differs", text, panel=panel, column=name, n=n)


def check_usable(table: pd.DataFrame, findings: Findings) -> None:
    """Whether training data and each other cohort hold patients of both labels, and enough."""
    groups = [("", table[table["split"] == "train"])] + [
        (str(c), rows) for c, rows in table[table["split"] != "train"].groupby("cohort", sort=True)
    ]
    for cohort, rows in groups:
        label = rows["label"].dropna()
        what, n = cohort or "training data", len(label)
        smaller = int(min((label == 0).sum(), (label == 1).sum()))
        if not len(rows) or smaller >= FEW_EVENTS:
            continue
        if not n:
            code, n = "no_patient_left", len(rows)
            text = f"{what}: none of {n} eligible patients has a label."
        elif not smaller:
            code = "single_class_outcome"
            text = f"{what}: all {n} evaluable patients have the label {label.iloc[0]:g}."
        else:
            code = "too_few_events"
            text = (
                f"{what}: {smaller} patients in the smaller class of {n}; at least {FEW_EVENTS} "
                "are expected."
            )
            n = smaller
        findings.add(code, text, cohort=cohort, panel="outcomes", n=n)

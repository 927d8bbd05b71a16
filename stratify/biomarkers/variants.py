"""Tables of variants, in tissue or plasma: which rows count, which are one variant, what is wrong.

Rows are as in ``data_schemas/panels/mutations.yaml`` or ``plasma_variants.yaml``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints
from stratify.tables.findings import Findings
from stratify.tables.measurements import BurdenRule
from stratify.tables.rows import add_number_faults, add_unknown_levels, numbers_of
from stratify.tables.schema import Schema

__all__ = [
    "DrawRows",
    "absent_columns",
    "add_variant_faults",
    "add_variant_warnings",
    "counted",
    "distinct_counts",
    "grouped",
    "identity_of",
    "repeated",
]

IDENTITY = ("chromosome", "position", "reference_allele", "alternate_allele")
_LARGEST_CODE, _LARGEST_PART = 1 << 62, 1 << 30
_FEW_LEVELS = 1 << 16
_DENSE = 4  # up to so many numbers a row a table of them is taken in place of a hash


def counted(variants: pd.DataFrame, rule: BurdenRule) -> Flags:
    """Which rows count into a burden."""
    eligible = (numbers_of(variants, "somatic") != 0) & (numbers_of(variants, "counted") != 0)
    if rule.consequences is not None:
        eligible &= variants["consequence"].isin(rule.consequences).to_numpy()
    if rule.min_vaf > 0:
        eligible &= numbers_of(variants, "vaf") >= rule.min_vaf
    if rule.min_depth > 0:
        eligible &= numbers_of(variants, "depth") >= rule.min_depth
    return np.asarray(eligible, dtype=bool)


def distinct_counts(variants: pd.DataFrame, group: Ints, rows: Flags, n: int) -> Floats:
    """Distinct variants among the chosen rows, in each of n groups."""
    chosen = group[rows]
    code = repeated(variants[rows], chosen)
    if code is not None:
        chosen = chosen[np.unique(code, return_index=True)[1]]
    return np.bincount(chosen, minlength=n).astype(float)


def identity_of(variants: pd.DataFrame) -> list[str]:
    """Columns by which rows are one variant; none where chromosome and position are not known."""
    known = [name for name in IDENTITY if name in variants and variants[name].notna().any()]
    return known if {"chromosome", "position"} <= set(known) else []


def _as_written_alike(variants: pd.DataFrame) -> pd.DataFrame:
    """Chromosomes without ``chr``, alleles in capitals: as callers write them, and merged files."""
    alike = {}
    for name in ("chromosome", "reference_allele", "alternate_allele"):
        if name in variants and not pd.api.types.is_numeric_dtype(variants[name]):
            codes, levels = pd.factorize(variants[name].astype(object), use_na_sentinel=False)
            texts = [level if level != level else str(level).strip().upper() for level in levels]
            if name == "chromosome":
                texts = [
                    t if t != t else str(t).removeprefix("CHR").removesuffix(".0") for t in texts
                ]
                texts = ["MT" if text == "M" else text for text in texts]
            alike[name] = np.array(texts, dtype=object)[codes]
    return variants.assign(**alike) if alike else variants


def repeated(variants: pd.DataFrame, group: Ints) -> Ints | None:
    """Give a number to each variant of a group, None if none stands in more than one row."""
    names = identity_of(variants)
    if not names:
        return None
    code, _ = _combined(_as_written_alike(variants[names]), names, group)
    ordered = np.sort(code)
    return code if (ordered[1:] == ordered[:-1]).any() else None


class DrawRows:
    """Which rows of a table of variants are of one draw, and which are one variant of it.

    Without days and visits a patient has one draw. Each is worked out once, when asked for.

    Attributes
    ----------
    names : list of str
        Columns by which draws differ.
    draw, firsts : ndarray of int
        As from :func:`grouped`.
    variant : ndarray of int or None
        As from :func:`repeated`.
    """

    def __init__(self, variants: pd.DataFrame) -> None:
        self._variants = variants
        keys = ("draw_day", "draw_visit")
        self.names = ["patient_id", *(name for name in keys if name in variants)]

    @cached_property
    def _grouped(self) -> tuple[Ints, Ints]:
        return grouped(self._variants, self.names)

    @property
    def draw(self) -> Ints:
        """Number of each row's draw."""
        return self._grouped[0]

    @property
    def firsts(self) -> Ints:
        """First row of each draw."""
        return self._grouped[1]

    @cached_property
    def variant(self) -> Ints | None:
        """Number of each row's variant, None if none stands in more than one row."""
        return repeated(self._variants, self.draw)


def grouped(table: pd.DataFrame, names: Sequence[str]) -> tuple[Ints, Ints]:
    """Give each combination of columns a number, and say in which row each first stands.

    Numbers are in the order in which combinations first stand; missing values are a level.
    """
    code, largest = _combined(table, names, np.zeros(len(table), dtype=np.int64))
    n = len(code)
    if largest > _DENSE * max(n, 1):
        code, _ = pd.factorize(code)
        return code, np.flatnonzero(np.diff(np.maximum.accumulate(code), prepend=-1))
    first = np.full(largest, n)  # quicker than hashing
    first[code[::-1]] = np.arange(n)[::-1]  # of several rows the last one written stays
    used = np.flatnonzero(first < n)
    used = used[np.argsort(first[used])]
    firsts = first[used]
    first[used] = np.arange(len(used))
    return first[code], firsts


def _combined(table: pd.DataFrame, names: Sequence[str], code: Ints) -> tuple[Ints, int]:
    """Whole numbers that are equal where code and columns are, and a number above them."""
    largest = int(code.max(initial=0)) + 1
    for name in names:
        part, levels = _whole(table[name])
        if largest * levels > _LARGEST_CODE:
            code, distinct = pd.factorize(code)
            largest = len(distinct)
        code, largest = code * levels + part, largest * levels
    return code, largest


def _whole(column: pd.Series) -> tuple[Ints, int]:
    """Column as whole numbers from 0 below a number: positions as they are, others by level."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels_of: Ints = column.cat.codes.to_numpy(dtype=np.int64) + np.int64(1)
        return levels_of, len(column.cat.categories) + 1
    if column.dtype.kind in "iuf" and len(column):
        values = column.to_numpy()
        low, high = values.min(), values.max()
        if high - low < _LARGEST_PART and (values == np.floor(values)).all():  # else, or missing
            numbers = (values - low).astype(np.int64)
            if high - low > _FEW_LEVELS:
                return numbers, int(high - low) + 1
            there = np.bincount(numbers) > 0  # days, of which few are ever drawn on
            return (np.cumsum(there) - 1)[numbers], int(there.sum())
    codes, levels = pd.factorize(column, use_na_sentinel=False)
    return codes, max(len(levels), 1)


def absent_columns(variants: pd.DataFrame, rule: BurdenRule) -> list[str]:
    """Columns without which a rule cannot be followed."""
    needed = {
        "patient_id": True,
        "consequence": rule.consequences is not None,
        "counted (or state `consequences`)": rule.consequences is None,
        "vaf": rule.min_vaf > 0,
        "depth": rule.min_depth > 0,
    }
    return [name for name, need in needed.items() if need and name.split()[0] not in variants]


def add_variant_faults(variants: pd.DataFrame, schema: Schema, found: Findings) -> None:
    """Add rows without a patient, numbers that cannot be and consequences not known."""
    absent = variants["patient_id"].isna()
    found.add_rows("missing_identifier", "patient_id", absent, "no patient identifier.")
    add_number_faults(variants, schema, found)
    add_unknown_levels(variants, schema.fields["consequence"], found)


def add_variant_warnings(
    variants: pd.DataFrame, rule: BurdenRule | None, rows: DrawRows, found: Findings
) -> None:
    """Add variants in several rows, and those whose consequence is not known."""
    identity = identity_of(variants)
    if rows.variant is not None:
        again = pd.Series(rows.variant).duplicated()
        alleles = "" if set(IDENTITY) <= set(identity) else " (by its position, without alleles)"
        text = f"a variant in more than one row{alleles}; it counts once."
        found.add_rows("duplicate_variant", "position", again, text)
    if not identity:
        every = np.ones(len(variants), dtype=bool)
        text = "no chromosome and position; each row counts, also of one mutation's transcripts."
        found.add_rows("copies_unknown", "position", every, text)
    if rule is not None and rule.min_vaf > 0:
        unknown = variants["vaf"].isna()
        text = f"no VAF; these do not reach {rule.min_vaf:g} and do not count into the burden."
        found.add_rows("variant_not_classified", "vaf", unknown, text)
    if rule is not None and rule.consequences is not None:
        unknown = variants["consequence"].isna()
        text = "no consequence; these do not count into the burden."
        found.add_rows("variant_not_classified", "consequence", unknown, text)

"""Patients that two cohorts share although nothing says so, found by quasi-identifiers.

Only numbers of patients are given, never which. Two checks: equal rows, and more pairs of patients
that agree in several quasi-identifiers than chance makes, which also finds patients of another
export, with other decimals, a later data cut or other blood samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.tables.findings import Findings, listed
from stratify.tables.schema import known_field

__all__ = ["Overlap", "check_shared", "overlap", "overlap_groups"]


# Numbers that hardly depend on each other within sex and tumour and stay as they were recorded.
NUMBERS = (
    *("age", "tmb", "pdl1_tps", "sum_of_diameters", "pack_years"),
    *("bmi", "albumin", "nlr", "platelets", "hemoglobin"),
)
OUTCOMES = ("pfs", "os")  # agree together, as they depend on each other
STRATA = ("sex", "cancer_type")
# A number is compared where at least this share is known on both sides.
OFTEN_KNOWN = 0.5
# Numbers with fewer values do not tell patients apart.
MANY_VALUES = 20
# Months count 30 to 30.5 days: unrounded, one time in days makes numbers up to this share apart.
CONVERSION = 0.017
# Agreeing pairs are given from this many on, and from so many times the number expected by chance,
# if a number this great is as rare as this where twice the expected ones are made by chance.
FEWEST, TIMES, RARE = 3, 4.0, 1e-4
_PAIRS = 2_000_000  # compared at once

# Equal rows: columns known for this share of both, and so few pairs equal by chance.
MOSTLY_KNOWN, FEW_CHANCE_PAIRS = 0.8, 0.001
# Repeated patients from this share on are a fault of the export, not a chance or a twin entry.
OFTEN_REPEATED = 0.02


@dataclass(frozen=True)
class Overlap:
    """Pairs of patients of two cohorts that agree in several quasi-identifiers.

    Attributes
    ----------
    columns : tuple of str
        In all of which they agree.
    observed : int
        Pairs.
    expected : float
        Pairs by chance, were the numbers independent within sex and tumour.
    identified : int
        Of the pairs observed, those with the same identifier too.
    """

    columns: tuple[str, ...]
    observed: int
    expected: float
    identified: int


def overlap(left: pd.DataFrame, right: pd.DataFrame) -> Overlap | None:
    """Find whether two cohorts share patients, by more agreeing pairs than chance makes.

    Numbers agree where they are equal at the coarser of both precisions; unrounded survival times
    within the 1.7 % by which months of 30 and of 30.5 days differ. Every choice of two or more
    numbers is looked at (with sex and tumour where both cohorts have them), and the one with most
    pairs beyond chance is reported.

    Parameters
    ----------
    left, right : DataFrame of shape (n_patients, ...)
        Canonical columns.

    Returns
    -------
    Overlap or None
        None where agreement is no more than chance, or too little is recorded to tell.

    References
    ----------
    Fellegi IP, Sunter AB. J Am Stat Assoc 1969;64:1183-1210 (agreement by chance as the product
    over independent fields).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> patients = pd.DataFrame({"age": rng.uniform(30, 85, 150), "tmb": rng.lognormal(2, 1, 150)})
    >>> overlap(patients[:90], patients[60:].round(1)).columns  # 30 patients in both
    ('age', 'tmb')
    >>> overlap(patients[:75], patients[75:].round(1)) is None
    True
    """
    strata = [name for name in STRATA if _compared(left, right, name, 1)]
    numbers = [name for name in NUMBERS if _compared(left, right, name, MANY_VALUES)]
    outcomes = [name for name in OUTCOMES if _compared(left, right, name, MANY_VALUES)]
    blocks = [(name,) for name in numbers] + ([tuple(outcomes)] if outcomes else [])
    if len(blocks) < 2:
        return None
    units = {name: _unit(left[name], right[name]) for block in blocks for name in block}
    observed = np.zeros(2 ** len(blocks))
    expected = np.zeros(2 ** len(blocks))
    identified = np.zeros(2 ** len(blocks))
    for ours, theirs in _stratified(left, right, strata):
        patterns, same = _patterns(ours, theirs, blocks, units)
        chance = np.ones(1)
        for k in range(len(blocks)):  # subsets in the order of their bits
            agreeing = patterns[(np.arange(len(patterns)) >> k) & 1 == 1].sum()
            chance = np.append(chance, chance * agreeing / patterns.sum())
        observed += _supersets(patterns)
        identified += _supersets(same)
        expected += patterns.sum() * chance
    return _most_beyond_chance(observed, expected, identified, blocks, strata)


def _most_beyond_chance(
    observed: Floats,
    expected: Floats,
    identified: Floats,
    blocks: list[tuple[str, ...]],
    strata: list[str],
) -> Overlap | None:
    from scipy.special import pdtrc  # of the Poisson distribution, above

    subsets = np.arange(len(observed))
    several = np.array([int(subset).bit_count() >= 2 for subset in subsets])
    rare = pdtrc(np.maximum(observed - 1, 0), 2 * expected) < RARE / len(subsets)
    suspect = several & rare & (observed >= np.maximum(FEWEST, TIMES * expected))
    if not suspect.any():
        return None
    best = int(subsets[suspect][np.argmax((observed - expected)[suspect])])
    agreeing = [name for k, block in enumerate(blocks) if best >> k & 1 for name in block]
    return Overlap(
        (*strata, *agreeing), int(observed[best]), float(expected[best]), int(identified[best])
    )


def _compared(left: pd.DataFrame, right: pd.DataFrame, name: str, values: int) -> bool:
    return all(
        name in side and side[name].notna().mean() >= OFTEN_KNOWN and side[name].nunique() >= values
        for side in (left, right)
    )


def _unit(left: pd.Series, right: pd.Series) -> tuple[float, bool]:
    """Return the coarser of both precisions, as a power of ten, and whether they differ."""
    units = []
    for side in (left, right):
        values = side.dropna().to_numpy(dtype=float)
        for decimals in (0, 1, 2, 3):
            if np.mean(np.abs(values - values.round(decimals)) < 1e-6) > 0.95:
                break
        units.append(10.0**-decimals)
    return max(units), units[0] != units[1]


def _stratified(
    left: pd.DataFrame, right: pd.DataFrame, strata: list[str]
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    if not strata:
        yield left, right
        return
    others = dict(iter(right.groupby(strata, sort=True)))
    for level, rows in left.groupby(strata, sort=True):
        if level in others:
            yield rows, others[level]


def _patterns(
    left: pd.DataFrame,
    right: pd.DataFrame,
    blocks: list[tuple[str, ...]],
    units: dict[str, tuple[float, bool]],
) -> tuple[Floats, Floats]:
    """Count pairs by the blocks in which they agree (bit k for block k), and those of one name."""
    counts, same = np.zeros(2 ** len(blocks)), np.zeros(2 ** len(blocks))
    step = max(1, _PAIRS // len(right))
    for start in range(0, len(left), step):
        rows = left.iloc[start : start + step]
        pattern = np.zeros((len(rows), len(right)), dtype=np.int64)
        for k, block in enumerate(blocks):
            agree = np.ones(pattern.shape, dtype=bool)
            for name in block:
                share = CONVERSION if name in OUTCOMES and units[name][0] < 0.01 else 0.0
                agree &= _agree(rows[name], right[name], *units[name], share)
            pattern |= agree.astype(np.int64) << k
        counts += np.bincount(pattern.ravel(), minlength=len(counts))
        if "patient_id" in rows and "patient_id" in right:
            names = rows["patient_id"].to_numpy()[:, None] == right["patient_id"].to_numpy()
            same += np.bincount(pattern[names], minlength=len(counts))
    return counts, same


def _agree(left: pd.Series, right: pd.Series, unit: float, differ: bool, share: float) -> Flags:
    ours, theirs = left.to_numpy(dtype=float)[:, None], right.to_numpy(dtype=float)
    gaps = np.abs(ours - theirs)
    # rounded by one and cut off by the other, values of two precisions lie up to a unit apart
    near = unit * (0.999 if differ else 0.001)
    agree: Flags = gaps <= np.maximum(near, share * np.maximum(ours, theirs))
    return agree


def _supersets(counts: Floats) -> Floats:
    """Sum, for each subset of bits, the counts of all subsets that hold it."""
    sums = counts.copy()
    for k in range(len(counts).bit_length() - 1):
        pairs = sums.reshape(-1, 2, 2**k)
        pairs[:, 0] += pairs[:, 1]
    return sums


def overlap_groups(table: pd.DataFrame, by: str = "cohort") -> dict[str, str]:
    """Group cohorts that share patients, to be left out of training together.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        Canonical columns.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a = pd.DataFrame({"age": rng.uniform(30, 85, 100), "tmb": rng.lognormal(2, 1, 100)})
    >>> sets = {"x": a[:60], "y": a[60:], "z": a[:20]}
    >>> overlap_groups(pd.concat([rows.assign(cohort=name) for name, rows in sets.items()]))
    {'x': 'x', 'y': 'y', 'z': 'x'}
    """
    groups: dict[str, str] = {}
    members: list[tuple[str, pd.DataFrame]] = []
    for name, rows in table.groupby(by, sort=True):
        groups[str(name)] = str(name)
        for other, others in members:
            if groups[other] != groups[str(name)] and overlap(rows, others) is not None:
                merged = sorted((groups[other], groups[str(name)]))
                groups = {k: merged[0] if v == merged[1] else v for k, v in groups.items()}
        members.append((str(name), rows))
    return groups


def check_shared(table: pd.DataFrame, findings: Findings) -> None:
    """Count patients on two sides of a split or twice on one, found by quasi-identifiers."""
    if table.empty:
        return
    for split, rows in table.groupby("split", sort=True):
        n, telling = _repeated(rows)
        if n:
            # cohorts that share patients may be left out together; one cohort cannot
            within = sum(_repeated(each)[0] for _, each in rows.groupby("cohort"))
            often = within >= max(FEWEST, OFTEN_REPEATED * len(rows))
            findings.add(
                "patients_repeated_often" if often else "patients_repeated",
                f"{n} of {len(rows)} patients of the split {split} have the same "
                f"{listed(telling)} as another patient of it.",
                n=n,
            )
    train = table[table["split"] == "train"]
    for cohort, other in table[table["split"] != "train"].groupby("cohort", sort=True):
        for home, rows in train.groupby("cohort", sort=True):
            n, telling = _equal_rows(rows, other)
            if n:
                findings.add(
                    "patients_shared",
                    f"{n} patients have the same {', '.join(telling)} as a training patient of "
                    f"{home}.",
                    cohort=str(cohort),
                    n=n,
                )
            elif found := overlap(rows, other):
                identified = found.identified >= FEWEST
                findings.add(
                    "patients_shared" if identified else "patients_may_be_shared",
                    f"{found.observed} pairs of patients agree with training patients of {home} in "
                    f"{listed(found.columns)}, where {found.expected:.1f} are expected by chance"
                    + (
                        f"; {found.identified} of them have the same identifier."
                        if identified
                        else "."
                    ),
                    cohort=str(cohort),
                    n=found.observed,
                )


def _repeated(rows: pd.DataFrame) -> tuple[int, list[str]]:
    """Count patients equal to an earlier one in every telling number, of outcomes if needed."""
    telling = _telling(rows, rows)
    measured = [c for c in telling if (known := known_field(c)) and known.role != "outcome"]
    for columns in (measured, telling):  # another data cut changes outcomes alone
        values = rows[columns].round(6)
        values = values[values.notna().mean(axis=1) >= MOSTLY_KNOWN]
        if columns and not _by_chance(values, values, columns):
            return int(values.duplicated().sum()), columns
    return 0, telling


def _telling(left: pd.DataFrame, right: pd.DataFrame) -> list[str]:
    """Numbers that tell the patients of two tables apart."""
    return [
        c
        for c in left.columns
        if c != "label"
        and not ((known := known_field(c)) and known.role == "alternative")
        and left[c].dtype == np.float64
        and left[c].nunique() > MANY_VALUES
        and min(left[c].notna().mean(), right[c].notna().mean()) >= MOSTLY_KNOWN
    ]


def _by_chance(ours: pd.DataFrame, theirs: pd.DataFrame, telling: list[str]) -> bool:
    """Whether patients may be equal in these numbers by chance."""
    kinds = math.prod(ours[c].nunique() for c in telling)  # beyond 64 bits for many numbers
    return len(ours) * len(theirs) / FEW_CHANCE_PAIRS > kinds


def _equal_rows(left: pd.DataFrame, right: pd.DataFrame) -> tuple[int, list[str]]:
    """Count patients of the second table equal to one of the first in every telling number."""
    telling = _telling(left, right)
    if not telling:
        return 0, telling
    ours = left[telling].dropna().round(6).drop_duplicates()
    theirs = right[telling].dropna().round(6)
    if _by_chance(ours, theirs, telling):
        return 0, telling
    return len(theirs.merge(ours, on=telling)), telling

"""What the values of a whole column show together: two units, codes of missing, filled gaps.

Limits come from the dictionary: ``skewed`` for markers whose values span orders of magnitude, and
``zeros``, the largest share of patients in whom a value of exactly 0 has been seen.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.tables.findings import ColumnFindings
from stratify.tables.schema import Field, long_panels

__all__ = ["check_distribution", "looks_logarithmic", "skewness"]

ENOUGH = 20  # values below which a distribution says nothing
# Numbers by which software writes "missing".
CODES = (88, 99, 777, 888, 999, 7777, 8888, 9999, 99999)
ROUND = 100.0
MODE = 0.05  # share of the patients with a code that lies among the values
REPEATED = 3  # patients with such a number, and times as many as have another value near it
# Two groups of one column whose medians differ by such a factor are taken for two units.
FACTORS = (100.0, 1000.0)
NEAR = 0.11  # logarithms (base 10) within which a ratio of medians is such a factor
APART = 4.0  # spreads between the groups; the halves of one normal distribution are 2.7 apart
LEAST = 0.05  # share of the patients in the smaller group
SYMMETRIC = 0.5  # skewness up to which values that ought to be skewed look like logarithms


def check_distribution(values: pd.Series, as_given: pd.Series, found: ColumnFindings) -> None:
    """Check a column of numbers as a whole.

    Parameters
    ----------
    values, as_given : Series of shape (n_patients,)
        In the canonical unit, and in the file's.
    """
    field, given = found.field, values.dropna().to_numpy(dtype=float)
    if len(given) <= ENOUGH or not found.findings.whole or field.role == "comparator":
        return
    raw = as_given.dropna().to_numpy(dtype=float)
    repeated = _code_of_missing(raw) if field.unit not in ("percent", "score") else 0
    if repeated:
        text = (
            f"one number stands in {repeated} of {len(raw)} patients, far more often than others, "
            "and is one by which software writes missing."
        )
        found.add("missing_code_suspected", text, repeated)
    zeros = int((given == 0).sum())
    if field.zeros is not None and zeros > max(REPEATED, field.zeros * len(given)):
        text = (
            f"{zeros} of {len(given)} values of {field.name} are exactly 0, where up to "
            f"{100 * field.zeros:g} % are known."
        )
        found.add("zeros_suspected", text, zeros)
    raw_table = field.panel in long_panels()
    smaller = 0 if field.role == "outcome" or raw_table else _in_another_unit(given, field)
    if smaller:
        text = (
            f"{smaller} of {len(given)} values of {field.name} stand apart from the others by a "
            "factor between units."
        )
        found.add("mixed_units_suspected", text, smaller)


def _code_of_missing(given: Floats) -> int:
    """Count patients with a code of missing; 0 where there is none."""
    distinct, counts = np.unique(given, return_counts=True)
    if len(distinct) < 3:
        return 0
    near = counts[-11:-1]
    # nobody lies between the code and what is usual
    apart = distinct[-1] > 1.05 * distinct[-2] or counts[-1] > REPEATED * near.max()
    if distinct[-1] in CODES and apart and counts[-1] >= REPEATED * max(1.0, np.median(near)):
        return int(counts[-1])
    within = np.isin(distinct, (*CODES, ROUND)) & (counts > MODE * len(given))
    for n in counts[within]:
        others = counts[(distinct != 0) & (counts < n)]
        if len(others) == len(distinct) - 1 - int((distinct == 0).any()) and (
            n >= REPEATED * others.max(initial=1)
        ):
            return int(n)
    return 0


def _in_another_unit(given: Floats, field: Field) -> int:
    """Size of the smaller of two groups that differ by a factor between units; 0 where one is."""
    if field.unit == "percent":
        fractions = (given > 0) & (given < 1)
        above = int((given > 1).sum())
        few = int(fractions.sum())
        several = len(np.unique(given[fractions])) > REPEATED  # one value is the middle of "<1"
        return few if several and min(few, above) > max(REPEATED, LEAST * len(given)) else 0
    if field.interval:
        return 0
    positive = np.sort(np.log10(given[given > 0]))
    n = len(positive)
    least = int(max(REPEATED, LEAST * n))
    if n <= ENOUGH or n <= 2 * least:
        return 0
    # the split that leaves least spread within the groups
    sums, squares = np.cumsum(positive), np.cumsum(positive**2)
    k = np.arange(least, n - least + 1)
    low = squares[k - 1] - sums[k - 1] ** 2 / k
    high = (squares[-1] - squares[k - 1]) - (sums[-1] - sums[k - 1]) ** 2 / (n - k)
    best = int(k[np.argmin(low + high)])
    below, above_ = positive[:best], positive[best:]
    spread = np.sqrt((below.var() * len(below) + above_.var() * len(above_)) / n)
    gap = float(np.median(above_) - np.median(below))
    if gap < APART * max(float(spread), 1e-9):
        return 0
    known = {*FACTORS, *(float(f) for u, f in field.accepted_units.items() if u != "mutations")}
    known |= {1 / each for each in known if each > 0}
    if not any(abs(gap - np.log10(each)) <= NEAR for each in known if each > 2):
        return 0
    return min(len(below), len(above_))


def skewness(values: Floats) -> float:
    """Third standardised moment; 0 without spread.

    Examples
    --------
    >>> round(skewness(np.array([1.0, 1.0, 1.0, 5.0])), 2)
    1.15
    """
    spread = values.std()
    return float(((values - values.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0


def looks_logarithmic(given: Floats, inverse: Floats, typical: tuple[float, float]) -> bool:
    """Whether values of a skewed marker are symmetric, and their inverse is as the marker is.

    Examples
    --------
    >>> tmb = np.exp(np.random.default_rng(0).normal(1.8, 0.8, 200))
    >>> looks_logarithmic(np.log1p(tmb), tmb, (0.8, 25))
    True
    >>> looks_logarithmic(tmb, np.expm1(tmb), (0.8, 25))
    False
    """
    if not np.isfinite(inverse).all():
        return False
    low, high = typical
    usual = low <= float(np.median(inverse)) <= high
    return bool(usual and skewness(given) < SYMMETRIC < skewness(inverse))

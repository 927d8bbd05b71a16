"""Harm and benefit: grade 3 or worse events by arm, and the balance over a grid of weights.

A weight is how much benefit one grade 3 or worse event is worth: at 0.25, four such events cancel
one patient spared from resistance (or one response more). No weight is a standard, so none is the
default. Treatment-related, immune-related and all-cause events are three different harms: each has
its own result, and they are never added.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints
from stratify.errors import ArgumentError
from stratify.statistics.intervals import Estimate, normal_quantile, wilson
from stratify.treatment.arms import Arms

__all__ = ["harm_tables", "net_benefit_of_arm", "risk_difference"]

# A grid to show results over: 20 to 1 grade 3 events for one patient who benefits.
WEIGHTS = (0.05, 0.1, 0.25, 0.5, 1.0)
HARMS = ("treatment_related", "immune_related", "all_cause")


def risk_difference(event: Floats, treated: Flags, stratum: Ints, level: float = 0.95) -> Estimate:
    """Difference of the shares with an event within strata, weighed by patients.

    Wilson's limits of each share are combined as Newcombe does for one stratum.

    References
    ----------
    Newcombe RG. Stat Med 1998;17:873-890 (method 10). Zou GY, Donner A. Stat Med
    2008;27:1693-1702. Yan X, Su XG. Stat Biopharm Res 2010;2:329-335.

    Examples
    --------
    >>> event = np.repeat([1.0, 0.0, 1.0, 0.0], [56, 14, 48, 32])
    >>> found = risk_difference(event, np.arange(150) < 70, np.zeros(150, dtype=int))
    >>> [round(x, 4) for x in found]
    [0.2, 0.0524, 0.3339]
    """
    value, below, above = 0.0, 0.0, 0.0
    for k in np.unique(stratum):
        rows = stratum == k
        one, two = (
            wilson(float(event[rows & arm].sum()), int((rows & arm).sum()), level)
            for arm in (treated, ~treated)
        )
        weight = rows.mean()
        value += weight * (one.value - two.value)
        below += weight**2 * ((one.value - one.low) ** 2 + (two.high - two.value) ** 2)
        above += weight**2 * ((one.high - one.value) ** 2 + (two.value - two.low) ** 2)
    value = float(value)
    return Estimate(value, value - float(np.sqrt(below)), value + float(np.sqrt(above)))


def net_benefit_of_arm(
    benefit: Estimate,
    harm: Estimate,
    *,
    weights: Sequence[float] = WEIGHTS,
    level: float = 0.95,
) -> tuple[pd.DataFrame, Estimate]:
    """Benefit difference minus weighted harm difference over a grid, and the flip point.

    Parameters
    ----------
    benefit, harm : Estimate
        Differences of the arms with Wald intervals at `level`, taken as independent: in shares of
        patients, or the benefit in months where a weight is months for one event.

    Returns
    -------
    flip : Estimate
        Weight at which the net benefit is zero, ``benefit / harm``, with Fieller's interval; NaN
        limits where it is unbounded, that is where harm is not shown to differ.

    References
    ----------
    Vickers AJ et al. BMC Med Inform Decis Mak 2007;7:30 (PMC3184644 for treatment benefit).
    Fieller EC. J R Stat Soc B 1954;16:175-185.

    Examples
    --------
    >>> table, flip = net_benefit_of_arm(Estimate(0.10, 0.02, 0.18), Estimate(0.4, 0.32, 0.48))
    >>> table["value"].round(2).tolist(), round(flip.value, 2)
    ([0.08, 0.06, 0.0, -0.1, -0.3], 0.25)
    """
    if not weights or min(weights) < 0:
        raise ArgumentError("weights are numbers of 0 or more; at least one is expected.")
    z = normal_quantile(level)
    error_b, error_h = ((x.high - x.low) / (2 * z) for x in (benefit, harm))
    rows = []
    for weight in weights:
        value = benefit.value - weight * harm.value
        half = z * np.hypot(error_b, weight * error_h)
        rows.append((weight, value, value - half, value + half))
    table = pd.DataFrame(rows, columns=["weight", "value", "low", "high"])
    g = (z * error_h) ** 2
    slope = harm.value**2 - g
    ratio = benefit.value / harm.value if harm.value else np.nan
    if not slope > 0:
        return table, Estimate(ratio, np.nan, np.nan)
    product = benefit.value * harm.value
    root = product**2 - slope * (benefit.value**2 - (z * error_b) ** 2)
    half = np.sqrt(max(root, 0.0))
    low, high = sorted(((product - half) / slope, (product + half) / slope))
    return table, Estimate(float(ratio), float(low), float(high))


def _in_both_arms(arms: Arms, known: Flags) -> Flags:
    """Patients of strata in which both arms have someone of whom the event is known."""
    found = np.zeros((len(arms.strata), 2))
    found[arms.stratum[known], arms.treated[known].astype(int)] = 1
    both: Flags = found.min(axis=1)[arms.stratum] == 1
    return both


def harm_tables(arms: Arms, benefit: Estimate) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Events by arm and the balance against a benefit; None where no events are recorded.

    Returns
    -------
    harms : DataFrame or None
        kind, arm (the difference is called ``difference``), value, low, high, n, events.
    trade_off : DataFrame or None
        kind, weight, value, low, high; and the flip point as ``flip``, ``flip_low``,
        ``flip_high``. Weights are in the unit of the benefit for one event.
    """
    rows: list[tuple[object, ...]] = []
    balances = []
    for kind in HARMS:
        if (column := f"grade3_{kind}") not in arms.table:
            continue
        event = arms.table[column].to_numpy(dtype=float, na_value=np.nan)
        seen = [(name, event[arm & ~np.isnan(event)]) for name, arm in arms.sides]
        counts = [(name, int(each.sum()), each.size) for name, each in seen if each.size]
        rows += [(kind, name, *wilson(e, n, 0.95), n, e) for name, e, n in counts]
        known = ~np.isnan(event)
        both = known & _in_both_arms(arms, known)
        if both.any():
            difference = risk_difference(event[both], arms.treated[both], arms.stratum[both])
            rows.append((kind, "difference", *difference, int(both.sum()), int(event[both].sum())))
            table, flip = net_benefit_of_arm(benefit, difference)
            flips = dict(zip(("flip", "flip_low", "flip_high"), flip, strict=True))
            balances.append(table.assign(kind=kind, **flips))
    columns = ["kind", "arm", "value", "low", "high", "n", "events"]
    return (
        pd.DataFrame(rows, columns=columns) if rows else None,
        pd.concat(balances, ignore_index=True) if balances else None,
    )

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

from stratify.errors import ArgumentError
from stratify.statistics.intervals import Estimate, normal_quantile, wilson
from stratify.treatment.arms import Arms

__all__ = ["harm_tables", "net_benefit_of_arm", "risk_difference"]

# A grid to show results over: 20 to 1 grade 3 events for one patient who benefits.
WEIGHTS = (0.05, 0.1, 0.25, 0.5, 1.0)
HARMS = ("treatment_related", "immune_related", "all_cause")


def risk_difference(
    events: tuple[int, int], patients: tuple[int, int], level: float = 0.95
) -> Estimate:
    """Share of the first group minus that of the second, Newcombe's hybrid score interval.

    References
    ----------
    Newcombe RG. Stat Med 1998;17:873-890 (method 10).

    Examples
    --------
    >>> [round(x, 4) for x in risk_difference((56, 48), (70, 80))]
    [0.2, 0.0524, 0.3339]
    """
    one, two = (wilson(e, n, level) for e, n in zip(events, patients, strict=True))
    value = one.value - two.value
    low = value - np.hypot(one.value - one.low, two.high - two.value)
    high = value + np.hypot(one.high - one.value, two.value - two.low)
    return Estimate(float(value), float(low), float(high))


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
        if len(counts) == 2:
            (_, few, n), (_, many, m) = counts
            difference = risk_difference((many, few), (m, n))
            rows.append((kind, "difference", *difference, n + m, few + many))
            table, flip = net_benefit_of_arm(benefit, difference)
            flips = dict(zip(("flip", "flip_low", "flip_high"), flip, strict=True))
            balances.append(table.assign(kind=kind, **flips))
    columns = ["kind", "arm", "value", "low", "high", "n", "events"]
    return (
        pd.DataFrame(rows, columns=columns) if rows else None,
        pd.concat(balances, ignore_index=True) if balances else None,
    )

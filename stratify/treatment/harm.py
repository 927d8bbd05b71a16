"""Harm beside benefit: grade 3 or worse events by arm, and the balance over a grid of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stratify.statistics.intervals import Estimate, wilson
from stratify.treatment.arms import Arms
from stratify.treatment.utilities import HARMS, net_benefit_of_arm

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["harm_tables", "risk_difference"]


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


def harm_tables(arms: Arms, benefit: Estimate) -> dict[str, pd.DataFrame]:
    """Events by arm and the balance against a benefit; nothing where no events are recorded.

    Parameters
    ----------
    arms : Arms
        Whose table has ``grade3_treatment_related``, ``grade3_immune_related`` or
        ``grade3_all_cause``; patients without a record are left out.
    benefit : Estimate
        Difference of the primary outcome, alternative minus reference.

    Returns
    -------
    dict of str to DataFrame
        ``harms``: kind, arm (the difference is called ``difference``), value, low, high, n, events.
        ``trade_off``: kind, weight, value, low, high; and the flip point as ``flip``, ``flip_low``,
        ``flip_high``. Weights are in the unit of the benefit for one event.
    """
    rows: list[tuple[object, ...]] = []
    balances = []
    names = (arms.estimand.reference.name, arms.estimand.alternative.name)
    for kind in HARMS:
        column = f"grade3_{kind}"
        if column not in arms.table or arms.table[column].isna().all():
            continue
        recorded = arms.table[column].notna().to_numpy()
        event: NDArray[np.float64] = arms.table[column].to_numpy(dtype=float, na_value=np.nan)
        counts = {
            side: (int((recorded & (arms.treated == side)).sum()),
                   int(np.nansum(event[arms.treated == side])))
            for side in (False, True)
        }  # fmt: skip
        for side, name in ((False, names[0]), (True, names[1])):
            n, events = counts[side]
            if n:
                rows.append((kind, name, *wilson(events, n, 0.95), n, events))
        if all(n for n, _ in counts.values()):
            difference = risk_difference(
                (counts[True][1], counts[False][1]), (counts[True][0], counts[False][0])
            )
            total = sum(n for n, _ in counts.values())
            rows.append(
                (kind, "difference", *difference, total, sum(e for _, e in counts.values()))
            )
            table, flip = net_benefit_of_arm(benefit, difference)
            table = table.assign(kind=kind, flip=flip.value, flip_low=flip.low, flip_high=flip.high)
            balances.append(table)
    if not rows:
        return {}
    columns = ["kind", "arm", "value", "low", "high", "n", "events"]
    tables = {"harms": pd.DataFrame(rows, columns=columns)}
    if balances:
        tables["trade_off"] = pd.concat(balances, ignore_index=True)
    return tables

"""Utilities of a policy: benefit, harms and a grid of weights, which give its thresholds.

A weight is how much benefit one grade 3 or worse event is worth: at 0.25, four such events cancel
one patient spared from resistance (or one response more). No weight is a standard, so none is the
default.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import Field

from stratify.study.conditions import Text
from stratify.tables.strict import Place, Strict, list_of, mapping_of

__all__ = ["Harm", "RelativeRisk", "Utilities"]

Probability = Annotated[float, Field(ge=0, le=1)]


class RelativeRisk(Strict):
    """Risk of primary resistance with the combination over that with monotherapy.

    Taken as the same for every risk: an assumption, which needs its source and interval.
    """

    value: Annotated[float, Field(gt=0)]
    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]
    source: Text

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Find an interval that does not hold its value."""
        numbers = [data.get(key) for key in ("low", "value", "high")]
        if all(isinstance(x, (int, float)) for x in numbers) and numbers != sorted(numbers):  # type: ignore[type-var]
            yield (), "low, value and high are expected in this order"


class Harm(Strict):
    """Share of patients with a grade 3 or worse event, under each treatment."""

    kind: Literal["treatment_related", "immune_related", "all_cause"]
    monotherapy: Probability
    combination: Probability
    source: Text

    @property
    def difference(self) -> float:
        """More patients with an event under the combination, as a share."""
        return self.combination - self.monotherapy


class Utilities(Strict):
    """Benefit, harms and a grid of weights, which give the thresholds of the risk.

    For a patient of risk ``r`` the combination spares ``r (1 - relative risk)`` from resistance and
    costs ``w (harm difference) + delay_loss``; they balance at the risk

        ``r*(w) = (w * harm difference + delay_loss) / (1 - relative risk)``.

    Monotherapy is recommended below the smallest such risk over the grid, the harms and the
    interval of the relative risk, combination from the greatest; between them the choice depends
    on the weight. Where the interval of the relative risk reaches 1 it is never combination.

    Attributes
    ----------
    weights : list of float
        At least two: a grid, not a choice.
    delay_loss : float
        Share of patients who lose control because the combination starts later.

    Examples
    --------
    >>> utilities = Utilities(weights=[0.1, 0.5], harms=[Harm(kind="treatment_related",
    ...     monotherapy=0.18, combination=0.58, source="invented")],
    ...     relative_risk=RelativeRisk(value=0.7, low=0.6, high=0.8, source="invented"))
    >>> [round(x, 2) for x in utilities.thresholds]
    [0.1, 1.0]
    >>> utilities.flip_points([0.2, 0.8])["weight"].round(2).tolist()
    [0.15, 0.6]
    """

    relative_risk: RelativeRisk
    harms: Annotated[list[Harm], Field(min_length=1)]
    weights: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2)]
    delay_loss: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Harms that are stated twice."""
        kinds = [mapping_of(harm).get("kind") for harm in list_of(data.get("harms"))]
        for kind in sorted({str(k) for k in kinds if k and kinds.count(k) > 1}):
            yield ("harms",), f"{kind} is stated twice"

    def balance(self, weight: float, harm: Harm, relative_risk: float) -> tuple[float, float]:
        """Risk below which monotherapy is no worse, and from which the combination is no worse.

        They are one risk, unless the combination raises the risk of resistance and does less
        harm: then it may be better at low risks alone, and neither is better throughout.
        """
        cost = weight * harm.difference + self.delay_loss
        if relative_risk < 1:
            return (max(0.0, cost / (1 - relative_risk)),) * 2
        if cost >= 0:
            return np.inf, np.inf
        return 0.0, 0.0 if relative_risk + cost <= 1 else np.inf

    @property
    def thresholds(self) -> tuple[float, float]:
        """Risk below which monotherapy, and from which combination, whatever the harms' signs."""
        risk = self.relative_risk
        ends = [
            self.balance(weight, harm, ratio)
            for weight in (min(self.weights), max(self.weights))
            for harm in self.harms
            for ratio in (risk.low, risk.high)
        ]
        below, above = zip(*ends, strict=True)
        return min(below), max(above)

    def grid(self) -> pd.DataFrame:
        """Risk from which the combination is better, for each weight and kind of harm.

        Columns kind, weight, threshold, threshold_low, threshold_high: the limits are those of the
        relative risk; infinite where there is no benefit.
        """
        risk = self.relative_risk
        rows = [
            (h.kind, w, *(self.balance(w, h, r)[1] for r in (risk.value, risk.low, risk.high)))
            for h in self.harms
            for w in self.weights
        ]
        columns = ["kind", "weight", "threshold", "threshold_low", "threshold_high"]
        return pd.DataFrame(rows, columns=columns)

    def flip_points(self, risk: ArrayLike) -> pd.DataFrame:
        """Weight at which the choice flips, for each risk and each kind of harm.

        Columns risk, kind, weight (0 where monotherapy is better at every weight, infinite where
        the combination is). Above it monotherapy is better, or the combination where that does
        less harm.
        """
        risks = np.asarray(risk, dtype=float)
        rows = []
        for harm in self.harms:
            gain = risks * (1 - self.relative_risk.value) - self.delay_loss
            if harm.difference > 0:
                weight = np.maximum(gain, 0) / harm.difference
            else:
                flips = gain / harm.difference if harm.difference else np.zeros(len(gain))
                weight = np.where(gain > 0, np.inf, flips)
            rows.append(pd.DataFrame({"risk": risks, "kind": harm.kind, "weight": weight}))
        return pd.concat(rows, ignore_index=True)

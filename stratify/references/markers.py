"""Single markers, as a score or as a rule with a cut-off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.model.columns import FeatureColumns
from stratify.references.protocol import Kind, measured
from stratify.tables.bounds import reaches

__all__ = ["SingleMarker"]


@dataclass(frozen=True)
class SingleMarker:
    """One column as a reference; it learns nothing.

    Attributes
    ----------
    name, title, source, column : str
    worse : {"lower", "higher"}
    probability : bool
        Whether the column is a probability: of response where lower is worse.
    cut : float, optional
        Makes it a rule: 1 for patients below the cut, or from it on where higher is worse.

    Examples
    --------
    >>> rule = SingleMarker("tmb10", "TMB below 10", "KEYNOTE-158", "tmb", "lower", cut=10)
    >>> rule.risk(pd.DataFrame({"tmb": [8.0, 12.0, None]}))
    array([ 1.,  0., nan])
    """

    name: str
    title: str
    source: str
    column: str
    worse: Literal["lower", "higher"]
    cut: float | None = None
    probability: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    @property
    def kind(self) -> Kind:
        """A rule where there is a cut-off, else a score or a probability."""
        if self.cut is not None:
            return "rule"
        return "probability" if self.probability else "score"

    def fit(
        self,
        table: pd.DataFrame,
        features: Sequence[str],
        label: Floats,
        weight: Floats | None = None,
    ) -> SingleMarker:
        """Learn nothing."""
        return self

    def complete(self, table: pd.DataFrame) -> Flags:
        """Patients in whom the marker is measured, and tells the side of a cut-off."""
        return measured(table, self.needs) & ~np.isnan(self.risk(table))

    def risk(self, table: pd.DataFrame) -> Floats:
        """Value with the sign of a risk, or 1 and 0 by the rule.

        NaN where not measured, and by a rule where an interval spans the cut-off.
        """
        if self.cut is not None:
            reached = reaches(table, self.column, self.cut)
            return 1 - reached if self.worse == "lower" else reached
        values: Floats = FeatureColumns(table, [self.column], {})[self.column]
        if self.worse == "higher":
            return values
        return 1 - values if self.probability else -values

    def covers(self, table: pd.DataFrame) -> bool:
        """Cover never all: nothing stands in for a marker that is missing."""
        return False

    def to_json(self) -> dict[str, Any]:
        """Nothing is learned."""
        return {}

    def from_json(self, document: Mapping[str, Any]) -> SingleMarker:
        """Inverse of :meth:`to_json`."""
        return self

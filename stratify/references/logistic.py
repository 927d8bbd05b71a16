"""Plain logistic regression, refitted on the training patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.model.columns import FeatureColumns
from stratify.model.linear import LinearScore
from stratify.references.protocol import Kind, measured
from stratify.tables.schema import field_named

__all__ = ["LogisticModel", "LogisticReference"]


@dataclass(frozen=True)
class LogisticModel:
    """Plain logistic regression on canonical columns, ridge with C = 1 as scikit-learn's default.

    Attributes
    ----------
    levels : dict of str to list of str
        Levels of categorical columns in the order of their codes.
    score : LinearScore
    """

    levels: dict[str, list[str]]
    score: LinearScore

    @classmethod
    def fit(
        cls,
        table: pd.DataFrame,
        features: Sequence[str],
        label: Floats,
        weight: Floats | None = None,
    ) -> LogisticModel:
        """Fit on training patients; parameters as of :meth:`~stratify.references.Reference.fit`."""
        names = sorted(features)
        levels = {
            name: sorted(table[name].dropna().astype(str).unique())
            for name in names
            if field_named(name).categorical
        }
        counts = {name: len(known) for name, known in levels.items()}
        matrix = FeatureColumns(table, names, levels).encoded
        return cls(levels, LinearScore.fit(matrix, names, counts, label, weight=weight))

    def risk(self, table: pd.DataFrame) -> Floats:
        """Probability of class 1, for every patient."""
        margin = self.score.margin(FeatureColumns(table, self.score.features, self.levels).encoded)
        return np.asarray(1 / (1 + np.exp(-margin)))

    def covers(self, table: pd.DataFrame) -> bool:
        """Cover all patients, as missing numbers count as the training median."""
        return True

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return {"levels": self.levels, "score": self.score.to_json()}


@dataclass(frozen=True)
class LogisticReference:
    """Logistic regression on the model's features, or on those of a published score.

    Attributes
    ----------
    name, title, source : str
    inputs : tuple of str, optional
        Features that it may use; all by default.
    least : int
        It is fitted where it has as many.
    """

    name: str
    title: str
    source: str
    inputs: tuple[str, ...] | None = None
    least: int = 0
    needs: tuple[str, ...] = ()
    kind: Kind = "probability"

    def fit(
        self,
        table: pd.DataFrame,
        features: Sequence[str],
        label: Floats,
        weight: Floats | None = None,
    ) -> LogisticModel | None:
        """Fit on training patients; None where too few inputs are features."""
        names = features if self.inputs is None else [n for n in self.inputs if n in features]
        if len(names) < self.least:
            return None
        return LogisticModel.fit(table, names, label, weight)

    def complete(self, table: pd.DataFrame) -> Flags:
        """All patients."""
        return measured(table, self.needs)

    def from_json(self, document: Mapping[str, Any]) -> LogisticModel:
        """Inverse of :meth:`LogisticModel.to_json`."""
        return LogisticModel(dict(document["levels"]), LinearScore.from_json(document["score"]))

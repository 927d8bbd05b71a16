"""RF16, the random forest of Chowell 2022, refitted on the training patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.model.columns import FeatureColumns
from stratify.model.forest import RandomForest
from stratify.references.protocol import Kind, measured

__all__ = ["RF16_INPUTS", "Rf16"]

# Chowell 2022, 10.1038/s41587-021-01070-8, without the drug class: the regimen is no feature.
RF16_INPUTS = (
    *("cancer_type", "albumin", "hed", "tmb", "fraction_genome_altered", "bmi", "nlr"),
    *("platelets", "hemoglobin", "stage_iv", "age", "prior_systemic_therapy", "hla_loh"),
    *("msi_high", "sex"),
)
FEWEST_INPUTS = 8
# What their grid search (trees, depth, leaf, split; five folds, accuracy) chose for RF16.
SETTINGS = {"n_trees": 1000, "max_depth": 8, "min_samples_leaf": 20}
# Their coding of levels: the position; any other type is one.
LEVELS = {"cancer_type": ("melanoma", "nsclc", "other"), "sex": ("female", "male")}


@dataclass(frozen=True)
class Rf16:
    """The forest as a reference; not fitted where fewer than 8 of its inputs are features."""

    name: str = "rf16"
    title: str = "RF16, random forest"
    source: str = (
        "refitted on the training patients with inputs and settings of Chowell 2022, "
        "10.1038/s41587-021-01070-8"
    )
    needs: tuple[str, ...] = ()
    kind: Kind = "probability"

    def fit(
        self,
        table: pd.DataFrame,
        features: Sequence[str],
        label: Floats,
        weight: Floats | None = None,
    ) -> FittedRf16 | None:
        """Grow the forest on training patients."""
        inputs = [name for name in RF16_INPUTS if name in features]
        if len(inputs) < FEWEST_INPUTS:
            return None
        matrix = encoded(table, inputs)
        return FittedRf16(RandomForest.fit(matrix, inputs, label, weight, **SETTINGS))

    def complete(self, table: pd.DataFrame) -> Flags:
        """All patients."""
        return measured(table, self.needs)

    def from_json(self, document: Mapping[str, Any]) -> FittedRf16:
        """Inverse of :meth:`FittedRf16.to_json`."""
        return FittedRf16(RandomForest(**document))


@dataclass(frozen=True)
class FittedRf16:
    """The forest that was grown on the training patients."""

    forest: RandomForest

    def risk(self, table: pd.DataFrame) -> Floats:
        """Probability of class 1, for every patient."""
        return self.forest.risk(encoded(table, self.forest.features))

    def covers(self, table: pd.DataFrame) -> bool:
        """Cover all patients, as missing numbers count as the training median."""
        return True

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return asdict(self.forest)


def encoded(table: pd.DataFrame, features: Sequence[str]) -> Floats:
    """Code inputs as numbers, of shape (n_patients, n_features), by the coding of the paper."""
    coded = {}
    for name in set(LEVELS) & set(table.columns):
        levels = table[name].astype(object)
        coded[name] = levels.where(levels.isna() | levels.isin(LEVELS[name]), "other")
    return FeatureColumns(table.assign(**coded), features, LEVELS).encoded

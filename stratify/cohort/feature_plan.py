"""What a model needs of a patient, and how its features are made of it.

It is saved in the bundle, so that the same measured values give the same features wherever they
come from: the files of a study, a table, a batch of a registry or a request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from stratify.biomarkers.derivation import Derivation, DerivationRules, inputs_of
from stratify.biomarkers.derivations import derivations
from stratify.cohort.training_scales import TrainingScales
from stratify.errors import DataError
from stratify.tables.measurements import Pdl1Rule

__all__ = ["FeaturePlan"]


@dataclass(frozen=True)
class FeaturePlan:
    """Features of a model and how they are made.

    Attributes
    ----------
    features : tuple of str
        In the order of the model's matrix.
    scales : TrainingScales
        What was learned on the training patients.
    pdl1 : Pdl1Rule
        How PD-L1 was read in training.
    landmark_weeks : float or None
        Landmark of the model; None for the baseline.
    assays : mapping of str to str
        Assay by column where training had one alone: patients for whom none is stated count as
        measured with it.
    markers : tuple of str
        What a policy asks for besides; not saved.

    Examples
    --------
    >>> plan = FeaturePlan(("lipi",))
    >>> plan.inputs
    ('lipi', 'dnlr', 'ldh_ratio', 'ldh', 'ldh_upper_limit', 'neutrophils', 'leukocytes')
    """

    features: tuple[str, ...]
    scales: TrainingScales = field(default_factory=TrainingScales)
    pdl1: Pdl1Rule = field(default_factory=Pdl1Rule)
    landmark_weeks: float | None = None
    assays: Mapping[str, str] = field(default_factory=dict)
    markers: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        features: Collection[str],
        scales: TrainingScales,
        rules: Collection[Pdl1Rule],
        landmark_weeks: float | None,
        assays: Mapping[str, Mapping[str, str]],
    ) -> FeaturePlan:
        """Plan of a model that is trained.

        Parameters
        ----------
        scales : TrainingScales
        landmark_weeks : float or None
        assays : mapping of str to mapping of str to str
            Assay by column and training cohort.
        """
        tiered = [rule for rule in rules if rule.tiers]
        days = {rule.cutoffs_on for rule in tiered}
        if len(days) > 1 and any(name.endswith("_tier") for name in features):
            raise DataError(
                "The training cohorts make tiers of PD-L1 by cut-offs of different days; state "
                "one `cutoffs_on` for all."
            )
        clones = {rule.clone for rule in rules}
        pdl1 = Pdl1Rule(
            clone=clones.pop() if len(clones) == 1 else None,
            tiers=bool(tiered),
            cutoffs_on=min(days, key=str) if days else None,
        )
        alone = {
            name: next(iter(by_cohort.values()))
            for name, by_cohort in assays.items()
            if len(set(by_cohort.values())) == 1
        }
        return cls(tuple(features), scales, pdl1, landmark_weeks, alone)

    @cached_property
    def _used(self) -> tuple[tuple[Derivation, ...], tuple[str, ...]]:
        used, inputs = inputs_of((*self.features, *self.markers), derivations())
        return tuple(used), tuple(inputs)

    @property
    def derivations(self) -> tuple[Derivation, ...]:
        """Derivations that lead to features and markers, in their order."""
        return self._used[0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features, then every other column from which they may follow."""
        return self._used[1]

    @cached_property
    def input_set(self) -> frozenset[str]:
        """The inputs, to be looked up."""
        return frozenset(self.inputs)

    def rules(
        self, assays: Mapping[str, str] | None = None, stated: Pdl1Rule | None = None
    ) -> DerivationRules:
        """Rules of derivation for a cohort.

        Parameters
        ----------
        assays : mapping of str to str, optional
            Assay by column, of patients without one of their own.
        """
        pdl1 = self.pdl1
        if stated is not None and stated.clone is not None:
            pdl1 = pdl1.model_copy(update={"clone": stated.clone})
        return DerivationRules(pdl1, {**self.assays, **(assays or {})}, self.scales.tmb)

    def take(self, features: Collection[str]) -> FeaturePlan:
        """Give the same for other features."""
        return replace(self, features=tuple(features))

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return {
            "features": list(self.features),
            "scales": self.scales.to_json(),
            "pdl1": self.pdl1.model_dump(mode="json"),
            "landmark_weeks": self.landmark_weeks,
            "assays": dict(self.assays),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FeaturePlan:
        """Inverse of :meth:`to_json`."""
        return cls(
            tuple(data["features"]),
            TrainingScales.from_json(data["scales"]),
            Pdl1Rule.model_validate(data["pdl1"]),
            data["landmark_weeks"],
            data["assays"],
        )

"""All references, with what they learned from the training patients."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.references.known import references
from stratify.references.protocol import FittedReference

__all__ = ["References"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class References:
    """The references that could be fitted, by name.

    Attributes
    ----------
    fitted : dict of str to FittedReference
    absent : dict of str to dict
        What was learned by references whose package is not installed; kept for the bundle.
    """

    fitted: dict[str, FittedReference]
    absent: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        table: pd.DataFrame,
        features: Sequence[str],
        label: Floats,
        weight: Floats | None = None,
    ) -> References:
        """Fit all on training patients; parameters as of :meth:`Reference.fit`."""
        found = {
            name: reference.fit(table, features, label, weight)
            for name, reference in references().items()
        }
        return cls({name: fitted for name, fitted in found.items() if fitted is not None})

    def complete(self, table: pd.DataFrame) -> dict[str, Flags]:
        """Patients who have every input of a reference, by reference."""
        return {name: references()[name].complete(table) for name in self.fitted}

    def covering(self, table: pd.DataFrame) -> frozenset[str]:
        """Name the references that cover all patients, with training medians for missing inputs."""
        return frozenset(name for name, each in self.fitted.items() if each.covers(table))

    def risk(self, name: str, table: pd.DataFrame) -> Floats:
        """Risk by one reference; missing inputs may take training medians.

        Parameters
        ----------
        table : DataFrame of shape (n_patients, ...)

        Returns
        -------
        ndarray of shape (n_patients,)
            Probability, score or 0/1 rule; higher is worse. NaN where an input is missing and
            nothing stands in for it.
        """
        return self.fitted[name].risk(table)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        learned = {name: fitted.to_json() for name, fitted in self.fitted.items()}
        return {"learned": {**learned, **self.absent}}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> References:
        """Inverse of :meth:`to_json`; what references of absent packages learned is kept."""
        learned = document["learned"] if "learned" in document else _of_earlier_bundle(document)
        known = references()
        absent = {name: learned[name] for name in sorted(set(learned) - set(known))}
        for name in absent:
            _log.warning(
                "The reference %s of this bundle is left out: the package that adds it is not "
                "installed.",
                name,
            )
        fitted = {
            name: reference.from_json(learned[name])
            for name, reference in known.items()
            if name in learned
        }
        return cls(fitted, absent)


def _of_earlier_bundle(document: Mapping[str, Any]) -> dict[str, Any]:
    """Sort what was learned by reference, in bundles that kept the medians of all in one place."""
    refitted = set(document) - {"medians"}
    learned: dict[str, Any] = {
        name: {"medians": document["medians"]}
        for name, reference in references().items()
        if reference.needs
    }
    return learned | {name: document[name] for name in refitted if document[name] is not None}

"""Uncertainty of a bundle: posterior, counts of training risks, applicability, joint scores.

Learned on the training patients of the classifier; aggregates only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from stratify.arrays import Floats
from stratify.model.columns import FeatureColumns
from stratify.uncertainty.applicability import Applicability
from stratify.uncertainty.joint_scores import JointScores
from stratify.uncertainty.posterior import LinearPosterior
from stratify.uncertainty.risk_counts import RiskCounts
from stratify.uncertainty.training_distribution import TrainingDistribution

if TYPE_CHECKING:
    from stratify.model.classifier import ResistanceClassifier

__all__ = ["Uncertainty"]


@dataclass(frozen=True)
class Uncertainty:
    """Uncertainty of a fitted classifier.

    Attributes
    ----------
    posterior : LinearPosterior
    training_risks : RiskCounts or None
        None where the classifier has no out-of-fold risks.
    applicability : Applicability
    joint : JointScores or None
        None in bundles of an earlier version.
    """

    posterior: LinearPosterior
    training_risks: RiskCounts | None
    applicability: Applicability
    joint: JointScores | None = None

    @property
    def training(self) -> TrainingDistribution | None:
        """What the training patients looked like; None in bundles of an earlier version."""
        if self.joint is None:
            return None
        return TrainingDistribution(self.posterior.numbers, self.joint, self.posterior.shares)

    @classmethod
    def fit(
        cls,
        classifier: ResistanceClassifier,
        matrix: pd.DataFrame,
        label: Floats,
        weight: Floats | None = None,
    ) -> Uncertainty:
        """Learn from the patients on whom the classifier was fitted.

        Parameters
        ----------
        matrix : DataFrame of shape (n_patients, n_features)
            As :func:`stratify.cohort.features.model_matrix`, in the order given to the classifier.
        label : ndarray of shape (n_patients,)
            1 or 0.
        weight : ndarray of shape (n_patients,), optional
            As given to the classifier.
        """
        used = np.ones(len(label), dtype=bool) if weight is None else weight > 0
        weights = None if weight is None else weight[used]
        matrix, label, risk = matrix[used], label[used], classifier.oof_risk_[used]
        folds = min(classifier.calibration_folds, int(label.sum()), int((1 - label).sum()))
        masked = classifier.masked_weight > 0 and (
            classifier.mask_value > 0 or classifier.mask_panel > 0
        )
        levels = classifier.levels_
        posterior = LinearPosterior.fit(matrix, levels, label, weights)
        return cls(
            posterior,
            RiskCounts.fit(risk, weights) if folds > 1 else None,
            Applicability.fit(matrix, levels, masked=masked),
            JointScores.fit(matrix, posterior.numbers, posterior.shares),
        )

    def variance(self, matrix: pd.DataFrame | FeatureColumns, margin: Floats) -> Floats:
        """Variance of the log-odds that the spread of the members misses.

        What the training patients leave open about linear effects, what is not measured could
        have added, and the squared distance of the classifier from the linear posterior: two
        models that disagree are not both right.

        Parameters
        ----------
        matrix : DataFrame or FeatureColumns of shape (n_patients, n_features)
        margin : ndarray of shape (n_patients,)
            Calibrated log-odds by the classifier, as at training.

        Returns
        -------
        ndarray of shape (n_patients,)
        """
        mean, variance = self.posterior.margin(matrix)
        return variance + (mean - margin) ** 2

    def variance_of_change(
        self,
        before: pd.DataFrame | FeatureColumns,
        after: pd.DataFrame | FeatureColumns,
        change: Floats,
    ) -> Floats:
        """Variance of a change of the log-odds that the spread of the members misses.

        As :meth:`variance`, but only of what differs between two sets of values of a patient.

        Parameters
        ----------
        before, after : DataFrame or FeatureColumns of shape (n_patients, n_features)
        change : ndarray of shape (n_patients,)
            Of the calibrated log-odds by the classifier, as at training.

        Returns
        -------
        ndarray of shape (n_patients,)
        """
        mean, variance = self.posterior.change(before, after)
        return variance + (mean - change) ** 2

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Uncertainty:
        """Inverse of :meth:`to_json`."""
        if "venn_abers" in document:  # bundles before 0.2 kept the counts for a pair of risks too
            rest = {name: part for name, part in document.items() if name != "venn_abers"}
            document = rest | {"training_risks": document["venn_abers"]}
        return TypeAdapter(cls).validate_python(document)

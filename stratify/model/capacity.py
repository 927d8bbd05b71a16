"""How large the trees of an ensemble are: larger than stated where the training patients show it.

Small, slow trees beside a linear score lose least on a few hundred patients, whose signal is mostly
additive; they never find a pair of biomarkers that say nothing each by itself. Larger and faster
trees find it, and lose elsewhere. Which of the two is right is a question to the patients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stratify.arrays import Floats
from stratify.model.design import Boosting, Design, TrainingSet
from stratify.model.ensemble import AnchoredEnsemble
from stratify.model.platt import platt_line
from stratify.model.threads import one_thread

__all__ = ["Capacity", "log_losses"]


# Patients from which larger trees are tried: a third of fewer judges too little.
_FEWEST = 200
_FOLDS, _MEMBERS = 3, 3
# Standard errors by which larger trees have to gain.
_ERRORS = 1.0


def _larger(stated: Boosting) -> Boosting:
    """Larger, faster trees that see every feature and learn what the anchor misses."""
    return replace(
        stated,
        n_estimators=max(1, round(0.6 * stated.n_estimators)),
        learning_rate=min(1.0, 4.5 * stated.learning_rate),
        num_leaves=2 * stated.num_leaves,
        feature_fraction=1.0,
        anchor_start=1.0,
    )


@dataclass(frozen=True)
class Capacity:
    """Settings of the boosting by which an ensemble is fitted, and what speaks for them.

    Attributes
    ----------
    boosting : Boosting
    larger : bool
        Whether the trees are larger than stated.
    gain, error : float or None
        Log loss of a left-out patient with trees as stated minus that with larger ones, mean and
        standard error over the training patients; None where it was not tried.
    """

    boosting: Boosting
    larger: bool = False
    gain: float | None = None
    error: float | None = None

    @classmethod
    def chosen(
        cls, patients: TrainingSet, design: Design, stated: Boosting, *, seed: int, n_jobs: int = 1
    ) -> Capacity:
        """Choose by cross-validation within the training patients.

        Larger trees are taken if they gain more than one standard error (Breiman 1984), each
        patient judged by ensembles that did not see them.
        """
        folds = patients.folds(_FOLDS, seed) if len(patients) >= _FEWEST else []
        if len(folds) < _FOLDS:
            return cls(stated)
        larger = _larger(stated)
        members = min(_MEMBERS, stated.n_members)

        def losses(boosting: Boosting) -> Floats:
            margin = np.empty(len(patients))
            few = replace(boosting, n_members=members)
            for k, (train, left_out) in enumerate(folds):
                with one_thread():
                    ensemble = AnchoredEnsemble.fit(
                        patients.take(train), design, few, seed=seed + 1 + k, n_jobs=n_jobs
                    )
                margin[left_out] = ensemble.margins(patients.matrix[left_out]).mean(axis=0)
            with one_thread():
                return log_losses(margin, patients)

        gains = losses(stated) - losses(larger)
        gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))
        taken = gain > _ERRORS * error
        return cls(larger if taken else stated, taken, gain, error)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the card."""
        return {"taken": self.larger, "gain": self.gain, "error": self.error}


def log_losses(margin: Floats, judged: TrainingSet) -> Floats:
    """Log loss of each patient at calibrated margins, times the weight against the mean one."""
    slope, intercept = platt_line(margin, judged.label, judged.weight)
    logit = slope * margin + intercept
    losses: Floats = np.logaddexp(0, logit) - judged.label * logit
    losses *= judged.weight / judged.weight.mean()
    return losses

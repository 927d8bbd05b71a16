"""Model and references trained on the same patients, and what they say of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.cohort.features import model_matrix
from stratify.model.classifier import ResistanceClassifier
from stratify.model.horizons import horizon_outcomes
from stratify.model.tuning import tuned
from stratify.progress import Progress
from stratify.references import Reference, References, SingleMarker, references
from stratify.statistics.performance import MODEL
from stratify.statistics.survival import censoring_weights
from stratify.study.comparator import Comparator

__all__ = [
    "EarlyCensoring",
    "Risks",
    "Training",
    "fit_model",
    "fit_with_references",
    "judged_risks",
    "predicted",
    "risks_without",
]


@dataclass(frozen=True)
class Risks:
    """Risks of the same patients by the model and the references.

    Attributes
    ----------
    by_model : dict of str to ndarray of shape (n_patients,)
        The model first; higher is worse.
    complete : dict of str to ndarray of bool of shape (n_patients,)
        Patients with every input of a reference measured.
    covering : frozenset of str
        References that may be shown for all patients, missing inputs at training medians.
    fold : ndarray of int of shape (n_patients,), optional
        Fold of the cross-validation that judged each patient.
    stated : dict of str to Reference
        References of the study at hand, beside those that are known.
    """

    by_model: dict[str, Floats]
    complete: dict[str, Flags]
    covering: frozenset[str]
    fold: npt.NDArray[np.int_] | None = None
    stated: dict[str, SingleMarker] = field(default_factory=dict)

    def reference(self, name: str) -> Reference:
        """Find a reference by its name."""
        return self.stated.get(name) or references()[name]

    def with_comparators(self, stated: Iterable[Comparator], table: pd.DataFrame) -> Risks:
        """Add the scores that a study states, of the same patients; they learn nothing."""
        found = {each.name: _marker(each) for each in stated}
        complete = {name: each.complete(table) for name, each in found.items()}
        found = {name: each for name, each in found.items() if complete[name].any()}
        return replace(
            self,
            by_model=self.by_model | {name: each.risk(table) for name, each in found.items()},
            complete=self.complete | {name: complete[name] for name in found},
            stated=self.stated | found,
        )

    def whole(self) -> list[str]:
        """Models that are judged on all patients; those that need training medians come last."""
        whole = [name for name in self.by_model if name == MODEL or self.complete[name].all()]
        return whole + [n for n in self.by_model if n in self.covering and n not in whole]


def _marker(stated: Comparator) -> SingleMarker:
    return SingleMarker(
        stated.name,
        stated.title or stated.name,
        stated.source,
        stated.column,
        "higher" if stated.higher_is == "risk" else "lower",
        probability=stated.kind == "probability",
    )


@dataclass(frozen=True)
class EarlyCensoring:
    """Training patients censored before the horizon of the label (months): pfs and pfs_event."""

    table: pd.DataFrame
    horizon: float


def fit_with_references(
    classifier: ResistanceClassifier,
    table: pd.DataFrame,
    features: list[str],
    *,
    censoring: EarlyCensoring | None = None,
    trials: int = 0,
    storage: Path | None = None,
    tried: Callable[[dict[str, float]], None] | None = None,
    progress: Progress | None = None,
) -> tuple[ResistanceClassifier, References]:
    """Fit a clone of the classifier and every reference on the same patients.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        Patients with ``label``. The anchor also learns from their other outcomes, see
        :func:`stratify.model.horizons.horizon_outcomes`.
    censoring : EarlyCensoring, optional
        Patients for whom those with a label stand, by inverse-probability-of-censoring weights.
    """
    label = table["label"].to_numpy(dtype=float)
    weight = None
    if censoring is not None:
        both = pd.concat([table, censoring.table], ignore_index=True)
        weights = censoring_weights(both["pfs"], both["pfs_event"], censoring.horizon)
        weight = weights[: len(table)]
    if trials:
        classifier = tuned(
            classifier,
            *(model_matrix(table, features), label, weight, horizon_outcomes(table)),
            trials=trials,
            storage=storage,
            tried=tried,
            progress=progress,
        )
    fitted = fit_model(classifier, table, features, weight)
    return fitted, References.fit(table, features, label, weight)


def fit_model(
    classifier: ResistanceClassifier,
    table: pd.DataFrame,
    features: list[str],
    weight: Floats | None = None,
) -> ResistanceClassifier:
    """Fit a clone of the classifier on patients with ``label`` and other outcomes."""
    from sklearn.base import clone

    model: ResistanceClassifier = clone(classifier)
    label, others = table["label"].to_numpy(dtype=float), horizon_outcomes(table)
    return model.fit(model_matrix(table, features), label, sample_weight=weight, auxiliary=others)


def predicted(classifier: ResistanceClassifier, table: pd.DataFrame) -> Floats:
    """Risk of every patient by a fitted model."""
    matrix = model_matrix(table, classifier.features_)
    return np.asarray(classifier.predict_proba(matrix)[:, 1])


def judged_risks(
    classifier: ResistanceClassifier,
    fitted: References,
    table: pd.DataFrame,
    stated: Iterable[Comparator] = (),
) -> Risks:
    """Risks by the model, by every reference that has its columns, and by those of a study."""
    complete = fitted.complete(table)
    by_model = {MODEL: predicted(classifier, table)}
    covering = fitted.covering(table)
    for name, mask in complete.items():
        if mask.any() or name in covering:
            by_model[name] = fitted.risk(name, table)
    return Risks(by_model, complete, covering).with_comparators(stated, table)


@dataclass(frozen=True)
class Training:
    """How every fold is trained: parameters of :func:`fit_with_references`."""

    classifier: ResistanceClassifier
    features: list[str]
    censoring: EarlyCensoring | None = None
    trials: int = 0
    storage: Path | None = None

    def alone(self, workers: int) -> Training:
        """As one of several workers trains: on one thread."""
        from sklearn.base import clone

        if workers == 1:
            return self
        return replace(self, classifier=clone(self.classifier).set_params(n_jobs=1))


def risks_without(
    training: Training,
    home: pd.DataFrame,
    away: list[pd.DataFrame],
    name: str = "",
    progress: Progress | None = None,
) -> list[Risks]:
    """Risks of patients in `away` by models and references that learned from those in `home`."""

    def report(line: str) -> None:
        if progress is not None:
            progress(f"{name}: {line}")  # what is left out

    fitted, known = fit_with_references(
        training.classifier,
        home,
        training.features,
        censoring=training.censoring,
        trials=training.trials,
        storage=training.storage,
        progress=report,
    )
    return [judged_risks(fitted, known, judged) for judged in away]

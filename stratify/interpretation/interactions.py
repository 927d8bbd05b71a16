"""Which features interact in a risk: exact pairwise SHAP interactions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratify.model.classifier import ResistanceClassifier
from stratify.scoring.resistance_model import PatientsLike, ResistanceModel, made_ready
from stratify.tables.schema import field_named

__all__ = ["interaction_summary", "interactions"]

_BLOCK = 500  # patients whose matrices of pairs are held at once


def interactions(
    model: ResistanceModel | ResistanceClassifier, source: PatientsLike, *, top: int | None = None
) -> pd.DataFrame:
    """Pairs of features that interact in each patient's risk.

    Parameters
    ----------
    model, source
        As for :func:`stratify.interpretation.attribution.attributions`; few patients, since their
        pairs are kept one by one.
    top : int, optional
        Strongest pairs of each patient; by default all.

    Returns
    -------
    DataFrame
        ``patient_id, cohort, feature, other, shap``, strongest first. `shap` is what the two add
        beyond each by itself, both halves of the matrix, in log-odds before calibration.
    """
    classifier, patients = made_ready(model, source)
    features = np.array(classifier.features_, dtype=object)
    pairs = _pairs(classifier.interactions(patients.matrix))
    left, right = np.triu_indices(len(features), 1)
    kept = pairs.shape[1] if top is None else min(top, pairs.shape[1])
    order = np.argsort(-np.abs(pairs), axis=1, kind="stable")[:, :kept]
    return pd.DataFrame(
        {
            "patient_id": np.repeat(patients.values["patient_id"], kept),
            "cohort": np.repeat(patients.cohorts, kept),
            "feature": features[left[order]].ravel(),
            "other": features[right[order]].ravel(),
            "shap": pairs[np.arange(len(patients))[:, None], order].ravel(),
        }
    )


def interaction_summary(
    model: ResistanceModel | ResistanceClassifier, source: PatientsLike
) -> pd.DataFrame:
    """Pairs of features by how strongly they interact in the risks of a cohort.

    Parameters
    ----------
    model, source
        As for :func:`stratify.interpretation.attribution.attributions`.

    Returns
    -------
    DataFrame of shape (n_features * (n_features - 1) / 2, 5)
        ``feature, other, title, other_title, mean_abs_shap`` in log-odds, strongest first.
    """
    classifier, patients = made_ready(model, source)
    features = list(classifier.features_)
    left, right = np.triu_indices(len(features), 1)
    total = np.zeros(len(left))
    for start in range(0, len(patients), _BLOCK):
        block = patients.matrix.iloc[start : start + _BLOCK]
        total += np.abs(_pairs(classifier.interactions(block))).sum(axis=0)
    found = pd.DataFrame(
        {
            "feature": [features[j] for j in left],
            "other": [features[j] for j in right],
            "title": [field_named(features[j]).title for j in left],
            "other_title": [field_named(features[j]).title for j in right],
            "mean_abs_shap": total / max(len(patients), 1),
        }
    )
    return found.sort_values("mean_abs_shap", ascending=False, kind="stable", ignore_index=True)


def _pairs(values: np.ndarray) -> np.ndarray:
    """Both halves of each pair, of shape (n_patients, n_pairs)."""
    left, right = np.triu_indices(values.shape[1], 1)
    pairs: np.ndarray = values[:, left, right] + values[:, right, left]
    return pairs

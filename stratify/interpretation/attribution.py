"""Why a patient's risk is what it is: exact SHAP values of the model, in log-odds.

Values are contributions to the mean margin of the members, before calibration (one line on the
log-odds scale). They are associations of the model, not causes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stratify.cohort.features import model_matrix
from stratify.errors import StratifyError
from stratify.model.classifier import ResistanceClassifier
from stratify.tables.schema import field_named, load_schema

if TYPE_CHECKING:
    import shap

__all__ = ["attributions", "explanation", "importance"]

# base value + sum of contributions must equal the margin to this, in log-odds.
ADDITIVITY = 1e-6


def attributions(classifier: ResistanceClassifier, table: pd.DataFrame) -> pd.DataFrame:
    """Contribution of each feature to each patient's margin, as a long table.

    Parameters
    ----------
    classifier : ResistanceClassifier
        Fitted on canonical columns.
    table : DataFrame of shape (n_patients, ...)
        ``patient_id``, ``cohort`` and canonical columns; absent features are missing.

    Returns
    -------
    DataFrame of shape (n_patients * n_features, 9)
        As in the ``attributions`` dictionary; patients in the order given, features by name.

    Raises
    ------
    StratifyError
        If contributions do not add up to the margin within 1e-6; that is a bug.

    Notes
    -----
    Path-dependent TreeSHAP (Lundberg 2020, 10.1038/s42256-019-0138-9), exact for each member and
    so for their mean.
    """
    features = classifier.features_
    matrix = model_matrix(table, features)
    shap_values, base, margin = classifier.contributions(matrix)
    gap = float(np.abs(base + shap_values.sum(axis=1) - margin).max(initial=0))
    if gap > ADDITIVITY:
        raise StratifyError(f"SHAP values miss the margin by {gap:.2g}; {ADDITIVITY:g} is allowed.")
    n = len(table)
    fields = [field_named(name) for name in features]
    categorical = np.array([field.categorical for field in fields])
    numbers = np.full((n, len(features)), np.nan)
    levels = np.full((n, len(features)), None, dtype=object)
    for j, name in enumerate(features):
        if categorical[j]:
            levels[:, j] = matrix[name].where(matrix[name].notna(), None)
        else:
            numbers[:, j] = matrix[name].to_numpy(dtype=float)
    long = pd.DataFrame(
        {
            "patient_id": np.repeat(table["patient_id"].to_numpy(dtype=object), len(features)),
            "cohort": np.repeat(table["cohort"].to_numpy(dtype=object), len(features)),
            "feature": np.tile(np.array(features, dtype=object), n),
            "panel": np.tile(np.array([f.panel for f in fields], dtype=object), n),
            "unit": np.tile(np.array([f.unit or "" for f in fields], dtype=object), n),
            "value": numbers.ravel(),
            "level": levels.ravel(),
            "shap": shap_values.ravel(),
            "base_value": base,
        }
    )
    return long[list(load_schema("attributions").fields)]


def explanation(classifier: ResistanceClassifier, table: pd.DataFrame) -> shap.Explanation:
    """Contributions as a ``shap.Explanation``, for every plot of the shap package.

    Parameters
    ----------
    classifier : ResistanceClassifier
    table : DataFrame of shape (n_patients, ...)

    Returns
    -------
    shap.Explanation of shape (n_patients, n_features)
        ``display_data`` holds levels as text; ``data`` holds numbers, levels as their codes.
    """
    import shap

    features = classifier.features_
    matrix = model_matrix(table, features)
    shap_values, base, _ = classifier.contributions(matrix)
    return shap.Explanation(
        values=shap_values,
        base_values=np.full(len(matrix), base),
        data=classifier.encoded(matrix),
        display_data=matrix.to_numpy(dtype=object),
        feature_names=list(features),
    )


def importance(long: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute contribution by feature, greatest first.

    Parameters
    ----------
    long : DataFrame
        From :func:`attributions`.

    Returns
    -------
    DataFrame
        ``feature, title, panel, mean_abs_shap`` in log-odds.
    """
    mean = long["shap"].abs().groupby(long["feature"]).mean()
    mean = mean.sort_values(ascending=False, kind="stable")  # ties by name
    return pd.DataFrame(
        {
            "feature": mean.index,
            "title": [field_named(str(name)).title for name in mean.index],
            "panel": [field_named(str(name)).panel for name in mean.index],
            "mean_abs_shap": mean.to_numpy(),
        }
    )

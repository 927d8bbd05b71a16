"""Training data checked before a fit: names, levels, labels, and an order of their own.

How columns become a matrix stands in :mod:`stratify.model.columns`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Floats
from stratify.errors import ArgumentError

__all__ = [
    "check_names",
    "content_order",
    "graded_labels",
    "labels_of",
    "levels_of",
    "rounded_out",
]


def check_names(columns: pd.Index) -> None:
    """Refuse columns of the same name."""
    if columns.duplicated().any():
        twice = sorted(set(columns[columns.duplicated()]))
        raise ArgumentError(f"X has columns of the same name: {', '.join(twice)}.")


def levels_of(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Levels of every column that holds neither numbers nor yes/no, sorted."""
    return {
        str(name): sorted({str(level) for level in column.dropna().unique()})
        for name, column in frame.items()
        if not _is_numeric(column)
    }


def _is_numeric(column: pd.Series) -> bool:
    """Whether the values are numbers or yes/no, also when an object column holds them."""
    if column.dtype == object:
        kinds = ("integer", "floating", "mixed-integer-float", "boolean")
        return pd.api.types.infer_dtype(column, skipna=True) in kinds
    return pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def content_order(matrix: Floats, label: Floats, weight: Floats) -> npt.NDArray[np.intp]:
    """Order of rows by content alone, so that the order given does not matter."""
    filled = np.nan_to_num(matrix, nan=np.inf)
    return np.lexsort([weight, label, *filled.T[::-1]])


def rounded_out(least: float, most: float) -> tuple[float, float]:
    """Widen a range to one significant digit, so that an extreme tells no patient's exact value."""

    def step(value: float) -> float:
        return 10.0 ** (math.floor(math.log10(abs(value)))) if value else 1.0

    down, up = step(least), step(most)
    return (
        round(math.floor(least / down) * down, 12),
        round(math.ceil(most / up) * up, 12),
    )


def labels_of(y: Any) -> npt.NDArray[Any]:
    """One label a patient, none missing."""
    if y is None:
        raise ArgumentError(
            "ResistanceClassifier requires y to be passed, but the target y is None."
        )
    target = np.asarray(y)
    if target.ndim > 2 or (target.ndim == 2 and target.shape[1] != 1):
        raise ArgumentError(f"y has shape {target.shape}; one label for each patient is expected.")
    target = target.ravel()
    absent = int(pd.isna(target).sum())
    if absent:
        raise ArgumentError(
            f"y has {absent} of {len(target)} labels missing; a class for every patient is "
            "expected: leave those patients out of X and y."
        )
    # Whole numbers held as objects, as a column with missing labels leaves them.
    return target if target.dtype != object else np.asarray(pd.Series(target).infer_objects())


def graded_labels(label: Floats, auxiliary: Any) -> Floats:
    """Mean of a patient's label and other known outcomes, 0 to 1.

    Parameters
    ----------
    label : ndarray of shape (n_patients,)
        1 or 0.
    auxiliary : DataFrame or array of shape (n_patients, n_outcomes), or None
        1, 0 or NaN.

    Examples
    --------
    >>> graded_labels(np.array([1.0, 0.0]), np.array([[1.0, 0.0, 0.0], [1.0, np.nan, np.nan]]))
    array([0.5, 0.5])
    """
    if auxiliary is None:
        return label
    table = pd.DataFrame(auxiliary)
    if len(table) != len(label):
        raise ArgumentError(f"auxiliary has {len(table)} rows but y has {len(label)}.")
    try:
        outcomes = table.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError):
        outcomes = np.full(table.shape, np.inf)
    if not np.isin(outcomes[~np.isnan(outcomes)], (0.0, 1.0)).all():
        raise ArgumentError("auxiliary holds other values than 1, 0 and missing.")
    graded: Floats = np.nanmean(np.column_stack([label, outcomes]), axis=1)
    return graded

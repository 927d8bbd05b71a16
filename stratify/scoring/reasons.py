"""Why a patient's risk is what it is, in few columns: the strongest contributions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.errors import ArgumentError

__all__ = ["check_explain", "top_reasons"]


_MOST = 20  # more are no summary


def check_explain(explain: str, top: int) -> None:
    """Refuse options that say nothing."""
    if explain not in ("none", "top", "full"):
        raise ArgumentError(f"explain is {explain!r}; none, top or full is expected.")
    if not isinstance(top, int) or not 0 <= top <= _MOST:
        raise ArgumentError(
            f"top is {top!r}; a whole number of reasons from 0 to {_MOST} is expected."
        )


def top_reasons(names: list[str], contributions: Floats, top: int) -> pd.DataFrame:
    """Features of the strongest contributions to each patient's risk.

    Parameters
    ----------
    names : list of str
        Features in the order of the columns.
    contributions : ndarray of shape (n_patients, n_features)
        In log-odds; positive ones speak for resistance.
    top : int
        Reasons; those beyond the number of features are missing.

    Returns
    -------
    DataFrame of shape (n_patients, 2 * top)
        ``reason_1``, ``reason_1_shap``, ..., the strongest first, equal ones by name.

    Examples
    --------
    >>> top_reasons(["albumin", "nlr", "tmb"], np.array([[0.1, 0.4, -0.5]]), 2)
      reason_1  reason_1_shap reason_2  reason_2_shap
    0      tmb           -0.5      nlr            0.4
    """
    strongest = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :top]
    values = np.take_along_axis(contributions, strongest, axis=1)
    features = np.array(names, dtype=object)[strongest]
    found: dict[str, object] = {}
    for k in range(top):
        there = k < strongest.shape[1]
        found[f"reason_{k + 1}"] = features[:, k] if there else None
        found[f"reason_{k + 1}_shap"] = values[:, k] if there else np.nan
    return pd.DataFrame(found, index=range(len(contributions)))

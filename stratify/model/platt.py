"""Platt's line: from the margin of a model to log-odds."""

from __future__ import annotations

import numpy as np

from stratify.arrays import Floats

__all__ = ["platt_line"]


def platt_line(margin: Floats, label: Floats, weight: Floats) -> tuple[float, float]:
    """Slope and intercept from margin to log-odds (Platt 1999).

    Parameters
    ----------
    margin : ndarray of shape (n_patients,)
        Log-odds by models that did not see the patient.
    label : ndarray of shape (n_patients,)
        1 or 0, both present.
    weight : ndarray of shape (n_patients,)

    Examples
    --------
    >>> line = platt_line(np.array([-1.0, 0.0, 0.0, 1.0]), np.array([0.0, 0, 1, 1]), np.ones(4))
    >>> line[0] > 1, abs(line[1]) < 1e-3
    (True, True)
    """
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e6).fit(margin[:, None], label, sample_weight=weight)
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:  # nothing learned: the prevalence for everyone, never a reversed order
        share = float(np.average(label, weights=weight))
        slope, intercept = 0.0, float(np.log(share / (1 - share)))
    return slope, intercept

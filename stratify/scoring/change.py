"""Difference between two risks of one patient, with its interval: their errors go together."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.scoring.resistance_model import PatientsLike, ResistanceModel
from stratify.statistics.intervals import normal_quantile

__all__ = ["interval_of_change", "risk_change"]


_POINTS = 61  # of each of two deviates


def risk_change(model: ResistanceModel, before: PatientsLike, after: PatientsLike) -> pd.DataFrame:
    """How the model's risk differs between two sets of values of each patient.

    Parameters
    ----------
    before, after : DataFrame of shape (n_patients, ...), or Prepared
        The same patients in the same order.

    Returns
    -------
    DataFrame of shape (n_patients, 3)
        ``change, change_low, change_high``: difference of the risks, -1 to 1, with the interval
        of the difference, in which what is in doubt about both alike does not count.

    Notes
    -----
    Checked against a model of 8,000 simulated patients: 80 % intervals by one of 400 held its
    difference in 46 (TMB) to 100 % by feature, 90 % on average. Effects that few patients shrink
    too much are held too seldom.
    """
    from scipy.special import expit

    classifier, line = model.classifier, model.recalibration
    first, second = (model.prepare(table).columns for table in (before, after))
    margins = [
        classifier.ensemble_.margins(classifier.readable(c.encoded)) for c in (first, second)
    ]
    found = [model.margin_and_half(*pair) for pair in zip((first, second), margins, strict=True)]
    quantile = normal_quantile(classifier.interval_level)
    there, here = (margin for margin, _ in found)
    errors = [half / quantile for _, half in found]
    slope = 1.0 if line is None else line.slope.value
    variance = (slope * classifier.spread(margins[1] - margins[0]) / quantile) ** 2
    change = (here - there) / slope
    if line is not None:
        variance += line.covariance[1][1] * change**2
    if model.uncertainty is not None:
        variance += slope**2 * model.uncertainty.variance_of_change(first, second, change)
    low, high = interval_of_change(
        there, here, (errors[0], errors[1], np.sqrt(variance)), classifier.interval_level
    )
    return pd.DataFrame(
        {"change": expit(here) - expit(there), "change_low": low, "change_high": high}
    )


def interval_of_change(
    before: Floats, after: Floats, spread: tuple[Floats, Floats, Floats], level: float
) -> tuple[Floats, Floats]:
    """Interval of ``expit(after) - expit(before)``, both log-odds jointly normal.

    Parameters
    ----------
    before, after : ndarray of shape (n,)
        Log-odds.
    spread : tuple of three ndarrays of shape (n,)
        Standard deviations of `before`, of `after`, and of their difference.

    Returns
    -------
    low, high : ndarray of shape (n,)
        Differences of risk, -1 to 1.

    Examples
    --------
    >>> one = np.ones(1)
    >>> low, high = interval_of_change(0 * one, one, (one, one, 0.1 * one), 0.8)
    >>> low.round(2).tolist(), high.round(2).tolist()  # of a change of 0.23
    ([0.12], [0.26])
    """
    from scipy.special import expit, ndtri

    deviates = ndtri((np.arange(_POINTS) + 0.5) / _POINTS)
    own, rest = (each.ravel()[:, None] for each in np.meshgrid(deviates, deviates))
    first, second, apart = spread
    together = (first**2 + second**2 - apart**2) / np.maximum(2 * first * second, 1e-12)
    together = np.clip(together, -1, 1)
    there = before + first * own
    here = after + second * (together * own + np.sqrt(1 - together**2) * rest)
    low, high = np.quantile(expit(here) - expit(there), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high

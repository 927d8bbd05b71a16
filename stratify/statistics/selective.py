"""Selective prediction: how often a model errs if it decides on the surest patients only.

Conventions of arguments and errors: :mod:`stratify.statistics.discrimination`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stratify.arrays import Floats
from stratify.errors import ArgumentError
from stratify.statistics.checks import checked
from stratify.statistics.discrimination import auroc
from stratify.statistics.intervals import UNDEFINED, log_odds, normal_quantile, wilson

__all__ = ["certainty", "selective_curve"]

_SHARES = tuple(round(0.1 * k, 1) for k in range(1, 11))
_CLIP = 1e-9


def certainty(risk: ArrayLike, low: ArrayLike, high: ArrayLike, threshold: float) -> Floats:
    """Distance of the risk from a threshold in half-widths of its interval, on the log-odds.

    Above 1 the whole interval lies on one side of the threshold; 0 is the least certainty. An
    interval without width is taken as one of 1e-9.

    Examples
    --------
    >>> certainty([0.5, 0.9], [0.3, 0.7], [0.7, 0.97], threshold=0.5).round(2).tolist()
    [0.0, 1.67]
    """
    risks, lows, highs = checked(
        ("risk", risk, "probability"), ("low", low, "probability"), ("high", high, "probability")
    )
    if not 0 < threshold < 1:
        message = f"threshold is {threshold}; expected a risk above 0 and below 1."
        raise ArgumentError(message)
    half = np.maximum((log_odds(highs, _CLIP) - log_odds(lows, _CLIP)) / 2, _CLIP)
    distance: Floats = np.abs(log_odds(risks, _CLIP) - np.log(threshold / (1 - threshold))) / half
    return distance


def selective_curve(
    y: ArrayLike,
    risk: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    threshold: float,
    shares: Sequence[float] = _SHARES,
    level: float = 0.95,
) -> pd.DataFrame:
    """Error, PPV, NPV and AUROC among the patients decided on, by the share of them.

    Patients are decided on in the order of :func:`certainty`, the surest first; those decided on
    are called resistant from the threshold on.

    Parameters
    ----------
    y, risk : array_like of shape (n_patients,)
    low, high : array_like of shape (n_patients,)
        Limits of each risk's interval.
    threshold : float
        Risk, above 0 and below 1.
    shares : sequence of float
        Shares of the patients decided on, above 0 and up to 1.
    level : float
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        Columns share, metric, value, low, high, n, n_events: four rows a share, ``error`` (share
        of those decided on whom the threshold puts on the wrong side), ``ppv`` and ``npv``, each
        with Wilson's interval, and ``auroc`` with DeLong's. n counts those decided on. NaN where
        a number is undefined, such as the AUROC of one class.

    References
    ----------
    El-Yaniv R, Wiener Y. J Mach Learn Res 2010;11:1605-1641 (risk-coverage curve).

    Examples
    --------
    >>> curve = selective_curve([0, 1, 1, 0], [0.1, 0.9, 0.6, 0.6], [0.05, 0.8, 0.4, 0.4],
    ...                         [0.2, 0.95, 0.8, 0.8], threshold=0.5, shares=[0.5, 1.0])
    >>> curve.loc[curve["metric"] == "error", ["share", "value", "n"]].values.tolist()
    [[0.5, 0.0, 2.0], [1.0, 0.25, 4.0]]
    """
    truth, risks = checked(("y", y, "binary"), ("risk", risk, "probability"))
    checked(("y", y, "binary"), ("low", low, "probability"), ("high", high, "probability"))
    normal_quantile(level)
    if wrong := [share for share in shares if not 0 < share <= 1]:
        message = f"shares holds {wrong[0]}; expected shares above 0 and up to 1."
        raise ArgumentError(message)
    # Ties by the risk, so that the order of rows does not matter.
    order = np.lexsort((risks, -certainty(risks, low, high, threshold)))
    truth, risks = truth[order], risks[order]
    rows: list[tuple[object, ...]] = []
    for share in shares:
        n = max(1, round(share * truth.size))
        label, called = truth[:n], risks[:n] >= threshold
        events = int(label.sum())
        estimates = {
            "error": wilson((called != label).sum(), n, level),
            "ppv": wilson(label[called].sum(), called.sum(), level),
            "npv": wilson((1 - label[~called]).sum(), (~called).sum(), level),
            "auroc": auroc(label, risks[:n], level) if 0 < events < n else UNDEFINED,
        }
        rows += [(share, name, *estimate, n, events) for name, estimate in estimates.items()]
    return pd.DataFrame(rows, columns=["share", "metric", "value", "low", "high", "n", "n_events"])

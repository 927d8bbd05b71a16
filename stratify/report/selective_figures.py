"""Plots of selective prediction, drawn from result tables only.

Conventions as in :mod:`stratify.report.figures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from stratify.report.figures import COLOURS, GREY, need, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["error_by_share"]


@styled
def error_by_share(curve: pd.DataFrame, *, title: str) -> Figure:
    """Share of wrong decisions over the share of patients decided on, surest first.

    Parameters
    ----------
    curve : pandas.DataFrame
        As from :func:`stratify.statistics.selective.selective_curve`.

    Examples
    --------
    >>> curve = pd.DataFrame({"share": [0.5, 1.0], "metric": "error", "value": [0.1, 0.3],
    ...                       "low": [0.05, 0.2], "high": [0.2, 0.4]})
    >>> figure = error_by_share(curve, title="Lung A, n = 120")
    """
    need(curve, "curve", ["share", "metric", "value", "low", "high"])
    rows = curve[curve["metric"] == "error"].sort_values("share")
    figure, (ax,) = new_figure(title, 4.0)
    ax.fill_between(rows["share"], rows["low"], rows["high"], color=COLOURS[0], alpha=0.2, lw=0)
    ax.plot(rows["share"], rows["value"], color=COLOURS[0], marker="o", label="surest first")
    everyone = float(rows["value"].iloc[-1])
    ax.axhline(everyone, color=GREY, linestyle=":", label="everyone, or decided by lot")
    ax.set(xlim=(0, 1.02), ylim=(0, None))
    ax.set(xlabel="Share of patients decided on", ylabel="Share of these decided wrongly")
    figure.legend(loc="outside lower center", ncols=2)
    return figure

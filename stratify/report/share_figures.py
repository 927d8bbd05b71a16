"""Plots over a share or number of patients, drawn from result tables only.

Conventions as in :mod:`stratify.report.figures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from stratify.report.figures import COLOURS, GREY, need, new_figure, styled
from stratify.report.text import FIGURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["auroc_by_size", "error_by_share"]


@styled
def error_by_share(
    curve: pd.DataFrame, *, title: str, chosen: tuple[float, float] | None = None
) -> Figure:
    """Share of wrong decisions over the share of patients decided on, surest first.

    ``chosen`` is the share that a policy decides, and the share of wrong decisions among these.

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
    ax.plot(rows["share"], rows["value"], color=COLOURS[0], marker="o", label=FIGURES["surest"])
    everyone = float(rows["value"].iloc[-1])
    ax.axhline(everyone, color=GREY, linestyle=":", label=FIGURES["everyone"])
    if chosen is not None:
        ax.plot(*chosen, color=COLOURS[1], marker="D", ls="", label=FIGURES["policy"])
    ax.set(xlim=(0, 1.02), ylim=(0, None))
    ax.set(xlabel=FIGURES["decided"], ylabel=FIGURES["wrong"])
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@styled
def auroc_by_size(curve: pd.DataFrame, *, title: str) -> Figure:
    """AUROC on unseen patients over the number of training patients.

    Examples
    --------
    >>> curve = pd.DataFrame({"model": "stratify", "metric": "auroc", "n_train": [100, 400],
    ...                       "value": [0.6, 0.7], "low": [0.5, 0.6], "high": [0.7, 0.8]})
    >>> figure = auroc_by_size(curve, title="Lung A, n = 500")
    """
    need(curve, "curve", ["model", "metric", "n_train", "value", "low", "high"])
    figure, (ax,) = new_figure(title, 4.0)
    rows = curve[curve["metric"] == "auroc"].sort_values("n_train")
    for i, (name, line) in enumerate(sorted(rows.groupby("model"), reverse=True)):
        ax.plot(
            line["n_train"],
            line["value"],
            color=COLOURS[i],
            linestyle="-" if i == 0 else "--",
            marker="o",
            label=str(name),
        )
        ax.fill_between(
            line["n_train"], line["low"], line["high"], color=COLOURS[i], alpha=0.15, lw=0
        )
    ax.axhline(0.5, color=GREY, linestyle=":", label=FIGURES["no_discrimination"])
    ax.set(xlim=(0, None), xlabel=FIGURES["n_train"], ylabel=FIGURES["auroc_unseen"])
    figure.legend(loc="outside lower center", ncols=3)
    return figure

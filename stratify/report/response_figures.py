"""Plots of outcomes: where the labels come from, how long each patient was followed, best change.

A swimmer and a waterfall plot show patients one by one; they are made on request and are never
part of what is logged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stratify.report.figures import COLOURS, GREY, need, new_figure, styled, wrapped
from stratify.report.text import FIGURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["label_flow", "swimmer", "waterfall"]

_STATES = {
    "primary": (COLOURS[1], "///"),
    "secondary": (COLOURS[0], "..."),
    "none": (COLOURS[2], ""),
    "non_response": (COLOURS[1], "///"),
    "response": (COLOURS[2], ""),
    "not_evaluable": (GREY, "xx"),
}
_RESPONSES = {
    "CR": (COLOURS[0], ""),
    "PR": (COLOURS[2], ".."),
    "SD": (COLOURS[3], ""),
    "PD": (COLOURS[1], "///"),
    "NE": (GREY, "xx"),
}
# Patients of a swimmer or waterfall plot; more cannot be told apart on one page.
MOST_PATIENTS = 120


@styled
def label_flow(labels: pd.DataFrame, *, title: str) -> Figure:
    """Draw the number of patients by reason of their label, grouped by state.

    Parameters
    ----------
    labels : DataFrame
        Columns state, reason and n; counts are added up over cohorts.
    title : str
        With cohort and number of patients.

    Examples
    --------
    >>> labels = pd.DataFrame({"state": ["primary", "none"], "n": [30, 20],
    ...                        "reason": ["event_before_horizon", "no_event_until_horizon"]})
    >>> label_flow(labels, title="Lung A, n = 50").axes[0].get_xlabel()
    'Patients'
    """
    need(labels, "labels", ["state", "reason", "n"])
    counts = labels.groupby(["state", "reason"], as_index=False).agg({"n": "sum"})
    order = {state: k for k, state in enumerate(_STATES)}
    counts["rank"] = counts["state"].map(order)
    counts = counts.sort_values(["rank", "n"], ascending=[True, False])
    figure, (ax,) = new_figure(title, 1.6 + 0.42 * len(counts))
    total = int(counts["n"].sum())
    for y, row in enumerate(counts.to_dict("records")):
        colour, hatch = _STATES[str(row["state"])]
        ax.barh(y, row["n"], color=colour, hatch=hatch, edgecolor="white", height=0.72)
        share = f" {row['n']} ({100 * row['n'] / total:.0f} %)"
        ax.text(row["n"], y, share, va="center", fontsize=9.5)
    names = [
        wrapped(f"{row['state']}: {row['reason']}".replace("_", " "), 34)
        for row in counts.to_dict("records")
    ]
    ax.set_yticks(range(len(counts)), names)
    ax.invert_yaxis()
    ax.set(xlabel=FIGURES["patients"], xlim=(0, 1.2 * counts["n"].max()))
    return figure


@styled
def swimmer(outcomes: pd.DataFrame, *, title: str) -> Figure:
    """Progression-free survival of each patient, longest at the top, by state of the label.

    Parameters
    ----------
    outcomes : DataFrame
        Columns pfs (months), pfs_event (1 event, 0 censored) and state, and if known
        duration_of_response (months, to the end of pfs); at most 120 patients are drawn, evenly
        over the order of pfs, and the title says how many.
    title : str

    Examples
    --------
    >>> outcomes = pd.DataFrame({"pfs": [2.0, 9.0], "pfs_event": [1, 0],
    ...                          "state": ["primary", "none"]})
    >>> swimmer(outcomes, title="Lung A, n = 2").axes[0].get_xlabel()
    'Months since the first dose'
    """
    need(outcomes, "outcomes", ["pfs", "pfs_event", "state"])
    rows = outcomes.dropna(subset=["pfs"]).sort_values("pfs", kind="stable")
    rows, title = _fewer(rows, title)
    figure, (ax,) = new_figure(title, 2.2 + 0.055 * len(rows))
    for state, (colour, _) in _STATES.items():
        mine = (rows["state"] == state).to_numpy()
        if mine.any():
            at = np.flatnonzero(mine)
            ax.barh(at, rows["pfs"].to_numpy()[mine], color=colour, height=0.8)
            ax.plot([], [], color=colour, linewidth=6, label=state.replace("_", " "))
    for event, marker, name in ((1, "x", FIGURES["progression"]), (0, ">", FIGURES["censored"])):
        mine = (rows["pfs_event"] == event).to_numpy()
        ax.plot(
            rows["pfs"].to_numpy()[mine],
            np.flatnonzero(mine),
            linestyle="none",
            marker=marker,
            color="black",
            markersize=4,
            label=name,
        )
    if "duration_of_response" in rows:
        first = (rows["pfs"] - rows["duration_of_response"]).to_numpy(dtype=float)
        mine = ~np.isnan(first)
        ax.plot(
            first[mine],
            np.flatnonzero(mine),
            linestyle="none",
            marker="^",
            markerfacecolor="white",
            markeredgecolor="black",
            markersize=4,
            label=FIGURES["first_response"],
        )
    ax.axvline(6, color="black", linestyle=":", linewidth=1)
    ax.set(
        xlabel=FIGURES["months_since"].format(FIGURES["first_dose"]),
        ylabel=FIGURES["patients"],
        yticks=[],
    )
    ax.set_xlim(left=0)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@styled
def waterfall(best: pd.DataFrame, *, title: str) -> Figure:
    """Best change of the target sum from baseline, by best overall response.

    Parameters
    ----------
    best : DataFrame
        Columns best_change (fraction of the baseline sum, -0.3 is 30 % smaller) and
        best_response; at most 120 patients are drawn.
    title : str

    Examples
    --------
    >>> best = pd.DataFrame({"best_change": [0.4, -0.5], "best_response": ["PD", "PR"]})
    >>> waterfall(best, title="Lung A, n = 2").axes[0].get_ylabel()
    'Best change from baseline (%)'
    """
    need(best, "best", ["best_change", "best_response"])
    rows = best.dropna(subset=["best_change"]).sort_values("best_change", ascending=False)
    rows, title = _fewer(rows, title)
    figure, (ax,) = new_figure(title, 4.2)
    responses = [r for r in _RESPONSES if (rows["best_response"] == r).any()]
    for response in responses:
        colour, hatch = _RESPONSES[response]
        mine = (rows["best_response"] == response).to_numpy()
        ax.bar(
            np.flatnonzero(mine),
            np.clip(100 * rows["best_change"].to_numpy()[mine], -100, 100),
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=response,
        )
    for level in (-30, 20):
        ax.axhline(level, color="black", linestyle=":", linewidth=1)
    ax.set(ylabel=FIGURES["best_change"], xlabel=FIGURES["patients"], xticks=[], ylim=(-105, 105))
    ax.legend()
    return figure


def _fewer(rows: pd.DataFrame, title: str) -> tuple[pd.DataFrame, str]:
    if len(rows) <= MOST_PATIENTS:
        return rows, title
    picked = np.unique(np.linspace(0, len(rows) - 1, MOST_PATIENTS).round().astype(int))
    return rows.iloc[picked], FIGURES["shown"].format(title=title, shown=len(picked), of=len(rows))

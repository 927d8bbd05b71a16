"""Plots of outcomes: where labels come from, survival by group, follow-up, best change.

A swimmer and a waterfall plot show patients one by one; they are made on request and are never
part of what is logged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stratify.report.figures import COLOURS, GREY, estimate, look, need, new_figure, styled, wrapped
from stratify.report.text import FIGURES, TEXT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["kaplan_meier", "label_flow", "swimmer", "waterfall"]

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
# Patients of a swimmer or waterfall plot; more cannot be distinguished on one page.
MOST_PATIENTS = 120


@styled
def label_flow(labels: pd.DataFrame, *, title: str) -> Figure:
    """Draw the number of patients by reason of their label, grouped by state.

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
    dots: dict[str, Any] = {"linestyle": "none", "color": "black", "markersize": 4}
    for event, marker, name in ((1, "x", FIGURES["progression"]), (0, ">", FIGURES["censored"])):
        mine = (rows["pfs_event"] == event).to_numpy()
        at = np.flatnonzero(mine)
        ax.plot(rows["pfs"].to_numpy()[mine], at, marker=marker, label=name, **dots)
    if "duration_of_response" in rows:
        first = (rows["pfs"] - rows["duration_of_response"]).to_numpy(dtype=float)
        at = np.flatnonzero(~np.isnan(first))
        name = FIGURES["first_response"]
        ax.plot(first[at], at, marker="^", markerfacecolor="white", label=name, **dots)
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


@styled
def kaplan_meier(
    curves: pd.DataFrame,
    summary: pd.DataFrame,
    *,
    title: str,
    outcome: str,
    since: str | None = None,
) -> Figure:
    """Survival of each group by Kaplan and Meier, with the numbers at risk beneath.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns group, time (months), survival, low, high, n_at_risk (just
        before the time). Every distinct time of a group needs its row, those of censoring too,
        or the numbers at risk come out too small.
    summary : pandas.DataFrame
        One row a group, in drawing order: group, n, n_events, median (months, missing where not
        reached), hazard_ratio, low, high (all missing for the group of comparison), log_rank_p.
        The limits may also be called hazard_ratio_low and hazard_ratio_high.
    since : str, optional
        Time zero, such as "randomisation" or "week 9"; by default the first dose.

    Examples
    --------
    >>> curves = pd.DataFrame({"group": "low", "time": [3.0, 8.0], "survival": [0.5, 0.0],
    ...                        "low": [0.2, 0.0], "high": [0.9, 0.3], "n_at_risk": [2, 1]})
    >>> summary = pd.DataFrame({"group": ["low"], "n": 2, "n_events": 2, "median": 3.0, "low": None,
    ...                         "hazard_ratio": None, "high": None, "log_rank_p": None})
    >>> figure = kaplan_meier(curves, summary, title="Lung A, n = 2", outcome="Overall survival")
    """
    need(curves, "curves", ["group", "time", "survival", "low", "high", "n_at_risk"])
    columns = ["group", "n", "n_events", "median", "hazard_ratio", "low", "high", "log_rank_p"]
    summary = summary.rename(columns={"hazard_ratio_low": "low", "hazard_ratio_high": "high"})
    groups = need(summary, "summary", columns).to_dict("records")
    names = [str(row["group"]) for row in groups]
    figure, (ax, below) = new_figure(
        title, 4.4 + 0.45 * len(groups), (10, 0.4 + 0.75 * len(groups))
    )
    last = float(curves["time"].max())
    ticks = np.arange(0, last + 1e-9, next((s for s in (1, 2, 3, 6, 12, 24) if last <= 7 * s), 60))
    for i, row in enumerate(groups):
        rows = curves[curves["group"] == row["group"]].sort_values("time")
        start = pd.DataFrame({"time": [0.0], "survival": 1.0, "low": 1.0, "high": 1.0})
        time, survival, low, high = pd.concat([start, rows[list(start)].astype(float)]).to_numpy().T
        reached = not pd.isna(row["median"])
        median = FIGURES["months"].format(row["median"]) if reached else TEXT["not_reached"]
        counts = {name: row[name] for name in ("group", "n", "n_events")}
        label = FIGURES["survival"].format(**counts, median=median)
        if not pd.isna(row["hazard_ratio"]):
            ratio = estimate(row["hazard_ratio"], row["low"], row["high"])
            label += FIGURES["hazard_ratio"].format(ratio)
        ax.step(time, survival, where="post", label=wrapped(label, 72), **look(i))
        ax.fill_between(time, low, high, step="post", color=COLOURS[i % 7], alpha=0.13, linewidth=0)
        at_risk = [*rows["n_at_risk"].astype(int), 0]
        for tick, place in zip(ticks, np.searchsorted(rows["time"], ticks), strict=True):
            below.text(tick, i, str(at_risk[place]), ha="center", va="center", fontsize=9.5)
    for panel in (ax, below):
        panel.set(xlim=(-0.03 * last, 1.03 * last), xticks=ticks)
    ax.set(ylim=(0, 1.03), ylabel=wrapped(outcome, 40))
    ax.set_xlabel(FIGURES["months_since"].format(since or FIGURES["first_dose"]))
    below.set_yticks(
        range(len(groups)), [wrapped(name if len(name) < 19 else f"{name[:17]}…") for name in names]
    )
    below.set_ylim(len(groups) - 0.5, -0.5)
    below.tick_params(length=0, labelbottom=False)
    below.grid(False)
    below.spines[:].set_visible(False)
    below.set_title(FIGURES["at_risk"], loc="left", fontsize=9.5)
    p = groups[0]["log_rank_p"]
    test = None if pd.isna(p) else f"{TEXT['log_rank']} {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
    figure.legend(loc="outside lower center", title=test, alignment="left")
    return figure

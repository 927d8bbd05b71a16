"""Plots of performance, drawn from result tables only, and what all plots share.

Shared conventions
------------------
Each function takes tables, which it does not modify, and returns a `matplotlib.figure.Figure` of
its own; nothing is shown, kept open or written. ``title`` says which cohort and how many patients.
Shares, rates and risks are fractions from 0 to 1. Colours are those of Okabe and Ito; line styles
and markers differ too, so that a plot can be read in black and white. A function raises
:class:`~stratify.errors.ArgumentError` where a table lacks a column or has no rows.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pandas as pd

from stratify.errors import ArgumentError
from stratify.report.text import FIGURES, METRICS, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["METRICS", "calibration", "decision_curve", "estimate", "forest", "png", "roc"]

F = TypeVar("F", bound=Callable[..., Any])

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY, PALE = "#6B6B6B", "#9A9A9A"
_FLAGS = TEXT["models"]
_STYLE = {"font.size": 10, "xtick.labelsize": 9.5, "ytick.labelsize": 9.5, "legend.fontsize": 9.5,
          "legend.title_fontsize": 9.5, "legend.frameon": False, "legend.handlelength": 3,
          "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY,
          "axes.axisbelow": True, "axes.grid": True, "grid.color": "#E6E6E6"}  # fmt: skip


def styled(draw: F) -> F:
    """Run under this module's style, whatever the user's matplotlib settings."""

    @wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from matplotlib import style

        with style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return cast(F, wrapper)


def need(table: pd.DataFrame, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Refuse a table that lacks a column or has no rows."""
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"`{name}` is a {type(table).__name__}; a pandas DataFrame is expected.")
    if absent := [column for column in columns if column not in table.columns]:
        raise ArgumentError(f"`{name}` lacks the column(s) {', '.join(absent)}.")
    if table.empty:
        raise ArgumentError(f"`{name}` has no rows, so there is nothing to draw.")
    return table


def wrapped(words: object, width: int = 100) -> str:
    """Text as it stands, no dollar sign read as mathematics, folded to `width` letters."""
    return textwrap.fill(str(words).replace("$", r"\$"), width)


def _name(model: object) -> str:
    return _FLAGS.get(str(model)) or wrapped(str(model).replace("_", " "), 40)


def estimate(value: float, low: float = np.nan, high: float = np.nan, digits: int = 2) -> str:
    """Write a number with its interval, as plots and reports print it.

    A missing limit leaves the interval out; a missing value gives a dash. Between limits stands
    an en dash, or " to " (unbreakable) where one is negative.

    Examples
    --------
    >>> estimate(0.741, 0.689, 0.79), estimate(-0.0001, digits=3), estimate(float("nan"))
    ('0.74 (0.69–0.79)', '0.000', '–')
    """
    rounded = [f"{np.nan if pd.isna(x) else x:.{digits}f}" for x in (value, low, high)]
    value_, *limits = [x.lstrip("-") if float(x) == 0 else x.replace("-", "−") for x in rounded]
    if "nan" in (value_, *limits):
        return "–" if value_ == "nan" else value_
    joint = "\u00a0to\u00a0" if any("−" in limit for limit in limits) else "–"
    return f"{value_} ({joint.join(limits)})"


def new_figure(
    title: str, height: float, rows: Sequence[float] = (1,)
) -> tuple[Figure, list[Axes]]:
    """Figure with a title and its axes from top to bottom; `height` in inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(6.4, height), layout=layout)  # inches
    words = wrapped(title, 10_000)
    figure.suptitle(words, x=0.02, ha="left", fontsize=11, fontweight="bold", wrap=True)
    return figure, list(figure.subplots(len(rows), squeeze=False, height_ratios=list(rows))[:, 0])


def look(i: int, width: float = 1.7) -> dict[str, Any]:
    return {"color": COLOURS[i % 7], "linestyle": _LINES[i % 5], "linewidth": width}


def _models(table: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
    """Rows and look of each model, as ordered in the table but stratify first, flag rules last."""
    names = sorted(table["model"].unique(), key=lambda name: (name in _FLAGS, name != "stratify"))
    looks = {name: look(i, 2.3 if name == "stratify" else 1.7) for i, name in enumerate(names)}
    looks |= {"flag_all": {"color": GREY, "linestyle": ":", "linewidth": 1.7}}
    looks |= {"flag_none": {"color": "#000000", "linewidth": 0.9}}
    return {name: (table[table["model"] == name], looks[name]) for name in names}


@styled
def roc(curves: pd.DataFrame, *, title: str, aurocs: pd.DataFrame | None = None) -> Figure:
    """Receiver operating characteristic of each model.

    Examples
    --------
    >>> curves = pd.DataFrame({"model": "stratify", "false_positive_rate": [0, 0.2, 1],
    ...                        "true_positive_rate": [0, 0.7, 1]})
    >>> figure = roc(curves, title="ROC, Lung A, n = 120")
    """
    need(curves, "curves", ["model", "false_positive_rate", "true_positive_rate"])
    labels: dict[str, str] = {}
    if aurocs is not None:
        need(aurocs, "aurocs", ["model", "value", "low", "high"])
        if not aurocs["model"].is_unique:
            raise ArgumentError("`aurocs` has a model twice; choose cohort, split and subgroup.")
        values = aurocs[["value", "low", "high"]].to_numpy(float)
        labels = dict(zip(aurocs["model"], (estimate(*row) for row in values), strict=True))
    models = _models(curves)
    figure, (ax,) = new_figure(title, 5.6 + 0.2 * len(models))
    ax.plot([0, 1], [0, 1], color=PALE, linewidth=1)
    for name, (rows, style) in models.items():
        label = f"{_name(name)} {labels.get(name, '')}".strip()
        ax.plot(rows["false_positive_rate"], rows["true_positive_rate"], label=label, **style)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set(xlabel=FIGURES["false_positives"], ylabel=FIGURES["true_positives"])
    figure.legend(loc="outside lower center", title="AUROC" if labels else None)
    return figure


@styled
def calibration(curves: pd.DataFrame, *, title: str) -> Figure:
    """Observed share of events against predicted risk.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns model, mean_predicted, mean_observed, low, high; one row a group of patients.

    Examples
    --------
    >>> curves = pd.DataFrame({"model": "stratify", "mean_predicted": [0.2, 0.6], "low": 0.1,
    ...                        "mean_observed": [0.25, 0.5], "high": 0.7})
    >>> figure = calibration(curves, title="Calibration, Lung A, n = 120")
    """
    need(curves, "curves", ["model", "mean_predicted", "mean_observed", "low", "high"])
    models = _models(curves)
    figure, (ax,) = new_figure(title, 5.6)
    ax.plot([0, 1], [0, 1], color=PALE, linewidth=1, label=FIGURES["perfect"])
    for marker, (name, (rows, style)) in zip(_MARKERS * 9, models.items(), strict=False):
        rows, style = rows.sort_values("mean_predicted"), style | {"marker": marker}
        style["linewidth"] = 1.2
        ax.vlines(rows["mean_predicted"], rows["low"], rows["high"], color=style["color"])
        ax.plot(rows["mean_predicted"], rows["mean_observed"], label=_name(name), **style)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel=FIGURES["observed"])
    ax.set_xlabel(FIGURES["risk"])
    figure.legend(loc="outside lower center", ncols=min(3, len(models) + 1))
    return figure


@styled
def decision_curve(curves: pd.DataFrame, *, title: str) -> Figure:
    """Net benefit over the risk from which a patient is flagged; losses below -0.05 are cut off.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns model, threshold, net_benefit (true positives a patient); the models flag_all and
        flag_none are drawn as references.

    Examples
    --------
    >>> curves = pd.DataFrame({"model": "stratify", "threshold": [0.2, 0.5], "net_benefit": 0.1})
    >>> figure = decision_curve(curves, title="Lung A, n = 120")
    """
    models = _models(need(curves, "curves", ["model", "threshold", "net_benefit"]))
    figure, (ax,) = new_figure(title, 4.4 + 0.1 * len(models))
    for name, (rows, style) in models.items():
        rows = rows.sort_values("threshold")
        ax.plot(rows["threshold"], rows["net_benefit"], label=_name(name), **style)
    ax.set_ylim(-0.05, max(0.05, 1.08 * float(curves["net_benefit"].max())))
    ax.set(xlabel=FIGURES["threshold"], ylabel=METRICS["net_benefit"][0])
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@styled
def forest(performance: pd.DataFrame, *, metric: str = "auroc", title: str) -> Figure:
    r"""One metric with its interval, by cohort and model; rows of the split train are left out.

    Parameters
    ----------
    metric : str, default "auroc"
        A key of `METRICS`.

    Examples
    --------
    >>> rows = pd.DataFrame({"cohort": ["Lung A"], "split": "external", "model": "stratify",
    ...     "reference": None, "subgroup": "all", "metric": "auroc", "threshold": None,
    ...     "value": 0.74, "low": 0.69, "high": 0.79, "n": 120, "n_events": 60})
    >>> [label.get_text() for label in forest(rows, title="AUROC").axes[0].get_yticklabels()]
    ['Lung A, external\n60/120 events', 'stratify']
    """
    if metric not in METRICS:
        raise ArgumentError(f"`metric` is {metric!r}; expected one of {', '.join(METRICS)}.")
    place = ["cohort", "split", "subgroup"]
    columns = [*place, "model", "reference", "metric", "threshold", "value", "low", "high"]
    need(performance, "performance", [*columns, "n", "n_events"])
    rows = performance[(performance["metric"] == metric) & (performance["split"] != "train")]
    rows = need(rows, f"performance, metric {metric}", columns).reset_index(drop=True)
    rows = rows.astype({"reference": object}).fillna({"reference": ""})
    rank = {name: i for i, name in enumerate(_models(rows))}
    figure, (ax,) = new_figure(title, 1)
    right, (label, digits, no_effect) = ax.secondary_yaxis("right"), METRICS[metric]
    labels: dict[float, str] = {}  # by height on the plot
    heads, texts, bottom = [], {}, 0.0
    for names, part in rows.groupby(place, sort=False):
        where = wrapped(", ".join(str(name) for name in names if name not in ("", "all")), 30)
        counts = part[["n_events", "n"]].iloc[0]
        head = f"{where}\n" + FIGURES["events"].format(n_events=counts["n_events"], n=counts["n"])
        heads.append(len(labels))
        labels[bottom + 0.25 * (head.count("\n") + 1)] = head
        bottom += 0.5 * (head.count("\n") + 1) + 0.1
        for row in sorted(part.to_dict("records"), key=lambda row: rank[row["model"]]):
            i, y = rank[row["model"]] % 7, bottom + 0.5
            ax.hlines(y, row["low"], row["high"], color=COLOURS[i], linewidth=1.8)
            ax.plot(row["value"], y, color=COLOURS[i], marker=_MARKERS[i], markersize=7)
            texts[y] = estimate(row["value"], row["low"], row["high"], digits)
            other = f" − {_name(row['reference'])}" if row["reference"] else ""
            at = "" if pd.isna(row["threshold"]) else FIGURES["at"].format(row["threshold"])
            labels[y] = f"{_name(row['model'])}{other}{at}"
            bottom += 1
    if no_effect is not None:
        ax.axvline(no_effect, color=GREY, linewidth=1, zorder=0)
    figure.set_figheight(1.3 + 0.33 * bottom)
    ax.set_yticks(list(labels), list(labels.values()))
    for position in heads:
        ax.get_yticklabels()[position].set_fontweight("bold")
    right.set_yticks(list(texts), list(texts.values()))
    right.spines[:].set_visible(False)
    for axis in (ax, right):
        axis.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.set(ylim=(bottom + 0.2, -0.2), xlabel=label)
    return figure


@styled
def png(figure: Figure, dpi: int = 144) -> bytes:
    """Return the figure as a PNG image; the same figure gives the same bytes.

    Examples
    --------
    >>> png(new_figure("Lung A, n = 2", 4)[0])[1:4]
    b'PNG'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    # `savefig` draws a figure with a layout twice and packs it slowly.
    before = figure.dpi
    figure.set_dpi(dpi)
    try:
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        drawn = np.array(canvas.buffer_rgba())
    finally:
        figure.set_dpi(before)
    buffer = BytesIO()
    Image.fromarray(drawn).save(buffer, format="png", dpi=(dpi, dpi), compress_level=3)
    return buffer.getvalue()

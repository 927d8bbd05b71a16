"""Plots of a cohort's explanations: beeswarm, profiles clustered, dependence, subgroups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.interpretation.cycle import cycle
from stratify.report.figures import GREY, PALE, need, new_figure, styled, wrapped
from stratify.report.text import FIGURES, TEXT
from stratify.tables.schema import field_named, known_field

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["beeswarm", "dependence", "profile_heat_map", "subgroup_differences"]

_DRAWN = 2000  # patients in a plot of points
_CLEAR = 0.1  # of the strongest contribution, from which a side is marked
_FEW = 12  # distinct values, up to which points are spread sideways


def _diverging() -> Any:
    """Blue to orange, light in the middle; the dark ends differ in lightness too."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(
        "contribution", ["#08306B", "#6BAED6", "#F7F7F7", "#FDAE6B", "#8C2D04"]
    ).with_extremes(bad="#BDBDBD")


def _title(step: str) -> str:
    found = cycle().step(step)
    return found.title if found.number is None else f"{found.number} {found.title}"


def _hatched(ax: Axes, cells: np.ndarray, pattern: str) -> None:
    """Hatch cells, so that they differ without colour."""
    from matplotlib.patches import Rectangle

    for i, row in enumerate(cells):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        for start, end in edges.reshape(-1, 2):
            ax.add_patch(
                Rectangle((start - 0.5, i - 0.5), end - start, 1, fill=False, hatch=pattern,
                          linewidth=0, edgecolor="#4A535C")
            )  # fmt: skip


def _image(ax: Axes, values: np.ndarray, figure: Figure, label: str) -> None:
    most = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    drawn = ax.imshow(
        np.ma.masked_invalid(values),
        aspect="auto",
        cmap=_diverging(),
        vmin=-most or -1.0,
        vmax=most or 1.0,
        interpolation="nearest",
    )
    _hatched(ax, np.isnan(values), "...")
    ax.grid(False)
    figure.colorbar(drawn, ax=ax, aspect=25, pad=0.02, label=label)


@styled
def profile_heat_map(matrix: pd.DataFrame, *, title: str) -> Figure:
    """Resistance profiles, like next to like.

    Parameters
    ----------
    matrix : pandas.DataFrame
        From :func:`stratify.interpretation.cohort_profile.clustered_profiles`: a column a step and
        ``cluster``; patients in drawing order.

    Examples
    --------
    >>> matrix = pd.DataFrame({"release": [0.2, -0.1], "host": [0.4, None], "cluster": [1, 2]})
    >>> figure = profile_heat_map(matrix, title="Lung A, n = 2")
    """
    need(matrix, "matrix", ["cluster"])
    steps = [name for name in matrix.columns if name != "cluster"]
    figure, (ax,) = new_figure(title, 1.9 + 0.34 * max(4, len(steps)))
    values = matrix[steps].to_numpy(dtype=float).T
    _image(ax, values, figure, FIGURES["contribution"])
    most = np.nanmax(np.abs(values), initial=1e-9)
    _hatched(ax, np.nan_to_num(values) < -_CLEAR * most, "////")
    ax.set_yticks(range(len(steps)), [_title(step) for step in steps])
    cluster = matrix["cluster"].to_numpy()
    edges = np.flatnonzero(np.diff(cluster)) + 0.5
    for edge in edges:
        ax.axvline(edge, color="#000000", linewidth=1.4)
    starts = np.concatenate([[-0.5], edges, [len(matrix) - 0.5]])
    middles = (starts[:-1] + starts[1:]) / 2
    names = [FIGURES["cluster"].format(k=k, n=np.sum(cluster == k)) for k in dict.fromkeys(cluster)]
    wide = np.diff(starts) >= 0.06 * len(matrix)  # room for its words
    ax.set_xticks(middles[wide], [n for n, w in zip(names, wide, strict=True) if w])
    ax.tick_params(length=0)
    ax.set_xlabel(FIGURES["by_cluster"])
    return figure


@styled
def dependence(long: pd.DataFrame, feature: str, other: str, *, title: str) -> Figure:
    """Contribution of a feature by its value, coloured by the feature it interacts with most.

    Examples
    --------
    >>> rows = pd.DataFrame({"cohort": "Lung A", "patient_id": ["1", "2"] * 2, "level": None,
    ...     "feature": ["tmb"] * 2 + ["nlr"] * 2, "value": [3.0, 14.0, 2.0, 6.0],
    ...     "shap": [0.2, -0.4, 0.0, 0.1]})
    >>> figure = dependence(rows, "tmb", "nlr", title="Lung A, n = 2")
    """
    key = ["cohort", "patient_id"]
    table = need(long, "long", [*key, "feature", "value", "level", "shap"])
    own = table[table["feature"] == feature].set_index(key)
    colour = table[table["feature"] == other].set_index(key).reindex(own.index)
    if len(own) > _DRAWN:
        picked = np.linspace(0, len(own) - 1, _DRAWN).round().astype(int)
        own, colour = own.iloc[picked], colour.iloc[picked]
    field, other_title = field_named(feature), field_named(other).title
    levels = sorted(own["level"].dropna().unique()) if field.categorical else []
    x: Floats = own["value"].to_numpy(dtype=float)
    if field.categorical:
        places = {level: k for k, level in enumerate(levels)}
        x = np.array([places.get(level, np.nan) for level in own["level"]], dtype=float)
    figure, (ax,) = new_figure(title, 4.2)
    x = _points(ax, x, own["shap"].to_numpy(dtype=float), _ranks(colour))
    known = ~np.isnan(x)
    ax.axhline(0, color=GREY, linewidth=1, zorder=0)
    unit = f" ({field.unit})" if field.unit else ""
    ax.set_xlabel(wrapped(field.title + unit, 70))
    ax.set_ylabel(FIGURES["contribution"])
    if levels:
        names = [wrapped(str(level).replace("_", " "), 12) for level in levels]
        ax.set_xticks(range(len(levels)), names, rotation=45 if len(levels) > 5 else 0)
    elif field.type == "boolean":
        ax.set_xticks([0, 1], [TEXT["no"], TEXT["yes"]])
    elif known.any() and np.nanmin(x) > 0 and np.nanmax(x) > 30 * np.nanmedian(x):
        ax.set_xscale("log")
    _rank_bar(figure, ax, FIGURES["rank_of"].format(other_title), 3)
    notes = FIGURES["grey_other"].format(other_title)
    if missing := int((~known).sum()):
        notes += FIGURES["without_value"].format(n=missing, feature=field.title)
    figure.supxlabel(wrapped(notes, 88), x=0.02, ha="left", fontsize=9)
    return figure


def _ranks(rows: pd.DataFrame) -> Floats:
    """Rank of the value, or of the level by its name; NaN where neither is there."""
    codes = rows["level"].astype("category").cat.codes.astype(float).replace(-1, np.nan)
    return np.asarray(rows["value"].astype(float).fillna(codes).rank(), dtype=np.float64)


def _points(ax: Axes, x: Floats, y: Floats, rank: Floats) -> Floats:
    """Draw a point a patient, those without a rank as crosses; return where they stand."""
    seen = np.unique(x[~np.isnan(x)])
    if 1 < len(seen) <= _FEW:  # else points of one value hide each other
        room = 0.12 * np.diff(seen).min()
        x = x + room * np.sin(np.arange(len(x)) * 2.4)  # the golden angle: even, and no draw
    known, grey = ~np.isnan(x), np.isnan(rank)
    crossed, ranked = known & grey, known & ~grey
    ax.scatter(x[crossed], y[crossed], s=12, marker="x", linewidths=0.8, color=PALE)
    if ranked.any():
        ax.scatter(x[ranked], y[ranked], s=12, c=rank[ranked], cmap=_shades(), linewidths=0)
    return x


def _shades() -> Any:
    """Dark blue for the lowest rank to yellow for the highest."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("rank", ["#08306B", "#A4527F", "#F2B92C"])


def _rank_bar(figure: Figure, ax: Axes, label: str, pad: float) -> None:
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(cmap=_shades()), ax=ax, aspect=30, pad=0.02, ticks=[0, 1])
    bar.ax.set_yticklabels(FIGURES["ends"])
    bar.set_label(wrapped(label, 34), labelpad=pad)


@styled
def subgroup_differences(differences: pd.DataFrame, *, title: str) -> Figure:
    """Difference of each step between a subgroup and all other patients.

    Examples
    --------
    >>> rows = pd.DataFrame({"subgroup": ["sex=female"], "step": "host", "n": 40, "mean": 0.1,
    ...                      "difference": 0.2, "low": 0.05, "high": 0.35})
    >>> figure = subgroup_differences(rows, title="Lung A, n = 90")
    """
    need(differences, "differences", ["subgroup", "step", "difference", "low", "high"])
    steps = [step.id for step in cycle().steps if step.id in set(differences["step"])]
    names = list(dict.fromkeys(differences["subgroup"]))
    table = differences.set_index(["subgroup", "step"])["difference"].unstack()  # noqa: PD010
    table = table.reindex(index=names, columns=steps)
    clear = differences.assign(clear=(differences["low"] > 0) | (differences["high"] < 0))
    marked = clear.set_index(["subgroup", "step"])["clear"].unstack()  # noqa: PD010
    marked = marked.reindex(index=names, columns=steps).fillna(False).astype(bool)
    figure, (ax,) = new_figure(title, 2.2 + 0.28 * max(4, len(names)))
    _image(ax, table.to_numpy(dtype=float), figure, FIGURES["difference"])
    signed = table.to_numpy(dtype=float)
    values = np.abs(signed)
    dark = values > 0.6 * np.nanmax(values)
    for (i, j), clear in np.ndenumerate(marked.to_numpy(dtype=bool)):
        if values[i, j] >= _CLEAR * np.nanmax(values) or clear:
            colour = "#FFFFFF" if dark[i, j] else "#000000"
            sign = "+" if signed[i, j] > 0 else "\u2212"
            words = f"{sign}*" if clear else sign
            ax.text(j, i, words, ha="center", va="center", fontsize=11, color=colour)
    labels = [wrapped(n.replace("=", ": ").replace("_", " "), 40) for n in names]
    ax.set_yticks(range(len(names)), labels)
    ax.set_xticks(
        range(len(steps)), [wrapped(_title(s), 24) for s in steps], rotation=45, ha="right"
    )
    ax.tick_params(length=0)
    figure.supxlabel(wrapped(FIGURES["clear"], 88), x=0.02, ha="left", fontsize=9)
    return figure


def _heights(shap: Floats, span: float) -> Floats:
    """Heights of one feature's points around 0: those of one narrow bin are stacked evenly."""
    bins = pd.Series(np.round(110 * shap / span))
    layer = bins.groupby(bins).cumcount().to_numpy()
    steps: Floats = np.where(layer % 2, 1.0, -1.0) * ((layer + 1) // 2)
    return steps * min(0.11, 0.42 / max(1.0, float(np.abs(steps).max())))


@styled
def beeswarm(attributions: pd.DataFrame, *, title: str, max_features: int = 15) -> Figure:
    """Contributions of the features strongest by mean absolute contribution, one point a patient.

    The same table gives the same figure, whatever the order of its rows. Of more than 2,000
    patients an even selection is drawn, and a note says so.

    Parameters
    ----------
    attributions : pandas.DataFrame
        The attributions table: one row a patient and feature, shap in log-odds.
    max_features : int, default 15

    Examples
    --------
    >>> rows = pd.DataFrame({"patient_id": ["a", "b"], "cohort": "Lung A", "feature": "tmb",
    ...                      "unit": "mut/Mb", "value": [3.0, 14.0], "shap": [0.2, -0.4]})
    >>> figure = beeswarm(rows, title="Lung A, n = 2")
    """
    key = ["cohort", "patient_id"]
    table = need(attributions, "attributions", [*key, "feature", "unit", "value", "shap"])
    strength = table["shap"].abs().groupby(table["feature"]).mean()
    order = sorted(strength.index, key=lambda name: (-strength[name], name))[:max_features]
    notes = []
    if len(strength) > len(order):
        notes.append(FIGURES["strongest"].format(shown=len(order), of=len(strength)))
    patients = table[key].drop_duplicates().sort_values(key)
    if len(patients) > _DRAWN:
        notes.append(FIGURES["drawn"].format(shown=_DRAWN, of=len(patients)))
        patients = patients.iloc[np.linspace(0, len(patients) - 1, _DRAWN).round().astype(int)]
    table = patients.merge(table[table["feature"].isin(order)], on=key)
    span = float(table["shap"].max() - table["shap"].min()) or 1.0
    figure, (ax,) = new_figure(title, 1.9 + 0.4 * max(5, len(order)))
    labels, any_grey = [], False
    for i, feature in enumerate(order):
        rows = table[table["feature"] == feature]
        x = rows["shap"].to_numpy(float)
        y = i + _heights(x, span)
        rank = pd.to_numeric(rows["value"], errors="coerce").astype(float).rank().to_numpy()
        grey = np.isnan(rank)
        any_grey |= bool(grey.any())
        ax.scatter(x[grey], y[grey], s=10, marker="x", linewidths=0.7, color=PALE, rasterized=True)
        if not grey.all():
            ax.scatter(x[~grey], y[~grey], s=9, c=rank[~grey], cmap=_shades(), linewidths=0,
                       rasterized=True)  # fmt: skip
        unit = "".join(f" ({unit})" for unit in rows["unit"].dropna().head(1) if unit)
        field = known_field(str(feature))
        name = str(feature).replace("_", " ") if field is None else field.title
        labels.append(wrapped(name + unit, 30))
    if any_grey:
        notes.append(FIGURES["grey"])
    ax.axvline(0, color=GREY, linewidth=1, zorder=0)
    ax.set_yticks(range(len(order)), labels)
    spare = max(0.0, 2.5 - len(order) / 2)
    ax.set_ylim(len(order) - 0.5 + spare, -0.5 - spare)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(FIGURES["contribution_more"])
    _rank_bar(figure, ax, FIGURES["rank"], -16)
    figure.supxlabel(wrapped(" ".join(notes), 88), x=0.02, ha="left", fontsize=9)
    return figure

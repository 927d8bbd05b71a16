"""Model card and evaluation report: result tables and plots in one HTML file.

A report computes nothing: each number stands in a table or among the facts and is only formatted
here. The file needs no network and runs no script. Its words stand in :mod:`stratify.report.text`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from stratify.errors import ArgumentError
from stratify.interpretation.cycle import cycle
from stratify.report.explanation_tables import (
    characteristics_table,
    explanation_tables,
    reporting_table,
)
from stratify.report.figures import estimate, png
from stratify.report.page_table import PageTable
from stratify.report.text import METRICS, TEXT
from stratify.tables.tabular import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TEXT", "write_report"]

_FACTS = (
    *("kind", "study", "title", "description", "model_version", "endpoint_rule", "endpoint_title"),
    *("endpoint_source", "target", "evidence_class", "regimens_statement"),
    *("recommendation_statement", "limits", "created", "versions", "hashes", "settings"),
    *("features", "interval_level"),
)
_FEATURE = ("feature", "title", "panel", "unit", "direction", "share_missing")
_TABLES: dict[str, tuple[str, ...]] = {
    "findings": ("severity", "code", "cohort", "panel", "column", "n", "message", "advice"),
    "attrition": ("cohort", "step", "reason", "n", "n_remaining"),
    "performance": (
        *("cohort", "split", "model", "reference", "subgroup", "metric", "threshold"),
        *("value", "low", "high", "n", "n_events"),
    ),
    "recommendations": ("recommendation", "n", "share"),
    "labels": ("cohort", "state", "reason", "n"),
    "importance": ("feature", "title", "panel", "mean_abs_shap"),
}
_KM = ("group", "n", "n_events", "median", "hazard_ratio", "low", "high", "log_rank_p")
_KM_NAMES = {"hazard_ratio_low": "low", "hazard_ratio_high": "high"}
_COUNTS = ("count", "n", "n_events", "n_remaining")
_NUMBERS = {*_COUNTS, "share", "share_missing", "mean_abs_shap", "threshold", "median"}
_NUMBERS |= {"hazard_ratio", "value"}
_CODED = {"step": "steps", "state": "states", "split": "splits"}
_CODES = {"reason", "recommendation", "direction", "panel", "group"}  # codes with underscores
_HEADLINE = ("auroc", "brier", "brier_skill", "calibration_slope", "calibration_intercept",
             "mean_predicted", "mean_observed")  # fmt: skip
_DECISIONS = ("sensitivity", "specificity", "ppv", "npv", "share_flagged", "net_benefit")
_SPLITS = ("test", "external", "left_out", "cv", "train")
_PERFORMANCE = ("headline", "differences", "thresholds", "subgroups", "others", "apparent")

# figures that stand with the explanations
_EXPLAINING = ("beeswarm", "profiles", "subgroup_profiles", "dependence")

Row = Mapping[Any, Any]


def _share(value: float) -> str:
    return "–" if pd.isna(value) else f"{100 * value:.1f}\u00a0%"


def _plain(value: Any) -> str:
    """One fact or cell as text; missing and empty ones as a dash."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_plain(each)}" for key, each in value.items()) or "–"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(_plain(each) for each in value) or "–"
    if value is None or value == "" or pd.isna(value):
        return "–"
    if isinstance(value, bool):
        return str(TEXT["yes"] if value else TEXT["no"])
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _model(name: str) -> str:
    return str(TEXT["models"].get(name) or name.replace("_", " "))


def _metric(name: str) -> str:
    return METRICS[name][0] if name in METRICS else name.replace("_", " ")


def _cell(column: str, row: Row) -> str:
    """Write a column's cell; the other columns of the row hold limits and the metric."""
    value = row[column]
    if column in ("value", "hazard_ratio"):
        digits = METRICS[row["metric"]][1] if row.get("metric") in METRICS else 2
        return estimate(value, row["low"], row["high"], digits)
    if column in _COUNTS:
        return estimate(value, digits=0)
    if column in ("share", "share_missing"):
        return _share(value)
    if column == "mean_abs_shap":
        return estimate(value, digits=3)
    if column == "median":
        return TEXT["not_reached"] if pd.isna(value) else estimate(value, digits=1)
    if column in ("model", "reference"):
        return _model(value)
    if column == "metric":
        return _metric(value)
    if column == "subgroup":
        return str(value).replace("=", ": ").replace("_", " ")
    if column in _CODED:
        return str(TEXT[_CODED[column]].get(value) or value)
    return _plain(value).replace("_", " ") if column in _CODES else _plain(value)


def page_table(caption: str, rows: Iterable[Row], columns: Sequence[str]) -> PageTable:
    heads = [TEXT["columns"][column] for column in columns]
    cells = [[_cell(column, row) for column in columns] for row in rows]
    return PageTable(caption, heads, [column in _NUMBERS for column in columns], cells)


def page_pairs(caption: str, names: Mapping[str, Any]) -> PageTable:
    rows = [[str(name), _plain(value)] for name, value in names.items()]
    return PageTable(caption, [TEXT["name"], TEXT["value"]], [False, False], rows)


def _pivot(rows: Sequence[Row], columns: Sequence[str], metrics: Sequence[str]) -> list[PageTable]:
    """Rows of one cohort and split: a line a model (threshold, subgroup), a column a metric."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    counts: dict[str, list[str]] = {"n": [], "n_events": []}
    for row in rows:
        if row["metric"] in metrics:
            key = tuple(_cell(column, row) for column in columns)
            found.setdefault(key, {})[row["metric"]] = _cell("value", row)
            for name, seen in counts.items():
                seen += [_cell(name, row)] * (_cell(name, row) not in seen)
    if not found:
        return []
    place = {name: _cell(name, rows[0]) for name in ("cohort", "split")}
    words = TEXT["place_alone" if "n" in columns else "place"]
    caption = words.format(**place, **{name: "/".join(counts[name]) for name in counts})
    heads = [TEXT["columns"][column] for column in columns] + [_metric(name) for name in metrics]
    numeric = [column in _NUMBERS for column in columns] + [True] * len(metrics)
    cells = [[*key, *(found[key].get(name, "–") for name in metrics)] for key in found]
    return [PageTable(caption, heads, numeric, cells)]


def _short(rows: Sequence[Row]) -> PageTable:
    """Model and its strongest reference on patients never seen: a line a cohort and split."""
    cells = []
    unseen = [r for r in rows if r["subgroup"] == "all" and r["split"] != "train"]
    for _, some in groupby(unseen, key=lambda row: (row["split"], row["cohort"])):
        part = list(some)
        own = {r["metric"]: r for r in part if r["model"] == "stratify" and not r["reference"]}
        against = [
            r
            for r in part
            if (r["metric"], r["model"]) == ("delta_auroc", "stratify") and pd.notna(r["value"])
        ]
        if "auroc" not in own:
            continue
        least = min(against, key=lambda row: float(row["value"]), default=None)
        cells.append(
            [
                TEXT["place_alone"].format(**{k: _cell(k, part[0]) for k in ("cohort", "split")}),
                *(_cell(name, own["auroc"]) for name in ("n", "n_events")),
                *(
                    _cell("value", own[name]) if name in own else "–"
                    for name in ("auroc", "calibration_slope")
                ),
                "–" if least is None else _model(least["reference"]),
                "–" if least is None else _cell("value", least),
            ]
        )
    heads = list(TEXT["short_heads"].values())
    return PageTable(TEXT["short"], heads, [False, True, True, True, True, False, True], cells)


def _performance(table: pd.DataFrame) -> dict[str, list[PageTable]]:
    """Tables of the section on performance, by heading."""
    rows: list[dict[str, Any]] = [
        {
            **{str(name): value for name, value in row.items()},
            "reference": row["reference"] if pd.notna(row["reference"]) else "",
            "subgroup": row["subgroup"] if pd.notna(row["subgroup"]) else "all",
        }
        for row in table.to_dict("records")
    ]
    cohorts = list(dict.fromkeys(row["cohort"] for row in rows))
    models = ["stratify", *dict.fromkeys(row["model"] for row in rows)]
    rows.sort(
        key=lambda row: (
            _SPLITS.index(row["split"]),
            cohorts.index(row["cohort"]),
            row["model"] in TEXT["models"],
            models.index(row["model"]),
        )
    )
    tables: dict[str, list[PageTable]] = {name: [] for name in _PERFORMANCE}
    tables["short"] = [_short(rows)]
    for (split, _), part in groupby(rows, key=lambda row: (row["split"], row["cohort"])):
        single = [row for row in part if not row["reference"]]
        whole = [row for row in single if row["subgroup"] == "all"]
        if split == "train":
            tables["apparent"] += _pivot(whole, ["model"], _HEADLINE)
            continue
        tables["headline"] += _pivot(whole, ["model"], _HEADLINE)
        tables["thresholds"] += _pivot(whole, ["model", "threshold"], _DECISIONS)
        own = [
            row
            for row in single
            if row["subgroup"].startswith("measured=")
            or (row["subgroup"] != "all" and row["model"] == "stratify")
        ]
        tables["subgroups"] += _pivot(own, ["subgroup", "model", "n", "n_events"], _HEADLINE)
    unseen = [row for row in rows if row["split"] != "train" and row["subgroup"] == "all"]
    pairs = [row for row in unseen if row["reference"]]
    known = (*_HEADLINE, *_DECISIONS)
    others = [row for row in unseen if not row["reference"] and row["metric"] not in known]
    columns = ["cohort", "split", "model", "reference", "metric", "value", "n", "n_events"]
    if pairs:
        tables["differences"] = [page_table(TEXT["minus"], pairs, columns)]
    if others:
        columns.remove("reference")
        tables["others"] = [page_table(TEXT["others"], others, columns)]
    return tables


def _survival(km: pd.DataFrame) -> PageTable:
    rows = km.rename(columns=_KM_NAMES).to_dict("records")
    p = rows[0]["log_rank_p"] if rows else None
    caption = TEXT["survival"]
    if pd.notna(p):
        caption += f". {TEXT['log_rank']} " + ("< 0.001" if p < 0.001 else f"= {p:.3f}")
    return page_table(caption, rows, ["group", "n", "n_events", "median", "hazard_ratio"])


def page_picture(name: str, figure: Figure, caption: str, drawn: bytes | None) -> dict[str, str]:
    title = " ".join(figure.get_suptitle().replace(r"\$", "$").split()) or name.replace("_", " ")
    alt = TEXT["alt"].format(title)
    return {
        "name": name,
        "alt": alt,
        "caption": caption,
        "data": b64encode(drawn or png(figure)).decode(),
    }


def _check(facts: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> None:
    if absent := [name for name in _FACTS if name not in facts]:
        raise ArgumentError(f"`facts` lacks {', '.join(absent)}; the report needs them: add them.")
    if facts["kind"] not in TEXT["kinds"]:
        kinds = " or ".join(repr(kind) for kind in TEXT["kinds"])
        raise ArgumentError(f"`facts['kind']` is {facts['kind']!r}; expected {kinds}.")
    for i, feature in enumerate(facts["features"], start=1):
        if absent := [name for name in _FEATURE if name not in feature]:
            raise ArgumentError(f"`facts['features']` lacks {', '.join(absent)} in entry {i}.")
    needed = _TABLES | ({"km": _KM} if "km" in tables else {})
    for name, columns in needed.items():
        if name not in tables:
            raise ArgumentError(
                f"`tables` lacks {name!r}; the report needs it: add it, even empty."
            )
        present = tables[name].rename(columns=_KM_NAMES).columns
        if absent := [column for column in columns if column not in present]:
            raise ArgumentError(f"`tables[{name!r}]` lacks the column(s) {', '.join(absent)}.")


def write_report(
    path: str | Path,
    facts: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, tuple[Figure, str]],
    *,
    drawn: Mapping[str, bytes] | None = None,
) -> None:
    """Write a model card or an evaluation report as one HTML file that needs no network.

    The file is written under a temporary name in the same folder and then renamed, so that `path`
    never holds half a report; a report that stands there is replaced. The same arguments give
    the same bytes.

    Parameters
    ----------
    path : str or pathlib.Path
        The file to write, in a folder that exists.
    facts : mapping
        kind ("model card" or "evaluation report"), study, title, description, model_version,
        endpoint_rule, endpoint_title, endpoint_source, target, evidence_class,
        regimens_statement, recommendation_statement, limits (sentences), created (ISO date),
        versions (package to version), hashes (name to SHA-256), settings, features (mappings
        with feature, title, panel, unit, direction, share_missing from 0 to 1) and
        interval_level (such as 0.95).
    tables : mapping of pandas.DataFrame
        findings, attrition and performance as in the data schemas; recommendations
        (recommendation, n, share from 0 to 1); labels (cohort, state, reason, n); importance
        (feature, title, panel, mean_abs_shap), in the order to print; optional km, the
        `summary` of :func:`stratify.report.figures.kaplan_meier`, characteristics, and those of a
        :class:`~stratify.interpretation.cohort_profile.CohortProfile`. Any but km may have no rows.
    figures : mapping of name to (matplotlib.figure.Figure, caption)
        In the order to print; beeswarms, profiles and dependences stand with the explanations.
        The title of a figure is its text for readers who do not see it.
    drawn : mapping of name to bytes, optional
        PNG of figures that are drawn already.

    Raises
    ------
    ArgumentError
        If a fact, a table or a column is missing, or the kind is unknown.
    FileError
        If the file cannot be written.

    Examples
    --------
    >>> write_report("card.html", {"kind": "model card"}, {}, {})
    Traceback (most recent call last):
        ...
    stratify.errors.ArgumentError: `facts` lacks study, title, description, ...: add them.
    """
    _check(facts, tables)
    rows = {name: table.to_dict("records") for name, table in tables.items()}
    pictures = [
        page_picture(name, *figure, (drawn or {}).get(name)) for name, figure in figures.items()
    ]
    html = rendered(
        "model_card.html.j2",
        text=TEXT,
        facts=facts,
        level=f"{100 * facts['interval_level']:g}\u00a0%",
        features=page_table(TEXT["features"], facts["features"], _FEATURE[1:]),
        attrition=page_table(TEXT["attrition"], rows["attrition"], _TABLES["attrition"]),
        labels=page_table(TEXT["labels"], rows["labels"], _TABLES["labels"]),
        performance=_performance(tables["performance"]),
        km=_survival(tables["km"]) if "km" in tables else None,
        importance=page_table(TEXT["importance"], rows["importance"], _TABLES["importance"][1:]),
        characteristics=characteristics_table(tables),
        explanations=explanation_tables(tables),
        cycle_more=TEXT["cycle_more"].format(cycle().source),
        plots=[each for each in pictures if not each["name"].startswith(_EXPLAINING)],
        beeswarms=[each for each in pictures if each["name"].startswith(_EXPLAINING)],
        reporting=reporting_table(facts.get("tripod", [])),
        recommendations=page_table(
            TEXT["recommendations"],
            rows["recommendations"],
            _TABLES["recommendations"],
        ),
        referred=[
            TEXT["referred"].format(n=_cell("n", row), share=_cell("share", row))
            for row in rows["recommendations"]
            if row["recommendation"] == "refer"
        ],
        findings=page_table(
            TEXT["findings"],
            [{**row, "count": row["n"]} for row in rows["findings"]],
            ["count" if name == "n" else name for name in _TABLES["findings"]],
        ),
        provenance=[
            page_pairs(TEXT[name], facts[name]) for name in ("settings", "versions", "hashes")
        ],
    )
    write_page(Path(path), html)


def rendered(template: str, **words: Any) -> str:
    """Fill in a template of the package; texts are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**words)


def write_page(path: str | Path, text: str) -> None:
    """Write a page whole or not at all, the same bytes on every system."""
    with written_whole(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")

"""Tables of the section on performance: a line a model, a column a metric."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from stratify.report.page_table import (
    NUMBERS,
    PageTable,
    Row,
    cell_words,
    metric_words,
    model_words,
    page_table,
)
from stratify.report.text import TEXT

__all__ = ["performance_tables"]

_HEADLINE = ("auroc", "brier", "brier_skill", "calibration_slope", "calibration_intercept",
             "mean_predicted", "mean_observed")  # fmt: skip
_DECISIONS = ("sensitivity", "specificity", "ppv", "npv", "share_flagged", "net_benefit")
_POLICY = (
    *("share_decided", "error_monotherapy", "error_combination"),
    *("share_measure", "share_refer"),
)
_GAIN = "net_benefit_gain"
_SPLITS = ("test", "external", "left_out", "cv", "train")
_PERFORMANCE = (
    *("decisions", "headline", "differences", "thresholds", "subgroups", "others", "apparent"),
)


def _place(row: Row) -> dict[str, str]:
    return {name: cell_words(name, row) for name in ("cohort", "split")}


def _pivot(rows: Sequence[Row], columns: Sequence[str], metrics: Sequence[str]) -> list[PageTable]:
    """Rows of one cohort and split: a line a model (threshold, subgroup), a column a metric."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    counts: dict[str, list[str]] = {"n": [], "n_events": []}
    for row in rows:
        if row["metric"] in metrics:
            key = tuple(cell_words(column, row) for column in columns)
            found.setdefault(key, {})[row["metric"]] = cell_words("value", row)
            for name, seen in counts.items():
                seen += [cell_words(name, row)] * (cell_words(name, row) not in seen)
    if not found:
        return []
    words = TEXT["place_alone" if "n" in columns else "place"]
    caption = words.format(**_place(rows[0]), **{name: "/".join(counts[name]) for name in counts})
    heads = [TEXT["columns"][column] for column in columns] + [
        metric_words(name) for name in metrics
    ]
    numeric = [column in NUMBERS for column in columns] + [True] * len(metrics)
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
                TEXT["place_alone"].format(
                    **{k: cell_words(k, part[0]) for k in ("cohort", "split")}
                ),
                *(cell_words(name, own["auroc"]) for name in ("n", "n_events")),
                *(
                    cell_words("value", own[name]) if name in own else "–"
                    for name in ("auroc", "calibration_slope")
                ),
                "–" if least is None else model_words(least["reference"]),
                "–" if least is None else cell_words("value", least),
            ]
        )
    heads = list(TEXT["short_heads"].values())
    return PageTable(TEXT["short"], heads, [False, True, True, True, True, False, True], cells)


def _decided(caption: str, rows: Sequence[Row]) -> PageTable | None:
    """Put together what the policy decided and how often wrongly: a line a cohort and subgroup."""
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        if row["metric"] in _POLICY:
            key = tuple(cell_words(name, row) for name in ("cohort", "split", "subgroup"))
            found.setdefault(key, {})[row["metric"]] = row
    cells = [
        [
            *key,
            cell_words("n", each["share_decided"]),
            *(
                TEXT["of_n"].format(**{k: cell_words(k, each[name]) for k in ("value", "n")})
                if name.startswith("error_") and each[name]["n"]
                else cell_words("value", each[name])
                for name in _POLICY
            ),
        ]
        for key, each in found.items()
    ]
    heads = [TEXT["columns"][name] for name in ("cohort", "split", "subgroup", "n")]
    heads += [metric_words(name) for name in _POLICY]
    numeric = [False] * 3 + [True] * (1 + len(_POLICY))
    return PageTable(caption, heads, numeric, cells) if cells else None


def performance_tables(table: pd.DataFrame) -> dict[str, list[PageTable]]:
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
    pairs = [row for row in unseen if row["reference"] and row["metric"] != _GAIN]
    gains = [row for row in unseen if row["metric"] == _GAIN]
    known = (*_HEADLINE, *_DECISIONS, *_POLICY)
    others = [row for row in unseen if not row["reference"] and row["metric"] not in known]
    columns = ["cohort", "split", "model", "reference", "metric", "value", "n", "n_events"]
    by_policy = [row for row in rows if row["split"] != "train"]
    for name, of_all in (("decided", True), ("decided_subgroups", False)):
        some = [row for row in by_policy if (row["subgroup"] == "all") == of_all]
        if (decided := _decided(TEXT[name], some)) is not None:
            tables["decisions"].append(decided)
    if gains:
        asked = ["cohort", "split", "reference", "threshold", "value", "n", "n_events"]
        tables["decisions"].insert(1, page_table(TEXT["gains"], gains, asked))
    if pairs:
        tables["differences"] = [page_table(TEXT["minus"], pairs, columns)]
    if others:
        columns.remove("reference")
        tables["others"] = [page_table(TEXT["others"], others, columns)]
    return tables

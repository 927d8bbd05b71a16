"""Tables of the reports about characteristics, explanations and what is reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stratify.interpretation.cycle import cycle
from stratify.report.figures import estimate
from stratify.report.page_table import PageTable, page_cells
from stratify.report.text import TEXT
from stratify.tables.schema import field_named

__all__ = ["characteristics_table", "explanation_tables", "reporting_table"]

_PAIRS = 10  # pairs of features shown


def characteristics_table(tables: Mapping[str, pd.DataFrame]) -> PageTable | None:
    """Characteristics by risk group, one column a group; None where there are none."""
    found = tables.get("characteristics")
    if found is None or found.empty:
        return None
    groups = list(dict.fromkeys(found["group"]))
    sizes = found.drop_duplicates("group").set_index("group")["n_group"]
    heads = [TEXT["columns"]["feature"]]
    heads += [f"{group}, n\u00a0=\u00a0{sizes[group]}" for group in groups]
    rows = []
    for (title, level), part in found.groupby(["title", "level"], sort=False):
        unit = field_named(part["feature"].iloc[0]).unit
        name = f"{title} ({unit})" if unit and level == "" else str(title)
        if level not in ("", "yes"):
            name += f": {str(level).replace('_', ' ')}"
        own = {row["group"]: row for row in part.to_dict("records")}
        rows.append([name, *(_characteristic(own[group]) for group in groups)])
    return page_cells(TEXT["characteristics"], heads, rows, words=1)


def _characteristic(row: Mapping[Any, Any]) -> str:
    if pd.notna(row["median"]):
        joint = "\u2013" if row["low"] >= 0 else "\u00a0to\u00a0"
        text = f"{row['median']:g} ({row['low']:g}{joint}{row['high']:g})"
        return text.replace("-", "\u2212")
    if pd.notna(row["n"]) and pd.notna(row["share"]):
        return f"{row['n']:.0f} ({100 * row['share']:.0f}\u00a0%)"
    return "\u2013"


def explanation_tables(tables: Mapping[str, pd.DataFrame]) -> list[tuple[PageTable, bool]]:
    """Tables of a cohort's explanations, and whether each is folded away."""
    words, found = TEXT["explanations"], []
    step = {s.id: s.title for s in cycle().steps} | {"": words["no_step"]}
    if (leading := tables.get("leading")) is not None:
        rows = [
            [step[r["step"]], _count(r["n"]), _share(r["share"])]
            for r in leading.to_dict("records")
        ]
        heads = [words["step"], TEXT["columns"]["n"], TEXT["columns"]["share"]]
        found.append((page_cells(words["leading"], heads, rows, words=1), False))
    if (clusters := tables.get("clusters")) is not None:
        steps = [name for name in clusters.columns if name not in ("cluster", "n")]
        rows = [
            [str(r["cluster"]), _count(r["n"]), *(estimate(r[name]) for name in steps)]
            for r in clusters.to_dict("records")
        ]
        heads = [words["cluster"], TEXT["columns"]["n"], *(step[name] for name in steps)]
        found.append((page_cells(words["clusters"], heads, rows, words=1), False))
    if (pairs := tables.get("interactions")) is not None:
        rows = [
            [r["title"], r["other_title"], estimate(r["mean_abs_shap"], digits=3)]
            for r in pairs.head(_PAIRS).to_dict("records")
        ]
        heads = [words["feature"], words["other"], TEXT["columns"]["mean_abs_shap"]]
        found.append((page_cells(words["interactions"], heads, rows, words=2), True))
    if (dependence := tables.get("dependence")) is not None:
        rows = [
            [field_named(r["feature"]).title, r["part"].replace("_", " "), _count(r["n"]),
             estimate(r["mean_shap"])]
            for r in dependence.to_dict("records")
        ]  # fmt: skip
        heads = [words["feature"], words["part"], TEXT["columns"]["n"], words["mean_shap"]]
        found.append((page_cells(words["dependence"], heads, rows, words=2), True))
    if (subgroups := tables.get("subgroup_profiles")) is not None:
        rows = [
            [r["subgroup"].replace("=", ": ").replace("_", " "), step[r["step"]], _count(r["n"]),
             estimate(r["mean"]), estimate(r["difference"], r["low"], r["high"])]
            for r in subgroups.to_dict("records")
        ]  # fmt: skip
        heads = [TEXT["columns"]["subgroup"], words["step"], TEXT["columns"]["n"], words["mean"]]
        heads.append(words["difference"])
        found.append((page_cells(words["subgroups"], heads, rows, words=2), True))
    return [(table, folded) for table, folded in found if table.rows]


def reporting_table(items: Sequence[Mapping[str, str]]) -> PageTable | None:
    """Items of the reporting guideline with where each is answered, or that it is open."""
    if not items:
        return None
    words = TEXT["reporting"]
    rows = [[item["id"], item["item"], item["answer"] or words["open"]] for item in items]
    return page_cells(words["caption"], [words["id"], words["item"], words["answer"]], rows)


def _count(n: float) -> str:
    return str(TEXT["explanations"]["few"]) if pd.isna(n) else f"{n:.0f}"


def _share(share: float) -> str:
    return "\u2013" if pd.isna(share) else f"{100 * share:.1f}\u00a0%"

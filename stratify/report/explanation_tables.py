"""Tables of the reports about characteristics, explanations and what is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from stratify.interpretation.cycle import cycle
from stratify.report.figures import estimate
from stratify.report.page_table import PageTable, Row, page_cells, share_words
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
    words, columns = TEXT["explanations"], TEXT["columns"]
    step = {s.id: s.title for s in cycle().steps} | {"": words["no_step"]}
    clusters = tables.get("clusters", pd.DataFrame())
    steps = [name for name in clusters.columns if name not in ("cluster", "n")]
    n, feature = columns["n"], words["feature"]
    # table: caption, heads, columns of words, whether it is folded away, cells of a row
    shown: dict[str, tuple[str, list[str], int, bool, Callable[[Row], list[str]]]] = {
        "leading": (
            "leading", [words["step"], n, columns["share"]], 1, False,
            lambda r: [step[r["step"]], _count(r["n"]), share_words(r["share"])],
        ),
        "clusters": (
            "clusters", [words["cluster"], n, *(step[name] for name in steps)], 1, False,
            lambda r: [str(r["cluster"]), _count(r["n"]), *(estimate(r[name]) for name in steps)],
        ),
        "interactions": (
            "interactions", [feature, words["other"], columns["mean_abs_shap"]], 2, True,
            lambda r: [r["title"], r["other_title"], estimate(r["mean_abs_shap"], digits=3)],
        ),
        "dependence": (
            "dependence", [feature, words["part"], n, words["mean_shap"]], 2, True,
            lambda r: [field_named(r["feature"]).title, r["part"].replace("_", " "),
                       _count(r["n"]), estimate(r["mean_shap"])],
        ),
        "subgroup_profiles": (
            "subgroups",
            [columns["subgroup"], words["step"], n, words["mean"], words["difference"]], 2, True,
            lambda r: [r["subgroup"].replace("=", ": ").replace("_", " "), step[r["step"]],
                       _count(r["n"]), estimate(r["mean"]),
                       estimate(r["difference"], r["low"], r["high"])],
        ),
    }  # fmt: skip
    found = []
    for name, (caption, heads, texts, folded, cells) in shown.items():
        rows = tables.get(name, pd.DataFrame())
        rows = rows.head(_PAIRS) if name == "interactions" else rows
        if len(rows):
            written = [cells(row) for row in rows.to_dict("records")]
            found.append((page_cells(words[caption], heads, written, words=texts), folded))
    return found


def reporting_table(items: Sequence[Mapping[str, str]]) -> PageTable | None:
    """Items of the reporting guideline with where each is answered, or that it is open."""
    if not items:
        return None
    words = TEXT["reporting"]
    rows = [[item["id"], item["item"], item["answer"] or words["open"]] for item in items]
    return page_cells(words["caption"], [words["id"], words["item"], words["answer"]], rows)


def _count(n: float) -> str:
    return str(TEXT["explanations"]["few"]) if pd.isna(n) else f"{n:.0f}"

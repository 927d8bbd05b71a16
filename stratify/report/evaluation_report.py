"""Model card and evaluation report: result tables and plots in one HTML file.

A report computes nothing: each number stands in a table or among the facts and is only formatted
here. The file needs no network and runs no script. Its words stand in :mod:`stratify.report.text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stratify.errors import ArgumentError
from stratify.interpretation.cycle import cycle
from stratify.report.explanation_tables import (
    characteristics_table,
    explanation_tables,
    reporting_table,
)
from stratify.report.page import rendered, write_page
from stratify.report.page_figure import Picture
from stratify.report.page_table import (
    PageTable,
    cell_words,
    finding_table,
    page_pairs,
    page_table,
)
from stratify.report.performance_tables import performance_tables
from stratify.report.text import TEXT

__all__ = ["CardFacts", "write_report"]

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
_FINDING = ("severity", "code", "cohort", "panel", "column", "count", "message", "advice")
_FEATURE = ("title", "panel", "unit", "direction", "share_missing")


@dataclass(frozen=True)
class CardFacts:
    """What a card states of a model next to the tables.

    Attributes
    ----------
    kind : {"model card", "evaluation report"}
    limits : sequence of str
        Sentences.
    created : str
        ISO date.
    versions, hashes : mapping of str to str
        Package to version, name to SHA-256.
    features : DataFrame
        ``title, panel, unit, direction, share_missing`` (0 to 1) of each feature.
    interval_level : float
        Of the intervals of the performance, such as 0.95.
    tripod : sequence of mappings
        Items of TRIPOD+AI: ``id, item, answer``.
    """

    kind: str
    study: str
    title: str
    description: str
    model_version: str
    endpoint_rule: str
    endpoint_title: str
    endpoint_source: str
    target: str
    evidence_class: str
    regimens_statement: str
    recommendation_statement: str
    limits: Sequence[str]
    created: str
    versions: Mapping[str, str]
    hashes: Mapping[str, str]
    settings: Mapping[str, Any]
    features: pd.DataFrame
    interval_level: float
    tripod: Sequence[Mapping[str, str]] = ()

    def __post_init__(self) -> None:
        if self.kind not in TEXT["kinds"]:
            kinds = " or ".join(repr(kind) for kind in TEXT["kinds"])
            raise ArgumentError(f"`kind` is {self.kind!r}; expected {kinds}.")
        _need("features", self.features, _FEATURE)


def _need(name: str, table: pd.DataFrame, columns: Sequence[str]) -> None:
    if absent := [column for column in columns if column not in table]:
        raise ArgumentError(f"The table {name!r} lacks the column(s) {', '.join(absent)}.")


def _survival(km: pd.DataFrame) -> PageTable:
    rows = km.to_dict("records")
    p = rows[0]["log_rank_p"] if rows else None
    caption = TEXT["survival"]
    if pd.notna(p):
        caption += f". {TEXT['log_rank']} " + ("< 0.001" if p < 0.001 else f"= {p:.3f}")
    return page_table(caption, rows, ["group", "n", "n_events", "median", "hazard_ratio"])


def _check(tables: Mapping[str, pd.DataFrame]) -> None:
    for name, columns in (_TABLES | ({"km": _KM} if "km" in tables else {})).items():
        if name not in tables:
            raise ArgumentError(
                f"`tables` lacks {name!r}; the report needs it: add it, even empty."
            )
        _need(name, tables[name], columns)


def write_report(
    path: str | Path,
    facts: CardFacts,
    tables: Mapping[str, pd.DataFrame],
    pictures: Sequence[Picture] = (),
) -> None:
    """Write a model card or an evaluation report as one HTML file that needs no network.

    It is written whole or not at all; a report that stands there is replaced. The same arguments
    give the same bytes.

    Parameters
    ----------
    tables : mapping of DataFrame
        findings, attrition and performance as in the dictionaries; recommendations
        (recommendation, n, share from 0 to 1); labels (cohort, state, reason, n); importance
        (feature, title, panel, mean_abs_shap), in the order to print; optional km, the
        `summary` of :func:`stratify.report.response_figures.kaplan_meier`, characteristics, and
        those of a :class:`~stratify.interpretation.cohort_profile.CohortProfile`. Any but km may
        have no rows.
    """
    _check(tables)
    rows = {name: table.to_dict("records") for name, table in tables.items()}
    printed = {
        name: page_table(TEXT[name], rows[name], _TABLES[name])
        for name in ("attrition", "labels", "recommendations")
    }
    page = rendered(
        "model_card.html.j2",
        text=TEXT,
        facts=facts,
        level=f"{100 * facts.interval_level:g}\u00a0%",
        features=page_table(TEXT["features"], facts.features.to_dict("records"), _FEATURE),
        performance=performance_tables(tables["performance"]),
        km=_survival(tables["km"]) if "km" in tables else None,
        importance=page_table(TEXT["importance"], rows["importance"], _TABLES["importance"][1:]),
        characteristics=characteristics_table(tables),
        explanations=explanation_tables(tables),
        cycle_more=TEXT["cycle_more"].format(cycle().source),
        pictures=pictures,
        reporting=reporting_table(facts.tripod),
        referred=[
            TEXT["referred"].format(n=cell_words("n", row), share=cell_words("share", row))
            for row in rows["recommendations"]
            if row["recommendation"] == "refer"
        ],
        findings=finding_table(tables["findings"], _FINDING),
        provenance=[
            page_pairs(TEXT[name], getattr(facts, name))
            for name in ("settings", "versions", "hashes")
        ],
        **printed,
    )
    write_page(path, page)

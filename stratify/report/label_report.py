"""Label report: how many patients have which label and why, and the outcomes behind it.

It shows patients one by one, without identifier, in two plots; so it stays with the data and is
never logged.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from stratify.cohort.reading import Cohort
from stratify.report.page import rendered, write_page
from stratify.report.page_figure import Drawn, PageFigure, page_figure, pictures
from stratify.report.page_table import finding_table, page_table
from stratify.report.response_figures import label_flow, swimmer, waterfall
from stratify.report.text import LABELS, TEXT
from stratify.study import Study

if TYPE_CHECKING:
    pass

__all__ = ["write_label_report"]


class Labelled(NamedTuple):
    """Patients with their outcomes, their number by label and reason, and words on them."""

    table: pd.DataFrame
    labels: pd.DataFrame
    words: dict[str, str]

    def drawn(self, table: pd.DataFrame, *columns: str) -> list[Drawn]:
        """One picture of a table where it has the columns and values in them."""
        there = all(column in table and table[column].notna().any() for column in columns)
        return [Drawn((table,), self.words)] if there else []


LABEL_FIGURES: list[PageFigure[Labelled]] = [
    page_figure(LABELS, "flow", "labels", lambda found: found.drawn(found.labels), label_flow),
    page_figure(
        LABELS,
        "swimmer",
        "outcomes",
        lambda found: found.drawn(found.table) if {"pfs", "pfs_event"} <= set(found.table) else [],
        swimmer,
    ),
    page_figure(
        LABELS,
        "waterfall",
        "outcomes",
        lambda found: found.drawn(found.table, "best_change"),
        waterfall,
    ),
]


def write_label_report(path: str | Path, cohort: Cohort, study: Study) -> None:
    """Write the label report of a cohort that was read and labelled."""
    table = cohort.table
    by = ["cohort", *(["arm"] if "arm" in table and table["arm"].notna().any() else [])]
    known = table.fillna(dict.fromkeys(by[1:], LABELS["not_recorded"]))
    labels = known.groupby([*by, "state", "reason"], sort=True).size().rename("n").reset_index()
    responses = pd.DataFrame(columns=[*by, "best_response", "n"])
    if "best_response" in table:
        best = known.fillna({"best_response": LABELS["not_recorded"]})
        responses = best.groupby([*by, "best_response"]).size().rename("n").reset_index()
    page = rendered(
        "labels.html.j2",
        text={**TEXT, **LABELS},
        title=study.title or study.name,
        created=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        rule=_rule(cohort, study),
        labels=page_table(TEXT["labels"], labels.to_dict("records"), [*by, "state", "reason", "n"]),
        attrition=page_table(
            TEXT["attrition"],
            cohort.attrition.to_dict("records"),
            ["cohort", "step", "reason", "n", "n_remaining"],
        ),
        responses=page_table(
            LABELS["responses"], responses.to_dict("records"), [*by, "best_response", "n"]
        ),
        pictures=pictures(LABEL_FIGURES, Labelled(table, labels, _words(table, study))),
        findings=finding_table(cohort.findings.table()),
    )
    write_page(path, page)


def _words(table: pd.DataFrame, study: Study) -> dict[str, str]:
    """Who the patients are, and which states have the labels 1 and 0."""
    states, rule = TEXT["states"], study.endpoint
    return {
        "where": f"{', '.join(dict.fromkeys(table['cohort']))} (n = {len(table)})",
        "positive": states[rule.positive],
        "negatives": LABELS["or"].join(states[state] for state in rule.negatives),
    }


def _rule(cohort: Cohort, study: Study) -> dict[str, str]:
    """Facts on the rule of the label and on the patients, by their words."""
    rule, label = study.endpoint, cohort.table["label"]
    criteria = None if cohort.responses is None else study.response_criteria.by
    facts = {
        "endpoint_rule": rule.id,
        "title": rule.title,
        "source": rule.source,
        "criteria": LABELS["criteria"][criteria],
        "patients": LABELS["patients"].format(
            n=len(label), known=int(label.notna().sum()), ones=int(label.sum())
        ),
    }
    return {LABELS["rule"][name]: value for name, value in facts.items()}

"""Label report: how many patients have which label and why, and the outcomes behind it.

It shows patients one by one, without identifier, in two plots; so it stays with the data and is
never logged. All its words stand in :data:`TEXT`.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd

from stratify.cohort.cohort import Cohort
from stratify.report import report
from stratify.report.report import page_picture, page_table, rendered, write_page
from stratify.report.response_figures import label_flow, swimmer, waterfall
from stratify.study import Study

__all__ = ["TEXT", "write_label_report"]

TEXT: dict[str, Any] = {
    "kind": "Label report",
    "sections": {
        "rule": "Endpoint",
        "labels": "Labels and their reasons",
        "outcomes": "Outcomes",
        "findings": "Findings about the data",
    },
    "responses": "Best response",
    "not_recorded": "not recorded",
    "flow": "Labels, {}",
    "flow_more": "A label is 1 for {}, 0 for {}; who is not evaluable has none.",
    "swimmer": "Follow-up, {}",
    "swimmer_more": "Progression-free survival of each patient; the dotted line is six months.",
    "waterfall": "Best change of the target sum, {}",
    "waterfall_more": "Dotted lines: 30 % smaller and 20 % larger than at baseline.",
    "rule": {
        "endpoint_rule": "Rule",
        "title": "Title",
        "source": "Source",
        "criteria": "Response criteria",
        "patients": "Patients",
    },
    "criteria": {"recist_1_1": "RECIST 1.1", "irecist": "iRECIST", None: "as recorded"},
}


def write_label_report(path: str | Path, cohort: Cohort, study: Study) -> None:
    """Write the label report of a cohort that was read and labelled.

    Parameters
    ----------
    path : path
        HTML file to write.
    cohort : Cohort
        From :func:`stratify.cohort.cohort.read_cohort`, with outcomes.
    study : Study

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    table = cohort.table
    rule = study.rule
    names = ", ".join(dict.fromkeys(table["cohort"]))
    who = f"{names} (n = {len(table)})"
    by = ["cohort", *(["arm"] if "arm" in table and table["arm"].notna().any() else [])]
    unknown = TEXT["not_recorded"]
    known = table.assign(**{column: table[column].fillna(unknown) for column in by[1:]})
    labels = known.groupby([*by, "state", "reason"], sort=True).size().rename("n").reset_index()
    pictures = {"label_flow": (label_flow(labels, title=TEXT["flow"].format(who)), _flow(rule))}
    if {"pfs", "pfs_event"} <= set(table):
        figure = swimmer(table, title=TEXT["swimmer"].format(who))
        pictures["swimmer"] = (figure, TEXT["swimmer_more"])
    responses = pd.DataFrame(columns=[*by, "best_response", "n"])
    if "best_response" in table:
        best = known.assign(best_response=known["best_response"].fillna(unknown))
        responses = best.groupby([*by, "best_response"]).size().rename("n").reset_index()
    if "best_change" in table and table["best_change"].notna().any():
        figure = waterfall(table, title=TEXT["waterfall"].format(who))
        pictures["waterfall"] = (figure, TEXT["waterfall_more"])
    criteria = None if cohort.responses is None else study.response_criteria.by
    facts = {
        "endpoint_rule": f"{rule['name']}@{rule['version']}",
        "title": rule["title"],
        "source": rule["source"],
        "criteria": TEXT["criteria"][criteria],
        "patients": f"{len(table)}, {int(table['label'].notna().sum())} with a label, "
        f"{int(table['label'].sum())} of them 1",
    }
    findings = cohort.findings.table().to_dict("records")
    shown = ["code", "severity", "cohort", "column", "count", "message", "advice"]
    page = rendered(
        "labels.html.j2",
        text={**report.TEXT, **TEXT},
        title=study.title or study.name,
        created=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        rule={TEXT["rule"][name]: value for name, value in facts.items()},
        labels=page_table(
            report.TEXT["labels"], labels.to_dict("records"), [*by, "state", "reason", "n"]
        ),
        attrition=page_table(
            report.TEXT["attrition"],
            cohort.attrition.to_dict("records"),
            ["cohort", "step", "reason", "n", "n_remaining"],
        ),
        responses=page_table(
            TEXT["responses"], responses.to_dict("records"), [*by, "best_response", "n"]
        ),
        pictures={name: page_picture(name, *each, None) for name, each in pictures.items()},
        findings=page_table(
            report.TEXT["findings"], [{**row, "count": row["n"]} for row in findings], shown
        ),
    )
    write_page(Path(path), page)


def _flow(rule: dict[str, Any]) -> str:
    states = report.TEXT["states"]
    negatives = " or ".join(states[state] for state in rule["negatives"])
    return str(TEXT["flow_more"].format(states[rule["positive"]], negatives))

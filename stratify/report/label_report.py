"""Label report: how many patients have which label and why, and the outcomes behind it.

It shows patients one by one, without identifier, in two plots; so it stays with the data and is
never logged.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

from stratify.cohort.reading import Cohort
from stratify.endpoint import EndpointRule
from stratify.report.evaluation_report import page_picture, page_table, rendered, write_page
from stratify.report.response_figures import label_flow, swimmer, waterfall
from stratify.report.text import LABELS, TEXT
from stratify.study import Study

__all__ = ["write_label_report"]


def write_label_report(path: str | Path, cohort: Cohort, study: Study) -> None:
    """Write the label report of a cohort that was read and labelled.

    Parameters
    ----------
    path : path
        HTML file to write.
    cohort : Cohort
        From :func:`stratify.cohort.reading.read_cohort`, with outcomes.
    study : Study

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    table = cohort.table
    rule = study.endpoint
    names = ", ".join(dict.fromkeys(table["cohort"]))
    who = f"{names} (n = {len(table)})"
    by = ["cohort", *(["arm"] if "arm" in table and table["arm"].notna().any() else [])]
    unknown = LABELS["not_recorded"]
    known = table.assign(**{column: table[column].fillna(unknown) for column in by[1:]})
    labels = known.groupby([*by, "state", "reason"], sort=True).size().rename("n").reset_index()
    pictures = {"label_flow": (label_flow(labels, title=LABELS["flow"].format(who)), _flow(rule))}
    if {"pfs", "pfs_event"} <= set(table):
        figure = swimmer(table, title=LABELS["swimmer"].format(who))
        pictures["swimmer"] = (figure, LABELS["swimmer_more"])
    responses = pd.DataFrame(columns=[*by, "best_response", "n"])
    if "best_response" in table:
        best = known.assign(best_response=known["best_response"].fillna(unknown))
        responses = best.groupby([*by, "best_response"]).size().rename("n").reset_index()
    if "best_change" in table and table["best_change"].notna().any():
        figure = waterfall(table, title=LABELS["waterfall"].format(who))
        pictures["waterfall"] = (figure, LABELS["waterfall_more"])
    criteria = None if cohort.responses is None else study.response_criteria.by
    facts = {
        "endpoint_rule": rule.id,
        "title": rule.title,
        "source": rule.source,
        "criteria": LABELS["criteria"][criteria],
        "patients": LABELS["patients"].format(
            n=len(table), known=int(table["label"].notna().sum()), ones=int(table["label"].sum())
        ),
    }
    findings = cohort.findings.table().to_dict("records")
    shown = ["code", "severity", "cohort", "column", "count", "message", "advice"]
    page = rendered(
        "labels.html.j2",
        text={**TEXT, **LABELS},
        title=study.title or study.name,
        created=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        rule={LABELS["rule"][name]: value for name, value in facts.items()},
        labels=page_table(TEXT["labels"], labels.to_dict("records"), [*by, "state", "reason", "n"]),
        attrition=page_table(
            TEXT["attrition"],
            cohort.attrition.to_dict("records"),
            ["cohort", "step", "reason", "n", "n_remaining"],
        ),
        responses=page_table(
            LABELS["responses"], responses.to_dict("records"), [*by, "best_response", "n"]
        ),
        pictures={name: page_picture(name, *each, None) for name, each in pictures.items()},
        findings=page_table(
            TEXT["findings"], [{**row, "count": row["n"]} for row in findings], shown
        ),
    )
    write_page(Path(path), page)


def _flow(rule: EndpointRule) -> str:
    states = TEXT["states"]
    negatives = LABELS["or"].join(states[state] for state in rule.negatives)
    return str(LABELS["flow_more"].format(states[rule.positive], negatives))

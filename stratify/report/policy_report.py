"""Policy report: what a policy decides on judged patients, how often wrongly, and its worth."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from stratify.report.figures import decision_curve, estimate
from stratify.report.page import rendered, write_page
from stratify.report.page_figure import Drawn, PageFigure, Picture, page_figure, pictures
from stratify.report.page_table import PageTable, page_cells
from stratify.report.performance_tables import performance_tables
from stratify.report.share_figures import error_by_share
from stratify.report.text import POLICY, TEXT
from stratify.scoring import ResistanceModel
from stratify.treatment.triage import EVIDENCE_CLASS
from stratify.validation.decisions import decision_statement

__all__ = ["JudgedPolicy", "policy_pictures", "write_policy_report"]

LEVEL = 0.95


class JudgedPolicy(NamedTuple):
    """A model with its policy, the patients that judge it, and the tables of what was found."""

    model: ResistanceModel
    study: str
    cohorts: list[str]
    n: int
    n_events: int
    tables: Mapping[str, pd.DataFrame]

    @property
    def statement(self) -> str:
        """What the policy does, and what it decided how often wrongly."""
        policy, rows = self.model.policy, self.tables.get("decisions")
        if policy is None or rows is None:
            return ""
        return f"{policy.statement()} {decision_statement(rows, policy.error_bounds())}"

    @property
    def where(self) -> Mapping[str, str]:
        """Words that fill in the titles."""
        return {"where": f"{self.study}, n = {self.n}"}


def _net_benefit(found: JudgedPolicy) -> list[Drawn]:
    rules = found.tables["net_benefit"]
    curves = rules[rules["against"] == ""].rename(columns={"rule": "model", "value": "net_benefit"})
    return [Drawn((curves,), found.where)]


def _deferral(found: JudgedPolicy) -> list[Drawn]:
    return [Drawn((found.tables["deferral"],), found.where, options={"chosen": _chosen(found)})]


def _chosen(found: JudgedPolicy) -> tuple[float, float] | None:
    """Share decided by the policy, and errors among the decided."""
    rows = found.tables.get("decisions")
    if rows is None:
        return None
    whole = rows[rows["subgroup"] == "all"].set_index("metric")[["value", "n"]]
    errors = whole.loc[[f"error_{arm}" for arm in ("monotherapy", "combination")]]
    decided = errors["n"].sum()
    if not decided:
        return None
    wrong = (errors["value"].fillna(0) * errors["n"]).sum() / decided
    share: float = whole["value"]["share_decided"]
    return share, float(wrong)


POLICY_FIGURES: list[PageFigure[JudgedPolicy]] = [
    page_figure(POLICY, "net_benefit", "worth", _net_benefit, decision_curve),
    page_figure(POLICY, "deferral", "decided", _deferral, error_by_share),
]


def policy_pictures(found: JudgedPolicy) -> list[Picture]:
    """Draw the net benefit of every rule, and the errors among the decided."""
    return pictures(POLICY_FIGURES, found)


def write_policy_report(path: Path, found: JudgedPolicy) -> None:
    """Write the page; it holds aggregates only, no patient."""
    model = found.model
    policy = model.policy
    if policy is None:
        raise TypeError("The model has no policy; take it with one.")
    rows = found.tables["decisions"]
    kept = [] if policy.found is None else [policy.found.monotherapy, policy.found.combination]
    patients = POLICY["patients"].format(
        n=found.n, n_events=found.n_events, cohorts=", ".join(found.cohorts)
    )
    facts = {
        "policy": policy.statement(),
        "model": f"{model.card['study']}, {model.version}",
        "endpoint": model.card["endpoint_rule"],
        "patients": patients,
    }
    if policy.found is not None:
        facts["training"] = str(policy.found.n)
    page = rendered(
        "policy.html.j2",
        text={**TEXT, **POLICY},
        title=found.study,
        evidence_class=EVIDENCE_CLASS,
        level=f"{100 * LEVEL:g}\u00a0%",
        facts=facts,
        statement=decision_statement(rows, policy.error_bounds()),
        decisions=performance_tables(rows)["decisions"],
        pairs=_pairs(found.tables["pairs"]),
        guarantee=kept or [POLICY["no_errors"]],
        pictures=policy_pictures(found),
        created=dt.datetime.now(tz=dt.UTC).date().isoformat(),
    )
    write_page(path, page)


def _pairs(table: pd.DataFrame) -> PageTable:
    """Put a pair of errors on a line: thresholds, share decided and errors found."""
    keys = ["monotherapy", "combination", "monotherapy_below", "combination_from"]
    lines = []
    for _, part in table.groupby(keys[:2], sort=False):
        cells = [estimate(part[name].iloc[0]) for name in keys]
        for row in part.to_dict("records"):
            cell = estimate(row["value"], row["low"], row["high"])
            if row["metric"] != "share_decided" and row["n"]:
                cell = TEXT["of_n"].format(value=cell, n=row["n"])
            cells.append(cell)
        lines.append(cells)
    return page_cells(POLICY["pairs"], POLICY["pairs_heads"].values(), lines, words=0)

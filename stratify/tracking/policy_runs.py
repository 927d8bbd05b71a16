"""A policy report as a run: tables, figures and the page, no patient."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stratify.tracking.naming import with_limits
from stratify.tracking.record import RunRecord
from stratify.tracking.upload import log
from stratify.treatment.triage import EVIDENCE_CLASS

if TYPE_CHECKING:
    from stratify.report.policy_report import JudgedPolicy

__all__ = ["log_policy"]


def log_policy(found: JudgedPolicy, out: str | Path, *, uri: str | None = None) -> str:
    """Log what a policy decides as one run.

    Arguments, return and errors are those of :func:`stratify.tracking.runs.log_results`, with what
    :func:`stratify.experiment.policy_choice.choose_policy` returns.
    """
    from stratify.report.policy_report import policy_pictures

    out, model = Path(out), found.model
    page = out if out.suffix == ".html" else out / "policy.html"
    files: dict[str, Path | bytes] = {"policy.html": page} if page.is_file() else {}
    files |= {f"figures/{each.name}.png": each.png for each in policy_pictures(found)}
    metrics: dict[str, float] = {}
    tables = dict(found.tables)
    if (rows := tables.get("decisions")) is not None:
        for row in rows[(rows["subgroup"] == "all") & (rows["reference"] == "")].to_dict("records"):
            metrics |= with_limits(f"{row['cohort']}/{row['metric']}", row)
    policy = model.policy
    record = RunRecord(
        experiment=model.card["study"],
        name=f"{found.study} policy",
        tags={
            "mlflow.note.content": f"{found.statement}\n\nResearch use only.",
            "mlflow.source.name": "stratify policy",
            "mlflow.source.type": "LOCAL",
            "kind": "policy report",
            "evidence_class": EVIDENCE_CLASS,
            "model_version": model.version,
        },
        params={"study": found.study, "policy": "" if policy is None else policy.way()},
        metrics=metrics,
        tables=tables,
        files=files,
    )
    return log(record, page.parent, uri=uri)

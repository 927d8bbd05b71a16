"""A look at new patients as a run, in the experiment of the model."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from stratify.experiment.monitoring import Monitoring
from stratify.tracking.naming import place_of, with_limits
from stratify.tracking.record import RunRecord
from stratify.tracking.runs import markdown
from stratify.tracking.upload import log

__all__ = ["log_monitoring"]

ALERTS = ("input_shift", "missingness_shift", "score_shift", "calibration_shift")


def log_monitoring(found: Monitoring, out: str | Path, *, uri: str | None = None) -> str:
    """Log a look at new patients as a run.

    Arguments, return and errors are those of :func:`stratify.tracking.runs.log_results`, with the
    results of :func:`stratify.experiment.monitoring.monitor`.
    """
    card = found.model.card
    alerts = found.findings[found.findings["code"].isin(ALERTS)]
    codes = sorted(set(alerts["code"]))
    shown = alerts[["cohort", "code", "column", "n", "message"]]
    waiting = "" if found.labelled else " Outcomes have not arrived."
    note = [
        f"**{len(alerts)} alerts** of model {found.model.version} on "
        f"{', '.join(f'{name} (n = {n})' for name, n in found.n.items())}.{waiting} Research use "
        "only.",
        "",
        *(markdown(shown) if len(shown) else ["Inputs and scores are as in training."]),
    ]
    record = RunRecord(
        experiment=str(card["study"]),
        name=f"{found.study.name} monitoring {found.model.version}",
        tags={
            "kind": "monitoring",
            "model_version": found.model.version,
            "endpoint_rule": str(card["endpoint_rule"]),
            "alerts": ", ".join(codes) or "none",
            "mlflow.source.name": "stratify evaluate --monitor",
            "mlflow.note.content": "\n".join(note),
        },
        params={"study": found.study.name},
        metrics=_metrics(found.drift, found.n),
        tables={"drift": found.drift, "alerts": alerts},
        files={name: Path(out) / name for name in ("drift.csv", "findings.csv")},
    )
    return log(record, out, uri=uri)


def _metrics(drift: pd.DataFrame, n: dict[str, int]) -> dict[str, float]:
    """``<cohort>_drift/psi_albumin``, ``.../missing_albumin``; outcomes as in an evaluation."""
    found = {f"{place_of(name, 'external')}/n": float(size) for name, size in n.items()}
    for row in drift.to_dict("records"):
        place = place_of(row["cohort"], "external")
        names = {
            "input": (f"{place}_drift/psi_{row['name']}", "psi"),
            "score": (f"{place}_drift/psi_risk", "psi"),
            "missing": (f"{place}_drift/missing_{row['name']}", "value"),
            "panel_missing": (f"{place}_drift/panel_missing_{row['name']}", "value"),
            "outcome": (f"{place}/{row['name']}", "value"),
        }
        name, column = names[row["what"]]
        limits = ("low", "high") if row["what"] == "outcome" else ()
        found |= with_limits(name, {**row, "value": row[column]}, ("value", *limits))
    return found

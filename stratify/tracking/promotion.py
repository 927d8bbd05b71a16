"""Promote a candidate to champion: compared, logged as a run, and approved or refused."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stratify.errors import ArgumentError
from stratify.experiment.promotion import Comparison, compare_models
from stratify.report.figures import METRICS, estimate
from stratify.scoring import load
from stratify.tracking.naming import place_of, with_limits
from stratify.tracking.record import RunRecord
from stratify.tracking.registry import approve, bundle_folder, model_name, versions
from stratify.tracking.runs import markdown
from stratify.tracking.store import opened, store_uri
from stratify.tracking.upload import log

__all__ = ["promote"]

SHOWN = ("auroc", "delta_auroc", "brier", "delta_brier", "calibration_slope", "observed_expected")


def promote(
    name: str,
    studies: Sequence[str | Path],
    *,
    store: str,
    version: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Comparison, pd.DataFrame, str]:
    """Compare a version of a model to the champion, and make it the champion unless refused.

    Parameters
    ----------
    version : str, optional
        Version to promote; by default the alias ``candidate``.
    """
    uri, name = store_uri(store), model_name(name)
    with opened(uri, ending="Nothing was changed.") as client:
        known = versions(client, name)
    candidate = bundle_folder(f"models:/{name}{f'/{version}' if version else '@candidate'}", uri)
    version = version or known["candidate"]
    if known.get("champion") == version:
        raise ArgumentError(f"Version {version} of {name} is the champion already.")
    champion = (
        bundle_folder(f"models:/{name}/{known['champion']}", uri) if "champion" in known else None
    )
    new, old = load(candidate), None if champion is None else load(champion)
    found = compare_models(new, old, studies, progress=progress)
    table = _table(found.performance)
    against = f"version {known['champion']}" if champion is not None else "no champion"
    decision = "refused" if found.refusals else "promoted"
    record = RunRecord(
        experiment=str(new.card["study"]),
        name=f"{name} version {version} {decision}",
        tags={
            "kind": "promotion",
            "decision": decision,
            "model_version": new.version,
            "against": old.version if old is not None else "none",
            "endpoint_rule": str(new.card["endpoint_rule"]),
            "mlflow.source.name": "stratify runs promote",
            "mlflow.note.content": "\n".join(
                [
                    f"**Version {version} {decision}**, against {against}. Research use only.",
                    "",
                    *markdown(table),
                    "",
                    *(f"- {reason}" for reason in found.refusals),
                ]
            ),
        },
        params={"version": version, "champion": known.get("champion", "none")},
        metrics=_metrics(found.performance),
        tables={"comparison": table},
    )
    with tempfile.TemporaryDirectory() as folder:
        run_id = log(record, Path(folder) / "out", uri=uri)
    if not found.refusals:
        with opened(uri, ending="The comparison is logged, no alias was changed.") as client:
            approve(client, name, version, f"run {run_id}, against {against}")
    return found, table, run_id


def _table(performance: pd.DataFrame) -> pd.DataFrame:
    """Estimates by cohort and metric: candidate, champion, and the paired difference."""
    rows = performance[performance["threshold"].isna() & performance["metric"].isin(SHOWN)]
    lines: list[dict[str, Any]] = []
    for _, judged in rows.groupby(["cohort", "metric"], sort=False):
        lines += [
            {
                "cohort": row["cohort"],
                "n": row["n"],
                "events": row["n_events"],
                "metric": METRICS[row["metric"]][0],
                "of": "candidate − champion" if row["reference"] else row["model"],
                "95 % interval": estimate(row["value"], row["low"], row["high"], 3),
            }
            for row in judged.to_dict("records")
        ]
    return pd.DataFrame(lines)


def _metrics(performance: pd.DataFrame) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in performance[performance["threshold"].isna()].to_dict("records"):
        ending = "_vs_champion" if row["reference"] else ""
        ending = "_champion" if row["model"] == "champion" else ending
        place = place_of(row["cohort"], row["split"])
        found |= with_limits(f"{place}/{row['metric']}{ending}", row)
        if row["metric"] == "auroc" and row["model"] == "candidate":
            found[f"{place}/n"] = float(row["n"])
    return found

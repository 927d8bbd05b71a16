"""Runs of a store compared, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from stratify.errors import ArgumentError
from stratify.report.figures import METRICS, estimate
from stratify.tracking.store import opened, store_uri

__all__ = ["compare_runs"]

OWN = ("run", "started", "what", "model", "alias", "data")
KINDS = ("training", "evaluation", "benchmark", "monitoring", "promotion", "treatment effect")


def compare_runs(
    store: str,
    *,
    experiment: str | None = None,
    metrics: Sequence[str] = ("auroc", "brier_skill", "calibration_slope"),
    most: int = 20,
) -> pd.DataFrame:
    """List the runs of a store, newest first, with one line for each cohort that judged them.

    Parameters
    ----------
    experiment : str, optional
        Study; by default all.
    """
    with opened(store_uri(store), ending="Name another store with --store.") as client:
        studies = {e.name: e.experiment_id for e in client.search_experiments()}
        studies.pop("Default", None)
        if experiment is not None and experiment not in studies:
            there = ", ".join(sorted(studies)) or "none"
            raise ArgumentError(f"There is no study {experiment!r} in the store; it has {there}.")
        chosen = [studies[experiment]] if experiment is not None else list(studies.values())
        runs = _top_runs(client, chosen, most)
        aliases = _aliases(client)
    lines = [
        line for run in runs for line in _lines(run, aliases.get(run.info.run_id, ""), metrics)
    ]
    return pd.DataFrame(lines, columns=[*OWN, "cohort", "n", *metrics])


def _top_runs(client: Any, experiments: list[str], most: int) -> list[Any]:
    """Find the runs that are not nested in others."""
    if not experiments:
        return []
    found: list[Any] = []
    for kind in KINDS:
        found += client.search_runs(
            experiments,
            f"tags.kind = '{kind}'",
            max_results=most,
            order_by=["attributes.start_time DESC"],
        )
    top = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    return sorted(top, key=lambda run: -run.info.start_time)[:most]


def _aliases(client: Any) -> dict[str, str]:
    """Alias of the model of each run."""
    found: dict[str, list[str]] = {}
    for model in client.search_registered_models():
        for alias, version in model.aliases.items():
            run = client.get_model_version(model.name, version).run_id
            found.setdefault(run, []).append(alias)
    return {run: ", ".join(sorted(aliases)) for run, aliases in found.items()}


def _lines(run: Any, alias: str, metrics: Sequence[str]) -> list[dict[str, Any]]:
    tags, values = run.data.tags, run.data.metrics
    started = pd.Timestamp(run.info.start_time, unit="ms").strftime("%Y-%m-%d %H:%M")
    what = tags.get("kind", "")
    if run.info.status != "FINISHED":
        what = f"{what}, {run.info.status.lower()}"
    shown = (run.info.run_id[:8], started, what, tags.get("model_version", ""), alias)
    own = dict(zip(OWN, (*shown, tags.get("data_sha256", "")[:8]), strict=True))
    places = {name.rpartition("/")[0] for name in values if name.endswith("/n")}
    places = {place for place in places if not place.endswith("_apparent")}
    lines = []
    for place in sorted(places, key=lambda place: (place.endswith("_cv"), place)):
        line = {**own, "cohort": place, "n": int(values[f"{place}/n"])}
        own = dict.fromkeys(OWN, "")
        for metric in metrics:
            value, low, high = (
                values.get(f"{place}/{metric}{end}", float("nan")) for end in ("", "_low", "_high")
            )
            digits = METRICS.get(metric.partition("_vs_")[0], ("", 3, None))[1]
            line[metric] = estimate(value, low, high, digits)
        lines.append(line)
    return lines or [{**own, "cohort": "", "n": ""}]

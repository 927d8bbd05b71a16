"""A view of an experiment's runs table, saved for all who review it: unseen cohorts as columns.

MLflow opens a runs table without metrics. It keeps named layouts as tags of the experiment (mlflow
3.17, menu *Views* above the table); releases without that menu do not read the tag.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from stratify.references import headline
from stratify.tracking.record import RunRecord

__all__ = ["VIEW", "save_view", "view_columns"]

VIEW = "unseen-cohorts"  # in the address: ?viewStateShareKey=unseen-cohorts
TITLE = "Unseen cohorts"
TAG = f"mlflow.sharedViewState.{VIEW}"
ALWAYS = ("attributes.`Created`", "tags.`kind`", "tags.`endpoint_rule`", "tags.`data_sha256`")
MOST = 16  # columns of metrics; an experiment's tag holds 5000 characters
KINDS = ("training", "evaluation", "benchmark")
NOT_UNSEEN = ("_cv", "_apparent", "_curves", "_drift")


def view_columns(metrics: Iterable[str], before: Iterable[str] = ()) -> list[str]:
    """Columns of the view: the headline metrics of each unseen cohort, those of a new run first.

    Examples
    --------
    >>> view_columns(["shim/auroc", "shim/auroc_low", "chowell_cv/auroc"])[-1]
    'metrics.`shim/auroc`'
    """
    names = set(metrics)
    differences = [f"delta_auroc_vs_{reference}" for reference in headline()]
    shown = ("auroc", *differences, "brier_skill", "calibration_slope")
    places = sorted({name.rpartition("/")[0] for name in names})
    wanted = [
        f"{place}/{metric}" for place in places if not place.endswith(NOT_UNSEEN)
        for metric in shown
    ]  # fmt: skip
    new = [f"metrics.`{name}`" for name in wanted if name in names]
    old = [name for name in before if name.startswith("metrics.") and name not in new]
    return [*ALWAYS, *(new + old)[:MOST]]


def save_view(client: Any, experiment: str, record: RunRecord) -> None:
    """Save the view of an experiment, where a run brings cohorts that it does not show yet."""
    if record.tags.get("kind") not in KINDS:
        return
    before = _columns(client.get_experiment(experiment).tags.get(TAG))
    columns = view_columns(record.metrics, before)
    if set(columns) <= set(before) or len(columns) == len(ALWAYS):
        return
    state = json.dumps({"selectedColumns": columns})
    view = {"name": TITLE, "createdAt": record.made, "updatedAt": record.made, "state": state}
    client.set_experiment_tag(experiment, TAG, json.dumps(view))


def _columns(tag: str | None) -> list[str]:
    """Columns of a saved view; none where a user has saved something else under its name."""
    if tag is None:
        return []
    try:
        columns = json.loads(json.loads(tag)["state"])["selectedColumns"]
    except (ValueError, KeyError, TypeError):
        return []
    return [str(name) for name in columns]

"""Names of metrics, so that the UI groups them by cohort and users find them in every run."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd

from stratify.validation.assessment import Assessment

__all__ = ["curve_points", "metric_values", "place_of", "with_limits"]

# metrics of the model that appear as columns of the runs table
HEADLINE = (
    "auroc",
    "average_precision",
    "brier",
    "brier_skill",
    "calibration_intercept",
    "calibration_slope",
    "observed_expected",
    "mean_predicted",
    "mean_observed",
    "c_index",
)
# what counts first: unseen cohorts, then cross-validation, then the training patients
RANK = {"external": 0, "test": 1, "left_out": 2, "cv": 3, "train": 4}
_ENDING = {"train": "_apparent", "cv": "_cv", "left_out": "_left_out"}


def place_of(cohort: str, split: str) -> str:
    """First part of a metric's name: the cohort, and how it was judged if it is not unseen.

    Examples
    --------
    >>> place_of("shim", "external"), place_of("chowell", "cv"), place_of("site=A", "left_out")
    ('shim', 'chowell_cv', 'site A_left_out')
    """
    return re.sub(r"[^\w\-. :]", " ", cohort) + _ENDING.get(split, "")


def with_limits(
    name: str,
    row: Mapping[Hashable, Any],
    columns: Iterable[str] = ("value", "low", "high"),
) -> dict[str, float]:
    """Estimate and limits of a row by name; what is not finite is left out.

    Examples
    --------
    >>> with_limits("shim/auroc", {"value": 0.7, "low": 0.6, "high": float("nan")})
    {'shim/auroc': 0.7, 'shim/auroc_low': 0.6}
    """
    ends = {column: name if column == "value" else f"{name}_{column}" for column in columns}
    return {end: float(row[column]) for column, end in ends.items() if math.isfinite(row[column])}


def metric_values(performance: pd.DataFrame) -> dict[str, float]:
    """Metrics of a run by name, for example ``chowell_test/auroc`` and ``.../auroc_low``."""
    found: dict[str, float] = {}
    rows = performance[(performance["subgroup"] == "all") & performance["threshold"].isna()]
    rows = rows.iloc[rows["split"].map(RANK).argsort(kind="stable")]
    for row in rows.to_dict("records"):
        place, metric = place_of(row["cohort"], row["split"]), row["metric"]
        if row["reference"]:
            name = f"{place}/{metric}_vs_{row['reference']}"
        elif row["model"] != "stratify":
            if metric not in ("auroc", "brier"):
                continue
            name = f"{place}/{metric}_{row['model']}"
        elif metric in HEADLINE:
            name = f"{place}/{metric}"
        else:
            continue
        found |= with_limits(name, row)
    whole = rows[rows["metric"] == "auroc"].groupby(["cohort", "split"])[["n", "n_events"]].max()
    for row in whole.reset_index().to_dict("records"):
        place = place_of(row["cohort"], row["split"])
        found |= {f"{place}/{count}": float(row[count]) for count in ("n", "n_events")}
    return found


def curve_points(assessments: Iterable[Assessment]) -> list[tuple[str, float, int]]:
    """Curves of the model as metrics with steps, which the UI overlays for several runs.

    Returns
    -------
    list of (name, value, step)
        ``<place>_curves/sensitivity`` by false positives in percent, ``.../net_benefit`` by
        threshold in percent, ``.../observed`` by predicted risk in percent. Apparent performance
        has none.
    """
    points: list[tuple[str, float, int]] = []
    for a in assessments:
        if a.split == "train":
            continue
        place = f"{place_of(a.cohort, a.split)}_curves"
        for table, x, y, name in (
            (a.roc, "false_positive_rate", "true_positive_rate", "sensitivity"),
            (a.decision, "threshold", "net_benefit", "net_benefit"),
            (a.calibration, "mean_predicted", "mean_observed", "observed"),
        ):
            if not len(table):
                continue
            own = table[table["model"] == "stratify"]
            # several points within a percent: the highest, as of a step curve
            by_step = own[y].groupby((100 * own[x]).round().astype(int)).max()
            points += [
                (f"{place}/{name}", float(value), int(str(step)))
                for step, value in by_step.items()
                if math.isfinite(value)
            ]
    return points

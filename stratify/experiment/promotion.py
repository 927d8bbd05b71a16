"""Whether a candidate may replace the champion: both judged on the same external patients.

The limits were stated before any model was compared by them; they stand in `LIMITS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stratify.arrays import Floats
from stratify.errors import BundleError
from stratify.experiment.training import external_cohorts
from stratify.report.figures import estimate
from stratify.scoring import ResistanceModel
from stratify.statistics.intervals import normal_quantile, wald, weighted_mean
from stratify.statistics.performance import Prediction, performance_table

__all__ = ["LIMITS", "Comparison", "compare_models", "off_limits"]


@dataclass(frozen=True)
class Limits:
    """When a candidate is refused.

    Attributes
    ----------
    auroc_loss : float
        The lower limit of the mean difference in AUROC must lie above minus this (not inferior).
    slope, observed_expected : tuple of float
        Outside of these, with an interval that excludes 1, a model is not calibrated.
    """

    auroc_loss: float = 0.05
    slope: tuple[float, float] = (0.8, 1.25)
    observed_expected: tuple[float, float] = (0.8, 1.25)


LIMITS = Limits()


@dataclass(frozen=True)
class Comparison:
    """Candidate and champion on the same external patients.

    Attributes
    ----------
    performance : DataFrame
        As in the ``performance`` dictionary; models ``candidate`` and ``champion``, differences are
        candidate minus champion. Rows of the cohort ``all`` are means weighted by patients.
    refusals : list of str
        Why the candidate may not be promoted; empty if it may.
    """

    performance: pd.DataFrame
    refusals: list[str]


def compare_models(
    candidate: ResistanceModel,
    champion: ResistanceModel | None,
    studies: Sequence[str | Path],
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Judge a candidate, and the champion if there is one, on the external cohorts of studies."""
    if champion is not None and champion.card["endpoint_rule"] != candidate.card["endpoint_rule"]:
        raise BundleError(
            f"The candidate predicts {candidate.card['endpoint_rule']}, the champion "
            f"{champion.card['endpoint_rule']}; they cannot be compared. Train the candidate by "
            "the champion's rule."
        )
    models = {"candidate": candidate} | ({} if champion is None else {"champion": champion})
    judged = []
    for path in studies:
        # each reads the study as its own inputs ask, and must find it usable
        cohorts = {
            name: external_cohorts(model, path, progress)[1].evaluable
            for name, model in models.items()
        }
        risks = {
            name: models[name].score_table(cohort)["risk"].to_numpy(dtype=float)
            for name, cohort in cohorts.items()
        }
        table = cohorts["candidate"].table  # the same patients, by the same rule
        for name, rows in table.groupby("cohort", sort=True).indices.items():
            of_cohort = {model: risk[rows] for model, risk in risks.items()}
            label = table["label"].to_numpy(dtype=float)[rows]
            judged.append(_judged(of_cohort, label, str(name)))
    performance = pd.concat(judged, ignore_index=True)
    if champion is not None:
        performance = pd.concat([performance, _mean(performance)], ignore_index=True)
    return Comparison(performance, _refusals(performance, compared=champion is not None))


def _judged(risks: dict[str, Floats], label: Floats, name: str) -> pd.DataFrame:
    by_model = {model: Prediction(risk, probability=True) for model, risk in risks.items()}
    return performance_table(label, by_model, cohort=name, split="external", delta_for="candidate")


def _mean(performance: pd.DataFrame) -> pd.DataFrame:
    """Mean of each paired difference, weighted by patients; cohorts are independent."""
    z = normal_quantile(0.95)
    rows = []
    for metric, part in performance[performance["reference"] != ""].groupby("metric", sort=True):
        value, low, high = wald(
            *weighted_mean(part["value"], (part["high"] - part["low"]) / (2 * z), part["n"]), 0.95
        )
        total = {name: int(part[name].sum()) for name in ("n", "n_events")}
        limits = {"metric": metric, "value": value, "low": low, "high": high}
        first: dict[str, object] = {str(k): v for k, v in part.iloc[0].items()}
        rows.append({**first, "cohort": "all", **limits, **total})
    return pd.DataFrame(rows, columns=performance.columns)


def _refusals(performance: pd.DataFrame, *, compared: bool) -> list[str]:
    """Say in words why the candidate may not be promoted."""
    found = []
    rows = performance[(performance["model"] == "candidate") & performance["threshold"].isna()]
    for row in rows.to_dict("records"):
        metric, value, low, high = row["metric"], row["value"], row["low"], row["high"]
        where = f"{row['cohort']} (n = {row['n']}, {row['n_events']} with label 1)"
        text = estimate(value, low, high, 3)
        if metric == "delta_auroc" and high < 0:
            found.append(f"AUROC lower than the champion's in {where}: {text}.")
        elif metric == "delta_auroc" and row["cohort"] == "all" and low <= -LIMITS.auroc_loss:
            found.append(f"AUROC may be lower by {LIMITS.auroc_loss:g} or more in {where}: {text}.")
        elif metric == "delta_brier" and low > 0:
            found.append(f"Brier score higher than the champion's in {where}: {text}.")
        elif metric == "calibration_slope" and off_limits(value, low, high, LIMITS.slope):
            found.append(f"Calibration slope in {where}: {text}.")
        elif metric == "observed_expected" and off_limits(
            value, low, high, LIMITS.observed_expected
        ):
            found.append(f"O:E in {where}: {text}.")
        elif metric == "auroc" and not compared and not low > 0.5:
            found.append(f"AUROC not shown above 0.5 in {where}: {text}.")
    return found


def off_limits(value: float, low: float, high: float, limits: tuple[float, float]) -> bool:
    """Tell whether a ratio is shown to differ from 1, and by more than the limits."""
    return not (low <= 1 <= high) and not (limits[0] <= value <= limits[1])

"""What a policy would mean in a cohort that judges a bundle: thresholds, deferral, the trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from stratify.errors import CohortError
from stratify.experiment.scores import deciding
from stratify.experiment.training import external_cohorts
from stratify.report.figures import decision_curve, png
from stratify.report.share_figures import error_by_share
from stratify.scoring.bundle import load
from stratify.statistics.selective import selective_curve
from stratify.study.utilities import Utilities
from stratify.tables.tabular import make_folder, write_table, written_whole
from stratify.treatment.enrichment import enrichment_design
from stratify.treatment.threshold import (
    controlled_misses,
    controlled_threshold,
    marker_rules,
    net_benefit_table,
)

__all__ = ["choose_policy"]

ERROR_RATES = (0.1, 0.2, 0.3)


def choose_policy(
    bundle: str | Path,
    study_path: str | Path,
    out: str | Path,
    *,
    policy: str | Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, pd.DataFrame]:
    """Write what a threshold, or a policy, would mean in a cohort the model never saw.

    Parameters
    ----------
    bundle, study_path : path
        The cohort is labelled by the bundle's rule; patients without a label are left out.
    out : path
        Folder for ``net_benefit.csv`` (over the study's ``thresholds``), ``guarantees.csv``,
        ``deferral.csv`` and, with a policy, ``enrichment.csv``; with utilities ``weights.csv``:
        for each weight the threshold, and the share of patients whose risk is at or above it.
        ``net_benefit.png`` and ``deferral.png`` draw the tables of that name.
    policy : path, optional
        In place of the study's, which stands in place of the bundle's.
    progress : callable
        Called with the name of each step.

    Returns
    -------
    dict of str to DataFrame
        The tables by name; no patient in them.

    Raises
    ------
    BundleError, DataError, CohortError, FileError
    """
    model = load(bundle)
    study, cohort = external_cohorts(model, study_path, progress)
    table = cohort.evaluable.table
    if not len(table):
        raise CohortError(f"The study {study.name} has no patient with a label.")
    model = deciding(model, study, cohort, policy)
    chosen = model.policy
    scores = model.score_table(table)
    label, risk = table["label"].astype(float), scores["risk"]
    found = {
        "net_benefit": net_benefit_table(
            label, risk, rules=marker_rules(table), thresholds=study.thresholds
        ),
        "guarantees": pd.DataFrame(
            [
                (kind, rate, *answer)
                for rate in ERROR_RATES
                for kind, answer in (
                    ("error_below", controlled_threshold(label, risk, error_rate=rate)),
                    ("missed", controlled_misses(label, risk, miss_rate=rate)),
                )
            ],
            columns=["kind", "rate", "threshold", "share_decided", "error", "statement"],
        ),
        "deferral": selective_curve(
            label, risk, scores["risk_low"], scores["risk_high"], threshold=0.5
        ),
    }
    if chosen is not None and chosen.utilities is not None:
        found["weights"] = _over_the_weights(chosen.utilities, risk)
    if chosen is not None and model.landmark_weeks is None:
        try:
            found["enrichment"] = enrichment_design(scores["recommendation"], label)
        except CohortError as error:  # the other tables stand without a trial
            progress(str(error))
    out = make_folder(Path(out))
    for name, each in found.items():
        write_table(each, out / f"{name}.csv")
    for name, picture in _pictures(found, study.title or study.name, len(table)).items():
        with written_whole(out / f"{name}.png") as path:
            path.write_bytes(picture)
    return found


def _pictures(found: dict[str, pd.DataFrame], title: str, n: int) -> dict[str, bytes]:
    """PNG of the net benefit of every rule, and of the error among the decided."""
    title = f"{title}, n = {n}"
    rules = found["net_benefit"]
    curves = rules[rules["against"] == ""].rename(columns={"rule": "model", "value": "net_benefit"})
    return {
        "net_benefit": png(decision_curve(curves, title=title)),
        "deferral": png(error_by_share(found["deferral"], title=title)),
    }


def _over_the_weights(utilities: Utilities, risk: pd.Series) -> pd.DataFrame:
    """For each weight, who would get the combination: a grid, of which no weight is the choice."""
    grid = utilities.grid()
    share = [float((risk >= threshold).mean()) for threshold in grid["threshold"]]
    return grid.assign(share_combination=share, n=len(risk))

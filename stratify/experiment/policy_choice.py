"""What a policy means in a cohort that judges a bundle: decisions, errors, worth, the trial."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from stratify.errors import ArgumentError, CohortError
from stratify.experiment.scores import deciding
from stratify.experiment.training import external_cohorts
from stratify.progress import Progress
from stratify.report.policy_report import JudgedPolicy, policy_pictures, write_policy_report
from stratify.scoring.bundle import load
from stratify.scoring.prepared import Prepared
from stratify.scoring.resistance_model import ResistanceModel
from stratify.statistics.selective import selective_curve
from stratify.study.borne_errors import BorneErrors
from stratify.study.policy import Policy
from stratify.study.utilities import Utilities
from stratify.tables.tabular import make_folder, write_table, written_whole
from stratify.treatment.enrichment import enrichment_design
from stratify.treatment.guarantee import with_thresholds
from stratify.treatment.threshold import (
    controlled_misses,
    controlled_threshold,
    marker_rules,
    net_benefit_table,
)
from stratify.treatment.triage import triage
from stratify.validation.decisions import decision_performance
from stratify.validation.training import judged_risks

__all__ = ["choose_policy", "stated_errors"]

ERROR_RATES = (0.1, 0.2, 0.3)
_ERRORS = ("error_monotherapy", "error_combination")
_KEPT = ("required_markers", "contraindications", "refer_flags", "label")  # whatever the errors
PAIRS = tuple(product((0.3, 0.35, 0.4, 0.45, 0.5), (0.15, 0.2, 0.25, 0.3)))


def choose_policy(
    bundle: str | Path,
    study_path: str | Path,
    out: str | Path,
    *,
    policy: str | Path | dict[str, Any] | None = None,
    save: str | Path | None = None,
    progress: Progress = lambda _: None,
) -> JudgedPolicy:
    """Write what a policy, or a threshold, would mean in a cohort the model never saw.

    Parameters
    ----------
    bundle, study_path : path
        The cohort is labelled by the bundle's rule; patients without a label are left out.
    out : path
        Folder, or a file ending in ``.html`` for the page alone. The folder holds
        ``net_benefit.csv`` (over the study's ``thresholds``), ``guarantees.csv``,
        ``deferral.csv``, ``pairs.csv`` (errors that could be borne, thresholds found for them in
        training, and what they gave here) and, with a policy, ``decisions.csv`` (as
        ``performance.csv``), ``enrichment.csv`` and the page ``policy.html``; with utilities
        ``weights.csv``: for each weight the threshold, and the share of patients whose risk is at
        or above it. ``net_benefit.png`` and ``deferral.png`` draw the tables of that name.
    policy : path or mapping, optional
        In place of the study's, which stands in place of the bundle's.
    save : path, optional
        Write the policy here as a file, its source with the patients and the model of the choice.
    progress : callable
        Called with the name of each step.

    Returns
    -------
    JudgedPolicy
        The model with the policy, and the tables by name; no patient in them.

    Raises
    ------
    ArgumentError
        If the page is asked for and there is no policy, or it is of a landmark.
    BundleError, DataError, CohortError, FileError
    """
    out = Path(out)
    model = load(bundle)
    study, cohort = external_cohorts(model, study_path, progress)
    cohort = cohort.evaluable
    table = cohort.table
    if not len(table):
        raise CohortError(f"The study {study.name} has no patient with a label.")
    model = deciding(model, study, cohort, policy)
    paged = model.policy is not None and model.landmark_weeks is None
    if out.suffix == ".html" and not paged:
        raise ArgumentError(
            "There is no policy of the baseline to report on: the bundle and the study have none. "
            "Give one with --policy."
        )
    progress(f"judging on {len(table)} patients")
    patients = model.prepare(cohort)
    scores = model.score_table(patients)
    found = JudgedPolicy(
        model,
        study.title or study.name,
        sorted(set(table["cohort"])),
        len(table),
        int(table["label"].sum()),
        dict(_tables(model, patients, scores, study.thresholds, progress)),
    )
    if save is not None:
        _save(Path(save), found)
    if out.suffix == ".html":
        make_folder(out.parent)
        write_policy_report(out, found)
        return found
    make_folder(out)
    for name, each in found.tables.items():
        write_table(each, out / f"{name}.csv")
    for picture in policy_pictures(found):
        with written_whole(out / f"{picture.name}.png") as path:
            path.write_bytes(picture.png)
    if paged:
        write_policy_report(out / "policy.html", found)
    return found


def stated_errors(
    monotherapy: float | None,
    combination: float | None,
    confidence: float,
    policy: Path | None,
    save: Path | None,
    source: str | None,
) -> dict[str, Any] | None:
    """Make a policy of the errors given in a command; None where none are.

    Raises
    ------
    ArgumentError
        If one of both is missing, a policy file is given too, or it is saved without a source.
    """
    if monotherapy is None and combination is None:
        if save is not None:
            raise ArgumentError("--save goes with --monotherapy and --combination.")
        return None
    if monotherapy is None or combination is None:
        raise ArgumentError("--monotherapy and --combination go together.")
    if policy is not None:
        raise ArgumentError("Errors and --policy are two policies; give one.")
    if save is not None and not source:
        raise ArgumentError("--save needs --source: who chose these errors, and where.")
    errors = {"monotherapy": monotherapy, "combination": combination, "confidence": confidence}
    return {
        "name": "chosen",
        "version": "1",
        "source": source or "errors tried once",
        "errors": errors,
    }


def _save(path: Path, found: JudgedPolicy) -> None:
    """Write the policy as a file; thresholds stay with the model that found them."""
    from yaml import safe_dump

    model = found.model
    if model.policy is None:
        raise TypeError("The model has no policy; take it with one.")
    stated = model.policy.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    stated.pop("found", None)
    day = dt.datetime.now(tz=dt.UTC).date().isoformat()
    stated["source"] += f"; looked at on {day} in {found.study} (n = {found.n})"
    stated["source"] += f" with model {model.version}"
    with written_whole(path) as temporary:
        temporary.write_text(safe_dump(stated, sort_keys=False, allow_unicode=True), "utf-8")


def _tables(
    model: ResistanceModel,
    patients: Prepared,
    scores: pd.DataFrame,
    thresholds: list[float],
    progress: Progress,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Tables by name, as far as the model and its policy allow."""
    table, chosen = patients.table, model.policy
    label, risk = table["label"].astype(float), scores["risk"]
    rules = marker_rules(table)
    yield "net_benefit", net_benefit_table(label, risk, rules=rules, thresholds=thresholds)
    yield "guarantees", _guarantees(label, risk)
    intervals = scores["risk_low"], scores["risk_high"]
    yield "deferral", selective_curve(label, risk, *intervals, threshold=0.5)
    yield "pairs", _pairs(model, patients, scores)
    if chosen is not None and chosen.utilities is not None:
        yield "weights", _over_the_weights(chosen.utilities, risk)
    if chosen is not None and model.landmark_weeks is None:
        yield "decisions", _decisions(model, patients, scores, chosen)
        try:
            yield "enrichment", enrichment_design(scores["recommendation"], label)
        except CohortError as error:  # the other tables stand without a trial
            progress(str(error))


def _guarantees(label: pd.Series, risk: pd.Series) -> pd.DataFrame:
    """Thresholds that would keep an error or miss rate by these patients' own risks."""
    rows = [
        (kind, rate, *answer)
        for rate in ERROR_RATES
        for kind, answer in (
            ("error_below", controlled_threshold(label, risk, error_rate=rate)),
            ("missed", controlled_misses(label, risk, miss_rate=rate)),
        )
    ]
    columns = ["kind", "rate", "threshold", "share_decided", "error", "statement"]
    return pd.DataFrame(rows, columns=columns)


def _decisions(
    model: ResistanceModel, patients: Prepared, scores: pd.DataFrame, policy: Policy
) -> pd.DataFrame:
    """Say what the policy decided in each cohort, as in ``performance.csv``."""
    table = patients.table.reset_index(drop=True)
    answers = scores["recommendation"].reset_index(drop=True)
    loris = judged_risks(model.classifier, model.references, table).by_model.get("loris")
    found = []
    for name in sorted(set(table["cohort"])):
        rows = (table["cohort"] == name).to_numpy()
        own = None if loris is None else loris[rows]
        part = table[rows].reset_index(drop=True), answers[rows].reset_index(drop=True)
        found.append(decision_performance(*part, policy, cohort=name, split="external", loris=own))
    return pd.concat(found, ignore_index=True)


def _pairs(model: ResistanceModel, patients: Prepared, scores: pd.DataFrame) -> pd.DataFrame:
    """Errors that could be borne: thresholds found in training, and what they gave here."""
    keys = ["monotherapy", "combination", "monotherapy_below", "combination_from"]
    columns = [*keys, "metric", "value", "low", "high", "n"]
    cuts = model.risk_cuts
    if cuts is None or model.landmark_weeks is not None or model.card["mixed_regimens"]:
        return pd.DataFrame(columns=columns)
    kept: dict[str, Any] = {"name": "errors", "version": "1", "source": "a grid of errors"}
    level = {}
    if (base := model.policy) is not None:
        kept |= {name: getattr(base, name) for name in _KEPT}
        level = {} if base.errors is None else {"confidence": base.errors.confidence}
    table = patients.table
    rows = []
    for monotherapy, combination in PAIRS:
        errors = BorneErrors(monotherapy=monotherapy, combination=combination, **level)
        policy = with_thresholds(Policy(errors=errors, **kept), cuts, "the bundle")
        answers = triage(scores, table, policy, flags=scores["flags"], assays=patients.assays)
        judged = decision_performance(
            table, answers["recommendation"], policy, cohort="all", split="external"
        )
        judged = judged[(judged["subgroup"] == "all") & (judged["reference"] == "")]
        pair: dict[str, Any] = {"monotherapy": monotherapy, "combination": combination}
        pair |= {name: getattr(policy.found, name) for name in keys[2:]}
        asked = judged[judged["metric"].isin(["share_decided", *_ERRORS])]
        rows.append(asked.assign(**pair)[columns])
    return pd.concat(rows, ignore_index=True)


def _over_the_weights(utilities: Utilities, risk: pd.Series) -> pd.DataFrame:
    """For each weight, who would get the combination: a grid, of which no weight is the choice."""
    grid = utilities.grid()
    share = [float((risk >= threshold).mean()) for threshold in grid["threshold"]]
    return grid.assign(share_combination=share, n=len(risk))

"""A treatment-effect analysis from a study file to a folder of results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints
from stratify.cohort.features import informative_features, model_matrix
from stratify.cohort.reading import Cohort, data_sha256, read_cohort, require_usable
from stratify.errors import ArgumentError, CohortError
from stratify.experiment.training import check_against_training
from stratify.model.classifier import ResistanceClassifier
from stratify.report.effect_figures import effect_figures
from stratify.report.effect_report import write_effect_report
from stratify.report.page_figure import Picture
from stratify.scoring import ResistanceModel, load
from stratify.study import Study
from stratify.study.policy import Policy
from stratify.tables.tabular import make_folder, write_table
from stratify.treatment.arms import Arms, read_arms
from stratify.treatment.design_check import check_design
from stratify.treatment.effect import EffectAnalysis, analyse
from stratify.treatment.indications import Assays
from stratify.treatment.learners import FIRST, require_econml, turns_of
from stratify.treatment.triage import triage

__all__ = ["EffectResults", "run_effect"]


LEAST_EVENTS = 20  # of each label in the arm that trains the risk


@dataclass(frozen=True, eq=False)
class EffectResults:
    """What an effect analysis found, and its files.

    Attributes
    ----------
    study : Study
    analysis : EffectAnalysis
    findings, attrition : DataFrame
    score_note : str
        Where the score that was tested comes from, or why there is none.
    hashes : dict of str to str
    """

    study: Study
    analysis: EffectAnalysis
    findings: pd.DataFrame
    attrition: pd.DataFrame
    score_note: str
    hashes: dict[str, str]

    @cached_property
    def figures(self) -> list[Picture]:
        """Every figure, drawn once."""
        return effect_figures(self.analysis, self.study.title or self.study.name)

    @property
    def pictures(self) -> dict[str, bytes]:
        """PNG of each figure; drawn once, for the report and for tracking."""
        return {figure.name: figure.png for figure in self.figures}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by the name of its file."""
        return self.analysis.tables | {"findings": self.findings, "attrition": self.attrition}

    def files(self, out: Path) -> list[Path]:
        """Files of the results; none of them holds a patient."""
        return [*(out / f"{name}.csv" for name in self.tables), out / "effect.html"]

    def write(self, out: Path) -> None:
        """Write one CSV a table, and the report."""
        for name, table in self.tables.items():
            write_table(table, out / f"{name}.csv")
        write_effect_report(
            out / "effect.html",
            self.analysis,
            study=self.study,
            attrition=self.attrition,
            findings=self.findings,
            score_note=self.score_note,
            pictures=self.figures,
            hashes=self.hashes,
        )


def run_effect(
    study: Study,
    out: str | Path,
    *,
    bundle: str | Path | None = None,
    policy: str | Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> EffectResults:
    """Check the design, estimate the effect and value rules; write tables and a report."""
    require_econml()
    estimand = study.require_effect()
    chosen = study.policy if policy is None else Policy.load(policy)
    progress("reading the cohorts")
    model = _baseline_model(bundle)
    if policy is not None and chosen is not None and chosen.marker_rule is None and model is None:
        raise ArgumentError(
            f"The {chosen.rule} decides by a risk; give the model of the risk (--bundle), or a "
            "policy with a marker_rule."
        )
    plan = None if model is None else model.plan
    cohort = read_cohort(study, labels=False, eligible_only=False, plan=plan)
    if model is not None:
        check_against_training(model, cohort)
    require_usable(cohort, f"The study {study.name}")
    arms = read_arms(cohort, estimand)
    make_folder(Path(out))
    progress("checking the design")
    design = check_design(arms, seed=study.seed)
    score, rule = _Score(), _Rule()
    if design.allowed:  # else nothing is scored or trained
        score = _own_risk(arms, study, progress) if model is None else _frozen(model, arms, cohort)
        if chosen is not None and model is not None:
            chosen = model.with_policy(chosen, arms.table.columns, "the study").policy
        rule = _Rule() if chosen is None else _policy_rule(chosen, arms, score.table, cohort.assays)
    analysis = analyse(
        arms,
        design=design,
        score=score.values,
        score_name=score.name,
        rules=rule.treats,
        seed=study.seed,
        progress=progress,
    )
    results = EffectResults(
        study=study,
        analysis=replace(analysis, statements=[*analysis.statements, *rule.statements]),
        findings=cohort.findings.table(),
        attrition=arms.attrition,
        score_note=score.note,
        hashes={"data": data_sha256(cohort.table)}
        | {f"file {name}": digest for name, digest in sorted(cohort.files.items())},
    )
    progress("writing the results")
    results.write(Path(out))
    return results


class _Score(NamedTuple):
    """Score that is tested, or none, with a note on where it comes from or why there is none."""

    values: Floats | None = None
    note: str = ""
    name: str = "risk"
    table: pd.DataFrame | None = None  # all that a frozen model says


class _Rule(NamedTuple):
    """Who gets the alternative by the policy, if it is valued, and a sentence on it."""

    treats: dict[str, Flags] = {}  # noqa: RUF012
    statements: tuple[str, ...] = ()


def _baseline_model(bundle: str | Path | None) -> ResistanceModel | None:
    model = None if bundle is None else load(bundle)
    if model is not None and model.landmark_weeks is not None:
        raise ArgumentError(
            f"The model is of week {model.landmark_weeks:g}; arms are compared from baseline, "
            "where nothing of it is known. Take a baseline model."
        )
    return model


def _frozen(model: ResistanceModel, arms: Arms, cohort: Cohort) -> _Score:
    scores, name = model.score_table(arms.table, cohort.assays), f"risk by {model.version}"
    note = f"{name}, frozen before this analysis."
    return _Score(scores["risk"].to_numpy(), note, name, scores)


def _own_risk(arms: Arms, study: Study, progress: Callable[[str], None]) -> _Score:
    """Risk of one arm's patients trained in turn, for both arms; or why there is none."""
    progress("training a risk in turn")
    labelled = read_cohort(study, eligible_only=False)
    est, keys = arms.estimand, ["cohort", "patient_id"]
    label = (
        arms.table[keys]
        .merge(labelled.table[[*keys, "label"]], on=keys, how="left")["label"]
        .to_numpy(dtype=float, na_value=np.nan)
    )
    name, trained = arms.sides[est.score_trained_in == "alternative"]
    counts = [int((label[trained] == value).sum()) for value in (0, 1)]
    if min(counts) < LEAST_EVENTS:
        return _Score(
            note=f"No risk was trained: {name} has {counts[1]} patients with the label 1 and "
            f"{counts[0]} with 0; {LEAST_EVENTS} of each are needed."
        )
    X = model_matrix(arms.table, informative_features(labelled, study.features))
    return _Score(
        _risk_in_turn(X, label, trained, turns_of(arms.treated, study.seed), study.seed),
        f"The risk ({study.endpoint.name}) was trained on the patients of {name} ({counts[1]} of "
        f"{sum(counts)} with the label 1) in turn: each tenth of both arms is scored by the same "
        "model, of the tenths before it.",
    )


def _risk_in_turn(X: pd.DataFrame, label: Floats, trained: Flags, turn: Ints, seed: int) -> Floats:
    """Risk of both arms' patients by models of one arm's patients of the turns before.

    Log-odds in standard deviations of the turn; NaN for who only trained. Why in turn:
    :func:`stratify.treatment.learners.learn_in_turn`.
    """
    score = np.full(len(X), np.nan)
    for k in range(FIRST, int(turn.max()) + 1):
        rows, test = trained & (turn < k) & ~np.isnan(label), turn == k
        if len(set(label[rows])) < 2:
            raise CohortError("The training arm has one label only; a risk cannot be trained.")
        model = ResistanceClassifier(random_state=seed, n_jobs=-1).fit(X[rows], label[rows])
        margin = model.decision_function(X[test])
        spread = margin.std()
        score[test] = (margin - margin.mean()) / (spread if spread > 0 else 1.0)
    return score


def _policy_rule(policy: Policy, arms: Arms, scores: pd.DataFrame | None, assays: Assays) -> _Rule:
    """Value a policy: the reference is for those with monotherapy and for who is referred."""
    named = f"{policy.rule[0].upper()}{policy.rule[1:]}"
    if policy.marker_rule is None and scores is None:
        sentence = f"{named} decides by a risk, and no frozen model was given: it is not valued."
        return _Rule(statements=(sentence,))
    policy.require_known(arms.table.columns, "the study")
    flags = None if scores is None else scores["flags"]
    answer = triage(scores, arms.table, policy, flags=flags, assays=assays)["recommendation"]
    shares = ", ".join(
        f"{name} {100 * float((answer == name).mean()):.0f} %"
        for name in ("monotherapy", "combination", "refer")
    )
    sentence = (
        f"{named} gives {shares}; its value counts who is referred as treated with "
        f"{arms.estimand.reference.name}."
    )
    return _Rule({policy.rule: (answer == "combination").to_numpy()}, (sentence,))

"""Report of a treatment-effect analysis: one HTML file; it computes nothing.

All its words stand in :data:`TEXT`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from stratify.report import report
from stratify.report.effect_figures import (
    benefit_calibration,
    effect_along_score,
    love_plot,
    rule_values,
    targeting_curves,
    trade_off,
)
from stratify.report.figures import estimate, kaplan_meier
from stratify.report.page_table import PageTable
from stratify.report.report import page_picture, rendered, write_page
from stratify.study import Study
from stratify.treatment.effect import EffectAnalysis
from stratify.treatment.estimand import OUTCOMES
from stratify.treatment.triage import EVIDENCE_CLASS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TEXT", "effect_figures", "write_effect_report"]

TEXT: dict[str, Any] = {
    "kind": "Treatment effect",
    "evidence_more": "Nothing here is class C2 (predictive): a rule that chooses a treatment "
    "needs a prospective trial.",
    "refused": "No effect was estimated.",
    "sections": {
        "answer": "Answer",
        "question": "What is compared",
        "design": "Can the arms be compared?",
        "effect": "Average effect",
        "score": "Does the score tell who gains?",
        "heterogeneity": "Does the effect differ between patients?",
        "rules": "Rules and their value",
        "harm": "Harm beside benefit",
        "data": "Patients and findings",
        "provenance": "Settings and hashes",
    },
    "no_harm": "No grade 3 or worse events are recorded (grade3_treatment_related, "
    "grade3_immune_related, grade3_all_cause): benefit stands here without harm.",
    "no_score": "No score was tested.",
    "rule_heading": "The rule learned on all patients",
    "rule_more": "Learned on the patients it would be judged on, so not judged itself: the value "
    "below is that of rules learned the same way without the patients they are applied to.",
    "intervals": "95 % intervals. Times are restricted means: months without the event within the "
    "horizon.",
    "captions": {
        "sizes": "Patients by arm",
        "checks": "Checks of the design",
        "effects": "Effect of {alternative} against {reference}",
        "interaction": "Change of the effect for one standard deviation more of the score",
        "score_by_arm": "Order of the times by the score in each arm (C-index; 0.5 is none)",
        "heterogeneity": "Effects predicted by models that never saw the patient (in turn)",
        "control": "The same analysis with the treatment permuted, where there is nothing to find",
        "unrecorded": "Risk ratio that a confounder nobody recorded would need with treatment and "
        "outcome to explain the effect (E-value)",
        "benefit": "Observed effect by fifths of the predicted one (DR-learner)",
        "values": "Outcome if all patients were treated by the rule",
        "differences": "Differences between rules on the same patients (first minus second)",
        "harms": "Patients with a grade 3 or worse event",
        "trade_off": "Benefit minus weighted harm",
        "attrition": "Patients",
    },
    "figures": {
        "balance": "Dots outside the grey band differ between the arms by a tenth of a standard "
        "deviation or more.",
        "survival": "Kaplan and Meier, 95 % bands. By arm as allocated.",
        "by_score": "Windows of 30 % of the patients that overlap; each interval is of its window.",
        "targeting": "Above 0 where those ranked first gain more than the average patient.",
        "benefit": "On the dotted line where predictions are right.",
        "values": "Share of patients who get {alternative} on the right.",
        "trade_off": "Below 0 the harm outweighs the benefit at that weight. No weight is a "
        "standard.",
    },
    "columns": {
        "arm": "Arm", "n": "n", "check": "Check", "found": "Found", "expected": "Expected",
        "passed": "Passed", "outcome": "Outcome", "estimator": "Estimator", "estimate": "Estimate",
        "score": "Score", "scale": "Scale", "p": "p", "n_events": "Events", "learner": "Learner",
        "slope_text": "Slope on predictions (1 right, 0 none)", "autoc": "AUTOC", "qini": "Qini",
        "permutation": "Permutation",
        "gain_text": "Learned rule minus the better treatment for all",
        "better": "Better than both", "e_value": "The effect", "e_value_limit": "Its interval",
        "fifth": "Fifth", "predicted": "Predicted", "rule": "Rule", "against": "Against",
        "share": "Treated with the alternative", "patients": "Patients", "kind": "Kind",
        "events": "With event",
        "weight": "Weight", "flip_text": "Flips at", "step": "Step", "reason": "Reason",
    },
    "since": {"randomised": "randomisation", "observed": "the first dose"},
    "learners": {
        "dr_learner": "DR-learner (tested)",
        "t_learner": "T-learner",
        "x_learner": "X-learner",
        "causal_forest": "causal forest",
    },
    "estimators": {
        "doubly_robust": "doubly robust, difference",
        "unadjusted": "as observed, difference",
        "hazard_ratio": "hazard ratio (below 1 is better)",
        "difference": "difference",
        "ratio_of_hazard_ratios": "ratio of hazard ratios",
    },
}  # fmt: skip


def effect_figures(analysis: EffectAnalysis, title: str) -> dict[str, tuple[Figure, str]]:
    """Every figure of an analysis with its caption."""
    est, tables, text = analysis.arms.estimand, analysis.tables, TEXT["figures"]
    unit, words = OUTCOMES[analysis.arms.primary]
    names = (est.alternative.name, est.reference.name)
    n = len(analysis.arms)
    figures: dict[str, tuple[Figure, str]] = {}
    if len(tables["balance"]):
        figures["balance"] = (
            love_plot(
                tables["balance"],
                title=f"Balance of the arms, {title}",
                weighted=est.assignment == "observed"
                and bool(tables["balance"]["weighted"].notna().all()),
            ),
            text["balance"],
        )
    if not analysis.design.allowed:
        return figures
    for outcome, (curves, summary) in analysis.survival.items():
        figures[f"survival_{outcome}"] = (
            kaplan_meier(
                curves,
                summary,
                title=f"{OUTCOMES[outcome][1].capitalize()}, {title} (n = {n})",
                outcome=OUTCOMES[outcome][1].capitalize(),
                since=TEXT["since"][est.assignment],
            ),
            text["survival"],
        )
    if "by_score" in tables:
        curve = tables["by_score"]
        curve = curve[curve["outcome"] == analysis.arms.primary]
        figures["by_score"] = (
            effect_along_score(
                curve, title=f"Effect on {words} along the score", unit=unit, names=names
            ),
            text["by_score"],
        )
    figures["targeting"] = (
        targeting_curves(
            tables["targeting"].replace({"ranked_by": TEXT["learners"]}),
            title=f"Targeting, {words}",
            unit=unit,
        ),
        text["targeting"],
    )
    figures["benefit"] = (
        benefit_calibration(tables["benefit"], title="Predicted and observed effect", unit=unit),
        text["benefit"],
    )
    figures["values"] = (
        rule_values(
            tables["values"],
            title=f"Value of the rules (n = {tables['values']['n'].iloc[-1]}, judged in turn)",
            unit=unit,
            outcome=_outcome_words(analysis, analysis.arms.primary).capitalize(),
        ),
        text["values"].format(alternative=est.alternative.name),
    )
    if "trade_off" in tables:
        figures["trade_off"] = (
            trade_off(tables["trade_off"], title="Benefit against harm", unit=unit),
            text["trade_off"],
        )
    return figures


def write_effect_report(
    path: Path,
    analysis: EffectAnalysis,
    *,
    study: Study,
    attrition: pd.DataFrame,
    findings: pd.DataFrame,
    score_note: str,
    figures: Mapping[str, tuple[Figure, str]],
    drawn: Mapping[str, bytes],
    hashes: Mapping[str, str],
) -> None:
    """Write the report of an analysis as one HTML file that needs no network.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    est = analysis.arms.estimand
    pictures = {name: page_picture(name, *each, drawn.get(name)) for name, each in figures.items()}
    outcomes = ", ".join(_outcome_words(analysis, name) for name in est.outcomes)
    question = {
        "Alternative": f"{est.alternative.name} ({', '.join(est.alternative.arms) or 'empty'})",
        "Reference": f"{est.reference.name} "
        f"({', '.join(arm or 'empty cell' for arm in est.reference.arms)})",
        "Assignment": est.assignment,
        "Outcomes, the first primary": outcomes,
        "What happens in between": "as allocated, whatever came after (treatment policy); death is "
        "an event",
        "Covariates": ", ".join(analysis.arms.covariates) or "none",
        "Score": score_note or TEXT["no_score"],
    }
    shown = ["code", "severity", "cohort", "column", "count", "message", "advice"]
    settings = {**est.model_dump(mode="json"), "seed": study.seed}
    page = rendered(
        "effect.html.j2",
        text={**report.TEXT, **TEXT},
        title=study.title or study.name,
        created=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        evidence=report.TEXT["evidence"].format(EVIDENCE_CLASS),
        allowed=analysis.design.allowed,
        statements=analysis.statements,
        question=question,
        tables=_tables(analysis, attrition),
        rule=analysis.rule.splitlines(),
        pictures=pictures,
        survival=[p for name, p in pictures.items() if name.startswith("survival")],
        findings=report.page_table(
            report.TEXT["findings"],
            [{**row, "count": row["n"]} for row in findings.to_dict("records")],
            shown,
        ),
        provenance=[
            report._pairs(report.TEXT["settings"], settings),
            report._pairs(report.TEXT["hashes"], hashes),
        ],
    )
    write_page(path, page)


def _outcome_words(analysis: EffectAnalysis, outcome: str) -> str:
    unit, words = OUTCOMES[outcome]
    if unit == "share":
        return words
    return f"{words} within {analysis.arms.estimand.horizon_months:g} months"


def _tables(analysis: EffectAnalysis, attrition: pd.DataFrame) -> dict[str, Any]:
    """Tables ready to print, by name; those that are absent have no rows."""
    given, est = analysis.tables, analysis.arms.estimand
    printed: dict[str, Any] = {}

    def add(name: str, table: pd.DataFrame, columns: Sequence[str]) -> None:
        caption = TEXT["captions"][name].format(
            alternative=est.alternative.name, reference=est.reference.name
        )
        heads = [TEXT["columns"][column] for column in columns]
        cells = [[_cell(analysis, c, row) for c in columns] for row in table.to_dict("records")]
        numeric = [column in _NUMERIC for column in columns]
        printed[name] = PageTable(caption, heads, numeric, cells)

    add("sizes", given["sizes"], ["arm", "n"])
    add("checks", given["checks"], ["check", "found", "expected", "passed"])
    add("attrition", attrition, ["step", "reason", "n"])
    if not analysis.design.allowed:
        return printed
    add("effects", given["effects"], ["outcome", "estimator", "estimate", "n"])
    if "interaction" in given:
        add(
            "interaction", given["interaction"], ["score", "outcome", "scale", "estimate", "p", "n"]
        )
        add(
            "score_by_arm",
            given["score_by_arm"].assign(unit="index"),
            ["score", "outcome", "arm", "estimate", "n", "n_events"],
        )
    unit = OUTCOMES[analysis.arms.primary][0]
    add("heterogeneity", given["heterogeneity"].assign(unit=unit),
        ["learner", "slope_text", "p", "autoc", "qini"])  # fmt: skip
    add("benefit", given["benefit"].assign(unit=unit), ["fifth", "predicted", "estimate", "n"])
    if "unrecorded" in given:
        add("unrecorded", given["unrecorded"], ["outcome", "e_value", "e_value_limit", "n"])
    if "control" in given:
        add(
            "control",
            given["control"].assign(unit=unit),
            ["permutation", "p", "gain_text", "better"],
        )
    values = given["values"].assign(unit=unit, share=given["values"]["share_treated"])
    add("values", values[values["against"] == ""], ["rule", "patients", "estimate", "share", "n"])
    add("differences", values[values["against"] != ""], ["rule", "against", "patients", "estimate"])
    if "harms" in given:
        add("harms", given["harms"].assign(unit="share"),
            ["kind", "arm", "estimate", "events", "n"])  # fmt: skip
    if "trade_off" in given:
        add("trade_off", given["trade_off"].assign(unit=unit),
            ["kind", "weight", "estimate", "flip_text"])  # fmt: skip
    return printed


_NUMERIC = {"n", "n_events", "events", "estimate", "p", "slope_text", "autoc", "qini", "predicted"}
_NUMERIC |= {"share", "weight", "flip_text", "fifth", "permutation", "gain_text", "e_value"}
_NUMERIC |= {"e_value_limit"}


def _cell(analysis: EffectAnalysis, column: str, row: Mapping[Any, Any]) -> str:
    if column == "estimate":
        return _number(row["value"], row["low"], row["high"], row["unit"])
    if column == "slope_text":
        return estimate(row["slope"], row["slope_low"], row["slope_high"])
    if column == "flip_text":
        return estimate(row["flip"], row["flip_low"], row["flip_high"])
    if column == "gain_text":
        return _number(row["gain"], row["gain_low"], row["gain_high"], row["unit"])
    if column in ("e_value", "e_value_limit"):
        return f"{row[column]:.2f}"
    if column in ("autoc", "qini"):
        return _number(row[column], row[f"{column}_low"], row[f"{column}_high"], row["unit"])
    value = row[column]
    if column == "predicted":
        return _number(value, float("nan"), float("nan"), row["unit"])
    if column == "p":
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    if column == "share":
        return f"{100 * value:.0f}\u00a0%"
    if column == "outcome":
        return _outcome_words(analysis, value)
    if column in ("estimator", "scale"):
        return str(TEXT["estimators"][value])
    if column in ("passed", "better"):
        return str(report.TEXT["yes" if value else "no"])
    if column in ("n", "n_events", "events", "fifth"):
        return f"{value:.0f}"
    if column == "weight":
        return f"{value:g}"
    if column == "learner":
        return str(TEXT["learners"][value])
    return str(value).replace("_", " ") or "–"


def _number(value: float, low: float, high: float, unit: str) -> str:
    scale, digits = (100, 1) if unit == "share" else (1, 2)
    text = estimate(scale * value, scale * low, scale * high, digits)
    words = {"share": "\u00a0points", "months": "\u00a0months"}.get(unit, "")
    first, gap, limits = text.partition(" (")
    return f"{first}{words}{gap}{limits}"

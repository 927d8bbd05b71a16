"""Report of a treatment-effect analysis: one HTML file; it computes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stratify.report.effect_figures import outcome_words
from stratify.report.figures import estimate
from stratify.report.page import rendered, write_page
from stratify.report.page_figure import Picture
from stratify.report.page_table import PageTable, finding_table, page_pairs
from stratify.report.text import EFFECT, TEXT
from stratify.study import Study
from stratify.study.estimand import OUTCOMES
from stratify.treatment.effect import EffectAnalysis
from stratify.treatment.learners import LEARNERS
from stratify.treatment.triage import EVIDENCE_CLASS

__all__ = ["write_effect_report"]


def write_effect_report(
    path: Path,
    analysis: EffectAnalysis,
    *,
    study: Study,
    attrition: pd.DataFrame,
    findings: pd.DataFrame,
    score_note: str,
    pictures: Sequence[Picture],
    hashes: Mapping[str, str],
) -> None:
    """Write the report of an analysis as one HTML file that needs no network."""
    est = analysis.arms.estimand
    outcomes = ", ".join(outcome_words(analysis, name) for name in est.outcomes)
    question = {
        "alternative": f"{est.alternative.name} "
        f"({', '.join(est.alternative.arms) or EFFECT['empty']})",
        "reference": f"{est.reference.name} "
        f"({', '.join(arm or EFFECT['empty_cell'] for arm in est.reference.arms)})",
        "assignment": est.assignment,
        "outcomes": outcomes,
        "strata": ", ".join(["cohort", *est.strata]),
        "between": _strategy(analysis),
        "covariates": ", ".join(analysis.arms.covariates) or EFFECT["none"],
        "score": score_note or EFFECT["no_score"],
    }
    settings = {**est.model_dump(mode="json"), "seed": study.seed}
    page = rendered(
        "effect.html.j2",
        text={**TEXT, **EFFECT},
        title=study.title or study.name,
        created=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        evidence=TEXT["evidence"].format(EVIDENCE_CLASS),
        allowed=analysis.design.allowed,
        statements=analysis.statements,
        question=question,
        tables=_tables(analysis, attrition),
        rule=analysis.rule.splitlines(),
        pictures=pictures,
        findings=finding_table(findings),
        provenance=[
            page_pairs(TEXT["settings"], settings),
            page_pairs(TEXT["hashes"], hashes),
        ],
    )
    write_page(path, page)


def _strategy(analysis: EffectAnalysis) -> str:
    """Words of the strategy for what happens in between, by how the outcomes were made."""
    arms = analysis.arms
    if "pfs" not in arms.estimand.outcomes or not arms.censored_at_next_therapy:
        return str(EFFECT["policy"])
    return str(EFFECT["hypothetical"].format(n=arms.censored_at_next_therapy, of=len(arms)))


def _tables(analysis: EffectAnalysis, attrition: pd.DataFrame) -> dict[str, Any]:
    """Tables ready to print, by name; those that are absent have no rows."""
    given, est = analysis.tables, analysis.arms.estimand
    printed: dict[str, Any] = {}

    def add(name: str, table: pd.DataFrame, columns: Sequence[str]) -> None:
        caption = EFFECT["captions_of_tables"][name].format(
            alternative=est.alternative.name, reference=est.reference.name
        )
        heads = [EFFECT["columns"][column] for column in columns]
        cells = [[_cell(analysis, c, row) for c in columns] for row in table.to_dict("records")]
        numeric = [column in _NUMERIC for column in columns]
        printed[name] = PageTable(caption, heads, numeric, cells)

    add("sizes", given["sizes"], ["arm", "n"])
    add("checks", given["checks"], ["check", "found", "expected", "passed"])
    add("attrition", attrition, ["step", "reason", "n"])
    if not analysis.design.allowed:
        return printed
    add("effects", given["effects"], ["outcome", "estimator", "estimate", "proportional_p", "n"])
    if "by_stratum" in given:
        add(
            "by_stratum",
            given["by_stratum"].rename(columns={"weight": "share_of_all"}),
            ["outcome", "stratum", "estimate", "n_reference", "n_alternative", "share_of_all"],
        )
    if "censoring" in given:
        add("censoring", given["censoring"],
            ["outcome", "arm", "n", "censored", "at_risk", "largest_weight", "truncated",
             "effective_n"])  # fmt: skip
    if "censoring_by_covariate" in given:
        found = given["censoring_by_covariate"]
        strongest = np.log(found["value"]).abs().sort_values(ascending=False, kind="stable")
        add("censoring_by_covariate",
            found.loc[strongest.index].head(SHOWN).rename(columns={"value": "hazard_ratio"}),
            ["outcome", "arm", "covariate", "hazard_ratio"])  # fmt: skip
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
_NUMERIC |= {"e_value_limit", "proportional_p", "n_reference", "n_alternative", "share_of_all"}
_NUMERIC |= {"censored", "at_risk", "largest_weight", "truncated", "effective_n", "hazard_ratio"}
SHOWN = 12  # associations of censoring with a covariate


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


_LIMITS = {"slope_text": "slope", "flip_text": "flip", "gain_text": "gain", "estimate": "value"}
_LIMITS |= {"autoc": "autoc", "qini": "qini"}
_WITHOUT_UNIT = ("slope_text", "flip_text")
_WRITTEN: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("e_value", "e_value_limit"), "{:.2f}".format),
    **dict.fromkeys(
        (
            "n",
            "n_events",
            "events",
            "fifth",
            "n_reference",
            "n_alternative",
            "censored",
            "at_risk",
            "truncated",
            "effective_n",
        ),
        "{:.0f}".format,
    ),
    "largest_weight": "{:.1f}".format,
    "hazard_ratio": "{:.2f}".format,
    **dict.fromkeys(("estimator", "scale"), lambda value: str(EFFECT["estimators"][value])),
    **dict.fromkeys(("passed", "better"), lambda value: str(TEXT["yes" if value else "no"])),
    "p": _p_value,
    "proportional_p": lambda value: "\u2013" if np.isnan(value) else _p_value(value),
    **dict.fromkeys(("share", "share_of_all"), lambda value: f"{100 * value:.0f}\u00a0%"),
    "weight": "{:g}".format,
    "learner": lambda value: LEARNERS[value].title,
}


def _cell(analysis: EffectAnalysis, column: str, row: Mapping[Any, Any]) -> str:
    if column in _LIMITS:
        name = _LIMITS[column]
        start = "" if name == "value" else f"{name}_"
        numbers = (row[name], row[f"{start}low"], row[f"{start}high"])
        return estimate(*numbers) if column in _WITHOUT_UNIT else _number(*numbers, row["unit"])
    value = row[column]
    if column == "predicted":
        return _number(value, float("nan"), float("nan"), row["unit"])
    if column == "outcome":
        return outcome_words(analysis, value)
    if column in _WRITTEN:
        return _WRITTEN[column](value)
    return str(value).replace("_", " ") or "–"


def _number(value: float, low: float, high: float, unit: str) -> str:
    scale, digits = (100, 1) if unit == "share" else (1, 2)
    text = estimate(scale * value, scale * low, scale * high, digits)
    words = EFFECT["units"].get(unit, "")
    first, gap, limits = text.partition(" (")
    return f"{first}{words}{gap}{limits}"

"""Patient report: one page on one patient, from what was found about them.

It names the patient; so it stays with the data and is never logged.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from stratify.interpretation.cycle import cycle
from stratify.interpretation.patient import PatientFindings
from stratify.report.cycle_drawing import drawn_cycle
from stratify.report.figures import estimate
from stratify.report.page import rendered, write_page
from stratify.report.page_table import PageTable, page_cells
from stratify.report.text import PATIENT, TEXT
from stratify.scoring import ResistanceModel
from stratify.study.policy import Policy
from stratify.tables.documents import document
from stratify.tables.schema import field_named

__all__ = ["write_patient_report"]

_LONGEST = 60  # letters of a name


def write_patient_report(path: str | Path, model: ResistanceModel, found: PatientFindings) -> None:
    """Write the report of one patient as one HTML file that needs no network."""
    score, level = found.score, model.classifier.interval_level
    page = rendered(
        "patient.html.j2",
        pictures=(),
        text={**TEXT, **PATIENT},
        wording=cycle().wording,
        patient=_short(score["patient_id"]),
        cohort=_short(score["cohort"]),
        model=f"{score['model_version']}",
        rule=score["endpoint_rule"],
        created=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        risk=_risk_scale(found, model),
        recommendation=_recommendation(found, model.policy),
        reasons=_reasons(found),
        reasons_more=PATIENT["reasons_more"].format(
            base=_percent(found.base_risk), risk=_percent(score["risk"])
        ),
        unmeasured=PATIENT["unmeasured"].format(points=_signed(found.unmeasured_points)),
        pairs=_pairs(found),
        drawing=drawn_cycle(found.profile, found.leading, found.second),
        statement=found.statement,
        profile=_profile(found.profile),
        profile_more=PATIENT["profile_more"].format(
            for_mark=PATIENT["raises_mark"], against_mark=PATIENT["lowers_mark"]
        ),
        state=_state(found),
        readings=_readings(found),
        missing=_missing(found, level),
        missing_known=found.information is not None,
        what_if=_what_if(found, level),
        partners=_partners(found),
        no_partner=found.no_partner,
        dated=PATIENT["dated"].format(cycle().dated),
    )
    write_page(path, page)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u00a0%"


def _range(low: float, high: float) -> str:
    return str(PATIENT["range"].format(low=_percent(low), high=_percent(high)))


def _signed(share: float) -> str:
    points = estimate(100 * share, digits=0)
    return points if points.startswith(("−", "0")) else f"+{points}"


def _short(name: Any) -> str:
    text = str(name)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _value(feature: str, value: Any, level: Any = None) -> str:
    """Write a value with its unit, a level or yes and no in words."""
    field = field_named(feature)
    if isinstance(level, str):
        return _short(level.replace("_", " "))
    if isinstance(value, str):
        return _short(value.replace("_", " "))
    if value is None or pd.isna(value):
        return "–"
    if field.type == "boolean":
        return str(PATIENT["yes" if value else "no"])
    written = PATIENT["units"].get(field.unit or "", f"\u00a0{field.unit}" if field.unit else "")
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return text.replace("-", "−") + str(written)


def _level(level: float) -> str:
    return f"{100 * level:g} %"


class Bar(NamedTuple):
    """Training patients by range of risk, in units of the drawing."""

    x: float
    width: float
    height: float


@dataclass(frozen=True)
class RiskScale:
    """The risk and its interval in words, and drawn on a scale from 0 to 100 %."""

    risk: str
    interval: str
    target: str
    place: str
    alt: str
    at: float
    start: float
    width: float
    cuts: list[float]
    bars: list[Bar]


def _risk_scale(found: PatientFindings, model: ResistanceModel) -> RiskScale:
    risk, low, high = (float(found.score[name]) for name in ("risk", "risk_low", "risk_high"))
    group = PATIENT["groups"][found.score["risk_group"]]
    place = PATIENT["group_alone"].format(group=group)
    bars: list[Bar] = []
    if (ranges := found.training) is not None:
        width = (ranges["high"] - ranges["low"]).clip(lower=1e-9)
        inside = ((risk - ranges["low"]) / width).clip(0, 1)
        less = float((ranges["n"] * inside).sum() / ranges["n"].sum())
        place = PATIENT["group"].format(group=group, less=f"{100 * less:.0f}")
        density = ranges["n"] / width
        bars = list(map(Bar, 100 * ranges["low"], 100 * width, 24 * density / density.max()))
    level = _level(model.classifier.interval_level)
    words = {"risk": _percent(risk), "low": _percent(low), "high": _percent(high), "level": level}
    return RiskScale(
        risk=words["risk"],
        interval=PATIENT["interval"].format(**words),
        target=PATIENT["target"].format(target=model.card.get("target", "risk")),
        place=place,
        alt=PATIENT["scale"].format(**words),
        at=100 * risk,
        start=100 * low,
        width=100 * (high - low),
        cuts=[100 * cut for cut in model.card["risk_group_cuts"]],
        bars=bars,
    )


@dataclass(frozen=True)
class Advice:
    """The recommendation, why it is given, what would change it, and the cautions."""

    title: str
    reason: str
    would_change: str
    error_bound: str
    evidence: str
    flags: list[str]


def _recommendation(found: PatientFindings, policy: Policy | None) -> Advice:
    score = found.score
    given = score["recommendation"] if isinstance(score["recommendation"], str) else ""
    meanings: dict[str, str] = document("results/scores")["flags"]
    flags = [flag for flag in str(score["flags"]).split(";") if flag != "research_use_only"]
    change = str(score.get("would_change") or "")
    if change:
        words = PATIENT["results_lead" if given == "measure" else "would_change"]
        change = f"{words} {change}"
    bound = ""
    if policy is not None and policy.errors is not None and pd.notna(score["error_bound"]):
        bound = PATIENT["error_bound"][given].format(
            bound=math.floor(100 * score["error_bound"] + 1e-9),
            confidence=f"{100 * policy.errors.confidence:g}",
        )
    return Advice(
        title=PATIENT["recommendations"][given],
        reason=score["reason"],
        would_change=change,
        error_bound=bound,
        evidence=PATIENT["evidence"].format(score["evidence_class"]),
        flags=[meanings.get(flag, flag) for flag in flags if flag],
    )


def _page_table(name: str, rows: list[list[str]], level: float = 0) -> PageTable:
    """Table of a part of the page, its caption and heads among the words."""
    words = {"level": _level(level), "checked": PATIENT["ranges_checked"].get(level, "")}
    heads = [head.format(**words) for head in PATIENT[f"{name}_heads"].values()]
    return page_cells(PATIENT[f"{name}_caption"].format(**words), heads, rows)


def _reasons(found: PatientFindings) -> PageTable:
    rows = []
    for row in found.reasons.to_dict("records"):
        value = _value(row["feature"], row["value"], row["level"])
        if pd.notna(row["median"]) and pd.notna(row["value"]):
            median = _value(row["feature"], row["median"])
            value += f" ({PATIENT['median'].format(median)})"
        if row["outside"]:
            value += f", {PATIENT['outside']}"
        raises = row["shap"] > 0
        mark = PATIENT["raises_mark" if raises else "lowers_mark"]
        word = PATIENT["raises" if raises else "lowers"]
        amount = f"{mark} {word}, {_signed(row['risk_points'])} {PATIENT['points']}"
        rows.append([_short(row["title"]), value, amount, _percent(row["same_sign"])])
    return _page_table("reasons", rows)


def _pairs(found: PatientFindings) -> str:
    pairs = [
        PATIENT["pair"].format(
            one=_short(field_named(row["feature"]).title),
            other=_short(field_named(row["other"]).title),
            word=PATIENT["raises" if row["shap"] > 0 else "lowers"],
            amount=estimate(abs(row["shap"])),
        )
        for row in found.pairs.to_dict("records")
    ]
    return PATIENT["pairs"].format("; ".join(pairs)) if pairs else ""


def _profile(profile: pd.DataFrame) -> PageTable:
    unknown = cycle().wording["not_assessed"]
    rows = []
    for row in profile[profile["n_features"] > 0].to_dict("records"):
        assessed = row["n_measured"] > 0
        numbers = [estimate(row[name]) for name in ("contribution", "raising", "lowering")]
        rows.append(
            [
                cycle().step(row["step"]).title,
                *(numbers if assessed else [unknown, "–", "–"]),
                PATIENT["of"].format(n=row["n_measured"], of=row["n_features"]),
            ]
        )
    return _page_table("profile", rows)


def _state(found: PatientFindings) -> list[str]:
    hot = found.inflammation
    if hot.state == "unknown":
        return [PATIENT["no_state"]]
    state = cycle().inflammation.states[hot.state]
    marker = field_named(hot.decided_by).title
    stated = [PATIENT["state"].format(marker=marker, state=state)]
    return stated + [PATIENT["suspected"]] * hot.exclusion_suspected


def _readings(found: PatientFindings) -> PageTable:
    rows = [
        [
            _short(field_named(r.feature).title),
            _value(r.feature, r.value),
            PATIENT["readings"][r.reading],
            f"{PATIENT['kinds'][r.kind]}; {r.status}",
        ]
        for r in found.inflammation.readings
    ]
    return _page_table("markers", rows)


def _missing(found: PatientFindings, level: float) -> PageTable:
    rows = []
    for row in [] if found.information is None else found.information.to_dict("records"):
        titles = [field_named(name).title for name in row["features"].split(";")]
        shown = ", ".join(titles[:3]) + (f" (+{len(titles) - 3})" if len(titles) > 3 else "")
        rows.append(
            [
                f"{PATIENT['panels'][row['group']]}: {shown}",
                _range(row["drawn_low"], row["drawn_high"]),
                f"{100 * row['mean_change']:.0f}\u00a0{PATIENT['points']}",
                _percent(row["share_group"]),
                _percent(row["share_recommendation"]),
            ]
        )
    return _page_table("missing", rows, level)


def _what_if(found: PatientFindings, level: float) -> PageTable:
    rows = []
    for row in found.what_if.to_dict("records"):
        state = row["state"] or PATIENT["at_median"].format(
            title=field_named(row["feature"]).title, value=_value(row["feature"], row["value"])
        )
        if row["outside"]:
            state += f" ({PATIENT['outside']})"
        limits = (_signed(row[name]) for name in ("change_low", "change_high"))
        rows.append(
            [
                state,
                _percent(row["risk"]),
                _range(row["risk_low"], row["risk_high"]),
                PATIENT["change"].format(_signed(row["change"]), *limits),
            ]
        )
    return _page_table("what_if", rows, level)


def _partners(found: PatientFindings) -> PageTable:
    rows = [
        [
            f"{partner.title}: {PATIENT['advice'][partner.advice]}",
            " ".join(partner.evidence_for),
            " ".join(partner.evidence_against),
            partner.caution,
            partner.strength,
        ]
        for partner in found.partners
    ]
    return _page_table("partners", rows)

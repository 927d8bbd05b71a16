"""Patient report: one page on one patient, from what was found about them.

It names the patient; so it stays with the data and is never logged.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from stratify.interpretation.cycle import cycle
from stratify.interpretation.patient import PatientFindings
from stratify.report.cycle_drawing import drawn_cycle
from stratify.report.evaluation_report import rendered, write_page
from stratify.report.figures import estimate
from stratify.report.page_table import page_cells
from stratify.report.text import PATIENT, TEXT
from stratify.scoring import ResistanceModel
from stratify.tables.documents import document
from stratify.tables.schema import field_named

__all__ = ["write_patient_report"]

_LONGEST = 60  # letters of a name


def write_patient_report(path: str | Path, model: ResistanceModel, found: PatientFindings) -> None:
    """Write the report of one patient as one HTML file that needs no network.

    Parameters
    ----------
    path : path
        HTML file to write.
    model : ResistanceModel
        The bundle that was asked.
    found : PatientFindings

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    score = found.score
    page = rendered(
        "patient.html.j2",
        text={**TEXT, **PATIENT},
        wording=cycle().wording,
        patient=_short(score["patient_id"]),
        cohort=_short(score["cohort"]),
        model=f"{score['model_version']}",
        rule=score["endpoint_rule"],
        created=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        risk=_risk_block(found, model),
        recommendation=_recommendation(score),
        reasons=_reasons(found),
        reasons_more=PATIENT["reasons_more"].format(
            base=_percent(found.base_risk), risk=_percent(score["risk"])
        ),
        unmeasured=PATIENT["unmeasured"].format(points=_signed(found.unmeasured_points)),
        together=_together(found),
        drawing=drawn_cycle(found.profile, found.leading, found.second),
        statement=found.statement,
        profile=_profile(found.profile),
        profile_more=PATIENT["profile_more"].format(
            for_mark=PATIENT["raises_mark"], against_mark=PATIENT["lowers_mark"]
        ),
        state=_state(found),
        readings=_readings(found),
        missing=_missing(found),
        missing_known=found.information is not None,
        what_if=_what_if(found),
        partners=_partners(found),
        no_partner=found.no_partner,
        dated=PATIENT["dated"].format(cycle().dated),
    )
    write_page(Path(path), page)


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


def _risk_block(found: PatientFindings, model: ResistanceModel) -> dict[str, Any]:
    score = found.score
    risk, low, high = (float(score[name]) for name in ("risk", "risk_low", "risk_high"))
    group = PATIENT["groups"][score["risk_group"]]
    place = PATIENT["group_alone"].format(group=group)
    bars: list[dict[str, float]] = []
    if found.training is not None:
        ranges = found.training
        width = (ranges["high"] - ranges["low"]).clip(lower=1e-9)
        inside = ((risk - ranges["low"]) / width).clip(0, 1)
        less = float((ranges["n"] * inside).sum() / ranges["n"].sum())
        place = PATIENT["group"].format(group=group, less=f"{100 * less:.0f}")
        density = ranges["n"] / width
        tallest = float(density.max())
        bars = [
            {"x": 100 * x, "width": 100 * w, "height": 24 * d / tallest}
            for x, w, d in zip(ranges["low"], width, density, strict=True)
        ]
    said = {"risk": _percent(risk), "low": _percent(low), "high": _percent(high)}
    return {
        **said,
        "target": PATIENT["target"].format(target=model.card.get("target", "risk")),
        "interval": PATIENT["interval"].format(**said),
        "place": place,
        "bars": bars,
        "at": 100 * risk,
        "from": 100 * low,
        "width": 100 * (high - low),
        "cuts": [100 * cut for cut in model.card["risk_group_cuts"]],
        "alt": PATIENT["scale"].format(**said),
    }


def _recommendation(score: Mapping[str, Any]) -> dict[str, Any]:
    given = score["recommendation"] if isinstance(score["recommendation"], str) else ""
    meanings = _flag_meanings()
    flags = [flag for flag in str(score["flags"]).split(";") if flag != "research_use_only"]
    return {
        "title": PATIENT["recommendations"][given],
        "reason": score["reason"],
        "would_change": str(score.get("would_change") or ""),
        "evidence": PATIENT["evidence"].format(score["evidence_class"]),
        "flags": [meanings.get(flag, flag) for flag in flags if flag],
    }


def _flag_meanings() -> dict[str, str]:
    meanings: dict[str, str] = document("results/scores")["flags"]
    return meanings


def _reasons(found: PatientFindings) -> Any:
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
    return page_cells(PATIENT["reasons_caption"], PATIENT["reason_heads"].values(), rows)


def _together(found: PatientFindings) -> str:
    pairs = [
        PATIENT["pair"].format(
            one=_short(field_named(row["feature"]).title),
            other=_short(field_named(row["other"]).title),
            word=PATIENT["raises" if row["shap"] > 0 else "lowers"],
            amount=estimate(abs(row["shap"])),
        )
        for row in found.pairs.to_dict("records")
    ]
    return PATIENT["together"].format("; ".join(pairs)) if pairs else ""


def _profile(profile: pd.DataFrame) -> Any:
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
    return page_cells(PATIENT["profile_caption"], PATIENT["step_heads"].values(), rows)


def _state(found: PatientFindings) -> list[str]:
    hot = found.inflammation
    if hot.state == "unknown":
        return [PATIENT["no_state"]]
    state = cycle().inflammation.states[hot.state]
    marker = field_named(hot.decided_by).title
    told = [PATIENT["state"].format(marker=marker, state=state)]
    return told + [PATIENT["suspected"]] * hot.exclusion_suspected


def _readings(found: PatientFindings) -> Any:
    rows = [
        [
            _short(field_named(r.feature).title),
            _value(r.feature, r.value),
            PATIENT["readings"][r.reading],
            f"{PATIENT['kinds'][r.kind]}; {r.status}",
        ]
        for r in found.inflammation.readings
    ]
    return page_cells(PATIENT["markers_caption"], PATIENT["reading_heads"].values(), rows)


def _missing(found: PatientFindings) -> Any:
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
    return page_cells(PATIENT["missing_caption"], PATIENT["missing_heads"].values(), rows)


def _what_if(found: PatientFindings) -> Any:
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
    return page_cells(PATIENT["what_if_caption"], PATIENT["what_if_heads"].values(), rows)


def _partners(found: PatientFindings) -> Any:
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
    return page_cells(PATIENT["partners_caption"], PATIENT["partner_heads"].values(), rows)

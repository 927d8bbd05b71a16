"""Words of the patient report."""

from __future__ import annotations

from typing import Any

__all__ = ["PATIENT"]

PATIENT: dict[str, Any] = {
    "kind": "Patient report",
    "patient": "Patient",
    "cohort": "Cohort",
    "model": "Model",
    "endpoint": "Label",
    "sections": {
        "risk": "Risk",
        "recommendation": "Recommendation",
        "reasons": "Strongest reasons",
        "profile": "Resistance profile",
        "inflammation": "Cold or hot",
        "missing": "What is missing, and what it could change",
        "what-if": "The model's risk, were it otherwise",
        "partners": "Partner classes to discuss",
    },
    "target": "Predicted {target} under the regimens of training",
    "interval": "{level} interval {low} to {high}",
    "group": "The risk lies in the {group} third of the training patients: "
    "higher than in {less} % of them.",
    "group_alone": "The risk lies in the {group} third of the training patients.",
    "groups": {"low": "lowest", "intermediate": "middle", "high": "highest"},
    "scale": "Risk of {risk} with interval {low} to {high} on a scale from 0 to 100 %; bars show "
    "how many training patients had each risk.",
    "recommendations": {
        "monotherapy": "Monotherapy",
        "combination": "Combination",
        "refer": "Refer",
        "continue": "Continue",
        "intensify": "Intensify: a combination",
        "change": "Change the treatment",
        "": "None",
    },
    "evidence": "Evidence class {}: prognostic; it does not show that another treatment is better.",
    "would_change": "What would change it:",
    "flags": "Cautions",
    "reasons_more": "Measured features by how much they move the model's risk from {base} (average "
    "of training) to {risk}, shared out in proportion to their log-odds. Models that agree: share "
    "that move the risk the same way, of 100 within the model's own uncertainty. Associations, not "
    "causes.",
    "reasons_heads": {
        "feature": "Feature",
        "value": "Value (training median)",
        "points": "Moves the risk by",
        "same_sign": "Models that agree",
    },
    "median": "median {}",
    "raises": "raises",
    "lowers": "lowers",
    "raises_mark": "\u25b2",
    "lowers_mark": "\u25bc",
    "points": "points",
    "units": {  # as they are written after a value; others as the dictionaries have them
        **dict.fromkeys(("score", "ratio", "count", "fraction"), ""),
        "percent": "\u00a0%",
        "10^9/L": "\u00a0\u00d7\u00a010\u2079/L",
        "cells/mm2": "\u00a0cells/mm\u00b2",
        "kg/m2": "\u00a0kg/m\u00b2",
    },
    "range": "{low} to\u00a0{high}",
    "change": "{} ({} to\u00a0{})",
    "outside": "outside the training range",
    "unmeasured": "Features that are not measured add {points} points together.",
    "pairs": "Together beyond each by itself, log-odds: {}.",
    "pair": "{one} with {other} {word} by {amount}",
    "no_reasons": "Nothing that the model reads is measured; the risk is the training average.",
    "drawing": "Cancer-immunity cycle with what each step adds to the risk, in log-odds. {}",
    "drawing_step": "{title}: {value}.",
    "profile_heads": {
        "step": "Step",
        "contribution": "Adds",
        "raising": "For",
        "lowering": "Against",
        "measured": "Measured",
    },
    "of": "{n} of {of}",
    "profile_caption": "Contribution by step, log-odds before calibration",
    "profile_more": "Summed over measured features. It explains the model, not the tumour. "
    "{for_mark} raises, {against_mark} lowers the risk; a dashed step is not assessed, "
    "which is not the same as intact.",
    "leads_mark": "leads",
    "cycle": ["Cancer-", "immunity", "cycle"],
    "state": "By {marker}: {state}.",
    "no_state": "Not assessed: no marker that shows T cells in the tumour is measured.",
    "suspected": "Exclusion suspected: fibroblast signature high, T cells not.",
    "markers_heads": {"marker": "Marker", "value": "Value", "reading": "Says", "status": "Status"},
    "readings": {"hot": "hot", "cold": "cold", "excluded": "excluded", "between": "between"},
    "kinds": {"spatial": "where the cells lie", "bulk": "bulk expression", "proxy": "proxy only"},
    "markers_caption": "Markers of inflammation",
    "missing_heads": {
        "group": "Not measured",
        "range": "Risk could become ({level})",
        "change": "Mean change",
        "share": "Other third",
        "share_recommendation": "Other advice",
    },
    "missing_caption": "Drawn from the training patients, given what is measured{checked}",
    "ranges_checked": {0.8: "; in simulations the 80 % range held 70 to 81 %"},  # by level
    "nothing_missing": "Every feature that the model reads is measured.",
    "no_summary": "The bundle keeps no summary of its training patients; train it again to see "
    "what a missing panel could change.",
    "what_if_heads": {
        "state": "Were it so",
        "risk": "Risk",
        "interval": "{level} interval",
        "change": "Change in points ({level} interval)",
    },
    "what_if_caption": "All else as it is. Behaviour of the model, not the effect of a treatment",
    "reasons_caption": "Measured features, strongest first",
    "at_median": "{title} at the training median, {value}",
    "no_what_if": "No measured reason that raises the risk could be set otherwise.",
    "partners_heads": {
        "title": "Class",
        "for": "Evidence for",
        "against": "Evidence against",
        "caution": "Caution",
        "strength": "Strength",
    },
    "partners_caption": "Listed by the step that leads or by a marker, never by predicted benefit",
    "advice": {
        "discuss": "worth discussing",
        "trial": "within a trial",
        "do_not_suggest": "do not suggest",
    },
    "dated": "Evidence reviewed on {}.",
    "yes": "yes",
    "no": "no",
    "panels": {
        "clinical": "Clinical",
        "pdl1": "PD-L1",
        "tmb": "TMB and genome",
        "infiltration": "Infiltration",
        "ctdna": "ctDNA",
    },
    "footer": "Risk, reasons and profile come from the model bundle named above.",
}

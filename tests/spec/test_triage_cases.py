"""The decision rule by the tables of cases in DECISIONS.md, and what is said of each.

The policy of the cases: monotherapy below 0.4, combination from 0.7, PD-L1 TPS and TMB required.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from endpoint_document import DECISIONS, cases_of

from stratify.errors import ArgumentError
from stratify.study.policy import Policy
from stratify.treatment.triage import EVIDENCE_CLASS, triage

POLICY = Policy(
    name="board",
    version="3",
    source="illustration only",
    monotherapy_below=0.4,
    combination_from=0.7,
    decide_by="interval",
    required_markers=["pdl1_tps", "tmb"],
)
BY_RISK = POLICY.model_copy(update={"decide_by": "risk"})
ONE_THRESHOLD = POLICY.model_copy(update={"combination_from": 0.4})

MONO, COMBINATION, REFER = "monotherapy", "combination", "refer"
BELOW = "The whole interval of the risk lies below 0.4 (policy board 3)."
ABOVE = "The whole interval of the risk lies at or above 0.7 (policy board 3)."
BETWEEN = "The risk lies between 0.4 and 0.7 (policy board 3)."
CROSSES = "The interval of the risk crosses a threshold (0.4 or 0.7; policy board 3)."
NO_TPS = "Required markers are missing: pdl1_tps (policy board 3)."
NO_TMB = "Required markers are missing: tmb (policy board 3)."
NEITHER = "Required markers are missing: pdl1_tps, tmb (policy board 3)."
NO_POLICY = "No policy was given: the risk is stated, the decision is referred."
MIXED = (
    "The model was trained on mixed regimens; it states no risk under monotherapy and gives no "
    "recommendation."
)
YES, NO = 12.0, np.nan  # a marker that was measured, and one that was not
REASONS = {
    "below": BELOW,
    "above": ABOVE,
    "between": BETWEEN,
    "risk below": "The risk lies below 0.4 (policy board 3).",
    "risk above": "The risk lies at or above 0.7 (policy board 3).",
    "crosses": CROSSES,
    "no TPS": NO_TPS,
    "no TMB": NO_TMB,
    "neither": NEITHER,
    "autoimmune": "Contraindicated: autoimmune_disease is true speaks against combination "
    "(policy board 3).",
    "ECOG": "Contraindicated: ecog is 3 or more speaks against any checkpoint inhibitor "
    "(policy board 3).",
    "autoimmune not recorded": "Not recorded: autoimmune_disease, which could rule out "
    "combination (policy board 3).",
    "ECOG not recorded": "Not recorded: ecog, which could rule out any checkpoint inhibitor "
    "(policy board 3).",
    "label TPS 50": "The label asks more for monotherapy (eu pembrolizumab: pdl1_tps is 50 or "
    "more (22C3), egfr_mutation is false, alk_fusion is false); policy board 3.",
    "label not verified": "The label asks more for monotherapy (eu pembrolizumab (after platinum): "
    "pdl1_tps is 50 or more (22C3), date not verified); policy board 3.",
    "label TPS 1": "The label asks more for monotherapy (eu pembrolizumab: pdl1_tps is 1 or more "
    "(22C3)); policy board 3.",
    "label CPS 1": "The label asks more for monotherapy (eu pembrolizumab: pdl1_cps is 1 or more "
    "(22C3)); policy board 3.",
    "label TPS below 1": "The label asks more for combination (eu nivolumab with relatlimab: "
    "pdl1_tps is below 1 (28-8 (tumour cells))); policy board 3.",
    "below, none on file": f"{BELOW} No eu label rule for monotherapy is on file.",
    "CD8 below": "cd8_percent is below 15 (policy board 3).",
    "CD8 or more": "cd8_percent is 15 or more (policy board 3).",
    "no CD8": "Required markers are missing: cd8_percent (policy board 3).",
    "between, monotherapy": f"{BETWEEN} In doubt the policy takes monotherapy.",
    "crosses, combination": f"{CROSSES} In doubt the policy takes combination.",
}


def number(cell: str) -> float:
    return NO if cell == "." else float(cell)


def told(cell: str) -> object:
    return {"yes": True, "no": False, "first": False, "later": True, ".": None}[cell]


CASES = [
    (*map(number, numbers), answer, REASONS[reason])
    for *numbers, answer, reason in cases_of("Risk", DECISIONS)
]


def decide(
    low, risk, high, policy, *, mixed_regimens=False, flags="", assays=None, **markers
) -> dict[str, object]:
    risks = pd.DataFrame({"risk": [risk], "risk_low": [low], "risk_high": [high]})
    table = pd.DataFrame({name: [value] for name, value in markers.items()}, index=risks.index)
    told = pd.Series([flags], index=risks.index)
    found = triage(risks, table, policy, mixed_regimens=mixed_regimens, flags=told, assays=assays)
    return found.iloc[0][["recommendation", "reason", "evidence_class"]].to_dict()


@pytest.mark.parametrize(("low", "risk", "high", "tps", "tmb", "recommendation", "reason"), CASES)
def test_case(low, risk, high, tps, tmb, recommendation, reason):
    assert decide(low, risk, high, POLICY, pdl1_tps=tps, tmb=tmb) == {
        "recommendation": recommendation,
        "reason": reason,
        "evidence_class": EVIDENCE_CLASS,
    }


@pytest.mark.parametrize(
    ("low", "risk", "high", "tps", "tmb", "recommendation", "reason"),
    [
        (*map(number, numbers), answer, REASONS[reason])
        for *numbers, answer, reason in cases_of("The risk alone", DECISIONS)
    ],
)
def test_the_risk_decides_whatever_its_interval(low, risk, high, tps, tmb, recommendation, reason):
    found = decide(low, risk, high, BY_RISK, pdl1_tps=tps, tmb=tmb)
    assert (found["recommendation"], found["reason"]) == (recommendation, reason)


def test_all_cases_at_once_are_decided_as_each_alone():
    columns = ["risk_low", "risk", "risk_high", "pdl1_tps", "tmb", "recommendation", "reason"]
    table = pd.DataFrame(CASES, columns=columns, index=np.arange(len(CASES)) * 3)
    found = triage(table, table, POLICY, mixed_regimens=False)
    pd.testing.assert_frame_equal(
        found[["recommendation", "reason"]],
        table[["recommendation", "reason"]],
        check_dtype=False,
    )


def test_a_column_that_the_table_does_not_have_is_a_missing_marker():
    assert decide(0.1, 0.2, 0.3, POLICY, tmb=YES)["reason"] == NO_TPS
    assert decide(0.8, 0.85, 0.9, POLICY)["reason"] == NEITHER


def test_markers_that_the_policy_does_not_require_are_not_asked_for():
    free = POLICY.model_copy(update={"required_markers": []})
    assert decide(0.1, 0.2, 0.3, free, pdl1_tps=NO)["recommendation"] == MONO


FAR = "The model may not apply to the patient: far_from_training (policy board 3)."
BOTH = FAR.replace("far", "unseen_category, far")
ASSAY = ["assay_differs"]

#   low    risk   high   TPS  flags                             refer_flags  recommendation  reason
FLAGGED = [
    (0.10, 0.20, 0.30, YES, "research_use_only", None, MONO, BELOW),
    (0.10, 0.20, 0.30, YES, "research_use_only;far_from_training", None, REFER, FAR),
    (0.75, 0.80, 0.90, YES, "far_from_training", None, REFER, FAR),
    (0.30, 0.50, 0.60, YES, "far_from_training", None, REFER, FAR),
    (0.10, 0.20, 0.30, YES, "unseen_category;far_from_training", None, REFER, BOTH),
    # flags that the policy does not name
    (0.10, 0.20, 0.30, YES, "outside_training_range;assay_differs", None, MONO, BELOW),
    (0.10, 0.20, 0.30, YES, "far_from_training", [], MONO, BELOW),
    (
        0.10,
        0.20,
        0.30,
        YES,
        "assay_differs",
        ASSAY,
        REFER,
        FAR.replace("far_from_training", "assay_differs"),
    ),
    # a missing marker comes first
    (0.10, 0.20, 0.30, NO, "far_from_training", None, REFER, NO_TPS),
]


@pytest.mark.parametrize(
    ("low", "risk", "high", "tps", "flags", "named", "recommendation", "reason"), FLAGGED
)
def test_flags_of_the_policy_refer(low, risk, high, tps, flags, named, recommendation, reason):
    policy = POLICY if named is None else POLICY.model_copy(update={"refer_flags": named})
    found = decide(low, risk, high, policy, flags=flags, pdl1_tps=tps, tmb=YES)
    assert (found["recommendation"], found["reason"]) == (recommendation, reason)


@pytest.mark.parametrize(
    ("low", "risk", "high", "recommendation", "reason"),
    [
        (0.1, 0.2, 0.3, MONO, BELOW),
        (0.4, 0.5, 0.6, COMBINATION, ABOVE.replace("0.7", "0.4")),
        (0.3, 0.4, 0.5, REFER, CROSSES.replace("0.7", "0.4")),
    ],
)
def test_with_one_threshold_nothing_lies_between(low, risk, high, recommendation, reason):
    found = decide(low, risk, high, ONE_THRESHOLD, pdl1_tps=YES, tmb=YES)
    assert (found["recommendation"], found["reason"]) == (recommendation, reason)


@pytest.mark.parametrize("risk", [0.05, 0.5, 0.95])
def test_without_a_policy_every_patient_is_referred(risk):
    assert decide(risk, risk, risk, None, pdl1_tps=YES, tmb=YES) == {
        "recommendation": REFER,
        "reason": NO_POLICY,
        "evidence_class": "C1",
    }


@pytest.mark.parametrize("policy", [None, POLICY])
@pytest.mark.parametrize("risk", [0.05, 0.5, 0.95])
def test_a_model_of_mixed_regimens_recommends_nothing(risk, policy):
    found = decide(risk, risk, risk, policy, mixed_regimens=True, pdl1_tps=YES, tmb=YES)
    assert found == {"recommendation": None, "reason": MIXED, "evidence_class": "C1"}


# ------------------------------------------------- contraindications, labels, markers, landmark

LIMITS = {"monotherapy_below": 0.4, "combination_from": 0.7}
AGAINST = [
    {"marker": "autoimmune_disease", "equals": True, "against": "combination", "source": "board"},
    {"marker": "ecog", "at_least": 3, "against": "any", "source": "board"},
]


def board(**values: object) -> Policy:
    """The thresholds of the cases, with more."""
    known = {"name": "board", "version": "3", "source": "illustration only"}
    return Policy.load(known | {"decide_by": "interval"} | values)


def answer_and_reason(found: dict[str, object]) -> tuple[object, object]:
    return found["recommendation"], found["reason"]


@pytest.mark.parametrize("case", cases_of("Contraindications", DECISIONS), ids=" ".join)
def test_contraindications(case):
    low, risk, high, autoimmune, ecog, answer, reason = case
    policy = board(**LIMITS, contraindications=AGAINST)
    found = decide(float(low), float(risk), float(high), policy,
                   autoimmune_disease=told(autoimmune), ecog=number(ecog))  # fmt: skip
    assert answer_and_reason(found) == (answer, REASONS[reason])


@pytest.mark.parametrize("case", cases_of("Labels", DECISIONS), ids=" ".join)
def test_labels(case):
    low, risk, high, cancer, line, tps, cps, answer, reason = case
    policy = board(**LIMITS, label={"jurisdiction": "eu", "on": "2026-11-23"})
    known = {"cancer_type": cancer, "prior_systemic_therapy": told(line)}
    known |= {"pdl1_tps": number(tps), "pdl1_cps": number(cps)}
    known |= {"cohort": "ward", "egfr_mutation": False, "alk_fusion": False}
    clone = "28-8" if cancer == "melanoma" else "22C3"
    assays = {name: {"ward": clone} for name in ("pdl1_tps", "pdl1_cps")}
    found = decide(float(low), float(risk), float(high), policy, assays=assays, **known)
    assert answer_and_reason(found) == (answer, REASONS[reason])


@pytest.mark.parametrize("case", cases_of("What a label does not know", DECISIONS), ids=" ".join)
def test_what_is_not_known_does_not_meet_a_label(case):
    tps, assay, drivers, cancer, line, day, answer, reason = case
    policy = board(**LIMITS, label={"jurisdiction": "eu", "on": day})
    low, high = {
        "<": lambda x: (0.0, x),
        ">": lambda x: (x, 100.0),
    }.get(tps[0], lambda x: (x, x))(float(tps.strip("<>=").split("-")[0]))
    high = float(tps.split("-")[1]) if "-" in tps else high
    known = {"cohort": "ward", "cancer_type": cancer, "prior_systemic_therapy": told(line)}
    known |= dict.fromkeys(("egfr_mutation", "alk_fusion"), told(drivers))
    known |= {"pdl1_tps": (low + high) / 2, "pdl1_tps_low": low, "pdl1_tps_high": high}
    assays = {} if assay == "." else {"pdl1_tps": {"ward": assay}}
    found = decide(0.1, 0.2, 0.3, policy, assays=assays, **known)
    assert answer_and_reason(found) == (answer, REASONS[reason])


@pytest.mark.parametrize("case", cases_of("A marker decides", DECISIONS), ids=" ".join)
def test_a_marker_decides(case):
    cd8, answer, reason = case
    rule = {"marker": "cd8_percent", "monotherapy_from": 15, "combination_below": 15}
    table = pd.DataFrame({"cd8_percent": [number(cd8)]})
    found = triage(None, table, board(marker_rule=rule)).iloc[0].to_dict()
    assert answer_and_reason(found) == (answer, REASONS[reason])


@pytest.mark.parametrize("case", cases_of("In doubt", DECISIONS), ids=" ".join)
def test_in_doubt(case):
    low, risk, high, in_doubt, answer, reason = case
    found = decide(float(low), float(risk), float(high), board(**LIMITS, in_doubt=in_doubt))
    assert answer_and_reason(found) == (answer, REASONS[reason])


AT_LANDMARK = {
    "weeks": 6,
    "continue_below": 0.3,
    "intensify_from": 0.5,
    "change_from": 0.8,
    "required_markers": ["ctdna_ratio_week_6"],
    "source": "illustration only",
}
LANDMARK_REASONS = {
    "stay": "The whole interval at week 6 lies below 0.3 (policy board 3).",
    "open": "The interval at week 6 crosses a threshold, or lies between two that decide nothing "
    "(policy board 3).",
    "more": "The whole interval at week 6 lies from 0.5 to 0.8 (policy board 3).",
    "more, given": "The whole interval at week 6 lies from 0.5 to 0.8, and a combination is given "
    "already (policy board 3).",
    "other": "The whole interval at week 6 lies at or above 0.8 (policy board 3).",
    "no regimen": "No ICI regimen is recorded that could be continued at week 6 (policy board 3).",
    "no ratio": "Required markers are missing: ctdna_ratio_week_6 (policy board 3).",
    **{k: REASONS[k] for k in ("autoimmune", "ECOG", "autoimmune not recorded")},
    "ECOG not recorded": REASONS["ECOG not recorded"],
}


@pytest.mark.parametrize("case", cases_of("At a landmark", DECISIONS), ids=" ".join)
def test_at_a_landmark(case):
    low, risk, high, regimen, ratio, autoimmune, ecog, answer, reason = case
    # The markers that the baseline decision requires are not asked for again.
    policy = board(**LIMITS, required_markers=["tmb"], contraindications=AGAINST,
                   landmark=AT_LANDMARK)  # fmt: skip
    risks = pd.DataFrame(
        {"risk": [float(risk)], "risk_low": [float(low)], "risk_high": [float(high)]}
    )
    markers = pd.DataFrame(
        {
            "regimen": [None if regimen == "." else regimen],
            "ctdna_ratio_week_6": [number(ratio)],
            "autoimmune_disease": [told(autoimmune)],
            "ecog": [number(ecog)],
        }
    )
    found = triage(risks, markers, policy, landmark_weeks=6).iloc[0].to_dict()
    assert (found["recommendation"], found["reason"]) == (answer, LANDMARK_REASONS[reason])
    assert found["evidence_class"] == EVIDENCE_CLASS


def test_every_reason_at_a_landmark_has_a_case():
    assert {case[-1] for case in cases_of("At a landmark", DECISIONS)} == set(LANDMARK_REASONS)


def test_a_landmark_model_makes_no_decision_at_baseline():
    risks = pd.DataFrame({"risk": [0.2], "risk_low": [0.1], "risk_high": [0.3]})
    with pytest.raises(ArgumentError) as error:
        triage(risks, pd.DataFrame(index=[0]), board(**LIMITS), landmark_weeks=6)
    assert str(error.value) == (
        "The model is of week 6, and policy board 3 has no landmark rule: what is known on "
        "treatment has no part in the decision at baseline. Add `landmark: {weeks: 6, ...}` to "
        "the policy, or take a baseline model."
    )
    policy = board(**LIMITS, landmark=AT_LANDMARK)
    with pytest.raises(ArgumentError) as error:
        triage(risks, pd.DataFrame(index=[0]), policy, landmark_weeks=9)
    assert str(error.value) == (
        "The model is of week 9; policy board 3 decides at week 6: train a model with "
        "`landmark_weeks: 6` in the study file."
    )
    # Without a policy, and for a model of mixed regimens, nothing is decided either.
    none = triage(risks, pd.DataFrame(index=[0]), None, landmark_weeks=6)
    assert none["recommendation"].tolist() == ["refer"]
    cd8 = {"marker": "cd8_percent", "monotherapy_from": 15, "combination_below": 15}
    marker = board(marker_rule=cd8, landmark=AT_LANDMARK)
    mixed = triage(risks, pd.DataFrame({"cd8_percent": [20.0]}), marker, mixed_regimens=True,
                   landmark_weeks=6)  # fmt: skip
    assert mixed["recommendation"].isna().all()


def test_every_reason_has_a_case():
    sections = (
        "The risk alone",
        "Risk",
        "Contraindications",
        "Labels",
        "What a label does not know",
        "A marker decides",
        "In doubt",
    )
    assert {case[-1] for name in sections for case in cases_of(name, DECISIONS)} == set(REASONS)


@pytest.mark.parametrize(
    ("low", "risk", "high", "tps", "change"),
    [
        (0.1, 0.2, 0.3, YES, "A risk whose interval reaches 0.4."),
        (0.75, 0.8, 0.9, YES, "A risk whose interval reaches below 0.7."),
        (0.45, 0.5, 0.6, YES, "A risk whose whole interval lies below 0.4 or at or above 0.7."),
        (
            0.2,
            0.3,
            0.45,
            YES,
            "A narrower interval: more markers measured, or a model of more patients.",
        ),
        (0.1, 0.2, 0.3, NO, "Measuring pdl1_tps."),
    ],
)
def test_what_would_change_the_answer_is_told(low, risk, high, tps, change):
    risks = pd.DataFrame({"risk": [risk], "risk_low": [low], "risk_high": [high]})
    table = pd.DataFrame({"pdl1_tps": [tps], "tmb": [YES]})
    assert triage(risks, table, POLICY)["would_change"].tolist() == [change]

"""The decision rule as cases: a risk with its interval, a policy, and what is said of it.

The policy of the cases: monotherapy below 0.4, combination from 0.7, PD-L1 TPS and TMB required.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.treatment import EVIDENCE_CLASS, Policy, triage

POLICY = Policy(
    name="board",
    version="3",
    source="illustration only",
    monotherapy_below=0.4,
    combination_from=0.7,
    required_markers=["pdl1_tps", "tmb"],
)
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

#   low    risk   high   TPS  TMB  recommendation  reason
CASES = [
    # the whole interval on one side of both thresholds
    (0.10, 0.20, 0.30, YES, YES, MONO, BELOW),
    (0.75, 0.80, 0.90, YES, YES, COMBINATION, ABOVE),
    # the risk between the thresholds, wherever the interval ends
    (0.45, 0.50, 0.60, YES, YES, REFER, BETWEEN),
    (0.30, 0.50, 0.60, YES, YES, REFER, BETWEEN),
    (0.45, 0.60, 0.80, YES, YES, REFER, BETWEEN),
    (0.10, 0.50, 0.90, YES, YES, REFER, BETWEEN),
    # the risk on one side, its interval reaching over the threshold
    (0.20, 0.30, 0.45, YES, YES, REFER, CROSSES),
    (0.60, 0.75, 0.85, YES, YES, REFER, CROSSES),
    (0.20, 0.30, 0.95, YES, YES, REFER, CROSSES),
    (0.05, 0.75, 0.95, YES, YES, REFER, CROSSES),
    # on the boundary: below is strict, from is not
    (0.30, 0.35, 0.40, YES, YES, REFER, CROSSES),
    (0.30, 0.35, 0.3999, YES, YES, MONO, BELOW),
    (0.70, 0.75, 0.80, YES, YES, COMBINATION, ABOVE),
    (0.6999, 0.75, 0.80, YES, YES, REFER, CROSSES),
    (0.35, 0.40, 0.45, YES, YES, REFER, BETWEEN),
    (0.65, 0.70, 0.75, YES, YES, REFER, CROSSES),
    (0.70, 0.70, 0.70, YES, YES, COMBINATION, ABOVE),
    (0.40, 0.40, 0.40, YES, YES, REFER, BETWEEN),
    # a marker of the policy is not measured: refer, whatever the risk
    (0.10, 0.20, 0.30, NO, YES, REFER, NO_TPS),
    (0.75, 0.80, 0.90, YES, NO, REFER, NO_TMB),
    (0.10, 0.20, 0.30, NO, NO, REFER, NEITHER),
    (0.45, 0.50, 0.60, NO, NO, REFER, NEITHER),
    # a measured zero is a measurement
    (0.10, 0.20, 0.30, 0.0, 0.0, MONO, BELOW),
]


def decide(
    low, risk, high, policy, *, mixed_regimens=False, flags="", **markers
) -> dict[str, object]:
    risks = pd.DataFrame({"risk": [risk], "risk_low": [low], "risk_high": [high]})
    table = pd.DataFrame({name: [value] for name, value in markers.items()}, index=risks.index)
    told = pd.Series([flags], index=risks.index)
    found = triage(risks, table, policy, mixed_regimens=mixed_regimens, flags=told)
    return found.iloc[0].to_dict()


@pytest.mark.parametrize(("low", "risk", "high", "tps", "tmb", "recommendation", "reason"), CASES)
def test_case(low, risk, high, tps, tmb, recommendation, reason):
    assert decide(low, risk, high, POLICY, pdl1_tps=tps, tmb=tmb) == {
        "recommendation": recommendation,
        "reason": reason,
        "evidence_class": EVIDENCE_CLASS,
    }


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

"""Counts of label states on public cohorts; a change of a rule shows here first."""

from __future__ import annotations

import pytest

from stratify import Study, label_outcomes, read_cohort
from stratify.interchange.formats import make_study

pytestmark = pytest.mark.realdata

# cohort or arm: patients by reason
INSPIRE = {
    "proxy_pfs6": {
        "event_before_horizon": 77,
        "event_before_horizon_response_unknown": 3,
        "no_event_until_horizon": 24,
        "censored_before_horizon": 2,
    },
    # neither confirmation nor exposure is published
    "sitc_mono_2020": {
        "pd_confirmation_not_recorded": 90,
        "no_event_until_horizon": 14,
        "censored_before_horizon": 2,
    },
    "objective_response": {"no_cr_or_pr": 84, "cr_or_pr": 18, "best_response_ne": 4},
}
OAK = {
    "MPDL3280A": {
        "event_before_horizon": 263,
        "event_before_horizon_response_unknown": 24,
        "early_relapse_after_response": 6,
        "no_event_until_horizon": 128,
        "censored_before_horizon": 4,
    },
    "Docetaxel": {
        "event_before_horizon": 223,
        "event_before_horizon_response_unknown": 44,
        "early_relapse_after_response": 11,
        "no_event_until_horizon": 110,
        "censored_before_horizon": 37,
    },
}
IMMOTION150 = {
    "Atezolizumab": {
        "event_before_horizon": 36,
        "event_before_horizon_response_unknown": 3,
        "early_relapse_after_response": 1,
        "no_event_until_horizon": 34,
        "censored_before_horizon": 12,
    },
    "Atezolizumab + Bevacizumab": {
        "event_before_horizon": 33,
        "event_before_horizon_response_unknown": 2,
        "no_event_until_horizon": 51,
        "censored_before_horizon": 2,
    },
    "Sunitinib": {
        "event_before_horizon": 34,
        "event_before_horizon_response_unknown": 1,
        "no_event_until_horizon": 45,
        "censored_before_horizon": 9,
    },
}


def by_arm(table):
    return {arm: rows["reason"].value_counts().to_dict() for arm, rows in table.groupby("arm")}


@pytest.mark.parametrize("rule", INSPIRE)
def test_inspire(read, rule):
    labels = label_outcomes(read("inspire").table, rule)
    assert labels["reason"].value_counts().to_dict() == INSPIRE[rule]


def test_oak_by_arm(read):
    assert by_arm(read("oak", eligible_only=False).table) == OAK


def test_immotion150_by_arm(public_data, tmp_path):
    study = make_study("cbioportal", public_data / "immotion150", tmp_path / "out")
    assert by_arm(read_cohort(Study.load(study), eligible_only=False).table) == IMMOTION150


def test_chowell_response_and_pfs_disagree_in_a_few_as_the_rule_says(read):
    table = read("chowell", eligible_only=False).table
    table = table[table["cohort"] == "chowell_train"]
    responded = table["objective_response"] == 1
    early = responded & (table["pfs"] < 6) & (table["pfs_event"] == 1)
    long = ~responded & (table["pfs"] >= 6)
    assert (len(table), early.sum(), long.sum()) == (964, 38, 70)
    assert set(table.loc[early, "reason"]) == {"early_relapse_after_response"}
    assert set(table.loc[early, "label"]) == {0.0}
    assert set(table.loc[long, "reason"]) == {"no_event_until_horizon"}
    assert set(table.loc[long, "label"]) == {0.0}
    by_response = label_outcomes(table, "objective_response")["label"]
    assert set(by_response[early]) == {0.0}
    assert set(by_response[long]) == {1.0}
    censored = responded & (table["pfs"] < 6) & (table["pfs_event"] == 0)
    assert set(table.loc[censored, "state"]) == {"not_evaluable"}
    assert censored.sum() == 5

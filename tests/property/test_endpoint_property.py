"""Laws of the endpoint rules over all outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.endpoint import label_outcomes
from stratify.schema import convert, endpoint_rules, field_named

RULES = list(endpoint_rules())
LEVELS = [None, *field_named("best_response").enum]
YES_NO = [None, 0.0, 1.0]

months = st.floats(0, 60)
patients = st.fixed_dictionaries(
    {
        "pfs": st.one_of(st.none(), months),
        "pfs_event": st.sampled_from(YES_NO),
        "best_response": st.sampled_from(LEVELS),
        "objective_response": st.sampled_from(YES_NO),
    }
)
cohorts = st.lists(patients, min_size=1, max_size=20)


def label(patients: list[dict[str, Any]], rule: str) -> pd.DataFrame:
    return label_outcomes(pd.DataFrame(patients), rule)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=60, deadline=None)
@given(patients=cohorts)
def test_every_patient_has_a_reason_of_the_rule_and_a_label_that_fits_it(patients, rule):
    labels = label(patients, rule)
    entry = endpoint_rules()[rule]
    for row in labels.to_dict("records"):
        assert row["state"] == entry["reasons"][row["reason"]]["state"]
        assert row["endpoint_rule"] == f"{rule}@{entry['version']}"
        if row["state"] == "not_evaluable":
            assert np.isnan(row["label"])
        else:
            assert row["label"] == (1.0 if row["state"] == entry["positive"] else 0.0)


@settings(max_examples=200, deadline=None)
@given(patient=patients, shorter=months, longer=months)
def test_a_longer_pfs_never_turns_0_into_1(patient, shorter, longer):
    shorter, longer = sorted((shorter, longer))
    before, after = label([patient | {"pfs": shorter}, patient | {"pfs": longer}], "proxy_pfs6")[
        "label"
    ]
    assert not (before == 0 and after == 1)


@settings(max_examples=100, deadline=None)
@given(patient=patients)
def test_without_an_event_nobody_is_resistant(patient):
    labels = label([patient | {"pfs_event": 0.0}, patient | {"pfs_event": None}], "proxy_pfs6")
    assert not (labels["label"] == 1).any()


@settings(max_examples=100, deadline=None)
@given(patient=patients, best=st.sampled_from(["CR", "PR"]))
def test_a_responder_is_never_resistant(patient, best):
    labels = label([patient | {"best_response": best}], "proxy_pfs6")
    assert labels["label"].iloc[0] != 1


@settings(max_examples=100, deadline=None)
@given(patient=patients, days=st.integers(0, 2000))
def test_six_months_are_182_days_and_five_eighths(patient, days):
    outcome = patient | {"pfs": convert(float(days), "days", "pfs"), "pfs_event": 1.0}
    reason = label([outcome], "proxy_pfs6")["reason"].iloc[0]
    assert (reason == "six_months_without_event") == (days > 182)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=40, deadline=None)
@given(patients=cohorts, data=st.data())
def test_a_label_does_not_depend_on_the_other_patients(patients, data, rule):
    order = data.draw(st.permutations(range(len(patients))))
    kept = order[: data.draw(st.integers(1, len(order)))]
    outcomes = pd.DataFrame(patients)
    pd.testing.assert_frame_equal(
        label_outcomes(outcomes.loc[kept], rule), label_outcomes(outcomes, rule).loc[kept]
    )

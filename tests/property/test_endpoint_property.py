"""Laws of the endpoint rules over all outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.endpoint import endpoint_reasons, endpoint_rules, label_outcomes
from stratify.tables.schema import convert, field_named

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
cohorts = st.lists(patients, min_size=1, max_size=30)


def label(patients: list[dict[str, Any]], rule: str) -> pd.DataFrame:
    return label_outcomes(pd.DataFrame(patients), rule)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(patients=cohorts)
def test_every_patient_has_a_reason_of_the_rule_and_a_label_that_fits_it(patients, rule):
    labels = label(patients, rule)
    entry = endpoint_rules()[rule]
    for row in labels.to_dict("records"):
        assert row["state"] == endpoint_reasons()[row["reason"]]["state"]
        assert row["endpoint_rule"] == f"{rule}@{entry.version}"
        if row["state"] == "not_evaluable":
            assert np.isnan(row["label"])
        else:
            assert row["label"] == (1.0 if row["state"] == entry.positive else 0.0)


@settings(max_examples=25, deadline=None)
@given(cases=st.lists(st.tuples(patients, months, months), min_size=1, max_size=30))
def test_a_longer_pfs_never_turns_0_into_1(cases):
    before = label([patient | {"pfs": min(a, b)} for patient, a, b in cases], "proxy_pfs6")
    after = label([patient | {"pfs": max(a, b)} for patient, a, b in cases], "proxy_pfs6")
    assert not ((before["label"] == 0) & (after["label"] == 1)).any()


@settings(max_examples=25, deadline=None)
@given(patients=cohorts, event=st.sampled_from([None, 0.0]))
def test_without_an_event_nobody_is_resistant(patients, event):
    labels = label([patient | {"pfs_event": event} for patient in patients], "proxy_pfs6")
    assert not (labels["label"] == 1).any()


@settings(max_examples=25, deadline=None)
@given(patients=cohorts, best=st.sampled_from(["CR", "PR"]))
def test_a_responder_is_never_resistant(patients, best):
    labels = label([patient | {"best_response": best} for patient in patients], "proxy_pfs6")
    assert not (labels["label"] == 1).any()


def test_six_months_are_182_days_and_five_eighths():
    days = np.arange(0, 2000.0)
    outcomes = pd.DataFrame({"pfs": convert(days, "days", "pfs"), "pfs_event": 1.0})
    reasons = label_outcomes(outcomes, "proxy_pfs6")["reason"]
    assert ((reasons == "no_event_until_horizon") == (days > 182)).all()


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=20, deadline=None)
@given(patients=cohorts, data=st.data())
def test_a_label_does_not_depend_on_the_other_patients(patients, data, rule):
    order = data.draw(st.permutations(range(len(patients))))
    kept = order[: data.draw(st.integers(1, len(order)))]
    outcomes = pd.DataFrame(patients)
    pd.testing.assert_frame_equal(
        label_outcomes(outcomes.loc[kept], rule), label_outcomes(outcomes, rule).loc[kept]
    )

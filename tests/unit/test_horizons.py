"""Outcomes at other horizons: readable cases, and agreement with the rule of the label."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.endpoint import label_outcomes
from stratify.errors import ArgumentError
from stratify.model.horizons import horizon_outcomes

NOT_KNOWN = np.nan
CASES = [
    # pfs (months), event, best response -> event before 3, before 12 months, no response
    (2.9, 1, "PD", (1, 1, 1)),
    (3.0, 1, "PD", (0, 1, 1)),
    (11.9, 1, "SD", (0, 1, 1)),
    (12.0, 1, "PR", (0, 0, 0)),
    (2.0, 0, "SD", (NOT_KNOWN, NOT_KNOWN, 1)),
    (3.0, 0, "CR", (0, NOT_KNOWN, 0)),
    (30.0, 0, None, (0, 0, NOT_KNOWN)),
    (1.0, 1, "NE", (1, 1, NOT_KNOWN)),
    (NOT_KNOWN, 1, "PD", (NOT_KNOWN, NOT_KNOWN, 1)),
    (1.0, NOT_KNOWN, "PD", (NOT_KNOWN, NOT_KNOWN, 1)),
]


@pytest.mark.parametrize(("pfs", "event", "best", "expected"), CASES)
def test_cases(pfs, event, best, expected):
    row = pd.DataFrame({"pfs": [pfs], "pfs_event": [event], "best_response": [best]}, index=[7])
    found = horizon_outcomes(row)
    assert found.index.tolist() == [7]
    assert found.iloc[0].tolist() == pytest.approx(list(expected), nan_ok=True)


def test_what_is_not_recorded_is_not_known():
    found = horizon_outcomes(pd.DataFrame({"albumin": [3.9, 4.1]}), (6,))
    assert found.columns.tolist() == ["event_before_6_months", "no_response"]
    assert found.isna().all(axis=None)


def test_without_response_six_months_are_the_label():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"pfs": rng.uniform(0, 12, 300).round(), "best_response": "SD"})
    table["pfs_event"] = rng.integers(0, 2, 300)
    label = label_outcomes(table, "proxy_pfs6")["label"]
    assert label.isna().any()
    early = horizon_outcomes(table, (6,))["event_before_6_months"]
    pd.testing.assert_series_equal(early, label, check_names=False)


def test_a_horizon_of_no_time_is_refused():
    with pytest.raises(ArgumentError) as refusal:
        horizon_outcomes(pd.DataFrame({"pfs": [1.0]}), (0, 12))
    assert str(refusal.value) == "months is [0, 12]; horizons above 0 are expected."

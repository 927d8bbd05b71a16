"""The endpoint rules by the tables of cases in ENDPOINTS.md; definitions.md, 1, is the source."""

from __future__ import annotations

import pandas as pd
import pytest
from endpoint_document import DOCUMENT, cases_of, reasons_table, rules_table

from stratify.endpoint import endpoint_reasons, endpoint_rule, endpoint_rules, label_outcomes
from stratify.errors import ArgumentError
from stratify.tables.schema import convert

PROXY_STATES = {
    "event_before_horizon": ("primary", 1.0),
    "event_before_horizon_response_unknown": ("primary", 1.0),
    "early_relapse_after_response": ("none", 0.0),
    "no_event_until_horizon": ("none", 0.0),
    "censored_before_horizon": ("not_evaluable", None),
    "pfs_missing": ("not_evaluable", None),
}

RESPONSE_STATES = {
    "cr_or_pr": ("response", 0.0),
    "no_cr_or_pr": ("non_response", 1.0),
    "best_response_ne": ("not_evaluable", None),
    "best_response_missing": ("not_evaluable", None),
}


def _number(cell: str) -> float | None:
    return None if cell == "." else float(cell)


def _outcomes(pfs: str, unit: str, event: str, best: str, objective: str) -> pd.DataFrame:
    months = _number(pfs)
    return pd.DataFrame(
        {
            "pfs": [None if months is None else convert(months, unit, "pfs")],
            "pfs_event": [_number(event)],
            "best_response": [None if best == "." else best],
            "objective_response": [{"yes": 1.0, "no": 0.0, ".": None}[objective]],
        }
    )


def _check(case: list[str], rule: str, states: dict[str, tuple[str, float | None]]) -> None:
    *outcomes, reason = case
    row = label_outcomes(_outcomes(*outcomes), rule).iloc[0]
    state, label = states[reason]
    assert row["reason"] == reason
    assert row["state"] == state
    assert row["endpoint_rule"] == f"{rule}@1.0.0"
    if label is None:
        assert pd.isna(row["label"])
    else:
        assert row["label"] == label


@pytest.mark.parametrize("case", cases_of("proxy_pfs6"), ids=" ".join)
def test_proxy_pfs6(case):
    _check(case, "proxy_pfs6", PROXY_STATES)


@pytest.mark.parametrize("case", cases_of("objective_response"), ids=" ".join)
def test_objective_response(case):
    _check(case, "objective_response", RESPONSE_STATES)


@pytest.mark.parametrize(
    ("rule", "states"),
    [("proxy_pfs6", PROXY_STATES), ("objective_response", RESPONSE_STATES)],
    ids=["proxy_pfs6", "objective_response"],
)
def test_every_reason_of_a_rule_has_a_case(rule, states):
    assert {case[-1] for case in cases_of(rule)} == set(states)
    assert rule in endpoint_rules()
    for reason, (state, _) in states.items():
        assert endpoint_reasons()[reason]["state"] == state


def test_columns_that_are_absent_are_missing():
    nothing = pd.DataFrame(index=["a", "b"])
    labels = label_outcomes(nothing, "proxy_pfs6")
    assert labels["reason"].tolist() == ["pfs_missing", "pfs_missing"]
    assert labels["label"].isna().all()
    assert labels.index.tolist() == ["a", "b"]
    assert label_outcomes(nothing, "objective_response")["reason"].tolist() == [
        "best_response_missing",
        "best_response_missing",
    ]
    only_pfs = pd.DataFrame({"pfs": [2.0], "pfs_event": [1.0]})
    assert label_outcomes(only_pfs, "proxy_pfs6")["state"].tolist() == ["primary"]


def test_no_patient_gives_no_label():
    assert label_outcomes(pd.DataFrame(), "proxy_pfs6").empty


def test_outcomes_are_not_modified():
    outcomes = _outcomes("2.0", "months", "1", "PD", ".")
    before = outcomes.copy()
    label_outcomes(outcomes, "proxy_pfs6")
    pd.testing.assert_frame_equal(outcomes, before)


def test_the_rule_travels_with_its_version():
    assert endpoint_rule("objective_response").id == "objective_response@1.0.0"


@pytest.mark.parametrize("rule", ["sitc_2020", "pfs6", ""])
def test_an_unknown_rule_is_refused(rule):
    with pytest.raises(ArgumentError) as refused:
        label_outcomes(_outcomes("2.0", "months", "1", "PD", "."), rule)
    assert str(refused.value) == (
        f"endpoint {rule!r} is not known; there are {', '.join(endpoint_rules())}."
    )


def test_the_document_shows_the_rules_and_reasons_as_they_are():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert rules_table() in text
    assert reasons_table() in text

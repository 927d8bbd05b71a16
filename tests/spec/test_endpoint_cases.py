"""The endpoint rules as tables of cases; definitions.md, section 1, is the source.

Time is counted from the first dose; six months are 182.625 days. ``.`` is not recorded.
"""

from __future__ import annotations

import pandas as pd
import pytest

from stratify.endpoint import label_outcomes, rule_name
from stratify.errors import ArgumentError
from stratify.schema import convert, endpoint_reasons, endpoint_rules

# PFS in its unit, event (1) or censored (0), best response, objective response -> reason
PROXY = """
pfs      unit    event  best          objective  reason
# progression or death before six months
2.0      months  1      PD            .          event_before_6_months
2.0      months  1      SD            .          event_before_6_months
2.0      months  1      NON-CR/NON-PD .          event_before_6_months
2.0      months  1      .             no         event_before_6_months
0.0      months  1      PD            .          event_before_6_months
0.1      months  1      NE            .          event_before_6_months_response_unknown
2.0      months  1      .             .          event_before_6_months_response_unknown
# CR or PR, then progression before six months
3.0      months  1      CR            .          early_relapse_after_response
3.0      months  1      PR            .          early_relapse_after_response
3.0      months  1      .             yes        early_relapse_after_response
# the recorded best response goes before a yes or no
3.0      months  1      SD            yes        event_before_6_months
3.0      months  1      PR            no         early_relapse_after_response
# the boundary, on both sides, in every unit
5.999999 months  1      SD            .          event_before_6_months
6.0      months  1      SD            .          six_months_without_event
182.624  days    1      SD            .          event_before_6_months
182.625  days    1      SD            .          six_months_without_event
182      days    1      SD            .          event_before_6_months
183      days    1      SD            .          six_months_without_event
26       weeks   1      PD            .          event_before_6_months
26.1     weeks   1      PD            .          six_months_without_event
0.4999   years   1      PD            .          event_before_6_months
0.5      years   1      PD            .          six_months_without_event
5.999999 months  0      SD            .          censored_before_6_months
6.0      months  0      SD            .          six_months_without_event
182.624  days    0      PR            .          censored_before_6_months
182.625  days    0      PR            .          six_months_without_event
# six months or more without an event, whatever came later and whatever the response
6.5      months  1      PD            .          six_months_without_event
24.0     months  0      CR            .          six_months_without_event
24.0     months  0      NE            .          six_months_without_event
24.0     months  1      .             .          six_months_without_event
# followed for less than six months: never 0, CR and PR included
3.0      months  0      CR            .          censored_before_6_months
3.0      months  0      PR            .          censored_before_6_months
3.0      months  0      SD            .          censored_before_6_months
3.0      months  0      PD            .          censored_before_6_months
3.0      months  0      .             yes        censored_before_6_months
# not recorded
.        months  1      PD            .          pfs_missing
3.0      months  .      PD            .          pfs_missing
24.0     months  .      PR            .          pfs_missing
.        months  .      CR            yes        pfs_missing
"""
PROXY_STATES = {
    "event_before_6_months": ("primary", 1.0),
    "event_before_6_months_response_unknown": ("primary", 1.0),
    "early_relapse_after_response": ("none", 0.0),
    "six_months_without_event": ("none", 0.0),
    "censored_before_6_months": ("not_evaluable", None),
    "pfs_missing": ("not_evaluable", None),
}

RESPONSE = """
pfs  unit    event  best           objective  reason
.    months  .      CR             .          cr_or_pr
.    months  .      PR             .          cr_or_pr
1.0  months  1      PR             .          cr_or_pr
.    months  .      .              yes        cr_or_pr
.    months  .      SD             .          no_cr_or_pr
30   months  0      SD             .          no_cr_or_pr
.    months  .      NON-CR/NON-PD  .          no_cr_or_pr
.    months  .      PD             .          no_cr_or_pr
.    months  .      .              no         no_cr_or_pr
# the recorded best response goes before a yes or no
.    months  .      PD             yes        no_cr_or_pr
.    months  .      NE             yes        best_response_ne
.    months  .      NE             .          best_response_ne
2.0  months  1      NE             .          best_response_ne
.    months  .      .              .          best_response_missing
2.0  months  1      .              .          best_response_missing
"""
RESPONSE_STATES = {
    "cr_or_pr": ("response", 0.0),
    "no_cr_or_pr": ("non_response", 1.0),
    "best_response_ne": ("not_evaluable", None),
    "best_response_missing": ("not_evaluable", None),
}


def _cases(text: str) -> list[list[str]]:
    lines = [line.split() for line in text.strip().splitlines() if not line.startswith("#")]
    return lines[1:]


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


@pytest.mark.parametrize("case", _cases(PROXY), ids=" ".join)
def test_proxy_pfs6(case):
    _check(case, "proxy_pfs6", PROXY_STATES)


@pytest.mark.parametrize("case", _cases(RESPONSE), ids=" ".join)
def test_objective_response(case):
    _check(case, "objective_response", RESPONSE_STATES)


@pytest.mark.parametrize(
    ("rule", "table", "states"),
    [("proxy_pfs6", PROXY, PROXY_STATES), ("objective_response", RESPONSE, RESPONSE_STATES)],
    ids=["proxy_pfs6", "objective_response"],
)
def test_every_reason_of_a_rule_has_a_case(rule, table, states):
    assert {case[-1] for case in _cases(table)} == set(states)
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
    assert rule_name("objective_response") == "objective_response@1.0.0"


@pytest.mark.parametrize("rule", ["sitc_2020", "pfs6", ""])
def test_an_unknown_rule_is_refused(rule):
    with pytest.raises(ArgumentError) as refused:
        label_outcomes(_outcomes("2.0", "months", "1", "PD", "."), rule)
    assert str(refused.value) == (
        f"endpoint {rule!r} is not known; there are {', '.join(endpoint_rules())}."
    )

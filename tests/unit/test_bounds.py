"""Values reported as intervals against cut-offs, in every condition: yes, no, or unknown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.references import references
from stratify.study.conditions import Condition
from stratify.study.estimand import MarkerChoice
from stratify.study.policy import Policy
from stratify.tables.bounds import reaches
from stratify.treatment.threshold import marker_rules
from stratify.treatment.triage import triage

# how TPS was reported: value, low, high; whether it reaches 50
REPORTED = {
    "<1": (0.5, 0, 1, False),
    "1-49": (25, 1, 49, False),
    ">=50": (75, 50, 100, True),
    ">=1": (50.5, 1, 100, None),
    "1-100": (50.5, 1, 100, None),
    "50": (50, 50, 50, True),
    "49": (49, 49, 49, False),
    "40-59": (49.5, 40, 59, None),
    "60, no bounds": (60, None, None, True),
    "not measured": (None, None, None, None),
}
TABLE = pd.DataFrame(
    [row[:3] for row in REPORTED.values()],
    columns=["pdl1_tps", "pdl1_tps_low", "pdl1_tps_high"],
    dtype=float,
)
REACHES = [row[3] for row in REPORTED.values()]


def as_flags(values: object) -> list[bool | None]:
    return [None if v is None or v != v else bool(v) for v in np.asarray(values, dtype=object)]


def test_a_value_reaches_a_limit_or_does_not_or_that_is_unknown():
    assert as_flags(reaches(TABLE, "pdl1_tps", 50)) == REACHES
    assert np.isnan(reaches(TABLE, "pdl1_cps", 50)).all()


def test_every_kind_of_condition_asks_the_bounds():
    below = [None if each is None else not each for each in REACHES]
    at_least = Condition(marker="pdl1_tps", at_least=50)
    assert as_flags(at_least.holds(TABLE)) == REACHES
    assert as_flags(Condition(marker="pdl1_tps", below=50).holds(TABLE)) == below
    reference = references()["pdl1_50"]
    assert as_flags(reference.risk(TABLE)) == below
    assert reference.complete(TABLE).tolist() == [each is not None for each in REACHES]
    assert as_flags(marker_rules(TABLE)["PD-L1 below 50 %"]) == below
    choice = MarkerChoice(marker="pdl1_tps", below=50, name="low", missing="reference")
    assert choice.treats(TABLE).tolist() == [each is True for each in below]


def decided(**more: object) -> list[str]:
    stated = {"name": "board", "version": "1", "source": "illustration only"}
    policy = Policy.load(stated | more)
    risk = pd.DataFrame({"risk": 0.2, "risk_low": 0.1, "risk_high": 0.3}, index=TABLE.index)
    found = triage(risk, TABLE, policy)
    return list(found["recommendation"].str.cat(found["reason"], sep=": "))


def test_a_marker_rule_and_a_contraindication_refer_where_it_is_unknown():
    rule = {"marker": "pdl1_tps", "monotherapy_from": 50, "combination_below": 50}
    answers = [text.partition(":")[0] for text in decided(marker_rule=rule)]
    words = {True: "monotherapy", False: "combination", None: "refer"}
    assert answers == [words[each] for each in REACHES]
    limits = {"monotherapy_below": 0.4, "combination_from": 0.7}
    against = {"marker": "pdl1_tps", "below": 50, "against": "monotherapy", "source": "minutes"}
    answers = decided(**limits, contraindications=[against])
    assert [text.partition(":")[0] == "monotherapy" for text in answers] == [
        each is True for each in REACHES
    ]
    assert answers[list(REPORTED).index(">=1")] == (
        "refer: Not recorded: pdl1_tps (reported as an interval that spans the limit), which could "
        "rule out monotherapy (policy board 1)."
    )


@settings(deadline=None, max_examples=200, derandomize=True, database=None)
@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100), st.floats(0, 1, exclude_max=True))
def test_no_value_within_the_bounds_contradicts_the_answer(first, second, limit, at):
    low, high = sorted((first, second))
    table = {
        "x": np.array([(low + high) / 2]),
        "x_low": np.array([low]),
        "x_high": np.array([high]),
    }
    answer = reaches(table, "x", limit, 1)[0]
    inside = low + at * (high - low)
    if high > low and inside >= high:  # rounded up to the excluded bound
        inside = np.nextafter(high, low)
    if not np.isnan(answer):
        assert (inside >= limit) == bool(answer)


@pytest.mark.parametrize("limit", [1, 50])
def test_bounds_of_one_patient_do_not_change_another_s(limit):
    whole = reaches(TABLE, "pdl1_tps", limit)
    alone = [reaches(TABLE.iloc[[k]], "pdl1_tps", limit)[0] for k in range(len(TABLE))]
    np.testing.assert_array_equal(whole, alone)

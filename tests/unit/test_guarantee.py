"""Thresholds that keep stated errors: kept in new patients, by the order of the risks alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from stratify.errors import ArgumentError
from stratify.study.borne_errors import BorneErrors
from stratify.study.policy import Policy
from stratify.treatment.guarantee import RiskCuts, both_thresholds, with_thresholds
from stratify.treatment.triage import triage

STATED = {"name": "board", "version": "3", "source": "illustration only"}
ERRORS = BorneErrors(monotherapy=0.4, combination=0.25)


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and risks that are right on average."""
    rng = np.random.default_rng(seed)
    risk = expit(rng.normal(0.5, 1.1, n))
    return (rng.random(n) < risk).astype(float), risk


def truth() -> tuple[np.ndarray, np.ndarray]:
    """Risks of very many patients, in order, and their mean up to each."""
    risk = np.sort(expit(np.random.default_rng(99).normal(0.5, 1.1, 400_000)))
    return risk, np.cumsum(risk) / np.arange(1, len(risk) + 1)


@pytest.mark.parametrize("n", [300, 900])
def test_the_errors_are_kept_in_nine_of_ten_cohorts_and_the_share_is_near_the_oracle_s(n):
    risk, below = truth()
    total = risk.sum()
    places = np.arange(1, len(risk) + 1)
    above = 1 - (total - below * places)[:-1] / (len(risk) - places[:-1])
    oracle = (below <= 0.4).mean() + (above <= 0.25).mean()
    broken, decided = {"monotherapy": 0, "combination": 0}, []
    for seed in range(500):
        mono, both = both_thresholds(RiskCuts.of(*drawn(n, seed)), ERRORS)
        k = 0 if mono.threshold is None else np.searchsorted(risk, mono.threshold)
        j = len(risk) if both.threshold is None else np.searchsorted(risk, both.threshold)
        broken["monotherapy"] += bool(k) and below[k - 1] > 0.4
        broken["combination"] += j < len(risk) and above[j - 1] > 0.25
        decided.append(k / len(risk) + 1 - j / len(risk))
    for side, count in broken.items():
        assert count / 500 <= 0.1 + 1.64 * np.sqrt(0.1 * 0.9 / 500), side
    assert 0.9 < oracle < 1.1
    assert np.mean(decided) > (0.5 if n == 300 else 0.75) * oracle


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(
    st.integers(40, 900),
    st.integers(0, 10_000),
    st.tuples(*[st.floats(0.05, 0.9)] * 4),
    st.floats(0.6, 0.99),
)
def test_smaller_errors_never_decide_more_and_a_higher_risk_never_gets_less(n, seed, errors, level):
    cuts = RiskCuts.of(*drawn(n, seed))
    low, high = (dict(zip(("monotherapy", "combination"), e, strict=True)) for e in (
        (min(errors[:2]), min(errors[2:])), (max(errors[:2]), max(errors[2:]))))  # fmt: skip
    small, large = (
        both_thresholds(cuts, BorneErrors(**each, confidence=level)) for each in (low, high)
    )
    for mono, both in (small, large):
        if mono.threshold is not None and both.threshold is not None:
            assert mono.threshold <= both.threshold
    assert sum(s.share_decided for s in small) <= sum(s.share_decided for s in large) + 1e-9
    policy = with_thresholds(
        Policy.load(STATED | {"errors": {**high, "confidence": level}}), cuts, "x"
    )
    risk = np.linspace(0, 1, 101)
    answers = triage(
        pd.DataFrame({"risk": risk, "risk_low": 0.0, "risk_high": 1.0}),
        pd.DataFrame(index=range(101)),
        policy,
    )["recommendation"]
    order = answers.map({"monotherapy": 0, "refer": 1, "combination": 2})
    assert order.is_monotonic_increasing


def test_cuts_hold_at_least_five_patients_and_say_nothing_of_one():
    for n in (7, 40, 123, 588):
        cuts = RiskCuts.of(*drawn(n, n))
        assert np.diff(cuts.below[1:-1]).min(initial=99) >= 3 if n > 40 else len(cuts.cut) >= 2
        assert cuts.n == n
        assert RiskCuts.from_json(cuts.to_json()).below.tolist() == cuts.below.tolist()


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ({"monotherapy": 0, "combination": 0.2},
         "errors.monotherapy: Input should be greater than 0"),
        ({"monotherapy": 0.3, "combination": 1},
         "errors.combination: Input should be less than 1"),
        ({"monotherapy": 0.3}, "errors.combination: required, but not stated"),
        ({"monotherapy": 0.3, "combination": 0.2, "level": 0.9},
         "errors.level: unknown key"),
    ],
)  # fmt: skip
def test_errors_that_cannot_be_are_refused(errors, message):
    with pytest.raises(Exception, match="policy") as refusal:
        Policy.load(STATED | {"errors": errors})
    assert str(refusal.value) == f"policy: 1 fault in the policy:\n  {message}"


def test_what_contradicts_errors_is_refused():
    errors = {"monotherapy": 0.4, "combination": 0.25}
    for more, message in (
        ({"decide_by": "interval"},
         "decide_by: interval with errors: they hold with `decide_by: risk` alone"),
        ({"in_doubt": "combination"},
         "in_doubt: combination with errors: they hold with `in_doubt: refer` alone"),
        ({"monotherapy_below": 0.7, "combination_from": 0.5},
         "combination_from: monotherapy_below (0.7) must not exceed combination_from (0.5)"),
    ):  # fmt: skip
        with pytest.raises(Exception, match="policy") as refusal:
            Policy.load(STATED | {"errors": errors} | more)
        assert str(refusal.value) == f"policy: 1 fault in the policy:\n  {message}"


def test_without_out_of_fold_risks_errors_find_no_thresholds():
    policy = Policy.load(STATED | {"errors": {"monotherapy": 0.4, "combination": 0.25}})
    with pytest.raises(ArgumentError) as refusal:
        with_thresholds(policy, None, "the bundle")
    assert str(refusal.value) == (
        "policy board 3 states errors, and the bundle has no out-of-fold risks by which to find "
        "thresholds: it is of an earlier version. Train again, or state monotherapy_below and "
        "combination_from in place of errors."
    )
    one = pd.DataFrame({"risk": [0.5], "risk_low": [0.4], "risk_high": [0.6]})
    with pytest.raises(ArgumentError, match="no thresholds were found for them"):
        triage(one, pd.DataFrame(index=one.index), policy)


def test_a_limit_beside_the_errors_is_not_passed():
    cuts = RiskCuts.of(*drawn(900, 1))
    errors = {"monotherapy": 0.45, "combination": 0.3}
    free = with_thresholds(Policy.load(STATED | {"errors": errors}), cuts, "x").thresholds
    limits = {"monotherapy_below": 0.4, "combination_from": 0.8}
    held = with_thresholds(Policy.load(STATED | {"errors": errors} | limits), cuts, "x").thresholds
    assert free[0] > 0.4 >= held[0]
    assert free[1] < 0.8 <= held[1]


def test_scores_name_the_rule_and_the_bound():
    policy = with_thresholds(
        Policy.load(STATED | {"errors": {"monotherapy": 0.4, "combination": 0.25}}),
        RiskCuts.of(*drawn(900, 1)),
        "x",
    )
    risk = pd.DataFrame({"risk": [0.1, 0.55, 0.95]})
    found = triage(risk.assign(risk_low=0.0, risk_high=1.0), pd.DataFrame(index=risk.index), policy)
    assert found["recommendation"].tolist() == ["monotherapy", "refer", "combination"]
    assert found["error_bound"].tolist() == pytest.approx([0.4, np.nan, 0.25], nan_ok=True)
    assert set(found["decision_rule"]) == {"board 3: errors"}

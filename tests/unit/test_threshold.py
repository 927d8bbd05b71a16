"""Thresholds: net benefit beside simple rules, guaranteed error rates, the trial they imply."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.errors import ArgumentError, CohortError
from stratify.statistics.performance import net_benefit
from stratify.treatment.enrichment import enrichment_design, patients_needed, power_of
from stratify.treatment.threshold import (
    controlled_misses,
    controlled_threshold,
    marker_rules,
    net_benefit_table,
)


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    risk = rng.beta(2, 2, n)
    return (rng.random(n) < risk).astype(float), risk


LARGE = np.random.default_rng(9).beta(2, 2, 100_000)


# ------------------------------------------------------------------- net benefit


def test_every_rule_and_every_difference_stands_at_every_threshold():
    y, risk = drawn(200, 0)
    table = pd.DataFrame({"pdl1_tps": np.linspace(0, 100, 200), "tmb": [None] * 200})
    found = net_benefit_table(y, risk, rules=marker_rules(table), thresholds=[0.3, 0.5])
    rules = {"risk", "combination for all", "monotherapy for all", "PD-L1 below 50 %"}
    assert set(found["rule"]) == rules
    assert len(found) == 2 * (4 + 3)
    single = found[(found["rule"] == "risk") & (found["against"] == "")].set_index("threshold")
    assert single.loc[0.3, "value"] == pytest.approx(net_benefit(y, risk, 0.3).value)


def test_a_difference_is_that_of_the_values_on_the_same_patients():
    y, risk = drawn(300, 1)
    rule = np.where(np.arange(300) < 50, np.nan, np.arange(300) % 2)
    found = net_benefit_table(y, risk, rules={"odd": rule}, thresholds=[0.4])
    row = found[found["against"] == "odd"].iloc[0]
    known = ~np.isnan(rule)
    own = net_benefit(y[known], risk[known], 0.4).value
    its = net_benefit(y[known], rule[known], 0.4).value
    assert row["n"] == 250
    assert row["value"] == pytest.approx(own - its)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ([], "thresholds are risks above 0 and below 1; at least one is expected."),
        ([0.3, 1.0], "thresholds are risks above 0 and below 1; at least one is expected."),
        ([0.5, 0.3], "thresholds are [0.5, 0.3]; rising ones are expected."),
    ],
)
def test_thresholds_that_cannot_serve_are_told(thresholds, message):
    with pytest.raises(ArgumentError) as refusal:
        net_benefit_table([0, 1], [0.2, 0.8], thresholds=thresholds)
    assert str(refusal.value) == message


# ------------------------------------------------------------------- guarantees


def test_the_guarantee_holds_in_nine_of_ten_calibration_cohorts():
    """True error above the promised one in at most 10 % of 200 cohorts (binomial limit 15 %)."""
    broken = 0
    for seed in range(200):
        found = controlled_threshold(*drawn(300, seed), error_rate=0.3)
        if found.threshold is not None:
            broken += LARGE[found.threshold > LARGE].mean() > 0.3
    assert broken / 200 <= 0.15


def test_the_expected_misses_are_below_the_promised_ones():
    shares = []
    for seed in range(300):
        found = controlled_misses(*drawn(200, seed), miss_rate=0.1)
        t = found.threshold or 0.0
        shares.append((LARGE * (t > LARGE)).mean())
    assert 0.085 <= np.mean(shares) <= 0.1 + 0.003


def test_where_no_threshold_is_safe_that_is_the_answer():
    y, risk = drawn(300, 0)
    found = controlled_threshold(y, risk, error_rate=0.01)
    assert found.threshold is None
    assert found.statement == (
        "No threshold guarantees at most 1 % resistant patients among those given monotherapy "
        "(300 patients, confidence 90 %). A model that separates better is needed: of the "
        f"30 with the lowest risks {100 * y[np.argsort(risk)[:30]].mean():.0f} % are resistant."
    )


def test_a_safe_threshold_is_told_with_its_share():
    y, risk = drawn(2000, 0)
    found = controlled_threshold(y, risk, error_rate=0.3)
    decided = risk < found.threshold
    assert found.error == pytest.approx(y[decided].mean())
    assert found.statement == (
        f"Below {found.threshold:g}, at most 30 % resistant patients among those given "
        f"monotherapy (2000 patients, confidence 90 %): {100 * decided.mean():.0f} % of the "
        "patients."
    )


@pytest.mark.parametrize("rate", [0, 1, 30])
def test_a_rate_that_is_no_share_is_told(rate):
    with pytest.raises(ArgumentError) as refusal:
        controlled_threshold([0, 1], [0.2, 0.8], error_rate=rate)
    assert str(refusal.value) == (f"error_rate is {rate}; a share above 0 and below 1 is expected.")


# ------------------------------------------------------------------- the trial


def test_events_are_those_of_schoenfeld():
    """Hazard ratio 0.5, 90 % power: 88 events (Collett 2015, Modelling Survival Data, 15.2)."""
    assert patients_needed(0.5, 0.5, power=0.9)[0] == 88


@pytest.mark.parametrize("ratio", [0.6, 0.7, 0.85])
@pytest.mark.parametrize("rate", [0.2, 0.6, 0.9])
def test_the_number_needed_has_the_power_asked(ratio, rate):
    _, n = patients_needed(ratio, rate, power=0.8)
    assert power_of(n, ratio, rate) == pytest.approx(0.8, abs=0.005)


def test_selecting_those_with_more_events_needs_fewer_patients_and_more_screening():
    event = np.repeat([1, 0, 1, 0], [60, 40, 20, 80])
    chosen = np.repeat(["combination", "refer"], 100)
    design = enrichment_design(chosen, event, hazard_ratios=[0.7]).set_index("population")
    assert design.loc["selected", "event_rate"] == pytest.approx(0.6)
    assert design.loc["all", "event_rate"] == pytest.approx(0.4)
    assert design.loc["selected", "patients"] < design.loc["all", "patients"]
    assert design.loc["selected", "to_screen"] == 2 * design.loc["selected", "patients"]
    assert (design["patients_low"] < design["patients"]).all()
    assert (design["patients"] < design["patients_high"]).all()
    assert (design["power_low"] < 0.8).all()  # fewer events than planned, less power
    assert (design["power_high"] > 0.8).all()


def test_a_policy_that_selects_few_plans_no_trial():
    with pytest.raises(CohortError) as refusal:
        enrichment_design(["refer"] * 40 + ["combination"] * 19, [0, 1] * 29 + [0])
    assert str(refusal.value) == (
        "The policy gives combination to fewer than 20 of 59 patients; a trial of such patients "
        "cannot be planned from this cohort."
    )

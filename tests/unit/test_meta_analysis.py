"""Laws and refusals of pooling; values stand among the reference tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratify.errors import ArgumentError
from stratify.statistics.meta_analysis import (
    META_ANALYSIS_COLUMNS,
    pool_performance,
    random_effects,
)
from stratify.statistics.performance import Prediction, performance_table
from stratify.tables.schema import load_schema

numbers = st.floats(-3, 3, allow_nan=False)
spreads = st.floats(0.01, 2)


@given(st.lists(st.tuples(numbers, spreads), min_size=2, max_size=8), numbers)
def test_the_mean_lies_among_the_cohorts_and_moves_with_them(cohorts, shift):
    means, errors = np.array(cohorts).T
    found = random_effects(means, errors)
    assert means.min() - 1e-9 <= found.value <= means.max() + 1e-9
    assert found.low <= found.value <= found.high
    assert found.tau >= 0
    moved = random_effects(means + shift, errors)
    assert moved.value == pytest.approx(found.value + shift, abs=1e-4)
    assert moved.tau == pytest.approx(found.tau, abs=1e-3)


@given(st.lists(st.tuples(numbers, spreads), min_size=3, max_size=8))
def test_a_new_cohort_is_less_certain_than_the_mean(cohorts):
    found = random_effects(*np.array(cohorts).T)
    assert found.prediction_low < found.low
    assert found.prediction_high > found.high


def test_equal_cohorts_have_no_heterogeneity():
    found = random_effects([0.5] * 4, [0.1, 0.2, 0.1, 0.3])
    assert (found.value, found.tau) == (pytest.approx(0.5), 0.0)


def test_one_cohort_keeps_its_own_interval_and_two_give_no_prediction():
    one = random_effects([0.5], [0.1])
    assert one[:3] == pytest.approx((0.5, 0.5 - 0.1959964, 0.5 + 0.1959964))
    assert np.isnan(one[3:]).all()
    two = random_effects([0.5, 0.7], [0.1, 0.1])
    assert np.isnan([two.prediction_low, two.prediction_high]).all()
    assert two.high - two.low > 1  # one degree of freedom


@pytest.mark.parametrize(("k", "least"), [(8, 0.87), (30, 0.93)])
def test_intervals_cover_the_truth_as_often_as_they_say(k, least):
    """Heterogeneous cohorts of unequal size; for few, a new one is covered in 90 % (Partlett 2017).

    Standard error of a share of 0.95 among 400: 0.011.
    """
    rng = np.random.default_rng(0)
    mean_in, new_in = [], []
    for _ in range(400):
        errors = rng.uniform(0.05, 0.3, k)
        found = random_effects(rng.normal(0.9, 0.2, k) + errors * rng.normal(size=k), errors)
        mean_in.append(found.low <= 0.9 <= found.high)
        new_in.append(found.prediction_low <= rng.normal(0.9, 0.2) <= found.prediction_high)
    assert np.mean(mean_in) == pytest.approx(0.95, abs=0.03)
    assert least < np.mean(new_in) < 0.98


MESSAGES = [
    (
        lambda: random_effects([0.5, 0.6], [0.1, 0.0]),
        "errors has 1 of 2 values that are not above 0; standard errors are expected: leave out "
        "cohorts without one.",
    ),
    (
        lambda: pool_performance(pd.concat([judged(), judged()])),
        "performance has 18 rows of a cohort, model, reference and metric that are there already; "
        "choose one split and subgroup.",
    ),
]


@pytest.mark.parametrize(("call", "message"), MESSAGES, ids=["error", "twice"])
def test_every_refusal_is_a_whole_sentence(call, message):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == message


def judged() -> pd.DataFrame:
    """Three cohorts of 200 to 400 patients, one of them with risks that are too high."""
    rng = np.random.default_rng(1)
    tables = []
    for name, n, shift in (("a", 200, 0.0), ("b", 300, 0.0), ("c", 400, 0.7)):
        margin = rng.normal(0.3, 1, n)
        y = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(float)
        risk = 1 / (1 + np.exp(-margin - shift))
        models = {
            "stratify": Prediction(risk, probability=True),
            "tmb": Prediction(margin + rng.normal(0, 2, n), probability=False),
        }
        table = performance_table(y, models, cohort=name, split="external", resampled=False)
        tables.append(table[~table["metric"].isin(["brier", "mean_predicted", "mean_observed"])])
    return pd.concat(tables, ignore_index=True)


def test_each_model_and_metric_is_pooled_on_its_scale():
    rows = judged()
    table = pool_performance(rows)
    assert list(table.columns) == list(META_ANALYSIS_COLUMNS)
    assert list(table.columns) == list(load_schema("meta_analysis").fields)
    assert table[["model", "reference", "metric"]].to_numpy().tolist() == [
        ["stratify", "", "auroc"],
        ["stratify", "", "calibration_intercept"],
        ["stratify", "", "calibration_slope"],
        ["stratify", "", "observed_expected"],
        ["tmb", "", "auroc"],
        ["stratify", "tmb", "delta_auroc"],
    ]
    assert set(table["n"]) == {900}
    assert set(table["n_cohorts"]) == {3}
    assert (table["low"] < table["value"]).all()
    assert (table["value"] < table["high"]).all()
    assert table.loc[table["metric"] == "auroc", "prediction_high"].max() < 1
    oe = rows[rows["metric"] == "observed_expected"]
    auroc = rows.query("metric == 'auroc' and model == 'stratify'").set_index("cohort")
    share = pd.Series({"a": 2, "b": 3, "c": 4}) / 9
    error = (auroc["high"] - auroc["low"]) / 2 / 1.959964
    pooled = table.iloc[0]
    assert pooled["weighted"] == pytest.approx((share * auroc["value"]).sum())
    assert pooled["weighted_high"] - pooled["weighted"] == pytest.approx(
        1.959964 * np.sqrt((share**2 * error**2).sum()), abs=1e-7
    )
    logs = np.log(oe["value"]), (np.log(oe["high"]) - np.log(oe["low"])) / 2 / 1.959964
    by_hand = random_effects(*logs)
    found = table.set_index("metric").loc["observed_expected"]
    assert found["value"] == pytest.approx(np.exp(by_hand.value), abs=1e-6)
    assert found["prediction_low"] == pytest.approx(np.exp(by_hand.prediction_low), abs=1e-5)
    assert found["tau"] == pytest.approx(by_hand.tau, abs=1e-6)


def test_cohorts_where_a_metric_is_undefined_are_left_out_of_it_alone():
    rows = judged()
    undefined = (rows["cohort"] == "b") & (rows["metric"] == "auroc")
    rows.loc[undefined, ["value", "low", "high"]] = np.nan
    perfect = (rows["cohort"] == "a") & (rows["metric"] == "auroc") & (rows["model"] == "tmb")
    rows.loc[perfect, ["value", "low", "high"]] = 1.0  # no error can be told
    table = pool_performance(rows).set_index(["model", "metric"])
    assert table.loc[("stratify", "auroc"), "n_cohorts"] == 2
    assert table.loc[("stratify", "auroc"), "n"] == 600
    assert table.loc[("tmb", "auroc"), "n_cohorts"] == 1
    assert table.loc[("stratify", "calibration_slope"), "n_cohorts"] == 3

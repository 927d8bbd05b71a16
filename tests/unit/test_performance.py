"""Messages, edges and laws of decisions and of the performance table."""

from __future__ import annotations

from time import process_time

import numpy as np
import pandas as pd
import pytest

from stratify.errors import ArgumentError
from stratify.statistics.calibration import calibration_slope
from stratify.statistics.discrimination import auroc
from stratify.statistics.intervals import Estimate
from stratify.statistics.performance import (
    PERFORMANCE_COLUMNS,
    Prediction,
    classification_at,
    decision_curve,
    net_benefit,
    observed_expected,
    performance_table,
)

Y = [0, 0, 1, 1]
P = [0.1, 0.6, 0.7, 0.9]
MEND = "mend them or leave those patients out of every array."


@pytest.fixture
def cohort() -> dict[str, np.ndarray]:
    """Simulate 300 patients: a calibrated risk, a weaker score, a survival time."""
    rng = np.random.default_rng(7)
    logit = rng.normal(-0.3, 1.2, 300)
    p = 1 / (1 + np.exp(-logit))
    return {
        "y": (rng.random(300) < p).astype(float),
        "p": p,
        "score": np.round(logit + rng.normal(0, 2, 300), 1),
        "time": np.round(rng.exponential(np.exp(-logit)), 1),
        "event": (rng.random(300) < 0.7).astype(float),
    }


def _table(predictions, y=Y, **more):
    return performance_table(y, predictions, cohort="c", split="test", **more)


MESSAGES = [
    (
        lambda: net_benefit(Y, P, 1),
        "threshold is 1; expected a risk of at least 0 and below 1.",
    ),
    (
        lambda: decision_curve(Y, {"flag_none": P}, [0.5]),
        "risks names a model 'flag_none'; the name is taken: rename the model.",
    ),
]


@pytest.mark.parametrize(("call", "message"), MESSAGES, ids=[m[:40] for _, m in MESSAGES])
def test_every_refusal_is_a_whole_sentence(call, message):
    with pytest.raises(ArgumentError) as refusal:
        call()
    assert str(refusal.value) == message


TABLE_MESSAGES = [
    ({}, {}, "predictions is empty; expected at least one model: add one."),
    (
        {"tmb": Prediction([1, np.nan, np.nan, 4], probability=False)},
        {},
        f"predictions['tmb'].risk has 2 of 4 values missing or infinite; expected finite numbers: "
        f"{MEND}",
    ),
    (
        {"loris": Prediction([0.1, 0.2], probability=True)},
        {},
        "predictions['loris'].risk has 2 values where y has 4; expected one per patient: pass the "
        "same patients in the same order.",
    ),
    (
        {"rule": Prediction([0, 1, 2, 1], probability=False, binary=True)},
        {},
        "predictions['rule'].risk has 1 of 4 values outside the range; expected only 0 and 1, "
        f"where 1 is the event: {MEND}",
    ),
    (
        {"flag_all": Prediction(P, probability=True)},
        {},
        "predictions names a model 'flag_all'; the name is taken: rename the model.",
    ),
    (
        {"m": Prediction(P, probability=True)},
        {"time": [1, 2, 3, 4]},
        "event is absent; expected both time and event, or neither: pass both.",
    ),
    (
        {"m": Prediction(P, probability=True)},
        {"reference_names": ["tmb"]},
        "reference_names has ['tmb']; expected names of predictions other than 'm': add a "
        "prediction or correct the name.",
    ),
    (
        {"m": Prediction(P, probability=True), "n": Prediction(P, probability=True)},
        {"delta_for": "loris"},
        "delta_for is 'loris'; expected a name of predictions, which are m, n: add a prediction "
        "or correct the name.",
    ),
    (
        {"m": Prediction(P, probability=True), "n": Prediction(P, probability=True)},
        {"delta_for": "n", "reference_names": ["n"]},
        "reference_names has ['n']; expected names of predictions other than 'n': add a "
        "prediction or correct the name.",
    ),
    (
        {"m": Prediction(P, probability=True)},
        {"thresholds": [0.2, 20]},
        "threshold is 20.0; expected a risk of at least 0 and below 1.",
    ),
]


@pytest.mark.parametrize(("predictions", "more", "message"), TABLE_MESSAGES)
def test_the_table_refuses_in_a_whole_sentence(predictions, more, message):
    with pytest.raises(ArgumentError) as refusal:
        _table(predictions, **more)
    assert str(refusal.value) == message


def test_classification_at_a_threshold_counts_the_equal_as_flagged():
    #            flagged: no   yes  yes  no
    found = classification_at([0, 0, 1, 1], [0.1, 0.5, 0.9, 0.4], 0.5)
    values = {name: estimate.value for name, estimate in found.items()}
    assert values == {
        "sensitivity": 0.5,
        "specificity": 0.5,
        "ppv": 0.5,
        "npv": 0.5,
        "share_flagged": 0.5,
    }


def test_nobody_flagged_leaves_no_ppv_and_nobody_spared_no_npv():
    assert np.isnan(classification_at(Y, P, 0.95)["ppv"]).all()
    assert np.isnan(classification_at(Y, P, 0.05)["npv"]).all()
    assert np.isnan(classification_at([0, 0], [0.1, 0.2], 0.5)["sensitivity"]).all()


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.25, 0.6, 0.99])
def test_flagging_all_and_none_have_their_formulas(cohort, threshold):
    y, share = cohort["y"], cohort["y"].mean()
    curve = decision_curve(y, {"m": cohort["p"]}, [threshold]).set_index("model")
    expected = share - (1 - share) * threshold / (1 - threshold)
    assert curve.loc["flag_all", "net_benefit"] == pytest.approx(expected, abs=1e-12)
    assert curve.loc["flag_none", ["net_benefit", "low", "high"]].tolist() == [0, 0, 0]
    assert curve.loc["m", "net_benefit"] == net_benefit(y, cohort["p"], threshold).value


def test_net_benefit_from_counts_and_its_interval_from_the_bootstrap(cohort):
    y, p, t = cohort["y"], cohort["p"], 0.4
    flagged = p >= t
    hits, alarms = (flagged & (y == 1)).mean(), (flagged & (y == 0)).mean()
    estimate = net_benefit(y, p, t)
    assert estimate.value == pytest.approx(hits - alarms * t / (1 - t), abs=1e-12)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 300, (2000, 300))
    gains = flagged[rows] * (y[rows] - (1 - y[rows]) * t / (1 - t))
    limits = np.quantile(gains.mean(axis=1), [0.025, 0.975])
    assert estimate[1:] == pytest.approx(limits, abs=0.01)


def test_observed_to_expected_by_hand_and_its_interval_from_the_bootstrap(cohort):
    """60 events of 300, 48 expected; variance of the log by Debray 2017 is (1 - 0.2) / 60."""
    y, p = np.repeat([1.0, 0.0], [60, 240]), np.full(300, 0.16)
    half = 1.959964 * np.sqrt(0.8 / 60)
    assert observed_expected(y, p) == pytest.approx(
        (1.25, 1.25 * np.exp(-half), 1.25 * np.exp(half)), abs=1e-6
    )
    rows = np.random.default_rng(0).integers(0, 300, (2000, 300))
    limits = np.quantile(y[rows].mean(axis=1) / 0.16, [0.025, 0.975])
    assert observed_expected(y, p)[1:] == pytest.approx(limits, rel=0.03)
    assert observed_expected(cohort["y"], cohort["p"]).value == pytest.approx(
        cohort["y"].mean() / cohort["p"].mean(), abs=1e-12
    )


def test_observed_to_expected_has_no_interval_without_events_and_none_at_all_without_risk():
    nothing = (np.nan,) * 3
    assert observed_expected([0, 0], [0.5, 0.5]) == pytest.approx((0, np.nan, np.nan), nan_ok=True)
    assert observed_expected([0, 1], [0.0, 0.0]) == pytest.approx(nothing, nan_ok=True)


def test_without_resampling_only_the_metrics_that_need_it_are_left_out(cohort, models):
    whole = _table(models, cohort["y"], thresholds=(0.5,))
    quick = _table(models, cohort["y"], thresholds=(0.5,), resampled=False)
    kept = whole[~whole["metric"].isin(["average_precision", "brier_skill"])]
    pd.testing.assert_frame_equal(quick, kept.reset_index(drop=True))
    assert len(whole) - len(quick) == 4 + 2


@pytest.fixture
def models(cohort) -> dict[str, Prediction]:
    """Name one model of each kind, the package's own first."""
    return {
        "stratify": Prediction(cohort["p"], probability=True),
        "loris": Prediction(np.clip(cohort["p"] + 0.1, 0, 1), probability=True),
        "tmb": Prediction(cohort["score"], probability=False),
        "tmb_below_10": Prediction(cohort["score"] > 0, probability=False, binary=True),
    }


def test_each_kind_of_model_gets_its_metrics(cohort, models):
    table = _table(
        models, cohort["y"], thresholds=(0.2, 0.5), time=cohort["time"], event=cohort["event"]
    )
    assert tuple(table.columns) == PERFORMANCE_COLUMNS
    ranking = {"auroc", "average_precision", "c_index"}
    decision = {"sensitivity", "specificity", "ppv", "npv", "share_flagged"}
    probability = {"brier", "brier_skill", "calibration_intercept", "calibration_slope"}
    probability |= {"mean_predicted", "mean_observed", "observed_expected", "net_benefit"}
    found = table[table["reference"] == ""].groupby("model")["metric"].agg(set).to_dict()
    assert found == {
        "stratify": ranking | decision | probability,
        "loris": ranking | decision | probability,
        "tmb": ranking,
        "tmb_below_10": ranking | decision,
        "flag_all": {"net_benefit"},
    }
    at_threshold = decision | {"net_benefit"}
    of_stratify = table[(table["model"] == "stratify") & table["threshold"].notna()]
    assert set(of_stratify["metric"]) == at_threshold
    assert of_stratify["threshold"].value_counts().to_dict() == {0.2: 6, 0.5: 6}
    assert table.loc[table["model"] == "tmb_below_10", "threshold"].isna().all()
    assert (table["n"] == 300).all()
    other = table["metric"] != "c_index"
    assert set(table.loc[other, "n_events"]) == {int(cohort["y"].sum())}
    assert set(table.loc[~other, "n_events"]) == {int(cohort["event"].sum())}
    assert not table.duplicated(["model", "reference", "metric", "threshold"]).any()


@pytest.mark.parametrize(
    ("names", "delta_for", "expected"),
    [
        (["a", "b", "stratify"], None, "stratify"),
        (["a", "b", "c"], None, "a"),
        (["a", "b", "stratify"], "b", "b"),
    ],
)
def test_differences_are_for_stratify_or_the_first_or_the_one_named(names, delta_for, expected):
    models = {name: Prediction(P, probability=True) for name in names}
    table = _table(models, delta_for=delta_for)
    paired = table[table["reference"] != ""]
    assert set(paired["model"]) == {expected}
    assert set(paired["reference"]) == set(names) - {expected}


def test_the_sign_of_a_difference_follows_the_model_named(cohort, models):
    mine = _table(models, cohort["y"], reference_names=["loris"])
    theirs = _table(models, cohort["y"], delta_for="loris", reference_names=["stratify"])
    limits = ["value", "low", "high"]
    for metric in ("delta_auroc", "delta_brier"):
        row = mine.loc[mine["metric"] == metric, limits].iloc[0]
        other = theirs.loc[theirs["metric"] == metric, limits].iloc[0]
        assert tuple(row) == pytest.approx(tuple(-other[["value", "high", "low"]]), abs=1e-12)


def test_four_models_at_six_thresholds_on_750_patients_take_under_600_ms():
    rng = np.random.default_rng(0)
    p = 1 / (1 + np.exp(-rng.normal(-0.3, 1.2, 750)))
    y, waited = (rng.random(750) < p).astype(float), rng.exponential(1 / p)
    risks = {name: np.clip(p + rng.normal(0, 0.1, 750), 0, 1) for name in "abcd"}
    models = {name: Prediction(risk, probability=True) for name, risk in risks.items()}
    more = {"thresholds": np.linspace(0.1, 0.6, 6), "time": waited, "event": np.ones(750)}
    seconds = []
    for _ in range(4):  # the first one imports statsmodels
        start = process_time()  # other programs on the machine do not count
        _table(models, y, **more)
        seconds.append(process_time() - start)
    assert min(seconds) < 0.6


def test_paired_rows_compare_stratify_with_each_other_model(cohort, models):
    table = _table(models, cohort["y"])
    paired = table[table["reference"] != ""]
    rows = list(zip(paired["model"], paired["reference"], paired["metric"], strict=True))
    assert rows == [
        ("stratify", "loris", "delta_auroc"),
        ("stratify", "loris", "delta_brier"),
        ("stratify", "tmb", "delta_auroc"),
        ("stratify", "tmb_below_10", "delta_auroc"),
    ]
    value = table.set_index(["model", "reference", "metric"])["value"]
    gap = value["stratify", "", "brier"] - value["loris", "", "brier"]
    assert value["stratify", "loris", "delta_brier"] == pytest.approx(gap, abs=1e-12)
    only = _table(models, cohort["y"], reference_names=["tmb"])
    assert set(only["reference"]) == {"", "tmb"}


def test_the_table_says_what_the_functions_say(cohort, models):
    y, p = cohort["y"], cohort["p"]
    table = _table(models, y, thresholds=[0.3], subgroup="women", level=0.9)
    assert set(table["subgroup"]) == {"women"}
    mine = table[(table["model"] == "stratify") & (table["reference"] == "")]
    rows = {r.metric: Estimate(r.value, r.low, r.high) for r in mine.itertuples()}
    assert rows["auroc"] == auroc(y, p, 0.9)
    assert rows["calibration_slope"] == calibration_slope(y, p, 0.9)
    assert rows["npv"] == classification_at(y, p, 0.3, 0.9)["npv"]
    assert rows["net_benefit"] == net_benefit(y, p, 0.3, 0.9)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_nan_and_never_a_crash(label):
    models = {
        "m": Prediction(P, probability=True),
        "s": Prediction([3, 1, 2, 2], probability=False),
        "r": Prediction([1, 0, 1, 0], probability=False, binary=True),
    }
    table = _table(models, [label] * 4, thresholds=[0.5], time=[1, 1, 1, 1], event=[0] * 4)
    undefined = {"auroc", "average_precision", "brier_skill", "calibration_intercept"}
    undefined |= {"calibration_slope", "c_index", "delta_auroc"}
    undefined |= {"sensitivity"} if label == 0 else {"specificity"}
    assert set(table.loc[table["value"].isna(), "metric"]) == undefined


def test_the_order_of_rows_and_an_index_do_not_matter_and_inputs_stay(cohort, models):
    frame = pd.DataFrame(cohort)
    order = np.random.default_rng(5).permutation(300)
    moved = {
        name: Prediction(pd.Series(np.asarray(m.risk)[order], index=order), m.probability, m.binary)
        for name, m in models.items()
    }
    survival = {"time": frame["time"], "event": frame["event"]}
    table = _table(models, frame["y"], thresholds=[0.3], **survival)
    survival = {name: column.iloc[order] for name, column in survival.items()}
    again = _table(moved, frame["y"].iloc[order], thresholds=[0.3], **survival)
    pd.testing.assert_frame_equal(table, again, rtol=1e-9)
    pd.testing.assert_frame_equal(frame, pd.DataFrame(cohort))

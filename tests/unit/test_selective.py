"""Selective prediction: who is decided on first, and how often that goes wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from stratify.errors import ArgumentError
from stratify.report.figures import png
from stratify.report.share_figures import error_by_share
from stratify.statistics.discrimination import auroc
from stratify.statistics.performance import classification_at
from stratify.statistics.selective import certainty, selective_curve

Cohort = dict[str, np.ndarray]


def drawn(n: int, seed: int) -> Cohort:
    """Risks that err by as much as their intervals say, and labels of the true ones."""
    rng = np.random.default_rng(seed)
    truth, width = rng.normal(0, 1.2, n), rng.uniform(0.1, 1.5, n)
    margin = truth + width * rng.standard_normal(n)
    y = (rng.random(n) < expit(truth)).astype(float)
    limits = {"low": expit(margin - width), "high": expit(margin + width)}
    return {"y": y, "risk": expit(margin)} | limits


def metric(curve: pd.DataFrame, name: str) -> pd.DataFrame:
    return curve[curve["metric"] == name].set_index("share")


def test_certainty_is_the_distance_in_half_widths():
    risk = np.array([0.2, 0.5, 0.9])
    low, high = expit(logit(risk) - 0.5), expit(logit(risk) + 0.5)
    expected = np.abs(logit(risk) - logit(0.4)) / 0.5
    np.testing.assert_allclose(certainty(risk, low, high, 0.4), expected)
    # the whole interval lies on one side just where certainty is above 1
    cohort = drawn(500, 0)
    limits = cohort["risk"], cohort["low"], cohort["high"]
    one_side = (cohort["low"] > 0.4) | (cohort["high"] < 0.4)
    assert ((certainty(*limits, 0.4) > 1) == one_side).all()


def test_everyone_decided_on_gives_the_plain_metrics():
    cohort = drawn(300, 1)
    curve = selective_curve(**cohort, threshold=0.5, shares=[1.0])
    y, risk = cohort["y"], cohort["risk"]
    plain = classification_at(y, risk, 0.5)
    found = {row.metric: (row.value, row.low, row.high) for row in curve.itertuples()}
    assert found["ppv"] == plain["ppv"]
    assert found["npv"] == plain["npv"]
    assert found["auroc"] == pytest.approx(auroc(y, risk))
    assert found["error"][0] == ((risk >= 0.5) != y).mean()


def test_a_share_holds_the_surest_patients():
    cohort = drawn(200, 2)
    curve = selective_curve(**cohort, threshold=0.5, shares=[0.3])
    sure = certainty(cohort["risk"], cohort["low"], cohort["high"], 0.5)
    rows = sure >= np.sort(sure)[-60]
    y, risk = cohort["y"][rows], cohort["risk"][rows]
    assert curve[["n", "n_events"]].drop_duplicates().values.tolist() == [[60, y.sum()]]
    assert metric(curve, "error")["value"].item() == ((risk >= 0.5) != y).mean()
    assert metric(curve, "auroc")["value"].item() == pytest.approx(auroc(y, risk).value)


def test_honest_intervals_err_less_where_they_are_sure():
    error = metric(selective_curve(**drawn(4000, 3), threshold=0.5), "error")["value"]
    assert error.is_monotonic_increasing
    assert error[0.2] < error[1.0] / 2


def test_intervals_that_tell_nothing_gain_nothing():
    cohort = drawn(4000, 4)
    rng = np.random.default_rng(5)
    blind = {"y": cohort["y"], "risk": rng.uniform(0.1, 0.9, 4000)}
    blind |= {"low": blind["risk"] / 2, "high": (1 + blind["risk"]) / 2}
    error = metric(selective_curve(**blind, threshold=0.5), "error")
    assert error.loc[0.2, "low"] < error.loc[1.0, "value"] < error.loc[0.2, "high"]


def test_order_of_rows_does_not_matter():
    cohort = drawn(150, 6)
    rows = np.random.default_rng(0).permutation(150)
    other = {name: values[rows] for name, values in cohort.items()}
    pd.testing.assert_frame_equal(
        selective_curve(**cohort, threshold=0.5), selective_curve(**other, threshold=0.5)
    )


def test_a_number_that_is_undefined_is_missing():
    curve = selective_curve([1, 1, 0], [0.9, 0.8, 0.7], [0.8, 0.6, 0.1], [0.95, 0.9, 0.99],
                            threshold=0.5, shares=[0.6])  # fmt: skip
    assert metric(curve, "auroc")[["value", "low", "high"]].isna().all(axis=None)
    assert metric(curve, "npv")[["value", "low", "high"]].isna().all(axis=None)
    assert metric(curve, "error")["value"].item() == 0


def test_an_interval_without_width_is_sure():
    assert certainty([0.6], [0.6], [0.6], 0.5)[0] > 1e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1}, "threshold is 1; expected a risk above 0 and below 1."),
        ({"shares": [0.5, 1.2]}, "shares holds 1.2; expected shares above 0 and up to 1."),
        ({"shares": [0]}, "shares holds 0; expected shares above 0 and up to 1."),
        ({"level": 95}, "level is 95; expected a coverage between 0 and 1, such as 0.95."),
        (
            {"low": [0.1, 0.2]},
            "low has 2 values where y has 3; expected one per patient: pass the same patients in "
            "the same order.",
        ),
        (
            {"y": [0, 1, 2]},
            "y has 1 of 3 values outside the range; expected only 0 and 1, where 1 is the event: "
            "mend them or leave those patients out of every array.",
        ),
    ],
)
def test_every_refusal_is_a_whole_sentence(change, message):
    good = {"y": [0, 1, 1], "risk": [0.2, 0.6, 0.7], "low": [0.1, 0.5, 0.6]}
    good |= {"high": [0.3, 0.7, 0.8], "threshold": 0.5}
    with pytest.raises(ArgumentError) as refusal:
        selective_curve(**{**good, **change})
    assert str(refusal.value) == message


def test_the_plot_shows_error_with_its_interval():
    curve = selective_curve(**drawn(300, 7), threshold=0.5)
    figure = error_by_share(curve, title="Lung A, n = 300")
    (ax,) = figure.axes
    drawn_line = ax.lines[0].get_xydata()
    error = metric(curve, "error")
    np.testing.assert_array_equal(drawn_line, np.column_stack([error.index, error["value"]]))
    assert ax.lines[1].get_ydata()[0] == error["value"].iloc[-1]
    assert png(figure)[1:4] == b"PNG"
    with pytest.raises(ArgumentError, match=r"^`curve` lacks the column\(s\) low\.$"):
        error_by_share(curve.drop(columns="low"), title="Lung A")

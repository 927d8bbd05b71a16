"""Messages, edges and laws of calibration."""

from __future__ import annotations

import numpy as np
import pytest

from stratify.errors import ArgumentError
from stratify.statistics.calibration import (
    brier,
    brier_skill,
    calibration_curve,
    calibration_intercept,
    calibration_slope,
    delta_brier,
    mean_observed,
    mean_predicted,
)
from stratify.statistics.intervals import Estimate

Y = [0, 0, 1, 1]
P = [0.1, 0.6, 0.7, 0.9]
MEND = "mend them or leave those patients out of every array."


@pytest.fixture
def cohort() -> dict[str, np.ndarray]:
    """Simulate 300 patients with a calibrated risk."""
    rng = np.random.default_rng(7)
    p = 1 / (1 + np.exp(-rng.normal(-0.3, 1.2, 300)))
    return {"y": (rng.random(300) < p).astype(float), "p": p}


MESSAGES = [
    (
        lambda: brier([0, 1, 2, 0.5], P),
        "y has 2 of 4 values outside the range; expected only 0 and 1, where 1 is the event: "
        f"{MEND}",
    ),
    (
        lambda: brier(Y, [0, 0, 1, 1.2]),
        f"p has 1 of 4 values outside the range; expected probabilities from 0 to 1: {MEND}",
    ),
    (
        lambda: mean_observed([]),
        "y has shape (0,); expected (n_patients,) with at least one patient.",
    ),
    (
        lambda: mean_predicted([[0.1], [0.2]]),
        "p has shape (2, 1); expected (n_patients,) with at least one patient.",
    ),
    (
        lambda: brier_skill([1, 1], [0.5, 0.5]),
        "y has 2 events among 2 patients; expected at least one patient with and one without the "
        "event: the metric is undefined, so use a larger cohort.",
    ),
    (
        lambda: brier(Y, P, level=95),
        "level is 95; expected a coverage between 0 and 1, such as 0.95.",
    ),
    (
        lambda: calibration_curve(Y, P, n_bins=0),
        "n_bins is 0; expected 1 or more, such as 10.",
    ),
]


@pytest.mark.parametrize(("call", "message"), MESSAGES, ids=[m[:40] for _, m in MESSAGES])
def test_every_refusal_is_a_whole_sentence(call, message):
    with pytest.raises(ArgumentError) as refusal:
        call()
    assert str(refusal.value) == message


def test_calibrated_risks_have_intercept_0_and_slope_1_in_95_of_100_intervals():
    rng = np.random.default_rng(11)
    logit = rng.normal(-0.3, 1.2, (400, 150))
    p = 1 / (1 + np.exp(-logit))
    y = (rng.random(p.shape) < p).astype(float)
    for metric, ideal in ((calibration_intercept, 0), (calibration_slope, 1)):
        found = [metric(*cohort) for cohort in zip(y, p, strict=True)]
        covered = np.mean([e.low < ideal < e.high for e in found])
        assert 0.92 <= covered <= 0.98  # three standard errors of 400 draws


def test_doubled_logits_halve_the_slope(cohort):
    y, p = cohort["y"], cohort["p"]
    doubled = p**2 / (p**2 + (1 - p) ** 2)
    half = [limit / 2 for limit in calibration_slope(y, p)]
    assert calibration_slope(y, doubled) == pytest.approx(half, rel=1e-6)


def test_shifted_logits_shift_the_intercept(cohort):
    y, p = cohort["y"], cohort["p"]
    shifted = p * np.e / (1 - p + p * np.e)
    moved = [limit - 1 for limit in calibration_intercept(y, p)]
    assert calibration_intercept(y, shifted) == pytest.approx(moved, abs=1e-8)


@pytest.mark.parametrize(
    ("y", "p"),
    [
        (Y, P),
        (Y, [0.9, 0.7, 0.6, 0.1]),
        (Y, [0.1, 0.5, 0.5, 0.9]),
        (Y, [0.5, 0.5, 0.5, 0.5]),
        ([1, 1, 1, 1], P),
    ],
    ids=["separated", "reversed", "touching", "constant", "one class"],
)
def test_no_slope_without_a_maximum(y, p):
    assert np.isnan(calibration_slope(y, p)).all()


def test_one_class_has_no_calibration_intercept():
    assert np.isnan(calibration_intercept([0, 0], [0.2, 0.3])).all()


def test_confident_and_wrong_predictions_still_have_an_intercept():
    # Least squares reweighted, started anywhere, ends at -1e15 here.
    p = np.repeat([1e-9, 1 - 1e-9], 20)
    estimate = calibration_intercept(np.tile([0, 0, 0, 1], 10), p)
    assert np.isfinite(estimate).all()
    assert estimate.low < estimate.value < 0


def test_the_prevalence_as_prediction_has_no_skill_and_the_truth_has_all(cohort):
    y = cohort["y"]
    assert brier_skill(y, np.full(300, y.mean())).value == pytest.approx(0, abs=1e-12)
    assert brier_skill(y, y) == Estimate(1.0, 1.0, 1.0)


def test_the_brier_skill_interval_agrees_with_the_delta_method(cohort):
    y, p = cohort["y"], cohort["p"]
    squares, share = (p - y) ** 2, y.mean()
    spread = share * (1 - share)
    slope = squares.mean() * (1 - 2 * share) / spread
    error = np.std((squares - slope * y) / spread) / np.sqrt(y.size)
    estimate = brier_skill(y, p)
    assert (estimate.high - estimate.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.06)


def test_equal_risks_differ_by_zero_with_no_width(cohort):
    assert delta_brier(cohort["y"], cohort["p"], cohort["p"]) == Estimate(0.0, 0.0, 0.0)


def test_a_wider_level_gives_a_wider_interval(cohort):
    y, p = cohort["y"], cohort["p"]
    for metric in (brier, brier_skill, calibration_intercept, calibration_slope):
        narrow, wide = metric(y, p, level=0.8), metric(y, p, level=0.99)
        assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_the_curve_in_bins_adds_up_to_the_whole(cohort):
    y, p = cohort["y"], cohort["p"]
    curve = calibration_curve(y, p)
    columns = ["mean_predicted", "mean_observed", "low", "high", "n", "n_events"]
    assert list(curve.columns) == columns
    assert curve["n"].tolist() == [30] * 10
    assert curve["n_events"].sum() == y.sum()
    assert (curve["mean_predicted"] * curve["n"]).sum() == pytest.approx(p.sum())
    assert curve["mean_predicted"].is_monotonic_increasing
    assert (curve["low"] <= curve["mean_observed"]).all()
    assert (curve["high"] >= curve["mean_observed"]).all()


def test_equal_predictions_share_a_bin():
    assert calibration_curve(Y, [0.5] * 4)["n"].tolist() == [4]
    assert calibration_curve(Y, [0.2, 0.2, 0.2, 0.9])["n"].tolist() == [3, 1]


def test_the_wilson_interval_of_10_in_20():
    # Wilson by hand: centre 0.5, half width 1.96 sqrt(20 * 0.25 + 1.96^2 / 4) / (20 + 1.96^2).
    estimate = mean_observed([0, 1] * 10)
    assert estimate == pytest.approx((0.5, 0.299298, 0.700702), abs=1e-6)

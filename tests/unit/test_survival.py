"""Messages, edges and laws of survival by group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.errors import ArgumentError
from stratify.statistics.survival import hazard_ratio, log_rank, survival_by_group


@pytest.fixture
def cohort() -> dict[str, np.ndarray]:
    """Simulate 300 patients: a survival time and a score that follows its hazard."""
    rng = np.random.default_rng(7)
    logit = rng.normal(-0.3, 1.2, 300)
    return {
        "score": np.round(logit + rng.normal(0, 2, 300), 1),
        "time": np.round(rng.exponential(np.exp(-logit)), 1),
        "event": (rng.random(300) < 0.7).astype(float),
    }


MESSAGES = [
    (
        lambda: log_rank([1, 2], [1, 1], ["a", "a"]),
        "group holds 1 group; expected at least two: add the patients to compare.",
    ),
    (
        lambda: hazard_ratio([1, 2], [1, 1], [1, 1]),
        "group_indicator holds 1 group; expected at least two: add the patients to compare.",
    ),
    (
        lambda: survival_by_group([1, 2, 3], [1, 1, 1], ["a", None, "b"]),
        "group has 1 of 3 values missing; expected a label for each patient: mend them or leave "
        "those patients out of every array.",
    ),
    (
        lambda: survival_by_group([1, 2, 3], [1, 1, 1], ["a", "b"]),
        "group has 2 values where time has 3; expected one per patient: pass the same patients in "
        "the same order.",
    ),
]


@pytest.mark.parametrize(("call", "message"), MESSAGES, ids=[m[:40] for _, m in MESSAGES])
def test_every_refusal_is_a_whole_sentence(call, message):
    with pytest.raises(ArgumentError) as refusal:
        call()
    assert str(refusal.value) == message


def test_a_curve_from_four_patients_by_hand():
    curves, summary = survival_by_group([2, 4, 4, 6], [1, 1, 0, 0], ["a"] * 4)
    assert list(curves.columns) == ["group", "time", "survival", "low", "high", "n_at_risk"]
    assert curves["time"].tolist() == [0, 2, 4, 6]
    assert curves["survival"].tolist() == pytest.approx([1, 0.75, 0.5, 0.5])
    assert curves["n_at_risk"].tolist() == [4, 4, 3, 1]
    assert curves.loc[0, ["low", "high"]].tolist() == [1, 1]
    # Greenwood at time 2: sqrt(1 / (4 * 3)); on log(-log S) divided by |log 0.75|.
    half = 1.959964 * np.sqrt(1 / 12) / -np.log(0.75)
    expected = [0.75 ** np.exp(half), 0.75 ** np.exp(-half)]
    assert curves.loc[1, ["low", "high"]].tolist() == pytest.approx(expected, abs=1e-6)
    row = summary.iloc[0]
    assert (row["n"], row["n_events"], row["median"]) == (4, 2, 4)
    assert summary[["hazard_ratio", "log_rank_p", "median_high"]].isna().all(axis=None)


def test_a_group_without_events_keeps_its_curve_and_loses_its_hazard_ratio():
    curves, summary = survival_by_group([1, 2, 3, 4], [1, 1, 0, 0], ["a", "a", "b", "b"])
    assert curves.loc[curves["group"] == "b", "survival"].tolist() == [1.0] * 3
    assert summary["median"].isna().tolist() == [False, True]
    assert summary["hazard_ratio"].isna().all()
    assert np.isfinite(summary["log_rank_p"]).all()


def test_no_events_at_all_leave_no_ratio_and_no_test():
    assert np.isnan(hazard_ratio([1, 2, 3], [0, 0, 0], [0, 1, 1])).all()
    assert np.isnan(log_rank([1, 2, 3], [0, 0, 0], [0, 1, 1]))


def test_a_categorical_keeps_its_order_and_drops_empty_categories():
    group = pd.Categorical(["b", "a", "b", "a"], categories=["b", "c", "a"], ordered=True)
    _, summary = survival_by_group([1, 2, 3, 4], [1, 1, 1, 1], group)
    assert summary["group"].tolist() == ["b", "a"]
    ratio = hazard_ratio([1, 2, 3, 4], [1, 1, 1, 1], [0, 1, 0, 1])
    row = summary.loc[1, ["hazard_ratio", "hazard_ratio_low", "hazard_ratio_high"]]
    assert tuple(row) == ratio


def test_swapped_groups_invert_the_hazard_ratio(cohort):
    group = (cohort["score"] > 0).astype(float)
    value, low, high = hazard_ratio(cohort["time"], cohort["event"], group)
    swapped = hazard_ratio(cohort["time"], cohort["event"], 1 - group)
    assert swapped == pytest.approx((1 / value, 1 / high, 1 / low), rel=1e-6)
    assert value > 1  # the higher score has the shorter time

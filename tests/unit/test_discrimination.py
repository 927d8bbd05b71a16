"""Messages, edges and laws of discrimination."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.errors import ArgumentError
from stratify.statistics import bootstrap, discrimination
from stratify.statistics.discrimination import (
    auroc,
    average_precision,
    c_index,
    delta_auroc,
    roc_curve_table,
)
from stratify.statistics.intervals import Estimate, wilson
from stratify.statistics.performance import classification_at

Y = [0, 0, 1, 1]
P = [0.1, 0.6, 0.7, 0.9]
MEND = "mend them or leave those patients out of every array."


@pytest.fixture
def cohort() -> dict[str, np.ndarray]:
    """Simulate 300 patients: a good score and a weaker one with ties."""
    rng = np.random.default_rng(7)
    logit = rng.normal(-0.3, 1.2, 300)
    p = 1 / (1 + np.exp(-logit))
    return {
        "y": (rng.random(300) < p).astype(float),
        "p": p,
        "score": np.round(logit + rng.normal(0, 2, 300), 1),
    }


MESSAGES = [
    (
        lambda: auroc([0, 1], [0.1, 0.2, 0.3]),
        "score has 3 values where y has 2; expected one per patient: pass the same patients in "
        "the same order.",
    ),
    (
        lambda: auroc(Y, [0.1, np.nan, np.inf, 0.2]),
        f"score has 2 of 4 values missing or infinite; expected finite numbers: {MEND}",
    ),
    (
        lambda: c_index([-1, 2, 3, 4], Y, P),
        f"time has 1 of 4 values outside the range; expected times of 0 or more: {MEND}",
    ),
    (
        lambda: auroc([0, 0], [1, 2]),
        "y has 0 events among 2 patients; expected at least one patient with and one without the "
        "event: the metric is undefined, so use a larger cohort.",
    ),
    (
        lambda: c_index([1, 1], [1, 1], [0.1, 0.2]),
        "time and event give no pair to compare among 2 patients with 2 events; expected an event "
        "before another patient's time: use longer follow-up.",
    ),
]


@pytest.mark.parametrize(("call", "message"), MESSAGES, ids=[m[:40] for _, m in MESSAGES])
def test_every_refusal_is_a_whole_sentence(call, message):
    with pytest.raises(ArgumentError) as refusal:
        call()
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    "wrong", [["a", "b"], ["0", "1"], pd.to_datetime(pd.Series(["2020-01-01", "2021-01-01"]))]
)
def test_text_and_dates_are_of_the_wrong_kind_and_not_quoted(wrong):
    with pytest.raises(TypeError) as refusal:
        auroc([0, 1], wrong)
    expected = "score does not hold numbers; expected finite numbers: convert it first."
    assert str(refusal.value) == expected


@pytest.mark.parametrize("metric", [auroc, average_precision])
def test_a_monotone_transform_changes_nothing(cohort, metric):
    y, score = cohort["y"], cohort["score"]
    assert metric(y, score) == metric(y, np.exp(score / 3) * 10 - 4)


def test_the_complement_of_y_or_of_the_score_gives_one_minus_the_area(cohort):
    y, score = cohort["y"], cohort["score"]
    value, low, high = auroc(y, score)
    mirrored = (1 - value, 1 - high, 1 - low)
    assert auroc(1 - y, score) == pytest.approx(mirrored, abs=1e-12)
    assert auroc(y, -score) == pytest.approx(mirrored, abs=1e-12)


def test_the_delong_interval_agrees_with_2000_bootstrap_samples(cohort):
    y, p = cohort["y"], cohort["p"]
    events, others = p[y == 1], p[y == 0]
    wins = (events[:, None] > others).astype(float)
    rng = np.random.default_rng(0)
    counts = [rng.multinomial(k, np.full(k, 1 / k), 2000) for k in wins.shape]
    areas = ((counts[0] @ wins) * counts[1]).sum(axis=1) / wins.size
    estimate = auroc(y, p)
    assert estimate[1:] == pytest.approx(np.quantile(areas, [0.025, 0.975]), abs=0.01)


def test_equal_scores_differ_by_zero_with_no_width(cohort):
    y, score = cohort["y"], cohort["score"]
    assert delta_auroc(y, score, 2 * score) == Estimate(0.0, 0.0, 0.0)


def test_the_paired_difference_is_antisymmetric_and_narrower_than_unpaired(cohort):
    y, p = cohort["y"], cohort["p"]
    near = p + np.random.default_rng(1).normal(0, 0.05, y.size)
    value, low, high = delta_auroc(y, p, near)
    assert value == pytest.approx(auroc(y, p).value - auroc(y, near).value, abs=1e-12)
    assert delta_auroc(y, near, p) == pytest.approx((-value, -high, -low), abs=1e-12)
    single = auroc(y, p)
    assert high - low < (single.high - single.low) / 2


def test_permuted_labels_cannot_be_discriminated(cohort):
    rng = np.random.default_rng(3)
    estimates = [auroc(rng.permutation(cohort["y"]), cohort["score"]) for _ in range(400)]
    assert np.mean([e.value for e in estimates]) == pytest.approx(0.5, abs=0.005)
    covered = np.mean([e.low <= 0.5 <= e.high for e in estimates])
    assert 0.92 <= covered <= 0.98  # 95% with three standard errors of 400 draws


def test_one_patient_in_a_class_has_an_area_but_no_interval():
    value, low, high = auroc([0, 0, 1], [1, 2, 3])
    assert value == 1
    assert np.isnan([low, high]).all()


def test_a_wider_level_gives_a_wider_interval(cohort):
    for metric in (auroc, average_precision):
        narrow = metric(cohort["y"], cohort["p"], level=0.8)
        wide = metric(cohort["y"], cohort["p"], level=0.99)
        assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_the_resamples_do_not_depend_on_the_memory_they_are_given(monkeypatch):
    whole = np.vstack(list(bootstrap.resamples(70)))
    monkeypatch.setattr(bootstrap, "_CELLS", 7_000)
    assert np.array_equal(np.vstack(list(bootstrap.resamples(70))), whole)
    assert whole.shape == (1000, 70)
    assert (whole.sum(axis=1) == 70).all()


def test_the_roc_table_holds_the_area_and_both_ends(cohort):
    y, score = cohort["y"], cohort["score"]
    table = roc_curve_table(y, score)
    columns = ["threshold", "specificity", "sensitivity", "low", "high", "n", "n_events"]
    assert list(table.columns) == columns
    mean_height = table["sensitivity"].rolling(2).mean()
    area = -(table["specificity"].diff() * mean_height).sum()
    assert area == pytest.approx(auroc(y, score).value, abs=1e-12)
    ends = table[["threshold", "specificity", "sensitivity"]].iloc[[0, -1]].to_numpy()
    assert ends.tolist() == [[np.inf, 1, 0], [score.min(), 0, 1]]
    row = table.iloc[10]
    at = classification_at(y, score, row["threshold"])
    assert at["sensitivity"] == pytest.approx(tuple(row[["sensitivity", "low", "high"]]))
    assert at["specificity"].value == pytest.approx(row["specificity"])


def test_c_is_the_area_when_times_are_two_and_nobody_is_censored(cohort):
    y, score = cohort["y"], cohort["score"]
    c = c_index(2 - y, np.ones(300), score)
    area = auroc(y, score)
    assert c.value == pytest.approx(area.value, abs=1e-12)
    # The jackknife divides by n where DeLong divides by n - 1.
    assert c.high - c.low == pytest.approx(area.high - area.low, rel=0.01)


@pytest.mark.parametrize(
    ("time", "event", "score", "expected", "why"),
    [
        ([1, 2], [1, 1], [9, 1], 1.0, "sooner and higher"),
        ([1, 2], [1, 0], [1, 9], 0.0, "sooner and lower"),
        ([1, 2], [1, 0], [5, 5], 0.5, "equal scores count a half"),
        ([3, 3], [1, 0], [9, 1], 1.0, "the event precedes a censoring at its time"),
        ([3, 3, 4], [1, 1, 0], [9, 1, 5], 0.5, "two events at one time do not count"),
        ([1, 2, 3], [0, 1, 0], [1, 9, 5], 1.0, "a patient censored first is never compared"),
    ],
)
def test_pairs_of_the_c_index(time, event, score, expected, why):
    assert c_index(time, event, score).value == expected, why


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_smaller_ones_among_the_first_are_counted_as_by_hand(data):
    numbers = st.lists(st.integers(0, 9), max_size=25).map(lambda x: np.array(x, dtype=np.int64))
    points, query = data.draw(numbers), data.draw(numbers)
    prefix = np.array([data.draw(st.integers(0, points.size)) for _ in query], dtype=np.int64)
    expected = [
        (points[:n] < q).sum() + (points[:n] == q).sum() / 2
        for n, q in zip(prefix, query, strict=True)
    ]
    assert discrimination._half_counts(points, prefix, query).tolist() == expected


@pytest.mark.parametrize(("ones", "zeros"), [(8, 20), (20, 8), (3, 300)])
@pytest.mark.parametrize("area", [0.0, 1.0])
def test_separated_groups_have_an_interval_with_width(ones, zeros, area):
    y = np.r_[np.zeros(zeros), np.ones(ones)]
    score = np.arange(len(y)) if area else -np.arange(len(y))
    found = auroc(y, score)
    limits = wilson(area * min(ones, zeros), min(ones, zeros), 0.95)
    assert found.value == area
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high))
    assert found.high - found.low > 0.1

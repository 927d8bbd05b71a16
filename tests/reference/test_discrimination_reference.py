"""Discrimination against scikit-learn and naive definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.errors import ArgumentError
from stratify.statistics.bootstrap import resamples
from stratify.statistics.discrimination import (
    auroc,
    average_precision,
    c_index,
    delta_auroc,
    roc_curve_table,
)

SMALL = st.integers(0, 4)
PATIENTS = st.lists(st.tuples(SMALL, st.integers(0, 1), SMALL), min_size=2, max_size=30)


def _two_classes(patients: list[tuple[int, int, int]]) -> bool:
    return len({y for _, y, _ in patients}) == 2


@settings(deadline=None, max_examples=80, derandomize=True, database=None)
@given(PATIENTS.filter(_two_classes))
def test_values_equal_scikit_learn_with_ties(patients):
    from sklearn.metrics import average_precision_score, roc_auc_score

    score, y, _ = np.array(patients, dtype=float).T
    assert auroc(y, score).value == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    expected = average_precision_score(y, score)
    assert average_precision(y, score).value == pytest.approx(expected, abs=1e-12)


def test_the_roc_table_equals_scikit_learn():
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(0)
    y, score = rng.integers(0, 2, 200), rng.integers(0, 30, 200)
    specificity, sensitivity, threshold = roc_curve(y, score, drop_intermediate=False)
    table = roc_curve_table(y, score)
    assert table["threshold"].tolist() == threshold.tolist()
    assert (1 - table["specificity"]).tolist() == pytest.approx(specificity.tolist())
    assert table["sensitivity"].tolist() == pytest.approx(sensitivity.tolist())


def test_the_average_precision_interval_equals_scikit_learn_on_the_same_samples():
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(2)
    y = np.repeat([0.0, 1.0], [25, 15])
    score = np.round(rng.normal(y, 1), 0)
    order = np.lexsort((-y, -score))
    samples = np.vstack(list(resamples(40)))
    areas = [average_precision_score(y[order], score[order], sample_weight=w) for w in samples]
    limits = np.quantile(areas, [0.025, 0.975])
    assert average_precision(y, score)[1:] == pytest.approx(limits, abs=1e-12)


def _naive_delong(y, *scores):
    """Return areas and their covariance from the m x n matrix of placements (pROC's formula)."""
    above, below = [], []
    for score in scores:
        gap = score[y == 1][:, None] - score[y == 0]
        wins = (gap > 0) + 0.5 * (gap == 0)
        above.append(wins.mean(axis=1))
        below.append(wins.mean(axis=0))
    cov = np.cov(above) / len(above[0]) + np.cov(below) / len(below[0])
    return np.mean(above, axis=1), cov


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_delong_equals_its_definition_by_placements(digits):
    rng = np.random.default_rng(digits)
    y = (rng.random(120) < 0.3).astype(float)
    a = np.round(rng.normal(y, 1), digits)
    b = np.round(rng.normal(0.7 * y + 0.4 * a, 1), digits)
    (area_a, area_b), cov = _naive_delong(y, a, b)
    half = 1.959963984540054 * np.sqrt(cov[0, 0])
    expected = (area_a, area_a - half, area_a + half)
    assert auroc(y, a) == pytest.approx(expected, abs=1e-12)
    half = 1.959963984540054 * np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
    gap = area_a - area_b
    assert delta_auroc(y, a, b) == pytest.approx((gap, gap - half, gap + half), abs=1e-12)


def test_delong_by_hand():
    # Events 3, 5, 6 against others 1, 4: placements 1/2, 1, 1 and 1, 2/3; area 5/6.
    # Variances 1/12 and 1/18; 1/36 + 1/36 = 1/18.
    half = 1.959963984540054 / np.sqrt(18)
    estimate = auroc([1, 1, 1, 0, 0], [3, 5, 6, 1, 4])
    assert estimate == pytest.approx((5 / 6, 5 / 6 - half, 1.0), abs=1e-12)


def _naive_c(time, event, score):
    """Return Harrell's C and its infinitesimal jackknife error from all n x n pairs."""
    n = len(time)
    concordant, compared = np.zeros(n), np.zeros(n)
    for i in range(n):
        for j in range(n):
            later = time[j] > time[i] or (time[j] == time[i] and not event[j])
            if i != j and event[i] and later:
                win = 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
                for k in (i, j):
                    concordant[k] += win
                    compared[k] += 1
    pairs = compared.sum() / 2
    if pairs == 0:
        return None
    value = concordant.sum() / 2 / pairs
    return value, np.sqrt(((concordant - value * compared) ** 2).sum()) / pairs


@settings(deadline=None, max_examples=150, derandomize=True, database=None)
@given(PATIENTS)
def test_c_equals_all_pairs_with_ties_and_censoring(patients):
    time, event, score = np.array(patients, dtype=float).T
    expected = _naive_c(time, event, score)
    if expected is None:
        with pytest.raises(ArgumentError, match="no pair to compare"):
            c_index(time, event, score)
        return
    value, error = expected
    limits = np.clip([value - 1.959963984540054 * error, value + 1.959963984540054 * error], 0, 1)
    assert c_index(time, event, score) == pytest.approx((value, *limits), abs=1e-12)


def test_c_equals_all_pairs_over_many_blocks():
    rng = np.random.default_rng(4)
    time, score = rng.integers(1, 60, 400), rng.integers(0, 50, 400)
    event = rng.random(400) < 0.6
    value, error = _naive_c(time, event, score)
    expected = (value, value - 1.959963984540054 * error, value + 1.959963984540054 * error)
    assert c_index(time, event, score) == pytest.approx(expected, abs=1e-12)


def test_the_c_interval_agrees_with_the_leave_one_out_jackknife():
    rng = np.random.default_rng(8)
    score = rng.normal(size=150)
    time, event = rng.exponential(np.exp(-score)), rng.random(150) < 0.7
    left = [c_index(*(np.delete(a, i) for a in (time, event, score))).value for i in range(150)]
    error = np.sqrt(149 * np.var(left))
    estimate = c_index(time, event, score)
    assert (estimate.high - estimate.value) / (1.96 * error) == pytest.approx(1, abs=0.02)

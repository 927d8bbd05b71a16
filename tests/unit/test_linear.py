"""The linear score: caps, medians, levels, directions, contributions, weights, JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from stratify.model.linear import LinearScore

NAMES = ["age", "albumin", "cancer_type", "nlr", "tmb"]
CANCER_TYPE, TMB = NAMES.index("cancer_type"), NAMES.index("tmb")
N_LEVELS = {"cancer_type": 3}


def draw(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Patients with gaps in every column, and labels that follow all columns."""
    rng = np.random.default_rng(seed)
    matrix = np.column_stack(
        [
            rng.normal(64, 11, n).round(),
            rng.normal(3.9, 0.5, n).round(1),
            rng.integers(0, 3, n).astype(float),
            rng.lognormal(1.4, 0.7, n).round(1),
            rng.lognormal(2.0, 1.0, n).round(1),
        ]
    )
    age, albumin, cancer_type, nlr, tmb = matrix.T
    logit = 0.02 * (age - 64) - 1.5 * (albumin - 3.9) + 0.15 * (nlr - 4) - 0.05 * (tmb - 8)
    label = (rng.random(n) < 1 / (1 + np.exp(-logit - 0.8 * (cancer_type == 2)))).astype(float)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return matrix, label


@pytest.fixture(scope="module")
def score() -> LinearScore:
    matrix, label = draw()
    return LinearScore.fit(matrix, NAMES, N_LEVELS, label)


def test_base_value_and_contributions_add_up_to_the_margin(score):
    matrix, _ = draw(seed=1)
    total = score.base_value + score.contributions(matrix).sum(axis=1)
    assert score.margin(matrix) == pytest.approx(total, abs=1e-12)


def test_the_base_value_is_the_mean_margin_of_the_training_patients(score):
    matrix, _ = draw()
    assert score.margin(matrix).mean() == pytest.approx(score.base_value, abs=1e-12)
    assert score.contributions(matrix).mean(axis=0) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["age", "albumin", "nlr", "tmb"])
def test_a_missing_number_contributes_as_the_training_median_does(score, name):
    training, _ = draw()
    j = NAMES.index(name)
    assert score.medians[name] == np.nanmedian(training[:, j])
    missing, median = training[:1].copy(), training[:1].copy()
    missing[0, j], median[0, j] = np.nan, score.medians[name]
    assert score.contributions(missing).tolist() == score.contributions(median).tolist()


def test_a_missing_level_contributes_minus_the_mean_of_its_column(score):
    training, _ = draw()
    patient = training[:1].copy()
    patient[0, CANCER_TYPE] = np.nan
    codes = training[:, CANCER_TYPE]
    mean = np.mean([0.0 if np.isnan(c) else score.levels["cancer_type"][int(c)] for c in codes])
    assert score.level_means["cancer_type"] == pytest.approx(mean, abs=1e-15)
    assert score.contributions(patient)[0, CANCER_TYPE] == -score.level_means["cancer_type"]


@pytest.mark.parametrize(
    ("name", "beyond", "cap"), [("tmb", 80, 50), ("nlr", 40, 25), ("age", 97, 85)]
)
def test_a_value_beyond_the_cap_of_the_dictionary_counts_as_the_cap(score, name, beyond, cap):
    matrix, label = draw()
    j = NAMES.index(name)
    assert score.caps[name] == (0, cap)
    beyond_cap, at_cap = matrix.copy(), matrix.copy()
    beyond_cap[:5, j], at_cap[:5, j] = beyond, cap
    assert np.array_equal(score.margin(beyond_cap), score.margin(at_cap))
    refitted = [LinearScore.fit(m, NAMES, N_LEVELS, label) for m in (beyond_cap, at_cap)]
    assert replace(refitted[0], limits={}) == replace(refitted[1], limits={})


@pytest.mark.parametrize("side", [-1, 1])
def test_a_number_cannot_run_away(side):
    """Heavy tails as of ctDNA: beyond the limits of training every value counts as the limit."""
    rng = np.random.default_rng(0)
    values = side * np.exp(rng.normal(2, 2, 500))
    label = (rng.random(500) < 1 / (1 + np.exp(-side * (np.log(np.abs(values)) - 2)))).astype(float)
    score = LinearScore.fit(values[:, None], ["new_marker"], {}, label)
    low, high = score.limits["new_marker"]
    assert low <= np.quantile(values, 0.05) < np.quantile(values, 0.95) <= high
    far = score.margin(np.array([[side * 1e3], [side * 1e9], [side * 1e300]]))
    assert np.ptp(far) == 0
    assert np.isfinite(far).all()
    assert far[0] == score.margin(np.array([[low if side < 0 else high]]))[0]


def test_limits_of_rare_events_are_those_of_training():
    values = np.zeros(200)
    values[:4] = 1.0  # a mutation in 2 %
    label = np.r_[np.ones(4), np.zeros(196)]
    score = LinearScore.fit(values[:, None], ["egfr_mutation"], {}, label)
    assert score.limits["egfr_mutation"] == (0.0, 1.0)
    assert score.coefficients["egfr_mutation"] != 0
    empty = LinearScore.fit(np.full((20, 1), np.nan), ["new_marker"], {}, np.arange(20) % 2.0)
    assert empty.limits == {}


def test_a_score_of_an_earlier_bundle_clips_nothing():
    matrix, label = draw()
    document = LinearScore.fit(matrix, NAMES, N_LEVELS, label).to_json()
    del document["limits"]
    assert LinearScore.from_json(document).limits == {}


def test_columns_without_a_cap_or_outside_the_dictionaries_are_not_capped():
    matrix, label = draw()
    score = LinearScore.fit(matrix[:, [1, 4]], ["albumin", "new_marker"], {}, label)
    assert score.caps == {}
    far = np.array([[3.9, 80.0], [3.9, 50.0]])
    assert score.margin(far)[0] < score.margin(far)[1]


def test_a_feature_with_the_wrong_empirical_sign_gets_no_coefficient():
    matrix, label = draw(400)
    free = LinearScore.fit(matrix, NAMES, N_LEVELS, label)
    assert free.coefficients["albumin"] < 0 < free.coefficients["nlr"]
    directions = [0, 1, 0, 1, 0]
    bound = LinearScore.fit(matrix, NAMES, N_LEVELS, label, directions=directions)
    assert bound.coefficients["albumin"] == 0.0
    assert bound.coefficients["nlr"] > 0
    assert not bound.contributions(matrix)[:, NAMES.index("albumin")].any()


def test_directions_that_the_data_follow_change_nothing():
    matrix, label = draw(400)
    free = LinearScore.fit(matrix, NAMES, N_LEVELS, label)
    bound = LinearScore.fit(matrix, NAMES, N_LEVELS, label, directions=[0, -1, 0, 1, -1])
    assert bound.margin(matrix) == pytest.approx(free.margin(matrix), abs=1e-5)


def test_a_column_with_one_value_carries_no_coefficient_to_other_values():
    # in binary the mean of 31 times 3.9 is not 3.9 and their standard deviation is not 0
    rng = np.random.default_rng(0)
    matrix = np.column_stack([np.full(31, 3.9), rng.normal(64, 11, 31)])
    score = LinearScore.fit(matrix, ["albumin", "age"], {}, (np.arange(31) % 2).astype(float))
    other = score.contributions(np.array([[2.5, 64.0], [3.9, 64.0]]))
    assert other[:, 0] == pytest.approx(0, abs=1e-6)


def test_a_column_without_any_value_contributes_nothing():
    matrix, label = draw()
    matrix[:, TMB] = np.nan
    score = LinearScore.fit(matrix, NAMES, N_LEVELS, label)
    matrix[:, TMB] = 30.0
    assert score.contributions(matrix)[:, TMB] == pytest.approx(0, abs=1e-6)


def test_a_categorical_column_without_any_level_contributes_nothing():
    matrix, label = draw()
    matrix[:, CANCER_TYPE] = np.nan
    score = LinearScore.fit(matrix, NAMES, {"cancer_type": 0}, label)
    assert score.levels == {"cancer_type": []}
    assert not score.contributions(matrix)[:, CANCER_TYPE].any()


def test_weights_of_one_are_no_weights(score):
    matrix, label = draw()
    weighted = LinearScore.fit(matrix, NAMES, N_LEVELS, label, weight=np.ones(len(label)))
    assert weighted.margin(matrix) == pytest.approx(score.margin(matrix), abs=1e-6)


def test_equal_weights_act_as_a_weaker_penalty():
    matrix, label = draw()
    tripled = LinearScore.fit(
        matrix, NAMES, N_LEVELS, label, weight=np.full(len(label), 3.0), penalty=0.1
    )
    weaker = LinearScore.fit(matrix, NAMES, N_LEVELS, label, penalty=0.3)
    assert tripled.margin(matrix) == pytest.approx(weaker.margin(matrix), abs=1e-5)


def test_heavier_patients_pull_the_score_to_their_labels(score):
    matrix, label = draw()
    heavy = LinearScore.fit(matrix, NAMES, N_LEVELS, label, weight=1 + 4 * label)
    assert (heavy.margin(matrix) > score.margin(matrix)).all()
    weights = 1 + 4 * label
    mean = np.average(heavy.margin(matrix), weights=weights)
    assert heavy.base_value == pytest.approx(mean, abs=1e-12)


def test_fitting_and_scoring_leave_the_matrix_as_it_is(score):
    matrix, label = draw()
    before = matrix.copy()
    LinearScore.fit(matrix, NAMES, N_LEVELS, label).margin(matrix)
    assert np.array_equal(matrix, before, equal_nan=True)


def test_json_keeps_the_score_exactly(score):
    again = LinearScore.from_json(json.loads(json.dumps(score.to_json())))
    assert again == score
    matrix, _ = draw(seed=2)
    assert again.margin(matrix).tobytes() == score.margin(matrix).tobytes()


def test_penalty_by_feature_is_a_prior_variance():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 2))
    label = (rng.random(300) < 1 / (1 + np.exp(-x.sum(axis=1)))).astype(float)
    same = LinearScore.fit(x, ["a", "b"], {}, label, penalty=0.2)
    each = LinearScore.fit(x, ["a", "b"], {}, label, penalty=[0.2, 0.2])
    tight = LinearScore.fit(x, ["a", "b"], {}, label, penalty=[1e-9, 0.2])
    assert each.coefficients == same.coefficients
    assert abs(tight.coefficients["a"]) < 1e-4
    assert tight.coefficients["b"] > 0.5


@pytest.fixture(scope="module")
def anaemia() -> tuple[np.ndarray, np.ndarray]:
    """Hemoglobin and albumin go together (r = 0.8); hemoglobin alone drives the label."""
    rng = np.random.default_rng(4)
    both = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 4000)
    label = (rng.random(4000) < 1 / (1 + np.exp(1.5 * both[:, 0]))).astype(float)
    return both, label


def fitted(anaemia, **options) -> LinearScore:
    matrix, label = anaemia
    return LinearScore.fit(
        matrix, ["hemoglobin", "albumin"], {}, label, penalty=1.0, expect=True, **options
    )


def test_a_missing_column_is_expected_from_those_that_are_measured(anaemia):
    score = fitted(anaemia)
    without = anaemia[0].copy()
    without[:, 0] = np.nan
    slope = np.polyfit(anaemia[0][:, 1], score.margin(without), 1)[0]
    # by the conditional mean of a normal, 0.8 of hemoglobin's coefficient and albumin's own
    means = 0.8 * score.coefficients["hemoglobin"] + score.coefficients["albumin"]
    assert slope == pytest.approx(means, rel=0.15)
    parts = score.contributions(without)
    assert (parts[:, 0] == 0).all()
    assert score.base_value + parts.sum(axis=1) == pytest.approx(score.margin(without))
    plain = score.contributions(without, expect=False)
    assert np.abs(plain).max() < 0.2 * np.abs(parts).max()


def test_expectation_changes_nothing_for_a_complete_patient(anaemia):
    matrix, label = anaemia
    plain = LinearScore.fit(matrix, ["hemoglobin", "albumin"], {}, label, penalty=1.0)
    assert fitted(anaemia).margin(matrix) == pytest.approx(plain.margin(matrix), abs=1e-9)


def test_a_patient_of_whom_nothing_is_known_has_the_base_value(anaemia):
    score = fitted(anaemia)
    assert score.margin(np.full((1, 2), np.nan)) == pytest.approx([score.base_value])


def test_what_a_column_tells_of_others_keeps_its_own_sign(anaemia):
    """Albumin may only raise the margin here, though with hemoglobin missing it would lower it."""
    score = fitted(anaemia, directions=[0, 1])
    rows = np.array([[np.nan, -2.0], [np.nan, 2.0]])
    low, high = score.margin(rows)
    assert low <= high


def test_expected_levels_follow_from_the_numbers():
    rng = np.random.default_rng(5)
    tumour = rng.integers(0, 2, 2000).astype(float)
    burden = np.where(tumour == 1, 3.0, 0.0) + rng.normal(size=2000)
    label = (rng.random(2000) < np.where(tumour == 1, 0.8, 0.2)).astype(float)
    matrix = np.column_stack([tumour, burden])
    score = LinearScore.fit(
        matrix, ["cancer_type", "sum_of_diameters"], {"cancer_type": 2}, label, expect=True
    )
    small, large = score.margin(np.array([[np.nan, 0.0], [np.nan, 3.0]]))
    assert large - small > 1
    again = LinearScore.from_json(json.loads(json.dumps(score.to_json())))
    assert again.margin(matrix).tolist() == score.margin(matrix).tolist()

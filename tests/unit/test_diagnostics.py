"""A leak and telling gaps are found, whatever their shape; ordinary features are not accused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.validation.diagnostics import (
    INFORMATIVE,
    LEAK,
    cohort_from_missingness,
    missingness_auroc,
    single_feature_auroc,
)

N = 200
Y = np.tile([0.0, 1.0], N // 2)
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=N)

LEAKS = {
    "a copy": Y,
    "its opposite": 1 - Y,
    "a copy in text": np.where(Y == 1, "progressed", "controlled"),
    "a time that ends early": np.where(Y == 1, RNG.uniform(0, 6, N), RNG.uniform(6, 40, N)),
    "both ends of a scale": np.where(Y == 1, np.sign(NOISE) * 5, 0) + NOISE / 10,
    "measured only in one class": np.where(Y == 1, np.nan, NOISE),
    "a copy with 2 % of errors": np.where(np.arange(N) % 50 == 7, 1 - Y, Y),
}
HARMLESS = {
    "noise": NOISE,
    "one value": np.ones(N),
    "a name of each patient": [f"p{k}" for k in range(N)],
    "a strong biomarker": NOISE + 1.5 * Y,  # AUROC 0.86
    "noise with gaps": np.where(RNG.random(N) < 0.4, np.nan, NOISE),
}


@pytest.mark.parametrize("what", LEAKS)
def test_a_leak_is_seen(what):
    area = single_feature_auroc(pd.DataFrame({"x": LEAKS[what]}), Y)["x"]
    assert area > LEAK


@pytest.mark.parametrize("what", HARMLESS)
def test_other_features_are_not_accused(what):
    area = single_feature_auroc(pd.DataFrame({"x": HARMLESS[what]}), Y)["x"]
    assert area < 0.9


def test_noise_alone_stays_near_one_half():
    rng = np.random.default_rng(1)
    matrix = pd.DataFrame(rng.normal(size=(1000, 30)), columns=[f"x{k}" for k in range(30)])
    areas = single_feature_auroc(matrix, rng.permutation(np.tile([0.0, 1.0], 500)))
    assert np.mean(list(areas.values())) == pytest.approx(0.5, abs=0.02)
    assert max(areas.values()) < 0.58


def test_gaps_that_have_nothing_to_do_with_the_label_tell_nothing():
    rng = np.random.default_rng(2)
    matrix = pd.DataFrame(rng.normal(size=(600, 5))).mask(rng.random((600, 5)) < 0.3)
    label = rng.permutation(np.tile([0.0, 1.0], 300))
    assert missingness_auroc(matrix, label) == pytest.approx(0.5, abs=0.07)
    assert missingness_auroc(matrix.fillna(0), label) == 0.5
    assert cohort_from_missingness(matrix, np.repeat(["a", "b"], 300))[0] < 0.6


def test_gaps_of_one_class_tell_the_label():
    label = np.tile([0.0, 1.0], 200)
    gaps = np.random.default_rng(3).random(400) < np.where(label == 1, 0.7, 0.2)
    area = missingness_auroc(pd.DataFrame({"tmb": np.where(gaps, np.nan, 5.0)}), label)
    assert area == pytest.approx(0.75, abs=0.06)
    assert area > INFORMATIVE


def test_panels_of_their_own_tell_three_cohorts():
    cohort = np.repeat(["x", "y", "z"], [100, 60, 40])
    matrix = pd.DataFrame(
        {
            "ctdna": np.where(cohort == "x", 1.0, np.nan),
            "gep": np.where(cohort == "y", 1.0, np.nan),
            "tmb": 1.0,
        }
    )
    assert cohort_from_missingness(matrix, cohort) == (1.0, 0.5)
    assert cohort_from_missingness(matrix[["tmb"]], cohort) == (0.5, 0.5)


def test_a_cohort_of_too_few_patients_to_be_folded_counts_with_the_largest():
    cohort = np.repeat(["x", "y", "z"], [50, 46, 4])
    matrix = pd.DataFrame({"tmb": np.where(cohort == "y", np.nan, 1.0)})
    assert cohort_from_missingness(matrix, cohort) == (1.0, 0.54)

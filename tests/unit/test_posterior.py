"""The linear posterior: against other implementations, and as laws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from stratify.uncertainty.posterior import LinearPosterior, _fitted

LEVELS = {"cancer_type": ["melanoma", "nsclc"]}
EFFECTS = np.array([-0.8, 0.5, 0.0])


def cohort(n: int, seed: int, effects: np.ndarray = EFFECTS) -> tuple[pd.DataFrame, np.ndarray]:
    """Patients whose log-odds are linear in three deviates, and those log-odds."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 3))
    table = pd.DataFrame({"albumin": z[:, 0], "nlr": np.exp(z[:, 1]), "tmb": z[:, 2]})
    table["cancer_type"] = rng.choice(LEVELS["cancer_type"], n)
    return table, 0.3 + z @ effects


def labels(logit: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random(len(logit)) < 1 / (1 + np.exp(-logit))).astype(float)


def fitted(n: int, seed: int) -> LinearPosterior:
    table, logit = cohort(n, seed)
    return LinearPosterior.fit(table, LEVELS, labels(logit, seed + 1))


@pytest.fixture(scope="module")
def posterior() -> LinearPosterior:
    return fitted(400, 0)


# ------------------------------------------------------------------- other implementations


@pytest.mark.parametrize("prior_variance", [0.01, 0.3, 5.0])
def test_the_mode_is_that_of_ridge_regression(prior_variance):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((150, 4))
    y = labels(x @ [1, -1, 0.5, 0], 2)
    weight = rng.uniform(0.5, 2, 150)
    mode, _, _ = _fitted(np.column_stack([np.ones(150), x]), y, weight, prior_variance)
    ridge = LogisticRegression(C=prior_variance, tol=1e-10, max_iter=1000).fit(x, y, weight)
    np.testing.assert_allclose(mode[1:], ridge.coef_[0], atol=1e-5)
    assert mode[0] == pytest.approx(ridge.intercept_[0], abs=1e-5)


def test_with_a_flat_prior_the_precision_is_that_of_maximum_likelihood():
    rng = np.random.default_rng(3)
    design = np.column_stack([np.ones(300), rng.standard_normal((300, 2))])
    y = labels(design @ [0.2, 1, -0.5], 4)
    mode, precision, _ = _fitted(design, y, np.ones(300), 1e8)
    glm = GLM(y, design, family=Binomial()).fit()
    np.testing.assert_allclose(mode, glm.params, atol=1e-5)
    np.testing.assert_allclose(np.linalg.inv(precision), glm.cov_params(), rtol=1e-4)


def test_the_evidence_is_the_integral_over_the_coefficients():
    # Intercept and one coefficient: the integral on a grid against Laplace's approximation.
    x = np.array([-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0] * 12)
    y = np.array([0.0, 0, 0, 1, 0, 1, 1, 1] * 12)
    effect, intercept = np.meshgrid(np.linspace(-2, 6, 161), np.linspace(-3, 3, 61))
    margin = intercept[..., None] + effect[..., None] * x
    likelihood = (y * margin - np.logaddexp(0, margin)).sum(axis=-1)

    def integral(variance: float) -> float:
        prior = -(effect**2) / (2 * variance) - np.log(variance) / 2
        return float(np.log(np.exp(likelihood + prior).sum()))

    def laplace(variance: float) -> float:
        return _fitted(np.column_stack([np.ones(96), x]), y, np.ones(96), variance)[2]

    for one, other in ((0.1, 1.0), (1.0, 4.0)):
        found = laplace(other) - laplace(one)
        assert found == pytest.approx(integral(other) - integral(one), abs=0.03)


# ------------------------------------------------------------------- laws


def test_eighty_percent_of_the_true_log_odds_lie_within_eighty_percent_limits():
    covered = []
    for seed in range(20):
        table, logit = cohort(200, 100 + seed)
        found = LinearPosterior.fit(table, LEVELS, labels(logit, seed))
        new, truth = cohort(200, 500 + seed)
        mean, variance = found.margin(new)
        covered.append((np.abs(mean - truth) < 1.2816 * np.sqrt(variance)).mean())
    assert 0.74 < np.mean(covered) < 0.86


def test_what_is_not_measured_widens_by_what_it_could_have_told(posterior):
    new, _ = cohort(2000, 9)
    mean, variance = posterior.margin(new)
    for name in ("albumin", "nlr", "tmb"):
        blind, wider = posterior.margin(new.assign(**{name: np.nan}))
        told = np.var(mean - blind)
        assert wider.mean() - variance.mean() == pytest.approx(told, rel=0.25, abs=0.02)


def test_patients_far_from_training_have_more_doubt(posterior):
    usual = {"albumin": 0.0, "nlr": 1.0, "tmb": 0.0, "cancer_type": "nsclc"}
    rows = pd.DataFrame([usual, usual | {"albumin": 2.0}, usual | {"albumin": 2.0, "nlr": 9.0}])
    variance = posterior.margin(rows)[1]
    assert variance[0] < variance[1] < variance[2]


def test_more_patients_leave_less_doubt():
    new, _ = cohort(300, 11)
    widths = [fitted(n, 12).margin(new)[1].mean() for n in (100, 400, 1600)]
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_features_without_effect_are_believed_to_have_none():
    table, logit = cohort(600, 13, np.zeros(3))
    found = LinearPosterior.fit(table, LEVELS, labels(logit, 14))
    mean, variance = found.margin(cohort(300, 15)[0])
    assert mean.std() < 0.15
    assert np.sqrt(variance).mean() < 0.25


def test_an_unseen_level_counts_as_missing(posterior):
    new = cohort(5, 16)[0]
    unseen = posterior.margin(new.assign(cancer_type="sarcoma"))
    missing = posterior.margin(new.assign(cancer_type=None))
    assert np.array_equal(unseen, missing)


def test_nothing_measured_gives_the_training_average_and_the_widest_variance(posterior):
    nothing = cohort(1, 17)[0].assign(albumin=np.nan, nlr=np.nan, tmb=np.nan, cancer_type=None)
    mean, variance = posterior.margin(nothing)
    assert mean[0] == posterior.coefficients[0]
    assert variance[0] > np.median(posterior.margin(cohort(100, 18)[0])[1])


def test_order_of_columns_and_other_rows_do_not_matter(posterior):
    table, logit = cohort(400, 0)
    again = LinearPosterior.fit(table[table.columns[::-1]], LEVELS, labels(logit, 1))
    assert again == posterior
    new = cohort(50, 19)[0]
    whole = posterior.margin(new)
    for part in (slice(0, 1), slice(7, 20), slice(49, 50)):
        assert np.array_equal(posterior.margin(new.iloc[part]), np.array(whole)[:, part])

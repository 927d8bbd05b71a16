"""Calibration against other implementations."""

from __future__ import annotations

import numpy as np
import pytest

from stratify.statistics.calibration import (
    brier,
    calibration_intercept,
    calibration_slope,
    mean_observed,
)


def test_the_brier_score_equals_scikit_learn():
    from sklearn.metrics import brier_score_loss

    rng = np.random.default_rng(3)
    y, p = rng.integers(0, 2, 200), rng.random(200)
    assert brier(y, p).value == pytest.approx(brier_score_loss(y, p), abs=1e-12)


@pytest.mark.parametrize("events", [0, 1, 10, 19, 20])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_the_wilson_limits_equal_statsmodels(events, level):
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(events, 20, alpha=1 - level, method="wilson")
    estimate = mean_observed([1] * events + [0] * (20 - events), level)
    assert estimate == pytest.approx((events / 20, low, high), abs=1e-12)


def test_calibration_equals_other_fits():
    from sklearn.linear_model import LogisticRegression
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    rng = np.random.default_rng(6)
    logit = rng.normal(0, 1.5, 250)
    y = (rng.random(250) < 1 / (1 + np.exp(-0.6 * logit + 0.4))).astype(float)
    p = 1 / (1 + np.exp(-logit))
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit[:, None], y)
    assert calibration_slope(y, p).value == pytest.approx(fit.coef_[0, 0], abs=1e-5)
    glm = GLM(y, np.ones((250, 1)), offset=logit, family=Binomial()).fit()
    expected = (glm.params[0], *glm.conf_int()[0])
    assert calibration_intercept(y, p) == pytest.approx(expected, abs=1e-6)

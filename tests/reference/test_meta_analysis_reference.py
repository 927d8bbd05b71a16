"""Random-effects meta-analysis against metafor (R) and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest

from stratify.statistics.meta_analysis import random_effects

# BCG trials (Colditz 1994): tuberculosis and none with vaccine, tuberculosis and none without.
BCG = np.array([
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619),
    (33, 5036, 47, 5761), (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892),
    (29, 7470, 45, 7232), (17, 1699, 65, 1600), (186, 50448, 141, 27197), (5, 2493, 3, 2338),
    (27, 16886, 29, 17825),
], dtype=float)  # fmt: skip


def log_relative_risks() -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d = BCG.T
    errors = np.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))
    return np.log(a / (a + b)) - np.log(c / (c + d)), errors


def test_the_bcg_trials_as_by_metafor():
    """metafor: rma(yi, vi, data=dat.bcg, method="REML", test="knha")."""
    found = random_effects(*log_relative_risks())
    assert found.value == pytest.approx(-0.7145, abs=5e-5)
    assert (found.low, found.high) == pytest.approx((-1.1084, -0.3206), abs=5e-5)
    assert found.tau**2 == pytest.approx(0.3132, abs=5e-5)


def test_the_mean_given_the_variance_between_trials_as_by_statsmodels():
    from statsmodels.stats.meta_analysis import combine_effects

    means, errors = log_relative_risks()
    found = random_effects(means, errors)
    # with the variances widened by it, their estimate finds none left and weighs as ours does
    other = combine_effects(means, errors**2 + found.tau**2, method_re="chi2", use_t=True)
    assert found.value == pytest.approx(other.mean_effect_fe, abs=1e-9)
    _, _, hksj, _ = other.conf_int(use_t=True)
    assert (found.low, found.high) == pytest.approx(tuple(hksj), abs=1e-6)


def test_the_prediction_interval_by_hand():
    """Higgins 2009: mean +- t(k - 2) * sqrt(tau^2 + se^2); t(0.975; 11) = 2.200985."""
    found = random_effects(*log_relative_risks())
    error = (found.high - found.low) / 2 / 2.178813  # t(0.975; 12)
    reach = 2.200985 * np.hypot(found.tau, error)
    assert (found.prediction_low, found.prediction_high) == pytest.approx(
        (found.value - reach, found.value + reach), abs=1e-6
    )

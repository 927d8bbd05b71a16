"""The model of Chowell_train on Shim and Ravi, before and after 50 random local patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from stratify.cohort.features import informative_features, model_matrix
from stratify.model.classifier import ResistanceClassifier
from stratify.model.recalibration import Recalibration
from stratify.statistics.calibration import brier, calibration_intercept
from stratify.uncertainty.risk_interval import Uncertainty

pytestmark = [pytest.mark.realdata, pytest.mark.slow]

Trained = tuple[ResistanceClassifier, Uncertainty]


@pytest.fixture(scope="module")
def trained(read: Any) -> Trained:
    home = read("chowell", endpoint="proxy_pfs6").of_split("train").evaluable
    matrix = model_matrix(home.table, informative_features(home, None))
    label = home.table["label"].to_numpy(float)
    classifier = ResistanceClassifier().fit(matrix, label)
    return classifier, Uncertainty.fit(classifier, matrix, label)


def loss(y: np.ndarray, p: np.ndarray) -> float:
    return -float(np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


@pytest.mark.parametrize("name", ["shim", "ravi"])
def test_fifty_patients_harm_a_model_that_fits_least_by_the_closed_test(read, trained, name):
    """As Steyerberg 2004 and Vergouwe 2017 found: in small samples, the less the better."""
    table = read(name, endpoint="proxy_pfs6").evaluable.table
    matrix = model_matrix(table, trained[0].features_)
    risk, label = trained[0].predict_proba(matrix)[:, 1], table["label"].to_numpy(float)
    found = calibration_intercept(label, risk)
    assert found.low < 0 < found.high  # the model fits as it is
    harm: dict[str, list[float]] = {}
    for seed in range(60):
        rows = np.random.default_rng(seed).permutation(len(label))
        local, others = rows[:50], rows[50:]
        for what in ("closed_test", "intercept"):
            line = Recalibration.fit(label[local], risk[local], what)
            more = loss(label[others], line.risk(risk[others])) - loss(label[others], risk[others])
            harm.setdefault(what, []).append(more)
    closed, intercept = np.mean(harm["closed_test"]), np.mean(harm["intercept"])
    assert 0 < closed < intercept < 0.02


@pytest.mark.parametrize("name", ["shim", "ravi"])
def test_fifty_patients_mend_a_planted_shift(read, trained, name):
    table = read(name, endpoint="proxy_pfs6").evaluable.table
    matrix = model_matrix(table, trained[0].features_)
    label = table["label"].to_numpy(float)
    risk = expit(logit(trained[0].predict_proba(matrix)[:, 1]) + 1)
    gains = []
    for seed in range(60):
        rows = np.random.default_rng(seed).permutation(len(label))
        local, others = rows[:50], rows[50:]
        after = Recalibration.fit(label[local], risk[local]).risk(risk[others])
        gains.append(brier(label[others], risk[others]).value - brier(label[others], after).value)
    assert np.mean(gains) > 0.015


def test_patients_of_the_same_hospital_are_seldom_far_from_training(read, trained):
    home = read("chowell", endpoint="proxy_pfs6")
    known = trained[1].applicability
    for split, most in (("train", 0.02), ("test", 0.03)):
        table = home.of_split(split).evaluable.table
        matrix = model_matrix(table, trained[0].features_)
        assert known.far(matrix).mean() < most
        assert not known.unseen_panels(matrix).any()

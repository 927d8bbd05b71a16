"""Larger trees are taken where features act together, and only there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from stratify.model.capacity import Capacity
from stratify.model.classifier import ResistanceClassifier
from stratify.model.design import Design, TrainingSet
from stratify.report.model_card import capacity_statement

LOG_ODDS = {
    "linear": lambda a, b, c, d: 0.9 * a - 0.7 * b + 0.5 * c + 0.3 * d,
    "signs": lambda a, b, c, d: 1.8 * np.sign(a) * np.sign(b),
    "linear and signs": lambda a, b, c, d: 0.8 * a + 0.8 * b + 1.2 * np.sign(c) * np.sign(d),
    "nothing": lambda a, b, c, d: 0 * a,
}


def patients_of(truth: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 15))
    risk = 1 / (1 + np.exp(-LOG_ODDS[truth](*X.T[:4])))
    return X, (rng.random(n) < risk).astype(float)


def chosen(truth: str, n: int, seed: int) -> Capacity:
    X, y = patients_of(truth, n, seed)
    names = [f"x{j:02d}" for j in range(15)]
    design = Design.of({}, names, monotone=None, panels={}, anchor="all")
    patients = TrainingSet(X, y, y, np.ones(n))
    return Capacity.chosen(patients, design, ResistanceClassifier().boosting, seed=seed)


@pytest.mark.parametrize(
    ("truth", "n", "larger"),
    [
        ("linear", 500, False),
        ("linear", 2000, False),
        ("signs", 500, True),
        ("linear and signs", 2000, True),
        ("signs", 199, False),  # too few patients to try
    ],
)
def test_larger_trees_are_taken_where_features_act_together(truth, n, larger):
    found = chosen(truth, n, seed=1)
    assert found.larger is larger
    assert found.boosting.num_leaves == (16 if larger else 8)
    assert (found.gain is None) is (n < 200)


def test_labels_without_signal_rarely_ask_for_larger_trees():
    assert sum(chosen("nothing", 200, seed).larger for seed in range(5)) <= 2


def test_a_product_of_signs_is_found_from_500_patients():
    X, y = patients_of("signs", 500, seed=2)
    others, truth = patients_of("signs", 4000, seed=3)
    found = {}
    for capacity in ("chosen", "stated"):
        model = ResistanceClassifier(capacity=capacity, calibration_folds=0).fit(X, y)
        found[capacity] = roc_auc_score(truth, model.decision_function(others))
    assert found["stated"] < 0.7
    assert found["chosen"] >= 0.75


def test_contributions_of_larger_trees_add_up():
    X, y = patients_of("signs", 300, seed=1)
    model = ResistanceClassifier(n_members=3, calibration_folds=2).fit(X, y)
    assert model.capacity_.larger
    shap, base, margin = model.contributions(X)
    pairs = model.interactions(X[:50])
    assert base + shap.sum(axis=1) == pytest.approx(margin, abs=1e-10)
    assert pairs.sum(axis=2) == pytest.approx(shap[:50], abs=1e-10)


def test_the_choice_is_the_same_in_any_order_and_on_any_number_of_threads():
    X, y = patients_of("signs", 250, seed=4)
    table = pd.DataFrame(X, columns=[f"x{j:02d}" for j in range(15)])
    turned = np.random.default_rng(0).permutation(len(y))
    small = {"n_members": 3, "calibration_folds": 0}
    one = ResistanceClassifier(**small).fit(table, y)
    other = ResistanceClassifier(**small, n_jobs=2).fit(
        table.iloc[turned, ::-1].reset_index(drop=True), y[turned]
    )
    assert one.capacity_ == other.capacity_
    assert np.array_equal(one.decision_function(table), other.decision_function(table))


@pytest.mark.parametrize(
    ("capacity", "sentence"),
    [
        (
            {"taken": True, "gain": 0.0312, "error": 0.0101},
            "Larger trees than stated were taken: within the training patients they gain 0.031 "
            "of log loss (standard error 0.010).",
        ),
        (
            {"taken": False, "gain": -0.004, "error": 0.003},
            "Trees as stated: within the training patients larger ones, which would find more of "
            "how features act together, lose 0.004 of log loss (standard error 0.003).",
        ),
    ],
)
def test_the_report_says_what_was_chosen(capacity, sentence):
    assert capacity_statement(capacity) == sentence

"""The linear score against scikit-learn's logistic regression and shap's linear explainer."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from stratify.model.linear import LinearScore
from stratify.references.logistic import LogisticModel

# Margins agree to this, in log-odds; both maximise the same likelihood with their own optimiser.
TOLERANCE = 1e-4
NUMBERS = {"age": (0, 85), "albumin": None, "nlr": (0, 25), "tmb": (0, 50)}  # caps as in LORIS
LEVELS = ["melanoma", "nsclc", "renal"]


def draw(n: int = 300) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "age": rng.normal(66, 14, n).round(),
            "albumin": rng.normal(3.9, 0.5, n).round(1),
            "nlr": rng.lognormal(1.6, 0.8, n).round(1),
            "tmb": rng.lognormal(2.2, 1.1, n).round(1),
            "cancer_type": rng.choice(LEVELS, n).astype(object),
        }
    )
    logit = 0.2 * (table["nlr"] - 5) - 0.04 * table["tmb"] + 0.7 * (table["cancer_type"] == "renal")
    label = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)
    return table.mask(rng.random(table.shape) < 0.1), label


def prepared(table: pd.DataFrame) -> np.ndarray:
    """Capped, filled with the median, standardised; indicators, all 0 where missing."""
    columns = []
    for name, cap in NUMBERS.items():
        values = table[name] if cap is None else table[name].clip(*cap)
        values = values.fillna(values.median())
        columns.append((values - values.mean()) / values.std(ddof=0))
    columns += [(table["cancer_type"] == level).astype(float) for level in LEVELS]
    return np.column_stack(columns)


def coded(table: pd.DataFrame) -> np.ndarray:
    codes = table["cancer_type"].map({level: float(k) for k, level in enumerate(LEVELS)})
    return table.assign(cancer_type=codes).to_numpy(dtype=float)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("penalty", [0.01, 0.1, 1.0, 10.0])
def test_margins_equal_scikit_learn(penalty, weighted):
    table, label = draw()
    weight = np.random.default_rng(4).uniform(0.2, 3, len(label)) if weighted else None
    expected = LogisticRegression(C=penalty, tol=1e-10, max_iter=5000)
    expected.fit(prepared(table), label, sample_weight=weight)
    score = LinearScore.fit(
        coded(table), list(table.columns), {"cancer_type": 3}, label, weight=weight, penalty=penalty
    )
    margin = expected.decision_function(prepared(table))
    assert score.margin(coded(table)) == pytest.approx(margin, abs=TOLERANCE)
    if not weighted:  # with weights the numbers are centred at their weighted means
        assert score.intercept == pytest.approx(expected.intercept_[0], abs=TOLERANCE)


def test_the_refitted_logistic_regression_is_scikit_learn_with_its_default_penalty():
    table, label = draw()
    expected = LogisticRegression(tol=1e-10, max_iter=5000).fit(prepared(table), label)
    risk = LogisticModel.fit(table, list(table.columns), label).risk(table)
    assert risk == pytest.approx(expected.predict_proba(prepared(table))[:, 1], abs=TOLERANCE)


def test_contributions_equal_shap_of_a_linear_model():
    with warnings.catch_warnings():
        # 2026-11: shap 0.51 sets colours in a way that matplotlib 3.11 will drop
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap
    table, label = draw()
    score = LinearScore.fit(coded(table), list(table.columns), {"cancer_type": 3}, label)
    slopes = np.array([*(score.coefficients[n] for n in NUMBERS), *score.levels["cancer_type"]])
    background = shap.maskers.Independent(prepared(table), max_samples=len(table))
    explainer = shap.LinearExplainer((slopes, score.intercept), background)
    values = explainer.shap_values(prepared(table))
    expected = np.column_stack([values[:, :4], values[:, 4:].sum(axis=1)])
    assert score.contributions(coded(table)) == pytest.approx(expected, abs=1e-6)
    assert score.base_value == pytest.approx(explainer.expected_value, abs=1e-6)

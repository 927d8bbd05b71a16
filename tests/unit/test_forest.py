"""The forest against scikit-learn's, and what it keeps of its training patients."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from stratify.model.forest import RandomForest
from stratify.statistics.discrimination import auroc

SETTINGS = {"n_trees": 400, "max_depth": 8, "min_samples_leaf": 20}
NAMES = [f"x{k}" for k in range(9)]


def patients(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Nine numbers, of which three tell the label, one of these only together with another."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 9))
    x[:, 3] = np.round(x[:, 3])
    x[:, 4] = x[:, 4] > 0.5
    margin = 0.4 + 0.8 * x[:, 0] - 0.6 * x[:, 1] * x[:, 4] + 0.5 * x[:, 3]
    return x, (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(float)


@pytest.fixture(scope="module")
def forest() -> RandomForest:
    x, y = patients(600, seed=0)
    return RandomForest.fit(x, NAMES, y, **SETTINGS)


def test_it_agrees_with_scikit_learn_as_two_forests_of_scikit_learn_agree(forest):
    """scikit-learn 1.9.1; two of its forests with other seeds correlate at 0.994 here."""
    from sklearn.ensemble import RandomForestClassifier

    x, y = patients(600, seed=0)
    new, outcome = patients(400, seed=1)
    theirs = RandomForestClassifier(
        n_estimators=400, max_depth=8, min_samples_leaf=20, random_state=0
    ).fit(x, y)
    expected, risk = theirs.predict_proba(new)[:, 1], forest.risk(new)
    assert np.corrcoef(risk, expected)[0, 1] > 0.99
    assert risk.mean() == pytest.approx(expected.mean(), abs=0.01)
    assert risk.std() == pytest.approx(expected.std(), rel=0.05)
    assert auroc(outcome, risk).value == pytest.approx(auroc(outcome, expected).value, abs=0.01)


@pytest.mark.parametrize("n", [10, 30, 39])
def test_trees_that_cannot_split_hold_the_share(n):
    """A leaf of 20 of 39 patients leaves fewer for the other; LightGBM itself would say 0."""
    x, y = patients(n, seed=2)
    risk = RandomForest.fit(x, NAMES, y, n_trees=400, max_depth=8, min_samples_leaf=20).risk(x)
    assert risk == pytest.approx(np.full(n, y.mean()), abs=0.02)


def test_columns_without_any_value_or_with_one_value_do_no_harm():
    x, y = patients(200, seed=3)
    empty, constant = x.copy(), x.copy()
    empty[:, 5] = np.nan
    constant[:, 5] = 0.0
    forests = [RandomForest.fit(each, NAMES, y, **SETTINGS) for each in (empty, constant)]
    assert forests[0] == forests[1]
    assert forests[0].medians["x5"] == 0.0


def test_the_order_of_patients_does_not_matter(forest):
    x, y = patients(600, seed=0)
    order = np.random.default_rng(4).permutation(600)
    assert RandomForest.fit(x[order], NAMES, y[order], **SETTINGS) == forest


def test_weights_move_the_mean_risk():
    x, y = patients(300, seed=5)
    weight = np.where(y == 1, 3.0, 1.0)
    forest = RandomForest.fit(x, NAMES, y, weight, **SETTINGS)
    assert forest.share == pytest.approx(np.average(y, weights=weight))
    risk = forest.risk(x)
    assert np.average(risk, weights=weight) == pytest.approx(forest.share, abs=0.02)
    assert risk.mean() > y.mean() + 0.1


def test_plain_data_give_the_same_forest(forest):
    again = RandomForest(**asdict(forest))
    x, _ = patients(50, seed=6)
    assert again.risk(x).tolist() == forest.risk(x).tolist()


def test_no_smallest_or_greatest_value_of_training_is_kept(forest):
    x, _ = patients(600, seed=0)
    for value in (*x.min(axis=0), *x.max(axis=0)):
        if value not in (0.0, 1.0, -3.0, 3.0):
            assert f"{value:.6f}"[:8] not in forest.text
    assert f"feature_infos={' '.join(['none'] * 9)}\n" in forest.text

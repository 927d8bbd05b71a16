"""The learning curve: more patients teach more, nobody judges himself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from stratify.errors import ArgumentError
from stratify.model.classifier import ResistanceClassifier
from stratify.tables.schema import load_schema
from stratify.validation import learning_curve as module
from stratify.validation.learning_curve import LEARNING_CURVE_COLUMNS, learning_curve

FEATURES = ["age", "albumin", "cancer_type", "nlr", "prior_systemic_therapy", "tmb"]


@pytest.fixture(scope="module")
def cheap(small: ResistanceClassifier) -> ResistanceClassifier:
    return clone(small).set_params(n_estimators=10, calibration_folds=0)


@pytest.fixture(scope="module")
def curve(cheap: ResistanceClassifier, patients: pd.DataFrame) -> pd.DataFrame:
    return learning_curve(cheap, patients, FEATURES, shares=(0.1, 0.5, 1.0), repeats=2, folds=2)


def test_the_table_follows_its_dictionary(curve, patients):
    assert list(curve.columns) == list(LEARNING_CURVE_COLUMNS)
    assert list(curve.columns) == list(load_schema("learning_curve").fields)
    assert curve[["model", "metric"]].drop_duplicates().to_numpy().tolist() == [
        ["logistic", "auroc"],
        ["logistic", "brier"],
        ["stratify", "auroc"],
        ["stratify", "brier"],
    ]
    # two folds of 240 leave 120 to learn from; shares are rounded up in each class
    assert curve["n_train"].tolist() == [13, 60, 120] * 4
    assert (curve["low"] < curve["value"]).all()
    assert (curve["value"] < curve["high"]).all()
    assert set(curve["n"]) == {240}
    assert set(curve["n_events"]) == {int(patients["label"].sum())}
    assert set(curve["repeats"]) == {2}


def test_more_patients_teach_more(curve):
    for name in ("stratify", "logistic"):
        rows = curve[curve["model"] == name].set_index(["metric", "n_train"])["value"]
        assert rows["auroc", 120] > rows["auroc", 13] + 0.03
        assert rows["brier", 120] < rows["brier", 13]


def test_the_same_seed_gives_the_same_curve(cheap, patients):
    runs = [
        learning_curve(cheap, patients, ["albumin"], shares=(0.5,), repeats=2, folds=2, seed=seed)
        for seed in (4, 4, 5)
    ]
    pd.testing.assert_frame_equal(runs[0], runs[1])
    assert runs[0]["value"].tolist() != runs[2]["value"].tolist()


def test_nobody_is_judged_by_a_model_that_saw_him(cheap, patients, monkeypatch):
    sides: list[tuple[set[int], set[int]]] = []
    fitted = module._fitted

    def recorded(classifier, home, away, features):
        sides.append((set(home.index), set(away.index)))
        return fitted(classifier, home, away, features)

    monkeypatch.setattr(module, "_fitted", recorded)
    learning_curve(cheap, patients, ["albumin"], shares=(0.3, 1.0), repeats=2, folds=2)
    assert len(sides) == 2 * 2 * 2
    for home, away in sides:
        assert not home & away
    for (_, first), (_, second) in zip(sides[::2], sides[1::2], strict=True):
        assert first | second == set(patients.index)


def test_a_share_holds_both_labels_in_proportion():
    label = np.repeat([0.0, 1.0], [60, 40])
    train = np.arange(100)
    drawn = module._part(train, label, 0.25, seed=0)
    assert (label[drawn].sum(), len(drawn)) == (10, 25)
    assert len(set(drawn)) == 25
    assert module._part(train, label, 1.0, seed=0).tolist() == train.tolist()
    assert label[module._part(train, label, 0.01, seed=0)].tolist() == [0.0, 1.0]


def test_the_interval_holds_the_patients_error_and_that_of_the_repeats():
    """Half-widths 0.0980 and 0.0980 at 95 %: an error of 0.05; values 0.02 apart."""
    half = 1.959964 * 0.05
    estimates = [module.Estimate(v, v - half, v + half) for v in (0.69, 0.71)]
    found = module._mean(estimates)
    spread = np.var([0.69, 0.71], ddof=1) / 2
    expected = 1.959964 * np.sqrt(0.05**2 + spread)
    assert found == pytest.approx((0.70, 0.70 - expected, 0.70 + expected), abs=1e-6)


MESSAGES = [
    ({"repeats": 1}, "repeats is 1; at least 2 is expected."),
    ({"folds": 1}, "folds is 1; at least 2 is expected."),
    ({"shares": (0.5, 1.2)}, "shares has [1.2]; shares above 0 and at most 1 are expected."),
    (
        {"folds": 200},
        "the smaller class has 107 patients; at least one a fold (200) is expected.",
    ),
]


@pytest.mark.parametrize(("options", "message"), MESSAGES, ids=[m[:20] for _, m in MESSAGES])
def test_every_refusal_is_a_whole_sentence(cheap, patients, options, message):
    with pytest.raises(ArgumentError) as caught:
        learning_curve(cheap, patients, ["albumin"], **options)
    assert str(caught.value) == message

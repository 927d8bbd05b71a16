"""The ensemble scored and explained by compiled loops, and when these are prepared."""

from __future__ import annotations

import logging
import pickle
import warnings
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from stratify.model import ensemble as ensembles
from stratify.model.classifier import ResistanceClassifier
from stratify.model.ensemble import AnchoredEnsemble
from stratify.trees import members
from stratify.trees.members import Members
from stratify.trees.model_text import UnsupportedTreesError


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(300, 4)), columns=["a", "b", "c", "d"])
    table["tumour"] = rng.choice(["nsclc", "renal", "melanoma"], 300)
    return table.mask(rng.random(table.shape) < 0.1)


@pytest.fixture(scope="module")
def label(patients) -> np.ndarray:
    margin = np.nan_to_num(patients["a"] * patients["b"]) + (patients["tumour"] == "renal")
    return (margin > 0.3).astype(int).to_numpy()


def _fitted(patients, label, **settings) -> ResistanceClassifier:
    model = ResistanceClassifier(n_members=3, n_estimators=20, calibration_folds=2, **settings)
    return model.fit(patients, label)


@pytest.mark.parametrize("anchor", ["all", ["a", "tumour"], None])
def test_interactions_are_symmetric_and_add_up_to_the_contributions(patients, label, anchor):
    model = _fitted(patients, label, anchor=anchor)
    pairs = model.interactions(patients)
    shap, base, margin = model.contributions(patients)
    assert pairs.shape == (300, 5, 5)
    assert np.array_equal(pairs, pairs.transpose(0, 2, 1))
    assert pairs.sum(axis=2) == pytest.approx(shap, abs=1e-12)
    assert base + pairs.sum(axis=(1, 2)) == pytest.approx(margin, abs=1e-12)
    assert np.abs(pairs[:, 0, 1]).max() > 0.01  # a and b count together


def test_interactions_take_columns_by_name(patients, label):
    model = _fitted(patients, label)
    turned = patients[patients.columns[::-1]]
    assert np.array_equal(model.interactions(turned), model.interactions(patients))


def test_the_anchor_stands_on_the_diagonal(patients, label):
    fitted = _fitted(patients, label, anchor=["a", "tumour"]).ensemble_
    alone = AnchoredEnsemble(fitted.members, None, [], 0.0)
    matrix = np.random.default_rng(1).integers(0, 3, (20, 5)).astype(float)
    difference = fitted.interactions(matrix) - alone.interactions(matrix)
    parts = fitted.anchor.contributions(matrix[:, fitted.anchor_columns])
    expected = np.zeros((20, 5, 5))
    for at, column in enumerate(fitted.anchor_columns):
        expected[:, column, column] = parts[:, at]
    assert difference == pytest.approx(expected, abs=1e-12)


def test_margins_are_lightgbm_s_to_the_last_bit_before_and_after_the_check(patients, label):
    model = _fitted(patients, label)
    matrix = model.encoded(patients)
    before = model.ensemble_.margins(matrix)
    model.ensemble_.trees  # noqa: B018  the check
    after = model.ensemble_.margins(matrix)
    theirs = [m.predict(matrix, raw_score=True) for m in model.ensemble_.members]
    anchor = model.ensemble_.anchor.margin(matrix[:, model.ensemble_.anchor_columns])
    assert np.array_equal(before, after)
    assert np.array_equal(after, np.array(theirs) + anchor)


def test_loops_are_checked_once_and_only_for_many_patients(patients, label, monkeypatch):
    checks = []
    real = Members.checked
    monkeypatch.setattr(Members, "checked", lambda boosters: checks.append(1) or real(boosters))
    model = _fitted(patients, label)
    model.predict_proba(patients)
    assert not checks
    monkeypatch.setattr(ensembles, "_MANY", 300)
    model.predict_proba(patients)
    model.contributions(patients)
    model.interactions(patients)
    assert checks == [1]
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(patients), model.predict_proba(patients))
    assert checks == [1]


def test_members_that_only_lightgbm_scores_keep_their_contributions(
    patients, label, monkeypatch, caplog
):
    def unsupported(texts):
        raise UnsupportedTreesError("no training row came through one of the splits.")

    model = _fitted(patients, label)
    expected = model.contributions(patients)[0]
    plain = pickle.loads(pickle.dumps(AnchoredEnsemble(**_parts(model.ensemble_))))
    monkeypatch.setattr(members, "read_trees", unsupported)
    matrix = model.encoded(patients)
    with caplog.at_level(logging.WARNING):
        values = plain.contributions(matrix)
    assert caplog.messages == [
        "Members are scored by LightGBM, which takes longer: no training row came through one of "
        "the splits."
    ]
    assert values == pytest.approx(expected, abs=1e-12)
    assert np.array_equal(plain.margins(matrix), model.ensemble_.margins(matrix))


def test_interactions_of_members_that_only_lightgbm_scores_are_those_of_shap(
    patients, label, caplog, shap
):
    numbers = patients[["a", "b", "c"]]
    ensemble = _fitted(numbers, label).ensemble_
    plain = members.Members(ensemble.members, None)
    matrix = numbers.to_numpy()[:20]
    with caplog.at_level(logging.WARNING):
        pairs = plain.interactions(matrix)
    assert caplog.messages == ["Interactions are computed by shap, which takes longer."]
    assert pairs == pytest.approx(ensemble.trees.interactions(matrix), abs=1e-9)


@pytest.fixture
def shap():
    with warnings.catch_warnings(action="ignore"):  # its plots, of Matplotlib
        import shap
    return shap


def test_interactions_that_do_not_add_up_are_refused(patients, label, monkeypatch, shap):
    ensemble = _fitted(patients, label).ensemble_
    plain = members.Members(ensemble.members, None)
    monkeypatch.setattr(
        shap.TreeExplainer, "shap_interaction_values", lambda self, rows: np.ones((len(rows), 5, 5))
    )
    with pytest.raises(UnsupportedTreesError) as raised:
        plain.interactions(np.zeros((2, 5)))
    assert str(raised.value) == (
        "The interactions of these members cannot be computed; contributions can."
    )


def _parts(ensemble: AnchoredEnsemble) -> dict:
    return {field.name: getattr(ensemble, field.name) for field in fields(ensemble)}

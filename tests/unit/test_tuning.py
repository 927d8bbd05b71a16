"""The search: inside the training patients only, the same again, resumable, and not flattered."""

from __future__ import annotations

from functools import cache

import numpy as np
import optuna
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from stratify.classifier import ResistanceClassifier
from stratify.errors import ArgumentError
from stratify.tuning import tuned

TEMPLATE = ResistanceClassifier(n_members=2, max_bin=15, calibration_folds=2, min_child_samples=5)
SEARCHED = {"num_leaves", "n_estimators", "anchor_start", "anchor_variance"}


@cache
def _patients(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Simulate patients whose risk turns at a TMB of 10, which no line can follow."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "tmb": rng.uniform(0, 30, n).round(1),
            "hed": rng.normal(6, 2, n).round(1),
            "bmi": rng.normal(26, 4, n).round(1),
        }
    )
    either = np.where((X["hed"] > 6) == (X["bmi"] > 26), 2.0, -2.0)
    return X, (rng.random(n) < 1 / (1 + np.exp(-either))).astype(int)


def changed(model: ResistanceClassifier) -> dict[str, object]:
    return {k: v for k, v in model.get_params().items() if v != TEMPLATE.get_params()[k]}


def finished(path) -> int:
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    storage = optuna.storages.JournalStorage(backend)
    studies = optuna.get_all_study_summaries(storage)
    return sum(study.n_trials for study in studies)


def test_settings_that_fit_better_are_chosen_and_nothing_else_changes():
    X, y = _patients(400, 0)
    stumps = clone(TEMPLATE).set_params(num_leaves=2, n_estimators=20)
    chosen = tuned(stumps, X, y, trials=8)
    assert chosen.num_leaves > 2  # an interaction needs more than one split
    assert set(changed(chosen)) <= SEARCHED
    assert not hasattr(chosen, "ensemble_")
    assert (
        stumps.get_params()
        == clone(TEMPLATE).set_params(num_leaves=2, n_estimators=20).get_params()
    )
    new, truth = _patients(2000, 1)
    risks = [clone(model).fit(X, y).predict_proba(new)[:, 1] for model in (stumps, chosen)]
    assert roc_auc_score(truth, risks[1]) > roc_auc_score(truth, risks[0]) + 0.1


def test_the_template_stays_where_others_are_not_better_by_more_than_chance():
    X, y = _patients(150, 2)
    labels = np.random.default_rng(0).permutation(y)
    assert changed(tuned(TEMPLATE, X, labels, trials=4)) == {}


def test_without_an_anchor_only_the_trees_are_searched():
    X, y = _patients(400, 0)
    stumps = clone(TEMPLATE).set_params(num_leaves=2, n_estimators=20, anchor=None)
    chosen = changed(tuned(stumps, X, y, trials=8))
    assert set(chosen) <= {"anchor", "num_leaves", "n_estimators"}
    assert chosen["num_leaves"] > 2


def test_neither_order_nor_threads_nor_an_interruption_change_the_choice(tmp_path):
    X, y = _patients(400, 0)
    stumps = clone(TEMPLATE).set_params(num_leaves=2, n_estimators=20)
    once = tuned(stumps, X, y, trials=5).get_params()
    order = np.random.default_rng(1).permutation(400)
    threads = clone(stumps).set_params(n_jobs=2)
    moved = tuned(threads, X.iloc[order][["tmb", "bmi", "hed"]], y[order], trials=5).get_params()
    assert {**moved, "n_jobs": 1} == once

    path = tmp_path / "search.log"
    tuned(stumps, X, y, trials=2, storage=path)
    assert finished(path) == 2
    assert tuned(stumps, X, y, trials=5, storage=path).get_params() == once
    assert finished(path) == 5
    tuned(stumps, X, y, trials=5, storage=path)  # nothing is left to try
    assert finished(path) == 5
    tuned(stumps, X, 1 - y, trials=1, storage=path)  # other patients: a search of their own
    assert finished(path) == 6
    assert not any(column in path.read_text() for column in X)


def test_weights_and_other_outcomes_reach_the_search():
    X, y = _patients(400, 0)
    stumps = clone(TEMPLATE).set_params(num_leaves=2, n_estimators=20)
    plain = tuned(stumps, X, y, trials=4).get_params()
    ghosts = pd.concat([X, X], ignore_index=True), np.append(y, 1 - y)
    assert tuned(stumps, *ghosts, np.repeat([1.0, 0.0], 400), trials=4).get_params() == plain
    with pytest.raises(ArgumentError, match=r"^auxiliary has 3 rows but y has 400\.$"):
        tuned(stumps, X, y, auxiliary=np.zeros((3, 1)), trials=1)


def test_logging_of_optuna_is_left_as_it_was():
    X, y = _patients(150, 2)
    before = optuna.logging.get_verbosity()
    tuned(TEMPLATE, X, y, trials=1)
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize("trials", [0, 2.5])
def test_trials_that_cannot_be_made_are_refused(trials):
    with pytest.raises(ArgumentError) as refusal:
        tuned(TEMPLATE, *_patients(150, 2), trials=trials)
    assert str(refusal.value) == f"trials is {trials}; a whole number of at least 1 is expected."


# ---------------------------------------------------------------- leakage


def nested_risks(X: pd.DataFrame, y: np.ndarray, seed: int, trials: int) -> np.ndarray:
    risk = np.empty(len(y))
    for train, test in StratifiedKFold(3, shuffle=True, random_state=seed).split(X, y):
        template = clone(TEMPLATE).set_params(random_state=seed)
        model = clone(tuned(template, X.iloc[train], y[train], trials=trials))
        risk[test] = model.fit(X.iloc[train], y[train]).predict_proba(X.iloc[test])[:, 1]
    return risk


@pytest.mark.slow
def test_labels_that_mean_nothing_give_a_nested_auroc_of_one_half():
    X, y = _patients(300, 3)
    areas = []
    for seed in range(10):
        labels = np.random.default_rng(seed).permutation(y)
        areas.append(roc_auc_score(labels, nested_risks(X, labels, seed, trials=5)))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)


def test_the_search_sees_no_patient_of_the_outer_fold(monkeypatch):
    X, y = _patients(150, 4)
    seen = []
    fit = ResistanceClassifier.fit

    def recorded(self, X, y, sample_weight=None, auxiliary=None):
        seen.append(set(X.index))
        return fit(self, X, y, sample_weight, auxiliary)

    monkeypatch.setattr(ResistanceClassifier, "fit", recorded)
    for train, test in StratifiedKFold(3).split(X, y):
        seen.clear()
        tuned(TEMPLATE, X.iloc[train], y[train], trials=2)
        assert len(seen) == 4  # the template, two trials, and the best of them again
        assert set.union(*seen) == set(train)
        assert not set.union(*seen) & set(test)

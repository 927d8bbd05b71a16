"""The search: inside the training patients only, the same again, resumable, and not flattered."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import optuna
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from stratify import progress
from stratify.errors import ArgumentError, FileError
from stratify.model.classifier import ResistanceClassifier
from stratify.model.ensemble import AnchoredEnsemble
from stratify.model.tuning import tuned

TEMPLATE = ResistanceClassifier(
    n_members=2, max_bin=15, masked_weight=0, calibration_folds=2, min_child_samples=5
)
# Too weak a model for the patients below: three stumps, and a linear score shrunken to nothing.
WEAK = clone(TEMPLATE).set_params(num_leaves=2, n_estimators=3, anchor_variance=1e-6)
SEARCHED = {"num_leaves", "n_estimators", "anchor_start", "anchor_variance"}


@cache
def _patients(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Simulate patients whose log-odds are a sum of three lines."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "tmb": rng.uniform(0, 30, n).round(1),
            "hed": rng.normal(6, 2, n).round(1),
            "bmi": rng.normal(26, 4, n).round(1),
        }
    )
    logit = (15 - X["tmb"]) / 8 + (X["hed"] - 6) / 2 + (X["bmi"] - 26) / 4
    return X, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)


def changed(model: ResistanceClassifier) -> dict[str, object]:
    return {k: v for k, v in model.get_params().items() if v != TEMPLATE.get_params()[k]}


def finished(path) -> int:
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    storage = optuna.storages.JournalStorage(backend)
    studies = optuna.get_all_study_summaries(storage)
    return sum(study.n_trials for study in studies)


def test_settings_that_fit_better_are_chosen_and_nothing_else_changes():
    X, y = _patients(200, 0)
    before = WEAK.get_params()
    chosen = tuned(WEAK, X, y, trials=3)
    assert set(changed(chosen)) <= SEARCHED
    assert not hasattr(chosen, "ensemble_")
    assert WEAK.get_params() == before
    new, truth = _patients(2000, 1)
    weak, better = (clone(m).fit(X, y).predict_proba(new)[:, 1] for m in (WEAK, chosen))
    assert roc_auc_score(truth, better) > roc_auc_score(truth, weak) + 0.02


def test_the_template_stays_where_others_are_not_better_by_more_than_chance():
    X, y = _patients(150, 2)
    labels = np.random.default_rng(0).permutation(y)
    assert changed(tuned(TEMPLATE, X, labels, trials=4)) == {}


def test_without_an_anchor_only_the_trees_are_searched():
    X, y = _patients(200, 0)
    trees = clone(WEAK).set_params(anchor=None)
    chosen = tuned(trees, X, y, trials=2)
    assert chosen.n_estimators > 3
    assert (chosen.anchor_variance, chosen.anchor_start) == (1e-6, TEMPLATE.anchor_start)


def test_neither_order_nor_threads_nor_an_interruption_change_the_choice(tmp_path):
    X, y = _patients(200, 0)
    path = tmp_path / "search.log"
    once = tuned(WEAK, X, y, trials=3, storage=path).get_params()
    assert once != WEAK.get_params()
    assert finished(path) == 3
    tuned(WEAK, X, y, trials=3, storage=path)
    assert finished(path) == 3  # nothing was left to try

    order = np.random.default_rng(1).permutation(200)
    threads, moved = clone(WEAK).set_params(n_jobs=2), X.iloc[order][["tmb", "bmi", "hed"]]
    again = tuned(threads, moved, y[order], trials=3, storage=path).get_params()
    assert finished(path) == 3  # the same patients in another order: the same search
    assert {**again, "n_jobs": 1} == once
    path = tmp_path / "interrupted.log"
    tuned(threads, moved, y[order], trials=1, storage=path)
    assert finished(path) == 1
    assert tuned(WEAK, X, y, trials=3, storage=path).get_params() == once
    tuned(WEAK, X.iloc[1:], y[1:], trials=1, storage=path)
    assert finished(path) == 4  # of other patients it is another search
    assert not any(column in path.read_text() for column in X)


def test_a_search_that_is_damaged_is_named(tmp_path):
    path = tmp_path / "search.log"
    path.write_text('{"op_code": 0, "worker\n{}\n')
    with pytest.raises(FileError) as refusal:
        tuned(WEAK, *_patients(150, 2), trials=1, storage=path)
    assert str(refusal.value) == f"The search {path} is damaged. Remove it and train again."
    missing = tmp_path / "nowhere" / "search.log"
    with pytest.raises(FileError) as refusal:
        tuned(WEAK, *_patients(150, 2), trials=1, storage=missing)
    assert str(refusal.value) == f"The search {missing} cannot be kept: No such file or directory."


def test_hopeless_settings_are_given_up_and_told(monkeypatch):
    folds, told, lines = [], [], []
    real = AnchoredEnsemble.stages

    def counted(*arguments, **options):
        folds.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(AnchoredEnsemble, "stages", staticmethod(counted))
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    tuned(WEAK, *_patients(200, 0), trials=8, tried=told.append, progress=lines.append)
    assert len(told) == len(lines) == 8
    full = [trial for trial in told if "n_estimators" in trial]
    assert 3 <= len(full) < 8
    assert 3 * (1 + len(full)) < len(folds) < 3 * 9  # some stopped after one or two of three
    assert all(0 < trial["log_loss"] < 2 for trial in told)
    assert all(trial["n_estimators"] in range(25, 201, 25) for trial in full)
    assert re.fullmatch(r"3 of 8 settings tried, about \d+ s left", lines[2])


def test_an_ensemble_that_gains_nothing_more_stops_growing():
    X, y = _patients(200, 0)
    patients, design, _, _ = TEMPLATE.training_patients(X, y)
    few, others = patients.take(np.arange(120)), patients.take(np.arange(120, 200))
    boosting = replace(TEMPLATE.boosting, learning_rate=0.5)
    rounds = tuple(range(25, 201, 25))
    found = AnchoredEnsemble.stages(few, others, design, boosting, rounds, seed=0)
    losses = (np.logaddexp(0, found) - others.label * found).sum(axis=1)
    assert len(found) == np.argmin(losses) + 3 < 8
    grown = AnchoredEnsemble.fit(few, design, replace(boosting, n_estimators=25), seed=0)
    assert found[0] == pytest.approx(grown.margins(others.matrix).mean(axis=0), abs=1e-12)


def test_weights_and_other_outcomes_reach_the_search():
    X, y = _patients(200, 0)
    plain = tuned(WEAK, X, y, trials=2).get_params()
    assert plain != WEAK.get_params()
    ghosts = pd.concat([X, X], ignore_index=True), np.append(y, 1 - y)
    assert tuned(WEAK, *ghosts, np.repeat([1.0, 0.0], 200), trials=2).get_params() == plain
    with pytest.raises(ArgumentError, match=r"^auxiliary has 3 rows but y has 200\.$"):
        tuned(WEAK, X, y, auxiliary=np.zeros((3, 1)), trials=1)


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
    real = ResistanceClassifier.training_patients

    def recorded(self, X, *others):
        seen.append(set(X.index))
        return real(self, X, *others)

    monkeypatch.setattr(ResistanceClassifier, "training_patients", recorded)
    for train, test in StratifiedKFold(3).split(X, y):
        seen.clear()
        tuned(TEMPLATE, X.iloc[train], y[train], trials=2)
        assert seen == [set(train)]
        assert not seen[0] & set(test)

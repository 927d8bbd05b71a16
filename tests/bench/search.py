"""Nested validation with a choice of settings, beside what one would write with scikit-learn."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import lightgbm
import numpy as np
import optuna
import pandas as pd
from joblib.externals.loky import get_reusable_executor
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_val_score
from timing import Measured, used

from stratify.model.classifier import ResistanceClassifier
from stratify.model.tuning import tuned
from stratify.simulation import simulate
from stratify.validation.folds import each_fold

WORKERS, INNER = 2, 3
TEMPLATE = ResistanceClassifier()


def space(trial: optuna.Trial) -> dict[str, object]:
    """Settings among which both sides choose."""
    return {
        "num_leaves": trial.suggest_categorical("num_leaves", [2, 4, 8, 16]),
        "n_estimators": trial.suggest_categorical("n_estimators", [50, 100, 150, 200]),
        "anchor_start": trial.suggest_categorical("anchor_start", [0.0, 0.5, 1.0]),
        "anchor_variance": trial.suggest_float("anchor_variance", 0.05, 10.0, log=True),
    }


class Searched(ClassifierMixin, BaseEstimator):
    """A model whose settings Optuna chooses, each judged by ``cross_val_score``."""

    def __init__(self, model=TEMPLATE, in_search=None, trials=5):
        self.model, self.in_search, self.trials = model, in_search, trials

    def fit(self, X, y):
        """Search, and fit the best."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        inner = StratifiedKFold(INNER, shuffle=True, random_state=0)
        known = set(self.model.get_params())

        def settings(trial):
            return {name: value for name, value in space(trial).items() if name in known}

        def loss(trial):
            model = clone(self.model).set_params(**(self.in_search or {}), **settings(trial))
            return -cross_val_score(model, X, y, cv=inner, scoring="neg_log_loss").mean()

        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
        study.optimize(loss, n_trials=self.trials)
        best = {name: value for name, value in study.best_params.items() if name in known}
        self.model_ = clone(self.model).set_params(**best).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        """By the best."""
        return self.model_.predict(X)

    def predict_proba(self, X):
        """By the best."""
        return self.model_.predict_proba(X)


def fold(X: pd.DataFrame, y: np.ndarray, judged: pd.DataFrame, trials: int) -> np.ndarray:
    """Risks of the patients left out, settings chosen by stratify on the others."""
    return tuned(TEMPLATE, X, y, trials=trials).fit(X, y).predict_proba(judged)[:, 1]


def patients(n: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Simulated patients, and labels drawn from their true risks."""
    cohort = simulate(n, seed=3)
    table = cohort.panels["clinical"]
    for name in ("pdl1", "tmb"):
        table = table.merge(cohort.panels[name], on="patient_id", how="left")
    X = table.drop(columns="patient_id").select_dtypes(exclude="datetime")
    y = np.random.default_rng(0).random(n) < cohort.truth["risk_mono"].to_numpy()
    return X, y.astype(int)


def measured(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float, float]:
    """Risks, seconds of processor time and seconds on a clock, workers and their start included."""
    get_reusable_executor().shutdown(wait=True)
    begun, start = used(), time.perf_counter()
    risks = work()
    wall = time.perf_counter() - start
    get_reusable_executor().shutdown(wait=True)  # what workers used counts once they have ended
    return risks, used() - begun, wall


def rows(trials: int = 10, folds: int = 3, n: int = 1000) -> Iterator[Measured]:
    """Nested validation on two workers, by stratify and by others."""
    X, y = patients(n)
    outer = StratifiedKFold(folds, shuffle=True, random_state=0)
    parts = list(outer.split(X, y))

    def ours() -> np.ndarray:
        calls = [(X.iloc[train], y[train], X.iloc[test], trials) for train, test in parts]
        found = each_fold(fold, calls, [""] * folds, workers=WORKERS)
        risks = np.empty(n)
        for (_, test), risk in zip(parts, found, strict=True):
            risks[test] = risk
        return risks

    def theirs(model: Searched, data: pd.DataFrame) -> np.ndarray:
        return cross_val_predict(model, data, y, cv=outer, method="predict_proba", n_jobs=WORKERS)[
            :, 1
        ]

    coded = X.copy()
    for name in coded.columns[~coded.dtypes.map(pd.api.types.is_numeric_dtype)]:
        coded[name] = pd.Categorical(coded[name])
    coded = coded.astype({c: float for c in coded if coded[c].dtype != "category"})
    alone = lightgbm.LGBMClassifier(learning_rate=0.03, n_jobs=1, verbose=-1)
    few = {"n_members": 4, "calibration_folds": 0}
    peers = {
        "cross_val_predict, Optuna, cross_val_score of the same model": (Searched(), X),
        "the same, 4 members without calibration in the search": (Searched(in_search=few), X),
        "the same, one LGBMClassifier in place of the model": (Searched(model=alone), coded),
    }
    for each, _ in peers.values():
        each.set_params(trials=trials)
    own, own_used, own_wall = measured(ours)
    sys.stderr.write(f"ours: {own_used:.0f} s of processor time, {own_wall:.0f} s\n")
    work = f"nested validation, n = {n:,}, {folds} folds, {trials} settings, {WORKERS} workers"
    for name, (peer, data) in peers.items():
        risk, taken, wall = measured(lambda peer=peer, data=data: theirs(peer, data))
        yield Measured(
            work,
            name,
            (taken / own_used,) * 3,
            note=f"{wall / own_wall:.1f}x on a clock ({own_wall:.0f} s against {wall:.0f} s), "
            f"started workers included; AUROC {roc_auc_score(y, risk):.3f}; one round",
        )
        if data is X and peer.in_search is None:
            gain = roc_auc_score(y, own) - roc_auc_score(y, risk)
            yield Measured(
                f"{work}: AUROC of ours minus theirs",
                name,
                (gain,) * 3,
                unit="",
                note=f"AUROC of ours {roc_auc_score(y, own):.3f}",
            )

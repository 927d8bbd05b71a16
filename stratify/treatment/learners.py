"""Effect of treatment for each patient by EconML, and a rule that fits on a slide.

Every prediction is made in turn: the model that predicts a patient's effect saw neither the patient
nor, in its own nuisance models, outcomes beyond its training patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from stratify.arrays import Flags, Floats, Ints
from stratify.errors import ArgumentError
from stratify.treatment.doubly_robust import doubly_robust_scores, folds_of, regressor

__all__ = [
    "FIRST",
    "LEARNERS",
    "TESTED",
    "InTurn",
    "Learner",
    "TreeRule",
    "learn_in_turn",
    "policy_tree",
    "require_econml",
    "turns_of",
]


ABSENT = (
    "Effects of treatment are estimated with econml, which is not installed. Install it with "
    '`pip install "stratify-immuno[effect]"`.'
)
INNER = 2  # folds of the scores inside the training patients
TURNS, FIRST = 10, 4  # tenths, and how many of them only train


def require_econml() -> None:
    """Raise ArgumentError, before anything is fitted, where econml is not installed."""
    if find_spec("econml") is None:
        raise ArgumentError(ABSENT)


@dataclass(frozen=True, eq=False)
class InTurn:
    """Predictions made in turn, NaN for patients who only trained.

    Attributes
    ----------
    judged : ndarray of shape (n_patients,)
        Patients with a prediction.
    effects : dict of str to ndarray of shape (n_patients,)
        Predicted effect by learner, in the unit of the outcome.
    treats : ndarray of shape (n_patients,)
        1 for who gets the alternative by the policy tree of the turn, else 0.
    trees : list of TreeRule
        One a turn.
    """

    judged: Flags
    effects: dict[str, Floats]
    treats: Floats
    trees: list[TreeRule]


@dataclass(frozen=True, eq=False)
class TreeRule:
    """A policy tree.

    Attributes
    ----------
    tree : econml.policy.PolicyTree
    text : str
        The rule in words, one line a leaf, in the units of the covariates.
    """

    tree: Any
    text: str

    def treats(self, X: Floats) -> Flags:
        """Who gets the alternative."""
        return np.asarray(self.tree.predict(X) == 1)


def policy_tree(
    X: Floats,
    reference: Floats,
    alternative: Floats,
    names: Sequence[str],
    *,
    depth: int = 2,
    plain: Callable[[int, float], float] = lambda _, value: value,
) -> TreeRule:
    """Learn a tree of at most `depth` questions that maximises the mean score.

    Parameters
    ----------
    X : ndarray of shape (n_patients, n_covariates)
    reference, alternative : ndarray of shape (n_patients,)
        Doubly robust scores of the treatments.
    plain : callable
        Gives a threshold of a column in its own unit.

    References
    ----------
    Athey S, Wager S. Econometrica 2021;89:133-161; EconML's greedy tree.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 1))
    >>> rule = policy_tree(X, np.zeros(400), X[:, 0], ["tmb"], depth=1)
    >>> rule.treats(np.array([[-2.0], [2.0]])).tolist()
    [False, True]
    """
    from econml.policy import PolicyTree

    if depth not in (1, 2, 3):
        raise ArgumentError(f"depth is {depth!r}; 1, 2 or 3 is expected: a rule for a slide.")
    # a leaf holds at least one patient in twenty, and twenty patients
    leaf = int(max(20, 0.05 * len(X)))
    tree = PolicyTree(
        max_depth=depth, min_samples_leaf=leaf, min_samples_split=2 * leaf, honest=False,
        random_state=0,
    )  # fmt: skip
    tree.fit(X, np.column_stack([reference, alternative]))
    return TreeRule(tree, _words(tree.tree_, names, plain))


def _words(tree: Any, names: Sequence[str], plain: Callable[[int, float], float]) -> str:
    def leaves(node: int, path: list[str]) -> list[tuple[list[str], str]]:
        """Conditions of each leaf, with the answer; questions that change nothing are left out."""
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left < 0:
            best = int(np.argmax(np.asarray(tree.value[node]).ravel()))
            return [(path, ("reference", "alternative")[best])]
        column = int(tree.feature[node])
        limit = f"{plain(column, float(tree.threshold[node])):.3g}"
        name = names[column]
        below, above = f"{name} up to {limit}", f"{name} above {limit}"
        if "=" in name or name.endswith(" missing"):
            below, above = f"not {name}", name
        found = leaves(left, [*path, below]) + leaves(right, [*path, above])
        answers = {answer for _, answer in found}
        return [(path, answers.pop())] if len(answers) == 1 else found

    return "\n".join(f"{' and '.join(p) or 'everybody'}: {answer}" for p, answer in leaves(0, []))


Encoded = tuple[Floats, Sequence[str], Callable[[int, float], float]]


def learn_in_turn(
    matrices: Callable[[npt.NDArray[np.intp]], Encoded],
    treated: Flags,
    outcome: Floats,
    propensity: Floats,
    turn: Ints,
    *,
    learners: Sequence[str],
    strata: Floats | None = None,
    depth: int = 2,
    randomised: bool = True,
    seed: int = 0,
) -> InTurn:
    """Predict effects and apply a rule in turn: each tenth by models of the tenths before it.

    Ordinary cross-fitting would judge each tenth by models that learned from those which they are
    judged by in turn; a chance pattern that two tenths share then counts twice, and tests find
    heterogeneity where there is none. In turn, each tenth is new to its model and to all before.

    Parameters
    ----------
    matrices : callable
        Given training rows, the covariates of all patients encoded by these rows, the columns'
        names, and their own units (see :func:`policy_tree`).
    treated, outcome, propensity : ndarray of shape (n_patients,)
        As for :func:`stratify.treatment.doubly_robust.doubly_robust_scores`.
    turn : ndarray of shape (n_patients,)
        From :func:`turns_of`; the patients of the first `FIRST` turns only train.
    strata : ndarray of shape (n_patients, n_columns), optional
        Columns that mark the strata: models of outcomes, effects and propensity know them; the
        policy tree does not, since a rule must be of use in the next trial.

    References
    ----------
    Luedtke AR, van der Laan MJ. Ann Stat 2016;44:713-742. Wager S. Sequential validation of
    treatment heterogeneity, 2024.
    """
    if unknown := set(learners) - set(LEARNERS):
        raise ArgumentError(
            f"learner {min(unknown)!r} is not known; there are {', '.join(LEARNERS)}."
        )
    n = len(treated)
    effects = {name: np.full(n, np.nan) for name in learners}
    treats = np.full(n, np.nan)
    trees = []
    alike = randomised and (strata is None or not strata.shape[1])  # one share of the arms for all
    for k in range(FIRST, int(turn.max()) + 1):
        train, test = np.flatnonzero(turn < k), np.flatnonzero(turn == k)
        X, names, plain = matrices(train)
        Z = X if strata is None else np.hstack([X, strata])
        inner = doubly_robust_scores(
            Z[train],
            treated[train],
            outcome[train],
            propensity[train],
            fold=folds_of(treated[train], seed, INNER),
        )
        rule = policy_tree(
            X[train], inner.reference, inner.alternative, names, depth=depth, plain=plain
        )
        treats[test] = rule.treats(X[test])
        trees.append(rule)
        for name in learners:
            predict = LEARNERS[name].fit(
                Z[train], treated[train], outcome[train], randomised=alike, seed=seed
            )
            effects[name][test] = predict(Z[test])
    return InTurn(turn >= FIRST, effects, treats, trees)


def turns_of(treated: Flags, seed: int) -> Ints:
    """Turn of each patient at random, arms spread evenly."""
    return folds_of(treated, seed, TURNS)


@dataclass(frozen=True)
class Learner:
    """A way to predict the effect of each patient.

    Attributes
    ----------
    name, title : str
        In tables, and in reports.
    unfitted : callable
        Gives an estimator of EconML, from a propensity model and a seed.
    """

    name: str
    title: str
    unfitted: Callable[[Any, int], Any]

    def fit(
        self, X: Floats, treated: Flags, outcome: Floats, *, randomised: bool, seed: int
    ) -> Callable[[Floats], Floats]:
        """Fit, and give the prediction for covariates of new patients."""
        from sklearn.dummy import DummyClassifier
        from sklearn.linear_model import LogisticRegression

        prior, logistic = DummyClassifier(strategy="prior"), LogisticRegression(max_iter=2000)
        # where patients were randomised nothing predicts the arm
        fitted = self.unfitted(prior if randomised else logistic, seed)
        fitted.fit(outcome, treated.astype(int), X=X)
        return lambda new: np.asarray(fitted.effect(new), dtype=float).ravel()


def _dr_learner(propensity: Any, seed: int) -> Any:
    from econml.dr import DRLearner

    return DRLearner(
        model_propensity=propensity, model_regression=regressor(), model_final=regressor(),
        cv=INNER, random_state=seed,
    )  # fmt: skip


def _t_learner(propensity: Any, seed: int) -> Any:
    from econml.metalearners import TLearner

    return TLearner(models=regressor())


def _x_learner(propensity: Any, seed: int) -> Any:
    from econml.metalearners import XLearner

    return XLearner(models=regressor(), propensity_model=propensity)


def _causal_forest(propensity: Any, seed: int) -> Any:
    from econml.dml import CausalForestDML

    return CausalForestDML(
        model_y=regressor(), model_t=propensity, discrete_treatment=True, n_estimators=200,
        min_samples_leaf=10, random_state=seed, n_jobs=1, cv=INNER,
    )  # fmt: skip


LEARNERS = {
    each.name: each
    for each in (
        Learner("dr_learner", "DR-learner (tested)", _dr_learner),
        Learner("t_learner", "T-learner", _t_learner),
        Learner("x_learner", "X-learner", _x_learner),
        Learner("causal_forest", "causal forest", _causal_forest),
    )
}
TESTED = "dr_learner"  # whose predictions make the test of heterogeneity; the others are shown too

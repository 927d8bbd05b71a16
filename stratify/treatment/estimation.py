"""What is estimated of two arms: scores of every outcome, and effects predicted in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from stratify.arrays import Flags, Floats, Ints
from stratify.statistics.intervals import Estimate
from stratify.study.estimand import OUTCOMES
from stratify.treatment.arms import Arms
from stratify.treatment.covariates import CovariateMatrix
from stratify.treatment.doubly_robust import Scores, doubly_robust_scores, folds_of
from stratify.treatment.heterogeneity import best_linear_predictor
from stratify.treatment.learners import TESTED, Encoded, InTurn, learn_in_turn, turns_of
from stratify.treatment.outcomes import MEASURES, MeasuredOutcome

__all__ = [
    "Estimation",
    "ScoredOutcome",
    "encoded_by",
    "estimate_effects",
    "indicators",
    "scored_outcomes",
]


@dataclass(frozen=True, eq=False)
class ScoredOutcome:
    """An outcome of the patients in whom it is recorded, with their doubly robust scores."""

    name: str
    unit: str
    known: Flags  # who they are among the patients of both arms; all else is of those known
    values: Floats
    unadjusted: Floats
    treated: Flags
    stratum: Ints
    follow_up: tuple[Floats, Floats] | None  # time and event; None where the outcome is no time
    outcome: MeasuredOutcome  # of the patients of both arms, known or not
    scores: Scores


@dataclass(frozen=True, eq=False)
class Estimation:
    """Scores of the outcomes, and effects and a rule on the primary one, learned in turn."""

    arms: Arms
    propensity: Floats
    seed: int
    outcomes: dict[str, ScoredOutcome]
    turn: Ints
    in_turn: InTurn

    @property
    def scores(self) -> Scores:
        """Scores of the primary outcome."""
        return self.outcomes[self.arms.primary].scores

    @cached_property
    def judged(self) -> Ints:
        """Patients judged in turn; the others only trained."""
        return np.flatnonzero(self.in_turn.judged)

    @cached_property
    def effect(self) -> Floats:
        """Doubly robust effect of those judged."""
        return self.scores.effect[self.judged]

    @cached_property
    def predicted(self) -> dict[str, Floats]:
        """Their effects as predicted by each learner."""
        return {name: values[self.judged] for name, values in self.in_turn.effects.items()}

    def slope(self, learner: str) -> tuple[Estimate, float]:
        """Slope of the effect on its prediction, and p: whether effects differ as predicted."""
        return best_linear_predictor(self.effect, self.predicted[learner], self.turn[self.judged])


def estimate_effects(
    arms: Arms, propensity: Floats, learners: Sequence[str] = (), seed: int = 0
) -> Estimation:
    """Score all outcomes, and learn in turn; the learner that is tested is always there."""
    turn = turns_of(arms.treated, seed)
    in_turn = learn_in_turn(
        partial(encoded_by, arms), arms.treated, arms.outcomes[arms.primary].values, propensity,
        turn, strata=indicators(arms),
        learners=[TESTED, *(name for name in learners if name != TESTED)],
        depth=arms.estimand.tree_depth, randomised=arms.randomised, seed=seed,
    )  # fmt: skip
    return Estimation(
        arms, propensity, seed, scored_outcomes(arms, propensity, seed), turn, in_turn
    )


def encoded_by(arms: Arms, train: npt.NDArray[np.intp]) -> Encoded:
    """Covariates of all patients, encoded by some."""
    fitted = CovariateMatrix(arms.covariates).fit(arms.table.iloc[train])
    return fitted.transform(arms.table), fitted.names_, fitted.plain


def indicators(arms: Arms) -> Floats:
    """Columns that mark the strata but the first, shape (n_patients, n_strata - 1)."""
    marked: Floats = (arms.stratum[:, None] == np.arange(1, len(arms.strata))).astype(float)
    return marked


def scored_outcomes(arms: Arms, propensity: Floats, seed: int) -> dict[str, ScoredOutcome]:
    """Doubly robust scores of every outcome that the arms have, see :meth:`Arms.with_outcomes`."""
    X = np.hstack([encoded_by(arms, np.arange(len(arms)))[0], indicators(arms)])
    fold = folds_of(arms.treated, seed)
    found = {}
    for name, outcome in arms.outcomes.items():
        known = ~np.isnan(outcome.values)
        values, treated = outcome.values[known], arms.treated[known]
        follow_up = MEASURES[name].follow_up(arms.table[known])
        scores = doubly_robust_scores(
            X[known], treated, values, propensity[known], fold=fold[known]
        )
        found[name] = ScoredOutcome(
            name, OUTCOMES[name][0], known, values, outcome.unadjusted[known], treated,
            arms.stratum[known], follow_up, outcome, scores,
        )  # fmt: skip
    return found

"""Average effects on each outcome, and how they go with a score."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.statistics.discrimination import c_index
from stratify.statistics.intervals import Estimate, standard_error, wald
from stratify.statistics.survival import hazard_ratio, survival_by_group
from stratify.study.estimand import OUTCOMES
from stratify.treatment.arms import Arms
from stratify.treatment.controls import e_value
from stratify.treatment.covariates import CovariateMatrix
from stratify.treatment.doubly_robust import Scores, doubly_robust_scores, folds_of
from stratify.treatment.heterogeneity import effect_by_score, interaction, ratio_of_hazard_ratios
from stratify.treatment.outcomes import MEASURES

__all__ = [
    "ByScore",
    "ScoredOutcome",
    "average_effects",
    "effects_by_score",
    "mean_difference",
    "score_outcomes",
    "survival_by_arm",
    "unrecorded_confounding",
]

ENDS = ["value", "low", "high"]


@dataclass(frozen=True, eq=False)
class ScoredOutcome:
    """An outcome of the patients in whom it is recorded, with their doubly robust scores.

    Attributes
    ----------
    name, unit : str
    known : ndarray of shape (n_patients,)
        Who they are among the patients of both arms; all else is of those known.
    values : ndarray of shape (n_known,)
    treated : ndarray of shape (n_known,)
    follow_up : (ndarray, ndarray) or None
        Time and event; None where the outcome is no time.
    scores : Scores
    """

    name: str
    unit: str
    known: Flags
    values: Floats
    treated: Flags
    follow_up: tuple[Floats, Floats] | None
    scores: Scores


def score_outcomes(arms: Arms, propensity: Floats, seed: int) -> dict[str, ScoredOutcome]:
    """Score every outcome of the estimand, cross-fitted."""
    X = CovariateMatrix(arms.covariates).fit(arms.table).transform(arms.table)
    fold = folds_of(arms.treated, seed)
    found = {}
    for name, outcome in arms.outcomes.items():
        known = ~np.isnan(outcome)
        values, treated = outcome[known], arms.treated[known]
        follow_up = MEASURES[name].follow_up(arms.table[known])
        scores = doubly_robust_scores(
            X[known], treated, values, propensity[known], fold=fold[known]
        )
        found[name] = ScoredOutcome(
            name, OUTCOMES[name][0], known, values, treated, follow_up, scores
        )
    return found


def mean_difference(one: Floats, two: Floats, level: float = 0.95) -> Estimate:
    """Mean of the first group minus that of the second, Wald interval with unequal spread.

    Examples
    --------
    >>> mean_difference(np.array([3.0, 5.0]), np.array([1.0, 1.0])).value
    3.0
    """
    error = np.hypot(standard_error(one), standard_error(two))
    return wald(float(one.mean() - two.mean()), float(error), level)


def average_effects(outcomes: Iterable[ScoredOutcome], *, randomised: bool) -> pd.DataFrame:
    """Doubly robust differences; where randomised, plain ones and hazard ratios of times too.

    Returns
    -------
    DataFrame
        outcome, estimator, unit, value, low, high, n.
    """
    rows: list[tuple[object, ...]] = []
    for each in outcomes:
        n, treated = len(each.values), each.treated
        rows.append((each.name, "doubly_robust", each.unit, *each.scores.average_effect(), n))
        if randomised:
            plain = mean_difference(each.values[treated], each.values[~treated])
            rows.append((each.name, "unadjusted", each.unit, *plain, n))
            if each.follow_up is not None:
                ratio = hazard_ratio(*each.follow_up, treated.astype(float))
                rows.append((each.name, "hazard_ratio", "ratio", *ratio, n))
    return pd.DataFrame(rows, columns=["outcome", "estimator", "unit", *ENDS, "n"])


def unrecorded_confounding(outcomes: Iterable[ScoredOutcome]) -> pd.DataFrame:
    """Tabulate E-values of the average effects: outcome, e_value, e_value_limit, n."""
    rows = []
    for each in outcomes:
        scale = MEASURES[each.name].scale(each.values, each.scores.reference)
        found = e_value(each.scores.average_effect(), **scale)
        rows.append((each.name, *found, len(each.values)))
    return pd.DataFrame(rows, columns=["outcome", "e_value", "e_value_limit", "n"])


def survival_by_arm(
    outcomes: Iterable[ScoredOutcome], arms: Arms
) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Kaplan-Meier curves of the times by arm with their summary, the reference first."""
    names = list(arms.sizes())
    return {
        each.name: survival_by_group(
            *each.follow_up,
            pd.Categorical(np.where(each.treated, names[1], names[0]), categories=names),
        )
        for each in outcomes
        if each.follow_up is not None
    }


class ByScore(NamedTuple):
    """Effects along a score.

    Attributes
    ----------
    interaction : DataFrame
        score, outcome, scale (``difference | ratio_of_hazard_ratios``), unit, value, low, high
        (for one standard deviation more), p, n.
    score_by_arm : DataFrame
        score, outcome, arm, value, low, high (C-index of the times), n, n_events.
    by_score : DataFrame
        rank, score, value, low, high, n, score_name, outcome: see
        :func:`stratify.treatment.heterogeneity.effect_by_score`.
    """

    interaction: pd.DataFrame
    score_by_arm: pd.DataFrame
    by_score: pd.DataFrame


def effects_by_score(
    outcomes: Iterable[ScoredOutcome], arms: Arms, score: Floats, name: str
) -> ByScore:
    """Interaction on both scales, association in each arm, and the effect along the score."""
    tests: list[tuple[object, ...]] = []
    order: list[tuple[object, ...]] = []
    curves = []
    names = list(arms.sizes())
    for each in outcomes:
        here = ~np.isnan(score[each.known])
        mine, effect, treated = (
            score[each.known][here],
            each.scores.effect[here],
            each.treated[here],
        )
        slope, p = interaction(effect, mine)
        tests.append((name, each.name, "difference", each.unit, *slope, p, len(mine)))
        curves.append(effect_by_score(effect, mine).assign(score_name=name, outcome=each.name))
        if each.follow_up is None:
            continue
        time, event = (values[here] for values in each.follow_up)
        ratio, p = ratio_of_hazard_ratios(time, event, treated, mine)
        tests.append((name, each.name, "ratio_of_hazard_ratios", "ratio", *ratio, p, len(mine)))
        for arm, rows in zip(names, (~treated, treated), strict=True):
            found = c_index(time[rows], event[rows], mine[rows])
            order.append((name, each.name, arm, *found, int(rows.sum()), int(event[rows].sum())))
    return ByScore(
        pd.DataFrame(tests, columns=["score", "outcome", "scale", "unit", *ENDS, "p", "n"]),
        pd.DataFrame(order, columns=["score", "outcome", "arm", *ENDS, "n", "n_events"]),
        pd.concat(curves, ignore_index=True),
    )

"""Tables of an effect of treatment, each with its columns: average effects, and by a score."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.statistics.discrimination import c_index
from stratify.statistics.intervals import Estimate, standard_error, wald
from stratify.statistics.survival import hazard_ratio, survival_by_group
from stratify.treatment.arms import Arms
from stratify.treatment.estimation import ScoredOutcome
from stratify.treatment.heterogeneity import effect_by_score, interaction, ratio_of_hazard_ratios

__all__ = [
    "EffectTables",
    "average_effects",
    "effects_by_score",
    "mean_difference",
    "survival_by_arm",
]

ENDS = ["value", "low", "high"]


@dataclass(frozen=True, eq=False)
class EffectTables:
    """Tables of an effect that was estimated; None for those that were not asked for.

    Attributes
    ----------
    effects : DataFrame
        outcome, estimator (``doubly_robust | unadjusted | hazard_ratio``), unit, value, low, high,
        n.
    heterogeneity : DataFrame
        learner, tested, slope (of the effect on its prediction), slope_low, slope_high, p, autoc
        and qini with their limits.
    targeting : DataFrame
        share, value, gain, ranked_by (learner or score).
    benefit : DataFrame
        fifth (of the prediction), predicted, value, low, high, n.
    values : DataFrame
        See :func:`stratify.treatment.doubly_robust.value_table`; and patients (``all | judged in
        turn``).
    interaction : DataFrame or None
        score, outcome, scale (``difference | ratio_of_hazard_ratios``), unit, value, low, high
        (for one standard deviation more), p, n.
    score_by_arm : DataFrame or None
        score, outcome, arm, value, low, high (C-index of the times), n, n_events.
    by_score : DataFrame or None
        See :func:`stratify.treatment.heterogeneity.effect_by_score`; and score_name, outcome.
    control : DataFrame or None
        See :func:`stratify.treatment.controls.permuted_treatment`.
    unrecorded : DataFrame or None
        Without randomisation: outcome, e_value, e_value_limit, n.
    harms, trade_off : DataFrame or None
        See :func:`stratify.treatment.harm.harm_tables`.
    """

    effects: pd.DataFrame
    heterogeneity: pd.DataFrame
    targeting: pd.DataFrame
    benefit: pd.DataFrame
    values: pd.DataFrame
    interaction: pd.DataFrame | None = None
    score_by_arm: pd.DataFrame | None = None
    by_score: pd.DataFrame | None = None
    control: pd.DataFrame | None = None
    unrecorded: pd.DataFrame | None = None
    harms: pd.DataFrame | None = None
    trade_off: pd.DataFrame | None = None

    def made(self) -> dict[str, pd.DataFrame]:
        """Tables that there are, by name."""
        return {name: table for name, table in vars(self).items() if table is not None}

    @property
    def heterogeneity_p(self) -> float:
        """P value of the test of heterogeneity."""
        return float(self.heterogeneity.loc[self.heterogeneity["tested"], "p"].iloc[0])


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
    """Doubly robust differences; where randomised, plain ones and hazard ratios of times too."""
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


def effects_by_score(
    outcomes: Iterable[ScoredOutcome], arms: Arms, score: Floats, name: str
) -> dict[str, pd.DataFrame]:
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
    columns = ["score", "outcome", "scale", "unit", *ENDS, "p", "n"]
    return {
        "interaction": pd.DataFrame(tests, columns=columns),
        "score_by_arm": pd.DataFrame(
            order, columns=["score", "outcome", "arm", *ENDS, "n", "n_events"]
        ),
        "by_score": pd.concat(curves, ignore_index=True),
    }

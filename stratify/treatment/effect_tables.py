"""Tables of an effect of treatment, each with its columns: average effects, and by a score."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints
from stratify.statistics.discrimination import c_index
from stratify.statistics.intervals import Estimate, mean_interval, standard_error, wald
from stratify.statistics.proportional_hazards import compare_hazards, ridge_cox
from stratify.statistics.survival import survival_by_group
from stratify.treatment.arms import Arms
from stratify.treatment.covariates import CovariateMatrix
from stratify.treatment.estimation import ScoredOutcome
from stratify.treatment.heterogeneity import effect_by_score, interaction, ratio_of_hazard_ratios

__all__ = [
    "EffectTables",
    "average_effects",
    "censoring_tables",
    "effects_by_score",
    "effects_by_stratum",
    "survival_by_arm",
    "within_strata",
]

ENDS = ["value", "low", "high"]
CURVES = 6  # cohorts whose curves are drawn


@dataclass(frozen=True, eq=False)
class EffectTables:
    """Tables of an effect that was estimated; None for those that were not asked for.

    Attributes
    ----------
    effects : DataFrame
        outcome, estimator (``doubly_robust | unadjusted | hazard_ratio |
        hazard_ratio_weighted``), unit, value, low, high, n, proportional_p (of the test that a
        hazard ratio is the same at all times).
    by_stratum : DataFrame or None
        Where there are several: outcome, stratum, n_reference, n_alternative, weight (share of the
        patients), value, low, high (doubly robust), unit.
    censoring : DataFrame or None
        Of the times: outcome, arm, n, censored (before the horizon), at_risk (at it),
        largest_weight, truncated (patients whose weight was lowered), effective_n.
    censoring_by_covariate : DataFrame or None
        outcome, arm, covariate, value: hazard ratio of being censored before the horizon for one
        standard deviation, ridge Cox model of all covariates.
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
    by_stratum: pd.DataFrame | None = None
    censoring: pd.DataFrame | None = None
    censoring_by_covariate: pd.DataFrame | None = None
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


def average_effects(
    outcomes: Iterable[ScoredOutcome], *, randomised: bool, horizon: float
) -> pd.DataFrame:
    """Doubly robust differences; where randomised, plain ones and hazard ratios of times too.

    All are made within strata. The plain difference weighs a stratum by its share of the patients;
    hazard ratios are taken to be the same in all.
    """
    rows: list[tuple[object, ...]] = []
    for each in outcomes:
        n, none = len(each.values), np.nan
        rows.append((each.name, "doubly_robust", each.unit, *each.scores.average_effect(), n, none))
        if not randomised:
            continue
        plain = within_strata(each.unadjusted, each.treated, each.stratum)
        rows.append((each.name, "unadjusted", each.unit, *plain, n, none))
        if each.follow_up is None:
            continue
        time, event = each.follow_up
        ratio, p = compare_hazards(time, event, each.treated, each.stratum)
        rows.append((each.name, "hazard_ratio", "ratio", *ratio, n, p))
        if each.outcome.uncensored is not None and (each.outcome.uncensored < 1).any():
            by_then = np.minimum(time, horizon), event * (time <= horizon)
            weight = 1 / each.outcome.uncensored[each.known]
            ratio, p = compare_hazards(*by_then, each.treated, each.stratum, weight=weight)
            rows.append((each.name, "hazard_ratio_weighted", "ratio", *ratio, n, p))
    columns = ["outcome", "estimator", "unit", *ENDS, "n", "proportional_p"]
    return pd.DataFrame(rows, columns=columns)


def within_strata(values: Floats, treated: Flags, stratum: Ints, level: float = 0.95) -> Estimate:
    """Difference of the means within strata, each weighed by its share of the patients.

    Examples
    --------
    >>> values, treated = np.array([3.0, 5.0, 1.0, 1.0, 9.0, 8.0]), np.arange(6) % 3 < 2
    >>> round(within_strata(values, treated, np.array([0, 0, 0, 1, 1, 1])).value, 2)
    0.0
    """
    value = variance = 0.0
    for k in np.unique(stratum):
        rows = stratum == k
        one, two = values[rows & treated], values[rows & ~treated]
        weight = rows.mean()
        value += weight * float(one.mean() - two.mean())
        variance += weight**2 * float(standard_error(one) ** 2 + standard_error(two) ** 2)
    return wald(value, float(np.sqrt(variance)), level)


def effects_by_stratum(outcomes: Iterable[ScoredOutcome], arms: Arms) -> pd.DataFrame | None:
    """Doubly robust effects of each stratum; None where there is one."""
    if len(arms.strata) < 2:
        return None
    rows = []
    for each in outcomes:
        for k, name in enumerate(arms.strata):
            mine = each.stratum == k
            if not mine.any():
                continue
            counts = int((mine & ~each.treated).sum()), int((mine & each.treated).sum())
            effect = mean_interval(each.scores.effect[mine], 0.95)
            rows.append((each.name, name, *counts, mine.mean(), *effect, each.unit))
    columns = ["outcome", "stratum", "n_reference", "n_alternative", "weight", *ENDS, "unit"]
    return pd.DataFrame(rows, columns=columns)


def censoring_tables(
    outcomes: Iterable[ScoredOutcome], arms: Arms
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Who was censored before the horizon, by arm and by covariate; None without times."""
    horizon, rows, associations = arms.estimand.horizon_months, [], []
    matrix = CovariateMatrix(arms.covariates).fit(arms.table)
    X = matrix.transform(arms.table)
    for each in outcomes:
        if each.follow_up is None or each.outcome.weight is None:
            continue
        (time, event), weight = each.follow_up, each.outcome.weight[each.known]
        lost = (event == 0) & (time < horizon)
        for side, (name, _) in enumerate(arms.sides):
            arm = each.treated == bool(side)
            counted = weight[arm & (weight > 0)]
            effective = float(counted.sum() ** 2 / (counted**2).sum()) if counted.size else 0.0
            at_risk = int((arm & (time >= horizon)).sum())
            rows.append((each.name, name, int(arm.sum()), int((lost & arm).sum()), at_risk,
                         counted.max(initial=0.0), each.outcome.truncated[side],
                         effective))  # fmt: skip
            if lost[arm].any() and X.shape[1]:
                found = ridge_cox(
                    X[each.known][arm], time[arm], lost[arm].astype(float), each.stratum[arm]
                )
                associations += [
                    (each.name, name, covariate, float(np.exp(beta)))
                    for covariate, beta in zip(matrix.names_, found.coefficients, strict=True)
                ]
    if not rows:
        return None, None
    columns = ["outcome", "arm", "n", "censored", "at_risk", "largest_weight", "truncated"]
    table = pd.DataFrame(rows, columns=[*columns, "effective_n"])
    if not associations:
        return table, None
    names = ["outcome", "arm", "covariate", "value"]
    return table, pd.DataFrame(associations, columns=names)


def survival_by_arm(
    outcomes: Iterable[ScoredOutcome], arms: Arms
) -> dict[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]]:
    """Kaplan-Meier curves of the times by arm with their summary, the reference first.

    One for each outcome; where there are several cohorts, for each of the largest, since curves
    of cohorts whose allocation differs are not to be pooled. Keys are outcome, and cohort or "".
    """
    names, cohort = list(arms.sizes()), arms.table["cohort"].to_numpy(dtype=object)
    largest = list(pd.Series(cohort).value_counts().index[:CURVES])
    found = {}
    for each in outcomes:
        if each.follow_up is None:
            continue
        arm = pd.Categorical(np.where(each.treated, names[1], names[0]), categories=names)
        for name in largest:
            rows = cohort[each.known] == name
            if len(set(arm[rows])) == 2:
                time, event = each.follow_up
                key = (each.name, name if len(set(cohort)) > 1 else "")
                found[key] = survival_by_group(time[rows], event[rows], arm[rows])
    return found


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
        stratum = each.stratum[here]
        ratio, p = ratio_of_hazard_ratios(time, event, treated, mine, stratum)
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

"""Effect of treatment where arms exist: average, by score, by patient; rules valued; what to say.

Never from one arm, and nothing after a refused design. Where no heterogeneity is shown the answer
rests on the average effect alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Floats
from stratify.statistics.intervals import mean_interval
from stratify.treatment.arms import Arms
from stratify.treatment.controls import permuted_treatment, unrecorded_confounding
from stratify.treatment.design_check import DesignCheck, check_design
from stratify.treatment.doubly_robust import Scores, value_table
from stratify.treatment.effect_tables import (
    EffectTables,
    average_effects,
    censoring_tables,
    effects_by_score,
    effects_by_stratum,
    survival_by_arm,
)
from stratify.treatment.estimation import Estimation, encoded_by, estimate_effects
from stratify.treatment.harm import harm_tables
from stratify.treatment.heterogeneity import ALPHA, centred, targeting, targeting_curve
from stratify.treatment.learners import FIRST, LEARNERS, TESTED, policy_tree, require_econml
from stratify.treatment.statements import beats_both, statements

__all__ = ["EffectAnalysis", "analyse"]

BY_SCORE, TREE, LEARNER = "by the score", "policy tree", "by the DR-learner"  # learned in turn
LEAST_TRAINED = 50
QUANTILES = 5


@dataclass(frozen=True, eq=False)
class EffectAnalysis:
    """What was found.

    Attributes
    ----------
    arms : Arms
    design : DesignCheck
    effect : EffectTables or None
        None where the design allows no effect to be estimated.
    rule : str
        The policy tree learned on all patients, in words; valued by those learned in turn.
    statements : list of str
        The answers in sentences, the most important first.
    heterogeneity_shown, score_selects : bool or None
        None where it was not tested.
    survival : dict of (str, str) to (DataFrame, DataFrame)
        Curves by arm and their summary, for the figures of the times; by outcome, and cohort
        where there are several.
    """

    arms: Arms
    design: DesignCheck
    effect: EffectTables | None = None
    rule: str = ""
    statements: list[str] = field(default_factory=list)
    heterogeneity_shown: bool | None = None
    score_selects: bool | None = None
    survival: dict[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by the name of its file: those of the design, then those of the effect."""
        design = self.design
        found = {"sizes": design.sizes, "checks": design.checks, "balance": design.balance}
        return found if self.effect is None else found | self.effect.made()


def analyse(
    arms: Arms,
    *,
    design: DesignCheck | None = None,
    score: Floats | None = None,
    score_name: str = "risk",
    rules: Mapping[str, npt.NDArray[Any]] | None = None,
    learners: Sequence[str] = tuple(LEARNERS),
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> EffectAnalysis:
    """Check the design, estimate effects, test heterogeneity and value rules.

    Parameters
    ----------
    score : ndarray of shape (n_patients,), optional
        Frozen or cross-fitted score to test, NaN where there is none.
    rules : mapping of name to ndarray of shape (n_patients,), optional
        Further rules: who gets the alternative.
    """
    require_econml()
    design = design or check_design(arms, seed=seed)
    if not design.allowed:
        return EffectAnalysis(arms, design, statements=[design.statement])
    kept = np.flatnonzero(design.kept)
    progress("estimating the effects, average and by patient")
    compared = arms.take(kept).with_outcomes()
    found = estimate_effects(compared, design.propensity[kept], learners, seed)
    arms, outcomes, scores = found.arms, found.outcomes.values(), found.scores
    targeted, learned, along = _targeting(found), _learned_rules(found), {}
    if score is not None:
        score = score[kept]
        along = effects_by_score(outcomes, arms, score, score_name)
        measured = ~np.isnan(score)
        targeted[score_name] = targeting_curve(scores.effect[measured], score[measured])
        learned[BY_SCORE] = _treated_by_score(found, score)
    fixed = _fixed_rules(arms)
    fixed |= {name: np.asarray(treats)[kept] for name, treats in (rules or {}).items()}
    control = None
    if arms.estimand.permutations:
        control = permuted_treatment(arms, seed=seed, progress=progress)
    progress("valuing the rules")
    harms, trade_off = harm_tables(arms, scores.average_effect())
    censoring, by_covariate = censoring_tables(outcomes, arms)
    tables = EffectTables(
        effects=average_effects(
            outcomes, randomised=arms.randomised, horizon=arms.estimand.horizon_months
        ),
        by_stratum=effects_by_stratum(outcomes, arms),
        censoring=censoring,
        censoring_by_covariate=by_covariate,
        heterogeneity=_heterogeneity(found),
        targeting=pd.concat(
            [table.assign(ranked_by=name) for name, table in targeted.items()], ignore_index=True
        ),
        benefit=_benefit(found),
        values=_values(scores, fixed, learned),
        control=control,
        unrecorded=None if arms.randomised else unrecorded_confounding(outcomes),
        harms=harms,
        trade_off=trade_off,
        **along,
    )
    shown = tables.heterogeneity_p < ALPHA
    selects = _selects(tables, arms.primary)
    return EffectAnalysis(
        arms,
        design,
        tables,
        _rule_of_all(found),
        statements(arms, tables, shown, selects, score_name),
        shown,
        selects,
        survival_by_arm(outcomes, arms),
    )


def _rule_of_all(found: Estimation) -> str:
    """Words of the policy tree learned on all patients, with the names of the arms."""
    estimand, scores = found.arms.estimand, found.scores
    X, names, plain = encoded_by(found.arms, np.arange(len(found.arms)))
    tree = policy_tree(
        X, scores.reference, scores.alternative, names, depth=estimand.tree_depth, plain=plain
    )
    lines = [line.rpartition(": ") for line in tree.text.splitlines()]
    return "\n".join(f"{where}: {getattr(estimand, side).name}" for where, _, side in lines)


def _fixed_rules(arms: Arms) -> dict[str, npt.NDArray[Any]]:
    """Each treatment for all, and the rules that the study states."""
    est = arms.estimand
    return {
        f"{est.alternative.name} for all": np.ones(len(arms)),
        f"{est.reference.name} for all": np.zeros(len(arms)),
        **{rule.name: rule.treats(arms.table) for rule in est.rules},
    }


def _learned_rules(found: Estimation) -> dict[str, npt.NDArray[Any]]:
    """Rules learned in turn; NaN for patients who only trained."""
    judged, effect = found.in_turn.judged, found.in_turn.effects[TESTED]
    return {TREE: found.in_turn.treats, LEARNER: np.where(judged, effect > 0, np.nan)}


def _treated_by_score(found: Estimation, score: Floats) -> Floats:
    """Choice by the score, in turn: the sign of an effect that is linear in it; NaN unjudged."""
    arms, propensity, turn = found.arms, found.propensity, found.turn
    weight = np.sqrt(np.where(arms.treated, 1 / propensity, 1 / (1 - propensity)))
    arm, outcome = arms.treated.astype(float), arms.outcomes[arms.primary].values
    result = np.full(len(score), np.nan)
    for k in range(FIRST, int(turn.max()) + 1):
        test = (turn == k) & ~np.isnan(score)
        train, z = (turn < k) & ~np.isnan(score), np.nan_to_num(score)
        if train.sum() < LEAST_TRAINED:  # a score of its own begins with these turns: by average
            train, z = turn < k, 0 * arm
        design = np.column_stack([np.ones(len(arm)), arm, z, arm * z])
        w = weight[train]
        beta = np.linalg.lstsq(design[train] * w[:, None], outcome[train] * w, rcond=None)[0]
        result[test] = beta[1] + beta[3] * score[test] > 0
    return result


def _values(
    scores: Scores,
    fixed: Mapping[str, npt.NDArray[Any]],
    learned: Mapping[str, npt.NDArray[Any]],
) -> pd.DataFrame:
    """Value fixed rules on all patients, and with the learned ones on those judged in turn."""
    whole = value_table(scores, fixed).assign(patients="all")
    rows = np.flatnonzero(~np.any([np.isnan(x) for x in learned.values()], axis=0))
    both = {name: np.asarray(rule)[rows] for name, rule in {**learned, **fixed}.items()}
    inner = value_table(scores.take(rows), both).assign(patients="judged in turn")
    wanted = inner["rule"].isin(list(learned)) | (inner["against"] == "")
    return pd.concat([whole, inner[wanted]], ignore_index=True)


def _selects(tables: EffectTables, primary: str) -> bool | None:
    """Whether the effect differs with the score, and choosing by it is better than treating all."""
    if (rows := tables.interaction) is None:
        return None
    row = rows[(rows["outcome"] == primary) & (rows["scale"] == "difference")]
    return bool(row["p"].iloc[0] < ALPHA) and beats_both(tables.values, BY_SCORE)


def _targeting(found: Estimation) -> dict[str, pd.DataFrame]:
    """Targeting curves by the predictions of each learner."""
    return {name: targeting_curve(found.effect, priority) for name, priority in _priorities(found)}


def _priorities(found: Estimation) -> list[tuple[str, Floats]]:
    """Predictions of each learner by which patients are ranked: less their mean in each turn."""
    turn = found.turn[found.judged]
    return [(name, centred(values, turn)) for name, values in found.predicted.items()]


def _heterogeneity(found: Estimation) -> pd.DataFrame:
    rows = []
    for name, priority in _priorities(found):
        slope, p = found.slope(name)
        area = targeting(found.effect, priority, seed=found.seed)
        rows.append((name, name == TESTED, *slope, p, *area["autoc"], *area["qini"]))
    columns = ["learner", "tested", "slope", "slope_low", "slope_high", "p"]
    columns += [f"{m}{end}" for m in ("autoc", "qini") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=columns)


def _benefit(found: Estimation) -> pd.DataFrame:
    """Predicted against observed effect by fifths of the prediction."""
    predicted = found.predicted[TESTED]
    rank = pd.Series(predicted).rank(method="first")
    group = np.ceil(rank.to_numpy() / len(rank) * QUANTILES).astype(int)
    rows = []
    for k in range(1, QUANTILES + 1):
        mine = found.effect[group == k]
        rows.append((k, predicted[group == k].mean(), *mean_interval(mine, 0.95), mine.size))
    return pd.DataFrame(rows, columns=["fifth", "predicted", "value", "low", "high", "n"])

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

from stratify.arrays import Flags, Floats, Ints
from stratify.statistics.discrimination import c_index
from stratify.statistics.intervals import Estimate
from stratify.statistics.survival import hazard_ratio, survival_by_group
from stratify.study.estimand import OUTCOMES
from stratify.treatment.arms import Arms
from stratify.treatment.controls import e_value, permuted_treatment
from stratify.treatment.covariates import CovariateMatrix
from stratify.treatment.design_check import DesignCheck, check_design
from stratify.treatment.doubly_robust import (
    Scores,
    doubly_robust_scores,
    folds_of,
    value_table,
)
from stratify.treatment.harm import harm_tables
from stratify.treatment.heterogeneity import (
    ALPHA,
    best_linear_predictor,
    effect_by_score,
    interaction,
    ratio_of_hazard_ratios,
    targeting,
    targeting_curve,
)
from stratify.treatment.learners import (
    FIRST,
    LEARNERS,
    learn_in_turn,
    policy_tree,
    require_econml,
    turns_of,
)
from stratify.treatment.statements import beats_both, statements

__all__ = ["EffectAnalysis", "analyse"]


BY_SCORE, TREE, LEARNER = "by the score", "policy tree", "by the DR-learner"  # learned in turn
LEAST_TRAINED = 50
TESTED = "dr_learner"  # whose predictions make the test of heterogeneity; the others stand beside
QUANTILES = 5


@dataclass(frozen=True, eq=False)
class EffectAnalysis:
    """What was found.

    Attributes
    ----------
    arms : Arms
    design : DesignCheck
    tables : dict of str to DataFrame
        ``sizes, checks, balance`` always; where the design allows it ``effects, interaction,
        score_by_arm, by_score, heterogeneity, targeting, benefit, control, unrecorded, values,
        harms, trade_off``.
    rule : str
        The policy tree learned on all patients, in words; valued by those learned in turn.
    statements : list of str
        The answers in sentences, the most important first.
    heterogeneity_shown, score_selects : bool or None
        None where it was not tested.
    survival : dict of str to (DataFrame, DataFrame)
        Curves by arm and their summary, for the figures of the times.
    """

    arms: Arms
    design: DesignCheck
    tables: dict[str, pd.DataFrame]
    rule: str = ""
    statements: list[str] = field(default_factory=list)
    heterogeneity_shown: bool | None = None
    score_selects: bool | None = None
    survival: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=dict)


def analyse(
    arms: Arms,
    *,
    design: DesignCheck | None = None,
    score: Floats | None = None,
    score_name: str = "risk",
    rules: Mapping[str, npt.NDArray[Any]] | None = None,
    learners: Sequence[str] = LEARNERS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> EffectAnalysis:
    """Check the design, estimate effects, test heterogeneity and value rules.

    Parameters
    ----------
    arms : Arms
        From :func:`stratify.treatment.arms.read_arms`.
    design : DesignCheck, optional
        If it is made already.
    score : ndarray of shape (n_patients,), optional
        Frozen or cross-fitted score to test, NaN where there is none.
    score_name : str
    rules : mapping of name to ndarray of shape (n_patients,), optional
        Further rules: who gets the alternative.
    learners : sequence of str
        Of :data:`stratify.treatment.learners.LEARNERS`; the DR-learner is always there.
    seed : int
    progress : callable
        Told of each step.

    Returns
    -------
    EffectAnalysis

    Raises
    ------
    ArgumentError
        If econml (extra ``effect``) is not installed.
    """
    require_econml()
    design = design or check_design(arms, seed=seed)
    sizes = pd.DataFrame({"arm": list(arms.sizes()), "n": list(arms.sizes().values())})
    tables = {"sizes": sizes, "checks": design.checks, "balance": design.balance}
    if not design.allowed:
        return EffectAnalysis(arms, design, tables, statements=[design.statement])
    kept = np.flatnonzero(design.kept)
    arms = _taken(arms, kept)
    propensity = design.propensity[kept]
    score = None if score is None else score[kept]
    fold = folds_of(arms.treated, seed)
    est = arms.estimand

    progress("estimating the average effects")
    whole = CovariateMatrix(arms.covariates).fit(arms.table)
    X = whole.transform(arms.table)
    by_outcome: dict[str, tuple[Scores, Flags]]
    by_outcome = {name: _scores(arms, X, name, propensity, fold) for name in arms.estimand.outcomes}
    tables["effects"] = _effects(arms, by_outcome)
    primary, _ = by_outcome[arms.primary]

    progress("predicting effects by patient")
    wanted = [TESTED, *(name for name in learners if name != TESTED)]
    outcome = arms.outcomes[arms.primary]

    def matrices(train: npt.NDArray[np.intp]) -> Any:
        fitted = CovariateMatrix(arms.covariates).fit(arms.table.iloc[train])
        return fitted.transform(arms.table), fitted.names_, fitted.plain

    turn = turns_of(arms.treated, seed)
    found = learn_in_turn(
        matrices,
        arms.treated,
        outcome,
        propensity,
        turn,
        learners=wanted,
        depth=arms.estimand.tree_depth,
        randomised=arms.estimand.assignment == "randomised",
        seed=seed,
    )
    final = policy_tree(
        X, primary.reference, primary.alternative, whole.names_,
        depth=arms.estimand.tree_depth, plain=whole.plain,
    )  # fmt: skip
    judged = np.flatnonzero(found.judged)
    effect = primary.effect[judged]
    predicted = {name: values[judged] for name, values in found.effects.items()}
    tables["heterogeneity"] = _heterogeneity(effect, predicted, turn[judged], seed)
    tables["targeting"] = pd.concat(
        [
            targeting_curve(effect, _centred(values, turn[judged])).assign(ranked_by=name)
            for name, values in predicted.items()
        ],
        ignore_index=True,
    )
    tables["benefit"] = _benefit(effect, predicted[TESTED])
    shown = bool(_row(tables["heterogeneity"], TESTED)["p"] < ALPHA)

    learned: dict[str, npt.NDArray[Any]] = {
        TREE: found.treats,
        LEARNER: np.where(found.judged, found.effects[TESTED] > 0, np.nan),
    }
    if score is not None:
        tables |= _score_tables(arms, by_outcome, score, score_name)
        measured = ~np.isnan(score)
        curve = targeting_curve(primary.effect[measured], score[measured])
        tables["targeting"] = pd.concat(
            [tables["targeting"], curve.assign(ranked_by=score_name)], ignore_index=True
        )
        learned[BY_SCORE] = _by_score(score, arms.treated, outcome, propensity, turn)

    if est.permutations:
        tables["control"] = permuted_treatment(
            matrices,
            arms.treated,
            outcome,
            times=est.permutations,
            depth=est.tree_depth,
            seed=seed,
            progress=progress,
        )
    if est.assignment == "observed":
        tables["unrecorded"] = _unrecorded(by_outcome, arms)

    progress("valuing the rules")
    fixed: dict[str, npt.NDArray[Any]] = {
        f"{est.alternative.name} for all": np.ones(len(arms)),
        f"{est.reference.name} for all": np.zeros(len(arms)),
        **{rule.name: rule.treats(arms.table) for rule in est.rules},
        **{name: np.asarray(treats)[kept] for name, treats in (rules or {}).items()},
    }
    tables["values"] = _values(primary, fixed, learned)
    tables |= harm_tables(arms, primary.average_effect())
    selects = None if score is None else _selects(tables, arms)
    return EffectAnalysis(
        arms,
        design,
        tables,
        _named(final.text, arms),
        statements(arms, tables, shown, selects, score_name),
        shown,
        selects,
        _survival(arms),
    )


def _centred(values: Floats, turn: Ints) -> Floats:
    """Predictions less their mean in the turn, since turns have models of their own."""
    return np.asarray(values - pd.Series(values).groupby(turn).transform("mean").to_numpy())


def _by_score(
    score: Floats,
    treated: Flags,
    outcome: Floats,
    propensity: Floats,
    turn: Ints,
) -> Floats:
    """Choice by the score, in turn: the sign of an effect that is linear in it; NaN unjudged."""
    weight = np.sqrt(np.where(treated, 1 / propensity, 1 / (1 - propensity)))
    arm = treated.astype(float)
    result = np.full(len(score), np.nan)
    for k in range(FIRST, int(turn.max()) + 1):
        test = (turn == k) & ~np.isnan(score)
        train = (turn < k) & ~np.isnan(score)
        if train.sum() < LEAST_TRAINED:  # a score of its own begins with these turns: by average
            train = turn < k
            design = np.column_stack([np.ones(len(arm)), arm, 0 * arm, 0 * arm])
        else:
            z = np.nan_to_num(score)
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
    """Value fixed rules on all patients, and learned ones beside them on those judged in turn."""
    parts = [value_table(scores, fixed).assign(patients="all")]
    rows = np.flatnonzero(~np.any([np.isnan(x) for x in learned.values()], axis=0))
    both = {name: np.asarray(rule)[rows] for name, rule in {**learned, **fixed}.items()}
    inner = value_table(scores.take(rows), both)
    parts.append(
        inner[inner["rule"].isin(list(learned)) | (inner["against"] == "")].assign(
            patients="judged in turn"
        )
    )
    return pd.concat(parts, ignore_index=True)


def _selects(tables: Mapping[str, pd.DataFrame], arms: Arms) -> bool:
    """Whether the effect differs with the score, and choosing by it is better than treating all."""
    rows = tables["interaction"]
    row = rows[(rows["outcome"] == arms.primary) & (rows["scale"] == "difference")]
    return bool(row["p"].iloc[0] < ALPHA) and beats_both(tables["values"], BY_SCORE)


def _row(table: pd.DataFrame, learner: str) -> dict[str, Any]:
    rows = table[table["learner"] == learner].to_dict("records")
    return {str(name): value for name, value in rows[0].items()}


def _taken(arms: Arms, rows: npt.NDArray[np.intp]) -> Arms:
    return Arms(
        estimand=arms.estimand,
        table=arms.table.iloc[rows].reset_index(drop=True),
        treated=arms.treated[rows],
        covariates=arms.covariates,
        outcomes={name: values[rows] for name, values in arms.outcomes.items()},
        attrition=arms.attrition,
    )


def _scores(
    arms: Arms, X: Floats, outcome: str, propensity: Floats, fold: Ints
) -> tuple[Scores, Flags]:
    """Scores of the patients with the outcome, and who they are."""
    values = arms.outcomes[outcome]
    known = ~np.isnan(values)
    return (
        doubly_robust_scores(
            X[known], arms.treated[known], values[known], propensity[known], fold=fold[known]
        ),
        known,
    )


def _effects(arms: Arms, by_outcome: Mapping[str, tuple[Scores, Any]]) -> pd.DataFrame:
    """Average effects: doubly robust and plain differences, and hazard ratios of times."""
    rows: list[tuple[object, ...]] = []
    for name, (scores, known) in by_outcome.items():
        unit = OUTCOMES[name][0]
        values, treated = arms.outcomes[name][known], arms.treated[known]
        n = int(known.sum())
        rows.append((name, "doubly_robust", unit, *scores.average_effect(), n))
        if arms.estimand.assignment == "randomised":
            rows.append((name, "unadjusted", unit, *_difference(values, treated), n))
            if name != "objective_response":
                time, event = _time(arms, name, known)
                ratio = hazard_ratio(time, event, treated.astype(float))
                rows.append((name, "hazard_ratio", "ratio", *ratio, n))
    columns = ["outcome", "estimator", "unit", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def _unrecorded(by_outcome: Mapping[str, tuple[Scores, Flags]], arms: Arms) -> pd.DataFrame:
    """Tabulate the E-values of the average effects."""
    rows = []
    for name, (scores, known) in by_outcome.items():
        effect = scores.average_effect()
        if name == "objective_response":
            found = e_value(effect, reference=float(scores.reference.mean()))
        else:
            found = e_value(effect, spread=float(arms.outcomes[name][known].std(ddof=1)))
        rows.append((name, *found, int(known.sum())))
    return pd.DataFrame(rows, columns=["outcome", "e_value", "e_value_limit", "n"])


def _survival(arms: Arms) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Kaplan-Meier curves of the times by arm, the reference first."""
    names = list(arms.sizes())
    group = pd.Categorical(np.where(arms.treated, names[1], names[0]), categories=names)
    found = {}
    for outcome, values in arms.outcomes.items():
        if outcome != "objective_response":
            known = ~np.isnan(values)
            found[outcome] = survival_by_group(*_time(arms, outcome, known), group[known])
    return found


def _difference(values: Floats, treated: Flags) -> Estimate:
    a, b = values[treated], values[~treated]
    value = float(a.mean() - b.mean())
    half = 1.959963984540054 * float(np.sqrt(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size))
    return Estimate(value, value - half, value + half)


def _time(arms: Arms, outcome: str, rows: Flags) -> tuple[Floats, Floats]:
    table = arms.table[rows]
    return (
        table[outcome].to_numpy(dtype=float),
        table[f"{outcome}_event"].to_numpy(dtype=float),
    )


def _heterogeneity(
    effect: Floats, predicted: Mapping[str, Floats], fold: Ints, seed: int
) -> pd.DataFrame:
    rows = []
    for name, values in predicted.items():
        slope, p = best_linear_predictor(effect, values, fold)
        area = targeting(effect, values, seed=seed)
        rows.append((name, name == TESTED, *slope, p, *area["autoc"], *area["qini"]))
    columns = ["learner", "tested", "slope", "slope_low", "slope_high", "p"]
    columns += [f"{m}{end}" for m in ("autoc", "qini") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=columns)


def _benefit(effect: Floats, predicted: Floats) -> pd.DataFrame:
    """Predicted against observed effect by fifths of the prediction."""
    rank = pd.Series(predicted).rank(method="first")
    group = np.ceil(rank.to_numpy() / len(rank) * QUANTILES).astype(int)
    rows = []
    for k in range(1, QUANTILES + 1):
        mine = effect[group == k]
        half = 1.959963984540054 * mine.std(ddof=1) / np.sqrt(mine.size)
        mean = float(mine.mean())
        rows.append(
            (k, float(predicted[group == k].mean()), mean, mean - half, mean + half, mine.size)
        )
    return pd.DataFrame(rows, columns=["fifth", "predicted", "value", "low", "high", "n"])


def _score_tables(
    arms: Arms,
    by_outcome: Mapping[str, tuple[Scores, Flags]],
    score: Floats,
    name: str,
) -> dict[str, pd.DataFrame]:
    """Interaction on both scales, association in each arm, effect along the score."""
    tests: list[tuple[object, ...]] = []
    arms_rows: list[tuple[object, ...]] = []
    curves = []
    est = arms.estimand
    for outcome, (scores, known) in by_outcome.items():
        unit = OUTCOMES[outcome][0]
        here = ~np.isnan(score[known])
        mine, effect = score[known][here], scores.effect[here]
        slope, p = interaction(effect, mine)
        tests.append((name, outcome, "difference", unit, *slope, p, int(here.sum())))
        curves.append(effect_by_score(effect, mine).assign(score_name=name, outcome=outcome))
        if outcome == "objective_response":
            continue
        rows = known & ~np.isnan(score)
        time, event = _time(arms, outcome, rows)
        ratio, p = ratio_of_hazard_ratios(time, event, arms.treated[rows], score[rows])
        tests.append((name, outcome, "ratio_of_hazard_ratios", "ratio", *ratio, p, int(rows.sum())))
        for side, arm in ((False, est.reference.name), (True, est.alternative.name)):
            part = arms.treated[rows] == side
            found = c_index(time[part], event[part], score[rows][part])
            arms_rows.append((name, outcome, arm, *found, int(part.sum()), int(event[part].sum())))
    ends = ["value", "low", "high"]
    return {
        "interaction": pd.DataFrame(
            tests, columns=["score", "outcome", "scale", "unit", *ends, "p", "n"]
        ),
        "score_by_arm": pd.DataFrame(
            arms_rows, columns=["score", "outcome", "arm", *ends, "n", "n_events"]
        ),
        "by_score": pd.concat(curves, ignore_index=True),
    }


def _named(text: str, arms: Arms) -> str:
    est = arms.estimand
    lines = []
    for line in text.splitlines():
        where, _, side = line.rpartition(": ")
        lines.append(f"{where}: {getattr(est, side).name}")
    return "\n".join(lines)

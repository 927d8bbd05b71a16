"""What an effect analysis may say, in sentences."""

from __future__ import annotations

import pandas as pd

from stratify.study.estimand import OUTCOMES
from stratify.treatment.arms import Arms
from stratify.treatment.controls import chance_findings
from stratify.treatment.effect_tables import EffectTables
from stratify.treatment.heterogeneity import ALPHA
from stratify.treatment.restricted_mean import LARGEST_WEIGHT

__all__ = ["beats_both", "statements"]


def beats_both(values: pd.DataFrame, rule: str) -> bool:
    """Whether a rule is better than each treatment for all, by the intervals of the differences.

    Examples
    --------
    >>> values = pd.DataFrame({"rule": "tree", "against": ["A for all", "B for all"],
    ...                        "low": [0.1, -0.2]})
    >>> beats_both(values, "tree")
    False
    """
    rows = values[(values["rule"] == rule) & values["against"].str.endswith(" for all")]
    return len(rows) == 2 and bool((rows["low"] > 0).all())


def statements(
    arms: Arms, tables: EffectTables, shown: bool, selects: bool | None, score_name: str
) -> list[str]:
    """Say what was found, the most important first.

    Parameters
    ----------
    selects : bool or None
        Whether the score selects the better arm; None without a score.
    """
    effects = tables.effects
    average = (effects["outcome"] == arms.primary) & (effects["estimator"] == "doubly_robust")
    row, better = effects[average].iloc[0], shown and beats_both(tables.values, "policy tree")
    found = []
    if tables.interaction is not None and tables.score_by_arm is not None:
        test = tables.interaction[tables.interaction["scale"] == "difference"]
        change = test[test["outcome"] == arms.primary].iloc[0]
        found.append(_of_score(arms, change, bool(selects), score_name))
        order = tables.score_by_arm[tables.score_by_arm["outcome"] == arms.primary]
        if len(order):
            found.append(_of_order(order, change["p"] < ALPHA))
    found += [_of_heterogeneity(tables.heterogeneity_p, shown, better), _of_average(arms, row)]
    if not selects and not better:
        found.append(_of_choice(arms, row))
    found += _of_hazards(effects[effects["outcome"] == arms.primary])
    if tables.censoring is not None:
        found += _of_censoring(tables.censoring, arms)
    if tables.unrecorded is not None:
        rows = tables.unrecorded[tables.unrecorded["outcome"] == arms.primary]
        found.append(_of_unrecorded(rows.iloc[0]))
    if tables.control is not None:
        found.append(_of_control(tables.control))
    return found


def _of_heterogeneity(p: float, shown: bool, better: bool) -> str:
    test = f"(p = {p:.2g}, DR-learner, judged in turn)"
    if not shown:
        return f"No heterogeneity of the effect is shown {test}."
    than = "better than either treatment for all"
    if not better:
        than = "not shown to be better than both treatments for all"
    return f"The effect differs between patients {test}; the learned rule is {than}."


def _of_average(arms: Arms, row: pd.Series) -> str:
    est = arms.estimand
    unit, measured = OUTCOMES[arms.primary]
    if unit != "share":
        measured += f" within {est.horizon_months:g} months"
    return (
        f"Average effect of {est.alternative.name} against {est.reference.name} on {measured}: "
        f"{_figure(row, unit)}, n = {len(arms)}."
    )


def _of_hazards(effects: pd.DataFrame) -> list[str]:
    """Say where one hazard ratio does not describe the times."""
    rows = effects[(effects["estimator"] == "hazard_ratio") & (effects["proportional_p"] < ALPHA)]
    return [
        f"Hazards are not proportional (p = {p:.2g}): the hazard ratio changes with time and with "
        "the length of follow-up; read the difference of the restricted means."
        for p in rows["proportional_p"]
    ]


def _of_censoring(censoring: pd.DataFrame, arms: Arms) -> list[str]:
    """Say how many were censored in each arm, and what was done about it."""
    mine = censoring[(censoring["outcome"] == arms.primary)]
    if not mine["censored"].sum():
        return []
    counts = "; ".join(
        f"{r.arm} {r.censored} of {r.n}, {r.at_risk} at risk then" for r in mine.itertuples()
    )
    lowered = int(mine["truncated"].sum())
    truncated = f" {lowered} weights were lowered to {LARGEST_WEIGHT:g}." if lowered else ""
    return [
        f"Censored before {arms.estimand.horizon_months:g} months: {counts}. The doubly robust "
        "effect is adjusted for censoring that depends on the covariates, in each arm; the plain "
        f"difference and the plain hazard ratio are not.{truncated}"
    ]


def _of_choice(arms: Arms, row: pd.Series) -> str:
    """Say what decides where no score and no learned rule does."""
    if not (row["low"] > 0 or row["high"] < 0):
        return (
            "No difference is shown on average: harm, label and the patient's wishes decide, "
            "and no score chooses."
        )
    (reference, _), (alternative, _) = arms.sides
    return (
        f"By the average effect {alternative if row['low'] > 0 else reference} is better for "
        "patients of this kind; harm, label and the patient's wishes count too, and no score "
        "chooses."
    )


def _of_unrecorded(row: pd.Series) -> str:
    return (
        "Patients were not randomised: what is not recorded may explain the difference. A "
        "confounder beyond those recorded would need a risk ratio of about "
        f"{row['e_value']:.1f} with both treatment and outcome to explain it "
        f"({row['e_value_limit']:.1f} for the interval to include none; E-value)."
    )


def _of_control(control: pd.DataFrame) -> str:
    """Say what was found with the treatment permuted, where there is nothing to find."""
    found, better, rare = chance_findings(control)
    warning = ""
    if rare:
        warning = (
            " These are too many: this analysis finds what is not there; rely on no rule of it."
        )
    return (
        f"With the treatment permuted {len(control)} times heterogeneity was found {found} times "
        f"and a better rule {better} times; chance alone gives about "
        f"{ALPHA * len(control):.1g}.{warning}"
    )


def _of_score(arms: Arms, row: pd.Series, selects: bool, name: str) -> str:
    """Say whether the score selects the better arm."""
    change = (
        f"effect for one standard deviation more: {_figure(row, OUTCOMES[arms.primary][0])}, "
        f"p = {row['p']:.2g}, n = {row['n']}"
    )
    if selects:
        return f"The score ({name}) selects the better arm here ({change}); confirm it elsewhere."
    if row["p"] < ALPHA:
        return (
            f"The effect differs with the score ({name}; {change}), but choosing by it is not "
            "shown to be better than one treatment for all: no evidence that this score selects "
            "the better arm."
        )
    return f"No evidence that this score selects the better arm ({name}; {change})."


def _of_order(order: pd.DataFrame, differs: bool) -> str:
    """Say whether the score is prognostic, or predictive too."""
    arms = order.to_dict("records")
    figures = "; ".join(
        f"{r['arm']} {r['value']:.2f} ({r['low']:.2f} to {r['high']:.2f})" for r in arms
    )
    associated = [r["arm"] for r in arms if r["low"] > 0.5]
    kind = {0: "neither is shown", 1: f"shown with {associated[0] if associated else ''} only"}
    what = kind.get(len(associated), "shown with both treatments: prognostic")
    if differs:
        what += "; on the scale of differences predictive too"
    return f"Order of the times by the score, C-index: {figures}; {what}."


def _figure(row: pd.Series, unit: str) -> str:
    scale = 100 if unit == "share" else 1
    words = {"share": " percentage points", "months": " months"}.get(unit, "")
    digits = 1 if unit == "share" else 2
    value, low, high = (
        f"{scale * row[end]:.{digits}f}".replace("-", "\u2212") for end in ("value", "low", "high")
    )
    return f"{value}{words} (95 % interval {low} to {high})"

"""What an effect analysis may say, in sentences."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from stratify.study.estimand import OUTCOMES
from stratify.treatment.arms import Arms
from stratify.treatment.controls import chance_findings
from stratify.treatment.heterogeneity import ALPHA

__all__ = ["beats_both", "statements"]


def beats_both(values: pd.DataFrame, rule: str) -> bool:
    """Whether a rule is better than each treatment for all, by the intervals of the differences.

    Parameters
    ----------
    values : DataFrame
        rule, against, low.
    rule : str

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
    arms: Arms,
    tables: Mapping[str, pd.DataFrame],
    shown: bool,
    selects: bool | None,
    score_name: str,
) -> list[str]:
    """Say what was found, the most important first.

    Parameters
    ----------
    arms : Arms
    tables : mapping of str to DataFrame
        ``effects, heterogeneity, values`` and, with a score, ``interaction, score_by_arm``.
    shown : bool
        Whether heterogeneity is shown.
    selects : bool or None
        Whether the score selects the better arm; None without a score.
    score_name : str
    """
    est, primary = arms.estimand, arms.primary
    unit, words = OUTCOMES[primary]
    measured = words if unit == "share" else f"{words} within {est.horizon_months:g} months"
    said = []
    if selects is not None:
        said += _of_score(arms, tables, selects, score_name)
    test = tables["heterogeneity"]
    p = float(test.loc[test["tested"], "p"].iloc[0])
    told = f"(p = {p:.2g}, DR-learner, judged in turn)"
    if shown:
        better = beats_both(tables["values"], "policy tree")
        said.append(
            f"The effect differs between patients {told}; the learned rule is "
            + (
                "better than either treatment for all."
                if better
                else "not shown to be better than both treatments for all."
            )
        )
    else:
        said.append(f"No heterogeneity of the effect is shown {told}.")
    effects = tables["effects"]
    mine = (effects["outcome"] == primary) & (effects["estimator"] == "doubly_robust")
    row = effects[mine].iloc[0]
    said.append(
        f"Average effect of {est.alternative.name} against {est.reference.name} on {measured}: "
        f"{_figure(row, unit)}, n = {len(arms)}."
    )
    if not selects and not (shown and beats_both(tables["values"], "policy tree")):
        if row["low"] > 0 or row["high"] < 0:
            name = est.alternative.name if row["low"] > 0 else est.reference.name
            said.append(
                f"By the average effect {name} is better for patients of this kind; harm, label "
                "and the patient's wishes stand beside, and no score chooses."
            )
        else:
            said.append(
                "No difference is shown on average: harm, label and the patient's wishes decide, "
                "and no score chooses."
            )
    if "unrecorded" in tables:
        bias = tables["unrecorded"].set_index("outcome").loc[primary]
        said.append(
            "Patients were not randomised: what is not recorded may explain the difference. A "
            "confounder beyond those recorded would need a risk ratio of about "
            f"{bias['e_value']:.1f} with both treatment and outcome to explain it "
            f"({bias['e_value_limit']:.1f} for the interval to include none; E-value)."
        )
    if "control" in tables:
        said.append(_of_control(tables["control"]))
    return said


def _of_control(control: pd.DataFrame) -> str:
    """Say what was found with the treatment permuted, where there is nothing to find."""
    found, better, rare = chance_findings(control)
    told = (
        f"With the treatment permuted {len(control)} times heterogeneity was found {found} times "
        f"and a better rule {better} times; chance alone gives about "
        f"{ALPHA * len(control):.1g}."
    )
    if rare:
        told += " These are too many: this analysis finds what is not there; rely on no rule of it."
    return told


def _of_score(
    arms: Arms, tables: Mapping[str, pd.DataFrame], selects: bool, name: str
) -> list[str]:
    """Prognostic or predictive, and whether the score selects the better arm."""
    rows = tables["interaction"]
    row = rows[(rows["outcome"] == arms.primary) & (rows["scale"] == "difference")].iloc[0]
    unit = OUTCOMES[arms.primary][0]
    change = (
        f"effect for one standard deviation more: {_figure(row, unit)}, p = {row['p']:.2g}, "
        f"n = {row['n']}"
    )
    differs = row["p"] < ALPHA
    if selects:
        first = f"The score ({name}) selects the better arm here ({change}); confirm it elsewhere."
    elif differs:
        first = (
            f"The effect differs with the score ({name}; {change}), but choosing by it is not "
            "shown to be better than one treatment for all: no evidence that this score selects "
            "the better arm."
        )
    else:
        first = f"No evidence that this score selects the better arm ({name}; {change})."
    order = tables["score_by_arm"]
    order = order[order["outcome"] == arms.primary]
    if not len(order):
        return [first]
    figures = "; ".join(
        f"{r['arm']} {r['value']:.2f} ({r['low']:.2f} to {r['high']:.2f})"
        for r in order.to_dict("records")
    )
    associated = [r["arm"] for r in order.to_dict("records") if r["low"] > 0.5]
    kind = {0: "neither is shown", 1: f"shown with {associated[0] if associated else ''} only"}
    what = kind.get(len(associated), "shown with both treatments: prognostic")
    if differs:
        what += "; on the scale of differences predictive too"
    return [first, f"Order of the times by the score, C-index: {figures}; {what}."]


def _figure(row: pd.Series, unit: str) -> str:
    scale = 100 if unit == "share" else 1
    words = {"share": " percentage points", "months": " months"}.get(unit, "")
    digits = 1 if unit == "share" else 2
    value, low, high = (
        f"{scale * row[end]:.{digits}f}".replace("-", "\u2212") for end in ("value", "low", "high")
    )
    return f"{value}{words} (95 % interval {low} to {high})"

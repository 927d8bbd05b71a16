"""Decision rules: by the risk, by a marker, or by the risk at a landmark, each with its reasons.

Where the policy says ``decide_by: interval``, the whole interval of the risk must lie on one side.

A landmark model is another model than that of the baseline decision: its time zero is the landmark
(cycle 3 ctDNA, first scan), and it knows what happened up to it. It is prognostic too (class C1): a
high risk at the landmark does not show that another treatment is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Strings
from stratify.errors import ArgumentError
from stratify.study import MONOTHERAPY
from stratify.study.policy import MarkerRule, Policy
from stratify.tables.bounds import reaches

__all__ = ["RuleDecision", "at_landmark", "by_marker", "by_risk", "require_landmark"]

MONO, COMBINATION, REFER = "monotherapy", "combination", "refer"
CONTINUE, INTENSIFY, CHANGE = "continue", "intensify", "change"
UNDECIDED = ""
NARROWER = "A narrower interval: more markers measured, or a model of more patients."
COMBINATIONS = ("ici_ici", "ici_chemotherapy", "ici_targeted", "ici_combination")


class RuleDecision(NamedTuple):
    """What one rule decides for each patient, with the reason."""

    answer: Strings
    gives: Strings  # treatment that the patient gets by the answer; empty where none is chosen
    starts: Strings  # the same, empty where it is given already
    reason: Strings
    would_change: Strings


class _Case(NamedTuple):
    """Patients whom a rule decides alike: the first case that holds decides."""

    holds: Flags
    answer: str
    reason: str
    would_change: str


def _decided(cases: Sequence[_Case], *otherwise: str) -> list[Strings]:
    """Answer, reason and what would change the answer, for each patient."""
    held, *stated = zip(*cases, strict=True)
    return [
        np.select(held, texts, default).astype(object)
        for texts, default in zip(stated, otherwise, strict=True)
    ]


class _Words(NamedTuple):
    """How reasons speak of what decides; the braces stand for thresholds."""

    lies: str
    within: str
    reaching: str
    reaching_below: str
    leaving: str


WORDS = {
    "risk": _Words(
        "The risk{} lies",
        "A risk",
        "A risk of {} or more.",
        "A risk below {}.",
        "A risk below {}, or of {} or more.",
    ),
    "interval": _Words(
        "The whole interval{} lies",
        "A risk whose whole interval lies",
        "A risk whose interval reaches {}.",
        "A risk whose interval reaches below {}.",
        "A risk whose interval reaches below {} or {}.",
    ),
}


def _ends(risk: pd.DataFrame, policy: Policy) -> tuple[Floats, Floats]:
    """Both ends of what has to lie on one side of a threshold: the risk itself, or its interval."""
    names = ("risk", "risk") if policy.decide_by == "risk" else ("risk_low", "risk_high")
    low, high = (risk[name].to_numpy(dtype=float) for name in names)
    return low, high


def by_risk(risk: pd.DataFrame, policy: Policy) -> RuleDecision:
    """Decide by a risk, or its interval, and two thresholds."""
    below, above = policy.thresholds
    if np.isnan(below) or np.isnan(above):
        raise ArgumentError(
            f"{policy.rule} states errors, and no thresholds were found for them; take the policy "
            "of a model: `model.with_policy(policy, ...)` finds them."
        )
    low, high = _ends(risk, policy)
    point, rule, words = risk["risk"].to_numpy(), policy.rule, WORDS[policy.decide_by]
    between, crossed, leaves = _limits(below, above, words.within, policy)
    lies = words.lies.format("" if policy.decide_by == "risk" else " of the risk")
    decided = _decided(
        [
            _Case(
                high < below,
                MONO,
                f"{lies} below {below:.4g} ({rule}).",
                words.reaching.format(f"{below:.4g}"),
            ),
            _Case(
                low >= above,
                COMBINATION,
                f"{lies} at or above {above:.4g} ({rule}).",
                words.reaching_below.format(f"{above:.4g}"),
            ),
            _Case(
                (point >= below) & (point < above),
                UNDECIDED,
                f"The risk lies {between} ({rule}).",
                leaves,
            ),
        ],
        UNDECIDED,
        f"The interval of the risk crosses a threshold ({crossed}; {rule}).",
        NARROWER,
    )
    if policy.utilities is not None:
        weights = policy.utilities.weights
        points = policy.utilities.flip_points(point)
        for kind, rows in points.groupby("kind", sort=False):
            by = f" By {str(kind).replace('_', '-')} events"
            decided[1] += np.array([f"{by} {_flips(w)}." for w in rows["weight"]], dtype=object)
        decided[1] += f" Weights of one grade 3 event: {min(weights):g} to {max(weights):g}."
    return _at_baseline(policy, *decided)


def _limits(below: float, above: float, within: str, policy: Policy) -> tuple[str, str, str]:
    """Words of a risk between two thresholds, of those crossed, and of what leaves them.

    Utilities may put a threshold where no risk is, and errors may have none.
    """
    low, high = f"{below:.4g}", f"{above:.4g}"
    if below > 0 and above <= 1:
        return (
            f"between {low} and {high}",
            f"{low} or {high}",
            f"{within} below {low} or at or above {high}.",
        )
    if below > 0:
        return (
            f"at or above {low}, and no risk gives the combination",
            low,
            f"{within} below {low}.",
        )
    if above <= 1:
        return (
            f"below {high}, and no risk gives monotherapy",
            high,
            f"{within} at or above {high}.",
        )
    if policy.errors is not None:
        return (
            "where no threshold keeps the stated errors, as every risk does",
            "none is reached",
            "A model that separates better or learned from more patients, or greater errors.",
        )
    return (
        "where weights and harms decide, as every risk does",
        "none is reached",
        "Fewer weights, or a narrower interval of the relative risk.",
    )


def _flips(weight: float) -> str:
    """Words of the weight at which the choice flips."""
    if weight == 0:
        return "monotherapy is better at every weight"
    if np.isinf(weight):
        return "the combination is better at every weight"
    return f"the choice flips at a weight of {weight:.2g}"


def by_marker(markers: pd.DataFrame, policy: Policy) -> RuleDecision:
    """Decide by the rule on one marker."""
    rule: MarkerRule = policy.marker_rule  # type: ignore[assignment]
    name, upper, lower = rule.marker, rule.monotherapy_from, rule.combination_below
    measured = markers.get(name, pd.Series(np.nan, index=markers.index)).notna()
    decided = _decided(
        [
            _Case(
                ~measured.to_numpy(dtype=bool),
                UNDECIDED,
                f"Required markers are missing: {name} ({policy.rule}).",
                f"Measuring {name}.",
            ),
            _Case(
                reaches(markers, name, upper) == 1,
                MONO,
                f"{name} is {upper:g} or more ({policy.rule}).",
                f"A value below {upper:g}.",
            ),
            _Case(
                reaches(markers, name, lower) == 0,
                COMBINATION,
                f"{name} is below {lower:g} ({policy.rule}).",
                f"A value of {lower:g} or more.",
            ),
        ],
        UNDECIDED,
        f"{name} or its interval lies between {lower:g} and {upper:g}, or crosses one "
        f"({policy.rule}).",
        "A value on one side.",
    )
    return _at_baseline(policy, *decided)


def _at_baseline(
    policy: Policy, answer: Strings, reason: Strings, would_change: Strings
) -> RuleDecision:
    """Let the policy say what is done with the undecided."""
    undecided = answer == UNDECIDED
    answer[undecided] = policy.in_doubt
    if policy.in_doubt != REFER:
        reason[undecided] += f" In doubt the policy takes {policy.in_doubt}."
    return RuleDecision(answer, answer.copy(), answer.copy(), reason, would_change)


def require_landmark(policy: Policy, landmark_weeks: float | None) -> None:
    """Refuse a policy without landmark rule for a landmark model, or of another landmark.

    Examples
    --------
    >>> policy = Policy(name="board", version="1", source="minutes", monotherapy_below=0.4,
    ...     combination_from=0.7)
    >>> require_landmark(policy, 9)
    Traceback (most recent call last):
        ...
    stratify.errors.ArgumentError: The model is of week 9, and policy board 1 has no landmark rule:
    what is known on treatment has no part in the decision at baseline. Add `landmark: {weeks: 9,
    ...}` to the policy, or take a baseline model.
    """
    if fault := policy.landmark_fault(landmark_weeks):
        raise ArgumentError(fault)


def at_landmark(risk: pd.DataFrame, markers: pd.DataFrame, policy: Policy) -> RuleDecision:
    """Decide at the landmark: continue, intensify, change."""
    rule = policy.landmark
    if rule is None:
        raise TypeError("the policy has no landmark; ask require_landmark first.")
    low, high = _ends(risk, policy)
    words = WORDS[policy.decide_by]
    regimen = markers.get("regimen", pd.Series(None, index=markers.index, dtype=object))
    alone = regimen.isin(MONOTHERAPY).to_numpy()
    current = np.select([alone, regimen.isin(COMBINATIONS).to_numpy()], [MONO, COMBINATION], "")
    stay, more, other = rule.continue_below, rule.intensify_from, rule.change_from
    wants_more = (low >= more) & (high < other)
    week = f"week {rule.weeks:g}"
    whole = words.lies.format(f" at {week}")
    middle = f"{whole} from {more:g} to {other:g}"
    cases = [
        _Case(
            current == "",
            REFER,
            f"No ICI regimen is recorded that could be continued at {week}",
            "Recording regimen.",
        ),
        _Case(
            high < stay,
            CONTINUE,
            f"{whole} below {stay:g}",
            words.reaching.format(f"{stay:g}"),
        ),
        _Case(
            low >= other,
            CHANGE,
            f"{whole} at or above {other:g}",
            words.reaching_below.format(f"{other:g}"),
        ),
        _Case(
            wants_more & alone,
            INTENSIFY,
            middle,
            words.leaving.format(f"{more:g}", f"{other:g}"),
        ),
        _Case(
            wants_more,
            REFER,
            f"{middle}, and a combination is given already",
            f"{words.within} below {stay:g} or at or above {other:g}.",
        ),
    ]
    crosses = f"The interval at {week} crosses a threshold, or lies between two that decide nothing"
    change = NARROWER
    if policy.decide_by == "risk":
        crosses = f"{whole} between two thresholds that decide nothing"
        change = f"{words.within} below {stay:g} or at or above {more:g}."
    answer, reason, would_change = _decided(cases, REFER, crosses, change)
    starts = np.where(answer == INTENSIFY, COMBINATION, "").astype(object)
    gives = np.where(answer == CONTINUE, current, starts).astype(object)
    return RuleDecision(answer, gives, starts, reason + f" ({policy.rule}).", would_change)

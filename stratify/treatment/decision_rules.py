"""The grounds of a decision: the risk, a marker, or the risk at a landmark, each with its words.

A landmark model is another model than that of the baseline decision: its time zero is the landmark
(cycle 3 ctDNA, first scan), and it knows what happened up to it. It is prognostic too (class C1): a
high risk at the landmark does not show that another treatment is better.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Strings
from stratify.errors import ArgumentError
from stratify.study import MONOTHERAPY
from stratify.study.policy import MarkerRule, Policy

__all__ = ["Ground", "at_landmark", "by_marker", "by_risk", "require_landmark"]

MONO, COMBINATION, REFER = "monotherapy", "combination", "refer"
CONTINUE, INTENSIFY, CHANGE = "continue", "intensify", "change"
COMBINATIONS = ("ici_ici", "ici_chemotherapy", "ici_targeted", "ici_combination")


class Ground(NamedTuple):
    """What one ground answers for each patient, with its words."""

    answer: Strings
    gives: Strings  # treatment that the patient gets by the answer; empty where none is chosen
    starts: Strings  # the same, empty where it is given already
    reason: Strings
    change: Strings


def by_risk(risk: pd.DataFrame, policy: Policy) -> Ground:
    """Decide by the interval of a risk and two thresholds."""
    below, above = policy.thresholds
    low, high = risk["risk_low"].to_numpy(), risk["risk_high"].to_numpy()
    point = risk["risk"].to_numpy()
    mono, combination = high < below, low >= above
    between = (point >= below) & (point < above)
    limits = _limits(below, above)
    reason = np.select(
        [mono, combination, between],
        [
            f"The whole interval of the risk lies below {below:.4g} ({policy.rule}).",
            f"The whole interval of the risk lies at or above {above:.4g} ({policy.rule}).",
            f"The risk lies {limits.between} ({policy.rule}).",
        ],
        f"The interval of the risk crosses a threshold ({limits.crossed}; {policy.rule}).",
    ).astype(object)
    if policy.utilities is not None:
        weights = policy.utilities.weights
        told = f" Weights of one grade 3 event: {min(weights):g} to {max(weights):g}."
        points = policy.utilities.flip_points(point)
        for kind, rows in points.groupby("kind", sort=False):
            by = f" By {str(kind).replace('_', '-')} events"
            reason += np.array([f"{by} {_flips(w)}." for w in rows["weight"]], dtype=object)
        reason += told
    change = np.select(
        [mono, combination, between],
        [
            f"A risk whose interval reaches {below:.4g}.",
            f"A risk whose interval reaches below {above:.4g}.",
            limits.leaves,
        ],
        "A narrower interval: more markers measured, or a model of more patients.",
    ).astype(object)
    return _baseline(mono, combination, reason, change, policy)


class _Limits(NamedTuple):
    """Words of two thresholds, of which utilities may put one where no risk is."""

    between: str
    crossed: str
    leaves: str


def _limits(below: float, above: float) -> _Limits:
    low, high = f"{below:.4g}", f"{above:.4g}"
    if below > 0 and above <= 1:
        return _Limits(
            f"between {low} and {high}",
            f"{low} or {high}",
            f"A risk whose whole interval lies below {low} or at or above {high}.",
        )
    if below > 0:
        return _Limits(
            f"at or above {low}, and no risk gives the combination",
            low,
            f"A risk whose whole interval lies below {low}.",
        )
    if above <= 1:
        return _Limits(
            f"below {high}, and no risk gives monotherapy",
            high,
            f"A risk whose whole interval lies at or above {high}.",
        )
    return _Limits(
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


def by_marker(markers: pd.DataFrame, policy: Policy) -> Ground:
    """Decide by the rule on one marker."""
    rule: MarkerRule = policy.marker_rule  # type: ignore[assignment]
    name, upper, lower = rule.marker, rule.monotherapy_from, rule.combination_below
    empty = pd.Series(np.nan, index=markers.index)
    value = pd.to_numeric(markers.get(name, empty), errors="coerce").astype(float)
    # a marker reported as an interval (PD-L1 "1-49 %") has its bounds beside it
    low, high = (
        pd.to_numeric(markers.get(f"{name}_{end}", value), errors="coerce")
        .astype(float)
        .fillna(value)
        for end in ("low", "high")
    )
    mono, combination = (low >= upper).to_numpy(), (high < lower).to_numpy()
    unknown = value.isna().to_numpy()
    reason = np.select(
        [unknown, mono, combination],
        [
            f"Required markers are missing: {name} ({policy.rule}).",
            f"{name} is {upper:g} or more ({policy.rule}).",
            f"{name} is below {lower:g} ({policy.rule}).",
        ],
        f"{name} or its interval lies between {lower:g} and {upper:g}, or crosses one "
        f"({policy.rule}).",
    ).astype(object)
    change = np.select(
        [unknown, mono, combination],
        [f"Measuring {name}.", f"A value below {upper:g}.", f"A value of {lower:g} or more."],
        "A value on one side.",
    ).astype(object)
    return _baseline(mono, combination, reason, change, policy)


def _baseline(
    mono: Flags, combination: Flags, reason: Strings, change: Strings, policy: Policy
) -> Ground:
    answer = np.select([mono, combination], [MONO, COMBINATION], policy.in_doubt).astype(object)
    if policy.in_doubt != REFER:
        doubtful = ~mono & ~combination
        reason[doubtful] = [
            f"{r} In doubt the policy takes {policy.in_doubt}." for r in reason[doubtful]
        ]
    return Ground(answer, answer.copy(), answer.copy(), reason, change)


def require_landmark(policy: Policy, landmark_weeks: float | None) -> None:
    """Refuse a policy without landmark rule for a landmark model, or of another landmark.

    Raises
    ------
    ArgumentError

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


def at_landmark(risk: pd.DataFrame, markers: pd.DataFrame, policy: Policy) -> Ground:
    """Decide at the landmark: continue, intensify, change."""
    rule = policy.landmark
    if rule is None:
        raise TypeError("the policy has no landmark; ask require_landmark first.")
    low, high = risk["risk_low"].to_numpy(), risk["risk_high"].to_numpy()
    regimen = markers.get("regimen", pd.Series(None, index=markers.index, dtype=object))
    alone = regimen.isin(MONOTHERAPY).to_numpy()
    together = regimen.isin(COMBINATIONS).to_numpy()
    current = np.select([alone, together], [MONO, COMBINATION], "").astype(object)
    week, stay, more, other = (
        f"week {rule.weeks:g}", rule.continue_below, rule.intensify_from, rule.change_from
    )  # fmt: skip
    stays, changes = high < stay, low >= other
    wants_more = (low >= more) & (high < other)
    middle = f"The whole interval at {week} lies from {more:g} to {other:g}"
    steps: list[tuple[Flags, str, str, str]] = [
        (
            current == "",
            REFER,
            f"No ICI regimen is recorded that could be continued at {week}",
            "Recording regimen.",
        ),
        (
            stays,
            CONTINUE,
            f"The whole interval at {week} lies below {stay:g}",
            f"A risk whose interval reaches {stay:g}.",
        ),
        (
            changes,
            CHANGE,
            f"The whole interval at {week} lies at or above {other:g}",
            f"A risk whose interval reaches below {other:g}.",
        ),
        (
            wants_more & alone,
            INTENSIFY,
            middle,
            f"A risk whose interval reaches below {more:g} or {other:g}.",
        ),
        (
            wants_more,
            REFER,
            f"{middle}, and a combination is given already",
            f"A risk whose whole interval lies below {stay:g} or at or above {other:g}.",
        ),
    ]
    held = [mask for mask, *_ in steps]
    answer = np.select(held, [a for _, a, _, _ in steps], REFER).astype(object)
    gives = np.select([answer == CONTINUE, answer == INTENSIFY], [current, COMBINATION], "").astype(
        object
    )
    return Ground(
        answer,
        gives,
        np.where(answer == CONTINUE, "", gives).astype(object),
        np.select(
            held,
            [f"{words} ({policy.rule})." for _, _, words, _ in steps],
            f"The interval at {week} crosses a threshold, or lies between two that decide nothing "
            f"({policy.rule}).",
        ).astype(object),
        np.select(
            held,
            [change for *_, change in steps],
            "A narrower interval: more markers measured, or a model of more patients.",
        ).astype(object),
    )

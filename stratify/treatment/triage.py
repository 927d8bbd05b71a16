"""Monotherapy, combination or refer; at a landmark continue, intensify or change: by a policy.

A high risk under anti-PD-(L)1 monotherapy does not show that a combination helps; the evidence
class is C1 (prognostic). Without a policy every patient is referred.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Strings
from stratify.study.policy import Policy
from stratify.treatment.decision_rules import (
    CHANGE,
    COMBINATION,
    MONO,
    REFER,
    Ground,
    at_landmark,
    by_marker,
    by_risk,
    require_landmark,
)
from stratify.treatment.indications import not_covered, on_file

__all__ = ["EVIDENCE_CLASS", "triage"]

EVIDENCE_CLASS = "C1"
NO_POLICY = "No policy was given: the risk is stated, the decision is referred."
GIVE_POLICY = "A policy with thresholds and their source."
MIXED = (
    "The model was trained on mixed regimens; it states no risk under monotherapy and gives no "
    "recommendation."
)
UNMIXED = "A model of patients under anti-PD-(L)1 monotherapy."


def triage(
    risk: pd.DataFrame | None,
    markers: pd.DataFrame,
    policy: Policy | None,
    *,
    mixed_regimens: bool = False,
    flags: pd.Series | None = None,
    landmark_weeks: float | None = None,
) -> pd.DataFrame:
    """Recommendation and reason for each patient, at baseline or at a landmark.

    Parameters
    ----------
    risk : DataFrame of shape (n_patients, 3) or None
        ``risk``, ``risk_low``, ``risk_high`` under anti-PD-(L)1 monotherapy, 0 to 1. None where
        the policy's marker rule decides.
    markers : DataFrame of shape (n_patients, ...)
        Columns by canonical name, missing where not measured.
    policy : Policy or None
        Without one, everybody is referred.
    mixed_regimens : bool
        Whether the model was trained on other regimens too; then there is no recommendation.
    flags : Series of shape (n_patients,), optional
        Flags of each patient, separated by semicolons; those of the policy's `refer_flags` refer.
    landmark_weeks : float, optional
        Landmark of the model that gave the risks, from its card; None for a baseline model. Then
        the policy's landmark rule decides for patients still at risk on the ICI treatment in
        ``regimen``, and nothing else of the policy but contraindications, flags and label.

    Returns
    -------
    DataFrame of shape (n_patients, 4)
        ``recommendation`` (``monotherapy | combination | refer``, at a landmark ``continue |
        intensify | change | refer``; missing for mixed regimens), ``reason``, ``evidence_class``,
        ``would_change`` (what would change the answer).

    Raises
    ------
    ArgumentError
        If the model is of a landmark for which the policy has no rule.

    Notes
    -----
    What comes first wins: a contraindication, a missing required marker, a flag that the policy
    names, the thresholds, a contraindication that is not recorded and would matter, the label.
    All but the thresholds can only refer. With the same interval width on the log-odds scale, a
    higher risk never moves combination to monotherapy.

    Examples
    --------
    >>> risk = pd.DataFrame({"risk": [0.2, 0.8, 0.5], "risk_low": [0.1, 0.75, 0.3],
    ...                      "risk_high": [0.3, 0.9, 0.8]})
    >>> policy = Policy(name="example", version="1", source="illustration only",
    ...                 monotherapy_below=0.4, combination_from=0.7)
    >>> triage(risk, pd.DataFrame(index=risk.index), policy)["recommendation"].tolist()
    ['monotherapy', 'combination', 'refer']
    >>> board = Policy(name="example", version="1", source="illustration only",
    ...     monotherapy_below=0.4, combination_from=0.7, landmark={"weeks": 6,
    ...     "continue_below": 0.3, "intensify_from": 0.5, "change_from": 0.9, "source": "none"})
    >>> on = pd.DataFrame({"regimen": ["anti_pd1_pdl1"] * 3})
    >>> triage(risk.assign(risk_high=[0.25, 0.85, 0.8]), on, board,
    ...        landmark_weeks=6)["recommendation"].tolist()
    ['continue', 'intensify', 'refer']
    """
    index = markers.index if risk is None else risk.index
    n = len(index)
    by_marker_alone = policy is not None and policy.marker_rule is not None
    if mixed_regimens and (landmark_weeks is not None or not by_marker_alone):
        return _decisions(index, _all(n, None), _all(n, MIXED), _all(n, UNMIXED))
    if policy is None:
        return _decisions(index, _all(n, REFER), _all(n, NO_POLICY), _all(n, GIVE_POLICY))
    require_landmark(policy, landmark_weeks)
    markers, required = markers.set_axis(index), policy.required_markers
    if policy.marker_rule is not None and landmark_weeks is None:
        ground = by_marker(markers, policy)
    elif risk is None:
        raise TypeError("risk is None; a policy with thresholds of the risk needs the risks.")
    elif policy.landmark is None or landmark_weeks is None:
        ground = by_risk(risk, policy)
    else:
        ground, required = at_landmark(risk, markers, policy), policy.landmark.required_markers
    answer, reason, change = ground.answer.copy(), ground.reason.copy(), ground.change.copy()

    # Applied from the weakest to the strongest, so that what comes first in the notes is said.
    if policy.label is not None:
        for treatment in (MONO, COMBINATION):
            lacking = not_covered(markers, treatment, policy.label).to_numpy(dtype=object)
            known = on_file(markers, treatment, policy.label).to_numpy()
            chosen = ground.starts == treatment
            rows = chosen & ~known
            reason[rows] = [
                f"{r} No {policy.label.jurisdiction} label rule for {treatment} is on file."
                for r in reason[rows]
            ]
            rows = chosen & (lacking != "")
            reason[rows] = [
                f"The label asks more for {treatment} ({w}); {policy.rule}." for w in lacking[rows]
            ]
            change[rows] = "A label that covers the patient, or the marker that it asks for."
            answer[rows] = REFER
    contraindicated = _contraindicated(markers, policy)
    for against, unknown in contraindicated.unknown.items():
        unsettled = (answer != REFER) | (against == "any")
        rows = (unknown != "") & unsettled & _concerned(ground, against)
        reason[rows] = [
            f"Not recorded: {m}, which could rule out {_named(against)} ({policy.rule})."
            for m in unknown[rows]
        ]
        change[rows] = [f"Recording {m}." for m in unknown[rows]]
        answer[rows] = REFER
    cautions = _cautions(flags, policy, n)
    rows = cautions != ""
    reason[rows] = [
        f"The model may not apply to the patient: {c} ({policy.rule})." for c in cautions[rows]
    ]
    change[rows] = "A model trained on such patients."
    answer[rows] = REFER
    missing = _missing(markers, required)
    rows = missing != ""
    reason[rows] = [f"Required markers are missing: {m} ({policy.rule})." for m in missing[rows]]
    change[rows] = [f"Measuring {m}." for m in missing[rows]]
    answer[rows] = REFER
    for against, known in contraindicated.known.items():
        rows = (known != "") & _concerned(ground, against)
        reason[rows] = [
            f"Contraindicated: {c} speaks against {_named(against)} ({policy.rule})."
            for c in known[rows]
        ]
        change[rows] = "Nothing that the model knows: the contraindication stands."
        answer[rows] = REFER
    return _decisions(index, answer, reason, change)


class _Contraindicated(NamedTuple):
    """By what is spoken against: words of the conditions that hold, markers not recorded."""

    known: dict[str, Strings]
    unknown: dict[str, Strings]


def _contraindicated(markers: pd.DataFrame, policy: Policy) -> _Contraindicated:
    n = len(markers)
    known: dict[str, Strings] = {}
    unknown: dict[str, Strings] = {}
    order = {"monotherapy": 0, "combination": 1, "any": 2}
    for each in sorted(policy.contraindications, key=lambda c: order[c.against]):
        holds = each.holds(markers).to_numpy(dtype=object)
        for texts, rows, word in (
            (known, np.array([h is not None and bool(h) for h in holds], dtype=bool), str(each)),
            (unknown, np.array([h is None for h in holds], dtype=bool), each.marker),
        ):
            said = texts.setdefault(each.against, _all(n, ""))
            said[rows] = [f"{s}, {word}" if s else word for s in said[rows]]
    return _Contraindicated(known, unknown)


def _concerned(ground: Ground, against: str) -> Flags:
    """Patients whose treatment a contraindication speaks against."""
    if against == "any":
        return np.asarray(ground.answer != CHANGE)
    return np.asarray(ground.gives == against)


def _named(against: str) -> str:
    return "any checkpoint inhibitor" if against == "any" else against


def _cautions(flags: pd.Series | None, policy: Policy, n: int) -> Strings:
    if flags is None:
        return _all(n, "")
    codes, distinct = pd.factorize(flags.to_numpy(dtype=object))  # few distinct ones
    named = [", ".join(f for f in told.split(";") if f in policy.refer_flags) for told in distinct]
    return np.array(named, dtype=object)[codes]


def _missing(markers: pd.DataFrame, names: list[str]) -> Strings:
    missing = _all(len(markers), "")
    for name in names:
        absent = markers[name].isna().to_numpy() if name in markers else np.ones(len(markers), bool)
        missing[absent] = [f"{m}, {name}" if m else name for m in missing[absent]]
    return missing


def _all(n: int, value: object) -> Strings:
    return np.full(n, value, dtype=object)


def _decisions(index: pd.Index, answer: Strings, reason: Strings, change: Strings) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "recommendation": pd.Series(answer, index=index, dtype=object),
            "reason": pd.Series(reason, index=index, dtype=object),
            "evidence_class": EVIDENCE_CLASS,
            "would_change": pd.Series(change, index=index, dtype=object),
        },
        index=index,
    )

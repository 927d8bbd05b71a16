"""Monotherapy, combination or refer; at a landmark continue, intensify or change: by a policy.

A high risk under anti-PD-(L)1 monotherapy does not show that a combination helps; the evidence
class is C1 (prognostic). Without a policy every patient is referred.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    RuleDecision,
    at_landmark,
    by_marker,
    by_risk,
    require_landmark,
)
from stratify.treatment.indications import Assays, not_covered, on_file

__all__ = ["EVIDENCE_CLASS", "REFER", "triage"]

EVIDENCE_CLASS = "C1"
NO_POLICY = "No policy was given: the risk is stated, the decision is referred."
GIVE_POLICY = "A policy with thresholds and their source."
MIXED = (
    "The model was trained on mixed regimens; it states no risk under monotherapy and gives no "
    "recommendation."
)
UNMIXED = "A model of patients under anti-PD-(L)1 monotherapy."
LABELLED = "A label that covers the patient, or the marker that it asks for."
STANDS = "Nothing that the model knows: the contraindication stands."
# what a contraindication speaks against -> its words, the weakest first
RULED_OUT = {MONO: MONO, COMBINATION: COMBINATION, "any": "any checkpoint inhibitor"}


def triage(
    risk: pd.DataFrame | None,
    markers: pd.DataFrame,
    policy: Policy | None,
    *,
    mixed_regimens: bool = False,
    flags: pd.Series | None = None,
    assays: Assays | None = None,
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
    flags : Series of shape (n_patients,), optional
        Flags of each patient, separated by semicolons; those of the policy's `refer_flags` refer.
    assays : mapping of str to mapping of str to str, optional
        Assay by marker and ``cohort``, for label rules that name one.
    landmark_weeks : float, optional
        Landmark of the model that gave the risks, from its card; None for a baseline model. Then
        the policy's landmark rule decides for patients still at risk on the ICI treatment in
        ``regimen``, and nothing else of the policy but contraindications, flags and label.

    Returns
    -------
    DataFrame of shape (n_patients, 6)
        ``recommendation`` (``monotherapy | combination | refer``, at a landmark ``continue |
        intensify | change | refer``; missing for mixed regimens), ``reason``, ``evidence_class``,
        ``would_change`` (what would change the answer), ``decision_rule`` (name, version and way
        of the policy), ``error_bound`` (share of patients so decided that may be wrongly treated,
        by the policy's errors).

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
    ['continue', 'intensify', 'intensify']
    """
    index = markers.index if risk is None else risk.index
    n = len(index)
    by_marker_alone = policy is not None and policy.marker_rule is not None
    if mixed_regimens and (landmark_weeks is not None or not by_marker_alone):
        return _table(index, _all(n, None), _all(n, MIXED), _all(n, UNMIXED))
    if policy is None:
        return _table(index, _all(n, REFER), _all(n, NO_POLICY), _all(n, GIVE_POLICY))
    require_landmark(policy, landmark_weeks)
    markers, required = markers.set_axis(index), policy.required_markers
    if policy.marker_rule is not None and landmark_weeks is None:
        decision = by_marker(markers, policy)
    elif risk is None:
        raise TypeError("risk is None; a policy with thresholds of the risk needs the risks.")
    elif policy.landmark is None or landmark_weeks is None:
        decision = by_risk(risk, policy)
    else:
        decision, required = at_landmark(risk, markers, policy), policy.landmark.required_markers
    answer, reason, would_change = (
        texts.copy() for texts in (decision.answer, decision.reason, decision.would_change)
    )
    case = _Decided(policy, markers, flags, assays, required, decision, answer, reason)
    for referrals in REFERRALS:
        for referral in referrals(case):
            rows = (referral.words != "") & referral.where
            words = referral.words[rows]
            reason[rows] = [referral.reason.replace("%s", w, 1) for w in words]
            would_change[rows] = [referral.would_change.replace("%s", w, 1) for w in words]
            answer[rows] = REFER
    rule = policy.way(landmark_weeks)
    return _table(index, answer, reason, would_change, rule, policy.error_bounds(landmark_weeks))


class _Decided(NamedTuple):
    """What a rule decided for the patients, and what may still refer them."""

    policy: Policy
    markers: pd.DataFrame
    flags: pd.Series | None
    assays: Assays | None
    required: list[str]
    decision: RuleDecision
    answer: Strings  # as it stands after the referrals before
    reason: Strings


class _Referral(NamedTuple):
    """Patients who are referred whatever the rule decided, and why."""

    words: Strings  # what refers the patient; empty where nothing does
    where: Flags | bool
    reason: str  # the first %s stands for the words
    would_change: str


def _not_labelled(case: _Decided) -> Iterator[_Referral]:
    if (label := case.policy.label) is None:
        return
    for treatment in (MONO, COMBINATION):
        chosen = case.decision.starts == treatment
        unknown = chosen & ~on_file(case.markers, treatment, label).to_numpy()
        case.reason[unknown] += f" No {label.jurisdiction} label rule for {treatment} is on file."
        lacking = not_covered(case.markers, treatment, label, case.assays).to_numpy(dtype=object)
        asked = f"The label asks more for {treatment} (%s); {case.policy.rule}."
        yield _Referral(lacking, chosen, asked, LABELLED)


def _contraindication_unknown(case: _Decided) -> Iterator[_Referral]:
    for against, named, markers in _contraindications(case, known=False):
        unsettled = (case.answer != REFER) | (against == "any")
        where = unsettled & _concerned(case.decision, against)
        reason = f"Not recorded: %s, which could rule out {named} ({case.policy.rule})."
        yield _Referral(markers, where, reason, "Recording %s.")


def _model_may_not_apply(case: _Decided) -> Iterator[_Referral]:
    if case.flags is None:
        return
    codes, distinct = pd.factorize(case.flags.to_numpy(dtype=object))  # few distinct ones
    refer = case.policy.refer_flags
    named = [", ".join(f for f in flags.split(";") if f in refer) for flags in distinct]
    cautions = np.array(named, dtype=object)[codes]
    reason = f"The model may not apply to the patient: %s ({case.policy.rule})."
    yield _Referral(cautions, True, reason, "A model trained on such patients.")


def _not_measured(case: _Decided) -> Iterator[_Referral]:
    missing = _all(len(case.markers), "")
    measured = case.markers.reindex(columns=case.required).notna()
    for name in case.required:
        _add(missing, ~measured[name].to_numpy(), name)
    reason = f"Required markers are missing: %s ({case.policy.rule})."
    yield _Referral(missing, True, reason, "Measuring %s.")


def _contraindicated(case: _Decided) -> Iterator[_Referral]:
    for against, named, conditions in _contraindications(case, known=True):
        where = _concerned(case.decision, against)
        reason = f"Contraindicated: %s speaks against {named} ({case.policy.rule})."
        yield _Referral(conditions, where, reason, STANDS)


# From the weakest to the strongest, so that what comes first in the notes of triage is said.
REFERRALS = (
    _not_labelled,
    _contraindication_unknown,
    _model_may_not_apply,
    _not_measured,
    _contraindicated,
)


def _contraindications(case: _Decided, known: bool) -> Iterator[tuple[str, str, Strings]]:
    """Give what is ruled out, its words, and the conditions that hold or markers not recorded."""
    for against, named in RULED_OUT.items():
        words = _all(len(case.markers), "")
        for each in case.policy.contraindications:
            if each.against == against:
                holds = each.holds(case.markers).to_numpy(dtype=object)
                if known:
                    _add(words, np.array([h is True for h in holds], dtype=bool), str(each))
                    continue
                unknown = np.array([h is None for h in holds], dtype=bool)
                reported = case.markers.reindex(columns=[each.marker])[each.marker].notna()
                _add(words, unknown & ~reported.to_numpy(dtype=bool), each.marker)
                spans = f"{each.marker} (reported as an interval that spans the limit)"
                _add(words, unknown & reported.to_numpy(dtype=bool), spans)
        yield against, named, words


def _add(words: Strings, rows: Flags, word: str) -> None:
    """Append a word to a list of words, for some patients."""
    words[rows] = [f"{w}, {word}" if w else word for w in words[rows]]


def _concerned(decision: RuleDecision, against: str) -> Flags:
    """Patients whose treatment a contraindication speaks against."""
    if against == "any":
        return np.asarray(decision.answer != CHANGE)
    return np.asarray(decision.gives == against)


def _all(n: int, value: object) -> Strings:
    return np.full(n, value, dtype=object)


def _table(
    index: pd.Index,
    answer: Strings,
    reason: Strings,
    change: Strings,
    rule: str = "",
    bounds: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    texts = {"recommendation": answer, "reason": reason, "would_change": change}
    table = pd.DataFrame(texts, index=index, dtype=object)
    table.insert(2, "evidence_class", EVIDENCE_CLASS)
    table["decision_rule"] = pd.Series(rule, index=index, dtype=object)
    table["error_bound"] = table["recommendation"].map(bounds or {}).astype(float)
    return table

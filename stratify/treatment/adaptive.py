"""Choice at a landmark: continue, intensify or change, by a separate landmark model.

The baseline decision uses nothing that happens on treatment; the landmark model is another model,
whose time zero is the landmark (cycle 3 ctDNA, first scan). It is prognostic too (class C1): a
high risk at the landmark does not show that another treatment is better.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratify.errors import ArgumentError
from stratify.treatment.policy import Policy

__all__ = ["adapt", "require_landmark"]

CONTINUE, INTENSIFY, CHANGE, REFER = "continue", "intensify", "change", "refer"


def require_landmark(policy: Policy, landmark_weeks: float | None) -> None:
    """Refuse a baseline model at a landmark, and a model of another landmark.

    Raises
    ------
    ArgumentError
        If the policy has no landmark, or the model is not of that landmark.

    Examples
    --------
    >>> policy = Policy(name="board", version="1", source="minutes", monotherapy_below=0.4,
    ...     combination_from=0.7, landmark={"weeks": 9, "continue_below": 0.3,
    ...     "intensify_from": 0.5, "change_from": 0.8, "source": "minutes"})
    >>> require_landmark(policy, None)
    Traceback (most recent call last):
        ...
    stratify.errors.ArgumentError: The model is a baseline model; policy board 1 decides at week 9:
    train one with `landmark_weeks: 9` in the study file.
    """
    if policy.landmark is None:
        raise ArgumentError(f"{policy.rule} has no landmark; add one, or decide at baseline.")
    asked = policy.landmark.weeks
    if landmark_weeks != asked:
        found = "a baseline model" if landmark_weeks is None else f"of week {landmark_weeks:g}"
        raise ArgumentError(
            f"The model is {found}; {policy.rule} decides at week {asked:g}: train one with "
            f"`landmark_weeks: {asked:g}` in the study file."
        )


def adapt(
    risk: pd.DataFrame, treatment: pd.Series, policy: Policy, *, landmark_weeks: float | None
) -> pd.DataFrame:
    """Decide at the landmark for patients who are still on treatment.

    Parameters
    ----------
    risk : DataFrame of shape (n_patients, 3)
        ``risk``, ``risk_low``, ``risk_high`` by a landmark model, 0 to 1; missing where the
        patient is not at risk at the landmark.
    treatment : Series of shape (n_patients,)
        What the patient is on: ``monotherapy`` or ``combination``.
    policy : Policy
        With ``landmark``.
    landmark_weeks : float or None
        Landmark of the model that gave the risks, from its card.

    Returns
    -------
    DataFrame of shape (n_patients, 3)
        ``decision`` (``continue | intensify | change | refer``), ``reason``, ``evidence_class``.

    Raises
    ------
    ArgumentError
        As :func:`require_landmark`.

    Examples
    --------
    >>> policy = Policy(name="board", version="1", source="minutes", monotherapy_below=0.4,
    ...     combination_from=0.7, landmark={"weeks": 9, "continue_below": 0.3,
    ...     "intensify_from": 0.5, "change_from": 0.8, "source": "minutes"})
    >>> risk = pd.DataFrame({"risk": [0.2, 0.6], "risk_low": [0.1, 0.5], "risk_high": [0.25, 0.7]})
    >>> adapt(risk, pd.Series(["monotherapy"] * 2), policy, landmark_weeks=9)["decision"].tolist()
    ['continue', 'intensify']
    """
    require_landmark(policy, landmark_weeks)
    rule = policy.landmark
    assert rule is not None
    low, high = risk["risk_low"].to_numpy(), risk["risk_high"].to_numpy()
    unknown = np.isnan(risk["risk"].to_numpy())
    alone = (treatment == "monotherapy").to_numpy()
    week = f"week {rule.weeks:g}"
    stays = high < rule.continue_below
    changes = low >= rule.change_from
    more = (low >= rule.intensify_from) & (high < rule.change_from)
    steps = [
        (unknown, REFER, f"No risk at {week}: the patient is not at risk there, or not scored."),
        (stays, CONTINUE, f"The whole interval at {week} lies below {rule.continue_below:g}."),
        (changes, CHANGE, f"The whole interval at {week} lies at or above {rule.change_from:g}."),
        (
            more & alone,
            INTENSIFY,
            f"The whole interval at {week} lies from {rule.intensify_from:g} to "
            f"{rule.change_from:g}.",
        ),
        (more, REFER, f"To intensify at {week}, but a combination is given already."),
    ]
    masks = [mask for mask, _, _ in steps]
    return pd.DataFrame(
        {
            "decision": np.select(masks, [answer for _, answer, _ in steps], REFER).astype(object),
            "reason": np.select(
                masks,
                [f"{words[:-1]} ({policy.rule})." for *_, words in steps],
                f"The interval at {week} crosses a threshold ({policy.rule}).",
            ).astype(object),
            "evidence_class": "C1",
        },
        index=risk.index,
    )

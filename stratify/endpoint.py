"""From outcomes to a label of resistance, with a reason for every patient.

Rules are versioned data in ``data_schemas/endpoints.yaml``. Label 1 means primary resistance (or
non-response), 0 initial disease control (or response), missing means not evaluable; not evaluable
is never 0. Six months is one constant, 182.625 days.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stratify.errors import ArgumentError
from stratify.schema import endpoint_rules

__all__ = ["label_outcomes", "rule_name"]

_Flags = np.ndarray[Any, np.dtype[np.bool_]]


def rule_name(endpoint: str) -> str:
    """Rule id with version, as it travels with labels, models and scores.

    Examples
    --------
    >>> rule_name("proxy_pfs6")
    'proxy_pfs6@1.0.0'
    """
    rules = endpoint_rules()
    if endpoint not in rules:
        raise ArgumentError(f"endpoint {endpoint!r} is not known; there are {', '.join(rules)}.")
    return f"{endpoint}@{rules[endpoint]['version']}"


def label_outcomes(outcomes: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    """Label each patient by a rule.

    Parameters
    ----------
    outcomes : DataFrame of shape (n_patients, ...)
        Any of ``best_response``, ``objective_response`` (1 yes, 0 no), ``pfs`` (months from the
        first dose), ``pfs_event`` (1 event, 0 censored); absent columns are missing.
    endpoint : {"proxy_pfs6", "objective_response"}
        Rule id.

    Returns
    -------
    DataFrame of shape (n_patients, 4)
        ``state``, ``reason``, ``label`` (1, 0 or NaN) and ``endpoint_rule``, on the same index.

    Raises
    ------
    ArgumentError
        If the rule is not known.

    Notes
    -----
    ``proxy_pfs6`` is a proxy: exposure and confirmation are not known, and it is never called the
    SITC definition (Kluger 2020, 10.1136/jitc-2019-000398). Early progression and death count as
    primary resistance. A patient in complete or partial response whose disease progresses before
    six months is ``none``.

    Examples
    --------
    >>> table = pd.DataFrame({"pfs": [2.0, 2.0, 2.0, 6.0], "pfs_event": [1, 1, 0, 1],
    ...                       "best_response": ["PD", "PR", "SD", "SD"]})
    >>> label_outcomes(table, "proxy_pfs6")["reason"].tolist()
    ['event_before_6_months', 'early_relapse_after_response', 'censored_before_6_months',
     'six_months_without_event']
    """
    name = rule_name(endpoint)
    rule = endpoint_rules()[endpoint]
    responded, response_known, not_evaluable = _response(outcomes)
    if endpoint == "proxy_pfs6":
        pfs, event = _column(outcomes, "pfs"), _column(outcomes, "pfs_event")
        missing = np.isnan(pfs) | np.isnan(event)
        early = pfs < rule["months"]
        reason = np.select(
            [
                missing,
                ~early,
                event == 0,
                responded,
                ~response_known | not_evaluable,
            ],
            [
                "pfs_missing",
                "six_months_without_event",
                "censored_before_6_months",
                "early_relapse_after_response",
                "event_before_6_months_response_unknown",
            ],
            "event_before_6_months",
        )
    else:
        reason = np.select(
            [~response_known, not_evaluable, responded],
            ["best_response_missing", "best_response_ne", "cr_or_pr"],
            "no_cr_or_pr",
        )
    states = {code: entry["state"] for code, entry in rule["reasons"].items()}
    state = pd.Series(reason, index=outcomes.index, dtype=object).map(states)
    label = state.map({rule["positive"]: 1.0, rule["negative"]: 0.0}).astype(float)
    return pd.DataFrame(
        {"state": state, "reason": reason.astype(object), "label": label, "endpoint_rule": name},
        index=outcomes.index,
    )


def _column(outcomes: pd.DataFrame, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    if name not in outcomes:
        return np.full(len(outcomes), np.nan)
    return outcomes[name].to_numpy(dtype=float, na_value=np.nan)


def _response(
    outcomes: pd.DataFrame,
) -> tuple[_Flags, _Flags, _Flags]:
    """Whether CR or PR was reached, whether response is recorded, whether it is NE."""
    stated = _column(outcomes, "objective_response")
    if "best_response" in outcomes:
        best = outcomes["best_response"]
        known = best.notna().to_numpy()
        responded = best.isin(["CR", "PR"]).to_numpy() | (~known & (stated == 1))
        not_evaluable = (best == "NE").to_numpy(dtype=bool, na_value=False)
    else:
        known = np.zeros(len(outcomes), dtype=bool)
        responded = stated == 1
        not_evaluable = known.copy()
    return responded, known | ~np.isnan(stated), not_evaluable

"""From outcomes to a label of resistance, with a reason for every patient.

Rules are versioned data in ``data_schemas/endpoints.yaml``. Label 1 means primary resistance (or
non-response), 0 initial disease control (or response), missing means not evaluable; not evaluable
is never 0. Six months is one constant, 182.625 days.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stratify.tables.endpoint_rules import endpoint_reasons, endpoint_rule

__all__ = ["label_outcomes", "rule_name"]

_Flags = np.ndarray[Any, np.dtype[np.bool_]]
_Reasons = np.ndarray[Any, np.dtype[np.str_]]


def rule_name(endpoint: str | Mapping[str, Any]) -> str:
    """Rule id with version, as it travels with labels, models and scores.

    Examples
    --------
    >>> rule_name("proxy_pfs6")
    'proxy_pfs6@1.0.0'
    """
    rule = endpoint_rule(endpoint)
    return f"{rule['name']}@{rule['version']}"


def label_outcomes(outcomes: pd.DataFrame, endpoint: str | Mapping[str, Any]) -> pd.DataFrame:
    """Label each patient by a rule.

    Parameters
    ----------
    outcomes : DataFrame of shape (n_patients, ...)
        Any columns of the ``outcomes`` dictionary, in its units, and for ``sitc_by_regimen``
        ``regimen``; absent ones are missing.
    endpoint : str or mapping
        Rule id: ``proxy_pfs6``, ``sitc_mono_2020``, ``sitc_chemo_2023`` (both also with
        ``_strict``), ``sitc_by_regimen`` or ``objective_response``; or a rule of your own, see
        :func:`stratify.tables.endpoint_rules.endpoint_rule`.

    Returns
    -------
    DataFrame of shape (n_patients, 4)
        ``state``, ``reason``, ``label`` (1, 0 or NaN) and ``endpoint_rule`` (by regimen: the one
        applied to the patient), on the same index.

    Raises
    ------
    ArgumentError
        If the rule is not known.

    Notes
    -----
    ``proxy_pfs6`` is a proxy: exposure and confirmation are not known, and it is never called the
    SITC definition (Kluger 2020, 10.1136/jitc-2019-000398; Rizvi 2023,
    10.1136/jitc-2022-005920). Early progression and death count as primary resistance unless the
    rule is strict. Under monotherapy a patient in complete or partial response whose disease
    progresses before six months is ``none``; under ICI with chemotherapy it is ``primary``.

    Examples
    --------
    >>> table = pd.DataFrame({"pfs": [2.0, 2.0, 2.0, 6.0], "pfs_event": [1, 1, 0, 1],
    ...                       "best_response": ["PD", "PR", "SD", "SD"]})
    >>> label_outcomes(table, "proxy_pfs6")["reason"].tolist()
    ['event_before_6_months', 'early_relapse_after_response', 'censored_before_6_months',
     'six_months_without_event']
    """
    rule = endpoint_rule(endpoint)
    names = np.full(len(outcomes), rule_name(rule), dtype=object)
    if rule["basis"] == "regimen":
        reason = np.full(len(outcomes), "regimen_without_rule", dtype=object)
        regimen = _levels(outcomes, "regimen")
        for each in map(endpoint_rule, rule["rules"]):
            mine = np.isin(regimen, each["regimens"])
            reason[mine] = _by_progression(outcomes[mine], each)
            names[mine] = rule_name(each)
    elif rule["basis"] == "progression":
        reason = _by_progression(outcomes, rule).astype(object)
    else:
        reason = _by_response(outcomes).astype(object)
    states = {code: entry["state"] for code, entry in endpoint_reasons().items()}
    state = pd.Series(reason, index=outcomes.index, dtype=object).map(states)
    labels = {rule["positive"]: 1.0, **dict.fromkeys(rule["negatives"], 0.0)}
    return pd.DataFrame(
        {
            "state": state,
            "reason": pd.Series(reason, index=outcomes.index, dtype=object),
            "label": state.map(labels).astype(float),
            "endpoint_rule": pd.Series(names, index=outcomes.index, dtype=object),
        },
        index=outcomes.index,
    )


def _by_response(outcomes: pd.DataFrame) -> _Reasons:
    responded, known, not_evaluable = _response(outcomes)
    return np.select(
        [~known, not_evaluable, responded],
        ["best_response_missing", "best_response_ne", "cr_or_pr"],
        "no_cr_or_pr",
    )


def _by_progression(outcomes: pd.DataFrame, rule: Mapping[str, Any]) -> _Reasons:
    """Reason of each patient; the first that holds in the order of the list."""
    responded, known, not_evaluable = _response(outcomes)
    pfs, event = _column(outcomes, "pfs"), _column(outcomes, "pfs_event")
    exposure = _column(outcomes, "exposure")
    confirmed = _column(outcomes, "pd_confirmed")
    rapid = _column(outcomes, "rapid_progression") == 1
    died = _levels(outcomes, "pfs_event_kind") == "death"
    best_pd = _levels(outcomes, "best_response") == "PD"

    happened = event == 1
    within = pfs <= rule["months"] if rule["inclusive"] else pfs < rule["months"]
    early = within & happened
    late = ~within
    strict = bool(rule["strict"])
    # death is its own confirmation, and so is rapid growth with clinical deterioration
    asked = bool(rule["confirmation"]) & ~died & ~rapid
    unknown = ~known | not_evaluable
    # under a rule that looks at response, one that is not known leaves the strict rule undecided
    undecided = early & unknown & bool(rule["response_spares"])
    secondary = late & happened & (rule["secondary_months"] is not None)
    long_enough = exposure * 7 / 30.4375 >= (rule["secondary_months"] or 0)
    short = exposure < (rule["exposure_weeks"] or 0)
    excused = rapid & (not rule["response_spares"])  # any exposure, if rapidly progressing
    cases = [
        (np.isnan(pfs) | np.isnan(event), "pfs_missing"),
        (early & died & (_column(outcomes, "cancer_death") == 0), "non_cancer_death"),
        (strict & np.isnan(exposure) & ~excused, "exposure_not_recorded"),
        (strict & short & ~excused, "exposure_too_short"),
        ((pfs < rule["months"]) & ~happened, "censored_before_6_months"),
        (early & responded & bool(rule["response_spares"]), "early_relapse_after_response"),
        (early & asked & (confirmed == 0), "pd_unconfirmed"),
        (early & asked & np.isnan(confirmed), "pd_confirmation_not_recorded"),
        (undecided & strict, "best_response_ne"),
        (undecided, "event_before_6_months_response_unknown"),
        (
            early,
            "event_before_6_months" if rule["response_spares"] else "progression_within_6_months",
        ),
        (late & best_pd & bool(rule["best_response_pd"]), "best_response_pd"),
        (secondary & died, "death_after_6_months"),
        (secondary & asked & (confirmed == 0), "late_progression_unconfirmed"),
        (secondary & np.isnan(exposure), "late_progression_exposure_not_recorded"),
        (secondary & ~long_enough, "late_progression_short_exposure"),
        (secondary, "progression_after_6_months"),
    ]
    conditions, reasons = zip(*cases, strict=True)
    return np.select(conditions, reasons, "six_months_without_event")


def _levels(outcomes: pd.DataFrame, name: str) -> np.ndarray[Any, np.dtype[np.object_]]:
    if name not in outcomes:
        return np.full(len(outcomes), None, dtype=object)
    return outcomes[name].to_numpy(dtype=object)


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

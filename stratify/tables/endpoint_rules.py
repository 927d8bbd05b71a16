"""Endpoint rules and their reasons, as in ``data_schemas/endpoints.yaml`` or a study file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stratify.errors import ArgumentError
from stratify.tables.documents import document

__all__ = ["endpoint_reasons", "endpoint_rule", "endpoint_rules"]


def endpoint_rules() -> dict[str, dict[str, Any]]:
    """Endpoint rules by id, as in ``data_schemas/endpoints.yaml``.

    Examples
    --------
    >>> endpoint_rules()["proxy_pfs6"]["months"]
    6
    """
    return {name: rule for name, rule in document("endpoints").items() if name != "reasons"}


def endpoint_rule(endpoint: str | Mapping[str, Any]) -> dict[str, Any]:
    """Rule by its id, or as a study file defines it from another one.

    Parameters
    ----------
    endpoint : str or mapping
        Rule id; or ``name``, ``based_on`` (rule id), ``version``, ``title``, ``source`` and the
        settings in which it differs (see the head of ``data_schemas/endpoints.yaml``); or a rule
        that this function returned.

    Returns
    -------
    dict
        All settings of the rule, and its ``name``.

    Raises
    ------
    ArgumentError
        If there is no such rule.

    Examples
    --------
    >>> rule = endpoint_rule({"name": "ici_ici", "based_on": "sitc_mono_2020", "version": "0.1",
    ...                       "title": "ICI+ICI", "source": "protocol", "confirmation": False})
    >>> rule["name"], rule["months"], rule["confirmation"], rule["needs"]
    ('ici_ici', 6, False, ['pfs', 'pfs_event', 'best_response'])
    """
    if not isinstance(endpoint, str) and "basis" in endpoint:
        return dict(endpoint)
    rules = endpoint_rules()
    base = endpoint if isinstance(endpoint, str) else endpoint["based_on"]
    if base not in rules:
        raise ArgumentError(f"endpoint {base!r} is not known; there are {', '.join(rules)}.")
    if isinstance(endpoint, str):
        return {**rules[base], "name": endpoint}
    rule = {**rules[base], "target": f"risk of primary resistance ({endpoint['title']})"}
    rule |= {key: value for key, value in endpoint.items() if key != "based_on"}
    asked = {"pd_confirmed": "confirmation", "best_response": "best_response_pd"}
    asked |= {"exposure": "strict"}
    needed = [column for column, setting in asked.items() if rule[setting]]
    return {**rule, "needs": ["pfs", "pfs_event", *needed]}


def endpoint_reasons() -> dict[str, dict[str, str]]:
    """State and meaning of every reason code.

    Examples
    --------
    >>> endpoint_reasons()["non_cancer_death"]["state"]
    'not_evaluable'
    """
    reasons: dict[str, dict[str, str]] = document("endpoints")["reasons"]
    return reasons

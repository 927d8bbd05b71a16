"""What a policy decided, judged against outcomes: who is decided, errors, net benefit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Strings
from stratify.cohort.subgroups import SMALLEST_SUBGROUP, subgroups
from stratify.statistics.intervals import Estimate, mean_interval, wilson
from stratify.statistics.performance import MODEL, PERFORMANCE_COLUMNS
from stratify.study.policy import Policy
from stratify.treatment.threshold import marker_rules

__all__ = ["decision_performance", "decision_statement"]

LEVEL = 0.95
ALL, NONE, LORIS = "combination for all", "monotherapy for all", "LORIS at the same share"


def decision_performance(
    table: pd.DataFrame,
    recommendation: pd.Series,
    policy: Policy,
    *,
    cohort: str,
    split: str,
    loris: Floats | None = None,
) -> pd.DataFrame:
    """Rows of ``performance.csv`` on the recommendations of a policy at baseline.

    ``share_decided``, ``share_measure`` and ``share_refer`` of all patients; ``error_monotherapy``,
    the share of resistant among those given monotherapy, and ``error_combination``, of those not
    resistant among those given the combination, with Wilson intervals, n being those so decided;
    ``net_benefit_gain`` over every rule in `reference`, paired, at the exchange rate of the
    policy, where a referred patient counts as one without the combination. All but the gain in
    subgroups too.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        ``label`` and canonical columns.
    recommendation : Series of shape (n_patients,)
    loris : ndarray of shape (n_patients,), optional
        Published score, NaN where its inputs are missing: as many get the combination by it.

    References
    ----------
    Vickers AJ, Elkin EB. Med Decis Making 2006;26:565-574.

    Examples
    --------
    >>> policy = Policy(name="board", version="1", source="minutes", monotherapy_below=0.4,
    ...                 combination_from=0.7)
    >>> rows = decision_performance(
    ...     pd.DataFrame({"label": [0.0, 1, 1, 0]}),
    ...     pd.Series(["monotherapy", "monotherapy", "combination", "refer"]), policy,
    ...     cohort="ours", split="external")
    >>> rows.set_index("metric")["value"].head(4).to_dict()
    {'share_decided': 0.75, 'share_measure': 0.0, 'share_refer': 0.25, 'error_monotherapy': 0.5}
    """
    label = table["label"].to_numpy(dtype=float)
    given = recommendation.to_numpy(dtype=object)
    if pd.isna(given).all():
        return pd.DataFrame(columns=list(PERFORMANCE_COLUMNS))
    groups = [("all", np.ones(len(label), dtype=bool)), *subgroups(table, label)]
    rows = [
        {"subgroup": name, **row} for name, mask in groups for row in _shares(label, given, mask)
    ]
    rows += [{"subgroup": "all", **row} for row in _gains(table, given, policy, loris)]
    found = pd.DataFrame(rows, columns=list(PERFORMANCE_COLUMNS))
    return found.assign(cohort=cohort, split=split, model=MODEL)


def _row(
    metric: str, found: Estimate, n: int, n_events: float, **more: object
) -> dict[str, object]:
    counts = {"n": n, "n_events": int(n_events)}
    return {"metric": metric, "reference": "", **found._asdict(), **counts, **more}


def _shares(label: Floats, given: Strings, mask: Flags) -> list[dict[str, object]]:
    """Shares decided and referred, and both errors, among the patients marked."""
    y, by = label[mask], given[mask]
    decided = np.isin(by, ["monotherapy", "combination"])
    n = len(y)
    rows = [
        _row("share_decided", wilson(decided.sum(), n, LEVEL), n, y.sum()),
        _row("share_measure", wilson((by == "measure").sum(), n, LEVEL), n, y.sum()),
        _row("share_refer", wilson((by == "refer").sum(), n, LEVEL), n, y.sum()),
    ]
    for arm, wrong in (("monotherapy", 1.0), ("combination", 0.0)):
        own = y[by == arm]
        error = wilson((own == wrong).sum(), len(own), LEVEL)
        rows.append(_row(f"error_{arm}", error, len(own), own.sum()))
    return rows


def _gains(
    table: pd.DataFrame, given: Strings, policy: Policy, loris: Floats | None
) -> list[dict[str, object]]:
    """Net benefit of the policy minus that of every rule, where the rule is known."""
    rate = policy.exchange_rate
    if rate is None:
        return []
    label = table["label"].to_numpy(dtype=float)
    n, both = len(label), (given == "combination").astype(float)
    gain = np.where(label == 1, 1.0, -rate / (1 - rate))
    rules: dict[str, Floats] = {ALL: np.ones(n), NONE: np.zeros(n), **marker_rules(table)}
    if loris is not None and (known := ~np.isnan(loris)).any():
        cut = np.quantile(loris[known], 1 - both[known].mean())
        rules[LORIS] = np.where(known, (loris >= cut) & bool(both.any()), np.nan).astype(float)
    rows = []
    for name, rule in rules.items():
        known = ~np.isnan(rule)
        difference = mean_interval(((both - rule) * gain)[known], LEVEL)
        counts = int(known.sum()), label[known].sum()
        rows.append(_row("net_benefit_gain", difference, *counts, reference=name, threshold=rate))
    return rows


def decision_statement(performance: pd.DataFrame, bounds: Mapping[str, float]) -> str:
    """Say of each judged cohort who was decided and how often wrongly, and of which subgroups.

    Examples
    --------
    >>> rows = [("share_decided", 0.75, 0.7, 0.8, 400), ("error_monotherapy", 0.3, 0.2, 0.4, 80),
    ...         ("error_combination", 0.2, 0.15, 0.26, 220)]
    >>> table = pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n"])
    >>> table = table.assign(cohort="ours", split="external", subgroup="all")
    >>> decision_statement(table, {"monotherapy": 0.4, "combination": 0.25})
    'ours (external, n = 400): 75 % decided (70 to 80); resistant among the 80 given monotherapy
    30 % (20 to 40), at most 40 % borne; not resistant among the 220 given the combination 20 % (15
    to 26), at most 25 % borne. In none of 0 subgroups of at least 20 patients so treated does the
    interval of the error lie above the bound.'
    """
    words = {
        "error_monotherapy": "resistant among the {n:g} given monotherapy",
        "error_combination": "not resistant among the {n:g} given the combination",
    }
    sentences = []
    rows = performance[performance["subgroup"] == "all"]
    for (cohort, split), part in rows.groupby(["cohort", "split"], sort=False):
        found = {row["metric"]: row for row in part.to_dict("records")}
        if (share := found.get("share_decided")) is None:
            continue
        said = [f"{_percent(share)[0]} % decided ({_percent(share)[1]})"]
        for metric, text in words.items():
            row, bound = found[metric], bounds.get(metric.removeprefix("error_"))
            if not row["n"]:
                continue
            value, limits = _percent(row)
            kept = "" if bound is None else f", at most {100 * bound:g} % borne"
            said.append(f"{text.format(n=row['n'])} {value} % ({limits}){kept}")
        sentences.append(f"{cohort} ({split}, n = {share['n']:g}): {'; '.join(said)}.")
    if sentences and bounds:
        sentences.append(_subgroups_above(performance, bounds))
    return " ".join(sentences)


def _subgroups_above(performance: pd.DataFrame, bounds: Mapping[str, float]) -> str:
    """Name the subgroups whose whole interval of an error lies above its bound."""
    rows = performance[performance["metric"].str.startswith("error_")]
    rows = rows[(rows["subgroup"] != "all") & (rows["n"] >= SMALLEST_SUBGROUP)]
    bound = rows["metric"].str.removeprefix("error_").map(bounds).astype(float)
    above = [
        f"{row['subgroup']} ({row['cohort']}, {row['split']}): {_percent(row)[0]} % "
        f"({_percent(row)[1]}) of the {row['n']:g} given {row['metric'].removeprefix('error_')}"
        for row in rows[rows["low"] > bound].to_dict("records")
    ]
    if above:
        return f"Errors above the bound in subgroups: {'; '.join(above)}."
    return (
        f"In none of {len(rows)} subgroups of at least {SMALLEST_SUBGROUP} patients so treated "
        "does the interval of the error lie above the bound."
    )


def _percent(row: Mapping[Hashable, Any]) -> tuple[str, str]:
    value, low, high = (f"{100 * row[name]:.0f}" for name in ("value", "low", "high"))
    return value, f"{low} to {high}"

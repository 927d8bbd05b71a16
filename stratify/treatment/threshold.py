"""Choosing a threshold of the risk: net benefit against simple rules, and guaranteed error rates.

To be used on patients who neither trained nor calibrated the model. A threshold with a guarantee
may not exist; then that is the answer. Conventions of arguments and errors:
:mod:`stratify.statistics.discrimination`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stratify.arrays import Floats
from stratify.errors import ArgumentError
from stratify.statistics.checks import checked
from stratify.statistics.intervals import mean_interval
from stratify.statistics.performance import decision_curve
from stratify.tables.bounds import reaches
from stratify.treatment.guarantee import GuaranteedThreshold, RiskCuts, Side

__all__ = [
    "GuaranteedThreshold",
    "controlled_misses",
    "controlled_threshold",
    "marker_rules",
    "net_benefit_table",
]

GRID = tuple(round(0.02 * k, 2) for k in range(1, 50))
NAMES = {"flag_all": "combination for all", "flag_none": "monotherapy for all"}


def marker_rules(table: pd.DataFrame) -> dict[str, Floats]:
    """Rules on one marker that a risk has to beat, as far as measured: 1 is combination.

    PD-L1 TPS below 50 % and TMB below 10 mut/Mb speak for combination; NaN where not measured, and
    where an interval (``>=1``) spans the limit.

    Examples
    --------
    >>> marker_rules(pd.DataFrame({"pdl1_tps": [60.0, 10.0, None]}))["PD-L1 below 50 %"].tolist()
    [0.0, 1.0, nan]
    """
    limits = {"PD-L1 below 50 %": ("pdl1_tps", 50.0), "TMB below 10": ("tmb", 10.0)}
    rules = {}
    for name, (marker, limit) in limits.items():
        if marker in table and table[marker].notna().any():
            rules[name] = 1 - reaches(table, marker, limit)
    return rules


def net_benefit_table(
    y: ArrayLike,
    risk: ArrayLike,
    *,
    rules: Mapping[str, ArrayLike] | None = None,
    thresholds: Sequence[float],
    level: float = 0.95,
) -> pd.DataFrame:
    """Net benefit of choosing by the risk, minus that of every other rule, over a stated range.

    Parameters
    ----------
    y, risk : array_like of shape (n_patients,)
        Resistance under monotherapy, and its predicted risk.
    rules : mapping of name to array_like of shape (n_patients,), optional
        1 where the rule gives the combination, 0 monotherapy, NaN not measured: such patients are
        left out of the comparison with this rule. See :func:`marker_rules`.

    References
    ----------
    Vickers AJ, Elkin EB. Med Decis Making 2006;26:565-574.

    Examples
    --------
    >>> table = net_benefit_table([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], thresholds=[0.5])
    >>> table[["rule", "against", "value"]].values.tolist()
    [['risk', '', 0.25], ['combination for all', '', 0.0], ['monotherapy for all', '', 0.0],
     ['risk', 'combination for all', 0.25], ['risk', 'monotherapy for all', 0.25]]
    """
    truth, risks = checked(("y", y, "binary"), ("risk", risk, "probability"))
    if not thresholds or not all(0 < t < 1 for t in thresholds):
        raise ArgumentError("thresholds are risks above 0 and below 1; at least one is expected.")
    if list(thresholds) != sorted(thresholds):
        raise ArgumentError(f"thresholds are {list(thresholds)}; rising ones are expected.")
    curve = decision_curve(truth, {"risk": risks}, list(thresholds), level)
    rows: list[tuple[object, ...]] = [
        (NAMES.get(r["model"], r["model"]), r["threshold"], "", r["net_benefit"], r["low"],
         r["high"], r["n"])
        for r in curve.to_dict("records")
    ]  # fmt: skip
    n = truth.size
    others: dict[str, Floats] = {NAMES["flag_all"]: np.ones(n), NAMES["flag_none"]: np.zeros(n)}
    others |= {name: np.asarray(rule, dtype=float) for name, rule in (rules or {}).items()}
    for name, rule in others.items():
        known = ~np.isnan(rule)
        for t in thresholds:
            gain = np.where(truth == 1, 1.0, -t / (1 - t))[known]
            own = np.where(risks[known] >= t, gain, 0.0)
            its = np.where(rule[known] == 1, gain, 0.0)
            if name not in NAMES.values():
                value = mean_interval(its, level)
                rows.append((name, t, "", *value, int(known.sum())))
            paired = mean_interval(own - its, level)
            rows.append(("risk", t, name, *paired, int(known.sum())))
    columns = ["rule", "threshold", "against", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def controlled_threshold(
    y: ArrayLike,
    risk: ArrayLike,
    *,
    error_rate: float,
    confidence: float = 0.9,
    side: Side = "monotherapy",
) -> GuaranteedThreshold:
    """Threshold beyond which most are decided with few errors, guaranteed; or that none exists.

    Thresholds and their order: :mod:`stratify.treatment.guarantee`. With the stated confidence
    over calibration cohorts like this one, at most `error_rate` of new patients beyond the
    threshold are wrongly treated.

    Parameters
    ----------
    y, risk : array_like of shape (n_patients,)
        Patients who neither trained nor calibrated the model.
    error_rate : float
        Share of errors that is borne, 0 to 1: of resistant patients among those given monotherapy
        below the threshold, or of those not resistant given the combination from it on.
    side : {"monotherapy", "combination"}

    Examples
    --------
    >>> risk = np.linspace(0.01, 0.99, 200)
    >>> found = controlled_threshold(risk > 0.5, risk, error_rate=0.1)
    >>> found.threshold, round(found.error, 3)
    (0.527, 0.048)
    >>> controlled_threshold(risk > 0.5, risk, error_rate=0.1, side="combination").threshold
    0.4778
    >>> controlled_threshold(np.ones(200), risk, error_rate=0.1).statement
    'No threshold guarantees at most 10 % resistant patients among those given monotherapy (200
    patients, confidence 90 %). A model that separates better is needed: of the 25 with the
    lowest risks 100 % are resistant.'
    """
    _check_rate("error_rate", error_rate)
    _check_rate("confidence", confidence)
    cuts = RiskCuts.of(y, risk)
    passed = cuts.passed(side, error_rate, confidence)
    return cuts.guaranteed(side, error_rate, confidence, passed[-1] if passed.size else None)


def controlled_misses(
    y: ArrayLike, risk: ArrayLike, *, miss_rate: float, grid: Sequence[float] = GRID
) -> GuaranteedThreshold:
    """Greatest threshold at which the expected share of all who are resistant and missed is small.

    Conformal risk control: the expected share of new patients who are resistant and lie below the
    threshold is at most `miss_rate`, on average over calibration cohorts, without assumptions
    but that patients are exchangeable.

    Parameters
    ----------
    y, risk : array_like of shape (n_patients,)
    miss_rate : float
        Share of all patients, 0 to 1.

    References
    ----------
    Angelopoulos AN, Bates S, Fisch A, Lei L, Schuster T. Conformal risk control. ICLR 2024
    (arXiv 2208.02814).

    Examples
    --------
    >>> risk = np.linspace(0.01, 0.99, 199)
    >>> controlled_misses(risk > 0.5, risk, miss_rate=0.05).threshold
    0.54
    >>> controlled_misses([1, 1], [0.1, 0.2], miss_rate=0.05).threshold is None
    True
    """
    truth, risks = checked(("y", y, "binary"), ("risk", risk, "probability"))
    _check_rate("miss_rate", miss_rate)
    n = truth.size
    best = None
    for t in sorted(grid):  # losses rise with the threshold
        loss = float((truth * (risks < t)).sum())
        if (loss + 1) / (n + 1) > miss_rate:
            break
        best = t
    words = (
        f"an expected share of at most {100 * miss_rate:g} % resistant and missed ({n} patients)"
    )
    return _guaranteed(best, truth, risks, words)


def _guaranteed(
    best: float | None, truth: Floats, risks: Floats, words: str
) -> GuaranteedThreshold:
    if best is None:
        return GuaranteedThreshold(None, 0.0, np.nan, f"No threshold guarantees {words}.")
    below = risks < best
    return GuaranteedThreshold(
        best,
        float(below.mean()),
        float(truth[below].mean()) if below.any() else np.nan,
        f"Below {best:g}, {words}: {100 * below.mean():.0f} % of the patients.",
    )


def _check_rate(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ArgumentError(f"{name} is {value}; a share above 0 and below 1 is expected.")

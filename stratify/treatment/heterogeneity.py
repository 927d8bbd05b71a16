"""Whether the effect differs between patients, and whether with a score.

All tests are made on doubly robust scores, so on differences (months, share of patients), the
scale on which a patient decides. For a time the ratio of hazard ratios is given too.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints
from stratify.errors import ArgumentError
from stratify.statistics.intervals import (
    UNDEFINED,
    Estimate,
    normal_quantile,
    standard_error,
    wald,
)

__all__ = [
    "ALPHA",
    "best_linear_predictor",
    "centred",
    "effect_by_score",
    "interaction",
    "ratio_of_hazard_ratios",
    "targeting",
    "targeting_curve",
]


ALPHA = 0.05  # of tests whether effects differ

HALF_SAMPLES = 400
STEPS = 20  # shares at which the targeting curve is drawn


def interaction(effect: Floats, score: Floats, level: float = 0.95) -> tuple[Estimate, float]:
    """Change of the effect for one standard deviation of a score, and its two-sided p.

    Parameters
    ----------
    effect : ndarray of shape (n_patients,)
        Doubly robust effect of each patient, :attr:`Scores.effect`.
    score : ndarray of shape (n_patients,)
        Frozen, or cross-fitted.

    References
    ----------
    Semenova V, Chernozhukov V. Econom J 2021;24:264-289. MacKinnon JG, White H. J Econom 1985.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> score = rng.normal(size=500)
    >>> slope, p = interaction(1 + 2 * score + rng.normal(size=500), score)
    >>> round(slope.value, 1), p < 0.001
    (2.0, True)
    """
    spread = float(np.std(score))
    if not spread > 0:
        raise ArgumentError("The score is the same for all; a score that differs is expected.")
    z = (score - score.mean()) / spread
    return _slope(effect, z, level)


def _slope(effect: Floats, z: Floats, level: float) -> tuple[Estimate, float]:
    """Least-squares slope with an HC3 interval and two-sided p."""
    from statsmodels.api import OLS, add_constant

    fit = OLS(effect, add_constant(z)).fit(cov_type="HC3")
    error = float(fit.bse[1])
    return wald(fit.params[1], error, level), float(fit.pvalues[1]) if error > 0 else 1.0


def best_linear_predictor(
    effect: Floats, predicted: Floats, fold: Ints, level: float = 0.95
) -> tuple[Estimate, float]:
    """Slope of the effect on its cross-fitted prediction, and one-sided p that it is above 0.

    1 where predictions are right, 0 where they say nothing or where effects do not differ.
    Predictions are centred in each fold, since folds have models of their own.

    References
    ----------
    Chernozhukov V, Demirer M, Duflo E, Fernandez-Val I. NBER 24678, 2018 (heterogeneity test).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth, fold = rng.normal(size=500), np.arange(500) % 5
    >>> slope, p = best_linear_predictor(truth + rng.normal(size=500), truth, fold)
    >>> 0.8 < slope.value < 1.2, p < 0.001
    (True, True)
    """
    from scipy.stats import norm

    spread = centred(predicted, fold)
    if not np.std(spread) > 1e-12:
        return UNDEFINED, 1.0
    slope, _ = _slope(effect, spread, level)
    error = (slope.high - slope.low) / (2 * normal_quantile(level))
    return slope, float(norm.sf(slope.value / error)) if error > 0 else 1.0


def centred(values: Floats, fold: Ints) -> Floats:
    """Predictions less their mean in the fold, since folds have models of their own."""
    return np.asarray(values - pd.Series(values).groupby(fold).transform("mean").to_numpy())


def ratio_of_hazard_ratios(
    time: Floats,
    event: Floats,
    treated: Flags,
    score: Floats,
    stratum: Ints | None = None,
    level: float = 0.95,
) -> tuple[Estimate, float]:
    """Ratio of the treatment's hazard ratios for one standard deviation more of a score's ranks.

    Cox model, stratified, with treatment, normal scores of the ranks and their product, ties after
    Efron, with sandwich errors: so the test keeps its level where the score is skewed or acts
    otherwise than linearly. Below 1 the alternative does relatively better at higher scores.
    Proportional hazards are not checked.

    References
    ----------
    Cox DR. J R Stat Soc B 1972;34:187-220. Lin DY, Wei LJ. J Am Stat Assoc 1989;84:1074-1078.
    """
    from scipy.special import ndtri
    from scipy.stats import norm, rankdata
    from statsmodels.duration.hazard_regression import PHReg

    z = ndtri((rankdata(score) - 0.5) / len(score))
    arm = treated.astype(float)
    model = PHReg(time, np.column_stack([arm, z, arm * z]), status=event, strata=stratum,
                  ties="efron")  # fmt: skip
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            fit = model.fit(disp=0, groups=np.arange(len(z)))  # sandwich, each patient a group
        except np.linalg.LinAlgError:
            return UNDEFINED, 1.0
    log_ratio, error = float(fit.params[2]), float(fit.bse[2])
    if not (abs(log_ratio) < 15 and error < 100):
        return UNDEFINED, 1.0
    ratio = Estimate(*map(float, np.exp(wald(log_ratio, error, level))))
    return ratio, float(2 * norm.sf(abs(log_ratio) / error))


def effect_by_score(
    effect: Floats, score: Floats, *, window: float = 0.3, steps: int = 15, level: float = 0.95
) -> pd.DataFrame:
    """Average effect in overlapping windows along the score (as a STEPP curve).

    Returns
    -------
    DataFrame
        rank (middle of the window, 0 to 1), score (its median), value, low, high, n. The
        intervals are of each window, not of the curve.

    References
    ----------
    Bonetti M, Gelber RD. Stat Med 2000;19:2595-2609.

    Examples
    --------
    >>> curve = effect_by_score(np.arange(100.0), np.arange(100.0), window=0.5, steps=3)
    >>> curve["value"].tolist()
    [24.5, 49.5, 74.5]
    """
    order = np.argsort(score, kind="stable")
    shared = _shared(effect, score)
    n = len(order)
    size = max(2, round(window * n))
    rows = []
    for start in np.linspace(0, n - size, steps).round().astype(int):
        near = order[start : start + size]
        mean = wald(shared[near].mean(), standard_error(effect[near]), level)
        rows.append(((start + size / 2) / n, float(np.median(score[near])), *mean, size))
    return pd.DataFrame(rows, columns=["rank", "score", "value", "low", "high", "n"])


def _counts(n: int) -> tuple[Floats, Ints]:
    """Shares of the patients treated first, and how many they are."""
    shares = np.arange(1, STEPS + 1) / STEPS
    return shares, np.maximum(1, (shares * n).round().astype(int))


def targeting_curve(effect: Floats, priority: Floats) -> pd.DataFrame:
    """Average effect among the share treated first minus that of all, by the share (TOC).

    Columns share, value, gain; ``gain`` is value times share (Qini): what treating that share
    first adds, a patient, to treating as many at random.
    """
    ranked = _shared(effect, priority)[np.argsort(-priority, kind="stable")]
    shares, counts = _counts(len(ranked))
    means = np.cumsum(ranked)[counts - 1] / counts - ranked.mean()
    return pd.DataFrame({"share": shares, "value": means, "gain": means * shares})


def targeting(
    effect: Floats, priority: Floats, *, level: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """Area under the targeting curve (``autoc``) and its Qini form, with intervals.

    They are the mean of ``value`` and of ``gain`` of :func:`targeting_curve` over its shares; 0
    where the priority ranks at random. Standard errors by half-samples.

    References
    ----------
    Yadlowsky S, Fleming S, Shah N, Brunskill E, Wager S. J Am Stat Assoc 2025;120:38-51
    (arXiv 2111.07966). Radcliffe N. Direct Marketing Analytics J 2007 (Qini).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> priority = rng.normal(size=500)
    >>> found = targeting(priority + rng.normal(size=500), priority)
    >>> found["autoc"].low > 0, found["qini"].low > 0
    (True, True)
    """
    ranked = _shared(effect, priority)[np.argsort(-priority, kind="stable")]
    n = len(ranked)
    halves = np.random.default_rng(seed)
    weights = {"autoc": _autoc, "qini": _qini}
    half = n // 2
    drawn = [np.sort(halves.permutation(n)[:half]) for _ in range(HALF_SAMPLES)]
    found = {}
    for name, weigh in weights.items():
        value = float(weigh(n) @ ranked)
        w = weigh(half)
        error = float(np.std([w @ ranked[rows] for rows in drawn], ddof=1))
        found[name] = wald(value, error, level)
    return found


def _shared(effect: Floats, score: Floats) -> Floats:
    """Give patients of the same score their mean effect, so that their order does not matter."""
    return np.asarray(pd.Series(effect).groupby(score).transform("mean").to_numpy())


def _autoc(n: int) -> Floats:
    return _area(n, np.ones(STEPS))


def _qini(n: int) -> Floats:
    return _area(n, _counts(n)[0])


def _area(n: int, heights: Floats) -> Floats:
    """Weight of each patient, in the order of treatment, in the area under the curve as drawn."""
    _, counts = _counts(n)
    first = np.arange(n)[:, None] < counts
    weights: Floats = ((first / counts - 1 / n) * heights).mean(axis=1)
    return weights

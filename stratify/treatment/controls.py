"""What could mislead an effect analysis: chance, and confounders that nobody recorded.

Where treatment is permuted no rule can be better than another: an analysis that then finds one
finds it elsewhere too. Where patients were not randomised, the E-value says how strong a confounder
that is not recorded would have to be to explain the effect.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.statistics.intervals import Estimate
from stratify.treatment.doubly_robust import doubly_robust_scores, folds_of, value_table
from stratify.treatment.heterogeneity import ALPHA, best_linear_predictor
from stratify.treatment.learners import TESTED, Encoded, learn_in_turn, turns_of

__all__ = ["chance_findings", "e_value", "permuted_treatment"]

_TREE, _ALL, _NONE = "policy tree", "alternative for all", "reference for all"
# Findings among 20 permutations that chance alone gives in fewer than one analysis of a hundred.
_RARE = 0.01


def permuted_treatment(
    matrices: Callable[[npt.NDArray[np.intp]], Encoded],
    treated: Flags,
    outcome: Floats,
    *,
    times: int,
    depth: int = 2,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Analyse with the treatment permuted among patients: a negative control.

    Parameters
    ----------
    matrices, depth
        As for :func:`stratify.treatment.learners.learn_in_turn`.
    treated, outcome : ndarray of shape (n_patients,)
    times : int
        Permutations.
    seed : int
    progress : callable
        Called with the name of each permutation.

    Returns
    -------
    DataFrame of shape (times, 6)
        permutation, p (of heterogeneity, DR-learner judged in turn), and the learned rule minus
        the better of both treatments for all: gain, gain_low, gain_high; better (than both).

    References
    ----------
    Lipsitch M, Tchetgen Tchetgen E, Cohen T. Epidemiology 2010;21:383-388.
    """
    rng = np.random.default_rng(seed)
    everybody = np.arange(len(treated))
    share = np.full(len(treated), treated.mean())
    rows = []
    for k in range(times):
        progress(f"treatment permuted, {k + 1} of {times}")
        drawn = rng.permutation(treated)
        turn = turns_of(drawn, seed + k)
        found = learn_in_turn(
            matrices, drawn, outcome, share, turn,
            learners=[TESTED], depth=depth, seed=seed + k,
        )  # fmt: skip
        X, *_ = matrices(everybody)
        scores = doubly_robust_scores(X, drawn, outcome, share, fold=folds_of(drawn, seed + k))
        judged = np.flatnonzero(found.judged)
        inner = scores.take(judged)
        _, p = best_linear_predictor(inner.effect, found.effects[TESTED][judged], turn[judged])
        n = len(judged)
        values = value_table(
            inner, {_TREE: found.treats[judged], _ALL: np.ones(n), _NONE: np.zeros(n)}
        )
        against = values[(values["rule"] == _TREE) & (values["against"] != "")]
        least = int(np.argmin(against["value"].to_numpy()))
        gain = against[["value", "low", "high"]].to_numpy(dtype=float)[least]
        rows.append((k + 1, p, *gain, bool((against["low"] > 0).all())))
    columns = ["permutation", "p", "gain", "gain_low", "gain_high", "better"]
    return pd.DataFrame(rows, columns=columns)


def chance_findings(control: pd.DataFrame) -> tuple[int, int, bool]:
    """Permutations with heterogeneity, with a better rule, and whether these are too many.

    Examples
    --------
    >>> control = pd.DataFrame({"p": [0.01, 0.4, 0.6, 0.9], "better": [False] * 4})
    >>> chance_findings(control)
    (1, 0, False)
    """
    from scipy.stats import binom

    found, better = int((control["p"] < ALPHA).sum()), int(control["better"].sum())
    rare = binom.sf(max(found, better) - 1, len(control), ALPHA) < _RARE
    return found, better, bool(rare)


def e_value(
    effect: Estimate, spread: float | None = None, reference: float | None = None
) -> tuple[float, float]:
    """Return the E-value of an effect and of the end of its interval that is nearer to none.

    Parameters
    ----------
    effect : Estimate
        Difference, alternative minus reference.
    spread : float, optional
        Standard deviation of a time: the difference is turned into a risk ratio by
        exp(0.91 x difference / spread).
    reference : float, optional
        Share under the reference, in place of `spread`: the ratio of the shares is taken.

    Returns
    -------
    (float, float)
        Risk ratio that a confounder would need with both treatment and outcome, beyond what is
        recorded, to explain the effect; and for the interval to include none. 1 where it does.

    References
    ----------
    VanderWeele TJ, Ding P. Ann Intern Med 2017;167:268-274.

    Examples
    --------
    >>> [round(x, 2) for x in e_value(Estimate(0.20, 0.10, 0.30), reference=0.20)]
    [3.41, 2.37]
    >>> [round(x, 2) for x in e_value(Estimate(1.0, -0.2, 2.2), spread=4.0)]
    [1.82, 1.0]
    """

    def ratio(difference: float) -> float:
        if reference is not None:
            return (reference + difference) / reference if reference > 0 else np.nan
        return float(np.exp(0.91 * difference / spread)) if spread else np.nan

    def needed(risk_ratio: float) -> float:
        if not risk_ratio > 0:
            return float("nan")
        above = max(risk_ratio, 1 / risk_ratio)
        return float(above + np.sqrt(above * (above - 1)))

    if effect.low <= 0 <= effect.high:
        return needed(ratio(effect.value)), 1.0
    return needed(ratio(effect.value)), needed(ratio(min(effect.low, effect.high, key=abs)))

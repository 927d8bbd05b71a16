"""What could mislead an effect analysis: chance, and confounders that nobody recorded.

Where treatment is permuted no rule can be better than another: an analysis that then finds one
finds it elsewhere too. Where patients were not randomised, the E-value says how strong a confounder
that is not recorded would have to be to explain the effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from stratify.statistics.intervals import Estimate
from stratify.treatment.arms import Arms
from stratify.treatment.design_check import shares_by_stratum
from stratify.treatment.doubly_robust import value_table
from stratify.treatment.estimation import ScoredOutcome, estimate_effects
from stratify.treatment.heterogeneity import ALPHA
from stratify.treatment.learners import TESTED
from stratify.treatment.outcomes import MEASURES

__all__ = ["chance_findings", "e_value", "permuted_treatment", "unrecorded_confounding"]

_TREE, _ALL, _NONE = "policy tree", "alternative for all", "reference for all"
# Findings among 20 permutations that chance alone gives in fewer than one analysis of a hundred.
_RARE = 0.01


def permuted_treatment(
    arms: Arms, *, seed: int = 0, progress: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """Analyse the primary outcome with the treatment permuted within strata: a negative control.

    Returns
    -------
    DataFrame of shape (n_permutations, 6)
        permutation, p (of heterogeneity, DR-learner judged in turn), and the learned rule minus
        the better of both treatments for all: gain, gain_low, gain_high; better (than both).

    References
    ----------
    Lipsitch M, Tchetgen Tchetgen E, Cohen T. Epidemiology 2010;21:383-388.
    """
    rng, times = np.random.default_rng(seed), arms.estimand.permutations
    share = shares_by_stratum(arms)
    drawn_at_random = replace(
        arms,
        estimand=arms.estimand.model_copy(update={"assignment": "randomised"}),
        outcomes={arms.primary: arms.outcomes[arms.primary]},
    )
    rows = []
    for k in range(times):
        progress(f"treatment permuted, {k + 1} of {times}")
        treated = arms.treated.copy()
        for stratum in range(len(arms.strata)):
            mine = arms.stratum == stratum
            treated[mine] = rng.permutation(treated[mine])
        drawn = replace(drawn_at_random, treated=treated)
        found = estimate_effects(drawn, share, seed=seed + k)
        n, treats = len(found.judged), found.in_turn.treats[found.judged]
        rules = {_TREE: treats, _ALL: np.ones(n), _NONE: np.zeros(n)}
        values = value_table(found.scores.take(found.judged), rules)
        against = values[(values["rule"] == _TREE) & (values["against"] != "")]
        least = int(np.argmin(against["value"].to_numpy()))
        gain = against[["value", "low", "high"]].to_numpy(dtype=float)[least]
        _, p = found.slope(TESTED)
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
    reference : float, optional
        Share under the reference, in place of `spread`: the ratio of the shares is taken.

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


def unrecorded_confounding(outcomes: Iterable[ScoredOutcome]) -> pd.DataFrame:
    """Tabulate E-values of the average effects: outcome, e_value, e_value_limit, n."""
    rows = []
    for each in outcomes:
        scale = MEASURES[each.name].scale(each.values, each.scores.reference)
        found = e_value(each.scores.average_effect(), **scale)
        rows.append((each.name, *found, len(each.values)))
    return pd.DataFrame(rows, columns=["outcome", "e_value", "e_value_limit", "n"])

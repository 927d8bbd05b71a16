"""Tables of an effect of treatment, each with its columns."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

__all__ = ["EffectTables"]


@dataclass(frozen=True, eq=False)
class EffectTables:
    """Tables of an effect that was estimated; None for those that were not asked for.

    Attributes
    ----------
    effects : DataFrame
        See :func:`stratify.treatment.average_effect.average_effects`.
    heterogeneity : DataFrame
        learner, tested, slope (of the effect on its prediction), slope_low, slope_high, p, autoc
        and qini with their limits.
    targeting : DataFrame
        share, value, gain, ranked_by (learner or score).
    benefit : DataFrame
        fifth (of the prediction), predicted, value, low, high, n.
    values : DataFrame
        See :func:`stratify.treatment.doubly_robust.value_table`; and patients (``all | judged in
        turn``).
    interaction, score_by_arm, by_score : DataFrame or None
        With a score: see :class:`stratify.treatment.average_effect.ByScore`.
    control : DataFrame or None
        See :func:`stratify.treatment.controls.permuted_treatment`.
    unrecorded : DataFrame or None
        Without randomisation: outcome, e_value, e_value_limit, n.
    harms, trade_off : DataFrame or None
        See :func:`stratify.treatment.harm.harm_tables`.
    """

    effects: pd.DataFrame
    heterogeneity: pd.DataFrame
    targeting: pd.DataFrame
    benefit: pd.DataFrame
    values: pd.DataFrame
    interaction: pd.DataFrame | None = None
    score_by_arm: pd.DataFrame | None = None
    by_score: pd.DataFrame | None = None
    control: pd.DataFrame | None = None
    unrecorded: pd.DataFrame | None = None
    harms: pd.DataFrame | None = None
    trade_off: pd.DataFrame | None = None

    def made(self) -> dict[str, pd.DataFrame]:
        """Tables that there are, by name."""
        return {name: table for name, table in vars(self).items() if table is not None}

    @property
    def heterogeneity_p(self) -> float:
        """P value of the test of heterogeneity."""
        return float(self.heterogeneity.loc[self.heterogeneity["tested"], "p"].iloc[0])

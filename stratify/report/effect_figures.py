"""Figures of a treatment-effect analysis: each a plot of result tables, and one object.

Conventions as in :mod:`stratify.report.figures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from stratify.report.figures import COLOURS, GREY, estimate, need, new_figure, styled, wrapped
from stratify.report.page_figure import Drawn, PageFigure, Picture, page_figure, pictures
from stratify.report.response_figures import kaplan_meier
from stratify.report.text import EFFECT, FIGURES
from stratify.study.estimand import OUTCOMES
from stratify.treatment.effect import EffectAnalysis
from stratify.treatment.learners import LEARNERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "benefit_calibration",
    "effect_along_score",
    "effect_figures",
    "love_plot",
    "outcome_words",
    "rule_values",
    "targeting_curves",
    "trade_off",
]

_SHOWN = 25  # covariates in a love plot


@styled
def love_plot(balance: pd.DataFrame, *, title: str, weighted: bool = True) -> Figure:
    """Standardised differences of the arms before and after weighting, largest at the top.

    Examples
    --------
    >>> balance = pd.DataFrame({"covariate": ["age", "ecog"], "weighted": [0.01, 0.0],
    ...                         "standardised_difference": [0.3, -0.1]})
    >>> love_plot(balance, title="Trial A").axes[0].get_yticklabels()[0].get_text()
    'age'
    """
    need(balance, "balance", ["covariate", "standardised_difference", "weighted"])
    rows = balance.reindex(
        balance["standardised_difference"].abs().sort_values(ascending=False, kind="stable").index
    )
    if len(rows) > _SHOWN:
        title = FIGURES["largest"].format(title=title, shown=_SHOWN, of=len(rows))
        rows = rows.head(_SHOWN)
    figure, (ax,) = new_figure(title, 2.2 + 0.26 * len(rows))
    at = np.arange(len(rows))
    ax.axvspan(-0.1, 0.1, color="#EFEFEF", zorder=0)
    ax.axvline(0, color=GREY, linewidth=1, zorder=0)
    ax.plot(
        rows["standardised_difference"], at, "o", color=COLOURS[1], label=FIGURES["as_observed"]
    )
    if weighted:
        ax.plot(
            rows["weighted"],
            at,
            "s",
            color=COLOURS[0],
            mfc="white",
            label=FIGURES["after_weighting"],
        )
    names = [wrapped(str(name).replace("_", " "), 34) for name in rows["covariate"]]
    ax.set_yticks(at, names)
    ax.invert_yaxis()
    widest = float(np.nanmax(np.abs(rows[["standardised_difference", "weighted"]].to_numpy())))
    ax.set_xlim(-max(0.3, 1.1 * widest), max(0.3, 1.1 * widest))
    ax.set_xlabel(FIGURES["difference_arms"])
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@styled
def effect_along_score(
    curve: pd.DataFrame, *, title: str, unit: str, names: tuple[str, str]
) -> Figure:
    """Average effect in overlapping windows along a score, with pointwise intervals.

    Parameters
    ----------
    curve : DataFrame
        Columns rank (0 to 1), value, low, high: as from
        :func:`stratify.treatment.heterogeneity.effect_by_score`.

    Examples
    --------
    >>> curve = pd.DataFrame({"rank": [0.2, 0.8], "value": [1.0, 2.0], "low": 0.0, "high": 3.0})
    >>> figure = effect_along_score(curve, title="A", unit="months", names=("new", "old"))
    """
    need(curve, "curve", ["rank", "value", "low", "high"])
    figure, (ax,) = new_figure(title, 3.8)
    scale = 100 if unit == "share" else 1
    ax.fill_between(curve["rank"], scale * curve["low"], scale * curve["high"], color=COLOURS[0],
                    alpha=0.2, lw=0)  # fmt: skip
    ax.plot(curve["rank"], scale * curve["value"], color=COLOURS[0], marker="o", markersize=4)
    ax.axhline(0, color=GREY, linewidth=1)
    ax.set(xlim=(0, 1), xlabel=FIGURES["by_score"])
    words = FIGURES["percentage_points"] if unit == "share" else unit
    label = FIGURES["effect"].format(unit=words, alternative=names[0], reference=names[1])
    ax.set_ylabel(wrapped(label, 44))
    return figure


@styled
def targeting_curves(curves: pd.DataFrame, *, title: str, unit: str) -> Figure:
    """Effect among the share treated first minus that of all, by what ranks the patients.

    Parameters
    ----------
    curves : DataFrame
        Columns ranked_by, share, value.

    Examples
    --------
    >>> curves = pd.DataFrame({"ranked_by": "risk", "share": [0.5, 1.0], "value": [0.4, 0.0]})
    >>> figure = targeting_curves(curves, title="A", unit="months")
    """
    need(curves, "curves", ["ranked_by", "share", "value"])
    figure, (ax,) = new_figure(title, 4.0)
    looks = ["-", "--", "-.", ":", (0, (6, 1, 1, 1))]
    scale = 100 if unit == "share" else 1
    for i, (name, rows) in enumerate(curves.groupby("ranked_by", sort=False)):
        ax.plot(rows["share"], scale * rows["value"], color=COLOURS[i % 7],
                linestyle=looks[i % 5], label=wrapped(str(name).replace("_", " "), 40))  # fmt: skip
    ax.axhline(0, color=GREY, linewidth=1)
    ax.set(xlim=(0, 1.02), xlabel=FIGURES["treated_first"])
    ax.set_ylabel(FIGURES["above_average"].format(_words(unit)))
    figure.legend(loc="outside lower center", ncols=2, title=FIGURES["ranked_by"])
    return figure


@styled
def benefit_calibration(benefit: pd.DataFrame, *, title: str, unit: str) -> Figure:
    """Observed effect by fifths of the predicted one.

    Examples
    --------
    >>> benefit = pd.DataFrame({"predicted": [-1.0, 1.0], "value": [0.1, 0.2], "low": -1.0,
    ...                         "high": 1.0})
    >>> figure = benefit_calibration(benefit, title="A", unit="months")
    """
    need(benefit, "benefit", ["predicted", "value", "low", "high"])
    figure, (ax,) = new_figure(title, 4.4)
    scale = 100 if unit == "share" else 1
    rows = benefit[["predicted", "value", "low", "high"]] * scale
    ax.plot([rows["predicted"].min(), rows["predicted"].max()],
            [rows["predicted"].min(), rows["predicted"].max()], color=GREY, linewidth=1,
            linestyle=":", label=FIGURES["perfect"])  # fmt: skip
    ax.axhline(0, color=GREY, linewidth=1)
    ax.vlines(rows["predicted"], rows["low"], rows["high"], color=COLOURS[0])
    ax.plot(rows["predicted"], rows["value"], "o", color=COLOURS[0], label=FIGURES["fifth"])
    words = _words(unit)
    ax.set(
        xlabel=FIGURES["predicted_effect"].format(words),
        ylabel=FIGURES["observed_effect"].format(words),
    )
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@styled
def rule_values(values: pd.DataFrame, *, title: str, unit: str, outcome: str) -> Figure:
    """Value of each rule with its interval.

    Parameters
    ----------
    values : DataFrame
        Columns rule, against (rows where it is empty are drawn), value, low, high, share_treated.

    Examples
    --------
    >>> values = pd.DataFrame({"rule": ["A for all"], "against": "", "value": 8.0, "low": 7.5,
    ...                        "high": 8.5, "share_treated": 1.0})
    >>> figure = rule_values(values, title="A", unit="months", outcome="Survival")
    """
    need(values, "values", ["rule", "against", "value", "low", "high", "share_treated"])
    rows = values[values["against"] == ""].drop_duplicates("rule", keep="last")
    figure, (ax,) = new_figure(title, 1.8 + 0.48 * len(rows))
    scale = 100 if unit == "share" else 1
    right = ax.secondary_yaxis("right")
    texts = []
    for i, row in enumerate(rows.to_dict("records")):
        value, low, high = (scale * row[k] for k in ("value", "low", "high"))
        ax.hlines(i, low, high, color=COLOURS[0], linewidth=1.8)
        ax.plot(value, i, "o", color=COLOURS[0], markersize=7)
        texts.append(f"{estimate(value, low, high)}, {100 * row['share_treated']:.0f} %")
    at = np.arange(len(rows))
    ax.set_yticks(at, [wrapped(str(name), 32) for name in rows["rule"]])
    right.set_yticks(at, texts)
    right.spines[:].set_visible(False)
    for axis in (ax, right):
        axis.tick_params(axis="y", length=0)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(False, axis="y")
    words = "%" if unit == "share" else unit
    ax.set_xlabel(wrapped(FIGURES["by_rule"].format(outcome=outcome, unit=words), 60))
    return figure


@styled
def trade_off(balance: pd.DataFrame, *, title: str, unit: str) -> Figure:
    """Benefit minus weighted harm over the weight of one event, by kind of harm.

    Examples
    --------
    >>> balance = pd.DataFrame({"kind": "all_cause", "weight": [0.1, 0.5], "value": [0.1, -0.1],
    ...                         "low": -0.2, "high": 0.3})
    >>> figure = trade_off(balance, title="A", unit="months")
    """
    need(balance, "balance", ["kind", "weight", "value", "low", "high"])
    figure, (ax,) = new_figure(title, 4.0)
    scale = 100 if unit == "share" else 1
    for i, (kind, rows) in enumerate(balance.groupby("kind", sort=False)):
        ax.fill_between(rows["weight"], scale * rows["low"], scale * rows["high"],
                        color=COLOURS[i], alpha=0.15, lw=0)  # fmt: skip
        ax.plot(rows["weight"], scale * rows["value"], color=COLOURS[i], marker="osD"[i % 3],
                label=str(kind).replace("_", "-"))  # fmt: skip
    ax.axhline(0, color=GREY, linewidth=1)
    words = _words(unit)
    ax.set(xlabel=FIGURES["weight"], ylabel=FIGURES["benefit_harm"].format(words))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _words(unit: str) -> str:
    return str(FIGURES["points"]) if unit == "share" else unit


class Analysed(NamedTuple):
    """An analysis and the title of its study."""

    analysis: EffectAnalysis
    title: str

    @property
    def unit(self) -> str:
        """Unit of the effect on the primary outcome."""
        return OUTCOMES[self.analysis.arms.primary][0]

    def table(self, name: str, **options: Any) -> list[Drawn]:
        """One picture of a table where the analysis has it, its words those of the outcome."""
        if not self.analysis.design.allowed or name not in self.analysis.tables:
            return []
        words = {
            "outcome": OUTCOMES[self.analysis.arms.primary][1],
            "alternative": self.analysis.arms.estimand.alternative.name,
        }
        return [Drawn((self.analysis.tables[name],), words, "", {"unit": self.unit, **options})]


def _balance(found: Analysed) -> list[Drawn]:
    table = found.analysis.tables["balance"]
    observed = found.analysis.arms.estimand.assignment == "observed"
    weighted = observed and bool(table["weighted"].notna().all())
    words = {"title": found.title}
    return [Drawn((table,), words, "", {"weighted": weighted})] if len(table) else []


def _survival(found: Analysed) -> list[Drawn]:
    arms = found.analysis.arms
    since = EFFECT["since"][arms.estimand.assignment]
    drawn = []
    for (name, cohort), tables in found.analysis.survival.items():
        words, key = OUTCOMES[name][1].capitalize(), f"{name}_{cohort}" if cohort else name
        said = {"outcome": words, "title": cohort or found.title, "n": tables[1]["n"].sum()}
        drawn.append(Drawn(tables, said, key, {"outcome": words, "since": since}))
    return drawn


def _by_score(found: Analysed) -> list[Drawn]:
    arms = found.analysis.arms
    names = (arms.estimand.alternative.name, arms.estimand.reference.name)
    return [
        each._replace(tables=(curve[curve["outcome"] == arms.primary],))
        for each in found.table("by_score", names=names)
        for curve in each.tables
    ]


def _targeting(found: Analysed) -> list[Drawn]:
    titles = {name: learner.title for name, learner in LEARNERS.items()}
    return [
        each._replace(tables=(curves.replace({"ranked_by": titles}),))
        for each in found.table("targeting")
        for curves in each.tables
    ]


def _values(found: Analysed) -> list[Drawn]:
    outcome = outcome_words(found.analysis, found.analysis.arms.primary).capitalize()
    return [
        each._replace(words={**each.words, "n": each.tables[0]["n"].iloc[-1]})
        for each in found.table("values", outcome=outcome)
    ]


EFFECT_FIGURES: list[PageFigure[Analysed]] = [
    page_figure(EFFECT, "balance", "design", _balance, love_plot),
    page_figure(EFFECT, "survival", "effect", _survival, kaplan_meier),
    page_figure(EFFECT, "by_score", "score", _by_score, effect_along_score),
    page_figure(
        EFFECT,
        "benefit",
        "heterogeneity",
        lambda found: found.table("benefit"),
        benefit_calibration,
    ),
    page_figure(EFFECT, "targeting", "heterogeneity", _targeting, targeting_curves),
    page_figure(EFFECT, "values", "rules", _values, rule_values),
    page_figure(EFFECT, "trade_off", "harm", lambda found: found.table("trade_off"), trade_off),
]


def effect_figures(analysis: EffectAnalysis, title: str) -> list[Picture]:
    """Draw every figure of an analysis that is available; `title` is that of the study."""
    return pictures(EFFECT_FIGURES, Analysed(analysis, title))


def outcome_words(analysis: EffectAnalysis, outcome: str) -> str:
    """Words of an outcome, with the horizon of a time."""
    unit, words = OUTCOMES[outcome]
    if unit == "share":
        return words
    return str(EFFECT["within"].format(outcome=words, months=analysis.arms.estimand.horizon_months))

"""Figures of the model card and of the evaluation report, each one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import pandas as pd

from stratify.extensions import by_name
from stratify.interpretation.cohort_profile import CohortProfile
from stratify.report.figures import calibration, decision_curve, roc
from stratify.report.page_figure import Drawn, PageFigure, Picture, page_figure, pictures
from stratify.report.profile_figures import (
    beeswarm,
    dependence,
    profile_heat_map,
    subgroup_differences,
)
from stratify.report.response_figures import kaplan_meier, label_flow
from stratify.report.share_figures import error_by_share
from stratify.report.text import CARD
from stratify.tables.schema import field_named
from stratify.validation.assessment import Assessment

__all__ = ["CardFindings", "card_figures"]

F = TypeVar("F")


@dataclass(frozen=True)
class CardFindings:
    """What the figures of a card are drawn of.

    Attributes
    ----------
    assessments : list of Assessment
        The apparent one of the training patients is not drawn.
    labels : DataFrame
        As in the dictionary.
    attributions : DataFrame
        Of the patients whose explanations are shown.
    profile : CohortProfile
        Of the same patients.
    selective : mapping of str to DataFrame
        By cohort, as from :func:`stratify.statistics.selective.selective_curve`.
    threshold : float
        Risk from which a patient was called resistant in `selective`.
    """

    assessments: list[Assessment]
    labels: pd.DataFrame
    attributions: pd.DataFrame
    profile: CohortProfile
    selective: Mapping[str, pd.DataFrame]
    threshold: float

    @cached_property
    def explained(self) -> dict[str, Any]:
        """Cohorts and number of the patients whose explanations are shown, in words."""
        n = len(self.attributions[["patient_id", "cohort"]].drop_duplicates())
        return _where(", ".join(sorted(set(self.attributions["cohort"]))), n)


def _where(cohorts: str, n: float) -> dict[str, Any]:
    return {"where": CARD["patients"].format(cohorts=cohorts, n=n)}


def _labels(found: CardFindings) -> list[Drawn]:
    counts = found.labels.groupby(["cohort", "state", "reason"], as_index=False).agg(
        n=("patient_id", "size")
    )
    return [
        Drawn((rows,), _where(str(cohort), rows["n"].sum()), str(cohort))
        for cohort, rows in counts.groupby("cohort", sort=True)
    ]


def _of(a: Assessment, *tables: pd.DataFrame, outcome: str = "", **options: object) -> list[Drawn]:
    where = CARD["patients_events"].format(
        cohort=a.cohort, split=a.split, n=a.n, n_events=a.n_events
    )
    ending = f"{a.cohort}_{a.split}"
    words = {"where": where, "outcome": outcome.upper()}
    return [Drawn(tables, words, f"{outcome}_{ending}" if outcome else ending, options)]


def _roc(a: Assessment) -> list[Drawn]:
    rows = a.performance
    rows = rows[(rows["subgroup"] == "all") & (rows["metric"] == "auroc")]
    return _of(a, a.roc, aurocs=rows[rows["reference"] == ""]) if len(a.roc) else []


def _survival(a: Assessment) -> list[Drawn]:
    return [
        drawn._replace(options={"outcome": outcome.upper()})
        for outcome, (curves, summary) in a.survival.items()
        for drawn in _of(a, curves, summary, outcome=outcome)
    ]


def _selective(found: CardFindings) -> list[Drawn]:
    return [
        Drawn((curve,), _where(name, curve["n"].max()) | {"threshold": found.threshold}, name)
        for name, curve in found.selective.items()
    ]


def _profiles(found: CardFindings) -> list[Drawn]:
    matrix, cohorts = found.profile.matrix, ", ".join(sorted(set(found.attributions["cohort"])))
    return [Drawn((matrix,), _where(cohorts, len(matrix)))] if matrix.shape[1] > 1 else []


def _dependence(found: CardFindings) -> list[Drawn]:
    return [
        Drawn(
            (found.attributions, feature, other),
            found.explained
            | {"feature": field_named(feature).title, "other": field_named(other).title},
            feature,
        )
        for feature, other in found.profile.partners.items()
    ]


COHORT_FIGURES: list[PageFigure[CardFindings]] = [
    page_figure(CARD, "labels", "figures", _labels, label_flow),
]
ASSESSMENT_FIGURES: list[PageFigure[Assessment]] = [  # of one assessment after the other
    page_figure(CARD, "roc", "figures", _roc, roc),
    page_figure(CARD, "calibration", "figures", lambda a: _of(a, a.calibration), calibration),
    page_figure(CARD, "decision_curve", "figures", lambda a: _of(a, a.decision), decision_curve),
    page_figure(CARD, "kaplan_meier", "figures", _survival, kaplan_meier),
]
EXPLANATION_FIGURES: list[PageFigure[CardFindings]] = [
    page_figure(
        CARD,
        "beeswarm",
        "explanations",
        lambda found: [Drawn((found.attributions,), found.explained)],
        beeswarm,
    ),
    page_figure(CARD, "selective", "figures", _selective, error_by_share),
    page_figure(CARD, "profiles", "explanations", _profiles, profile_heat_map),
    page_figure(
        CARD,
        "subgroup_profiles",
        "explanations",
        lambda found: (
            [Drawn((found.profile.subgroups,), found.explained)]
            * bool(len(found.profile.subgroups))
        ),
        subgroup_differences,
    ),
    page_figure(CARD, "dependence", "explanations", _dependence, dependence),
]


def card_figures(found: CardFindings) -> list[Picture]:
    """Draw every figure that is available, those of each assessment after one another.

    Those of other packages, in the entry-point group ``stratify.figures``, are drawn of the same
    findings and come last.
    """
    own: list[PageFigure[Any]] = [*COHORT_FIGURES, *ASSESSMENT_FIGURES, *EXPLANATION_FIGURES]
    added = list(by_name("stratify.figures", own).values())[len(own) :]
    drawn = pictures(COHORT_FIGURES, found)
    for assessment in found.assessments:
        if assessment.split != "train":
            drawn += pictures(ASSESSMENT_FIGURES, assessment)
    return drawn + pictures([*EXPLANATION_FIGURES, *added], found)

"""What a training or an evaluation found, and the files it is written to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stratify.cohort.characteristics import characteristics
from stratify.cohort.reading import Cohort, data_sha256
from stratify.interpretation.cohort_profile import CohortProfile, cohort_profile
from stratify.interpretation.explained import explain
from stratify.report.card_figures import CardFindings, card_figures
from stratify.report.evaluation_report import CardFacts, write_report
from stratify.report.model_card import card_facts, card_tables
from stratify.report.page_figure import Picture
from stratify.scoring import ResistanceModel
from stratify.statistics.selective import selective_curve
from stratify.study import Study
from stratify.tables.schema import load_schema
from stratify.tables.tabular import write_table, written_whole
from stratify.validation.assessment import Assessment

__all__ = ["Results", "results_of"]

DECISION_THRESHOLD = 0.5  # of the selective curve: resistance likelier than not


@dataclass(frozen=True)
class Results:
    """Everything a training or an evaluation found.

    Attributes
    ----------
    model : ResistanceModel
    study : Study
    kind : {"model card", "evaluation report"}
    performance, attrition, findings, scores, attributions, labels : DataFrame
        As in the data dictionaries of the results.
    assessments : list of Assessment
    figures : dict of str to Picture
        By name, in the order of the report.
    facts : CardFacts
        What the report prints next to the tables.
    hashes : dict of str to str
        SHA-256 of data, split and files.
    profiles : DataFrame
        Resistance profiles, as in the dictionary.
    cohort_profile : CohortProfile
        Of the unseen patients, or of all where there are none.
    characteristics : DataFrame
        Of the same patients by group of predicted risk.
    datasets : list of dict
        By cohort and split: ``name, context, sha256, files, n, n_events``.
    trials : tuple of dict
        Settings tried inside the training patients, with their ``log_loss``.
    """

    model: ResistanceModel
    study: Study
    kind: str
    performance: pd.DataFrame
    attrition: pd.DataFrame
    findings: pd.DataFrame
    scores: pd.DataFrame
    attributions: pd.DataFrame
    labels: pd.DataFrame
    assessments: list[Assessment]
    figures: dict[str, Picture]
    facts: CardFacts
    hashes: dict[str, str]
    profiles: pd.DataFrame
    cohort_profile: CohortProfile
    characteristics: pd.DataFrame
    datasets: list[dict[str, Any]]
    trials: tuple[dict[str, float], ...] = ()

    def write(self, out: Path) -> None:
        """Write the result files of the output contract into a folder."""
        import yaml

        if self.kind == "model card":
            self.model.save(out / "bundle")
        write_table(self.findings, out / "findings.csv")
        write_table(self.attrition, out / "attrition.csv")
        write_table(self.performance, out / "performance.csv")
        write_table(self.scores, out / "scores.csv")
        write_table(self.labels, out / "labels.csv")
        write_table(self.attributions, out / "attributions.parquet")
        write_table(self.profiles, out / "profiles.parquet")
        with written_whole(out / "study.yaml") as temporary:
            temporary.write_text(
                yaml.safe_dump(self.study.resolved(), sort_keys=False, allow_unicode=True),
                encoding="utf-8",
            )
        self.write_report(out / "report.html")

    @property
    def pictures(self) -> dict[str, bytes]:
        """PNG of each figure; drawn once, for the report and for tracking."""
        return {name: figure.png for name, figure in self.figures.items()}

    def write_report(self, path: Path) -> None:
        """Write the report alone."""
        write_report(path, self.facts, self.report_tables(), [*self.figures.values()])

    def report_tables(self) -> dict[str, pd.DataFrame]:
        """Tables of the report: aggregates only, no patient in them."""
        return card_tables(
            self.findings,
            self.attrition,
            self.performance,
            self.scores,
            self.labels,
            self.attributions,
            self.assessments,
            self.cohort_profile,
            self.characteristics,
        )


def _selective_curves(judged: Cohort, scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """How often the model errs by the share of patients decided on, in each unseen cohort."""
    labels = judged.table[["cohort", "patient_id", "label"]]
    return {
        str(name): selective_curve(
            rows["label"].astype(float),
            rows["risk"],
            rows["risk_low"],
            rows["risk_high"],
            threshold=DECISION_THRESHOLD,
        )
        for name, rows in labels.merge(scores, on=["cohort", "patient_id"]).groupby("cohort")
    }


def results_of(
    model: ResistanceModel,
    study: Study,
    kind: str,
    cohort: Cohort,
    scores: pd.DataFrame,
    assessments: list[Assessment],
    hashes: dict[str, str],
    *,
    trials: Sequence[dict[str, float]] = (),
) -> Results:
    """Draw and explain what was found, and put it together."""
    judged = cohort.evaluable
    shown = judged.of_split("test", "external")
    explained = explain(model, ready := model.prepare(cohort))
    names = set(shown.table["cohort"] if len(shown) else cohort.table["cohort"])
    plotted, patients = explained.of(names), cohort.table["cohort"].isin(names)
    table = cohort.table[patients].reset_index(drop=True)
    profile = cohort_profile(model, ready.take(patients.to_numpy()), plotted)
    group = scores.loc[patients.to_numpy(), "risk_group"].reset_index(drop=True)
    order = pd.Categorical(group, ["low", "intermediate", "high"], ordered=True)
    by_risk = np.argsort(order.codes, kind="stable")  # groups in the order of the risk
    table_one = characteristics(
        table.iloc[by_risk].reset_index(drop=True),
        list(model.classifier.features_),
        group.iloc[by_risk].reset_index(drop=True),
    )
    found = [a.performance for a in assessments]
    empty = pd.DataFrame(columns=list(load_schema("performance").fields))
    performance = pd.concat(found, ignore_index=True) if found else empty
    shown_findings = CardFindings(
        assessments,
        cohort.labels,
        plotted.attributions,
        profile,
        _selective_curves(shown, scores),
        DECISION_THRESHOLD,
    )
    return Results(
        model=model,
        study=study,
        kind=kind,
        performance=performance,
        attrition=cohort.attrition,
        findings=cohort.findings.table(),
        scores=scores,
        attributions=explained.attributions,
        labels=cohort.labels,
        assessments=assessments,
        figures={picture.name: picture for picture in card_figures(shown_findings)},
        facts=card_facts(model, study, kind, cohort, hashes, performance),
        hashes=hashes,
        datasets=_datasets(cohort),
        trials=tuple(trials),
        profiles=explained.profiles,
        cohort_profile=profile,
        characteristics=table_one,
    )


def _datasets(cohort: Cohort) -> list[dict[str, Any]]:
    """Name, digest and size of the patients of each cohort and split."""
    found = []
    for (name, split), rows in cohort.table.groupby(["cohort", "split"], sort=True):
        found.append(
            {
                "name": str(name),
                "context": str(split),
                "sha256": data_sha256(rows),
                "files": sorted(cohort.files),
                "n": len(rows),
                "n_events": int(rows["label"].sum()),
            }
        )
    return found

"""A study checked as a whole: the faults of its file and the findings of its data, at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from stratify.cohort.reading import Cohort, read_cohort
from stratify.errors import DataError, FileError
from stratify.study.study_file import Study, faults_of_study
from stratify.tables.findings import Findings
from stratify.tables.schema import long_panels

__all__ = ["StudyCheck", "check_study"]

# Sections by which the data are read: with a fault in one of them they are not.
READ_BY = {"landmark_weeks", "response_criteria", "region_rule", "data"}
# Section -> what is not checked where it has a fault.
LEFT_OPEN = {
    "endpoint": "labels and the split, as `endpoint` has faults",
    "eligible_regimens": "who is eligible, as `eligible_regimens` has faults",
    "split": "the split, as `split` has faults",
    "training_scales": "the scales of expression and TMB, as `training_scales` has faults",
    "features": "whether the features are measured, as `features` has faults",
    "policy": "whether the markers of the policy are measured, as `policy` has faults",
    "effect": "whether the columns of the effect are measured, as `effect` has faults",
}


@dataclass(frozen=True)
class StudyCheck:
    """What is wrong with a study, and what was not looked at.

    Attributes
    ----------
    name : str
        Of the study, or of the file where it has none.
    findings : Findings
        Faults of the study file first.
    attrition : DataFrame or None
        As in the ``attrition`` dictionary; None where the data could not be read.
    unchecked : list of str
        What was not checked, in words.
    """

    name: str
    findings: Findings
    attrition: pd.DataFrame | None = None
    unchecked: list[str] = field(default_factory=list)

    @property
    def statement(self) -> str:
        """What was not checked, as a sentence."""
        return f"Not checked: {'; '.join(self.unchecked)}."


def check_study(path: str | Path) -> StudyCheck:
    """Check a study file in all its sections, and its data as far as the file allows."""
    path = Path(path)
    study, faults = Study.read(path)
    findings = Findings()
    for fault in faults:
        findings.add("study_fault", fault.of(path.name), n=1)
    wrong = {str(fault.place[0]) for fault in faults if fault.place}
    cohort, unread = None, "its sections on the data have faults"
    if study is not None and not wrong & READ_BY:
        try:
            cohort = read_cohort(
                study,
                labels="endpoint" not in wrong,
                eligible_only="eligible_regimens" not in wrong,
            )
        except (FileError, DataError) as error:
            if not faults:
                raise
            unread = " ".join(str(error).split()).removesuffix(".")
    if study is None or cohort is None:
        unchecked = [f"the data, and whether they have what the study names ({unread})"]
        return StudyCheck(path.name if study is None else study.name, findings, None, unchecked)
    _add_absent(findings, study, path, cohort)
    findings.extend(cohort.findings)
    unchecked = [words for section, words in LEFT_OPEN.items() if section in wrong]
    unchecked += ["whether the patients suffice to train a model (`stratify train`)"]
    if study.effect is not None:
        unchecked += [
            "whether the arms occur and their patients and outcomes suffice for the effect "
            "(`stratify effect`)"
        ]
    if study.policy is not None:
        unchecked += ["whether the policy fits the risks of a model (`stratify policy`)"]
    return StudyCheck(study.name, findings, cohort.attrition, unchecked)


def _add_absent(findings: Findings, study: Study, path: Path, cohort: Cohort) -> None:
    """Add names that no mapped or derived column has; a column with a finding is there."""
    columns = {*cohort.table.columns} | {
        name
        for source in study.cohorts
        for table in source.tables
        for panel, mapped in table.panels.items()
        if panel not in long_panels()
        for name in mapped
    }
    lacking = {each.place: each for each in study.named() if each.name not in columns}
    faults = [
        (place, f"{each.name} is not among the mapped or derived columns")
        for place, each in lacking.items()
    ]
    for fault in faults_of_study(path, faults):
        code = "study_fault" if lacking[fault.place].required else "name_without_column"
        findings.add(code, fault.of(path.name), n=1)

"""INSPIRE at week 7: a landmark model with the change of ctDNA, and what its policy answers."""

from __future__ import annotations

import pytest

from stratify import ResistanceClassifier, Study
from stratify.cohort.reading import read_cohort
from stratify.experiment.scores import score
from stratify.experiment.training import train

STUDY = "pipelines/studies/inspire_landmark.yaml"
pytestmark = pytest.mark.realdata


def test_patients_still_at_risk_at_week_7_and_their_draws():
    cohort = read_cohort(Study.load(STUDY))
    steps = cohort.attrition.query("step == 'landmark'")[["reason", "n"]].values.tolist()
    assert steps == [["event before the landmark", 21], ["", 85]]
    assert cohort.evaluable.table["label"].agg(["size", "sum"]).tolist() == [83, 60]
    assert cohort.table["ctdna_log2_ratio_week_6"].notna().sum() == 64


@pytest.mark.slow
def test_the_change_of_ctdna_is_used_and_its_lack_is_referred(tmp_path):
    small = ResistanceClassifier(n_members=3, n_estimators=20, calibration_folds=2)
    results = train(Study.load(STUDY), tmp_path, classifier=small, folds=2)
    assert "ctdna_log2_ratio_week_6" in results.model.classifier.features_
    scores = score(tmp_path / "bundle", STUDY, tmp_path / "scores.csv")
    assert set(scores["recommendation"]) <= {"continue", "intensify", "change", "refer"}
    missing = scores["reason"].str.startswith("Required markers are missing: ctdna_log2_ratio")
    everybody = read_cohort(Study.load(STUDY), outcomes=False).table
    assert missing.sum() == everybody["ctdna_log2_ratio_week_6"].isna().sum() > 30
    assert (scores.loc[missing, "recommendation"] == "refer").all()

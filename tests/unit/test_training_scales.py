"""Scales learned on training patients travel with the model: one patient is scored alone."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from stratify.cohort.feature_plan import FeaturePlan
from stratify.cohort.reading import read_cohort
from stratify.cohort.training_scales import TrainingScales
from stratify.errors import DataError
from stratify.experiment.reporting import report_patient
from stratify.experiment.scores import score
from stratify.experiment.training import train
from stratify.model.classifier import ResistanceClassifier
from stratify.scoring import load
from stratify.tables.findings import Findings
from stratify.validation import training
from stratify.validation.assessment import cross_validate
from stratify.validation.internal_external import internal_external
from stratify.validation.panels import added_value, masking_cost
from stratify.validation.training import fit_with_references

SIGNATURES = ["cyt", "gep", "cells_cd8"]


@pytest.fixture
def home(hospital):
    """Expression of 160 patients, 120 of them for training; burdens of one panel."""
    hospital.leave_out("pdl1", "infiltration", "ctdna")
    hospital.add_measurements("expression")
    hospital.document["training_scales"] = ["expression", "tmb"]
    hospital.document["split"] = {"by": "random", "test_fraction": 0.25, "seed": 3}
    return hospital


def test_genes_are_placed_among_the_training_patients(home):
    """A mean of two genes, each in standard deviations from the training patients' mean."""
    cohort = home.read()
    train_ids = cohort.table.loc[cohort.table["split"] == "train", "patient_id"]
    matrix = home.tables["expression"].set_index("gene").astype(float).T
    log2 = np.log2(matrix + 1)
    learned = log2.loc[train_ids]
    z = (log2 - learned.mean().round(4)) / learned.std().round(4)
    expected = z[["GZMA", "PRF1"]].mean(axis=1).reindex(cohort.table["patient_id"])

    assert cohort.table["cyt"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-9)
    assert cohort.scales.expression.n_patients == len(train_ids) == 120
    assert cohort.table.loc[cohort.table["split"] == "train", "cyt"].mean() == pytest.approx(
        0, abs=1e-4
    )


def test_test_patients_change_nothing_that_is_learned(home):
    before = home.read().scales
    test_ids = home.read().of_split("test").table["patient_id"]
    for patient in test_ids:
        home.change("expression", patient, lambda cell: f"{float(cell) * 1.7 + 1:.2f}")
    home.plant("markers", "TMB", {int(i.split("-")[1]) + 1: "60" for i in test_ids})

    assert home.read().scales == before


def test_one_patient_alone_is_scored_as_among_others(home):
    together = home.read()
    scales = TrainingScales.from_json(json.loads(json.dumps(together.scales.to_json())))
    one = together.of_split("test").table["patient_id"].iloc[0]
    row = int(one.split("-")[1]) - 1
    for file in ("clinical", "markers", "outcomes"):
        home.tables[file] = home.tables[file].iloc[[row]]
    home.tables["expression"] = home.tables["expression"][["gene", one]]
    home.write()
    plan = FeaturePlan((), scales)
    alone = read_cohort(home.study(), outcomes=False, plan=plan)

    assert alone.refitted_scales is None
    assert together.of_split("train").refitted_scales.columns[-1] == "tmb_within_panel"
    columns = [*SIGNATURES, "tmb_within_panel"]
    expected = together.table.set_index("patient_id").loc[[one], columns]
    pd.testing.assert_frame_equal(alone.table.set_index("patient_id")[columns], expected)


@pytest.mark.slow
def test_a_bundle_carries_the_scales(home, tmp_path):
    small = ResistanceClassifier(n_members=2, n_estimators=5, min_child_samples=5)
    home.document["features"] = ["age", "albumin", "cyt", "tmb_within_panel"]
    home.write()
    study = home.study()
    train(study, tmp_path / "results", classifier=small, folds=2)
    model = load(tmp_path / "results" / "bundle")
    cohort = read_cohort(study)
    assert model.plan.scales == cohort.scales

    document = {k: v for k, v in home.document.items() if k not in ("training_scales", "split")}
    path = tmp_path / "new.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    scores = score(tmp_path / "results" / "bundle", path, tmp_path / "scores.csv")
    known = model.score_cohort(cohort).set_index("patient_id")["risk"]
    assert scores["risk"].to_numpy() == pytest.approx(known[scores["patient_id"]].to_numpy())

    # The patient's report tells the risk that the score tells.
    patient, risk = scores.loc[0, ["patient_id", "risk"]]
    bundle, html = tmp_path / "results" / "bundle", tmp_path / "patient.html"
    assert report_patient(bundle, path, patient, html).score["risk"] == pytest.approx(risk)


def test_scales_learned_again_are_those_of_a_study_of_the_others_alone(home):
    """As if the patients left out had been test patients from the start."""
    whole = home.read()
    train = whole.of_split("train").table
    marked = (np.arange(len(train)) % 3 > 0).astype(bool)
    again = whole.refitted_scales(train, marked)

    columns = [*SIGNATURES, "impres", "tmb_within_panel"]
    ids = train.loc[marked, "patient_id"]
    split = whole.table.assign(split=np.where(whole.table["patient_id"].isin(ids), "train", "test"))
    source = whole.refitted_scales
    scales = TrainingScales.fit(
        split, source.matrices, source.rules, ["expression", "tmb"], Findings()
    )
    bare = train.drop(columns=source.columns)
    expected = scales.apply(bare, source.matrices, source.rules, Findings())
    pd.testing.assert_frame_equal(again[columns], expected[columns])
    assert scales.expression.n_patients == marked.sum() == 80
    assert list(again) == list(train)
    assert again["impres"].equals(train["impres"])  # compares genes within a patient
    assert again["age"].equals(train["age"])
    assert not again["cyt"].equals(train["cyt"])


@pytest.mark.parametrize("by", [None, pytest.param("site", marks=pytest.mark.slow)])
def test_scales_are_learned_without_the_judged_patients(home, monkeypatch, by):
    """Standardised genes have a mean of 0 in those that train each fold."""
    cohort = home.read()
    table = cohort.of_split("train").evaluable.table
    means = []

    def fit(classifier, own, features, **options):
        means.append(own["cyt"].mean())
        return fit_with_references(classifier, own, features, **options)

    monkeypatch.setattr(training, "fit_with_references", fit)
    small = ResistanceClassifier(n_members=2, n_estimators=2, calibration_folds=2)
    features = ["cyt", "tmb_within_panel"]

    if by is None:
        cross_validate(small, table, features, folds=2, rescaled=cohort.refitted_scales)
    else:
        internal_external(small, table, features, by=by, rescaled=cohort.refitted_scales)
    assert np.abs(means).max() < 1e-3
    assert len(means) == (2 if by is None else table["site"].nunique())


@pytest.mark.parametrize("judged", [added_value, masking_cost])
def test_what_panels_add_is_judged_on_scales_of_each_fold(judged):
    """Here they tell the label, which nothing else does."""
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"age": rng.normal(60, 9, 80), "cyt": rng.normal(0, 1, 80)})
    table["label"] = np.tile([0.0, 1.0], 40)
    asked = []

    def rescaled(whole, train):
        asked.append(train.sum())
        return whole.assign(age=60 + 20 * whole["label"])

    small = ResistanceClassifier(n_members=2, n_estimators=2, calibration_folds=2)
    found = judged(small, table, ["age", "cyt"], folds=2, rescaled=rescaled)
    assert asked == [40, 40]
    assert found[[name for name in found if name.startswith("auroc")]].min(axis=None) > 0.95


def test_no_scale_without_being_asked(home):
    del home.document["training_scales"]
    cohort = home.read()
    assert cohort.scales == TrainingScales()
    assert "tmb_within_panel" not in cohort.table
    assert cohort.table["cyt"].mean() > 1  # log2(TPM + 1), not standard deviations


def test_paired_samples_that_are_no_use_are_told(home):
    pairs = {"file": "pairs.csv", "burden": "panel", "reference": "exome"}
    home.document["cohorts"][0]["tmb_pairs"] = pairs
    home.tables["pairs"] = pd.DataFrame({"panel": [1.0, 2.0], "wes": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"pairs.csv: no column 'exome'; it has panel, wes."):
        home.read()
    home.tables["pairs"] = home.tables["pairs"].rename(columns={"wes": "exome"})
    with pytest.raises(DataError, match=r"pairs.csv: 2 paired samples; at least 10 are expected"):
        home.read()

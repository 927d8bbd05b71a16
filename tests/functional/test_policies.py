"""Policies given at scoring: for a file, a registry, and a model of a landmark."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from stratify.cli import main
from stratify.errors import ArgumentError, DataError
from stratify.experiment.policy_choice import choose_policy
from stratify.experiment.registry import score_registry
from stratify.experiment.scores import score
from stratify.experiment.training import train
from stratify.scoring import load
from stratify.study import Study

BOARD = {
    "name": "board",
    "version": "1",
    "source": "illustration only",
    "monotherapy_below": 0.45,
    "combination_from": 0.45,
    "decide_by": "interval",
}
AT_LANDMARK = {
    "weeks": 6,
    "continue_below": 0.45,
    "intensify_from": 0.45,
    "change_from": 0.999,
    "source": "illustration only",
}


@pytest.fixture
def place(tmp_path, trained):
    """A wide file of patients with its study, and a place for policies."""

    class Place:
        bundle, folder = trained.bundle, tmp_path

        def __init__(self) -> None:
            known = load(trained.bundle)
            self.table = pd.DataFrame(
                {
                    "id": [f"N{k:03d}" for k in range(60)],
                    "age": np.linspace(35, 85, 60),
                    "albumin": np.linspace(2.2, 4.9, 60),
                    "tmb": np.geomspace(0.5, 60, 60),
                    "nlr": np.linspace(12, 1, 60),
                }
            )
            assert set(self.table.columns[1:]) <= set(known.classifier.features_)

        def study(self) -> object:
            self.table.to_csv(self.folder / "patients.csv", index=False)
            columns = {
                "clinical": {
                    "regimen": {"value": "anti_pd1_pdl1"},
                    "age": {"column": "age", "unit": "years"},
                    "albumin": {"column": "albumin", "unit": "g/dL"},
                    "nlr": "nlr",
                },
                "tmb": {"tmb": {"column": "tmb", "unit": "mut/Mb", "assay": "panel"}},
            }
            table = {"file": "patients.csv", "patient_id": "id", "panels": columns}
            cohort = {"name": "ward", "role": "external", "tables": [table]}
            path = self.folder / "study.yaml"
            path.write_text(yaml.safe_dump({"stratify": 1, "name": "ward", "cohorts": [cohort]}))
            return path

        def policy(self, **more: object) -> object:
            path = self.folder / "policy.yaml"
            path.write_text(yaml.safe_dump(BOARD | more))
            return path

        def landmark_bundle(self, weeks: float = 6) -> object:
            model = load(self.bundle)
            path = self.folder / "landmark"
            replace(model, card={**model.card, "landmark_weeks": weeks}, version="").save(path)
            return path

    return Place()


def same_answers(place, bundle, policy) -> pd.DataFrame:
    """Scores in a file and in a registry's parts, which are equal."""
    study = place.study()
    whole = score(bundle, study, place.folder / "scores.csv", policy=policy)
    scored = score_registry(bundle, study, place.folder / "out", policy=policy, part_rows=25)
    parts = pd.read_parquet(place.folder / "out" / "scores").sort_values("patient_id")
    columns = ["patient_id", "risk", "recommendation", "reason", "would_change", "flags"]
    pd.testing.assert_frame_equal(
        parts[columns].reset_index(drop=True), whole[columns], check_dtype=False, check_exact=True
    )
    assert scored.recommendations == whole["recommendation"].value_counts().to_dict()
    return whole


def test_a_policy_file_decides_in_a_registry_as_in_a_file(place):
    scores = same_answers(place, place.bundle, place.policy(refer_flags=[]))
    assert set(scores["recommendation"]) == {"combination", "refer"}
    assert scores["reason"].str.contains("policy board 1").all()


def test_a_landmark_model_decides_at_its_landmark_alone(place):
    policy = place.policy(landmark=AT_LANDMARK, refer_flags=[])
    scores = same_answers(place, place.landmark_bundle(), policy)
    assert set(scores["recommendation"]) == {"intensify", "refer"}
    assert scores["flags"].str.contains("at_landmark").all()
    # The same policy serves the model of the baseline.
    before = score(place.bundle, place.study(), place.folder / "before.csv", policy=policy)
    assert set(before["recommendation"]) == {"combination", "refer"}
    assert not before["flags"].str.contains("at_landmark").any()


def test_other_jobs_policies_are_not_mixed_in_one_folder(place):
    same_answers(place, place.bundle, place.policy(refer_flags=[]))
    with pytest.raises(ArgumentError, match=r"holds the scores of another job \(policy differ\)"):
        score_registry(place.bundle, place.study(), place.folder / "out",
                       policy=place.policy(version="2"), part_rows=25)  # fmt: skip


def test_a_policy_that_asks_for_what_the_registry_lacks_is_refused_before_scoring(place):
    policy = place.policy(required_markers=["pdl1_tps"])
    with pytest.raises(DataError) as error:
        score_registry(place.bundle, place.study(), place.folder / "out", policy=policy)
    assert str(error.value) == (
        "policy board 1 names pdl1_tps, which the cohort ward does not have: every patient would "
        "be referred. Map it in the study file or remove it from the policy."
    )
    assert not (place.folder / "out").exists()


@pytest.mark.parametrize("out", ["scores.csv", "out"])
def test_the_command_line_refuses_a_landmark_model_without_a_rule_for_it(place, out, capsys):
    bundle, policy = place.landmark_bundle(), place.policy()
    with pytest.raises(SystemExit) as exit_:
        main(["score", str(bundle), str(place.study()), "--out", str(place.folder / out),
              "--policy", str(policy)])  # fmt: skip
    assert exit_.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Error: The model is of week 6, and policy board 1 has no landmark rule: what is known on "
        "treatment has no part in the decision at baseline. Add `landmark: {weeks: 6, ...}` to "
        "the policy, or take a baseline model."
    )
    assert not (place.folder / out).exists()


def test_a_training_with_another_landmark_than_its_policy_is_a_fault_of_the_study(rewritten):
    def change(document, tables):
        document["landmark_weeks"] = 9
        document["policy"] = BOARD | {"landmark": AT_LANDMARK}

    with pytest.raises(DataError, match=r"policy: The model is of week 9; policy board 1 decides"):
        Study.load(rewritten(change))


def test_a_policy_that_names_what_the_study_lacks_is_refused_before_training(rewritten, tmp_path):
    def change(document, _):
        document["policy"] = BOARD | {"required_markers": ["cd8_percent"]}

    with pytest.raises(DataError) as refusal:
        train(Study.load(rewritten(change)), tmp_path / "out")
    assert str(refusal.value) == (
        "policy board 1 names cd8_percent, which the study demo does not have: every patient would "
        "be referred. Map it in the study file or remove it from the policy."
    )


def test_what_a_policy_would_mean_is_tabulated_on_unseen_patients(trained, tmp_path):
    harm = {"kind": "immune_related", "monotherapy": 0.08, "combination": 0.2, "source": "invented"}
    benefit = {"value": 0.7, "low": 0.6, "high": 0.8, "source": "invented"}
    utilities = {"weights": [0.1, 0.5, 2], "relative_risk": benefit, "harms": [harm]}
    stated = {key: BOARD[key] for key in ("name", "version", "source")} | {"utilities": utilities}
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump(stated))
    out = tmp_path / "out"
    found = choose_policy(trained.bundle, trained.study, out, policy=policy).tables
    assert {path.stem for path in out.glob("*.csv")} == set(found)
    assert {path.name for path in out.glob("*.png")} == {"net_benefit.png", "deferral.png"}
    assert {"net_benefit", "guarantees", "deferral", "weights"} <= set(found)
    against = set(found["net_benefit"]["against"])
    assert {"combination for all", "monotherapy for all"} < against
    assert {"PD-L1 below 50 %", "TMB below 10"} & against
    grid = found["weights"]  # by hand 0.5 x 0.12 / 0.3; a greater weight never gives more
    assert grid["threshold"].tolist() == pytest.approx([0.04, 0.2, 0.8])
    assert grid["share_combination"].is_monotonic_decreasing
    assert grid["share_combination"].iloc[0] == 1

"""Models that ship with the package: listed, small, without a patient, and ready to score."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from stratify.cli import main
from stratify.errors import FileError
from stratify.experiment.ready_models import LEAST_ROWS, ReadyFile
from stratify.scoring import load
from stratify.scoring.ready import ready_folder, ready_models

ENTRIES = ReadyFile.load(Path(__file__).parents[2] / "pipelines" / "ready_models.yaml").models
NAMES = [each.name for each in ENTRIES]

PATIENTS = """Patient ID,Age,Diagnosis,Prior therapy,Albumin (g/L),NLR,TMB
A1,61,NSCLC,yes,38,3.1,8.2
A2,58,Melanoma,no,41,2.2,22
A3,70,Renal Cell Carcinoma,yes,35,6.5,1.4
A4,66,NSCLC,no,29,9.1,3.0
A5,74,Glioblastoma,no,40,3.0,5.5
"""


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    return int(ended.value.code or 0)


def test_every_model_of_the_file_ships_and_no_other():
    assert ready_models()["name"].tolist() == [f"ready:{name}" for name in sorted(NAMES)]


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_is_less_than_a_megabyte(name):
    size = sum(path.stat().st_size for path in ready_folder(name).rglob("*") if path.is_file())
    assert size < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_no_leaf_is_of_fewer_than_twenty_patients(name):
    for path in (ready_folder(name) / "members").iterdir():
        text = path.read_text(encoding="utf-8")
        counts = [
            int(n) for line in re.findall(r"^leaf_count=(.*)$", text, re.M) for n in line.split()
        ]
        assert min(counts) >= LEAST_ROWS
        assert "feature_infos=" not in text or not re.search(r"\[-?\d", text)  # no extremes


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_a_reader_must_know(name):
    model = load(f"ready:{name}")
    ready, (entry,) = model.card["ready"], [each for each in ENTRIES if each.name == name]
    assert (ready["title"], ready["intended_use"]) == (entry.title, entry.intended_use)
    assert "Decisions about a patient's care" in ready["excluded_use"]
    for row in ready["auroc"]:
        assert row["low"] <= row["value"] <= row["high"]
    pooled = ready["auroc"][-1]
    assert 0.55 < pooled["low"] <= pooled["value"] <= pooled["high"] < 0.85
    assert sum(row["n"] for row in ready["auroc"] if row["cohort"] != "pooled") >= 400
    assert (model.policy is None) == (entry.policy is None)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(FileError) as refusal:
        load("ready:breast")
    assert str(refusal.value) == (
        f"There is no ready model 'breast'; there are {', '.join(sorted(NAMES))}."
    )


def test_they_are_listed_with_what_they_are_for(capsys):
    assert run("models") == 0
    said = capsys.readouterr().out
    for entry in ENTRIES:
        assert f"ready:{entry.name}: {entry.title}" in said
    assert said.count("AUROC 0.") == len(ENTRIES)
    assert said.endswith("Research use only.\n")


def test_five_patients_of_a_table_are_scored_on_the_first_day(tmp_path, capsys):
    table = tmp_path / "patients.csv"
    table.write_text(PATIENTS, encoding="utf-8")
    study = tmp_path / "study"
    everyone = ("--regimen", "*=anti_pd1_pdl1")
    assert run("init", table, "--from", "table", "--out", study, *everyone) == 0
    assert "stratify score ready:pan-cancer" in capsys.readouterr().out
    out = tmp_path / "scores.csv"
    assert run("score", "ready:pan-cancer", study / "study.yaml", "--out", out) == 0
    scores = pd.read_csv(out).set_index("patient_id")
    assert len(scores) == 5
    assert scores["risk"].between(0, 1).all()
    assert scores.loc["A2", "risk"] < scores.loc["A4", "risk"]
    assert (
        scores.loc["A5", "recommendation"] == "refer"
    )  # no glioma was among those it learned from
    assert "unseen_category" in scores.loc["A5", "flags"]
    assert scores["recommendation"].isin(["monotherapy", "combination"]).sum() >= 2
    assert set(scores["decision_rule"].str.split(" ").str[0]) == {"ready"}

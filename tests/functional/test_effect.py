"""Arms compared from a study file: files, report, exit codes; nothing of a patient in them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from stratify.cli import main
from stratify.scoring import load
from stratify.simulation import simulate

EFFECT = {
    "assignment": "randomised",
    "alternative": {"name": "combination", "arms": ["ici_chemotherapy"]},
    "reference": {"name": "monotherapy", "arms": ["anti_pd1_pdl1"]},
    "outcomes": ["pfs", "objective_response"],
    "rules": [{"name": "combination if TPS below 50", "marker": "pdl1_tps", "below": 50}],
}
COLUMNS = {
    "clinical": ["regimen", "arm", "age", "cancer_type", "ecog", "albumin", "nlr"],
    "pdl1": ["pdl1_tps"],
    "outcomes": ["best_response", "pfs", "pfs_event"],
}
UNITS = {"age": "years", "albumin": "g/dL", "pdl1_tps": "percent", "pfs": "months"}


def write_trial(folder: Path, effect: dict[str, Any], *, n: int = 240, leave_out: str = "") -> Path:
    """Write a simulated trial as files and a study file."""
    panels = simulate(n, seed=4, combination_share=0.5).panels
    tables = []
    for panel, names in COLUMNS.items():
        kept = [name for name in names if name != leave_out]
        panels[panel][["patient_id", *kept]].to_csv(folder / f"{panel}.csv", index=False)
        mapped: dict[str, Any] = {
            name: {"column": name, "unit": UNITS[name]} if name in UNITS else name for name in kept
        }
        if "pdl1_tps" in mapped:
            mapped["pdl1_tps"]["assay"] = "22C3"
        tables.append(
            {"file": f"{panel}.csv", "patient_id": "patient_id", "panels": {panel: mapped}}
        )
    study = {
        "stratify": 1,
        "name": "trial",
        "eligible_regimens": ["anti_pd1_pdl1", "ici_chemotherapy"],
        "cohorts": [{"name": "trial", "tables": tables}],
        "effect": effect,
    }
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def run(*arguments: object) -> int:
    try:
        main([str(each) for each in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_refused_design_ends_well_and_says_why(tmp_path, capsys):
    study = write_trial(tmp_path, EFFECT | {"assignment": "observed"}, leave_out="ecog")
    assert run("effect", study, "--out", tmp_path / "out", "--no-track") == 0
    said = capsys.readouterr().out
    assert said.startswith("No effect is estimated: ecog, prior_systemic_therapy are not recorded")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"sizes.csv", "checks.csv", "balance.csv", "findings.csv", "attrition.csv",
                     "effect.html"}  # fmt: skip
    page = (tmp_path / "out" / "effect.html").read_text(encoding="utf-8")
    assert "Average effect</h2>" not in page
    assert "Research use only" in page


def test_arms_that_are_not_there_end_with_the_code_of_an_unusable_cohort(tmp_path, capsys):
    effect = EFFECT | {"alternative": {"name": "combination", "arms": ["Arm B"]}}
    assert run("effect", write_trial(tmp_path, effect), "--out", tmp_path / "out") == 11
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Error: The arms cannot be compared. alternative: 'Arm B' stands nowhere in arm, which "
        "holds 'anti_pd1_pdl1' (125 rows) and 'ici_chemotherapy' (115 rows). Write `arms` as the "
        "column arm does, or map it."
    )
    assert not (tmp_path / "out").exists()


def test_without_econml_the_extra_is_named_before_anything_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "econml", None)
    assert run("effect", write_trial(tmp_path, EFFECT), "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Error: Effects of treatment are estimated with econml, which is not installed. Install it "
        'with `pip install "stratify-immuno[effect]"`.'
    )
    assert not (tmp_path / "out").exists()


def test_a_study_without_arms_is_wrong_data(tmp_path, capsys):
    study = write_trial(tmp_path, EFFECT)
    document = yaml.safe_load(study.read_text(encoding="utf-8"))
    del document["effect"]
    study.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert run("effect", study, "--out", tmp_path / "out") == 10
    assert "the study has no `effect` section" in capsys.readouterr().err


def test_a_policy_by_a_risk_needs_the_model_of_the_risk(tmp_path, capsys):
    study = write_trial(tmp_path, EFFECT)
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "{name: board, version: 1, source: minutes, monotherapy_below: 0.4, combination_from: 0.7}"
    )
    assert run("effect", study, "--out", tmp_path / "out", "--policy", policy) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Error: The policy board 1 decides by a risk; give the model of the risk (--bundle), or a "
        "policy with a marker_rule."
    )
    assert not (tmp_path / "out").exists()


def test_a_score_is_not_tested_on_the_patients_it_was_trained_on(trained, tmp_path, capsys):
    document = yaml.safe_load(trained.study.read_text(encoding="utf-8"))
    for cohort in document["cohorts"]:
        for table in cohort["tables"]:
            table["file"] = str(trained.study.parent / table["file"])
    study = tmp_path / "again.yaml"
    study.write_text(yaml.safe_dump(document | {"effect": EFFECT}), encoding="utf-8")
    out = tmp_path / "out"
    assert run("effect", study, "--bundle", trained.bundle, "--out", out) == 10
    assert "(patients_shared)" in capsys.readouterr().err
    assert not out.exists()


def test_a_landmark_model_is_not_tested_from_baseline(trained, tmp_path, capsys):
    model = load(trained.bundle)
    late = tmp_path / "landmark"
    replace(model, card={**model.card, "landmark_weeks": 6}, version="").save(late)
    study = write_trial(tmp_path, EFFECT)
    assert run("effect", study, "--bundle", late, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Error: The model is of week 6; arms are compared from baseline, where nothing of it is "
        "known. Take a baseline model."
    )


@pytest.mark.slow
def test_a_trial_is_analysed_and_logged_without_a_patient(tmp_path, capsys):
    study = write_trial(tmp_path, EFFECT | {"permutations": 2})
    out = tmp_path / "out"
    assert run("effect", study, "--out", out) == 0
    said = capsys.readouterr().out
    assert "Average effect of combination against monotherapy on progression-free" in said
    assert "MLflow run" in said
    tables = {path.stem: pd.read_csv(path) for path in out.glob("*.csv")}
    assert {"effects", "heterogeneity", "values", "interaction", "benefit", "control"} <= set(
        tables
    )
    assert set(tables["values"]["rule"]) >= {
        "combination for all", "monotherapy for all", "combination if TPS below 50", "policy tree",
        "by the score", "by the DR-learner",
    }  # fmt: skip
    for path in out.iterdir():
        assert "P00" not in path.read_text(encoding="utf-8", errors="ignore")[:20_000]
    again = tmp_path / "again"
    assert run("effect", study, "--out", again, "--no-track") == 0
    for name in tables:
        assert (out / f"{name}.csv").read_bytes() == (again / f"{name}.csv").read_bytes()

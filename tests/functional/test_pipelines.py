"""The thin pipelines: from a study file to results."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from stratify import Study
from stratify.endpoint import endpoint_rules
from stratify.simulation import write_study

PIPELINES = Path(__file__).parents[2] / "pipelines"
RESULTS = {
    *("findings.csv", "attrition.csv", "performance.csv", "scores.csv", "labels.csv"),
    *("attributions.parquet", "profiles.parquet", "report.html", "study.yaml"),
}


def run(pipeline: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PIPELINES / f"{pipeline}.py"), *map(str, arguments)]
    environment = {name: v for name, v in os.environ.items() if not name.startswith("MLFLOW")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture
def run_here(tmp_path, monkeypatch, capsys):
    """Run a pipeline in this process, which has loaded already what it needs; what it printed."""

    def run(pipeline: str, *arguments: object) -> str:
        path = str(PIPELINES / f"{pipeline}.py")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        capsys.readouterr()
        runpy.run_path(path, run_name="__main__")
        said, faults = capsys.readouterr()
        assert faults == ""
        return said

    return run


def test_studies_are_trained_on_scored_and_validated(run_here, tmp_path):
    """The default model, of a few features; two studies judged by one call go to one store."""
    study = write_study(tmp_path / "study", n=100, seed=20)
    few = (
        "features: [tmb, albumin, nlr, age, cancer_type, pdl1_tps]\n"
        "model: {n_members: 3, n_estimators: 20, calibration_folds: 2}\n"
    )
    study.write_text(study.read_text(encoding="utf-8") + few, encoding="utf-8")
    other = study.with_name("again.yaml")
    shutil.copy(study, other)

    trained = run_here("train", study, "--out", "results", "--no-track")

    bundle = tmp_path / "results" / "bundle"
    assert {path.name for path in bundle.parent.iterdir()} == RESULTS | {"bundle"}
    steps = trained.splitlines()
    assert steps[0] == "reading the cohorts"
    assert steps[-2] == "writing the results"
    assert re.fullmatch(r"Model demo-\w{8} in results/bundle, research use only", steps[-1])
    assert {path.name for path in tmp_path.iterdir()} == {"study", "results"}

    scored = run_here("score", bundle, study, "--out", "scores.parquet")

    assert scored == "150 patients scored, research use only: scores.parquet\n"
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    expected = pd.read_csv(bundle.parent / "scores.csv")
    assert (scores["risk"] - expected["risk"]).abs().max() < 1e-12

    judged = run_here("external_validation", bundle, study, other, "--out", "away")

    away = tmp_path / "away"
    assert {path.name for path in away.iterdir()} == {"study", "again", "mlflow.db", "mlartifacts"}
    for folder in (away / "study", away / "again"):
        assert {path.name for path in folder.iterdir()} == RESULTS
    assert len(list((away / "mlartifacts" / "demo").iterdir())) == 2
    said = [line for line in judged.splitlines() if line.startswith("Results")]
    assert said == [
        f"Results on {name} in away/{name}, research use only" for name in ("study", "again")
    ]
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_panels_are_weighed_and_the_learning_curve_is_drawn(tmp_path):
    study = write_study(tmp_path / "study", n=100, seed=20)
    few = (
        "features: [tmb, albumin, nlr, age, cancer_type, pdl1_tps]\n"
        "model: {n_members: 3, n_estimators: 20, calibration_folds: 2}\n"
    )
    study.write_text(study.read_text(encoding="utf-8") + few, encoding="utf-8")

    worth = run("panels", study, "--out", "panels", cwd=tmp_path)

    assert (worth.returncode, worth.stderr) == (0, "")
    assert worth.stdout.splitlines()[0] == "fold 1 of 5"
    assert worth.stdout.splitlines()[-1] == "Results in panels, research use only"
    added = pd.read_csv(tmp_path / "panels" / "added_value.csv")
    assert set(added["panels"]) == {"pdl1", "tmb", "pdl1+tmb"}
    masked = pd.read_csv(tmp_path / "panels" / "masking_cost.csv")
    assert masked["masked"].tolist() == ["pdl1", "tmb", "pdl1+tmb"]

    grown = run("learning_curve", study, "--out", "curve", "--repeats", 2, cwd=tmp_path)

    assert (grown.returncode, grown.stderr) == (0, "")
    assert grown.stdout.splitlines()[0] == "learning curve, 20 % of the training patients"
    curve = pd.read_csv(tmp_path / "curve" / "learning_curve.csv")
    assert curve.groupby("model")["n_train"].nunique().to_dict() == {"logistic": 5, "stratify": 5}
    assert (tmp_path / "curve" / "learning_curve.png").read_bytes()[1:4] == b"PNG"


def test_an_error_ends_with_its_code_and_its_message_alone(tmp_path):
    ended = run("train", "absent.yaml", "--out", "results", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (13, "")
    assert ended.stderr == "There is no study file absent.yaml.\n"
    assert list(tmp_path.iterdir()) == []


def test_studies_of_one_file_name_are_refused(tmp_path):
    studies = ("here/study.yaml", "there/study.yaml")
    ended = run("external_validation", "bundle", *studies, "--out", "away", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith(
        "error: two studies have the same file name and would share a folder; rename one\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.py")), ids=lambda path: path.name)
def test_a_pipeline_is_thin(path):
    text = path.read_text(encoding="utf-8")

    assert len(text.splitlines()) <= 60
    imported = set(re.findall(r"^\s*(?:from|import) (\w+)", text, flags=re.MULTILINE))
    assert imported <= {"__future__", "argparse", "sys", "pathlib", "stratify"}


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("studies/*.yaml")), ids=lambda p: p.stem)
def test_a_study_of_a_public_cohort_loads_and_is_named_after_its_file(path, monkeypatch, tmp_path):
    monkeypatch.setenv("STRATIFY_DATA", str(tmp_path))
    study = Study.load(path)

    assert study.name == path.stem
    assert study.title
    assert study.endpoint.name in endpoint_rules()
    assert study.folder.parent == tmp_path
    assert path.read_text(encoding="utf-8").startswith("# ")
    monkeypatch.delenv("STRATIFY_DATA")
    assert study.folder.parent == PIPELINES.parents[1] / "shared" / "data"

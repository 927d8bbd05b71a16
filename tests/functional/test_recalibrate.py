"""`stratify recalibrate`: the new bundle, what is told of it, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from functional.conftest import IDENTIFIER, Trained
from stratify import load
from stratify.cli import main


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, output, and errors but for the progress."""
    monkeypatch.setenv("COLUMNS", "120")

    def running(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        errors = re.sub(r"^ +\d+\.\d s  .*\n", "", said.err, flags=re.MULTILINE)
        return int(ended.value.code or 0), said.out, errors

    return running


def externals(tables: dict[str, pd.DataFrame], kept: Callable[[pd.DataFrame], Any]) -> None:
    """Keep patients of the external cohort, by its outcomes."""
    ids = set(kept(tables["external/outcomes.csv"])["patient_id"])
    for name, table in tables.items():
        if name.startswith("external/"):
            tables[name] = table[table["patient_id"].isin(ids)]


def test_a_bundle_is_recalibrated_and_then_scores(run, trained: Trained, tmp_path: Path):
    out = tmp_path / "local"
    before = {p.name: p.read_bytes() for p in trained.bundle.rglob("*.json")}
    code, said, errors = run(
        *("recalibrate", trained.bundle, trained.study, "--out", out),
        *("--what", "intercept_slope"),
    )
    assert (code, errors) == (0, "")
    assert {p.name for p in tmp_path.iterdir()} == {
        *("local", "local_performance.csv", "local_calibration.png")
    }
    assert {p.name: p.read_bytes() for p in trained.bundle.rglob("*.json")} == before
    record = json.loads((out / "card.json").read_text("utf-8"))["recalibration"]
    model = load(out)
    assert record["from_version"] == trained.results.model.version != model.version
    for column in ("metric", "before", "after, apparent", "after, cross-fitted"):
        assert column in said
    assert (
        f"Recalibrated on simulated_external, {record['n']} patients, {record['n_events']} with "
        "label 1: intercept "
    ) in " ".join(said.split())
    assert f"Model {model.version} in {out}, research use only.\n" in said
    assert IDENTIFIER not in said

    table = pd.read_csv(tmp_path / "local_performance.csv")
    assert set(zip(table["split"], table["model"], strict=True)) >= {
        *(("train", "before"), ("train", "after"), ("cv", "before"), ("cv", "after"))
    }
    assert set(table["n"]) == {record["n"]}
    assert (tmp_path / "local_calibration.png").read_bytes()[1:4] == b"PNG"

    code, _, _ = run("score", out, trained.study, "--out", tmp_path / "scores.csv")
    assert code == 0
    assert set(pd.read_csv(tmp_path / "scores.csv")["model_version"]) == {model.version}


@pytest.mark.slow
def test_a_report_of_the_new_bundle_states_the_recalibration(
    run, trained: Trained, rewritten, tmp_path: Path
):
    study = rewritten(lambda document, tables: externals(tables, lambda t: t.head(60)))
    out = tmp_path / "local"
    assert run("recalibrate", trained.bundle, study, "--out", out, "--what", "intercept")[0] == 0
    code, _, _ = run("report", out, trained.study, "--out", tmp_path / "report.html")
    assert code == 0
    text = (tmp_path / "report.html").read_text("utf-8")
    record = load(out).card["recalibration"]
    assert f"Recalibrated on simulated_external, {record['n']} patients" in text


def too_few(document: Any, tables: dict[str, pd.DataFrame]) -> None:
    externals(tables, lambda t: t.head(12))


def one_class(document: Any, tables: dict[str, pd.DataFrame]) -> None:
    externals(tables, lambda t: t[t["PFS_days"].astype(float) > 183])


def training_patients(document: Any, tables: dict[str, pd.DataFrame]) -> None:
    document["cohorts"] = document["cohorts"][:1]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (
            too_few,
            11,
            r"Error: simulated_external has \d patients with label 1 and \d with label 0; at least "
            r"10 of each are needed to recalibrate\. Add patients\.\n",
        ),
        (one_class, 11, r"Error: The study demo cannot be used\. .* have the label 0\. .*\n"),
        (training_patients, 10, r"(?s).*patients_shared.*"),
    ],
)
def test_what_cannot_serve_is_told_and_nothing_is_written(
    run, trained: Trained, rewritten, tmp_path: Path, change, code, message
):
    study = rewritten(change)
    out = tmp_path / "out" / "local"
    ended, _, errors = run("recalibrate", trained.bundle, study, "--out", out)
    assert ended == code
    assert re.fullmatch(message, errors), errors
    assert not list(out.parent.iterdir())


def test_the_patients_that_fitted_the_line_do_not_judge_it(run, trained: Trained, tmp_path: Path):
    out = tmp_path / "local"
    assert run("recalibrate", trained.bundle, trained.study, "--out", out)[0] == 0
    code, _, errors = run("evaluate", out, trained.study, "--out", tmp_path / "evaluation")
    assert code == 10
    assert "patients_shared" in errors


def test_a_folder_that_is_no_bundle_is_not_replaced(run, trained: Trained, tmp_path: Path):
    (tmp_path / "notes").mkdir()
    code, _, errors = run("recalibrate", trained.bundle, trained.study, "--out", tmp_path / "notes")
    message = f"Error: {tmp_path}/notes exists and is no bundle; choose another folder.\n"
    assert (code, errors) == (13, message)


def test_an_unknown_change_is_wrong_usage(run, trained: Trained, tmp_path: Path):
    out = tmp_path / "local"
    code, _, errors = run(
        "recalibrate", trained.bundle, trained.study, "--out", out, "--what", "all"
    )
    assert code == 2
    assert "'closed_test', 'intercept', 'intercept_slope'" in errors

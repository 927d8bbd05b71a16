"""A store of files on one machine: several trainings at once, and a disk that is full."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from team.conftest import begun, ended

# mlflow 3.17 uses a loader that SQLAlchemy 2.1 deprecates (seen 2026-11-23)
SQLALCHEMY = "ignore::sqlalchemy.exc.SADeprecationWarning"
pytestmark = [pytest.mark.team, pytest.mark.filterwarnings(SQLALCHEMY)]
ALONE = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}


def test_four_trainings_at_once_on_sqlite(studies, tmp_path):
    store = tmp_path / "mlflow.db"
    outs = [tmp_path / f"work{k}" / "out" for k in range(4)]
    for out in outs:
        out.parent.mkdir()

    running = [
        begun("train", study, "--out", out, "--store", store, folder=tmp_path, env=ALONE)
        for study, out in zip(studies, outs, strict=True)
    ]
    answers = [ended(process) for process in running]

    assert [code for code, _ in answers] == [0, 0, 0, 0], answers
    client = mlflow.MlflowClient(f"sqlite:///{store}")
    experiments = {e.name: e.experiment_id for e in client.search_experiments()}
    runs = client.search_runs(list(experiments.values()), "tags.kind = 'training'")
    assert sorted(run.data.params["study"] for run in runs) == ["demo", "demo", "demo2", "demo3"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        assert run.info.experiment_id == experiments[run.data.params["study"]]
        folds = client.search_runs(
            [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
        )
        assert len(folds) == 5
        report = Path(run.info.artifact_uri.removeprefix("file://")) / "report.html"
        assert run.data.tags["model_version"] in report.read_text(encoding="utf-8")
    versions = client.search_model_versions("name = 'demo'")
    assert sorted(int(version.version) for version in versions) == [1, 2]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB, which a run does not fit on."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted; run as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_breaks_nothing(studies, tmp_path, small_disk):
    out = tmp_path / "out"
    store = small_disk / "mlflow.db"

    code, text = ended(
        begun("train", studies[2], "--out", out, "--store", store, folder=tmp_path, env=ALONE)
    )

    assert code == 14, text
    assert "Traceback" not in text
    told = text.splitlines()[-1]
    assert told.startswith(f"Tracking: The MLflow store sqlite:///{store} cannot be used: ")
    assert "No space left on device" in told or "database or disk is full" in told
    assert told.endswith(f"stratify runs sync {tmp_path / 'mlflow_queue'}")
    assert (out / "report.html").is_file()

    # with room again: the same queue, one whole run
    store = tmp_path / "room" / "mlflow.db"
    store.parent.mkdir()
    shutil.copyfile(small_disk / "mlflow.db", store)
    with sqlite3.connect(store) as base:
        assert base.execute("pragma integrity_check").fetchone() == ("ok",)
    store.unlink()
    code, text = ended(
        begun("runs", "sync", tmp_path, "--store", store, folder=tmp_path, env=ALONE)
    )
    assert (code, text) == (0, "1 run sent.\n")
    client = mlflow.MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("demo2").experiment_id
    (run,) = client.search_runs([experiment], "tags.kind = 'training'")
    assert run.info.status == "FINISHED"
    assert {"report.html", "figures", "tables"} <= {
        item.path for item in client.list_artifacts(run.info.run_id)
    }

"""A store of files on one machine: trainings at once, killed ones, a full and a read-only disk."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from team.conftest import ALONE, begun, ended, mounted, run, waiting

# mlflow 3.17 uses a loader that SQLAlchemy 2.1 deprecates (seen 2026-11-23)
SQLALCHEMY = "ignore::sqlalchemy.exc.SADeprecationWarning"
OLD = Path(__file__).parents[1] / "functional" / "mlflow_3_1.sql"  # a store of mlflow 3.1.0
pytestmark = [pytest.mark.team, pytest.mark.filterwarnings(SQLALCHEMY)]


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
    assert sorted(r.data.params["study"] for r in runs) == ["demo", "demo", "demo2", "demo3"]
    assert {r.info.status for r in runs} == {"FINISHED"}
    for found in runs:
        assert found.info.experiment_id == experiments[found.data.params["study"]]
        folds = client.search_runs(
            [found.info.experiment_id], f"tags.`mlflow.parentRunId` = '{found.info.run_id}'"
        )
        assert len(folds) == 5
        report = Path(found.info.artifact_uri.removeprefix("file://")) / "report.html"
        assert found.data.tags["model_version"] in report.read_text(encoding="utf-8")
    versions = client.search_model_versions("name = 'demo'")
    assert sorted(int(version.version) for version in versions) == [1, 2]


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


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder with a store in it, mounted so that not even root may write there."""
    folder = tmp_path / "archive"
    folder.mkdir()
    with sqlite3.connect(folder / "mlflow.db") as base:
        base.executescript(OLD.read_text(encoding="utf-8"))
    mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()  # to this mlflow
    mounted(folder, "--bind", str(folder))
    subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mlflow.db", "attempt to write a readonly database"),
        ("new.db", "unable to open database file"),
        ("folder/new.db", "[Errno 30] Read-only file system"),
    ],
)
def test_a_read_only_folder_is_told_and_the_run_waits(unsent, read_only, tmp_path, name, reason):
    queue = waiting(unsent, tmp_path)

    store = read_only / name
    code, text = run("runs", "sync", queue, "--store", store, folder=tmp_path, env=ALONE)

    assert code == 14, text
    assert "Traceback" not in text
    told = text.splitlines()[-1]
    assert told.startswith(f"Tracking: The MLflow store sqlite:///{store} cannot be used: ")
    assert reason in told
    assert told.endswith(f"1 of 1 runs wait in {queue}.")
    room = tmp_path / "room.db"
    code, text = run("runs", "sync", queue, "--store", room, folder=tmp_path, env=ALONE)
    assert (code, text) == (0, "1 run sent.\n")


def test_a_read_only_store_can_be_read(read_only, tmp_path):
    code, text = run("runs", "--store", read_only, folder=tmp_path, env=ALONE)

    assert code == 0, text
    assert "demo-00000000" in text


def running(store: Path) -> int:
    """How many runs a store says are running."""
    try:
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as base:
            found = base.execute("select count(*) from runs where status = 'RUNNING'")
            return int(found.fetchone()[0])
    except sqlite3.Error:  # the store is being made
        return 0


def test_a_training_killed_while_it_logs_is_completed_later(studies, tmp_path):
    store = tmp_path / "mlflow.db"
    out = tmp_path / "out"
    training = begun(
        "train", studies[2], "--out", out, "--store", store, folder=tmp_path, env=ALONE
    )
    while training.poll() is None and not running(store):
        time.sleep(0.01)
    training.send_signal(signal.SIGKILL)
    code, text = ended(training)
    assert code == -signal.SIGKILL, text
    assert (out / "report.html").is_file()
    with sqlite3.connect(store) as base:
        assert base.execute("pragma integrity_check").fetchone() == ("ok",)

    again = ("train", studies[2], "--out", tmp_path / "next", "--store", store)
    code, text = run(*again, folder=tmp_path, env=ALONE)
    assert code == 0, text
    code, text = run("runs", "sync", tmp_path, "--store", store, folder=tmp_path, env=ALONE)
    assert (code, text) == (0, "1 run sent.\n")

    client = mlflow.MlflowClient(f"sqlite:///{store}")
    runs = client.search_runs([client.get_experiment_by_name("demo2").experiment_id])
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert len(runs) == 2 * 6  # two trainings, each with five folds
    assert sorted(v.version for v in client.search_model_versions("name = 'demo2'")) == [1, 2]
    assert not (tmp_path / "mlflow_queue").exists()

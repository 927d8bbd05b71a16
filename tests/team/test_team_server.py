"""A team: several trainings at once, review, promotion, a server that dies, a wrong password."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from team.conftest import Team, begun, ended, run, waiting

pytestmark = pytest.mark.team


@pytest.fixture(scope="module")
def trained(team: Team, studies: list[Path]) -> list[Path]:
    """Folders of four trainings that ran at once, two of them of one study."""
    outs = [team.folder / f"work{k}" / "out" for k in range(4)]
    for out in outs:
        out.parent.mkdir()
    running = [
        begun("train", study, "--out", out, folder=team.folder, env=team.environment)
        for study, out in zip(studies, outs, strict=True)
    ]
    for process in running:
        code, text = ended(process)
        assert (code, "MLflow run" in text) == (0, True), text
    return outs


@pytest.fixture
def client(team: Team, monkeypatch: pytest.MonkeyPatch) -> Any:
    import mlflow

    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "NO_PROXY"):
        monkeypatch.setenv(name, team.environment[name])
    return mlflow.MlflowClient(team.uri)


def tops(client: Any) -> dict[str, list[Any]]:
    """Runs that are not nested, by experiment."""
    found = {}
    for experiment in client.search_experiments():
        runs = client.search_runs([experiment.experiment_id], "tags.kind = 'training'")
        if runs:
            found[experiment.name] = runs
    return found


def test_four_trainings_at_once_are_four_whole_runs(trained, client):
    runs = tops(client)

    assert {name: len(found) for name, found in runs.items()} == {
        "demo": 2, "demo2": 1, "demo3": 1
    }  # fmt: skip
    for name, found in runs.items():
        for run_ in found:
            assert run_.info.status == "FINISHED"
            assert run_.data.tags["model_version"].startswith(f"{name}-")
            assert run_.data.params["study"] == name
            paths = {item.path for item in client.list_artifacts(run_.info.run_id)}
            assert {"report.html", "figures", "tables", "performance.csv"} <= paths
            nested = client.search_runs(
                [run_.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_.info.run_id}'"
            )
            assert [child.info.status for child in nested] == ["FINISHED"] * 5
            assert len(run_.outputs.model_outputs) == 1
    versions = client.search_model_versions("name = 'demo'")
    assert sorted(int(version.version) for version in versions) == [1, 2]
    assert not [out for out in trained if (out.parent / "mlflow_queue").exists()]


def test_review_promote_and_score_by_the_alias(team, trained, studies, client):
    code, text = run("runs", "--store", team.uri, folder=team.folder, env=team.environment)
    assert code == 0
    assert text.count("training") == 4

    code, text = run(
        *("runs", "promote", "demo3", studies[3], "--store", team.uri),
        folder=team.folder,
        env=team.environment,
    )
    decided = {a: str(v) for a, v in client.get_registered_model("demo3").aliases.items()}
    (told,) = [
        r.data.tags["decision"]
        for r in client.search_runs(
            [client.get_experiment_by_name("demo3").experiment_id], "tags.kind = 'promotion'"
        )
    ]
    if told == "promoted":
        assert (code, decided) == (0, {"champion": "1"}), text
    else:
        assert (code, decided) == (12, {"candidate": "1"}), text
    (alias,) = decided

    out = team.folder / "scores.csv"
    code, text = run(
        *("score", f"models:/demo3@{alias}", studies[3], "--out", out, "--store", team.uri),
        folder=team.folder,
        env=team.environment,
    )
    assert code == 0, text
    local = team.folder / "local.csv"
    run(
        "score", trained[3] / "bundle", studies[3], "--out", local,
        folder=team.folder, env=team.environment,
    )  # fmt: skip
    assert out.read_bytes() == local.read_bytes()


@pytest.mark.parametrize(
    ("bundle", "message"),
    [
        ("models:/demo3@approved", "Model demo3 has no alias 'approved'; it has "),
        ("models:/demo3/7", "Model demo3 has no version 7; it has 1."),
        ("models:/nobody@champion", "There is no registered model 'nobody'; the store has demo"),
    ],
)
def test_a_model_that_is_not_there_is_wrong_usage(team, trained, studies, bundle, message):
    code, text = run(
        *("score", bundle, studies[3], "--out", "x.csv", "--store", team.uri),
        folder=team.folder,
        env=team.environment,
    )

    assert (code, message in text) == (2, True), text


def test_a_wrong_password_leaves_the_run_in_the_queue(team, trained, studies, client):
    before = len(tops(client)["demo2"])
    out = team.folder / "refused" / "out"
    out.parent.mkdir()
    wrong = {**team.environment, "MLFLOW_TRACKING_PASSWORD": "another-password"}

    code, text = run(
        "evaluate", trained[2] / "bundle", studies[2], "--out", out, folder=team.folder, env=wrong
    )

    assert code == 14, text
    assert "You are not authenticated" in text
    assert f"the run waits in {out.parent / 'mlflow_queue'}" in text
    assert "another-password" not in text
    assert (out / "report.html").is_file()

    code, text = run("runs", "sync", out.parent, folder=team.folder, env=team.environment)
    assert (code, text) == (0, "1 run sent.\n")
    assert len(tops(client)["demo2"]) == before


BREAKS = """
import os, signal, sys
import mlflow
from stratify.tracking.upload import sync

step, whom, queue = sys.argv[1], int(sys.argv[2]), sys.argv[3]
usual = getattr(mlflow.MlflowClient, step)

def broken(*arguments, **options):
    if whom:
        os.killpg(whom, signal.SIGKILL)  # the server, in the middle of a run
    else:
        os.kill(os.getpid(), signal.SIGKILL)  # this process
    return usual(*arguments, **options)

setattr(mlflow.MlflowClient, step, broken)
from stratify.errors import StratifyError
try:
    sync(queue)
except StratifyError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def counts(client: Any) -> list[int]:
    """Runs, nested ones among them, and versions."""
    numbers = [experiment.experiment_id for experiment in client.search_experiments()]
    return [len(client.search_runs(numbers)), len(client.search_model_versions())]


@pytest.mark.parametrize("step", ["create_model_version", "log_batch", "log_artifacts"])
def test_a_killed_process_leaves_a_run_that_is_completed_later(team, unsent, client, step):
    before = counts(client)
    queue = waiting(unsent, team.folder / f"killed_{step}")

    command = [sys.executable, "-c", BREAKS, step, "0", str(queue)]
    killed = subprocess.run(command, env=team.environment, cwd=team.folder, check=False)
    assert killed.returncode == -signal.SIGKILL

    code, text = run("runs", "sync", queue, folder=team.folder, env=team.environment)
    assert (code, text) == (0, "1 run sent.\n")
    assert not queue.exists()
    assert counts(client) == [before[0] + 6, before[1] + 1]  # the training and its five folds
    newest = tops(client)["demo2"][0]
    assert newest.info.status == "FINISHED"
    assert "report.html" in {i.path for i in client.list_artifacts(newest.info.run_id)}


@pytest.mark.parametrize("step", ["log_batch", "log_artifacts"])
def test_a_server_killed_in_mid_run_costs_no_run(team, unsent, client, step):
    before = counts(client)
    queue = waiting(unsent, team.folder / f"dead_server_{step}")

    command = [sys.executable, "-c", BREAKS, step, str(team.server.pid)]
    died = subprocess.run(
        [*command, str(queue)], env=team.environment, cwd=team.folder, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert died.returncode == 14, died.stderr
    assert died.stdout.startswith(f"The MLflow store {team.uri} cannot be used: ")
    assert died.stdout.endswith(f"1 of 1 runs wait in {queue}.\n")
    team.server.wait(30)

    team.start()
    code, text = run("runs", "sync", queue, folder=team.folder, env=team.environment)
    assert (code, text) == (0, "1 run sent.\n")
    assert counts(client) == [before[0] + 6, before[1] + 1]
    assert tops(client)["demo2"][0].info.status == "FINISHED"

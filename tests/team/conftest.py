"""A team's server on loopback: PostgreSQL of the system, MLflow with basic auth before it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stratify.simulation import write_study

ADMIN, PASSWORD = "admin", "a-long-password-of-a-team"
PATIENCE = 240.0  # seconds for a server to answer on a busy machine
ALONE = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}


def free_port() -> int:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        return int(port.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until a server answers, be it with a refusal."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, f"the server of {url} ended with {process.returncode}"
        try:
            opener.open(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.3)
        else:
            return
    raise AssertionError(f"{url} did not answer in {PATIENCE:.0f} s")


def stopped(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """End a server and what it has started."""
    if process.poll() is None:
        os.killpg(process.pid, how)
        process.wait(60)


@pytest.fixture(scope="module")  # no file sees the runs of another
def postgres() -> Iterator[str]:
    """Address of a PostgreSQL of its own with two empty data bases, as SQLAlchemy wants it."""
    if shutil.which("initdb") is None or shutil.which("postgres") is None:
        pytest.skip("PostgreSQL's programs (initdb, postgres) are not installed")
    pytest.importorskip("psycopg")
    # PostgreSQL refuses to run as root
    user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="stratify-postgres-"))
    port = free_port()
    if user:
        shutil.chown(folder, "nobody", "nogroup")
    subprocess.run(
        ["initdb", "-D", folder / "data", "-U", "mlflow", "--auth=trust", "-E", "UTF8", "-N"],
        check=True,
        capture_output=True,
        cwd=folder,
        **user,
    )
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-c", "fsync=off"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            ["postgres", "-D", folder / "data", *options],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            **user,
        )
    try:
        import psycopg

        end = time.monotonic() + PATIENCE
        while True:
            try:
                base = f"host=127.0.0.1 port={port} user=mlflow dbname=postgres"
                with psycopg.connect(base, autocommit=True) as connection:
                    connection.execute("CREATE DATABASE mlflow")
                    connection.execute("CREATE DATABASE mlflow_auth")
                break
            except psycopg.OperationalError:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end, "PostgreSQL did not answer"
                time.sleep(0.3)
        yield f"postgresql+psycopg://mlflow@127.0.0.1:{port}"
    finally:
        stopped(server, signal.SIGINT)  # PostgreSQL's fast shutdown
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Team:
    """An authenticated tracking server; started and stopped by the tests."""

    postgres: str
    folder: Path
    port: int = field(default_factory=free_port)
    server: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Of a member of the team."""
        return {
            **os.environ,
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": ADMIN,
            "MLFLOW_TRACKING_PASSWORD": PASSWORD,
            "NO_PROXY": "127.0.0.1",
        }

    def start(self) -> None:
        config = self.folder / "basic_auth.ini"
        config.write_text(
            "[mlflow]\n"
            "default_permission = READ\n"
            "auth_cache_ttl_seconds = 60\n"
            f"database_uri = {self.postgres}/mlflow_auth\n"
            f"admin_username = {ADMIN}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "2"]
        command += ["--backend-store-uri", f"{self.postgres}/mlflow"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **os.environ,
                    "MLFLOW_AUTH_CONFIG_PATH": str(config),
                    "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
                    "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of the tests",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                },
            )
        wait_for(f"{self.uri}/health", self.server)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.server is not None:
            stopped(self.server, how)


@pytest.fixture(scope="module")
def team(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    there = Team(postgres, tmp_path_factory.mktemp("team"))
    there.start()
    yield there
    there.stop()


SMALL = "model: {n_members: 2, n_estimators: 10, calibration_folds: 2}\n"


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four small studies; the first two have one name, so that they are one experiment."""
    found = []
    for k in range(4):
        path = write_study(tmp_path_factory.mktemp(f"study{k}"), n=160, seed=20 + k)
        text = path.read_text(encoding="utf-8")
        if k > 1:
            text = text.replace("name: demo", f"name: demo{k}", 1)
        path.write_text(text + SMALL, encoding="utf-8")
        found.append(path)
    return found


def begun(*arguments: object, folder: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Begin a command of the command line."""
    return subprocess.Popen(
        [sys.executable, "-m", "stratify.cli", *map(str, arguments)],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Code and output of a command."""
    out, err = process.communicate(timeout=900)
    return process.returncode, (out + err).decode()


def run(*arguments: object, folder: Path, env: dict[str, str]) -> tuple[int, str]:
    return ended(begun(*arguments, folder=folder, env=env))


@pytest.fixture(scope="session")
def unsent(studies: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record of a training whose server was away."""
    folder = tmp_path_factory.mktemp("unsent")
    away = {**ALONE, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    code, text = run("train", studies[2], "--out", folder / "out", folder=folder, env=away)
    assert code == 14, text
    (record,) = (folder / "mlflow_queue").iterdir()
    return record


def waiting(unsent: Path, folder: Path) -> Path:
    """Queue in a folder with a copy of the record, as of another training."""
    key, queue = uuid.uuid4().hex, folder / "mlflow_queue"
    shutil.copytree(unsent, queue / key)
    document = json.loads((queue / key / "run.json").read_text(encoding="utf-8"))
    for part in (document, *document["children"]):
        part["key"] = uuid.uuid4().hex
    (queue / key / "run.json").write_text(json.dumps(document), encoding="utf-8")
    return queue


def mounted(folder: Path, *options: str) -> None:
    """Mount something on a folder, or skip the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("nothing can be mounted here; run as root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB, which a run does not fit on."""
    folder = tmp_path / "disk"
    mounted(folder, "-t", "tmpfs", "-o", "size=3m,mode=0777", "tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)

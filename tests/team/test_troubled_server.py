"""A team's server in trouble: slow, silent, and with its disk of artefacts full."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from team.conftest import Team, free_port, mounted, run, waiting

pytestmark = pytest.mark.team
DELAY = 0.3  # seconds before a request reaches the server


@contextlib.contextmanager
def slowed(port: int, delay: float | None) -> Iterator[int]:
    """Port that hands everything on to another one after a delay; with None it never does."""
    listening = socket.create_server(("127.0.0.1", 0))

    def hand_on(source: socket.socket, target: socket.socket, wait: float) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65_536):
                time.sleep(wait)
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                kept.append(client)
                if delay is None:
                    continue  # connected, and never answered
                server = socket.create_connection(("127.0.0.1", port))
                kept.append(server)
                for pair in ((client, server, delay), (server, client, 0.0)):
                    threading.Thread(target=hand_on, args=pair, daemon=True).start()

    kept = [listening]
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # else it would wait for another client
        for one in kept:
            one.close()


def test_a_slow_server_gets_the_whole_run(team: Team, unsent, tmp_path):
    queue = waiting(unsent, tmp_path)

    with slowed(team.port, DELAY) as port:
        slow = {**team.environment, "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
        began = time.monotonic()
        code, text = run("runs", "sync", queue, folder=tmp_path, env=slow)

    print(f"\nEach request {DELAY} s late: sent in {time.monotonic() - began:.0f} s")
    assert (code, text) == (0, "1 run sent.\n")
    assert not queue.exists()


def test_a_server_that_never_answers_is_given_up(team: Team, unsent, tmp_path):
    queue = waiting(unsent, tmp_path)

    with slowed(team.port, None) as port:
        silent = {
            **team.environment,
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
        }
        began = time.monotonic()
        code, text = run("runs", "sync", queue, folder=tmp_path, env=silent)
        took = time.monotonic() - began

    print(f"\nGiven up after {took:.0f} s")
    assert code == 14, text
    assert "Traceback" not in text
    assert "timed out" in text.lower() or "timeout" in text.lower()
    assert text.endswith(f"1 of 1 runs wait in {queue}.\n")
    code, text = run("runs", "sync", queue, folder=tmp_path, env=team.environment)
    assert (code, text) == (0, "1 run sent.\n")


def test_a_servers_full_disk_of_artefacts_is_told_and_mended(postgres, unsent, tmp_path):
    """The folder of artefacts is a disk of 3 MB; then it is given room."""
    there = Team(postgres, tmp_path, port=free_port())
    disk = tmp_path / "artifacts"
    mounted(disk, "-t", "tmpfs", "-o", "size=3m,mode=0777", "tmpfs")
    try:
        there.start()
        queue = waiting(unsent, tmp_path)

        code, text = run("runs", "sync", queue, folder=tmp_path, env=there.environment)

        assert code == 14, text
        assert "Traceback" not in text
        told = text.splitlines()[-1]
        assert told.startswith(f"Tracking: The MLflow store {there.uri} cannot be used: ")
        assert told.endswith(f"1 of 1 runs wait in {queue}.")
        assert not list(disk.rglob("report.html"))
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        code, text = run("runs", "sync", queue, folder=tmp_path, env=there.environment)
        assert (code, text) == (0, "1 run sent.\n")
        assert list(disk.rglob("report.html"))
        assert not queue.exists()
    finally:
        there.stop()
        subprocess.run(["umount", "--lazy", str(disk)], check=True)

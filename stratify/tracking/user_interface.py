"""The MLflow UI of a store, on this machine only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from stratify.errors import FileError, TrackingError
from stratify.tracking.store import store_uri

__all__ = ["page", "serve_ui"]

# MLflow opens with tools for chat models unless the address asks for experiments
WORKFLOW = "workflowType=machine_learning"
# what a review of runs does not need: workers for chat models, checks for hosts of a team
LIGHT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
PATIENCE = 120.0  # seconds


def page(port: int, path: str = "experiments") -> str:
    """Address of a page of the UI.

    Examples
    --------
    >>> page(5000)
    'http://127.0.0.1:5000/#/experiments?workflowType=machine_learning'
    """
    return f"http://127.0.0.1:{port}/#/{path}?{WORKFLOW}"


def serve_ui(
    store: str | Path, *, port: int = 5000, ready: Callable[[str], None] = lambda _: None
) -> int:
    """Open the MLflow UI of a store on loopback, until interrupted."""
    uri = existing_store(store)
    if uri.startswith(("http://", "https://")):
        raise TrackingError(
            f"{uri} is a server that has its own UI; open it in a browser, with "
            f"#/experiments?{WORKFLOW} behind the address."
        )
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    if _answers(port):
        raise TrackingError(f"Port {port} is taken; choose another with --port.")
    server = subprocess.Popen(command, env={**os.environ, **LIGHT})  # noqa: S603 - no shell
    try:
        since = time.monotonic()
        while server.poll() is None and time.monotonic() - since < PATIENCE:
            if _answers(port):
                ready(page(port))
                break
            time.sleep(0.2)
        return server.wait()
    except KeyboardInterrupt:
        server.terminate()
        server.wait()
        return 0


def existing_store(store: str | Path) -> str:
    """Tracking URI of a store that is there."""
    if "://" in str(store):
        return str(store)
    path = Path(store).resolve()
    if path.is_dir():
        places = (path / "mlflow.db", path.parent / "mlflow.db")  # of an output folder: next to it
        path = next((place for place in places if place.is_file()), places[0])
    if not path.is_file():
        raise FileError(f"There is no MLflow store {path}; train first, or name one with --store.")
    return store_uri(path)


def _answers(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False

"""Where runs are kept: a data base file or a server, opened its errors as ours.

No message holds a password, and none of the process's own MLflow settings is changed for longer
than a store is open.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stratify.errors import TrackingError

__all__ = ["default_store", "experiment_id", "here", "opened", "shown", "store_uri"]

SQLITE = "sqlite:///"
# A server that does not answer is given up after seconds, not the minutes of MLflow's defaults;
# who has a slow one sets the variable.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
QUIET = {
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def default_store(out: str | Path) -> str:
    """Tracking URI: ``MLFLOW_TRACKING_URI`` if set, else ``mlflow.db`` next to the output folder.

    Examples
    --------
    >>> default_store("results/chowell").endswith("results/mlflow.db")
    True
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return uri or f"sqlite:///{Path(out).resolve().parent / 'mlflow.db'}"


def here() -> str:
    """Tracking URI of ``MLFLOW_TRACKING_URI``, else of ``mlflow.db`` in the working folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or store_uri(".")


def store_uri(store: str | Path) -> str:
    """Tracking URI of a URI, of a data base file, or of the folder that holds one.

    MLflow would make a folder of files of a path, which it has given up.

    Examples
    --------
    >>> store_uri("https://mlflow.example.org"), store_uri("/data/team")
    ('https://mlflow.example.org', 'sqlite:////data/team/mlflow.db')
    """
    text = str(store)
    if len(urlsplit(text).scheme) > 1 or text.startswith("databricks"):
        return text
    path = Path(store).resolve()
    return f"sqlite:///{path if path.suffix == '.db' else path / 'mlflow.db'}"


def shown(uri: str) -> str:
    """Tracking URI without user and password.

    Examples
    --------
    >>> shown("postgresql://me:secret@db.example.org/runs")
    'postgresql://db.example.org/runs'
    """
    user, at, _ = urlsplit(uri).netloc.rpartition("@")
    return uri.replace(f"{user}{at}", "", 1) if at else uri


@contextmanager
def opened(uri: str, *, ending: str = "The results are on disk.") -> Iterator[Any]:
    """Give a client of a store; the process's own store is put back."""
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", *PATIENCE)}
    for variable, wanted in {**PATIENCE, **QUIET}.items():
        os.environ.setdefault(variable, wanted)
    try:
        import mlflow
        from alembic.util.exc import CommandError
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise TrackingError(f"MLflow cannot be imported: {error}. {ending}") from error
    for logger in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # ours replace their errors
    try:
        _make(uri)
        # mlflow 3.17 warns of its own type hints and SQLAlchemy loaders (seen 2026-11-23)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.set_tracking_uri(uri)
            yield mlflow.MlflowClient(uri)
    except (
        *(mlflow.exceptions.MlflowException, SQLAlchemyError, CommandError, sqlite3.Error),
        *(OSError, ImportError),  # an import fails where the driver of a data base is missing
    ) as error:
        raise TrackingError(
            f"The MLflow store {shown(uri)} cannot be used: {_reason(error, uri)}. {ending}"
        ) from error
    finally:
        mlflow.set_tracking_uri(None)  # empties the variable too, which mlflow has overwritten
        for name in before:
            os.environ.pop(name, None)
        os.environ |= {name: value for name, value in before.items() if value is not None}


def _make(uri: str) -> None:
    """Put a new data base file in its place whole.

    No process must see a store that another one is still making: mlflow 3.17 lets both change its
    tables, and fails.
    """
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or path.exists():
        return
    import mlflow

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder) / "mlflow.db"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                mlflow.MlflowClient(f"{SQLITE}{own}").search_experiments(max_results=1)
            with (
                closing(sqlite3.connect(own)) as made,
                closing(sqlite3.connect(unfinished)) as new,
            ):
                made.backup(new)
        try:
            os.link(unfinished, path)
        except FileExistsError:
            return  # another process was first
        except OSError:  # a file system without links
            if not path.exists():
                unfinished.replace(path)
    finally:
        with suppress(OSError):  # the first error counts
            unfinished.unlink()


def _reason(error: BaseException, uri: str) -> str:
    first = str(error).replace(uri, shown(uri)).strip().partition("\n")[0].rstrip(".")
    return textwrap.shorten(first, 400, placeholder=" ...") or type(error).__name__


def experiment_id(client: Any, name: str, uri: str, *, about: str = "") -> str:
    """Experiment of a name; made where there is none, by whichever process is first.

    `about` becomes the description of a new experiment.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if uri.startswith(SQLITE):  # artefacts next to the data base, not in the working folder
        location = (Path(uri.removeprefix(SQLITE)).parent / "mlartifacts" / name).as_uri()
    # the UI opens such an experiment with its runs table, not with tools for chat models
    tags = {"mlflow.experimentKind": "custom_model_development"}
    if about:
        tags["mlflow.note.content"] = about
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name, artifact_location=location, tags=tags))
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another process was first
        if found is None:
            raise
        return str(found.experiment_id)

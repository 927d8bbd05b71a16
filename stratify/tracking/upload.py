"""Runs sent from disk to a store, and the queue of those that could not be sent."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from stratify.errors import FileError, TrackingError
from stratify.tracking.record import RunRecord, keep, kept, read_record
from stratify.tracking.saved_view import save_view
from stratify.tracking.serving import log_model
from stratify.tracking.store import default_store, experiment_id, opened, store_uri

__all__ = ["log", "queue_of", "sync"]

KEY = "stratify.key"
BATCH = 900  # MLflow takes 1000 metrics, params and tags in one request
MOST_PARAMS = 100


def queue_of(out: str | Path) -> Path:
    """Folder in which runs wait that could not be sent: next to the output folder."""
    return Path(out).resolve().parent / "mlflow_queue"


def log(record: RunRecord, out: str | Path, *, uri: str | None = None) -> str:
    """Log a run; one that cannot be sent is kept in the queue.

    Parameters
    ----------
    uri : str, optional
        Tracking URI, or the path of a folder or of a data base ending in ``.db``; see
        :func:`stratify.tracking.store.default_store`.
    """
    queue = queue_of(out)
    try:
        folder = keep(record, queue)
    except FileError as error:
        raise TrackingError(
            f"{error} The results are on disk, but the run is not logged."
        ) from error
    ending = (
        f"The results are on disk; the run waits in {queue}. Send it later with: "
        f"stratify runs sync {queue}"
    )
    run_id = _send(record, folder, store_uri(uri or default_store(out)), ending)
    _done(folder)
    return run_id


def sync(queue: str | Path, *, uri: str | None = None) -> list[str]:
    """Send the runs of a queue, oldest first; a run that is in the store is completed, not doubled.

    Parameters
    ----------
    uri : str, optional
        As in :func:`log`; by default ``mlflow.db`` next to the queue.
    """
    queue = Path(queue).resolve()
    if not queue.is_dir():
        raise FileError(f"There is no folder {queue}; name the queue that the message named.")
    if queue.name != "mlflow_queue" and (queue / "mlflow_queue").is_dir():
        queue = queue / "mlflow_queue"
    sent: list[str] = []
    folders = kept(queue)
    for folder in folders:
        ending = f"{len(folders) - len(sent)} of {len(folders)} runs wait in {queue}."
        record = read_record(folder)
        sent.append(_send(record, folder, store_uri(uri or default_store(queue)), ending))
        _done(folder)
    return sent


def _done(folder: Path) -> None:
    """Remove a record that was sent; the queue too where it was the last one."""
    shutil.rmtree(folder, ignore_errors=True)
    for left in folder.parent.glob(".*.part"):
        if left.stat().st_mtime < folder.parent.stat().st_mtime - 86_400:
            shutil.rmtree(left, ignore_errors=True)  # of a process that was killed
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def _send(record: RunRecord, folder: Path, uri: str, ending: str) -> str:
    with opened(uri, ending=ending) as client:
        experiment = experiment_id(client, record.experiment, uri, about=record.about)
        run_id = _begun(client, experiment, record)
        resumed = run_id is not None
        run_id = run_id or _new(client, experiment, record)
        try:
            # before the metrics: MLflow would read each of them again to copy it to the model
            model = None
            if record.bundle is not None:
                model = log_model(client, run_id, record, folder / "bundle")
            _log_numbers(client, run_id, record, model)
            _log_datasets(client, run_id, record)
            for child in record.children:
                nested = _begun(client, experiment, child) if resumed else None
                nested = nested or _new(client, experiment, child, parent=run_id)
                _log_numbers(client, nested, child)
                client.set_terminated(nested)
            for tag, value in _with_tables(record, folder).items():
                client.set_tag(run_id, tag, value)
            if (folder / "artifacts").is_dir() and any((folder / "artifacts").iterdir()):
                client.log_artifacts(run_id, str(folder / "artifacts"))
            save_view(client, experiment, record)
        except BaseException:
            with suppress(Exception):  # the store may be out of reach
                client.set_terminated(run_id, status="FAILED")
            raise
        client.set_terminated(run_id)
    return run_id


def _begun(client: Any, experiment: str, record: RunRecord) -> str | None:
    """Run of a record's key that an earlier attempt began."""
    found = client.search_runs([experiment], f"tags.`{KEY}` = '{record.key}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def _new(client: Any, experiment: str, record: RunRecord, parent: str | None = None) -> str:
    tags = {**record.tags, KEY: record.key}
    if parent is not None:
        tags["mlflow.parentRunId"] = parent
    run = client.create_run(experiment, record.made, tags, record.name)
    return str(run.info.run_id)


def _log_datasets(client: Any, run_id: str, record: RunRecord) -> None:
    if not record.datasets:
        return
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types import ColSpec, Schema

    inputs = []
    for dataset in record.datasets:
        described = MetaDataset(
            CodeDatasetSource({"files": dataset.source}),
            name=dataset.name,
            digest=dataset.digest,
            schema=Schema([ColSpec(kind, name) for name, kind in dataset.columns.items()]),
        ).to_dict()
        described["profile"] = json.dumps(dataset.profile)
        tag = InputTag("mlflow.data.context", dataset.context)
        inputs.append(DatasetInput(Dataset(**described), [tag]))
    client.log_inputs(run_id, inputs)


def _log_numbers(client: Any, run_id: str, record: RunRecord, model: str | None = None) -> None:
    """Log metrics and parameters in few requests; those of a model, but curves, on its page too."""
    from mlflow.entities import Metric, Param

    # a model's metrics may not be sent twice, a run's may
    there = client.get_run(run_id).data.metrics if model is not None else {}
    metrics = [
        Metric(name, value, record.made, 0, model_id=model)
        for name, value in record.metrics.items()
        if name not in there
    ]
    metrics += [Metric(name, value, record.made, step) for name, value, step in record.curves]
    params = [Param(name, value) for name, value in record.params.items()]
    while metrics or params:
        client.log_batch(run_id, metrics=metrics[:BATCH], params=params[:MOST_PARAMS])
        metrics, params = metrics[BATCH:], params[MOST_PARAMS:]


def _with_tables(record: RunRecord, folder: Path) -> dict[str, str]:
    """Put the tables among the artefacts, as ``mlflow.log_table`` does, and give their tag.

    That function would ask the store four times for each table, and add the rows of a run that is
    sent a second time to those of the first.
    """
    if not record.tables:
        return {}
    tables = folder / "artifacts" / "tables"
    tables.mkdir(exist_ok=True)
    for name, table in record.tables.items():
        table.to_json(tables / f"{name}.json", orient="split", index=False, date_format="iso")
    listed = [{"path": f"tables/{name}.json", "type": "table"} for name in record.tables]
    return {"mlflow.loggedArtifacts": json.dumps(listed)}

"""A run as it will be logged, first written to disk.

What is on disk can be sent again after a server was down or a process was killed; each record has
a key, by which a store knows it, so that nothing is logged twice.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stratify.errors import FileError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dataset", "RunRecord", "keep", "kept", "read_record"]

FORMAT = 1


@dataclass(frozen=True)
class Dataset:
    """Data of a run by name, digest and size; none of their values.

    Attributes
    ----------
    name, digest : str
        Cohort, and the first 32 digits of its SHA-256.
    context : {"train", "test", "external", "left_out"}
    source : str
        Files, without folders.
    columns : dict of str to {"double", "string"}
        Features.
    profile : dict
        Numbers of patients and events.
    """

    name: str
    digest: str
    context: str
    source: str
    columns: dict[str, str]
    profile: dict[str, int]


@dataclass
class RunRecord:
    """One run with the runs nested in it.

    Attributes
    ----------
    experiment, name : str
    tags, params : dict of str to str
    metrics : dict of str to float
    curves : list of (name, value, step)
        Metrics with steps.
    datasets : list of Dataset
    tables : dict of str to DataFrame
        Logged as tables, without patients.
    files : dict of str to (Path or bytes)
        By the place among the artefacts.
    bundle : Path or None
        Model to log with the run.
    children : list of RunRecord
        Nested runs: folds, cohorts left out, trials of tuning. They have metrics and settings only.
    about : str
        What the experiment is, for a store that does not have it yet.
    key : str
        By which a store knows the run.
    made : int
        Time in milliseconds.
    """

    experiment: str
    name: str
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    curves: list[tuple[str, float, int]] = field(default_factory=list)
    datasets: list[Dataset] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    files: dict[str, Path | bytes] = field(default_factory=dict)
    bundle: Path | None = None
    children: list[RunRecord] = field(default_factory=list)
    about: str = ""
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    made: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


def keep(record: RunRecord, queue: Path) -> Path:
    """Write a record into a queue folder, whole or not at all."""
    whole = queue / record.key
    part = queue / f".{record.key}.{secrets.token_hex(4)}.part"
    try:
        (part / "artifacts").mkdir(parents=True)
        for place, content in record.files.items():
            target = part / "artifacts" / place
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)
        if record.bundle is not None:
            shutil.copytree(record.bundle, part / "bundle")
        (part / "run.json").write_text(json.dumps(_document(record)), encoding="utf-8")
        part.replace(whole)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        reason = error.strerror or str(error)
        raise FileError(f"The run cannot be written to {queue}: {reason}.") from error
    return whole


_AS_IT_IS = ("experiment", "name", "tags", "params", "key", "made")


def _document(record: RunRecord) -> dict[str, Any]:
    return {
        "format": FORMAT,
        **{name: getattr(record, name) for name in (*_AS_IT_IS, "about")},
        "metrics": [(name, value, 0) for name, value in record.metrics.items()] + record.curves,
        "datasets": [asdict(dataset) for dataset in record.datasets],
        "tables": {
            name: json.loads(table.to_json(orient="split", index=False))
            for name, table in record.tables.items()
        },
        "bundle": record.bundle is not None,
        "children": [_document(child) for child in record.children],
    }


def read_record(folder: Path) -> RunRecord:
    """Inverse of :func:`keep`."""
    try:
        document = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError("another format")
        record = _record(document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{folder} holds no run that can be read; remove it.") from error
    root = folder / "artifacts"
    record.files = {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    record.bundle = folder / "bundle" if document["bundle"] else None
    return record


def _record(document: Mapping[str, Any]) -> RunRecord:
    import pandas as pd

    numbers = [(name, value, step) for name, value, step in document["metrics"]]
    return RunRecord(
        **{name: document[name] for name in _AS_IT_IS},
        about=document.get("about", ""),  # records of earlier versions have none
        metrics={name: value for name, value, _ in numbers if "_curves/" not in name},
        curves=[number for number in numbers if "_curves/" in number[0]],
        datasets=[Dataset(**dataset) for dataset in document["datasets"]],
        tables={
            name: pd.DataFrame(table["data"], columns=table["columns"])
            for name, table in document["tables"].items()
        },
        children=[_record(child) for child in document["children"]],
    )


def kept(queue: Path) -> list[Path]:
    """Folders of the records in a queue, oldest first."""
    documents = [path for path in queue.glob("*/run.json") if path.parent.name[0] != "."]
    return [path.parent for path in sorted(documents, key=lambda path: path.stat().st_mtime)]

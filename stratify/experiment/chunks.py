"""Chunks of a registry: a batch of a file each, scored and written as one Parquet file.

What was found out about a chunk stands in its file's own metadata, so that a file that is there is
a chunk that is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from stratify.cohort.reading import Cohort
from stratify.errors import ArgumentError, FileError
from stratify.interpretation.attribution import attributions
from stratify.scoring.batch import BatchScorer
from stratify.tables.files import TableFile, kind_of
from stratify.tables.findings import Findings
from stratify.tables.sources import TableSource
from stratify.tables.tabular import written_whole

__all__ = ["Chunk", "Explain", "JoinedPatients", "RegistryState", "SourceFile"]

Explain = Literal["none", "top", "full"]
_JOB = "job.json"


@dataclass(frozen=True)
class JoinedPatients:
    """Patients joined from several files in memory, in place of a file."""

    cohort: Cohort
    kind: str = "joined"

    @property
    def n_rows(self) -> int:
        """Patients."""
        return len(self.cohort)

    def batches(
        self, n_rows: int, *, first: int = 0, columns: object = None
    ) -> Iterator[pd.DataFrame]:
        """Batches of patients in their order."""
        table = self.cohort.table
        for start in range(first * n_rows, len(table), n_rows):
            yield table.iloc[start : start + n_rows].reset_index(drop=True)


@dataclass(frozen=True)
class SourceFile:
    """A file of a cohort."""

    cohort: str
    table: TableSource
    path: Path

    def opened(self) -> TableFile:
        """Look at the file; it must be one that can be read in pieces."""
        table, kind = self.table, kind_of(self.path)
        if kind not in ("csv", "parquet"):
            what = "a workbook" if kind in ("xlsx", "xls") else f"a file of kind {kind}"
            raise FileError(
                f"{self.path} is {what}; CSV or Parquet is expected for scoring in batches. "
                "Save it as CSV, or let --out end in .csv or .parquet."
            )
        return TableFile(self.path, **table.text_layout)


@dataclass(frozen=True)
class Chunk:
    """A batch of a file, and where its scores go."""

    scorer: BatchScorer
    source: SourceFile | None
    number: int
    out: Path
    name: str
    explain: Explain
    rows: int
    blank: tuple[str, ...] = ()
    joined: Cohort | None = None  # without patients: what they have in common

    def score(self, batch: pd.DataFrame | None = None) -> dict[str, Any]:
        """Score the batch, read from the file unless it is given, and write the scores."""
        findings, model = Findings(whole=False), self.scorer.model
        if self.source is not None and batch is None:
            opened = self.source.opened()
            batch = next(opened.batches(self.rows, first=self.number, columns=self.scorer.columns))
        assert batch is not None
        if self.joined is not None:
            patients = model.prepare(replace(self.joined, table=batch), findings=findings)
        else:
            patients = self.scorer.prepare(batch, findings, self.blank)
        record: dict[str, Any] = {"findings": findings.rows, "n": 0, "recommendations": {}}
        if findings.has_errors:
            return record
        scores = model.score_table(patients, top=self.scorer.top)
        record["n"] = len(scores)
        record["recommendations"] = scores["recommendation"].fillna("none").value_counts().to_dict()
        record["constant"] = _constant(patients.table)
        if self.explain == "full":
            long = attributions(model, patients)
            with written_whole(self.out / "attributions" / self.name) as temporary:
                long.to_parquet(temporary, index=False)
        with written_whole(self.out / "scores" / self.name) as temporary:
            _write(scores, record, temporary)
        return record


@dataclass
class RegistryState:
    """What is known of the chunks: their records, by name."""

    out: Path
    job: dict[str, Any]
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    bad: dict[str, dict[str, Any]] = field(default_factory=dict)
    blank: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def resumed(cls, out: Path, job: dict[str, Any], digests: list[str]) -> RegistryState:
        """State of a folder; chunks of a file whose digest has changed are removed."""
        sums = {f"{i:03d}": digest for i, digest in enumerate(digests)}
        path = out / _JOB
        state = cls(out, {**job, "sha256": sums})
        if path.exists():
            try:
                before = json.loads(path.read_text(encoding="utf-8"))
                kept = {i for i, digest in before["sha256"].items() if sums.get(i) == digest}
            except (ValueError, KeyError, AttributeError):
                raise FileError(f"{path} is damaged. Remove {out} and score again.") from None
            if other := sorted(name for name in job if before.get(name) != job[name]):
                raise ArgumentError(
                    f"{out} holds the scores of another job ({', '.join(other)} differ). Choose "
                    "another folder, or remove it."
                )
            state.blank = before.get("blank", {})
        else:
            kept = set()
        for folder in (out / "scores", out / "attributions"):
            for file in folder.glob(".*.part"):  # of a run that was killed
                file.unlink()
            for file in folder.glob("part-*.parquet"):
                if file.name.split("-")[1] not in kept:
                    file.unlink()
        for file in sorted((out / "scores").glob("part-*.parquet")):
            state.records[file.name] = _record(file)
        state.write()
        return state

    def restart(self, blank: dict[str, list[str]]) -> None:
        """Forget the chunks of cohorts in which other columns are to be read as missing."""
        for name in list(self.records):
            (self.out / "scores" / name).unlink()
        self.records, self.blank = {}, blank
        self.write()

    def write(self) -> None:
        """Write down what the job is, so that it can be resumed."""
        with written_whole(self.out / _JOB) as temporary:
            text = json.dumps({**self.job, "blank": self.blank}, indent=1, sort_keys=True)
            temporary.write_text(text, encoding="utf-8")


def _constant(table: pd.DataFrame) -> dict[str, list[float | None]]:
    """By biomarker: patients with a value, and the value if they share one, else None."""
    found: dict[str, list[float | None]] = {}
    for name in table.columns:
        values = table[name]
        if values.dtype != np.float64:
            continue
        low, high = values.min(), values.max()
        if pd.notna(low):
            found[str(name)] = [int(values.count()), float(low) if low == high else None]
    return found


def _write(scores: pd.DataFrame, record: dict[str, Any], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(scores, schema=_arrow_schema(scores), preserve_index=False)
    metadata = {**(table.schema.metadata or {}), b"stratify": json.dumps(record).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def _arrow_schema(scores: pd.DataFrame) -> Any:
    """Types that do not depend on the values of a part."""
    import pyarrow as pa

    return pa.schema(
        [
            (name, pa.float64() if kind == np.float64 else pa.string())
            for name, kind in scores.dtypes.items()
        ]
    )


def _record(path: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata
        record: dict[str, Any] = json.loads(metadata[b"stratify"])
    except Exception as error:  # pyarrow raises many kinds
        raise FileError(f"{path} is damaged. Remove it and score again.") from error
    return record

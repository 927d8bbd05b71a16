"""A registry scored in parts: bounded memory, resumed after an interruption, in the files' order.

Each part is a batch of rows scored by :class:`stratify.scoring.batch.BatchScorer` and written as
one Parquet file, whole or not at all; what a part found out stands in the file's own metadata.
What has been written is never scored again, unless the file behind it has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stratify.errors import ArgumentError, StratifyError
from stratify.experiment.chunks import Chunk, Explain, RegistryState
from stratify.experiment.registry_job import RegistryJob
from stratify.progress import Clock, Progress
from stratify.scoring.reasons import check_explain
from stratify.study import Study
from stratify.tables.findings import Findings
from stratify.tables.schema import field_named
from stratify.tables.tabular import make_folder, write_table

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Scored", "score_registry"]


PART_ROWS = 50_000
_BAD_PARTS = 3  # with errors, after which no more are read: a mapping is wrong, not a row


@dataclass(frozen=True)
class Scored:
    """What was scored.

    Attributes
    ----------
    n : int
        Patients.
    recommendations : dict of str to int
    findings : DataFrame
        As in the ``findings`` dictionary, equal findings of parts once.
    """

    n: int
    recommendations: dict[str, int]
    findings: pd.DataFrame


def score_registry(
    bundle: str | Path,
    study_path: str | Path,
    out: str | Path,
    *,
    policy: str | Path | None = None,
    explain: Explain = "none",
    top: int = 5,
    workers: int = 1,
    dask: str | None = None,
    progress: Progress = lambda _: None,
    part_rows: int = PART_ROWS,
) -> Scored:
    """Score every patient of a study's files, however many, into a folder.

    Parameters
    ----------
    explain : {"none", "top", "full"}
        Why: nothing, the `top` reasons in columns of the scores, or every contribution in
        ``attributions/part-*.parquet``.
    """
    check_explain(explain, top)
    if workers < 1:
        raise ArgumentError(f"workers is {workers}; a whole number of at least 1 is expected.")
    study = Study.load(study_path)
    top = top if explain == "top" else 0
    work = RegistryJob.of(study, bundle, study_path, policy, top, progress)
    out = make_folder(Path(out))
    for name in ("scores", *(["attributions"] if explain == "full" else [])):
        make_folder(out / name)
    progress("looking at what is already scored")
    job = {
        "bundle": work.scorers[0].model.version,
        "study": work.digest,
        "policy": work.policy_digest,
        "explain": explain,
        "top": top,
        "part_rows": part_rows,
    }
    state = RegistryState.resumed(out, job, work.digests())
    with _pool(workers, dask) as executor:
        while True:
            _run(work.chunks(state, explain, part_rows), executor, workers, state, work, progress)
            filled_in = work.filled_in(state)
            if filled_in == state.blank:
                break
            progress("scoring again: a biomarker has one value for all patients of a cohort")
            state.restart(filled_in)
    return _finished(state, study.name, progress)


# ---------------------------------------------------------------------------------- the work


@contextmanager
def _pool(workers: int, dask: str | None) -> Iterator[Executor | None]:
    """Something that runs parts: this process, others, or a Dask cluster."""
    if dask is not None:
        with _client(dask, workers) as client:
            yield client.get_executor(pure=False)
        return
    if workers == 1:
        yield None
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _client(address: str, workers: int) -> AbstractContextManager[Any]:
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ArgumentError(
            "Dask is not installed; install stratify-immuno with the extra scale."
        ) from None
    if address != "local":
        try:
            client: AbstractContextManager[Any] = Client(address, timeout=10)
        except OSError:
            raise ArgumentError(f"There is no Dask scheduler at {address}.") from None
        return client
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    local: AbstractContextManager[Any] = Client(cluster)
    return local


def _run(
    chunks: Iterator[tuple[Chunk, pd.DataFrame | None]],
    executor: Executor | None,
    workers: int,
    state: RegistryState,
    work: RegistryJob,
    progress: Progress,
) -> None:
    """Score the chunks, a few at a time, so that memory stays bounded."""
    done = sum(r["n"] for r in state.records.values())
    clock = Clock("patients scored", work.total, progress, done=done, speed=True)
    running: dict[Future[dict[str, Any]], str] = {}

    def settle(name: str, record: dict[str, Any]) -> None:
        bad = any(row["severity"] == "error" for row in record["findings"])
        (state.bad if bad else state.records)[name] = record
        clock.tick(record["n"])

    def collect(most: int) -> None:
        while len(running) > most:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                settle(running.pop(future), future.result())

    try:
        for chunk, batch in chunks:
            if len(state.bad) >= _BAD_PARTS:
                break
            if executor is None:
                settle(chunk.name, chunk.score(batch))
                continue
            running[executor.submit(chunk.score, batch)] = chunk.name
            collect(2 * workers)
        collect(0)
    except BrokenProcessPool:
        raise StratifyError(
            "A worker died; perhaps memory ran out. Complete parts are kept: run the same command "
            "again, with fewer workers."
        ) from None
    finally:
        for future in running:
            future.cancel()


# ---------------------------------------------------------------------------------- the end


def _finished(state: RegistryState, name: str, progress: Progress) -> Scored:
    """Write the findings; raise if there are errors."""
    records = dict(sorted({**state.records, **state.bad}.items()))
    findings = Findings(
        rows=_without_repeats([row for r in records.values() for row in r["findings"]])
    )
    if not state.bad:
        progress("looking for patients that stand twice")
        for cohort, n in _twice(state.out / "scores").items():
            findings.add(
                "duplicate_patient",
                f"{n} rows have an identifier that stands in another row too; one row a patient "
                "is expected.",
                cohort=cohort,
                column="patient_id",
                n=n,
            )
    for cohort, columns in state.blank.items():
        for column in columns:
            findings.add(
                "constant_column",
                "one value for all patients; measured values differ.",
                cohort=cohort,
                panel=field_named(column).panel,
                column=column,
            )
    table = findings.table()
    write_table(table, state.out / "findings.csv")
    findings.raise_errors(f"The study {name}")
    counts: Counter[str] = Counter()
    for record in state.records.values():
        counts.update(record["recommendations"])
    return Scored(sum(r["n"] for r in state.records.values()), dict(counts), table)


def _without_repeats(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tell findings of one kind about one column once, with their number."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    more: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        key = tuple(row[name] for name in ("code", "cohort", "panel", "column"))
        if key in merged:
            merged[key]["n"] += row["n"]
            more[key] += 1
        else:
            merged[key] = dict(row)
    for key, n in more.items():
        parts = "other part" if n == 1 else "other parts"
        merged[key]["message"] += f" And in {n} {parts}, {merged[key]['n']} in all."
    return list(merged.values())


def _twice(folder: Path) -> dict[str, int]:
    """Rows by cohort whose patient stands in several rows."""
    import pyarrow.parquet as pq

    sums: dict[str, list[npt.NDArray[np.uint64]]] = {}
    for file in sorted(folder.glob("part-*.parquet")):
        keys = pq.read_table(file, columns=["patient_id", "cohort"]).to_pandas()
        for cohort, rows in keys.groupby("cohort"):
            ids = rows["patient_id"].to_numpy(dtype=object)
            digest = pd.util.hash_array(ids, categorize=False)
            sums.setdefault(str(cohort), []).append(digest)
    found = {}
    for cohort, parts in sums.items():
        digests = np.sort(np.concatenate(parts))
        same = digests[1:] == digests[:-1]
        repeated = np.append(same, False) | np.append(False, same)
        if repeated.any():
            found[cohort] = int(repeated.sum())
    return found

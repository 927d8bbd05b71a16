"""A benchmark as runs: one a task, with a nested run for each cohort that was left out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from stratify.experiment.benchmark import Benchmark
from stratify.tracking.naming import metric_values, with_limits
from stratify.tracking.record import RunRecord
from stratify.tracking.runs import markdown
from stratify.tracking.upload import log

__all__ = ["log_benchmark"]


def log_benchmark(found: Benchmark, out: str | Path, *, uri: str | None = None) -> list[str]:
    """Log each task of a benchmark as a run of the experiment ``benchmark``.

    Gives run ids in the order of the tasks; arguments and errors are those of
    :func:`stratify.tracking.runs.log_results`, with the results of
    :func:`stratify.experiment.benchmark.run_benchmark`.
    """
    return [
        log(_task(found, str(name), Path(out)), out, uri=uri)
        for name in found.performance["task"].unique()
    ]


def _task(found: Benchmark, name: str, out: Path) -> RunRecord:
    performance = _of(found.performance, name)
    pooled = _of(found.pooled, name)
    headline = found.headline()
    headline = headline[headline["task"] == name].drop(columns="task")
    values = metric_values(performance)
    forest = out / f"forest_{name}.png"
    return RunRecord(
        experiment="benchmark",
        name=name,
        tags={
            "kind": "benchmark",
            "task": name,
            "mlflow.source.name": "pipelines/benchmark.py",
            "mlflow.note.content": "\n".join(
                [
                    "AUROC with 95 % interval; each cohort judged by models that were fitted "
                    "without it. Research use only.",
                    "",
                    *markdown(headline),
                ]
            ),
        },
        metrics=values | _pooled(pooled),
        tables={"headline": headline, "pooled": pooled},
        files={"figures/forest.png": forest} if forest.is_file() else {},
        children=[
            RunRecord(
                "benchmark",
                f"{name}: {cohort} left out",
                tags={"kind": "left out", "task": name, "cohort": str(cohort)},
                metrics=metric_values(rows),
            )
            for cohort, rows in performance.groupby("cohort", sort=True)
        ],
    )


def _of(table: pd.DataFrame, task: str) -> pd.DataFrame:
    return table[table["task"] == task].drop(columns="task").reset_index(drop=True)


def _pooled(pooled: pd.DataFrame) -> dict[str, float]:
    """``pooled/auroc``, ``pooled/auroc_loris``, ``pooled/delta_auroc_vs_loris`` with intervals."""
    found: dict[str, float] = {}
    columns = ("value", "low", "high", "prediction_low", "prediction_high")
    for row in pooled.to_dict("records"):
        reference = row["reference"] if isinstance(row["reference"], str) else ""
        ending = f"_vs_{reference}" if reference else ""
        if not ending and row["model"] != "stratify":
            ending = f"_{row['model']}"
        found |= with_limits(f"pooled/{row['metric']}{ending}", row, columns)
    return found

"""Whole pieces of work: a patient, an interval, a registry, a search, a start."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import lightgbm
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import yaml
from timing import Measured, p50, ratios, seconds, three, used

from stratify import Study, load, train
from stratify.experiment.registry import score_registry
from stratify.scoring import ResistanceModel
from stratify.scoring.batch import BatchScorer
from stratify.simulation import _exported, _stated, simulate, write_study
from stratify.tables.files import TableFile
from stratify.tables.findings import Findings

FEW = 10_000  # patients on whom the slow side of the registry is timed
PARTS = 200_000  # patients drawn; more are the same under other identifiers


def bundle(folder: Path) -> Path:
    """Bundle of the default model, trained once in a folder on 1,500 simulated patients."""
    out = folder / "trained"
    if not (out / "bundle").exists():
        study = write_study(folder / "study", n=1500, seed=0)
        train(Study.load(study), out, folds=2)
    return out / "bundle"


def registry(folder: Path, n: int) -> Path:
    """Study of one Parquet file of `n` simulated patients."""
    import pyarrow as pa

    place = folder / f"registry_{n}"
    study = place / "study.yaml"
    if study.exists():
        return study
    place.mkdir(parents=True, exist_ok=True)
    panels = simulate(min(n, PARTS), seed=5).panels
    del panels["outcomes"]
    wide = _exported(panels["clinical"])
    for name, table in panels.items():
        if name != "clinical":
            wide = wide.merge(_exported(table), on="patient_id", how="left")
    writer = None
    for k in range(-(-n // PARTS)):
        part = wide.iloc[: n - k * PARTS].copy()
        part["patient_id"] = [f"P{k:03d}-{i:07d}" for i in range(len(part))]
        rows = pa.Table.from_pandas(part, preserve_index=False)
        writer = writer or pq.ParquetWriter(place / "registry.parquet", rows.schema)
        writer.write_table(rows, row_group_size=65_536)
    assert writer is not None
    writer.close()
    table = {
        "file": "registry.parquet",
        "patient_id": "patient_id",
        "panels": {name: _stated(panel) for name, panel in panels.items()},
    }
    cohort = {"name": "registry", "role": "external", "tables": [table]}
    study.write_text(yaml.safe_dump({"stratify": 1, "name": "registry", "cohorts": [cohort]}))
    return study


def files(folder: Path) -> Iterator[Measured]:
    """Make what the other groups read, so that their memory is their own; no row."""
    bundle(folder)
    for n in (PARTS, 1_000_000, 10_000_000):
        registry(folder, n)
    yield from ()


def _patients(folder: Path, n: int) -> tuple[ResistanceModel, pd.DataFrame]:
    model = load(bundle(folder))
    study = registry(folder, PARTS)
    scorer = BatchScorer(bundle(folder), study)
    file = TableFile(study.parent / "registry.parquet")
    raw = next(file.batches(n, columns=scorer.columns))
    return model, scorer.prepare(raw.head(n), Findings(whole=False)).table


def one_patient(folder: Path, rounds: int) -> Iterator[Measured]:
    """A single patient through the loaded library."""
    model, table = _patients(folder, 2000)
    names, levels = model.classifier.features_, model.classifier.levels_
    frame = pd.DataFrame(
        {
            name: table[name].astype("category") if name in levels else table[name].astype(float)
            for name in names
            if name in table
        }
    )
    label = np.random.default_rng(0).integers(0, 2, len(frame))
    settings = {"n_estimators": 200, "num_leaves": 31, "n_jobs": 1, "verbose": -1}
    fitted = [
        lightgbm.LGBMClassifier(**settings, random_state=k).fit(frame, label) for k in range(10)
    ]
    ours, theirs = table.iloc[[5]], frame.iloc[[5]]
    model.score_patient(ours)
    own, one, ten = [], [], []
    for _ in range(rounds):
        own.append(p50(lambda: model.score_patient(ours)))
        one.append(p50(lambda: fitted[0].predict_proba(theirs)))
        ten.append(p50(lambda: [f.predict_proba(theirs) for f in fitted], 20))
    work = "one patient, frame in: risk, interval, reasons (20 members)"
    yield Measured(
        work,
        "LightGBM predict_proba, one model, pandas row",
        three([b / a for a, b in zip(own, one, strict=True)]),
    )
    yield Measured(
        work,
        "LightGBM predict_proba, ten models, pandas row",
        three([b / a for a, b in zip(own, ten, strict=True)]),
    )
    yield Measured(f"{work}, p50", "", three([1000 * x for x in own]), unit=" ms")


def intervals(rounds: int) -> Iterator[Measured]:
    """Interval of an AUROC, and of a difference."""
    from sklearn.metrics import roc_auc_score

    from stratify.statistics.discrimination import auroc, delta_auroc

    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1000)
    a, b = y + rng.normal(size=1000), y + rng.normal(size=1000)

    def resampled() -> None:
        for _ in range(100):
            rows = rng.integers(0, 1000, 1000)
            roc_auc_score(y[rows], a[rows])

    def both() -> None:
        for _ in range(100):
            rows = rng.integers(0, 1000, 1000)
            roc_auc_score(y[rows], a[rows]) - roc_auc_score(y[rows], b[rows])

    note = "timed on 100 resamples"
    yield Measured(
        "AUROC with interval, n = 1,000",
        "2,000 resamples with scikit-learn",
        ratios(lambda: auroc(y, a), resampled, rounds, per=100 / 2000),
        note=note,
    )
    yield Measured(
        "difference of AUROC with interval, n = 1,000",
        "2,000 resamples with scikit-learn",
        ratios(lambda: delta_auroc(y, a, b), both, rounds, per=100 / 2000),
        note=note,
    )


class Registry(NamedTuple):
    """What scoring a registry took."""

    used: float  # seconds of processor time for a patient
    wall: float  # seconds on a clock
    memory: float  # GiB, at most


def _scored(folder: Path, n: int, workers: int) -> Registry:
    study, at = registry(folder, n), bundle(folder)
    with TemporaryDirectory(dir=folder) as out:
        start, begun = time.perf_counter(), used()
        scored = score_registry(
            at,
            study,
            Path(out) / "out",
            explain="top",
            workers=workers,
            progress=lambda line: print(f"  {line}", file=sys.stderr, flush=True),
        )
        taken, wall = (used() - begun) / n, time.perf_counter() - start
    assert scored.n == n
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return Registry(taken, wall, own + workers * child)


def registries(
    folder: Path, workers: int = 2, sizes: tuple[int, int] = (1_000_000, 10_000_000)
) -> Iterator[Measured]:
    """One and ten million patients from Parquet to scores, reasons and recommendation."""
    million, ten = sizes
    ours, more = (_scored(folder, n, workers) for n in sizes)  # before what takes more memory
    theirs = _usual_way(folder) / FEW
    name = f"{million:,} patients, Parquet to scores, 5 reasons, recommendation"
    usual = "pandas + predict + shap.TreeExplainer"
    note = f"extrapolated from {FEW:,}; one round"
    yield Measured(name, usual, (theirs / ours.used,) * 3, note=note)
    yield Measured(
        f"{name}, on a clock, {workers} processes",
        f"{usual}, shared by {workers} processes without loss",
        (theirs * million / workers / ours.wall,) * 3,
        note=f"{note}; {ours.wall:.0f} s",
    )
    name = f"{ten:,} patients, the same"
    yield Measured(
        f"{name}, processor time of a patient",
        f"{million:,} patients",
        (more.used / ours.used,) * 3,
        note=f"{1e6 * more.used:.0f} us of one core a patient; {more.wall:.0f} s on a clock",
    )
    yield Measured(
        f"{name}, peak memory at most",
        "",
        (more.memory,) * 3,
        unit=" GiB",
        note=f"this process and {workers} workers",
    )


def _usual_way(folder: Path) -> float:
    """Seconds for the same patients by what one would write with the packages themselves."""
    import shap

    warnings.filterwarnings("ignore", module="shap")
    model, _ = _patients(folder, 10)
    scorer = BatchScorer(bundle(folder), registry(folder, PARTS))
    members = model.classifier.ensemble_.members
    explainers = [shap.TreeExplainer(member) for member in members]
    start = used()
    file = pq.ParquetFile(registry(folder, PARTS).parent / "registry.parquet")
    raw = next(file.iter_batches(FEW)).to_pandas()
    matrix = scorer.prepare(raw, Findings(whole=False)).columns.encoded
    risk = 1 / (1 + np.exp(-np.mean([m.predict(matrix, raw_score=True) for m in members], axis=0)))
    values = np.mean([explainer.shap_values(matrix) for explainer in explainers], axis=0)
    top = np.argsort(-np.abs(values), axis=1)[:, :5]
    pd.DataFrame({"risk": risk, **{f"r{k}": top[:, k] for k in range(5)}}).to_parquet(
        folder / "usual.parquet"
    )
    return used() - start


def on_dask(folder: Path, n: int = 1_000_000) -> Iterator[Measured]:
    """One Dask worker against two."""
    study, at = registry(folder, n), bundle(folder)
    taken = {}
    for workers in (1, 2):
        with TemporaryDirectory(dir=folder) as out:
            lines: list[tuple[float, str]] = []
            score_registry(
                at,
                study,
                Path(out) / "out",
                explain="top",
                workers=workers,
                dask="local",
                part_rows=25_000,
                progress=lambda line, lines=lines: lines.append((time.perf_counter(), line)),
            )
            begun = next(t for t, line in lines if line.startswith("looking at what"))
            ended = next(t for t, line in lines if line.startswith("looking for patients"))
            taken[workers] = ended - begun
    yield Measured(
        f"Dask, {n:,} patients, 2 workers",
        "1 worker",
        (taken[1] / taken[2],) * 3,
        note="cluster's start included; one round",
    )


def the_start(rounds: int) -> Iterator[Measured]:
    """Seconds until the command line and the package are there."""

    def run(*arguments: str) -> float:
        return seconds(lambda: subprocess.run([sys.executable, *arguments], capture_output=True))

    bare = [run("-c", "import pandas, numpy") for _ in range(rounds)]
    package = [run("-c", "import pandas, numpy, stratify") for _ in range(rounds)]
    shown = [run("-m", "stratify.cli", "--help") for _ in range(rounds)]
    yield Measured("stratify --help", "", three(shown), unit=" s")
    more = [a - b for a, b in zip(package, bare, strict=True)]
    yield Measured("import stratify, beyond pandas and numpy", "", three(more), unit=" s")

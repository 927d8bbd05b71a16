"""A registry scored in parts: equal to scoring in memory, resumed, and every fault of it told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from stratify.cli import main
from stratify.errors import ArgumentError, DataError, FileError, StratifyError
from stratify.experiment import chunks
from stratify.experiment.registry import Scored, score_registry
from stratify.experiment.scores import score
from stratify.interpretation.cycle import cycle
from stratify.scoring.batch import BatchScorer
from stratify.simulation import _exported, _stated, simulate

N, ROWS = 230, 50  # five parts, the last one of half as many rows again at most


@pytest.fixture(scope="module")
def registry() -> tuple[pd.DataFrame, dict]:
    """A wide table as a registry exports it, and its mapping."""
    panels = simulate(N, seed=3).panels
    wide = _exported(panels["clinical"])
    for name, table in panels.items():
        if name not in ("clinical", "outcomes"):
            wide = wide.merge(_exported(table), on="patient_id", how="left")
    stated = {name: _stated(table) for name, table in panels.items() if name != "outcomes"}
    return wide.sample(frac=1, random_state=0).reset_index(drop=True), stated


class Place:
    """A folder with the registry's files, its study file, and what is scored there."""

    def __init__(self, folder: Path, bundle: Path, registry: tuple[pd.DataFrame, dict]) -> None:
        self.folder, self.bundle = folder, bundle
        self.table, self.panels = registry[0].copy(), registry[1]
        self.out = folder / "out"
        self.told: list[str] = []

    def study(self, file: str = "registry.parquet", **more: object) -> Path:
        table = {"file": file, "patient_id": "patient_id", "panels": self.panels, **more}
        cohort = {"name": "registry", "role": "external", "tables": [table]}
        document = {"stratify": 1, "name": "registry", "cohorts": [cohort]}
        path = self.folder / "study.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def write(self, file: str = "registry.parquet", rows: slice = slice(None)) -> Path:
        path = self.folder / file
        path.parent.mkdir(exist_ok=True)
        part = self.table.iloc[rows]
        if path.suffix == ".parquet":
            part.to_parquet(path, index=False, row_group_size=33)
        else:
            part.to_csv(path, index=False)
        return path

    def score(self, study: Path | None = None, **options: object) -> Scored:
        options = {"part_rows": ROWS, "progress": self.told.append, **options}
        return score_registry(self.bundle, study or self.study(), self.out, **options)

    @property
    def scores(self) -> pd.DataFrame:
        return pd.read_parquet(self.out / "scores")

    @property
    def names(self) -> list[str]:
        return sorted(p.name for p in (self.out / "scores").iterdir())


@pytest.fixture
def place(tmp_path, trained, registry) -> Place:
    return Place(tmp_path, trained.bundle, registry)


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True),
        expected.reset_index(drop=True),
        check_exact=True,
        check_dtype=False,
    )


PARTS = [f"part-000-{k:05d}.parquet" for k in range(5)]


# ------------------------------------------------------------------- equal to scoring in memory


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_parts_hold_what_scoring_in_memory_says_in_the_order_of_the_rows(place, ending):
    place.write(f"registry.{ending}")
    study = place.study(f"registry.{ending}")
    scored = place.score(study, explain="top", top=3)
    expected = score(place.bundle, study, place.folder / "all.parquet", explain="top", top=3)
    assert place.names == PARTS
    assert place.scores["patient_id"].tolist() == place.table["patient_id"].tolist()
    same(place.scores.sort_values(["cohort", "patient_id"]), expected)
    assert scored.n == N
    assert scored.recommendations == expected["recommendation"].value_counts().to_dict()
    types = {str(pq.read_schema(place.out / "scores" / name).types) for name in PARTS}
    assert len(types) == 1


def test_every_contribution_is_told_as_in_memory(place):
    place.write()
    place.score(explain="full")
    told: list[str] = []
    score(
        place.bundle, place.study(), place.folder / "all.csv", explain="full", progress=told.append
    )
    n = len(place.table)
    assert told == [
        "reading the cohorts",
        f"scoring {n} patients",
        f"{n} of {n} patients explained",
    ]
    profiles = pd.read_parquet(place.folder / "all_profiles.parquet")
    assert len(profiles) == n * len(cycle().steps)
    found = pd.read_parquet(place.out / "attributions")
    assert found["patient_id"].drop_duplicates().tolist() == place.table["patient_id"].tolist()
    expected = pd.read_parquet(place.folder / "all_attributions.parquet")
    same(found.sort_values(["cohort", "patient_id"], kind="stable"), expected)


def test_reasons_are_the_strongest_contributions(place):
    place.write()
    place.score(explain="top", top=2)
    place.out = place.folder / "full"
    place.score(explain="full")
    long = pd.read_parquet(place.out / "attributions")
    place.out = place.folder / "out"
    for _, row in place.scores.head(20).iterrows():
        own = long[long["patient_id"] == row["patient_id"]]
        order = own.iloc[np.argsort(-own["shap"].abs(), kind="stable")[:2]]
        assert [row["reason_1"], row["reason_2"]] == order["feature"].tolist()
        assert [row["reason_1_shap"], row["reason_2_shap"]] == order["shap"].tolist()


@pytest.mark.slow
def test_workers_give_the_same_files(place):
    place.write()
    place.score()
    alone = {name: (place.out / "scores" / name).read_bytes() for name in place.names}
    place.out = place.folder / "two"
    place.score(workers=2)
    assert {name: (place.out / "scores" / name).read_bytes() for name in place.names} == alone


def test_a_column_that_one_part_alone_holds_constant_is_read(place):
    place.table = place.table.sort_values("ALB_g_L", na_position="first").reset_index(drop=True)
    place.table.loc[:49, "ALB_g_L"] = 39.5
    place.write()
    place.score()
    expected = score(place.bundle, place.study(), place.folder / "all.csv")
    same(place.scores.sort_values(["cohort", "patient_id"]), expected)


def test_a_column_with_one_value_for_all_is_read_as_missing(place):
    place.table["ALB_g_L"] = 39.5
    place.write()
    scored = place.score()
    expected = score(place.bundle, place.study(), place.folder / "all.csv")
    same(place.scores.sort_values(["cohort", "patient_id"]), expected)
    assert "scoring again: a biomarker has one value for all patients of a cohort" in place.told
    row = scored.findings.set_index("code").loc["constant_column"]
    assert (row["column"], row["message"]) == (
        "albumin",
        "one value for all patients; measured values differ.",
    )


def test_several_files_are_scored_in_their_order(place):
    place.write("registry/b.parquet", slice(100, None))
    place.write("registry/a.parquet", slice(0, 100))
    place.score(place.study("registry/*.parquet"))
    assert place.names == [
        *(f"part-000-{k:05d}.parquet" for k in range(2)),
        *(f"part-001-{k:05d}.parquet" for k in range(3)),
    ]
    assert place.scores["patient_id"].tolist() == place.table["patient_id"].tolist()


def test_cohorts_of_several_tables_are_joined_first(trained, tmp_path):
    told: list[str] = []
    scored = score_registry(
        trained.bundle, trained.study, tmp_path / "out", part_rows=64, progress=told.append
    )
    expected = score(trained.bundle, trained.study, tmp_path / "all.csv")
    assert told[0] == (
        "The cohort simulated_train has 5 tables; batches come from one table with one row a "
        "patient and all panels. Everything is read at once."
    )
    same(pd.read_parquet(tmp_path / "out" / "scores"), expected)
    assert scored.n == len(expected)


# ------------------------------------------------------------------- other engines


def test_dask_scores_partitions_by_the_same_function(place):
    dd = pytest.importorskip("dask.dataframe")
    place.write()
    place.score(explain="top")
    scorer = BatchScorer(place.bundle, place.study(), top=5)
    frame = dd.from_pandas(place.table, npartitions=3)
    found = frame.map_partitions(scorer, meta=scorer.meta).compute(scheduler="synchronous")
    same(found, place.scores)


def test_an_iterator_of_batches_is_scored_as_spark_hands_it_over(place):
    place.write()
    place.score()
    scorer = BatchScorer(place.bundle, place.study())
    batches = (place.table.iloc[k : k + 90] for k in range(0, N, 90))
    same(pd.concat(list(scorer.map(batches))), place.scores)
    assert scorer.spark_schema.startswith("patient_id string, cohort string, risk double, ")


def test_batches_of_canonical_columns_need_no_study(place):
    place.write()
    place.score()
    canonical = BatchScorer(place.bundle, place.study()).prepare(place.table).table
    same(BatchScorer(place.bundle)(canonical), place.scores)


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_scores(place):
    pytest.importorskip("distributed")
    place.write()
    place.score()
    expected = place.scores
    place.out = place.folder / "cluster"
    place.score(dask="local", workers=2)
    same(place.scores, expected)


# ------------------------------------------------------------------- interrupted and resumed


def test_what_is_scored_is_not_scored_again(place, monkeypatch):
    place.write()
    place.score()
    before = {name: (place.out / "scores" / name).read_bytes() for name in place.names}
    (place.out / "scores" / PARTS[1]).unlink()
    (place.out / "scores" / ".part-000-00001.parquet.1234.part").write_bytes(b"half")
    scored_now = []
    real = chunks.Chunk.score
    monkeypatch.setattr(
        chunks.Chunk, "score", lambda self, batch: scored_now.append(self.name) or real(self, batch)
    )
    again = place.score()
    assert scored_now == [PARTS[1]]
    assert again.n == N
    assert {name: (place.out / "scores" / name).read_bytes() for name in place.names} == before


@pytest.mark.slow
def test_a_run_that_was_killed_is_resumed(place):
    place.write()
    code = (
        "import sys, os, signal\n"
        "from stratify.experiment import chunks, registry\n"
        "real, done = chunks.Chunk.score, []\n"
        "def score(self, batch):\n"
        "    if len(done) == 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    done.append(1)\n"
        "    return real(self, batch)\n"
        "chunks.Chunk.score = score\n"
        f"registry.score_registry({str(place.bundle)!r}, {str(place.study())!r}, "
        f"{str(place.out)!r}, part_rows={ROWS})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    assert place.names == PARTS[:2]
    assert place.score().n == N
    assert place.scores["patient_id"].tolist() == place.table["patient_id"].tolist()


def test_a_file_that_has_changed_is_scored_again(place):
    place.write("registry/a.parquet", slice(0, 100))
    place.write("registry/b.parquet", slice(100, None))
    study = place.study("registry/*.parquet")
    place.score(study)
    kept = (place.out / "scores" / "part-000-00000.parquet").stat().st_mtime_ns
    changed = place.scores["risk"].iloc[150]
    place.table.loc[150, ["tmb", "nlr", "ALB_g_L"]] = [30.0, 1.5, 45.0]
    place.write("registry/b.parquet", slice(100, None))
    place.score(study)
    assert (place.out / "scores" / "part-000-00000.parquet").stat().st_mtime_ns == kept
    assert place.scores["risk"].iloc[150] != changed


def test_a_folder_with_the_scores_of_another_job_is_refused(place):
    place.write()
    place.score()
    with pytest.raises(ArgumentError) as raised:
        place.score(explain="top")
    assert str(raised.value) == (
        f"{place.out} holds the scores of another job (explain, top differ). Choose another "
        "folder, or remove it."
    )


# ------------------------------------------------------------------- bad input


def test_faults_of_all_parts_are_told_at_once_and_sound_parts_are_kept(place):
    place.table["ALB_g_L"] = place.table["ALB_g_L"].astype(object)
    place.table.loc[3, "ALB_g_L"] = "high"
    place.table.loc[120, "ALB_g_L"] = np.inf
    place.table = place.table.astype({"ALB_g_L": "str"})
    place.write("registry.csv")
    with pytest.raises(DataError) as raised:
        place.score(place.study("registry.csv"))
    assert str(raised.value) == (
        "The study registry has 1 error (not_numeric). `stratify validate` lists every finding "
        "with advice."
    )
    row = pd.read_csv(place.out / "findings.csv").set_index("code").loc["not_numeric"]
    assert row["n"] == 2
    assert row["message"].startswith("registry.csv, line 5: ")
    assert row["message"].endswith(" And in 1 other part, 2 in all.")
    assert place.names == [PARTS[1], *PARTS[3:]]


def test_the_same_patient_in_two_parts_is_told(place):
    place.table.loc[200, "patient_id"] = place.table.loc[7, "patient_id"]
    place.write()
    with pytest.raises(DataError) as raised:
        place.score()
    assert "duplicate_patient" in str(raised.value)
    row = pd.read_csv(place.out / "findings.csv").set_index("code").loc["duplicate_patient"]
    assert (row["n"], row["message"]) == (
        2,
        "2 rows have an identifier that stands in another row too; one row a patient is expected.",
    )
    assert place.names == PARTS


def a_damaged_end(place: Place) -> str:
    path = place.write()
    path.write_bytes(path.read_bytes()[:-200])
    return f"{path} cannot be read: "


def another_schema(place: Place) -> str:
    place.write("registry/a.parquet", slice(0, 100))
    place.table["nlr"] = place.table["nlr"].astype(str)
    place.table = place.table.drop(columns="tmb")
    path = place.write("registry/b.parquet", slice(100, None))
    place.study_file = "registry/*.parquet"
    return (
        f"{path} differs from a.parquet: no column tmb, nlr of type string, not double. Export "
        "all files of a cohort alike."
    )


def no_file(place: Place) -> str:
    place.study_file = "registry/*.parquet"
    return f"registry: no file fits {place.folder / 'registry/*.parquet'}."


def a_workbook(place: Place) -> str:
    path = place.folder / "registry.parquet"
    path.write_bytes(b"PK\x03\x04 and more")
    return (
        f"{path} is a workbook; CSV or Parquet is expected for scoring in batches. Save it as CSV, "
        "or let --out end in .csv or .parquet."
    )


def a_header_alone(place: Place) -> str:
    path = place.write("registry.csv", slice(0, 0))
    place.study_file = "registry.csv"
    return f"{path} has a header but no rows. Export the table again."


@pytest.mark.parametrize(
    "damage", [a_damaged_end, another_schema, no_file, a_workbook, a_header_alone]
)
def test_files_that_cannot_be_scored_are_named_before_anything_is_written(place, damage):
    place.study_file = "registry.parquet"
    expected = damage(place)
    with pytest.raises(FileError) as raised:
        place.score(place.study(place.study_file))
    assert str(raised.value).startswith(expected)
    assert not place.out.exists()


def test_a_csv_file_that_ends_early_keeps_the_complete_parts(place):
    path = place.write("registry.csv")
    text = path.read_text()
    path.write_text(text[: len(text) - 60])
    with pytest.raises(FileError) as raised:
        place.score(place.study("registry.csv"))
    assert str(raised.value).startswith(f"{path}: 1 row does not have the header's ")
    assert place.names == PARTS[:4]


def test_a_parquet_file_damaged_in_the_middle_keeps_the_complete_parts(place):
    path = place.write()
    sound = path.read_bytes()
    group = pq.ParquetFile(path).metadata.row_group(4)  # of 33 rows: those of the third part
    damaged = bytearray(sound)
    for k in range(group.num_columns):
        first = group.column(k).dictionary_page_offset or group.column(k).data_page_offset
        damaged[first : first + 40] = b"\xff" * 40
    path.write_bytes(bytes(damaged))
    with pytest.raises(FileError) as raised:
        place.score()
    assert str(raised.value).startswith(f"{path} cannot be read: ")
    assert place.names == PARTS[:2]
    path.write_bytes(sound)
    assert place.score().n == N


def test_a_disk_that_is_full_keeps_the_complete_parts(place, monkeypatch):
    place.write()
    real, written = pq.write_table, []

    def full(table: pa.Table, path: Path) -> None:
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(path)
        real(table, path)

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(FileError) as raised:
        place.score()
    part = place.out / "scores" / PARTS[2]
    assert str(raised.value) == f"{part} cannot be written: No space left on device."
    assert place.names == PARTS[:2]
    monkeypatch.undo()
    assert place.score().n == N


@pytest.mark.slow
def test_a_worker_that_dies_is_told_and_the_run_resumes(place, monkeypatch):
    place.write()
    monkeypatch.setattr(chunks.Chunk, "__reduce__", _dying, raising=False)
    with pytest.raises(StratifyError) as raised:
        place.score(workers=2)
    assert str(raised.value) == (
        "A worker died; perhaps memory ran out. Complete parts are kept: run the same command "
        "again, with fewer workers."
    )
    monkeypatch.undo()
    assert place.score().n == N


def _dying(part: chunks.Chunk) -> tuple[Callable[..., object], tuple[object, ...]]:
    return os._exit, (9,)


def test_a_model_without_any_feature_of_the_table_is_told(place):
    place.panels = {"clinical": {"site": place.panels["clinical"]["site"]}}
    place.write()
    with pytest.raises(ArgumentError) as raised:
        place.score()
    assert str(raised.value).startswith("The cohort registry maps none of the model's features, ")


def test_features_that_are_not_mapped_are_named(place):
    place.panels = {k: v for k, v in place.panels.items() if k not in ("tmb", "ctdna")}
    place.write()
    place.score()
    (told,) = [line for line in place.told if "not mapped" in line]
    assert told.startswith("registry: not mapped, derived if they can be, else missing: ")
    assert "tmb" in told


def test_progress_tells_of_speed_and_time_left(place, monkeypatch):
    from stratify import progress

    monkeypatch.setattr(progress, "_EVERY", 0.0)
    place.write()
    place.score()
    lines = [line for line in place.told if " scored, " in line]
    assert len(lines) == 5
    assert lines[0].startswith("50 of 230 patients scored, ")
    assert lines[-1].endswith(" a second, about 0 s left")


def test_the_job_file_holds_no_patient(place):
    place.write()
    place.score()
    job = json.loads((place.out / "job.json").read_text())
    assert sorted(job) == [
        *("blank", "bundle", "explain", "part_rows", "policy", "sha256", "study", "top"),
    ]
    assert not any(name in str(job) for name in place.table["patient_id"])
    assert time.time() - (place.out / "job.json").stat().st_mtime < 600


@pytest.mark.parametrize("lymphocytes", ["measured", "filled in"])
def test_indices_follow_from_counts_in_parts_as_in_memory(place, lymphocytes):
    """The model asks for NLR, which the registry does not report; one count for all is none."""
    nlr = place.table.pop("nlr")
    count = np.linspace(1, 2, N) if lymphocytes == "measured" else 1.5
    place.table = place.table.assign(neutrophils=nlr * count, lymphocytes=count)
    panels = {name: dict(columns) for name, columns in place.panels.items()}
    del panels["clinical"]["nlr"]
    for name in ("neutrophils", "lymphocytes"):
        panels["clinical"][name] = {"column": name, "unit": "10^9/L"}
    place.panels = panels
    place.write()
    study = place.study()
    place.score(study)
    expected = score(place.bundle, study, place.folder / "all.parquet").set_index("patient_id")
    found = place.scores.set_index("patient_id")

    same(found, expected.loc[found.index, found.columns])
    read = BatchScorer(place.bundle, study).prepare(place.table).values
    assert read["nlr"] == pytest.approx(nlr.to_numpy(), nan_ok=True)


def test_the_command_line_scores_into_a_folder(place, capsys):
    place.write()
    arguments = ["score", place.bundle, place.study(), "--out", place.out, "--workers", "1"]
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in [*arguments, "--explain", "top", "--top", "2"]])
    assert ended.value.code == 0
    counts = place.scores["recommendation"].value_counts()
    shares = ", ".join(f"{name} {n}" for name, n in counts.items())
    said = capsys.readouterr()
    assert said.out == f"{N} patients scored ({shares}), research use only: {place.out}.\n"
    assert "looking at what is already scored" in said.err
    assert place.scores.columns[-1] == "reason_2_shap"

"""Runs in MLflow: what is logged, that the logged model is the model, that no patient is in it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.types import DataType

from functional.conftest import DISTINCT, IDENTIFIER, Trained
from stratify import Study, evaluate, read_cohort
from stratify.errors import TrackingError
from stratify.tables.schema import convert, load_schema, panel_versions
from stratify.tracking.runs import log_results
from stratify.tracking.saved_view import view_columns
from stratify.tracking.store import _make, default_store
from stratify.tracking.upload import sync


@dataclass(frozen=True)
class Logged:
    """A run in the store beside the output folder, read back with MLflow's own client."""

    store: str
    run_id: str
    artefacts: Path

    @property
    def client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(self.store)

    @property
    def run(self) -> Any:
        return self.client.get_run(self.run_id)


@pytest.fixture(autouse=True)
def no_store_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def logged(trained: Trained) -> Logged:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run_id = log_results(trained.results, trained.out)
    folder = trained.out.parent
    return Logged(f"sqlite:///{folder / 'mlflow.db'}", run_id, folder / "mlartifacts")


def figures_left_out(trained: Trained) -> Any:
    """The same results without figures, which take most of the time."""
    return replace(trained.results, figures={})


# ------------------------------------------------------------------ the run


def test_a_training_is_one_finished_run_beside_the_output(trained, logged):
    experiment = logged.client.get_experiment_by_name("demo")
    cards = "tags.kind = 'training'"
    runs = logged.client.search_runs([experiment.experiment_id], filter_string=cards)

    assert [run.info.run_id for run in runs] == [logged.run_id]
    assert runs[0].info.status == "FINISHED"
    assert runs[0].info.run_name == trained.results.model.version
    assert {p.name for p in trained.out.parent.iterdir()} == {"out", "mlflow.db", "mlartifacts"}


def test_parameters_are_the_settings_the_data_and_the_versions(trained, logged):
    params = logged.run.data.params
    card = trained.results.model.card

    assert params["study"] == "demo"
    assert params["endpoint_rule"] == "proxy_pfs6@1.0.0"
    assert params["n_train"] == str(card["n"])
    assert params["n_events_train"] == str(card["n_events"])
    assert params["features"].split(", ")[:3] == card["features"][:3]
    assert params["model.n_members"] == "3"
    assert params["model.learning_rate"] == "0.03"
    assert params["seed"] == "0"
    assert params["sha256.data"] == card["hashes"]["data"]
    assert params["sha256.file train/tmb.csv"] == card["hashes"]["file train/tmb.csv"]
    assert params["version.lightgbm"] == card["package_versions"]["lightgbm"]
    assert params["schema.clinical"] == panel_versions()["clinical"]


def test_tags_say_what_the_model_is_and_may_claim(trained, logged):
    tags = logged.run.data.tags
    version = trained.results.model.version

    own = {name: tags[name] for name in tags if not name.startswith(("mlflow.", "stratify."))}
    assert len(own.pop("git_commit", "0" * 12)) == 12  # none outside of a checkout
    card = trained.results.model.card
    assert own == {
        "kind": "training",
        "model_version": version,
        "endpoint_rule": "proxy_pfs6@1.0.0",
        "evidence_class": "C1",
        "mixed_regimens": "false",
        "training_cohorts": "simulated_train",
        "panels": "clinical, ctdna, infiltration, pdl1, tmb",
        "n_train": str(card["n"]),
        "n_events_train": str(card["n_events"]),
        "data_sha256": card["hashes"]["data"][:12],
        "split_sha256": card["hashes"]["split"][:12],
        "schema_versions": ", ".join(
            f"{k} {v}" for k, v in sorted(card["schema_versions"].items())
        ),
        "package_versions": ", ".join(
            f"{k} {v}" for k, v in sorted(card["package_versions"].items())
        ),
    }
    note = tags["mlflow.note.content"].splitlines()
    rows = trained.results.performance
    auroc = rows[(rows["metric"] == "auroc") & (rows["model"] == "stratify")]
    row = auroc[(auroc["split"] == "external") & (auroc["subgroup"] == "all")].iloc[0]
    assert note[0] == (
        f"**AUROC {row['value']:.2f} ({row['low']:.2f}–{row['high']:.2f}) in simulated_external "
        f"(n = {row['n']}).** Risk of primary resistance (progression or death within six months "
        "without response). Research use only; evidence class C1 (prognostic)."
    )
    gap = "&ensp;"  # at the end of each cell
    assert note[2].replace(gap, "") == (
        "| cohort | split | n | events | AUROC | difference to LORIS | Brier skill | "
        "calibration slope | O:E |"
    )
    assert note[4].startswith(
        f"| simulated_external{gap} | external{gap} | {row['n']}{gap} | {row['n_events']}{gap} | "
        f"{row['value']:.2f} ({row['low']:.2f}–{row['high']:.2f}){gap} | "
    )
    assert note[5].startswith(f"| simulated_train{gap} | cv{gap} | ")
    assert (
        f"Trained on simulated_train ({card['n']} patients, {card['n_events']} with label 1) by "
        "`proxy_pfs6@1.0.0`."
    ) in note


@pytest.mark.parametrize(
    ("name", "split", "model", "reference", "metric"),
    [
        ("simulated_external/auroc", "external", "stratify", "", "auroc"),
        ("simulated_external/calibration_slope", "external", "stratify", "", "calibration_slope"),
        ("simulated_external/c_index", "external", "stratify", "", "c_index"),
        ("simulated_external/auroc_loris", "external", "loris", "", "auroc"),
        (
            "simulated_external/delta_auroc_vs_logistic",
            *("external", "stratify", "logistic", "delta_auroc"),
        ),
        (
            "simulated_external/delta_brier_vs_loris",
            *("external", "stratify", "loris", "delta_brier"),
        ),
        ("simulated_train_cv/brier", "cv", "stratify", "", "brier"),
        ("simulated_train_apparent/auroc", "train", "stratify", "", "auroc"),
    ],
)
def test_metrics_are_grouped_by_cohort_with_their_interval(
    trained, logged, name, split, model, reference, metric
):
    wanted = {"subgroup": "all", "split": split, "model": model, "reference": reference}
    table = trained.results.performance
    rows = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    row = rows[rows["metric"] == metric].iloc[0]

    logged_here = logged.run.data.metrics
    assert logged_here[name] == row["value"]
    assert logged_here[f"{name}_low"] == row["low"]
    assert logged_here[f"{name}_high"] == row["high"]


def test_metrics_belong_to_the_three_places_that_were_judged(trained, logged):
    metrics = logged.run.data.metrics
    places = {name.partition("/")[0] for name in metrics}

    assert places == {
        *("simulated_external", "simulated_train_cv", "simulated_train_apparent"),
        *("simulated_external_curves", "simulated_train_cv_curves"),
    }
    labels = trained.results.labels
    external = labels.loc[labels["split"] == "external", "label"].notna().sum()
    assert metrics["simulated_external/n"] == external
    assert all(np.isfinite(value) for value in metrics.values())


def test_artefacts_are_the_tables_the_figures_and_the_report(trained, logged):
    listed = {item.path for item in logged.client.list_artifacts(logged.run_id)}
    figures = {item.path for item in logged.client.list_artifacts(logged.run_id, "figures")}

    assert listed == {
        *("report.html", "performance.csv", "attrition.csv", "findings.csv", "study.yaml"),
        *("figures", "tables"),
    }
    assert figures == {f"figures/{name}.png" for name in trained.results.pictures}
    folder = Path(mlflow.artifacts.download_artifacts(f"{logged.run.info.artifact_uri}/"))
    for name in ("report.html", "performance.csv"):
        assert (folder / name).read_bytes() == (trained.out / name).read_bytes()


def test_an_experiment_says_what_it_is_and_has_a_view_of_unseen_cohorts(logged):
    tags = logged.client.get_experiment_by_name("demo").tags

    assert tags["mlflow.note.content"] == (
        "Simulated cohort, anti-PD-(L)1 monotherapy. Risk of primary resistance (progression or "
        "death within six months without response). Research use only. Menu *Views* above the "
        "runs: performance in unseen cohorts."
    )
    view = json.loads(tags["mlflow.sharedViewState.unseen-cohorts"])
    assert view["name"] == "Unseen cohorts"
    columns = json.loads(view["state"])["selectedColumns"]
    assert columns == [
        *("attributes.`Created`", "tags.`kind`", "tags.`endpoint_rule`", "tags.`data_sha256`"),
        "metrics.`simulated_external/auroc`",
        "metrics.`simulated_external/delta_auroc_vs_loris`",
        "metrics.`simulated_external/brier_skill`",
        "metrics.`simulated_external/calibration_slope`",
    ]
    assert {name.split("`")[1] for name in columns[4:]} <= set(logged.run.data.metrics)


def test_a_view_keeps_the_cohorts_of_earlier_runs_and_fits_a_tag():
    names = [f"hospital {k}/{m}" for k in range(6) for m in ("auroc", "brier_skill", "auroc_low")]
    first = view_columns(names[:3])

    later = view_columns(names[3:], first)

    assert later[4:6] == ["metrics.`hospital 1/auroc`", "metrics.`hospital 1/brier_skill`"]
    assert set(first) <= set(later)
    many = [f"{'a long name of a cohort ' * 2}{k}/auroc" for k in range(99)]
    assert len(view_columns(many)) == 4 + 16
    assert len(json.dumps(view_columns(many))) < 4_000


# ------------------------------------------------------------------ the model


@pytest.fixture(scope="module")
def served(logged: Logged) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        mlflow.set_tracking_uri(logged.store)
        try:
            return mlflow.pyfunc.load_model(f"runs:/{logged.run_id}/model")
        finally:
            mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def patients(trained: Trained) -> pd.DataFrame:
    """Features of all patients, in canonical units; many values are missing."""
    table = read_cohort(Study.load(trained.study)).table
    return table[trained.results.model.classifier.features_]


def library_risk(trained: Trained, table: pd.DataFrame) -> np.ndarray[Any, Any]:
    return trained.results.model.classifier.predict_proba(table)[:, 1]


def test_the_signature_names_every_feature_and_requires_none(trained, served):
    inputs = served.metadata.signature.inputs
    model = trained.results.model

    assert inputs.input_names() == ["patient_id", *model.inputs]
    assert model.inputs[: len(model.classifier.features_)] == model.classifier.features_
    assert inputs.required_input_names() == []
    types = dict(zip(inputs.input_names(), inputs.input_types(), strict=True))
    assert {n for n, kind in types.items() if kind == DataType.string} == {
        *("patient_id", "sex", "cancer_type", "histology", "immune_phenotype"),
        *("pdl1_clone", "pdl1_report", "regimen", "tmb_assay"),
    } & {"patient_id", *model.inputs}
    outputs = served.metadata.signature.outputs
    assert outputs.input_names() == [
        *load_schema("scores").fields,
        *("top_reasons", "features_missing", "findings"),
    ]


@pytest.mark.parametrize("kind", ["int64", "float64", "Int64", "bool"])
def test_numbers_of_every_type_are_predicted_alike(served, kind):
    """Ages and counts are whole numbers, yes and no booleans, and pandas has Int64 with gaps."""
    values = {"age": [61, 1], "ecog": [1, 0], "msi_high": [0, 1], "albumin": [4, 3]}
    plain = pd.DataFrame({"patient_id": ["a", "b"], **values})
    columns = ["msi_high"] if kind == "bool" else list(values)
    expected = served.predict(plain.astype(dict.fromkeys(values, "float64")))
    found = served.predict(plain.astype(dict.fromkeys(columns, kind)))
    pd.testing.assert_frame_equal(found, expected)
    if kind == "Int64":
        gap = plain.astype(dict.fromkeys(values, kind))
        gap.loc[1, "age"] = pd.NA
        lacking = plain.astype(dict.fromkeys(values, "float64"))
        lacking.loc[1, "age"] = float("nan")
        pd.testing.assert_frame_equal(served.predict(gap), served.predict(lacking))


def test_the_logged_model_predicts_as_the_library(trained, served, patients):
    assert patients.isna().any(axis=1).mean() > 0.9

    scores = served.predict(patients)

    assert list(scores)[:-3] == list(load_schema("scores").fields)
    assert scores["findings"].isna().all()
    np.testing.assert_allclose(scores["risk"], library_risk(trained, patients), atol=1e-12)
    written = trained.results.scores
    for name in ("risk_low", "risk_high"):
        np.testing.assert_allclose(scores[name], written[name], atol=1e-12)
    for name in ("risk_group", "recommendation", "reason", "model_version", "endpoint_rule"):
        assert scores[name].tolist() == written[name].tolist(), name
    assert scores["panels_missing"].fillna("").tolist() == written["panels_missing"].tolist()


@pytest.mark.parametrize(
    "kept",
    [
        ["tmb"],
        ["albumin", "nlr", "cancer_type"],
        ["pdl1_tps", "pdl1_cps", "sex", "age"],
    ],
)
def test_columns_may_be_absent_and_stand_in_any_order(trained, served, patients, kept):
    some = patients[kept[::-1]].sample(frac=1, random_state=0)

    scores = served.predict(some)

    np.testing.assert_allclose(scores["risk"], library_risk(trained, some), atol=1e-12)


def test_a_single_patient_is_scored_from_a_record(trained, served):
    record = {"patient_id": "one", "albumin": 3.1, "cancer_type": "nsclc", "tmb": None}

    scores = served.predict([record])

    expected = library_risk(trained, pd.DataFrame([record]).astype({"tmb": float}))
    assert scores["patient_id"].tolist() == ["one"]
    np.testing.assert_allclose(scores["risk"], expected, atol=1e-12)


# ------------------------------------------------------------------ no patient in it


def medians(document: Any) -> set[str]:
    """Every number under a key ``medians``, however deep, as text."""
    if not isinstance(document, dict):
        return set()
    here = document.get("medians", {}).values()
    return {repr(number) for number in here}.union(*map(medians, document.values()))


def test_no_identifier_and_no_value_of_a_patient_is_in_the_store(trained, logged):
    """Medians are left out: one is the value of some patient, but does not say whose."""
    values = set()
    for path in trained.study.parent.glob("*/*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for name in DISTINCT.intersection(table):
            numbers = pd.to_numeric(table.loc[table[name] != "", name])
            values |= {repr(number) for number in numbers}
            if name == "ALB_g_L":
                values |= {repr(number) for number in convert(numbers, "g/L", "albumin")}
    files = [path for path in logged.artefacts.rglob("*") if path.is_file()]
    files.append(trained.out.parent / "mlflow.db")
    names = {path.name for path in files}

    assert len(values) > 600
    assert {"card.json", "classifier.json", "000.txt", "mlflow.db", "report.html"} <= names
    assert not names & {"scores.csv", "labels.csv", "attributions.parquet", "profiles.parquet"}
    found = {}
    for path in files:
        text = path.read_bytes().decode("latin-1")
        known = medians(json.loads(text)) if path.suffix == ".json" else set()
        found[path.name] = [value for value in values - known if value in text]
        if IDENTIFIER in text:
            found[path.name].append(IDENTIFIER)
    assert {name: hits for name, hits in found.items() if hits} == {}


# ------------------------------------------------------------------ which store


def test_the_store_lies_beside_the_output_unless_the_environment_names_one(monkeypatch, tmp_path):
    assert default_store(tmp_path / "out") == f"sqlite:///{tmp_path / 'mlflow.db'}"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracking.example.org")
    assert default_store(tmp_path / "out") == "https://tracking.example.org"


def test_a_store_is_seen_by_others_only_when_it_is_whole(monkeypatch, tmp_path):
    """Another process puts its store in place while this one makes its own: that one stays."""
    path = tmp_path / "mlflow.db"
    usual = mlflow.MlflowClient.search_experiments

    def slower(client: mlflow.MlflowClient, **options: Any) -> Any:
        found = usual(client, **options)
        assert list(tmp_path.iterdir()) == []
        with sqlite3.connect(path) as base:
            base.execute("create table of_another_process (a)")
        return found

    monkeypatch.setattr(mlflow.MlflowClient, "search_experiments", slower)
    _make(f"sqlite:///{path}")

    assert list(tmp_path.iterdir()) == [path]
    with sqlite3.connect(path) as base:
        assert base.execute("select name from sqlite_master").fetchall() == [
            ("of_another_process",)
        ]


def test_a_store_may_be_named_by_its_folder(trained, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    run_id = log_results(figures_left_out(trained), trained.out, uri="team/runs")

    folder = tmp_path / "team" / "runs"
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlartifacts"}
    run = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").get_run(run_id)
    assert run.info.status == "FINISHED"


def test_two_trainings_in_the_named_store_are_two_runs_of_one_experiment(
    trained, monkeypatch, tmp_path
):
    store = f"sqlite:///{tmp_path / 'team.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    before = sorted(trained.out.parent.iterdir())

    first = log_results(figures_left_out(trained), trained.out)
    second = log_results(figures_left_out(trained), trained.out)

    client = mlflow.MlflowClient(store)
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'training'")
    assert experiment.name == "demo"
    assert {run.info.run_id for run in runs} == {first, second}
    assert experiment.artifact_location == (tmp_path / "mlartifacts" / "demo").as_uri()
    assert sorted(trained.out.parent.iterdir()) == before
    assert os.environ["MLFLOW_TRACKING_URI"] == store


def test_an_evaluation_is_a_run_without_a_model(trained, logged, tmp_path):
    results = replace(evaluate(trained.bundle, trained.study, tmp_path / "out"), figures={})

    run_id = log_results(results, tmp_path / "out", uri=logged.store)

    run = logged.client.get_run(run_id)
    assert run.data.tags["kind"] == "evaluation"
    assert run.data.tags["model_version"] == trained.results.model.version
    assert {n.partition("/")[0] for n in run.data.metrics} == {
        *("simulated_external", "simulated_external_curves")
    }
    assert not run.outputs.model_outputs
    assert logged.run.outputs.model_outputs


def test_the_process_keeps_its_own_store(logged, monkeypatch, trained):
    with pytest.raises(TrackingError):
        log_results(trained.results, trained.out, uri="nonsense://store")
    shutil.rmtree(trained.out.parent / "mlflow_queue")
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert not mlflow.tracking.is_tracking_uri_set()


# ------------------------------------------------------------------ stores that fail


def not_a_database(folder: Path) -> str:
    (folder / "notes.db").write_text("no data base at all, though it has the name of one")
    return f"sqlite:///{folder / 'notes.db'}"


def folder_is_a_file(folder: Path) -> str:
    (folder / "store").write_text("a file where a folder is expected")
    return f"sqlite:///{folder / 'store' / 'mlflow.db'}"


def no_such_server(folder: Path) -> str:
    return "http://127.0.0.1:9"


def no_driver(folder: Path) -> str:
    return "mysql://someone:secret@db.example.org/runs"


@pytest.mark.parametrize(
    ("store", "message"),
    [
        (not_a_database, "(sqlite3.DatabaseError) file is not a database"),
        (folder_is_a_file, "[Errno 17] File exists: '{folder}/store'"),
        (
            no_such_server,
            "API request to http://127.0.0.1:9/api/2.0/mlflow/experiments/get-by-name",
        ),
        (no_driver, "No module named 'MySQLdb'"),
    ],
)
def test_a_store_that_fails_is_told_without_secrets_and_results_stay(
    trained, tmp_path, monkeypatch, store, message
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    uri = store(tmp_path)
    before = sorted(trained.out.rglob("*"))

    with pytest.raises(TrackingError) as refused:
        log_results(trained.results, trained.out, uri=uri)

    text = str(refused.value)
    shown = uri.replace("someone:secret@", "")
    queue = trained.out.parent / "mlflow_queue"
    told = message.format(folder=tmp_path)
    assert text.startswith(f"The MLflow store {shown} cannot be used: {told}")
    assert text.endswith(
        f". The results are on disk; the run waits in {queue}. Send it later with: stratify runs "
        f"sync {queue}"
    )
    assert "secret" not in text
    assert refused.value.exit_code == 14
    assert sorted(trained.out.rglob("*")) == before
    (waiting,) = queue.iterdir()
    assert "secret" not in (waiting / "run.json").read_text(encoding="utf-8")
    shutil.rmtree(queue)


def test_results_that_are_gone_are_told_and_nothing_is_begun(trained, tmp_path):
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"

    with pytest.raises(TrackingError) as refused:
        log_results(figures_left_out(trained), tmp_path / "moved away", uri=store)

    assert str(refused.value) == (
        f"The run cannot be written to {tmp_path / 'mlflow_queue'}: No such file or "
        "directory. The results are on disk, but the run is not logged."
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_run_that_breaks_off_is_marked_as_failed_and_completed_later(
    trained, tmp_path, monkeypatch
):
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    out = tmp_path / "out"
    shutil.copytree(trained.out, out)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "log_artifacts", full)
        with pytest.raises(TrackingError, match="No space left on device"):
            log_results(figures_left_out(trained), out, uri=store)

    def states() -> list[tuple[str, int]]:
        with sqlite3.connect(tmp_path / "mlflow.db") as base:
            return base.execute("select status, count(*) from runs group by status").fetchall()

    def counts() -> list[int]:
        tables = ("runs", "metrics", "params", "inputs", "model_versions", "logged_models")
        with sqlite3.connect(tmp_path / "mlflow.db") as base:
            return [base.execute(f"select count(*) from {name}").fetchone()[0] for name in tables]

    assert states() == [("FAILED", 1), ("FINISHED", 2)]
    before = counts()

    assert len(sync(tmp_path, uri=store)) == 1

    assert states() == [("FINISHED", 3)]
    assert counts() == before
    assert not (tmp_path / "mlflow_queue").exists()
    assert sync(tmp_path, uri=store) == []

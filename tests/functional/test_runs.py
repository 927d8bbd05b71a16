"""Runs reviewed: compared, promoted or refused, watched in use; a store of an older MLflow."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from functional.conftest import Trained
from stratify.cli import main
from stratify.errors import ArgumentError, BundleError, TrackingError
from stratify.experiment import promotion
from stratify.experiment.benchmark import Benchmark
from stratify.experiment.monitoring import monitor
from stratify.statistics.meta_analysis import pool_performance
from stratify.statistics.performance import Prediction, performance_table
from stratify.tables.schema import panel_versions
from stratify.tracking.benchmark_runs import log_benchmark
from stratify.tracking.comparison import compare_runs
from stratify.tracking.monitoring import log_monitoring
from stratify.tracking.promotion import promote
from stratify.tracking.registry import bundle_folder
from stratify.tracking.request import as_request, score_request
from stratify.tracking.runs import log_results

OLD = Path(__file__).with_name("mlflow_3_1.sql")  # written by mlflow 3.1.0; 3.16 is needed


@pytest.fixture(autouse=True)
def no_store_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def store(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Store of MLflow 3.1 to which a training of today was added."""
    folder = tmp_path_factory.mktemp("older")
    with sqlite3.connect(folder / "mlflow.db") as base:
        base.executescript(OLD.read_text(encoding="utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        log_results(replace(trained.results, figures={}), trained.out, uri=str(folder))
    return f"sqlite:///{folder / 'mlflow.db'}"


# ------------------------------------------------------------------ comparison


def test_a_store_older_than_the_oldest_supported_mlflow_opens_and_takes_a_run(store, trained):
    table = compare_runs(store, metrics=("auroc",))

    assert table["model"].tolist() == [trained.results.model.version, "", "demo-00000000"]
    old = table.iloc[-1]
    assert old[["run", "alias", "data", "cohort", "n", "auroc"]].tolist() == [
        *("d7f28cc3", "champion", "01234567", "simulated_external", 300),
        "0.70 (0.60–0.80)",
    ]
    assert table.loc[0, "alias"] == "candidate"
    assert table["cohort"].tolist()[:2] == ["simulated_external", "simulated_train_cv"]


def test_a_study_that_is_not_there_is_told(store):
    with pytest.raises(ArgumentError) as refused:
        compare_runs(store, experiment="demos")

    assert str(refused.value) == "There is no study 'demos' in the store; it has demo."


def test_a_wrong_address_is_told():
    with pytest.raises(TrackingError) as refused:
        compare_runs("nonsense://store")

    assert str(refused.value).startswith("The MLflow store nonsense://store cannot be used: ")
    assert str(refused.value).endswith(". Name another store with --store.")


# ------------------------------------------------------------------ nested runs, curves


def test_folds_are_nested_and_curves_have_steps(store, trained):
    client = mlflow.MlflowClient(store)
    (run,) = client.search_runs(["1"], "tags.`package_versions` LIKE '%lightgbm%'")
    nested = client.search_runs(["1"], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")

    assert sorted(child.info.run_name for child in nested) == ["fold 1 of 2", "fold 2 of 2"]
    name = "simulated_train_cv/n"
    whole = run.data.metrics[name]
    assert sum(child.data.metrics[name] for child in nested) == whole
    curve = client.get_metric_history(run.info.run_id, "simulated_external_curves/net_benefit")
    assert sorted(point.step for point in curve) == list(range(5, 96))
    decision = next(a for a in trained.results.assessments if a.split == "external").decision
    own = decision[decision["model"] == "stratify"].set_index("threshold")["net_benefit"]
    at_half = next(point.value for point in curve if point.step == 50)
    assert at_half == pytest.approx(own.loc[0.5])


def test_datasets_are_named_by_digest_and_size(store, trained):
    client = mlflow.MlflowClient(store)
    (run,) = client.search_runs(["1"], "tags.`package_versions` LIKE '%lightgbm%'")
    inputs = {
        (item.dataset.name, item.tags[0].value): item.dataset for item in run.inputs.dataset_inputs
    }

    assert set(inputs) == {("simulated_train", "train"), ("simulated_external", "external")}
    for dataset in trained.results.datasets:
        logged = inputs[dataset["name"], dataset["context"]]
        assert logged.digest == dataset["sha256"][:32]
        assert logged.profile == f'{{"n": {dataset["n"]}, "n_events": {dataset["n_events"]}}}'


# ------------------------------------------------------------------ registry


@pytest.mark.parametrize(
    ("bundle", "message"),
    [
        (
            "models:/demo@approved",
            "Model demo has no alias 'approved'; it has candidate (version 2), champion "
            "(version 1).",
        ),
        ("models:/demo/9", "Model demo has no version 9; it has 1, 2."),
        ("models:/demos@champion", "There is no registered model 'demos'; the store has demo."),
    ],
)
def test_a_model_that_is_not_there_is_wrong_usage(store, bundle, message):
    with pytest.raises(ArgumentError) as refused:
        bundle_folder(bundle, store)

    assert str(refused.value) == message


def test_a_version_without_a_bundle_is_told(store):
    with pytest.raises(BundleError) as refused:
        bundle_folder("models:/demo@champion", store)

    assert str(refused.value).startswith(
        "models:/demo@champion holds no bundle of stratify, or its artefacts are gone ("
    )


def test_a_candidate_is_found_by_its_alias(store, trained):
    folder = bundle_folder("models:/demo@candidate", store)

    manifest = (folder / "manifest.json").read_bytes()
    assert manifest == (trained.bundle / "manifest.json").read_bytes()


def test_a_registered_model_of_another_schema_major_is_refused(trained, tmp_path, capsys):
    """As it was trained by a later release: dictionaries 2.0.0, its manifest in order."""
    store = tmp_path / "store"
    log_results(replace(trained.results, figures={}), trained.out, uri=str(store))
    folder = bundle_folder("models:/demo@candidate", store)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card["schema_versions"]["tmb"] = "2.0.0"
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["sha256"]["card.json"] = hashlib.sha256(
        (folder / "card.json").read_bytes()
    ).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    out = tmp_path / "scores.csv"

    arguments = ["score", "models:/demo@candidate", trained.study, "--out", out, "--store", store]
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])

    assert ended.value.code == 12
    assert capsys.readouterr().err == (
        f"Error: {folder} was trained with data dictionaries of another major version: tmb 2.0.0 "
        f"(here {panel_versions()['tmb']}). Train again, or use the matching version of stratify.\n"
    )
    assert not out.exists()


def table_of(**rows: tuple[float, float, float]) -> pd.DataFrame:
    """Performance of a candidate; names are metrics, ``metric__cohort`` for another cohort."""
    found = []
    for name, (value, low, high) in rows.items():
        metric, _, cohort = name.partition("__")
        found.append(
            {
                "model": "candidate",
                "metric": metric,
                "cohort": cohort or "shim",
                "threshold": np.nan,
                "value": value,
                "low": low,
                "high": high,
                "n": 200,
                "n_events": 90,
                "reference": "champion" if metric.startswith("delta") else "",
            }
        )
    return pd.DataFrame(found)


@pytest.mark.parametrize(
    ("rows", "refusals"),
    [
        ({"delta_auroc": (0.02, -0.01, 0.05), "calibration_slope": (1.1, 0.8, 1.4)}, []),
        (
            {"delta_auroc": (-0.04, -0.06, -0.02)},
            ["AUROC lower than the champion's in shim (n = 200, 90 with label 1): −0.040 "
             "(−0.060\u00a0to\u00a0−0.020)."],
        ),
        (
            {"delta_auroc__all": (-0.01, -0.07, 0.05)},
            ["AUROC may be lower by 0.05 or more in all (n = 200, 90 with label 1): −0.010 "
             "(−0.070\u00a0to\u00a00.050)."],
        ),
        (
            {"delta_brier": (0.01, 0.005, 0.015)},
            ["Brier score higher than the champion's in shim (n = 200, 90 with label 1): 0.010 "
             "(0.005–0.015)."],
        ),
        (
            {"calibration_slope": (0.5, 0.3, 0.7)},
            ["Calibration slope in shim (n = 200, 90 with label 1): 0.500 (0.300–0.700)."],
        ),
        ({"calibration_slope": (1.2, 1.1, 1.3)}, []),  # shown, but small
        ({"observed_expected": (1.5, 0.9, 2.1)}, []),  # large, but not shown
        (
            {"observed_expected": (1.5, 1.3, 1.7)},
            ["O:E in shim (n = 200, 90 with label 1): 1.500 (1.300–1.700)."],
        ),
    ],
)  # fmt: skip
def test_when_a_candidate_is_refused(rows, refusals):
    assert promotion._refusals(table_of(**rows), compared=True) == refusals


def test_promotion_moves_the_alias_and_refusal_does_not(trained, tmp_path, monkeypatch):
    store = str(tmp_path)
    small = replace(trained.results, figures={})
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    log_results(small, trained.out, uri=store)
    monkeypatch.setattr(promotion, "_refusals", lambda table, compared: [])

    def aliases() -> dict[str, str]:
        return {a: str(v) for a, v in client.get_registered_model("demo").aliases.items()}

    found, _, _ = promote("demo", [trained.study], store=store)
    assert found.performance["model"].unique().tolist() == ["candidate"]
    assert aliases() == {"champion": "1"}

    log_results(small, trained.out, uri=store)
    monkeypatch.setattr(promotion, "_refusals", lambda table, compared: ["It is worse."])
    found, _, run_id = promote("demo", [trained.study], store=store)
    # the same model twice: no difference at all
    deltas = found.performance[found.performance["metric"] == "delta_auroc"]
    assert deltas["value"].tolist() == [0.0, 0.0]
    assert deltas["cohort"].tolist() == ["simulated_external", "all"]
    assert aliases() == {"candidate": "2", "champion": "1"}
    assert client.get_model_version("demo", "1").tags["approval"] == "champion"
    run = client.get_run(run_id)
    assert run.data.tags["decision"] == "refused"
    assert run.data.tags["mlflow.note.content"].endswith("- It is worse.")

    monkeypatch.setattr(promotion, "_refusals", lambda table, compared: [])
    promote("demo", [trained.study], store=store)
    assert aliases() == {"champion": "2", "archived": "1"}
    assert client.get_model_version("demo", "1").tags["approval"] == "archived"
    with pytest.raises(ArgumentError, match="Version 2 of demo is the champion already"):
        promote("demo", [trained.study], store=store, version="2")


def test_a_benchmark_has_a_nested_run_for_each_cohort_left_out(store, tmp_path):
    rng = np.random.default_rng(0)
    parts = []
    for cohort in ("north", "south", "west"):
        label = np.tile([0.0, 1.0], 40)
        risks = {
            "stratify": Prediction(rng.uniform(0.2, 0.6, 80) + 0.3 * label, probability=True),
            "tmb": Prediction(rng.normal(size=80) + label, probability=False),
        }
        parts.append(performance_table(label, risks, cohort=cohort, split="left_out"))
    rows = pd.concat(parts, ignore_index=True)
    pooled = pool_performance(rows).assign(task="three")
    found = Benchmark(rows.assign(task="three"), pooled, pd.DataFrame())

    (run_id,) = log_benchmark(found, tmp_path / "out", uri=store)

    client = mlflow.MlflowClient(store)
    run = client.get_run(run_id)
    nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    names = {f"three: {cohort} left out" for cohort in ("north", "south", "west")}
    assert {child.info.run_name for child in nested} == names
    row = found.pooled[(found.pooled["metric"] == "auroc") & (found.pooled["model"] == "stratify")]
    assert run.data.metrics["pooled/auroc"] == row["value"].item()
    for child in nested:
        name = f"{child.data.tags['cohort']}_left_out/auroc"
        assert child.data.metrics[name] == run.data.metrics[name]


# ------------------------------------------------------------------ drift


def test_patients_like_those_of_training_raise_few_alerts_and_are_logged(trained, store, tmp_path):
    found = monitor(trained.bundle, trained.study, tmp_path / "out")

    assert found.labelled
    assert set(found.drift["what"]) == {"input", "missing", "panel_missing", "score", "outcome"}
    # the simulated external cohort is drawn alike, but for which panels are measured
    assert (found.drift.loc[found.drift["what"] == "input", "alert"] != "").mean() < 0.05
    run_id = log_monitoring(found, tmp_path / "out", uri=store)
    run = mlflow.MlflowClient(store).get_run(run_id)
    assert run.data.tags["kind"] == "monitoring"
    psi = found.drift.loc[found.drift["what"] == "score", "psi"].item()
    assert run.data.metrics["simulated_external_drift/psi_risk"] == psi


def test_an_export_in_another_unit_and_a_lost_panel_raise_alerts(trained, rewritten, tmp_path):
    def break_(document, tables):
        for name, table in tables.items():
            if name.startswith("external") and "cd8_density" in table:
                table["cd8_density"] = ""

    study = rewritten(break_)
    found = monitor(trained.bundle, study, tmp_path / "out")

    alerts = found.drift[found.drift["alert"] != ""]
    assert ("missing", "cd8_density") in set(zip(alerts["what"], alerts["name"], strict=True))
    told = found.findings[found.findings["code"] == "missingness_shift"]
    assert told["message"].str.startswith("missing in 100 % of the patients, in training in ").any()


def test_an_older_bundle_cannot_be_watched(trained, tmp_path, monkeypatch):
    model = trained.results.model
    older = replace(model, card={k: v for k, v in model.card.items() if k != "profile"}, version="")
    older.save(tmp_path / "bundle")

    with pytest.raises(BundleError) as refused:
        monitor(tmp_path / "bundle", trained.study, tmp_path / "out")

    assert str(refused.value) == (
        f"{tmp_path / 'bundle'} does not hold what its training patients were like; it was made by "
        "an earlier version. Train again."
    )


# ------------------------------------------------------------------ requests


def test_whole_numbers_yes_no_and_categories_are_made_fit_for_the_signature(trained):
    model = trained.results.model
    table = pd.DataFrame(
        {
            "age": [61, 70],
            "msi_high": [True, False],
            "cancer_type": pd.Categorical(["nsclc", "melanoma"]),
            "unmapped": [1, 2],
        }
    )
    request = as_request(table, model.classifier.features_)

    answer = score_request(model, request)

    assert "unmapped" not in request
    assert answer["risk"].between(0, 1).all()
    assert (answer["findings"] == "").all()
    assert answer.loc[0, "top_reasons"].count(";") <= 2


def test_text_in_place_of_a_number_is_a_finding_of_its_row(trained):
    request = pd.DataFrame(
        {"patient_id": ["a", "b", "c"], "albumin": [3.9, "a lot", np.inf], "tmb": [5.0, -1.0, 2.0]}
    )

    answer = score_request(trained.results.model, request)

    assert answer["findings"].tolist() == [
        "", "not_numeric:albumin;outside_limits:tmb", "not_numeric:albumin"
    ]  # fmt: skip
    assert answer["risk"].notna().tolist() == [True, False, False]
    alone = score_request(trained.results.model, request[:1].astype({"albumin": float}))
    assert answer.loc[0, "risk"] == alone.loc[0, "risk"]


def test_reasons_are_the_largest_contributions(trained):
    model = trained.results.model
    request = pd.DataFrame({"patient_id": ["a"], "tmb": [30.0], "albumin": [2.6]})

    named = score_request(model, request).loc[0, "top_reasons"].split(";")

    values = model.classifier.contributions(
        request.reindex(columns=model.classifier.features_).astype(
            dict.fromkeys(model.classifier.levels_, object)
        )
    )[0][0]
    sizes = dict(zip(model.classifier.features_, values, strict=True))
    expected = sorted(sizes, key=lambda name: -abs(sizes[name]))[:3]
    assert [name[1:] for name in named] == expected
    assert [name[0] for name in named] == ["+" if sizes[name] > 0 else "-" for name in expected]

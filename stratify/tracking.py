"""Results to MLflow: one run a training or evaluation. The only module that imports mlflow.

Only aggregates are logged: tables and figures of a cohort, the report, and the bundle, which holds
no patient. Scores, labels and attributions stay on disk.
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from stratify.cohort.features import model_matrix
from stratify.errors import FileError, TrackingError
from stratify.scoring import load
from stratify.tables.schema import field_named, load_schema

if TYPE_CHECKING:
    from stratify.experiment.results import Results

__all__ = ["default_store", "log_results", "scoring_model", "serve_ui"]

# metrics of the model that appear as columns of the runs table
HEADLINE = (
    "auroc",
    "average_precision",
    "brier",
    "brier_skill",
    "calibration_intercept",
    "calibration_slope",
    "mean_predicted",
    "mean_observed",
    "c_index",
)
# what `mlflow models` executes to load a model: our class around our bundle, nothing pickled
MODEL_CODE = """\
import mlflow

from stratify.tracking import scoring_model

mlflow.models.set_model(scoring_model())
"""


def default_store(out: str | Path) -> str:
    """Tracking URI: ``MLFLOW_TRACKING_URI`` if set, else ``mlflow.db`` beside the output folder.

    Examples
    --------
    >>> default_store("results/chowell").endswith("results/mlflow.db")
    True
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return uri or f"sqlite:///{Path(out).resolve().parent / 'mlflow.db'}"


def _as_uri(store: str) -> str:
    """Tracking URI of a path; MLflow would make a folder of files there, which it has given up."""
    if len(urlsplit(store).scheme) > 1 or store.startswith("databricks"):
        return store
    path = Path(store).resolve()
    return f"sqlite:///{path if path.suffix == '.db' else path / 'mlflow.db'}"


@contextmanager
def _store(uri: str) -> Iterator[Any]:
    """Give a client of a store, its errors told as ours; the process's own store is put back."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow
    from sqlalchemy.exc import SQLAlchemyError

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    shown = uri.split("@")[-1]  # never a password
    before = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        # mlflow 3.17 warns of its own type hints and SQLAlchemy loaders (seen 2026-11-23); none
        # of our code runs in here
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.set_tracking_uri(uri)
            yield mlflow.MlflowClient(uri)
    except (mlflow.exceptions.MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        # an import fails where the driver of a data base is not installed
        reason = str(error).replace(uri, shown).strip().partition("\n")[0].rstrip(".")
        reason = textwrap.shorten(reason, 400, placeholder=" ...")
        raise TrackingError(
            f"The MLflow store {shown} cannot be used: {reason}. The results are on disk."
        ) from error
    finally:
        mlflow.set_tracking_uri(None)  # empties the variable too, which mlflow has overwritten
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def log_results(results: Results, out: str | Path, *, uri: str | None = None) -> str:
    """Log a training or an evaluation as one run.

    Parameters
    ----------
    results : Results
        From :func:`stratify.experiment.experiment.train` or
        :func:`stratify.experiment.experiment.evaluate`.
    out : path
        Folder the results were written to.
    uri : str, optional
        Tracking URI, or the path of a folder or of a data base ending in ``.db``; see
        :func:`default_store`.

    Returns
    -------
    str
        Run id.

    Raises
    ------
    TrackingError
        If the store cannot be reached or written; results stay on disk.
    """
    out = Path(out)
    uri = _as_uri(uri or default_store(out))
    with _store(uri) as client:
        import mlflow

        experiment = _experiment(client, results.study.name, uri)
        name = f"{results.study.name} {results.model.card['endpoint']} {results.model.version}"
        run = client.create_run(experiment, run_name=name, tags=_tags(results))
        run_id: str = run.info.run_id
        try:
            _log_batches(client, run_id, _params(results), _metrics(results.performance))
            _log_artifacts(client, run_id, results, out)
            if results.kind == "model card":
                with mlflow.start_run(run_id=run_id):
                    _log_model(results, out / "bundle")
        except BaseException:
            client.set_terminated(run_id, status="FAILED")
            raise
        client.set_terminated(run_id)
    return run_id


def _experiment(client: Any, name: str, uri: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if uri.startswith("sqlite:///"):  # artefacts beside the data base, not in the working folder
        location = (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts" / name).as_uri()
    # the UI opens such an experiment with its runs table, not with tools for chat models
    kind = {"mlflow.experimentKind": "custom_model_development"}
    return str(client.create_experiment(name, artifact_location=location, tags=kind))


def _tags(results: Results) -> dict[str, str]:
    card = results.model.card
    headline = results.performance[
        (results.performance["model"] == "stratify")
        & (results.performance["subgroup"] == "all")
        & (results.performance["metric"] == "auroc")
        & (results.performance["split"] != "train")
    ]
    lines = [
        f"| {row.cohort} | {row.split} | {row.n} | {row.n_events} | "
        f"{row.value:.3f} ({row.low:.3f}–{row.high:.3f}) |"
        for row in headline.itertuples()
    ]
    note = "\n".join(
        [
            f"**{card['target'].capitalize()}**, model {results.model.version}. "
            "Research use only; evidence class C1 (prognostic).",
            "",
            "| cohort | data | n | events | AUROC (95 % interval) |",
            "|---|---|---|---|---|",
            *lines,
        ]
    )
    return {
        "mlflow.note.content": note,
        "mlflow.source.name": f"stratify {'train' if results.kind == 'model card' else 'evaluate'}",
        "mlflow.source.type": "LOCAL",
        "kind": results.kind,
        "model_version": results.model.version,
        "endpoint_rule": card["endpoint_rule"],
        "evidence_class": card["evidence_class"],
        "mixed_regimens": str(card["mixed_regimens"]).lower(),
        "training_cohorts": ", ".join(card["training_cohorts"]),
        "panels": ", ".join(sorted({field_named(name).panel for name in card["features"]})),
    }


def _params(results: Results) -> dict[str, Any]:
    card = results.model.card
    settings = {
        f"model.{k}": v for k, v in results.model.classifier.get_params().items() if v is not None
    }
    return {
        "study": results.study.name,
        "endpoint_rule": card["endpoint_rule"],
        "n_train": card["n"],
        "n_events_train": card["n_events"],
        "n_features": len(card["features"]),
        "features": ", ".join(card["features"]),
        "seed": results.study.seed,
        **settings,
        **{f"sha256.{name}": digest for name, digest in results.hashes.items()},
        **{f"version.{name}": v for name, v in card["package_versions"].items()},
        **{f"schema.{name}": v for name, v in card["schema_versions"].items()},
    }


def _metrics(performance: pd.DataFrame) -> dict[str, float]:
    """Metric names that the UI groups by cohort, for example ``chowell_test/auroc``."""
    found: dict[str, float] = {}
    rows = performance[performance["subgroup"] == "all"]
    # what counts first: unseen cohorts, then cross-validation, then the training patients
    rank = rows["split"].map({"external": 0, "test": 1, "cv": 2, "train": 3})
    rows = rows.iloc[rank.argsort(kind="stable")]
    for row in rows.to_dict("records"):
        place, metric = _place(row["cohort"], row["split"]), row["metric"]
        if row["reference"]:
            name = f"{place}/{metric}_vs_{row['reference']}"
        elif row["model"] != "stratify":
            if metric not in ("auroc", "brier"):
                continue
            name = f"{place}/{metric}_{row['model']}"
        elif metric in HEADLINE:
            name = f"{place}/{metric}"
        else:
            continue
        found[name] = row["value"]
        found[f"{name}_low"], found[f"{name}_high"] = row["low"], row["high"]
    for (cohort, split), part in rows.groupby(["cohort", "split"]):
        found[f"{_place(str(cohort), str(split))}/n"] = float(part["n"].max())
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _place(cohort: str, split: str) -> str:
    return cohort + {"train": "_apparent", "cv": "_cv"}.get(split, "")


def _log_batches(
    client: Any, run_id: str, params: dict[str, Any], metrics: dict[str, float]
) -> None:
    import time

    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    logged = [Metric(name, float(value), now, 0) for name, value in metrics.items()]
    named = [Param(name, str(value)[:500]) for name, value in params.items()]
    for start in range(0, max(len(logged), len(named)), 100):
        client.log_batch(
            run_id,
            metrics=logged[start : start + 100],
            params=named[start : start + 100],
        )


def _log_artifacts(client: Any, run_id: str, results: Results, out: Path) -> None:
    for name in ("report.html", "performance.csv", "attrition.csv", "findings.csv"):
        client.log_artifact(run_id, str(out / name))
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in results.pictures.items():
            (Path(folder) / f"{name}.png").write_bytes(picture)
        client.log_artifacts(run_id, folder, "figures")


def _log_model(results: Results, bundle: Path) -> None:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    features = results.model.classifier.features_
    kinds = {n: "string" if field_named(n).categorical else "double" for n in features}
    inputs = [ColSpec("string", "patient_id", required=False)] + [
        ColSpec(kind, name, required=False) for name, kind in kinds.items()
    ]
    outputs = [
        ColSpec("double" if field.type == "number" else "string", name)
        for name, field in load_schema("scores").fields.items()
    ]
    versions = results.model.card["package_versions"]
    pinned = ("lightgbm", "numpy", "pandas", "scikit-learn", "shap", "mlflow", "stratify-immuno")
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "model.py"
        code.write_text(MODEL_CODE, encoding="utf-8")
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(code),
            artifacts={"bundle": str(bundle)},
            signature=ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs)),
            pip_requirements=[f"{name}=={versions[name]}" for name in pinned],
        )


def scoring_model() -> Any:
    """Model that ``mlflow models serve`` loads: a table of features in, scores out.

    Returns
    -------
    mlflow.pyfunc.PythonModel
        ``predict`` takes canonical columns, any of them absent, and gives the ``scores`` table.
        Numbers and yes/no have to be floating-point columns: MLflow refuses to widen integers.
    """
    import mlflow

    class ScoringModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def load_context(self, context: Any) -> None:
            self.model = load(context.artifacts["bundle"])

        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            table = model_input.reset_index(drop=True)
            if "patient_id" not in table:
                table["patient_id"] = [str(i + 1) for i in range(len(table))]
            table["cohort"] = "request"
            matrix = model_matrix(table, self.model.classifier.features_)
            scores = self.model.score_cohort(
                pd.concat([table[["patient_id", "cohort"]], matrix], axis=1)
            )
            return scores.replace({np.nan: None, "": None})

    return ScoringModel()


def serve_ui(store: str | Path, *, port: int = 5000) -> int:
    """Open the MLflow UI of a store on loopback, until interrupted.

    Parameters
    ----------
    store : str or path
        A tracking URI, an ``mlflow.db``, or the folder that holds one.
    port : int

    Returns
    -------
    int
        Exit code of the server.

    Raises
    ------
    FileError
        If there is no store.
    """
    uri = str(store)
    if "://" not in uri:
        path = Path(store).resolve()
        if path.is_dir():
            # an output folder's store lies beside it
            path = next(
                (p / "mlflow.db" for p in (path, path.parent) if (p / "mlflow.db").is_file()),
                path / "mlflow.db",
            )
        if not path.is_file():
            raise FileError(
                f"There is no MLflow store {path}; train first, or name one with --store."
            )
        uri = f"sqlite:///{path}"
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    return subprocess.call([*command, "--host", "127.0.0.1", "--port", str(port)])

"""A training or an evaluation as a run: what is logged, under which names, in which words.

Only aggregates are logged: tables and figures of a cohort, the report, and the bundle, which holds
no patient. Scores, labels and attributions stay on disk unless they are asked for.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stratify.references import headline
from stratify.report.figures import METRICS, estimate
from stratify.tables.schema import field_named
from stratify.tracking.naming import RANK, curve_points, metric_values, place_of
from stratify.tracking.record import Dataset, RunRecord
from stratify.tracking.upload import log

if TYPE_CHECKING:
    from stratify.experiment.results import Results

__all__ = ["log_results", "run_record"]


def headline_columns() -> dict[str, tuple[str, str]]:
    """Columns of the headline table in a run's description: metric and reference."""
    differences = {f"difference to {n}": ("delta_auroc", ref) for ref, n in headline().items()}
    return {
        "AUROC": ("auroc", ""),
        **differences,
        "Brier skill": ("brier_skill", ""),
        "calibration slope": ("calibration_slope", ""),
        "O:E": ("observed_expected", ""),
    }


KIND = {"model card": "training", "evaluation report": "evaluation"}
PATIENT_LEVEL = ("scores.csv", "labels.csv", "attributions.parquet", "profiles.parquet")
GAP = "&ensp;"  # kept at the end of a cell, as no space itself is
_AS_NAME = re.compile(r"[^\w\-. :/]")  # what MLflow takes in a name is left as it is
LONGEST_PARAM = 5_900  # MLflow takes 6000 characters


def log_results(
    results: Results, out: str | Path, *, uri: str | None = None, patient_level: bool = False
) -> str:
    """Log a training or an evaluation as one run, with a nested run for each fold and trial.

    Parameters
    ----------
    uri : str, optional
        Tracking URI, or the path of a folder or of a data base ending in ``.db``; see
        :func:`stratify.tracking.store.default_store`.
    """
    record = run_record(results, Path(out), patient_level=patient_level)
    return log(record, out, uri=uri)


# what explains a cohort, aggregates only
_EXPLAINED = ("leading", "clusters", "interactions", "dependence", "subgroup_profiles")


def run_record(results: Results, out: Path, *, patient_level: bool = False) -> RunRecord:
    """Describe a training or an evaluation as a run; parameters as :func:`log_results`."""
    training = results.kind == "model card"
    card = results.model.card
    names = ["report.html", "performance.csv", "attrition.csv", "findings.csv", "study.yaml"]
    files: dict[str, Path | bytes] = {name: out / name for name in names}
    files |= {f"figures/{name}.png": picture for name, picture in results.pictures.items()}
    if patient_level:
        files |= {f"patient_level/{name}": out / name for name in PATIENT_LEVEL}
    tables = results.report_tables()
    performance = tables["performance"]
    unseen = (performance["subgroup"] == "all") & (performance["split"] != "train")
    return RunRecord(
        experiment=card["study"],  # evaluations stand with the training they judge
        name=results.model.version + ("" if training else f" on {results.study.name}"),
        tags=_tags(results),
        params=_params(results),
        metrics=metric_values(results.performance),
        curves=curve_points(results.assessments),
        datasets=_datasets(results),
        tables={
            "headline": _headline(results.performance),
            "performance": performance[unseen].drop(columns="subgroup"),
            **{name: tables[name] for name in ("findings", "attrition", "importance", *_EXPLAINED)},
        },
        files=files,
        bundle=out / "bundle" if training else None,
        children=_children(results),
        about=_about(results),
    )


# ------------------------------------------------------------------ words


def _headline(performance: pd.DataFrame) -> pd.DataFrame:
    """One row a cohort that was judged, unseen ones first; estimates with 95 % intervals."""
    rows = performance[(performance["model"] == "stratify") & performance["threshold"].isna()]
    rows = rows[(rows["subgroup"] == "all") & (rows["split"] != "train")]
    columns = headline_columns()
    table: list[dict[str, Any]] = []
    for _, judged in rows.groupby(["cohort", "split"], sort=True):
        by_metric = {(row["metric"], row["reference"]): row for row in judged.to_dict("records")}
        whole = by_metric["auroc", ""]
        line = {name: whole[name] for name in ("cohort", "split", "n")}
        line["events"] = whole["n_events"]
        for title, key in columns.items():
            found = by_metric.get(key, dict.fromkeys(("value", "low", "high"), np.nan))
            limits = found["value"], found["low"], found["high"]
            line[title] = estimate(*limits, METRICS[key[0]][1])
        table.append(line)
    table.sort(key=lambda line: RANK[str(line["split"])])
    return pd.DataFrame(table, columns=["cohort", "split", "n", "events", *columns])


def _in_words(headline: pd.DataFrame) -> str:
    """AUROC in the unseen cohorts, else in cross-validation; the UI shows the first lines alone."""
    unseen = headline[headline["split"] != "cv"]
    shown = (unseen if len(unseen) else headline).to_dict("records")
    judged = [f"AUROC {row['AUROC']} in {row['cohort']} (n = {row['n']})" for row in shown]
    return "; ".join(judged) + "."


def markdown(table: pd.DataFrame) -> list[str]:
    """Lines of a table in Markdown; each cell ends in a gap, which MLflow does not draw."""
    rows = [list(table.columns), *table.astype(str).to_numpy().tolist()]
    head, *lines = [f"| {' | '.join(f'{cell}{GAP}' for cell in row)} |" for row in rows]
    return [head, f"|{' --- |' * table.shape[1]}", *lines]


def _note(results: Results) -> str:
    card = results.model.card
    n, events = card["n"], card["n_events"]
    findings = results.findings
    warned = sorted(set(findings.loc[findings["severity"] == "warning", "code"]))
    headline = _headline(results.performance)
    lines = [
        f"**{_in_words(headline)}** {card['target'].capitalize()}. Research use only; evidence "
        "class C1 (prognostic).",
        "",
        *markdown(headline),
        "",
        "Estimates with 95 % intervals, all patients of a cohort. `cv`: training patients, judged "
        "by models that did not see them.",
        "",
        f"Trained on {', '.join(card['training_cohorts'])} ({n} patients, {events} with label 1) "
        f"by `{card['endpoint_rule']}`.",
        f"Findings to read: {', '.join(warned)}." if warned else "No warnings about the data.",
        "`report.html` and `figures/` are under Artifacts, curves under Metrics "
        "(`<cohort>_curves/`, step in percent).",
    ]
    return "\n".join(lines)


def _about(results: Results) -> str:
    """Describe the experiment: in the list of experiments the UI shows the first words alone."""
    card = results.model.card
    title = results.study.title.rstrip(".") if results.kind == "model card" else ""
    return (
        f"{f'{title}. ' if title else ''}{card['target'].capitalize()}. Research use only. Menu "
        "*Views* above the runs: performance in unseen cohorts."
    )


# ------------------------------------------------------------------ tags and parameters


def _tags(results: Results) -> dict[str, str]:
    card = results.model.card
    tags = {
        "mlflow.note.content": _note(results),
        "mlflow.source.name": f"stratify {'train' if results.kind == 'model card' else 'evaluate'}",
        "mlflow.source.type": "LOCAL",
        "kind": KIND[results.kind],
        "model_version": results.model.version,
        "endpoint_rule": card["endpoint_rule"],
        "evidence_class": card["evidence_class"],
        "mixed_regimens": str(card["mixed_regimens"]).lower(),
        "training_cohorts": ", ".join(card["training_cohorts"]),
        "panels": ", ".join(sorted({field_named(name).panel for name in card["features"]})),
        "n_train": str(card["n"]),
        "n_events_train": str(card["n_events"]),
        "data_sha256": results.hashes["data"][:12],
        "schema_versions": _listed(card["schema_versions"]),
        "package_versions": _listed(card["package_versions"]),
    }
    if "split" in results.hashes:
        tags["split_sha256"] = results.hashes["split"][:12]
    if commit := _git_commit():
        tags["git_commit"] = commit[:12]
        tags["mlflow.source.git.commit"] = commit
    return tags


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def _git_commit() -> str | None:
    """Commit of the package where it runs from a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(  # noqa: S603 - nothing of a user is in the command
            ["git", "-C", str(root), "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def _params(results: Results) -> dict[str, str]:
    card = results.model.card
    settings = {
        f"model.{k}": v for k, v in results.model.classifier.get_params().items() if v is not None
    }
    params = {
        "study": results.study.name,
        "endpoint_rule": card["endpoint_rule"],
        "n_train": card["n"],
        "n_events_train": card["n_events"],
        "n_features": len(card["features"]),
        "features": ", ".join(card["features"]),
        "seed": results.study.seed,
        **settings,
        **{f"larger_trees.{name}": value for name, value in card.get("capacity", {}).items()},
        **{f"sha256.{name}": digest for name, digest in results.hashes.items()},
        **{f"version.{name}": v for name, v in card["package_versions"].items()},
        **{f"schema.{name}": v for name, v in card["schema_versions"].items()},
    }
    return {_AS_NAME.sub("_", name): str(value)[:LONGEST_PARAM] for name, value in params.items()}


def _datasets(results: Results) -> list[Dataset]:
    features = results.model.classifier.features_
    kinds = {name: "string" if field_named(name).categorical else "double" for name in features}
    return [
        Dataset(
            name=dataset["name"],
            digest=dataset["sha256"][:32],
            context=dataset["context"],
            source=", ".join(dataset["files"]),
            columns=kinds,
            profile={"n": dataset["n"], "n_events": dataset["n_events"]},
        )
        for dataset in results.datasets
    ]


# ------------------------------------------------------------------ nested runs


def _children(results: Results) -> list[RunRecord]:
    """Make a run of each fold, and of each setting that was tried."""
    experiment = results.model.card["study"]
    children: list[RunRecord] = []
    for a in results.assessments:
        children += [
            RunRecord(
                experiment,
                f"fold {k + 1} of {len(a.folds)}",
                tags={"kind": "fold", "cohort": place_of(a.cohort, a.split)},
                metrics=metric_values(performance),
            )
            for k, performance in enumerate(a.folds)
        ]
    children += [
        RunRecord(
            experiment,
            f"trial {k + 1} of {len(results.trials)}",
            tags={"kind": "tuning trial"},
            params={name: str(value) for name, value in trial.items() if name != "log_loss"},
            metrics={"tuning/log_loss": float(trial["log_loss"])},
        )
        for k, trial in enumerate(results.trials)
    ]
    return children

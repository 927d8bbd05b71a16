"""Benchmark: all cohorts of a list of studies, each left out in turn, next to every reference.

Cohorts that share patients are left out at once. Each task gives the performance of every model on
cohorts that none of them saw, pooled too; and how well the gaps alone identify the cohort, since
panels are measured in some only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
from pydantic import Field, ValidationError

from stratify.cohort.features import features_matrix, informative_features
from stratify.cohort.overlap import overlap_groups
from stratify.cohort.reading import read_cohort, require_usable
from stratify.errors import DataError
from stratify.model.classifier import ResistanceClassifier
from stratify.report import figures
from stratify.statistics.performance import MODEL
from stratify.study import Study
from stratify.study.comparator import Comparator
from stratify.tables.faults import faults_in_words, faults_of, located
from stratify.tables.strict import Strict
from stratify.tables.tabular import make_folder, read_mapping, write_table, written_whole
from stratify.validation.diagnostics import cohort_from_missingness
from stratify.validation.internal_external import internal_external

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Benchmark", "BenchmarkTask", "run_benchmark"]

HEADLINE = ("auroc", "calibration_slope", "brier_skill")


class BenchmarkTask(Strict):
    """One task of a benchmark file.

    Attributes
    ----------
    studies : list of str
        Study files, relative to the benchmark file; their patients are pooled.
    by : {"cohort", "site", "start_year", "cancer_type"}
        What is left out in turn.
    together : mapping of str to str
        Cohort to the group it is left out with, where patients are shared; groups that are found
        by quasi-identifiers are added.
    in_sample : mapping of str to list of str
        Reference to the cohorts it was fitted on by its authors: shown there, not pooled.
    note : str
        Stands with the figures.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    title: str = ""
    studies: Annotated[list[str], Field(min_length=1)]
    by: Literal["cohort", "site", "start_year", "cancer_type"] = "cohort"
    together: dict[str, str] = {}
    in_sample: dict[str, list[str]] = {}
    note: str = ""


class _BenchmarkFile(Strict):
    stratify: Literal[1]
    seed: Annotated[int, Field(ge=0)] = 0
    tasks: Annotated[list[BenchmarkTask], Field(min_length=1)]


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark has shown, with the column ``task`` first.

    Attributes
    ----------
    performance, pooled : DataFrame
        As in the ``performance`` and ``meta_analysis`` dictionaries.
    missingness : DataFrame
        Share of patients whose cohort the gaps alone identify, and of the largest cohort.
    """

    performance: pd.DataFrame
    pooled: pd.DataFrame
    missingness: pd.DataFrame

    def headline(self, metric: str = "auroc") -> pd.DataFrame:
        """One metric with its interval: a row for each cohort that was left out, a column a model.

        Rows ``pooled`` (random effects) and ``weighted`` (by patients) follow. They are of the
        cohorts in which the model can be judged; :meth:`differences` are of the same cohorts.
        """
        rows = self.performance
        # a reference stands where it covers all patients, else where its inputs are complete
        rows = rows[(rows["metric"] == metric) & ~_paired(rows)]
        rows = rows[rows["subgroup"].str.match("all$|measured=") & rows["threshold"].isna()]
        rows = rows.sort_values("n", ascending=False, kind="stable")
        rows = rows.drop_duplicates(["task", "cohort", "model"])
        pooled = self.pooled[(self.pooled["metric"] == metric) & ~_paired(self.pooled)]
        means = {"value": "weighted", "low": "weighted_low", "high": "weighted_high"}
        weighted = pooled.drop(columns=list(means)).rename(columns={b: a for a, b in means.items()})
        both = pd.concat(
            [rows, pooled.assign(cohort="pooled"), weighted.assign(cohort="weighted")],
            ignore_index=True,
        )
        cells = [
            figures.estimate(value, low, high)
            for value, low, high in both[["value", "low", "high"]].itertuples(index=False)
        ]
        whole = both[both["model"] == MODEL]
        sizes = whole.set_index(["task", "cohort"])[["n", "n_events"]].astype(int)
        keys = ["task", "cohort", "model"]
        table = both.assign(cell=cells).set_index(keys)["cell"].unstack("model")  # noqa: PD010
        order = list(dict.fromkeys(both["model"]))
        return sizes.join(table[order], how="left").fillna("–").reset_index()

    def differences(self, metric: str = "delta_auroc") -> pd.DataFrame:
        """Stratify minus each reference on the same patients, over the cohorts of a task."""
        rows = self.pooled[self.pooled["metric"] == metric]
        table = rows[["task", "reference", "n_cohorts", "n"]].rename(
            columns={"n_cohorts": "cohorts"}
        )
        for name, columns in (
            ("pooled", ["value", "low", "high"]),
            ("new cohort", ["value", "prediction_low", "prediction_high"]),
            ("weighted", ["weighted", "weighted_low", "weighted_high"]),
        ):
            table[name] = [
                figures.estimate(value, low, high, digits=3)
                for value, low, high in rows[columns].itertuples(index=False)
            ]
        return table.reset_index(drop=True)

    def figure(self, task: str) -> Figure:
        """Forest plot of the AUROC of one task."""
        rows = self.performance[self.performance["task"] == task].drop(columns="task")
        rows = rows[~_paired(rows) & (rows["subgroup"] == "all")]
        return figures.forest(rows, title=f"Left out in turn: {task}")


def _of_task(progress: Callable[[str], None], task: str, line: str) -> None:
    progress(f"{task}: {line}")


def _paired(rows: pd.DataFrame) -> pd.Series:
    return rows["reference"].fillna("") != ""


def run_benchmark(
    path: str | Path,
    out: str | Path,
    *,
    classifier: ResistanceClassifier | None = None,
    workers: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> Benchmark:
    """Run the tasks of a benchmark file and write what they show.

    Parameters
    ----------
    out : path
        Folder for ``performance.csv``, ``meta_analysis.csv``, ``missingness.csv``,
        ``benchmark.md`` (the headline tables) and one ``forest_TASK.png`` a task.
    classifier : ResistanceClassifier, optional
        Unfitted, with other settings than the default.
    """
    path = Path(path)
    try:
        file = _BenchmarkFile.model_validate(read_mapping(path, "benchmark file"))
    except ValidationError as error:
        faults = located(faults_of(error), path)
        raise DataError(f"{path}: {faults_in_words(faults, 'benchmark file')}") from None
    template = classifier or ResistanceClassifier(random_state=file.seed, n_jobs=-1)
    found_by_task: dict[str, list[pd.DataFrame]] = {}
    for task in file.tasks:
        several = f"{len(task.studies)} studies" if len(task.studies) > 1 else "1 study"
        progress(f"{task.name}: reading {several}")
        table, features, comparators = _pooled_patients(task, path.parent)
        groups = {**overlap_groups(table, task.by), **task.together}
        found = internal_external(
            template,
            table,
            features,
            by=task.by,
            groups=groups,
            in_sample=task.in_sample,
            comparators=comparators,
            workers=workers,
            progress=partial(_of_task, progress, task.name),
        )
        gaps, largest = cohort_from_missingness(features_matrix(table, features), table[task.by])
        shares = pd.DataFrame({"told_by_gaps": [gaps], "largest_part": [largest]})
        for name, rows in (
            ("performance", found.performance),
            ("pooled", found.pooled),
            ("missingness", shares),
        ):
            rows.insert(0, "task", task.name)
            found_by_task.setdefault(name, []).append(rows)
    whole = {name: pd.concat(rows, ignore_index=True) for name, rows in found_by_task.items()}
    result = Benchmark(**whole)
    progress("writing the results")
    _write(result, file, make_folder(Path(out)))
    return result


def _pooled_patients(
    task: BenchmarkTask, folder: Path
) -> tuple[pd.DataFrame, list[str], list[Comparator]]:
    """Pool the evaluable patients of all studies of a task; find the features that vary.

    The comparators of the first study that states one of a name stand for all.
    """
    cohorts = []
    comparators: dict[str, Comparator] = {}
    for name in task.studies:
        study = Study.load(folder / name)
        cohorts.append(read_cohort(study))
        comparators = {each.name: each for each in study.references} | comparators
        require_usable(cohorts[-1], f"The study {study.name}")
    tables = [cohort.evaluable.table for cohort in cohorts]
    pooled = pd.concat(tables, ignore_index=True)
    names = [name for table in tables for name in table["cohort"].unique()]
    rules = sorted(pooled["endpoint_rule"].unique())
    if len(rules) > 1:
        raise DataError(
            f"task {task.name}: its studies have the endpoint rules {', '.join(rules)}; one is "
            "expected."
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"task {task.name}: cohorts in two studies: {', '.join(twice)}.")
    features = informative_features(replace(cohorts[0], table=pooled), None)
    return pooled, features, list(comparators.values())


def _write(result: Benchmark, file: Any, out: Path) -> None:
    write_table(result.performance, out / "performance.csv")
    write_table(result.pooled, out / "meta_analysis.csv")
    write_table(result.missingness, out / "missingness.csv")
    for task in file.tasks:
        with written_whole(out / f"forest_{task.name}.png") as page:
            page.write_bytes(figures.png(result.figure(task.name)))
    note = (
        "Research use only. 95 % intervals. Each part is judged by models that were fitted without "
        "it and without cohorts that share its patients."
    )
    titles = [f"- {task.name}: {task.title} {task.note}".rstrip() for task in file.tasks]
    blocks = ["# Benchmark", note, "\n".join(titles)]
    for metric in HEADLINE:
        blocks += [f"## {figures.METRICS[metric][0]}", _markdown(result.headline(metric))]
    blocks += ["## stratify minus reference, AUROC", _markdown(result.differences())]
    with written_whole(out / "benchmark.md") as page:
        page.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(table.columns), *table.astype(str).to_numpy().tolist()]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])

"""A batch of patients scored: one function from table to table, for every engine.

A registry on disk, Dask and Spark all hand batches to a :class:`BatchScorer`. What it says of a
patient does not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from stratify.errors import ArgumentError
from stratify.scoring.bundle import load
from stratify.scoring.prepared import Prepared
from stratify.scoring.reasons import check_explain
from stratify.scoring.resistance_model import ResistanceModel
from stratify.study import Study
from stratify.study.policy import Policy
from stratify.tables.findings import Findings
from stratify.tables.panel import read_panels
from stratify.tables.plausibility import check_dates
from stratify.tables.schema import load_schema, long_panels, outcome_panels
from stratify.tables.sources import DAY_FORMS, CohortSource, TableSource

__all__ = ["BatchScorer", "JoinedFilesError"]


class JoinedFilesError(ArgumentError):
    """A patient of the study stands in several rows or files, which only a whole reading joins."""


@dataclass(frozen=True)
class BatchScorer:
    """Scores batches with a bundle; it is small, can be pickled, and loads the bundle on first use.

    Parameters
    ----------
    bundle : str or Path
        Folder written by training, where each worker can read it.
    study : str, Path or None
        Study file that says how the columns of a batch map; its cohort may have one table only.
        None for batches of canonical columns with ``patient_id`` and ``cohort``.
    cohort : str or None
        Cohort of the study; needed if it has several.
    top : int
        Reasons to tell of each patient, 0 to 20.
    policy : str, Path or None
        Policy file in place of the study's, which stands in place of the bundle's.

    Examples
    --------
    For Dask, batches being partitions::

        scorer = BatchScorer("results/ours/bundle", "registry.yaml", top=5)
        scores = dask.dataframe.read_parquet("registry/").map_partitions(scorer, meta=scorer.meta)
        scores.to_parquet("scores/")

    For Spark::

        spark.read.parquet("registry/").mapInPandas(scorer.map, scorer.spark_schema)
    """

    bundle: str | Path
    study: str | Path | None = None
    cohort: str | None = None
    top: int = 0
    policy: str | Path | None = None

    def __post_init__(self) -> None:
        check_explain("top", self.top)

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Scores of a batch.

        Parameters
        ----------
        batch : DataFrame of shape (n_patients, ...)
            Columns as in the study's file, or canonical ones.

        Returns
        -------
        DataFrame of shape (n_patients, 16 + 2 * top)
            As in the ``scores`` dictionary, patients in the order given; then for each reason, the
            strongest first, ``reason_1`` (feature) and ``reason_1_shap`` (log-odds before
            calibration).
        """
        return self.model.score_table(self.prepare(batch), top=self.top)

    def map(self, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Scores of batches one after the other, as Spark's ``mapInPandas`` asks for."""
        return map(self, batches)

    @property
    def model(self) -> ResistanceModel:
        """The bundle, loaded once in each process."""
        policy = self.own_policy
        return _loaded(str(self.bundle), None if policy is None else policy.model_dump_json())

    @cached_property
    def own_policy(self) -> Policy | None:
        """Policy of the file or the study that stands in place of the bundle's."""
        if self.policy is not None:
            return Policy.load(self.policy)
        return None if self.study is None else Study.load(self.study).policy

    def prepare(
        self, batch: pd.DataFrame, findings: Findings | None = None, blank: Collection[str] = ()
    ) -> Prepared:
        """Make what the model asks of a batch.

        Parameters
        ----------
        batch : DataFrame of shape (n_rows, ...)
            As :func:`stratify.tables.files.read_numbered` reads the study's file, or canonical
            columns where there is no study.
        findings : Findings, optional
            Collector of every fault; by default errors raise.
        blank : collection of str
            Columns to be read as missing, before anything is derived from them.

        Raises
        ------
        DataError
            If there are errors and no `findings` to collect them.
        """
        if self.study is None:
            return self.model.prepare(batch, findings=findings)
        collector = Findings(whole=False) if findings is None else findings
        source = self.source
        (table,) = source.tables
        panels = read_panels(batch, table, source.name, collector)
        if panels:
            frames = [frame.drop(columns="patient_id") for frame in panels.values()]
            ids = next(iter(panels.values()))["patient_id"]
            read = pd.concat([ids, *frames], axis=1)
            read[[name for name in blank if name in read]] = np.nan
            read.insert(1, "cohort", source.name)
            check_dates(read, source.name, collector)
        else:
            read = pd.DataFrame(columns=["patient_id", "cohort", *self.model.plan.inputs])
        rules = {source.name: self.model.plan.rules(self._assays, source.pdl1)}
        patients = self.model.prepare(read, self.assays, rules=rules, findings=collector)
        if findings is None:
            collector.raise_errors("The batch")
        return patients

    @property
    def columns(self) -> set[str]:
        """Columns of the study's file that are read."""
        (table,) = self.source.tables
        named = {c.column for panel in table.panels.values() for c in panel.values()}
        return {table.patient_id, *(name for name in named if name is not None)}

    @property
    def assays(self) -> dict[str, dict[str, str]]:
        """Assay by column and cohort."""
        return {name: {self.source.name: assay} for name, assay in self._assays.items()}

    @property
    def _assays(self) -> dict[str, str]:
        (table,) = self.source.tables
        columns = [entry for panel in table.panels.values() for entry in panel.items()]
        return {name: column.assay for name, column in columns if column.assay is not None}

    @property
    def source(self) -> CohortSource:
        """Cohort of the study, with the one table that is read."""
        return _source(str(self.study), self.cohort)

    @property
    def meta(self) -> pd.DataFrame:
        """Scores of nobody, for engines that want to know columns and types beforehand."""
        fields = load_schema("scores").fields
        empty = {
            name: pd.Series(dtype="float64" if field.numeric else "object")
            for name, field in fields.items()
        }
        for k in range(1, self.top + 1):
            empty[f"reason_{k}"] = pd.Series(dtype="object")
            empty[f"reason_{k}_shap"] = pd.Series(dtype="float64")
        return pd.DataFrame(empty)

    @property
    def spark_schema(self) -> str:
        """Columns and types as Spark writes them."""
        return ", ".join(
            f"{name} {'double' if kind == 'float64' else 'string'}"
            for name, kind in self.meta.dtypes.items()
        )


@lru_cache(maxsize=2)
def _loaded(bundle: str, policy: str | None) -> ResistanceModel:
    model = load(bundle)
    if policy is None:
        return model
    chosen = Policy.model_validate_json(policy)
    return model.with_policy(chosen, chosen.markers(model.landmark_weeks), "the study")


@lru_cache(maxsize=8)
def _source(study: str, cohort: str | None) -> CohortSource:
    """One cohort of a study with what scoring reads: no outcomes, and dates only to count from."""
    read = Study.load(study)
    cohorts = {source.name: source for source in read.cohorts}
    if cohort is None and len(cohorts) > 1:
        raise ArgumentError(
            f"cohort is not stated; the study {read.name} has {', '.join(cohorts)}."
        )
    source = cohorts.get(cohort or read.cohorts[0].name)
    if source is None:
        raise ArgumentError(
            f"cohort is {cohort!r}; the study {read.name} has {', '.join(cohorts)}."
        )
    tables = [table for table in source.tables if not set(table.panels) <= set(outcome_panels())]
    if why := _joined(source, tables):
        raise JoinedFilesError(
            f"The cohort {source.name} {why}; batches come from one table with one row a patient "
            "and all panels."
        )
    return source.model_copy(update={"tables": [_needed(tables[0])]})


def _joined(source: CohortSource, tables: list[TableSource]) -> str:
    """Why a patient cannot be read from one row alone, if so."""
    if len(tables) != 1:
        return f"has {len(tables)} tables"
    (table,) = tables
    columns = [c.column for panel in table.panels.values() for c in panel.values()]
    if table.matrix is not None or not set(long_panels()).isdisjoint(table.panels):
        return "has raw measurements"
    if source.tmb_pairs is not None:
        return "states `tmb_pairs`"
    if table.rows or table.identifier is not None or "*" in columns:
        return "states `rows`, `identifier` or a column '*'"
    return ""


def _needed(table: TableSource) -> TableSource:
    """Table with what scoring reads."""
    sources = [c for panel in table.panels.values() for c in panel.values()]
    dated = any(c.unit in DAY_FORMS for c in sources)
    panels = {}
    for panel, columns in table.panels.items():
        if panel in outcome_panels():
            continue
        fields = load_schema(panel).fields
        panels[panel] = {
            name: column for name, column in columns.items() if dated or fields[name].type != "date"
        }
    return table.model_copy(update={"panels": panels})

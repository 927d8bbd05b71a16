"""What a registry's scoring has to do: its files looked at, their batches numbered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from stratify.cohort.reading import Cohort
from stratify.errors import ArgumentError, FileError
from stratify.experiment.chunks import Chunk, Explain, JoinedPatients, RegistryState, SourceFile
from stratify.experiment.scores import patients_to_score
from stratify.progress import Progress
from stratify.scoring.batch import BatchScorer, JoinedFilesError
from stratify.study import Study
from stratify.tables.files import TableFile
from stratify.tables.findings import Findings
from stratify.tables.plausibility import ENOUGH_VALUES
from stratify.tables.schema import field_named
from stratify.tables.tabular import sha256_of

__all__ = ["RegistryJob"]


@dataclass(frozen=True)
class RegistryJob:
    """What is to be scored: files, and a scorer for each."""

    sources: list[SourceFile]
    files: list[TableFile | JoinedPatients]
    scorers: list[BatchScorer]
    digest: str
    joined: Cohort | None = None

    @classmethod
    def of(
        cls,
        study: Study,
        bundle: str | Path,
        path: str | Path,
        policy: str | Path | None,
        top: int,
        progress: Progress,
    ) -> RegistryJob:
        """Look at every file before anything is scored."""
        bundle, path = Path(bundle).resolve(), Path(path).resolve()
        policy = None if policy is None else Path(policy).resolve()
        by_cohort = {c.name: BatchScorer(bundle, path, c.name, top, policy) for c in study.cohorts}
        model = by_cohort[study.cohorts[0].name].model
        try:
            sources = _sources(study, by_cohort)
        except JoinedFilesError as why:
            progress(f"{why} Everything is read at once.")
            cohort = patients_to_score(model, study)
            scorer = BatchScorer(bundle, path, top=top, policy=policy)
            _require_markers(scorer, cohort.table.columns, f"the study {study.name}")
            stated = _digest(study.resolved())
            return cls([], [JoinedPatients(cohort)], [scorer], stated, cohort)
        files = _checked(sources, by_cohort)
        for source, file in zip(sources, files, strict=True):
            scorer = by_cohort[source.cohort]
            first = next(file.batches(1, columns=scorer.columns), None)
            if scorer.own_policy is not None and first is not None:
                read = scorer.prepare(first, Findings(whole=False))
                _require_markers(scorer, read.values, f"the cohort {source.cohort}")
        _report_unmapped(model.classifier.features_, sources, progress)
        return cls(
            sources,
            list(files),
            [by_cohort[source.cohort] for source in sources],
            _digest([source.table.model_dump(mode="json") for source in sources]),
        )

    def digests(self) -> list[str]:
        """Digest of each file."""
        if self.joined is not None:
            return [_digest(dict(self.joined.files))]
        return [sha256_of(source.path) for source in self.sources]

    @property
    def policy_digest(self) -> str | None:
        """Digest of the policy that stands in place of the bundle's."""
        policy = self.scorers[0].own_policy
        return None if policy is None else _digest(policy.model_dump(mode="json"))

    @property
    def total(self) -> int:
        """Patients, or lines."""
        return sum(file.n_rows for file in self.files)

    def chunks(
        self, state: RegistryState, explain: Explain, rows: int
    ) -> Iterator[tuple[Chunk, pd.DataFrame | None]]:
        """Give chunks not yet scored; a Parquet file is read by the worker, others here."""
        for i, (file, scorer) in enumerate(zip(self.files, self.scorers, strict=True)):
            source = self.sources[i] if self.sources else None
            blank = tuple(state.blank.get(source.cohort, [])) if source else ()
            common = None if self.joined is None else replace(self.joined, table=pd.DataFrame())
            first = Chunk(scorer, source, 0, state.out, "", explain, rows, blank, common)

            def numbered(k: int, first: Chunk = first, i: int = i) -> Chunk:
                return replace(first, number=k, name=f"part-{i:03d}-{k:05d}.parquet")

            if isinstance(file, TableFile) and file.kind == "parquet":
                for k in range(len(file.starts(rows))):
                    if numbered(k).name not in state.records:
                        yield numbered(k), None
                continue
            done = 0
            while numbered(done).name in state.records:
                done += 1
            columns = scorer.columns if source else None
            for k, batch in enumerate(file.batches(rows, first=done, columns=columns), done):
                if numbered(k).name not in state.records:
                    yield numbered(k), batch

    def filled_in(self, state: RegistryState) -> dict[str, list[str]]:
        """Biomarkers of a cohort with one value for all, which are read as missing.

        As :func:`stratify.tables.plausibility.check_filled_in`, which sees only whole tables.
        """
        if state.bad:
            return state.blank
        found: dict[str, list[str]] = {}
        for cohort in dict.fromkeys(source.cohort for source in self.sources):
            numbers = [i for i, source in enumerate(self.sources) if source.cohort == cohort]
            records = [r["constant"] for n, r in state.records.items() if int(n[5:8]) in numbers]
            before = state.blank.get(cohort, [])
            for columns in self.sources[numbers[0]].table.panels.values():
                for name, column in columns.items():
                    seen = [r[name] for r in records if name in r]
                    known = field_named(name)
                    measured = known.role == "feature" and known.type == "number"
                    if name in before or (
                        measured and column.column is not None and _one_value(seen, known.maximum)
                    ):
                        found.setdefault(cohort, []).append(name)
        return found


def _one_value(seen: list[list[float | None]], maximum: float | None) -> bool:
    """Whether all chunks hold one value, as if filled in."""
    n, values = sum(int(count or 0) for count, _ in seen), {value for _, value in seen}
    return n >= ENOUGH_VALUES and len(values) == 1 and values.isdisjoint({None, 0.0, maximum})


def _require_markers(scorer: BatchScorer, available: Iterable[str], where: str) -> None:
    """Refuse a policy that names what no patient has."""
    model = scorer.model
    if (policy := scorer.own_policy) is not None:
        policy.require_known(available, where, model.landmark_weeks)


def _digest(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def _sources(study: Study, scorers: Mapping[str, BatchScorer]) -> list[SourceFile]:
    """Files of all cohorts, in their order."""
    found, missing = [], []
    for cohort in study.cohorts:
        (table,) = scorers[cohort.name].source.tables
        pattern = any(sign in table.file for sign in "*?[")
        paths = sorted(study.folder.glob(table.file)) if pattern else [study.folder / table.file]
        if not paths:
            missing.append(f"{cohort.name}: no file fits {study.folder / table.file}.")
        found += [SourceFile(cohort.name, table, path) for path in paths]
    if missing:
        raise FileError("\n".join(missing))
    return found


def _checked(sources: list[SourceFile], scorers: Mapping[str, BatchScorer]) -> list[TableFile]:
    """Open all files; those of a cohort must have the same columns, of the same types."""
    files: list[TableFile] = []
    faults: list[str] = []
    first: dict[str, TableFile] = {}
    for source in sources:
        try:
            file = source.opened()
        except FileError as error:
            faults.append(str(error))
            continue
        files.append(file)
        model = first.setdefault(source.cohort, file)
        needed = scorers[source.cohort].columns
        here, there = ({c for c in f.columns if c in needed} for f in (file, model))
        differing = [f"no column {name}" for name in sorted(there - here)]
        differing += [f"a column {name} more" for name in sorted(here - there)]
        differing += [
            f"{name} of type {file.types[name]}, not {model.types[name]}"
            for name in sorted(here & there)
            if file.types.get(name) != model.types.get(name)
            and name in file.types
            and name in model.types
        ]
        if differing:
            faults.append(
                f"{file.path} differs from {model.path.name}: {', '.join(differing)}. Export all "
                "files of a cohort alike."
            )
    if faults:
        raise FileError("\n".join(faults))
    return files


def _report_unmapped(features: list[str], sources: list[SourceFile], progress: Progress) -> None:
    for cohort, table in {source.cohort: source.table for source in sources}.items():
        mapped = {name for columns in table.panels.values() for name in columns}
        if not any(name in mapped for name in features):
            raise ArgumentError(
                f"The cohort {cohort} maps none of the model's features, which are "
                f"{', '.join(features)}."
            )
        if absent := [name for name in features if name not in mapped]:
            progress(
                f"{cohort}: not mapped, derived if they can be, else missing: {', '.join(absent)}"
            )

"""The files of a cohort joined to one row a patient: panels, then what follows from measurements.

Panels with one row a patient are joined first. Then tables of raw measurements become features
(:mod:`stratify.biomarkers`), and visits or lesions become outcomes
(:mod:`stratify.response.followup`), once all that they are compared with is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from stratify.biomarkers.derivation import DerivationRules, with_derivations
from stratify.biomarkers.derivations import derivations
from stratify.biomarkers.expression import read_matrix
from stratify.biomarkers.measurement import Measurement, add_measured, read_values
from stratify.biomarkers.measurements import MEASUREMENTS
from stratify.biomarkers.reported import SAME, SAME_SHARE
from stratify.biomarkers.tmb_scale import TmbCalibration, add_harmonised
from stratify.cohort.feature_plan import FeaturePlan
from stratify.cohort.training_scales import Matrix
from stratify.errors import ArgumentError, DataError, FileError
from stratify.response.followup import follow_up
from stratify.study import Study
from stratify.tables.files import read_numbered, where_names_stand
from stratify.tables.findings import Findings
from stratify.tables.identifiers import add_unfit, written_as
from stratify.tables.measurements import PairedSamples
from stratify.tables.panel import read_panels
from stratify.tables.rows import numbers_of
from stratify.tables.schema import field_named, long_panels, visit_panels
from stratify.tables.sources import CohortSource, TableSource
from stratify.tables.tabular import sha256_of

__all__ = ["CohortFiles", "Match", "check_matched", "read_patients"]


@dataclass(frozen=True)
class Match:
    """Identifiers of a file, held against the patients of a cohort."""

    file: str
    cohort: str
    identifiers: pd.Series
    patients: pd.Series


@dataclass
class CohortFiles:
    """Patients of one cohort.

    Attributes
    ----------
    table : DataFrame of shape (n_patients, ...) or None
        One row a patient; None where the first table cannot be read.
    responses : DataFrame or None
        Response at each visit, where there are visits or lesions.
    assays : dict of str to str
        Assay by column, as stated or of the measurement that the column follows from.
    files : dict of str to str
        SHA-256 by file.
    matches : list of Match
        What the files after the first one say of the same patients.
    matrix : Matrix or None
        Expression, where it is to be scored on a scale of training patients.
    rules : DerivationRules
        By which columns were derived.
    """

    table: pd.DataFrame | None = None
    responses: pd.DataFrame | None = None
    assays: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    matches: list[Match] = field(default_factory=list)
    matrix: Matrix | None = None
    rules: DerivationRules = field(default_factory=DerivationRules)

    def add(
        self, derived: pd.DataFrame, assay: str | None, own: Mapping[str, str] | None = None
    ) -> list[str]:
        """Take a table with derived columns, and name the new ones that lack an assay."""
        before = set() if self.table is None else set(self.table)
        self.table = derived
        stated = own or {}
        lacking = []
        for name in derived.columns.difference(list(before), sort=False):
            of_column = stated.get(name, assay)
            if of_column is not None:
                self.assays[name] = of_column
            elif field_named(name).assay == "required":
                lacking.append(str(name))
        return lacking


@dataclass(frozen=True)
class _Long:
    """A table of a raw measurement or of visits, as read."""

    source: TableSource
    frame: pd.DataFrame

    @property
    def file(self) -> str:
        return self.source.file


def read_patients(
    study: Study,
    source: CohortSource,
    findings: Findings,
    *,
    left_out: Collection[str] = (),
    plan: FeaturePlan | None = None,
    already: list[tuple[TableSource, dict[str, pd.DataFrame]]],
) -> CohortFiles:
    """Read the files of one cohort.

    Parameters
    ----------
    already : list of (TableSource, panels)
        Tables read for other cohorts of the study, to which this one's are added: a table that
        several cohorts map alike is read, and its findings are reported, once.
    plan : FeaturePlan, optional
        Of the model that asks; by default features are made as the study says.
    """
    patients = CohortFiles()
    long: dict[str, _Long] = {}
    matrices: list[tuple[TableSource, pd.DataFrame]] = []
    unreadable = []
    for table in source.tables:
        if table.matrix is None and set(table.panels) <= set(left_out):
            continue
        path = study.folder / table.file
        try:
            raw = _read(path, table)
        except FileError as error:
            unreadable.append(str(error))
            continue
        patients.files[table.file] = sha256_of(path)
        if table.matrix is not None:
            matrices.append((table, raw))
            continue
        first_doses = _first_doses(patients.table) if table.has_dates else None
        same = [known for other, known in already if other == table and first_doses is None]
        if same:
            panels = same[0]
        else:
            panels = read_panels(
                raw, table, source.name, findings, left_out=left_out, first_doses=first_doses
            )
            if first_doses is None:
                already.append((table, panels))
        patients.assays |= {
            name: assay
            for panel in table.panels
            if panel not in long_panels()
            for name, assay in _assays_of(table, [panel]).items()
        }
        for i, (panel, frame) in enumerate(panels.items()):
            if patients.table is None:
                patients.table = frame.copy()
                continue
            if i == 0:  # all panels of a file have the same patients
                ids = frame["patient_id"].drop_duplicates()
                patients.matches.append(
                    Match(table.file, source.name, ids, patients.table["patient_id"])
                )
            if panel in long_panels():
                long[panel] = _Long(table, frame)
            else:
                known = [name for name in frame.columns[1:] if name in patients.table]
                if known:
                    patients.table = _filled(
                        patients.table, frame, known, table.file, source, findings
                    )
                new = frame.drop(columns=known)
                patients.table = patients.table.merge(new, on="patient_id", how="left")
    if unreadable:
        raise FileError("\n".join(unreadable))
    if patients.table is not None:
        ids = patients.table["patient_id"]
        long = {
            panel: _Long(each.source, each.frame[each.frame["patient_id"].isin(ids)])
            for panel, each in long.items()
        }
        _measure(patients, long, matrices, study, source, findings)
        _derive(patients, source, plan, findings)
        _follow(patients, long, study, source.name, findings)
    return patients


def _read(path: Path, table: TableSource) -> pd.DataFrame:
    if table.expression is not None:
        labels = table.expression.labels
        return read_matrix(
            path,
            labels=labels,
            delimiter=table.delimiter,
            decimal=table.decimal,
            comment=table.comment,
        )
    raw = read_numbered(path, sheet=table.sheet, **table.text_layout)
    named = {source.column for columns in table.panels.values() for source in columns.values()}
    wanted = [name for name in (table.patient_id, *named) if name and name != "*"]
    hint = ""
    if table.header_row is None and table.patient_id and not set(wanted) & set(raw.columns):
        hint = where_names_stand(path, wanted, table.sheet)
    if hint:
        stands = f"the first is {raw.columns[0]!r}"
        raise FileError(f"{path}: no column is one of those mapped ({stands}); {hint}.")
    return raw


def _first_doses(joined: pd.DataFrame | None) -> pd.Series | None:
    if joined is None or "first_dose_date" not in joined:
        return None
    return joined.set_index("patient_id")["first_dose_date"]


def _assays_of(table: TableSource, panels: Iterable[str] | None = None) -> dict[str, str]:
    """Assay by column, of all panels by default."""
    return {
        name: column.assay
        for panel in (table.panels if panels is None else panels)
        for name, column in table.panels[panel].items()
        if column.assay is not None
    }


def _measure(
    patients: CohortFiles,
    long: dict[str, _Long],
    matrices: Sequence[tuple[TableSource, pd.DataFrame]],
    study: Study,
    source: CohortSource,
    findings: Findings,
) -> None:
    """Turn raw measurements into features."""
    if patients.table is None:
        return
    for measurement in MEASUREMENTS:
        several = [{name: long[name] for name in measurement.needs if name in long}]
        for table, raw in matrices:
            kind = "deconvolution" if table.expression is None else "expression"
            if kind in measurement.needs:
                raw = _renamed(raw, table, source.name, findings)
                several.append({kind: _Long(table, raw)})
        for tables in several:
            if tables:
                _add_measurement(patients, measurement, tables, study, source, findings)
    joined = patients.table
    if source.tmb_pairs is not None and "tmb" in joined:
        calibration = _calibration(study.folder, source.tmb_pairs, patients.files)
        joined = add_harmonised(joined, calibration, source.name, findings)
        patients.add(joined, None)


def _add_measurement(
    patients: CohortFiles,
    measurement: Measurement,
    tables: dict[str, _Long],
    study: Study,
    source: CohortSource,
    findings: Findings,
) -> None:
    """Add one measurement with its assays, or keep what may be placed on a learned scale."""
    assert patients.table is not None
    cohort, last = source.name, [*tables.values()][-1]
    rule = measurement.rule(study, source, last.source)
    stated = {k: v for each in tables.values() for k, v in _assays_of(each.source).items()}
    assay = measurement.assay(rule, stated)
    raw = {
        name: (each.file, _known_by(name, each, study.landmark_weeks, cohort, findings))
        for name, each in tables.items()
    }
    if measurement.scalable:
        values = read_values(measurement, raw, rule, cohort, findings)
        if values is not None:
            patients.matrix = Matrix(last.file, rule, values)
        return
    joined = add_measured(patients.table, measurement, raw, rule, cohort, findings)
    lacking = patients.add(joined, assay, stated)
    if hasattr(rule, "assay"):  # else the columns of its tables state them
        _add_absent_assays(lacking, last.file, cohort, findings)


def _derive(
    patients: CohortFiles, source: CohortSource, plan: FeaturePlan | None, findings: Findings
) -> None:
    """Add what follows from other columns; scales of the training patients come later."""
    if patients.table is None:
        return
    before, assays = set(patients.table), dict(patients.assays)
    stated = DerivationRules(source.pdl1, assays)
    patients.rules = stated if plan is None else plan.rules(assays, source.pdl1)
    first = replace(patients.rules, tmb_scale=None)
    patients.table = with_derivations(patients.table, derivations(), first, source.name, findings)
    clone = _clone_of(patients.table)
    for name in map(str, patients.table):
        if clone is not None and name not in before and field_named(name).assay is not None:
            patients.assays[name] = clone


def _known_by(
    panel: str, each: _Long, landmark_weeks: float | None, cohort: str, findings: Findings
) -> pd.DataFrame:
    """Rows of draws up to the landmark; what comes later is not known there."""
    if landmark_weeks is None or "draw_day" not in each.frame:
        return each.frame
    late = np.floor(numbers_of(each.frame, "draw_day")) > 7 * landmark_weeks
    if late.any():
        findings.add(
            "draw_not_known_yet",
            f"{each.file}: {int(late.sum())} rows of draws after the landmark (day "
            f"{7 * landmark_weeks:g}); they are left out.",
            cohort=cohort,
            panel=panel,
            column="draw_day",
            n=int(late.sum()),
        )
    return each.frame[~late]


def _calibration(folder: Path, pairs: PairedSamples, files: dict[str, str]) -> TmbCalibration:
    """Line from the cohort's assay to a reference, by samples that both measured."""
    path = folder / pairs.file
    raw = read_numbered(path)
    files[pairs.file] = sha256_of(path)
    absent = [name for name in (pairs.burden, pairs.reference) if name not in raw]
    if absent:
        raise DataError(
            f"{pairs.file}: no column {' and '.join(map(repr, absent))}; it has "
            f"{', '.join(map(str, raw.columns))}. Correct `tmb_pairs` in the study file."
        )
    burden, reference = (
        pd.to_numeric(raw[name], errors="coerce") for name in (pairs.burden, pairs.reference)
    )
    try:
        return TmbCalibration.fit(burden, reference, power=pairs.power)
    except ArgumentError as error:
        raise DataError(f"{pairs.file}: {error}") from None


def _clone_of(joined: pd.DataFrame) -> str | None:
    """Clone of all patients' slides, as their reports name it."""
    named = set(joined["pdl1_clone"].dropna()) if "pdl1_clone" in joined else set()
    return str(named.pop()) if len(named) == 1 else None


def _add_absent_assays(lacking: list[str], file: str, cohort: str, findings: Findings) -> None:
    for name in lacking:
        findings.add(
            "assay_absent",
            f"{file}: no assay is stated for {name}.",
            cohort=cohort,
            panel=field_named(name).panel,
            column=name,
            n=1,
        )


def _renamed(
    raw: pd.DataFrame, table: TableSource, cohort: str, findings: Findings
) -> pd.DataFrame:
    """Matrix whose patients are written as in the first table; others are left out."""
    if table.identifier is None:
        return raw
    settings = table.matrix
    label = raw.columns[0] if settings is None or settings.labels is None else settings.labels
    if label not in raw:
        return raw  # found when the matrix is read
    rows = written_as(raw[label].astype(object), table.identifier)
    headers = pd.Series([name for name in raw if name != label], dtype=object)
    columns = written_as(headers, table.identifier)
    if rows.notna().sum() > columns.notna().sum():
        unfit, renamed = int(rows.isna().sum()), raw[rows.notna()].assign(**{str(label): rows})
    else:
        unfit, kept = int(columns.isna().sum()), headers[columns.notna()]
        names = pd.Index([label, *columns.dropna()], dtype=object, name=raw.columns.name)
        renamed = raw[[label, *kept]].set_axis(names, axis=1)
    if unfit:
        add_unfit(table.file, unfit, cohort, findings)
    return renamed


def _follow(
    patients: CohortFiles, long: dict[str, _Long], study: Study, cohort: str, findings: Findings
) -> None:
    """Turn visits or lesions into outcomes."""
    for panel in visit_panels():
        if panel in long and patients.table is not None:
            each, criteria = long[panel], study.response_criteria
            patients.table, patients.responses = follow_up(
                patients.table, each.frame, panel, criteria, each.file, cohort, findings
            )


def check_matched(matches: Sequence[Match], findings: Findings) -> None:
    """Tell of patients who are not in the cohort's first table.

    A file may serve several cohorts; patients of one of them are no strangers to the others.
    """
    for one in matches:
        ids = one.identifiers
        unmatched = ids[~ids.isin(one.patients)]
        nobody = len(unmatched) == len(ids)
        for other in matches:
            if other.file == one.file and not nobody:
                unmatched = unmatched[~unmatched.isin(other.patients)]
        if unmatched.empty:
            continue
        nearly = unmatched.map(_loose).isin(one.patients.map(_loose)).sum()
        hint = f"; {nearly} would be but for leading zeros or case" if nearly else ""
        findings.add(
            "no_patient_matched" if nobody else "unmatched_patient",
            f"{one.file}: {len(unmatched)} of {len(ids)} patients are not in the cohort's first "
            f"table{hint}.",
            cohort=one.cohort,
            column="patient_id",
            n=len(unmatched),
        )


def _filled(
    joined: pd.DataFrame,
    frame: pd.DataFrame,
    known: list[str],
    file: str,
    source: CohortSource,
    findings: Findings,
) -> pd.DataFrame:
    """Fill columns of earlier files where these have no value, and compare them where they have."""
    other = frame.set_index("patient_id").reindex(joined["patient_id"])
    together = joined.copy()
    for name in known:
        field, earlier = field_named(name), joined[name]
        later = other[name].set_axis(joined.index)
        both = earlier.notna() & later.notna()
        if field.numeric:
            same = np.isclose(later, earlier, rtol=SAME_SHARE, atol=SAME)
        else:
            same = (later == earlier).to_numpy()
        differs, fills = both & ~same, earlier.isna() & later.notna()
        together[name] = earlier.where(~fills, later)
        where = {"cohort": source.name, "panel": field.panel, "column": name}
        if differs.any():
            findings.add(
                "sources_differ",
                f"{file}: {name} differs from that of an earlier file in {int(differs.sum())} of "
                f"{int(both.sum())} patients; the earlier one is used.",
                n=int(differs.sum()),
                **where,
            )
        if fills.any():
            findings.add(
                "filled_from_another_file",
                f"{file}: {name} of {int(fills.sum())} patients, who have none in earlier files.",
                n=int(fills.sum()),
                **where,
            )
    return together


def _loose(identifier: str) -> str:
    return identifier.lower().lstrip("0")

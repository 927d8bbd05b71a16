"""cBioPortal's clinical files read: patients joined with one sample each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from stratify.errors import DataError, FileError
from stratify.interchange.source_data import (
    SourceData,
    cell_text,
    check_one_row,
    files_of,
    first_named,
    known_names,
    missing_texts,
    need_columns,
    only_level,
    plain,
    recognised,
)
from stratify.tables.files import read_numbered
from stratify.tables.findings import listed
from stratify.tables.schema import field_named

__all__ = ["read_cbioportal"]

# More gene panels than these are not named as the assay.
_MOST_PANELS = 8


def read_cbioportal(folder: Path) -> SourceData:
    r"""Read the clinical files of patients and samples, or the website's export of both.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = "Patient ID,Sex,Overall Survival (Months)\na-1,Male,7.5\n"
    ...     _ = (Path(folder) / "x_clinical_data.csv").write_text(table)
    ...     export = read_cbioportal(Path(folder))
    >>> export.columns, export.units["os"]
    ({'sex': 'Sex', 'os': 'Overall Survival (Months)'}, 'months')
    """
    names, files, notes = known_names()["cbioportal"], _cbioportal_files(folder), list[str]()
    table, key = _patients_and_samples(files, notes)
    columns, units = recognised(table.columns, names["columns"], notes)
    ici, other = (first_named(table.columns, names[part]) for part in ("ici_drug", "other_drug"))
    if ici and other:
        arm = f"{ici} + {other}"
        given = table[[ici, other]].mask(table[[ici, other]].map(plain).isin(missing_texts()), "")
        table[arm] = [" + ".join(filter(None, row)) for row in given.to_numpy()]
        columns["arm"] = arm
        if columns.get("regimen", ici) == ici:
            columns["regimen"] = arm
    count = first_named(table.columns, names["mutation_count"])
    if count and "tmb" not in columns:
        notes.append(f"{count} is not mapped: it needs `unit: mutations` and `scored_mb`.")
    notes.append(
        "cBioPortal counts survival and age from diagnosis unless the study says otherwise; check "
        "that time zero is the first dose."
    )
    for name, unit in names["units"].items():
        if units.get(name) not in (unit, None):
            notes.append(
                f"The name of {columns[name]} says {units[name]}; cBioPortal has {name} in {unit}, "
                "which is written. Check it."
            )
    units = {name: names["units"].get(name) or unit for name, unit in units.items()}
    panel = first_named(table.columns, names["gene_panel"])
    panels = sorted(set(table[panel]) - {""}) if panel else []
    study = only_level(table, first_named(table.columns, names["study_id"]))
    return SourceData(
        name=study or folder.resolve().name,
        files=listed([path.name for path in files.values()]),
        key=key,
        patients=table,
        columns=columns,
        units=units,
        assays={"tmb": ", ".join(panels)} if 0 < len(panels) <= _MOST_PANELS else {},
        notes=notes,
    )


def _cbioportal_files(folder: Path) -> dict[str, Path]:
    """Files of patients and of samples, or one of both as the website exports it."""
    kinds: dict[str, list[Path]] = {}
    for path in files_of(folder, "cBioPortal's clinical files"):
        name = path.name.lower()
        if "clinical" not in name or path.suffix.lower() not in (".txt", ".tsv", ".csv"):
            continue
        if not re.search(r"^\.|^meta|attributes|clinical_supp|timeline|stratify", name):
            stem = path.stem.lower().removesuffix("_data")
            kind = re.search(r"(?:patient|sample)(?=_clinical|$)", stem)
            kinds.setdefault(kind[0] if kind else "both", []).append(path)
    if not kinds:
        raise FileError(
            f"{folder} holds no clinical file of cBioPortal; data_clinical_patient.txt and "
            "data_clinical_sample.txt, or the website's *_clinical_data.tsv, are expected."
        )
    if (len(kinds) > 1 and "both" in kinds) or any(len(paths) > 1 for paths in kinds.values()):
        many = sorted(path.name for paths in kinds.values() for path in paths)
        raise FileError(
            f"{folder} holds {listed(many)}; one file of patients and one of samples, or one of "
            "both, are expected. Keep those of one export."
        )
    return {kind: paths[0] for kind, paths in kinds.items()}


def _read_clinical(path: Path) -> pd.DataFrame:
    headed = path.name.lower().startswith("data_clinical")
    if headed:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            heads = [line.startswith("#") for line, _ in zip(stream, range(4), strict=False)]
        if sum(heads) < 4:
            raise DataError(
                f"{path}: {sum(heads)} of its first four rows begin with #; four header rows "
                "(display names, descriptions, datatypes, priorities) are expected above the "
                "attribute names. Add them, or name the table *_clinical_data.tsv."
            )
    table = read_numbered(path, comment="#", quoting="none", delimiter="\t" if headed else None)
    return table.map(cell_text)


def _patients_and_samples(files: Mapping[str, Path], notes: list[str]) -> tuple[pd.DataFrame, str]:
    """One row a patient with the columns of one sample, and the column of identifiers."""
    names = known_names()["cbioportal"]
    tables = {kind: _read_clinical(path) for kind, path in files.items()}
    patients, samples = tables.get("patient"), tables.get("sample", tables.get("both"))
    key = ""
    if patients is not None:
        key = first_named(patients.columns, names["patient_id"])
        need_columns(patients, files["patient"].name, [key or "PATIENT_ID"])
        check_one_row(patients, key, files["patient"].name)
        if samples is None:
            notes.append("There is no file of samples.")
            return patients, key
    assert samples is not None
    file = files["sample" if "sample" in files else "both"].name
    own = first_named(samples.columns, names["patient_id"])
    sample = first_named(samples.columns, names["sample_id"])
    if not own and sample and patients is not None and samples[sample].isin(patients[key]).all():
        notes.append(f"The samples of {file} bear the identifiers of the patients.")
        own = sample
    need_columns(samples, file, [own or "PATIENT_ID"])
    if sample:
        samples = _one_sample(samples, own, sample, notes)
    check_one_row(samples, own, file)
    if patients is None:
        return samples, own
    if lost := int((~samples[own].isin(patients[key])).sum()):
        notes.append(f"Patients of {file} not in {files['patient'].name}, left out: {lost}.")
    both = [column for column in samples if column in patients and column != own]
    samples = samples.drop(columns=both).rename(columns={own: key})
    return patients.merge(samples, on=key, how="left").fillna(""), key


def _one_sample(table: pd.DataFrame, key: str, sample: str, notes: list[str]) -> pd.DataFrame:
    """Keep the first sample of each patient by identifier, those before treatment first."""
    names = known_names()["cbioportal"]
    time = first_named(table.columns, names["sample_time"])
    late = pd.Series(False, index=table.index)
    if time:
        moment = table[time].map(plain)
        late = ~(moment.str.match("pre|base|before") | moment.isin(missing_texts()))
    order = pd.DataFrame({"late": late, "sample": table[sample]}).sort_values(["late", "sample"])
    chosen = table.loc[order.index]
    chosen = chosen[~chosen[key].duplicated() | (chosen[key] == "")].sort_index()
    if len(chosen) < len(table):
        several = int((table[key].value_counts() > 1).sum())
        rule = f", those before treatment ({time}) first" if time else ""
        notes.append(f"Patients with several samples: {several}; the first by {sample}{rule}.")
    if late[chosen.index].any():
        columns, _ = recognised(table.columns, names["columns"], [])
        markers = [c for name, c in columns.items() if field_named(name).panel == "tmb"]
        chosen.loc[late[chosen.index], markers] = ""
        notes.append(
            "Patients with samples after the start of treatment only: "
            f"{int(late[chosen.index].sum())}; {listed(markers) or 'no marker'} left empty."
        )
    return chosen

"""A study made of a folder of CDISC ADaM datasets or of cBioPortal's clinical files.

What a source states (units, events, levels) is written into the study file. What it leaves open is
written there as ``null  # fill in`` and never guessed.
"""

from __future__ import annotations

import re
import secrets
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from stratify.errors import ArgumentError, DataError, FileError
from stratify.interchange.adam import read_adam
from stratify.interchange.cbioportal import read_cbioportal
from stratify.interchange.plain_table import read_plain_table
from stratify.interchange.source_data import OPEN, SourceData, coding_of, event_coding
from stratify.tables.findings import listed, shared_levels
from stratify.tables.schema import field_named
from stratify.tables.tabular import make_folder, write_table

__all__ = ["fill_ins", "make_study"]

_TITLES = {"adam": "CDISC ADaM", "cbioportal": "cBioPortal", "table": "a table"}
_READERS = {"adam": read_adam, "cbioportal": read_cbioportal, "table": read_plain_table}
EVERYONE = "*"  # in place of an arm, where no column has arms


def make_study(
    source: str, folder: str | Path, out: str | Path, *, regimens: Mapping[str, str] | None = None
) -> Path:
    r"""Make a study of a folder in a format of trials or portals.

    Parameters
    ----------
    regimens : mapping of str to str, optional
        Arm, as the treatment column writes it, to a level of ``regimen``; of a table without a
        column of treatments ``*`` for all patients.

    Notes
    -----
    ADaM: CNSR 0 is an event, any positive number is censored. Times stay as in AVAL; the study file
    states their unit. Of several parameters of best response or PFS the investigator's is taken
    first. ``adverse_events.csv`` has the worst CTCAE grade (0 where a treated patient has no
    event) and whether an immune-related event reached grade 3, for the comparison of arms.

    cBioPortal: of several samples of a patient the first by identifier is taken, one before
    treatment first; who has only later ones keeps no marker of them. A status is read by its prefix
    (``1:`` is an event) or, where none has a prefix, by its word.

    A table: columns are found by their names; a unit that the name does not state is the one in
    which the median is usual, which a note says, or is left open.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     adsl = "USUBJID,AGE,AGEU,SEX,ARM\na-1,61,YEARS,F,Drug A\na-2,58,YEARS,M,Drug A\n"
    ...     _ = (Path(folder) / "adsl.csv").write_text(adsl)
    ...     fill_ins(make_study("adam", folder, Path(folder) / "out"))
    {'regimen': [27]}
    """
    return _study_of(_READERS[source](Path(folder)), source, Path(out), regimens or {})


def fill_ins(study: str | Path) -> dict[str, list[int]]:
    """Lines of a study file that wait for the user's answer, by canonical column.

    The example of :func:`make_study` shows it.
    """
    found: dict[str, list[int]] = {}
    for number, line in enumerate(Path(study).read_text(encoding="utf-8").splitlines(), 1):
        if match := re.search(r": null  # fill in: (\w+)$", line):
            found.setdefault(match[1], []).append(number)
    return found


def _grade_3(events: pd.DataFrame) -> dict[str, Any]:
    """Map the columns of adverse events that are there."""
    severe = {str(grade): grade >= 3 for grade in range(6)}
    mapped: dict[str, Any] = {
        "grade3_all_cause": {"column": "worst_ctcae_grade", "coding": severe},
        "grade3_immune_related": {
            "column": "immune_related_grade_3",
            "coding": {"true": True, "false": False},
        },
    }
    return {name: entry for name, entry in mapped.items() if entry["column"] in events}


def _study_of(export: SourceData, source: str, out: Path, regimens: Mapping[str, str]) -> Path:
    """Write panels and study file, or nothing."""
    regimens, all_of = dict(regimens), None
    if source == "table":
        _check_classes(regimens)
        all_of = regimens.pop(EVERYONE, None)
    sources, notes = _mapped(export, regimens), list(export.notes)
    if source == "table" and "regimen" not in export.columns:
        sources.setdefault("clinical", {})["regimen"] = {"value": all_of or f"{OPEN} regimen"}
    stated, patients, outcomes = sources.pop("outcomes", {}), export.patients, export.outcomes
    if outcomes is None and stated:
        columns = [export.columns[name] for name in stated]
        outcomes, patients = patients[[export.key, *columns]], patients.drop(columns=columns)
    files = {"clinical": patients}
    panels = {"clinical": sources or {"clinical": {}}}
    if outcomes is not None:
        files["outcomes"], panels["outcomes"] = outcomes, {"outcomes": stated}
    if export.adverse_events is not None:
        files["adverse_events"] = export.adverse_events
        panels["adverse_events"] = {"outcomes": _grade_3(export.adverse_events)}
    endpoint = "proxy_pfs6"
    if "pfs" not in stated:
        known = {"best_response", "objective_response"} & set(stated)
        endpoint = "objective_response" if known else endpoint
        notes.append(
            "There is no PFS: the label is the response."
            if known
            else "There is neither PFS nor response: patients can be scored, not labelled."
        )
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", export.name).strip("-_.") or "study"
    tables = [
        {"file": f"{file}.csv", "delimiter": ",", "patient_id": export.key, "panels": columns}
        for file, columns in panels.items()
    ]
    study = {
        "stratify": 1,
        "name": name,
        "title": f"{name}, from {_TITLES[source]}",
        "description": "\n".join(notes),
        "data": "panels",
        "endpoint": endpoint,
        "cohorts": [{"name": name, "role": "train", "tables": tables}],
    }
    head = f"Written by `stratify init --from {source}` from {export.files}."
    return _write(out, files, _study_text(head, study))


def _mapped(export: SourceData, regimens: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Entries of the study file by panel; what stays open is marked to be filled in."""
    if not export.columns:
        raise DataError(
            f"{export.files}: none of the names of columns is known, so nothing can be mapped. "
            "Give an export in its own names, or write the study file by hand."
        )
    _check_regimens(export, regimens)
    sources: dict[str, dict[str, Any]] = {}
    for name, column in export.columns.items():
        field = field_named(name)
        apart = export.outcomes if field.panel == "outcomes" else None
        cells = (export.patients if apart is None else apart)[column]
        entry: dict[str, Any] = {"column": column}
        if field.numeric and len(field.accepted_units) > 1:
            entry["unit"] = export.units.get(name) or f"{OPEN} {name}"
        elif name.endswith("_event") and export.censoring:
            entry["coding"] = {text: text == "0" for text in sorted(set(cells) - {""})}
        elif name.endswith("_event"):
            entry["coding"] = event_coding(cells, name, f"{export.files}: column {column}")
        elif field.enum or field.type == "boolean":
            entry["coding"] = coding_of(cells, name) | (dict(regimens) if name == "regimen" else {})
        if name in export.assays:
            entry["assay"] = export.assays[name]
        sources.setdefault(field.panel, {})[name] = entry if len(entry) > 1 else column
    return sources


def _check_classes(regimens: Mapping[str, str]) -> None:
    classes = field_named("regimen").enum
    if wrong := sorted(set(regimens.values()) - set(classes)):
        raise ArgumentError(
            f"regimen: {listed([repr(name) for name in wrong])} is no class; classes are "
            f"{', '.join(classes)}."
        )


def _check_regimens(export: SourceData, regimens: Mapping[str, str]) -> None:
    _check_classes(regimens)
    column = export.columns.get("regimen")
    arms = [] if column is None else [cell for cell in export.patients[column] if cell]
    if strange := sorted(set(regimens) - set(arms)):
        there = f"column {column} holds {shared_levels(arms)}" if arms else "no column has arms"
        raise ArgumentError(
            f"regimen: no arm {listed([repr(arm) for arm in strange])} in {export.files}; {there}. "
            "Write arms as the file does."
        )


class _Dumper(yaml.SafeDumper):
    """Strings that the study file's reader would take for numbers stay quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _scalar(dumper: _Dumper, text: str) -> yaml.Node:
    quoted = text[:1] in "+-.0123456789"
    style = "|" if "\n" in text else "'" if quoted else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _scalar)


def _study_text(head: str, study: dict[str, Any]) -> str:
    body = yaml.dump(study, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    heads = [head]
    if waiting := list(dict.fromkeys(re.findall(rf": {OPEN} (\w+)$", body, re.MULTILINE))):
        heads.append("Lines that end with `fill in` wait for a value in place of null (missing):")
    for name in waiting:
        field = field_named(name)
        values = field.enum or list(field.accepted_units) or ["true", "false"]
        heads.append(f"{name}: {', '.join(values)}")
    heads.append("Then run `stratify validate` on this file.")
    comment = [
        textwrap.fill(line, 100, initial_indent="# ", subsequent_indent="#   ") for line in heads
    ]
    body = re.sub(rf": {OPEN} (\w+)$", r": null  # fill in: \1", body, flags=re.MULTILINE)
    return "\n".join([*comment, body])


def _write(out: Path, tables: Mapping[str, pd.DataFrame], text: str) -> Path:
    out = make_folder(out)
    for taken in ("study.yaml", "panels"):
        if (out / taken).exists():
            raise FileError(f"{out / taken} exists and is not written over. Choose another folder.")
    part = out / f".{secrets.token_hex(4)}.part"
    try:
        make_folder(part / "panels")
        for name, table in tables.items():
            write_table(table, part / "panels" / f"{name}.csv")
        (part / "study.yaml").write_text(text, encoding="utf-8")
        (part / "panels").rename(out / "panels")
        (part / "study.yaml").rename(out / "study.yaml")
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{out} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out / "study.yaml"

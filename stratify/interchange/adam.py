"""CDISC ADaM read: ADSL, best response of ADRS, times of ADTTE, worst events of ADAE."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from stratify.errors import DataError, FileError
from stratify.interchange.source_data import (
    SourceData,
    cell_text,
    check_cells,
    check_one_row,
    files_of,
    first_named,
    known_names,
    need_columns,
    only_level,
    recognised,
    unit_named,
)
from stratify.tables.files import kind_of, read_numbered
from stratify.tables.findings import listed, shared_levels
from stratify.tables.schema import field_named

__all__ = ["read_adam"]

_ENDINGS = (".csv", ".xpt", ".sas7bdat")


def read_adam(folder: Path) -> SourceData:
    r"""Read ADSL and, where they are, ADRS, ADTTE and ADAE.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "ADSL.csv").write_text("USUBJID,AGE,AGEU\na-1,61,YEARS\n")
    ...     export = read_adam(Path(folder))
    >>> export.columns, export.units
    ({'age': 'AGE'}, {'age': 'years'})
    """
    files = _adam_files(folder)
    subjects, file = _read_dataset(files["adsl"]), files["adsl"].name
    need_columns(subjects, file, ["USUBJID"])
    check_one_row(subjects, "USUBJID", file)
    export = SourceData("", listed([path.name for path in files.values()]), "USUBJID", subjects)
    export.censoring = True
    export.columns, _ = recognised(subjects.columns, known_names()["adam"]["columns"], [])
    if "age" in export.columns:
        export.units["age"] = _stated_unit(subjects, "AGEU", "age", file)
    if date := export.columns.get("first_dose_date"):
        subjects[date] = subjects[date].map(_iso_date)
    _add_outcomes(export, files)
    if "adae" in files:
        export.adverse_events = _adverse_events(files["adae"], subjects, export.notes)
    export.name = only_level(subjects, "STUDYID") or folder.resolve().name
    return export


def _adam_files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    paths = files_of(folder, "adsl and the other ADaM datasets")
    for path in paths:
        match = re.fullmatch(r"(adsl|adrs|adtte|adae)(_\w+)?", path.stem.lower())
        if match is None or path.suffix.lower() not in _ENDINGS:
            continue
        dataset = match[1]
        if match[2] and any(other.stem.lower() == dataset for other in paths):
            continue  # adrs beside adrs_onco is meant
        if dataset in found:
            raise FileError(
                f"{folder} holds {dataset} twice: {found[dataset].name} and {path.name}. Keep one."
            )
        found[dataset] = path
    if "adsl" not in found:
        there = ", ".join(path.name for path in paths[:8]) or "no file"
        raise FileError(
            f"{folder} holds no {', '.join(f'adsl{ending}' for ending in _ENDINGS)}, one of which "
            f"is expected; it holds {there}. Give the folder of the ADaM datasets."
        )
    return found


def _read_dataset(path: Path, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """Dataset with upper-case names and cells as text; the index numbers its rows."""
    table = read_numbered(path)
    table.columns = [str(column).strip().upper() for column in table.columns]
    if columns is not None:
        table = table[[column for column in table if column in set(columns)]]
    texts = table.astype(object).map(cell_text)
    return texts.mask(texts == "NA", "") if kind_of(path) == "csv" else texts  # as R writes it


def _iso_date(text: str) -> str:
    """SAS dates (days since 1960, or 04MAR2018) as ISO 8601; others stay for the findings."""
    if re.fullmatch(r"[12][0-9]{4}", text):  # up to 2042; Excel's numbers of days lie above
        return str((pd.Timestamp("1960-01-01") + pd.Timedelta(days=int(text))).date())
    if re.fullmatch(r"[0-9]{2}[A-Za-z]{3}[0-9]{4}(:.*)?", text):
        date = pd.to_datetime(text[:9].title(), format="%d%b%Y", errors="coerce")
        return text if pd.isna(date) else str(date.date())
    return text


def _stated_unit(rows: pd.DataFrame, column: str, name: str, file: str) -> str | None:
    """Return the unit in a column of units or in PARAM; None where neither says it."""
    accepted = field_named(name).accepted_units
    cells = list(rows.loc[rows[column] != "", column]) if column in rows else []
    strange = [cell for cell in cells if unit_named(cell) not in accepted]
    if strange:
        raise DataError(
            f"{file}: column {column} of {name} holds {shared_levels(strange)}; "
            f"{', '.join(unit.upper() for unit in accepted)} are expected. Correct the unit."
        )
    titles = set(rows["PARAM"]) if "PARAM" in rows else set()
    ending = re.compile(r"(?:\(|, |\bin )(days?|weeks?|months?|years?)\)?$", re.IGNORECASE)
    titled = [match[1] for title in titles if (match := ending.search(title))]
    units = {unit_named(text) for text in [*cells, *titled]}
    if len(units) > 1:
        raise DataError(
            f"{file}: {column} and PARAM state {listed(sorted(map(str, units)))} for {name}; one "
            "unit is expected. Convert the values to one, or correct the unit."
        )
    return units.pop() if units else None


def _parameter(table: pd.DataFrame, name: str, file: str, notes: list[str]) -> pd.DataFrame | None:
    """Rows of the parameter to take, one a patient."""
    known = known_names()["adam"]["parameters"][name]
    rows = table[table["PARAMCD"].isin(known)]
    if "ANL01FL" in rows and 0 < (rows["ANL01FL"] == "Y").sum() < len(rows):
        rows = rows[rows["ANL01FL"] == "Y"]
        notes.append(f"{name} of {file}: rows with ANL01FL Y only.")
    if rows.empty:
        notes.append(f"{file} has no {name}: none of the parameters {', '.join(known)}.")
        return None
    assessor = first_named(rows.columns, known_names()["adam"]["assessor"])
    title = rows["PARAMCD"]
    if assessor:
        title = title.where(rows[assessor] == "", title + " by " + rows[assessor])
    said = title + " " + rows["PARAM"] if "PARAM" in rows else title
    committee = said.str.contains("IRC|IRF|ICR|INDEP|CENTRAL|BLIND", case=False)
    investigator = said.str.contains("INV", case=False)
    rank = len(known) * (1 + committee.astype(int) - investigator.astype(int))
    rank += rows["PARAMCD"].map(known.index)
    first = rank == rank.min()
    taken, others = rows[first], sorted(set(title[~first]))
    code = str(taken["PARAMCD"].iloc[0])
    before = f", taken before {listed(others)}" if others else ""
    notes.append(f"{name} is parameter {title[first].iloc[0]} of {file}{before}.")
    values = [c for c in ("USUBJID", "AVAL", "AVALC", "CNSR") if c in taken]
    taken = taken.drop_duplicates(values)
    check_one_row(taken, "USUBJID", file, f" of parameter {code}")
    return taken


def _add_outcomes(export: SourceData, files: Mapping[str, Path]) -> None:
    """Add a column for the response, and two for each time: as AVAL, and as CNSR."""
    columns: list[pd.Series] = []
    for dataset, values, outcomes in (
        ("adrs", ["AVALC"], ["best_response"]),
        ("adtte", ["AVAL", "CNSR"], ["pfs", "os"]),
    ):
        if dataset not in files:
            there = ", ".join(sorted(path.name for path in files.values()))
            text = f"There is no {dataset}: no {listed(outcomes)}; read were {there}."
            export.notes.append(text)
            continue
        file, needed = files[dataset].name, ["USUBJID", "PARAMCD", *values]
        optional = ["PARAM", "AVALU", "ANL01FL", *known_names()["adam"]["assessor"]]
        table = _read_dataset(files[dataset], [*needed, *optional])
        need_columns(table, file, needed)
        table["PARAMCD"] = table["PARAMCD"].str.upper()
        for name in outcomes:
            rows = _parameter(table, name, file, export.notes)
            if rows is None:
                continue
            export.columns[name] = code = str(rows["PARAMCD"].iloc[0])
            if dataset == "adtte":
                export.units[name] = _stated_unit(rows, "AVALU", name, file)
                export.columns[f"{name}_event"] = flag = f"{code}_CNSR"
                columns.append(_censored(rows, file).rename(flag))
            columns.append(rows.set_index("USUBJID")[values[0]].rename(code))
    if columns:
        joined = pd.concat(columns, axis=1).fillna("").sort_index()
        export.outcomes = joined.rename_axis("USUBJID").reset_index()
    if "adtte" in files:
        export.notes.append(
            "Times run from the start that ADTTE took, often randomisation; check that it is "
            "close to the first dose."
        )


def _censored(rows: pd.DataFrame, file: str) -> pd.Series:
    """Censoring flags as whole numbers in text, by patient."""
    numbers = pd.to_numeric(rows["CNSR"].mask(rows["CNSR"] == ""), errors="coerce")
    wrong = (rows["CNSR"] != "") & ~((numbers >= 0) & (numbers % 1 == 0))
    expected = "0 (event) or a positive number (censored) is expected. Correct the flags."
    check_cells(wrong, file, "no whole number in column CNSR", expected)
    flags = numbers.astype("Int64").astype("string").fillna("").astype(object)
    return flags.set_axis(rows["USUBJID"])


def _adverse_events(path: Path, subjects: pd.DataFrame, notes: list[str]) -> pd.DataFrame | None:
    """Worst CTCAE grade, and whether an immune-related event reached grade 3, by patient."""
    names, file = known_names()["adam"]["adverse_events"], path.name
    table = _read_dataset(path, ["USUBJID", "TRTEMFL", *names["grade"], *names["immune_related"]])
    need_columns(table, file, ["USUBJID"])
    grade, flag = (first_named(table.columns, names[part]) for part in ("grade", "immune_related"))
    if not grade:
        notes.append(f"{file} has no CTCAE grade ({', '.join(names['grade'])}) and is left out.")
        return None
    if "TRTEMFL" in table:
        table = table[table["TRTEMFL"] == "Y"]
        notes.append(f"{file}: treatment-emergent events only (TRTEMFL Y).")
    grades = table[grade].str.upper().str.removeprefix("GRADE").str.strip()
    flags = table[flag].str.upper() if flag else pd.Series("", index=table.index)
    for cells, column, levels, expected in (
        (grades, grade, [*"12345"], "a CTCAE grade from 1 to 5 or nothing"),
        (flags, flag, ["Y", "N"], "Y, N or nothing"),
    ):
        wrong = ~cells.isin(["", *levels])
        found = f"other cells in column {column}"
        check_cells(wrong, file, found, f"{expected} is expected. Correct the cells.")
    who, level = table["USUBJID"], pd.to_numeric(grades.mask(grades == ""))
    ids, related = subjects["USUBJID"], flags == "Y"
    # who was treated and has no event had none
    treated = subjects["SAFFL"] == "Y" if "SAFFL" in subjects else ids != ""
    observed = ids.isin(who)
    worst = ids.map(level.groupby(who).max()).mask(~observed & treated, 0)
    result = pd.DataFrame({"USUBJID": ids, "worst_ctcae_grade": worst.astype("Int64")})
    if flag:
        reached = pd.Series("false", index=ids.index).where(observed | treated, "")
        reached = reached.mask(ids.isin(who[related & level.isna()]), "")
        result["immune_related_grade_3"] = reached.mask(
            ids.isin(who[related & (level > 2)]), "true"
        )
    else:
        notes.append(f"{file} has no flag of immune-related events.")
    return result

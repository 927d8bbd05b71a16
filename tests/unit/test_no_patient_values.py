"""No message holds a patient's value or identifier, whatever is wrong with the data.

Levels that at least five rows share may be named; they are no one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from stratify.cohort.reading import read_cohort, require_usable
from stratify.errors import FileError, StratifyError

SHARED = 5
# one planted cell of each kind of trouble, in the lines from 3 on
ODD_CELLS = [
    "Mrs Quixley",
    "98765.4321",
    "-43.2109",
    "<17.5309",
    "87,6543",
    "7,654,321",
    "7 654 321.09",
    "65.4321 %",
    "31.02.2021",
    "13/11/2020",
    "44197.5",
    "2029-12-24",
    "1e999888",
    "?!unsure",
]


def telling_cells(tables: dict[str, pd.DataFrame]) -> set[str]:
    """Cells that fewer than five rows share and that no count or limit can equal by chance."""
    telling = set()
    for table in tables.values():
        for name in table.columns:
            counts = table[name].astype(str).value_counts()
            telling |= {cell for cell, n in counts.items() if n < SHARED and len(cell) >= 4}
    return telling


def messages(hospital: Any) -> Iterator[str]:
    """Yield what is said of the study: every finding, and the errors that stop the work."""
    try:
        cohort = hospital.read()
    except StratifyError as error:
        yield str(error)
        return
    for row in cohort.findings.table().to_dict("records"):
        yield " ".join(str(value) for value in row.values())
    try:
        require_usable(cohort, "The study")
    except StratifyError as error:
        yield str(error)


def check(hospital: Any, *, at_least: int) -> None:
    said = list(messages(hospital))
    assert len(said) >= at_least
    cells = telling_cells(hospital.tables)
    assert len(cells) > 500
    assert [(text, cell) for text in said for cell in cells if cell in text] == []


def columns_of(hospital: Any) -> list[tuple[str, str]]:
    return [(file, name) for file, table in hospital.tables.items() for name in table.columns]


def test_odd_cells_in_every_column(hospital):
    for file, name in columns_of(hospital):
        hospital.plant(file, name, dict(enumerate(ODD_CELLS, start=3)))
    check(hospital, at_least=40)


@pytest.mark.parametrize("cell", ["98765.4321", "-43.2109", "Mrs Quixley", "2029-12-24"])
def test_one_odd_cell_in_every_column(hospital, cell):
    for file, name in columns_of(hospital):
        if name != "Patient":
            hospital.plant(file, name, {17: cell})
    check(hospital, at_least=15)


def test_whole_columns_in_other_units_and_formats(hospital):
    hospital.change("clinical", "Albumin", lambda v: f"{float(v) * 1000:.3f}")
    hospital.change("clinical", "BMI", lambda v: v.replace(".", ",") + "13")
    hospital.change("clinical", "First dose", lambda v: ".".join(v.split("-")[::-1]))
    hospital.change("markers", "TPS", lambda v: f"{float(v) / 100:.5f}")
    hospital.change("markers", "TMB", lambda v: f"{float(v) * 371.31:.4f}")
    hospital.change("outcomes", "PFS", lambda v: f"{float(v) * -30.4375:.4f}")
    hospital.column("nlr").update(unit="g/L")
    check(hospital, at_least=6)


def test_identifiers_missing_doubled_and_unmatched(hospital):
    ids = hospital.tables["clinical"]["Patient"]
    hospital.plant("clinical", "Patient", {3: "", 5: ids[10], 6: ids[11]})
    hospital.plant("markers", "Patient", {8: "Quixley-1", 9: "Quixley-2"})
    hospital.change("outcomes", "Patient", lambda cell: f"MRN{cell}")
    check(hospital, at_least=4)


def test_shared_patients(hospital):
    hospital.add_cohort("away", "external", seed=8)
    for file in ("clinical", "markers", "outcomes"):
        hospital.tables[f"away_{file}"] = hospital.tables[file].copy()
    check(hospital, at_least=1)


def test_tables_turned_round(hospital):
    """Patients in columns: their identifiers are then the names of the columns."""
    turned = hospital.tables["markers"].set_index("Patient").T.reset_index(names="Marker")
    said = []
    for key in ("Patient", "Marker"):
        hospital.source("markers")["patient_id"] = key
        hospital.tables["markers"] = turned
        said += list(messages(hospital))
    ids = set(hospital.tables["clinical"]["Patient"][20:])
    assert [(text, i) for text in said for i in ids if i in text] == []


@pytest.mark.parametrize("file", ["clinical", "markers", "outcomes"])
def test_files_without_header_or_in_disorder(hospital, file):
    hospital.change(file, "Patient", lambda cell: f"Patient-{cell}")
    hospital.write()
    path = hospital.folder / f"{file}.csv"
    text = path.read_text()
    cells = telling_cells({file: hospital.tables[file]})
    lines = text.splitlines()
    for broken in (
        "\n".join(lines[1:]),
        "\n".join([*lines, lines[4] + ",Quixley"]),
        "\n".join([lines[0], '"' + lines[3], *lines[4:]]),
        "\n".join([lines[5], *lines[5:]]),
        text.replace(",", "\x01"),
    ):
        path.write_text(broken)
        try:
            said = [str(row["message"]) for row in read_cohort(hospital.study()).findings.rows]
        except FileError as error:
            said = [str(error)]
        assert said
        assert [(t, cell) for t in said for cell in cells if cell in t] == []


@pytest.mark.parametrize(("rows", "named"), [(4, False), (5, True)])
def test_a_level_is_named_only_if_five_rows_share_it(hospital, rows, named):
    hospital.plant("clinical", "Sex", dict.fromkeys(range(2, 2 + rows), "diverse"))
    hospital.plant("clinical", "BMI", dict.fromkeys(range(2, 2 + rows), "not asked"))
    said = " ".join(messages(hospital))
    assert ("'diverse'" in said) is named
    assert ("'not asked'" in said) is named

"""What an Excel cell says beside its value: percent formats, formulas, dates, error values."""

from __future__ import annotations

import datetime as dt

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.errors import FileError
from stratify.tables.documents import read_yaml
from stratify.tables.files import read_numbered
from stratify.tables.findings import Findings
from stratify.tables.panel import read_panels
from stratify.tables.sources import TableSource
from stratify.tables.workbook import PercentCell

FORMATS = ["General", "0%", "0.00%", "0.0%", "0", "0.00", '0"%"']


def saved(path, rows, formats=None):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for place, form in (formats or {}).items():
        book.active[place].number_format = form
    book.save(path)
    return path


def read(path, unit, name="pdl1_tps", panel="pdl1", **more):
    source = {"column": "X", "unit": unit, "assay": "22C3", **more}
    table = {"file": path.name, "patient_id": "ID", "panels": {panel: {name: source}}}
    findings = Findings()
    frame = read_panels(read_numbered(path), TableSource.model_validate(table), "ward", findings)
    return frame[panel], findings


@pytest.mark.parametrize("unit", ["percent", "fraction"])
def test_a_percent_format_or_sign_is_the_unit_of_its_cell(tmp_path, unit):
    cells = [0.6, 0.005, 1, "<1%", "60%", "1-49 %", "≥50 %"]
    formats = {"B2": "0%", "B3": "0.0%", "B4": "0%"}
    path = saved(tmp_path / "t.xlsx", [["ID", "X"], *([f"P{k}", c] for k, c in enumerate(cells))],
                 formats)  # fmt: skip
    frame, _ = read(path, unit)
    assert frame["pdl1_tps"].tolist() == pytest.approx([60, 0.5, 100, 0.5, 60, 25, 75])
    assert frame["pdl1_tps_low"].tolist() == pytest.approx([60, 0.5, 100, 0, 60, 1, 50])
    assert frame["pdl1_tps_high"].tolist() == pytest.approx([60, 0.5, 100, 1, 60, 49, 100])


def test_a_tumour_that_grew_by_more_than_its_size_is_not_read_a_hundred_times_too_small(tmp_path):
    rows = [["ID", "X"], *([f"P{k}", c] for k, c in enumerate([-0.3, 1.4, 0.2]))]
    path = saved(tmp_path / "t.xlsx", rows, dict.fromkeys(["B2", "B3", "B4"], "0%"))
    frame, _ = read(path, "percent", "best_change", "outcomes", assay=None)
    assert frame["best_change"].tolist() == pytest.approx([-0.3, 1.4, 0.2])


@settings(deadline=None, max_examples=40, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=12))
def test_typed_and_shown_percentages_of_one_column_are_one_scale(tmp_path_factory, cells):
    """Some cells typed with a percent sign (0.6 shown as 60 %), some as plain percent (60)."""
    rows = [["ID", "X"]]
    rows += [[f"P{k}", value / 100 if shown else value] for k, (value, shown) in enumerate(cells)]
    formats = {f"B{k + 2}": "0%" for k, (_, shown) in enumerate(cells) if shown}
    path = saved(tmp_path_factory.mktemp("x") / "t.xlsx", rows, formats)
    frame, _ = read(path, "percent", unit_confirmed=True)
    values = frame["pdl1_tps"].fillna(-1)
    assert values.tolist() == pytest.approx([float(value) for value, _ in cells])


def test_equal_numbers_of_two_formats_are_two_values():
    cells = pd.Series([0.5, PercentCell(0.5), 0.5], dtype=object)
    codes, _ = pd.factorize(cells)
    assert codes.tolist() == [0, 1, 0]
    assert np.isclose(float(PercentCell(0.5)), 0.5)


@pytest.mark.parametrize("engine", ["xlsxwriter", "openpyxl"])
def test_formulas_without_results_are_refused(tmp_path, engine):
    path = tmp_path / "t.xlsx"
    if engine == "xlsxwriter":
        pytest.importorskip("xlsxwriter")
    table = pd.DataFrame({"ID": ["P1", "P2"], "A": [3, 4], "X": ["=B2*2", "=B3*2"]})
    table.to_excel(path, index=False, engine=engine)
    with pytest.raises(FileError) as refusal:
        read_numbered(path)
    assert str(refusal.value) == (
        f"{path}: 2 cells hold formulas whose results were never calculated. Open the workbook in "
        "a spreadsheet program and save it, or export the values."
    )


def test_values_that_libraries_wrote_are_read(tmp_path):
    path = saved(tmp_path / "t.xlsx", [["ID", "X"], ["P1", 3], ["P2", "a=b"]])
    assert read_numbered(path)["X"].tolist() == [3, "a=b"]


def test_dates_and_error_values_among_numbers_are_named(tmp_path):
    rows = [["ID", "X"], ["P1", dt.datetime(1949, 1, 1)], ["P2", dt.datetime(2024, 10, 5)],
            ["P3", "#REF!"], ["P4", 12]]  # fmt: skip
    frame, findings = read(saved(tmp_path / "t.xlsx", rows), "percent")
    assert frame["pdl1_tps"].isna().tolist() == [True, True, True, False]
    (row,) = [row for row in findings.rows if row["code"] == "not_numeric"]
    assert row["message"] == (
        "t.xlsx, rows 2, 3 and 4: 2 dates (spreadsheets make them of 5-10) and 1 error value of a "
        "spreadsheet where a number is expected."
    )


@pytest.mark.parametrize("written", [("TRUE", "FALSE"), ("True", "False"), ("true", "false")])
@pytest.mark.parametrize("stated", ["TRUE: single_agent_ici, FALSE: other",
                                    "true: single_agent_ici, false: other"])  # fmt: skip
def test_a_coding_of_true_and_false_fits_as_r_and_python_write_them(tmp_path, written, stated):
    coding = read_yaml(f"coding: {{{stated}}}")["coding"]
    path = tmp_path / "t.csv"
    path.write_text("ID,X\n" + "".join(f"P{k},{cell}\n" for k, cell in enumerate(written)))
    source = {"regimen": {"column": "X", "coding": coding}}
    table = {"file": "t.csv", "patient_id": "ID", "panels": {"clinical": source}}
    findings = Findings()
    frame = read_panels(read_numbered(path), TableSource.model_validate(table), "ward", findings)
    assert frame["clinical"]["regimen"].tolist() == ["single_agent_ici", "other"]
    assert findings.rows == []

"""Lines that are no records, and rows that are no patients: none swallowed, none scored."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stratify.errors import FileError
from stratify.tables.files import TableFile, read_numbered, where_names_stand
from stratify.tables.identifiers import beside_patients

fast = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


# ------------------------------------------------------------------ quotation marks

NOTES = st.text(st.sampled_from("ab \"'."), max_size=6)


@fast
@given(st.lists(st.tuples(NOTES, NOTES), min_size=2, max_size=8), st.sampled_from(",;\t|"))
def test_no_line_is_lost_whatever_marks_stand_in_unquoted_text(tmp_path, notes, sign):
    """As typed: rows are read whole, one a line, or the file is refused."""
    lines = [sign.join(["ID", "note", "other", "x"])]
    lines += [sign.join([f"P{k}", first, second, "1"]) for k, (first, second) in enumerate(notes)]
    path = written(tmp_path / "t.txt", "\n".join(lines) + "\n")
    try:
        table = read_numbered(path)
    except FileError as error:
        refusal = str(error)
    else:
        assert table["ID"].tolist() == [f"P{k}" for k in range(len(notes))]
        return
    assert "line" in refusal
    assert sign != "\t"  # tab-separated text can always be told
    table = read_numbered(path, quoting="none")
    assert table["ID"].tolist() == [f"P{k}" for k in range(len(notes))]


@fast
@given(
    st.lists(st.text(st.sampled_from('ab"\n,;\t '), max_size=8), min_size=1, max_size=8),
    st.sampled_from(",;\t"),
)
def test_cells_that_are_quoted_are_read_as_they_were(tmp_path, notes, sign):
    """As pandas or Excel writes them, line ends within cells and all."""
    table = pd.DataFrame({"ID": [f"P{k}" for k in range(len(notes))], "note": notes, "x": "1"})
    path = tmp_path / "t.csv"
    table.to_csv(path, sep=sign, index=False)
    try:
        read = read_numbered(path)
    except FileError as error:  # a cell whose lines each look like a row of the table
        refusal = str(error)
    else:
        assert read["note"].fillna("").tolist() == notes
        return
    assert "would be one row" in refusal
    assert any("\n" in note for note in notes)


def test_unquoted_tab_text_is_read_with_its_marks(tmp_path):
    text = 'ID\tNOTE\nP1\tfine\nP2\t"see letter\nP3\t5" lesion\nP4\t"ok"\n'
    table = read_numbered(written(tmp_path / "t.txt", text))
    assert table["NOTE"].tolist() == ["fine", '"see letter', '5" lesion', '"ok"']


def test_quoting_can_be_stated(tmp_path):
    path = written(tmp_path / "t.csv", 'ID,NOTE\nP1,"a\nP2,b\nP3,"c\n')
    with pytest.raises(FileError, match=r"quotation mark of line 2"):
        read_numbered(path)
    assert read_numbered(path, quoting="none")["NOTE"].tolist() == ['"a', "b", '"c']


# ------------------------------------------------------------------ lines before the header

HEADED = [
    ("#version 2.4\n", "ID"),
    ("#version gdc-1.0.0\n#filedate 20240101\n", "ID"),
    ("## ENSEMBL VEP\n## output\n", "#ID"),
    ("#Patient\tText\n#Id\tNote\n#STRING\tSTRING\n#1\t1\n", "ID"),
    ("# Program:featureCounts v2.0.1; Command:a b\n", "ID"),
    ("\n#version 2.4\n\n", "ID"),
]


@pytest.mark.parametrize(("head", "name"), HEADED)
def test_lines_of_hash_before_the_header_are_passed_over(tmp_path, head, name):
    table = read_numbered(written(tmp_path / "t.maf", f"{head}{name}\tx\nP1\t1\n#P2\t2\n"))
    assert list(table.columns) == [name, "x"]
    assert table[name].tolist() == ["P1", "#P2"]  # below the header they are rows
    assert table.index.tolist() == [head.count("\n") + 2, head.count("\n") + 3]


def test_the_header_s_row_can_be_stated_and_is_found_for_the_message(tmp_path):
    path = written(tmp_path / "t.csv", "Export of 1 May,,\n,blood,\nPatNo,ALB,LDH\nP1,4,200\n")
    assert where_names_stand(path, ["PatNo", "ALB"]) == (
        "they stand in line 3: state `header_row: 3`"
    )
    assert read_numbered(path, header_row=3)["ALB"].tolist() == ["4"]
    assert TableFile(path, header_row=3).columns == ["PatNo", "ALB", "LDH"]


def test_the_sheet_with_the_names_is_named(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "About"
    book.active.append(["Export"])
    page = book.create_sheet("Data")
    for row in (["Cohort 2024"], [None, "blood", None], ["PatNo", "ALB", "LDH"], ["P1", 4, 200]):
        page.append(row)
    path = tmp_path / "t.xlsx"
    book.save(path)
    assert where_names_stand(path, ["PatNo", "LDH"]) == (
        "they stand in row 3 of the sheet 'Data': state `sheet: Data` and `header_row: 3`"
    )
    assert where_names_stand(path, ["Nobody"]) == "the sheets are About, Data"
    assert read_numbered(path, sheet="Data", header_row=3)["LDH"].tolist() == [200]


def test_columns_of_one_name_that_nobody_maps_do_no_harm(tmp_path):
    path = written(tmp_path / "t.csv", "ID,Complete?,age,Complete?\nP1,yes,60,no\n")
    table = read_numbered(path)
    assert list(table.columns) == ["ID", "Complete? (column 2)", "age", "Complete? (column 4)"]


# ------------------------------------------------------------------ rows that are no patients

SUMMARIES = [
    *("Median", "median (range)", "MEAN", "Mean:", "n = 30", "N=12", "n: 7", "Total", "Totals"),
    *("Average", "SD (range)", "Range", "IQR", "* measured locally", "† central", "# note"),
    *("Mittelwert", "Summe", "Anzahl", "Anmerkung: lokal", "Note: local", "Legend: x", "PatNo"),
    *("Standardabweichung", "moyenne", "Quelle: Labor"),
]
PATIENTS = [
    *(
        "P-001",
        "17",
        "Total-01",
        "MEDIAN7",
        "NOTE12",
        "N30",
        "SD-4",
        "Mean1",
        "Range 4711"[:5] + "-1",
    ),
    *("patient 12", "Müller", "sum3", "min5", "ID 001", "TCGA-AB-1234", "n30", "Counter", "Noel"),
]


@pytest.mark.parametrize("text", SUMMARIES)
def test_a_summary_is_no_patient(text):
    ids = pd.Series([f"P-{k:03d}" for k in range(30)] + [text], name="PatNo", dtype=object)
    raw = pd.DataFrame({"PatNo": ids, "ALB": 4.0})
    assert beside_patients(ids, raw).tolist() == [False] * 30 + [True]


@pytest.mark.parametrize("text", PATIENTS)
def test_a_patient_whose_identifier_looks_a_little_like_one_stays(text):
    ids = pd.Series([text, *(f"P-{k:03d}" for k in range(30)), text], name="PatNo", dtype=object)
    raw = pd.DataFrame({"PatNo": ids, "ALB": 4.0})
    assert not beside_patients(ids, raw).any()


def test_a_footnote_below_the_table_is_no_patient():
    ids = [f"P-{k:03d}" for k in range(6)]
    below = pd.DataFrame(
        {"PatNo": [*ids, "measured in two laboratories"], "ALB": [*"444444", None]},
        index=pd.Index([2, 3, 4, 5, 6, 7, 9], name="row"),
        dtype=object,
    )
    assert beside_patients(below["PatNo"], below).tolist() == [False] * 6 + [True]
    names = below.assign(PatNo=["Anna B", "Carl D", *ids[2:], "Eva F"])  # names are identifiers
    assert not beside_patients(names["PatNo"], names).any()

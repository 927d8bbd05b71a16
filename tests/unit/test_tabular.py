"""Tables on disk: exports of many kinds are read alike, what is no table is told, nothing half."""

from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path

import openpyxl
import pandas as pd
import pyreadstat
import pytest

from stratify.errors import FileError
from stratify.tables.files import TableFile, read_numbered
from stratify.tables.tabular import make_folder, sha256_of, write_table, written_whole

ROWS = {"ID": ["007", "008"], "Größe": ["1,5", "NA"], "Note": ["a", ""]}
CSV = 'ID,Größe,Note\n007,"1,5",a\n008,NA,\n'


def read(path: Path, **options: object) -> dict[str, list[object]]:
    return read_numbered(path, **options).to_dict("list")


def file(tmp_path: Path, content: bytes | str, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def workbook(path: Path, rows: list[list[object]], sheet: str = "Data", first: str = "") -> Path:
    book = openpyxl.Workbook()
    page = book.active
    if first:
        page.title = first
        page.append(["nothing", "here"])
        page = book.create_sheet(sheet)
    page.title = sheet
    for row in rows:
        page.append(row)
    book.save(path)
    return path


# ------------------------------------------------------------- text

DELIMITED = [
    pytest.param(CSV.encode(), {}, id="comma"),
    pytest.param(CSV.replace(",\"", ";\"").replace("\",", "\";").replace("ID,Größe,", "ID;Größe;")
                 .replace("008,NA,", "008;NA;").encode(), {}, id="semicolon"),
    pytest.param("ID\tGröße\tNote\n007\t1,5\ta\n008\tNA\t\n".encode(), {}, id="tab"),
    pytest.param("ID|Größe|Note\n007|1,5|a\n008|NA|\n".encode(), {}, id="bar"),
    pytest.param("sep=;\nID;Größe;Note\n007;1,5;a\n008;NA;\n".encode(), {}, id="sep= of Excel"),
    pytest.param(CSV.encode("utf-8-sig"), {}, id="byte order mark"),
    pytest.param(CSV.encode("utf-8-sig"), {"encoding": "utf-8"}, id="mark, encoding stated"),
    pytest.param(CSV.encode("cp1252"), {}, id="Windows-1252"),
    pytest.param(CSV.encode("utf-16"), {}, id="UTF-16"),
    pytest.param(CSV.encode("cp850"), {"encoding": "cp850"}, id="encoding stated"),
    pytest.param(CSV.replace("\n", "\r\n").encode(), {}, id="Windows line ends"),
    pytest.param(CSV.replace("\n", "\r").encode(), {}, id="line ends of old Macs"),
    pytest.param(gzip.compress(CSV.encode()), {}, id="gzip"),
    pytest.param((CSV + "\n   \n,,\n\r\n").encode(), {}, id="trailing empty lines"),
    pytest.param("ID,Größe,Note,,\n007,\"1,5\",a,,\n008,NA,,,\n".encode(), {}, id="empty columns"),
    pytest.param("ID,Größe,Note\n007,\"1,5\",a,\n008,NA,,\n".encode(), {}, id="trailing commas"),
    pytest.param("ID,Größe,Note,,\n007,\"1,5\",a\n008,NA,\n".encode(), {}, id="commas in header"),
    pytest.param("ID,Größe,\"Note\n\"\n007,\"1,5\",a\n008,NA,\n".encode(), {}, id="two lines"),
    pytest.param(" ID , Größe ,Note \n007,\"1,5\",a\n008,NA,\n".encode(), {}, id="spaced names"),
    pytest.param(("#made by\n#an export\n" + CSV).encode(), {"comment": "#"}, id="comments"),
    pytest.param(CSV.rstrip("\n").encode(), {}, id="no line end at the end"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "options"), DELIMITED)
def test_text_is_read_as_written(tmp_path, content, options):
    assert read(file(tmp_path, content), **options) == ROWS


def test_the_delimiter_is_not_looked_for_in_quoted_names(tmp_path):
    path = file(tmp_path, 'ID,"Score (1;2;3;4)"\na,1\n')
    assert read(path) == {"ID": ["a"], "Score (1;2;3;4)": ["1"]}


def test_one_column_is_read_where_the_delimiter_is_stated(tmp_path):
    assert read(file(tmp_path, "ID\na\nb\n"), delimiter=",") == {"ID": ["a", "b"]}


def test_a_used_column_without_a_name_is_kept(tmp_path):
    assert read(file(tmp_path, "ID,,x\na,1,2\n")) == {
        "ID": ["a"],
        "(column 2, no name)": ["1"],
        "x": ["2"],
    }


def test_rows_keep_their_line_in_the_file(tmp_path):
    path = file(tmp_path, '#x\nID,Note\n\na,"two\nlines"\nb,c\n# y\n\nd,e\n')
    table = read_numbered(path, comment="#")
    assert table.index.tolist() == [4, 6, 9]
    assert table.index.name == "line"
    assert table["Note"].tolist() == ["two\nlines", "c", "e"]


# ------------------------------------------------------------- Excel and Parquet


def test_excel_cells_keep_types_and_texts(tmp_path):
    path = workbook(
        tmp_path / "table.xlsx",
        [
            ["ID", "Age", "Date", "Word", None],
            ["007", 64, datetime(2024, 1, 5), "None", None],
            [None, None, None, None, None],
            [8, 64.5, None, "NA", None],
            [9, True, None, "#DIV/0!", None],
        ],
    )
    table = read_numbered(path)
    assert table.to_dict("list") == {
        "ID": ["007", 8, 9],
        "Age": [64, 64.5, True],
        "Date": [datetime(2024, 1, 5), None, None],
        "Word": ["None", "NA", "#DIV/0!"],
    }
    assert table.index.tolist() == [2, 4, 5]
    assert table.index.name == "row"


def test_a_sheet_is_found_by_name_or_number(tmp_path):
    path = workbook(tmp_path / "two.xlsx", [["ID", "x"], ["a", 1]], "Patients", first="Cover")
    assert read(path, sheet="Patients") == read(path, sheet=1) == {"ID": ["a"], "x": [1]}
    with pytest.raises(FileError) as missing:
        read_numbered(path, sheet="patients")
    assert str(missing.value) == f"{path} has no sheet 'patients'; its sheets are Cover, Patients."
    with pytest.raises(FileError) as missing:
        read_numbered(path, sheet=2)
    assert str(missing.value) == (
        f"{path} has no sheet number 2; counted from 0, its sheets are Cover, Patients."
    )


def test_the_content_decides_and_not_the_ending(tmp_path):
    book = workbook(tmp_path / "x.xlsx", [["ID", "x"], ["a", 1]])
    disguised = file(tmp_path, book.read_bytes(), "book.csv")
    assert read(disguised) == {"ID": ["a"], "x": [1]}
    assert read(file(tmp_path, CSV, "text.xlsx")) == ROWS
    assert read(file(tmp_path, CSV, "text.parquet")) == ROWS


def test_parquet_keeps_types_and_gives_back_a_saved_index(tmp_path):
    table = pd.DataFrame({"x": [1.5, None], "c": pd.Categorical(["a", "b"])})
    table.index = pd.Index(["007", "008"], name="ID")
    table.to_parquet(tmp_path / "table.parquet")

    read_back = read_numbered(tmp_path / "table.parquet")

    assert list(read_back.columns) == ["ID", "x", "c"]
    assert read_back["ID"].tolist() == ["007", "008"]
    assert read_back["x"].isna().tolist() == [False, True]
    assert read_back.index.tolist() == [1, 2]
    assert read_back.index.name == "row"


@pytest.mark.parametrize(
    ("ending", "write", "options"),
    [
        ("xpt", "write_xport", {"file_format_version": 8}),
        ("dta", "write_dta", {}),
        ("sav", "write_sav", {}),
        ("zsav", "write_sav", {"compress": True}),
    ],
)
def test_data_sets_of_statistics_are_read_whole(tmp_path, ending, write, options):
    table = pd.DataFrame({"ID": ["007", "8"], "risk": [0.5, None], "Note": ["Größe", ""]})
    getattr(pyreadstat, write)(table, str(tmp_path / f"t.{ending}"), **options)
    path = file(tmp_path, (tmp_path / f"t.{ending}").read_bytes(), "t")  # the content decides

    opened = TableFile(path)
    (whole,) = opened.batches(1)

    assert opened.kind == ending.removeprefix("z")
    assert (opened.columns, opened.n_rows) == (["ID", "risk", "Note"], 2)
    assert whole.astype(object).fillna("none").to_dict("list") == {
        "ID": ["007", "8"],
        "risk": [0.5, "none"],
        "Note": ["Größe", ""],
    }
    assert (whole.index.tolist(), whole.index.name) == ([1, 2], "row")
    assert list(opened.batches(1, first=1)) == []
    assert list(next(opened.batches(columns=["risk", "other"]))) == ["risk"]


# ------------------------------------------------------------- what is no table

OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64)
REFUSED = [
    ("empty", b"", {}, " is empty. Export the table again."),
    ("blank", b" \n\n", {}, " is empty. Export the table again."),
    ("commas only", b",,\n,,\n", {}, " is empty. Export the table again."),
    ("empty gzip", gzip.compress(b""), {}, " is empty. Export the table again."),
    ("comments only", b"# a\n# b\n", {"comment": "#"}, " is empty. Export the table again."),
    (
        "header only",
        b"ID,x\n",
        {},
        " has a header but no rows. Export the table again.",
    ),
    (
        "one column",
        b"ID\na\n",
        {},
        " has a single column: no comma, semicolon, tab or bar stands in its first line. State "
        "`delimiter` for the table in the study file.",
    ),
    (
        "a mark that is never closed",
        b'ID,x\na,1\nb,"2\nc,3\n',
        {},
        ": a quotation mark of line 3 is never closed, and 2 lines would be one row. Remove the "
        "mark, or state `quoting: none` for the table in the study file if no cell is quoted.",
    ),
    (
        "a mark that is closed by another row's",
        b'ID,x\na,1\nb,"2\nc,3"\nd,4\n',
        {},
        ": a quotation mark of line 3 is closed only in line 4, and 2 lines would be one row. "
        "Remove the mark, or state `quoting: none` for the table in the study file if no cell is "
        "quoted.",
    ),
    (
        "no header",
        b"P1,64,1,0,3.9\nP2,71,0,0,4.1\n",
        {},
        " has no header: most cells of its first row are numbers. Add a row with the names of the "
        "columns.",
    ),
    (
        "one ragged row",
        b"ID,x\na,1\nb,2,3\n",
        {},
        ": 1 row does not have the header's 2 cells (line 3). The delimiter read is a comma; quote "
        "cells that hold it, or state `delimiter`.",
    ),
    (
        "many ragged rows",
        b"#\nID;x\n" + b"a;1\nb\n" * 7,
        {"comment": "#"},
        ": 7 rows do not have the header's 2 cells (lines 4, 6, 8, 10, 12 ...). The delimiter read "
        "is a semicolon; quote cells that hold it, or state `delimiter`.",
    ),
    (
        "another encoding",
        "ID,Größe\na,1\n".encode("cp1252"),
        {"encoding": "utf-8"},
        " is not text in utf-8. State `encoding` for the table in the study file, or export the "
        "table as CSV.",
    ),
    (
        "no such encoding",
        b"ID,x\na,1\n",
        {"encoding": "cp-hospital"},
        " is not text in cp-hospital. State `encoding` for the table in the study file, or export "
        "the table as CSV.",
    ),
    (
        "a binary file",
        b"\x00\x01\x02SAS" + bytes(40),
        {},
        " is not text in UTF-8 or Windows-1252. State `encoding` for the table in the study file, "
        "or export the table as CSV.",
    ),
    ("old Excel", OLD_EXCEL, {}, " is an old Excel file (.xls). Save it as .xlsx or CSV."),
    ("a broken gzip", gzip.compress(b"ID,x\na,1\n")[:-9], {}, None),
    ("a broken Excel file", b"PK\x03\x04" + bytes(60), {}, None),
    ("a broken Parquet file", b"PAR1" + bytes(60), {}, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "options", "said"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_what_is_no_table_is_told(tmp_path, content, options, said):
    path = file(tmp_path, content)
    with pytest.raises(FileError) as refused:
        read_numbered(path, **options)
    if said is None:  # the words are the parser's
        assert str(refused.value).startswith(f"{path} cannot be read: ")
    else:
        assert str(refused.value) == f"{path}{said}"


def test_an_empty_sheet_is_told(tmp_path):
    path = workbook(tmp_path / "empty.xlsx", [])
    with pytest.raises(FileError) as refused:
        read_numbered(path)
    assert str(refused.value) == f"{path} is empty. Export the table again."


def test_a_missing_file_is_told_with_its_neighbours(tmp_path):
    file(tmp_path, CSV, "a.csv")
    file(tmp_path, CSV, "b.csv")
    advice = "Correct `file` or `data` in the study file (or set STRATIFY_DATA)."
    with pytest.raises(FileError) as missing:
        read_numbered(tmp_path / "c.csv")
    assert str(missing.value) == (
        f"There is no file {tmp_path / 'c.csv'}; its folder holds a.csv, b.csv. {advice}"
    )
    with pytest.raises(FileError) as missing:
        read_numbered(tmp_path / "none" / "c.csv")
    assert str(missing.value) == (
        f"There is no file {tmp_path / 'none' / 'c.csv'}; its folder is missing or empty. {advice}"
    )


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(FileError) as folder:
        read_numbered(tmp_path)
    assert str(folder.value) == f"{tmp_path} is a folder; a file is expected."


# ------------------------------------------------------------- writing


@pytest.mark.parametrize("name", ["t.csv", "t.CSV", "t.parquet"])
def test_a_written_table_reads_back(tmp_path, name):
    table = pd.DataFrame({"ID": ["007", "8"], "risk": ["0.1", "0.30000000000000004"]})
    write_table(table, tmp_path / name)
    assert read(tmp_path / name) == table.to_dict("list")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(FileError) as refused:
        write_table(pd.DataFrame({"x": [1]}), tmp_path / "t.xlsx")
    assert str(refused.value) == "t.xlsx must end in .csv or .parquet."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = file(tmp_path, "old", "result.json")

    def interrupted() -> None:
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise error("interrupted")

    with pytest.raises(FileError if error is OSError else error, match="interrupted"):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]
    assert path.read_text() == "old"


def test_a_file_where_a_folder_is_needed_is_told(tmp_path):
    path = file(tmp_path, "x", "result")
    with pytest.raises(FileError, match=rf"^{path}/t\.csv cannot be written: "):
        write_table(pd.DataFrame({"x": [1]}), path / "t.csv")
    with pytest.raises(FileError) as refused:
        make_folder(path)
    assert str(refused.value) == f"The folder {path} cannot be made: File exists."


def test_a_folder_is_made_with_its_parents_and_used_again(tmp_path):
    assert make_folder(tmp_path / "a" / "b") == make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_the_hash_is_of_the_bytes(tmp_path):
    # SHA-256 of "abc", FIPS 180-4, example B.1
    assert sha256_of(file(tmp_path, "abc")) == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )

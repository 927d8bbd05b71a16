"""Files that were made to stop a reader: bounds on size, depth, aliases and what expands."""

from __future__ import annotations

import gzip
import time
import zipfile
from pathlib import Path

import pytest

from stratify import Study
from stratify.cohort.reading import read_cohort
from stratify.errors import DataError, FileError, StratifyError
from stratify.tables.documents import DEPTH, NODES, read_yaml
from stratify.tables.files import read_numbered

STUDY = """stratify: 1
name: a
cohorts:
  - name: a
    tables: [{file: a.csv, patient_id: ID, panels: {clinical: {nlr: NLR}}}]
"""


def bomb(levels: int) -> str:
    lines = ["x-0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"x-{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, levels)]
    return "\n".join([*lines, f"features: *a{levels - 1}", STUDY])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (bomb(9), f"more than {NODES:,} values"),
        (f"features: {'[' * 200_000}\n{STUDY}", f"more than {DEPTH} levels"),
        (f"features: {'{a: ' * 5000}\n{STUDY}", f"more than {DEPTH} levels"),
        ("features: [" + "a, " * 2_000_000 + "a]", "6,000,013 characters; 5,000,000 is the most"),
    ],
    ids=["aliases", "brackets", "braces", "long"],
)
def test_yaml_that_no_study_is_is_refused_at_once(text, problem, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    start = time.perf_counter()
    with pytest.raises(DataError) as refusal:
        Study.load(path)
    assert problem in str(refusal.value)
    assert time.perf_counter() - start < 5


def test_anchors_as_studies_use_them_are_read():
    assert read_yaml("a: &x {b: 1}\nc: {<<: *x, d: 2}") == {"a": {"b": 1}, "c": {"b": 1, "d": 2}}


@pytest.mark.parametrize(
    "form", ["nonsense", "%", "%Q", "%d.%m", "", "%H:%M", "YYYY-MM-DD", "%Y-%"]
)
def test_a_form_that_writes_no_date_is_a_fault_of_the_study(form, tmp_path):
    panels = f"{{first_dose_date: {{column: D, date_format: {form!r}}}}}"
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("{nlr: NLR}", panels), encoding="utf-8")
    with pytest.raises(DataError, match=r"no form of a date; for example %d\.%m\.%Y is expected"):
        Study.load(path)


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%Y%m%d", "%d-%b-%Y", "%d/%m/%y", "%Y-%m-%d %H:%M"])
def test_forms_of_dates_are_taken(form, tmp_path):
    panels = f"{{first_dose_date: {{column: D, date_format: {form!r}}}}}"
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("{nlr: NLR}", panels), encoding="utf-8")
    assert Study.load(path).name == "a"


def test_text_that_expands_without_end_is_refused(tmp_path):
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(b"ID,NLR\n")
        for _ in range(60):
            stream.write(b"0,0\n" * 1_000_000)
    with pytest.raises(FileError, match="expands to more than 200 times its size"):
        read_numbered(path)


def test_a_workbook_that_expands_without_end_is_refused(tmp_path):
    path = tmp_path / "a.xlsx"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as parts,
        parts.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as stream,
    ):
        for _ in range(60):
            stream.write(b"<row/>" * 680_000)
    with pytest.raises(FileError, match="expands to more than 200 times its size"):
        read_numbered(path)


@pytest.mark.parametrize(
    "name", ["../../x", "a/b", "a\\b", "a\0b", "..", ".hidden", "", "a b", "-x"]
)
def test_a_name_that_would_be_a_path_is_refused(name, tmp_path):
    document = read_yaml(STUDY) | {"name": name}
    with pytest.raises(Exception, match="name"):
        Study.model_validate(document)


@pytest.mark.parametrize("file", ["x" * 5000, "~", "/", ".", "..", "a/../../b.csv"])
def test_a_file_that_cannot_be_one_is_an_error_in_words(file, tmp_path):
    document = read_yaml(STUDY)
    document["cohorts"][0]["tables"][0]["file"] = file
    document["data"] = str(tmp_path)
    with pytest.raises(StratifyError):
        read_cohort(Study.model_validate(document))


def test_a_character_nul_in_a_text_is_refused(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("file: a.csv", r'file: "a\0.csv"'), encoding="utf-8")
    with pytest.raises(DataError, match="a character NUL in a text"):
        Study.load(path)


def test_a_file_of_another_user_in_place_of_a_folder_is_told(tmp_path):
    path = Path(tmp_path / "study.yaml")
    path.mkdir()
    with pytest.raises(FileError, match="cannot be read"):
        Study.load(path)

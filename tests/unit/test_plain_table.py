"""A hospital's own table becomes a study: names, units, codings; what is open is marked."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from stratify import Study
from stratify.cohort.reading import read_cohort
from stratify.errors import ArgumentError, DataError, FileError
from stratify.interchange.formats import fill_ins, make_study


def written(folder: Path, table: dict[str, list[object]], name: str = "patients.csv") -> Path:
    frame = pd.DataFrame(table)
    path = folder / name
    if path.suffix == ".xlsx":
        frame.to_excel(path, index=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def mapped(path: Path, out: Path, **options: object) -> dict[str, object]:
    study = Study.load(make_study("table", path, out, **options))  # type: ignore[arg-type]
    return {
        name: source
        for table in study.cohorts[0].tables
        for panel in table.panels.values()
        for name, source in panel.items()
    }


PATIENTS = {"Patient": ["a1", "a2", "a3"], "Age": [61, 58, 70]}
EVERYONE = {"regimens": {"*": "anti_pd1_pdl1"}}


@pytest.mark.parametrize("ending", ["csv", "tsv", "xlsx"])
def test_a_table_of_each_kind_is_read_to_scores(ending, tmp_path):
    path = written(tmp_path, PATIENTS | {"Hb (g/L)": [121, 130, 99]}, f"p.{ending}")
    study = Study.load(make_study("table", path, tmp_path / "out", **EVERYONE))
    cohort = read_cohort(study, outcomes=False)
    assert cohort.table["hemoglobin"].tolist() == [12.1, 13.0, 9.9]
    assert cohort.table["regimen"].tolist() == ["anti_pd1_pdl1"] * 3


@pytest.mark.parametrize(
    ("column", "values", "name", "unit"),
    [
        ("Albumin (g/L)", [38, 41, 29], "albumin", "g/L"),
        ("Albumin [g/dL]", [3.8, 4.1, 2.9], "albumin", "g/dL"),
        ("albumin_g_l", [38, 41, 29], "albumin", "g/L"),
        ("ALB", [38, 41, 29], "albumin", "g/L"),
        ("ALB", [3.8, 4.1, 2.9], "albumin", "g/dL"),
        ("Haemoglobin", [12.1, 13.0, 9.9], "hemoglobin", "g/dL"),
        ("hb", [121, 130, 99], "hemoglobin", "g/L"),
        ("TPS (%)", [60, 5, 0], "pdl1_tps", "percent"),
        ("PD-L1 TPS [%]", [60, 5, 0], "pdl1_tps", "percent"),
        ("PFS (days)", [60, 200, 400], "pfs", "days"),
        ("PFS_months", [6, 2, 4], "pfs", "months"),
        ("Tumor mutational burden", [6, 2, 14], "tmb", "mut/Mb"),
        ("Alter", [61, 58, 70], "age", "years"),
    ],
)
def test_names_and_units_are_found(column, values, name, unit, tmp_path):
    path = written(tmp_path, {"Patient": ["a1", "a2", "a3"], column: values})
    source = mapped(path, tmp_path / "out", **EVERYONE)[name]
    assert (source.column, source.unit) == (column, unit)


def test_a_unit_from_the_values_is_said_and_one_that_nothing_tells_is_left_open(tmp_path):
    path = written(tmp_path, PATIENTS | {"Alb": [38, 41, 29], "PFS": [60, 20, 30]})
    study = make_study("table", path, tmp_path / "out", **EVERYONE)
    assert "Units taken from the values, to be checked: age in years and albumin in g/L." in (
        Study.read(study)[0].description
    )
    assert list(fill_ins(study)) == ["pfs"]


def test_without_a_column_of_treatments_the_class_is_asked_for(tmp_path):
    assert list(fill_ins(make_study("table", written(tmp_path, PATIENTS), tmp_path / "out"))) == [
        "regimen"
    ]


@pytest.mark.parametrize("words", [["yes", "no", "yes"], ["Ja", "Nein", "Ja"], ["1", "0", "1"]])
def test_yes_and_no_are_read_in_their_spellings(words, tmp_path):
    path = written(tmp_path, PATIENTS | {"Prior therapy": words})
    study = Study.load(make_study("table", path, tmp_path / "out", **EVERYONE))
    assert read_cohort(study, outcomes=False).table["prior_systemic_therapy"].tolist() == [1, 0, 1]


def test_what_is_not_known_is_named_and_not_mapped(tmp_path):
    path = written(tmp_path, PATIENTS | {"Shoe size": [41, 42, 43]})
    study = make_study("table", path, tmp_path / "out", **EVERYONE)
    assert "Not mapped, since the name is not known: Shoe size." in Study.load(study).description


def test_patients_without_a_name_like_an_identifier_take_the_first_that_differs(tmp_path):
    path = written(tmp_path, {"Age": [61, 61, 70], "Kennung": ["x", "y", "z"]})
    study = Study.load(make_study("table", path, tmp_path / "out", **EVERYONE))
    assert study.cohorts[0].tables[0].patient_id == "Kennung"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"Age": [61, 61], "ECOG": [1, 1]}, "patients.csv has no column of identifiers"),
        ({"Patient": ["a", "a"], "Age": [1, 2]}, "identifiers that stand more than once"),
        ({"Patient": ["a", "b"], "Shoe": [1, 2]}, "none of the names of columns is known"),
    ],
)
def test_what_is_no_table_of_patients_is_refused(table, message, tmp_path):
    with pytest.raises(DataError, match=message):
        make_study("table", written(tmp_path, table), tmp_path / "out")


def test_a_folder_of_several_tables_and_none_are_refused(tmp_path):
    written(tmp_path, PATIENTS)
    written(tmp_path, PATIENTS, "more.tsv")
    with pytest.raises(FileError, match="holds 2 tables"):
        make_study("table", tmp_path, tmp_path / "out")
    with pytest.raises(FileError, match="There is no file or folder"):
        make_study("table", tmp_path / "absent.csv", tmp_path / "out")


def test_an_unknown_class_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="is no class"):
        make_study("table", written(tmp_path, PATIENTS), tmp_path / "out", regimens={"*": "pembro"})

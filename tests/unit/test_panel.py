"""A panel at the door: from cells of many hands to numbers, dates, levels and yes or no."""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stratify.cohort.features import informative_features
from stratify.tables.files import read_numbered
from stratify.tables.findings import Findings
from stratify.tables.panel import read_panels
from stratify.tables.schema import field_named, load_schema, patient_panels
from stratify.tables.sources import TableSource
from stratify.tables.tabular import write_table

NAN = math.nan


def read(
    cells: list[Any] | pd.Series, name: str, source: dict[str, Any] | None = None, **table: Any
) -> tuple[list[Any], list[tuple[str, str]]]:
    """One column's values, and its findings as (code, message)."""
    raw = pd.DataFrame({"ID": [f"p{i}" for i in range(len(cells))], "X": cells})
    raw.index = pd.RangeIndex(2, len(raw) + 2, name="line")
    options = {"column": "X"} | (source or {})
    if "value" in options:
        del options["column"]
    field = field_named(name)
    if field.assay == "required":
        options.setdefault("assay", "any")
    panels = {field.panel: {name: options}}
    mapped = TableSource.model_validate(
        {"file": "t.csv", "patient_id": "ID", "panels": panels, **table}
    )
    findings = Findings()
    frame = read_panels(raw, mapped, "home", findings)[field.panel]
    assert frame[name].dtype == field.dtype
    told = [(r["code"], r["message"]) for r in findings.rows if r["code"] != "unknown_column"]
    return frame[name].tolist(), told


def same(a: list[Any], b: list[Any]) -> bool:
    return all(x == y or (pd.isna(x) and pd.isna(y)) for x, y in zip(a, b, strict=True))


# ------------------------------------------------------------- numbers

NUMBERS = [
    # cell, options of the table, number
    ("12", {}, 12.0),
    ("  12.5\u00a0", {}, 12.5),
    ("+12.50", {}, 12.5),
    ("-0.5", {}, -0.5),
    ("\u22120.5", {}, -0.5),
    (".5", {}, 0.5),
    ("5.", {}, 5.0),
    ("1e-2", {}, 0.01),
    ("1.5E+1", {}, 15.0),
    ("12,5", {"decimal": ","}, 12.5),
    (",5", {"decimal": ","}, 0.5),
    ("1,5e1", {"decimal": ","}, 15.0),
    ("12", {"decimal": ","}, 12.0),
    ("1,234", {"decimal": ","}, 1.234),
    ("1,234", {"thousands": ","}, 1234.0),
    ("1,234.5", {"thousands": ","}, 1234.5),
    ("-12,345,678", {"thousands": ","}, -12345678.0),
    ("1.234,5", {"decimal": ",", "thousands": "."}, 1234.5),
    ("1.234", {"decimal": ",", "thousands": "."}, 1234.0),
    ("1.000", {"decimal": ",", "thousands": "."}, 1000.0),
    ("1.000", {}, 1.0),
    ("1 234", {"thousands": " "}, 1234.0),
    ("1\u00a0234,5", {"decimal": ",", "thousands": " "}, 1234.5),
    ("1\u202f234", {"thousands": " "}, 1234.0),
    ("1'234", {"thousands": "'"}, 1234.0),
    ("1\u2019234", {"thousands": "'"}, 1234.0),
    ("999", {"thousands": ","}, 999.0),
    (64, {}, 64.0),
    (64.25, {}, 64.25),
    (3.125, {"decimal": ",", "thousands": "."}, 3.125),
    (0.125, {"decimal": ","}, 0.125),
    (np.float32(0.5), {}, 0.5),
    (np.int64(3), {}, 3.0),
    (Decimal("3.80"), {"decimal": ",", "thousands": "."}, 3.8),
]


@pytest.mark.parametrize(("cell", "table", "number"), NUMBERS, ids=lambda value: repr(value))
def test_a_number_is_read(cell, table, number):
    cells = pd.Series([cell, None], dtype=object)
    values, told = read(cells, "gep", **table)
    expected = {"outside_limits"} if abs(number) > 20 else set()
    assert same(values, [number, NAN])
    assert {code for code, _ in told} == expected


GROUPED = (
    "grouped_digits",
    "t.csv, line 2: digits in groups of three, or three decimals behind another sign than {!r}.",
)
COMMA = ("decimal_comma", "t.csv, line 2: decimal commas in a column of numbers.")


def _not_numeric(what: str) -> tuple[str, str]:
    return ("not_numeric", f"t.csv, line 2: {what} where a number is expected.")


RARE = _not_numeric("1 rare level")
CENSORED = _not_numeric("1 censored value such as '<1'")
UNREAD = [
    ("12,5", {}, COMMA),
    ("1.234,5", {}, COMMA),
    ("12,5", {"thousands": ","}, COMMA),
    ("1,234", {}, (GROUPED[0], GROUPED[1].format("."))),
    ("1,234.5", {}, (GROUPED[0], GROUPED[1].format("."))),
    ("1.234.567", {}, (GROUPED[0], GROUPED[1].format("."))),
    ("1 234", {}, (GROUPED[0], GROUPED[1].format("."))),
    ("1\u202f234,5", {}, (GROUPED[0], GROUPED[1].format("."))),
    ("1'234", {}, (GROUPED[0], GROUPED[1].format("."))),
    ("1.234", {"decimal": ","}, (GROUPED[0], GROUPED[1].format(","))),
    ("1.000", {"decimal": ","}, (GROUPED[0], GROUPED[1].format(","))),
    ("1.0", {"decimal": ","}, _not_numeric("1 number with a decimal point")),
    ("0.125", {"decimal": ","}, _not_numeric("1 number with a decimal point")),
    ("12.5", {"decimal": ",", "thousands": "."}, _not_numeric("1 number with a decimal point")),
    ("1,23,456", {"thousands": ","}, RARE),
    ("0,123", {"thousands": ","}, COMMA),
    ("<1", {}, CENSORED),
    ("> 50", {}, CENSORED),
    ("≥50 %", {}, CENSORED),
    ("12 %", {}, _not_numeric("1 value with a percent sign")),
    ("1-49", {}, RARE),
    ("3.8*", {}, RARE),
    ("3.8 3.9", {}, RARE),
    ("3..8", {}, RARE),
    ("1e", {}, RARE),
    ("0x1F", {}, RARE),
    ("1_000", {}, RARE),
    ("٣", {}, RARE),
    ("inf", {}, RARE),
    ("1e999", {}, _not_numeric("1 infinite value")),
    (math.inf, {}, _not_numeric("1 infinite value")),
    (True, {}, RARE),
    (datetime(2024, 2, 1), {}, _not_numeric("1 date (spreadsheets make one of 5-10)")),
    ("#DIV/0!", {}, _not_numeric("1 error value of a spreadsheet")),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "table", "told"), UNREAD, ids=lambda value: repr(value)[:40])
def test_what_is_not_surely_a_number_is_missing_and_told(cell, table, told):
    values, findings = read(pd.Series([cell, "1"], dtype=object), "gep", **table)
    assert same(values, [NAN, 1.0])
    assert findings == [told]


def test_three_decimals_among_decimal_commas_are_decimal_commas_too():
    values, told = read(["3,9", "3,125", "12"], "gep")
    assert same(values, [NAN, NAN, 12.0])
    assert told == [
        ("decimal_comma", "t.csv, lines 2 and 3: decimal commas in a column of numbers.")
    ]


def test_kinds_of_text_are_counted_together():
    cells = ["<1", "<1", "5 %", "tbd", "tbd", "tbd", "tbd", "tbd", "x", "7"]
    _, told = read(cells, "gep")
    assert told == [
        (
            "not_numeric",
            "t.csv, lines 2, 3, 4, 5, 6 and 4 more: 2 censored values such as '<1', 1 value with "
            "a percent sign and 'tbd' (5 rows) and 1 rarer level where a number is expected.",
        )
    ]


def test_a_percent_sign_is_read_where_the_unit_is_percent():
    source = {"unit": "percent"}
    assert read(["12 %", "7%", "0"], "pdl1_tps", source) == ([12.0, 7.0, 0.0], [])


def test_infinite_numbers_of_parquet_are_told():
    values, told = read(pd.Series([1.0, np.inf, -np.inf, np.nan]), "gep")
    assert same(values, [1.0, NAN, NAN, NAN])
    assert told == [
        ("not_numeric", "t.csv, lines 3 and 4: 2 infinite values where a number is expected.")
    ]


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "float32", "category", "str", "object"])
def test_columns_of_every_type_are_read(dtype):
    cells = pd.Series([1, 2, 3]).astype(str if dtype == "str" else dtype)
    assert read(cells, "gep") == ([1.0, 2.0, 3.0], [])


def test_missing_integers_of_parquet_are_missing():
    values, told = read(pd.Series([1, None], dtype="Int64"), "gep")
    assert same(values, [1.0, NAN])
    assert told == []


def test_censored_values_become_the_numbers_of_the_coding():
    source = {"unit": "percent", "coding": {"<1": 0.5, "> 90": 95, "x": None}}
    values, told = read(["<1", "> 90", "x", "12"], "pdl1_tps", source, decimal=",", thousands=".")
    assert same(values, [0.5, 95.0, NAN, 12.0])
    assert told == []


def test_a_coding_of_numbers_that_leads_to_words_is_told():
    _, told = read(["<1", "2"], "gep", {"coding": {"<1": "low"}})
    assert told == [
        (
            "unknown_category",
            "t.csv: the coding of gep leads to 'low'; numbers or null are expected.",
        )
    ]


# ------------------------------------------------------------- missing

WORDS = [
    "",
    " ",
    "\u00a0",
    ".",
    "-",
    "NA",
    "n/a",
    "#N/A",
    "NaN",
    "NULL",
    "None",
    "<NA>",
    "Not done",
]


@pytest.mark.parametrize("name", ["nlr", "site", "sex", "stage_iv", "first_dose_date"])
@pytest.mark.parametrize("cell", [*WORDS, None, NAN, pd.NA, pd.NaT], ids=repr)
def test_words_for_missing_are_missing_in_every_type(cell, name):
    values, told = read(pd.Series([cell], dtype=object), name)
    assert pd.isna(values[0])
    assert told == []


@pytest.mark.parametrize("where", ["table", "column"])
@pytest.mark.parametrize(
    "cells", [["-9", "999", "1"], [-9, 999, 1], [-9.0, 999.0, 1.0]], ids=["text", "int", "float"]
)
def test_stated_words_for_missing_hold_for_text_and_numbers(cells, where):
    stated = {"missing": [-9, "999.0"]}
    source, table = ({}, stated) if where == "table" else (stated, {})
    values, told = read(pd.Series(cells), "gep", source, **table)
    assert same(values, [NAN, NAN, 1.0])
    assert told == []


@pytest.mark.parametrize("word", ["-", "NA", "none"])
def test_a_word_of_the_coding_is_not_missing(word):
    source = {"coding": {word: False, "+": True}}
    assert read([word, "+"], "ctdna_detected", source) == ([0.0, 1.0], [])


def test_a_level_of_the_dictionary_is_not_missing():
    assert read(["none", "other"], "regimen") == (["none", "other"], [])


def test_a_level_of_the_dictionary_is_missing_where_the_study_says_so():
    values, told = read(["none", "other"], "regimen", {"missing": ["Other"]})
    assert same(values, ["none", NAN])
    assert told == []


@pytest.mark.parametrize("empty", ["", None], ids=["text", "Excel"])
def test_empty_cells_have_a_meaning_only_if_the_coding_says_so(empty):
    cells = pd.Series([empty, "x", "NA"], dtype=object)
    values, told = read(cells, "stage_iv", {"coding": {"": False, "x": True}})
    assert same(values, [0.0, 1.0, NAN])
    assert told == []


# ------------------------------------------------------------- levels, yes and no


@pytest.mark.parametrize("cell", ["1", "1.0", " 1 ", 1, 1.0, np.float64(1)], ids=repr)
@pytest.mark.parametrize("key", [1, "1", 1.0, "1.0"], ids=repr)
def test_one_is_one_however_it_is_written(cell, key):
    cells = pd.Series([cell, 0], dtype=object)
    assert read(cells, "sex", {"coding": {key: "male", 0: "female"}})[0] == ["male", "female"]
    assert read(cells, "stage_iv", {"coding": {key: True, 0: False}})[0] == [1.0, 0.0]


def test_levels_are_canonical_in_any_case_and_spacing():
    cells = ["Female", "female", "MALE ", "F"]
    values, told = read(cells, "sex", {"coding": {"F": "female"}})
    assert values == ["female", "female", "male", "female"]
    assert told == []
    assert read(["pd", "Non-CR/Non-PD"], "best_response")[0] == ["PD", "NON-CR/NON-PD"]


def test_a_coding_goes_before_the_canonical_levels():
    assert read(["male", "x"], "sex", {"coding": {"male": "female", "x": None}})[0][0] == "female"


def test_a_coding_is_read_with_spaces_as_one():
    cells = ["Head\u00a0&  Neck", "Head & Neck"]
    source = {"coding": {"Head &\u00a0Neck": "head_and_neck"}}
    assert read(cells, "cancer_type", source) == (["head_and_neck"] * 2, [])


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([True, False]),
        pd.Series([True, False], dtype="boolean"),
        pd.Series([True, False], dtype=object),
        pd.Series([np.True_, np.False_], dtype=object),
        pd.Series(["TRUE", "False"]),
    ],
    ids=["bool", "boolean", "object", "numpy", "text"],
)
@pytest.mark.parametrize(
    "source", [{}, {"coding": {True: True, "x": None}}], ids=["plain", "coded"]
)
def test_booleans_are_yes_and_no(cells, source):
    assert read(cells, "msi_high", source)[0] == [1.0, 0.0]


def test_yes_no_numbers_need_a_coding():
    values, told = read(["1", "0", "0"], "stage_iv")
    assert same(values, [NAN, NAN, NAN])
    assert told == [
        (
            "coding_absent",
            "t.csv: stage_iv holds 2 rare levels besides true and false, and no coding is stated.",
        )
    ]


def test_free_text_is_kept():
    assert read(["Nord ", "2.0", "Süd  West"], "site") == (["Nord", "2", "Süd West"], [])


# ------------------------------------------------------------- dates

JAN = pd.Timestamp("2024-01-05")
DATES = [
    ("2024-01-05", None),
    ("2024-01-05 13:45:00", None),
    ("2024-01-05T13:45:00Z", None),
    ("05.01.2024", "%d.%m.%Y"),
    ("01/05/2024", "%m/%d/%Y"),
    ("05JAN2024", "%d%b%Y"),
    (datetime(2024, 1, 5, 13), None),
    (date(2024, 1, 5), None),
    (pd.Timestamp("2024-01-05", tz="Europe/Paris"), None),
    (datetime(2024, 1, 5), "%d.%m.%Y"),
]


@pytest.mark.parametrize(("cell", "form"), DATES, ids=lambda value: str(value))
def test_a_date_is_read(cell, form):
    source = {"date_format": form} if form else {}
    values, told = read(pd.Series([cell, None], dtype=object), "first_dose_date", source)
    assert same(values, [JAN, pd.NaT])
    assert told == []


def test_dates_of_parquet_are_read():
    cells = pd.Series(pd.to_datetime(["2024-01-05 08:00", None]))
    assert same(read(cells, "first_dose_date")[0], [JAN, pd.NaT])


@pytest.mark.parametrize(
    "cell", ["2024-01-0512", "2024-02-30", "2024-1", "20240105", "2024-01-05x"]
)
def test_what_only_starts_like_a_date_is_told(cell):
    values, told = read([cell, "2024-01-05"], "first_dose_date")
    assert same(values, [pd.NaT, JAN])
    assert len(told) == 1
    assert told[0][1].startswith("t.csv, line 2: not a date in the format %Y-%m-%d")


# ------------------------------------------------------------- scale, unit, constants


@pytest.mark.parametrize(
    ("scale", "written"),
    [("linear", 7.0), ("ln", math.log(7)), ("log2", math.log2(7)), ("log10", math.log10(7)),
     ("log1p", math.log1p(7))],
)  # fmt: skip
def test_a_logarithm_is_brought_back(scale, written):
    source = {"unit": "mut/Mb", "scale": scale}
    values, told = read([repr(written)], "tmb", source)
    assert values == pytest.approx([7.0], rel=1e-14)
    assert told == []


def test_a_scale_is_undone_before_the_unit():
    source = {"unit": "cells/uL", "scale": "log10"}
    assert read(["3.0"], "neutrophils", source)[0] == pytest.approx([1.0], rel=1e-14)


def test_an_overflowing_logarithm_is_impossible_and_not_lost():
    _, told = read(["5000"], "tmb", {"unit": "mut/Mb", "scale": "ln"})
    assert ("outside_limits", "t.csv, line 2: tmb outside the possible 0 to 1000 mut/Mb.") in told


def test_mutations_are_divided_by_the_scored_megabases():
    source = {"unit": "mutations", "scored_mb": 1.1}
    assert read(["11"], "btmb", source) == ([10.0], [])


def test_rates_taken_for_mutations_look_like_rates():
    cells = [f"{i / 2:.1f}" for i in range(2, 32)]
    _, told = read(cells, "tmb", {"unit": "mutations", "scored_mb": 38})
    assert told == [
        (
            "looks_like_another_unit",
            "t.csv: tmb is stated in mutations but looks like mut/Mb (the median lies outside 0.8 "
            "to 25 mut/Mb).",
        )
    ]


def test_percents_taken_for_fractions_look_like_percents():
    cells = [str(3 * i) for i in range(30)]
    _, told = read(cells, "pdl1_tps", {"unit": "fraction"})
    assert told == [
        (
            "looks_like_another_unit",
            "t.csv: pdl1_tps is stated in fraction but looks like percent (29 values exceed 1 "
            "among 30).",
        )
    ]


@pytest.mark.parametrize(
    ("name", "source", "value"),
    [
        ("age", {"value": 780, "unit": "months"}, 65.0),
        ("prior_lines", {"value": 0}, 0.0),
        ("regimen", {"value": "anti_pd1_pdl1"}, "anti_pd1_pdl1"),
        ("regimen", {"value": "none"}, "none"),
        ("stage_iv", {"value": True}, 1.0),
        ("stage_iv", {"value": False}, 0.0),
        ("site", {"value": 7}, "7"),
        ("first_dose_date", {"value": "2024-01-05"}, JAN),
    ],
    ids=str,
)
def test_one_value_may_stand_for_all(name, source, value):
    assert read([""] * 30, name, source) == ([value] * 30, [])


def test_an_unknown_constant_is_told():
    _, told = read(["", ""], "regimen", {"value": "pembrolizumab"})
    assert told[0][1].startswith(
        "t.csv, lines 2 and 3: 1 rare level of regimen not known; levels are anti_pd1_pdl1, "
    )


# ------------------------------------------------------------- laws


@pytest.mark.parametrize("name", ["nlr", "first_dose_date", "sex", "stage_iv"])
def test_a_column_that_is_not_there_has_the_right_type(name):
    values, told = read(["1", "2"], name, {"column": "Y"})
    assert same(values, [NAN, NAN])
    assert told == [("missing_column", f"t.csv: no column 'Y' for {name}.")]


def test_names_of_columns_are_not_told_where_the_identifier_is_missing():
    raw = pd.DataFrame({"P-0001": ["P-0002"], "64": ["71"]})
    mapped = TableSource.model_validate({"file": "t.csv", "patient_id": "ID", "panels": {}})
    findings = Findings()
    assert read_panels(raw, mapped, "home", findings) == {}
    assert [row["message"] for row in findings.rows] == ["t.csv: no column 'ID' for patient_id."]


def test_many_columns_that_are_not_mapped_are_counted():
    raw = pd.DataFrame({"ID": ["a"]} | {f"gene {i}": ["1"] for i in range(1, 501)})
    mapped = TableSource.model_validate({"file": "t.csv", "patient_id": "ID", "panels": {}})
    findings = Findings()
    read_panels(raw, mapped, "home", findings)
    names = ", ".join(f"gene {i}" for i in range(1, 21))
    assert [(row["n"], row["message"]) for row in findings.rows] == [
        (500, f"t.csv: columns not mapped: {names} and 480 more.")
    ]


def test_names_of_columns_match_whatever_their_spaces(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('Patient\u00a0ID,"Body  mass\nindex"\na,24.5\n', encoding="utf-8")
    mapped = TableSource.model_validate(
        {
            "file": "t.csv",
            "patient_id": "Patient ID ",
            "panels": {"clinical": {"bmi": "Body mass\u202findex"}},
        }
    )
    frame = read_panels(read_numbered(path), mapped, "home", Findings())["clinical"]
    assert frame.to_dict("list") == {"patient_id": ["a"], "bmi": [24.5]}


def test_identifiers_keep_leading_zeros_and_lose_spaces():
    raw = pd.DataFrame({"ID": ["007", " 7 ", "7 a", 8, 9.0]}, dtype=object)
    mapped = TableSource.model_validate(
        {"file": "t.csv", "patient_id": "ID", "panels": {"clinical": {"site": {"value": "x"}}}}
    )
    frame = read_panels(raw, mapped, "home", Findings())["clinical"]
    assert frame["patient_id"].tolist() == ["007", "7", "7 a", "8", "9"]


def test_the_input_is_not_modified(hospital):
    hospital.plant("markers", "TMB", {3: "<1", 4: "1,5"})
    raw = hospital.tables["markers"].copy()
    mapped = hospital.study().cohorts[0].tables[1]
    read_panels(raw, mapped, "home", Findings())
    pd.testing.assert_frame_equal(raw, hospital.tables["markers"])


def _canonical(panel: str, columns: list[str]) -> dict[str, Any]:
    """Mapping of canonical names, units and codings onto themselves."""
    entries: dict[str, Any] = {}
    for name in columns:
        field = load_schema(panel).fields[name]
        entries[name] = {"column": name}
        if field.unit:
            entries[name]["unit"] = field.unit
        if field.assay:
            entries[name]["assay"] = "any"
        if field.type == "boolean":
            entries[name]["coding"] = {1: True, 0: False}
    return entries


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("panel", [each for each in patient_panels() if each != "comparators"])
def test_reading_its_own_output_changes_nothing(hospital, tmp_path, panel, ending):
    hospital.plant("clinical", "Albumin", {3: "", 4: "NA"})
    hospital.plant("clinical", "Blood date", {5: ""})
    hospital.plant("clinical", "Patient", {6: "006"})
    hospital.write()
    findings = Findings()
    table = next(t for t in hospital.study().cohorts[0].tables if panel in t.panels)
    first = read_panels(read_numbered(tmp_path / table.file), table, "home", findings)[panel]
    path = tmp_path / f"own.{ending}"
    write_table(first, path)

    names = [name for name in first.columns if name != "patient_id"]
    own = TableSource.model_validate(
        {
            "file": path.name,
            "patient_id": "patient_id",
            "panels": {panel: _canonical(panel, names)},
        }
    )
    again = read_panels(read_numbered(path), own, "home", findings)[panel]

    assert len(first) == 160
    pd.testing.assert_frame_equal(again, first)
    assert findings.table()["severity"].isin(["error", "warning"]).sum() == 0


def test_every_other_column_can_be_a_signature(hospital):
    table = hospital.tables["markers"]
    table["TGF-beta (Pan)"] = [f"{i / 10}" for i in range(len(table))]
    table["EMT.1"] = [f"{i % 7}" for i in range(len(table))]
    hospital.source("markers")["panels"]["infiltration"]["signature_*"] = "*"
    cohort = hospital.read()
    assert cohort.findings.rows == []
    assert [name for name in cohort.table if name.startswith("signature_")] == [
        "signature_emt_1",
        "signature_tgf_beta_pan",
    ]
    assert cohort.table["signature_tgf_beta_pan"].max() == 15.9
    features = informative_features(cohort, None)
    assert features.index("immune_phenotype") < features.index("signature_emt_1")
    assert features.index("signature_tgf_beta_pan") < features.index("ctdna_detected")


def test_a_signature_can_be_mapped_by_name_and_is_checked_like_any_number(hospital):
    hospital.tables["markers"]["EMT"] = "high"
    hospital.source("markers")["panels"]["infiltration"]["signature_emt"] = "EMT"
    assert [(row["code"], row["column"]) for row in hospital.findings("error")] == [
        ("not_numeric", "signature_emt")
    ]


@pytest.mark.parametrize("scale", [1, 100])
def test_intervals_of_pdl1_are_read_with_their_bounds(hospital, scale):
    texts = {3: f"<{1 / scale:g}", 4: f">={50 / scale:g}", 9: f"TPS {10 / scale:g}-{49 / scale:g}"}
    hospital.change("markers", "TPS", lambda cell: f"{float(cell) / scale:g}")
    hospital.plant("markers", "TPS", texts)
    hospital.plant("markers", "CPS", dict.fromkeys(texts, "100"))
    hospital.column("pdl1_tps")["unit"] = "percent" if scale == 1 else "fraction"
    cohort = hospital.read()
    assert not cohort.findings.has_errors
    ids = hospital.tables["markers"]["Patient"]
    table = cohort.table.set_index("patient_id")
    columns = ["pdl1_tps_low", "pdl1_tps", "pdl1_tps_high"]
    shown = table.loc[[ids[line - 2] for line in texts], columns]
    np.testing.assert_allclose(shown, [[0, 0.5, 1], [50, 75, 100], [10, 29.5, 49]])
    others = table.drop(index=shown.index)
    assert (others["pdl1_tps_low"] == others["pdl1_tps_high"]).all()
    assert (others["pdl1_tps_low"] == others["pdl1_tps"]).all()
    assert "pdl1_tps_low" not in informative_features(cohort, None)


def test_a_coding_goes_before_an_interval_and_a_backward_one_is_no_number(hospital):
    hospital.plant("markers", "TPS", {3: "<1", 4: "49-1"})
    hospital.column("pdl1_tps")["coding"] = {"<1": 0}
    assert [(row["code"], row["n"]) for row in hospital.findings()] == [("not_numeric", 1)]

"""The door of RECIST: visit tables read, checked, summed from lesions; what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from stratify.errors import ArgumentError, DataError
from stratify.response.best_response import best_response
from stratify.response.irecist import IRECIST, assess_irecist, best_irecist
from stratify.response.lesions import visits_from_lesions
from stratify.response.recist import assess_recist
from stratify.response.visits import (
    MEASURES,
    NON_TARGET,
    RECIST,
    YES_NO,
    read_response,
    visit_findings,
)
from stratify.study import ResponseCriteria
from stratify.tables.documents import read_yaml, schemas_folder
from stratify.tables.schema import load_schema

VISITS = load_schema("visits")


def stated(findings):
    """Findings without what their code and dictionary say."""
    keys = ("code", "column", "n", "message")
    return [{key: row[key] for key in keys} for row in findings.rows]


def visits(**columns: Any) -> pd.DataFrame:
    """One patient at day 0 and 42, target sum 100 and 90 mm, unless stated otherwise."""
    given = {"patient_id": "a", "visit_day": [0, 42], "target_sum": [100.0, 90.0]}
    return pd.DataFrame(given | columns)


# --------------------------------------------------------------- dictionary


def test_the_dictionary_describes_every_column_that_is_read():
    read = {"patient_id", "visit_day", "non_target", "recorded_response", *MEASURES, *YES_NO}
    assert set(VISITS.fields) == read
    assert set(VISITS.fields["non_target"].enum) == set(NON_TARGET)
    known = set(VISITS.fields["recorded_response"].enum)
    assert known == {*RECIST.values(), *IRECIST.values()}


@pytest.mark.parametrize("name", sorted(set(VISITS.fields) - {"patient_id"}))
def test_a_field_is_an_outcome_with_a_meaning_and_numbers_have_a_unit(name):
    field = VISITS.fields[name]
    assert field.role == "outcome"
    assert field.title
    assert field.description.endswith(".")
    if field.numeric:
        assert field.accepted_units[field.unit] == 1
        assert field.minimum is not None
        assert field.maximum is not None
        assert field.minimum <= field.limits[0] < field.limits[1] <= field.maximum


def test_the_dictionary_is_one_row_a_patient_and_day_and_its_reasons_have_a_meaning():
    text = (schemas_folder() / "panels" / "visits.yaml").read_text(encoding="utf-8")
    assert read_yaml(text)["primaryKey"] == ["patient_id", "visit_day"]
    for entry in VISITS.codes.values():
        assert entry["meaning"].endswith(".")
        assert entry["of"] in ("visit", "patient", "visit and patient")


# ------------------------------------------------------------- response texts


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("PR", "PR"),
        ("pr", "PR"),
        ("partial response", "PR"),
        (" Partial  Response ", "PR"),
        ("Complete_Remission", "CR"),
        ("Stable Disease", "SD"),
        ("no change", "SD"),
        ("PROGRESSIVE DISEASE", "PD"),
        ("non-CR/non-PD", "NON-CR/NON-PD"),
        ("Non CR / Non PD", "NON-CR/NON-PD"),
        ("NON\u2013CR/NON\u2013PD", "NON-CR/NON-PD"),
        ("Not evaluable", "NE"),
        ("iupd", "iUPD"),
        ("confirmed progression", "iCPD"),
        ("Non-iCR/Non-iUPD", "NON-iCR/NON-iUPD"),
    ],
)
def test_a_response_is_read_in_many_spellings(text, code):
    codes, findings = read_response(pd.Series([text]))
    assert codes.tolist() == [code]
    assert findings.rows == []


@pytest.mark.parametrize("code", sorted({*RECIST.values(), *IRECIST.values()}))
def test_a_code_is_read_as_itself(code):
    assert read_response(pd.Series([code]))[0].tolist() == [code]


def test_unknown_responses_are_missing_and_told_by_row_without_the_text():
    codes, findings = read_response(pd.Series(["better", "fine", None, "", "PR"], name="BOR"))
    assert codes.tolist() == [None] * 4 + ["PR"]
    assert stated(findings) == [
        {
            "code": "unknown_category",
            "column": "BOR",
            "n": 2,
            "message": "BOR, rows 1 and 2: not known; expected CR, PR, SD, NON-CR/NON-PD, PD or "
            "NE, or the like of iRECIST.",
        }
    ]


# ------------------------------------------------------------------ findings


def test_a_clean_table_has_no_findings():
    patients = pd.DataFrame({"patient_id": ["a"], "death_day": [42]})
    assert visit_findings(visits(recorded_response=["", "SD"]), patients).rows == []


FAULTS = [
    ("missing_identifier", visits(patient_id=["a", None]), "row 2: no patient identifier.", 1),
    ("visit_day_missing", visits(visit_day=[0, None]), "row 2: no day of the assessment.", 1),
    ("not_numeric", visits(target_sum=["100", "large"]), "row 2: target_sum is not a number.", 1),
    (
        "outside_limits",
        visits(target_sum=[100, -1]),
        "row 2: target_sum outside 0 to 1500 mm.",
        1,
    ),
    (
        "outside_limits",
        visits(new_lesion=[0, 2]),
        "row 2: new_lesion outside 0 to 1 (no or yes).",
        1,
    ),
    (
        "outside_limits",
        visits(non_target_worse=[0.5, 1]),
        "row 1: non_target_worse outside 0 to 1 (no or yes).",
        1,
    ),
    (
        "unknown_category",
        visits(non_target=["CR", "stable"]),
        "row 2: non_target not known; expected absent, NE, PD, NON-CR/NON-PD, CR "
        "(see `read_response`).",
        1,
    ),
    (
        "duplicate_visit",
        visits(visit_day=[0, 0]),
        "rows 1 and 2: the same patient and day more than once.",
        2,
    ),
]
DOUBTS = [
    (
        "visit_days_decreasing",
        visits(visit_day=[42, 0]),
        "row 2: an earlier day than in the patient's row before; the rows are sorted.",
        1,
    ),
    (
        "baseline_visit_missing",
        visits(visit_day=[6, 42]),
        "rows 1 and 2: no assessment at or before day 0 (patients: 1, with one by day 7: 1).",
        1,
    ),
    (
        "baseline_sum_missing",
        visits(target_sum=[None, 90]),
        "row 2: a target sum, but none at the patient's baseline.",
        1,
    ),
    (
        "looks_like_another_unit",
        pd.DataFrame(
            {"patient_id": list("abcde"), "visit_day": 0, "target_sum": [3.0, 8, 9, 14, 20]}
        ),
        "rows 1, 2, 3, 4 and 5: target_sum should be in mm but looks like cm: the median at "
        "baseline is below 15 mm, where 30 to 180 mm is usual.",
        5,
    ),
    (
        "target_sum_contradiction",
        visits(target_non_nodal_sum=[50, 91]),
        "row 2: target_non_nodal_sum exceeds target_sum, of which it is a part.",
        1,
    ),
    (
        "new_lesion_contradiction",
        visits(new_lesion=[False, False], n_new_lesions=[0, 1]),
        "row 2: n_new_lesions above 0 where new_lesion is false; the lesions are counted.",
        1,
    ),
]


@pytest.mark.parametrize(
    ("code", "table", "message", "n"),
    FAULTS + DOUBTS,
    ids=[f"{case[0]}: {case[2]}" for case in FAULTS + DOUBTS],
)
def test_each_finding_names_the_rows_and_what_is_wrong(code, table, message, n):
    found = visit_findings(table)
    assert [(entry["code"], entry["n"]) for entry in found.rows] == [(code, n)]
    assert found.messages()[0] == f"visits, {message}"


@pytest.mark.parametrize(("code", "table", "message", "n"), FAULTS)
@pytest.mark.parametrize("assess", [assess_recist, assess_irecist])
def test_a_table_with_a_fault_is_refused_with_its_findings(assess, code, table, message, n):
    with pytest.raises(DataError) as refused:
        assess(table)
    assert str(refused.value) == (
        f"visits cannot be assessed ({code}); `visit_findings` lists every finding."
    )
    assert refused.value.findings.equals(visit_findings(table).table())


@pytest.mark.parametrize(("code", "table", "message", "n"), DOUBTS)
def test_a_doubt_does_not_keep_from_assessing(code, table, message, n):
    assert len(assess_recist(table)) == len(table)


def test_all_faults_are_told_at_once():
    table = visits(patient_id=["a", None], target_sum=["x", -1], non_target=["?", "CR"])
    assert visit_findings(table).codes() == [
        *("missing_identifier", "not_numeric", "outside_limits", "unknown_category"),
    ]


@pytest.mark.parametrize(
    ("columns", "message", "n"),
    [
        (["patient_id", "visit_day"], "visits: no column target_sum or non_target; ", 1),
        (["target_sum"], "visits: no column patient_id and visit_day; ", 2),
        ([], "visits: no column patient_id and visit_day and target_sum or non_target; ", 3),
    ],
)
def test_missing_columns_are_named(columns, message, n):
    found = visit_findings(visits()[columns])
    assert [(entry["code"], entry["n"]) for entry in found.rows] == [("missing_column", n)]
    assert found.messages()[0] == f"{message}see the visits dictionary."


def test_an_assessment_after_death_or_last_contact_is_told():
    table = pd.DataFrame(
        {"patient_id": list("aabbcc"), "visit_day": [0, 42] * 3, "target_sum": 50.0}
    )
    patients = pd.DataFrame(
        {
            "patient_id": list("cba"),
            "death_day": [None, 41, 43],
            "last_contact_day": [40.0, 60.0, None],
        }
    )
    assert stated(visit_findings(table, patients)) == [
        {
            "code": "pfs_longer_than_os",
            "column": "visit_day",
            "n": 2,
            "message": "visits, rows 4 and 6: an assessment after death or last contact, so that "
            "PFS may exceed OS.",
        }
    ]


@pytest.mark.parametrize(
    ("days", "recorded", "impossible"),
    [
        ([0, 42, 70], ["", "iUPD", "iCPD"], False),
        ([0, 42, 69], ["", "iUPD", "iCPD"], True),
        ([0, 42, 69, 80], ["", "iUPD", "iUPD", "iCPD"], False),
        ([0, 42, 69, 80], ["", "iUPD", "NE", "iCPD"], False),
        ([0, 42, 69, 80], ["", "iUPD", "iSD", "iCPD"], True),
        ([0, 42], ["", "iCPD"], True),
        ([42, 0, 84], ["iUPD", "", "iCPD"], False),
    ],
)
def test_a_recorded_confirmation_without_its_iupd_is_impossible(days, recorded, impossible):
    table = pd.DataFrame(
        {"patient_id": "a", "visit_day": days, "target_sum": 50.0, "recorded_response": recorded}
    )
    found = visit_findings(table)
    assert ("impossible_confirmation" in found.codes()) == impossible
    if impossible:
        assert found.messages()[0] == (
            f"visits, row {len(days)}: iCPD without an iUPD at least 28 days before it in the "
            "same block."
        )


def test_recorded_responses_that_are_not_known_are_told():
    found = visit_findings(visits(recorded_response=["", "better"]))
    assert [(entry["code"], entry["column"]) for entry in found.rows] == [
        ("unknown_category", "recorded_response")
    ]


# ------------------------------------------------------------------- types


@pytest.mark.parametrize("assess", [assess_recist, assess_irecist])
def test_an_empty_table_gives_empty_tables(assess):
    empty = visits().iloc[:0]
    assessed = assess(empty)
    assert assessed.empty
    assert list(assessed) == list(assess(visits()))
    best = best_irecist if assess is assess_irecist else best_response
    assert best(assessed).empty
    assert visit_findings(empty).rows == []


def test_rows_keep_their_index_and_numbers_may_have_any_type():
    table = visits(visit_day=[42, 0], target_sum=[90.0, 100.0]).set_axis(["x", "y"])
    plain = assess_recist(table.assign(new_lesion=[True, False], n_new_lesions=[1, 0]))
    assert plain.index.tolist() == ["x", "y"]
    assert plain["response"].tolist() == ["PD", None]
    typed = table.assign(
        visit_day=pd.array([42, 0], dtype="Int64"),
        target_sum=["90", "100.0"],
        new_lesion=pd.array([True, None], dtype="boolean"),
        n_new_lesions=pd.Series([None, None], dtype=object, index=table.index),
        non_target=pd.Categorical([None, None], categories=["CR"]),
    )
    columns = ["response", "reason", "nadir_mm"]
    pd.testing.assert_frame_equal(assess_recist(typed)[columns], plain[columns])


def test_changes_are_fractions_of_baseline_and_nadir():
    table = visits(visit_day=[0, 42, 84], target_sum=[100.0, 0.0, 20.0])
    assessed = assess_recist(table)
    np.testing.assert_array_equal(assessed["nadir_mm"], [np.nan, 100, 0])
    np.testing.assert_allclose(assessed["change_from_baseline"], [np.nan, -1, -0.8])
    np.testing.assert_array_equal(assessed["change_from_nadir"], [np.nan, -1, np.nan])


# ----------------------------------------------------------------- patients


def test_patients_without_visits_are_not_evaluable_and_the_table_is_sorted():
    patients = pd.DataFrame({"patient_id": ["c", "a", "b"], "death_day": [10, None, None]})
    best = best_response(assess_recist(visits(patient_id="b")), patients)
    assert best["patient_id"].tolist() == ["a", "b", "c"]
    assert best["best_response"].tolist() == ["NE", "SD", "NE"]
    assert best["reason"].tolist() == ["no_baseline", "stable", "no_baseline"]
    assert best["pfs_days"].tolist() == [0, 42, 10]
    assert best["pfs_event"].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("patients", "message"),
    [
        ({"patient_id": ["a", "a"]}, "patients, rows 1 and 2: a patient more than once."),
        (
            {"patient_id": ["a", None], "death_day": [1, "x"]},
            "patients, row 2: no patient identifier. patients, row 2: death_day is not a number.",
        ),
        ({"id": ["a"]}, "patients: no column patient_id."),
    ],
)
def test_a_patients_table_with_faults_is_refused(patients, message):
    with pytest.raises(DataError) as refused:
        best_response(assess_recist(visits()), pd.DataFrame(patients))
    assert str(refused.value) == message
    found = visit_findings(visits(), pd.DataFrame(patients))
    assert " ".join(entry["message"] for entry in found.rows) == message


def test_an_end_before_day_0_is_told():
    patients = pd.DataFrame({"patient_id": ["b"], "death_day": [-3]})
    assert stated(visit_findings(visits(), patients)) == [
        {
            "code": "outcome_before_first_dose",
            "column": "death_day",
            "n": 1,
            "message": "patients, row 1: death or last contact before day 0.",
        }
    ]


@pytest.mark.parametrize("function", [visit_findings, assess_recist, best_response])
def test_only_tables_are_read(function):
    with pytest.raises(TypeError, match=r"^visits(_assessed)? is a list; expected a DataFrame\.$"):
        function([])


def test_only_visits_assessed_by_the_same_criteria_have_a_best_response():
    with pytest.raises(ArgumentError) as refused:
        best_response(assess_irecist(visits()))
    assert str(refused.value) == (
        "visits_assessed has other responses; expected the visits as assessed by the same "
        "criteria, with responses NE, PD, NON-CR/NON-PD, SD, PR, CR."
    )
    with pytest.raises(ArgumentError, match="has no column nadir_mm, reason; expected"):
        best_irecist(assess_irecist(visits())[["patient_id", "visit_day", "response"]])


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ({"min_sd_days": -1}, "Input should be greater than or equal to 0"),
        ({"confirm_days": np.nan}, "Input should be greater than or equal to 0"),
        ({"confirm_days": "four weeks"}, "Input should be a valid number"),
        ({"min_icpd_days": None}, "Input should be a valid number"),
    ],
)
def test_days_are_numbers_of_0_or_more(days, message):
    with pytest.raises(ValidationError, match=message):
        ResponseCriteria(**days)


# ------------------------------------------------------------------ lesions

LESIONS = """
visit_day lesion_id kind       nodal diameter    short_axis    status    worse
0         T1        target     0     40          .             .         .
0         T2        target     1     25          18            .         .
0         N1        non_target 0     .           .             present   .
0         N2        non_target 1     .           12            .         .
42        T1        target     0     .           .             too_small .
42        T2        target     1     .           9             .         .
42        N1        non_target 0     .           .             absent    .
42        N2        non_target 1     .           9.9           .         .
84        T1        target     0     .           .             absent    .
84        T2        target     1     .           8             .         .
84        N1        non_target 0     .           .             present   1
84        N2        non_target 1     .           9             .         .
84        X1        new        0     12          .             .         .
84        X2        new        0     .           .             present   .
126       T1        target     0     .           .             NE        .
126       T2        target     1     .           11            .         .
126       N1        non_target 0     .           .             PD        .
126       X1        new        0     0           .             .         .
168       T1        target     0     20          .             .         .
168       N2        non_target 1     .           9             .         .
"""


def lesions(text: str = LESIONS) -> pd.DataFrame:
    header, *rows = (line.split() for line in text.strip().splitlines())
    table = pd.DataFrame(rows, columns=header).replace(".", None).assign(patient_id="a")
    return table.replace({"nodal": {"0": 0, "1": 1}})


def test_lesions_are_summed_by_visit():
    table = visits_from_lesions(lesions().sample(frac=1, random_state=1)).set_index("visit_day")
    nan = np.nan
    expected = {
        "target_sum": [58, 14, 8, nan, nan],
        "target_sum_partial": [nan, nan, nan, 11, 20],
        "target_non_nodal_sum": [40, 5, 0, nan, nan],
        "max_nodal_short_axis": [18, 9, 8, nan, nan],
        "n_new_lesions": [0, 0, 2, 0, 0],
        "new_lesion_sum": [0, 0, 12, 0, 0],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(table[name].to_numpy(float), values, err_msg=name)
    assert table["non_target"].tolist() == ["NON-CR/NON-PD", "CR", "NON-CR/NON-PD", "PD", "NE"]
    assert table["new_lesion"].tolist() == [False, False, True, False, False]
    assert table["non_target_worse"].tolist() == [False, False, True, False, False]
    assert visit_findings(table.reset_index()).rows == []
    assert set(table.reset_index()) <= set(VISITS.fields)


def test_a_target_lesion_not_measured_leaves_the_visit_ne_unless_the_others_show_pd():
    text = """
    visit_day lesion_id kind   diameter
    0         T1        target 30
    0         T2        target 20
    42        T1        target 40
    84        T1        target 60
    """
    responses = assess_recist(visits_from_lesions(lesions(text)))["response"]
    assert responses.tolist() == [None, "NE", "PD"]


def test_a_visit_of_new_lesions_alone_has_no_target_sum():
    text = """
    visit_day lesion_id kind   diameter
    0         T1        target 30
    42        X1        new    10
    """
    table = visits_from_lesions(lesions(text))
    assert table[["target_sum", "target_sum_partial"]].iloc[1].isna().all()
    assert assess_recist(table)["reason"].iloc[1] == "new_lesion"


def test_without_target_lesions_at_baseline_there_is_no_target_disease():
    text = """
    visit_day lesion_id kind       status
    0         N1        non_target present
    42        N1        non_target absent
    """
    assert assess_recist(visits_from_lesions(lesions(text)))["response"].iloc[1] == "CR"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {0: {"lesion_id": None}},
            "lesions, row 1: no lesion: name or number it, the same at every visit.",
        ),
        (
            {1: {"lesion_id": "T1"}},
            "lesions, rows 1 and 2: the same lesion and day more than once.",
        ),
        (
            {0: {"kind": "primary"}},
            "lesions, row 1: kind not known; expected target, non_target, new.",
        ),
        (
            {0: {"status": "PD"}},
            "lesions, row 1: status not known; expected present, absent, too_small, NE, PD, PD of "
            "non-target lesions alone.",
        ),
        ({5: {"short_axis": "-3"}}, "lesions, row 6: short_axis outside 0 to 300 mm."),
        ({0: {"diameter": "4 cm"}}, "lesions, row 1: diameter is not a number."),
        ({0: {"visit_day": None}}, "lesions, row 1: no day of the assessment."),
        (
            {4: {"lesion_id": "T9"}},
            "lesions, row 5: a target or non-target lesion that is not there at baseline.",
        ),
        (
            {0: {"status": "gone"}, 5: {"kind": "?"}},
            "lesions, row 6: kind not known; expected target, non_target, new. lesions, row 1: "
            "status not known; expected present, absent, too_small, NE, PD, PD of non-target "
            "lesions alone.",
        ),
    ],
)
def test_a_lesion_table_with_faults_is_refused_with_all_of_them(change, message):
    table = lesions()
    for row, cells in change.items():
        for column, value in cells.items():
            table.loc[row, column] = value
    with pytest.raises(DataError) as refused:
        visits_from_lesions(table)
    assert str(refused.value) == message


def test_a_lesion_table_needs_its_columns():
    with pytest.raises(DataError) as refused:
        visits_from_lesions(lesions()[["visit_day", "kind"]])
    assert str(refused.value) == (
        "lesions: no column patient_id and lesion_id; see the lesions dictionary."
    )

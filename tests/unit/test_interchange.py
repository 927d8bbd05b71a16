"""ADaM and cBioPortal in and out: what is stated is kept, what is open is told, nothing half."""

from __future__ import annotations

import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyreadstat
import pytest

from stratify.cohort.reading import read_cohort
from stratify.errors import ArgumentError, DataError, FileError, StratifyError
from stratify.interchange import adam
from stratify.interchange.exports import write_export
from stratify.interchange.formats import (
    fill_ins,
    make_study,
)
from stratify.simulation import simulate, write_study
from stratify.study import Study
from stratify.tables.documents import read_yaml
from stratify.tables.schema import convert, load_schema

ARMS = {"Drug A 1200 mg": "anti_pd1_pdl1"}

from_adam = partial(make_study, "adam")
from_cbioportal = partial(make_study, "cbioportal")


def example_adam(n: int = 120, seed: int = 3) -> dict[str, pd.DataFrame]:
    """ADaM datasets of simulated patients, as a sponsor's programmers write them."""
    panels = simulate(n, seed=seed).panels
    clinical, outcomes = panels["clinical"], panels["outcomes"]
    adsl = pd.DataFrame(
        {
            "STUDYID": "SIM-01",
            "USUBJID": clinical["patient_id"],
            "SITEID": clinical["site"],
            "AGE": clinical["age"],
            "AGEU": "YEARS",
            "SEX": clinical["sex"].map({"female": "F", "male": "M"}),
            "RACE": "NOT REPORTED",
            "TRT01P": "Drug A 1200 mg",
            "TRT01A": "Drug A 1200 mg",
            "TRTSDT": [day.date() for day in clinical["first_dose_date"]],
            "ECOGBL": clinical["ecog"].astype(float),
            "BMIBL": clinical["bmi"],
        }
    )
    ids = outcomes["patient_id"]
    response = pd.DataFrame(
        {"USUBJID": ids, "PARAMCD": "BORINV", "AVALC": outcomes["best_response"]}
    )
    times = []
    for code, name in (("PFSINV", "pfs"), ("OS", "os")):
        censored = 1.0 - outcomes[f"{name}_event"].astype(float)
        times.append(
            pd.DataFrame(
                {
                    "USUBJID": ids,
                    "PARAMCD": code,
                    "PARAM": f"Time of {code} (days)",
                    "AVAL": (outcomes[name] * 30.4375).round(0),
                    "AVALU": "DAYS",
                    "CNSR": censored * np.where(np.arange(n) % 2, 1, 2),  # reasons of censoring
                }
            )
        )
    events = pd.DataFrame(
        {
            "USUBJID": [ids[0], ids[0], ids[1], ids[2]],
            "TRTEMFL": ["Y", "Y", "Y", ""],
            "AETOXGR": ["2", "GRADE 3", "4", "5"],
            "AEIMMUNE": ["N", "Y", "", "Y"],
        }
    )
    return {"adsl": adsl, "adrs": response, "adtte": pd.concat(times), "adae": events}


def write_adam(folder: Path, tables: dict[str, pd.DataFrame], ending: str = ".xpt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        path = folder / f"{name}{ending}"
        if ending == ".csv":
            table.to_csv(path, index=False)
        else:
            pyreadstat.write_xport(table, str(path), table_name=name.upper(), file_format_version=5)
    return folder


def cohort_of(study: Path, **options: bool) -> pd.DataFrame:
    cohort = read_cohort(Study.load(study), **options)
    errors = cohort.findings.table().query("severity == 'error'")
    assert errors.empty, errors["message"].tolist()
    return cohort.table


def panel_entry(study: Path, panel: str) -> dict[str, Any]:
    document = read_yaml(study.read_text(encoding="utf-8"))
    panels = [table["panels"] for table in document["cohorts"][0]["tables"]]
    return next(columns[panel] for columns in panels if panel in columns)


@pytest.mark.parametrize("ending", [".xpt", ".csv"])
def test_an_adam_set_of_simulated_patients_is_read_back_as_the_identical_cohort(tmp_path, ending):
    reference = cohort_of(write_study(tmp_path / "reference", n=120, seed=3))
    reference = reference[reference["split"] == "train"].reset_index(drop=True)
    folder = write_adam(tmp_path / "adam", example_adam(), ending)
    study = from_adam(folder, tmp_path / "out", regimens=ARMS)
    read = cohort_of(study)
    columns = [
        *("patient_id", "site", "regimen", "first_dose_date", "age", "sex", "ecog", "bmi"),
        *("best_response", "pfs", "pfs_event", "os", "os_event"),
        *("state", "reason", "label", "endpoint_rule"),
    ]
    pd.testing.assert_frame_equal(read[columns], reference[columns], check_exact=True)
    days = (simulate(120, seed=3).panels["outcomes"]["pfs"] * 30.4375).round(0)
    assert read["pfs"].tolist() == convert(days.to_numpy(float), "days", "pfs").tolist()
    assert set(read["arm"]) == {"Drug A 1200 mg"}
    assert fill_ins(study) == {}


def test_what_was_chosen_stands_in_the_study_file(tmp_path):
    tables = example_adam()
    committee = tables["adrs"].assign(PARAMCD="BORIRC", AVALC="PD")
    confirmed = tables["adrs"].assign(PARAMCD="CBOR", AVALC="NE")
    tables["adrs"] = pd.concat([committee, confirmed, tables["adrs"]])
    study = from_adam(write_adam(tmp_path / "adam", tables), tmp_path / "out", regimens=ARMS)
    loaded = Study.load(study)
    assert (loaded.name, loaded.title) == ("SIM-01", "SIM-01, from CDISC ADaM")
    assert loaded.description.splitlines() == [
        "best_response is parameter BORINV of adrs.xpt, taken before BORIRC and CBOR.",
        "pfs is parameter PFSINV of adtte.xpt.",
        "os is parameter OS of adtte.xpt.",
        "Times run from the start that ADTTE took, often randomisation; check that it is close "
        "to the first dose.",
        "adae.xpt: treatment-emergent events only (TRTEMFL Y).",
    ]
    assert panel_entry(study, "outcomes")["pfs"] == {"column": "PFSINV", "unit": "days"}
    coding = panel_entry(study, "outcomes")["pfs_event"]["coding"]
    assert coding == {"0": True, "1": False, "2": False}
    assert sorted(path.name for path in study.parent.iterdir()) == ["panels", "study.yaml"]


@pytest.mark.parametrize(
    ("column", "values", "chosen"),
    [
        ("RSEVAL", ["INDEPENDENT ASSESSOR", "INVESTIGATOR"], "BOR by INVESTIGATOR"),
        ("PARAM", ["Best response by blinded review", "Best response"], "BOR"),
        ("PARAM", ["Best response", "Best response by investigator"], "BOR"),
    ],
)
def test_one_assessor_is_taken_the_investigator_first(tmp_path, column, values, chosen):
    tables = example_adam(20)
    tables["adrs"]["PARAMCD"] = "BOR"
    other = tables["adrs"].assign(AVALC="NE", **{column: values[0]})
    tables["adrs"] = pd.concat([other, tables["adrs"].assign(**{column: values[1]})])
    study = from_adam(write_adam(tmp_path / "adam", tables), tmp_path / "out")
    expected = simulate(20, seed=3).panels["outcomes"]["best_response"].tolist()
    read = read_cohort(Study.load(study), eligible_only=False).table
    assert read["best_response"].tolist() == expected
    assert f"best_response is parameter {chosen} of adrs.xpt" in Study.load(study).description


def test_rows_out_of_the_analysis_are_not_taken(tmp_path):
    tables = example_adam(20)
    old = tables["adtte"].assign(AVAL=1.0, ANL01FL="")
    tables["adtte"] = pd.concat([old, tables["adtte"].assign(ANL01FL="Y")])
    study = from_adam(write_adam(tmp_path / "adam", tables), tmp_path / "out")
    assert read_cohort(Study.load(study), eligible_only=False).table["pfs"].gt(0.1).all()
    assert "pfs of adtte.xpt: rows with ANL01FL Y only." in Study.load(study).description


@pytest.mark.parametrize(
    ("unit", "title", "expected"),
    [
        ("MONTHS", "Progression-free survival", "months"),
        ("Day", "Progression-free survival (Days)", "days"),
        ("", "Progression-free survival (weeks)", "weeks"),
        ("", "Progression-free survival, years", "years"),
    ],
)
def test_the_unit_of_time_is_taken_from_avalu_or_param(tmp_path, unit, title, expected):
    tables = example_adam(20)
    tables["adtte"] = tables["adtte"].assign(AVALU=unit, PARAM=title)
    study = from_adam(write_adam(tmp_path / "adam", tables), tmp_path / "out")
    assert panel_entry(study, "outcomes")["pfs"]["unit"] == expected


def test_an_unstated_unit_is_left_open_and_told_by_validate(tmp_path):
    tables = example_adam(40)
    tables["adtte"] = tables["adtte"].drop(columns=["AVALU", "PARAM"])
    study = from_adam(write_adam(tmp_path / "adam", tables), tmp_path / "out", regimens=ARMS)
    lines = study.read_text(encoding="utf-8").splitlines()
    waiting = fill_ins(study)
    assert {name: len(numbers) for name, numbers in waiting.items()} == {"pfs": 1, "os": 1}
    assert lines[waiting["pfs"][0] - 1].strip() == "unit: null  # fill in: pfs"
    assert "# pfs: months, days, weeks, years" in lines
    codes = read_cohort(Study.load(study)).findings.codes()
    assert codes.count("unit_absent") == 2


def test_arms_that_nobody_explained_are_left_open_and_told_by_validate(tmp_path):
    study = from_adam(write_adam(tmp_path / "adam", example_adam(40)), tmp_path / "out")
    (line,) = fill_ins(study)["regimen"]
    text = study.read_text(encoding="utf-8")
    assert text.splitlines()[line - 1].strip() == "Drug A 1200 mg: null  # fill in: regimen"
    assert "# regimen: anti_pd1_pdl1, single_agent_ici, " in text
    errors = read_cohort(Study.load(study)).findings.table().query("severity == 'error'")
    assert errors[["code", "column", "message"]].to_dict("records") == [
        {
            "code": "no_patient_left",
            "column": "regimen",
            "message": "none of 40 patients has an eligible regimen (anti_pd1_pdl1).",
        }
    ]


def test_levels_that_yaml_would_misread_stay_levels(tmp_path):
    arms = ["Yes", "N", "1:20", "007", "1.5e3", "1_000", "null", "~", "a: b", "#1", "x" * 150]
    adsl = example_adam(len(arms) + 1)["adsl"].assign(TRT01A=[*arms, "2019-01-01"], TRT01P="A")
    study = from_adam(write_adam(tmp_path / "adam", {"adsl": adsl}), tmp_path / "out")
    coding = Study.load(study).cohorts[0].tables[0].panels["clinical"]["regimen"].coding
    assert set(coding) - {"null"} == {*arms, "2019-01-01"} - {"null"}
    told = from_adam(tmp_path / "adam", tmp_path / "told", regimens=dict.fromkeys(arms, "other"))
    cohort = read_cohort(Study.load(told), outcomes=False, eligible_only=False)
    assert (cohort.table["regimen"] == "other").sum() == len(arms)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2019-03-04", "2019-03-04"),
        ("04MAR2019", "2019-03-04"),
        ("04MAR2019:08:30:00", "2019-03-04"),
        ("2019-03-04T08:30", "2019-03-04"),
        ("21612", "2019-03-04"),
    ],
)
def test_dates_of_sas_are_read(tmp_path, written, read):
    adsl = example_adam(30)["adsl"].assign(TRTSDT=written)
    study = from_adam(write_adam(tmp_path / "adam", {"adsl": adsl}, ".csv"), tmp_path / "out")
    cohort = read_cohort(Study.load(study), outcomes=False, eligible_only=False)
    assert set(cohort.table["first_dose_date"].astype(str)) == {read}


def test_a_number_of_days_as_excel_counts_them_is_not_taken_for_a_sas_date(tmp_path):
    adsl = example_adam(30)["adsl"].assign(TRTSDT="43528")
    study = from_adam(write_adam(tmp_path / "adam", {"adsl": adsl}, ".csv"), tmp_path / "out")
    cohort = read_cohort(Study.load(study), outcomes=False, eligible_only=False)
    assert "not_a_date" in cohort.findings.codes()


def test_adverse_events_are_summed_up_by_patient(tmp_path):
    tables = example_adam(20)
    tables["adsl"]["SAFFL"] = ["Y"] * 19 + ["N"]
    study = from_adam(write_adam(tmp_path / "adam", tables), tmp_path / "out")
    table = pd.read_csv(study.parent / "panels" / "adverse_events.csv", dtype=str)
    ids = tables["adsl"]["USUBJID"]
    assert list(table.columns) == ["USUBJID", "worst_ctcae_grade", "immune_related_grade_3"]
    assert table["USUBJID"].tolist() == ids.tolist()
    told = table.fillna("").set_index("USUBJID").loc[ids.iloc[[0, 1, 2, 3, 19]]].to_numpy().tolist()
    # the event of the third patient began before treatment; the last patient was never treated
    assert told == [["3", "true"], ["4", "false"], ["0", "false"], ["0", "false"], ["", ""]]
    read = read_cohort(Study.load(study), labels=False, eligible_only=False).table
    read = read.set_index("patient_id").loc[ids.iloc[[0, 1, 2, 19]]]
    assert read["grade3_all_cause"].fillna(-1).tolist() == [1, 1, 0, -1]
    assert read["grade3_immune_related"].fillna(-1).tolist() == [1, 0, 0, -1]


def test_an_immune_related_event_without_grade_is_not_called_mild(tmp_path):
    tables = example_adam(20)
    ids = tables["adsl"]["USUBJID"]
    tables["adae"] = pd.DataFrame(
        {"USUBJID": ids[:2], "AETOXGR": ["", "3"], "AIMRELFL": ["Y", "Y"]}
    )
    study = from_adam(write_adam(tmp_path / "adam", tables), tmp_path / "out")
    table = pd.read_csv(study.parent / "panels" / "adverse_events.csv", dtype=str).fillna("")
    assert table.iloc[:2, 1:].to_numpy().tolist() == [["", ""], ["3", "true"]]


@pytest.mark.parametrize(
    ("column", "note"),
    [
        ("AETOXGR", "adae.xpt has no CTCAE grade (AETOXGRN, ATOXGRN, AETOXGR, ATOXGR) and is "),
        ("AEIMMUNE", "adae.xpt has no flag of immune-related events."),
    ],
)
def test_adverse_events_without_grade_or_flag_leave_a_note(tmp_path, column, note):
    tables = example_adam(20)
    tables["adae"] = tables["adae"].drop(columns=column).assign(TRTEMFL="")
    study = from_adam(write_adam(tmp_path / "adam", tables), tmp_path / "out")
    assert note in Study.load(study).description


def test_subjects_alone_make_a_study_to_score(tmp_path):
    adsl = example_adam(30)["adsl"]
    study = from_adam(write_adam(tmp_path, {"ADSL": adsl}), tmp_path / "out", regimens=ARMS)
    assert len(cohort_of(study, outcomes=False)) == 30
    assert Study.load(study).description.splitlines() == [
        "There is no adrs: no best_response; read were ADSL.xpt.",
        "There is no adtte: no pfs and os; read were ADSL.xpt.",
        "There is neither PFS nor response: patients can be scored, not labelled.",
    ]


def test_response_alone_makes_it_the_endpoint(tmp_path):
    tables = {name: table for name, table in example_adam(60).items() if name != "adtte"}
    study = from_adam(write_adam(tmp_path / "adam", tables), tmp_path / "out", regimens=ARMS)
    assert Study.load(study).endpoint.name == "objective_response"
    assert cohort_of(study)["label"].notna().sum() > 30


def test_a_sas_dataset_is_read_by_its_ending(tmp_path, monkeypatch):
    folder = write_adam(tmp_path / "adam", {"adsl": example_adam(30)["adsl"]})
    (folder / "adsl.xpt").rename(folder / "AdSl.SAS7BDAT")
    monkeypatch.setattr(pyreadstat, "read_sas7bdat", pyreadstat.read_xport)
    study = from_adam(folder, tmp_path / "out", regimens=ARMS)
    assert len(cohort_of(study, outcomes=False)) == 30


def test_a_transport_file_in_a_western_encoding_is_read(tmp_path):
    adsl = example_adam(30)["adsl"].assign(SITEID="Köln ")
    folder = write_adam(tmp_path / "adam", {"adsl": adsl})
    content = (folder / "adsl.xpt").read_bytes()
    (folder / "adsl.xpt").write_bytes(content.replace("Köln ".encode(), "Köln  ".encode("cp1252")))
    study = from_adam(folder, tmp_path / "out", regimens=ARMS)
    assert set(cohort_of(study, outcomes=False)["site"]) == {"Köln"}


def with_cell(table: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    table = table.reset_index(drop=True).astype({column: object})
    table.loc[row, column] = value
    return table


BAD_ADAM: dict[str, tuple[Any, type[StratifyError], str]] = {
    "no adsl": (
        lambda t: t.pop("adsl"),
        FileError,
        "{folder} holds no adsl.csv, adsl.xpt, adsl.sas7bdat, one of which is expected; it holds "
        "adae.csv, adrs.csv, adtte.csv. Give the folder of the ADaM datasets.",
    ),
    "no identifier": (
        lambda t: t.update(adsl=t["adsl"].drop(columns="USUBJID")),
        DataError,
        "adsl.csv has no column USUBJID; USUBJID is expected. Export it again with all columns.",
    ),
    "duplicated patient": (
        lambda t: t.update(adsl=pd.concat([t["adsl"], t["adsl"].head(1)])),
        DataError,
        "adsl.csv, lines 2 and 32: identifiers that stand more than once in column USUBJID (2 "
        "rows); one row a patient is expected. Keep the right one.",
    ),
    "empty identifier": (
        lambda t: t.update(adsl=with_cell(t["adsl"], 4, "USUBJID", "")),
        DataError,
        "adsl.csv, line 6: no identifier in column USUBJID (1 row); one row a patient is expected. "
        "Keep the right one.",
    ),
    "unknown unit": (
        lambda t: t.update(adtte=t["adtte"].assign(AVALU="CYCLES", PARAM="PFS")),
        DataError,
        "adtte.csv: column AVALU of pfs holds 'CYCLES' (30 rows); MONTHS, DAYS, WEEKS, YEARS are "
        "expected. Correct the unit.",
    ),
    "several units": (
        lambda t: t.update(adtte=t["adtte"].assign(AVALU="MONTHS")),
        DataError,
        "adtte.csv: AVALU and PARAM state days and months for pfs; one unit is expected. Convert "
        "the values to one, or correct the unit.",
    ),
    "age unit": (
        lambda t: t.update(adsl=t["adsl"].assign(AGEU="WEEKS")),
        DataError,
        "adsl.csv: column AGEU of age holds 'WEEKS' (30 rows); YEARS, MONTHS, DAYS are expected. "
        "Correct the unit.",
    ),
    "flag is no number": (
        lambda t: t.update(adtte=with_cell(t["adtte"], 2, "CNSR", "secret")),
        DataError,
        "adtte.csv, line 4: no whole number in column CNSR (1 row); 0 (event) or a positive "
        "number (censored) is expected. Correct the flags.",
    ),
    "negative flag": (
        lambda t: t.update(adtte=with_cell(t["adtte"], 2, "CNSR", -1)),
        DataError,
        "adtte.csv, line 4: no whole number in column CNSR (1 row); 0 (event) or a positive "
        "number (censored) is expected. Correct the flags.",
    ),
    "no flag": (
        lambda t: t.update(adtte=t["adtte"].drop(columns="CNSR")),
        DataError,
        "adtte.csv has no column CNSR; USUBJID, PARAMCD, AVAL and CNSR are expected. Export it "
        "again with all columns.",
    ),
    "two responses": (
        lambda t: t.update(adrs=pd.concat([t["adrs"], t["adrs"].head(2).assign(AVALC="NE")])),
        DataError,
        "adrs.csv, lines 2, 3, 32 and 33: identifiers that stand more than once in column USUBJID "
        "of parameter BORINV (4 rows); one row a patient is expected. Keep the right one.",
    ),
    "grade": (
        lambda t: t.update(adae=with_cell(t["adae"], 1, "AETOXGR", "SEVERE")),
        DataError,
        "adae.csv, line 3: other cells in column AETOXGR (1 row); a CTCAE grade from 1 to "
        "5 or nothing is expected. Correct the cells.",
    ),
    "flag of events": (
        lambda t: t.update(adae=with_cell(t["adae"], 0, "AEIMMUNE", "maybe")),
        DataError,
        "adae.csv, line 2: other cells in column AEIMMUNE (1 row); Y, N or nothing is "
        "expected. Correct the cells.",
    ),
    "nothing known": (
        lambda t: (
            t.update(adsl=t["adsl"][["USUBJID", "BMIBL"]].rename(columns={"BMIBL": "X"})),
            t.pop("adrs"),
            t.pop("adtte"),
            t.pop("adae"),
        ),
        DataError,
        "adsl.csv: none of the names of columns is known, so nothing can be mapped. Give an export "
        "in its own names, or write the study file by hand.",
    ),
}


@pytest.mark.parametrize("case", BAD_ADAM)
def test_bad_adam_is_told_in_a_whole_sentence_and_nothing_is_written(tmp_path, case):
    spoil, kind, message = BAD_ADAM[case]
    tables = example_adam(30)
    spoil(tables)
    folder = write_adam(tmp_path / "adam", tables, ".csv")
    with pytest.raises(kind) as told:
        from_adam(folder, tmp_path / "out")
    assert str(told.value) == message.format(folder=folder)
    assert not (tmp_path / "out").exists()


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(FileError) as told:
        from_adam(tmp_path / "nowhere", tmp_path / "out")
    assert str(told.value) == (
        f"There is no folder {tmp_path / 'nowhere'}. Give the folder that holds adsl and the other "
        "ADaM datasets."
    )


def test_a_dataset_that_stands_twice_is_told(tmp_path):
    adsl = {"adsl": example_adam(20)["adsl"]}
    write_adam(write_adam(tmp_path, adsl), adsl, ".csv")
    with pytest.raises(FileError, match=r"holds adsl twice: adsl.csv and adsl.xpt. Keep one.$"):
        from_adam(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("ending", [".xpt", ".sas7bdat"])
def test_a_damaged_dataset_is_told(tmp_path, ending):
    path = tmp_path / f"adsl{ending}"
    path.write_bytes(b"junk" * 500)
    with pytest.raises(FileError) as told:
        from_adam(tmp_path, tmp_path / "out")
    assert str(told.value) == (
        f"{path} cannot be read: Invalid file, or file has unsupported features. Export it again."
    )


@pytest.mark.parametrize(
    ("regimens", "message"),
    [
        ({"Drug A 1200 mg": "mono"}, "regimen: 'mono' is no class; classes are anti_pd1_pdl1, "),
        (
            {"Drug B": "other"},
            "regimen: no arm 'Drug B' in adsl.xpt; column TRT01A holds 'Drug A 1200 mg' (30 "
            "rows). Write arms as the file does.",
        ),
    ],
)
def test_regimens_that_do_not_exist_are_told(tmp_path, regimens, message):
    folder = write_adam(tmp_path / "adam", {"adsl": example_adam(30)["adsl"]})
    with pytest.raises(ArgumentError) as told:
        from_adam(folder, tmp_path / "out", regimens=regimens)
    assert str(told.value).startswith(message)


def test_a_study_is_never_written_over(tmp_path):
    folder = write_adam(tmp_path / "adam", {"adsl": example_adam(20)["adsl"]})
    study = from_adam(folder, tmp_path / "out")
    study.write_text("by hand", encoding="utf-8")
    with pytest.raises(FileError) as told:
        from_adam(folder, tmp_path / "out")
    assert str(told.value) == f"{study} exists and is not written over. Choose another folder."
    assert study.read_text(encoding="utf-8") == "by hand"


def test_a_failing_disk_leaves_nothing(tmp_path, monkeypatch):
    folder = write_adam(tmp_path / "adam", {"adsl": example_adam(20)["adsl"]})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(FileError, match=r"cannot be written: No space left on device\.$"):
        from_adam(folder, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


PATIENTS = pd.DataFrame(
    {
        "PATIENT_ID": [f"P-{i:02d}" for i in range(30)],
        "SEX": ["Female", "Male", "[Not Available]"] * 10,
        "AGE": [str(40 + i) for i in range(30)],
        "OS_MONTHS": [str(10 + i) for i in range(30)],
        "OS_STATUS": ["0:LIVING", "1:DECEASED", "0:LIVING"] * 10,
        "PFS_MONTHS": [str(3 + i / 2) for i in range(30)],
        "PFS_STATUS": ["0:CENSORED", "1:PROGRESSION", "1:PROGRESSION"] * 10,
        "DRUG_TYPE": ["PD-1/PDL-1", "PD-1/PDL-1", "Combo"] * 10,
        "RESPONSE": ["Partial Response", "Progressive Disease", "Not Evaluable"] * 10,
    }
)
SAMPLES = pd.DataFrame(
    {
        "PATIENT_ID": PATIENTS["PATIENT_ID"],
        "SAMPLE_ID": PATIENTS["PATIENT_ID"] + "-T1",
        "CANCER_TYPE": ["Non-Small Cell Lung Cancer", "Melanoma", "Esophagogastric Cancer"] * 10,
        "TMB_NONSYNONYMOUS": [str(2 + i / 3) for i in range(30)],
        "GENE_PANEL": ["PANEL341", "PANEL410", "PANEL410"] * 10,
    }
)
WORDS = {
    **{"0:LIVING": "LIVING", "1:DECEASED": "DECEASED"},
    **{"0:CENSORED": "Not Progressed", "1:PROGRESSION": "Progressed"},
}


def write_cbioportal(
    folder: Path, patients: pd.DataFrame | None = PATIENTS, samples: pd.DataFrame | None = SAMPLES
) -> Path:
    """Write files as cBioPortal loads them, with the four header rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, table in (("patient", patients), ("sample", samples)):
        if table is not None:
            names = list(table.columns)
            heads = [names, names, ["STRING"] * len(names), ["1"] * len(names)]
            text = "".join("#" + "\t".join(head) + "\n" for head in heads)
            text += table.to_csv(sep="\t", index=False)
            (folder / f"data_clinical_{kind}.txt").write_text(text, encoding="utf-8")
    return folder


def test_cbioportal_files_are_read_and_open_levels_marked(tmp_path):
    study = from_cbioportal(write_cbioportal(tmp_path / "skcm_x"), tmp_path / "out")
    read = cohort_of(study, eligible_only=False)
    assert Study.load(study).name == "skcm_x"
    assert read["cancer_type"].tolist() == ["nsclc", "melanoma", np.nan] * 10
    assert read["sex"].tolist() == ["female", "male", np.nan] * 10
    assert read["regimen"].tolist() == ["anti_pd1_pdl1", "anti_pd1_pdl1", "ici_combination"] * 10
    assert read["best_response"].tolist() == ["PR", "PD", "NE"] * 10
    assert read["os_event"].tolist() == [0, 1, 0] * 10
    assert read["pfs_event"].tolist() == [0, 1, 1] * 10
    assert read["tmb"].tolist() == SAMPLES["TMB_NONSYNONYMOUS"].astype(float).tolist()
    (line,) = fill_ins(study)["cancer_type"]
    assert study.read_text(encoding="utf-8").splitlines()[line - 1].strip() == (
        "Esophagogastric Cancer: null  # fill in: cancer_type"
    )
    assert panel_entry(study, "tmb")["tmb"] == {
        "column": "TMB_NONSYNONYMOUS",
        "unit": "mut/Mb",
        "assay": "PANEL341, PANEL410",
    }


def test_both_codings_of_events_give_the_same_cohort(tmp_path):
    prefixed = from_cbioportal(write_cbioportal(tmp_path / "a"), tmp_path / "out_a")
    words = write_cbioportal(tmp_path / "b", PATIENTS.replace(WORDS))
    bare = from_cbioportal(words, tmp_path / "out_b")
    columns = ["patient_id", "pfs", "pfs_event", "os", "os_event", "state", "label"]
    pd.testing.assert_frame_equal(
        cohort_of(prefixed, eligible_only=False)[columns],
        cohort_of(bare, eligible_only=False)[columns],
    )
    assert panel_entry(prefixed, "outcomes")["os_event"]["coding"] == {
        "0:LIVING": False,
        "1:DECEASED": True,
    }
    assert panel_entry(bare, "outcomes")["os_event"]["coding"] == {
        "DECEASED": True,
        "LIVING": False,
    }


@pytest.mark.parametrize("status", ["0:Not Progressed", "0:Not_Progressed", "0:anything"])
def test_the_prefix_decides_whatever_the_word(tmp_path, status):
    patients = PATIENTS.replace({"PFS_STATUS": {"0:CENSORED": status}})
    study = from_cbioportal(write_cbioportal(tmp_path / "x", patients), tmp_path / "out")
    coding = panel_entry(study, "outcomes")["pfs_event"]["coding"]
    assert coding == {status: False, "1:PROGRESSION": True}


def test_bare_digits_of_a_status_are_not_guessed(tmp_path):
    patients = PATIENTS.replace({"OS_STATUS": {"0:LIVING": "0", "1:DECEASED": "1"}})
    study = from_cbioportal(write_cbioportal(tmp_path / "x", patients), tmp_path / "out")
    assert len(fill_ins(study)["os_event"]) == 2
    assert "# os_event: true, false" in study.read_text(encoding="utf-8")


def test_the_website_export_is_read(tmp_path):
    titles = {
        **{"PATIENT_ID": "Patient ID", "SEX": "Sex", "AGE": "Diagnosis Age"},
        **{"OS_MONTHS": "Overall Survival (Months)", "OS_STATUS": "Overall Survival Status"},
        **{"PFS_MONTHS": "Progression Free Survival (Months)"},
        **{"PFS_STATUS": "Progression Free Status", "DRUG_TYPE": "Drug Type"},
        **{"SAMPLE_ID": "Sample ID", "CANCER_TYPE": "Cancer Type", "RESPONSE": "Response"},
        **{"TMB_NONSYNONYMOUS": "TMB (nonsynonymous)", "GENE_PANEL": "Gene Panel"},
    }
    table = PATIENTS.merge(SAMPLES, on="PATIENT_ID").rename(columns=titles)
    table.insert(0, "Study ID", "lung_2020")
    table["Mutation Count"], table["Fraction Genome Altered"] = "12", "0.25"
    table.to_csv(tmp_path / "lung_2020_clinical_data.tsv", sep="\t", index=False)
    study = from_cbioportal(tmp_path, tmp_path / "out")
    read = cohort_of(study, eligible_only=False)
    other = cohort_of(
        from_cbioportal(write_cbioportal(tmp_path / "x"), tmp_path / "y"),
        eligible_only=False,
    )
    columns = [c for c in other.columns if c not in ("cohort", "fraction_genome_altered")]
    pd.testing.assert_frame_equal(read[columns], other[columns])
    assert Study.load(study).name == "lung_2020"
    assert panel_entry(study, "tmb")["fraction_genome_altered"]["unit"] == "fraction"


def test_several_samples_give_one_the_first_before_treatment(tmp_path):
    first, rest = SAMPLES.head(3), SAMPLES.iloc[3:].assign(SAMPLE_TREATMENT="Pre")
    extra = pd.DataFrame(
        [
            *[("P-00", "P-00-T1", "7.5", "Pre"), ("P-00", "P-00-T0", "99", "On")],
            *[("P-01", "P-01-T2", "99", "Pre"), ("P-01", "P-01-T1", "6.5", "Pre")],
            ("P-02", "P-02-T1", "99", "Post"),
        ],
        columns=["PATIENT_ID", "SAMPLE_ID", "TMB_NONSYNONYMOUS", "SAMPLE_TREATMENT"],
    ).merge(first[["PATIENT_ID", "CANCER_TYPE", "GENE_PANEL"]], on="PATIENT_ID")
    samples = pd.concat([rest, extra])
    expected = None
    for seed in (1, 2):  # the order of rows says nothing
        folder = write_cbioportal(
            tmp_path / str(seed), samples=samples.sample(frac=1, random_state=seed)
        )
        study = from_cbioportal(folder, tmp_path / f"out{seed}")
        read = cohort_of(study, eligible_only=False).drop(columns="cohort")
        assert read["tmb"].head(3).tolist() == pytest.approx([7.5, 6.5, np.nan], nan_ok=True)
        expected = read if expected is None else expected
        pd.testing.assert_frame_equal(read, expected)
    notes = Study.load(study).description.splitlines()
    assert notes[:2] == [
        "Patients with several samples: 2; the first by SAMPLE_ID, those before treatment "
        "(SAMPLE_TREATMENT) first.",
        "Patients with samples after the start of treatment only: 1; TMB_NONSYNONYMOUS left empty.",
    ]


def test_two_drug_columns_make_the_arm(tmp_path):
    patients = PATIENTS.drop(columns="DRUG_TYPE").assign(ICI_RX=["Drug A", "Drug A", "None"] * 10)
    samples = SAMPLES.assign(NON_ICI_RX=["", "Drug B", "Drug C"] * 10)
    folder = write_cbioportal(tmp_path / "x", patients, samples)
    study = from_cbioportal(folder, tmp_path / "out", regimens={"Drug A": "anti_pd1_pdl1"})
    read = cohort_of(study, eligible_only=False)
    assert read["arm"].tolist() == ["Drug A", "Drug A + Drug B", "Drug C"] * 10
    assert read["regimen"].tolist() == ["anti_pd1_pdl1", np.nan, np.nan] * 10
    assert len(fill_ins(study)["regimen"]) == 2


@pytest.mark.parametrize(
    ("patients", "samples", "note"),
    [
        (PATIENTS, None, "There is no file of samples."),
        (
            PATIENTS.head(20),
            SAMPLES,
            "Patients of data_clinical_sample.txt not in data_clinical_patient.txt, left out: 10.",
        ),
        (
            PATIENTS,
            SAMPLES.drop(columns=["TMB_NONSYNONYMOUS"]).assign(MUTATION_COUNT="7"),
            "MUTATION_COUNT is not mapped: it needs `unit: mutations` and `scored_mb`.",
        ),
        (
            PATIENTS,
            SAMPLES.assign(CVR_TMB_SCORE="3"),
            "tmb is TMB_NONSYNONYMOUS; not taken: CVR_TMB_SCORE.",
        ),
        (
            PATIENTS.rename(columns={"AGE": "Age at Which Sequencing was Reported (Days)"}),
            SAMPLES,
            "The name of Age at Which Sequencing was Reported (Days) says days; cBioPortal has age "
            "in years, which is written. Check it.",
        ),
        (
            PATIENTS.assign(PATIENT_ID=SAMPLES["SAMPLE_ID"]),
            SAMPLES.drop(columns="PATIENT_ID"),
            "The samples of data_clinical_sample.txt bear the identifiers of the patients.",
        ),
    ],
)
def test_every_choice_leaves_a_note(tmp_path, patients, samples, note):
    folder = write_cbioportal(tmp_path / "x", patients, samples)
    study = from_cbioportal(folder, tmp_path / "out")
    assert len(cohort_of(study, eligible_only=False)) == len(patients)
    assert any(line.startswith(note) for line in Study.load(study).description.splitlines())


def test_a_table_of_samples_alone_is_read(tmp_path):
    samples = SAMPLES.merge(PATIENTS, on="PATIENT_ID")
    study = from_cbioportal(write_cbioportal(tmp_path / "x", None, samples), tmp_path / "out")
    assert len(cohort_of(study, eligible_only=False)) == 30


def change(column: str, cells: dict[int, str]) -> pd.DataFrame:
    table = PATIENTS.copy()
    for row, cell in cells.items():
        table.loc[row, column] = cell
    return table


BAD_CBIOPORTAL: dict[str, tuple[Any, type[StratifyError], str]] = {
    "nothing": (
        lambda folder: folder.mkdir(),
        FileError,
        "{folder} holds no clinical file of cBioPortal; data_clinical_patient.txt and "
        "data_clinical_sample.txt, or the website's *_clinical_data.tsv, are expected.",
    ),
    "several exports": (
        lambda folder: PATIENTS.to_csv(
            write_cbioportal(folder) / "x_clinical_data.tsv", sep="\t", index=False
        ),
        FileError,
        "{folder} holds data_clinical_patient.txt, data_clinical_sample.txt and "
        "x_clinical_data.tsv; one file of patients and one of samples, or one of both, are "
        "expected. Keep those of one export.",
    ),
    "header rows missing": (
        lambda folder: PATIENTS.to_csv(
            write_cbioportal(folder) / "data_clinical_patient.txt", sep="\t", index=False
        ),
        DataError,
        "{folder}/data_clinical_patient.txt: 0 of its first four rows begin with #; four header "
        "rows (display names, descriptions, datatypes, priorities) are expected above the "
        "attribute names. Add them, or name the table *_clinical_data.tsv.",
    ),
    "mixed codings": (
        lambda folder: write_cbioportal(
            folder, change("OS_STATUS", {0: "LIVING", 1: "DECEASED", 2: "NA"})
        ),
        DataError,
        "data_clinical_patient.txt and data_clinical_sample.txt: column OS_STATUS mixes two event "
        "codings: with the prefix 0: or 1: (27 rows) and without (2 rows). One is expected; export "
        "the column again.",
    ),
    "contradiction": (
        lambda folder: write_cbioportal(folder, change("OS_STATUS", {0: "1:LIVING"})),
        DataError,
        "data_clinical_patient.txt and data_clinical_sample.txt: column OS_STATUS contradicts "
        "itself: prefix and word disagree on whether there was an event (1 row). 1: is expected "
        "before events, 0: before others; correct the export.",
    ),
    "duplicated patient": (
        lambda folder: write_cbioportal(folder, change("PATIENT_ID", {1: "P-00"})),
        DataError,
        "data_clinical_patient.txt, lines 6 and 7: identifiers that stand more than once in column "
        "PATIENT_ID (2 rows); one row a patient is expected. Keep the right one.",
    ),
    "samples of nobody": (
        lambda folder: write_cbioportal(folder, samples=SAMPLES.drop(columns="PATIENT_ID")),
        DataError,
        "data_clinical_sample.txt has no column PATIENT_ID; PATIENT_ID is expected. Export it "
        "again with all columns.",
    ),
}


@pytest.mark.parametrize("case", BAD_CBIOPORTAL)
def test_bad_cbioportal_is_told_in_a_whole_sentence_and_nothing_is_written(tmp_path, case):
    spoil, kind, message = BAD_CBIOPORTAL[case]
    folder = tmp_path / "x"
    spoil(folder)
    with pytest.raises(kind) as told:
        from_cbioportal(folder, tmp_path / "out")
    assert str(told.value) == message.format(folder=folder)
    assert not (tmp_path / "out").exists()


def test_dates_without_a_format_are_days_since_1960():
    days = (datetime.date(2019, 3, 4) - datetime.date(1960, 1, 1)).days
    assert adam._iso_date(str(days)) == "2019-03-04"


def test_what_goes_out_for_cbioportal_does_not_come_in_again(tmp_path):
    folder = write_cbioportal(tmp_path / "x")
    row = dict.fromkeys(load_schema("scores").fields, "x") | {"risk": 0.4}
    write_export("cbioportal", pd.DataFrame([row]), None, folder)
    assert len(cohort_of(from_cbioportal(folder, tmp_path / "out"), eligible_only=False)) == 30


@pytest.mark.parametrize("names", [{}, {"adrs": "adrs_onco", "adtte": "adtte_onco"}])
def test_csv_written_by_r_with_na_and_names_of_oncology_is_read(tmp_path, names):
    """pharmaverse's own data sets: NA for missing, adrs_onco and adtte_onco."""
    tables = example_adam(40)
    folder = tmp_path / "adam"
    folder.mkdir()
    for name, table in tables.items():
        cells = table.astype(object)
        cells = cells.where(cells.notna() & (cells.astype(str) != ""), "NA")
        cells.to_csv(folder / f"{names.get(name, name)}.csv", index=False)
    plain = cohort_of(
        from_adam(write_adam(tmp_path / "plain", tables), tmp_path / "a", regimens=ARMS)
    )
    found = cohort_of(from_adam(folder, tmp_path / "b", regimens=ARMS))
    columns = ["patient_id", "label", "pfs", "pfs_event", "best_response"]
    pd.testing.assert_frame_equal(found[columns], plain[columns])


def test_a_data_set_comes_before_another_of_the_same_kind(tmp_path):
    folder = write_adam(tmp_path / "adam", example_adam(20))
    for path in list(folder.glob("*")):
        if path.stem.lower() == "adrs":
            (folder / f"adrs_other{path.suffix}").write_bytes(b"not a table")
    assert len(cohort_of(from_adam(folder, tmp_path / "out", regimens=ARMS))) == 20

"""Cohorts: who is in, what is joined, how they are divided; counts add up, order is irrelevant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from stratify.cohort.features import features_matrix, informative_features, panels_missing
from stratify.cohort.reading import data_sha256, read_cohort, require_usable
from stratify.errors import ArgumentError, CohortError, DataError, FileError
from stratify.tables.schema import load_schema

N = 160  # patients of the clean study


@pytest.fixture
def clinic(hospital: Any) -> Any:
    """Leave out the biomarkers, which say nothing of eligibility and splits."""
    hospital.leave_out("pdl1", "tmb", "infiltration", "ctdna")
    return hospital


def shuffled(hospital: Any, seed: int) -> None:
    """Put rows and columns of all files in another order."""
    rng = np.random.default_rng(seed)
    for name, table in hospital.tables.items():
        columns = rng.permutation(table.columns)
        hospital.tables[name] = table.sample(frac=1, random_state=seed)[columns]


def regimens(hospital: Any) -> None:
    """Ten patients with chemotherapy added, five with another drug, three not recorded."""
    hospital.column("regimen")["coding"].update({"Drug B": "ici_chemotherapy", "Drug C": "other"})
    drugs = ["Drug B"] * 10 + ["Drug C"] * 5 + [""] * 3
    hospital.plant("clinical", "Drug", dict(enumerate(drugs, start=2)))


# ------------------------------------------------------------- one row a patient


def test_panels_are_joined_by_patient_in_canonical_names_and_units(hospital):
    table = hospital.read().table
    raw = hospital.tables
    assert len(table) == N
    assert table["patient_id"].tolist() == raw["clinical"]["Patient"].tolist()
    assert table["albumin"].tolist() == [float(a) / 10 for a in raw["clinical"]["Albumin"]]
    assert table["tmb"].tolist() == raw["markers"]["TMB"].astype(float).tolist()
    assert table["sex"].map({"female": "F", "male": "M"}).tolist() == list(raw["clinical"]["Sex"])
    assert set(table["split"]) == {"train"}


@pytest.mark.parametrize("seed", [1, 2])
def test_order_of_rows_and_columns_is_irrelevant(hospital, seed):
    hospital.document["split"] = {"by": "random", "test_fraction": 0.25, "seed": 5}
    first = hospital.read()
    shuffled(hospital, seed)
    again = hospital.read()

    pd.testing.assert_frame_equal(again.table, first.table)
    pd.testing.assert_frame_equal(again.attrition, first.attrition)
    assert data_sha256(again.table) == data_sha256(first.table)
    assert again.findings.rows == first.findings.rows
    assert again.files != first.files  # the bytes differ, the data do not


def test_order_of_cohorts_in_the_study_is_irrelevant(hospital):
    hospital.add_cohort("away", "external", n=40, seed=8)
    first = hospital.read()
    hospital.document["cohorts"].reverse()
    again = hospital.read()
    assert data_sha256(again.table) == data_sha256(first.table)
    assert set(zip(first.table["cohort"], first.table["split"], strict=True)) == {
        ("home", "train"),
        ("away", "external"),
    }


@pytest.mark.parametrize("kind", ["excel", "parquet"])
def test_csv_excel_and_parquet_give_the_same_table(hospital, kind):
    """A spreadsheet turns texts of digits into numbers; identifiers must still match."""
    for table in hospital.tables.values():
        table["Patient"] = [f"{i}" for i in range(1, N + 1)]
    first = hospital.read()
    markers = hospital.tables["markers"].copy()
    for column in ("Patient", "TPS", "CPS", "TMB", "MSI", "FGA", "CD8", "TIL", "MSAF"):
        markers[column] = pd.to_numeric(markers[column])
    if kind == "excel":
        markers.to_excel(hospital.folder / "markers.xlsx", index=False)
    else:
        markers.to_parquet(hospital.folder / "markers.parquet", index=False)
    hospital.source("markers")["file"] = "markers.xlsx" if kind == "excel" else "markers.parquet"

    again = read_cohort(hospital.study())

    assert again.findings.rows == []
    pd.testing.assert_frame_equal(again.table, first.table)
    assert data_sha256(again.table) == data_sha256(first.table)


def test_leading_zeros_tell_patients_apart_and_their_loss_is_told(hospital):
    for table in hospital.tables.values():
        table["Patient"] = [f"{i:04d}" for i in range(1, N + 1)]
    assert hospital.read().table["patient_id"].tolist()[:2] == ["0001", "0002"]

    hospital.change("outcomes", "Patient", lambda cell: cell.lstrip("0"))
    assert [row["message"] for row in hospital.findings("error")][:1] == [
        "outcomes.csv: 160 of 160 patients are not in the cohort's first table; 160 would be but "
        "for leading zeros or case."
    ]


def test_a_patient_of_the_outcomes_only_is_left_out_and_told_once(hospital):
    stranger = hospital.tables["outcomes"].iloc[[0]].assign(Patient="X-1")
    hospital.tables["outcomes"] = pd.concat([hospital.tables["outcomes"], stranger])
    cohort = hospital.read()
    assert len(cohort) == N
    assert "X-1" not in set(cohort.table["patient_id"])
    assert [row["code"] for row in cohort.findings.rows] == ["unmatched_patient"]


def test_a_patient_without_outcomes_stays_and_is_not_evaluable(hospital):
    hospital.tables["outcomes"] = hospital.tables["outcomes"][1:]
    cohort = hospital.read()
    assert len(cohort) == N
    assert len(cohort.evaluable) == N - 1
    assert cohort.table["reason"].value_counts()["pfs_missing"] == 1


def test_the_second_row_of_a_patient_is_left_out_and_told(hospital):
    hospital.tables["markers"] = pd.concat(
        [hospital.tables["markers"], hospital.tables["markers"].iloc[[5]]]
    )
    cohort = hospital.read()
    assert len(cohort) == N
    assert [(row["code"], row["n"]) for row in cohort.findings.rows] == [("duplicate_patient", 2)]


def test_columns_of_one_cohort_only_are_missing_in_the_other(hospital):
    hospital.add_cohort("away", "external", n=40, seed=8)
    away = hospital.source("away_clinical")["panels"]["clinical"]
    for name in ("albumin", "cancer_type", "blood_sample_date"):
        del away[name]
    table = hospital.read().table
    rows = table[table["cohort"] == "away"]
    assert rows[["albumin", "cancer_type", "blood_sample_date"]].isna().all(axis=None)
    home = table[table["cohort"] == "home"]
    assert home[["albumin", "cancer_type", "blood_sample_date"]].notna().all(axis=None)
    assert str(table["blood_sample_date"].dtype) == "datetime64[s]"


def test_all_unreadable_files_are_told_at_once(hospital):
    hospital.write()
    for name in ("markers", "outcomes"):
        (hospital.folder / f"{name}.csv").unlink()
    with pytest.raises(FileError) as missing:
        read_cohort(hospital.study())
    advice = "Correct `file` or `data` in the study file (or set STRATIFY_DATA)."
    assert str(missing.value) == "\n".join(
        f"There is no file {hospital.folder / name}.csv; its folder holds clinical.csv. {advice}"
        for name in ("markers", "outcomes")
    )


def test_a_missing_identifier_column_is_a_finding_and_no_crash(hospital):
    for file in ("clinical", "markers", "outcomes"):
        hospital.source(file)["patient_id"] = "MRN"
    cohort = hospital.read()
    assert len(cohort) == 0
    assert cohort.findings.has_errors


def test_a_missing_date_column_is_a_finding_and_no_crash(hospital):
    hospital.column("first_dose_date")["column"] = "Start"
    assert [row["message"] for row in hospital.findings("error")] == [
        "clinical.csv: no column 'Start' for first_dose_date."
    ]


def test_assays_and_files_are_kept(hospital):
    cohort = hospital.read()
    assert cohort.assays == {
        "pdl1_tps": {"home": "22C3"},
        "pdl1_cps": {"home": "22C3"},
        "tmb": {"home": "panel X"},
        "ctdna_max_vaf": {"home": "plasma X"},
    }
    assert set(cohort.files) == {"clinical.csv", "markers.csv", "outcomes.csv"}
    assert cohort.endpoint == "proxy_pfs6"
    assert not cohort.mixed_regimens


# ------------------------------------------------------------- eligibility and attrition


def test_attrition_adds_up(clinic):
    regimens(clinic)
    clinic.plant("outcomes", "PFS", {30: "", 40: "2.0", 50: "2.0"})
    clinic.plant("outcomes", "Progressed", {40: "0", 50: "0"})
    cohort = clinic.read()

    assert list(cohort.attrition.columns) == list(load_schema("attrition").fields)
    assert cohort.attrition.to_numpy().tolist() == [
        ["home", "read", "", 160, 160],
        ["home", "eligible_regimen", "regimen ici_chemotherapy", 10, 142],
        ["home", "eligible_regimen", "regimen not recorded", 3, 142],
        ["home", "eligible_regimen", "regimen other", 5, 142],
        ["home", "eligible_regimen", "", 142, 142],
        ["home", "label_evaluable", "censored_before_horizon", 2, 139],
        ["home", "label_evaluable", "pfs_missing", 1, 139],
        ["home", "label_evaluable", "", 139, 139],
    ]
    assert len(cohort) == 142
    assert len(cohort.evaluable) == 139
    assert set(cohort.table["regimen"]) == {"anti_pd1_pdl1"}


def test_attrition_adds_up_in_every_cohort(clinic):
    regimens(clinic)
    clinic.add_cohort("away", "external", n=40, seed=8)
    attrition = clinic.read().attrition
    for _, rows in attrition.groupby("cohort"):
        before = None
        for _, step in rows.groupby("step", sort=False):
            stays = int(step.loc[step["reason"] == "", "n"].iloc[0])
            assert set(step["n_remaining"]) == {stays}
            assert before is None or step["n"].sum() == before
            before = stays


def test_other_regimens_stay_where_the_study_says_so(clinic):
    regimens(clinic)
    clinic.document["eligible_regimens"] = ["anti_pd1_pdl1", "ici_chemotherapy"]
    cohort = clinic.read()
    assert len(cohort) == 152
    assert cohort.mixed_regimens


def test_new_patients_are_all_scored_and_need_no_outcomes(clinic):
    regimens(clinic)
    clinic.document["split"] = {"by": "site", "test": ["East"]}
    clinic.write()
    (clinic.folder / "outcomes.csv").unlink()
    cohort = read_cohort(clinic.study(), outcomes=False, eligible_only=False)
    assert len(cohort) == N
    assert cohort.endpoint is None
    assert "label" not in cohort.table
    assert "pfs" not in cohort.table
    assert not cohort.findings.has_errors


def test_outcomes_in_the_same_file_are_not_read_for_new_patients(clinic):
    panels = clinic.source("clinical")["panels"]
    panels["outcomes"] = {"os": {"column": "OS", "unit": "months"}}
    clinic.document["cohorts"][0]["tables"].pop()
    cohort = clinic.read(outcomes=False)
    assert cohort.findings.rows == []


# ------------------------------------------------------------- splits


def test_a_split_by_cohort_takes_the_roles(clinic):
    clinic.add_cohort("later", "test", n=40, seed=8)
    clinic.add_cohort("away", "external", n=30, seed=9)
    cohort = clinic.read()
    assert cohort.table["split"].value_counts().to_dict() == {
        "train": 160,
        "test": 40,
        "external": 30,
    }
    assert set(cohort.of_split("test", "external").table["cohort"]) == {"later", "away"}


def test_a_split_by_site_divides_the_training_cohorts_only(clinic):
    clinic.add_cohort("away", "external", n=40, seed=8)
    clinic.document["split"] = {"by": "site", "test": ["West"]}
    table = clinic.read().table
    home = table[table["cohort"] == "home"]
    assert ((home["split"] == "test") == (home["site"] == "West")).all()
    assert set(table.loc[table["cohort"] == "away", "split"]) == {"external"}


def test_a_split_by_year_puts_later_patients_into_the_test(clinic):
    clinic.document["split"] = {"by": "year", "test_from": 2021}
    table = clinic.read().table
    assert ((table["split"] == "test") == (table["start_year"] >= 2021)).all()


@pytest.mark.parametrize(("fraction", "n"), [(0.25, 40), (0.1, 16), (0.333, 53)])
def test_a_split_at_random_has_the_share_asked_for(clinic, fraction, n):
    clinic.document["split"] = {"by": "random", "test_fraction": fraction, "seed": 1}
    assert (clinic.read().table["split"] == "test").sum() == n


def test_a_split_at_random_depends_on_its_seed_and_not_on_the_order(clinic):
    split: dict[str, Any] = {"by": "random", "test_fraction": 0.3, "seed": 1}
    clinic.document["split"] = split
    first = clinic.read().table.set_index("patient_id")["split"]
    shuffled(clinic, 3)
    pd.testing.assert_series_equal(clinic.read().table.set_index("patient_id")["split"], first)
    split["seed"] = 2
    assert (clinic.read().table.set_index("patient_id")["split"] != first).any()


def test_the_split_is_saved_with_the_labels(clinic):
    clinic.document["split"] = {"by": "site", "test": ["West"]}
    labels = clinic.read().labels
    assert list(labels.columns) == [*load_schema("labels").fields, "split"]
    assert set(labels["split"]) == {"train", "test"}


# ------------------------------------------------------------- patients on two sides


def test_shared_patients_are_found_with_gaps_and_in_other_units(hospital):
    hospital.add_cohort("away", "external", n=15, seed=8)
    home = {name: hospital.tables[name] for name in ("clinical", "markers", "outcomes")}
    for name, table in home.items():
        columns = [c for c in table.columns if c != "Patient"]
        hospital.tables[f"away_{name}"].loc[:3, columns] = table.loc[20:23, columns].to_numpy()
    hospital.plant("away_clinical", "NLR", {4: "", 5: "NA", 6: "", 7: ""})  # too often missing
    hospital.change("away_clinical", "Albumin", lambda cell: f"{float(cell) / 10:.2f}")
    hospital.source("away_clinical")["panels"]["clinical"]["albumin"]["unit"] = "g/dL"
    shared = [row for row in hospital.findings("error") if row["code"] == "patients_shared"]
    assert [(row["cohort"], row["n"]) for row in shared] == [("away", 4)]


def test_few_telling_columns_accuse_nobody(hospital):
    hospital.add_cohort("away", "external", seed=8)
    hospital.document["cohorts"][1]["tables"] = [
        {
            "file": "away_clinical.csv",
            "patient_id": "Patient",
            "panels": {
                "clinical": {
                    "regimen": {"value": "anti_pd1_pdl1"},
                    "age": {"column": "Age", "unit": "years"},
                }
            },
        }
    ]
    hospital.tables["away_clinical"]["Age"] = hospital.tables["clinical"]["Age"]
    assert "patients_shared" not in {row["code"] for row in hospital.findings()}


# ------------------------------------------------------------- usable or not


def test_errors_in_the_data_are_raised_with_all_findings(hospital):
    hospital.plant("clinical", "BMI", {3: "obese"})
    hospital.column("albumin").pop("unit")
    with pytest.raises(DataError) as raised:
        require_usable(hospital.read(), "The study hospital")
    assert str(raised.value) == (
        "The study hospital has 2 errors (not_numeric, unit_absent). `stratify validate` lists "
        "every finding with advice."
    )
    assert raised.value.findings is not None
    assert len(raised.value.findings) == 2
    assert raised.value.exit_code == 10


def test_an_unusable_cohort_is_told_apart_from_faulty_data(hospital):
    hospital.change("outcomes", "PFS", "9.5")
    hospital.change("outcomes", "OS", "30.0")
    hospital.change("outcomes", "Response", "SD")
    with pytest.raises(CohortError) as raised:
        require_usable(hospital.read(), "The study hospital")
    assert str(raised.value) == (
        "The study hospital cannot be used. training data: all 160 evaluable patients have the "
        "label 0. Check the coding of response and events; a model needs both."
    )
    assert raised.value.exit_code == 11


def test_warnings_do_not_stop_the_work(hospital):
    hospital.plant("markers", "TMB", {3: "210"})
    require_usable(hospital.read(), "The study hospital")


# ------------------------------------------------------------- features


def test_features_come_in_the_order_asked_for_and_are_missing_where_not_measured():
    table = pd.DataFrame({"tmb": [3, 4], "sex": ["male", None], "msi_high": [1.0, np.nan]})
    matrix = features_matrix(table, ["sex", "tmb", "hed", "msi_high", "histology"])
    assert matrix.dtypes.astype(str).to_dict() == {
        "sex": "object",
        "tmb": "float64",
        "hed": "float64",
        "msi_high": "float64",
        "histology": "object",
    }
    assert matrix["tmb"].tolist() == [3.0, 4.0]
    assert matrix[["hed", "histology"]].isna().all(axis=None)


def test_nullable_columns_become_floats():
    table = pd.DataFrame(
        {
            "ecog": pd.array([1, None], dtype="Int64"),
            "msi_high": pd.array([True, None], dtype="boolean"),
        }
    )
    matrix = features_matrix(table, ["ecog", "msi_high"])
    assert matrix.dtypes.astype(str).tolist() == ["float64", "float64"]
    assert matrix.iloc[0].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            ["tmb", "ctdna_ratio_week_6"],
            "ctdna_ratio_week_6 (feature, known at week_6) cannot enter a baseline model; remove "
            "it from `features`.",
        ),
        (
            ["pfs", "tmb", "regimen"],
            "pfs (outcome, known at baseline), regimen (design, known at baseline) cannot enter a "
            "baseline model; remove them from `features`.",
        ),
    ],
    ids=["known later", "outcome and design"],
)
def test_what_is_known_later_never_enters_the_features(features, message):
    with pytest.raises(DataError) as refused:
        features_matrix(pd.DataFrame({"tmb": [3.0]}), features)
    assert str(refused.value) == message


def test_an_unknown_feature_is_refused():
    with pytest.raises(ArgumentError, match=r"^No panel has a column named 'tmbb'; near names"):
        features_matrix(pd.DataFrame({"tmb": [3.0]}), ["tmbb"])


def test_informative_features_are_all_that_were_measured(hospital):
    cohort = hospital.read()
    assert informative_features(cohort, None) == [
        *("age", "sex", "cancer_type", "ecog", "ever_smoker", "bmi", "albumin", "nlr"),
        *("pdl1_tps", "pdl1_cps"),
        *("tmb", "msi_high", "fraction_genome_altered"),
        *("cd8_density", "til_score", "immune_phenotype"),
        *("ctdna_detected", "ctdna_max_vaf"),
    ]


def test_no_feature_left_is_told(hospital):
    with pytest.raises(CohortError) as refused:
        informative_features(hospital.read(), ["pack_years"])
    assert str(refused.value) == (
        "No feature is left to learn from: map at least one biomarker with two values."
    )


def test_missing_panels_are_named_for_each_patient():
    nan = np.nan
    matrix = pd.DataFrame(
        {
            "ctdna_max_vaf": [nan, 0.1, nan],
            "tmb": [nan, 3.0, nan],
            "msi_high": [nan, nan, 0.0],
            "sex": ["male", None, None],
        }
    )
    assert panels_missing(matrix).tolist() == ["tmb;ctdna", "clinical", "clinical;ctdna"]


# ------------------------------------------------------------- hash


def test_the_hash_changes_with_any_value_and_with_names():
    table = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", None]})
    same = pd.DataFrame({"b": [None, "x"], "a": [np.nan, 1]})
    assert data_sha256(table) == data_sha256(same)
    for other in (
        table.assign(a=[1.0, 0.0]),
        table.assign(a=[1.0 + 2**-52, np.nan]),
        table.assign(b=["y", None]),
        table.rename(columns={"a": "c"}),
        table[:1],
    ):
        assert data_sha256(other) != data_sha256(table)


def test_rows_of_a_pooled_export_are_cohorts(hospital):
    whole = hospital.read().table
    north = hospital.tables["clinical"].query("Centre == 'North'")["Patient"]
    for file in ("clinical", "markers", "outcomes"):
        table = hospital.tables[file]
        centre = hospital.tables["clinical"]["Centre"]
        hospital.tables[file] = table.assign(Place=centre) if file != "clinical" else table
        hospital.source(file)["rows"] = {"Centre" if file == "clinical" else "Place": "North"}
    part = hospital.read().table
    expected = whole[whole["patient_id"].isin(north)].reset_index(drop=True)
    assert 0 < len(expected) < len(whole)
    pd.testing.assert_frame_equal(part, expected)


def test_patients_of_another_cohort_are_no_strangers_in_a_shared_file(hospital):
    """One file of markers for two centres; one more patient in it belongs to neither."""
    hospital.add_cohort("away", "external", seed=8)
    markers = pd.concat([hospital.tables["markers"], hospital.tables["away_markers"]])
    stranger = markers.iloc[[0]].assign(Patient="nobody")
    hospital.tables["markers"] = pd.concat([markers, stranger], ignore_index=True)
    hospital.source("away_markers")["file"] = "markers.csv"
    unmatched = [row for row in hospital.findings() if row["code"] == "unmatched_patient"]
    n = len(markers) + 1
    assert [(row["cohort"], row["message"]) for row in unmatched] == [
        (name, f"markers.csv: 1 of {n} patients are not in the cohort's first table.")
        for name in ("home", "away")
    ]

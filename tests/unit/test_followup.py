"""Visits and lesions of a study file: forms of days, criteria, outcomes recorded beside them."""

from __future__ import annotations

import pandas as pd
import pytest

from stratify import label_outcomes
from stratify.errors import DataError
from stratify.response.followup import assess_visits, follow_up, outcomes_from_visits
from stratify.study import ResponseCriteria, Study
from stratify.tables.findings import Findings

BY = ("recist_1_1", "irecist")
NON = "NON-CR/NON-PD"


def test_visits_give_best_response_pfs_and_confirmation(hospital):
    hospital.add_visits()
    cohort = hospital.read()
    table = cohort.table

    assert cohort.findings.rows == []
    progressed = table["best_response"] == "PD"
    assert progressed.sum() == 80
    assert set(table.loc[progressed, "reason"]) == {"event_before_horizon"}
    assert table.loc[progressed, "pfs"].to_numpy() == pytest.approx(42 / 30.4375)
    assert set(table.loc[progressed, "pd_confirmed"]) == {1.0}
    assert set(table.loc[~progressed, "best_response"]) == {"PR"}
    assert table.loc[~progressed, "best_change"].to_numpy() == pytest.approx(35 / 60 - 1)
    died = table["os_event"] == 1
    assert table.loc[~progressed & died, "pfs"].to_numpy() == pytest.approx(12)
    assert set(table.loc[~progressed & died, "pfs_event_kind"]) == {"death"}
    assert table.loc[~progressed & ~died, "pfs"].to_numpy() == pytest.approx(210 / 30.4375)


def test_lesions_give_the_same_as_their_sums(hospital):
    hospital.add_visits()
    by_visit = hospital.read().table
    hospital.document["cohorts"][0]["tables"].pop()
    hospital.source("outcomes")["panels"]["outcomes"] |= dict.fromkeys(
        ("best_response", "pfs", "pfs_event"), "Died"
    )  # what add_lesions takes away again
    hospital.add_lesions()
    pd.testing.assert_frame_equal(hospital.read().table, by_visit)


def _dates(h, form: str) -> None:
    first = h.tables["clinical"].set_index("Patient")["First dose"]
    table = h.tables["visits"]
    start = table["Patient"].map(first).astype("datetime64[s]")
    dates = start + pd.to_timedelta(table["Day"].astype(int), unit="D")
    table["Day"] = dates.dt.strftime(form).astype(object)


def _by_date(h) -> None:
    _dates(h, "%Y-%m-%d")
    h.source("visits")["panels"]["visits"]["visit_day"] = {"column": "Day", "unit": "date"}


def _by_other_date(h) -> None:
    _dates(h, "%d%b%Y")
    source = {"column": "Day", "unit": "date", "date_format": "%d%b%Y"}
    h.source("visits")["panels"]["visits"]["visit_day"] = source


def _by_study_day(h) -> None:
    days = h.tables["visits"]["Day"].astype(int)
    h.tables["visits"]["Day"] = (days + (days >= 0)).astype(str).astype(object)
    h.source("visits")["panels"]["visits"]["visit_day"] = {"column": "Day", "unit": "study_day"}


def _in_centimetres(h) -> None:
    h.change("visits", "Sum", lambda cell: f"{float(cell) / 10:.2f}")
    h.source("visits")["panels"]["visits"]["target_sum"]["unit"] = "cm"


def _backwards(h) -> None:
    h.tables["visits"] = h.tables["visits"][::-1].reset_index(drop=True)


@pytest.mark.parametrize(
    "change", [_by_date, _by_other_date, _by_study_day, _in_centimetres, _backwards]
)
def test_days_sizes_and_rows_may_be_written_in_other_ways(hospital, change):
    hospital.add_visits()
    before = hospital.read().table
    change(hospital)
    cohort = hospital.read()
    assert not cohort.findings.has_errors
    pd.testing.assert_frame_equal(cohort.table, before)


def test_overall_survival_may_be_the_date_of_last_contact(hospital):
    before = hospital.read().table
    first = hospital.tables["clinical"]["First dose"].astype("datetime64[s]")
    days = (hospital.tables["outcomes"]["OS"].astype(float) * 30.4375).round()
    dates = first + pd.to_timedelta(days, unit="D")
    hospital.tables["outcomes"]["OS"] = dates.dt.strftime("%Y-%m-%d").astype(object)
    hospital.column("os").update(unit="date")
    table = hospital.read().table
    assert (table["os"] - before["os"]).abs().max() < 0.5 / 30.4375 + 1e-9


def test_a_date_has_no_place_in_a_column_that_is_no_time(hospital):
    hospital.column("albumin").update(unit="date")
    hospital.column("nlr").update(unit="study_day")
    found = [(row["code"], row["column"]) for row in hospital.findings("error")]
    assert found == [("unit_unknown", "albumin"), ("unit_unknown", "nlr")]


def test_study_day_0_does_not_exist(hospital):
    hospital.add_visits()
    hospital.plant("visits", "Day", {2: "0"})
    hospital.source("visits")["panels"]["visits"]["visit_day"] = {
        "column": "Day",
        "unit": "study_day",
    }
    assert [row["message"] for row in hospital.findings("error")] == [
        "visits.csv, line 2: study day 0, which does not exist; state `unit: days` if days are "
        "counted from 0.",
        "visits.csv, line 2: no day of the assessment.",
    ]


def test_irecist_waits_for_confirmation(hospital):
    hospital.add_visits()
    hospital.change("visits", "Sum", lambda cell: {"95.0": "61.0"}.get(cell, cell))
    by_recist = hospital.read().table
    hospital.document["response_criteria"] = {"by": "irecist"}
    by_irecist = hospital.read().table
    changed = by_recist["best_response"] == "PD"
    assert changed.sum() == 80
    assert set(by_recist.loc[changed, "pd_confirmed"]) == {0.0}
    assert set(by_irecist.loc[changed, "best_response"]) == {"SD"}
    assert by_irecist.loc[~changed, "best_response"].eq("PR").all()


def test_patients_without_visits_keep_what_is_recorded(hospital):
    recorded = hospital.tables["outcomes"].copy()
    mapped = dict(hospital.source("outcomes")["panels"]["outcomes"])
    hospital.add_visits()
    hospital.tables["outcomes"] = recorded.assign(OS="12", PFS="3.5", Progressed="0", Response="SD")
    hospital.source("outcomes")["panels"]["outcomes"] = mapped
    visits = hospital.tables["visits"]
    first_three = hospital.tables["clinical"]["Patient"][:3]
    hospital.tables["visits"] = visits[~visits["Patient"].isin(first_three)]
    table = hospital.read().table.set_index("patient_id")
    assert table.loc[list(first_three), "best_response"].tolist() == ["SD"] * 3
    assert table.loc[list(first_three), "pfs"].tolist() == [3.5] * 3
    others = table.drop(index=list(first_three))
    assert set(others["best_response"]) == {"PD", "PR"}


def test_outcomes_are_not_read_for_scoring(hospital):
    hospital.add_visits()
    hospital.plant("visits", "Sum", {2: "much"})
    assert hospital.findings("error", outcomes=False) == []


def test_text_variants_of_responses_are_read_in_files_too(hospital):
    hospital.tables["outcomes"]["Response"] = [
        {"PD": "Progressive Disease", "SD": "stable_disease", "PR": "partial  response"}.get(r, r)
        for r in hospital.tables["outcomes"]["Response"]
    ]
    assert hospital.findings() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda d: d["cohorts"][0]["tables"][-1]["panels"].update(tmb={"tmb": "TMB"}),
            "cohorts.0.tables.3.panels.visits: has several rows a patient; map it in a table of "
            "its own",
        ),
        (
            lambda d: d["cohorts"][0]["tables"].insert(0, d["cohorts"][0]["tables"].pop()),
            "cohorts.0.tables: the first table needs one row a patient",
        ),
        (
            lambda d: d["cohorts"][0]["tables"].append(
                {
                    "file": "lesions.csv",
                    "patient_id": "Patient",
                    "panels": {"lesions": {"kind": "Kind"}},
                }
            ),
            "cohorts.0.tables: one table of visits or lesions is expected, not 2",
        ),
        (
            lambda d: d.update(response_criteria={"by": "who", "confirm_days": -1}),
            "line 107, response_criteria.by: Input should be 'recist_1_1' or 'irecist'\n"
            "  line 108, response_criteria.confirm_days: Input should be greater than or equal to "
            "0",
        ),
    ],
    ids=["shared table", "first table", "two tables", "criteria"],
)
def test_faults_of_the_study_file_are_told(hospital, tmp_path, change, fault):
    import yaml

    hospital.add_visits()
    change(hospital.document)
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(hospital.document), encoding="utf-8")
    with pytest.raises(DataError) as refused:
        Study.load(path)
    assert fault in str(refused.value)


def test_criteria_have_the_days_of_the_guidelines():
    criteria = ResponseCriteria()
    assert (criteria.min_sd_days, criteria.confirm_days, criteria.min_icpd_days) == (42, 28, 28)


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("at_baseline", [None, NON])
def test_non_targets_left_empty_at_baseline_change_nothing(by, at_baseline):
    visits = pd.DataFrame({"patient_id": "a", "visit_day": [-5, 42, 84, 126, 190]})
    visits["target_sum"] = [100.0, 60.0, 0.0, 0.0, 0.0]
    visits["non_target"] = [at_baseline, NON, None, NON, NON]
    criteria = ResponseCriteria(by=by)
    assessed = assess_visits(visits, criteria)
    assert assessed["response"].str.removeprefix("i").tolist()[1:] == ["PR"] * 4
    outcomes = outcomes_from_visits(assessed, pd.DataFrame({"patient_id": ["a"]}), criteria)
    assert outcomes["pfs"].item() == pytest.approx(190 / 30.4375)
    assert outcomes["pfs_event"].item() == 0
    assert label_outcomes(outcomes, "sitc_chemo_2023")["label"].item() == 0


def _followed(
    visits: pd.DataFrame, by: str = "recist_1_1", **more: object
) -> tuple[pd.DataFrame, Findings]:
    """Four patients, A and B with an early progression on record that the sums do not show."""
    recorded = pd.DataFrame(
        {
            "patient_id": list("ABCD"),
            "best_response": ["SD", "PD", "PR", "SD"],
            "pfs": [2.0, 1.4, 12.0, 8.0],
            "pfs_event": [1.0, 1.0, 0.0, 1.0],
            "os_event": 0.0,
            "os": 13.0,
        }
    ).assign(**more)
    found, criteria = Findings(), ResponseCriteria(by=by)
    joined, _ = follow_up(recorded, visits, "visits", criteria, "v.csv", "a", found)
    return joined.set_index("patient_id"), found


def _sums_alone() -> pd.DataFrame:
    sums = {
        "A": {-5: 50, 42: 50, 84: 48, 200: 45},
        "B": {-5: 50, 42: 52, 84: 51, 210: 50},
        "C": {-5: 50, 42: 30, 84: 28, 360: 20},
        "D": {-5: 50, 42: 48, 84: 47, 240: 62},
    }
    rows = [(who, day, float(size)) for who, by in sums.items() for day, size in by.items()]
    return pd.DataFrame(rows, columns=["patient_id", "visit_day", "target_sum"])


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize(
    ("columns", "unseen"),
    [
        ({}, "new_lesion and n_new_lesions are not mapped or empty and non_target is not mapped "
         "or empty"),
        ({"new_lesion": 0.0}, "non_target is not mapped or empty"),
        ({"n_new_lesions": 0.0, "non_target": None}, "non_target is not mapped or empty"),
        ({"non_target": "absent"}, "new_lesion and n_new_lesions are not mapped or empty"),
    ],
)  # fmt: skip
def test_a_recorded_event_stands_where_visits_cannot_see_it(by, columns, unseen):
    table, found = _followed(_sums_alone().assign(**columns), by)
    assert label_outcomes(table, "proxy_pfs6")["label"].tolist() == [1, 1, 0, 0]
    assert table["pfs"].tolist()[:2] == [2.0, 1.4]
    assert table["best_response"].tolist() == ["SD", "PD", "PR", "SD"]
    assert table["pd_confirmed"].isna().tolist()[:2] == [True, True]
    message = (
        "v.csv: a recorded progression or death that the visits do not show stands in 2 of 4 "
        f"patients with visits, since {unseen}."
    )
    assert [row["message"] for row in found.rows if row["code"] == "recorded_event_stands"] == [
        message
    ]


def test_visits_that_see_all_go_before_the_record():
    table, found = _followed(_sums_alone().assign(new_lesion=0.0, non_target="absent"))
    assert label_outcomes(table, "proxy_pfs6")["label"].tolist() == [0, 0, 0, 0]
    assert "recorded_event_stands" not in found.codes()


def test_a_recorded_event_after_another_treatment_does_not_stand():
    table, found = _followed(_sums_alone(), next_therapy=[1.5, 1.5, None, None])
    assert table["pfs_event"].tolist() == [0, 1, 0, 1]  # A: 2.0 months, B: 1.4
    assert [row["n"] for row in found.rows if row["code"] == "recorded_event_stands"] == [1]


@pytest.mark.parametrize(
    ("later", "death"),
    [({84: 70.0}, None), ({84: 50.0}, None), ({}, 80)],
    ids=["a scan that shows it again", "a scan that does not", "death"],
)
@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize(("next_therapy", "counted"), [(None, True), (60, False)])
def test_nothing_after_another_treatment_decides_confirmation(
    by, later, death, next_therapy, counted
):
    sums = {0: 50.0, 42: 65.0} | later
    visits = pd.DataFrame({"patient_id": "a", "visit_day": list(sums), "target_sum": sums.values()})
    patients = pd.DataFrame({"patient_id": ["a"], "os_event": [float(death is not None)]})
    patients["os"] = (death or 200) / 30.4375
    patients["next_therapy"] = None if next_therapy is None else next_therapy / 30.4375
    criteria = ResponseCriteria(by=by)
    outcomes = outcomes_from_visits(assess_visits(visits, criteria), patients, criteria)
    known = outcomes["pfs_event_kind"].eq("progression") & outcomes["pd_confirmed"].notna()
    reset = by == "irecist" and later == {84: 50.0}  # an iUPD that was reset is no progression
    assert known.item() == (counted and not reset)

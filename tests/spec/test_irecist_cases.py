"""iRECIST by the tables of cases in ENDPOINTS.md, where the notation is explained."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from endpoint_document import by_sentence, cases_of
from test_recist_cases import number, visits_of

from stratify.response.irecist import assess_irecist, best_irecist
from stratify.response.recist import assess_recist
from stratify.study import ResponseCriteria
from stratify.tables.schema import load_schema


def codes_of(text: str) -> list[str]:
    return ["NON-iCR/NON-iUPD" if code == "NON" else code for code in text.split()]


@pytest.mark.parametrize(
    ("visits", "responses", "reason"), by_sentence("iRECIST: response at a visit")
)
def test_response_at_a_visit(visits, responses, reason):
    assessed = assess_irecist(visits_of(visits))
    after = assessed[assessed["response"].notna()]
    assert after["response"].tolist() == codes_of(responses)
    assert after["reason"].iloc[-1] == reason


# Best overall response, with iSD counted from day 42 on.


@pytest.mark.parametrize(
    ("visits", "best", "day", "reason"), by_sentence("iRECIST: best overall response")
)
def test_best_response(visits, best, day, reason):
    row = best_irecist(assess_irecist(visits_of(visits))).iloc[0]
    assert row["best_response"] == codes_of(best)[0]
    assert row["reason"] == reason
    np.testing.assert_equal(row["best_response_day"], number(day))


@pytest.mark.parametrize(("visits", "best", "day"), by_sentence("iRECIST: confirmed best response"))
def test_confirmed_best_response(visits, best, day):
    assessed = assess_irecist(visits_of(visits), criteria=ResponseCriteria(confirm=True))
    row = best_irecist(assessed, criteria=ResponseCriteria(confirm=True)).iloc[0]
    assert (row["best_response"], row["best_response_day"]) == (best, number(day))


# PFS with the last, never confirmed block as progression (counted) and without (not counted).


@pytest.mark.parametrize(
    ("visits", "death", "other", "counted", "event", "not_counted", "other_event"),
    by_sentence("iRECIST: PFS"),
)
def test_pfs(visits, death, other, counted, event, not_counted, other_event):
    ends = {"death_day": [number(death)], "censor_day": [number(other)]}
    patients = pd.DataFrame({"patient_id": ["a"]} | ends)
    assessed = assess_irecist(visits_of(visits))
    for count, days, happened in ((True, counted, event), (False, not_counted, other_event)):
        row = best_irecist(
            assessed, patients, criteria=ResponseCriteria(count_unconfirmed_last=count)
        ).iloc[0]
        assert (row["pfs_days"], row["pfs_event"]) == (number(days), number(happened))


def test_duration_of_response_runs_from_the_first_response_to_the_confirmed_progression():
    visits = visits_of("0:100 42:60 84:75 126:60 168:90 210:100")
    assessed = assess_irecist(visits)
    assert assessed["response"].tolist()[1:] == ["iPR", "iUPD", "iPR", "iUPD", "iCPD"]
    row = best_irecist(assessed).iloc[0]
    assert (row["duration_of_response_days"], row["dor_event"]) == (168 - 42, 1)


@pytest.mark.parametrize(("min_icpd_days", "last"), [(42, "iCPD"), (43, "iUPD")])
def test_the_days_to_confirm_progression_can_be_set(min_icpd_days, last):
    assessed = assess_irecist(
        visits_of("0:100 42:120 84:130"), criteria=ResponseCriteria(min_icpd_days=min_icpd_days)
    )
    assert assessed["response"].iloc[-1] == last


def test_up_to_the_first_progression_irecist_is_recist():
    table = pd.concat(
        [visits_of(case[1], case[0]) for case in cases_of("iRECIST: response at a visit")]
    )
    recist = assess_recist(table).assign(irecist=assess_irecist(table)["response"])
    names = {"PD": "iUPD", "NON-CR/NON-PD": "NON-iCR/NON-iUPD", "NE": "NE"}
    for sentence, rows in recist[recist["response"].notna()].groupby("patient_id"):
        for one, other in zip(rows["response"], rows["irecist"], strict=True):
            assert other == names.get(one, f"i{one}"), sentence
            if one == "PD":
                break


def test_every_reason_of_irecist_has_a_case():
    shown = {
        part for case in cases_of("iRECIST: response at a visit") for part in case[3].split(";")
    }
    codes = load_schema("visits").codes
    assert shown <= {code for code, entry in codes.items() if "visit" in entry["of"]}
    assert shown >= {
        *("new_lesion_persists", "bar_reset", "unconfirmed", "too_early_to_confirm"),
        *("target_growth", "non_target_growth", "more_new_lesions", "larger_new_lesions"),
        *("progression_in_another_category", "confirmed_before"),
    }

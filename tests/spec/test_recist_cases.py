"""RECIST 1.1 by the tables of cases in ENDPOINTS.md, where the notation is explained."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from endpoint_document import by_sentence, cases_of

from stratify.response.best_response import best_response
from stratify.response.recist import assess_recist
from stratify.study import ResponseCriteria
from stratify.tables.schema import load_schema

NUMBERS = {
    "nn": "target_non_nodal_sum",
    "node": "max_nodal_short_axis",
    "part": "target_sum_partial",
    "new": "n_new_lesions",
    "newsum": "new_lesion_sum",
}
SHORT = {"NON": "NON-CR/NON-PD", ".": None, "NON-i": "NON-iCR/NON-iUPD"}


def visits_of(text: str, patient_id: str = "a") -> pd.DataFrame:
    """Read visits as written above."""
    rows = []
    for visit in text.split():
        first, *others = visit.split(",")
        day, total = first.split(":")
        row = dict.fromkeys(["target_sum", *NUMBERS.values()], np.nan)
        row |= {"patient_id": patient_id, "visit_day": float(day), "new_lesion": False}
        row |= {"non_target": None, "non_target_worse": False}
        row["target_sum"] = np.nan if total == "." else float(total)
        for other in others:
            name, _, value = other.partition("=")
            if name == "nt":
                row["non_target"] = SHORT.get(value, value)
            elif name == "worse":
                row["non_target_worse"] = True
            else:
                row[NUMBERS[name]] = float(value or 1)
                row["new_lesion"] |= name == "new"
        rows.append(row)
    return pd.DataFrame(rows)


def codes_of(text: str) -> list[str | None]:
    return [SHORT.get(code, code) for code in text.split()]


def number(cell: str) -> float:
    return np.nan if cell == "." else float(cell)


@pytest.mark.parametrize(
    ("visits", "responses", "reason"), by_sentence("RECIST 1.1: response at a visit")
)
def test_response_at_a_visit(visits, responses, reason):
    assessed = assess_recist(visits_of(visits))
    after = assessed[assessed["response"].notna()]
    assert after["response"].tolist() == codes_of(responses)
    assert after["reason"].iloc[-1] == reason


# RECIST 1.1, table 1: targets, non-target, new lesion -> response. "not PD" is NON or NE.
TARGET = {"CR": "0", "PR": "60", "SD": "100", "PD": "130", "NE": "."}
TABLE_1 = {
    ("CR", "CR", "no"): "CR",
    ("CR", "absent", "no"): "CR",
    ("CR", "NON", "no"): "PR",
    ("CR", "NE", "no"): "PR",
    ("PR", "not PD", "no"): "PR",
    ("SD", "not PD", "no"): "SD",
    ("NE", "not PD", "no"): "NE",
    ("PD", "any", "any"): "PD",
    ("any", "PD", "any"): "PD",
    ("any", "any", "yes"): "PD",
}


def _table_1(target: str, other: str, new: str) -> str:
    matches = {
        response
        for (row_target, row_other, row_new), response in TABLE_1.items()
        if row_target in (target, "any")
        and (row_other in (other, "any") or (row_other == "not PD" and other != "PD"))
        and row_new in (new, "any")
    }
    assert len(matches) == 1
    return matches.pop()


@pytest.mark.parametrize(
    ("target", "other", "new"),
    list(product(TARGET, ["absent", "CR", "NON", "PD", "NE"], ["no", "yes"])),
    ids=str,
)
def test_table_1_of_the_guideline(target, other, new):
    start = "absent" if other == "absent" else "NON"
    seen = ",new" if new == "yes" else ""
    visits = visits_of(f"0:100,nt={start} 42:{TARGET[target]},nt={other}{seen}")
    assert assess_recist(visits)["response"].iloc[-1] == _table_1(target, other, new)


# best overall response with its first day


@pytest.mark.parametrize(
    ("visits", "confirm", "best", "day", "reason"), by_sentence("RECIST 1.1: best overall response")
)
def test_best_response(visits, confirm, best, day, reason):
    wanted = confirm == "yes"
    row = best_response(
        assess_recist(visits_of(visits), criteria=ResponseCriteria(confirm=wanted)),
        criteria=ResponseCriteria(confirm=wanted),
    ).iloc[0]
    assert row["best_response"] == codes_of(best)[0]
    assert row["reason"] == reason
    np.testing.assert_equal(row["best_response_day"], number(day))


# days of death and of another treatment -> PFS, duration of response (dor), whether event or censored


@pytest.mark.parametrize(
    ("visits", "death", "other", "pfs", "event", "duration", "dor_event"),
    by_sentence("RECIST 1.1: PFS and duration of response"),
)
def test_pfs_and_duration_of_response(visits, death, other, pfs, event, duration, dor_event):
    ends = {"death_day": [number(death)], "censor_day": [number(other)]}
    patients = pd.DataFrame({"patient_id": ["a"]} | ends)
    row = best_response(assess_recist(visits_of(visits)), patients).iloc[0]
    columns = ["pfs_days", "pfs_event", "duration_of_response_days", "dor_event"]
    expected = [number(cell) for cell in (pfs, event, duration, dor_event)]
    np.testing.assert_array_equal(row[columns].to_numpy(dtype=float), expected)


def test_confirmed_response_lasts_from_the_first_that_was_confirmed():
    visits = visits_of("0:100 20:60 42:0 84:0 126:20")
    row = best_response(
        assess_recist(visits, criteria=ResponseCriteria(confirm=True)),
        criteria=ResponseCriteria(confirm=True),
    ).iloc[0]
    assert row["best_response"] == "CR"
    assert row["best_response_day"] == 42
    assert row["duration_of_response_days"] == 126 - 20


@pytest.mark.parametrize(
    ("visits", "confirm", "last"),
    [
        pytest.param(
            "0:40 42:0 84:3", False, "PD", id="one CR counts where none need be confirmed"
        ),
        pytest.param("0:40 42:0 84:3", True, "PR", id="an unconfirmed CR was none"),
        pytest.param("0:40 42:0 69:0 84:3", True, "PR", id="27 days do not confirm"),
        pytest.param("0:40 42:0 70:0 84:3", True, "PD", id="28 days confirm"),
        pytest.param("0:40 42:0 56:. 70:0 84:3", True, "PD", id="NE may lie between"),
        pytest.param("0:40 42:0 56:2 70:0 84:3", True, "PR", id="disease may not lie between"),
    ],
)
def test_disease_after_a_complete_response_is_pd_once_that_counts(visits, confirm, last):
    assessed = assess_recist(visits_of(visits), criteria=ResponseCriteria(confirm=confirm))
    assert assessed["response"].iloc[-1] == last


@pytest.mark.parametrize(("min_sd_days", "best"), [(35, "SD"), (36, "NE")])
def test_the_days_of_stable_disease_can_be_set(min_sd_days, best):
    assessed = assess_recist(
        visits_of("0:100 35:95"), criteria=ResponseCriteria(min_sd_days=min_sd_days)
    )
    assert (
        best_response(assessed, criteria=ResponseCriteria(min_sd_days=min_sd_days))[
            "best_response"
        ].item()
        == best
    )


@pytest.mark.parametrize(("confirm_days", "best"), [(56, "PR"), (57, "SD")])
def test_the_days_of_confirmation_can_be_set(confirm_days, best):
    assessed = assess_recist(
        visits_of("0:100 42:60 98:60"), criteria=ResponseCriteria(confirm=True)
    )
    row = best_response(
        assessed, criteria=ResponseCriteria(confirm=True, confirm_days=confirm_days)
    )
    assert row["best_response"].item() == best


def test_every_reason_of_recist_has_a_case():
    shown = {
        part for case in cases_of("RECIST 1.1: response at a visit") for part in case[3].split(";")
    }
    told = {code for code, entry in load_schema("visits").codes.items() if "visit" in entry["of"]}
    irecist_only = {code for code in told - shown if code not in ("baseline", "before_baseline")}
    assert shown <= told
    assert irecist_only == {
        *("new_lesion_persists", "bar_reset", "unconfirmed", "too_early_to_confirm"),
        *("target_growth", "non_target_growth", "more_new_lesions", "larger_new_lesions"),
        *("progression_in_another_category", "confirmed_before"),
    }
    best = {case[-1] for case in cases_of("RECIST 1.1: best overall response")} | {
        "progression_unconfirmed"
    }
    patient = {c for c, e in load_schema("visits").codes.items() if "patient" in e["of"]}
    assert best == patient

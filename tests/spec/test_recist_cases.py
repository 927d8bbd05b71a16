"""RECIST 1.1 as tables of cases (Eisenhauer 2009, 10.1016/j.ejca.2008.10.026; definitions.md, 2).

A visit is written ``day:target_sum`` with, after commas, ``nt`` (non-target; NON is
NON-CR/NON-PD), ``new`` (new lesions: their number, 1 if none is given), ``newsum`` (mm),
``worse`` (non-target disease grew further), ``nn`` (sum of non-nodal targets, mm), ``node``
(largest short axis, mm) and ``part`` (sum over the targets that were measured, mm). ``.`` is not
recorded. Responses are those of the visits after baseline.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stratify.recist import assess_recist, best_response
from stratify.schema import load_schema

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


def cases_of(table: str) -> list[list[str]]:
    lines = [line for line in table.strip().splitlines() if not line.startswith("#")]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines[1:]]


def by_sentence(table: str) -> list[Any]:
    return [pytest.param(*cells, id=sentence) for sentence, *cells in cases_of(table)]


def number(cell: str) -> float:
    return np.nan if cell == "." else float(cell)


VISITS = """
case                                             | visits                                                 | responses | reason of the last one
# partial response: 30 % below baseline
30 percent below baseline is PR                  | 0:100 42:70                                            | PR        | partial_response
29.9 percent below baseline is SD                | 0:100 42:70.1                                          | SD        | stable
30 percent is met in spite of binary rounding    | 0:53 42:37.1                                           | PR        | partial_response
29.99 percent is not rounded to 30               | 0:100 42:70.01                                         | SD        | stable
PR is counted from baseline, not from the nadir  | 0:100 42:110 84:77                                     | SD SD     | stable
PR after PR is judged anew                       | 0:100 42:65 84:75 126:69                               | PR SD PR  | partial_response
# progression: 20 % and 5 mm above the nadir
20 percent above baseline is PD                  | 0:100 42:120                                           | PD        | target_progression
19.9 percent above baseline is SD                | 0:100 42:119.9                                         | SD        | stable
20 percent is met in spite of rounding           | 0:36.4 42:43.68                                        | PD        | target_progression
20 percent and 5 mm exactly is PD                | 0:25 42:30                                             | PD        | target_progression
20 percent but 4.9 mm is SD                      | 0:24.5 42:29.4                                         | SD        | stable
40 percent but 4 mm is SD                        | 0:10 42:14                                             | SD        | stable
50 percent and 5 mm is PD                        | 0:10 42:15                                             | PD        | target_progression
5 mm but 10 percent is SD                        | 0:50 42:55                                             | SD        | stable
PD is counted from the nadir                     | 0:100 42:50 84:60                                      | PR PD     | target_progression
PD goes before PR at one visit                   | 0:100 42:40 84:55                                      | PR PD     | target_progression
19.9 percent over the nadir is no PD             | 0:100 42:50 84:59.9                                    | PR PR     | partial_response
small steps add up over the nadir                | 0:50 42:54 84:58 126:60                                | SD SD PD  | target_progression
the nadir counts baseline                        | 0:50 42:55 84:60                                       | SD PD     | target_progression
a sum over measured targets can show PD          | 0:50 42:.,part=60                                      | PD        | target_progression
# complete response: targets and nodes
all gone is CR                                   | 0:40 42:0                                              | CR        | complete_response
nodes of 9.9 mm are CR                           | 0:40,nn=25,node=15 42:9.9,nn=0,node=9.9                | CR        | complete_response
a node of 10 mm is no CR                         | 0:40,nn=25,node=15 42:10,nn=0,node=10                  | PR        | partial_response
a non-nodal target of 2 mm is no CR              | 0:40,nn=25,node=15 42:9,nn=2,node=7                    | PR        | partial_response
several normal nodes are CR                      | 0:60,nn=0,node=20 42:27,nn=0,node=9                    | CR        | complete_response
node unknown but sum below 10 mm is CR           | 0:40 42:8,nn=0                                         | CR        | complete_response
node unknown and sum 12 mm is no CR              | 0:40 42:12,nn=0                                        | PR        | partial_response
a sum without its parts is no CR                 | 0:40 42:8                                              | PR        | partial_response
normal nodes may grow                            | 0:60,nn=0,node=20 42:12,nn=0,node=6 84:18,nn=0,node=9  | CR CR     | complete_response
nodes grow back by 20 percent and 5 mm           | 0:60,nn=0,node=20 42:12,nn=0,node=6 84:24,nn=0,node=12 | CR PD     | target_progression
# disease seen again after CR (table 3, note)
a lesion back after CR is PD                     | 0:40 42:0 84:3                                         | CR PD     | relapse_after_complete_response
non-target disease back after CR is PD           | 0:40,nt=NON 42:0,nt=CR 84:0,nt=NON                     | CR PD     | relapse_after_complete_response
a large lesion back is PD by its size            | 0:40 42:0 84:6                                         | CR PD     | target_progression
a node of 10 mm after CR is not a lesion back    | 0:40,nn=0,node=20 42:9,nn=0,node=9 84:10,nn=0,node=10  | CR PR     | partial_response
NE between does not hide it                      | 0:40 42:0 84:. 126:3                                   | CR NE PD  | relapse_after_complete_response
# new lesions
a new lesion is PD while targets shrink          | 0:100 42:40,new                                        | PD        | new_lesion
a new lesion is PD while targets are gone        | 0:100 42:0,new                                         | PD        | new_lesion
a new lesion is PD without measured targets      | 0:100 42:.,new                                         | PD        | new_lesion
every sign of PD is told                         | 0:100 42:130,nt=PD,new                                 | PD        | target_progression;new_lesion;non_target_progression
a new lesion at baseline is not read             | 0:100,new 42:100                                       | SD        | stable
# non-target disease
non-target PD alone is PD                        | 0:100,nt=NON 42:60,nt=PD                               | PD        | non_target_progression
targets gone, non-target persists is PR          | 0:40,nt=NON 42:0,nt=NON                                | PR        | targets_gone_non_target_persists
targets gone, non-target NE is PR                | 0:40,nt=NON 42:0,nt=NE                                 | PR        | targets_gone_non_target_not_evaluated
non-target left empty is NE if there at baseline | 0:40,nt=NON 42:0                                       | PR        | targets_gone_non_target_not_evaluated
non-target left empty is absent if never there   | 0:40 42:0                                              | CR        | complete_response
non-target only: CR                              | 0:.,nt=NON 42:.,nt=CR                                  | CR        | complete_response
non-target only: persists                        | 0:.,nt=NON 42:.,nt=NON                                 | NON       | non_target_persists
non-target only: PD                              | 0:.,nt=NON 42:.,nt=PD                                  | PD        | non_target_progression
non-target only: NE                              | 0:.,nt=NON 42:.,nt=NE                                  | NE        | non_target_not_evaluated
non-target only: back after CR is PD             | 0:.,nt=NON 42:.,nt=CR 84:.,nt=NON                      | CR PD     | relapse_after_complete_response
a sum of 0 at baseline is no target disease      | 0:0,nt=NON 42:0,nt=NON                                 | NON       | non_target_persists
no disease at all is NE                          | 0:. 42:.                                               | NE        | no_disease_recorded
no disease and a new lesion is PD                | 0:. 42:.,new                                           | PD        | new_lesion
# not evaluable
targets not measured is NE                       | 0:100 42:.                                             | NE        | target_not_measured
targets in part measured without PD is NE        | 0:100 42:.,part=20                                     | NE        | target_not_measured
targets NE although non-target is CR             | 0:100,nt=NON 42:.,nt=CR                                | NE        | target_not_measured
a sum without a baseline sum is NE               | 0:.,nt=NON 42:50,nt=NON                                | NE        | baseline_sum_missing
no baseline is NE                                | 14:100 56:60                                           | NE NE     | no_baseline
no baseline is NE even with a new lesion         | 14:100 56:60,new                                       | NE NE     | no_baseline
NE leaves the nadir as it was                    | 0:100 42:50 84:. 126:60                                | PR NE PD  | target_progression
# baseline
the last visit up to day 0 is baseline           | -28:200 0:100 42:70                                    | PR        | partial_response
an earlier smaller sum is no nadir               | -28:50 -1:100 42:65                                    | PR        | partial_response
day 1 is no baseline                             | -7:100 1:100 42:70                                     | SD PR     | partial_response
SD before day 42 says so                         | 0:100 41:95                                            | SD        | stable_before_min_sd_days
"""


@pytest.mark.parametrize(("visits", "responses", "reason"), by_sentence(VISITS))
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
BEST = """
case                                       | visits                      | confirm | best | day | reason
# without confirmation the best response counts
CR is best                                 | 0:100 42:0 84:0             | no      | CR   | 42  | response
PR before PD is best                       | 0:100 42:60 84:90           | no      | PR   | 42  | response
PR then SD then PR                         | 0:100 42:65 84:75 126:69    | no      | PR   | 42  | response
SD then PR then PD                         | 0:100 42:90 84:60 126:90    | no      | PR   | 84  | response
CR after PD does not count                 | 0:100 42:130 84:0           | no      | PD   | 42  | progression
PR before day 42 counts                    | 0:100 20:60                 | no      | PR   | 20  | response
PD only                                    | 0:100 30:130                | no      | PD   | 30  | progression
NE then PD                                 | 0:100 42:. 84:130           | no      | PD   | 84  | progression
NON-CR/NON-PD                              | 0:.,nt=NON 42:.,nt=NON      | no      | NON  | 42  | stable
# SD needs 42 days
SD on day 42                               | 0:100 42:100                | no      | SD   | 42  | stable
SD on day 41 only is NE                    | 0:100 41:100                | no      | NE   | .   | stable_too_short
SD on day 41, then 43                      | 0:100 41:100 43:100         | no      | SD   | 43  | stable
SD on day 41, then PD is PD                | 0:100 41:100 80:130         | no      | PD   | 80  | progression
SD on day 42, then PD is SD                | 0:100 42:100 80:130         | no      | SD   | 42  | stable
SD on day 41, then NE is NE                | 0:100 41:100 80:.           | no      | NE   | .   | stable_too_short
NON-CR/NON-PD on day 41 is NE              | 0:.,nt=NON 41:.,nt=NON      | no      | NE   | .   | stable_too_short
# confirmation after 28 days
PR confirmed after 28 days                 | 0:100 42:60 70:60           | yes     | PR   | 42  | response_confirmed
PR not confirmed after 27 days             | 0:100 42:60 69:60           | yes     | SD   | 42  | response_unconfirmed
CR confirmed after 28 days                 | 0:100 42:0 70:0             | yes     | CR   | 42  | response_confirmed
CR not confirmed after 27 days             | 0:100 42:0 69:0             | yes     | SD   | 42  | response_unconfirmed
PR confirmed by the visit after next       | 0:100 42:60 56:60 70:60     | yes     | PR   | 42  | response_confirmed
PR confirmed by CR                         | 0:100 42:60 84:0            | yes     | PR   | 42  | response_confirmed
PR and NE and PR                           | 0:100 42:60 84:. 126:60     | yes     | PR   | 42  | response_confirmed
PR and SD and PR                           | 0:100 42:65 84:75 126:69    | yes     | PR   | 42  | response_confirmed
CR and NE and CR                           | 0:100 42:0 84:. 126:0       | yes     | CR   | 42  | response_confirmed
CR and PR and CR is PR                     | 0:100 42:0 84:3 126:0       | yes     | PR   | 42  | response_confirmed
CR and PR, then CR twice is CR             | 0:100 42:0 84:3 126:0 168:0 | yes     | CR   | 126 | response_confirmed
SD then PR confirmed                       | 0:100 42:90 84:60 126:60    | yes     | PR   | 84  | response_confirmed
PR is not confirmed after PD               | 0:100 42:60 84:90 126:60    | yes     | SD   | 42  | response_unconfirmed
two early CR, 27 days apart                | 0:100 20:0 47:0             | yes     | SD   | 47  | response_unconfirmed
non-target CR unconfirmed is NON-CR/NON-PD | 0:.,nt=NON 42:.,nt=CR       | yes     | NON  | 42  | response_unconfirmed
# RECIST 1.1, table 3: first and second visit -> best response, confirmation wanted
table 3: CR, CR                            | 0:100 42:0 84:0             | yes     | CR   | 42  | response_confirmed
table 3: CR, PR taken as never CR          | 0:100 42:0 84:3             | yes     | PR   | 42  | response_confirmed
table 3: CR, SD late                       | 0:6 42:0 84:4.5             | yes     | SD   | 42  | response_unconfirmed
table 3: CR, PD late is SD                 | 0:100 42:0 84:30            | yes     | SD   | 42  | response_unconfirmed
table 3: CR, PD early is PD                | 0:100 30:0 84:30            | yes     | PD   | 84  | progression
table 3: CR, NE late is SD                 | 0:100 42:0 84:.             | yes     | SD   | 42  | response_unconfirmed
table 3: CR, NE early is NE                | 0:100 30:0 84:.             | yes     | NE   | .   | stable_too_short
table 3: PR, CR                            | 0:100 42:60 84:0            | yes     | PR   | 42  | response_confirmed
table 3: PR, PR                            | 0:100 42:60 84:60           | yes     | PR   | 42  | response_confirmed
table 3: PR, SD                            | 0:100 42:65 84:75           | yes     | SD   | 42  | response_unconfirmed
table 3: PR, PD late is SD                 | 0:100 42:60 84:90           | yes     | SD   | 42  | response_unconfirmed
table 3: PR, PD early is PD                | 0:100 30:60 84:90           | yes     | PD   | 84  | progression
table 3: PR, NE late is SD                 | 0:100 42:60 84:.            | yes     | SD   | 42  | response_unconfirmed
table 3: PR, NE early is NE                | 0:100 30:60 84:.            | yes     | NE   | .   | stable_too_short
table 3: NE, NE                            | 0:100 42:. 84:.             | yes     | NE   | .   | not_evaluable
# nothing to judge
baseline only                              | 0:100                       | no      | NE   | .   | no_assessment_after_baseline
no baseline                                | 14:100 60:60                | no      | NE   | .   | no_baseline
"""


@pytest.mark.parametrize(("visits", "confirm", "best", "day", "reason"), by_sentence(BEST))
def test_best_response(visits, confirm, best, day, reason):
    wanted = confirm == "yes"
    row = best_response(assess_recist(visits_of(visits), confirm=wanted), confirm=wanted).iloc[0]
    assert row["best_response"] == codes_of(best)[0]
    assert row["reason"] == reason
    np.testing.assert_equal(row["best_response_day"], number(day))


# days of death and of another treatment -> PFS, duration of response (dor), whether event or censored
ENDS = """
case                                         | visits                 | death | other | pfs | event | dor | event
PD is the event                              | 0:100 42:60 84:90      | .     | .     | 84  | 1     | 42  | 1
the first PD is the event                    | 0:100 42:130 84:160    | .     | .     | 42  | 1     | .   | .
PD goes before a later death                 | 0:100 42:60 84:90      | 200   | .     | 84  | 1     | 42  | 1
death without PD is the event                | 0:100 42:60 84:60      | 200   | .     | 200 | 1     | 158 | 1
death before the first assessment            | 0:100                  | 20    | .     | 20  | 1     | .   | .
alive without PD ends at the last assessment | 0:100 42:60 84:60      | .     | .     | 84  | 0     | 42  | 0
an NE at the end is no assessment            | 0:100 42:60 84:.       | .     | .     | 42  | 0     | 0   | 0
baseline only ends at day 0                  | 0:100                  | .     | .     | 0   | 0     | .   | .
only NE ends at day 0                        | 0:100 42:.             | .     | .     | 0   | 0     | .   | .
no baseline ends at day 0                    | 14:100 60:130          | .     | .     | 0   | 0     | .   | .
death counts without a baseline              | 14:100 60:130          | 90    | .     | 90  | 1     | .   | .
SD has no duration of response               | 0:100 42:95            | .     | .     | 42  | 0     | .   | .
response counts from the first PR            | 0:100 42:60 84:0 126:0 | .     | .     | 126 | 0     | 84  | 0
PD after other treatment is not counted      | 0:100 42:60 84:90      | .     | 80    | 42  | 0     | 0   | 0
PD on the day of other treatment counts      | 0:100 42:60 84:90      | .     | 84    | 84  | 1     | 42  | 1
death after other treatment is not counted   | 0:100 42:60            | 200   | 80    | 42  | 0     | 0   | 0
other treatment before any assessment        | 0:100 42:60            | .     | 20    | 0   | 0     | .   | .
"""


@pytest.mark.parametrize(
    ("visits", "death", "other", "pfs", "event", "duration", "dor_event"), by_sentence(ENDS)
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
    row = best_response(assess_recist(visits, confirm=True), confirm=True).iloc[0]
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
    assessed = assess_recist(visits_of(visits), confirm=confirm)
    assert assessed["response"].iloc[-1] == last


@pytest.mark.parametrize(("min_sd_days", "best"), [(35, "SD"), (36, "NE")])
def test_the_days_of_stable_disease_can_be_set(min_sd_days, best):
    assessed = assess_recist(visits_of("0:100 35:95"), min_sd_days=min_sd_days)
    assert best_response(assessed, min_sd_days=min_sd_days)["best_response"].item() == best


@pytest.mark.parametrize(("confirm_days", "best"), [(56, "PR"), (57, "SD")])
def test_the_days_of_confirmation_can_be_set(confirm_days, best):
    assessed = assess_recist(visits_of("0:100 42:60 98:60"), confirm=True)
    row = best_response(assessed, confirm=True, confirm_days=confirm_days)
    assert row["best_response"].item() == best


def test_every_reason_of_recist_has_a_case():
    shown = {part for case in cases_of(VISITS) for part in case[3].split(";")}
    told = {code for code, entry in load_schema("visits").codes.items() if "visit" in entry["of"]}
    irecist_only = {code for code in told - shown if code not in ("baseline", "before_baseline")}
    assert shown <= told
    assert irecist_only == {
        *("new_lesion_persists", "bar_reset", "unconfirmed", "too_early_to_confirm"),
        *("target_growth", "non_target_growth", "more_new_lesions", "larger_new_lesions"),
        *("progression_in_another_category", "confirmed_before"),
    }
    best = {case[-1] for case in cases_of(BEST)} | {"progression_unconfirmed"}
    patient = {c for c, e in load_schema("visits").codes.items() if "patient" in e["of"]}
    assert best == patient

"""iRECIST as tables of cases (Seymour 2017, 10.1016/S1470-2045(17)30074-8; definitions.md, 2).

Visits are written as in ``test_recist_cases``; responses are those of the visits after baseline.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_recist_cases import by_sentence, cases_of, number, visits_of

from stratify.irecist import assess_irecist, best_irecist
from stratify.recist import assess_recist
from stratify.schema import load_schema


def codes_of(text: str) -> list[str]:
    return ["NON-iCR/NON-iUPD" if code == "NON" else code for code in text.split()]


VISITS = """
case                                                       | visits                                                                | responses          | reason of the last one
# before any progression all is as in RECIST 1.1
CR is iCR                                                  | 0:40 42:0                                                             | iCR                | complete_response
PR is iPR                                                  | 0:100 42:70                                                           | iPR                | partial_response
SD is iSD                                                  | 0:100 42:100                                                          | iSD                | stable
early SD says so                                           | 0:100 41:100                                                          | iSD                | stable_before_min_sd_days
non-target disease only                                    | 0:.,nt=NON 42:.,nt=NON                                                | NON                | non_target_persists
not measured is NE                                         | 0:100 42:.                                                            | NE                 | target_not_measured
no baseline is NE                                          | 14:100 56:160                                                         | NE NE              | no_baseline
# the first progression is unconfirmed
targets progress                                           | 0:100 42:120                                                          | iUPD               | target_progression
targets do not progress below 20 percent                   | 0:100 42:119.9                                                        | iSD                | stable
non-target disease progresses                              | 0:100,nt=NON 42:100,nt=PD                                             | iUPD               | non_target_progression
a new lesion                                               | 0:100 42:60,new                                                       | iUPD               | new_lesion
all at once                                                | 0:100,nt=NON 42:130,nt=PD,new                                         | iUPD               | target_progression;new_lesion;non_target_progression
disease is seen again after iCR                            | 0:40 42:0 84:3                                                        | iCR iUPD           | relapse_after_complete_response
# iUPD persists without further growth
no change                                                  | 0:100 42:120 84:120                                                   | iUPD iUPD          | unconfirmed
less, but still 20 percent above the nadir                 | 0:100 42:130 84:121                                                   | iUPD iUPD          | unconfirmed
4.9 mm more                                                | 0:100 42:120 84:124.9                                                 | iUPD iUPD          | unconfirmed
non-target PD, not worse                                   | 0:100,nt=NON 42:100,nt=PD 84:100,nt=PD                                | iUPD iUPD          | unconfirmed
the new lesion as before                                   | 0:100 42:60,new 84:60,new                                             | iUPD iUPD          | unconfirmed
the new lesion 4.9 mm larger                               | 0:100 42:100,new,newsum=10 84:100,new,newsum=14.9                     | iUPD iUPD          | unconfirmed
shrinking targets, non-target PD                           | 0:100,nt=NON 42:100,nt=PD 84:60,nt=PD                                 | iUPD iUPD          | unconfirmed
PR, then a new lesion, then no change (scenario F)         | 0:100 42:60 84:60,new 126:60,new                                      | iPR iUPD iUPD      | unconfirmed
NE between leaves the block open                           | 0:100 42:120 84:. 126:120                                             | iUPD NE iUPD       | unconfirmed
new lesion alone, targets then grow 5 mm below 20 percent  | 0:100 42:100,new 84:105,new                                           | iUPD iUPD          | unconfirmed
# iCPD: the same category grows further, 28 days later or more
targets 5 mm more                                          | 0:100 42:120 84:125                                                   | iUPD iCPD          | target_growth
targets 5 mm more after 28 days                            | 0:100 42:120 70:125                                                   | iUPD iCPD          | target_growth
targets 5 mm more after 27 days                            | 0:100 42:120 69:125                                                   | iUPD iUPD          | too_early_to_confirm
then again after 28 days                                   | 0:100 42:120 69:125 84:125                                            | iUPD iUPD iCPD     | target_growth
targets 4 and then 1 mm more add up                        | 0:100 42:120 84:124 126:125                                           | iUPD iUPD iCPD     | target_growth
targets less, then 5 mm more than at first                 | 0:100 42:125 84:121 126:130                                           | iUPD iUPD iCPD     | target_growth
targets less, then 5 mm more than then                     | 0:100 42:130 84:121 126:130                                           | iUPD iUPD iUPD     | unconfirmed
targets 5 mm more after NE                                 | 0:100 42:120 84:. 126:125                                             | iUPD NE iCPD       | target_growth
non-target disease worse                                   | 0:100,nt=NON 42:100,nt=PD 84:100,nt=PD,worse                          | iUPD iCPD          | non_target_growth
non-target disease worse, not again unequivocal            | 0:100,nt=NON 42:100,nt=PD 84:100,nt=NON,worse                         | iUPD iCPD          | non_target_growth
non-target disease worse too early                         | 0:100,nt=NON 42:100,nt=PD 69:100,nt=PD,worse                          | iUPD iUPD          | too_early_to_confirm
non-target disease worse early, and still PD               | 0:100,nt=NON 42:100,nt=PD 69:100,nt=PD,worse 84:100,nt=PD             | iUPD iUPD iCPD     | non_target_growth
worse at the iUPD itself confirms nothing                  | 0:100,nt=NON 42:100,nt=PD,worse 84:100,nt=PD                          | iUPD iUPD          | unconfirmed
more new lesions                                           | 0:100 42:100,new=1 84:100,new=2                                       | iUPD iCPD          | more_new_lesions
more new lesions while targets shrink                      | 0:100 42:60,new=1 84:40,new=2                                         | iUPD iCPD          | more_new_lesions
new lesions 5 mm larger                                    | 0:100 42:100,new,newsum=10 84:100,new,newsum=15                       | iUPD iCPD          | larger_new_lesions
new lesions 3 and then 2 mm larger add up                  | 0:100 42:100,new,newsum=10 84:100,new,newsum=13 126:100,new,newsum=15 | iUPD iUPD iCPD     | larger_new_lesions
several ways at once                                       | 0:100 42:120,new 84:130,new=2                                         | iUPD iCPD          | target_growth;more_new_lesions
# iCPD: another category progresses
targets, then a new lesion                                 | 0:100 42:120 84:120,new                                               | iUPD iCPD          | progression_in_another_category
targets, then non-target disease                           | 0:100,nt=NON 42:120,nt=NON 84:120,nt=PD                               | iUPD iCPD          | progression_in_another_category
a new lesion, then targets                                 | 0:100 42:100,new 84:120,new                                           | iUPD iCPD          | progression_in_another_category
non-target disease, then a new lesion                      | 0:100,nt=NON 42:100,nt=PD 84:100,nt=PD,new                            | iUPD iCPD          | progression_in_another_category
another category too early                                 | 0:100 42:120 69:120,new                                               | iUPD iUPD          | too_early_to_confirm
another category after targets shrank                      | 0:100 42:120 84:90,new                                                | iUPD iCPD          | progression_in_another_category
# a category not assessed at the iUPD is compared with its first assessment
targets not measured at first                              | 0:100 42:.,new 84:130,new 126:130,new                                 | iUPD iUPD iUPD     | unconfirmed
targets not measured at first, then 5 mm more              | 0:100 42:.,new 84:130,new 126:135,new                                 | iUPD iUPD iCPD     | target_growth
targets measured in part at first                          | 0:100 42:.,part=125 84:140 126:144                                    | iUPD iUPD iUPD     | unconfirmed
non-target not evaluated at first                          | 0:100,nt=NON 42:130,nt=NE 84:130,nt=PD                                | iUPD iUPD          | unconfirmed
# a response resets the bar: a new iUPD is needed
iUPD then iSD                                              | 0:100 42:120 84:110                                                   | iUPD iSD           | stable;bar_reset
iUPD then iPR                                              | 0:100 42:120 84:70                                                    | iUPD iPR           | partial_response;bar_reset
iUPD then iCR                                              | 0:100 42:120 84:0                                                     | iUPD iCR           | complete_response;bar_reset
iUPD of non-target disease then not                        | 0:100,nt=NON 42:100,nt=PD 84:100,nt=NON                               | iUPD iSD           | stable;bar_reset
iUPD of a new lesion that goes                             | 0:100 42:100,new 84:100                                               | iUPD iSD           | stable;bar_reset
iUPD of non-target disease only, then not                  | 0:.,nt=NON 42:.,nt=PD 84:.,nt=NON                                     | iUPD NON           | non_target_persists;bar_reset
shrinkage resets before 28 days                            | 0:100 42:120 63:100                                                   | iUPD iSD           | stable;bar_reset
a new lesion that stays while targets respond (scenario B) | 0:100 42:95,new 84:60,new                                             | iUPD iPR           | partial_response;bar_reset
a new lesion that stays, targets gone                      | 0:100 42:95,new 84:0,new                                              | iUPD iPR           | new_lesion_persists;bar_reset
a new lesion that stays, non-target disease only, gone     | 0:.,nt=NON 42:.,nt=PD,new 84:.,nt=CR,new                              | iUPD NON           | new_lesion_persists;bar_reset
targets grow, then respond (scenario D)                    | 0:100 42:90 84:130 126:65                                             | iSD iUPD iPR       | partial_response;bar_reset
after a reset growth is a new iUPD                         | 0:100 42:120 84:110 126:140                                           | iUPD iSD iUPD      | target_progression
and is confirmed by its own growth                         | 0:100 42:120 84:110 126:140 168:145                                   | iUPD iSD iUPD iCPD | target_growth
iUPD then iPR then a new iUPD                              | 0:100 42:120 84:60 126:75                                             | iUPD iPR iUPD      | target_progression
the nadir stays after a reset                              | 0:100 42:50 84:65 126:55 168:60                                       | iPR iUPD iPR iUPD  | target_progression
a lesion known since a reset is no new iUPD                | 0:100 42:95,new 84:60,new 126:60,new                                  | iUPD iPR iPR       | partial_response
one more new lesion since a reset is                       | 0:100 42:95,new 84:60,new 126:60,new=2                                | iUPD iPR iUPD      | new_lesion
a known lesion 20 percent and 5 mm larger is               | 0:100 42:95,new,newsum=20 84:60,new,newsum=20 126:60,new,newsum=25    | iUPD iPR iUPD      | new_lesion
a known lesion 4.9 mm larger is not                        | 0:100 42:95,new,newsum=20 84:60,new,newsum=20 126:60,new,newsum=24.9  | iUPD iPR iPR       | partial_response
a new lesion that went and came again                      | 0:100 42:100,new 84:100 126:100,new                                   | iUPD iSD iUPD      | new_lesion
# after iCPD
iCPD stays                                                 | 0:100 42:120 84:125 126:60                                            | iUPD iCPD iCPD     | confirmed_before
"""


@pytest.mark.parametrize(("visits", "responses", "reason"), by_sentence(VISITS))
def test_response_at_a_visit(visits, responses, reason):
    assessed = assess_irecist(visits_of(visits))
    after = assessed[assessed["response"].notna()]
    assert after["response"].tolist() == codes_of(responses)
    assert after["reason"].iloc[-1] == reason


# Best overall response, with iSD counted from day 42 on.
BEST = """
case                                     | visits                              | best | day | reason
# table 3 of the guideline
example 1: iCR, then iUPD and iCPD       | 0:40 42:0 84:0 126:30 168:40        | iCR  | 42  | response
example 2: iUPD, iSD, iCR                | 0:100 42:120 84:100 126:0 168:0     | iCR  | 126 | response
example 3: iUPD, iPR, then iUPD and iCPD | 0:100 42:120 84:60 126:90 168:100   | iPR  | 84  | response
example 4: iUPD, NE, iPR                 | 0:100 42:120 84:. 126:60            | iPR  | 126 | response
example 5: iUPD, iSD, then iUPD and iCPD | 0:100 42:120 84:100 126:130 168:140 | iSD  | 84  | stable
example 6: iUPD, iCPD, whatever later    | 0:100 42:120 84:130 126:0           | iCPD | 84  | progression
example 7: iUPD, iUPD, iCPD              | 0:100 42:120 84:120 126:130         | iCPD | 126 | progression
example 8: iUPD, then NE                 | 0:100 42:120 84:. 126:.             | iUPD | 42  | progression_unconfirmed
# and beyond
non-target disease only                  | 0:.,nt=NON 42:.,nt=NON              | NON  | 42  | stable
iSD on day 41 only is NE                 | 0:100 41:100                        | NE   | .   | stable_too_short
iSD on day 41, then iUPD                 | 0:100 41:100 84:130                 | iUPD | 84  | progression_unconfirmed
iUPD, then iSD on day 41                 | 0:100 20:130 41:110                 | iUPD | 20  | progression_unconfirmed
only NE                                  | 0:100 42:.                          | NE   | .   | not_evaluable
baseline only                            | 0:100                               | NE   | .   | no_assessment_after_baseline
no baseline                              | 14:100                              | NE   | .   | no_baseline
"""


@pytest.mark.parametrize(("visits", "best", "day", "reason"), by_sentence(BEST))
def test_best_response(visits, best, day, reason):
    row = best_irecist(assess_irecist(visits_of(visits))).iloc[0]
    assert row["best_response"] == codes_of(best)[0]
    assert row["reason"] == reason
    np.testing.assert_equal(row["best_response_day"], number(day))


CONFIRMED = """
case                            | visits                          | best | day
iPR seen again after 28 days    | 0:100 42:60 70:60               | iPR  | 42
iPR seen again after 27 days    | 0:100 42:60 69:60               | iSD  | 42
iPR after iUPD, seen again      | 0:100 42:120 84:60 126:60       | iPR  | 84
iPR, iUPD, iPR is not confirmed | 0:100 42:60 84:75 126:60        | iSD  | 42
iPR, iUPD, iPR, iPR is          | 0:100 42:60 84:75 126:60 168:60 | iPR  | 126
iCR seen again                  | 0:100 42:0 84:0                 | iCR  | 42
"""


@pytest.mark.parametrize(("visits", "best", "day"), by_sentence(CONFIRMED))
def test_confirmed_best_response(visits, best, day):
    assessed = assess_irecist(visits_of(visits), confirm=True)
    row = best_irecist(assessed, confirm=True).iloc[0]
    assert (row["best_response"], row["best_response_day"]) == (best, number(day))


# PFS with the last, never confirmed block as progression (counted) and without (not counted).
ENDS = """
case                                  | visits                              | death | other | counted | event | not counted | event
iUPD then iCPD: the day of iUPD       | 0:100 42:100 84:120 126:130         | .     | .     | 84      | 1     | 84          | 1
the first iUPD of the block           | 0:100 42:120 84:120 126:. 168:130   | .     | .     | 42      | 1     | 42          | 1
a block that was reset does not count | 0:100 42:120 84:100 126:130 168:140 | .     | .     | 126     | 1     | 126         | 1
reset, never again progressive        | 0:100 42:120 84:100 126:100         | .     | .     | 126     | 0     | 126         | 0
last iUPD without another assessment  | 0:100 42:100 84:120                 | .     | .     | 84      | 1     | 42          | 0
last iUPD, then only NE               | 0:100 42:100 84:120 126:.           | .     | .     | 84      | 1     | 42          | 0
last iUPD, then only iUPD             | 0:100 42:100 84:120 126:120         | .     | .     | 84      | 1     | 42          | 0
last iUPD, then death                 | 0:100 42:100 84:120                 | 100   | .     | 84      | 1     | 100         | 1
only iUPD, then death                 | 0:100 42:120                        | 100   | .     | 42      | 1     | 100         | 1
only iUPD                             | 0:100 42:120                        | .     | .     | 42      | 1     | 0           | 0
reset, then death                     | 0:100 42:120 84:100                 | 100   | .     | 100     | 1     | 100         | 1
iCPD, then death                      | 0:100 42:120 84:130                 | 100   | .     | 42      | 1     | 42          | 1
confirmed only after other treatment  | 0:100 42:100 84:120 126:130         | .     | 100   | 84      | 1     | 42          | 0
iUPD after other treatment            | 0:100 42:100 84:120 126:130         | 200   | 60    | 42      | 0     | 42          | 0
death without progression             | 0:100 42:100                        | 100   | .     | 100     | 1     | 100         | 1
baseline only                         | 0:100                               | .     | .     | 0       | 0     | 0           | 0
no baseline                           | 14:100 60:130                       | 90    | .     | 90      | 1     | 90          | 1
"""


@pytest.mark.parametrize(
    ("visits", "death", "other", "counted", "event", "not_counted", "other_event"),
    by_sentence(ENDS),
)
def test_pfs(visits, death, other, counted, event, not_counted, other_event):
    ends = {"death_day": [number(death)], "censor_day": [number(other)]}
    patients = pd.DataFrame({"patient_id": ["a"]} | ends)
    assessed = assess_irecist(visits_of(visits))
    for count, days, happened in ((True, counted, event), (False, not_counted, other_event)):
        row = best_irecist(assessed, patients, count_unconfirmed_last=count).iloc[0]
        assert (row["pfs_days"], row["pfs_event"]) == (number(days), number(happened))


def test_duration_of_response_runs_from_the_first_response_to_the_confirmed_progression():
    visits = visits_of("0:100 42:60 84:75 126:60 168:90 210:100")
    assessed = assess_irecist(visits)
    assert assessed["response"].tolist()[1:] == ["iPR", "iUPD", "iPR", "iUPD", "iCPD"]
    row = best_irecist(assessed).iloc[0]
    assert (row["duration_of_response_days"], row["dor_event"]) == (168 - 42, 1)


@pytest.mark.parametrize(("min_icpd_days", "last"), [(42, "iCPD"), (43, "iUPD")])
def test_the_days_to_confirm_progression_can_be_set(min_icpd_days, last):
    assessed = assess_irecist(visits_of("0:100 42:120 84:130"), min_icpd_days=min_icpd_days)
    assert assessed["response"].iloc[-1] == last


def test_up_to_the_first_progression_irecist_is_recist():
    table = pd.concat([visits_of(case[1], case[0]) for case in cases_of(VISITS)])
    recist = assess_recist(table).assign(irecist=assess_irecist(table)["response"])
    names = {"PD": "iUPD", "NON-CR/NON-PD": "NON-iCR/NON-iUPD", "NE": "NE"}
    for sentence, rows in recist[recist["response"].notna()].groupby("patient_id"):
        for one, other in zip(rows["response"], rows["irecist"], strict=True):
            assert other == names.get(one, f"i{one}"), sentence
            if one == "PD":
                break


def test_every_reason_of_irecist_has_a_case():
    shown = {part for case in cases_of(VISITS) for part in case[3].split(";")}
    codes = load_schema("visits").codes
    assert shown <= {code for code, entry in codes.items() if "visit" in entry["of"]}
    assert shown >= {
        *("new_lesion_persists", "bar_reset", "unconfirmed", "too_early_to_confirm"),
        *("target_growth", "non_target_growth", "more_new_lesions", "larger_new_lesions"),
        *("progression_in_another_category", "confirmed_before"),
    }

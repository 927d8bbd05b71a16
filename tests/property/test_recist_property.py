"""Laws of RECIST 1.1 and iRECIST over all visit tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.irecist import IRECIST, assess_irecist, best_irecist
from stratify.recist import RECIST, assess_recist, best_response
from stratify.schema import load_schema

CODES = load_schema("visits").codes
BOTH = [
    pytest.param(assess_recist, best_response, RECIST, id="recist"),
    pytest.param(assess_irecist, best_irecist, IRECIST, id="irecist"),
]

some_mm = st.sampled_from([0, 3, 5, 8, 10, 20, 24, 25, 28, 30, 35, 40, 41, 48, 50, 60, 70, 100])
mm = st.one_of(some_mm, some_mm, st.floats(0, 200).map(lambda size: round(size, 1)), st.none())
NON_TARGET = ["absent", "CR", "NON-CR/NON-PD", "NON-CR/NON-PD", "PD", "NE", None]
visit = st.fixed_dictionaries(
    {
        "target_sum": mm,
        "target_sum_partial": st.one_of(st.none(), st.none(), some_mm),
        "share_non_nodal": st.sampled_from([None, None, 0.0, 0.5, 1.0]),
        "max_nodal_short_axis": st.sampled_from([None, 5.0, 9.9, 10.0, 15.0]),
        "non_target": st.sampled_from(NON_TARGET),
        "non_target_worse": st.booleans(),
        "n_new_lesions": st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3]),
        "new_lesion_sum": st.sampled_from([None, 10, 14, 15, 20]),
        "gap": st.sampled_from([13, 14, 27, 28, 42, 56]),
    }
)
patient = st.tuples(st.sampled_from([-28, -7, 0, 0, 0, 5]), st.lists(visit, min_size=1, max_size=7))
patients = st.lists(patient, min_size=1, max_size=4)
options = st.fixed_dictionaries({"confirm": st.booleans()})


def table(patients: list[tuple[int, list[dict[str, Any]]]]) -> pd.DataFrame:
    rows = []
    for number, (first_day, visits) in enumerate(patients):
        day = first_day
        for i, visit in enumerate(visits):
            row = dict(visit)
            day += row.pop("gap") if i else 0
            share = row.pop("share_non_nodal")
            total = row["target_sum"]
            row["target_non_nodal_sum"] = None if None in (share, total) else share * total
            row["new_lesion"] = row["n_new_lesions"] > 0
            rows.append(row | {"patient_id": f"p{number}", "visit_day": day})
    numbers = ["target_sum", "target_sum_partial", "target_non_nodal_sum", "max_nodal_short_axis"]
    return pd.DataFrame(rows).astype(dict.fromkeys([*numbers, "new_lesion_sum"], float))


def without_last(visits: pd.DataFrame) -> pd.DataFrame:
    days = visits["visit_day"]
    return visits[days < days.groupby(visits["patient_id"]).transform("max")]


@pytest.mark.parametrize(("assess", "best", "names"), BOTH)
@settings(max_examples=80, deadline=None)
@given(patients=patients, options=options)
def test_a_later_visit_never_alters_earlier_responses(assess, best, names, patients, options):
    visits = table(patients)
    before = assess(without_last(visits), **options)
    pd.testing.assert_frame_equal(before, assess(visits, **options).loc[before.index])


@pytest.mark.parametrize(("assess", "best", "names"), BOTH)
@settings(max_examples=80, deadline=None)
@given(patients=patients, options=options)
def test_a_later_visit_never_worsens_a_best_response_that_counts(
    assess, best, names, patients, options
):
    visits = table(patients)
    rank = {name: code for code, name in names.items()}
    after = best(assess(visits, **options), **options).set_index("patient_id")
    before = best(assess(without_last(visits), **options), **options).set_index("patient_id")
    for name, row in before.iterrows():
        if row["reason"] in ("response", "response_confirmed", "stable", "response_unconfirmed"):
            assert rank[after.loc[name, "best_response"]] >= rank[row["best_response"]]
            if after.loc[name, "best_response"] == row["best_response"]:
                assert after.loc[name, "best_response_day"] == row["best_response_day"]


@pytest.mark.parametrize(("assess", "best", "names"), BOTH)
@settings(max_examples=50, deadline=None)
@given(patients=patients, options=options, data=st.data())
def test_the_order_of_rows_is_irrelevant(assess, best, names, patients, options, data):
    visits = table(patients)
    shuffled = visits.loc[data.draw(st.permutations(list(visits.index)))]
    assessed, other = assess(visits, **options), assess(shuffled, **options)
    pd.testing.assert_frame_equal(other.sort_index(), assessed)
    assert other.index.equals(shuffled.index)
    pd.testing.assert_frame_equal(best(other, **options), best(assessed, **options))


@pytest.mark.parametrize(("assess", "best", "names"), BOTH)
@settings(max_examples=50, deadline=None)
@given(patients=patients, options=options)
def test_a_patient_does_not_depend_on_the_others(assess, best, names, patients, options):
    visits = table(patients)
    alone = [assess(own, **options) for _, own in visits.groupby("patient_id")]
    together = assess(visits, **options)
    pd.testing.assert_frame_equal(pd.concat(alone), together)
    outcomes = pd.concat([best(own, **options) for own in alone], ignore_index=True)
    pd.testing.assert_frame_equal(outcomes, best(together, **options))


@pytest.mark.parametrize(("assess", "best", "names"), BOTH)
@settings(max_examples=60, deadline=None)
@given(patients=patients, options=options, death=st.integers(0, 500))
def test_every_response_has_a_reason_and_fits_its_code(
    assess, best, names, patients, options, death
):
    visits = table(patients)
    kept = visits.copy()
    assessed = assess(visits, **options)
    ends = pd.DataFrame({"patient_id": ["p0", "elsewhere"], "death_day": [death, np.nan]})
    outcomes = best(assessed, ends, **options)
    pd.testing.assert_frame_equal(visits, kept)
    assert set(assessed["response"].dropna()) <= set(names.values())
    for row in assessed.to_dict("records"):
        reasons = row["reason"].split(";")
        assert all("visit" in CODES[reason]["of"] for reason in reasons)
        assert (row["response"] is None) == (reasons[0] in ("baseline", "before_baseline"))
        assert (row["response"] == "NE") == CODES[reasons[0]]["meaning"].startswith("NE")
    assert outcomes["patient_id"].is_unique
    assert set(outcomes["patient_id"]) == {*visits["patient_id"], "p0", "elsewhere"}
    for row in outcomes.to_dict("records"):
        assert "patient" in CODES[row["reason"]]["of"]
        assert (row["best_response"] == "NE") == CODES[row["reason"]]["meaning"].startswith("NE")
        assert (row["best_response"] == "NE") == np.isnan(row["best_response_day"])
        responds = row["best_response"].lstrip("i") in ("CR", "PR")
        assert responds == (not np.isnan(row["duration_of_response_days"]))


@pytest.mark.parametrize(("assess", "best", "names"), BOTH)
@settings(max_examples=60, deadline=None)
@given(patients=patients, death=st.integers(0, 500))
def test_death_never_lengthens_pfs_of_a_patient_who_progressed(
    assess, best, names, patients, death
):
    assessed = assess(table(patients))
    ids = assessed["patient_id"].unique()
    without = best(assessed)
    ends = pd.DataFrame({"patient_id": ids, "death_day": float(death)})
    with_death = best(assessed, ends)
    assert (with_death["pfs_event"] == 1).all()
    assert (with_death["pfs_days"] <= death).all()
    events = without["pfs_event"] == 1
    assert (with_death["pfs_days"] <= without["pfs_days"])[events].all()


# Sums in steps of 10 mm: any growth is 10 mm or more, and still 5 mm or more when halved, so that
# only percentages decide. Nodes are left out, for 10 mm is an absolute limit too.
coarse = st.lists(st.integers(0, 20).map(lambda tens: 10.0 * tens), min_size=1, max_size=6)


@pytest.mark.parametrize(("assess", "best", "names"), BOTH)
@settings(max_examples=80, deadline=None)
@given(sums=st.lists(coarse, min_size=1, max_size=3), factor=st.floats(0.5, 7))
def test_percentages_do_not_depend_on_the_scale_far_from_5_mm(assess, best, names, sums, factor):
    visits = pd.DataFrame(
        [
            {"patient_id": f"p{i}", "visit_day": 42 * j, "target_sum": total}
            for i, totals in enumerate(sums)
            for j, total in enumerate(totals)
        ]
    )
    scaled = assess(visits.assign(target_sum=visits["target_sum"] * factor))
    columns = ["response", "reason"]
    pd.testing.assert_frame_equal(scaled[columns], assess(visits)[columns])


@settings(max_examples=120, deadline=None)
@given(patients=patients, options=options)
def test_irecist_is_recist_up_to_the_first_progression_and_progresses_no_earlier(patients, options):
    visits = table(patients)
    recist, irecist = assess_recist(visits, **options), assess_irecist(visits, **options)
    names = {RECIST[code]: IRECIST[code] for code in RECIST} | {"PD": "iUPD"}
    for _, rows in recist.groupby("patient_id"):
        rows = rows.sort_values("visit_day")
        progressed = (rows["response"] == "PD").cumsum().shift(fill_value=0) > 0
        for row, response in rows["response"][~progressed].items():
            expected = None if response is None else names[response]
            assert irecist.loc[row, "response"] == expected
    first, second = best_response(recist, **options), best_irecist(irecist, **options)
    both = (first["pfs_event"] == 1) & (second["pfs_event"] == 1)
    assert (second["pfs_days"] >= first["pfs_days"])[both].all()
    assert (first["pfs_event"] >= second["pfs_event"]).all()


@settings(max_examples=120, deadline=None)
@given(patients=patients, min_icpd_days=st.sampled_from([0, 14, 28, 42]))
def test_confirmed_progression_follows_an_unconfirmed_one_of_the_same_block(
    patients, min_icpd_days
):
    assessed = assess_irecist(table(patients), min_icpd_days=min_icpd_days)
    for _, rows in assessed.sort_values("visit_day").groupby("patient_id"):
        first = None
        for row in rows.to_dict("records"):
            if row["response"] == "iCPD":
                assert first is not None
                assert row["visit_day"] - first >= min_icpd_days
            elif row["response"] == "iUPD":
                first = row["visit_day"] if first is None else first
            elif row["response"] != "NE":
                first = None

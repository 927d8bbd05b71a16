"""Variants and draws of plasma: features, visits, the course on treatment; whole findings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from stratify.biomarkers.ctdna import (
    PlasmaDna,
    detection_limit,
    draws_from_variants,
    plasma_variant_findings,
    quantified,
)
from stratify.biomarkers.ctdna_course import (
    RatioRule,
    course_columns,
    course_features,
    draw_findings,
    visit_of_draws,
)
from stratify.biomarkers.measurement import add_measured
from stratify.tables.findings import Findings
from stratify.tables.measurements import PlasmaRule
from stratify.tables.schema import field_named

nan = np.nan
PATIENTS = pd.DataFrame({"patient_id": ["a", "b", "c"]})


def variants(**columns) -> pd.DataFrame:
    """Variants at baseline: four of patient a, one of them in a usual gene, and one of b."""
    table = {
        "patient_id": ["a", "a", "a", "a", "b"],
        "gene": ["TP53", "KRAS", "DNMT3A", "STK11", "TET2"],
        "chromosome": ["17", "12", "2", "19", "4"],
        "position": [10.0, 20.0, 30.0, 40.0, 50.0],
        "reference_allele": list("CCCGA"),
        "alternate_allele": list("TATAG"),
        "consequence": ["missense", "missense", "missense", "synonymous", "nonsense"],
        "vaf": [0.10, 0.30, 0.06, 0.02, 0.04],
        "depth": [1000.0, 800.0, 1200.0, 60.0, 900.0],
    }
    return pd.DataFrame({**table, **columns})


# rule, columns -> of a and b: variants, mean VAF, maximum VAF
SUMS = [
    pytest.param({}, {}, (4, 1), (0.12, 0.04), (0.30, 0.04), id="all"),
    pytest.param({"vaf_below": 0.2}, {}, (3, 1), (0.06, 0.04), (0.10, 0.04), id="perhaps germline"),
    pytest.param({"vaf_below": 0.3}, {}, (3, 1), (0.06, 0.04), (0.10, 0.04), id="limit is out"),
    pytest.param({"min_depth": 100}, {}, (3, 1), (0.46 / 3, 0.04), (0.30, 0.04), id="low depth"),
    pytest.param({"drop_chip": "genes"}, {}, (3, 0), (0.14, 0), (0.30, 0), id="usual genes"),
    pytest.param(
        {"drop_chip": "white_cells"},
        {"in_white_cells": [1.0, 0, nan, 0, 0]},
        (3, 1),
        (0.38 / 3, 0.04),
        (0.30, 0.04),
        id="white cells",
    ),
    pytest.param(
        {"drop_chip": "genes"},
        {"in_white_cells": [1.0, 0, nan, 0, 0]},
        (2, 0),
        (0.16, 0),
        (0.30, 0),
        id="genes and white cells",
    ),
    pytest.param({}, {"somatic": [1.0, 0, 1, nan, 0]}, (3, 0), (0.06, 0), (0.10, 0), id="germline"),
    pytest.param(
        {"vaf_below": 0.03}, {}, (1, nan), (0.02, nan), (0.02, nan), id="none left is unknown"
    ),
    pytest.param(
        {}, {"vaf": [0.1, 0, 0, nan, 0]}, (2, 0), (0.1 / 3, 0), (0.1, 0), id="looked for, not found"
    ),
]


@pytest.mark.parametrize(("rule", "columns", "n", "mean", "largest"), SUMS)
def test_variants_are_summed_into_draws(rule, columns, n, mean, largest):
    draws = draws_from_variants(variants(**columns), PlasmaRule(**rule))
    assert draws["patient_id"].tolist() == ["a", "b"]
    for name, expected in (("n_variants", n), ("mean_vaf", mean), ("max_vaf", largest)):
        found = draws[f"ctdna_{name}"].tolist()
        assert found == pytest.approx(list(expected), nan_ok=True), name


def test_depth_and_clonal_haematopoiesis_of_a_draw():
    table = variants(in_white_cells=[1.0, 0, nan, 0, 0])
    draws = draws_from_variants(table, PlasmaRule())
    assert draws["ctdna_depth"].tolist() == [900.0, 900.0]
    assert draws["ctdna_chip_variants"].tolist() == [1.0, 0.0]
    without = draws_from_variants(table.drop(columns="in_white_cells"), PlasmaRule())
    assert without["ctdna_chip_variants"].tolist() == [1.0, 1.0]
    neither = table.drop(columns=["in_white_cells", "gene", "depth"])
    assert not {"ctdna_chip_variants", "ctdna_depth"} & set(
        draws_from_variants(neither, PlasmaRule())
    )


@pytest.mark.parametrize(
    ("rule", "counts"),
    [
        ({"consequences": ["missense"]}, (3, 0)),
        ({"consequences": ["missense", "synonymous", "nonsense"]}, (4, 1)),
        ({"consequences": ["missense", "synonymous"], "min_vaf": 0.05}, (3, 0)),
        ({"consequences": ["missense", "synonymous"], "min_depth": 100}, (3, 0)),
    ],
)
def test_btmb_is_counted_by_its_own_rule(rule, counts):
    plasma = PlasmaRule(vaf_below=0.05, btmb={"scored_mb": 1.1, **rule})
    draws = draws_from_variants(variants(), plasma)
    assert draws["btmb"].tolist() == [n / 1.1 for n in counts]


def test_what_is_dropped_as_clonal_haematopoiesis_is_not_counted_either():
    rule = PlasmaRule(drop_chip="genes", btmb={"scored_mb": 1, "consequences": ["missense"]})
    assert draws_from_variants(variants(), rule)["btmb"].tolist() == [2.0, 0.0]


def test_a_variant_looked_for_and_not_found_is_not_counted():
    rule = PlasmaRule(btmb={"scored_mb": 1, "consequences": ["missense", "nonsense"]})
    draws = draws_from_variants(variants(vaf=[0.1, 0, 0.1, 0.1, 0]), rule)
    assert draws["btmb"].tolist() == [2.0, 0.0]


def test_a_variant_in_several_rows_counts_once():
    once = variants()
    twice = pd.concat([once.assign(consequence="synonymous"), once], ignore_index=True)
    rule = PlasmaRule(btmb={"scored_mb": 1, "consequences": ["missense"]})
    pd.testing.assert_frame_equal(draws_from_variants(twice, rule), draws_from_variants(once, rule))


def test_draws_differ_by_day_and_visit():
    both = pd.concat([variants(draw_day=-3.0), variants(draw_day=42.0).iloc[:2]])
    draws = draws_from_variants(both, PlasmaRule())
    assert draws[["patient_id", "draw_day"]].to_numpy().tolist() == [
        ["a", -3.0],
        ["b", -3.0],
        ["a", 42.0],
    ]
    assert draws["ctdna_n_variants"].tolist() == [4, 1, 2]


# ------------------------------------------------------------- molecules and detection


def test_molecules_come_from_a_concentration_alone():
    """Of 0.02 in 10 ng/mL: 3030 haploid genomes, 60.6 of the tumour, in each mL."""
    draws = pd.DataFrame(
        {
            "patient_id": list("abcd"),
            "ctdna_mean_vaf": [0.02, 0.02, 0.02, nan],
            "cfdna_concentration": [10.0, nan, 0.0, 10.0],
        }
    )
    table = quantified(draws)
    assert table["cfdna_hge_per_ml"].tolist() == pytest.approx([3030, nan, nan, 3030], nan_ok=True)
    expected = pytest.approx([60.6, nan, nan, nan], nan_ok=True)
    assert table["ctdna_mtm_per_ml"].tolist() == expected


def test_reported_molecules_stay():
    draws = pd.DataFrame({"patient_id": ["a"], "ctdna_mean_vaf": 0.02, "cfdna_concentration": 10.0})
    table = quantified(draws.assign(ctdna_mtm_per_ml=55.0))
    assert table["ctdna_mtm_per_ml"].tolist() == [55.0]


# mean VAF, stated limit, call of the assay -> detected
DETECTION = [
    (0.02, nan, nan, 1),
    (0.0, nan, nan, 0),
    (nan, nan, nan, nan),
    (0.0005, 0.001, nan, 0),
    (0.001, 0.001, nan, 1),
    (0.0005, 0.001, 1, 1),
    (0.02, nan, 0, 0),
    (nan, 0.001, 0, 0),
]


@pytest.mark.parametrize(("vaf", "limit", "called", "detected"), DETECTION)
def test_detection_is_as_called_else_from_values_and_limit(vaf, limit, called, detected):
    draws = pd.DataFrame(
        {
            "patient_id": ["a"],
            "ctdna_mean_vaf": vaf,
            "ctdna_detection_limit": limit,
            "ctdna_detected": called,
        }
    )
    found = quantified(draws)["ctdna_detected"].tolist()
    assert found == pytest.approx([detected], nan_ok=True)


def test_at_the_limit_of_detection_one_molecule_is_sampled_in_19_of_20():
    depth = pd.Series([1.0, 30.0, 1000.0, 20000.0])
    missed = (1 - detection_limit(depth)) ** depth
    assert missed.tolist() == pytest.approx([0.05] * 4)


# ------------------------------------------------------------- visits

# recorded visit, day -> visit
VISITS = [
    (None, -42, "baseline"),
    (None, -43, nan),
    (None, 0, "baseline"),
    (None, 1, nan),
    (None, 13, nan),
    (None, 14, "week_3"),
    (None, 28, "week_3"),
    (None, 35, "week_6"),
    (None, 49, "week_6"),
    (None, 50, nan),
    (None, 91, "week_12"),
    ("baseline", -43, nan),
    ("baseline", None, "baseline"),
    ("week_6", 35, "week_6"),
    ("week_6", 50, nan),
    ("week_6", None, "week_6"),
    ("week_4", 28, nan),
]


@pytest.mark.parametrize(("recorded", "day", "visit"), VISITS)
def test_a_draw_has_the_visit_recorded_else_that_of_its_day(recorded, day, visit):
    draws = pd.DataFrame({"patient_id": ["a"], "draw_visit": [recorded], "draw_day": [day]})
    found = visit_of_draws(draws.astype({"draw_day": float}), PlasmaRule())[0]
    assert found == visit or (found is visit is nan)


def test_where_visits_are_recorded_days_alone_do_not_decide():
    """A draw at the end of treatment that happens to fall into week 6."""
    draws = pd.DataFrame({"patient_id": "a", "draw_visit": ["week_6", None], "draw_day": [43, 35]})
    assert visit_of_draws(draws, PlasmaRule()).tolist() == ["week_6", nan]


def test_a_week_times_seven_is_a_whole_day():
    """Weeks of an export, 7.000000000000014 x 7, are day 49 and not after it."""
    found = draw_findings(draws(draw_day=[-2.0, 42 + 1e-9, -9.0, 35 - 1e-9]), PlasmaRule())
    assert found.rows == []
    late = pd.DataFrame({"patient_id": ["a"], "draw_day": [49 + 1e-9]})
    assert visit_of_draws(late, PlasmaRule()).tolist() == ["week_6"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"weeks": [3, 4]},
            "the windows of week 3 and week 4 share days; fewer days or other `weeks` are expected",
        ),
        ({"weeks": [6, 7]}, "7 is not known; weeks are 3, 4, 6, 8, 9, 12"),
        ({"drop_chip": True}, "Input should be 'none', 'white_cells' or 'genes'"),
        ({"baseline_within_days": -1}, "Input should be greater than or equal to 0"),
    ],
)
def test_a_rule_is_checked(settings, message):
    with pytest.raises(ValidationError) as wrong:
        PlasmaRule.model_validate(settings)
    assert [error["msg"] for error in wrong.value.errors()] == [message]


# ------------------------------------------------------------- the course on treatment


def course(burdens, days=(-3.0, 42.0), rule=None, **columns) -> dict[str, float]:
    """Features of one patient, without the names' beginning."""
    draws = pd.DataFrame(
        {"patient_id": "a", "draw_day": days, "ctdna_mean_vaf": burdens, **columns}
    )
    features = course_features(quantified(draws), rule or PlasmaRule()).iloc[0].drop("patient_id")
    return {name.removeprefix("ctdna_"): value for name, value in features.items()}


# burden at baseline and week 6 -> ratio, response, deep response, clearance
COURSES = [
    (0.08, 0.0800001, 1.00000125, 0, 0, 0),
    (0.08, 0.04, 0.5, 1, 0, 0),
    (0.08, 0.0400001, 0.50000125, 0, 0, 0),
    (0.0017, 0.00017, 0.1, 1, 1, 0),  # in binary slightly more
    (0.08, 0.0081, 0.10125, 1, 0, 0),
    (0.08, 0.0, 0, 1, 1, 1),
    (0.0, 0.05, nan, nan, nan, nan),  # undetected at baseline: not evaluable
    (0.0, 0.0, nan, nan, nan, nan),  # and no responder
    (nan, 0.0, nan, nan, nan, nan),
    (0.08, nan, nan, nan, nan, nan),
]


@pytest.mark.parametrize(("before", "after", "ratio", "response", "deep", "clearance"), COURSES)
def test_molecular_response(before, after, ratio, response, deep, clearance):
    found = course([before, after])
    names = ["ratio", "molecular_response", "deep_response", "clearance"]
    values = [found[f"{name}_week_6"] for name in names]
    assert values == pytest.approx([ratio, response, deep, clearance], nan_ok=True)


def test_log_ratio_and_slope_of_two_draws():
    """From 0.32 to 0.04 is three halvings, in six weeks and three days."""
    found = course([0.32, 0.04])
    assert found["log2_ratio_week_6"] == pytest.approx(-3)
    assert found["slope_week_6"] == pytest.approx(-3 / (45 / 7))


def test_the_slope_is_that_of_a_regression_over_all_draws_up_to_the_visit():
    days, burdens = [-20.0, -2.0, 10.0, 21.0, 43.0, 70.0], [0.9, 0.2, 0.3, 0.15, 0.05, 0.6]
    found = course(burdens, days)
    for visit, last in (("week_3", 4), ("week_6", 5), ("week_9", 6)):
        x, y = np.array(days[1:last]) / 7, np.log2(burdens[1:last])
        assert found[f"slope_{visit}"] == pytest.approx(np.polyfit(x, y, 1)[0])


def test_undetected_counts_as_half_the_limit_of_detection_in_logarithms_alone():
    without = course([0.08, 0.0])
    assert np.isnan([without["log2_ratio_week_6"], without["slope_week_6"]]).all()
    stated = course([0.08, 0.0], ctdna_detection_limit=0.01)
    assert stated["log2_ratio_week_6"] == pytest.approx(-4)
    assert stated["slope_week_6"] == pytest.approx(-4 / (45 / 7))
    assert stated["ratio_week_6"] == 0
    assert stated["clearance_week_6"] == 1


def test_the_burden_may_be_molecules_whose_limit_follows_the_concentration():
    rule = PlasmaRule(burden="ctdna_mtm_per_ml")
    found = course(
        [0.08, 0.0], rule=rule, cfdna_concentration=[10.0, 20.0], ctdna_detection_limit=0.01
    )
    # from 0.08 x 3030 to half of 0.01 x 6060
    assert found["log2_ratio_week_6"] == pytest.approx(np.log2(30.3 / 242.4))
    ratio = course([0.08, 0.04], rule=rule, cfdna_concentration=[10.0, 20.0])["ratio_week_6"]
    assert ratio == pytest.approx(1.0)  # halved by VAF, the same by molecules


def test_weeks_without_draws_have_no_features_and_each_feature_says_when_it_is_known():
    found = course([0.1, 0.1, 0.1], days=[-3.0, 21.0, 84.0])
    assert {name.rpartition("week_")[2] for name in found} == {"3", "12"}
    for name in found:
        field = field_named(f"ctdna_{name}")
        assert field.available_at == "week_" + name.rpartition("_")[2]
        assert not field.known_by()
    assert field_named("ctdna_slope_week_3").known_by(3)
    assert not field_named("ctdna_slope_week_12").known_by(9)


def test_the_last_draw_before_the_first_dose_and_the_nearest_to_the_week_are_taken():
    days, burdens = [-30.0, -1.0, 37.0, 45.0, 49.0], [0.8, 0.4, 0.3, 0.2, 0.1]
    assert course(burdens, days)["ratio_week_6"] == pytest.approx(0.5)
    assert course(burdens[::-1], days[::-1])["ratio_week_6"] == pytest.approx(0.5)
    for order in ([0, 1, 2], [2, 1, 0]):  # as near before as after: the earlier one
        rows = np.array([[0.4, -1.0], [0.1, 39.0], [0.3, 45.0]])[order]
        assert course(rows[:, 0], rows[:, 1])["ratio_week_6"] == pytest.approx(0.25)


def test_a_patient_does_not_depend_on_the_others():
    draws = pd.DataFrame(
        {
            "patient_id": list("aabbcc"),
            "draw_day": [-3.0, 42, -1, 40, -9, 21],
            "ctdna_mean_vaf": [0.1, 0.02, 0.3, 0.5, 0.2, 0.0],
        }
    )
    together = course_features(quantified(draws), PlasmaRule()).set_index("patient_id")
    for patient, rows in draws.groupby("patient_id"):
        alone = course_features(quantified(rows), PlasmaRule()).set_index("patient_id")
        expected = together.loc[[patient], alone.columns]
        pd.testing.assert_frame_equal(alone, expected)


# ------------------------------------------------------------- beside the other files


def added(patients=PATIENTS, rule=None, **tables) -> tuple[pd.DataFrame, Findings]:
    told = Findings()
    named = {panel: (f"{panel}.csv", table) for panel, table in tables.items()}
    return add_measured(patients, PlasmaDna(), named, rule or PlasmaRule(), "home", told), told


def test_a_patient_without_variant_rows_is_not_measured():
    table, told = added(plasma_variants=variants())
    assert table["ctdna_detected"].tolist()[:2] == [1.0, 1.0]
    assert table.drop(columns="patient_id").iloc[2].isna().all()
    assert [row["message"] for row in told.rows] == [
        "plasma_variants.csv: 1 of 3 patients have no usable row; they are read as not measured."
    ]


def test_a_sample_that_passed_without_a_variant_is_undetected():
    draws = pd.DataFrame(
        {
            "patient_id": ["a", "b", "c"],
            "draw_day": [-1.0, -1.0, -2.0],
            "cfdna_concentration": [10.0, 20.0, 30.0],
            "draw_passed": [1.0, 0.0, 1.0],
        }
    )
    rule = PlasmaRule(btmb={"scored_mb": 2, "consequences": ["missense"]})
    table, _ = added(rule=rule, plasma_variants=variants(draw_day=-1.0), plasma_draws=draws)
    for name, a, c in (("ctdna_detected", 1, 0), ("ctdna_n_variants", 4, 0), ("btmb", 1.5, 0)):
        assert table[name].tolist() == pytest.approx([a, nan, c], nan_ok=True)  # b failed
    expected = pytest.approx([0.12 * 3030, nan, 0.0], nan_ok=True)
    assert table["ctdna_mtm_per_ml"].tolist() == expected


def test_a_sample_of_which_only_the_concentration_is_known_is_not_undetected():
    draws = pd.DataFrame({"patient_id": ["c"], "draw_day": [-2.0], "cfdna_concentration": [30.0]})
    table, _ = added(plasma_variants=variants(draw_day=-1.0), plasma_draws=draws)
    measured = table.set_index("patient_id").loc["c"]
    assert measured["cfdna_hge_per_ml"] == pytest.approx(9090)
    assert measured[["ctdna_detected", "ctdna_n_variants", "ctdna_mean_vaf"]].isna().all()


def test_values_left_out_by_the_rule_do_not_become_undetected_by_a_passed_sample():
    draws = pd.DataFrame({"patient_id": ["a", "b"], "draw_day": -1.0, "draw_passed": 1.0})
    rule = PlasmaRule(vaf_below=0.03)
    table, _ = added(rule=rule, plasma_variants=variants(draw_day=-1.0), plasma_draws=draws)
    assert table["ctdna_mean_vaf"].tolist() == pytest.approx([0.02, nan, nan], nan_ok=True)


def test_variants_without_days_belong_to_the_baseline_draw():
    draws = pd.DataFrame(
        {"patient_id": "a", "draw_day": [-1.0, 42.0], "cfdna_concentration": [10.0, 20.0]}
    )
    table, _ = added(plasma_variants=variants(), plasma_draws=draws)
    assert table["ctdna_mtm_per_ml"][0] == pytest.approx(0.12 * 3030)


def test_the_concentration_may_stand_with_the_patient():
    patients = PATIENTS.assign(cfdna_concentration=[10.0, 0.0, nan])
    table, told = added(patients, plasma_variants=variants())
    expected = pytest.approx([0.12 * 3030, nan, nan], nan_ok=True)
    assert table["ctdna_mtm_per_ml"].tolist() == expected
    assert {row["code"]: row["message"] for row in told.rows}["cfdna_zero"] == (
        "1 patients with a concentration of cell-free DNA of 0; it is read as missing."
    )


def test_a_reported_column_stays_and_is_compared():
    patients = PATIENTS.assign(ctdna_max_vaf=[0.30, 0.05, nan])
    table, told = added(patients, plasma_variants=variants())
    assert table["ctdna_max_vaf"].tolist()[:2] == [0.30, 0.05]
    assert [(row["code"], row["column"], row["n"]) for row in told.rows] == [
        ("not_measured", "ctdna_detected", 1),
        ("reported_differs", "ctdna_max_vaf", 1),
    ]


def test_serial_variants_give_the_course():
    later = variants(draw_day=42.0, vaf=[0.02, 0.03, 0.06, 0.0, 0.08])
    both = pd.concat([variants(draw_day=-2.0), later], ignore_index=True)
    table, told = added(rule=PlasmaRule(drop_chip="genes"), plasma_variants=both)
    assert table["ctdna_ratio_week_6"].tolist()[0] == pytest.approx((0.05 / 3) / 0.14)
    assert table["ctdna_molecular_response_week_6"].tolist()[0] == 1.0
    assert table["ctdna_ratio_week_6"].isna().tolist() == [False, True, True]
    assert [row["message"] for row in told.rows] == [
        "plasma_variants.csv, rows 3, 5, 8 and 10: variants left out as clonal haematopoiesis, by "
        "genes.",
        "plasma_variants.csv: 1 of 2 patients with a draw of week_6 have undetected ctDNA at "
        "baseline, or no measured baseline.",
        "plasma_variants.csv: 1 of 3 patients have no usable row; they are read as not measured.",
    ]


def test_a_course_by_molecules_without_any_concentration_is_told():
    draws = pd.DataFrame({"patient_id": "a", "draw_day": [-1, 42.0], "ctdna_mean_vaf": [0.1, 0.2]})
    table, told = added(rule=PlasmaRule(burden="ctdna_mtm_per_ml"), plasma_draws=draws)
    assert table["ctdna_ratio_week_6"].isna().all()
    assert told.messages()[0] == (
        "plasma_draws.csv: ctdna_mtm_per_ml is to be followed on treatment, but neither it nor all "
        "it follows from is mapped (MTM/mL needs mean VAF and cfdna_concentration)."
    )


def test_with_faults_nothing_is_derived_and_inputs_are_not_modified():
    broken = variants(vaf=[10.0, 30.0, 6.0, 2.0, 4.0])
    before = broken.copy()
    table, told = added(plasma_variants=broken)
    assert table is PATIENTS
    assert told.codes() == ["looks_like_another_unit"]
    pd.testing.assert_frame_equal(broken, before)


# ------------------------------------------------------------- findings

VARIANT_FAULTS = [
    pytest.param(
        {"vaf": [10.0, 30.0, 6.0, 2.0, 4.0]},
        "looks_like_another_unit",
        "plasma_variants, rows 1, 2, 3, 4 and 5: vaf is read as a fraction but looks like percent "
        "(5 of 5 values exceed 1).",
        id="VAF in percent",
    ),
    pytest.param(
        {"vaf": [0.1, -0.3, 0.06, 101.0, 0.04]},
        "outside_limits",
        "plasma_variants, rows 2 and 4: vaf outside 0 to 1 fraction.",
        id="VAF negative, and above 100 %",
    ),
    pytest.param(
        {"patient_id": ["a", "a", None, "a", "b"]},
        "missing_identifier",
        "plasma_variants, row 3: no patient identifier.",
        id="no patient",
    ),
    pytest.param(
        {
            "position": [10.0, 10.0, 30, 40, 50],
            "chromosome": ["17", "17", "2", "19", "4"],
            "alternate_allele": list("TTTAG"),
        },
        "duplicate_variant",
        "plasma_variants, row 2: a variant in more than one row; it counts once.",
        id="one variant twice",
    ),
]


@pytest.mark.parametrize(("columns", "code", "message"), VARIANT_FAULTS)
def test_each_fault_of_variants_is_told_whole(columns, code, message):
    found = plasma_variant_findings(variants(**columns), PlasmaRule())
    assert [(each["code"], each["message"]) for each in found.rows] == [(code, message)]


def test_columns_that_the_rule_needs_are_asked_for():
    rule = PlasmaRule(
        drop_chip="white_cells", vaf_below=0.2, min_depth=9, btmb={"scored_mb": 1, "min_vaf": 0.1}
    )
    found = plasma_variant_findings(pd.DataFrame({"gene": ["KRAS"]}), rule)
    assert found.messages() == [
        "plasma_variants: no column patient_id and counted (or state `consequences`) and vaf and "
        "in_white_cells and depth; see the plasma_variants dictionary."
    ]


def draws(**columns) -> pd.DataFrame:
    table = {
        "patient_id": ["a", "a", "b", "b"],
        "draw_day": [-2.0, 40.0, -9.0, 41.0],
        "ctdna_mean_vaf": [0.1, 0.05, 0.2, 0.3],
    }
    return pd.DataFrame({**table, **columns})


LABELLED = {"draw_visit": ["baseline", "week_6", "baseline", "week_6"]}
DRAW_FAULTS = [
    pytest.param(
        {"ctdna_mean_vaf": [10.0, 5.0, 20.0, 30.0]},
        "looks_like_another_unit",
        "plasma_draws, rows 1, 2, 3 and 4: ctdna_mean_vaf is read as a fraction but looks like "
        "percent (4 of 4 values exceed 1).",
        id="VAF in percent",
    ),
    pytest.param(
        {"ctdna_mtm_per_ml": [5.0, -1.0, 5.0, 5.0]},
        "outside_limits",
        "plasma_draws, row 2: ctdna_mtm_per_ml outside 0 to 1e+07 MTM/mL.",
        id="negative molecules",
    ),
    pytest.param(
        {"draw_day": [-2.0, None, -9.0, 41.0]},
        "visit_day_missing",
        "plasma_draws, row 2: no day of the draw.",
        id="no day",
    ),
    pytest.param(
        {"draw_day": [-2.0, "later", -9.0, 41.0], **LABELLED},
        "not_numeric",
        "plasma_draws, row 2: draw_day is not a number.",
        id="day as text",
    ),
    pytest.param(
        {"draw_visit": ["baseline", "C3D1", "baseline", "week_6"]},
        "unknown_category",
        "plasma_draws, row 2: draw_visit not known; expected baseline, week_3, week_4, week_6, "
        "week_8, week_9, week_12.",
        id="unknown visit",
    ),
    pytest.param(
        {"draw_day": [1.0, 40.0, -9.0, 41.0], **LABELLED},
        "post_baseline_value",
        "plasma_draws, row 1: a baseline draw after the first dose (day 0).",
        id="baseline after the first dose",
    ),
    pytest.param(
        {"draw_day": [-2.0, 40.0, 40.0, 40.0]},
        "duplicate_visit",
        "plasma_draws, rows 3 and 4: the same patient, visit and day more than once.",
        id="two draws on one day",
    ),
    pytest.param(
        {"draw_day": [None, 40.0, None, None], "draw_visit": ["baseline"] + ["week_6"] * 3},
        "duplicate_visit",
        "plasma_draws, rows 3 and 4: the same patient, visit and day more than once.",
        id="two draws of one visit without days",
    ),
    pytest.param(
        {"cfdna_concentration": [10.0, 0.0, 10.0, 10.0]},
        "cfdna_zero",
        "plasma_draws, row 2: a concentration of cell-free DNA of 0; it is read as missing.",
        id="cfDNA of 0",
    ),
    pytest.param(
        {"draw_day": [-2.0, -20.0, -9.0, 41.0]},
        "several_draws",
        "plasma_draws, rows 1 and 2: several draws of a patient for one visit; the one nearest to "
        "its day is used.",
        id="several baselines",
    ),
    pytest.param(
        {"draw_day": [-2.0, 64.0, -9.0, 41.0], **LABELLED},
        "draw_outside_window",
        "plasma_draws, row 2: a day that does not fit the visit recorded; left out.",
        id="week 6 at week 9",
    ),
    pytest.param(
        {"draw_day": [-2.0, 200.0, -9.0, 5.0]},
        "draw_unassigned",
        "plasma_draws, rows 2 and 4: draws of no visit that becomes a feature.",
        id="between the visits",
    ),
    pytest.param(
        {"draw_day": [-2.0, 42.0, -9.0, 43.0]},
        "draw_after_landmark",
        "plasma_draws, row 4: draws of week_6 taken after day 42; a landmark of week 7 has them "
        "all behind it.",
        id="after the landmark",
    ),
]


@pytest.mark.parametrize(("columns", "code", "message"), DRAW_FAULTS)
def test_each_fault_of_draws_is_told_whole(columns, code, message):
    found = draw_findings(draws(**columns), PlasmaRule())
    assert [(each["code"], each["message"]) for each in found.rows] == [(code, message)]


def test_clean_tables_have_no_findings():
    assert draw_findings(draws(), PlasmaRule()).rows == []
    assert draw_findings(draws(**LABELLED), PlasmaRule()).rows == []
    assert plasma_variant_findings(variants(), PlasmaRule()).rows == []


def test_draws_of_a_variant_table_are_told_by_the_line_where_they_begin():
    table = pd.concat([variants(draw_day=-1.0), variants(draw_day=42.5).iloc[:3]])
    table.index = pd.RangeIndex(2, 10, name="line")
    told = draw_findings(draws_from_variants(table, PlasmaRule()), PlasmaRule(), name="v.csv")
    assert told.messages() == [
        "v.csv, line 7: draws of week_6 taken after day 42; a landmark of week 7 has them all "
        "behind it."
    ]


@pytest.mark.parametrize(
    ("function", "name"), [(plasma_variant_findings, "variants"), (draw_findings, "draws")]
)
def test_another_kind_than_a_table_is_refused(function, name):
    with pytest.raises(TypeError) as wrong:
        function({"patient_id": ["a"]}, PlasmaRule())
    assert str(wrong.value) == f"{name} is a dict; expected a DataFrame."


def test_a_response_category_is_a_rule_in_data(monkeypatch):
    levels = {"cleared": 0, "decrease": 0.5, "other": None}
    rule = RatioRule("category", levels=levels)
    monkeypatch.setattr("stratify.biomarkers.ctdna_course.response_rules", lambda: (rule,))
    draws = pd.DataFrame(
        {
            "patient_id": list("aabbccd"),
            "draw_day": [0.0, 42.0, 0.0, 42.0, 0.0, 42.0, 42.0],
            "ctdna_mean_vaf": [0.2, 0.0, 0.2, 0.1, 0.2, 0.3, 0.1],
            "ctdna_detected": [1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        }
    )
    features = course_features(draws, PlasmaRule())
    assert features["ctdna_category_week_6"].tolist()[:3] == ["cleared", "decrease", "other"]
    assert features["ctdna_category_week_6"].isna().tolist() == [False, False, False, True]
    assert "ctdna_category_week_6" in course_columns(PlasmaRule())


def test_what_is_derived_of_plasma_is_what_it_says_to_give():
    table, _ = added(plasma_variants=variants(), plasma_draws=draws())
    derived = set(table) - {"patient_id"}
    assert derived <= set(PlasmaDna().gives(PlasmaRule())) | {"cfdna_concentration"}

"""Laws of burdens and of ctDNA over all tables of variants and draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.biomarkers.ctdna import PlasmaDna, draws_from_variants, quantified
from stratify.biomarkers.ctdna_course import course_features, visit_of_draws
from stratify.biomarkers.measurement import add_measured
from stratify.biomarkers.tmb import mutation_findings, tissue_burden
from stratify.tables.findings import Findings
from stratify.tables.measurements import BurdenRule, PlasmaRule
from stratify.tables.schema import convert, load_schema

CLASSES = load_schema("mutations").fields["consequence"].enum
LAW = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)
rules = st.builds(
    PlasmaRule,
    vaf_below=st.sampled_from([None, 0.2, 0.02]),
    min_depth=st.sampled_from([0, 200]),
    drop_chip=st.sampled_from(["none", "genes"]),
    btmb=st.sampled_from([None, {"scored_mb": 1.1, "consequences": ["missense", "synonymous"]}]),
)


def variants(seed: int) -> pd.DataFrame:
    """Variants of a few patients and draws, some of them in several rows."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    return pd.DataFrame(
        {
            "patient_id": rng.choice(list("abcde"), n),
            "draw_day": rng.choice([-3.0, 21.0, 42.0, 44.0], n),
            "gene": rng.choice(["TP53", "DNMT3A", "KRAS"], n),
            "chromosome": rng.choice(["1", "X"], n),
            "position": rng.integers(1, 5, n).astype(float),
            "reference_allele": "A",
            "alternate_allele": rng.choice(["C", "T"], n),
            "consequence": rng.choice(["missense", "synonymous", "splice_site"], n),
            "vaf": rng.choice([0.0, 0.004, 0.02, 0.1, 0.2, 0.5, np.nan], n),
            "depth": rng.choice([50.0, 200.0, 900.0], n),
        }
    )


def by_draw(draws: pd.DataFrame) -> pd.DataFrame:
    return draws.set_index(["patient_id", "draw_day"]).sort_index()


@LAW
@given(seed=seeds, rule=rules)
def test_the_order_of_rows_and_repeated_rows_change_nothing(seed, rule):
    table = variants(seed)
    table["depth"] = 900.0  # a median is over variants, not rows, but of which row is open
    once = by_draw(draws_from_variants(table, rule))
    shuffled = table.sample(frac=1, random_state=seed % 2**31)
    again = by_draw(draws_from_variants(pd.concat([shuffled, table]), rule))
    pd.testing.assert_frame_equal(again, once)


@LAW
@given(seed=seeds, rule=rules)
def test_a_draw_depends_on_its_own_rows_alone_and_sums_are_ordered(seed, rule):
    table = variants(seed)
    draws = draws_from_variants(table, rule)
    assert (
        draws["ctdna_mean_vaf"]
        .le(draws["ctdna_max_vaf"] + 1e-12)
        .eq(draws["ctdna_mean_vaf"].notna())
        .all()
    )
    rows = table.groupby(["patient_id", "draw_day"], sort=False)
    alone = pd.concat([draws_from_variants(group, rule) for _, group in rows])
    pd.testing.assert_frame_equal(by_draw(alone), by_draw(draws))


@LAW
@given(seed=seeds)
def test_a_wider_rule_never_lowers_a_burden(seed):
    table = variants(seed).drop(columns="draw_day")
    wide = tissue_burden(table, BurdenRule(scored_mb=2, consequences=list(CLASSES)))
    for narrow in (
        {"consequences": ["missense"]},
        {"consequences": list(CLASSES), "min_vaf": 0.02},
        {"consequences": list(CLASSES), "min_depth": 200},
    ):
        burden = tissue_burden(table, BurdenRule(scored_mb=2, **narrow))
        assert (burden["tmb"] <= wide["tmb"]).all()
    double = tissue_burden(table, BurdenRule(scored_mb=1, consequences=list(CLASSES)))
    assert double["tmb"].tolist() == (2 * wide["tmb"]).tolist()


@LAW
@given(seed=seeds)
def test_dropping_clonal_haematopoiesis_never_adds(seed):
    table = variants(seed)
    kept = draws_from_variants(table, PlasmaRule())
    dropped = draws_from_variants(table, PlasmaRule(drop_chip="genes"))
    n, m = kept["ctdna_n_variants"], dropped["ctdna_n_variants"]
    assert ((m <= n) | m.isna() | n.isna()).all()
    assert ((n - m) <= kept["ctdna_chip_variants"]).where(m.notna() & n.notna(), True).all()


@LAW
@given(
    before=st.floats(1e-5, 1),
    after=st.just(0.0) | st.floats(1e-12, 1),
    times=st.floats(0.01, 100),
    day=st.integers(35, 49),
)
def test_a_course_depends_on_the_ratio_alone(before, after, times, day):
    draws = pd.DataFrame(
        {"patient_id": "a", "draw_day": [-1.0, day], "ctdna_tumour_fraction": [before, after]}
    )
    rule = PlasmaRule(burden="ctdna_tumour_fraction")
    one = course_features(quantified(draws), rule).iloc[0].drop("patient_id").astype(float)
    scaled = draws.assign(ctdna_tumour_fraction=draws["ctdna_tumour_fraction"] * times)
    two = course_features(quantified(scaled), rule).iloc[0].drop("patient_id").astype(float)
    continuous = ["ctdna_ratio_week_6", "ctdna_log2_ratio_week_6", "ctdna_slope_week_6"]
    assert two[continuous].tolist() == pytest.approx(
        one[continuous].tolist(), rel=1e-6, abs=1e-9, nan_ok=True
    )
    assert one["ctdna_deep_response_week_6"] <= one["ctdna_molecular_response_week_6"]
    assert one["ctdna_clearance_week_6"] <= one["ctdna_deep_response_week_6"]
    assert (one["ctdna_clearance_week_6"] == 1) == (after == 0)


@LAW
@given(day=st.integers(-400, 400), within=st.integers(0, 10))
def test_a_draw_has_at_most_one_visit_and_never_baseline_after_the_first_dose(day, within):
    rule = PlasmaRule(within_days=within)
    draws = pd.DataFrame({"patient_id": ["a"], "draw_day": [day]})
    visit = visit_of_draws(draws, rule)[0]
    near = [w for w in rule.weeks if abs(day - 7 * w) <= within]
    expected = [f"week_{w}" for w in near] + (["baseline"] if -42 <= day <= 0 else [])
    assert len(expected) <= 1
    assert expected == ([] if visit is np.nan else [visit])


@settings(max_examples=8, deadline=None)
@given(seed=seeds)
def test_a_derived_table_beside_itself_differs_nowhere(seed):
    """What was derived, reported, is found again: the comparison is with the same number."""
    table = variants(seed)
    patients = pd.DataFrame({"patient_id": list("abcdef")})
    tables = {"plasma_variants": ("v.csv", table)}
    once = add_measured(patients, PlasmaDna(), tables, PlasmaRule(), "home", Findings())
    told = Findings()
    again = add_measured(once, PlasmaDna(), tables, PlasmaRule(), "home", told)
    pd.testing.assert_frame_equal(again, once)
    assert "reported_differs" not in told.codes()


@LAW
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_fractions_pass_and_the_same_in_percent_are_told(values):
    column = load_schema("mutations").fields["vaf"]
    table = pd.DataFrame({"patient_id": "a", "consequence": "missense", "vaf": values})
    rule = BurdenRule(scored_mb=1, consequences=["missense"])
    errors = {"looks_like_another_unit", "outside_limits"}
    assert not errors & set(mutation_findings(table, rule).codes())
    percent = table.assign(vaf=convert(table["vaf"], "percent", column, back=True))
    told = set(mutation_findings(percent, rule).codes())
    assert bool(errors & told) == bool((percent["vaf"] > 1).any())

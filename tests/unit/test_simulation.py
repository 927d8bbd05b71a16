"""The simulated cohort keeps its word: schemas, outcomes, truth, arms, gaps."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from stratify.errors import ArgumentError
from stratify.simulation import SimulatedCohort, simulate

SCHEMAS = Path(__file__).parents[2] / "data_schemas" / "panels"
OPTIONAL_PANELS = ["pdl1", "tmb", "infiltration", "ctdna"]
STEPS = ["antigenicity", "infiltration", "checkpoint", "burden", "host"]
DESIGN = ["site", "regimen", "arm", "first_dose_date", "start_year"]


@pytest.fixture(scope="module")
def large() -> SimulatedCohort:
    return simulate(40_000, seed=20, combination_share=0.5)


@pytest.fixture(scope="module")
def complete() -> SimulatedCohort:
    return simulate(2000, seed=4, missingness=0)


def proxy_pfs6(outcomes: pd.DataFrame) -> pd.Series:
    """Rule ``proxy_pfs6``: 1 primary, 0 none, empty where not evaluable."""
    early = outcomes["pfs"] < 6
    event = outcomes["pfs_event"].astype(bool)
    response = outcomes["best_response"].isin(["CR", "PR"])
    label = pd.Series(0.0, index=outcomes.index)
    label[early & event & ~response] = 1.0
    label[early & ~event] = np.nan
    return label


def risk_received(cohort: SimulatedCohort) -> pd.Series:
    truth = cohort.truth
    return truth["risk_mono"].where(truth["arm"] == "anti_pd1_pdl1", truth["risk_combination"])


def area_under_roc(label: pd.Series, risk: pd.Series) -> float:
    """Probability that a patient with primary resistance has the higher risk; ties count half."""
    seen, positives = label.notna(), int(label.sum())
    ranks = risk[seen].rank()[label[seen] == 1].sum() - positives * (positives + 1) / 2
    return ranks / (positives * (seen.sum() - positives))


# --- determinism


def test_same_arguments_give_identical_tables():
    one, two = (simulate(300, seed=9, combination_share=0.4) for _ in range(2))
    for name, panel in one.panels.items():
        pd.testing.assert_frame_equal(panel, two.panels[name], check_exact=True)
    pd.testing.assert_frame_equal(one.truth, two.truth, check_exact=True)
    pd.testing.assert_frame_equal(one.mechanism, two.mechanism, check_exact=True)


def test_another_seed_gives_other_patients():
    one, two = simulate(300, seed=1), simulate(300, seed=2)
    assert not one.truth["risk_mono"].equals(two.truth["risk_mono"])


def test_arguments_leave_the_baseline_values_as_they_are(complete):
    other = simulate(
        2000,
        seed=4,
        missingness=0,
        n_sites=7,
        combination_share=0.5,
        effect_heterogeneity=0,
        signal=0.5,
        prognostic_only=True,
    )
    for name in OPTIONAL_PANELS:
        pd.testing.assert_frame_equal(complete.panels[name], other.panels[name])
    pd.testing.assert_frame_equal(
        complete.panels["clinical"].drop(columns=DESIGN),
        other.panels["clinical"].drop(columns=DESIGN),
    )


def test_values_that_are_not_missing_are_those_of_the_complete_cohort(complete):
    gappy = simulate(2000, seed=4)
    for name in OPTIONAL_PANELS:
        seen = gappy.panels[name].set_index("patient_id")
        full = complete.panels[name].set_index("patient_id").loc[seen.index]
        pd.testing.assert_frame_equal(full.where(seen.notna()), seen, check_dtype=False)


# --- schemas


@pytest.mark.parametrize("panel", ["clinical", "pdl1", "tmb", "infiltration", "ctdna", "outcomes"])
def test_panels_keep_to_their_schema(large, panel):
    schema = yaml.safe_load((SCHEMAS / f"{panel}.yaml").read_text(encoding="utf-8"))
    fields = {field["name"]: field for field in schema["fields"]}
    table = large.panels[panel]
    assert table.columns[0] == "patient_id"
    assert table["patient_id"].is_unique
    assert set(table) <= set(fields)
    kinds = {"string": "str", "integer": "Int64", "boolean": "boolean", "number": "float64"}
    for name, column in table.items():
        field, values = fields[name], column.dropna()
        rules = field.get("constraints", {})
        if field["type"] == "date":
            assert column.dtype.kind == "M"
        else:
            assert column.dtype in (kinds[field["type"]], "object"), name
        assert set(values) <= set(rules["enum"]) if "enum" in rules else True, name
        low, high = field.get("limits", [rules.get("minimum"), rules.get("maximum")])
        assert low is None or values.min() >= low, name
        assert high is None or values.max() <= high, name
        if "typical" in field:
            low, high = field["typical"]
            assert low <= values.median() <= high, f"the median of {name} suggests another unit"


def test_marginals_are_those_of_a_real_cohort(large):
    clinical, tmb = large.panels["clinical"], large.panels["tmb"]
    assert clinical["nlr"].median() == pytest.approx(4.3, abs=0.3)
    assert clinical["albumin"].mean() == pytest.approx(3.9, abs=0.05)
    assert clinical["albumin"].std() == pytest.approx(0.45, abs=0.03)
    assert tmb["tmb"].median() == pytest.approx(6, abs=0.4)
    assert large.panels["ctdna"]["ctdna_detected"].mean() == pytest.approx(0.8, abs=0.03)
    assert (large.panels["pdl1"]["pdl1_tps"] == 0).mean() == pytest.approx(0.4, abs=0.05)
    assert (clinical["cancer_type"] == "nsclc").mean() == pytest.approx(0.35, abs=0.02)
    assert clinical["platelets"].corr(clinical["nlr"], method="spearman") > 0.3

    both = clinical[["patient_id", "cancer_type"]].merge(tmb, on="patient_id")
    median, msi = both.groupby("cancer_type")["tmb"].median(), both["msi_high"]
    assert median["melanoma"] > median["nsclc"] > median["renal"]
    assert both["tmb"][msi].median() > 3 * both["tmb"][~msi].median()
    assert both["cancer_type"][msi].isin(["colorectal", "endometrial"]).mean() > 0.6


def test_combined_positive_score_is_never_below_the_tumour_proportion_score(large):
    pdl1 = large.panels["pdl1"].dropna()
    assert (pdl1["pdl1_cps"] >= pdl1["pdl1_tps"]).all()


def test_derived_markers_follow_their_definitions(large):
    ctdna = large.panels["ctdna"]
    expected = ctdna["ctdna_mean_vaf"] * ctdna["cfdna_concentration"] * 303
    np.testing.assert_allclose(ctdna["ctdna_mtm_per_ml"], expected, rtol=1e-12)
    assert (ctdna["ctdna_max_vaf"] >= ctdna["ctdna_mean_vaf"]).all()
    assert ((ctdna["ctdna_mean_vaf"] > 0) == ctdna["ctdna_detected"]).all()

    blood = large.panels["clinical"]
    expected = (blood["neutrophils"] / blood["lymphocytes"]).round(2)
    pd.testing.assert_series_equal(blood["nlr"], expected, check_names=False)


def test_clinical_facts_do_not_contradict_each_other(complete):
    clinical = complete.panels["clinical"]
    treated, metastatic = clinical["prior_systemic_therapy"], clinical["stage_iv"]
    assert (treated == (clinical["prior_lines"] > 0)).all()
    assert (metastatic == (clinical["metastatic_sites"] > 0)).all()
    assert not (clinical["liver_metastases"] & ~metastatic).any()
    assert (clinical["histology"].notna() == (clinical["cancer_type"] == "nsclc")).all()
    assert (clinical["first_dose_date"].dt.year == clinical["start_year"]).all()


# --- outcomes


def test_outcomes_are_possible(large):
    o = large.panels["outcomes"]
    event, death = o["pfs_event"].astype(bool), o["os_event"].astype(bool)
    assert (o["pfs"] <= o["os"]).all()
    assert (o["os"] > o["pfs"])[~event & death].all()
    assert (event | death | (o["os"] >= o["pfs"])).all()
    assert (o["os"] == o["pfs"])[event & death].mean() > 0.05, "some die without progression"
    assert event[o["best_response"] == "PD"].all()
    assert (o["pfs"][o["best_response"] == "SD"] >= 42 / 30.4375).all()
    assert o["objective_response"].isna().equals(o["best_response"] == "NE")
    known = o[o["best_response"] != "NE"]
    response = known["best_response"].isin(["CR", "PR"])
    assert (known["objective_response"] == response).all()


@pytest.mark.parametrize(
    ("best_response", "pfs_event", "low", "high"),
    [
        ("PD", True, 0.9, 1.0),  # primary resistance is mostly progression at the first scans
        ("PR", True, 0.01, 0.1),  # a few relapse early: neither resistance nor control
        ("CR", False, 0.0, 0.05),  # a few drop out early: not evaluable
    ],
)
def test_share_of_ends_before_six_months(large, best_response, pfs_event, low, high):
    o = large.panels["outcomes"]
    group = o[(o["best_response"] == best_response) & (o["pfs_event"] == pfs_event)]
    assert low <= (group["pfs"] < 6).mean() <= high


def test_few_are_not_evaluable_at_six_months(large):
    assert proxy_pfs6(large.panels["outcomes"]).isna().mean() == pytest.approx(0.018, abs=0.004)


# --- truth


def test_risks_and_effect_are_those_of_the_log_odds(large):
    truth = large.truth
    for arm in ("mono", "combination"):
        risk = 1 / (1 + np.exp(-truth[f"log_odds_{arm}"]))
        np.testing.assert_allclose(truth[f"risk_{arm}"], risk)
    np.testing.assert_allclose(truth["effect"], truth["risk_mono"] - truth["risk_combination"])


def test_mechanism_adds_up_to_the_log_odds(large):
    assert list(large.mechanism) == ["patient_id", *STEPS]
    intercept = large.truth["log_odds_mono"] - large.mechanism[STEPS].sum(axis=1)
    np.testing.assert_allclose(intercept, intercept.iloc[0])


def test_overall_share_and_discrimination_of_the_true_risk():
    # Measured with n = 1,000,000: share 0.602, area under the ROC curve 0.800.
    cohort = simulate(40_000, seed=21)
    label = proxy_pfs6(cohort.panels["outcomes"])
    assert label.mean() == pytest.approx(0.60, abs=0.015)
    area = area_under_roc(label, cohort.truth["risk_mono"])
    assert area == pytest.approx(0.80, abs=0.02)


@pytest.mark.parametrize("arm", ["anti_pd1_pdl1", "ici_chemotherapy"])
def test_observed_share_is_the_mean_true_risk_in_every_decile(large, arm):
    label, risk = proxy_pfs6(large.panels["outcomes"]), risk_received(large)
    seen = label.notna() & (large.truth["arm"] == arm)
    decile = pd.qcut(risk[seen], 10, labels=False)
    for _, group in label[seen].groupby(decile):
        expected = risk[group.index].mean()
        standard_error = np.sqrt(expected * (1 - expected) / len(group))
        # Drop-out lifts the share among the evaluable by up to 0.005 (see the module).
        assert abs(group.mean() - expected) < 3.5 * standard_error + 0.005


@pytest.mark.parametrize(("signal", "area"), [(0.0, 0.5), (0.5, 0.67), (2.0, 0.91)])
def test_signal_moves_the_discrimination(signal, area):
    cohort = simulate(10_000, seed=3, signal=signal)
    label = proxy_pfs6(cohort.panels["outcomes"])
    found = area_under_roc(label, cohort.truth["risk_mono"])
    assert found == pytest.approx(area, abs=0.02)


def test_inflamed_renal_tumours_fare_worse(complete):
    renal = complete.panels["clinical"]["cancer_type"] == "renal"
    density = complete.panels["infiltration"]["cd8_density"]
    part = complete.mechanism["infiltration"]
    assert density[renal].corr(part[renal], method="spearman") > 0.7
    assert density[~renal].corr(part[~renal], method="spearman") < -0.7


def test_prognostic_only_leaves_burden_host_and_one_effect():
    cohort = simulate(20_000, seed=5, prognostic_only=True, combination_share=0.5)
    assert (cohort.mechanism[["antigenicity", "infiltration", "checkpoint"]] == 0).all(axis=None)
    gain = cohort.truth["log_odds_mono"] - cohort.truth["log_odds_combination"]
    np.testing.assert_allclose(gain, 0.6)
    mono = cohort.truth["arm"] == "anti_pd1_pdl1"
    label = proxy_pfs6(cohort.panels["outcomes"])[mono]
    area = area_under_roc(label, cohort.truth["risk_mono"][mono])
    assert area == pytest.approx(0.80, abs=0.02)


# --- arms


def test_one_arm_by_default(complete):
    assert set(complete.truth["arm"]) == {"anti_pd1_pdl1"}
    assert set(complete.panels["clinical"]["regimen"]) == {"anti_pd1_pdl1"}


def test_arms_are_randomised(large):
    truth, clinical = large.truth, large.panels["clinical"]
    combined = truth["arm"] == "ici_chemotherapy"
    assert clinical["arm"].equals(truth["arm"])
    assert clinical["regimen"].equals(truth["arm"])
    assert combined.mean() == pytest.approx(0.5, abs=0.01)
    risk = truth["risk_mono"].groupby(combined).mean()
    assert risk[True] == pytest.approx(risk[False], abs=0.01)


def test_constant_effect_on_the_log_odds_without_heterogeneity():
    truth = simulate(500, effect_heterogeneity=0, combination_share=0.5).truth
    np.testing.assert_allclose(truth["log_odds_mono"] - truth["log_odds_combination"], 0.6)


def test_cold_tumours_gain_most_from_the_combination(large):
    gain = large.truth["log_odds_mono"] - large.truth["log_odds_combination"]
    # Contributions to the risk are high where antigenicity is low.
    assert gain.corr(large.mechanism["antigenicity"]) > 0.6
    assert gain.std() > 0.3
    assert 0 < (large.truth["effect"] < 0).mean() < 0.3, "some lose"
    assert large.truth["effect"].mean() > 0.05, "on average they gain"


# --- gaps


def test_no_gaps_without_missingness(complete):
    for panel in complete.panels.values():
        assert panel["patient_id"].equals(complete.truth["patient_id"])
        meant = panel.drop(columns=["histology", "objective_response"], errors="ignore")
        assert meant.notna().all(axis=None)


def test_clinical_data_truth_and_outcomes_hold_every_patient():
    cohort = simulate(400, seed=2, missingness=2)
    for table in (cohort.panels["clinical"], cohort.panels["outcomes"], cohort.mechanism):
        assert table["patient_id"].equals(cohort.truth["patient_id"])


def coverage(cohort: SimulatedCohort) -> pd.DataFrame:
    """Share of patients with each panel, by site."""
    clinical = cohort.panels["clinical"].set_index("patient_id")
    measured = {k: clinical.index.isin(cohort.panels[k]["patient_id"]) for k in OPTIONAL_PANELS}
    return pd.DataFrame(measured, index=clinical["site"]).groupby("site").mean()


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_sites_differ_in_which_panels_are_missing(seed):
    share = coverage(simulate(2000, seed=seed))
    assert share.index.tolist() == ["site_1", "site_2", "site_3", "site_4"]
    assert (share == 0).any(axis=None), "a site does not measure some panel at all"
    assert (share > 0).any().all(), "every panel is measured somewhere"
    assert (share.max() - share.min() > 0.1).all()


def test_more_missingness_leaves_fewer_rows():
    rows = [
        sum(len(simulate(500, seed=6, missingness=m).panels[k]) for k in OPTIONAL_PANELS)
        for m in (0, 0.5, 1, 2)
    ]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] == 4 * 500


@pytest.mark.parametrize("seed", range(4))
def test_a_single_site_measures_every_panel(seed):
    cohort = simulate(100, seed=seed, n_sites=1, missingness=2)
    assert all(len(panel) > 0 for panel in cohort.panels.values())


def test_smallest_cohort():
    cohort = simulate(1, n_sites=1, missingness=0)
    assert {len(panel) for panel in cohort.panels.values()} == {1}


# --- arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"n": 0},
            "`n` is 0, expected a whole number from 1 to 10000000. "
            "Pass such a value, or leave `n` out for its default.",
        ),
        (
            {"n": 600.0},
            "`n` is 600.0, expected a whole number from 1 to 10000000. "
            "Pass such a value, or leave `n` out for its default.",
        ),
        (
            {"seed": True},
            "`seed` is True, expected a whole number from 0 to 4294967295. "
            "Pass such a value, or leave `seed` out for its default.",
        ),
        (
            {"n_sites": -2},
            "`n_sites` is -2, expected a whole number from 1 to 1000. "
            "Pass such a value, or leave `n_sites` out for its default.",
        ),
        (
            {"combination_share": 50},
            "`combination_share` is 50, expected a number from 0 to 1. "
            "Pass such a value, or leave `combination_share` out for its default.",
        ),
        (
            {"effect_heterogeneity": "1"},
            "`effect_heterogeneity` is '1', expected a number from 0 to 3. "
            "Pass such a value, or leave `effect_heterogeneity` out for its default.",
        ),
        (
            {"missingness": float("nan")},
            "`missingness` is nan, expected a number from 0 to 2. "
            "Pass such a value, or leave `missingness` out for its default.",
        ),
        (
            {"signal": float("inf")},
            "`signal` is inf, expected a number from 0 to 3. "
            "Pass such a value, or leave `signal` out for its default.",
        ),
        (
            {"prognostic_only": 1},
            "`prognostic_only` is 1, expected True or False. "
            "Pass such a value, or leave `prognostic_only` out for its default.",
        ),
    ],
)
def test_message_of_an_unusable_argument(arguments, message):
    with pytest.raises(ArgumentError) as caught:
        simulate(**arguments)
    assert str(caught.value) == message

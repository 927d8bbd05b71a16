"""Resistance profiles: sums by step, what is not assessed, cold and hot, partner classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.interpretation.attribution import attributions
from stratify.interpretation.cycle import cycle
from stratify.interpretation.profile import (
    inflammation,
    leading_steps,
    partner_classes,
    profile_matrix,
    resistance_profiles,
    why_no_partner,
)
from stratify.tables.schema import load_schema
from stratify.uncertainty.normal_scores import NormalScores


def long_of(rows: dict[str, tuple[float | str | None, float]], patient: str = "1") -> pd.DataFrame:
    """Attributions of one patient from value and contribution by feature."""
    return pd.DataFrame(
        {
            "patient_id": patient,
            "cohort": "a",
            "feature": list(rows),
            "value": [None if isinstance(v, str) else v for v, _ in rows.values()],
            "level": [v if isinstance(v, str) else None for v, _ in rows.values()],
            "shap": [shap for _, shap in rows.values()],
        }
    ).astype({"value": float})


def by_step(rows: dict[str, tuple[float | str | None, float]]) -> pd.DataFrame:
    return resistance_profiles(long_of(rows)).set_index("step")


# --------------------------------------------------------------------------- sums


def test_measured_and_unmeasured_contributions_add_up_to_those_of_all_features(
    classifier, patients
):
    long = attributions(classifier, patients)
    profiles = resistance_profiles(long)
    key = ["cohort", "patient_id"]
    total = profiles.fillna({"contribution": 0.0}).groupby(key)[["contribution", "unmeasured"]]
    expected = long.groupby(key)["shap"].sum()
    assert total.sum().sum(axis=1).to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-12)
    sides = profiles["raising"] + profiles["lowering"]
    assert sides.to_numpy() == pytest.approx(profiles["contribution"].fillna(0).to_numpy())


def test_the_table_follows_its_dictionary_with_one_row_a_patient_and_step(classifier, patients):
    profiles = resistance_profiles(attributions(classifier, patients))
    assert list(profiles.columns) == list(load_schema("profiles").fields)
    assert len(profiles) == len(patients) * len(cycle().steps)
    assert profiles["patient_id"].iloc[:: len(cycle().steps)].tolist() == (
        patients["patient_id"].tolist()
    )
    matrix = profile_matrix(profiles)
    assert matrix.shape == (len(patients), len(cycle().steps))
    assert (
        matrix["release"].isna().tolist()
        == patients[["tmb", "msi_high"]].isna().all(axis=1).tolist()
    )


def test_the_order_of_patients_and_features_does_not_matter(classifier, patients):
    long = attributions(classifier, patients)
    shuffled = resistance_profiles(long.sample(frac=1, random_state=1))
    key = ["cohort", "patient_id", "step"]
    pd.testing.assert_frame_equal(
        shuffled.sort_values(key, ignore_index=True),
        resistance_profiles(long).sort_values(key, ignore_index=True),
    )


def test_a_step_is_not_assessed_where_nothing_is_measured_and_where_the_model_reads_nothing():
    found = by_step({"tmb": (None, 0.3), "albumin": (3.0, 0.2)})
    assert np.isnan(found.loc["release", "contribution"])  # not measured
    assert found.loc["release", ["n_measured", "n_features", "unmeasured"]].tolist() == [0, 1, 0.3]
    assert np.isnan(found.loc["trafficking", "contribution"])  # not read
    assert found.loc["trafficking", "n_features"] == 0
    assert found.loc["host", "contribution"] == 0.2


def test_a_level_counts_as_measured():
    assert by_step({"immune_phenotype": ("desert", 0.4)}).loc["infiltration", "contribution"] == 0.4


# --------------------------------------------------------------------------- which step leads


def led(rows: dict[str, tuple[float | str | None, float]]) -> tuple[str, str, str]:
    long = long_of(rows)
    row = leading_steps(resistance_profiles(long), long).iloc[0]
    return row["leading"], row["second"], row["statement"]


def test_the_step_that_raises_the_risk_most_leads():
    leading, second, statement = led({"tmb": (1.0, 0.6), "albumin": (3.0, 0.2)})
    assert (leading, second) == ("release", "")
    assert statement == ("The model's risk is driven mainly by features linked to antigen release.")


def test_correlated_steps_close_to_each_other_are_both_named():
    leading, second, statement = led({"cd8_density": (9.0, 0.5), "pdl1_tps": (0.0, 0.4)})
    assert (leading, second) == ("infiltration", "killing")
    assert statement == (
        "The model's risk is driven mainly by features linked to infiltration and killing; their "
        "markers go together, so these cannot be told apart."
    )
    assert led({"cd8_density": (9.0, 0.5), "pdl1_tps": (0.0, 0.2)})[1] == ""  # far behind
    assert led({"cd8_density": (9.0, 0.5), "tmb": (1.0, 0.4)})[1] == ""  # not correlated


@pytest.mark.parametrize(
    "rows",
    [
        {"tmb": (1.0, 0.05)},  # too little
        {"tmb": (30.0, -0.8)},  # lowers it
        {"tmb": (None, 0.8)},  # not measured
        {"cancer_type": ("renal", 0.8)},  # no mechanism of its own
        {"ctdna_ratio_week_6": (2.0, 0.8)},  # on treatment
    ],
)
def test_no_step_leads_where_none_raises_the_risk(rows):
    assert led(rows) == ("", "", "No step raises the model's risk by much.")


# --------------------------------------------------------------------------- cold and hot

TRAINED = NormalScores.fit(
    pd.DataFrame({name: np.linspace(0, 99, 100) for name in ("cd8_density", "gep", "f_tbrs")}),
    ["cd8_density", "gep", "f_tbrs"],
)


@pytest.mark.parametrize(
    ("values", "state", "by"),
    [
        ({"immune_phenotype": "inflamed", "cd8_density": 1.0}, "hot", "immune_phenotype"),
        ({"immune_phenotype": "excluded"}, "excluded", "immune_phenotype"),
        ({"immune_phenotype": "desert", "gep": 99.0}, "cold", "immune_phenotype"),
        ({"stil_percent": 50.0}, "hot", "stil_percent"),
        ({"stil_percent": 9.0}, "cold", "stil_percent"),
        ({"stil_percent": 10.0}, "between", "stil_percent"),
        ({"cd8_density": 80.0}, "hot", "cd8_density"),
        ({"cd8_density": 20.0}, "cold", "cd8_density"),
        ({"cd8_density": 50.0}, "between", "cd8_density"),
        ({"gep": 80.0}, "bulk_hot", "gep"),
        ({"gep": 20.0}, "bulk_cold", "gep"),
        ({"gep": 50.0}, "bulk_between", "gep"),
        ({"pdl1_tps": 90.0}, "unknown", ""),
        ({"tmb": 40.0}, "unknown", ""),
        ({"immune_phenotype": None, "gep": float("nan")}, "unknown", ""),
        ({}, "unknown", ""),
    ],
)
def test_cold_and_hot_are_decided_by_where_the_cells_lie_then_by_expression(values, state, by):
    found = inflammation(values, TRAINED)
    assert (found.state, found.decided_by) == (state, by)
    assert found.state in cycle().inflammation.states


def test_every_marker_that_says_something_is_told_with_its_status():
    found = inflammation({"immune_phenotype": "desert", "gep": 80.0, "pdl1_tps": 60.0}, TRAINED)
    assert [(r.feature, r.reading, r.kind) for r in found.readings] == [
        ("immune_phenotype", "cold", "spatial"),
        ("gep", "hot", "bulk"),
        ("pdl1_tps", "hot", "proxy"),
    ]
    assert found.readings[-1].status == "approvals used 1, 5 and 50 %; a proxy only"


def test_exclusion_is_suspected_where_fibroblasts_are_high_and_t_cells_are_not():
    assert inflammation({"cd8_density": 50.0, "f_tbrs": 95.0}, TRAINED).exclusion_suspected
    assert not inflammation({"cd8_density": 90.0, "f_tbrs": 95.0}, TRAINED).exclusion_suspected
    assert not inflammation({"cd8_density": 50.0, "f_tbrs": 50.0}, TRAINED).exclusion_suspected


def test_without_training_quantiles_only_published_cut_offs_are_read():
    assert inflammation({"cd8_density": 1.0}, None).state == "unknown"
    assert inflammation({"stil_percent": 5.0}, None).state == "cold"


# --------------------------------------------------------------------------- partner classes


@pytest.mark.parametrize(
    ("leading", "second", "values", "group", "listed"),
    [
        ("priming", "", {}, "high", ["ctla4", "induction"]),
        ("release", "", {}, "high", ["chemotherapy", "radiotherapy", "vaccine"]),
        ("infiltration", "", {}, "high", ["radiotherapy", "tgf_beta"]),
        ("infiltration", "", {"cancer_type": "renal"}, "high",
         ["radiotherapy", "anti_vegf", "tgf_beta"]),
        ("killing", "", {}, "high", ["tigit_tim3", "metabolic"]),
        ("killing", "", {"cancer_type": "melanoma"}, "intermediate",
         ["lag3", "tigit_tim3", "metabolic"]),
        ("killing", "infiltration", {"cancer_type": "renal"}, "high",
         ["radiotherapy", "anti_vegf", "tigit_tim3", "tgf_beta", "metabolic"]),
        ("recognition", "", {}, "high", ["hla_independent"]),
        ("recognition", "", {"mmr_deficient": 1.0}, "high", []),
        ("host", "", {}, "high", []),
        ("burden", "host", {}, "high", []),
        ("", "", {}, "high", []),
        ("priming", "", {}, "low", []),
        # by marker, whatever leads
        ("host", "", {"pdl1_tps": 0.0}, "high", ["ctla4"]),
        ("host", "", {"pdl1_tps": 1.0}, "high", []),
        ("host", "", {"egfr_mutation": 1.0}, "low", ["targeted"]),
        ("host", "", {"alk_fusion": 1.0, "egfr_mutation": None}, "high", ["targeted"]),
    ],
)  # fmt: skip
def test_partner_classes_follow_the_leading_step_the_tumour_and_the_markers(
    leading, second, values, group, listed
):
    assert [p.id for p in partner_classes(leading, second, values, group)] == listed


def test_why_no_partner_class_is_listed_is_told():
    assert why_no_partner("host", "high") == (
        "Host and tumour burden lead: they are prognostic under any therapy, and no partner class "
        "follows from them."
    )
    assert why_no_partner("release", "low").startswith("The risk lies in the lowest third")
    assert why_no_partner("", "high") == "No step raises the model's risk by much."
    assert why_no_partner("presentation", "high").startswith("The step that leads has no partner")

"""Explanations of a cohort as tables and plots, and its characteristics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.cohort.characteristics import characteristics
from stratify.cohort.subgroups import SMALLEST_COUNT
from stratify.interpretation.attribution import importance
from stratify.interpretation.cohort_profile import (
    CohortProfile,
    clustered_profiles,
    cohort_profile,
    dependence_table,
    leading_counts,
    subgroup_profiles,
)
from stratify.interpretation.explained import Explained, explain
from stratify.interpretation.profile import profile_matrix
from stratify.report.card_figures import EXPLANATION_FIGURES, CardFindings
from stratify.report.explanation_tables import (
    characteristics_table,
    explanation_tables,
    reporting_table,
)
from stratify.report.page_figure import Picture, pictures
from stratify.trees.model_text import UnsupportedTreesError


@pytest.fixture(scope="module")
def explained(classifier, patients) -> Explained:
    return explain(classifier, patients)


def drawn(profile: CohortProfile, long: pd.DataFrame) -> list[Picture]:
    found = CardFindings([], pd.DataFrame(), long, profile, {}, 0.5)
    return pictures(EXPLANATION_FIGURES, found)


# --------------------------------------------------------------------------- clusters


def test_every_patient_stands_in_one_cluster_with_its_own_profile(explained):
    matrix, means = clustered_profiles(explained.profiles)
    own = profile_matrix(explained.profiles)
    assert sorted(matrix.index) == sorted(own.index)
    for step in matrix.columns.drop("cluster"):
        pd.testing.assert_series_equal(
            matrix[step].sort_index(), own[step].sort_index(), check_names=False
        )
    assert (np.diff(matrix["cluster"]) >= 0).all()  # like next to like
    assert means["n"].sum() <= len(matrix)
    for row in means.to_dict("records"):
        there = matrix[matrix["cluster"] == row["cluster"]]
        assert row["n"] == len(there)
        assert row["host"] == pytest.approx(there["host"].mean())


def test_clusters_find_patients_who_were_made_alike():
    rng = np.random.default_rng(0)
    steps = ["release", "infiltration", "host"]
    profiles = []
    for group in range(3):
        for k in range(20):
            values = rng.normal(0, 0.05, 3) + np.eye(3)[group]
            profiles.append((f"{group}-{k}", values))
    rows = pd.DataFrame(
        [
            {"patient_id": name, "cohort": "a", "feature": feature, "value": 1.0, "level": None,
             "shap": value}
            for name, values in profiles
            for feature, value in zip(["tmb", "cd8_density", "albumin"], values, strict=True)
        ]
    )  # fmt: skip
    from stratify.interpretation.profile import resistance_profiles

    matrix, means = clustered_profiles(resistance_profiles(rows))
    assert list(matrix.columns) == [*steps, "cluster"]  # steps assessed in nobody are left out
    group = matrix.index.get_level_values("patient_id").str[0]
    # a fourth cluster may split one of the three, never mix two
    assert all(
        len(set(part)) == 1 for _, part in pd.Series(group).groupby(matrix["cluster"].values)
    )
    assert means["n"].sum() == 60


# --------------------------------------------------------------------------- tables


def test_leading_steps_are_counted_and_small_counts_are_not_told():
    leading = pd.DataFrame({"leading": ["host"] * 12 + ["release"] * 4 + [""] * 5})
    found = leading_counts(leading)
    assert found["step"].tolist() == ["release", "host", ""]
    assert found["n"].fillna(-1).tolist() == [-1, 12, 5]
    assert found["share"].round(3).fillna(-1).tolist() == [-1, 0.571, 0.238]


def test_subgroups_differ_as_the_means_of_the_two_sides_do(explained, patients):
    found = subgroup_profiles(explained.profiles, patients)
    matrix = profile_matrix(explained.profiles)
    rows = found[(found["subgroup"] == "sex=female") & (found["step"] == "host")]
    female = (patients["sex"] == "female").to_numpy()
    host = matrix["host"].to_numpy()
    here, there = host[female & ~np.isnan(host)], host[~female & ~np.isnan(host)]
    assert rows["difference"].iloc[0] == pytest.approx(here.mean() - there.mean())
    half = 1.959964 * np.sqrt(here.var(ddof=1) / len(here) + there.var(ddof=1) / len(there))
    assert rows["low"].iloc[0] == pytest.approx(here.mean() - there.mean() - half, abs=1e-6)
    assert found["n"].min() >= 20


def test_the_dependence_of_a_number_stands_in_fifths_of_at_least_five_patients(explained):
    long = explained.attributions
    found = dependence_table(long, "albumin")
    rows = long[long["feature"] == "albumin"]
    assert found["n"].sum() == len(rows)
    assert found["part"].iloc[0].startswith("below ")
    total = (found["n"] * found["mean_shap"]).sum()
    assert total == pytest.approx(rows["shap"].sum())
    assert found["n"].min() >= SMALLEST_COUNT
    assert found["mean_shap"].iloc[0] > found["mean_shap"].iloc[-2]  # low albumin, more risk


@pytest.mark.parametrize(
    ("feature", "parts"),
    [("msi_high", {"yes", "no", "not measured"}),
     ("immune_phenotype", {"desert", "excluded", "inflamed", "not measured"})],
)  # fmt: skip
def test_levels_and_yes_or_no_are_parts_by_themselves(explained, feature, parts):
    assert set(dependence_table(explained.attributions, feature)["part"]) <= parts


def test_characteristics_leave_out_what_could_tell_a_patient():
    table = pd.DataFrame(
        {"albumin": np.linspace(3, 5, 30), "msi_high": [1.0] * 3 + [0.0] * 27,
         "sex": ["female"] * 14 + ["male"] * 16}
    )  # fmt: skip
    group = pd.Series(["low"] * 22 + ["high"] * 8)
    found = characteristics(table, ["albumin", "msi_high", "sex", "tmb"], group)
    told = found.set_index(["feature", "level", "group"])
    assert np.isnan(told.loc[("msi_high", "yes", "low"), "n"])  # 3 of 22
    assert told.loc[("msi_high", "yes", "high"), "n"] == 0
    assert told.loc[("sex", "female", "low"), "n"] == 14
    assert np.isnan(told.loc[("albumin", "", "high"), "median"])  # 8 patients
    assert told.loc[("albumin", "", "low"), ["low", "median", "high"]].tolist() == [3.4, 3.7, 4.1]
    assert "tmb" not in set(found["feature"])
    # all but three have no MSI: these three could be counted, so neither number is told
    almost = characteristics(table.assign(msi_high=1 - table["msi_high"]), ["msi_high"], group)
    assert np.isnan(almost["n"].iloc[0])


# --------------------------------------------------------------------------- page


def test_figures_and_tables_of_a_cohort_are_put_together(classifier, patients, explained):
    profile = cohort_profile(classifier, patients, explained)
    figures = drawn(profile, explained.attributions)
    strongest = importance(explained.attributions)["feature"].head(3).tolist()
    assert [each.name for each in figures] == [
        "beeswarm", "profiles", "subgroup_profiles", *(f"dependence_{name}" for name in strongest)
    ]  # fmt: skip
    assert set(profile.partners) == set(strongest)
    assert all(other != name for name, other in profile.partners.items())
    tables = {
        "leading": profile.leading,
        "clusters": profile.clusters,
        "interactions": profile.interactions,
        "dependence": profile.dependence,
        "subgroup_profiles": profile.subgroups,
    }
    printed = explanation_tables(tables)
    assert [(table.caption, folded) for table, folded in printed] == [
        ("Step that raises the risk most, patients", False),
        ("Mean profile of each cluster of patients", False),
        ("Features that interact in the risks, strongest pairs", True),
        ("Contribution by value of the strongest features", True),
        ("Profile by subgroup; the difference is from all other patients", True),
    ]
    assert all(len(row) == len(table.heads) for table, _ in printed for row in table.rows)


def test_trees_without_interactions_are_explained_without_them(
    classifier, patients, explained, monkeypatch
):
    def refused(*_: object) -> None:
        raise UnsupportedTreesError("no interactions")

    monkeypatch.setattr(type(classifier), "interactions", refused)
    profile = cohort_profile(classifier, patients, explained)
    assert profile.partners == {}
    assert profile.interactions.empty
    names = [each.name for each in drawn(profile, explained.attributions)]
    assert names == ["beeswarm", "profiles", "subgroup_profiles"]


def test_table_one_has_a_column_a_group():
    table = pd.DataFrame({"albumin": np.linspace(3, 5, 40), "gep": np.linspace(-2, -1, 40)})
    group = pd.Series(["low"] * 20 + ["high"] * 20)
    found = characteristics(table, ["albumin", "gep"], group)
    printed = characteristics_table({"characteristics": found})
    assert printed.heads == ["Feature", "low, n\u00a0=\u00a020", "high, n\u00a0=\u00a020"]
    assert printed.rows[0] == ["Albumin in blood (g/dL)", "3.5 (3.2–3.7)", "4.5 (4.3–4.8)"]
    assert printed.rows[1][1] == "−1.8 (−1.9\u00a0to\u00a0−1.6)"
    assert characteristics_table({}) is None


def test_what_the_tool_cannot_know_is_open():
    items = [{"id": "4", "item": "Objectives", "answer": "Evaluation."},
             {"id": "17", "item": "Ethical approval", "answer": ""}]  # fmt: skip
    printed = reporting_table(items)
    assert printed.rows == [
        ["4", "Objectives", "Evaluation."],
        ["17", "Ethical approval", "Open: to be answered by the authors of the study"],
    ]
    assert reporting_table([]) is None

"""Contributions of features: exact, as shap computes them, lawful, and in the table's form."""

from __future__ import annotations

import warnings
from types import ModuleType

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from stratify.cohort.features import features_matrix
from stratify.errors import StratifyError
from stratify.interpretation.attribution import attributions, explanation, importance
from stratify.model.classifier import ResistanceClassifier
from stratify.model.ensemble import AnchoredEnsemble
from stratify.tables.schema import field_named, load_schema

NUMBERS = ["albumin", "nlr", "tmb", "age"]


@pytest.fixture(scope="module")
def shap() -> ModuleType:
    with warnings.catch_warnings():
        # 2026-11: shap 0.51 sets colours in a way that matplotlib 3.11 will drop
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap
    return shap


@pytest.fixture(scope="module")
def trees_alone(small: ResistanceClassifier, patients: pd.DataFrame) -> ResistanceClassifier:
    """Fitted without an anchor on numbers without gaps."""
    complete = patients[NUMBERS].fillna(patients[NUMBERS].median())
    return clone(small).set_params(anchor=None).fit(complete, patients["label"])


@pytest.fixture(scope="module")
def long(classifier: ResistanceClassifier, patients: pd.DataFrame) -> pd.DataFrame:
    return attributions(classifier, patients)


def by_patient(long: pd.DataFrame, n_features: int) -> np.ndarray:
    return long["shap"].to_numpy().reshape(-1, n_features)


# --------------------------------------------------------------------------- exactness


def test_base_value_and_contributions_add_up_to_the_margin_of_every_patient(
    classifier, patients, long
):
    margin = classifier.ensemble_.margins(classifier.encoded(patients)).mean(axis=0)
    total = long["base_value"].iloc[0] + by_patient(long, len(classifier.features_)).sum(axis=1)
    assert np.abs(total - margin).max() < 1e-6
    slope, intercept = classifier.calibration_
    risk = 1 / (1 + np.exp(-(slope * total + intercept)))
    assert risk == pytest.approx(classifier.predict_proba(patients)[:, 1], abs=1e-6)


def test_contributions_that_miss_the_margin_are_a_bug_and_are_told(
    classifier, patients, monkeypatch
):
    values, base, margin = classifier.contributions(patients)
    monkeypatch.setattr(classifier, "contributions", lambda X: (values, base, margin + 0.5))
    with pytest.raises(StratifyError) as refusal:
        attributions(classifier, patients)
    assert str(refusal.value) == "SHAP values miss the margin by 0.5; 1e-06 is allowed."


def mean_of_trees(shap, classifier, matrix, *, own: bool = False) -> tuple[np.ndarray, float]:
    """Mean over members of shap's values; ``own`` leaves LightGBM's shortcut out."""
    values, base = np.zeros(matrix.shape), 0.0
    for member in classifier.ensemble_.members:
        explainer = shap.TreeExplainer(member)
        if own:
            explainer.model.model_type = "internal"
        with warnings.catch_warnings():
            # 2026-11: shap 0.51 tells that older versions gave a list for each class
            warnings.filterwarnings("ignore", "LightGBM binary classifier", UserWarning)
            values += explainer.shap_values(matrix)
        base += float(np.ravel(explainer.expected_value)[-1])
    n = len(classifier.ensemble_.members)
    return values / n, base / n


def test_without_an_anchor_contributions_are_those_of_tree_explainer(shap, trees_alone, patients):
    matrix = trees_alone.encoded(patients[NUMBERS])
    expected, base = mean_of_trees(shap, trees_alone, matrix)
    assert trees_alone.ensemble_.anchor is None
    values, base_value, _ = trees_alone.contributions(patients)
    assert values == pytest.approx(expected, abs=1e-12)
    assert base_value == pytest.approx(base, abs=1e-6)


def test_contributions_equal_those_of_shap_s_own_algorithm(shap, trees_alone, patients):
    complete = patients[NUMBERS].dropna()
    matrix = trees_alone.encoded(complete)
    expected, base = mean_of_trees(shap, trees_alone, matrix, own=True)
    values, base_value, _ = trees_alone.contributions(complete)
    assert len(complete) > 100
    assert values == pytest.approx(expected, abs=1e-6)
    assert base_value == pytest.approx(base, abs=1e-6)


def test_with_an_anchor_its_part_is_added_to_that_of_the_trees(shap, classifier, patients):
    ensemble, matrix = classifier.ensemble_, classifier.encoded(patients)
    expected, base = mean_of_trees(shap, classifier, matrix)
    expected[:, ensemble.anchor_columns] += ensemble.anchor.contributions(
        matrix[:, ensemble.anchor_columns]
    )
    values, base_value, _ = classifier.contributions(patients)
    assert values == pytest.approx(expected, abs=1e-12)
    assert base_value == pytest.approx(base + ensemble.anchor.base_value, abs=1e-6)


# --------------------------------------------------------------------------- laws of Shapley


def test_a_feature_that_no_tree_and_no_anchor_uses_gets_nothing(small, patients):
    table = patients.assign(ever_smoker=1.0, bmi=np.nan)
    features = ["albumin", "bmi", "ever_smoker", "nlr"]
    # without masked copies, in which even a constant could be seen to be missing
    plain = clone(small).set_params(masked_weight=0)
    fitted = plain.fit(features_matrix(table, features), table["label"])
    long = attributions(fitted, table.assign(ever_smoker=0.0, bmi=31.0))
    assert not long.loc[long["feature"].isin(["bmi", "ever_smoker"]), "shap"].any()
    assert long.loc[long["feature"] == "nlr", "shap"].abs().min() > 0


def test_two_features_that_only_count_together_share_their_effect_equally():
    """f = 1 where both are 1, on four equally frequent patients: the Shapley values by hand.

    From none to both the expectation goes 1/4 -> 1/2 -> 1 in either order, so each feature gets
    3/8 of 1; where one of the two is 0, it gets -3/8 and the other 1/8, which add up to 0.
    """
    grid = np.array([[a, b] for a in (0.0, 1.0) for b in (0.0, 1.0)])
    X = np.tile(grid, (25, 1))
    plain = {"objective": "regression", "boost_from_average": False, "learning_rate": 1.0}
    plain |= {"min_data_in_leaf": 1, "num_leaves": 3, "verbose": -1, "num_threads": 1}
    data = lightgbm.Dataset(X, X.prod(axis=1), params={"verbose": -1})
    tree = lightgbm.train(plain, data, num_boost_round=1)
    assert tree.predict(grid) == pytest.approx([0, 0, 0, 1], abs=1e-6)
    ensemble = AnchoredEnsemble(members=[tree], anchor=None, anchor_columns=[], base_value=0.25)
    expected = np.array([[-1, -1], [-3, 1], [1, -3], [3, 3]]) / 8
    assert ensemble.contributions(grid) == pytest.approx(expected, abs=1e-6)
    assert ensemble.base_value + expected.sum(axis=1) == pytest.approx(tree.predict(grid), abs=1e-6)


def test_two_features_that_are_the_same_number_share_the_anchor_equally(small, patients):
    twins = pd.DataFrame({"one": patients["albumin"], "two": patients["albumin"]})
    options = {"anchor": "all", "monotone": None, "n_estimators": 1, "learning_rate": 1e-9}
    fitted = clone(small).set_params(**options).fit(twins, patients["label"])
    values, _, margin = fitted.contributions(twins)
    assert values[:, 0] == pytest.approx(values[:, 1], abs=1e-6)
    assert np.ptp(margin) > 0.1


# --------------------------------------------------------------------------- the table


def test_the_table_follows_its_dictionary(classifier, patients, long):
    fields = load_schema("attributions").fields
    assert list(long.columns) == list(fields)
    for name, field in fields.items():
        if field.type == "number":
            assert long[name].dtype == np.float64
        else:
            assert long[name].dropna().map(type).eq(str).all()
    assert len(long) == len(patients) * len(classifier.features_)
    assert long["feature"].tolist() == classifier.features_ * len(patients)
    assert classifier.features_ == sorted(classifier.features_)
    ids = np.repeat(patients["patient_id"].to_numpy(), len(classifier.features_))
    assert long["patient_id"].tolist() == ids.tolist()
    assert set(long["cohort"]) == {"home"}
    assert len(set(long["base_value"])) == 1
    assert long[["shap", "base_value"]].notna().all(axis=None)


def test_each_row_carries_the_panel_and_the_unit_of_its_feature(long):
    told = set(zip(long["feature"], long["panel"], long["unit"], strict=True))
    assert {row for row in told if row[0] in ("albumin", "cancer_type", "msi_high", "tmb")} == {
        ("albumin", "clinical", "g/dL"),
        ("cancer_type", "clinical", ""),
        ("msi_high", "tmb", ""),
        ("tmb", "tmb", "mut/Mb"),
    }
    assert len(told) == long["feature"].nunique()


def test_numbers_stand_as_values_and_levels_as_levels(classifier, patients, long):
    for name in classifier.features_:
        rows = long[long["feature"] == name]
        if field_named(name).categorical:
            assert rows["value"].isna().all()
            assert rows["level"].fillna("").tolist() == patients[name].fillna("").tolist()
        else:
            assert rows["level"].isna().all()
            assert rows["value"].to_numpy() == pytest.approx(patients[name].to_numpy(), nan_ok=True)
    assert long.loc[long["feature"] == "tmb", "value"].isna().any()
    assert long.loc[long["feature"] == "immune_phenotype", "level"].isna().any()


def test_a_patient_s_rows_do_not_depend_on_the_other_patients_or_columns(
    classifier, patients, long
):
    some = patients.iloc[[7, 3]][[*patients.columns[::-1]]].assign(irrelevant=1)
    expected = pd.concat([long[long["patient_id"] == i] for i in some["patient_id"]])
    pd.testing.assert_frame_equal(
        attributions(classifier, some), expected.reset_index(drop=True), check_dtype=False
    )


def test_an_absent_column_is_a_missing_value(classifier, patients):
    absent = attributions(classifier, patients.drop(columns=["tmb", "immune_phenotype"]))
    missing = attributions(classifier, patients.assign(tmb=np.nan, immune_phenotype=np.nan))
    pd.testing.assert_frame_equal(absent, missing)
    assert absent.loc[absent["feature"] == "tmb", "value"].isna().all()


def test_nobody_to_explain_gives_an_empty_table(classifier, patients):
    nobody = attributions(classifier, patients.iloc[:0])
    assert list(nobody.columns) == list(load_schema("attributions").fields)
    assert len(nobody) == 0


def test_importance_is_the_mean_absolute_contribution_greatest_first(long):
    table = importance(long)
    assert list(table.columns) == ["feature", "title", "panel", "mean_abs_shap"]
    assert sorted(table["feature"]) == sorted(long["feature"].unique())
    assert table["mean_abs_shap"].is_monotonic_decreasing
    for row in table.itertuples():
        expected = long.loc[long["feature"] == row.feature, "shap"].abs().mean()
        assert row.mean_abs_shap == pytest.approx(expected, abs=1e-15)
    albumin = table.set_index("feature").loc["albumin"]
    assert (albumin["title"], albumin["panel"]) == ("Albumin in blood", "clinical")


def test_features_of_equal_importance_stand_by_name():
    names = [n for n, f in load_schema("clinical").fields.items() if f.role == "feature"]
    assert len(names) > 16  # shorter lists are sorted stably by any method
    weak, strong = sorted(names[::2]), sorted(names[1::2])
    shap = np.tile([0.2, -0.5], len(names))[: len(names)]
    long = pd.DataFrame({"feature": names, "shap": shap})
    assert importance(long)["feature"].tolist() == strong + weak


# --------------------------------------------------------------------------- the shap package


def test_the_explanation_holds_the_same_numbers(shap, classifier, patients, long):
    found = explanation(classifier, patients)
    n = len(classifier.features_)
    assert isinstance(found, shap.Explanation)
    assert found.shape == (len(patients), n)
    assert found.values == pytest.approx(by_patient(long, n), abs=0)
    assert found.base_values.tolist() == [long["base_value"].iloc[0]] * len(patients)
    assert found.feature_names == classifier.features_
    j = classifier.features_.index("cancer_type")
    assert found.display_data[:, j].tolist() == patients["cancer_type"].tolist()
    levels = classifier.levels_["cancer_type"]
    assert [levels[int(k)] for k in found.data[:, j]] == patients["cancer_type"].tolist()


@pytest.mark.parametrize("plot", ["beeswarm", "bar", "waterfall", "scatter", "scatter of levels"])
def test_the_explanation_can_be_drawn(shap, classifier, patients, plot):
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    found = explanation(classifier, patients)
    draw = {
        "beeswarm": lambda: shap.plots.beeswarm(found, show=False),
        "bar": lambda: shap.plots.bar(found, show=False),
        "waterfall": lambda: shap.plots.waterfall(found[0], show=False),
        "scatter": lambda: shap.plots.scatter(found[:, "albumin"], show=False),
        "scatter of levels": lambda: shap.plots.scatter(found[:, "cancer_type"], show=False),
    }[plot]
    try:
        draw()
        axes = plt.gcf().axes
        assert axes
        assert any(axis.has_data() for axis in axes)
        text = {t.get_text() for axis in axes for t in axis.get_yticklabels()}
        if plot in ("beeswarm", "bar"):
            assert importance(attributions(classifier, patients))["feature"][0] in text
    finally:
        plt.close("all")

"""Groups, points of risk, agreement of members, interactions, what-if, value of information."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from stratify.cohort.features import features_matrix, model_matrix
from stratify.errors import ArgumentError
from stratify.interpretation.attribution import attributions, risk_points, stability
from stratify.interpretation.counterfactual import along, what_if
from stratify.interpretation.explained import explain, explained_in_chunks
from stratify.interpretation.information import missing_features, value_of_information
from stratify.interpretation.interactions import interaction_summary, interactions
from stratify.interpretation.profile import resistance_profiles
from stratify.model.recalibration import Recalibration
from stratify.scoring.change import risk_change
from stratify.statistics.intervals import Estimate
from stratify.uncertainty.risk_interval import Uncertainty

KEY = ["cohort", "patient_id"]


@pytest.fixture(scope="module")
def long(classifier, patients) -> pd.DataFrame:
    return attributions(classifier, patients)


# --------------------------------------------------------------------------- groups and points


def test_the_steps_and_the_base_value_add_up_to_the_margin(classifier, patients, long):
    profiles = resistance_profiles(long)
    each = profiles["contribution"].fillna(0) + profiles["unmeasured"]
    total = each.groupby([profiles[k] for k in KEY], sort=False).sum().to_numpy()
    margin = classifier.contributions(model_matrix(patients, classifier.features_))[2]
    assert total + long["base_value"].iloc[0] == pytest.approx(margin, abs=1e-6)


def test_points_add_up_to_the_risk_and_keep_the_order_of_the_contributions(
    classifier, patients, long
):
    points = risk_points(long, classifier.calibration_)
    slope, intercept = classifier.calibration_
    base = 1 / (1 + np.exp(-(slope * long["base_value"].iloc[0] + intercept)))
    risk = classifier.predict_proba(patients)[:, 1]
    summed = points.groupby([long[k] for k in KEY], sort=False).sum().to_numpy()
    assert base + summed == pytest.approx(risk, abs=1e-6)
    # rank of the points of the first patient equals that of the contributions
    first = long["patient_id"] == long["patient_id"].iloc[0]
    assert points[first].rank().tolist() == long.loc[first, "shap"].rank().tolist()


def test_points_of_contributions_that_cancel_out_follow_the_slope_of_the_risk():
    long = pd.DataFrame({"patient_id": "1", "cohort": "a", "shap": [0.4, -0.4], "base_value": 0.0})
    assert risk_points(long, (2.0, 0.0)).tolist() == pytest.approx([0.2, -0.2])


# --------------------------------------------------------------------------- members


def test_members_that_agree_are_counted_as_computed_one_by_one(classifier, patients):
    some = patients.head(7)
    found = stability(classifier, some, top=3)
    assert len(found) == 21
    ensemble = classifier.ensemble_
    matrix = classifier.encoded(model_matrix(some, classifier.features_))
    each = ensemble.trees.contributions(matrix, each=True).copy()
    each[:, :, ensemble.anchor_columns] += ensemble.anchor.contributions(
        matrix[:, ensemble.anchor_columns]
    )
    mean = ensemble.contributions(matrix)
    for i in range(len(some)):
        rows = found.iloc[3 * i : 3 * i + 3]
        strongest = sorted(range(mean.shape[1]), key=lambda j, i=i: -abs(mean[i, j]))[:3]
        assert rows["feature"].tolist() == [classifier.features_[j] for j in strongest]
        for row, j in zip(rows.itertuples(), strongest, strict=True):
            assert row.shap == pytest.approx(mean[i, j], abs=1e-12)
            same = [np.sign(member[i, j]) == np.sign(mean[i, j]) for member in each]
            assert row.same_sign == pytest.approx(np.mean(same))
            top = [j in np.argsort(-np.abs(member[i]))[:3] for member in each]
            assert row.in_top == pytest.approx(np.mean(top))


def test_models_of_drawn_effects_agree_less_often_than_members_that_share_an_anchor(
    classifier, uncertainty, patients
):
    some = patients.head(30)
    shared = stability(classifier, some, top=15)["same_sign"].mean()
    found = stability(classifier, some, top=15, posterior=uncertainty.posterior)
    assert 0.5 < found["same_sign"].mean() < shared - 0.01
    again = stability(classifier, some.tail(1), top=15, posterior=uncertainty.posterior)
    own = found[found["patient_id"] == some["patient_id"].iloc[-1]].reset_index(drop=True)
    assert again["same_sign"].tolist() == own["same_sign"].tolist()


def test_more_reasons_than_features_are_not_asked_for(classifier, patients):
    found = stability(classifier, patients.head(2), top=99)
    assert len(found) == 2 * len(classifier.features_)


# --------------------------------------------------------------------------- interactions


def test_interactions_are_symmetric_and_sum_to_the_contributions(classifier, patients):
    matrix = model_matrix(patients.head(40), classifier.features_)
    values = classifier.interactions(matrix)
    assert values == pytest.approx(values.transpose(0, 2, 1), abs=1e-12)
    assert values.sum(axis=2) == pytest.approx(classifier.contributions(matrix)[0], abs=1e-9)


def test_the_strongest_pairs_of_a_patient_are_told_with_both_halves(classifier, patients):
    some = patients.head(5)
    found = interactions(classifier, some, top=2)
    values = classifier.interactions(model_matrix(some, classifier.features_))
    features = classifier.features_
    for row in found.itertuples():
        i = some["patient_id"].tolist().index(row.patient_id)
        a, b = features.index(row.feature), features.index(row.other)
        assert row.shap == pytest.approx(2 * values[i, a, b], abs=1e-12)
    strongest = found.groupby("patient_id", sort=False)["shap"].first().abs()
    upper = [np.abs(2 * v[np.triu_indices(len(features), 1)]).max() for v in values]
    assert strongest.to_numpy() == pytest.approx(upper, abs=1e-12)


def test_the_summary_is_the_mean_over_the_patients_of_every_pair(classifier, patients):
    found = interaction_summary(classifier, patients.head(60))
    every = interactions(classifier, patients.head(60))
    mean = every.assign(shap=every["shap"].abs()).groupby(["feature", "other"])["shap"].mean()
    assert found.set_index(["feature", "other"])["mean_abs_shap"].to_dict() == pytest.approx(
        mean.to_dict(), abs=1e-12
    )
    assert found["mean_abs_shap"].is_monotonic_decreasing


def test_a_feature_that_nothing_uses_interacts_with_nothing(small, patients):
    table = patients.assign(ever_smoker=1.0)
    features = ["albumin", "ever_smoker", "nlr"]
    plain = clone(small).set_params(masked_weight=0, feature_fraction=1.0)
    fitted = plain.fit(features_matrix(table, features), table["label"])
    found = interaction_summary(fitted, table).set_index(["feature", "other"])["mean_abs_shap"]
    assert found["albumin", "ever_smoker"] == found["ever_smoker", "nlr"] == 0
    assert found["albumin", "nlr"] > 0


# --------------------------------------------------------------------------- what if


def test_along_a_feature_the_risk_is_that_of_a_patient_with_the_value(model, patients):
    one = patients.iloc[[3]]
    found = along(model, one, "albumin", [2.5, 4.5, 6.9])
    for row in found.itertuples():
        changed = model.score_cohort(one.assign(albumin=row.value)).iloc[0]
        assert (row.risk, row.risk_low, row.risk_high) == (
            changed["risk"], changed["risk_low"], changed["risk_high"]
        )  # fmt: skip
    assert found["outside"].tolist() == [False, False, True]
    assert found["risk"].iloc[0] > found["risk"].iloc[1]  # the dictionaries' direction
    own = model.score_cohort(one)["risk"].iloc[0]
    assert found["change"].tolist() == pytest.approx((found["risk"] - own).tolist(), abs=1e-12)
    assert (found["change_low"] < found["change"]).all()
    assert (found["change"] < found["change_high"]).all()
    # what is in doubt about both risks alike is not in doubt about their difference
    apart = found["change_high"] - found["change_low"]
    assert (apart < found["risk_high"] - found["risk_low"]).all()


def test_a_risk_does_not_differ_from_itself(model, patients):
    found = risk_change(model, patients.head(5), patients.head(5))
    assert np.abs(found.to_numpy()).max() < 1e-12


def test_a_flatter_line_of_recalibration_makes_differences_smaller(model, patients):
    line = Recalibration(
        "intercept_slope", Estimate(-0.2, -0.4, 0.0), Estimate(0.5, 0.4, 0.6),
        [[0.01, 0.0], [0.0, 0.0025]], 200, 80,
    )  # fmt: skip
    there = replace(model, card={**model.card, "recalibration": line.to_json()})
    before, after = patients.head(5), patients.head(5).assign(albumin=2.5)
    flat, steep = (risk_change(m, before, after) for m in (there, model))
    risk = there.score_cohort(after)["risk"] - there.score_cohort(before)["risk"]
    assert flat["change"].tolist() == pytest.approx(risk.tolist(), abs=1e-12)
    width = [m["change_high"] - m["change_low"] for m in (flat, steep)]
    assert (width[0] < width[1]).all()


def test_by_default_quantiles_levels_or_yes_and_no_are_looked_at(model, patients):
    one = patients.iloc[[0]]
    quantiles = along(model, one, "albumin")["value"]
    assert quantiles.is_monotonic_increasing
    low, high = patients["albumin"].quantile([0.02, 0.98])
    assert quantiles.iloc[[0, -1]].tolist() == pytest.approx([low, high], abs=0.01)
    assert along(model, one, "msi_high")["value"].tolist() == [0, 1]
    assert along(model, one, "immune_phenotype")["value"].tolist() == [
        "desert", "excluded", "inflamed"
    ]  # fmt: skip
    assert not along(model, one, "ecog")["value"].mod(1).any()


def test_a_feature_that_the_model_does_not_read_is_refused(model, patients):
    with pytest.raises(ArgumentError) as refusal:
        along(model, patients.iloc[[0]], "btmb")
    assert str(refusal.value) == (
        f"The model does not read 'btmb'; it reads {', '.join(model.classifier.features_)}."
    )
    with pytest.raises(ArgumentError) as refusal:
        along(model, patients.head(2), "albumin", [3.0])
    assert str(refusal.value) == "`source` has 2 patients; one is expected."


def test_undetected_ctdna_sets_all_its_values_together(model, patients):
    with_ctdna = patients[patients["ctdna_detected"] == 1].iloc[[0]]
    found = what_if(model, with_ctdna).set_index("state")
    changed = model.score_cohort(with_ctdna.assign(ctdna_detected=0.0, ctdna_max_vaf=0.0))
    assert found.loc["ctDNA undetected", "risk"] == changed["risk"].iloc[0]
    without = with_ctdna.assign(ctdna_detected=0.0, ctdna_max_vaf=0.0)
    assert "ctDNA undetected" not in what_if(model, without)["state"].tolist()
    unmeasured = with_ctdna.assign(ctdna_detected=np.nan, ctdna_max_vaf=np.nan)
    assert "ctDNA undetected" not in what_if(model, unmeasured)["state"].tolist()


# --------------------------------------------------------------------------- draws


def test_draws_keep_what_is_measured_and_are_like_the_training_patients(model, patients):
    known = model.training_distribution
    one = model_matrix(patients.iloc[[2]], model.classifier.features_)
    names = ["nlr", "msi_high", "ecog", "immune_phenotype", "tmb"]
    one[names] = np.nan
    drawn = known.draw(one, names, 4000, np.random.default_rng(0))
    kept = one.columns.difference(names)
    pd.testing.assert_frame_equal(
        drawn[kept].head(1).reset_index(drop=True), one[kept].reset_index(drop=True),
        check_dtype=False,
    )  # fmt: skip
    assert set(drawn["msi_high"]) == {0.0, 1.0}
    assert not drawn["ecog"].mod(1).any()
    assert set(drawn["immune_phenotype"]) == {"desert", "excluded", "inflamed"}
    # nothing measured but what is left: medians as in training, near enough
    blank = one.copy()
    blank.loc[:] = np.nan
    free = known.draw(blank, list(blank.columns), 4000, np.random.default_rng(0))
    for name in ("nlr", "tmb", "albumin"):
        spread = patients[name].quantile(0.75) - patients[name].quantile(0.25)
        assert abs(free[name].median() - patients[name].median()) < 0.1 * spread
    assert free["msi_high"].mean() == pytest.approx(patients["msi_high"].mean(), abs=0.05)


def test_draws_follow_what_is_correlated_with_them(model, patients):
    known = model.training_distribution
    one = model_matrix(patients.iloc[[2]], model.classifier.features_)
    one.loc[:] = np.nan
    rng = np.random.default_rng
    low = known.draw(one.assign(pdl1_tps=0.0), ["pdl1_cps"], 2000, rng(0))["pdl1_cps"]
    high = known.draw(one.assign(pdl1_tps=90.0), ["pdl1_cps"], 2000, rng(0))["pdl1_cps"]
    assert low.median() < high.median() - 20


def test_levels_are_drawn_with_the_numbers(model, patients):
    known = model.training_distribution
    one = model_matrix(patients.iloc[[2]], model.classifier.features_)
    one.loc[:] = np.nan
    rng = np.random.default_rng
    names = ["cd8_density", "immune_phenotype"]
    drawn = known.draw(one, names, 4000, rng(0))
    seen = patients.groupby("immune_phenotype")["cd8_density"].median()
    found = drawn.groupby("immune_phenotype")["cd8_density"].median()
    assert found["desert"] < found["excluded"] < found["inflamed"]
    assert found.to_numpy() == pytest.approx(seen.reindex(found.index).to_numpy(), rel=0.5)
    share = drawn["immune_phenotype"].value_counts(normalize=True)
    own = patients["immune_phenotype"].value_counts(normalize=True)
    assert share.to_dict() == pytest.approx(own.to_dict(), abs=0.05)
    # a measured number tells the level, a measured level the number
    few = known.draw(one.assign(cd8_density=5.0), names[1:], 1000, rng(0))["immune_phenotype"]
    assert (few == "desert").mean() > own["desert"] + 0.15
    blank = one.astype({"immune_phenotype": object})
    inflamed = known.draw(blank.assign(immune_phenotype="inflamed"), names[:1], 1000, rng(0))
    assert inflamed["cd8_density"].median() > 1.3 * drawn["cd8_density"].median()


def test_a_value_that_many_share_is_drawn_as_often_as_it_was_seen(model, patients):
    known = model.training_distribution
    one = model_matrix(patients.iloc[[2]], model.classifier.features_)
    one.loc[:] = np.nan
    drawn = known.draw(one, ["pdl1_tps"], 4000, np.random.default_rng(0))["pdl1_tps"]
    seen = (patients["pdl1_tps"].dropna() == 0).mean()
    assert (drawn == 0).mean() == pytest.approx(seen, abs=0.1)  # quantiles are 0.1 apart


# --------------------------------------------------------------------------- information


def test_only_what_a_patient_lacks_is_looked_at(model, patients):
    table = patients.head(12)
    found = value_of_information(model, table, draws=8)
    for patient in table["patient_id"]:
        row = model_matrix(table[table["patient_id"] == patient], model.classifier.features_)
        told = found[found["patient_id"] == patient].set_index("group")["features"]
        assert {k: v.split(";") for k, v in told.items()} == missing_features(row)
    assert found["spread"].ge(0).all()
    assert found[["share_group", "share_recommendation"]].melt()["value"].between(0, 1).all()


def test_a_patient_s_information_does_not_depend_on_the_others(model, patients):
    table = patients.head(6)
    together = value_of_information(model, table, draws=8)
    last = table.iloc[[5]]
    alone = value_of_information(model, last, draws=8)
    own = together[together["patient_id"] == last["patient_id"].iloc[0]]
    pd.testing.assert_frame_equal(own.reset_index(drop=True), alone)


def test_a_patient_who_lacks_nothing_has_no_row(model, patients):
    full = model_matrix(patients, model.classifier.features_).notna().all(axis=1)
    assert value_of_information(model, patients[full].head(3)).empty


def test_without_a_summary_of_training_the_bundle_is_to_be_trained_again(model, patients):
    earlier = model.uncertainty.to_json()
    del earlier["joint"]
    for doubt in (None, Uncertainty.from_json(earlier)):
        old = replace(model, uncertainty=doubt)
        with pytest.raises(ArgumentError) as refusal:
            value_of_information(old, patients.head(1))
        assert str(refusal.value) == (
            "The bundle keeps no summary of its training patients; train it again to see what a "
            "missing panel could change."
        )


# --------------------------------------------------------------------------- batches


def test_chunks_explain_each_patient_as_all_together_do(classifier, patients):
    told = []
    chunks = list(
        explained_in_chunks(
            classifier, patients, size=100, progress=lambda done, of: told.append((done, of))
        )
    )
    assert told == [(100, 240), (200, 240), (240, 240)]
    whole = explain(classifier, patients)
    for name in ("attributions", "profiles", "leading"):
        parts = pd.concat([getattr(chunk, name) for chunk in chunks], ignore_index=True)
        pd.testing.assert_frame_equal(parts, getattr(whole, name))

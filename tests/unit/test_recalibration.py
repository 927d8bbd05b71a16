"""Recalibration: the line, what may change, the model it makes, and before against after."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import chi2
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from stratify.cohort.reading import Cohort
from stratify.errors import ArgumentError, CohortError
from stratify.model.recalibration import Recalibration
from stratify.scoring import ResistanceModel, load
from stratify.tables.findings import Findings
from stratify.validation.local_recalibration import before_and_after, recalibrate


def drawn(n: int, seed: int, intercept: float, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and risks that are off by a line."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(0.3, 1.0, n)
    y = (rng.random(n) < expit(intercept + slope * margin)).astype(float)
    return y, expit(margin)


def cohort_of(table: pd.DataFrame) -> Cohort:
    return Cohort(table, pd.DataFrame(), Findings(), {}, {"local.csv": "ab12"}, None, False)


@pytest.fixture(scope="module")
def local(strangers: pd.DataFrame) -> Cohort:
    """150 patients of another hospital, where resistance is rarer."""
    rarer = strangers[(strangers["label"] == 0) | (strangers.index % 3 == 0)]
    return cohort_of(rarer.head(150).reset_index(drop=True))


@pytest.fixture(scope="module")
def recalibrated(model: ResistanceModel, local: Cohort) -> ResistanceModel:
    return recalibrate(model, local, what="intercept_slope")


# ------------------------------------------------------------------- the line


def test_the_line_is_that_of_maximum_likelihood():
    y, p = drawn(400, 0, 0.5, 0.7)
    design = np.column_stack([np.ones(400), logit(p)])
    both = GLM(y, design, family=Binomial()).fit()
    line = Recalibration.fit(y, p, "intercept_slope")
    for k, found in enumerate((line.intercept, line.slope)):
        assert found == pytest.approx((both.params[k], *both.conf_int()[k]), abs=1e-6)
    np.testing.assert_allclose(line.covariance, both.cov_params(), rtol=1e-6)
    one = GLM(y, design[:, :1], family=Binomial(), offset=logit(p)).fit()
    line = Recalibration.fit(y, p, "intercept")
    assert line.intercept == pytest.approx((one.params[0], *one.conf_int()[0]), abs=1e-6)
    assert line.slope == (1, 1, 1)


@pytest.mark.parametrize(
    ("n", "intercept", "slope", "changed"),
    [
        (400, 0.0, 1.0, "none"),
        (400, 0.9, 1.0, "intercept"),
        (400, 0.6, 0.3, "intercept_slope"),
        (50, 0.1, 1.0, "none"),
        (50, 1.5, 1.0, "intercept"),
    ],
)
def test_the_closed_test_changes_as_little_as_the_patients_allow(n, intercept, slope, changed):
    assert Recalibration.fit(*drawn(n, 3, intercept, slope)).changed == changed


def test_the_closed_test_is_vergouwes():
    """Likelihood ratios of two steps at 5 %, by models of another implementation."""
    told = set()
    for seed in range(40):
        y, p = drawn(120, seed, 0.3 * (seed % 3), 1 - 0.3 * (seed % 2))
        margin = logit(p)
        design = np.column_stack([np.ones(120), margin])
        both = GLM(y, design, family=Binomial()).fit().llf
        one = GLM(y, design[:, :1], family=Binomial(), offset=margin).fit().llf
        none = (y * margin - np.logaddexp(0, margin)).sum()
        expected = "intercept_slope"
        if chi2.sf(2 * (both - none), 2) >= 0.05:
            expected = "none"
        elif chi2.sf(2 * (both - one), 1) >= 0.05:
            expected = "intercept"
        assert Recalibration.fit(y, p).changed == expected
        told.add(expected)
    assert told == {"none", "intercept", "intercept_slope"}


def test_a_right_model_is_changed_in_about_one_cohort_of_twenty():
    changed = [Recalibration.fit(*drawn(80, seed, 0, 1)).changed != "none" for seed in range(400)]
    assert 0.02 <= np.mean(changed) <= 0.09


def test_with_few_of_the_rarer_label_the_slope_is_left_alone():
    y = np.repeat([1.0, 0.0], [15, 60])
    p = np.concatenate([np.tile([0.8, 0.3, 0.9], 5), np.tile([0.8, 0.9, 0.7, 0.2], 15)])
    assert Recalibration.fit(y, p).changed == "intercept"
    with pytest.raises(CohortError) as refusal:
        Recalibration.fit(y, p, "intercept_slope")
    assert str(refusal.value) == (
        "A slope cannot be fitted: the label separates the risks, or fewer than 20 patients have "
        "the rarer one. Recalibrate the intercept only."
    )


def test_the_line_turns_log_odds_and_back():
    line = Recalibration.fit(*drawn(400, 1, 0.5, 0.7), "intercept_slope")
    p = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    inner = logit(p[1:-1])
    np.testing.assert_allclose(line.original(line(inner)), inner, atol=1e-12)
    assert line.risk(p)[[0, -1]].tolist() == [0, 1]
    assert (np.diff(line.risk(p)) > 0).all()


def test_its_variance_is_that_of_the_fitted_line():
    y, p = drawn(300, 2, 0.5, 0.7)
    line = Recalibration.fit(y, p, "intercept_slope")
    rng = np.random.default_rng(0)
    margins = []
    for _ in range(300):
        rows = rng.integers(0, 300, 300)
        again = Recalibration.fit(y[rows], p[rows], "intercept_slope")
        margins.append(again(np.array([-1.0, 0.3, 2.0])))
    expected = np.var(margins, axis=0)
    np.testing.assert_allclose(line.variance(np.array([-1.0, 0.3, 2.0])), expected, rtol=0.25)


def test_a_kept_model_is_not_moved():
    line = Recalibration.fit(*drawn(400, 0, 0, 1))
    p = np.array([0.2, 0.7])
    np.testing.assert_allclose(line.risk(p), p, rtol=1e-12)
    assert line.variance(logit(p)).tolist() == [0, 0]


# ------------------------------------------------------------------- the model


def test_risk_groups_and_risk_follow_the_line(model, recalibrated, patients):
    line = Recalibration.from_json(recalibrated.card["recalibration"])
    before, after = model.score_cohort(patients), recalibrated.score_cohort(patients)
    np.testing.assert_allclose(after["risk"], line.risk(before["risk"].to_numpy()), atol=1e-9)
    assert after["risk_group"].tolist() == before["risk_group"].tolist()
    kept = ["patient_id", "cohort", "panels_missing", "flags", "endpoint_rule", "evidence_class"]
    pd.testing.assert_frame_equal(after[kept], before[kept])


def test_the_interval_widens_by_what_the_cohort_leaves_open(model, recalibrated, patients):
    line = Recalibration.from_json(recalibrated.card["recalibration"])
    before, after = model.score_cohort(patients), recalibrated.score_cohort(patients)

    def half(scores: pd.DataFrame) -> np.ndarray:
        return (logit(scores["risk_high"]) - logit(scores["risk_low"])).to_numpy() / 2

    variance = line.variance(logit(before["risk"].to_numpy()))
    expected = np.sqrt((line.slope.value * half(before)) ** 2 + 1.2815516**2 * variance)
    np.testing.assert_allclose(half(after), expected, rtol=1e-6)
    centre = (logit(after["risk_high"]) + logit(after["risk_low"])) / 2
    np.testing.assert_allclose(centre, logit(after["risk"]), atol=1e-9)


def test_the_card_states_the_line_and_where_it_comes_from(model, recalibrated, local):
    record = recalibrated.card["recalibration"]
    label = local.table["label"]
    assert {k: v for k, v in record.items() if k not in ("intercept", "slope", "covariance")} == {
        "asked": "intercept_slope",
        "changed": "intercept_slope",
        "cohorts": "local",
        "files": {"local.csv": "ab12"},
        "from_version": model.version,
        "n": 150,
        "n_events": int(label.sum()),
    }
    value, low, high = record["intercept"]
    assert low < value < high < 0  # resistance is rarer there
    assert recalibrated.version != model.version
    assert "recalibration" not in model.card


def test_the_model_it_was_made_from_stays_as_it_was(model, local, patients):
    before = model.score_cohort(patients)
    recalibrate(model, local, what="intercept")
    pd.testing.assert_frame_equal(model.score_cohort(patients), before)


def test_it_scores_the_same_after_saving(recalibrated, patients, tmp_path):
    recalibrated.save(tmp_path / "bundle")
    again = load(tmp_path / "bundle")
    assert again.version == recalibrated.version
    pd.testing.assert_frame_equal(
        again.score_cohort(patients), recalibrated.score_cohort(patients), check_exact=True
    )


def test_no_patient_is_named_in_the_card(recalibrated, local):
    text = json.dumps(recalibrated.card)
    assert not any(name in text for name in local.table["patient_id"])


def test_a_bundle_without_uncertainty_is_recalibrated_too(model, local, patients):
    older = replace(model, uncertainty=None, version="")
    scores = recalibrate(older, local, what="intercept").score_cohort(patients)
    assert (scores["risk_low"] < scores["risk"]).all()


# ------------------------------------------------------------------- refusals


def few(local: Cohort, ones: int, zeros: int) -> Cohort:
    label = local.table["label"]
    table = local.table
    return cohort_of(pd.concat([table[label == 1].head(ones), table[label == 0].head(zeros)]))


@pytest.mark.parametrize(("ones", "zeros"), [(9, 40), (30, 9), (0, 30), (30, 0), (0, 0)])
def test_too_few_patients_of_a_label_are_refused(model, local, ones, zeros):
    cohort = few(local, ones, zeros)
    with pytest.raises(CohortError) as refusal:
        recalibrate(model, cohort)
    where = "local" if ones + zeros else "The study"
    assert str(refusal.value) == (
        f"{where} has {ones} patients with label 1 and {zeros} with label 0; at least 10 of each "
        "are needed to recalibrate. Add patients."
    )
    assert refusal.value.exit_code == 11


def test_a_model_that_ranks_the_patients_the_wrong_way_is_refused(model, local):
    turned = cohort_of(local.table.assign(label=1 - local.table["label"]))
    with pytest.raises(CohortError) as refusal:
        recalibrate(model, turned)
    message = str(refusal.value)
    assert message.startswith("The model does not rank the patients of local: the slope is -")
    assert message.endswith("Recalibration cannot mend that; train on patients like these.")


def test_a_recalibrated_model_is_not_recalibrated_again(model, recalibrated, local):
    with pytest.raises(ArgumentError) as refusal:
        recalibrate(recalibrated, local)
    assert str(refusal.value) == (
        f"The model {recalibrated.version} was recalibrated before; recalibrate {model.version}, "
        "from which it was made."
    )


def test_an_unknown_change_is_refused(model, local):
    with pytest.raises(ArgumentError) as refusal:
        recalibrate(model, local, what="slope")
    assert str(refusal.value) == (
        "what is 'slope'; one of closed_test, intercept, intercept_slope is expected."
    )


# ------------------------------------------------------------------- before and after


def value(table: pd.DataFrame, split: str, name: str, metric: str) -> float:
    rows = table[(table["split"] == split) & (table["model"] == name) & (table["reference"] == "")]
    return float(rows.loc[rows["metric"] == metric, "value"].item())


def test_after_is_judged_apparent_and_on_patients_that_did_not_fit_it(model, local):
    table, curves = before_and_after(model, local, what="intercept_slope")
    assert value(table, "train", "after", "calibration_slope") == pytest.approx(1, abs=1e-6)
    assert value(table, "train", "after", "calibration_intercept") == pytest.approx(0, abs=1e-6)
    apparent, crossed = (value(table, split, "after", "brier") for split in ("train", "cv"))
    assert apparent < crossed < value(table, "cv", "before", "brier")
    for metric in ("auroc", "brier", "calibration_intercept"):
        before = [value(table, split, "before", metric) for split in ("train", "cv")]
        assert before[0] == before[1]
    aurocs = [value(table, split, "after", "auroc") for split in ("train", "cv")]
    assert aurocs[0] == value(table, "cv", "before", "auroc")
    assert aurocs[1] == pytest.approx(aurocs[0], abs=0.02)
    deltas = table[(table["metric"] == "delta_brier") & (table["split"] == "cv")]
    assert deltas[["model", "reference"]].to_numpy().tolist() == [["after", "before"]]
    assert set(curves["model"]) == {"before", "after"}
    assert curves.groupby("model")["n"].sum().to_dict() == {"before": 150, "after": 150}


def test_noise_alone_looks_like_a_gain_only_on_the_patients_that_fitted_it(model, local):
    """Recalibrating a model that is right: an apparent gain that others do not share."""
    risk = model.score_cohort(local.table)["risk"].to_numpy()
    apparent, crossed = [], []
    for seed in range(15):
        label = (np.random.default_rng(seed).random(len(risk)) < risk).astype(float)
        cohort = cohort_of(local.table.assign(label=label))
        table, _ = before_and_after(model, cohort, what="intercept_slope", seed=seed)
        for gains, split in ((apparent, "train"), (crossed, "cv")):
            before, after = (value(table, split, name, "brier") for name in ("before", "after"))
            gains.append(before - after)
    assert min(apparent) > -5e-4  # the line is fitted by likelihood, not by the Brier score
    assert np.mean(apparent) > 0.001 > 0.0005 > np.mean(crossed)

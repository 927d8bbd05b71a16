"""The classifier: scikit-learn's contract, messages, missing panels, calibration, attributions."""

from __future__ import annotations

import pickle
from copy import copy
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from stratify.errors import ArgumentError
from stratify.model.classifier import ResistanceClassifier
from stratify.model.linear import LinearScore

PANELS = {
    "clinical": ["albumin", "nlr", "ecog", "ever_smoker", "sex"],
    "pdl1": ["pdl1_tps", "pdl1_cps"],
    "tmb": ["tmb"],
    "infiltration": ["cd8_density", "immune_phenotype"],
}


def small(**parameters) -> ResistanceClassifier:
    quick = {"n_members": 3, "n_estimators": 15, "learning_rate": 0.1, "calibration_folds": 2}
    return ResistanceClassifier(**{**quick, "min_child_samples": 5, **parameters})


@cache
def _patients(n: int, seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Simulate patients: the clinical panel complete, gaps in the others."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "tmb": rng.lognormal(1.8, 1, n).round(1),
            "albumin": rng.normal(3.9, 0.5, n).round(1),
            "nlr": rng.lognormal(1.2, 0.5, n).round(1),
            "pdl1_tps": rng.integers(0, 101, n).astype(float),
            "pdl1_cps": rng.integers(0, 101, n).astype(float),
            "cd8_density": rng.lognormal(5, 1, n).round(),
            "immune_phenotype": rng.choice(["desert", "excluded", "inflamed"], n).astype(object),
            "sex": rng.choice(["female", "male"], n).astype(object),
            "ecog": rng.integers(0, 3, n),
            "ever_smoker": rng.random(n) < 0.6,
        }
    )
    logit = 2 * (3.9 - X["albumin"]) + 0.3 * (X["nlr"] - 3.5) - 0.02 * (X["pdl1_tps"] - 50)
    logit += 0.8 * (X["immune_phenotype"] == "desert") - 0.5 * np.log(X["tmb"] / 6)
    y = pd.Series((rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int))
    for panel in ("pdl1", "tmb", "infiltration"):
        X.loc[rng.random(n) < 0.25, PANELS[panel]] = np.nan
    return X, y


@pytest.fixture
def cohort() -> tuple[pd.DataFrame, pd.Series]:
    X, y = _patients(300, 1)
    return X.copy(), y.copy()


@cache
def _fitted() -> ResistanceClassifier:
    return small().fit(*_patients(300, 1))


@pytest.fixture
def model() -> ResistanceClassifier:
    return _fitted()


def risk_of(model: ResistanceClassifier, X: object) -> np.ndarray:
    return model.predict_proba(X)[:, 1]


# ---------------------------------------------------------------- scikit-learn's contract

EXPECTED_TO_FAIL = {
    "check_sample_weight_equivalence_on_dense_data": (
        "Members are bootstrap samples of rows and calibration folds split rows, so that a weight "
        "of 2 is a patient of double weight, not a patient who is drawn and split twice."
    ),
}


@parametrize_with_checks(
    [
        ResistanceClassifier(
            n_members=2,
            n_estimators=5,
            learning_rate=0.3,
            min_child_samples=1,
            calibration_folds=2,
        )
    ],
    expected_failed_checks=lambda _: EXPECTED_TO_FAIL,
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_parameters_are_kept_as_given_through_clone_and_set_params():
    given = {"n_members": 4, "panels": {"tmb": "t"}, "monotone": None, "interval_level": 0.5}
    estimator = ResistanceClassifier(**given)
    assert {name: estimator.get_params()[name] for name in given} == given
    assert clone(estimator).get_params() == estimator.get_params()
    assert estimator.set_params(n_members=7, mask_panel=0.1).get_params()["n_members"] == 7
    with pytest.raises(TypeError):
        ResistanceClassifier(4)


def test_a_clone_forgets_and_learns_the_same_again(cohort, model):
    X, y = cohort
    fresh = clone(model)
    assert not hasattr(fresh, "ensemble_")
    assert np.array_equal(risk_of(fresh.fit(X, y), X), risk_of(model, X))


def test_a_pickled_model_predicts_the_same(cohort, model):
    again = pickle.loads(pickle.dumps(model))
    X, _ = cohort
    assert np.array_equal(again.predict_interval(X), model.predict_interval(X))


@pytest.mark.parametrize("labels", [["control", "resistant"], [False, True], [-1, 1]])
def test_any_two_labels_do_and_the_greater_one_is_resistance(cohort, model, labels):
    X, y = cohort
    other = small().fit(X, np.array(labels)[y])
    assert other.classes_.tolist() == labels
    assert np.array_equal(risk_of(other, X), risk_of(model, X))
    flagged = other.predict(X) == labels[1]
    assert np.array_equal(flagged, risk_of(model, X) > 0.5)


@pytest.mark.parametrize("dtype", ["float", "Int64", "object", "boolean", "category"])
def test_labels_of_any_dtype_fit_alike(cohort, model, dtype):
    X, y = cohort
    assert np.array_equal(risk_of(small().fit(X, y.astype(dtype)), X), risk_of(model, X))


def test_predict_flags_from_a_risk_of_one_half(cohort, model):
    X, _ = cohort
    both = model.predict_proba(X)
    assert both.sum(axis=1) == pytest.approx(1)
    assert both[:, 1] == pytest.approx(1 / (1 + np.exp(-model.decision_function(X))))
    assert np.array_equal(model.predict(X), both.argmax(axis=1))
    assert set(model.predict(X)) == {0, 1}


def test_a_table_and_its_numbers_without_names_fit_alike(cohort):
    X, y = cohort
    numbers = X[sorted(PANELS["pdl1"] + ["albumin", "nlr"])]
    named = small(monotone=None, panels={}, anchor=None).fit(numbers, y)
    unnamed = small(monotone=None, panels={}, anchor=None).fit(numbers.to_numpy(), y)
    assert np.array_equal(risk_of(named, numbers), risk_of(unnamed, numbers.to_numpy()))


# ---------------------------------------------------------------- what is learned


def test_columns_levels_and_directions_are_kept(cohort, model):
    X, _ = cohort
    assert model.features_ == sorted(X.columns)
    assert list(model.feature_names_in_) == list(X.columns)
    assert model.levels_ == {
        "immune_phenotype": ["desert", "excluded", "inflamed"],
        "sex": ["female", "male"],
    }
    assert model.complete_ == sorted(PANELS["clinical"])
    directions = {n: d for n, d in zip(model.features_, model.monotone_, strict=True) if d}
    assert directions == {"albumin": -1, "nlr": 1, "ecog": 1, "tmb": -1}


def test_a_direction_known_for_one_indication_holds_when_all_patients_have_it(cohort):
    X, y = cohort
    smoker = sorted([*X.columns, "cancer_type"]).index("ever_smoker")
    lung = small().fit(X.assign(cancer_type="nsclc"), y)
    mixed = small().fit(X.assign(cancer_type=np.where(X["nlr"] > 3, "nsclc", "renal")), y)
    assert (lung.monotone_[smoker], mixed.monotone_[smoker]) == (-1, 0)


def test_no_directions_or_other_ones_predict_otherwise(cohort, model):
    X, y = cohort
    free = small(monotone=None).fit(X, y)
    assert set(free.monotone_) == {0}
    assert not np.allclose(risk_of(free, X), risk_of(model, X))
    given = small(monotone={"albumin": 1, "sex": 1}).fit(X, y)
    directions = dict(zip(given.features_, given.monotone_, strict=True))
    assert {name for name, d in directions.items() if d} == {"albumin"}  # no order among levels


@pytest.mark.parametrize(
    ("anchor", "expected"),
    [
        (None, []),
        ("all", sorted(name for names in PANELS.values() for name in names)),
        (["sex", "nlr", "crp"], ["nlr", "sex"]),
    ],
)
def test_the_anchor_holds_those_of_its_features_that_there_are(cohort, model, anchor, expected):
    X, y = cohort
    other = small(anchor=anchor).fit(X, y)
    columns = other.ensemble_.anchor_columns
    assert [other.features_[j] for j in columns] == expected
    assert (other.ensemble_.anchor is None) == (anchor is None)
    assert np.array_equal(risk_of(other, X), risk_of(model, X)) == (anchor == "all")


def _as_anchor(model: ResistanceClassifier, X: pd.DataFrame, label: np.ndarray) -> LinearScore:
    """Fit the linear score on these patients as the anchor of the model should have been."""
    return LinearScore.fit(
        model.encoded(X),
        model.features_,
        {name: len(levels) for name, levels in model.levels_.items()},
        label,
        penalty=model.anchor_variance / len(model.features_),
        directions=model.monotone_,
        expect=True,
    )


@pytest.mark.parametrize("variance", [0.2, 1.5])
def test_the_prior_variance_of_the_anchor_is_shared_by_its_features(cohort, variance):
    X, y = cohort
    model = small(anchor_variance=variance).fit(X, y)
    expected = _as_anchor(model, X, y.to_numpy(float))
    matrix = model.encoded(X)
    assert model.ensemble_.anchor.margin(matrix) == pytest.approx(expected.margin(matrix), abs=1e-4)


def test_trees_learn_less_the_more_of_a_true_anchor_they_start_from():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(600, 4)), columns=list("abcd"))
    y = (rng.random(600) < 1 / (1 + np.exp(-1.5 * X["a"] - X["b"]))).astype(int)
    spread = []
    for share in (0, 0.5, 1):
        model = small(anchor_start=share, n_estimators=40).fit(X, y)
        matrix = model.encoded(X)
        trees = model.ensemble_.margins(matrix).mean(axis=0) - model.ensemble_.anchor.margin(matrix)
        spread.append(trees.std())
        assert abs(trees.mean()) < 0.1  # the level is the anchor's, whatever the share
    assert spread[0] > 1.5 * spread[1] > 2 * spread[2]


def test_other_outcomes_grade_the_labels_of_the_anchor_alone(cohort):
    X, y = cohort
    rng = np.random.default_rng(2)
    others = pd.DataFrame({"early": (rng.random(300) < 0.4), "late": y}).astype("Float64")
    others.loc[rng.random(300) < 0.3, "early"] = pd.NA
    model = small().fit(X, y, auxiliary=others)
    grades = pd.concat([y, others], axis=1).astype(float).mean(axis=1).to_numpy()
    matrix = model.encoded(X)
    expected = _as_anchor(model, X, grades).margin(matrix)
    assert model.ensemble_.anchor.margin(matrix) == pytest.approx(expected, abs=1e-4)
    # without an anchor nothing learns from them
    trees = small(anchor=None)
    alone = risk_of(trees.fit(X, y), X)
    assert np.array_equal(risk_of(trees.fit(X, y, auxiliary=others), X), alone)


@pytest.mark.parametrize("others", [lambda y: y, lambda y: y * np.nan])
def test_outcomes_that_say_the_same_or_nothing_change_nothing(cohort, model, others):
    X, y = cohort
    same = small().fit(X, y, auxiliary=others(y.astype(float)))
    assert np.array_equal(risk_of(same, X), risk_of(model, X))


def test_other_outcomes_go_with_their_patient_in_any_order(cohort):
    X, y = cohort
    again = pd.concat([X, X[:40]], ignore_index=True)  # equal patients with other outcomes
    labels = pd.concat([y, y[:40]], ignore_index=True)
    others = np.random.default_rng(3).integers(0, 2, (340, 2)).astype(float)
    order = np.random.default_rng(4).permutation(340)
    one = small().fit(again, labels, auxiliary=others)
    other = small().fit(again.iloc[order], labels.iloc[order], auxiliary=others[order])
    assert np.array_equal(risk_of(one, X), risk_of(other, X))


def test_fitting_leaves_the_inputs_alone(cohort):
    X, y = cohort
    before = X.copy(deep=True)
    small().fit(X, y).predict_proba(X)
    pd.testing.assert_frame_equal(X, before)


def test_out_of_fold_risks_belong_to_the_rows_given(cohort, model):
    X, y = cohort
    assert model.oof_risk_.shape == (300,)
    assert roc_auc_score(y, model.oof_risk_) > 0.6
    order = np.random.default_rng(0).permutation(300)
    moved = small().fit(X.iloc[order], y.iloc[order])
    assert np.array_equal(moved.oof_risk_, model.oof_risk_[order])
    assert (model.oof_risk_ != risk_of(model, X)).any()


# ---------------------------------------------------------------- columns and panels


def test_all_missing_gives_one_risk_near_the_prevalence(cohort, model):
    X, y = cohort
    nothing = pd.DataFrame(np.nan, index=range(4), columns=X.columns)
    risk, low, high = model.predict_interval(nothing)
    assert len(set(risk)) == 1
    assert risk[0] == pytest.approx(y.mean(), abs=0.15)
    assert np.isfinite([low, high]).all()


@pytest.mark.parametrize("name", ["albumin", "nlr"])
def test_a_gap_where_training_had_none_is_not_read_as_zero(cohort, model, name):
    X, _ = cohort
    assert name in model.complete_
    gap, zero = X.assign(**{name: np.nan}), X.assign(**{name: 0.0})
    assert np.abs(risk_of(model, gap) - risk_of(model, zero)).max() > 1e-3


@pytest.mark.parametrize("off", [{"masked_weight": 0}, {"mask_value": 0, "mask_panel": 0}])
def test_without_masking_such_a_gap_is_refused(cohort, off):
    X, y = cohort
    model = small(**off).fit(X, y)
    assert np.isfinite(risk_of(model, X)).all()
    with pytest.raises(ArgumentError) as refusal:
        model.predict_interval(X.assign(sex="other").drop(columns="albumin"))
    assert str(refusal.value) == (
        "X has missing values or unseen levels in albumin, sex, complete at fit; fit with "
        "masked_weight and mask_value above 0 to predict without them."
    )


def test_a_complete_column_that_is_missing_at_scoring_costs_little():
    """AUROC falls by at most 0.02 below that of a model that was trained without the column."""
    (X, y), (new, truth) = _patients(600, 6), _patients(4000, 7)
    settings = {"n_members": 10, "n_estimators": 60, "learning_rate": 0.03, "calibration_folds": 0}
    model = small(**settings).fit(X, y)
    for name in ("albumin", "nlr"):
        assert name in model.complete_
        never = small(**settings).fit(X.drop(columns=name), y)
        without = roc_auc_score(truth, risk_of(never, new))
        assert roc_auc_score(truth, risk_of(model, new)) > without + 0.02  # it does tell something
        assert roc_auc_score(truth, risk_of(model, new.drop(columns=name))) > without - 0.02


def test_an_unseen_level_is_a_missing_one_and_is_told(cohort, model):
    X, _ = cohort
    unseen = X.assign(immune_phenotype="mixed")
    missing = X.assign(immune_phenotype=np.nan)
    assert np.array_equal(risk_of(model, unseen), risk_of(model, missing))
    assert model.unseen_levels(unseen).all()
    assert not model.unseen_levels(missing).any()
    assert not model.unseen_levels(X).any()
    assert not np.array_equal(risk_of(model, unseen), risk_of(model, X))


def test_no_patients_to_predict_give_empty_answers(cohort, model):
    nobody = cohort[0].iloc[:0]
    assert model.predict_proba(nobody).shape == (0, 2)
    assert [part.shape for part in model.predict_interval(nobody)] == [(0,)] * 3
    assert model.contributions(nobody)[0].shape == (0, 10)


# ---------------------------------------------------------------- dtypes


@pytest.mark.parametrize(
    ("name", "dtypes"),
    [
        ("sex", ["object", "category", "str", "string"]),
        ("immune_phenotype", ["object", "category", "str", "string"]),
        ("ever_smoker", ["float", "boolean", "Int64", "object", "bool[pyarrow]"]),
        ("ecog", ["float", "Int64", "Int8", "Float64", "object", "int64[pyarrow]"]),
        ("albumin", ["float", "Float64", "object", "float64[pyarrow]"]),
    ],
)
@pytest.mark.parametrize("gaps", [False, True])
def test_one_column_in_any_dtype_fits_and_predicts_alike(cohort, name, dtypes, gaps):
    X, y = cohort
    kind = "boolean" if name == "ever_smoker" else "Int64" if name == "ecog" else "object"
    X[name] = X[name].astype(kind)
    if gaps:
        X.loc[::7, name] = pd.NA if kind != "object" else np.nan
    tables = [X.assign(**{name: X[name].astype(dtype)}) for dtype in dtypes]
    models = [small(n_members=2, n_estimators=5).fit(table, y) for table in tables]
    expected = risk_of(models[0], tables[0])
    for model in models:
        assert (name in model.levels_) == (name in ("sex", "immune_phenotype"))
        assert np.array_equal(risk_of(model, tables[0]), expected)
    for table in tables:
        assert np.array_equal(risk_of(models[0], table), expected)


# ---------------------------------------------------------------- messages

ONE_CLASS = "y holds one class; both classes (1 primary resistance, 0 initial control) are needed"
MISSING = (
    "y has 5 of 300 labels missing; a class for every patient is expected: leave those patients "
    "out of X and y."
)
INFINITE = "X holds infinite values in {}; finite numbers or NaN are expected."
TEXT = "Column albumin was numeric at fit but holds text or dates now; numbers are expected."


def _with(X: pd.DataFrame, name: str, value: object) -> pd.DataFrame:
    column = X[name].astype(object)
    column.iloc[3] = value
    return X.assign(**{name: column})


FIT_MESSAGES = {
    "one class": (lambda X, y: (X, y * 0), f"{ONE_CLASS} to fit."),
    "one class of weight": (lambda X, y: (X, y, y), f"{ONE_CLASS} to fit."),
    "missing label": (lambda X, y: (X, y.where(y.index > 4)), MISSING),
    "missing nullable label": (lambda X, y: (X, y.astype("Int64").where(y.index > 4)), MISSING),
    "missing label, array": (
        lambda X, y: (X[["nlr"]].to_numpy(), y.where(y.index > 4)),
        MISSING,
    ),
    "two columns of labels": (
        lambda X, y: (X, np.column_stack([y, y])),
        "y has shape (300, 2); one label for each patient is expected.",
    ),
    "three classes": (
        lambda X, y: (X, X["ecog"]),
        "Only binary classification is supported. The type of the target is multiclass.",
    ),
    "lengths": (lambda X, y: (X, y[:-1]), "X has 300 rows but y has 299."),
    "no labels": (
        lambda X, y: (X, None),
        "ResistanceClassifier requires y to be passed, but the target y is None.",
    ),
    "no rows": (lambda X, y: (X[:0], y[:0]), "X has 0 rows; patients are needed to fit."),
    "no columns": (lambda X, y: (X[[]], y), "X has 0 columns; features are needed to fit."),
    "twice": (
        lambda X, y: (pd.concat([X, X[["nlr", "tmb"]]], axis=1), y),
        "X has columns of the same name: nlr, tmb.",
    ),
    "infinite": (
        lambda X, y: (_with(X.assign(nlr=-np.inf), "albumin", np.inf), y),
        INFINITE.format("albumin, nlr"),
    ),
    "infinite, array": (
        lambda X, y: (X[["nlr"]].replace(X["nlr"][0], np.inf).to_numpy(), y),
        "X holds infinite values; finite numbers or NaN are expected.",
    ),
    "other outcomes, rows": (
        lambda X, y: (X, y, None, np.zeros((9, 2))),
        "auxiliary has 9 rows but y has 300.",
    ),
    "other outcomes, values": (
        lambda X, y: (X, y, None, X[["albumin"]]),
        "auxiliary holds other values than 1, 0 and missing.",
    ),
    "other outcomes, text": (
        lambda X, y: (X, y, None, X[["sex"]]),
        "auxiliary holds other values than 1, 0 and missing.",
    ),
    "weights": (
        lambda X, y: (X, y, y - 1),
        "sample_weight holds negative values or only zeros; positive weights are expected.",
    ),
}


@pytest.mark.parametrize("case", FIT_MESSAGES)
def test_data_that_cannot_be_fitted_are_refused_in_a_whole_sentence(cohort, case):
    arguments, message = FIT_MESSAGES[case]
    with pytest.raises(ArgumentError) as refusal:
        small().fit(*arguments(*cohort))
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"n_members": 1}, "n_members is 1; a whole number of at least 2 is expected."),
        ({"n_estimators": 2.5}, "n_estimators is 2.5; a whole number of at least 1 is expected."),
        ({"mask_panel": 1}, "mask_panel is 1; a share from 0 to below 1 is expected."),
        ({"masked_weight": 2}, "masked_weight is 2; a weight from 0 to 1 is expected."),
        ({"anchor_start": 1.5}, "anchor_start is 1.5; a share from 0 to 1 is expected."),
        ({"anchor_variance": 0}, "anchor_variance is 0; a number above 0 is expected."),
        ({"interval_level": 80}, "interval_level is 80; a level between 0 and 1 is expected."),
        ({"calibration_folds": 1}, "calibration_folds is 1; 0 or at least 2 is expected."),
        (
            {"anchor": "some"},
            "anchor is 'some'; 'all', None or a list of features is expected.",
        ),
        ({"monotone": "up"}, "monotone is 'up'; 'schema', None or a mapping is expected."),
    ],
)
def test_parameters_that_cannot_be_used_are_refused_at_fit(cohort, parameter, message):
    with pytest.raises(ArgumentError) as refusal:
        small(**parameter).fit(*cohort)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda X: _with(X, "albumin", "low"), TEXT),
        (lambda X: X.assign(albumin=pd.Timestamp("2020-01-01")), TEXT),
        (lambda X: X.assign(tmb=np.inf, nlr=np.inf), INFINITE.format("nlr, tmb")),
        (lambda X: _with(X, "tmb", np.inf), INFINITE.format("tmb")),
        (
            lambda X: pd.concat([X, X[["nlr"]]], axis=1),
            "X has columns of the same name: nlr.",
        ),
        (
            lambda X: X[["pdl1_cps"]].rename(columns={"pdl1_cps": "CPS"}),
            "X has none of the columns seen at fit, which are tmb, albumin, nlr, pdl1_tps, "
            "pdl1_cps, cd8_density, immune_phenotype, sex, ecog, ever_smoker.",
        ),
    ],
    ids=["text", "dates", "infinite", "infinite object", "twice", "no known column"],
)
@pytest.mark.parametrize("method", ["predict_proba", "predict_interval", "contributions"])
def test_data_that_cannot_be_scored_are_refused_in_a_whole_sentence(
    cohort, model, changed, message, method
):
    with pytest.raises(ArgumentError) as refusal:
        getattr(model, method)(changed(cohort[0]))
    assert str(refusal.value) == message


def test_the_interval_holds_the_risk_and_grows_with_its_level(cohort, model):
    X, _ = cohort
    risk, low, high = model.predict_interval(X)
    wider = copy(model).set_params(interval_level=0.99)
    same, lower, higher = wider.predict_interval(X)
    assert np.array_equal(risk, same)
    assert np.array_equal(risk, risk_of(model, X))
    assert ((lower < low) & (low < risk) & (risk < high) & (high < higher)).all()


# ---------------------------------------------------------------- calibration and weights


def test_risks_are_calibrated_out_of_sample():
    X, y = _patients(600, 2)
    new, truth = _patients(4000, 3)
    risk = risk_of(small(n_members=5, n_estimators=60, calibration_folds=3).fit(X, y), new)
    assert roc_auc_score(truth, risk) > 0.7
    assert risk.mean() == pytest.approx(truth.mean(), abs=0.05)
    tenths = pd.qcut(risk, 5, labels=False)
    observed = truth.groupby(tenths).mean().to_numpy()
    assert observed == pytest.approx(pd.Series(risk).groupby(tenths).mean().to_numpy(), abs=0.1)


def test_permuted_labels_teach_nothing_and_then_everyone_has_the_prevalence():
    X, y = _patients(300, 1)
    new, _ = _patients(2000, 4)
    areas, flat = [], 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        labels = rng.permutation(y)
        model = small(random_state=seed).fit(X, labels)
        risk = risk_of(model, new)
        areas.append(roc_auc_score(labels, model.oof_risk_))
        if model.calibration_[0] == 0:
            flat += 1
            assert risk == pytest.approx(y.mean())
            assert model.oof_risk_ == pytest.approx(y.mean())
            assert np.array_equal(model.predict_interval(new)[1], risk)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)
    assert flat >= 2


def test_without_folds_margins_are_the_risks_in_log_odds(cohort):
    X, y = cohort
    model = small(calibration_folds=0).fit(X, y)
    assert model.calibration_ == (1.0, 0.0)
    assert np.array_equal(model.oof_risk_, risk_of(model, X))


def test_patients_of_weight_zero_are_as_if_absent(cohort):
    X, y = cohort
    weight = np.random.default_rng(0).uniform(0.5, 2, 300)
    ghosts = pd.concat([X, X[:50].assign(sex="other", albumin=9.0)], ignore_index=True)
    labels = np.append(y, 1 - y[:50])
    weights = np.append(weight, np.zeros(50))
    without = small().fit(X, y, weight)
    model = small().fit(ghosts, labels, weights)
    assert np.array_equal(risk_of(model, X), risk_of(without, X))
    assert np.array_equal(model.oof_risk_[:300], without.oof_risk_)
    assert np.isnan(model.oof_risk_[300:]).all()
    assert model.levels_ == without.levels_
    assert model.ranges_ == without.ranges_
    assert not np.array_equal(risk_of(without, X), risk_of(small().fit(X, y), X))

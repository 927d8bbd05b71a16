"""Laws of the classifier: order, threads, missing columns, monotone directions, attributions."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.model.classifier import ResistanceClassifier
from stratify.tables.schema import field_named

LEVELS = ["desert", "excluded", "inflamed"]
PANELS = {
    "clinical": ["albumin", "nlr", "ecog", "hemoglobin"],
    "pdl1": ["pdl1_tps", "pdl1_cps"],
    "tmb": ["tmb", "msi_high"],
    "infiltration": ["cd8_density", "immune_phenotype"],
}
FEATURES = [name for names in PANELS.values() for name in names]

quickly = settings(deadline=None, max_examples=30, derandomize=True, database=None)
few_fits = settings(deadline=None, max_examples=6, derandomize=True, database=None)


def _patients(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Simulate coarse values, so that ties abound, then repeat patients with either label."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "albumin": rng.normal(3.9, 0.5, n).round(1),
            "nlr": rng.lognormal(1.2, 0.5, n).round(),
            "ecog": rng.integers(0, 3, n).astype(float),
            "hemoglobin": rng.normal(12.5, 1.5, n).round(),
            "pdl1_tps": rng.choice([0.0, 1, 50, 100], n),
            "pdl1_cps": rng.choice([0.0, 1, 10, 100], n),
            "tmb": rng.lognormal(1.8, 1, n).round(),
            "msi_high": (rng.random(n) < 0.1).astype(float),
            "cd8_density": rng.lognormal(5, 1, n).round(-1),
            "immune_phenotype": rng.choice(LEVELS, n).astype(object),
        }
    )
    logit = 2 * (3.9 - X["albumin"]) + 0.3 * (X["nlr"] - 3.5) - 0.4 * np.log1p(X["tmb"])
    y = (rng.random(n) < 1 / (1 + np.exp(-logit - 0.7))).astype(int)
    for names in PANELS.values():
        X.loc[rng.random(n) < 0.2, names] = np.nan
    again = rng.integers(0, n, n // 4)
    X = pd.concat([X, X.iloc[again]], ignore_index=True)
    return X, np.concatenate([y, rng.permutation(y[again])])


def _small(**parameters: object) -> ResistanceClassifier:
    quick = {"n_members": 3, "n_estimators": 30, "learning_rate": 0.1, "calibration_folds": 2}
    return ResistanceClassifier(**{**quick, "min_child_samples": 5, **parameters})


@cache
def _cohort() -> tuple[pd.DataFrame, np.ndarray]:
    return _patients(200, 0)


@cache
def _fitted(anchor: str | None = "all") -> ResistanceClassifier:
    return _small(anchor=anchor).fit(*_cohort())


def _risk(model: ResistanceClassifier, X: pd.DataFrame) -> np.ndarray:
    return model.predict_proba(X)[:, 1]


def _or_missing(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(st.none(), values)


def _numbers(low: float, high: float) -> st.SearchStrategy:
    return _or_missing(st.floats(low, high))


PATIENT = st.fixed_dictionaries(
    {
        "albumin": _numbers(0.5, 7),
        "nlr": _numbers(0, 100),
        "ecog": _or_missing(st.integers(0, 4)),
        "hemoglobin": _numbers(3, 25),
        "pdl1_tps": _numbers(0, 100),
        "pdl1_cps": _numbers(0, 100),
        "tmb": _numbers(0, 500),
        "msi_high": _or_missing(st.sampled_from([0, 1])),
        "cd8_density": _numbers(0, 20_000),
        "immune_phenotype": _or_missing(st.sampled_from([*LEVELS, "never seen"])),
    }
)
COHORT = st.lists(PATIENT, min_size=1, max_size=20).map(
    lambda rows: pd.DataFrame(rows).astype(
        {name: object if name == "immune_phenotype" else float for name in FEATURES}
    )
)


# ---------------------------------------------------------------- order and threads


@few_fits
@given(st.randoms(use_true_random=False), st.sampled_from([1, 2]))
def test_neither_the_order_of_rows_and_columns_nor_threads_change_a_fit(random, n_jobs):
    X, y = _cohort()
    rows, columns = list(range(len(X))), list(X.columns)
    random.shuffle(rows)
    random.shuffle(columns)
    moved = _small(n_jobs=n_jobs, anchor="all").fit(X[columns].iloc[rows], y[rows])
    assert np.array_equal(moved.predict_interval(X), _fitted().predict_interval(X))
    shap, base, _ = moved.contributions(X)
    assert np.array_equal(shap, _fitted().contributions(X)[0])
    assert base == _fitted().contributions(X)[1]
    # Equal patients may swap folds among themselves, not with others.
    pairs = pd.DataFrame({"moved": moved.oof_risk_, "fitted": _fitted().oof_risk_[rows]})
    equal = X.assign(y=y).groupby([*FEATURES, "y"], dropna=False).ngroup()
    assert equal.nunique() < len(X)
    for _, group in pairs.groupby(equal.to_numpy()[rows]):
        assert sorted(group["moved"]) == sorted(group["fitted"])


@pytest.mark.parametrize("parameter", ["panels", "monotone"])
def test_the_order_of_a_mapping_does_not_matter(parameter):
    X, y = _cohort()
    mapping = {"albumin": -1, "nlr": 1, "tmb": -1}
    if parameter == "panels":
        mapping = {name: panel for panel, names in PANELS.items() for name in names}
    backwards = dict(reversed(mapping.items()))
    models = [_small(**{parameter: m}).fit(X, y) for m in (mapping, backwards)]
    assert np.array_equal(_risk(models[0], X), _risk(models[1], X))


def test_another_seed_predicts_otherwise():
    X, y = _cohort()
    assert not np.array_equal(
        _risk(_small(random_state=1, anchor="all").fit(X, y), X), _risk(_fitted(), X)
    )


@quickly
@given(COHORT, st.randoms(use_true_random=False))
def test_a_patient_is_scored_without_regard_to_others_or_to_columns(X, random):
    columns = [*FEATURES, "btmb", "cohort"]
    random.shuffle(columns)
    other = X.assign(btmb=np.inf, cohort="text")[columns].set_index(pd.Index(range(len(X))[::-1]))
    alone = [_fitted().predict_interval(other.iloc[[i]]) for i in range(len(X))]
    together = _fitted().predict_interval(X)
    assert np.array_equal(np.concatenate(alone, axis=1), together)


# ---------------------------------------------------------------- missing columns and panels


@quickly
@given(COHORT, st.sets(st.sampled_from(FEATURES), max_size=len(FEATURES) - 1))
def test_any_subset_of_columns_gives_the_risk_of_missing_values(X, absent):
    some = X.drop(columns=list(absent))
    risk = _risk(_fitted(), some)
    assert (np.isfinite(risk) & (risk > 0) & (risk < 1)).all()
    assert np.array_equal(risk, _risk(_fitted(), X.assign(**dict.fromkeys(absent, np.nan))))


@quickly
@given(COHORT, st.sampled_from(sorted(PANELS)))
def test_a_whole_panel_may_be_missing(X, panel):
    assert np.isfinite(_fitted().predict_interval(X.drop(columns=PANELS[panel]))).all()


@quickly
@given(COHORT)
def test_an_unseen_level_is_a_missing_one(X):
    unseen = (X["immune_phenotype"] == "never seen").to_numpy()
    missing = X.assign(immune_phenotype=X["immune_phenotype"].mask(unseen))
    assert np.array_equal(_risk(_fitted(), X), _risk(_fitted(), missing))
    assert np.array_equal(_fitted().unseen_levels(X), unseen)


# ---------------------------------------------------------------- directions


@pytest.mark.parametrize("name", ["albumin", "nlr", "hemoglobin", "tmb", "ecog", "msi_high"])
@quickly
@given(COHORT, st.sampled_from(["all", None]), st.data())
def test_more_never_goes_against_the_direction_of_the_dictionary(name, X, anchor, data):
    low, high = {"albumin": (0.5, 7), "hemoglobin": (3, 25)}.get(name, (0, 100))
    values = st.lists(st.floats(low, high), min_size=len(X), max_size=len(X))
    less, more = np.sort([data.draw(values), data.draw(values)], axis=0)
    direction = field_named(name).direction_for()
    assert direction == {"albumin": -1, "hemoglobin": -1, "tmb": -1, "msi_high": -1}.get(name, 1)
    lower, upper = (_risk(_fitted(anchor), X.assign(**{name: v})) for v in (less, more))
    assert (direction * (upper - lower) >= -1e-12).all()


def test_without_directions_the_data_are_free_to_contradict():
    X, _ = _cohort()
    resistant = (X["albumin"].fillna(3.9) > 3.9).astype(int)
    curve = pd.DataFrame({"albumin": np.linspace(2.5, 5.5, 50)})
    bound = _small().fit(X, resistant)
    free = _small(monotone=None).fit(X, resistant)
    assert (np.diff(_risk(bound, curve)) <= 1e-12).all()
    assert np.diff(_risk(free, curve)).max() > 0.1


# ---------------------------------------------------------------- attributions and intervals


@quickly
@given(COHORT, st.sampled_from(["all", None]))
def test_base_and_contributions_add_up_to_the_margin_behind_the_risk(X, anchor):
    model = _fitted(anchor)
    shap, base, margin = model.contributions(X)
    assert shap.shape == (len(X), len(FEATURES))
    assert np.abs(base + shap.sum(axis=1) - margin).max() < 1e-6
    slope, intercept = model.calibration_
    assert model.decision_function(X) == pytest.approx(slope * margin + intercept, abs=1e-12)


@pytest.mark.parametrize("anchor", ["all", None])
def test_the_base_is_the_mean_of_the_trees_and_the_anchor_without_any_value(anchor):
    def leaves(node: dict) -> list[tuple[float, int]]:
        if "leaf_value" in node:
            return [(node["leaf_value"], node["leaf_count"])]
        return leaves(node["left_child"]) + leaves(node["right_child"])

    X, _ = _cohort()
    model = _fitted(anchor)
    means = []
    for member in model.ensemble_.members:
        trees = [leaves(t["tree_structure"]) for t in member.dump_model()["tree_info"]]
        # The bootstrap sample and its masked copy, whatever their weights.
        assert {sum(count for _, count in tree) for tree in trees} == {2 * len(X)}
        means.append(sum(value * count for tree in trees for value, count in tree) / (2 * len(X)))
    expected = np.mean(means)
    if anchor is not None:
        fitted = model.ensemble_.anchor
        columns = model.encoded(X)[:, model.ensemble_.anchor_columns]
        nothing = fitted.margin(np.full((1, columns.shape[1]), np.nan))[0]
        assert nothing == pytest.approx(fitted.margin(columns).mean(), abs=0.02)
        expected += nothing
    assert model.contributions(X)[1] == pytest.approx(expected, abs=1e-9)


def test_the_interval_is_the_spread_of_the_members_on_the_log_odds():
    from scipy.stats import t

    X, _ = _cohort()
    model = _fitted()
    margins = model.ensemble_.margins(model.encoded(X))
    risk, low, high = (np.log(p / (1 - p)) for p in model.predict_interval(X))
    half = model.calibration_[0] * t.ppf(0.9, df=2) * margins.std(axis=0, ddof=1)
    assert high - risk == pytest.approx(half, abs=1e-9)
    assert risk - low == pytest.approx(half, abs=1e-9)


@quickly
@given(COHORT)
def test_the_risk_lies_in_its_interval_and_decides_the_class(X):
    risk, low, high = _fitted().predict_interval(X)
    assert ((low >= 0) & (low <= risk) & (risk <= high) & (high <= 1)).all()
    assert np.array_equal(risk, _risk(_fitted(), X))
    assert np.array_equal(_fitted().predict(X), (risk > 0.5).astype(int))

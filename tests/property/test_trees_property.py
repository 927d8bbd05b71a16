"""Compiled margins and Shapley values against LightGBM's own, and against their definition."""

from __future__ import annotations

import math
import warnings
from itertools import combinations

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.trees.members import Members, trying_rows
from stratify.trees.model_text import read_trees
from stratify.trees.shapley import shapley_values

many = settings(deadline=None, max_examples=60, derandomize=True, database=None)
some = settings(deadline=None, max_examples=20, derandomize=True, database=None)

MISSING = {
    "none": {"use_missing": False},
    "zero": {"zero_as_missing": True},
    "nan": {},
}


def _rows(rng: np.random.Generator, n: int, codes: list[int]) -> np.ndarray:
    """Numbers with ties and zeros, then columns of codes; a tenth missing."""
    numbers = rng.normal(size=(n, 4)).round(1)
    numbers[:, 3] *= rng.random(n) < 0.3
    columns = [numbers, *(rng.integers(0, width, (n, 1)) for width in codes)]
    rows = np.hstack(columns).astype(float)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows


def _trained(seed: int, codes: list[int], n: int = 400, n_trees: int = 5, **parameters):
    rng = np.random.default_rng(seed)
    rows = _rows(rng, n, codes)
    target = np.nan_to_num(rows) @ rng.normal(size=rows.shape[1])
    target += np.nan_to_num(rows[:, 0] * rows[:, 1]) + rng.normal(size=n)
    settings_ = {
        "objective": "binary",
        "learning_rate": 0.3,
        "min_data_in_leaf": 1,
        "min_data_in_bin": 1,
        "min_data_per_group": 1,
        "cat_smooth": 1.0,
        "max_cat_threshold": 300,
        "max_cat_to_onehot": 2,
        "seed": seed,
        "verbose": -1,
        "num_threads": 1,
        **parameters,
    }
    data = lightgbm.Dataset(
        rows,
        target > np.median(target),
        categorical_feature=list(range(4, rows.shape[1])),
        params=settings_,
    )
    return lightgbm.train(settings_, data, n_trees)


def _strange(rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
    """The rows with values that training never saw."""
    odd = [
        np.inf,
        -np.inf,
        1e-40,
        -1e-36,
        0.0,
        -0.0,
        -0.5,
        -1.0,
        0.7,
        31.0,
        32.0,
        1e6,
        2.0**32,
        1e300,
    ]
    strange = rows.copy()
    there = rng.random(rows.shape) < 0.3
    strange[there] = rng.choice([*odd, np.nan], there.sum())
    return strange


models = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "codes": st.lists(st.sampled_from([2, 5, 31, 33, 200]), max_size=2),
        "n_trees": st.integers(1, 6),
        "num_leaves": st.sampled_from([2, 4, 8, 31, 33, 64, 255]),
        "missing": st.sampled_from(sorted(MISSING)),
        "feature_fraction": st.sampled_from([0.5, 1.0]),
    }
)


def _model(missing: str, **parameters):
    return _trained(**parameters, **MISSING[missing])


@many
@given(models)
def test_margins_are_lightgbm_s_to_the_last_bit_and_shapley_values_to_rounding(parameters):
    booster = _model(**parameters)
    trees = read_trees([booster.model_to_string()])
    members = Members([booster], trees)
    rng = np.random.default_rng(parameters["seed"])
    seen = _rows(rng, 40, parameters["codes"])
    rows = np.vstack([seen, _strange(rng, seen), trying_rows(trees)])
    assert np.array_equal(members.margins(rows)[0], booster.predict(rows, raw_score=True))
    expected = booster.predict(rows, pred_contrib=True)
    assert np.abs(members.contributions(rows) - expected[:, :-1]).max() < 1e-9
    assert members.base_values == pytest.approx(expected[:1, -1], abs=1e-12)


@some
@given(models, st.integers(1, 9))
def test_a_row_is_scored_alike_alone_and_among_others(parameters, n):
    booster = _model(**parameters)
    members = Members.checked([booster])
    rng = np.random.default_rng(1)
    rows = _strange(rng, _rows(rng, 700, parameters["codes"]))
    some_rows = rows[300 : 300 + n]
    assert np.array_equal(members.margins(some_rows), members.margins(rows)[:, 300 : 300 + n])
    assert np.array_equal(
        members.contributions(some_rows), members.contributions(rows)[300 : 300 + n]
    )


@some
@given(models)
def test_interactions_are_symmetric_and_add_up_to_the_shapley_values(parameters):
    members = Members.checked([_model(**parameters)])
    rows = _rows(np.random.default_rng(2), 520, parameters["codes"])  # two blocks
    pairs = members.interactions(rows)
    assert np.array_equal(pairs, pairs.transpose(0, 2, 1))
    assert pairs.sum(axis=2) == pytest.approx(members.contributions(rows), abs=1e-12)


@some
@given(models)
def test_small_trees_are_looked_up_as_they_are_computed(parameters):
    members = Members.checked([_model(**{**parameters, "num_leaves": 8})])
    assert members.trees is not None
    assert members._answers is not None
    rng = np.random.default_rng(4)
    rows = _strange(rng, _rows(rng, 60, parameters["codes"]))
    for each in (False, True):
        computed = shapley_values(members.trees, members._exact, rows, each=each)
        assert members.contributions(rows, each=each) == pytest.approx(computed, abs=1e-12)
    for some in (rows, rows[:1]):
        margins, values = members.explained(some)
        assert np.array_equal(margins, members.margins(some))
        assert np.array_equal(values, members.contributions(some))
    coarse = members.contributions(rows, dtype=np.float32)
    assert coarse.dtype == np.float32
    assert coarse == pytest.approx(members.contributions(rows), abs=1e-4)


@some
@given(st.lists(models, min_size=2, max_size=4))
def test_an_ensemble_is_the_mean_of_its_members(several):
    boosters = [_model(**{**parameters, "codes": [5]}) for parameters in several]
    members, alone = Members.checked(boosters), [Members.checked([b]) for b in boosters]
    assert members.trees is not None
    rows = _rows(np.random.default_rng(3), 50, [5])
    values = [one.contributions(rows) for one in alone]
    assert np.array_equal(members.margins(rows), np.vstack([one.margins(rows) for one in alone]))
    # small trees are looked up, unless they stand among larger ones
    assert members.contributions(rows, each=True) == pytest.approx(np.array(values), abs=1e-12)
    assert members.contributions(rows) == pytest.approx(np.mean(values, axis=0), abs=1e-12)
    pairs = np.mean([one.interactions(rows) for one in alone], axis=0)
    assert members.interactions(rows) == pytest.approx(pairs, abs=1e-12)
    explained = members.base_values[:, None] + members.contributions(rows, each=True).sum(axis=2)
    assert explained == pytest.approx(members.margins(rows), abs=1e-9)


# ---------------------------------------------------------------- by definition


def _expected(node: dict, row: np.ndarray, known: set[int]) -> float:
    """Margin of a tree where only some features are known (Lundberg 2020, algorithm 1)."""
    if "leaf_value" in node:
        return float(node["leaf_value"])
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        return _expected(
            left if row[node["split_feature"]] <= node["threshold"] else right, row, known
        )
    counts = [child.get("internal_count", child.get("leaf_count")) for child in (left, right)]
    parts = [_expected(child, row, known) for child in (left, right)]
    return float(np.dot(parts, counts)) / float(node["internal_count"])


def _agrees_with_the_definition(members: Members, rows: np.ndarray) -> None:
    trees = [tree["tree_structure"] for tree in members.boosters[0].dump_model()["tree_info"]]
    values, pairs = members.contributions(rows), members.interactions(rows)
    for r in range(len(rows)):
        worth = {
            frozenset(known): sum(_expected(tree, rows[r], set(known)) for tree in trees)
            for size in range(5)
            for known in combinations(range(4), size)
        }
        assert members.base_values[0] == pytest.approx(worth[frozenset()], abs=1e-12)
        for i in range(4):
            others = [known for known in worth if i not in known]
            value = sum(
                math.factorial(len(k)) * math.factorial(3 - len(k)) / math.factorial(4)
                * (worth[k | {i}] - worth[k])
                for k in others
            )  # fmt: skip
            assert values[r, i] == pytest.approx(value, abs=1e-12)
            for j in set(range(4)) - {i}:
                half = sum(
                    math.factorial(len(k)) * math.factorial(2 - len(k)) / math.factorial(3) / 2
                    * (worth[k | {i, j}] - worth[k | {i}] - worth[k | {j}] + worth[k])
                    for k in others
                    if j not in k
                )  # fmt: skip
                assert pairs[r, i, j] == pytest.approx(half, abs=1e-12)


@some
@given(st.integers(0, 10**6), st.integers(2, 12))
def test_tiny_trees_agree_with_the_definition(seed, num_leaves):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(60, 4)).round(1)
    data = lightgbm.Dataset(rows, rows[:, 0] * rows[:, 1] + rows[:, 2], params={"verbose": -1})
    booster = lightgbm.train(
        {"num_leaves": num_leaves, "min_data_in_leaf": 3, "verbose": -1, "seed": seed}, data, 2
    )
    _agrees_with_the_definition(Members.checked([booster]), rows[:3])


def test_interactions_agree_with_shap():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 6))
    data = lightgbm.Dataset(rows, rows[:, 0] * rows[:, 1] > rows[:, 2], params={"verbose": -1})
    parameters = {"objective": "binary", "min_data_in_leaf": 3, "verbose": -1}
    booster = lightgbm.train(parameters, data, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap's plots, which it imports, use what matplotlib drops
        import shap
    expected = shap.TreeExplainer(booster).shap_interaction_values(rows[:50])
    assert Members.checked([booster]).interactions(rows[:50]) == pytest.approx(expected, abs=1e-9)


# ---------------------------------------------------------------- rare shapes


def test_below_a_leaf_without_training_rows_values_follow_the_definition():
    rows = np.random.default_rng(0).normal(size=(80, 4)).round(1)
    data = lightgbm.Dataset(rows, rows[:, 0] * rows[:, 1] + rows[:, 2], params={"verbose": -1})
    parameters = {"num_leaves": 8, "min_data_in_leaf": 3, "verbose": -1}
    lines = lightgbm.train(parameters, data, 1).model_to_string().split("\n")
    for i, line in enumerate(lines):
        if line.startswith("leaf_count="):
            first, rest = line.removeprefix("leaf_count=").split(" ", 1)
            lines[i] = f"leaf_count={'0' * len(first)} {rest}"  # LightGBM counts the characters
    booster = lightgbm.Booster(model_str="\n".join(lines))
    assert np.isnan(booster.predict(rows, pred_contrib=True)).any()
    members = Members.checked([booster])
    assert members.trees is not None
    _agrees_with_the_definition(members, rows[:10])


def test_a_model_that_learned_nothing_and_one_that_stopped_learning():
    rows = np.random.default_rng(0).normal(size=(100, 3))
    data = lightgbm.Dataset(rows, rows[:, 0] > 2, params={"verbose": -1})
    constant = lightgbm.train(
        {"objective": "binary", "min_data_in_leaf": 60, "verbose": -1}, data, 3
    )
    stopped = lightgbm.train({"objective": "regression", "num_leaves": 2, "verbose": -1}, data, 3)
    for boosters in ([constant], [constant, stopped], [stopped, constant]):
        members = Members.checked(boosters)
        assert members.trees is not None
        margins = [booster.predict(rows, raw_score=True) for booster in boosters]
        assert np.array_equal(members.margins(rows), margins)
        expected = np.array([booster.predict(rows, pred_contrib=True) for booster in boosters])
        assert members.contributions(rows, each=True) == pytest.approx(expected[..., :-1], abs=1e-9)
        assert members.interactions(rows).sum(axis=2) == pytest.approx(
            expected[..., :-1].mean(axis=0), abs=1e-9
        )
        assert members.base_values == pytest.approx(expected[:, 0, -1], abs=1e-12)


def _chain(n: int) -> tuple[lightgbm.Booster, np.ndarray]:
    """A tree of which each split sets one row apart, in a feature of its own."""
    rows = np.eye(n) * np.arange(1.0, n + 1)
    parameters = {
        "num_leaves": n,
        "min_data_in_leaf": 1,
        "min_data_in_bin": 1,
        "feature_pre_filter": False,
        "learning_rate": 1.0,
        "verbose": -1,
    }
    target = (np.arange(n) / n) ** 3
    return lightgbm.train(parameters, lightgbm.Dataset(rows, target, params=parameters), 1), rows


def test_the_deepest_tree_of_255_leaves():
    booster, rows = _chain(255)
    members = Members([booster], read_trees([booster.model_to_string()]))
    assert members._exact.depth == 254
    explained = members.base_values[0] + members.contributions(rows).sum(axis=1)
    assert explained == pytest.approx(booster.predict(rows, raw_score=True), abs=1e-12)


def test_deep_trees_are_compared_with_lightgbm_where_its_values_add_up():
    booster, rows = _chain(24)
    theirs = booster.predict(rows, pred_contrib=True)[:, :-1]
    assert Members.checked([booster]).contributions(rows) == pytest.approx(theirs, abs=1e-12)

    booster, rows = _chain(90)
    margins = booster.predict(rows, raw_score=True)
    assert np.abs(booster.predict(rows, pred_contrib=True).sum(axis=1) - margins).max() > 1e-3
    assert Members.checked([booster]).trees is not None

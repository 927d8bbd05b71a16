"""Reading model texts, and falling back to LightGBM; the numbers are in test_trees_property."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings

import lightgbm
import numba
import numpy as np
import pytest

from stratify import compiled
from stratify.errors import ArgumentError, BundleError
from stratify.trees import margins, members, shapley, tabulated
from stratify.trees.members import Members, trying_rows
from stratify.trees.model_text import UnsupportedTreesError, read_trees

ROWS = np.random.default_rng(0).normal(size=(200, 3)).round(2)
ROWS[:, 2] = np.random.default_rng(1).integers(0, 40, 200)
LABEL = (ROWS[:, 0] * ROWS[:, 1] + ROWS[:, 2] % 3 > 1).astype(float)


def _trained(n_trees: int = 3, columns: int = 3, **parameters) -> lightgbm.Booster:
    given = {"num_leaves": 5, "min_data_per_group": 1, "verbose": -1, **parameters}
    codes = [2] if columns == 3 else "auto"
    data = lightgbm.Dataset(ROWS[:, :columns], LABEL, categorical_feature=codes, params=given)
    return lightgbm.train(given, data, n_trees)


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    return _trained()


# ---------------------------------------------------------------- reading


def _text(*trees: dict[str, str]) -> str:
    blocks = [
        f"Tree={k}\n" + "".join(f"{name}={value}\n" for name, value in tree.items()) + "\n\n"
        for k, tree in enumerate(trees)
    ]
    sizes = " ".join(str(len(block)) for block in blocks)
    head = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\n"
    return f"{head}tree_sizes={sizes}\n\n{''.join(blocks)}end of trees\n"


SOUND = {
    "num_leaves": "2",
    "num_cat": "0",
    "split_feature": "0",
    "threshold": "1.5",
    "decision_type": "2",
    "left_child": "-1",
    "right_child": "-2",
    "leaf_value": "-1 1",
    "leaf_count": "4 6",
    "internal_count": "10",
    "is_linear": "0",
}
STUMP = {
    "num_leaves": "1",
    "num_cat": "0",
    "leaf_value": "0.5",
    "leaf_count": "10",
    "is_linear": "0",
}
CODES = {**SOUND, "decision_type": "1", "threshold": "0", "num_cat": "1"}


def test_nodes_stand_in_depth_first_order_and_ranks_count_cuts():
    """The shape of a tree drawn by hand: ((A B) (C D)) with a second tree of one leaf."""
    text = _text(
        {
            "num_leaves": "4",
            "num_cat": "0",
            "split_feature": "1 0 1",
            "threshold": "5 2 7",
            "decision_type": "10 8 0",  # NaN left, NaN right, NaN read as 0
            "left_child": "1 -1 -3",
            "right_child": "2 -2 -4",
            "leaf_value": "0.1 0.2 0.3 0.4",
            "leaf_count": "1 2 3 4",
            "internal_count": "10 3 7",
            "is_linear": "0",
        },
        {**dict.fromkeys(SOUND, ""), **STUMP},
    )
    trees = read_trees([text])
    assert trees.node_start.tolist() == [0, 3, 3]
    assert trees.leaf_start.tolist() == [0, 4, 5]
    assert trees.feature.tolist() == [1, 0, 1]
    assert [trees.begin.tolist(), trees.middle.tolist(), trees.end.tolist()] == [
        [0, 0, 2],
        [2, 1, 3],
        [4, 2, 4],
    ]
    assert trees.leaf_value.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    # Feature 0 with NaN missing, feature 1 without missing values, feature 1 with NaN missing.
    assert trees.column_feature.tolist() == [0, 1, 1]
    assert trees.cuts.tolist() == [2, 7, 5]
    assert trees.column.tolist() == [2, 0, 1]
    rows = np.array([[1, 5], [3, 5], [1, 6], [1, 8], [np.nan, np.nan], [1.0, np.nan]])
    assert shapley.paths_of(trees).points.tolist() == [1, 0]  # two features on a path at most
    expected = [0.6, 0.7, 0.8, 0.9, 0.7, 0.6]
    assert margins.margins(trees, rows)[0] == pytest.approx(expected, abs=0)


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        ({**SOUND, "threshold": "x"}, "threshold is missing or not numeric"),
        ({**SOUND, "threshold": "nan"}, "threshold is missing or not numeric"),
        ({**SOUND, "leaf_value": "1"}, "leaf_value holds 1 numbers, 2 are expected"),
        (dict(list(SOUND.items())[:-2]), "internal_count is missing or not numeric"),
        ({**SOUND, "num_leaves": "0"}, "a tree has no leaf"),
        (
            {**SOUND, "split_feature": "2"},
            "a split names a feature that the model does not take",
        ),
        ({**SOUND, "left_child": "0"}, "the nodes of a tree are not connected"),
        ({**SOUND, "left_child": "-2"}, "the nodes of a tree are not connected"),
        ({**SOUND, "right_child": "-9"}, "the nodes of a tree are not connected"),
        ({**SOUND, "decision_type": "14"}, "a split has an unknown decision_type"),
        (CODES, "cat_boundaries is missing or not numeric"),
        (
            {**CODES, "cat_boundaries": "0 2", "cat_threshold": "1"},
            "cat_threshold holds 1 numbers, 2 are expected",
        ),
        (
            {**CODES, "cat_boundaries": "0 0", "cat_threshold": ""},
            "a set of categories is missing",
        ),
        (
            {**CODES, "threshold": "1", "cat_boundaries": "0 1", "cat_threshold": "1"},
            "a set of categories is missing",
        ),
    ],
)
def test_a_damaged_tree_is_named(tree, what):
    assert read_trees([_text(SOUND)]).cuts.tolist() == [1.5]
    with pytest.raises(BundleError) as raised:
        read_trees([_text(tree)])
    assert str(raised.value) == (
        f"A model text is damaged: {what}. Train again, or take the bundle from its backup."
    )


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda text: "", "member 1 has no beginning or no end"),
        (lambda text: text[: text.index("Tree=1")], "member 1 has no beginning or no end"),
        (lambda text: text.replace("max_feature_idx=", "x="), "the head of member 1 is incomplete"),
        (
            lambda text: text[: text.index("Tree=2")] + "end of trees\n",
            "member 1 holds 2 of 3 trees",
        ),
        (
            lambda text: text.replace("leaf_count=", "leaf_count=1"),
            "a tree of member 1 is longer or shorter than it was written",
        ),
    ],
)
def test_a_damaged_text_is_named(booster, damage, what):
    text = booster.model_to_string()
    with pytest.raises(BundleError) as raised:
        read_trees([text, damage(text)])
    assert str(raised.value) == (
        f"A model text is damaged: {what}. Train again, or take the bundle from its backup."
    )


def test_members_that_do_not_fit_together(booster):
    with pytest.raises(ArgumentError) as raised:
        read_trees([])
    assert str(raised.value) == "No model was given; one text for each member is expected."
    with pytest.raises(ArgumentError) as raised:
        Members.checked([booster, _trained(columns=2)])
    assert str(raised.value) == "The members take 2 to 3 features; one number is expected."


@pytest.mark.parametrize(
    ("parameters", "outputs"),
    [
        ({"objective": "multiclass", "num_class": 2}, 2),
        ({"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}, 1),
    ],
)
def test_a_model_that_is_no_sum_of_trees_is_refused(parameters, outputs):
    with pytest.raises(ArgumentError) as raised:
        Members.checked([_trained(**parameters)])
    assert str(raised.value) == (
        f"Member 0 has {outputs} outputs or averages its trees; one output, the sum of the trees, "
        "is expected."
    )


# ---------------------------------------------------------------- falling back


def test_linear_trees_are_scored_by_lightgbm(booster, caplog):
    linear = _trained(columns=2, linear_tree=True, objective="regression")
    with caplog.at_level(logging.WARNING):
        scored = Members.checked([linear])
    assert caplog.messages == [
        "Members are scored by LightGBM, which takes longer: member 0 has linear leaves."
    ]
    assert scored.trees is None
    rows = ROWS[:, :2]
    assert np.array_equal(scored.margins(rows)[0], linear.predict(rows, raw_score=True))
    ignored = warnings.catch_warnings(action="ignore")  # of shap about Matplotlib
    with ignored, pytest.raises(UnsupportedTreesError) as raised:
        scored.interactions(rows)
    assert str(raised.value) == (
        "The interactions of these members cannot be computed; contributions can."
    )


def test_splits_without_training_rows_are_scored_by_lightgbm():
    with pytest.raises(UnsupportedTreesError) as raised:
        read_trees([_text({**SOUND, "internal_count": "0"})])
    assert str(raised.value) == "no training row came through one of the splits."


@pytest.mark.parametrize(
    ("field", "differing"), [("leaf_value", "margins"), ("leaf_cover", "Shapley values")]
)
def test_what_differs_from_lightgbm_is_not_trusted(booster, caplog, monkeypatch, field, differing):
    trees = read_trees([booster.model_to_string()])
    altered = getattr(trees, field).copy()
    altered[3] *= 1 + 1e-6
    monkeypatch.setattr(members, "read_trees", lambda texts: trees._replace(**{field: altered}))
    with caplog.at_level(logging.WARNING):
        scored = Members.checked([booster])
    assert caplog.messages == [
        f"Members are scored by LightGBM, which takes longer: the compiled {differing} differ "
        "from its own on the rows tried."
    ]
    assert scored.trees is None
    theirs = booster.predict(ROWS, pred_contrib=True)
    assert np.array_equal(scored.margins(ROWS)[0], booster.predict(ROWS, raw_score=True))
    assert np.array_equal(scored.contributions(ROWS), theirs[:, :-1])
    assert np.array_equal(scored.contributions(ROWS, each=True), theirs[None, :, :-1])
    assert scored.base_values == theirs[0, -1]
    assert scored.contributions(ROWS[:0]).shape == (0, 3)
    assert scored.margins(ROWS[:0]).shape == (1, 0)


def test_values_that_do_not_add_up_are_not_trusted(booster, monkeypatch):
    nothing = np.full((32, 4), np.nan)  # what LightGBM says below a leaf without training rows
    monkeypatch.setattr(members, "_contributions", lambda booster, rows: nothing)
    assert Members.checked([booster]).trees is not None
    wrong = np.zeros((1, 32)), np.zeros((1, 32, 3))
    monkeypatch.setattr(tabulated, "looked_up", lambda *given, each: wrong)
    assert Members.checked([booster]).trees is None


def test_a_sample_may_be_given(booster):
    assert Members.checked([booster], sample=ROWS[:5]).trees is not None


def test_the_rows_tried_go_both_ways_at_every_split(booster):
    trees = read_trees([booster.model_to_string()])
    rows = trying_rows(trees, 64)
    assert np.array_equal(rows, trying_rows(trees, 64), equal_nan=True)
    assert 0.1 < np.isnan(rows).mean() < 0.3
    for cut in trees.cuts[trees.cut_start[0] : trees.cut_start[1]]:
        assert (rows[:, trees.column_feature[0]] <= cut).any()
        assert (rows[:, trees.column_feature[0]] > cut).any()
    assert {-1.0, 65.0} & set(rows[:, 2])  # codes that no set holds


# ---------------------------------------------------------------- scoring


def test_a_matrix_of_another_shape(booster):
    scored = Members.checked([booster])
    for matrix in (ROWS[:, :2], ROWS[0]):
        with pytest.raises(ArgumentError) as raised:
            scored.margins(matrix)
        assert str(raised.value) == (
            f"The matrix is of shape {matrix.shape}; (n_rows, 3) is expected."
        )


def test_no_rows(booster):
    scored = Members.checked([booster, booster])
    assert scored.margins(ROWS[:0]).shape == (2, 0)
    assert scored.contributions(ROWS[:0]).shape == (0, 3)
    assert scored.contributions(ROWS[:0], each=True).shape == (2, 0, 3)
    assert scored.interactions(ROWS[:0]).shape == (0, 3, 3)


@pytest.mark.slow  # compiles the loops once more
def test_single_precision_is_near(booster):
    scored = Members.checked([booster])
    near = scored.contributions(ROWS, dtype=np.float32)
    assert near.dtype == np.float32
    assert 0 < np.abs(near - scored.contributions(ROWS)).max() < 1e-5
    assert scored.contributions(ROWS[:1], dtype=np.float32) == pytest.approx(near[:1], abs=1e-6)


def test_each_layout_in_memory_is_scored_by_the_code_that_is_compiled(booster):
    scored = Members.checked([booster])
    locked = ROWS.copy()
    locked.flags.writeable = False
    layouts = [np.asfortranarray(ROWS), locked, np.repeat(ROWS, 2, axis=0)[::2]]
    expected = scored.margins(ROWS), scored.contributions(ROWS), scored.interactions(ROWS)
    for layout in layouts:
        assert np.array_equal(scored.margins(layout), expected[0])
        assert np.array_equal(scored.contributions(layout), expected[1])
        assert np.array_equal(scored.interactions(layout), expected[2])
    twice = Members.checked([booster, booster])
    assert np.array_equal(twice.contributions(ROWS[:3], each=True)[1], expected[1][:3])
    for function in (margins._strike_out, tabulated._look_up, tabulated._look_up_row):
        kinds = [str(given[-1].dtype) for given in function.signatures]
        assert sorted(kinds) == sorted(set(kinds))  # one for each precision


def test_importing_the_package_does_not_import_numba():
    code = (
        "import sys, stratify, stratify.cli, stratify.trees.members; print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_compiling_is_logged_once_and_what_is_kept_is_not(caplog, monkeypatch):
    monkeypatch.setattr(compiled._first_compilation, "logged", False)
    with caplog.at_level(logging.INFO):
        twice = numba.njit(lambda x: 2 * x)
        twice.py_func.__module__ = "stratify.trees.margins"
        assert [twice(3), twice(3.0)] == [6, 6.0]
    assert caplog.messages == ["compiling the loops over patients and trees: some 20 s, once"]


def test_without_a_folder_for_compiled_code(monkeypatch, caplog):
    real = numba.njit

    def unwritable(*, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", unwritable)
    with caplog.at_level(logging.INFO):
        twice = compiled.compiled(lambda x: 2 * x)
    assert twice(3) == 6
    assert caplog.messages == ["No folder for compiled code: compiling in each process."]

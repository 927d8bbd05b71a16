"""Margins and Shapley values of small trees, looked up.

They follow from which splits of a tree send a row to the left, and a tree of eight leaves has seven
splits: all 128 answers are computed once, the Shapley values by the quadrature of
:mod:`stratify.trees.shapley`. A row then costs its splits and one place in a table. Importing this
module imports numba.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from stratify.arrays import Floats, Ints
from stratify.compiled import compiled
from stratify.trees.margins import block_of, decide, goes_left, margins, rank
from stratify.trees.model_text import NAN
from stratify.trees.shapley import shapley_values

if TYPE_CHECKING:
    from stratify.trees.model_text import Trees
    from stratify.trees.shapley import Paths

__all__ = ["Answers", "answers_of", "looked_up"]


_MOST_SPLITS = 7  # one more doubles the table, which has to stay in the fastest memory
_TREES = 64  # tabulated at a time


class Answers(NamedTuple):
    """Margin and Shapley values of every tree by which of its splits send a row to the right.

    Attributes
    ----------
    first_feature : ndarray of int of shape (n_trees + 1,)
        First of a tree's features in `feature`.
    feature : ndarray of int
        Distinct features of each tree, ascending.
    first_value : ndarray of int of shape (n_trees,)
        First value of each tree: its margin and those of its features are adjacent, by the
        number whose bits are the splits that send a row to the right.
    values : ndarray of float
        In log-odds.
    """

    first_feature: Ints
    feature: Ints
    first_value: Ints
    values: npt.NDArray[np.floating]


def answers_of(trees: Trees, paths: Paths) -> Answers | None:
    """Tabulate margin and Shapley values of every tree.

    Returns
    -------
    Answers or None
        None where a tree has more than seven splits.
    """
    splits = np.diff(trees.node_start)
    if splits.max(initial=0) > _MOST_SPLITS:
        return None
    features = [np.unique(named) for named in np.split(trees.feature, trees.node_start[1:-1])]
    values: list[Floats] = []
    for start in range(0, len(splits), _TREES):
        some = range(start, min(start + _TREES, len(splits)))
        leaves, found = _by_pattern(trees, paths, some)
        for k, leaf, shapley in zip(some, leaves, found, strict=True):
            answers = np.column_stack([leaf, shapley[:, features[k]]])
            values.append(answers[: 1 << splits[k]].ravel())
    widths, sizes = [len(named) for named in features], [len(found) for found in values]
    return Answers(
        np.cumsum([0, *widths], dtype=np.int64),
        np.concatenate([*features, np.zeros(0)]).astype(np.int64),
        np.cumsum([0, *sizes[:-1]], dtype=np.int64),
        np.concatenate([*values, np.zeros(0, dtype=paths.weights.dtype)]),
    )


def _by_pattern(trees: Trees, paths: Paths, some: range) -> tuple[Floats, Floats]:
    """Margins and Shapley values of some trees, each split with a column of its own, of 0 or 1."""
    nodes = slice(trees.node_start[some.start], trees.node_start[some.stop])
    leaves = slice(trees.leaf_start[some.start], trees.leaf_start[some.stop])
    node_start = trees.node_start[some.start : some.stop + 1] - nodes.start
    n_nodes, n_trees = nodes.stop - nodes.start, len(some)
    own = np.arange(n_nodes) - np.repeat(node_start[:-1], np.diff(node_start))
    columns = np.arange(_MOST_SPLITS)
    apart = trees._replace(
        n_members=n_trees,
        member=np.arange(n_trees),
        node_start=node_start,
        leaf_start=trees.leaf_start[some.start : some.stop + 1] - leaves.start,
        feature=trees.feature[nodes],
        column=own,
        missing_right=np.zeros(n_nodes, dtype=np.uint32),
        limit=np.ones(n_nodes, dtype=np.uint32),
        begin=trees.begin[nodes],
        middle=trees.middle[nodes],
        end=trees.end[nodes],
        cover=trees.cover[nodes],
        set_start=np.zeros(n_nodes + 1, dtype=np.int64),
        leaf_value=trees.leaf_value[leaves],
        leaf_cover=trees.leaf_cover[leaves],
        column_feature=columns,
        column_kind=np.full(_MOST_SPLITS, NAN),
        cut_start=np.arange(_MOST_SPLITS + 1),
        cuts=np.full(_MOST_SPLITS, 0.5),
    )
    here = paths._replace(
        level=paths.level[nodes],
        earlier=paths.earlier[nodes],
        shares=paths.shares[nodes],
        points=paths.points[some.start : some.stop],
    )
    patterns = np.arange(1 << _MOST_SPLITS)
    rights = ((patterns[:, None] >> columns) & 1).astype(np.float64)
    return margins(apart, rights), shapley_values(apart, here, rights, each=True)


def looked_up(
    trees: Trees, answers: Answers, matrix: Floats, *, each: bool = False
) -> tuple[Floats, Floats]:
    """Margins, as `margins`, and exact path-dependent Shapley values, as `shapley_values`.

    Parameters
    ----------
    matrix : ndarray of float64 of shape (n_rows, n_features)

    Returns
    -------
    margins : ndarray of shape (n_members, n_rows)
        In the precision of the answers.
    values : ndarray of shape (n_rows, n_features), or (n_members, n_rows, n_features) for `each`
    """
    n_groups = trees.n_members if each else 1
    shape = (n_groups, len(matrix), trees.n_features)
    values: Floats = np.zeros(shape, dtype=answers.values.dtype)
    total: Floats = np.zeros((trees.n_members, len(matrix)), dtype=values.dtype)
    group = trees.member if each else np.zeros_like(trees.member)
    if len(matrix) == 1:
        _look_up_row(trees, answers, group, matrix, total, values)
    elif len(matrix):
        _look_up(trees, answers, group, matrix, total, values)
    if each:
        return total, values
    mean: Floats = values[0] / values.dtype.type(trees.n_members)
    return total, mean


@compiled
def _look_up(trees, answers, group, matrix, total, values):
    """Add up the margins of each member, and the Shapley values of each group of trees."""
    node_start, column, limit = trees.node_start, trees.column, trees.limit
    missing_right, set_start, words = trees.missing_right, trees.set_start, trees.words
    first_feature, feature = answers.first_feature, answers.feature
    first_value, answer, member = answers.first_value, answers.values, trees.member
    n_rows, n_features = len(matrix), trees.n_features
    block = block_of(n_rows)
    ranks = np.empty((len(trees.column_feature), block), np.uint32)
    left, place = np.empty(block, np.uint32), np.empty(block, np.uint32)
    value = np.zeros((n_features, block), answer.dtype)
    for start in range(0, n_rows, block):
        rows = min(block, n_rows - start)
        rank(trees, matrix[start : start + rows], ranks)
        for k in range(len(group)):
            width = np.uint32(1 + first_feature[k + 1] - first_feature[k])
            place[:] = 0
            for i in range(node_start[k], node_start[k + 1]):
                decide(i, column, limit, missing_right, set_start, words, ranks, left)
                step = width << np.uint32(i - node_start[k])
                for b in range(block):
                    place[b] += np.uint32(~left[b]) & step
            to, margin = member[k], first_value[k]
            for b in range(rows):
                total[to, start + b] += answer[margin + place[b]]
            for p in range(1, width):
                j, first = feature[first_feature[k] + p - 1], first_value[k] + p
                for b in range(block):
                    value[j, b] += answer[first + place[b]]
            if k + 1 == len(group) or group[k + 1] != group[k]:
                for b in range(rows):
                    for j in range(n_features):
                        values[group[k], start + b, j] = value[j, b]
                value[:] = 0


@compiled
def _look_up_row(trees, answers, group, matrix, total, values):
    """`_look_up` for one row, added up in the same order."""
    node_start, column, limit = trees.node_start, trees.column, trees.limit
    missing_right, set_start, words = trees.missing_right, trees.set_start, trees.words
    first_feature, feature = answers.first_feature, answers.feature
    first_value, answer, member = answers.first_value, answers.values, trees.member
    ranks = np.empty((len(trees.column_feature), 1), np.uint32)
    rank(trees, matrix, ranks)
    for k in range(len(group)):
        width, place = 1 + first_feature[k + 1] - first_feature[k], 0
        for i in range(node_start[k], node_start[k + 1]):
            if not goes_left(i, column, limit, missing_right, set_start, words, ranks):
                place += width << (i - node_start[k])
        total[member[k], 0] += answer[first_value[k] + place]
        for p in range(1, width):
            j = feature[first_feature[k] + p - 1]
            values[group[k], 0, j] += answer[first_value[k] + place + p]

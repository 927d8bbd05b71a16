"""Boosted trees as arrays, read from LightGBM's model text.

The text is the form in which a bundle keeps its models, so that neither LightGBM nor a dump of
the trees is needed to read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stratify.arrays import Flags, Floats, Ints
from stratify.errors import ArgumentError, BundleError

__all__ = ["Trees", "UnsupportedTreesError", "check_model_text", "read_trees"]


Words = npt.NDArray[np.uint32]

# What counts as missing in a column: nothing, NaN being read as zero; NaN and zero; NaN. The
# fourth kind holds codes of categories.
NONE, ZERO, NAN, CODES = range(4)
_NODE_FIELDS = {
    "split_feature": np.int64,
    "threshold": np.float64,
    "decision_type": np.int64,
    "left_child": np.int64,
    "right_child": np.int64,
    "internal_count": np.float64,
}

# Numbers that only LightGBM reads: one a leaf, or one a node, that is a leaf fewer.
_FURTHER_NUMBERS = {
    "leaf_weight": 0,
    "split_gain": 1,
    "internal_value": 1,
    "internal_weight": 1,
}
_LARGEST = 2.0**32  # of counts, features, and words of a set


class UnsupportedTreesError(ArgumentError):
    """The model is sound, but of a kind that only LightGBM scores."""


class Trees(NamedTuple):
    """Trees of all members of an ensemble, one after the other.

    The nodes of a tree stand in depth-first order, left before right, and so do its leaves: the
    leaves below a node are the range ``begin`` to ``end``, those to its left end at ``middle``.
    If its left child is a node, this is the next one; if its right child is one, it follows after
    the ``middle - begin - 1`` nodes on the left.

    Values are compared as ranks. A column is a feature as one kind of split reads it; the rank of
    a value is 1 + the number of the column's cuts below it, and 0 for a missing value.

    It is a tuple because compiled code takes it whole.

    Attributes
    ----------
    n_features, n_members : int
    member : ndarray of int of shape (n_trees,)
        Member a tree belongs to; the trees of a member are consecutive, in their order.
    node_start, leaf_start : ndarray of int of shape (n_trees + 1,)
        First node and first leaf of each tree. A constant tree has one leaf and no node.
    feature, column : ndarray of int of shape (n_nodes,)
    missing_right : ndarray of uint32 of shape (n_nodes,)
        1 where missing values go right, else 0.
    limit : ndarray of uint32 of shape (n_nodes,)
        Ranks go left up to ``limit + missing_right``.
    begin, middle, end : ndarray of int of shape (n_nodes,)
        Leaves of the tree below the node, counted from 0.
    cover : ndarray of float of shape (n_nodes,)
        Training rows that came through.
    set_start : ndarray of int of shape (n_nodes + 1,)
        First word of the set of categories that go left; other splits have none.
    words : ndarray of uint32
        Bits of the sets, code 0 lowest; codes beyond the words go right.
    leaf_value, leaf_cover : ndarray of float of shape (n_leaves,)
        Log-odds, and training rows.
    column_feature, column_kind : ndarray of int of shape (n_columns,)
        Feature, and one of `NONE`, `ZERO`, `NAN` and `CODES`.
    cut_start : ndarray of int of shape (n_columns + 1,)
        First cut of each column.
    cuts : ndarray of float
        Thresholds of all nodes, sorted within their column.
    """

    n_features: int
    n_members: int
    member: Ints
    node_start: Ints
    leaf_start: Ints
    feature: Ints
    column: Ints
    missing_right: Words
    limit: Words
    begin: Ints
    middle: Ints
    end: Ints
    cover: Floats
    set_start: Ints
    words: Words
    leaf_value: Floats
    leaf_cover: Floats
    column_feature: Ints
    column_kind: Ints
    cut_start: Ints
    cuts: Floats


# ---------------------------------------------------------------- reading


def read_trees(texts: Sequence[str]) -> Trees:
    """Read the members of an ensemble from LightGBM's model text.

    Examples
    --------
    >>> import lightgbm, numpy as np
    >>> X = np.arange(100.0)[:, None]
    >>> data = lightgbm.Dataset(X, X[:, 0] > 60, params={"verbose": -1})
    >>> booster = lightgbm.train({"num_leaves": 2, "verbose": -1}, data, num_boost_round=3)
    >>> trees = read_trees([booster.model_to_string()])
    >>> trees.feature, trees.cuts, trees.end
    (array([0, 0, 0]), array([60.5]), array([2, 2, 2]))
    """
    if not texts:
        raise ArgumentError("No model was given; one text for each member is expected.")
    members = [_additive(text, k) for k, text in enumerate(texts)]
    widths = {n_features for n_features, _ in members}
    if len(widths) > 1:
        raise ArgumentError(
            f"The members take {min(widths)} to {max(widths)} features; one number is expected."
        )
    blocks = [block for _, blocks in members for block in blocks]
    return _assembled(
        n_features=widths.pop(),
        member=np.repeat(np.arange(len(members)), [len(blocks) for _, blocks in members]),
        n_members=len(members),
        blocks=blocks,
    )


def check_model_text(text: str, n_features: int | None = None) -> None:
    r"""Refuse a text that LightGBM could not read safely: it would end the process, or never end.

    Examples
    --------
    >>> check_model_text("tree\nmax_feature_idx=1")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    stratify.errors.BundleError: A model text is damaged: member 0 has no beginning or no end...
    """
    width, blocks = _blocks(text, 0)
    if n_features not in (None, width):
        raise _damaged(f"it takes {width} features, {n_features} are expected")
    for name in _FURTHER_NUMBERS:
        with_it = [block for block in blocks if name in block]
        counts = _numbers(with_it, "num_leaves", np.int64, len(with_it))
        _numbers(with_it, name, np.float64, int((counts - _FURTHER_NUMBERS[name]).sum()))
    if any(block.get("is_linear", "0") != "0" for block in blocks):
        raise _damaged("it has linear leaves, which are never written")
    with suppress(UnsupportedTreesError):
        _assembled(width, 1, np.zeros(len(blocks), dtype=np.int64), blocks)


def _damaged(what: str) -> BundleError:
    return BundleError(
        f"A model text is damaged: {what}. Train again, or take the bundle from its backup."
    )


def _blocks(text: str, member: int) -> tuple[int, list[dict[str, str]]]:
    """Split a model text: its number of features, and the fields of each of its trees."""
    body, ended, _ = text.partition("\nend of trees")
    head, *trees = body.split("\nTree=")
    if not ended or not head.startswith("tree\n"):
        raise _damaged(f"member {member} has no beginning or no end")
    fields = _fields(head)
    try:
        sizes, last_feature = fields["tree_sizes"].split(), int(fields["max_feature_idx"])
        _ = int(fields["num_tree_per_iteration"])
    except (KeyError, ValueError):
        raise _damaged(f"the head of member {member} is incomplete") from None
    if len(sizes) != len(trees):
        raise _damaged(f"member {member} holds {len(trees)} of {len(sizes)} trees")
    if sizes != [str(len(f"Tree={tree}\n".encode())) for tree in trees]:  # LightGBM would abort
        raise _damaged(f"a tree of member {member} is longer or shorter than it was written")
    return last_feature + 1, [_fields(tree) for tree in trees]


def _additive(text: str, member: int) -> tuple[int, list[dict[str, str]]]:
    """As :func:`_blocks`, of a model whose one output is the sum of its trees."""
    width, blocks = _blocks(text, member)
    head = text.partition("\nTree=")[0]
    outputs = int(_fields(head)["num_tree_per_iteration"])
    if outputs != 1 or "\naverage_output" in head:
        raise ArgumentError(
            f"Member {member} has {outputs} outputs or averages its trees; one output, the sum of "
            "the trees, is expected."
        )
    if any(block.get("is_linear", "0") != "0" for block in blocks):
        raise UnsupportedTreesError(f"member {member} has linear leaves.")
    return width, blocks


def _fields(lines: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)


def _numbers(blocks: Sequence[dict[str, str]], name: str, kind: Any, expected: int) -> Any:
    """Numbers of one field over all trees."""
    try:
        words = " ".join([block[name] for block in blocks]).split()
        numbers = np.array(words, dtype=np.float64)
        if name == "threshold":  # is without end where a split parts missing values from all others
            sound = ~np.isnan(numbers)
        elif np.issubdtype(kind, np.integer):
            sound = (numbers == np.floor(numbers)) & (np.abs(numbers) <= _LARGEST)
        else:
            sound = np.isfinite(numbers)
        if not sound.all():
            raise ValueError
    except (KeyError, ValueError):
        raise _damaged(f"{name} is missing or not numeric") from None
    if len(numbers) != expected:
        raise _damaged(f"{name} holds {len(numbers)} numbers, {expected} are expected")
    return numbers.astype(kind)


def _assembled(
    n_features: int, n_members: int, member: Ints, blocks: Sequence[dict[str, str]]
) -> Trees:
    n_leaves = _numbers(blocks, "num_leaves", np.int64, len(blocks))
    if (n_leaves < 1).any():
        raise _damaged("a tree has no leaf")
    node_start, leaf_start = (np.cumsum([0, *sizes]) for sizes in (n_leaves - 1, n_leaves))
    n_nodes = int(node_start[-1])
    node = {f: _numbers(blocks, f, kind, n_nodes) for f, kind in _NODE_FIELDS.items()}
    value, leaf_count = (
        _numbers(blocks, name, np.float64, int(leaf_start[-1]))
        for name in ("leaf_value", "leaf_count")
    )
    if not ((node["split_feature"] >= 0) & (node["split_feature"] < n_features)).all():
        raise _damaged("a split names a feature that the model does not take")
    order, leaf_order, ranges = _depth_first(
        np.stack([node["left_child"], node["right_child"]], axis=1), node_start, leaf_start
    )
    node = {name: numbers[order] for name, numbers in node.items()}
    begin, middle, end = (np.ascontiguousarray(column) for column in ranges[order].T)
    codes = node["decision_type"] & 1 == 1
    tree = np.repeat(np.arange(len(blocks)), n_leaves - 1)
    set_start, words = _sets(blocks, np.where(codes, node["threshold"], -1).astype(np.int64), tree)
    columns = _columns(node["split_feature"], node["decision_type"] >> 2, codes, node["threshold"])
    if (node["internal_count"] <= 0).any():
        raise UnsupportedTreesError("no training row came through one of the splits.")
    missing_right = (node["decision_type"] & 2 == 0).astype(np.uint32)
    column, cut, column_feature, column_kind, cut_start, cuts = columns
    return Trees(
        n_features,
        n_members,
        member,
        node_start,
        leaf_start,
        node["split_feature"],
        column,
        missing_right,
        (cut + 1 - missing_right).astype(np.uint32),
        begin,
        middle,
        end,
        node["internal_count"],
        set_start,
        words,
        value[leaf_order],
        leaf_count[leaf_order],
        column_feature,
        column_kind,
        cut_start,
        cuts,
    )


def _depth_first(child: Ints, node_start: Ints, leaf_start: Ints) -> tuple[Ints, Ints, Ints]:
    """Nodes and leaves in depth-first order, and the leaves below each node.

    LightGBM numbers nodes as they were split, and a leaf ``i`` among the children is ``-i - 1``.
    """
    n_nodes, n_leaves = len(child), int(leaf_start[-1])
    n_splits = np.diff(node_start)
    first_node, first_leaf = (
        np.repeat(start[:-1], n_splits)[:, None] for start in (node_start, leaf_start)
    )
    child = np.where(child >= 0, child + first_node, n_nodes + first_leaf - 1 - child)
    roots, stumps = node_start[:-1][n_splits > 0], n_nodes + leaf_start[:-1][n_splits == 0]
    everyone = np.sort(np.concatenate([child.ravel(), roots, stumps]))
    levels = []
    if np.array_equal(everyone, np.arange(n_nodes + n_leaves)):
        parents = roots
        while len(parents):
            levels.append(parents)
            below = child[parents].ravel()
            parents = below[below < n_nodes]
    if sum(map(len, levels)) != n_nodes:
        raise _damaged("the nodes of a tree are not connected")
    width = np.ones(n_nodes + n_leaves, dtype=np.int64)  # leaves below, one for a leaf
    for parents in reversed(levels):
        width[parents] = width[child[parents]].sum(axis=1)
    begin = np.zeros_like(width)
    position = np.zeros_like(width)
    position[roots] = node_start[:-1][n_splits > 0]
    for parents in levels:
        left, right = child[parents].T
        begin[left], begin[right] = begin[parents], begin[parents] + width[left]
        position[left], position[right] = position[parents] + 1, position[parents] + width[left]
    nodes = np.arange(n_nodes)
    ranges = np.stack([begin[nodes], begin[child[:, 1]], begin[nodes] + width[nodes]], axis=1)
    tree_of_leaf = np.repeat(leaf_start[:-1], n_splits + 1)
    return (
        np.argsort(position[:n_nodes]),
        np.argsort(begin[n_nodes:] + tree_of_leaf),
        ranges,
    )


def _columns(
    feature: Ints, missing: Ints, codes: Flags, threshold: Floats
) -> tuple[Ints, Ints, Ints, Ints, Ints, Floats]:
    """Column of each node and its cut within the column, and what the columns are."""
    if not (missing[~codes] <= NAN).all():
        raise _damaged("a split has an unknown decision_type")
    threshold = np.where(codes, 0.0, threshold)
    kind = np.where(codes, CODES, missing)
    keys, column = np.unique(4 * feature + kind, return_inverse=True)
    order = np.lexsort([threshold, column])
    ordered = np.stack([column[order], threshold[order]])
    new = np.append(True, (ordered[:, 1:] != ordered[:, :-1]).any(axis=0))[: len(order)]
    number = np.empty_like(column)
    number[order] = np.cumsum(new) - 1
    cut_start = np.searchsorted(ordered[0, new], np.arange(len(keys) + 1))
    return column, number - cut_start[column], keys // 4, keys % 4, cut_start, ordered[1, new]


def _sets(blocks: Sequence[dict[str, str]], number: Ints, tree: Ints) -> tuple[Ints, Words]:
    """Gather the sets of categories by node; `number` is that of its set in the tree, else -1."""
    n_sets = _numbers(blocks, "num_cat", np.int64, len(blocks))
    holders = [block for block, n in zip(blocks, n_sets, strict=True) if n]
    ends = np.cumsum(n_sets[n_sets > 0] + 1)
    bounds = _numbers(holders, "cat_boundaries", np.int64, int(n_sets.sum()) + len(holders))
    width = np.delete(np.diff(bounds), ends[:-1] - 1)  # not from one tree to the next
    if (width <= 0).any() or not (number < n_sets[tree]).all():
        raise _damaged("a set of categories is missing")
    bits = _numbers(holders, "cat_threshold", np.uint32, int(width.sum()))

    holds = number >= 0
    held = (np.cumsum(n_sets) - n_sets)[tree[holds]] + number[holds]
    node_width = np.zeros(len(number), dtype=np.int64)
    node_width[holds] = width[held]
    start = np.cumsum([0, *node_width])
    shift = np.repeat((np.cumsum(width) - width)[held] - start[:-1][holds], width[held])
    return start, bits[np.arange(start[-1]) + shift]

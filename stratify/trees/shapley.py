"""Exact Shapley values of boosted trees and their interactions, by quadrature.

The path-dependent Shapley values are those of TreeSHAP (Lundberg 2020, 10.1038/s42256-019-0138-9).
For a leaf of value v below splits on distinct features 1..d, let o_j be 1 if the row agrees with
all its splits on feature j, else 0, and p_j the share of the training rows that do. Then

    phi_i = v (o_i - p_i) * integral over t in [0, 1] of prod_{j != i} (t o_j + (1 - t) p_j)

is what feature i adds. The integrand is a polynomial of degree d - 1, for which Gauss-Legendre
with ceil(d / 2) points is exact; two features left out in place of one give their interaction.

At each point the product over the path is carried down the tree and the sum over the leaves up; at
each edge the factor of its feature is divided out. So a tree costs its edges times its points, and
each step is one vector operation over a block of rows. Importing this module imports numba.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stratify.arrays import Floats, Ints
from stratify.compiled import compiled, inlined
from stratify.trees.margins import block_of, decide, goes_left, rank

if TYPE_CHECKING:
    from stratify.trees.model_text import Trees

__all__ = ["Paths", "interactions", "paths_of", "shapley_values"]

_FACTORS, _STEPS = 0, 3  # first rows in a table of entries
_PAIRS = 2**23  # numbers held for the interactions of a block
_FEW = 6  # rows up to which one after the other is faster


class Paths(NamedTuple):
    """What quadrature needs of the paths through the trees.

    Attributes
    ----------
    depth : int
        Levels of the deepest tree, at least 1.
    level : ndarray of int of shape (n_nodes,)
        0 for the root of a tree.
    earlier : ndarray of int of shape (n_nodes,)
        The last split above on the same feature: ``1 + 2 * level`` if the path went left there,
        ``2 + 2 * level`` if it went right, 0 if there is none.
    shares : ndarray of float of shape (n_nodes, 3)
        Share of the training rows that agree with the path on the node's feature: above the node,
        with its left edge, and with its right edge.
    points : ndarray of int of shape (n_trees,)
        Points of quadrature.
    abscissae, weights : ndarray of shape (n + 1, n)
        Gauss-Legendre on [0, 1], of as many points as the number of the row. The Shapley values
        have the precision of the weights.
    """

    depth: int
    level: Ints
    earlier: Ints
    shares: Floats
    points: Ints
    abscissae: Floats
    weights: npt.NDArray[Any]


def paths_of(trees: Trees, dtype: npt.DTypeLike = np.float64) -> Paths:
    """Prepare quadrature."""
    level, earlier, distinct, shares = _walk(
        *(trees.node_start, trees.leaf_start, trees.feature, trees.begin, trees.middle, trees.end),
        *(trees.cover, trees.leaf_cover),
    )
    n_nodes = np.diff(trees.node_start)
    features = np.zeros(len(n_nodes), dtype=np.int64)  # on the path with most
    np.maximum.at(features, np.repeat(np.arange(len(n_nodes)), n_nodes), distinct)
    points = (features + 1) // 2
    most = max(1, int(points.max()))
    rules = np.zeros((2, most + 1, most))
    for n in range(1, most + 1):
        abscissae, weights = np.polynomial.legendre.leggauss(n)
        rules[:, n, :n] = (abscissae + 1) / 2, weights / 2
    depth = 1 + int(level.max(initial=0))
    return Paths(depth, level, earlier, shares, points, rules[0], rules[1].astype(dtype))


def shapley_values(trees: Trees, paths: Paths, matrix: Floats, *, each: bool = False) -> Floats:
    """Exact path-dependent Shapley values of the margin.

    Parameters
    ----------
    matrix : ndarray of float64 of shape (n_rows, n_features)

    Returns
    -------
    ndarray of shape (n_rows, n_features), or (n_members, n_rows, n_features) for `each`
        In log-odds. With `base_values` they add up to the margins.
    """
    n_groups = trees.n_members if each else 1
    shape = (n_groups, len(matrix), trees.n_features)
    values: Floats = np.zeros(shape, dtype=paths.weights.dtype)
    group = trees.member if each else np.zeros_like(trees.member)
    if 0 < len(matrix) <= _FEW and values.dtype == np.float64:
        for b in range(len(matrix)):
            _sweep_row(trees, paths, group, matrix, b, values)
    elif len(matrix):
        _sweep(trees, paths, group, matrix, values, np.zeros((0, 0, 0), dtype=values.dtype))
    if each:
        return values
    mean: Floats = values[0] / values.dtype.type(trees.n_members)
    return mean


def interactions(trees: Trees, paths: Paths, matrix: Floats) -> Floats:
    """Exact pairwise Shapley interactions of the mean margin.

    Returns
    -------
    ndarray of shape (n_rows, n_features, n_features)
        In log-odds, symmetric: half of each interaction on either side of the diagonal, on it what
        a feature adds by itself. Rows of it add up to the Shapley values.
    """
    n_rows, n_features = len(matrix), trees.n_features
    values = np.zeros((1, n_rows, n_features), dtype=paths.weights.dtype)
    pairs: Floats = np.zeros((n_rows, n_features, n_features), dtype=values.dtype)
    step = max(1, _PAIRS // n_features**2)
    for start in range(0, n_rows, step):
        rows = slice(start, start + step)
        _sweep(
            trees, paths, np.zeros_like(trees.member), matrix[rows], values[:, rows], pairs[rows]
        )
    scale = values.dtype.type(trees.n_members)
    pairs += pairs.transpose(0, 2, 1).copy()
    pairs /= 2 * scale
    diagonal = np.arange(n_features)
    pairs[:, diagonal, diagonal] = values[0] / scale - pairs.sum(axis=2)
    return pairs


@compiled
def _walk(node_start, leaf_start, feature, begin, middle, end, cover, leaf_cover):
    """Fields of `Paths` by node, and the number of features on the path."""
    n_nodes = len(feature)
    parent, level = np.zeros(n_nodes, np.int64), np.zeros(n_nodes, np.int64)
    earlier, distinct = np.zeros(n_nodes, np.int64), np.ones(n_nodes, np.int64)
    shares = np.ones((n_nodes, 3))
    for k in range(len(node_start) - 1):
        for i in range(node_start[k], node_start[k + 1]):
            if i > node_start[k]:
                distinct[i] = distinct[parent[i]] + 1
            above = i
            while above > node_start[k]:
                above = parent[above]
                if feature[above] == feature[i]:
                    went_right = int(begin[i] >= middle[above])
                    earlier[i] = 1 + 2 * level[above] + went_right
                    shares[i, 0] = shares[above, 1 + went_right]
                    distinct[i] -= 1
                    break
            for side, first, last in ((1, begin[i], middle[i]), (2, middle[i], end[i])):
                if last - first == 1:
                    rows = leaf_cover[leaf_start[k] + first]
                else:
                    child = i + max(first - begin[i], 1)
                    rows = cover[child]
                    parent[child], level[child] = i, level[i] + 1
                shares[i, side] = shares[i, 0] * rows / cover[i]
    return level, earlier, distinct, shares


# A row is in one of three states at a node: it has left the path at an earlier split on the same
# feature (0), or agrees with those and goes left (1) or right (2). Edges are numbered alike, so
# that a row agrees with the edge of its state.


@inlined
def _edge(side, share, above, t):
    """Factors of an edge in states 0, 1 and 2, and steps in states 1 and 2; none in state 0.

    The factor of earlier edges of the feature is divided out. The step takes the feature's factor
    out of the product and puts o - p in; what earlier edges have put in is taken back.
    """
    before, strays = 1.0 / (t + (1.0 - t) * above), (1.0 - t) * share
    agrees, undone = t + strays, (1.0 - above) * before
    stray_step, step = -1.0 / (1.0 - t) - undone, (1.0 - share) / agrees - undone
    strays, agrees = strays * before, agrees * before
    if side == 1:
        return share / above, agrees, strays, step, stray_step
    return share / above, strays, agrees, stray_step, step


@inlined
def _leaves(values, share_left, share_right, above, t):
    """As `_edge`: factors times value, and these times steps, summed over two leaves."""
    left, right = values
    a0, a1, a2, a3, a4 = _edge(1, share_left, above, t)
    b0, b1, b2, b3, b4 = _edge(2, share_right, above, t)
    a0, a1, a2, b0, b1, b2 = a0 * left, a1 * left, a2 * left, b0 * right, b1 * right, b2 * right
    return a0 + b0, a1 + b1, a2 + b2, a1 * a3 + b1 * b3, a2 * a4 + b2 * b4


@inlined
def _leaf_values(k, i, leaf_start, leaf_value, begin, middle, end):
    """Values of the leaves of node `i`, 0 for a child that is none."""
    first = leaf_start[k]
    left = leaf_value[first + begin[i]] if middle[i] - begin[i] == 1 else 0.0
    right = leaf_value[first + middle[i]] if end[i] - middle[i] == 1 else 0.0
    return left, right


@inlined
def _blend(gone, left, right, agrees, goes_left):
    """Entry of a row's state, without a branch."""
    return gone + agrees * (right - gone) + goes_left * (left - right)


@inlined
def _scale(table, first, m, agrees, above, ours, source, s, target, to):
    """``target[to] = source[s]`` times the entry of each row; factors are `first`, or steps."""
    for q in range(m):
        gone, left, right = table[first, q], table[first + 1, q], table[first + 2, q]
        for b in range(agrees.shape[1]):
            factor = _blend(gone, left, right, agrees[above, b], agrees[ours, b])
            target[to, q, b] = source[s, q, b] * factor


@inlined
def _credit(table, m, agrees, above, ours, source, s, value, j):
    """Add ``source[s]`` times the step of each row to the values of feature `j`."""
    for q in range(m):
        gone, left, right = table[_STEPS, q], table[_STEPS + 1, q], table[_STEPS + 2, q]
        for b in range(agrees.shape[1]):
            step = _blend(gone, left, right, agrees[above, b], agrees[ours, b])
            value[j, b] += source[s, q, b] * step


@compiled
def _credit_pairs(term, steps, feature, path, d, j, m, pair):
    """Add `term`, of an edge of feature `j`, times the steps of the `d` edges above it."""
    for e in range(1, d + 1):
        other = feature[path[e - 1]]
        if other != j:
            low, high = min(other, j), max(other, j)
            for q in range(m):
                for b in range(term.shape[2]):
                    pair[low, high, b] += term[0, q, b] * steps[e, q, b]


@compiled
def _sweep(trees, paths, group, matrix, values, pairs):
    """Add up the Shapley values of each group of trees, and the interactions of all trees.

    `values` is of shape (n_groups, n_rows, n_features), and `pairs`, unless it is empty, of shape
    (n_rows, n_features, n_features); each pair is entered once.
    """
    node_start, feature, column, limit = trees.node_start, trees.feature, trees.column, trees.limit
    missing_right, set_start, words = trees.missing_right, trees.set_start, trees.words
    begin, middle, end = trees.begin, trees.middle, trees.end
    leaf_start, leaf_value = trees.leaf_start, trees.leaf_value
    level, earlier, shares, points = paths.level, paths.earlier, paths.shares, paths.points
    t, weights, kind = paths.abscissae, paths.weights, paths.weights.dtype
    n_rows, n_features, with_pairs = len(matrix), trees.n_features, pairs.size > 0
    block, depth, width = block_of(n_rows), paths.depth, weights.shape[1]
    ranks = np.empty((len(trees.column_feature), block), np.uint32)
    left = np.empty(block, np.uint32)
    agrees = np.ones((1 + 2 * depth, block), kind)  # 1 or 0, in the rows of `Paths.earlier`
    product = np.empty((depth, width, block), kind)  # from the root down
    total = np.empty((depth, width, block), kind)  # over the leaves below
    table = np.zeros((6, width), kind)  # of one node or edge: factors, then steps, by state
    value = np.zeros((n_features, block), kind)
    paired = block if with_pairs else 0
    steps, term = np.empty((depth, width, paired), kind), np.empty((1, width, paired), kind)
    ones, pair = np.ones(term.shape, kind), np.zeros((n_features, n_features, paired), kind)
    path = np.zeros(depth, np.int64)
    for start in range(0, n_rows, block):
        rows = min(block, n_rows - start)
        rank(trees, matrix[start : start + rows], ranks)
        for k in range(len(group)):
            m, deepest = points[k], 0
            for q in range(m):
                for b in range(block):
                    product[0, q, b] = weights[m, q]
            for i in range(node_start[k], node_start[k + 1] + 1):
                inside = i < node_start[k + 1]
                to = level[i] if inside else 0
                for d in range(deepest, max(to, 1) - 1, -1):  # back up the edges that end
                    node, ours = path[d - 1], 2 * d - 1
                    j, above = feature[node], earlier[node]
                    side = 1 + (begin[path[d]] >= middle[node])
                    for q in range(m):
                        entries = _edge(side, shares[node, side], shares[node, 0], t[m, q])
                        table[4, q], table[5, q] = entries[3], entries[4]
                    _credit(table, m, agrees, above, ours, total, d, value, j)
                    for q in range(m):
                        for b in range(block):
                            total[d - 1, q, b] += total[d, q, b]
                    if with_pairs:
                        _scale(table, _STEPS, m, agrees, above, ours, total, d, term, 0)
                        _credit_pairs(term, steps, feature, path, d - 1, j, m, pair)
                if not inside:
                    break
                if to > 0:  # down the edge to this node
                    node, ours = path[to - 1], 2 * to - 1
                    above = earlier[node]
                    side = 1 + (begin[i] >= middle[node])
                    for q in range(m):
                        entries = _edge(side, shares[node, side], shares[node, 0], t[m, q])
                        table[0, q], table[1, q], table[2, q] = entries[0], entries[1], entries[2]
                        table[4, q], table[5, q] = entries[3], entries[4]
                    _scale(table, _FACTORS, m, agrees, above, ours, product, to - 1, product, to)
                    if with_pairs:
                        _scale(table, _STEPS, m, agrees, above, ours, ones, 0, steps, to)
                path[to], deepest = i, to
                decide(i, column, limit, missing_right, set_start, words, ranks, left)
                j, above, ours = feature[i], earlier[i], 1 + 2 * to
                for b in range(block):
                    agrees[ours, b] = agrees[above, b] if left[b] else 0
                    agrees[ours + 1, b] = 0 if left[b] else agrees[above, b]
                leaves = _leaf_values(k, i, leaf_start, leaf_value, begin, middle, end)
                for q in range(m):
                    entries = _leaves(leaves, shares[i, 1], shares[i, 2], shares[i, 0], t[m, q])
                    table[0, q], table[1, q], table[2, q] = entries[0], entries[1], entries[2]
                    table[4, q], table[5, q] = entries[3], entries[4]
                _scale(table, _FACTORS, m, agrees, above, ours, product, to, total, to)
                _credit(table, m, agrees, above, ours, product, to, value, j)
                if with_pairs:
                    _scale(table, _STEPS, m, agrees, above, ours, product, to, term, 0)
                    _credit_pairs(term, steps, feature, path, to, j, m, pair)
            if k + 1 == len(group) or group[k + 1] != group[k]:
                for b in range(rows):
                    for j in range(n_features):
                        values[group[k], start + b, j] = value[j, b]
                value[:] = 0
        if with_pairs:
            for b in range(rows):
                for j in range(n_features):
                    for other in range(n_features):
                        pairs[start + b, j, other] = pair[j, other, b]
            pair[:] = 0


@compiled
def _sweep_row(trees, paths, group, matrix, row, values):
    """`_sweep` for one row, by the same arithmetic, so that the values are the same."""
    node_start, feature, column, limit = trees.node_start, trees.feature, trees.column, trees.limit
    missing_right, set_start, words = trees.missing_right, trees.set_start, trees.words
    begin, middle, end = trees.begin, trees.middle, trees.end
    leaf_start, leaf_value = trees.leaf_start, trees.leaf_value
    level, earlier, shares, points = paths.level, paths.earlier, paths.shares, paths.points
    t, weights, depth = paths.abscissae, paths.weights, paths.depth
    ranks = np.empty((len(trees.column_feature), 1), np.uint32)
    rank(trees, matrix[row : row + 1], ranks)
    agrees, path = np.ones(1 + 2 * depth), np.zeros(depth, np.int64)
    product, total = np.empty((depth, weights.shape[1])), np.empty((depth, weights.shape[1]))
    for k in range(len(group)):
        m, deepest, to_group = points[k], 0, group[k]
        for q in range(m):
            product[0, q] = weights[m, q]
        for i in range(node_start[k], node_start[k + 1] + 1):
            inside = i < node_start[k + 1]
            to = level[i] if inside else 0
            for d in range(deepest, max(to, 1) - 1, -1):
                node = path[d - 1]
                every, ours = agrees[earlier[node]], agrees[2 * d - 1]
                side = 1 + (begin[path[d]] >= middle[node])
                for q in range(m):
                    entries = _edge(side, shares[node, side], shares[node, 0], t[m, q])
                    step = _blend(0.0, entries[3], entries[4], every, ours)
                    values[to_group, row, feature[node]] += total[d, q] * step
                    total[d - 1, q] += total[d, q]
            if not inside:
                break
            if to > 0:
                node = path[to - 1]
                every, ours = agrees[earlier[node]], agrees[2 * to - 1]
                side = 1 + (begin[i] >= middle[node])
                for q in range(m):
                    entries = _edge(side, shares[node, side], shares[node, 0], t[m, q])
                    factor = _blend(entries[0], entries[1], entries[2], every, ours)
                    product[to, q] = product[to - 1, q] * factor
            path[to], deepest = i, to
            every, ours = agrees[earlier[i]], 0.0
            if goes_left(i, column, limit, missing_right, set_start, words, ranks):
                ours = every
            agrees[1 + 2 * to], agrees[2 + 2 * to] = ours, every - ours
            leaves = _leaf_values(k, i, leaf_start, leaf_value, begin, middle, end)
            for q in range(m):
                entries = _leaves(leaves, shares[i, 1], shares[i, 2], shares[i, 0], t[m, q])
                factor = _blend(entries[0], entries[1], entries[2], every, ours)
                step = _blend(0.0, entries[3], entries[4], every, ours)
                total[to, q] = product[to, q] * factor
                values[to_group, row, feature[i]] += product[to, q] * step

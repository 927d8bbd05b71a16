"""Margins of boosted trees, to the last bit as LightGBM adds them up.

Many rows go by QuickScorer (Lucchese 2015, 10.1145/2766462.2767733): every split that sends a row
to the right strikes out the leaves on its left, and the first leaf that stays is the row's. Each
step is one vector operation over a block of rows. A single row walks down the trees.

Importing this module imports numba, and the first call compiles: seconds once, kept on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stratify.arrays import Floats
from stratify.compiled import compiled, inlined
from stratify.trees.model_text import CODES, NONE, ZERO

if TYPE_CHECKING:
    from stratify.trees.model_text import Trees

__all__ = ["block_of", "decide", "goes_left", "margins", "rank"]


_BLOCK = 512  # rows; fewer spend more on the steps, more leave the cache
_ZERO = float(np.float32(1e-35))  # LightGBM reads what is nearer to zero as zero
_ALL, _NONE, _ONE = np.uint32(0xFFFFFFFF), np.uint32(0), np.uint32(1)
_WORD, _LAST_BIT = np.uint32(5), np.uint32(31)  # words of 32 bits


def margins(trees: Trees, matrix: Floats) -> Floats:
    """Margin by each member, its trees added up in their order.

    Parameters
    ----------
    matrix : ndarray of float64 of shape (n_rows, n_features)

    Returns
    -------
    ndarray of shape (n_members, n_rows)
        In log-odds.
    """
    total = np.zeros((trees.n_members, len(matrix)))
    if len(matrix) == 1:
        _walk_down(trees, matrix, total)
    elif len(matrix):
        _strike_out(trees, matrix, total)
    return total


@compiled
def rank(trees, matrix, ranks):
    """Fill `ranks` of shape (n_columns, n_rows) from rows of features."""
    column_feature, column_kind = trees.column_feature, trees.column_kind
    cut_start, cuts = trees.cut_start, trees.cuts
    values = np.empty(len(matrix))
    for c in range(len(column_feature)):
        j, kind, first = column_feature[c], column_kind[c], cut_start[c]
        if kind == CODES:
            for b in range(len(matrix)):
                # Decimals are cut off, -0.5 is code 0, and no set holds what is not a code.
                is_code = (matrix[b, j] > -1.0) & (matrix[b, j] < 2.0**31)
                ranks[c, b] = np.uint32(np.int64(matrix[b, j])) if is_code else _ALL
            continue
        for b in range(len(matrix)):
            value = 0.0 if abs(matrix[b, j]) <= _ZERO else matrix[b, j]
            values[b] = 0.0 if (kind == NONE) & np.isnan(value) else value
            ranks[c, b] = 0
        # Halving without branches, all rows at once: `ranks` cuts are known to lie below.
        size = cut_start[c + 1] - first
        while size > 0:
            half = max(size >> 1, 1)
            for b in range(len(matrix)):
                ranks[c, b] += half * (cuts[first + ranks[c, b] + half - 1] < values[b])
            size = size - half if size > 1 else 0
        for b in range(len(matrix)):
            missing = np.isnan(values[b]) | ((kind == ZERO) & (values[b] == 0.0))
            ranks[c, b] = 0 if missing else ranks[c, b] + 1


@inlined
def decide(i, column, limit, missing_right, set_start, words, ranks, left):
    """Fill `left` with all bits where node `i` sends a row to the left, else with none."""
    c, last, shift, first = column[i], limit[i], missing_right[i], set_start[i]
    if first == set_start[i + 1]:
        for b in range(len(left)):  # missing on the right: 0 - 1 is the greatest rank
            left[b] = _ALL if np.uint32(ranks[c, b] - shift) <= last else _NONE
    else:
        for b in range(len(left)):
            left[b] = _NONE
        for w in range(first, set_start[i + 1]):
            word, here = words[w], np.uint32(w - first)
            for b in range(len(left)):
                held = np.uint32(word >> (ranks[c, b] & _LAST_BIT)) & _ONE
                left[b] |= np.uint32(_NONE - held) if ranks[c, b] >> _WORD == here else _NONE


@inlined
def goes_left(i, column, limit, missing_right, set_start, words, ranks):
    """Whether node `i` sends the one row of `ranks` to the left."""
    value, first, last = ranks[column[i], 0], set_start[i], set_start[i + 1]
    if first == last:
        return np.uint32(value - missing_right[i]) <= limit[i]
    word = first + np.int64(value >> _WORD)
    return word < last and (words[word] >> (value & _LAST_BIT)) & _ONE == _ONE


@compiled
def _walk_down(trees, matrix, total):
    """Add the margins of one row to `total`."""
    member, node_start, leaf_start = trees.member, trees.node_start, trees.leaf_start
    column, limit, missing_right = trees.column, trees.limit, trees.missing_right
    set_start, words, leaf_value = trees.set_start, trees.words, trees.leaf_value
    begin, middle, end = trees.begin, trees.middle, trees.end
    ranks = np.empty((len(trees.column_feature), 1), np.uint32)
    rank(trees, matrix, ranks)
    for k in range(len(member)):
        i, first, last = node_start[k], 0, leaf_start[k + 1] - leaf_start[k]
        while last - first > 1:
            if goes_left(i, column, limit, missing_right, set_start, words, ranks):
                first, last, i = begin[i], middle[i], i + 1
            else:
                first, last, i = middle[i], end[i], i + middle[i] - begin[i]
        total[member[k], 0] += leaf_value[leaf_start[k] + first]


@inlined
def _lowest_bit(word):
    """Count the bits below the lowest one, in twos, fours and bytes."""
    below = np.uint32(~word) & np.uint32(word - _ONE)
    below = np.uint32(below - ((below >> np.uint32(1)) & np.uint32(0x55555555)))
    below = np.uint32(
        (below & np.uint32(0x33333333)) + ((below >> np.uint32(2)) & np.uint32(0x33333333))
    )
    below = np.uint32(below + (below >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
    return np.uint32(below * np.uint32(0x01010101)) >> np.uint32(24)


@compiled
def _strike_out(trees, matrix, total):
    """Add the margins of all rows to `total`."""
    member, node_start, leaf_start = trees.member, trees.node_start, trees.leaf_start
    column, limit, missing_right = trees.column, trees.limit, trees.missing_right
    set_start, words, leaf_value = trees.set_start, trees.words, trees.leaf_value
    begin, middle = trees.begin, trees.middle
    n_rows = len(matrix)
    block = block_of(n_rows)
    ranks = np.empty((len(trees.column_feature), block), np.uint32)
    left, leaf = np.empty(block, np.uint32), np.empty(block, np.uint32)
    stays = np.empty(((np.diff(leaf_start).max() + 31) >> 5, block), np.uint32)
    for start in range(0, n_rows, block):
        rows = min(block, n_rows - start)
        rank(trees, matrix[start : start + rows], ranks)
        for k in range(len(member)):
            n_words = (leaf_start[k + 1] - leaf_start[k] + 31) >> 5
            for w in range(n_words):
                for b in range(block):
                    stays[w, b] = _ALL
            for i in range(node_start[k], node_start[k + 1]):
                decide(i, column, limit, missing_right, set_start, words, ranks, left)
                first, last = begin[i], middle[i] - 1
                for w in range(first >> 5, (last >> 5) + 1):
                    low = _ALL << np.uint32(max(first - 32 * w, 0))
                    high = _ALL >> np.uint32(max(32 * w + 31 - last, 0))
                    kept = np.uint32(~(low & high))
                    for b in range(block):
                        stays[w, b] &= left[b] | kept
            for w in range(n_words - 1, -1, -1):  # the lowest bit of the first word with one
                offset = np.uint32(32 * w)
                for b in range(block):
                    word = stays[w, b]
                    leaf[b] = _lowest_bit(word) + offset if word != _NONE else leaf[b]
            to, values = member[k], leaf_start[k]
            for b in range(rows):
                total[to, start + b] += leaf_value[values + leaf[b]]


@compiled
def block_of(n_rows):
    """Rows of a block, such that the blocks are about equal."""
    n_blocks = (n_rows + _BLOCK - 1) // _BLOCK
    return (n_rows + n_blocks - 1) // n_blocks

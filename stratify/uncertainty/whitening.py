"""Compiled: normal scores, and Mahalanobis lengths over what was measured, of many patients.

Importing this module imports numba.
"""

from __future__ import annotations

import numpy as np

from stratify.compiled import compiled

__all__ = ["interpolated", "lengths"]


@compiled
def lengths(scores, correlation, order, squares):
    """Fill `squares`, rows taken in an `order` in which those with the same gaps are adjacent."""
    n_features = scores.shape[1]
    columns = np.empty(n_features, np.int64)
    factor = np.empty((n_features, n_features))
    solved = np.empty(n_features)
    before = -1
    for i in order:
        same = before >= 0
        if same:
            for j in range(n_features):
                if np.isnan(scores[i, j]) != np.isnan(scores[before, j]):
                    same = False
                    break
        if not same:
            n = 0
            for j in range(n_features):
                if not np.isnan(scores[i, j]):
                    columns[n] = j
                    n += 1
            for a in range(n):
                for b in range(a + 1):
                    total = correlation[columns[a], columns[b]]
                    for c in range(b):
                        total -= factor[a, c] * factor[b, c]
                    factor[a, b] = np.sqrt(total) if a == b else total / factor[b, b]
        before = i
        square = 0.0
        for a in range(n):
            total = scores[i, columns[a]]
            for c in range(a):
                total -= factor[a, c] * solved[c]
            solved[a] = total / factor[a, a]
            square += solved[a] * solved[a]
        squares[i] = square


@compiled
def interpolated(values, start, places, scores, farthest):
    """Put scores in place of values: along straight lines between knots and beyond them."""
    for j in range(len(start) - 1):
        first, last = start[j], start[j + 1] - 1
        for i in range(len(values)):
            value = values[i, j]
            if last <= first or np.isnan(value):
                values[i, j] = np.nan
                continue
            k = first
            while k < last - 1 and value > places[k + 1]:
                k += 1
            slope = (scores[k + 1] - scores[k]) / (places[k + 1] - places[k])
            score = scores[k] + slope * (value - places[k])
            values[i, j] = min(max(score, -farthest), farthest)

"""Compiled: a metric for each of many bootstrap samples, these given as weights of patients.

Importing this module imports numba.
"""

from __future__ import annotations

import numpy as np

from stratify.compiled import compiled

__all__ = ["precision_areas"]


@compiled
def precision_areas(weights, truth, ends, areas):
    """Fill `areas` with the step-wise area under each sample's precision-recall curve.

    `weights` is of shape (n_samples, n_patients), patients by descending score, `truth` 1 with the
    event; `ends` are the last patients of each score. NaN for a sample without an event.
    """
    for r in range(len(weights)):
        events, flagged, area, before, at = 0.0, 0.0, 0.0, 0.0, 0
        for i in range(len(truth)):
            flagged += weights[r, i]
            events += weights[r, i] * truth[i]
            if i == ends[at]:
                area += (events - before) * events / max(flagged, 1.0)
                before = events
                at += 1
        areas[r] = area / events if events > 0 else np.nan

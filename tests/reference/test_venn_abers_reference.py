"""Venn-Abers pairs of another implementation: venn-abers 1.5.4 (PyPI), numpy 2.4.6.

The package is no dependency: on import it silences numpy's warnings of invalid values for the
whole process. The values below came from ``VennAbers().fit(...).predict_proba(...)``.
"""

from __future__ import annotations

import numpy as np

from stratify.uncertainty.venn_abers import VennAbers

CELLS = [(0.1, 6, 1), (0.25, 5, 0), (0.4, 8, 4), (0.55, 5, 2), (0.7, 9, 7), (0.9, 7, 6)]
LOW = [1 / 12, 1 / 12, 3 / 7, 3 / 7, 0.7, 13 / 17]
HIGH = [1 / 6, 1 / 6, 0.5, 0.5, 0.8, 0.875]


def test_pairs_equal_those_of_the_package():
    risk = np.repeat([r for r, _, _ in CELLS], [n for _, n, _ in CELLS])
    label = np.concatenate([np.repeat([1.0, 0.0], [events, n - events]) for _, n, events in CELLS])
    cells = VennAbers.fit(risk, label)
    assert len(cells.n) == len(CELLS)
    low, high = cells.pair(np.array([r for r, _, _ in CELLS]))
    np.testing.assert_allclose(low, LOW, rtol=0, atol=1e-12)
    np.testing.assert_allclose(high, HIGH, rtol=0, atol=1e-12)

"""Venn-Abers pairs from counts: the definition, its promise, and what counting gives up."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from stratify.uncertainty.venn_abers import VennAbers


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated risks and labels."""
    rng = np.random.default_rng(seed)
    risk = 1 / (1 + np.exp(-rng.normal(0.3, 0.9, n)))
    return risk, (rng.random(n) < risk).astype(float)


def by_definition(risk: np.ndarray, label: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Isotonic regression of the calibration patients and the new one, once for each label."""
    return np.array(
        [
            [
                IsotonicRegression()
                .fit(np.append(risk, each), np.append(label, y))
                .predict([each])[0]
                for each in new
            ]
            for y in (0, 1)
        ]
    )


@pytest.mark.parametrize("n", [12, 200])
def test_pairs_are_those_of_the_definition_on_the_cells(n):
    risk, label = drawn(n, 1)
    cells = VennAbers.fit(risk, label)
    new = np.linspace(0.01, 0.99, 40)

    def cell(r: np.ndarray) -> np.ndarray:
        return np.searchsorted(cells.edges, r, side="right")

    expected = by_definition(cell(risk), label, cell(new))
    np.testing.assert_allclose(cells.pair(new), expected, rtol=0, atol=1e-12)


def test_counting_by_cell_moves_a_pair_by_little():
    risk, label = drawn(964, 2)
    new = drawn(200, 3)[0]
    moved = np.abs(VennAbers.fit(risk, label).pair(new) - by_definition(risk, label, new))
    assert moved.mean() < 0.02


def test_no_cell_holds_fewer_than_five_patients_nor_shows_a_risk():
    for n in (5, 9, 10, 37, 240, 964):
        risk, label = drawn(n, n)
        cells = VennAbers.fit(risk, label)
        assert min(cells.n) >= 5
        assert sum(cells.n) == n
        assert sum(cells.n_events) == label.sum()
        assert cells.edges == [round(edge, 2) for edge in cells.edges]
        assert len(cells.edges) == len(cells.n) - 1


def test_of_two_patients_with_one_risk_the_pair_is_the_share_with_either_added():
    cells = VennAbers.fit(np.full(20, 0.5), np.repeat([0.0, 1.0], [15, 5]))
    low, high = cells.pair(np.array([0.0, 0.5, 1.0]))
    assert low.tolist() == [5 / 21] * 3
    assert high.tolist() == [6 / 21] * 3


def test_pairs_rise_with_the_risk_and_narrow_with_patients():
    new = np.linspace(0, 1, 101)
    widths = []
    for n in (100, 1000, 10_000):
        low, high = VennAbers.fit(*drawn(n, 5)).pair(new)
        assert (np.diff(low) >= 0).all()
        assert (np.diff(high) >= 0).all()
        assert (low < high).all()
        widths.append((high - low).mean())
    assert widths[0] > widths[1] > widths[2]


def test_the_pair_mends_a_risk_that_is_too_extreme():
    risk, label = drawn(2000, 6)
    extreme = risk**3 / (risk**3 + (1 - risk) ** 3)
    low, high = VennAbers.fit(extreme, label).pair(extreme)
    middle = high / (1 - low + high)  # the single risk of Vovk 2015
    assert np.abs(middle - risk).mean() < 0.04 < np.abs(extreme - risk).mean()


def test_a_patient_of_weight_two_counts_as_two():
    risk, label = drawn(60, 7)
    twice = np.where(np.arange(60) < 20, 2.0, 1.0)
    weighted = VennAbers.fit(risk, label, twice)
    repeated = np.repeat(np.arange(60), twice.astype(int))
    doubled = VennAbers(
        weighted.edges,
        *(
            np.bincount(np.searchsorted(weighted.edges, risk[repeated], side="right"), w).tolist()
            for w in (np.ones(80), label[repeated])
        ),
    )
    assert weighted == doubled

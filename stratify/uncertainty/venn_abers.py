"""Venn-Abers pair: two calibrated risks between which the risk lies, apart from any other interval.

A new patient is added to the calibration patients twice, once as without and once as with the
event; isotonic regression of each gives one risk. One of the two is calibrated whatever the model,
so that a pair that lies far apart, or far from the risk, means few patients like this one.

The calibration patients are the training patients with their out-of-fold risks. Only counts by
cell of risk are kept: cells of one percentage point, neighbours joined until each holds five
patients. What is given up is the order of patients within a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stratify.arrays import Floats

__all__ = ["VennAbers"]


_CELLS = 100  # of equal width between 0 and 1
_PATIENTS = 5  # at least, in each cell that is kept


@dataclass(frozen=True)
class VennAbers:
    """Inductive Venn-Abers predictor on counts.

    Attributes
    ----------
    edges : list of float
        Risks between neighbouring cells, lowest first; a risk on an edge lies above it.
    n, n_events : list of float
        Patients of each cell, and those with the event; sums of weights where there are weights.

    References
    ----------
    Vovk V, Petej I. Venn-Abers predictors. UAI 2014;829-838. Vovk V, Petej I, Fedorova V.
    Large-scale probabilistic predictors with and without guarantees of validity. NIPS 2015.
    """

    edges: list[float]
    n: list[float]
    n_events: list[float]

    @classmethod
    def fit(cls, risk: Floats, label: Floats, weight: Floats | None = None) -> VennAbers:
        """Count the calibration patients.

        Parameters
        ----------
        risk : ndarray of shape (n_patients,)
            Risks, 0 to 1, of patients on whom the risk was not fitted.
        label : ndarray of shape (n_patients,)
            1 with the event, else 0.
        weight : ndarray of shape (n_patients,), optional
            Weight of each patient against 1 of a new one.

        Examples
        --------
        >>> risk = np.array([0.1, 0.1, 0.2, 0.2, 0.2, 0.6, 0.7, 0.7, 0.8, 0.8])
        >>> label = np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1])
        >>> VennAbers.fit(risk, label)
        VennAbers(edges=[0.6], n=[5.0, 5.0], n_events=[1.0, 4.0])
        """
        weights = np.ones(len(risk)) if weight is None else weight
        fine = np.minimum((risk * _CELLS + 1e-9).astype(int), _CELLS - 1)
        joined, cell, held = np.zeros(_CELLS, dtype=int), 0, 0
        left = len(risk)
        starts = [0]
        for k, count in enumerate(np.bincount(fine, minlength=_CELLS)):
            if held >= _PATIENTS and left >= _PATIENTS and count:
                cell, held = cell + 1, 0
                starts.append(k)
            joined[k] = cell
            held, left = held + count, left - count
        cells = joined[fine]
        return cls(
            edges=[k / _CELLS for k in starts[1:]],
            n=np.bincount(cells, weights, cell + 1).tolist(),
            n_events=np.bincount(cells, weights * label, cell + 1).tolist(),
        )

    def pair(self, risk: Floats) -> tuple[Floats, Floats]:
        """Both risks of each new patient.

        Parameters
        ----------
        risk : ndarray of shape (n_patients,)
            On the scale of the calibration patients' risks.

        Returns
        -------
        low, high : ndarray of shape (n_patients,)
            Risk had the patient been without the event, and with it; ``low < high``.

        Examples
        --------
        >>> cells = VennAbers(edges=[0.5], n=[4.0, 9.0], n_events=[1.0, 8.0])
        >>> cells.pair(np.array([0.3, 0.8]))
        (array([0.2, 0.8]), array([0.4, 0.9]))
        """
        cells = np.searchsorted(self.edges, risk, side="right")
        low, high = self._pairs
        return low[cells], high[cells]

    @cached_property
    def _pairs(self) -> tuple[Floats, Floats]:
        """Both risks by cell."""
        from scipy.optimize import isotonic_regression

        n, events = np.array(self.n), np.array(self.n_events)
        found = np.empty((2, len(n)))
        for label in (0, 1):
            for cell in range(len(n)):
                here = np.arange(len(n)) == cell
                more = n + here
                found[label, cell] = isotonic_regression(
                    (events + label * here) / more, weights=more
                ).x[cell]
        return found[0], found[1]

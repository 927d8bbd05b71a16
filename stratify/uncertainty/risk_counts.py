"""Out-of-fold risks of the training patients as counts by range of risk, without a patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stratify.arrays import Floats

__all__ = ["RiskCounts"]


_CELLS = 100  # of equal width between 0 and 1
_PATIENTS = 5  # at least, in each range that is kept


@dataclass(frozen=True)
class RiskCounts:
    """Training patients by range of their out-of-fold risk, at least five in each.

    Attributes
    ----------
    edges : list of float
        Risks between neighbouring ranges, lowest first; a risk on an edge lies above it.
    n : list of float
        Patients of each range; sums of weights where there are weights.
    """

    edges: list[float]
    n: list[float]

    @classmethod
    def fit(cls, risk: Floats, weight: Floats | None = None) -> RiskCounts:
        """Count patients by ranges of one percentage point, neighbours joined.

        Parameters
        ----------
        risk : ndarray of shape (n_patients,)
            Risks, 0 to 1.
        weight : ndarray of shape (n_patients,), optional

        Examples
        --------
        >>> RiskCounts.fit(np.array([0.1, 0.1, 0.2, 0.2, 0.2, 0.6, 0.7, 0.7, 0.8, 0.8]))
        RiskCounts(edges=[0.6], n=[5.0, 5.0])
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
        n = np.bincount(joined[fine], weights, cell + 1)
        return cls(edges=[k / _CELLS for k in starts[1:]], n=n.tolist())

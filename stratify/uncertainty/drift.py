"""Whether patients scored now are like those of training: inputs, gaps, scores.

Kept of the training patients are shares of bins that hold several of them, no patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import TypeAdapter
from scipy.stats import chi2_contingency

from stratify.arrays import Floats
from stratify.statistics.intervals import wilson
from stratify.tables.schema import field_named, patient_panels

__all__ = ["DRIFT_COLUMNS", "Profile", "Shares"]


DRIFT_COLUMNS = (
    *("what", "name", "panel", "psi", "p_value", "value_training", "value", "difference"),
    *("low", "high", "n", "alert"),
)
_QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SMALLEST_BIN = 5  # patients; levels with fewer are one bin
# A stability index from 0.25 is a shift by convention (Siddiqi 2006); the test keeps small cohorts
# from raising it by chance.
PSI_ALERT, P_ALERT, GAP_ALERT = 0.25, 0.01, 0.10


@dataclass(frozen=True)
class Shares:
    """Shares of training patients by bin of one quantity.

    Attributes
    ----------
    edges : list of float
        Inner edges of a number's bins; empty for levels.
    levels : list of str
        Levels of a category; others are one more bin.
    counts : list of int
        Training patients in each bin.
    missing : int
        Training patients without a value.
    """

    edges: list[float]
    levels: list[str]
    counts: list[int]
    missing: int

    @classmethod
    def fit(cls, values: pd.Series) -> Shares:
        """Count training patients by tenth of a number, or by level."""
        known = values.dropna()
        missing = len(values) - len(known)
        if not pd.api.types.is_numeric_dtype(known):
            counted = known.astype(str).value_counts()
            levels = sorted(counted.index[counted >= SMALLEST_BIN])
            held = cls([], levels, [], missing)
        else:
            numbers = known.to_numpy(dtype=float)
            tenths = np.quantile(numbers, _QUANTILES) if len(numbers) else np.array([])
            if set(numbers) <= {0.0, 1.0}:  # yes/no
                tenths = np.array([0.5])
            held = cls(sorted({float(f"{edge:.3g}") for edge in tenths}), [], [], missing)
        return cls(held.edges, held.levels, held.count(known).tolist(), missing)

    def count(self, known: pd.Series) -> npt.NDArray[np.int_]:
        """Count values by bin."""
        if self.levels or not pd.api.types.is_numeric_dtype(known):
            place = {level: i for i, level in enumerate(self.levels)}
            level = [place.get(str(value), len(place)) for value in known]
            return np.bincount(np.array(level, dtype=int), minlength=len(place) + 1)
        bins = np.searchsorted(self.edges, known.to_numpy(dtype=float), side="left")
        return np.bincount(bins, minlength=len(self.edges) + 1)


@dataclass(frozen=True)
class Profile:
    """What is kept of the training patients to compare others with them.

    Attributes
    ----------
    features : dict of str to Shares
    risk : Shares
        Of the out-of-fold risks.
    panels : dict of str to float
        Share of the training patients without any value of a panel.
    n : int
        Training patients.

    References
    ----------
    Siddiqi N. Credit Risk Scorecards. Wiley 2006 (population stability index).
    """

    features: dict[str, Shares]
    risk: Shares
    panels: dict[str, float]
    n: int

    @classmethod
    def fit(cls, matrix: pd.DataFrame, risk: Floats) -> Profile:
        """Describe the training patients.

        Parameters
        ----------
        matrix : DataFrame of shape (n_patients, n_features)
            As :func:`stratify.cohort.features.model_matrix`.
        risk : ndarray of shape (n_patients,)
            Risks by models that did not see the patient.
        """
        return cls(
            {str(name): Shares.fit(column) for name, column in matrix.items()},
            Shares.fit(pd.Series(risk)),
            _panels_missing(matrix),
            len(matrix),
        )

    def compared(self, matrix: pd.DataFrame, risk: Floats) -> pd.DataFrame:
        """Compare patients with those of training.

        Parameters
        ----------
        matrix : DataFrame of shape (n_patients, n_features)
        risk : ndarray of shape (n_patients,)

        Returns
        -------
        DataFrame
            One row a feature (``what`` input), feature's gaps (missing), panel (panel_missing) and
            the score: stability index with the p-value of a chi-square test, or the share missing
            in training and here with its difference and 95 % interval. ``alert`` is empty or the
            code of a finding.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> there = pd.DataFrame({"albumin": rng.normal(4, 0.4, 400)})
        >>> here = pd.DataFrame({"albumin": rng.normal(3.4, 0.4, 400)})
        >>> drift = Profile.fit(there, rng.random(400)).compared(here, rng.random(400))
        >>> drift.loc[drift["alert"] != "", ["what", "name", "alert"]].to_dict("records")
        [{'what': 'input', 'name': 'albumin', 'alert': 'input_shift'}]
        """
        rows = []
        for name, held in self.features.items():
            column = matrix[name]
            known = column.dropna()
            panel = field_named(name).panel
            rows.append(_shifted("input", name, panel, held, known, "input_shift"))
            gap = held.missing / self.n, float(column.isna().mean())
            rows.append(_gap("missing", name, panel, gap, (self.n, len(column))))
        here = _panels_missing(matrix)
        for panel, share in self.panels.items():
            gap = share, here.get(panel, 1.0)
            rows.append(_gap("panel_missing", panel, panel, gap, (self.n, len(matrix))))
        rows.append(_shifted("score", "risk", "", self.risk, pd.Series(risk), "score_shift"))
        return pd.DataFrame(rows, columns=list(DRIFT_COLUMNS))

    def to_json(self) -> dict[str, Any]:
        """As the bundle holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Profile:
        """Inverse of :meth:`to_json`."""
        return TypeAdapter(cls).validate_python(document)


def _panels_missing(matrix: pd.DataFrame) -> dict[str, float]:
    columns: dict[str, list[str]] = {}
    for name in matrix.columns:
        columns.setdefault(field_named(str(name)).panel, []).append(str(name))
    return {
        panel: float(matrix[columns[panel]].isna().all(axis=1).mean())
        for panel in patient_panels()
        if panel in columns
    }


def _shifted(
    what: str, name: str, panel: str, held: Shares, known: pd.Series, code: str
) -> dict[str, Any]:
    there, here = np.array(held.counts), held.count(known)
    psi, p_value = np.nan, np.nan
    if there.sum() and here.sum():
        # half a patient a bin keeps an empty bin from being infinite
        expected = (there + 0.5) / (there + 0.5).sum()
        observed = (here + 0.5) / (here + 0.5).sum()
        psi = float(((observed - expected) * np.log(observed / expected)).sum())
        both = np.vstack([there, here])[:, (there + here) > 0]
        p_value = float(chi2_contingency(both).pvalue) if both.shape[1] > 1 else 1.0
    alert = code if psi >= PSI_ALERT and p_value < P_ALERT else ""
    line = {"what": what, "name": name, "panel": panel, "psi": psi, "p_value": p_value}
    return {**line, "n": int(here.sum()), "alert": alert}


def _gap(
    what: str, name: str, panel: str, shares: tuple[float, float], n: tuple[int, int]
) -> dict[str, Any]:
    """Difference of two shares, Newcombe's interval (Stat Med 1998;17:873-890)."""
    limits0, limits1 = (wilson(p * k, k, 0.95) for p, k in zip(shares, n, strict=True))
    before, now = shares
    difference = now - before
    low = difference - np.hypot(now - limits1.low, limits0.high - before)
    high = difference + np.hypot(limits1.high - now, before - limits0.low)
    shifted = abs(difference) >= GAP_ALERT and not low <= 0 <= high
    line = {"what": what, "name": name, "panel": panel, "value_training": before, "value": now}
    limits = {"difference": difference, "low": low, "high": high}
    return {**line, **limits, "n": n[1], "alert": "missingness_shift" if shifted else ""}

"""Burdens of different assays on one scale: by paired samples, or within each assay.

A line learned from samples that two assays measured gives a burden in mut/Mb of the reference
assay. Without such samples a burden can only be placed among the training patients of its own
assay. Both are learned once and then applied to patients one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.errors import ArgumentError
from stratify.tables.findings import Findings
from stratify.tables.rows import numbers_of

__all__ = ["TmbCalibration", "WithinAssayScale", "add_harmonised"]

# Below these a line, or a distribution, is not learned.
FEWEST_PAIRS, FEWEST_PATIENTS = 10, 20
LEVEL = 0.95


@dataclass(frozen=True)
class TmbCalibration:
    """Line from the burden of one assay to that of a reference assay.

    Attributes
    ----------
    intercept, slope : float
        Reference burden = intercept + slope x burden, in mut/Mb.
    power : float
        Errors have a variance that grows as this power of the burden.
    sigma : float
        Standard deviation of the errors at a burden of 1 mut/Mb.
    covariance : tuple of float
        Variance of the intercept, covariance, variance of the slope.
    smallest, range : float, tuple of float
        Smallest burden above 0, and range of burdens, among the paired samples.
    n : int
        Paired samples.

    References
    ----------
    Vega 2021, 10.1016/j.annonc.2021.09.016 (Friends of Cancer Research, phase II): weighted least
    squares with a linear mean and a variance by a power. There the power is estimated; here it is
    given, 1 as for counts.

    Examples
    --------
    >>> burden = pd.Series(np.arange(1.0, 41.0))
    >>> calibration = TmbCalibration.fit(burden, 0.5 + 0.8 * burden)
    >>> round(calibration.intercept, 6), round(calibration.slope, 6)
    (0.5, 0.8)
    >>> calibration.apply(pd.Series([10.0, None]))["tmb_harmonised"].round(6).tolist()
    [8.5, nan]
    """

    intercept: float
    slope: float
    power: float
    sigma: float
    covariance: tuple[float, float, float]
    smallest: float
    range: tuple[float, float]
    n: int

    @classmethod
    def fit(cls, burden: pd.Series, reference: pd.Series, *, power: float = 1.0) -> TmbCalibration:
        """Learn the line by weighted least squares.

        Parameters
        ----------
        burden, reference : Series of shape (n_samples,)
            Burden in mut/Mb of the same samples by the assay and by the reference assay; pairs in
            which one is missing are left out.
        """
        if not 0 <= power <= 4:
            raise ArgumentError(f"power is {power}; expected 0 to 4 (1 for counts).")
        x, y = (np.asarray(values, dtype=float) for values in (burden, reference))
        if x.shape != y.shape:
            raise ArgumentError(
                f"{len(x)} burdens and {len(y)} of the reference; expected as many of each."
            )
        both = np.isfinite(x) & np.isfinite(y)
        x, y = x[both], y[both]
        if len(x) < FEWEST_PAIRS:
            raise ArgumentError(
                f"{len(x)} paired samples; at least {FEWEST_PAIRS} are expected to learn a line."
            )
        if min(x.min(), y.min()) < 0 or x.min() == x.max():
            raise ArgumentError(
                "burdens are negative or all the same; expected mut/Mb of different samples, not "
                "their logarithms."
            )
        smallest = float(x[x > 0].min())
        weight = np.fmax(x, smallest) ** -power
        design = np.column_stack([np.ones_like(x), x])
        inverse = np.linalg.inv(design.T @ (weight[:, None] * design))
        intercept, slope = inverse @ design.T @ (weight * y)
        if slope <= 0:
            raise ArgumentError(
                "the reference does not grow with the burden; check that both columns are of the "
                "same samples."
            )
        errors = y - intercept - slope * x
        variance = float((weight * errors**2).sum() / (len(x) - 2))
        spread = variance * inverse
        return cls(
            float(intercept),
            float(slope),
            float(power),
            float(np.sqrt(variance)),
            (float(spread[0, 0]), float(spread[0, 1]), float(spread[1, 1])),
            smallest,
            (float(x.min()), float(x.max())),
            len(x),
        )

    def apply(self, burden: pd.Series) -> pd.DataFrame:
        """Burdens on the scale of the reference assay.

        Parameters
        ----------
        burden : Series of shape (n_patients,)
            In mut/Mb.

        Returns
        -------
        DataFrame of shape (n_patients, 4)
            ``tmb_harmonised`` with its 95 % prediction interval ``lower`` and ``upper`` (mut/Mb,
            none below 0), and ``extrapolated`` where the burden lies beyond the paired samples.
        """
        from scipy.stats import t  # slow to import, and few studies need it

        x: Floats = burden.to_numpy(dtype=float)
        a, ab, b = self.covariance
        error = self.sigma**2 * np.fmax(x, self.smallest) ** self.power
        half = t.ppf(0.5 + LEVEL / 2, self.n - 2) * np.sqrt(error + a + 2 * ab * x + b * x**2)
        mean = self.intercept + self.slope * x
        table = pd.DataFrame(
            {"tmb_harmonised": mean, "lower": mean - half, "upper": mean + half},
            index=burden.index,
        ).clip(lower=0.0)
        table["extrapolated"] = (x < self.range[0]) | (x > self.range[1])
        return table


@dataclass(frozen=True)
class WithinAssayScale:
    """Burden among the training patients of the same assay, as a z-score.

    Attributes
    ----------
    assays : mapping of str to (float, float, float)
        By assay: power of the Yeo–Johnson transformation, and mean and standard deviation of the
        transformed burdens.

    References
    ----------
    Vokes 2019, 10.1200/PO.19.00171 (normal transformation, then z-scores); Yeo 2000,
    10.1093/biomet/87.4.954.

    Examples
    --------
    >>> tmb = pd.Series(np.exp(np.linspace(0, 3, 40)))
    >>> assay = pd.Series(["panel A"] * 40)
    >>> scale = WithinAssayScale.fit(pd.concat([tmb, 2 * tmb]),
    ...                              pd.concat([assay, pd.Series(["panel B"] * 40)]))
    >>> scale.transform(pd.Series([9.0, 18.0, 9.0]),
    ...                 pd.Series(["panel A", "panel B", "exome"])).round(1).tolist()
    [0.8, 0.8, nan]
    """

    assays: Mapping[str, tuple[float, float, float]]

    @classmethod
    def fit(cls, tmb: pd.Series, assay: pd.Series) -> WithinAssayScale:
        """Learn the distribution of each assay with at least 20 patients.

        Parameters
        ----------
        tmb : Series of shape (n_patients,)
            Burden of training patients in mut/Mb.
        assay : Series of shape (n_patients,)
            Name of the assay.
        """
        from scipy.stats import yeojohnson

        values, names = tmb.to_numpy(dtype=float), assay.to_numpy(dtype=object)
        if (values < 0).any():
            raise ArgumentError("tmb is negative; expected mut/Mb, not its logarithm.")
        assays = {}
        for name in sorted(assay.dropna().unique()):
            own = np.sort(values[(names == name) & np.isfinite(values)])
            if len(own) < FEWEST_PATIENTS or own[0] == own[-1]:
                continue
            normal, power = yeojohnson(own)
            assays[str(name)] = (float(power), float(normal.mean()), float(normal.std()))
        return cls(assays)

    def transform(self, tmb: pd.Series, assay: pd.Series) -> pd.Series:
        """Z-scores; missing where the assay was not learned.

        Parameters
        ----------
        tmb : Series of shape (n_patients,)
            Burden in mut/Mb.
        assay : Series of shape (n_patients,)

        Returns
        -------
        Series of shape (n_patients,)
        """
        from scipy.stats import yeojohnson

        scores = np.full(len(tmb), np.nan)
        values, names = tmb.to_numpy(dtype=float), assay.to_numpy(dtype=object)
        for name, (power, mean, deviation) in self.assays.items():
            own = (names == name) & np.isfinite(values)
            scores[own] = (yeojohnson(values[own], power) - mean) / deviation
        return pd.Series(scores, index=tmb.index)


def add_harmonised(
    patients: pd.DataFrame, calibration: TmbCalibration, cohort: str, findings: Findings
) -> pd.DataFrame:
    """Add ``tmb_harmonised`` from ``tmb``.

    Parameters
    ----------
    patients : DataFrame of shape (n_patients, ...)
        With ``tmb`` of the assay that was calibrated.

    Examples
    --------
    >>> burden = pd.Series(np.arange(1.0, 41.0))
    >>> found = Findings()
    >>> add_harmonised(pd.DataFrame({"tmb": [10.0, 90.0]}), TmbCalibration.fit(burden, burden / 2),
    ...                "home", found)["tmb_harmonised"].round(6).tolist()
    [5.0, 45.0]
    >>> found.codes()
    ['beyond_paired_samples']
    """
    table = calibration.apply(pd.Series(numbers_of(patients, "tmb"), patients.index))
    n = int(table["extrapolated"].sum())
    if n:
        findings.add(
            "beyond_paired_samples",
            f"tmb of {n} patients lies outside the range of the {calibration.n} paired samples.",
            cohort=cohort,
            panel="tmb",
            column="tmb_harmonised",
            n=n,
        )
    return patients.assign(tmb_harmonised=table["tmb_harmonised"])

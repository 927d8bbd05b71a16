"""Linear score: ridge-penalised logistic regression with stated preparation.

Numbers are capped as in the dictionaries, missing ones take the training median, all are
standardised; levels are indicator columns, where a missing or unseen level is none of them. It is
the plain model of every comparison and the anchor from which boosting starts. The anchor goes
further where a patient's values are missing: it expects them from those that are measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Flags, Floats, Ints
from stratify.tables.schema import known_field

__all__ = ["LinearScore"]


# the covariance of two columns counts as n / (n + this) of it, n patients having both
_FEW = 20
_SHRUNK = 0.1  # of every covariance
_SMALLEST = 1e-3  # eigenvalue
_OUTER, _TIMES = 0.04, 2.0  # of the limits of a number
_KINDS = 100_000  # combinations of missing columns whose weights are kept


@dataclass(frozen=True)
class Expected:
    """Expectation of missing columns given the measured ones, were all jointly normal.

    ``mean`` is over the patients in whom a column is measured, ``covariance`` over those who have
    both columns, shrunk towards independence; ``signs`` is +1 or -1 where the coefficient of a
    column may not have the other sign.

    References
    ----------
    Josse J et al. Stat Papers 2024;65:5447-5479 (prediction with missing values).
    """

    mean: Floats
    covariance: Floats
    signs: npt.NDArray[np.int_]
    _weights: dict[bytes, Floats] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def fit(cls, columns: Floats, weight: Floats | None, signs: npt.NDArray[np.int_]) -> Expected:
        """Fit on training patients; ``columns`` is of shape (n_patients, n_columns), with NaN."""
        share = np.ones(len(columns)) if weight is None else weight
        known = ~np.isnan(columns)
        filled = np.where(known, columns, 0.0)
        mean = share @ filled / np.maximum(share @ known, np.finfo(float).tiny)
        centred = np.where(known, columns - mean, 0.0)
        both = (known * share[:, None]).T @ known.astype(float)
        covariance = (centred * share[:, None]).T @ centred / np.maximum(both, 1e-12)
        own = np.diag(covariance).copy()
        covariance *= (1 - _SHRUNK) * both / (both + _FEW)
        np.fill_diagonal(covariance, own)
        varying = np.flatnonzero(own > 1e-12)  # a constant says nothing of others
        block = np.ix_(varying, varying)
        sizes, axes = np.linalg.eigh(covariance[block])
        covariance = np.eye(len(own))
        covariance[block] = (axes * np.maximum(sizes, _SMALLEST)) @ axes.T
        return cls(mean, (covariance + covariance.T) / 2, signs)

    def contributions(self, columns: Floats, coefficients: Floats) -> Floats:
        """Contribution of each measured column, with its share of what the missing ones would add.

        The coefficients are always the same ones for one object.
        """
        missing = np.isnan(columns)
        packed = np.packbits(missing, axis=1)
        whose, firsts = _kinds(packed)
        weights = np.empty((len(firsts), columns.shape[1]))
        for at, row in enumerate(firsts):
            weights[at] = self._weight(packed[row].tobytes(), missing[row], coefficients)
        return self.measured(columns, weights[whose])

    def measured(self, columns: Floats, weights: Floats) -> Floats:
        """Contributions of the measured columns with these weights, 0 of the missing ones."""
        found: Floats = np.where(np.isnan(columns), 0.0, columns - self.mean) * weights
        return found

    def _weight(self, kind: bytes, missing: Flags, coefficients: Floats) -> Floats:
        if kind not in self._weights:
            if len(self._weights) >= _KINDS:  # a registry may hold any number of them
                self._weights.clear()
            weight = np.where(missing, 0.0, coefficients)
            if missing.any() and not missing.all():
                seen = ~missing
                implied = np.linalg.solve(
                    self.covariance[np.ix_(seen, seen)],
                    self.covariance[np.ix_(seen, missing)] @ coefficients[missing],
                )
                weight[seen] += implied
                weight = np.where(self.signs * weight < 0, 0.0, weight)
            self._weights[kind] = weight
        return self._weights[kind]

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        names = ("mean", "covariance", "signs")
        return {name: getattr(self, name).tolist() for name in names}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Expected:
        """Inverse of :meth:`to_json`."""
        mean, covariance = (np.array(document[name], float) for name in ("mean", "covariance"))
        return cls(mean, covariance, np.array(document["signs"], dtype=int))


def _kinds(packed: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Kind of each row of bytes, and a row of each kind."""
    n = len(packed)
    if n == 1:
        return np.zeros(1, dtype=np.intp), np.zeros(1, dtype=np.intp)
    words = np.zeros((n, -(-packed.shape[1] // 8) * 8), dtype=np.uint8)
    words[:, : packed.shape[1]] = packed
    whose = np.zeros(n, dtype=np.intp)
    for word in words.view(np.uint64).T:  # by hashing, which takes a tenth of sorting rows
        here, found = pd.factorize(np.ascontiguousarray(word))
        whose = pd.factorize(whose * len(found) + here)[0]
    firsts = np.zeros(whose.max(initial=-1) + 1, dtype=np.intp)
    firsts[whose] = np.arange(n)
    return whose, firsts


@dataclass(frozen=True)
class LinearScore:
    """A fitted linear score on encoded features.

    Attributes
    ----------
    features : list of str
        Columns in the order of the matrix.
    medians, means, scales, coefficients : dict of str to float
        Of numbers; the coefficient is per standard deviation.
    caps : dict of str to (float, float)
        Range to which numbers are clipped.
    levels : dict of str to list of float
        Coefficient of each level code of a categorical column.
    level_means : dict of str to float
        Mean contribution of a categorical column in training.
    intercept : float
    limits : dict of str to (float, float)
        Range of the training patients, beyond which numbers are clipped so that they cannot run
        away: on either side twice as far from the median as the outer 4 %. Absent in bundles of
        an earlier version.
    expected : Expected or None
        How missing columns follow from measured ones; None where they take the training median,
        and no level of a categorical column.
    """

    features: list[str]
    medians: dict[str, float]
    means: dict[str, float]
    scales: dict[str, float]
    coefficients: dict[str, float]
    caps: dict[str, tuple[float, float]]
    levels: dict[str, list[float]]
    level_means: dict[str, float]
    intercept: float
    expected: Expected | None = None
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        matrix: Floats,
        features: Sequence[str],
        n_levels: Mapping[str, int],
        label: Floats,
        *,
        weight: Floats | None = None,
        penalty: float | Sequence[float] = 1.0,
        directions: Sequence[int] | None = None,
        expect: bool = False,
    ) -> LinearScore:
        """Fit on training patients.

        Parameters
        ----------
        matrix : ndarray of shape (n_patients, n_features)
            Numbers, level codes 0, 1, ... of categorical columns, NaN for missing.
        features : sequence of str
            Names of the columns.
        n_levels : mapping of str to int
            Number of levels of each categorical column.
        label : ndarray of shape (n_patients,)
            1 or 0, or a grade between them.
        weight : ndarray of shape (n_patients,), optional
        expect : bool
            Whether missing columns are expected from measured ones when patients are scored.

        Examples
        --------
        >>> x = np.array([[1.0], [2.0], [3.0], [np.nan]])
        >>> score = LinearScore.fit(x, ["albumin"], {}, np.array([1.0, 1.0, 0.0, 0.0]))
        >>> bool(score.margin(x)[0] > score.margin(x)[2])
        True
        """
        widths = [n_levels.get(name, 1) for name in features]
        signs = np.repeat(directions or [0] * len(features), widths)
        prior = np.repeat(np.broadcast_to(np.asarray(penalty, dtype=float), len(features)), widths)
        limits = {
            name: _training_limits(matrix[:, j])
            for j, name in enumerate(features)
            if name not in n_levels and not np.isnan(matrix[:, j]).all()
        }
        everything = (-np.inf, np.inf)
        numbers = {
            name: _standardised(
                matrix[:, j], _within(_cap(name), limits.get(name, everything)), weight
            )
            for j, name in enumerate(features)
            if name not in n_levels
        }
        columns = [
            numbers[name].values[:, None]
            if name in numbers
            else np.asarray(matrix[:, [j]] == np.arange(n_levels[name]), dtype=float)
            for j, name in enumerate(features)
        ]
        fitted, intercept = _ridge(np.column_stack(columns), label, weight, prior, signs)
        own = dict(zip(features, np.split(fitted, np.cumsum(widths)[:-1]), strict=True))
        levels = {name: own[name].tolist() for name in features if name in n_levels}
        score = cls(
            list(features),
            medians={name: column.median for name, column in numbers.items()},
            means={name: column.mean for name, column in numbers.items()},
            scales={name: column.scale for name, column in numbers.items()},
            coefficients={name: float(own[name][0]) for name in numbers},
            caps={name: cap for name in numbers if (cap := _cap(name)) is not None},
            levels=levels,
            level_means={
                name: float(np.average(_of_levels(matrix[:, j], levels[name]), weights=weight))
                for j, name in enumerate(features)
                if name in levels
            },
            intercept=intercept,
            limits=limits,
        )
        if not expect:
            return score
        return replace(score, expected=Expected.fit(score._columns(matrix), weight, signs))

    @cached_property
    def base_value(self) -> float:
        """Margin of a patient of whom nothing is known, the origin of the contributions."""
        if self.expected is not None:
            return self.intercept + float(self.expected.mean @ self._weights)
        return self.intercept + sum(self.level_means.values())

    def contributions(self, matrix: Floats, *, expect: bool = True) -> Floats:
        """Exact SHAP values of the score: contribution of each column against its training mean.

        They are log-odds of shape (n_patients, n_features). A missing number contributes as the
        training median does. With ``expected`` a missing column contributes nothing, and what it
        would is shared out among the measured columns it is expected from; not so without `expect`,
        which takes less time where every patient misses others.

        References
        ----------
        Lundberg 2017 (linear SHAP), arXiv 1705.07874.
        """
        if self.expected is not None:
            columns, own = self._columns(matrix), self._weights
            if expect:
                return self._summed(self.expected.contributions(columns, own))
            return self._summed(self.expected.measured(columns, own))
        found = np.empty(matrix.shape)
        where, (low, high, means, scales, medians, coefficients) = self._numbers
        values = np.clip(matrix[:, where], low, high)
        values = np.where(np.isnan(values), medians, values)
        found[:, where] = coefficients * (values - means) / scales
        for j, name in enumerate(self.features):
            if name in self.levels:
                found[:, j] = _of_levels(matrix[:, j], self.levels[name]) - self.level_means[name]
        return found

    @cached_property
    def _numbers(self) -> tuple[npt.NDArray[np.intp], tuple[Floats, ...]]:
        """Columns of numbers; their caps, means, scales, medians and coefficients."""
        source, low, high, means, scales, level = self._layout
        number = level < 0
        where = source[number]
        medians = np.array([self.medians[self.features[j]] for j in where], dtype=float)
        layout = (each[number] for each in (low, high, means, scales))
        return where, (*layout, medians, self._weights[number])

    def far_limits(self, names: Sequence[str]) -> Floats:
        """Values twice as far from the median as those clipped, of shape (2, n_features)."""
        none = (np.nan, np.nan)
        limits = np.array([self.limits.get(name, none) for name in names], dtype=float).T
        medians = np.array([self.medians.get(name, np.nan) for name in names])
        far: Floats = 2 * limits - medians
        return far

    def margin(self, matrix: Floats) -> Floats:
        """Log-odds of class 1, for every patient."""
        total: Floats = self.base_value + self.contributions(matrix).sum(axis=1)
        return total

    def _columns(self, matrix: Floats) -> Floats:
        """Standardised numbers and indicators, NaN where missing."""
        source, low, high, means, scales, level = self._layout
        columns = (np.clip(matrix[:, source], low, high) - means) / scales
        indicators = level >= 0
        codes = columns[:, indicators]
        columns[:, indicators] = np.where(np.isnan(codes), np.nan, codes == level[indicators])
        return columns

    @cached_property
    def _layout(
        self,
    ) -> tuple[npt.NDArray[np.intp], Floats, Floats, Floats, Floats, Ints]:
        """Feature, caps, mean and scale of each column, and the level of an indicator, else -1."""
        everything = (-np.inf, np.inf)
        rows: list[tuple[int, float, float, float, float, int]] = []
        for j, name in enumerate(self.features):
            if name in self.levels:
                rows += [(j, *everything, 0.0, 1.0, k) for k in range(len(self.levels[name]))]
            else:
                caps = _within(self.caps.get(name), self.limits.get(name, everything))
                rows.append((j, *caps, self.means[name], self.scales[name], -1))
        source, low, high, means, scales, level = zip(*rows, strict=True)
        numbers = (np.array(one, dtype=np.float64) for one in (low, high, means, scales))
        return (np.array(source, dtype=np.intp), *numbers, np.array(level))  # type: ignore[return-value]

    @cached_property
    def _weights(self) -> Floats:
        """Coefficient of each column."""
        return np.concatenate(
            [self.levels.get(name, [self.coefficients.get(name, 0.0)]) for name in self.features]
        )

    @cached_property
    def _starts(self) -> npt.NDArray[np.intp]:
        """First column of each feature."""
        widths = [len(self.levels.get(name, [0])) for name in self.features]
        return np.cumsum([0, *widths[:-1]])

    def _summed(self, columns: Floats) -> Floats:
        """Contributions of columns, summed by feature."""
        summed: Floats = np.add.reduceat(columns, self._starts, axis=1)
        return summed

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        document = {f.name: getattr(self, f.name) for f in fields(self)}
        expected = self.expected
        return {**document, "expected": None if expected is None else expected.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LinearScore:
        """Inverse of :meth:`to_json`."""
        caps, limits = (
            {name: (cap[0], cap[1]) for name, cap in document.get(key, {}).items()}
            for key in ("caps", "limits")
        )
        expected = document.get("expected")
        expected = None if expected is None else Expected.from_json(expected)
        return cls(**{**document, "caps": caps, "limits": limits, "expected": expected})


class _Column(NamedTuple):
    """A number of the training patients, standardised, and by what."""

    values: Floats
    median: float
    mean: float
    scale: float


def _training_limits(values: Floats) -> tuple[float, float]:
    """Range beyond which a number is clipped; a side without spread has its training extreme."""
    known = values[~np.isnan(values)]
    low, median, high = np.quantile(known, [_OUTER, 0.5, 1 - _OUTER])
    least = float(known.min()) if low == median else float(median - _TIMES * (median - low))
    most = float(known.max()) if high == median else float(median + _TIMES * (high - median))
    return _outwards(least, -1), _outwards(most, 1)


def _outwards(value: float, side: int) -> float:
    """Value rounded away from the middle to three digits, so that it is no patient's."""
    if value == 0 or not np.isfinite(value):
        return value
    step = 10.0 ** (np.floor(np.log10(abs(value))) - 2)
    rounded = (np.ceil if side > 0 else np.floor)(value / step) * step
    return float(f"{rounded:.12g}")


def _within(cap: tuple[float, float] | None, limits: tuple[float, float]) -> tuple[float, float]:
    """Range within both."""
    if cap is None:
        return limits
    low, high = max(cap[0], limits[0]), min(cap[1], limits[1])
    return (low, high) if low <= high else cap


def _cap(name: str) -> tuple[float, float] | None:
    field = known_field(name)
    return None if field is None else field.cap


def _standardised(values: Floats, cap: tuple[float, float], weight: Floats | None) -> _Column:
    values = np.clip(values, *cap)
    known = values[~np.isnan(values)]
    median = float(np.median(known)) if known.size else 0.0
    values = np.where(np.isnan(values), median, values)
    mean = float(np.average(values, weights=weight))
    # equal values have a standard deviation of 1e-16, not 0
    scale = float(values.std()) if np.ptp(values) > 0 else 1.0
    return _Column((values - mean) / scale, median, mean, scale)


def _ridge(
    columns: Floats,
    label: Floats,
    weight: Floats | None,
    penalty: Floats,
    signs: npt.NDArray[np.int_],
) -> tuple[Floats, float]:
    """Maximise the ridge-penalised likelihood; as scikit-learn's, with bounds that it lacks."""
    from scipy.optimize import minimize
    from scipy.special import expit

    weights = np.ones(len(label)) if weight is None else weight
    spread = np.sqrt(penalty)
    columns = columns * spread  # coefficients of the scaled columns have a prior variance of 1

    def loss(theta: Floats) -> tuple[float, Floats]:
        margin = columns @ theta[:-1] + theta[-1]
        value = weights @ (np.logaddexp(0, margin) - label * margin)
        residual = weights * (expit(margin) - label)
        gradient = np.append(columns.T @ residual + theta[:-1], residual.sum())
        return float(value + 0.5 * theta[:-1] @ theta[:-1]), gradient

    share = float(np.clip(np.average(label, weights=weights), 1e-6, 1 - 1e-6))
    start = np.append(np.zeros(columns.shape[1]), np.log(share / (1 - share)))
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0 if d > 0 else None, 0.0 if d < 0 else None) for d in (*signs, 0)],
        options={"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-8},
    ).x
    return spread * found[:-1], float(found[-1])


def _of_levels(codes: Floats, coefficients: Sequence[float]) -> Floats:
    """Coefficient of each patient's level, 0 where missing."""
    known = ~np.isnan(codes)
    contribution = np.zeros(len(codes))
    contribution[known] = np.asarray(coefficients)[codes[known].astype(int)]
    return contribution

"""Linear score: ridge-penalised logistic regression with stated preparation.

Numbers are capped as in the dictionaries, missing ones take the training median, all are
standardised; levels are indicator columns, where a missing or unseen level is none of them. It is
the plain model of every comparison and the anchor from which boosting starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stratify.tables.schema import known_field

__all__ = ["LinearScore"]

Floats = npt.NDArray[np.float64]


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
        penalty : float or sequence of float
            Inverse strength of the ridge penalty, ``C`` of scikit-learn: prior variance of the
            coefficients, of all or by feature.
        directions : sequence of int, optional
            +1 or -1 where a number's coefficient may not have the other sign.

        Examples
        --------
        >>> x = np.array([[1.0], [2.0], [3.0], [np.nan]])
        >>> score = LinearScore.fit(x, ["albumin"], {}, np.array([1.0, 1.0, 0.0, 0.0]))
        >>> bool(score.margin(x)[0] > score.margin(x)[2])
        True
        """
        medians, means, scales = {}, {}, {}
        caps: dict[str, tuple[float, float]] = {}
        columns: list[Floats] = []
        for j, name in enumerate(features):
            values = matrix[:, j]
            if name in n_levels:
                columns += [np.asarray(values == k, dtype=float) for k in range(n_levels[name])]
                continue
            field = known_field(name)
            if field is not None and field.cap is not None:
                caps[name] = field.cap
                values = np.clip(values, *field.cap)
            known = values[~np.isnan(values)]
            medians[name] = float(np.median(known)) if known.size else 0.0
            values = np.where(np.isnan(values), medians[name], values)
            means[name] = float(np.average(values, weights=weight))
            # equal values have a standard deviation of 1e-16, not 0
            scales[name] = float(values.std()) if np.ptp(values) > 0 else 1.0
            columns.append((values - means[name]) / scales[name])
        bounds = [
            (0.0 if d > 0 else None, 0.0 if d < 0 else None)
            for name, d in zip(features, directions or [0] * len(features), strict=True)
            for _ in range(n_levels.get(name, 1))
        ]
        each = np.repeat(
            np.broadcast_to(np.asarray(penalty, dtype=float), len(features)),
            [n_levels.get(name, 1) for name in features],
        )
        fitted, intercept = _ridge(np.column_stack(columns), label, weight, each, bounds)
        coefficients, levels, level_means = {}, {}, {}
        at = 0
        for j, name in enumerate(features):
            if name in n_levels:
                levels[name] = [float(c) for c in fitted[at : at + n_levels[name]]]
                level_means[name] = float(
                    np.average(_of_levels(matrix[:, j], levels[name]), weights=weight)
                )
                at += n_levels[name]
            else:
                coefficients[name] = float(fitted[at])
                at += 1
        return cls(
            list(features),
            medians,
            means,
            scales,
            coefficients,
            caps,
            levels,
            level_means,
            intercept,
        )

    @property
    def base_value(self) -> float:
        """Mean margin of the training patients, the origin of the contributions."""
        return self.intercept + sum(self.level_means.values())

    def contributions(self, matrix: Floats) -> Floats:
        """Exact SHAP values of the score: contribution of each column against its training mean.

        Parameters
        ----------
        matrix : ndarray of shape (n_patients, n_features)

        Returns
        -------
        ndarray of shape (n_patients, n_features)
            Log-odds; a missing number contributes as the training median does.

        References
        ----------
        Lundberg 2017 (linear SHAP), arXiv 1705.07874.
        """
        parts = np.empty(matrix.shape)
        for j, name in enumerate(self.features):
            values = matrix[:, j]
            if name in self.levels:
                parts[:, j] = _of_levels(values, self.levels[name]) - self.level_means[name]
                continue
            if name in self.caps:
                values = np.clip(values, *self.caps[name])
            values = np.where(np.isnan(values), self.medians[name], values)
            parts[:, j] = self.coefficients[name] * (values - self.means[name]) / self.scales[name]
        return parts

    def margin(self, matrix: Floats) -> Floats:
        """Log-odds of class 1, for every patient."""
        total: Floats = self.base_value + self.contributions(matrix).sum(axis=1)
        return total

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LinearScore:
        """Inverse of :meth:`to_json`."""
        caps = {name: (cap[0], cap[1]) for name, cap in document["caps"].items()}
        return cls(**{**document, "caps": caps})


def _ridge(
    columns: Floats,
    label: Floats,
    weight: Floats | None,
    penalty: Floats,
    bounds: list[tuple[float | None, float | None]],
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
        bounds=[*bounds, (None, None)],
        options={"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-8},
    ).x
    return spread * found[:-1], float(found[-1])


def _of_levels(codes: Floats, coefficients: Sequence[float]) -> Floats:
    """Coefficient of each patient's level, 0 where missing."""
    known = ~np.isnan(codes)
    contribution = np.zeros(len(codes))
    contribution[known] = np.asarray(coefficients)[codes[known].astype(int)]
    return contribution

"""Whether a model applies to a patient: distance from the training patients, panels never seen.

The distance is Mahalanobis' over what is measured, brought to one scale for any number of features
(Little and Smith 1987). Each number is first turned into the normal score of its rank among the
training patients, so that skewed markers and yes/no columns are comparable; a level
scores by its rarity. Only quantiles, shares and correlations are kept, no training patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Strings
from stratify.cohort.features import panels_missing
from stratify.model.columns import FeatureColumns, codes_of
from stratify.uncertainty.normal_scores import NormalScores

__all__ = ["Applicability"]


_TAIL, _FOLDS = 0.99, 5  # share of patients within the limit, each judged by other folds
_PAIRS = 20  # patients with both features, below which two features count as unrelated
_SMALLEST = 0.1  # eigenvalue: near-copies such as NLR and its counts do not magnify rounding


@dataclass(frozen=True)
class Applicability:
    """What is kept of the training patients to find who is unlike them.

    Attributes
    ----------
    numbers : NormalScores
        Of all features but the categorical ones.
    rarity : dict of str to dict of str to float
        By categorical feature: normal score of each level, 0 the commonest, higher the rarer.
    correlation : list of list of float
        Of the normal scores, in the order of `numbers`.
    limit : float
        Distance within which 99 % of the training patients lie.
    panels : list of str
        Combinations of missing panels seen in training, each as
        :func:`stratify.cohort.features.panels_missing`.
    masked : bool
        Whether training also saw its patients with further panels masked.

    References
    ----------
    Little RJA, Smith PJ. J Am Stat Assoc 1987;82:58-68 (distance with missing values). Boudt K,
    Cornelissen J, Croux C. Stat Comput 2012;22:471-483 (correlation of normal scores).
    """

    numbers: NormalScores
    rarity: dict[str, dict[str, float]]
    correlation: list[list[float]]
    limit: float
    panels: list[str]
    masked: bool

    @classmethod
    def fit(
        cls, matrix: pd.DataFrame, levels: Mapping[str, Sequence[str]], *, masked: bool
    ) -> Applicability:
        """Describe the training patients.

        Parameters
        ----------
        matrix : DataFrame of shape (n_patients, n_features)
            As :func:`stratify.cohort.features.model_matrix`.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> albumin = rng.normal(4, 0.4, 300)
        >>> matrix = pd.DataFrame({"albumin": albumin, "hemoglobin": 3 * albumin})
        >>> known = Applicability.fit(matrix, {}, masked=True)
        >>> known.far(pd.DataFrame({"albumin": [4.6, 4.6], "hemoglobin": [13.8, 10.0]})).tolist()
        [False, True]
        """
        fold = np.arange(len(matrix)) % _FOLDS
        unseen = np.full(len(matrix), np.nan)  # by those who know the other folds only
        for k in range(_FOLDS):
            others = cls._described(matrix[fold != k], levels, masked=masked, limit=0.0)
            unseen[fold == k] = others.distance(matrix[fold == k])
        measured = unseen[~np.isnan(unseen)]
        limit = float(np.quantile(measured, _TAIL)) if measured.size else 0.0
        return cls._described(matrix, levels, masked=masked, limit=round(limit, 3))

    @classmethod
    def _described(
        cls,
        matrix: pd.DataFrame,
        levels: Mapping[str, Sequence[str]],
        *,
        masked: bool,
        limit: float,
    ) -> Applicability:
        numbers = NormalScores.fit(matrix, [n for n in matrix.columns if n not in levels])
        rarity = {name: _rarity(matrix[name].dropna().astype(str)) for name in levels}
        correlation = pd.DataFrame(numbers(matrix)).corr(min_periods=_PAIRS).to_numpy()
        panels = sorted(set(panels_missing(matrix)))
        return cls(numbers, rarity, _proper(correlation).tolist(), limit, panels, masked)

    def distance(self, matrix: pd.DataFrame | FeatureColumns) -> Floats:
        """Distance of each patient from the centre of the training patients.

        Parameters
        ----------
        matrix : DataFrame of shape (n_patients, n_features)

        Returns
        -------
        ndarray of shape (n_patients,)
            Were all scores normal, a standard normal deviate whatever is measured (Wilson and
            Hilferty 1931); NaN where nothing is. A level never seen in training is not measured.
        """
        scores = self.numbers(matrix)
        measured = ~np.isnan(scores)
        squares = squared_lengths(scores, self._correlation)
        n = measured.sum(axis=1)
        for name, known, rarities in self._rarities:
            code = codes_of(matrix, name, known)
            rare = rarities[np.where(np.isnan(code), -1, code).astype(int)]
            n = n + ~np.isnan(rare)
            squares += np.where(np.isnan(rare), 0.0, rare) ** 2
        n = np.where(n > 0, n, np.nan)
        deviate: Floats = (np.cbrt(squares / n) - 1 + 2 / (9 * n)) / np.sqrt(2 / (9 * n))
        return deviate

    def far(self, matrix: pd.DataFrame | FeatureColumns) -> Flags:
        """Patients farther from the training patients than 99 % of these."""
        return self.distance(matrix) > self.limit

    def unseen_panels(self, matrix: pd.DataFrame) -> Flags:
        """Patients with a combination of panels that no training patient had.

        Where training masked panels, fewer panels than a training patient had were seen too.

        Examples
        --------
        >>> seen = Applicability(NormalScores({}), {}, [], 0.0, ["tmb", "pdl1"], masked=True)
        >>> seen.unseen_panels(pd.DataFrame({"tmb": [9.0, None, 9.0], "pdl1_tps": [5, None, None]}))
        array([ True, False, False])
        """
        return self.unseen_patterns(panels_missing(matrix).to_numpy())

    def unseen_patterns(self, missing: Strings) -> Flags:
        """As :meth:`unseen_panels`, by the panels missing, as text."""

        def unseen(pattern: str) -> bool:
            here = _panels(pattern)
            return not any(here >= there if self.masked else here == there for there in self._seen)

        answers = {pattern: unseen(pattern) for pattern in set(missing)}
        return np.array([answers[pattern] for pattern in missing], dtype=bool)

    @cached_property
    def _rarities(self) -> list[tuple[str, tuple[str, ...], Floats]]:
        return [
            (name, tuple(known), np.array([*known.values(), np.nan], dtype=float))
            for name, known in self.rarity.items()
        ]

    @cached_property
    def _seen(self) -> list[set[str]]:
        return [_panels(pattern) for pattern in self.panels]

    @cached_property
    def _correlation(self) -> Floats:
        return np.array(self.correlation, dtype=float).reshape(len(self.correlation), -1)


def squared_lengths(scores: Floats, correlation: Floats) -> Floats:
    """Squared Mahalanobis length of each row over the columns in which it has a value.

    Parameters
    ----------
    scores : ndarray of shape (n_patients, n_features)
        NaN where not measured.
    correlation : ndarray of shape (n_features, n_features)
        Positive definite.

    Returns
    -------
    ndarray of shape (n_patients,)

    Notes
    -----
    With the Cholesky factor L of the measured part it is the length of the solution z of L z = x.
    Rows with the same values missing share the factor; each row's arithmetic is its own.
    """
    from stratify.uncertainty.whitening import lengths

    words = np.packbits(np.isnan(scores), axis=1)
    padded = np.zeros((len(scores), -(-words.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : words.shape[1]] = words
    order = np.lexsort(padded.view(np.uint64).T) if padded.size else np.arange(len(scores))
    squares = np.zeros(len(scores))
    lengths(np.ascontiguousarray(scores), correlation, order, squares)  # type: ignore[no-untyped-call]
    return squares


def _panels(missing: str) -> set[str]:
    return set(missing.split(";")) - {""}


def _rarity(levels: pd.Series) -> dict[str, float]:
    """Two-sided normal score of the share of training patients with a level as rare or rarer."""
    share = levels.value_counts(normalize=True)
    tail = {str(level): share[share <= own].sum() - own / 2 for level, own in share.items()}
    return {level: round(-NormalDist().inv_cdf(tail[level] / 2), 4) for level in sorted(tail)}


def _proper(correlation: Floats) -> Floats:
    """Nearest proper correlation without a vanishing eigenvalue; unknown ones are 0."""
    filled = np.nan_to_num(correlation)
    np.fill_diagonal(filled, 1.0)
    if not filled.size:
        return filled
    values, vectors = np.linalg.eigh(filled)
    raised = (vectors * np.maximum(values, _SMALLEST)) @ vectors.T
    scale = np.sqrt(np.diag(raised))
    proper: Floats = np.round(raised / np.outer(scale, scale), 4)
    return proper

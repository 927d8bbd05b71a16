"""Published logistic equations for the probability of response, such as LORIS.

LORIS was fitted on Chowell_train, and is in-sample there; its trained models are not part of this
package, only the published equations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.model.columns import FeatureColumns, level_codes
from stratify.references.protocol import Kind, measured

__all__ = ["Equation", "FittedEquation"]


@dataclass(frozen=True)
class Equation:
    """A logistic equation for the probability of response.

    Attributes
    ----------
    name, title, source : str
    intercept : float
    terms : mapping of str to mapping
        Of each number its ``coefficient``, and ``most``, to which it is cut off.
    levels : mapping of str to mapping of str to float
        Coefficient of each level of a category; 0 for any other.
    only : mapping of str to str
        Column and level of the patients whom the equation is for; NaN for others.
    fill_where : tuple of str
        Missing numbers may take training medians for all patients once one of these is measured
        in some; nothing where empty.

    Examples
    --------
    >>> from stratify.references import references
    >>> patient = {"tmb": [10.0], "prior_systemic_therapy": [1], "albumin": [4.0], "nlr": [4.0],
    ...            "age": [60.0], "cancer_type": ["nsclc"]}
    >>> references()["loris"].response(pd.DataFrame(patient)).round(4)
    array([0.4306])
    """

    name: str
    title: str
    source: str
    intercept: float
    terms: Mapping[str, Mapping[str, float]]
    levels: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)
    fill_where: Sequence[str] = ()
    kind: Kind = "probability"

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that must be measured."""
        return (*self.terms, *self.levels, *self.only)

    def response(self, table: pd.DataFrame) -> Floats:
        """Probability of response of every patient; NaN where a number is missing.

        Parameters
        ----------
        table : DataFrame of shape (n_patients, ...)
            Canonical columns in their units.
        """
        columns = FeatureColumns(table, self.needs, dict.fromkeys([*self.levels, *self.only], ()))
        total = np.zeros(len(table))
        for name, term in self.terms.items():
            total = total + term["coefficient"] * columns[name].clip(max=term.get("most", np.inf))
        for name, coefficients in self.levels.items():
            total = total + pd.Series(columns[name]).map(coefficients).fillna(0.0).to_numpy(float)
        probability = 1 / (1 + np.exp(-(total + self.intercept)))
        return np.where(self._among(columns), probability, np.nan)

    def _among(self, columns: FeatureColumns) -> Flags:
        """Patients whom the equation is for."""
        among = np.ones(len(columns), dtype=bool)
        for name, level in self.only.items():
            among &= level_codes(columns[name], [level]) == 0
        return among

    def complete(self, table: pd.DataFrame) -> Flags:
        """Patients whom the equation is for, with every input."""
        return measured(table, self.needs) & self._among(
            FeatureColumns(table, list(self.only), dict.fromkeys(self.only, ()))
        )

    def fit(
        self,
        table: pd.DataFrame,
        features: Sequence[str],
        label: Floats,
        weight: Floats | None = None,
    ) -> FittedEquation:
        """Learn the medians of the training patients."""
        columns = FeatureColumns(table, list(self.terms), {})
        known = {name: columns[name] for name in self.terms if not np.isnan(columns[name]).all()}
        return FittedEquation(self, {name: float(np.nanmedian(v)) for name, v in known.items()})

    def from_json(self, document: Mapping[str, Any]) -> FittedEquation:
        """Inverse of :meth:`FittedEquation.to_json`."""
        return FittedEquation(self, dict(document["medians"]))


@dataclass(frozen=True)
class FittedEquation:
    """An equation with the training medians that stand in for missing numbers.

    Attributes
    ----------
    equation : Equation
    medians : dict of str to float
    """

    equation: Equation
    medians: dict[str, float]

    def risk(self, table: pd.DataFrame) -> Floats:
        """Complement of the response; missing numbers take the training medians."""
        columns = FeatureColumns(table, list(self.medians), {})
        filled = {
            name: np.where(np.isnan(columns[name]), median, columns[name])
            for name, median in self.medians.items()
        }
        return 1 - self.equation.response(table.assign(**filled))

    def covers(self, table: pd.DataFrame) -> bool:
        """Whether all patients can be compared, some with training medians."""
        measured_once = any(measured(table, [name]).any() for name in self.equation.fill_where)
        return measured_once and all(
            name in self.medians or bool(measured(table, [name]).all())
            for name in self.equation.terms
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return {"medians": self.medians}

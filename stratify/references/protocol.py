"""What a reference is: an object that says what it needs, learns, and gives a risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats

__all__ = ["FittedReference", "Kind", "Reference", "measured"]

Kind: TypeAlias = Literal["probability", "score", "rule"]


class FittedReference(Protocol):
    """A reference with what it learned from the training patients."""

    def risk(self, table: pd.DataFrame) -> Floats:
        """Risk of every patient; higher is worse. NaN where nothing stands in for a missing input.

        Parameters
        ----------
        table : DataFrame of shape (n_patients, ...)
            Canonical columns, any of them absent.
        """

    def covers(self, table: pd.DataFrame) -> bool:
        """Whether training medians may stand in for missing inputs, so that all are compared."""

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""


class Reference(Protocol):
    """A comparator, one object in one file.

    Attributes
    ----------
    name, title, source : str
        The name stands in tables and is one of a kind.
    needs : tuple of str
        Columns that must be measured.
    kind : {"probability", "score", "rule"}
        A probability is judged on calibration too; a rule is 0 or 1.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def title(self) -> str: ...  # noqa: D102

    @property
    def source(self) -> str: ...  # noqa: D102

    @property
    def needs(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def kind(self) -> Kind: ...  # noqa: D102

    def fit(
        self,
        table: pd.DataFrame,
        features: Sequence[str],
        label: Floats,
        weight: Floats | None = None,
    ) -> FittedReference | None:
        """Learn from training patients what the reference learns, be it nothing.

        Parameters
        ----------
        table : DataFrame of shape (n_patients, ...)
        features : sequence of str
            Canonical names of the model's features.
        label : ndarray of shape (n_patients,)
            1 primary resistance, 0 not.
        weight : ndarray of shape (n_patients,), optional

        Returns
        -------
        FittedReference or None
            None where it cannot be fitted, for want of features.
        """

    def complete(self, table: pd.DataFrame) -> Flags:
        """Patients who have every input; :func:`measured` of ``needs``, unless it is narrower."""

    def from_json(self, document: Mapping[str, Any]) -> FittedReference:
        """Inverse of :meth:`FittedReference.to_json`."""


def measured(table: pd.DataFrame, columns: Sequence[str]) -> Flags:
    """Patients in whom all columns are measured.

    Examples
    --------
    >>> measured(pd.DataFrame({"tmb": [8.0, None]}), ["tmb"])
    array([ True, False])
    """
    if not set(columns) <= set(table.columns):
        return np.zeros(len(table), dtype=bool)
    return np.asarray(table[list(columns)].notna().all(axis=1).to_numpy(dtype=bool))

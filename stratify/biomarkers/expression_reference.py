"""Scale genes by training patients, so that one new patient can be placed among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from stratify.biomarkers.genes import known_genes
from stratify.tables.measurements import ExpressionMatrix

__all__ = ["ExpressionReference"]

SPREAD = 1e-3  # a gene that varies less, in log2, is not measured


@dataclass(frozen=True)
class ExpressionReference:
    """Mean and spread of the genes of signatures among training patients.

    Attributes
    ----------
    unit : str
        Unit of the expression: TPM, CPM or normalised.
    n_patients : int
    genes : dict of str to (float, float)
        Mean and standard deviation of log2(x + 1), to four digits; no patient can be read from
        them. Genes that do not vary are left out.

    Examples
    --------
    >>> train = pd.DataFrame({"GZMA": [1.0, 3.0, 5.0], "PRF1": [2.0, 2.5, 3.0]})
    >>> settings = ExpressionMatrix(unit="TPM")
    >>> reference = ExpressionReference.fit(train, settings)
    >>> reference.genes["GZMA"]
    (3.0, 2.0)
    >>> reference.transform(pd.DataFrame({"GZMA": [5.0], "PRF1": [3.0]}))
       GZMA  PRF1
    0   1.0   1.0
    """

    unit: str
    n_patients: int
    genes: dict[str, tuple[float, float]]

    @classmethod
    def fit(cls, expression: pd.DataFrame, settings: ExpressionMatrix) -> ExpressionReference:
        """Learn from training patients.

        Parameters
        ----------
        expression : DataFrame of shape (n_patients, n_genes)
            From :func:`stratify.biomarkers.expression.read_expression`, training patients only.
        """
        names = sorted(set(known_genes().values()) & set(expression.columns))
        ours = expression[names]
        learned = zip(names, ours.mean().round(4), ours.std().round(4), strict=True)
        genes = {gene: (float(m), float(s)) for gene, m, s in learned if s >= SPREAD}
        return cls(settings.unit_read, len(expression), genes)

    def transform(self, expression: pd.DataFrame) -> pd.DataFrame:
        """Genes in standard deviations from the mean of the training patients.

        Parameters
        ----------
        expression : DataFrame of shape (n_patients, n_genes)

        Returns
        -------
        DataFrame of shape (n_patients, n_reference_genes)
            NaN where a gene is not measured.
        """
        learned = pd.DataFrame(self.genes, index=["mean", "spread"]).T
        return (expression.reindex(columns=learned.index) - learned["mean"]) / learned["spread"]

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExpressionReference:
        """Inverse of :meth:`to_json`."""
        genes = {gene: (float(pair[0]), float(pair[1])) for gene, pair in data["genes"].items()}
        return cls(data["unit"], data["n_patients"], genes)

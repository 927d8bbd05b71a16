"""Scales learned on training patients, which travel with the model.

Genes are placed among those of the training patients before signatures are scored, and burdens
among the training patients of the same assay, so that a new patient can be scored alone. No label
enters. The cross-validation of a training, and that of what panels add, learn them again in each
fold, see :class:`ScaleInputs`; the learning curve and calibration inside the classifier use
those of all training patients.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Flags
from stratify.biomarkers.derivation import DerivationRules, with_derivations
from stratify.biomarkers.derivations import resting_on
from stratify.biomarkers.expression_reference import ExpressionReference
from stratify.biomarkers.expression_signatures import ExpressionSignatures
from stratify.biomarkers.measurement import add_derived
from stratify.biomarkers.tmb_scale import WithinAssayScale
from stratify.tables.findings import Findings
from stratify.tables.measurements import ExpressionMatrix

__all__ = ["Matrix", "ScaleInputs", "TrainingScales"]


@dataclass(frozen=True)
class Matrix:
    """Expression of a cohort's patients as read, and from where.

    Attributes
    ----------
    file : str
    settings : ExpressionMatrix
    expression : DataFrame of shape (n_patients, n_genes)
        From :func:`stratify.biomarkers.expression.read_expression`.
    """

    file: str
    settings: ExpressionMatrix
    expression: pd.DataFrame


@dataclass(frozen=True)
class TrainingScales:
    """What was learned; None where it was not asked for.

    Attributes
    ----------
    expression : ExpressionReference or None
    tmb : WithinAssayScale or None

    Examples
    --------
    >>> import numpy as np
    >>> table = pd.DataFrame({"tmb": np.linspace(1, 30, 40), "tmb_assay": "panel A",
    ...                       "cohort": "home", "split": "train"})
    >>> scales = TrainingScales.fit(table, {}, {}, ["tmb"], Findings())
    >>> again = TrainingScales.from_json(scales.to_json())
    >>> new = pd.DataFrame({"tmb": [15.5], "tmb_assay": ["panel A"], "cohort": "new"})
    >>> again.apply(new, {}, {}, Findings())["tmb_within_panel"].round(1).tolist()
    [0.1]
    """

    expression: ExpressionReference | None = None
    tmb: WithinAssayScale | None = None

    @classmethod
    def fit(
        cls,
        table: pd.DataFrame,
        matrices: Mapping[str, Matrix],
        rules: Mapping[str, DerivationRules],
        which: Collection[str],
        findings: Findings,
    ) -> TrainingScales:
        """Learn from the training patients.

        Parameters
        ----------
        table : DataFrame of shape (n_patients, ...)
            With ``cohort`` and ``split``.
        """
        train = table[table["split"] == "train"]
        expression = tmb = None
        if "expression" in which:
            parts = {
                cohort: matrix
                for cohort, matrix in matrices.items()
                if (train["cohort"] == cohort).any()
            }
            units = {cohort: matrix.settings.unit_read for cohort, matrix in parts.items()}
            if len(set(units.values())) > 1:
                listed = ", ".join(f"{cohort}: {unit}" for cohort, unit in units.items())
                _add_unit_finding(f"training cohorts are in several units ({listed})", "", findings)
            elif parts:
                own = [
                    matrix.expression[
                        matrix.expression.index.isin(
                            train.loc[train["cohort"] == cohort, "patient_id"]
                        )
                    ]
                    for cohort, matrix in parts.items()
                ]
                settings = next(iter(parts.values())).settings
                expression = ExpressionReference.fit(pd.concat(own, join="inner"), settings)
        if "tmb" in which and "tmb" in train:
            tmb = WithinAssayScale.fit(train["tmb"], _assay_of(train, rules))
        return cls(expression, tmb)

    def apply(
        self,
        table: pd.DataFrame,
        matrices: Mapping[str, Matrix],
        rules: Mapping[str, DerivationRules],
        findings: Findings,
    ) -> pd.DataFrame:
        """Add signatures and burdens on these scales, and what follows, of each patient alone.

        Signatures of a matrix are scored without a scale where none was learned.
        """
        scored = []
        for cohort, rows in table.groupby("cohort", sort=False):
            matrix = matrices.get(str(cohort))
            if matrix is not None and self._fits(matrix, str(cohort), findings):
                rows = _scored(rows, matrix, str(cohort), findings, self.expression)
            later = resting_on({"tmb_within_panel", *rows.columns.difference(table.columns)})
            own = replace(rules.get(str(cohort), DerivationRules()), tmb_scale=self.tmb)
            scored.append(with_derivations(rows, later, own, str(cohort), findings))
        return pd.concat(scored).loc[table.index] if scored else table

    def _fits(self, matrix: Matrix, cohort: str, findings: Findings) -> bool:
        """Whether a matrix is in the unit in which the scale was learned."""
        unit = matrix.settings.unit_read
        if self.expression is None or unit == self.expression.unit:
            return True
        learned = self.expression.unit
        text = f"{matrix.file} is in {unit}, the scale was learned in {learned}"
        _add_unit_finding(text, cohort, findings)
        return False

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return {
            "expression": None if self.expression is None else self.expression.to_json(),
            "tmb": None if self.tmb is None else {k: list(v) for k, v in self.tmb.assays.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> TrainingScales:
        """Inverse of :meth:`to_json`; without scales for bundles that have none."""
        if not data:
            return cls()
        expression, tmb = data["expression"], data["tmb"]
        return cls(
            None if expression is None else ExpressionReference.from_json(expression),
            None if tmb is None else WithinAssayScale({k: tuple(v) for k, v in tmb.items()}),
        )


@dataclass(frozen=True)
class ScaleInputs:
    """What a cohort's scales were learned from, to learn them again on some of its patients.

    Attributes
    ----------
    which : collection of {"expression", "tmb"}
    columns : list of str
        Columns that the scales gave; those that files report stay as they are.
    matrices : mapping of str to Matrix
    rules : mapping of str to DerivationRules
        By cohort.

    Examples
    --------
    >>> table = pd.DataFrame({"tmb": np.linspace(1, 60, 60), "tmb_assay": "panel A",
    ...                       "cohort": "home", "tmb_within_panel": 0.0})
    >>> again = ScaleInputs(["tmb"], ["tmb_within_panel"])(table, (table["tmb"] < 31).to_numpy())
    >>> again["tmb_within_panel"][[14, 15, 59]].round(1).tolist()
    [0.0, 0.1, 4.1]
    """

    which: Collection[str] = ()
    columns: Sequence[str] = ()
    matrices: Mapping[str, Matrix] = field(default_factory=dict, repr=False)
    rules: Mapping[str, DerivationRules] = field(default_factory=dict, repr=False)

    def __call__(self, table: pd.DataFrame, train: Flags) -> pd.DataFrame:
        """Patients on scales of those that are marked.

        Parameters
        ----------
        table : DataFrame of shape (n_patients, ...)
            Patients of the cohort, with ``patient_id`` and ``cohort`` where expression is scaled.
        train : ndarray of bool of shape (n_patients,)
            On whom the scales are learned.

        Returns
        -------
        DataFrame of shape (n_patients, ...)
            The same columns; missing where the marked patients are too few to learn from.
        """
        bare = table.drop(columns=list(self.columns), errors="ignore")
        split = bare.assign(split=np.where(train, "train", "test"))
        findings = Findings()  # told when the cohort was read
        scales = TrainingScales.fit(split, self.matrices, self.rules, self.which, findings)
        again = scales.apply(bare, self.matrices, self.rules, findings)
        return again.reindex(columns=table.columns)


def _scored(
    rows: pd.DataFrame,
    matrix: Matrix,
    cohort: str,
    findings: Findings,
    reference: ExpressionReference | None,
) -> pd.DataFrame:
    """Add the signatures of one cohort's patients, on a learned scale if there is one."""
    signatures = ExpressionSignatures()
    scores = signatures.derive(matrix.expression, matrix.settings, rows, findings, reference)
    return add_derived(rows, scores, signatures, matrix.file, cohort, findings)


def _assay_of(table: pd.DataFrame, rules: Mapping[str, DerivationRules]) -> pd.Series:
    """Assay of each patient's burden: the patient's own, else that of the cohort."""
    assays = {cohort: rule.assays["tmb"] for cohort, rule in rules.items() if "tmb" in rule.assays}
    of_cohort = table["cohort"].map(assays).astype(object)
    if "tmb_assay" not in table:
        return of_cohort
    return table["tmb_assay"].where(table["tmb_assay"].notna(), of_cohort).astype(object)


def _add_unit_finding(text: str, cohort: str, findings: Findings) -> None:
    findings.add(
        "expression_unit_differs",
        f"{text}; one unit is expected.",
        cohort=cohort,
        panel="infiltration",
        n=1,
    )

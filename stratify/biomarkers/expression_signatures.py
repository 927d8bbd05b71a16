"""Signatures of a cohort's matrix of expression: which can be scored, and their measurement."""

from __future__ import annotations

import pandas as pd

from stratify.biomarkers.expression import read_expression, some_of
from stratify.biomarkers.expression_reference import ExpressionReference
from stratify.biomarkers.measurement import Measurement, RawTables
from stratify.biomarkers.reported import measured_columns
from stratify.biomarkers.signatures import score_signatures, signature_coverage, signatures
from stratify.study import Study
from stratify.tables.findings import Findings
from stratify.tables.measurements import ExpressionMatrix
from stratify.tables.sources import CohortSource, TableSource

__all__ = ["ExpressionSignatures", "signature_findings"]


def signature_findings(
    expression: pd.DataFrame, settings: ExpressionMatrix, *, name: str = "expression"
) -> Findings:
    """Find signatures that lack genes, and those that cannot be scored.

    Parameters
    ----------
    expression : DataFrame of shape (n_patients, n_genes)
        From :func:`stratify.biomarkers.expression.read_expression`.

    Examples
    --------
    >>> expression = pd.DataFrame({"GZMA": [1.0], "CD8A": [2.0], "CD8B": [2.0]})
    >>> found = signature_findings(expression, ExpressionMatrix(unit="normalised"))
    >>> found.messages()[1]
    'expression: gep_ssgsea needs TPM or FPKM; impres needs TPM or FPKM.'
    """
    table = signature_coverage(expression, settings)
    if settings.signatures is not None:
        table = table[table["signature"].isin(settings.signatures)]
    few, other = table["lacks"] == "genes", ~table["lacks"].isin(["", "genes"])
    partial = (table["lacks"] == "") & (table["absent"].map(len) > 0)
    without = [
        f"{signature} ({100 * share:.0f} %, without {some_of(absent)})"
        for signature, share, absent in zip(
            table["signature"], table["share"], table["absent"], strict=True
        )
    ]
    needs = [f"{row[0]} needs {row[1]}" for row in table[["signature", "lacks"]].to_numpy()]
    least = f"less than {100 * settings.min_coverage:.0f} % of the genes by weight"
    found = Findings()
    for code, rows, start, texts, sign in (
        ("gene_coverage_low", few, f"{least}, not scored: ", without, ", "),
        ("genes_not_comparable", other, "", needs, "; "),
        ("gene_coverage_partial", partial, "scored without some genes: ", without, ", "),
    ):
        stated = [text for text, flag in zip(texts, rows, strict=True) if flag]
        if stated:
            found.add(code, f"{name}: {start}{sign.join(stated)}.", n=len(stated))
    return found


class ExpressionSignatures(Measurement):
    """Signatures of bulk expression."""

    name = "signatures"
    needs = ("expression",)
    panel = "infiltration"
    scalable = True

    def rule(self, study: Study, cohort: CohortSource, table: TableSource) -> ExpressionMatrix:
        """How the matrix is written."""
        assert table.expression is not None  # what it needs is such a table
        return table.expression

    def gives(self, rule: ExpressionMatrix) -> list[str]:
        """Signatures that the study names, all by default."""
        return rule.signatures or list(signatures())

    def faults(
        self, tables: RawTables, rule: ExpressionMatrix
    ) -> tuple[pd.DataFrame | None, Findings]:
        """Expression as read; None where the matrix has faults."""
        file, table = tables["expression"]
        expression, found = read_expression(table, rule, name=file)
        if expression is not None:
            found.extend(signature_findings(expression, rule, name=file))
        return expression, found

    def derive(
        self,
        values: pd.DataFrame,
        rule: ExpressionMatrix,
        patients: pd.DataFrame,
        findings: Findings,
        reference: ExpressionReference | None = None,
    ) -> pd.DataFrame:
        """See :func:`stratify.biomarkers.signatures.score_signatures`."""
        scores = score_signatures(values, rule, reference)[self.gives(rule)]
        return measured_columns(scores, patients)

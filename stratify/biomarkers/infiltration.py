"""Immune infiltration of a cohort: what was measured in tissue, beside what is reported.

Three kinds of measurement lead here: regions of slides (:mod:`stratify.biomarkers.regions`), a
matrix of expression (:mod:`stratify.biomarkers.signatures`), and cells by deconvolution
(:mod:`stratify.biomarkers.deconvolution`).
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from stratify.biomarkers.deconvolution import read_deconvolution
from stratify.biomarkers.expression import read_expression, some_of
from stratify.biomarkers.expression_reference import ExpressionReference
from stratify.biomarkers.regions import aggregate_regions, region_findings
from stratify.biomarkers.reported import tell_all, with_derived
from stratify.biomarkers.signatures import score_signatures, signature_coverage
from stratify.tables.findings import Findings
from stratify.tables.measurements import DeconvolutionTable, ExpressionMatrix, RegionRule

__all__ = [
    "add_deconvolution",
    "add_regions",
    "add_signatures",
    "checked_expression",
    "signature_findings",
    "with_signatures",
]

PANEL = "infiltration"


def add_regions(
    patients: pd.DataFrame,
    table: pd.DataFrame,
    rule: RegionRule,
    file: str,
    cohort: str,
    findings: Findings,
) -> pd.DataFrame:
    """Put values aggregated over regions beside the other columns.

    Parameters
    ----------
    patients : DataFrame of shape (n_patients, ...)
        Joined panels, one row a patient.
    table : DataFrame of shape (n_rows, ...)
        The ``regions`` as read; its index names the lines of the file.
    rule : RegionRule
    file, cohort : str
        For findings.
    findings : Findings
        Collector of everything wrong or doubtful.

    Returns
    -------
    DataFrame
        With the columns for which a region has a value; unchanged if the table has faults.
    """
    told = tell_all(region_findings(table, name=file), "regions", cohort)
    findings.extend(told)
    if told.has_errors:
        return patients
    derived = aggregate_regions(table, rule)
    derived = _of_cohort(derived, patients, "table", file, cohort, findings)
    return with_derived(patients, derived, file, cohort, findings)


def add_signatures(
    patients: pd.DataFrame,
    table: pd.DataFrame,
    settings: ExpressionMatrix,
    file: str,
    cohort: str,
    findings: Findings,
) -> pd.DataFrame:
    """Put signatures of a matrix of expression beside the other columns.

    Parameters
    ----------
    patients : DataFrame of shape (n_patients, ...)
        Joined panels, one row a patient.
    table : DataFrame
        The matrix, from :func:`stratify.biomarkers.expression.read_matrix`.
    settings : ExpressionMatrix
    file, cohort : str
        For findings.
    findings : Findings
        Collector of everything wrong or doubtful.

    Returns
    -------
    DataFrame
        With the signatures that could be scored; unchanged if the matrix has faults.
    """
    expression = checked_expression(table, settings, file, cohort, findings)
    if expression is None:
        return patients
    return with_signatures(patients, expression, settings, file, cohort, findings)


def checked_expression(
    table: pd.DataFrame, settings: ExpressionMatrix, file: str, cohort: str, findings: Findings
) -> pd.DataFrame | None:
    """Expression as read, or None where the matrix has faults; tells of both and of signatures.

    Parameters
    ----------
    table, settings, file, cohort, findings
        As for :func:`add_signatures`.
    """
    expression, found = read_expression(table, settings, name=file)
    findings.extend(tell_all(found, PANEL, cohort))
    if expression is not None:
        told = signature_findings(expression, settings, name=file)
        findings.extend(tell_all(told, PANEL, cohort))
    return expression


def with_signatures(
    patients: pd.DataFrame,
    expression: pd.DataFrame,
    settings: ExpressionMatrix,
    file: str,
    cohort: str,
    findings: Findings,
    reference: ExpressionReference | None = None,
) -> pd.DataFrame:
    """Score expression that was read and put the signatures beside the other columns.

    Parameters
    ----------
    patients, settings, file, cohort, findings
        As for :func:`add_signatures`.
    expression : DataFrame of shape (n_patients, n_genes)
        From :func:`stratify.biomarkers.expression.read_expression`.
    reference : ExpressionReference, optional
        See :func:`stratify.biomarkers.signatures.score_signatures`.
    """
    scores = score_signatures(expression, settings, reference)
    if settings.signatures is not None:
        scores = scores[settings.signatures]
    scores = _of_cohort(scores, patients, "matrix", file, cohort, findings)
    return with_derived(patients, scores, file, cohort, findings)


def add_deconvolution(
    patients: pd.DataFrame,
    table: pd.DataFrame,
    settings: DeconvolutionTable,
    file: str,
    cohort: str,
    findings: Findings,
) -> pd.DataFrame:
    """Put cells by deconvolution beside the other columns.

    Parameters
    ----------
    patients : DataFrame of shape (n_patients, ...)
        Joined panels, one row a patient.
    table : DataFrame
        As the method writes it.
    settings : DeconvolutionTable
    file, cohort : str
        For findings.
    findings : Findings
        Collector of everything wrong or doubtful.

    Returns
    -------
    DataFrame
        With the cells; unchanged if the table has faults.
    """
    cells, found = read_deconvolution(table, settings, name=file)
    told = tell_all(found, PANEL, cohort)
    findings.extend(told)
    if told.has_errors:
        return patients
    cells = _of_cohort(cells, patients, "table", file, cohort, findings)
    return with_derived(patients, cells, file, cohort, findings)


def signature_findings(
    expression: pd.DataFrame, settings: ExpressionMatrix, *, name: str = "expression"
) -> list[dict[str, Any]]:
    """Say which signatures lack genes, and which cannot be scored.

    Parameters
    ----------
    expression : DataFrame of shape (n_patients, n_genes)
        From :func:`stratify.biomarkers.expression.read_expression`.
    settings : ExpressionMatrix
    name : str
        Name of the matrix in messages.

    Returns
    -------
    list of dict
        Each with ``code``, ``column``, ``n`` (signatures) and ``message``.

    Examples
    --------
    >>> expression = pd.DataFrame({"GZMA": [1.0], "CD8A": [2.0], "CD8B": [2.0]})
    >>> found = signature_findings(expression, ExpressionMatrix(unit="normalised"))
    >>> found[1]["message"]
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
    found = []
    for code, rows, start, parts, sign in (
        ("gene_coverage_low", few, f"{least}, not scored: ", without, ", "),
        ("genes_not_comparable", other, "", needs, "; "),
        ("gene_coverage_partial", partial, "scored without some genes: ", without, ", "),
    ):
        told = [part for part, flag in zip(parts, rows, strict=True) if flag]
        if told:
            text = f"{name}: {start}{sign.join(told)}."
            found.append({"code": code, "column": "", "n": len(told), "message": text})
    return found


def _of_cohort(
    derived: pd.DataFrame,
    patients: pd.DataFrame,
    what: str,
    file: str,
    cohort: str,
    findings: Findings,
) -> pd.DataFrame:
    """Rows in the order of the cohort's patients, without columns that hold no value."""
    ids = patients["patient_id"]
    strangers, absent = int((~derived.index.isin(ids)).sum()), int((~ids.isin(derived.index)).sum())
    if strangers:
        findings.add(
            "no_patient_matched" if strangers == len(derived) else "unmatched_patient",
            f"{file}: {strangers} of {len(derived)} patients are not in the cohort's first table.",
            cohort=cohort,
            panel=PANEL,
            column="patient_id",
            n=strangers,
        )
    if absent:
        findings.add(
            "not_measured",
            f"{file}: {absent} of {len(ids)} patients are not in the {what}; they are read as "
            "not measured.",
            cohort=cohort,
            panel=PANEL,
            n=absent,
        )
    ordered = derived.reindex(ids.to_numpy())
    empty = [name for name in ordered if ordered[name].isna().all()]
    return ordered.drop(columns=empty)

"""Tables of cells by deconvolution of expression, read as features under the names of a method.

CIBERSORTx, quanTIseq and MCP-counter are run elsewhere. Their values are comparable within one
method only, and those of CIBERSORTx within one mode.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stratify.biomarkers.expression import some_of
from stratify.response.visits import Faults
from stratify.tables.measurements import DeconvolutionTable
from stratify.tables.rows import check_table, numbers_of
from stratify.tables.schema import field_named, signature_sets

__all__ = ["read_deconvolution"]

POOR_FIT = 0.05  # p-value of CIBERSORTx above which its authors advise against use
WHOLE_WITHIN = 0.01  # by which shares may miss their sum, as printed


def read_deconvolution(
    table: pd.DataFrame, settings: DeconvolutionTable, *, name: str = "deconvolution"
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Read a table of cells.

    Parameters
    ----------
    table : DataFrame
        Patients x cells, or cells x patients, as the method writes it.
    settings : DeconvolutionTable
    name : str
        Name of the table in messages, such as that of its file.

    Returns
    -------
    features : DataFrame of shape (n_patients, n_cells)
        By patient, named by method and cell as in the ``infiltration`` dictionary. CIBERSORTx in
        absolute mode, where cells do not add up to 1, is named apart: ``cibersortx_abs_...``.
    findings : list of dict
        Each with ``code``, ``column``, ``n`` and ``message``.

    Raises
    ------
    TypeError
        If it is not a DataFrame.

    Examples
    --------
    >>> table = pd.DataFrame({"Sample": ["a"], "T.cells.CD8": [0.07], "Other": [0.93]})
    >>> read_deconvolution(table, DeconvolutionTable(method="quantiseq"))[0]
            quantiseq_cd8  quantiseq_other
    Sample
    a                0.07             0.93
    """
    check_table(table=table)
    about = signature_sets()["deconvolution"][settings.method]
    cells = {_plain(cell): short for cell, short in about["cells"].items()}
    label = table.columns[0] if settings.labels is None else settings.labels
    if label not in table:
        text = f"{name}: no column {label!r}, which `labels` names."
        return pd.DataFrame(), [
            {"code": "missing_column", "column": "", "n": 1, "message": text},
        ]
    known = table[label].map(lambda cell: _plain(cell) in cells)
    if known.sum() > sum(_plain(column) in cells for column in table):
        table = table.set_index(label).T.rename_axis("patient").reset_index()
        label, name = "patient", f"{name}, turned round"
    found = Faults.of(table, name)
    columns = {column: cells[_plain(column)] for column in table if _plain(column) in cells}
    told = {_plain(cell) for cell in about["not_cells"]}
    unknown = [str(c) for c in table if c != label and c not in columns and _plain(c) not in told]
    if not columns:
        text = f"{name}: no cell of {settings.method}; expected {some_of(list(about['cells']))}."
        return pd.DataFrame(), [
            {"code": "missing_column", "column": "", "n": len(cells), "message": text},
        ]
    if unknown:
        text = f"{name}: columns that are no cell of {settings.method}: {some_of(unknown)}."
        found.found.append(
            {"code": "unknown_column", "column": "", "n": len(unknown), "message": text}
        )
    ids = table[label].astype("string").str.strip()
    absent = ids.isna() | (ids == "")
    found.tell("missing_identifier", "patient_id", absent, "no patient identifier.")
    twice = ids.duplicated(keep=False) & ~absent
    found.tell("duplicate_patient", "patient_id", twice, "patients that stand more than once.")
    read = pd.DataFrame({short: numbers_of(table, str(c)) for c, short in columns.items()})
    unread = (read.isna().to_numpy() & table[list(columns)].notna().to_numpy()).any(axis=1)
    found.tell("not_numeric", "", unread, "text where numbers are expected.")
    prefix: str = settings.method
    whole = np.isclose(read.sum(axis=1), 1, rtol=0, atol=WHOLE_WITHIN)
    if prefix == "cibersortx":
        if whole.mean() > 0.5:
            text = "cells do not add up to 1 as in the other patients; one mode is expected."
            found.tell("scales_mixed", "", ~whole, text)
        else:
            prefix = "cibersortx_abs"
        poor = numbers_of(table, "P-value") > POOR_FIT
        text = f"P-value above {POOR_FIT}: the mixture is explained no better than by chance."
        found.tell("deconvolution_poor_fit", "", poor, text)
    elif prefix == "quantiseq" and len(columns) == len(cells):
        parts = ~whole & read.notna().all(axis=1).to_numpy()
        text = "cells and `Other` should add up to 1."
        found.tell("outside_limits", "", parts, text)
    if settings.cells is not None:
        read = read[[short for short in read if short in settings.cells]]
    read.columns = pd.Index([f"{prefix}_{short}" for short in read])
    for column in read:
        field = field_named(str(column))
        wrong = (read[column] < (field.minimum or 0)) | (read[column] > (field.maximum or np.inf))
        text = f"{column} outside {field.minimum:g} to {field.maximum:g}."
        found.tell("outside_limits", str(column), wrong, text)
    read.index = pd.Index(ids.astype(object), name=str(label))
    return read, found.found


def _plain(name: object) -> str:
    """Name of a cell as methods and exports write it: spaces, points and underscores alike."""
    return " ".join(str(name).replace(".", " ").replace("_", " ").split()).casefold()

"""Tables of cells by deconvolution of expression, read as features under the names of a method.

CIBERSORTx, quanTIseq and MCP-counter are run elsewhere. Their values are comparable within one
method only, and those of CIBERSORTx within one mode.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Flags
from stratify.biomarkers.expression import some_of
from stratify.biomarkers.measurement import Measurement, RawTables
from stratify.biomarkers.reported import measured_columns
from stratify.study import Study
from stratify.tables.findings import Findings
from stratify.tables.measurements import DeconvolutionTable
from stratify.tables.rows import check_table, numbers_of
from stratify.tables.schema import field_named, signature_sets
from stratify.tables.sources import CohortSource, TableSource

__all__ = ["Deconvolution", "read_deconvolution"]

WHOLE_WITHIN = 0.01  # by which shares may miss their sum, as printed


def read_deconvolution(
    table: pd.DataFrame, settings: DeconvolutionTable, *, name: str = "deconvolution"
) -> tuple[pd.DataFrame, Findings]:
    """Read a table of cells.

    Returns
    -------
    features : DataFrame of shape (n_patients, n_cells)
        By patient, named by method and cell as in the ``infiltration`` dictionary. CIBERSORTx in
        absolute mode, where cells do not add up to 1, is named apart: ``cibersortx_abs_...``.

    Examples
    --------
    >>> table = pd.DataFrame({"Sample": ["a"], "T.cells.CD8": [0.07], "Other": [0.93]})
    >>> read_deconvolution(table, DeconvolutionTable(method="quantiseq"))[0]
            quantiseq_cd8  quantiseq_other
    Sample
    a                0.07             0.93
    """
    check_table(table=table)
    method = signature_sets()["deconvolution"][settings.method]
    cells = {_plain(cell): short for cell, short in method["cells"].items()}
    label = table.columns[0] if settings.labels is None else settings.labels
    found = Findings(table_name=name)
    if label not in table:
        text = f"{name}: no column {label!r}, which `labels` names."
        found.add("missing_column", text, n=1)
        return pd.DataFrame(), found
    known = table[label].map(lambda cell: _plain(cell) in cells)
    if known.sum() > sum(_plain(column) in cells for column in table):
        table = table.set_index(label).T.rename_axis("patient").reset_index()
        label, name = "patient", f"{name}, turned round"
    found = Findings.of_table(table, name)
    columns = {column: cells[_plain(column)] for column in table if _plain(column) in cells}
    others = {_plain(cell) for cell in method["not_cells"]}
    unknown = [str(c) for c in table if c != label and _plain(c) not in {*cells, *others}]
    if not columns:
        text = f"no cell of {settings.method}; expected {some_of(list(method['cells']))}."
        found.add("missing_column", f"{name}: {text}", n=len(cells))
        return pd.DataFrame(), found
    if unknown:
        text = f"columns that are no cell of {settings.method}: {some_of(unknown)}."
        found.add("unknown_column", f"{name}: {text}", n=len(unknown))
    ids = table[label].astype("string").str.strip()
    absent = ids.isna() | (ids == "")
    found.add_rows("missing_identifier", "patient_id", absent, "no patient identifier.")
    twice = ids.duplicated(keep=False) & ~absent
    found.add_rows("duplicate_patient", "patient_id", twice, "patients that stand more than once.")
    read = pd.DataFrame({short: numbers_of(table, str(c)) for c, short in columns.items()})
    unread = (read.isna().to_numpy() & table[list(columns)].notna().to_numpy()).any(axis=1)
    found.add_rows("not_numeric", "", unread, "text where numbers are expected.")
    prefix, scale = _check_sums(table, read, settings, found)
    read = read / scale
    if settings.cells is not None:
        read = read[[short for short in read if short in settings.cells]]
    read.columns = pd.Index([f"{prefix}_{short}" for short in read])
    _check_limits(read, found)
    read.index = pd.Index(ids.astype(object), name=str(label))
    return read, found


def _check_sums(
    table: pd.DataFrame, read: pd.DataFrame, settings: DeconvolutionTable, found: Findings
) -> tuple[str, float]:
    """Check what a method says of its cells; prefix of their columns, and what a whole is."""
    stated = signature_sets()["deconvolution"][settings.method]
    prefix, sums = settings.method, read.sum(axis=1)
    complete = read.shape[1] == len(stated["cells"])
    whole = np.isclose(sums, 1, rtol=0, atol=WHOLE_WITHIN)
    percent = complete and np.isclose(sums, 100, rtol=0, atol=100 * WHOLE_WITHIN).mean() > 0.5
    if percent:
        whole = np.isclose(sums, 100, rtol=0, atol=100 * WHOLE_WITHIN)
        every = np.ones(len(read), dtype=bool)
        found.add_rows("deconvolution_mode", "", every, "cells in percent; read as fractions.")
    if "absolute_prefix" in stated:  # shares in one mode, not in the other
        mode = settings.mode or _mode(table, read, whole, complete, stated, found)
        if mode == "absolute":
            prefix = stated["absolute_prefix"]
        elif whole.mean() > 0.5:
            text = "cells do not add up to 1 as in the other patients; one mode is expected."
            found.add_rows("scales_mixed", "", ~whole, text)
    elif stated.get("whole") and complete:
        wrong = ~whole & read.notna().all(axis=1).to_numpy()
        found.add_rows("outside_limits", "", wrong, "cells and `Other` should add up to 1.")
    if "fit" in stated:
        _check_fit(table, stated["fit"], found)
    return prefix, 100.0 if percent else 1.0


def _mode(
    table: pd.DataFrame,
    read: pd.DataFrame,
    whole: Flags,
    complete: bool,
    stated: Mapping[str, Any],
    found: Findings,
) -> str:
    """Absolute or relative, by all cells together, the column of the absolute score, or shares."""
    score = {_plain(name) for name in stated["absolute_score"]}
    if any(_plain(column) in score for column in table):
        return "absolute"
    if complete or whole.mean() > 0.5:
        return "relative" if whole.mean() > 0.5 else "absolute"
    every = np.ones(len(read), dtype=bool)
    if (read.sum(axis=1) <= 1 + WHOLE_WITHIN).all():
        text = f"{read.shape[1]} of {len(stated['cells'])} cells, read as shares of all."
        found.add_rows("deconvolution_mode", "", every, text)
        return "relative"
    text = (
        f"{read.shape[1]} of {len(stated['cells'])} cells that add up to more than 1: their mode "
        "cannot be told; state `mode: absolute` or `mode: relative`."
    )
    found.add_rows("deconvolution_mode_unknown", "", every, text)
    return "absolute"


def _check_fit(table: pd.DataFrame, fit: Mapping[str, Any], found: Findings) -> None:
    """Add mixtures that are explained no better than by chance, or of which that is not known."""
    named = {_plain(column): str(column) for column in table}
    column = named.get(_plain(fit["column"]))
    if column is None:
        return
    values = numbers_of(table, column)
    text = f"{column} above {fit['at_most']}: the mixture is explained no better than by chance."
    found.add_rows("deconvolution_poor_fit", "", (values > fit["at_most"]) & (values <= 1), text)
    text = f"{column} was not computed (0 permutations); how well mixtures fit is not known."
    found.add_rows("deconvolution_mode", "", values > 1, text)


def _check_limits(read: pd.DataFrame, found: Findings) -> None:
    for column in map(str, read):
        field = field_named(column)
        wrong = (read[column] < (field.minimum or 0)) | (read[column] > (field.maximum or np.inf))
        text = f"{column} outside {field.minimum:g} to {field.maximum:g}."
        found.add_rows("outside_limits", column, wrong, text)


def _plain(name: object) -> str:
    """Name of a cell as methods and exports write it: R puts points for all but letters."""
    return " ".join(re.split(r"[^a-z0-9+]+", str(name).casefold())).strip()


class Deconvolution(Measurement):
    """Cells by deconvolution."""

    name = "deconvolution"
    needs = ("deconvolution",)
    panel = "infiltration"

    def rule(self, study: Study, cohort: CohortSource, table: TableSource) -> DeconvolutionTable:
        """How the table is written."""
        assert table.deconvolution is not None  # what it needs is such a table
        return table.deconvolution

    def gives(self, rule: DeconvolutionTable) -> list[str]:
        """Cells that the study names, all by default, in either mode of the method."""
        stated = signature_sets()["deconvolution"][rule.method]
        cells = rule.cells or list(stated["cells"].values())
        prefixes = {rule.method, stated.get("absolute_prefix", rule.method)}
        return [f"{prefix}_{cell}" for prefix in sorted(prefixes) for cell in cells]

    def faults(self, tables: RawTables, rule: DeconvolutionTable) -> tuple[pd.DataFrame, Findings]:
        """See :func:`read_deconvolution`."""
        file, table = tables["deconvolution"]
        return read_deconvolution(table, rule, name=file)

    def derive(
        self,
        values: pd.DataFrame,
        rule: DeconvolutionTable,
        patients: pd.DataFrame,
        findings: Findings,
    ) -> pd.DataFrame:
        """Cells as they are."""
        return measured_columns(values, patients)

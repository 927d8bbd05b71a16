"""A panel read at the door: from a file's cells to canonical columns, with every finding.

Rows are chosen, identifiers found, and each column read by :mod:`stratify.tables.columns`. What
cannot be read becomes missing and a finding; nothing is lost in silence, and the input is not
modified.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from stratify.tables.cells import MISSING, texts_of
from stratify.tables.columns import ColumnReader, near_names
from stratify.tables.documents import document
from stratify.tables.findings import ColumnFindings, Findings
from stratify.tables.identifiers import (
    as_written,
    beside_patients,
    chosen_rows,
    identifiable,
    identifier_findings,
)
from stratify.tables.plausibility import ENOUGH_VALUES, check_events, check_possible, check_rules
from stratify.tables.schema import load_schema, long_panels, raw_panels
from stratify.tables.sources import ColumnSource, TableSource

__all__ = ["read_panels"]

# Names of columns listed in one message.
MOST_NAMES = 20


def read_panels(
    raw: pd.DataFrame,
    table: TableSource,
    cohort: str,
    findings: Findings,
    *,
    left_out: Collection[str] = (),
    first_doses: pd.Series | None = None,
) -> dict[str, pd.DataFrame]:
    """Read the panels of one file.

    Parameters
    ----------
    raw : DataFrame
        The file as read by :func:`stratify.tables.files.read_numbered`; findings name the rows by
        its index.
    table : TableSource
        How columns map, from the study file.
    findings : Findings
        Collector; every fault of every column is added.
    first_doses : Series, optional
        Date of the first dose by patient, from a table read before; it gives days to dates.

    Returns
    -------
    dict of str to DataFrame
        By panel: ``patient_id`` (text) first, then the mapped columns in canonical names, units
        and levels; numbers and yes/no as float64 (1 yes, 0 no), levels as object, dates as
        datetime64. Rows without identifier are left out, and second rows of a patient but in
        panels with several rows a patient; the index of those still names the lines.
    """
    about = identifier_findings(table, cohort, findings)
    names = [str(column) for column in raw.columns]
    if table.patient_id not in names:
        # few names are given: in a file without header they are a patient's values
        plain = [c for c in names if not re.search("[0-9]", c)]
        near = near_names(table.patient_id, plain)
        about.add("missing_column", f"no column {table.patient_id!r} for patient_id{near}.", 1)
        return {}
    chosen = chosen_rows(raw, table, cohort, findings)
    if not chosen.any():
        return {}
    raw = raw[chosen]
    sources, unknown, spared = _sources(table, names)
    if spared:
        text = f"{table.file}: columns that `*` does not take as features, by their names outcomes "
        text += f"or other columns: {', '.join(spared[:MOST_NAMES])}."
        findings.add("name_not_a_feature", text, cohort=cohort, n=len(spared))
    if unknown:
        rest = len(unknown) - MOST_NAMES
        more = f" and {rest} more" if rest > 0 else ""
        text = f"{table.file}: columns not mapped: {', '.join(unknown[:MOST_NAMES])}{more}."
        findings.add("unknown_column", text, cohort=cohort, n=len(unknown))
    identifiers = texts_of(raw[table.patient_id], MISSING)
    beside = beside_patients(identifiers, raw)
    if beside.any():
        text = f"rows that are no patients by column {table.patient_id!r} (summaries, footnotes)."
        about.add_rows("not_a_patient", pd.Series(beside, index=raw.index), text)
        raw, identifiers = raw[~beside], identifiers[~beside]
    if table.identifier is not None:
        raw, identifiers = as_written(raw, identifiers, table, about)
    long = not set(long_panels()).isdisjoint(table.panels)
    keep = identifiable(identifiers, table, about, long)
    reader = ColumnReader(raw, table, None if first_doses is None else identifiers.map(first_doses))
    dosed = table.panels.get("clinical", {}).get("first_dose_date")
    if dosed is not None and "clinical" not in left_out:
        field = load_schema("clinical").fields["first_dose_date"]
        unheard = ColumnFindings(Findings(), cohort, table.file, field)  # added in its turn
        reader = ColumnReader(raw, table, reader.read(dosed, unheard))
    panels = {}
    for panel, columns in sources.items():
        if panel not in left_out:
            frame = _panel(panel, columns, reader, identifiers, cohort, findings)[keep]
            panels[panel] = frame if long else frame.reset_index(drop=True)
    return panels


def _panel(
    panel: str,
    columns: Mapping[str, ColumnSource],
    reader: ColumnReader,
    identifiers: pd.Series,
    cohort: str,
    findings: Findings,
) -> pd.DataFrame:
    """Columns of one panel, with its checks."""
    schema, file = load_schema(panel), reader.table.file
    about = partial(ColumnFindings, findings, cohort, file)
    read = {
        name: reader.read(source, about(schema.fields[name])) for name, source in columns.items()
    }
    for name, source in columns.items():
        feature = schema.fields[name].enters_models and panel not in raw_panels()
        if feature and source.column is not None and names_an_outcome(source.column):
            text = f"{name} is read from column {source.column!r}, by its name an outcome."
            about(schema.fields[name]).add("post_baseline_value", text, len(reader.raw))
        if schema.fields[name].interval:
            read |= reader.bounds(source, schema.fields[name], read[name])
    frame = pd.DataFrame({"patient_id": identifiers.astype(object), **read})
    if panel not in raw_panels():  # what makes features of those checks them
        for name in columns:
            check_possible(frame[name], about(schema.fields[name]))
    check_rules(frame, schema, columns, about)
    check_events(frame, schema, about)
    measured = panel not in ("clinical", "outcomes") and bool(read)
    empty = [name for name in columns if frame[name].isna().all()] if findings.whole else []
    if measured and len(empty) == len(columns):
        text = f"{file}: no value in any of {', '.join(read)}."
        findings.add("panel_all_missing", text, cohort=cohort, panel=panel, n=len(frame))
        return frame
    told = {row["column"] for row in findings.rows if row["cohort"] == cohort}
    for name in set(empty) - told:
        given = columns[name].column
        if given is not None and len(frame) >= ENOUGH_VALUES:
            text = f"the column {given!r} is empty."
            about(schema.fields[name]).add("column_empty", text, len(frame))
    for name in columns:
        levels = schema.fields[name].categorical or schema.fields[name].type == "boolean"
        if levels and findings.whole and _looks_merged(frame[name]):
            n = int(frame[name].isna().sum())
            text = f"{n} of {len(frame)} cells are empty, each below a filled one of its group."
            about(schema.fields[name]).add("merged_cells_suspected", text, n)
    return frame


def _looks_merged(cells: pd.Series) -> bool:
    """Whether values stand at every k-th row, as merged cells leave them when they are read."""
    filled = np.flatnonzero(cells.notna().to_numpy())
    if len(filled) < 8 or len(filled) > 0.6 * len(cells) or filled[0] != 0:
        return False
    return len(set(np.diff(filled))) == 1


def _sources(
    table: TableSource, names: Sequence[str]
) -> tuple[dict[str, dict[str, ColumnSource]], list[str], list[str]]:
    """Give the sources of each panel, families spread, columns not mapped, and those spared."""
    mapped = {table.patient_id, *table.rows}
    for columns in table.panels.values():
        mapped.update(c.column for c in columns.values() if c.column is not None)
    others = sorted(set(names) - mapped)
    every = any(c.column == "*" for columns in table.panels.values() for c in columns.values())
    spared = [name for name in others if every and _never_a_feature(name)]
    others = [name for name in others if name not in spared]
    sources = {panel: _spread(columns, others) for panel, columns in table.panels.items()}
    for spread in sources.values():
        mapped.update(c.column for c in spread.values() if c.column is not None)
    unknown = [name for name in names if name not in mapped and name not in spared]
    return sources, unknown, spared


def _words_of(column: str) -> set[str]:
    """Words of a column's name: ``PFS_Months`` and ``pfsMonths`` are both pfs and months."""
    parted = re.sub(r"([a-z])([A-Z])", r"\1 \2", column)
    words = re.split(r"[^a-z]+", parted.lower())
    return {word for word in words if word}


def names_an_outcome(column: str) -> bool:
    """Whether a column is named like an outcome, its time or its event.

    Examples
    --------
    >>> [names_an_outcome(name) for name in ("OS_months", "Response01", "vital status")]
    [True, True, True]
    >>> [names_an_outcome(name) for name in ("HALLMARK_INTERFERON_GAMMA_RESPONSE", "CCP")]
    [False, False]
    """
    words, named = _words_of(column), document("outcome_names")
    among = set(named["among"])
    return bool(words & set(named["alone"])) or bool(
        words & among and words <= among | set(named["beside"])
    )


def _never_a_feature(column: str) -> bool:
    """Whether a name is an outcome's, or that of a column of a dictionary without scores."""
    plain = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")
    own = {name for panel in ("clinical", "outcomes") for name in load_schema(panel).fields}
    return names_an_outcome(column) or plain in own


def _spread(columns: Mapping[str, ColumnSource], others: Sequence[str]) -> dict[str, ColumnSource]:
    """Put a source for each other column of the file in place of one whose column is ``*``."""
    spread: dict[str, ColumnSource] = {}
    for name, source in columns.items():
        if source.column != "*":
            spread[name] = source
            continue
        for column in others:
            plain = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")
            new = name.replace("*", plain)
            while new in spread:
                new += "_"
            spread[new] = source.model_copy(update={"column": column})
    return spread

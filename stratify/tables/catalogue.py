"""The feature catalogue: every feature that a model may use, from the data dictionaries.

`FEATURES.md` is what this module writes; `stratify features` prints or writes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stratify.errors import ArgumentError
from stratify.tables.schema import Field, load_schema, patient_panels

__all__ = ["catalogue_markdown", "feature_catalogue"]

_DIRECTIONS = {1: "more resistance", -1: "less resistance"}


def feature_catalogue(panels: Sequence[str] | None = None) -> pd.DataFrame:
    """List every feature with its panel, unit, direction, time, definition and source.

    Parameters
    ----------
    panels : sequence of str, optional
        Panels wanted; all by default.

    Returns
    -------
    DataFrame of shape (n_features, 9)
        ``name`` (``*`` stands for any ending), ``panel``, ``title``, ``type`` (number, integer,
        boolean or levels), ``unit``, ``direction`` (by indication, empty where none holds in all
        cohorts known), ``available_at`` (baseline or a week on treatment), ``definition`` and
        ``source``.

    Examples
    --------
    >>> table = feature_catalogue(["tmb"]).set_index("name")
    >>> table.loc["tmb", ["unit", "direction", "available_at"]].tolist()
    ['mut/Mb', 'less resistance', 'baseline']
    """
    known = patient_panels()
    wanted = known if panels is None else panels
    if unknown := [panel for panel in wanted if panel not in known]:
        raise ArgumentError(f"no panel {', '.join(unknown)}; there are {', '.join(known)}.")
    rows = [
        {
            "name": field.name,
            "panel": panel,
            "title": field.title,
            "type": "levels" if field.enum else field.type,
            "unit": field.unit or "",
            "direction": _direction(field),
            "available_at": field.available_at,
            "definition": _definition(field),
            "source": field.reference or "",
        }
        for panel in wanted
        for field in load_schema(panel).fields.values()
        if field.enters_models
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    *("name", "panel", "title", "type", "unit", "direction", "available_at", "definition"),
    "source",
]


def _direction(field: Field) -> str:
    return "; ".join(
        _DIRECTIONS[sign] + ("" if indication == "any" else f" ({indication})")
        for indication, sign in field.direction.items()
        if sign
    )


def _definition(field: Field) -> str:
    levels = f" Levels: {', '.join(field.enum)}." if field.enum else ""
    named = " Only where `features` names it." if field.role == "alternative" else ""
    return field.description + levels + named


def catalogue_markdown(panels: Sequence[str] | None = None) -> str:
    """Write the catalogue as Markdown.

    Parameters
    ----------
    panels : sequence of str, optional
        Panels wanted; all by default.

    Examples
    --------
    >>> catalogue_markdown().splitlines()[0]
    '# Features'
    """
    table = feature_catalogue(panels)
    lines = [
        "# Features",
        "",
        "Every feature that a model may use, from the dictionaries in `data_schemas/panels/` "
        "(written by `stratify features --out FEATURES.md`; a test compares them). *Direction* is "
        "stated where it is the same in all cohorts known, and is then kept by the model; it is an "
        "association, not a cause. A value *available at* a week on treatment is refused in a "
        "baseline model. A `*` stands for any ending.",
    ]
    for panel, rows in table.groupby("panel", sort=False):
        lines += [
            "",
            f"## {panel}: {load_schema(str(panel)).title}",
            "",
            "| name | unit | direction | available at | definition | source |",
            "|---|---|---|---|---|---|",
        ]
        for row in rows.to_dict("records"):
            unit = row["unit"] or {"boolean": "yes/no", "levels": "levels"}.get(row["type"], "")
            text = f"{row['title']}. {row['definition']}"
            cells = (f"`{row['name']}`", unit, row["direction"], row["available_at"], text)
            line = " | ".join(str(cell).replace("|", "\\|") for cell in (*cells, row["source"]))
            lines.append(f"| {line} |")
    return "\n".join(lines) + "\n"

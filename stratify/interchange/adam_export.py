"""Risks, recommendations and labels as an ADaM-like dataset, one row a parameter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stratify.errors import DataError
from stratify.interchange.source_data import rows_text
from stratify.tables.tabular import make_folder, write_table, written_whole

__all__ = ["AdamExport"]

# Longest text of a SAS transport file, version 5, in bytes.
_LONGEST = 200
# Parameter, its title, and the columns of its number and of its text.
_OF_SCORES = (
    ("RISK", "Calibrated probability of resistance", "risk", None),
    ("RISKLO", "Lower limit of its interval at the model's level", "risk_low", None),
    ("RISKHI", "Upper limit of its interval at the model's level", "risk_high", None),
    ("RECOMM", "Recommendation by the policy", None, "recommendation"),
)
_OF_LABELS = ("RESIST", "Resistance in follow-up", "label", "state")


@dataclass(frozen=True)
class AdamExport:
    """``ADRISK.csv`` and ``ADRISK.xpt`` (SAS transport, version 5).

    Parameters are RISK, RISKLO, RISKHI (AVAL, a probability), RECOMM (AVALC) and RESIST (AVAL 1
    primary resistance or non-response, 0 not; AVALC the state); REASON says why. A risk or
    recommendation without a value has no row.

    Examples
    --------
    >>> import tempfile
    >>> from stratify.tables.schema import load_schema
    >>> scores = pd.DataFrame({name: ["x"] for name in load_schema("scores").fields})
    >>> scores = scores.assign(risk=0.4, risk_low=0.3, risk_high=0.5, recommendation="refer")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = pd.read_csv(AdamExport().write(scores, None, Path(folder))[0])
    >>> table[["PARAMCD", "AVAL", "AVALC"]].values.tolist()
    [['RISK', 0.4, nan], ['RISKLO', 0.3, nan], ['RISKHI', 0.5, nan], ['RECOMM', nan, 'refer']]
    """

    name: str = "adam"
    title: str = "CDISC ADaM: ADRISK.csv and ADRISK.xpt, one row a parameter"

    def write(self, scores: pd.DataFrame, labels: pd.DataFrame | None, folder: Path) -> list[Path]:
        """Write both files."""
        import pyreadstat

        rows = [_parameter(scores, *each) for each in _OF_SCORES]
        rows = [part[part["AVAL"].notna() | (part["AVALC"] != "")] for part in rows]
        if labels is not None:
            rows.append(_parameter(labels, *_OF_LABELS))
        keys = ["STUDYID", "USUBJID"]
        table = pd.concat(rows).sort_values(keys, kind="stable", ignore_index=True)
        for column in table.columns.drop("AVAL"):
            long = table[column].map(lambda text: len(text.encode())) > _LONGEST
            if long.any():
                raise DataError(
                    f"ADRISK: texts of {column} have more than {_LONGEST} bytes "
                    f"({rows_text(long)}), the most that a SAS transport file takes. Shorten them."
                )
        paths = [make_folder(folder) / f"ADRISK{ending}" for ending in (".csv", ".xpt")]
        title = "Risk of resistance, research use only"
        write_table(table, paths[0])
        with written_whole(paths[1]) as file:
            pyreadstat.write_xport(
                table, str(file), title, table_name="ADRISK", file_format_version=5
            )
        return paths


def _parameter(
    table: pd.DataFrame, code: str, title: str, value: str | None, text: str | None
) -> pd.DataFrame:
    """Rows of one parameter, in ADaM's names."""
    columns: dict[str, Any] = {
        "STUDYID": table["cohort"],
        "USUBJID": table["patient_id"],
        "PARAMCD": code,
        "PARAM": title,
        "AVAL": float("nan") if value is None else table[value].astype(float),
        "AVALC": "" if text is None else table[text],
        "AVISIT": "BASELINE",
        "REASON": "" if text is None else table["reason"],
        "ENDPRULE": table["endpoint_rule"],
        "MODELVER": table.get("model_version", ""),
        "FLAGS": table.get("flags", ""),
    }
    rows = pd.DataFrame(columns, index=table.index)
    texts = rows.columns.drop("AVAL")
    filled = rows[texts].astype(object).where(rows[texts].notna(), "").astype(str)
    return rows.assign(**filled)

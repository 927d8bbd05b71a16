"""Risks, recommendations and labels as a table of patients that cBioPortal loads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stratify.errors import DataError
from stratify.interchange.source_data import rows_text
from stratify.tables.schema import load_schema
from stratify.tables.tabular import make_folder, written_whole

__all__ = ["CbioportalExport"]

_KEYS = ["patient_id", "cohort"]
_STATE = {"state": "state", "reason": "state_reason"}


@dataclass(frozen=True)
class CbioportalExport:
    """``data_clinical_patient_stratify.txt``, with cBioPortal's four header rows.

    Examples
    --------
    >>> import tempfile
    >>> scores = pd.DataFrame({name: ["x"] for name in load_schema("scores").fields})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = CbioportalExport().write(scores, None, Path(folder))[0]
    ...     print(path.read_text().splitlines()[4].expandtabs(1)[:42])
    PATIENT_ID STRATIFY_RISK STRATIFY_RISK_LOW
    """

    name: str = "cbioportal"
    title: str = "cBioPortal: data_clinical_patient_stratify.txt, one row a patient"

    def write(self, scores: pd.DataFrame, labels: pd.DataFrame | None, folder: Path) -> list[Path]:
        """Write the file."""
        table, fields = scores, dict(load_schema("scores").fields)
        if labels is not None:
            known = load_schema("labels").fields
            fields |= {name: known[column] for column, name in _STATE.items()}
            states = labels[[*_KEYS, *_STATE]].rename(columns=_STATE)
            table = scores.merge(states, on=_KEYS, how="left")
        del fields["cohort"]
        _check_identifiers(table["patient_id"].astype(str))
        others = list(fields)[1:]
        heads = [
            ["Patient identifier", *(f"Stratify {name.replace('_', ' ')}" for name in others)],
            [entry.description for entry in fields.values()],
            ["NUMBER" if entry.type == "number" else "STRING" for entry in fields.values()],
            ["1"] * len(fields),
        ]
        names = ["PATIENT_ID", *(f"STRATIFY_{name.upper()}" for name in others)]
        text = "".join("#" + "\t".join(head) + "\n" for head in heads)
        text += table[list(fields)].to_csv(sep="\t", index=False, na_rep="NA", header=names)
        path = make_folder(folder) / "data_clinical_patient_stratify.txt"
        with written_whole(path) as file:
            file.write_text(text, encoding="utf-8")
        return [path]


def _check_identifiers(ids: pd.Series) -> None:
    odd = ~ids.str.fullmatch(r"[A-Za-z0-9._-]+")
    for wrong, found, remedy in (
        (ids.duplicated(keep=False), "that stand more than once", "Write one file a cohort"),
        (odd, "with other signs than letters, digits, '.', '_' and '-'", "Rename them"),
    ):
        if wrong.any():
            raise DataError(
                f"scores: identifiers {found} ({rows_text(wrong)}), which cBioPortal does not "
                f"take. {remedy}."
            )

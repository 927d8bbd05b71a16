"""A request to a served model: what was sent is read, checked row by row, and scored.

Values that cannot be are findings; such a patient gets no risk, the others do.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratify.scoring import ResistanceModel
from stratify.tables.findings import Findings
from stratify.tables.schema import field_named, load_schema

__all__ = ["answered", "as_request", "json_ready", "kind_of", "score_request"]

REASONS = 3  # features named as the main reasons of a risk
LONGEST_TEXT = 200  # characters of an identifier or a level
MOST_PATIENTS = 10_000  # in one request
ANSWERS = {
    "top_reasons": "string",
    "features_missing": "string",
    "findings": "string",
}


def kind_of(name: str) -> str:
    """Type of a feature in a signature.

    Examples
    --------
    >>> kind_of("tmb"), kind_of("sex")
    ('double', 'string')
    """
    return "string" if field_named(name).categorical else "double"


def answered() -> dict[str, str]:
    """Columns of an answer and their types."""
    scores = load_schema("scores").fields
    own = {name: "double" if field.type == "number" else "string" for name, field in scores.items()}
    return {**own, **ANSWERS}


def as_request(table: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    """Table of any types as the signature asks: numbers and yes/no as doubles, levels as text.

    MLflow refuses categories in a table given to ``pyfunc`` in Python (not in JSON or CSV sent to
    a server).

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        Canonical columns, any of them absent.

    Examples
    --------
    >>> table = pd.DataFrame({"age": [61, 70], "sex": pd.Categorical(["female", "male"])})
    >>> as_request(table, ["age", "sex", "tmb"]).dtypes.astype(str).to_dict()
    {'age': 'float64', 'sex': 'object'}
    """
    kinds = {"patient_id": "string", **{name: kind_of(name) for name in features}}
    return pd.DataFrame(
        {
            name: table[name].astype("float64" if kind == "double" else "object")
            for name, kind in kinds.items()
            if name in table
        },
        index=table.index,
    )


def score_request(model: ResistanceModel, request: pd.DataFrame) -> pd.DataFrame:
    """Score the patients of a request.

    Parameters
    ----------
    request : DataFrame of shape (n_patients, ...)
        Canonical columns, any of them absent; ``patient_id`` is a number where it is absent.

    Returns
    -------
    DataFrame of shape (n_patients, 18)
        As in the ``scores`` dictionary, then ``top_reasons`` (features that move the risk most,
        with sign), ``features_missing`` and ``findings``: what is wrong with a row, by column. A
        row without identifier or with values that cannot be has no risk; one whose values
        contradict each other has.
    """
    inputs = model.inputs
    _check_request(request, inputs)
    table = request.reset_index(drop=True)
    stated = table.get("patient_id")
    known = [name for name in ("patient_id", *inputs) if name in table]
    table = table[known].assign(cohort="request")
    patients = model.prepare(table, findings=Findings())
    found, sound = patients.findings_by_patient(), patients.sound
    if stated is not None:
        nameless = stated.isna().to_numpy()
        found[nameless] = [
            f"missing_identifier:patient_id;{text}".rstrip(";") for text in found[nameless]
        ]
        sound &= ~nameless
    scores = model.score_table(patients.take(sound), top=REASONS)
    scores["top_reasons"] = _in_words(scores)
    names = np.array(model.classifier.features_, dtype=object)
    scores["features_missing"] = [";".join(names[row]) for row in patients.columns.missing[sound]]
    if not sound.all():
        scores = scores.astype(object).set_axis(np.flatnonzero(sound)).reindex(range(len(table)))
    answer = scores.assign(patient_id=patients.values["patient_id"], findings=found)
    answer["cohort"] = "request"
    for name, kind in answered().items():
        if kind == "double":
            answer[name] = answer[name].astype(float)
    return answer[list(answered())]


def _check_request(request: pd.DataFrame, features: list[str]) -> None:
    if len(request) > MOST_PATIENTS:
        raise ValueError(
            f"The request has {len(request)} patients; send at most {MOST_PATIENTS} at once."
        )
    # MLflow gives a table without rows where it knows no column
    if not len(request) or not any(name in request for name in features):
        raise ValueError(
            "The request has no patient, or none of the model's features. Expected, any of them "
            f"absent: {', '.join(features)}."
        )
    if not isinstance(request.index, pd.RangeIndex) and request.index.dtype == object:
        raise ValueError("Rows have more fields than the header; send one value a column.")
    if isinstance(request.index, pd.MultiIndex) or request.index.dtype.kind == "f":
        raise ValueError("Rows have more fields than the header; send one value a column.")
    if "patient_id" not in request:
        return
    identifiers = request["patient_id"].dropna().astype(str)
    if twice := int(identifiers.duplicated().sum()):
        raise ValueError(f"{twice} rows repeat a patient_id; send one row a patient.")
    if long := int((identifiers.str.len() > LONGEST_TEXT).sum()):
        raise ValueError(
            f"{long} identifiers are longer than {LONGEST_TEXT} characters; send pseudonyms."
        )


def _in_words(scores: pd.DataFrame) -> list[str]:
    """Features with the largest contributions, ``+`` where they raise the risk."""
    pairs = [
        (scores[f"reason_{k}"].to_numpy(), scores[f"reason_{k}_shap"].to_numpy())
        for k in range(1, REASONS + 1)
    ]
    return [
        ";".join(
            f"{'+' if values[i] > 0 else '-'}{names[i]}"
            for names, values in pairs
            if values[i] and names[i] is not None
        )
        for i in range(len(scores))
    ]


def json_ready(answer: pd.DataFrame) -> pd.DataFrame:
    """Table whose missing values and empty texts are JSON's null."""

    def ready(column: pd.Series) -> pd.Series:
        if column.dtype == np.float64:
            known = column.notna()
            return column if known.all() else column.astype(object).where(known, None)
        values = [None if value == "" or pd.isna(value) else value for value in column]
        return pd.Series(values, index=column.index, dtype=object)

    return pd.DataFrame({name: ready(column) for name, column in answer.items()})

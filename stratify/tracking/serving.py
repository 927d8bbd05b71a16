"""The model as MLflow serves it: a table of features in, risks with their doubt and reasons out.

The logged model is code that loads our bundle; nothing is pickled. Values that cannot be are told
row by row; such a patient gets no risk, the others do.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.cohort.features import model_matrix
from stratify.scoring import ResistanceModel, load
from stratify.tables.schema import field_named, load_schema

if TYPE_CHECKING:
    from stratify.tracking.record import RunRecord

__all__ = ["as_request", "log_model", "score_request", "scoring_model"]

# what `mlflow models` executes to load a model: our class around our bundle
MODEL_CODE = """\
import mlflow

from stratify.tracking.serving import scoring_model

mlflow.models.set_model(scoring_model())
"""
PINNED = ("lightgbm", "numpy", "pandas", "scikit-learn", "shap", "mlflow", "stratify-immuno")
REASONS = 3  # features named as the main reasons of a risk
LONGEST_TEXT = 200  # characters of an identifier or a level
MOST_PATIENTS = 10_000  # in one request
ANSWERS = {
    "top_reasons": "string",
    "features_missing": "string",
    "findings": "string",
}


def log_model(client: Any, run_id: str, record: RunRecord, bundle: Path) -> str:
    """Log a bundle as the model of a run and register it; done once, however often it is sent.

    Returns
    -------
    str
        MLflow's id of the model.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from stratify.tracking.registry import register

    run = client.get_run(run_id)
    model = load(bundle)
    if not (run.outputs and run.outputs.model_outputs):
        kinds = {name: _kind(name) for name in model.classifier.features_}
        inputs = [
            ColSpec(kind, name, required=False)
            for name, kind in {"patient_id": "string", **kinds}.items()
        ]
        outputs = [ColSpec(kind, name, required=False) for name, kind in _answered().items()]
        versions = model.card["package_versions"]
        with tempfile.TemporaryDirectory() as folder:
            code = Path(folder) / "model.py"
            code.write_text(MODEL_CODE, encoding="utf-8")
            with mlflow.start_run(run_id=run_id):
                mlflow.pyfunc.log_model(
                    name="model",
                    python_model=str(code),
                    artifacts={"bundle": str(bundle)},
                    signature=ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs)),
                    input_example=_example(kinds),
                    pip_requirements=[f"{name}=={versions[name]}" for name in PINNED],
                )
    return register(client, run_id, record, model)


def _kind(name: str) -> str:
    return "string" if field_named(name).categorical else "double"


def _answered() -> dict[str, str]:
    """Columns of an answer and their types."""
    scores = load_schema("scores").fields
    own = {name: "double" if field.type == "number" else "string" for name, field in scores.items()}
    return {**own, **ANSWERS}


def _example(kinds: dict[str, str]) -> pd.DataFrame:
    """Two made-up patients in the middle of usual values; the second lacks every other feature."""
    rows: list[dict[str, Any]] = []
    for k in range(2):
        row: dict[str, Any] = {"patient_id": f"example {k + 1}"}
        for j, name in enumerate(kinds):
            field = field_named(name)
            middle = field.typical or field.limits or (0.0, 1.0)
            value = (
                (field.enum[0] if field.enum else None) if field.categorical else sum(middle) / 2
            )
            row[name] = value if k == 0 or j % 2 else None
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.astype({n: float if kind == "double" else object for n, kind in kinds.items()})


def as_request(table: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    """Table of any types as the signature asks: numbers and yes/no as doubles, levels as text.

    MLflow refuses whole numbers, yes/no and categories in a table given to ``pyfunc`` in Python
    (not in JSON or CSV sent to a server), since it will not widen them.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        Canonical columns, any of them absent.
    features : list of str
        Of the model: its signature's names.

    Returns
    -------
    DataFrame
        ``patient_id`` and the features that are there.

    Examples
    --------
    >>> table = pd.DataFrame({"age": [61, 70], "sex": pd.Categorical(["female", "male"])})
    >>> as_request(table, ["age", "sex", "tmb"]).dtypes.astype(str).to_dict()
    {'age': 'float64', 'sex': 'object'}
    """
    kinds = {"patient_id": "string", **{name: _kind(name) for name in features}}
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
    model : ResistanceModel
    request : DataFrame of shape (n_patients, ...)
        Canonical columns, any of them absent; ``patient_id`` is a number where it is absent.

    Returns
    -------
    DataFrame of shape (n_patients, 18)
        As in the ``scores`` dictionary, then ``top_reasons`` (features that move the risk most,
        with sign), ``features_missing`` and ``findings``: what is wrong with a row, by column. A
        row with findings has no risk.

    Raises
    ------
    ValueError
        If nothing in the request can be scored: no feature at all, no patient or too many of them,
        rows longer than the header, or a patient twice.
    """
    features = model.classifier.features_
    _check_request(request, features)
    table = request.reset_index(drop=True)
    if "patient_id" not in table:
        table["patient_id"] = [str(i + 1) for i in range(len(table))]
    table["cohort"] = "request"
    found = _row_findings(table, features)
    bad = (found != "").to_numpy()
    usable = table[~bad].reset_index(drop=True)
    matrix = model_matrix(usable, features)
    scores = model.score_cohort(pd.concat([usable[["patient_id", "cohort"]], matrix], axis=1))
    scores["top_reasons"] = _top_reasons(model, matrix)
    names = np.array(features, dtype=object)
    missing = matrix.isna().to_numpy()
    scores["features_missing"] = [";".join(names[row]) for row in missing]
    answer = scores.astype(object).set_axis(np.flatnonzero(~bad)).reindex(range(len(table)))
    answer["patient_id"], answer["findings"] = table["patient_id"].to_numpy(), found
    answer["cohort"] = "request"
    for name, kind in _answered().items():
        if kind == "double":
            answer[name] = answer[name].astype(float)
    return answer[list(_answered())]


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


def _row_findings(table: pd.DataFrame, features: list[str]) -> pd.Series:
    """Tell what is wrong with each row, as ``code:column`` separated by semicolons.

    The codes are those of the findings about a study's files.
    """
    found: list[list[str]] = [[] for _ in range(len(table))]

    def tell(code: str, name: str, rows: npt.NDArray[np.bool_]) -> None:
        for i in np.flatnonzero(rows):
            found[i].append(f"{code}:{name}")

    tell("missing_identifier", "patient_id", table["patient_id"].isna().to_numpy())
    for name in (name for name in features if name in table):
        field, column = field_named(name), table[name]
        known = column.notna().to_numpy()
        if field.categorical:
            texts = column.astype(object).where(column.notna(), "").astype(str)
            unknown = ~texts.isin(field.enum) if field.enum else texts.str.len() > LONGEST_TEXT
            tell("unknown_category", name, known & unknown.to_numpy(dtype=bool))
            continue
        values = column.astype(float).to_numpy()
        infinite = np.isinf(values)
        if field.type == "boolean":
            outside = ~np.isin(values, (0.0, 1.0))
        else:
            low = -np.inf if field.minimum is None else field.minimum
            high = np.inf if field.maximum is None else field.maximum
            outside = (values < low) | (values > high)
        tell("not_numeric", name, infinite)
        tell("outside_limits", name, known & outside & ~infinite)
    return pd.Series([";".join(codes) for codes in found], dtype=object)


def _top_reasons(model: ResistanceModel, matrix: pd.DataFrame) -> list[str]:
    """Features with the largest contributions, ``+`` where they raise the risk."""
    if not len(matrix):
        return []
    contributions = model.classifier.contributions(matrix)[0]
    names = list(model.classifier.features_)
    leading = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :REASONS]
    return [
        ";".join(
            f"{'+' if contributions[i, j] > 0 else '-'}{names[j]}"
            for j in row
            if contributions[i, j]
        )
        for i, row in enumerate(leading)
    ]


def scoring_model() -> Any:
    """Model that ``mlflow models serve`` loads: :func:`score_request` around the run's bundle.

    Returns
    -------
    mlflow.pyfunc.PythonModel
        A request that cannot be scored at all is answered with 400 and the reason.
    """
    import mlflow

    class ScoringModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def load_context(self, context: Any) -> None:
            self.model = load(context.artifacts["bundle"])

        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            try:
                answer = score_request(self.model, model_input)
            except ValueError as error:
                raise mlflow.exceptions.MlflowException.invalid_parameter_value(
                    str(error)
                ) from None
            return json_ready(answer)

    return ScoringModel()


def json_ready(answer: pd.DataFrame) -> pd.DataFrame:
    """Table whose missing values and empty texts are JSON's null."""
    known = answer.notna() & (answer != "")
    return pd.DataFrame(
        {
            name: column if known[name].all() else column.astype(object).where(known[name], None)
            for name, column in answer.items()
        }
    )

"""The model as MLflow serves it: a table of features in, risks with their doubt and reasons out.

The logged model is code that loads our bundle; nothing is pickled.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from stratify.scoring import load
from stratify.tables.schema import field_named
from stratify.tracking.request import answered, json_ready, kind_of, score_request

if TYPE_CHECKING:
    from stratify.tracking.record import RunRecord

__all__ = ["log_model", "scoring_model"]

# what `mlflow models` executes to load a model: our class around our bundle
MODEL_CODE = """\
import mlflow

from stratify.tracking.serving import scoring_model

mlflow.models.set_model(scoring_model())
"""
PINNED = ("lightgbm", "numpy", "pandas", "scikit-learn", "shap", "mlflow", "stratify-immuno")


def log_model(client: Any, run_id: str, record: RunRecord, bundle: Path) -> str:
    """Log a bundle as the model of a run and register it; done once, however often it is sent."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    from stratify.tracking.registry import register

    run = client.get_run(run_id)
    if not (run.outputs and run.outputs.model_outputs):
        kinds = {name: kind_of(name) for name in load(bundle).inputs}
        inputs = [  # a double would refuse whole numbers, of which ages and counts are
            ColSpec(AnyType() if kind == "double" else kind, name, required=False)
            for name, kind in {"patient_id": "string", **kinds}.items()
        ]
        outputs = [ColSpec(kind, name, required=False) for name, kind in answered().items()]
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
                    pip_requirements=[
                        f"{name}=={record.params[f'version.{name}']}" for name in PINNED
                    ],
                )
    return register(client, run_id, record)


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


def scoring_model() -> Any:
    """Model that ``mlflow models serve`` loads: :func:`score_request` around the run's bundle."""
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

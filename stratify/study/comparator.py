"""A column that results are compared with: the `references` of a study file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stratify.tables.schema import field_named
from stratify.tables.strict import Strict

__all__ = ["Comparator"]


def _numeric(name: str) -> str:
    field = field_named(name)
    if not (field.numeric or field.type == "boolean") or field.role == "outcome":
        raise ValueError(f"{name} is no score or marker in numbers")
    return name


class Comparator(Strict):
    """A score that a study brings, judged on the same patients as the model.

    Attributes
    ----------
    name, title, source : str
        The name stands in tables; title and source in reports.
    column : str
        Column of the dictionary: ``comparator_...`` of the panel ``comparators``, or any marker
        in numbers.
    higher_is : {"risk", "response"}
        What a higher value stands for.
    kind : {"probability", "score"}
        A probability (0 to 1, of resistance or of response) is judged on calibration too.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    column: Annotated[str, AfterValidator(_numeric)]
    higher_is: Literal["risk", "response"]
    kind: Literal["probability", "score"] = "score"
    title: str = ""
    source: str = ""

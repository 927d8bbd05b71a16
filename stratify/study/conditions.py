"""Conditions on one marker: whether it is met, or cannot be known; and the names of markers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field

from stratify.tables.bounds import reaches
from stratify.tables.schema import field_named
from stratify.tables.strict import Place, Strict, as_text

__all__ = ["Biomarker", "Condition", "Contraindication", "Marker", "NamedColumn", "Text"]

Text = Annotated[str, Field(min_length=3)]


def _has_role(*roles: str) -> AfterValidator:
    def checked(name: str) -> str:
        field = field_named(name)
        if field.role not in roles and not field.enters_models:
            raise ValueError(f"{name} is no biomarker")
        return name

    return AfterValidator(checked)


Biomarker = Annotated[str, _has_role("feature")]
Marker = Annotated[str, _has_role("feature", "design")]


class NamedColumn(NamedTuple):
    """A column that a study names: at which place, and whether nothing is done without it."""

    place: Place
    name: str
    required: bool = False


class Condition(Strict):
    """What one marker must be: a level, or a number at least or below a limit.

    Examples
    --------
    >>> table = pd.DataFrame({"ecog": [0, 3, None]})
    >>> Condition(marker="ecog", at_least=2).holds(table).tolist()
    [False, True, None]
    """

    marker: Marker
    equals: bool | str | None = None
    at_least: float | None = None
    below: float | None = None

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Conditions that say nothing or two things."""
        stated = [key for key in ("equals", "at_least", "below") if data.get(key) is not None]
        if len(stated) != 1:
            found = " and ".join(stated) or "none"
            yield (), f"one of equals, at_least and below is expected, found {found}"

    def holds(self, table: pd.DataFrame) -> pd.Series:
        """Whether it holds for each patient.

        None where the marker is not recorded, or was reported as an interval that spans the limit.
        """
        values = table.get(self.marker, pd.Series(None, index=table.index, dtype=object))
        if self.equals is not None:
            met = values == self.equals
        else:
            reached = reaches(table, self.marker, self._limit)
            met = pd.Series(reached == (self.at_least is not None), index=table.index)
            values = pd.Series(reached, index=table.index)
        return met.astype(object).where(values.notna(), None)

    @property
    def _limit(self) -> float:
        return next(x for x in (self.at_least, self.below, np.nan) if x is not None)

    def __str__(self) -> str:
        """Words of the condition, for reasons and reports."""
        if self.equals is not None:
            return f"{self.marker} is {as_text(self.equals)}"
        if self.at_least is not None:
            return f"{self.marker} is {self.at_least:g} or more"
        return f"{self.marker} is below {self.below:g}"


class Contraindication(Condition):
    """A condition that speaks against a treatment, whatever the risk.

    ``against: combination`` rules out that alone, ``any`` every checkpoint inhibitor.
    """

    against: Literal["monotherapy", "combination", "any"]
    source: Text

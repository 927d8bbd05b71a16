"""What every section of a study file obeys: unknown keys are faults; all faults come at once.

Texts that YAML reads as numbers or yes/no are texts again where a text is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

__all__ = [
    "Level",
    "Name",
    "Pattern",
    "Place",
    "Strict",
    "Texts",
    "as_text",
    "list_of",
    "mapping_of",
    "one_of",
]


def as_text(value: object) -> str:
    """Text of a value that YAML read as a number or as true or false."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def keys_as_text(value: object) -> object:
    if isinstance(value, dict):
        return {as_text(key): level for key, level in value.items()}
    return value


def _items_as_text(value: object) -> object:
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return value


def one_of(what: str, *kinds: type) -> BeforeValidator:
    """One fault where pydantic would report one for each kind of a union."""

    def checked(value: object) -> object:
        if value is not None and not isinstance(value, kinds):
            raise ValueError(f"{what} is expected")
        return value

    return BeforeValidator(checked)


Level = Annotated[
    bool | int | float | str | None,
    one_of("a number, a text, true or false", bool, int, float, str),
]
Name = Annotated[str, AfterValidator(lambda name: " ".join(name.split()))]  # spaces as in headers
Texts = Annotated[list[str], BeforeValidator(_items_as_text)]
OneOrMore = Annotated[
    list[str],
    BeforeValidator(lambda given: _items_as_text(given if isinstance(given, list) else [given])),
    Field(min_length=1),
]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
Place = tuple[str | int, ...]


# pydantic's kinds of fault in the words of a study file
_WORDS = {
    "extra_forbidden": "unknown key",
    "missing": "required, but not stated",
    "string_pattern_mismatch": "letters, digits, '_', '.' and '-' are expected",
}


def mapping_of(value: object) -> dict[str, Any]:
    """Take the mapping that a key holds, empty where it holds something else."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    """Take the list that a key holds, empty where it holds something else."""
    return value if isinstance(value, list) else []


class Strict(BaseModel):
    """Unknown keys are faults, and all faults are reported at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Faults between keys, found in the raw mapping, which may be wrong in other ways too."""
        yield from ()

    def conflicts(self) -> Iterator[tuple[Place, str]]:
        """Faults between values, looked for once every key by itself is right."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _every_fault(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # pydantic's own checks between keys are passed over as soon as one key is wrong
        faults: list[tuple[Place, str]] = []
        model = None
        try:
            model = handler(data)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_input=False):
                text = _WORDS.get(item["type"], item["msg"].removeprefix("Value error, "))
                if item["type"] == "extra_forbidden":
                    near = get_close_matches(str(item["loc"][-1]), cls.model_fields, n=2)
                    text += f"; near keys are {', '.join(near)}" if near else ""
                place = tuple(step for step in item["loc"] if step != "[key]")
                faults.append((place, text))
        if isinstance(data, dict):
            faults += cls.contradictions(data)
        if model is not None and not faults:
            faults += model.conflicts()
        if model is not None and not faults:
            return model
        raise ValidationError.from_exception_data(
            cls.__name__,
            [
                InitErrorDetails(type=PydanticCustomError("fault", text), loc=loc, input=None)
                for loc, text in faults
            ],
        )

"""Faults of a YAML file: where each stands, and all of them in one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from stratify.errors import DataError
from stratify.tables.documents import LinesOfYaml
from stratify.tables.strict import Place

__all__ = ["Fault", "faults_in_words", "faults_of", "located", "without_faults"]

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Fault:
    """What is wrong at one place of a YAML file.

    Attributes
    ----------
    place : tuple of str and int
        Keys and positions that lead there.
    text : str
    line : int or None
        Line of the file, counted from 1; None where the data did not come from a file.
    file : str
        Name of the file where it is not the one that was asked for: it holds the section that
        the first key of the place names.

    Examples
    --------
    >>> str(Fault(("policy", "source"), "required, but not stated", 7))
    'line 7, policy.source: required, but not stated'
    """

    place: Place
    text: str
    line: int | None = None
    file: str = ""

    def __str__(self) -> str:
        line = "" if self.line is None else f"line {self.line}"
        within = self.place[1:] if self.file else self.place
        where = [self.file, line, ".".join(map(str, within))]
        return ": ".join(filter(None, [", ".join(filter(None, where)), self.text]))

    def of(self, name: str) -> str:
        """Sentence that names the file, which is `name` where it is the one that was asked for."""
        return f"{self}." if self.file else f"{name}, {self}."


def faults_of(error: ValidationError) -> list[tuple[Place, str]]:
    """Places and texts of what pydantic found."""
    return [
        (item["loc"], item["msg"].removeprefix("Value error, ").removesuffix("."))
        for item in error.errors(include_url=False, include_input=False)
    ]


def located(faults: Iterable[tuple[Place, str]], path: Path | None, file: str = "") -> list[Fault]:
    """Faults with their lines in a file, in the order of the lines.

    With `file`, the file holds only the section that the first key of each place names.
    """
    if path is None:
        return [Fault(place, text, None, file) for place, text in faults]
    lines = LinesOfYaml(path.read_text(encoding="utf-8-sig"))
    found = [
        Fault(place, text, lines.of(place[1:] if file else place), file) for place, text in faults
    ]
    return sorted(found, key=lambda fault: fault.line or 0)


def without_faults(
    model: type[Model], document: Mapping[str, Any], what: str, path: Path | None = None
) -> Model:
    """Object of a document, of a file where there is one."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults = located(faults_of(error), path)
        raise DataError(f"{path or what}: {faults_in_words(faults, what)}") from None


def faults_in_words(faults: Iterable[Fault], what: str) -> str:
    """Message that lists all faults, one a line.

    Examples
    --------
    >>> print(faults_in_words([Fault(("seed",), "a number is expected", 3)], "study file"))
    1 fault in the study file:
      line 3, seed: a number is expected
    """
    faults = list(faults)
    count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
    return f"{count} in the {what}:\n  " + "\n  ".join(map(str, faults))

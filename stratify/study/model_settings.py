"""Settings of the classifier: what each may be, in a study file and in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from stratify.errors import ArgumentError
from stratify.study.conditions import Biomarker
from stratify.tables.faults import faults_of
from stratify.tables.strict import Place, Strict, list_of, mapping_of

__all__ = ["ModelSettings", "check_settings"]

_WHOLE, _NUMBER = (int, np.integer), (int, float, np.integer, np.floating)
_TINY, _MOST = 1e-9, 1e9
_FEATURE = TypeAdapter(Biomarker)


def _expected(words: str, fits: Callable[[Any], bool]) -> BeforeValidator:
    def checked(value: Any) -> Any:
        if isinstance(value, bool) or not fits(value):
            raise ValueError(f"{words} is expected")
        return value.item() if isinstance(value, np.generic) else value

    return BeforeValidator(checked)


def _number(words: str, least: float, most: float, kinds: Any = _NUMBER) -> BeforeValidator:
    return _expected(words, lambda value: isinstance(value, kinds) and least <= value <= most)


Two = Annotated[int, _number("a whole number of at least 2", 2, _MOST, _WHOLE)]
One = Annotated[int, _number("a whole number of at least 1", 1, _MOST, _WHOLE)]
Zero = Annotated[int, _number("a whole number of at least 0", 0, _MOST, _WHOLE)]
Rate = Annotated[float, _number("a number above 0, at most 1", _TINY, 1)]
Masked = Annotated[float, _number("a share from 0 to below 1", 0, 1 - _TINY)]


def _folds(value: int) -> int:
    if value == 1:
        raise ValueError("0 or at least 2 is expected")
    return value


class ModelSettings(Strict):
    """The `model` section of a study file.

    ``tune`` is how many settings are tried inside the training patients; the others are those of
    :class:`stratify.model.classifier.ResistanceClassifier`, with its defaults.

    Examples
    --------
    >>> ModelSettings(n_members=5, tune=10).parameters
    {'n_members': 5}
    """

    n_members: Two = 20
    n_estimators: One = 100
    learning_rate: Rate = 0.03
    num_leaves: Two = 8
    min_child_samples: One = 20
    reg_lambda: Annotated[float, _number("a number of at least 0", 0, _MOST)] = 5.0
    feature_fraction: Rate = 0.4
    max_bin: Two = 63
    mask_value: Masked = 0.3
    mask_panel: Masked = 0.2
    masked_weight: Annotated[float, _number("a weight from 0 to 1", 0, 1)] = 0.5
    anchor: Annotated[
        Literal["all"] | list[str] | None,
        _expected(
            "'all', null or a list of features",
            lambda value: (
                value in (None, "all")
                or (isinstance(value, list) and all(isinstance(name, str) for name in value))
            ),
        ),
    ] = "all"
    anchor_variance: Annotated[float, _number("a number above 0", _TINY, _MOST)] = 1.5
    anchor_start: Annotated[float, _number("a share from 0 to 1", 0, 1)] = 0.5
    capacity: Annotated[
        Literal["chosen", "stated"],
        _expected("'chosen' or 'stated'", lambda value: value in ("chosen", "stated")),
    ] = "chosen"
    panels: dict[str, str] | None = None
    monotone: Annotated[
        Literal["schema"] | dict[str, int] | None,
        _expected(
            "'schema', null or a mapping of features to -1, 0 or 1",
            lambda value: (
                value in (None, "schema")
                or (isinstance(value, dict) and set(value.values()) <= {-1, 0, 1})
            ),
        ),
    ] = "schema"
    calibration_folds: Annotated[Zero, BeforeValidator(_folds)] = 5
    interval_level: Annotated[float, _number("a level between 0 and 1", _TINY, 1 - _TINY)] = 0.8
    tune: Zero = 0

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Names that are no features."""
        named: dict[Place, object] = {
            ("anchor", i): name for i, name in enumerate(list_of(data.get("anchor")))
        }
        for key in ("panels", "monotone"):
            named |= {(key, name): name for name in mapping_of(data.get(key))}
        for place, name in named.items():
            try:
                _FEATURE.validate_python(name)
            except ValidationError as error:
                yield place, faults_of(error)[0][1]

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the classifier that are stated."""
        return self.model_dump(exclude_unset=True, exclude={"tune"})


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse numbers that mean nothing."""
    elsewhere = {"anchor", "panels", "monotone", "n_jobs", "random_state"}  # checked where used
    numbers = {name: value for name, value in settings.items() if name not in elsewhere}
    try:
        ModelSettings.model_validate({**numbers, "tune": settings["random_state"]})
    except ValidationError as error:
        place, text = faults_of(error)[0]
        name = "random_state" if place[0] == "tune" else str(place[0])
        raise ArgumentError(f"{name} is {settings[name]!r}; {text}.") from None

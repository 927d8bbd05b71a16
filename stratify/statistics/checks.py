"""Checks of arrays of patients, each once, before a number is computed from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from stratify.arrays import Floats
from stratify.errors import ArgumentError

__all__ = ["check_both_classes", "checked"]

_RANGES = {
    "number": (-np.inf, np.inf, "finite numbers"),
    "binary": (0.0, 1.0, "only 0 and 1, where 1 is the event"),
    "probability": (0.0, 1.0, "probabilities from 0 to 1"),
    "time": (0.0, np.inf, "times of 0 or more"),
}


def checked(*arguments: tuple[str, ArrayLike, str]) -> list[Floats]:
    """Give arguments as float arrays of one length, or say what is wrong with them.

    Parameters
    ----------
    *arguments : (str, array_like, {"number", "binary", "probability", "time"})
        Name, values and kind of each.

    Examples
    --------
    >>> checked(("y", [0, 1], "binary"))
    [array([0., 1.])]
    """
    arrays: list[Floats] = []
    for name, values, kind in arguments:
        lowest, highest, expected = _RANGES[kind]
        raw = np.asarray(values)
        try:
            if raw.dtype.kind not in "biufO":  # dates would silently turn into nanoseconds
                raise TypeError
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):  # the original message would quote a patient's value
            message = f"{name} does not hold numbers; expected {expected}: convert it first."
            raise TypeError(message) from None
        if array.ndim != 1 or array.size == 0:
            message = (
                f"{name} has shape {array.shape}; expected (n_patients,) with at least one patient."
            )
            raise ArgumentError(message)
        if arrays and array.size != arrays[0].size:
            message = (
                f"{name} has {array.size} values where {arguments[0][0]} has {arrays[0].size}; "
                "expected one per patient: pass the same patients in the same order."
            )
            raise ArgumentError(message)
        wrong = ~np.isfinite(array)
        problem = "missing or infinite"
        if not wrong.any():
            wrong = (array < lowest) | (array > highest)
            if kind == "binary":
                wrong = (array != 0) & (array != 1)
            problem = "outside the range"
        if wrong.any():
            message = (
                f"{name} has {int(wrong.sum())} of {array.size} values {problem}; expected "
                f"{expected}: mend them or leave those patients out of every array."
            )
            raise ArgumentError(message)
        arrays.append(array)
    return arrays


def check_both_classes(y: Floats) -> None:
    """Refuse patients of one class, for whom a metric is undefined."""
    events = int(y.sum())
    if events in (0, y.size):
        message = (
            f"y has {events} events among {y.size} patients; expected at least one patient with "
            "and one without the event: the metric is undefined, so use a larger cohort."
        )
        raise ArgumentError(message)

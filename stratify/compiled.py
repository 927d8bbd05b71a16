"""Loops compiled by numba: kept on disk where there is a place for it, and logged once.

Importing this module imports numba.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.event import Event, Listener, register

__all__ = ["compiled", "inlined"]

_log = logging.getLogger(__name__)
_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile on first call, and keep the result on disk where there is a place for it."""
    # No fast arithmetic: the same numbers on every machine, for a row alone and among others.
    options: Any = {"nogil": True, "error_model": "numpy"}
    try:
        fast = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        _log.info("No folder for compiled code: compiling in each process.")
        fast = numba.njit(**options)(function)
    return fast  # type: ignore[no-any-return]


class _FirstCompilation(Listener):  # type: ignore[misc]
    """Logs once that loops are compiled; what is kept on disk is not."""

    logged = False

    def on_start(self, event: Event) -> None:
        """Log the first function of ours."""
        module = event.data["dispatcher"].py_func.__module__
        if not self.logged and module.startswith("stratify."):
            self.logged = True
            _log.info("compiling the loops over patients and trees: some 20 s, once")

    def on_end(self, event: Event) -> None:
        """Log nothing."""


_first_compilation = _FirstCompilation()
register("numba:compile", _first_compilation)


def inlined(function: _Function) -> _Function:
    """Write a compiled function into its callers: handing arrays on takes longer than a step."""
    return numba.njit(inline="always")(function)  # type: ignore[no-any-return]

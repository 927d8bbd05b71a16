"""One thread for linear algebra: on few patients, threads only wait for each other."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]


def one_thread() -> AbstractContextManager[Any]:
    """Limit NumPy's and SciPy's linear algebra to one thread, in a ``with`` statement."""
    limited: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limited


@cache
def _libraries() -> ThreadpoolController:
    """Libraries that are loaded; to look for them takes as long as to train a small model."""
    import scipy.linalg  # noqa: F401  # loads a library of its own

    return ThreadpoolController()

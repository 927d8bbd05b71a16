"""Processor time taken in alternating rounds, and what is made of it.

Of this process and those that it starts: what is compared runs on one thread, and other work on the
machine then matters little.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Timed = Callable[[], object]
Three = tuple[float, float, float]  # least, median, greatest


class Measured(NamedTuple):
    """A row of the table: least, median and greatest, by default a ratio of theirs by ours."""

    work: str
    against: str
    found: Three
    unit: str = "x"
    note: str = ""


def used() -> float:
    """Seconds of processor time until now."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def seconds(work: Timed, at_least: float = 0.3) -> float:
    """Seconds of one call, called until `at_least` have passed."""
    calls, start, started = 0, used(), time.perf_counter()
    while time.perf_counter() - started < at_least or used() == start:
        work()
        calls += 1
    return (used() - start) / calls


def ratios(ours: Timed, theirs: Timed, rounds: int, *, per: float = 1.0) -> Three:
    """Time of theirs by ours; `per` is the number of patients of theirs by ours."""
    ours(), theirs()  # compiled and warm
    return three([seconds(theirs) / per / seconds(ours) for _ in range(rounds)])


def three(found: list[float]) -> Three:
    """Least, median and greatest."""
    return min(found), float(np.median(found)), max(found)


def p50(work: Timed, calls: int = 200) -> float:
    """Median seconds of one call."""
    taken = []
    for _ in range(calls):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return float(np.median(taken))

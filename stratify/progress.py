"""Progress in words: how much is done, how fast, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock", "Progress", "time_left"]

Progress = Callable[[str], None]

_EVERY = 5.0  # seconds between two lines


class Clock:
    """Counts what is done and reports it now and then.

    Parameters
    ----------
    what : str
        What is counted, such as ``patients scored``.
    total : int
    progress : callable
        Called with a line.
    done : int
        Done before this clock was started, which does not count for the speed.
    speed : bool
        Whether to report how many a second.
    """

    def __init__(
        self, what: str, total: int, progress: Progress, *, done: int = 0, speed: bool = False
    ) -> None:
        self.what, self.total, self.progress, self.speed = what, total, progress, speed
        self.done = self.before = done
        self.started = self.reported = time.monotonic()

    def tick(self, n: int = 1) -> None:
        """Count `n` more."""
        self.done += n
        now = time.monotonic()
        if now - self.reported < _EVERY:
            return
        self.reported = now
        here, elapsed = self.done - self.before, now - self.started
        speed = f"{here / elapsed:,.0f} a second, " if self.speed else ""
        self.progress(
            f"{self.done:,} of {self.total:,} {self.what}, {speed}"
            f"{time_left(here, self.total - self.before, elapsed)}"
        )


def time_left(done: int, total: int, seconds: float) -> str:
    """Time left at the speed so far.

    Examples
    --------
    >>> time_left(1, 5, 10.0), time_left(30, 100, 300.0), time_left(1, 100, 100.0)
    ('about 40 s left', 'about 12 min left', 'about 2.8 h left')
    """
    left = max(total - done, 0) * seconds / done if done else 0.0
    minutes = round(left / 60)
    if left < 90:
        return f"about {left:.0f} s left"
    return f"about {minutes} min left" if minutes < 90 else f"about {minutes / 60:.1f} h left"

"""Bootstrap samples of patients, and intervals from them: 1000 samples of a fixed seed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from stratify.arrays import Floats
from stratify.statistics.intervals import Estimate

__all__ = ["percentile_interval", "resamples"]

_RESAMPLES = 1000
_SEED = 20_160
_CELLS = 2_000_000  # per block of resamples: 16 MB


def resamples(n: int) -> Iterator[Floats]:
    """Yield blocks of bootstrap counts, shape (b, n); the blocking leaves the draws unchanged."""
    block = max(1, _CELLS // n)
    if block >= _RESAMPLES:
        yield _one_block(n)
        return
    rng = np.random.default_rng(_SEED)
    for start in range(0, _RESAMPLES, block):
        yield _draws(rng, min(block, _RESAMPLES - start), n)


@lru_cache(maxsize=1)
def _one_block(n: int) -> Floats:
    """Keep the draws of the last cohort: all its models and metrics use the same ones."""
    return _draws(np.random.default_rng(_SEED), _RESAMPLES, n)


def _draws(rng: np.random.Generator, rows: int, n: int) -> Floats:
    cells = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
    counts = np.bincount(cells.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
    counts.setflags(write=False)
    return counts


def percentile_interval(value: float, replicates: list[Floats], level: float) -> Estimate:
    """Value with the percentile interval of its replicates; those that are NaN are left out."""
    tail = (1 - level) / 2
    low, high = np.nanquantile(np.concatenate(replicates), [tail, 1 - tail])
    return Estimate(value, float(low), float(high))

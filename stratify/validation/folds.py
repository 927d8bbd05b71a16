"""Folds judged one after the other, or by several processes of one thread each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Flags
from stratify.errors import ArgumentError, StratifyError
from stratify.progress import Progress, time_left

__all__ = ["Rescaled", "each_fold", "split_folds"]

Found = TypeVar("Found")
Rescaled: TypeAlias = Callable[[pd.DataFrame, Flags], pd.DataFrame]


class Fold(NamedTuple):
    """Patients to train on, and patients to judge with their places in the table."""

    home: pd.DataFrame
    away: pd.DataFrame
    test: npt.NDArray[np.intp]


def split_folds(
    table: pd.DataFrame, folds: int | None, seed: int, rescaled: Rescaled | None = None
) -> list[Fold]:
    """Patients in folds, on scales learned from those who train alone.

    So many folds stratified by ``label``; None for one fold a ``cohort``.
    """
    from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold

    split = (
        LeaveOneGroupOut().split(table, groups=table["cohort"])
        if folds is None
        else StratifiedKFold(folds, shuffle=True, random_state=seed).split(table, table["label"])
    )
    found = []
    for train, test in split:
        scaled = table
        if rescaled is not None:
            scaled = rescaled(table, np.isin(np.arange(len(table)), train))
        found.append(Fold(scaled.iloc[train], scaled.iloc[test], test))
    return found


def each_fold(
    judge: Callable[..., Found],
    folds: Sequence[tuple[Any, ...]],
    names: Sequence[str],
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Found]:
    """Judge every fold, in this process or in several; the results are in the order of the folds.

    Examples
    --------
    >>> each_fold(max, [(1, 3), (2, 1)], ["first", "second"])
    [3, 2]
    """
    if not isinstance(workers, int) or workers < 1:
        raise ArgumentError(f"workers is {workers!r}; a whole number of at least 1 is expected.")
    report, started = progress or (lambda _: None), time.monotonic()

    def left(done: int) -> str:
        return f", {time_left(done, len(folds), time.monotonic() - started)}" if done else ""

    if workers == 1:
        found = []
        for k, (name, fold) in enumerate(zip(names, folds, strict=True)):
            report(name + left(k))
            found.append(judge(*fold))
        return found
    from joblib import Parallel, delayed, parallel_config

    results: dict[int, Found] = {}
    calls = (delayed(partial(_numbered, judge))(k, *fold) for k, fold in enumerate(folds))
    try:
        with parallel_config("loky", inner_max_num_threads=1):
            for k, result in Parallel(workers, return_as="generator_unordered")(calls):
                results[k] = result
                report(f"{names[k]} done{left(len(results))}")
    except BrokenProcessPool:
        raise StratifyError(
            "A worker died; perhaps memory ran out. Run the same command again, with fewer workers."
        ) from None
    return [results[k] for k in range(len(folds))]


def _numbered(judge: Callable[..., Found], k: int, *fold: Any) -> tuple[int, Found]:
    return k, judge(*fold)

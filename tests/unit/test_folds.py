"""Folds in turn or by workers: the same order, the time left, a worker that dies."""

from __future__ import annotations

import os
import re

import pytest

from stratify.errors import ArgumentError, StratifyError
from stratify.validation.folds import each_fold

FOLDS = [(3, 1), (4, 2), (9, 5)]
NAMES = [f"fold {k} of 3" for k in (1, 2, 3)]


def test_each_fold_is_told_when_it_begins_with_the_time_left():
    told: list[str] = []
    assert each_fold(max, FOLDS, NAMES, progress=told.append) == [3, 4, 9]
    assert told[0] == "fold 1 of 3"
    assert [re.sub(r", about \d+ s left$", "", line) for line in told] == NAMES
    assert all("left" in line for line in told[1:])


@pytest.mark.parametrize("workers", [0, 1.5])
def test_workers_that_cannot_be_are_refused(workers):
    with pytest.raises(ArgumentError) as refusal:
        each_fold(max, FOLDS, NAMES, workers=workers)
    assert str(refusal.value) == f"workers is {workers}; a whole number of at least 1 is expected."


@pytest.mark.slow
def test_workers_give_the_same_and_tell_what_is_done():
    told: list[str] = []
    assert each_fold(max, FOLDS, NAMES, workers=2, progress=told.append) == [3, 4, 9]
    assert sorted(line[:16] for line in told) == [f"{name} done" for name in NAMES]
    assert told[-1].endswith("about 0 s left")


@pytest.mark.slow
def test_a_worker_that_dies_is_told():
    with pytest.raises(StratifyError) as refusal:
        each_fold(os._exit, [(9,), (9,)], ["a", "b"], workers=2)
    assert str(refusal.value) == (
        "A worker died; perhaps memory ran out. Run the same command again, with fewer workers."
    )

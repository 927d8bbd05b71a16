"""Pairs of biomarkers that act together, from a study file to a table and sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from stratify.cohort.features import informative_features
from stratify.cohort.reading import read_cohort, require_usable
from stratify.interpretation.cycle import cycle
from stratify.study import Study
from stratify.tables.tabular import write_table
from stratify.validation.pairs import FIRST, TURNS, acting_together

__all__ = ["pairs_of", "statements"]

LEVEL = 0.05  # of the false discovery rate


def pairs_of(
    study: str | Path, out: str | Path, *, progress: Callable[[str], None] = lambda _: None
) -> tuple[pd.DataFrame, list[str]]:
    """Test all pairs on the training patients of a study; write the table.

    Returns
    -------
    DataFrame
        See :func:`stratify.validation.pairs.acting_together`.
    list of str
        What it shows, in sentences.
    """
    stated = Study.load(study)
    progress("reading the cohorts")
    cohort = read_cohort(stated)
    require_usable(cohort, f"The study {stated.name}")
    home = cohort.of_split("train").evaluable
    features = informative_features(home, stated.features, landmark_weeks=stated.landmark_weeks)
    found = acting_together(home.table, features, seed=stated.seed, progress=progress)
    write_table(found, Path(out))
    return found, statements(found)


def statements(found: pd.DataFrame) -> list[str]:
    """Say which pairs are shown, and what the cycle says of them.

    Examples
    --------
    >>> rows = pd.DataFrame({"q": [0.4], "n": [300]})
    >>> statements(rows)
    ['No pair of biomarkers is shown to act together beyond each alone (1 pair, 300 patients).']
    """
    shown = found[found["q"] < LEVEL]
    if shown.empty:
        many = f"{len(found):,} pair{'' if len(found) == 1 else 's'}"
        return [
            "No pair of biomarkers is shown to act together beyond each alone "
            f"({many}, {found['n'].iloc[0]} patients)."
        ]
    return [_sentence(row) for _, row in shown.iterrows()]


def _sentence(row: pd.Series) -> str:
    one, other = (cycle().step(step) for step in row["steps"].split(", "))
    where = (
        f"both stand at {one.title.lower()}"
        if one == other
        else f"the one stands at {one.title.lower()}, the other at {other.title.lower()}"
    )
    return (
        f"{row['title']} and {row['other_title']} act together beyond each alone (p = "
        f"{row['p']:.1g}, adjusted for all pairs {row['q']:.2g}; {row['turns']} of "
        f"{TURNS - FIRST} turns, "
        f"{row['cohorts']} of {row['n_cohorts']} cohorts; n = {row['n']}); on the cancer-immunity "
        f"cycle {where}. An association in this cohort, not a mechanism and not an effect of "
        "treatment; confirm it elsewhere."
    )

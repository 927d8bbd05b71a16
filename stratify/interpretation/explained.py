"""A batch of patients explained: contributions, profile and the step that leads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import pandas as pd

from stratify.interpretation.attribution import attributions
from stratify.interpretation.profile import leading_steps, resistance_profiles
from stratify.model.classifier import ResistanceClassifier
from stratify.scoring.resistance_model import PatientsLike, ResistanceModel, made_ready

__all__ = ["Explained", "explain", "explained_in_chunks"]

_CHUNK = 2000  # patients


@dataclass(frozen=True)
class Explained:
    """Explanations of a batch of patients.

    Attributes
    ----------
    attributions, profiles : DataFrame
        As in the dictionaries of the results.
    leading : DataFrame
        From :func:`stratify.interpretation.profile.leading_steps`.
    """

    attributions: pd.DataFrame
    profiles: pd.DataFrame
    leading: pd.DataFrame

    def of(self, cohorts: Collection[str]) -> Explained:
        """Only the patients of some cohorts."""
        tables = (self.attributions, self.profiles, self.leading)
        kept = [t[t["cohort"].isin(cohorts)].reset_index(drop=True) for t in tables]
        return Explained(*kept)


def explain(model: ResistanceModel | ResistanceClassifier, source: PatientsLike) -> Explained:
    """Explain a batch of patients; each is explained the same whatever the others.

    Parameters
    ----------
    model, source
        As for :func:`stratify.interpretation.attribution.attributions`.
    """
    long = attributions(model, source)
    profiles = resistance_profiles(long)
    return Explained(long, profiles, leading_steps(profiles, long))


def explained_in_chunks(
    model: ResistanceModel | ResistanceClassifier,
    source: PatientsLike,
    *,
    size: int = _CHUNK,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Iterator[Explained]:
    """Explain many patients chunk by chunk, so that each can be written before the next.

    Parameters
    ----------
    model, source
        As for :func:`stratify.interpretation.attribution.attributions`.
    """
    _, patients = made_ready(model, source)
    for start in range(0, n := len(patients), size):
        yield explain(model, patients.take(slice(start, start + size)))
        progress(min(start + size, n), n)

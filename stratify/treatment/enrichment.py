"""The trial that a policy implies: who is eligible, how many events to expect, how many patients.

Monotherapy against combination among those whom the policy selects (by default those it would give
the combination). The effect of the combination is an assumption of the planner; it is never read
off a prognostic score.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stratify.errors import ArgumentError, CohortError
from stratify.statistics.checks import checked
from stratify.statistics.intervals import wilson

__all__ = ["enrichment_design", "patients_needed", "power_of"]

HAZARD_RATIOS = (0.6, 0.7, 0.8)
LEAST_SELECTED = 20  # the event rate of fewer is not known, and might show a patient's outcome


def patients_needed(
    hazard_ratio: float, event_rate: float, *, power: float = 0.8, alpha: float = 0.05
) -> tuple[int, int]:
    """Events and patients for a 1:1 log-rank test (Schoenfeld).

    References
    ----------
    Schoenfeld DA. Biometrics 1983;39:499-503.

    Examples
    --------
    >>> patients_needed(0.7, 0.6)
    (247, 460)
    """
    if not hazard_ratio > 0 or hazard_ratio == 1:
        raise ArgumentError(f"hazard_ratio is {hazard_ratio}; above 0 and not 1 is expected.")
    for name, value in (("event_rate", event_rate), ("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise ArgumentError(f"{name} is {value}; a share above 0 and below 1 is expected.")
    z = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
    events = 4 * (z / np.log(hazard_ratio)) ** 2
    return int(np.ceil(events)), int(np.ceil(events / _in_both(event_rate, hazard_ratio)))


def power_of(n: int, hazard_ratio: float, event_rate: float, *, alpha: float = 0.05) -> float:
    """Power of the same test with `n` patients in both arms.

    Examples
    --------
    >>> round(power_of(460, 0.7, 0.6), 2)
    0.8
    """
    events = n * _in_both(event_rate, hazard_ratio)
    shift = np.sqrt(events) / 2 * abs(np.log(hazard_ratio))
    return float(NormalDist().cdf(shift - NormalDist().inv_cdf(1 - alpha / 2)))


def _in_both(event_rate: float, hazard_ratio: float) -> float:
    """Share with the event in both arms."""
    return float(event_rate + 1 - (1 - event_rate) ** hazard_ratio) / 2


def enrichment_design(
    recommendation: ArrayLike,
    y: ArrayLike,
    *,
    select: str = "combination",
    hazard_ratios: Sequence[float] = HAZARD_RATIOS,
    power: float = 0.8,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Compare a trial in the selected patients with one in all, over assumed hazard ratios.

    Parameters
    ----------
    recommendation : array_like of str, shape (n_patients,)
        From :func:`stratify.treatment.triage.triage`, for a cohort under monotherapy.
    y : array_like of shape (n_patients,)
        Event by the horizon under monotherapy (1 or 0), for example primary resistance.

    Returns
    -------
    DataFrame
        population (``selected | all``), hazard_ratio, eligible (share, with low and high),
        event_rate (with event_rate_low, event_rate_high), events, patients, to_screen, n.
        The event rate's limits carry into ``patients_low`` and ``patients_high``, and into
        ``power_low`` and ``power_high``: the power that ``patients`` have if they are the truth.

    Examples
    --------
    >>> chosen = np.repeat(["combination", "monotherapy"], 100)
    >>> event = np.tile([1, 1, 1, 0, 1, 0, 1, 0, 0, 1], 20)
    >>> design = enrichment_design(chosen, event, hazard_ratios=[0.7])
    >>> design[["population", "patients", "to_screen"]].values.tolist()
    [['selected', 460, 920], ['all', 460, 460]]
    """
    (events,) = checked(("y", y, "binary"))
    chosen = np.asarray(recommendation, dtype=object) == select
    if chosen.size != events.size:
        raise ArgumentError(
            f"recommendation has {chosen.size} values where y has {events.size}; one for each "
            "patient is expected."
        )
    if chosen.sum() < LEAST_SELECTED:
        raise CohortError(
            f"The policy gives {select} to fewer than {LEAST_SELECTED} of {chosen.size} patients; "
            "a trial of such patients cannot be planned from this cohort."
        )
    rows: list[tuple[object, ...]] = []
    for name, mask in (("selected", chosen), ("all", np.ones(chosen.size, dtype=bool))):
        share = wilson(int(mask.sum()), mask.size, 0.95)
        rate = wilson(float(events[mask].sum()), int(mask.sum()), 0.95)
        if not 0 < rate.value < 1:
            raise CohortError(
                f"All or none of the {int(mask.sum())} patients ({name}) have the event; an event "
                "rate cannot be planned with."
            )
        for ratio in hazard_ratios:
            (needed, patients), (_, most), (_, least) = (
                patients_needed(ratio, each, power=power, alpha=alpha) for each in rate
            )
            powers = [power_of(patients, ratio, limit, alpha=alpha) for limit in rate[1:]]
            screened = int(np.ceil(patients / share.value))
            rows.append((name, ratio, *share, *rate, needed, patients, least, most, *powers,
                         screened, int(mask.sum())))  # fmt: skip
    columns = ["population", "hazard_ratio", "eligible", "eligible_low", "eligible_high"]
    columns += ["event_rate", "event_rate_low", "event_rate_high", "events", "patients"]
    columns += ["patients_low", "patients_high", "power_low", "power_high", "to_screen", "n"]
    return pd.DataFrame(rows, columns=columns)

"""Restricted mean survival time as a mean of one number a patient."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from stratify.errors import ArgumentError
from stratify.treatment.effect_tables import mean_difference
from stratify.treatment.restricted_mean import unbiased_times

HORIZON = 12.0


def followed(n: int, seed: int, *, whole_months: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    death, lost = rng.exponential(10, n), rng.uniform(0, 25, n)
    time, event = np.minimum(death, lost), (death <= lost).astype(float)
    return (np.round(time) if whole_months else time), event


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> tuple[float, float]:
    """Area under the curve to the horizon, and its standard error after Greenwood."""
    fit = SurvfuncRight(time, event)
    near = fit.surv_times < HORIZON
    grid = np.concatenate([[0], fit.surv_times[near], [HORIZON]])
    pieces = np.append(1.0, fit.surv_prob[near]) * np.diff(grid)
    area = np.array([pieces[i + 1 :].sum() for i in range(near.sum())])
    d, r = fit.n_events[near], fit.n_risk[near]
    return float(pieces.sum()), float(np.sqrt((area**2 * d / (r * (r - d))).sum()))


@pytest.mark.parametrize("whole_months", [False, True], ids=["distinct times", "ties"])
@pytest.mark.parametrize("seed", range(4))
def test_mean_and_spread_are_those_by_kaplan_meier(seed, whole_months):
    time, event = followed(250, seed, whole_months=whole_months)
    values = unbiased_times(time, event, HORIZON)
    area, error = kaplan_meier(time, event)
    assert values.mean() == pytest.approx(area, abs=1e-9)
    assert values.std(ddof=1) / np.sqrt(250) == pytest.approx(error, rel=0.02)


def test_without_censoring_it_is_the_time_up_to_the_horizon():
    assert unbiased_times([3, 20, 12], [1, 1, 0], HORIZON).tolist() == [3, 12, 12]


def test_the_difference_is_that_of_the_areas():
    time, event = followed(300, 9, whole_months=False)
    arm = np.arange(300) % 2
    found = mean_difference(
        *(unbiased_times(time[arm == a], event[arm == a], HORIZON) for a in (1, 0))
    )
    (one, e1), (two, e2) = (kaplan_meier(time[arm == a], event[arm == a]) for a in (1, 0))
    assert found.value == pytest.approx(one - two, abs=1e-9)
    assert (found.high - found.low) / 3.92 == pytest.approx(np.hypot(e1, e2), rel=0.03)


@pytest.mark.parametrize(
    ("time", "horizon", "message"),
    [
        (
            [1.0, 4.0],
            6,
            "The longest follow-up is 4, the horizon 6: nobody was followed to it. Choose a nearer "
            "horizon.",
        ),
        ([1.0, 4.0], 0, "horizon is 0; a time above 0 is expected."),
    ],
)
def test_a_horizon_that_cannot_serve_is_told(time, horizon, message):
    with pytest.raises(ArgumentError) as refusal:
        unbiased_times(time, [1, 0], horizon)
    assert str(refusal.value) == message

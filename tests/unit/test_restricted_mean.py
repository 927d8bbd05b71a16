"""Restricted mean survival time as a mean of one number a patient."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from stratify.errors import ArgumentError
from stratify.treatment.effect_tables import within_strata
from stratify.treatment.restricted_mean import LARGEST_WEIGHT, adjusted_times, unbiased_times

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
    values = np.empty(300)
    for a in (0, 1):
        values[arm == a] = unbiased_times(time[arm == a], event[arm == a], HORIZON)
    found = within_strata(values, arm == 1, np.zeros(300, dtype=int))
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


# ----------------------------------------------------------- censoring that depends on covariates


def dropping_out(n: int, seed: int, by: float) -> tuple[np.ndarray, ...]:
    """Covariates, follow-up, event and the time to the event: who lives longer is lost less."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    died = rng.exponential(9 * np.exp(0.7 * X[:, 0]))
    lost = np.minimum(rng.exponential(15 * np.exp(by * X[:, 0])), 30)
    return X, np.minimum(died, lost), (died <= lost).astype(float), died


def adjusted(X, time, event, stratum=None, at=()):
    stratum = np.zeros(len(time), dtype=int) if stratum is None else stratum
    return adjusted_times(time, event, HORIZON, X, stratum, at=np.asarray(at, dtype=float))


@pytest.mark.parametrize("by", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_dropout_by_a_covariate_does_not_bias_the_adjusted_mean(by):
    errors = []
    for seed in range(20):
        X, time, event, died = dropping_out(800, seed, by)
        errors.append(adjusted(X, time, event).values.mean() - np.minimum(died, HORIZON).mean())
    assert abs(np.mean(errors)) < 0.1


def test_the_unadjusted_mean_of_such_patients_is_biased():
    X, time, event, died = dropping_out(4000, 0, 1.0)
    truth = np.minimum(died, HORIZON).mean()
    assert unbiased_times(time, event, HORIZON).mean() - truth > 0.3
    assert abs(adjusted(X, time, event).values.mean() - truth) < 0.1


def test_without_covariates_the_adjusted_mean_is_that_by_kaplan_meier():
    time, event = followed(400, 3, whole_months=False)
    found = adjusted(np.zeros((400, 0)), time, event)
    assert found.values.mean() == pytest.approx(kaplan_meier(time, event)[0], abs=0.05)


@pytest.mark.parametrize("constant", [0.0, 5.0])
def test_who_is_never_censored_keeps_the_time(constant):
    X, _, _, died = dropping_out(60, 1, 0.0)
    found = adjusted(X + constant, died, np.ones(60))
    assert found.values.tolist() == np.minimum(died, HORIZON).tolist()
    assert found.weight.tolist() == [1.0] * 60
    assert found.truncated == 0


def test_weights_stand_for_those_who_were_lost_and_are_truncated():
    X, time, event, _ = dropping_out(2000, 2, 1.5)
    found = adjusted(X, time, event, at=[0.0, 3.0, 9.0])
    known = (event == 1) | (time >= HORIZON)
    assert (found.weight[~known] == 0).all()
    assert found.weight.sum() == pytest.approx(2000, rel=0.05)
    assert found.weight.max() == pytest.approx(LARGEST_WEIGHT)
    assert found.truncated == (found.weight >= LARGEST_WEIGHT * (1 - 1e-9)).sum() > 0
    assert (found.uncensored[:, 0] == 1).all()
    assert (np.diff(found.uncensored, axis=1) <= 0).all()
    assert found.uncensored.min() >= 1 / LARGEST_WEIGHT - 1e-12


def test_the_order_of_patients_decides_nothing():
    X, time, event, _ = dropping_out(300, 4, 0.7)
    stratum = np.arange(300) % 2
    shuffled = np.random.default_rng(0).permutation(300)
    found = adjusted(X, time, event, stratum).values
    again = adjusted(X[shuffled], time[shuffled], event[shuffled], stratum[shuffled]).values
    assert np.allclose(again, found[shuffled])


def test_strata_of_other_follow_up_have_baselines_of_their_own():
    rng = np.random.default_rng(5)
    stratum = np.repeat([0, 1], 1000)
    died = rng.exponential(np.where(stratum == 0, 20, 5))
    lost = np.where(stratum == 0, rng.uniform(1, 13, 2000), 30.0)  # only the long-lived are lost
    time, event = np.minimum(died, lost), (died <= lost).astype(float)
    truth = np.minimum(died, HORIZON).mean()
    assert abs(adjusted(np.zeros((2000, 0)), time, event, stratum).values.mean() - truth) < 0.2
    assert abs(unbiased_times(time, event, HORIZON).mean() - truth) > 0.2

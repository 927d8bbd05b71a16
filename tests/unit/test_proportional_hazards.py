"""Cox models with a penalty, with strata, and with weights that change over time."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.duration.hazard_regression import PHReg

from stratify.statistics.proportional_hazards import compare_hazards, ridge_cox


def patients(n: int = 400, seed: int = 1) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    X, group, stratum = rng.normal(size=(n, 3)), rng.random(n) < 0.6, rng.integers(0, 3, n)
    died = rng.exponential(np.exp(-0.5 * X[:, 0] + 0.4 * group) * (1 + stratum))
    lost = rng.exponential(3, n)
    time = np.round(np.minimum(died, lost), 1) + 0.1  # ties
    return X, time, (died <= lost).astype(float), group, stratum


def test_without_a_penalty_it_is_the_stratified_cox_model_of_statsmodels():
    X, time, event, _, stratum = patients()
    fit = PHReg(time, X, status=event, strata=stratum, ties="breslow").fit(disp=0)
    found = ridge_cox(X, time, event, stratum, penalty=1e-9)
    assert np.allclose(found.coefficients, fit.params, atol=1e-6)


def test_a_penalty_shrinks_and_many_covariates_do_no_harm():
    X, time, event, _, stratum = patients(60)
    wide = np.hstack([X, np.random.default_rng(0).normal(size=(60, 100))])
    norms = [
        np.linalg.norm(ridge_cox(wide, time, event, stratum, penalty=p).coefficients)
        for p in (1.0, 4.0, 100.0)
    ]
    assert norms[0] > norms[1] > norms[2] > 0


def test_the_baseline_is_that_of_breslow():
    _, time, event, _, _ = patients()
    found = ridge_cox(np.zeros((400, 0)), time, event, np.zeros(400, dtype=int))
    at, hazard = found.baseline[0]
    steps = [event[time == t].sum() / (time >= t).sum() for t in at]
    assert np.allclose(hazard, np.cumsum(steps))


@pytest.mark.parametrize("stratified", [False, True])
def test_two_groups_as_by_statsmodels_with_sandwich_errors(stratified):
    _, time, event, group, stratum = patients()
    stratum = stratum if stratified else np.zeros(400, dtype=int)
    model = PHReg(time, group[:, None].astype(float), status=event, strata=stratum, ties="breslow")
    fit = model.fit(disp=0, groups=np.arange(400))
    ratio, _ = compare_hazards(time, event, group, stratum)
    assert ratio.value == pytest.approx(float(np.exp(fit.params[0])), rel=1e-6)
    assert np.log(ratio.high / ratio.low) / 3.92 == pytest.approx(float(fit.bse[0]), rel=1e-3)


def test_a_weight_counts_as_so_many_patients():
    _, time, event, group, stratum = patients(120)
    weight = np.random.default_rng(0).integers(1, 4, 120)
    times = np.unique(time[event == 1])
    weighted, _ = compare_hazards(
        time, event, group, stratum, weight=np.repeat(weight[:, None], len(times), axis=1)
    )
    copies = np.repeat(np.arange(120), weight)
    plain, _ = compare_hazards(time[copies], event[copies], group[copies], stratum[copies])
    assert weighted.value == pytest.approx(plain.value, rel=1e-9)


@pytest.mark.parametrize(("shape", "proportional"), [(1.0, True), (3.0, False)])
def test_hazards_that_cross_are_found(shape, proportional):
    rng = np.random.default_rng(1)
    group = np.arange(1000) % 2 == 1
    time = np.where(group, rng.weibull(shape, 1000), rng.exponential(1.0, 1000))
    _, p = compare_hazards(time, np.ones(1000), group, np.zeros(1000, dtype=int))
    assert (p > 0.05) == proportional


@pytest.mark.slow
def test_the_test_of_proportional_hazards_keeps_its_level():
    found = []
    for seed in range(1000):
        _, time, event, group, stratum = patients(300, seed)
        found.append(compare_hazards(time, event, group, stratum).proportional_p < 0.05)
    assert 0.03 <= np.mean(found) <= 0.07


@pytest.mark.parametrize("events", ["none", "of one group"])
def test_where_the_likelihood_has_no_maximum_there_is_no_ratio(events):
    _, time, event, group, stratum = patients(60)
    event = event * 0 if events == "none" else event * group
    ratio, p = compare_hazards(time, event, group, stratum)
    assert np.isnan([*ratio, p]).all()

"""Sample sizes as published and as computed by pmsampsize (R, JoieEnsor/pmsampsize)."""

from __future__ import annotations

import numpy as np
import pytest

from stratify.statistics.sample_size import cox_snell_from_auroc, required_sample_size

# parameters, prevalence, Cox–Snell R2, patients by criterion; source
PUBLISHED = [
    # Riley 2019, Chagas disease; the README of pmsampsize
    (24, 0.174, 0.288, (623, 662, 221)),
    # the package's tests 4.2 to 4.4; criterion 2 there was rounded to three digits and is left out
    (24, 0.174, 0.55, (255, None, 221)),
    (36, 0.174, 0.288, (934, None, 221)),
    (24, 0.25, 0.288, (623, None, 289)),
    # Riley 2020 (BMJ), 15 % of a maximum of 0.33
    (30, 0.05, 0.05, (5249, None, 73)),
    # AUROC 0.75 by pmsampsize: 0.1028
    (10, 0.15, 0.1028, (825, 327, 196)),
]


@pytest.mark.parametrize(("parameters", "prevalence", "cox_snell", "expected"), PUBLISHED)
def test_patients_by_criterion(parameters, prevalence, cox_snell, expected):
    found = required_sample_size(parameters, prevalence, cox_snell)
    by_criterion = (found.shrinkage, found.optimism, found.intercept)
    for computed, published in zip(by_criterion, expected, strict=True):
        assert published is None or computed == published
    assert found.required == max(by_criterion)


@pytest.mark.parametrize(
    ("auroc", "prevalence", "simulated"),
    # pmsampsize and approximate_R2 (Riley 2021), one simulation of a million patients each
    [(0.75, 0.15, 0.1028), (0.78, 0.20, 0.158), (0.75, 0.0314, 0.02670), (0.75, 0.0131, 0.01175)],
)
def test_explained_variation_from_the_auroc(auroc, prevalence, simulated):
    assert cox_snell_from_auroc(auroc, prevalence) == pytest.approx(simulated, rel=0.015)


def test_explained_variation_from_the_auroc_equals_a_fitted_model():
    """Normal scores of 400,000 patients; statsmodels' likelihoods."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    rng = np.random.default_rng(3)
    y = (np.arange(400_000) < 260_000).astype(float)
    score = rng.normal(size=y.size) + y * np.sqrt(2) * 0.6128  # Phi(0.6128) = 0.73
    fit = GLM(y, np.column_stack([np.ones(y.size), score]), family=Binomial()).fit()
    expected = 1 - np.exp((fit.deviance - fit.null_deviance) / y.size)
    assert cox_snell_from_auroc(0.73, 0.65) == pytest.approx(expected, abs=0.002)

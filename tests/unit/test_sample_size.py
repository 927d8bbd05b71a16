"""Refusals and laws of the sample size; values stand among the reference tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.errors import ArgumentError
from stratify.statistics.sample_size import (
    candidate_parameters,
    cox_snell_from_auroc,
    cox_snell_maximum,
    required_sample_size,
)

MESSAGES = [
    (lambda: required_sample_size(0, 0.5), "parameters is 0; at least 1 is expected."),
    (
        lambda: required_sample_size(5, 1.0),
        "prevalence is 1.0; a share between 0 and 1 is expected.",
    ),
    (
        lambda: required_sample_size(5, 0.05, 0.4),
        "cox_snell is 0.4; above 0 and below its maximum of 0.328 at this prevalence is expected.",
    ),
    (
        lambda: cox_snell_from_auroc(0.5, 0.3),
        "auroc is 0.5; a number above 0.5 and below 1 is expected.",
    ),
]


@pytest.mark.parametrize(("call", "message"), MESSAGES, ids=[m[:30] for _, m in MESSAGES])
def test_every_refusal_is_a_whole_sentence(call, message):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == message


def test_the_default_is_15_percent_of_the_maximum():
    found = required_sample_size(20, 0.65)
    assert found == required_sample_size(20, 0.65, 0.15 * cox_snell_maximum(0.65))
    assert found.cox_snell == pytest.approx(0.15 * 0.7261, abs=1e-4)


def test_more_parameters_and_less_to_explain_need_more_patients():
    needed = [required_sample_size(p, 0.5).shrinkage for p in (5, 10, 40)]
    assert needed == sorted(needed)
    assert needed[2] == pytest.approx(8 * needed[0], rel=0.01)
    by_auroc = [
        required_sample_size(20, 0.5, cox_snell_from_auroc(a, 0.5)).required
        for a in (0.6, 0.7, 0.8, 0.9)
    ]
    assert by_auroc == sorted(by_auroc, reverse=True)


def test_explained_variation_runs_from_nothing_to_its_maximum():
    found = [cox_snell_from_auroc(a, 0.3) for a in (0.5001, 0.6, 0.7, 0.8, 0.9, 0.9999)]
    assert found == sorted(found)
    assert found[0] == pytest.approx(0, abs=1e-4)
    assert found[-1] == pytest.approx(cox_snell_maximum(0.3), abs=0.01)


def test_parameters_are_numbers_and_levels_but_one():
    matrix = pd.DataFrame(
        {
            "age": [60.0, 70.0, np.nan, 50.0],
            "msi_high": [0.0, 1.0, 0.0, np.nan],
            "cancer_type": ["nsclc", "renal", "sclc", None],
            "sex": ["female", "male", "female", "male"],
        }
    )
    assert candidate_parameters(matrix) == 1 + 1 + 2 + 1

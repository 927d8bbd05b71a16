"""Survival by group against a published trial."""

from __future__ import annotations

import numpy as np
import pytest

from stratify.statistics.survival import hazard_ratio, log_rank, survival_by_group

# Remission in weeks, 6-mercaptopurine against placebo: Freireich EJ et al. Blood 1963;21:699-716,
# as printed in Venables and Ripley, Modern Applied Statistics with S, 2002 (data set gehan).
DRUG = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
DRUG_EVENT = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
WEEKS = DRUG + PLACEBO
EVENT = DRUG_EVENT + [1] * 21
ARM = ["drug"] * 21 + ["placebo"] * 21


def test_the_leukaemia_trial_as_published():
    curves, summary = survival_by_group(WEEKS, EVENT, ARM)
    drug = curves[curves["group"] == "drug"].drop_duplicates("survival")  # event times only
    published = [1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert drug["survival"].tolist() == pytest.approx(published, abs=0.0006)
    assert drug["n_at_risk"].tolist() == [21, 21, 17, 15, 12, 11, 7, 6]
    # Log-log limits at week 6 as printed by Stata and R.
    assert drug.iloc[1][["low", "high"]].tolist() == pytest.approx([0.6197, 0.9516], abs=1e-4)
    assert summary["n"].tolist() == [21, 21]
    assert summary["n_events"].tolist() == [9, 21]
    assert summary["median"].tolist() == [23, 8]
    assert summary["median_low"].tolist() == [13, 4]
    assert np.isnan(summary["median_high"][0])
    assert summary["median_high"][1] == 11


def test_the_leukaemia_hazard_ratio_and_log_rank_as_published():
    from scipy.stats import chi2

    # R, survival::coxph with Efron ties: 4.817 (2.147 to 10.81); log-rank chi-square 16.79.
    ratio = hazard_ratio(WEEKS, EVENT, [arm == "placebo" for arm in ARM])
    assert ratio == pytest.approx((4.817, 2.147, 10.81), abs=0.005)
    assert chi2.isf(log_rank(WEEKS, EVENT, ARM), 1) == pytest.approx(16.793, abs=0.001)
    _, summary = survival_by_group(WEEKS, EVENT, ARM)
    assert summary["hazard_ratio"][1] == ratio.value

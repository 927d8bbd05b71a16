"""Normal scores: ranks of the training patients as deviates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata

from stratify.uncertainty.normal_scores import NormalScores


@pytest.fixture
def skewed() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"tmb": rng.lognormal(1.8, 1, 2000), "ecog": rng.integers(0, 3, 2000)})


def test_scores_are_the_deviates_of_the_ranks(skewed):
    found = NormalScores.fit(skewed, ["tmb"])(skewed)[:, 0]
    rank = (rankdata(skewed["tmb"]) - 0.5) / 2000
    inner = (rank > 0.02) & (rank < 0.98)
    assert np.abs(found - norm.ppf(rank))[inner].max() < 0.1  # lines between 13 quantiles


def test_any_rising_change_of_scale_leaves_the_scores(skewed):
    knots = NormalScores.fit(skewed, ["tmb"])
    other = skewed.assign(tmb=np.log(skewed["tmb"]))
    at = np.quantile(skewed["tmb"], [0.05, 0.3, 0.5, 0.9], method="nearest")
    first = knots(pd.DataFrame({"tmb": at}))
    second = NormalScores.fit(other, ["tmb"])(pd.DataFrame({"tmb": np.log(at)}))
    np.testing.assert_allclose(first, second, atol=0.01)


def test_ties_share_the_mean_of_their_scores(skewed):
    scores = NormalScores.fit(skewed, ["ecog"])(pd.DataFrame({"ecog": [0, 1, 2]}))[:, 0]
    assert scores[1] == pytest.approx(0, abs=0.05)
    assert scores[0] == pytest.approx(-scores[2], abs=0.05)
    assert 0.8 < scores[2] < 1.4


def test_scores_go_on_beyond_the_quantiles_and_end_at_four(skewed):
    scores = NormalScores.fit(skewed, ["tmb"])
    far = scores(pd.DataFrame({"tmb": [60.0, 90.0, 1e6, 0.0]}))[:, 0]
    assert 2.05 < far[0] < far[1] <= far[2] == 4
    assert far[3] < -2.05


def test_missing_stays_missing_and_a_constant_tells_nothing():
    table = pd.DataFrame({"hed": [1.0, None, 3.0, 4.0], "flat": 1.0, "empty": np.nan})
    scores = NormalScores.fit(table, table.columns)
    assert np.isnan(scores(table)).tolist() == [
        [True, True, False],
        [True, True, True],
        [True, True, False],
        [True, True, False],
    ]  # columns in the order of the alphabet


def test_quantiles_kept_have_three_digits_and_no_extreme(skewed):
    at, _ = NormalScores.fit(skewed, ["tmb"]).knots["tmb"]
    assert at == [float(f"{value:.3g}") for value in at]
    assert skewed["tmb"].min() < at[0]
    assert at[-1] < skewed["tmb"].max()

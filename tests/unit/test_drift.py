"""Drift: no alert without a shift, the right alert with one, nothing of a patient kept."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.uncertainty.drift import DRIFT_COLUMNS, Profile, Shares


def patients(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    tps = np.where(rng.random(n) < 0.3, 0.0, rng.integers(1, 100, n))
    return pd.DataFrame(
        {
            "albumin": rng.normal(3.9, 0.4, n),
            "msi_high": (rng.random(n) < 0.05).astype(float),
            "pdl1_tps": np.where(rng.random(n) < 0.4, np.nan, tps),
            "cancer_type": rng.choice(["nsclc", "melanoma", "renal"], n).astype(object),
        }
    )


def compared(here: pd.DataFrame, risk: np.ndarray | None = None) -> pd.DataFrame:
    there = patients(600, 0)
    profile = Profile.fit(there, np.random.default_rng(1).beta(4, 3, 600))
    risk = np.random.default_rng(2).beta(4, 3, len(here)) if risk is None else risk
    return Profile.from_json(json.loads(json.dumps(profile.to_json()))).compared(here, risk)


def alerts(drift: pd.DataFrame) -> set[tuple[str, str, str]]:
    told = drift[drift["alert"] != ""]
    return set(told[["what", "name", "alert"]].itertuples(index=False, name=None))


def test_false_alerts_are_rare():
    """200 cohorts of 60 to 300 patients like those of training, 12 quantities each."""
    found = [alerts(compared(patients(60 + k, 10 + k))) for k in range(0, 240, 2)]

    assert sum(map(len, found)) <= 0.01 * 12 * len(found)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda t: t.assign(albumin=t["albumin"] - 0.5), ("input", "albumin", "input_shift")),
        (lambda t: t.assign(msi_high=1.0), ("input", "msi_high", "input_shift")),
        (lambda t: t.assign(pdl1_tps=t["pdl1_tps"] / 100), ("input", "pdl1_tps", "input_shift")),
        (lambda t: t.assign(cancer_type="sclc"), ("input", "cancer_type", "input_shift")),
        (lambda t: t.assign(albumin=np.nan), ("missing", "albumin", "missingness_shift")),
        (lambda t: t.assign(pdl1_tps=50.0), ("missing", "pdl1_tps", "missingness_shift")),
        (lambda t: t.assign(pdl1_tps=np.nan), ("panel_missing", "pdl1", "missingness_shift")),
    ],
)
def test_a_shift_is_told(change, wanted):
    assert wanted in alerts(compared(change(patients(200, 7))))


def test_a_shift_of_the_scores_is_told():
    found = alerts(compared(patients(200, 7), np.full(200, 0.9)))

    assert found == {("score", "risk", "score_shift")}


def test_difference_of_shares_is_newcombes():
    """Newcombe 1998, table II, example (a): 56/70 against 48/80, 0.0524 to 0.3339."""
    there = pd.DataFrame({"albumin": np.where(np.arange(80) < 48, np.nan, 4.0)})
    here = pd.DataFrame({"albumin": np.where(np.arange(70) < 56, np.nan, 4.0)})
    drift = Profile.fit(there, np.full(80, 0.5)).compared(here, np.full(70, 0.5))

    row = drift[drift["what"] == "missing"].iloc[0]
    assert row[["difference", "low", "high"]].tolist() == pytest.approx(
        [0.2, 0.0524, 0.3339], abs=5e-5
    )


def test_levels_of_few_patients_are_not_named():
    held = Shares.fit(pd.Series(["nsclc"] * 9 + ["renal"] * 4, dtype=object))

    assert (held.levels, held.counts) == (["nsclc"], [9, 4])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=1, max_size=60))
def test_everybody_is_counted_once(values):
    column = pd.Series(values, dtype=float)
    held = Shares.fit(column)

    assert sum(held.counts) + held.missing == len(column)
    assert held.count(column.dropna()).tolist() == held.counts


def test_columns_and_order_of_rows():
    here = patients(80, 3)
    risk = np.linspace(0.1, 0.9, 80)
    drift = compared(here, risk)

    assert tuple(drift.columns) == DRIFT_COLUMNS
    pd.testing.assert_frame_equal(drift, compared(here.iloc[::-1], risk[::-1]))

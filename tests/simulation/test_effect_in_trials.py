"""Trials without effect in which a naive analysis finds one: bias, coverage, level of the tests.

200 trials each: dropout by a recorded covariate that differs by arm, and two trials of different
allocation and prognosis. A share of 0.95 is told to about 3 percentage points.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.cohort.reading import Cohort
from stratify.study.estimand import Estimand
from stratify.tables.findings import Findings
from stratify.treatment.arms import Arms, read_arms
from stratify.treatment.design_check import check_design
from stratify.treatment.effect_tables import average_effects, effects_by_score
from stratify.treatment.estimation import estimate_effects

pytestmark = pytest.mark.slow

TRIALS = 200
ESTIMAND = {
    "assignment": "randomised",
    "alternative": {"name": "combination", "arms": ["A + B"]},
    "reference": {"name": "monotherapy", "arms": ["A"]},
    "horizon_months": 9,
}
SCORES = {
    "normal": lambda z: z,
    "lognormal": lambda z: np.exp(1.2 * z),
    "risk": lambda z: 1 / (1 + np.exp(-1.5 * z)),
}


def patients(rng: np.random.Generator, n: int, share: float, mean: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": [f"p{k}" for k in range(n)],
            "cohort": "one",
            "arm": np.where(rng.permutation(n) < n * share, "A + B", "A"),
            "age": rng.normal(60, 10, n),
            "albumin": rng.normal(4, 0.4, n),
            "nlr": np.exp(rng.normal(1, 0.5, n)),
            "died": rng.exponential(mean, n),
        }
    )


def dropout(seed: int, n: int, share: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = patients(rng, n, share, 9.0)
    albumin = (table["albumin"] - 4) / 0.4
    died = table["died"] * np.exp(0.6 * albumin)
    sign = np.where(table["arm"] == "A", -1, 1)
    lost = np.minimum(rng.exponential(20 * np.exp(0.7 * sign * albumin)), 30)
    return table.assign(pfs=np.minimum(died, lost), pfs_event=died <= lost)


def two_trials(seed: int, n: int, share: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    tables = [patients(rng, n // 2, 0.5, 14.0), patients(rng, n // 2, share, 4.0)]
    table = pd.concat([tables[0], tables[1].assign(cohort="two")], ignore_index=True)
    lost = rng.uniform(9, 30, len(table))
    return table.assign(pfs=np.minimum(table["died"], lost), pfs_event=table["died"] <= lost)


def arms_of(table: pd.DataFrame) -> Arms:
    cohort = Cohort(table, pd.DataFrame(), Findings(), {}, {}, None, mixed_regimens=True)
    return read_arms(cohort, Estimand.model_validate(ESTIMAND))


def one(make: object, seed: int, n: int, share: float) -> dict[str, float]:
    arms = arms_of(make(seed, n, share))  # type: ignore[operator]
    found = estimate_effects(arms.with_outcomes(), check_design(arms).propensity, (), seed)
    outcomes = list(found.outcomes.values())
    row = average_effects(outcomes, randomised=True, horizon=9).iloc[0]
    albumin = found.arms.table["albumin"].to_numpy()
    z = (albumin - albumin.mean()) / albumin.std()
    result = {
        "value": row["value"],
        "error": (row["high"] - row["low"]) / 3.92,
        "covers": row["low"] <= 0 <= row["high"],
        "heterogeneity": found.slope("dr_learner")[1] < 0.05,
    }
    for name, transform in SCORES.items():
        tests = effects_by_score(outcomes, found.arms, transform(z), name)["interaction"]
        for scale, p in zip(tests["scale"], tests["p"], strict=True):
            result[f"{scale}, {name}"] = p < 0.05
    return result


@pytest.fixture(scope="module", params=["dropout, 1:1", "dropout, 2:1", "two trials"])
def trials(request):
    from joblib import Parallel, delayed

    make, share = {
        "dropout, 1:1": (dropout, 0.5),
        "dropout, 2:1": (dropout, 2 / 3),
        "two trials": (two_trials, 0.8),
    }[request.param]
    return {
        n: pd.DataFrame(
            Parallel(n_jobs=-1)(delayed(one)(make, seed, n, share) for seed in range(TRIALS))
        )
        for n in (150, 300, 600)
    }


@pytest.mark.parametrize("n", [150, 300, 600])
def test_no_effect_is_found_where_there_is_none(trials, n):
    found = trials[n].astype(float).mean()
    print(f"\nn = {n}", found.round(3).to_dict())
    noise = 2.6 * np.sqrt(0.05 * 0.95 / TRIALS)
    assert found["covers"] >= 0.95 - noise
    assert abs(found["value"]) < found["error"] * (0.2 + 2.6 / np.sqrt(TRIALS))
    for test in found.index.difference(["value", "error", "covers"]):
        assert found[test] <= 0.05 + noise, test

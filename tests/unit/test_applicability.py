"""Who is unlike the training patients: distance, and panels never seen together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm

from stratify.uncertainty.applicability import Applicability
from stratify.uncertainty.normal_scores import NormalScores

IDENTITY = NormalScores({name: ([-1.0, 1.0], [-1.0, 1.0]) for name in ("albumin", "nlr", "tmb")})


def known(**changes: object) -> Applicability:
    facts = {
        "numbers": IDENTITY,
        "rarity": {},
        "correlation": np.eye(3).tolist(),
        "limit": 2.0,
        "panels": [""],
        "masked": True,
    }
    return Applicability(**{**facts, **changes})


def rows(*values: tuple[float | None, float | None, float | None]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=["albumin", "nlr", "tmb"], dtype=float)


def cohort(n: int, seed: int) -> pd.DataFrame:
    """Three correlated numbers, skewed one, and a level, with gaps."""
    rng = np.random.default_rng(seed)
    z = rng.multivariate_normal(np.zeros(3), 0.2 * np.eye(3) + 0.8, n)
    table = pd.DataFrame({"albumin": z[:, 0], "nlr": np.exp(z[:, 1]), "tmb": z[:, 2]})
    table = table.mask(rng.random(table.shape) < 0.2)
    table["cancer_type"] = rng.choice(["nsclc", "melanoma", "renal"], n, p=[0.6, 0.37, 0.03])
    return table


LEVELS = {"cancer_type": ["melanoma", "nsclc", "renal"]}


# ------------------------------------------------------------------- distance


@pytest.mark.parametrize(
    ("row", "n"),
    [((1.0, 2.0, -1.0), 3), ((1.0, None, -1.0), 2), ((None, None, 2.5), 1)],
)
def test_distance_is_near_the_deviate_of_the_chi_squared_share(row, n):
    # Wilson and Hilferty's cube root against the exact distribution.
    squares = sum(value**2 for value in row if value is not None)
    exact = norm.ppf(chi2.cdf(squares, n))
    assert known().distance(rows(row))[0] == pytest.approx(exact, abs=0.06)


def test_correlated_values_are_judged_together():
    correlation = np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]])
    found = known(correlation=correlation.tolist())
    together, apart = found.distance(rows((1.5, 1.5, None), (1.5, -1.5, None)))
    assert together < 1 < 3 < apart
    # by hand: (1.5, -1.5) inverse correlation (1.5, -1.5) = 2 * 1.5^2 / (1 - 0.9) = 45
    expected = (np.cbrt(45 / 2) - 1 + 1 / 9) * 3
    assert apart == pytest.approx(expected)


def test_a_feature_that_is_not_measured_plays_no_part():
    correlation = np.array([[1, 0.9, 0.5], [0.9, 1, 0.5], [0.5, 0.5, 1]])
    three = known(correlation=correlation.tolist())
    two = known(
        numbers=NormalScores({k: v for k, v in IDENTITY.knots.items() if k != "tmb"}),
        correlation=correlation[:2, :2].tolist(),
    )
    patients = rows((1.0, -1.0, None), (0.3, 2.0, None))
    assert three.distance(patients).tolist() == two.distance(patients).tolist()


def test_nothing_measured_has_no_distance_and_is_not_far():
    patients = rows((None, None, None))
    assert np.isnan(known().distance(patients)).all()
    assert known().far(patients).tolist() == [False]


def test_a_rare_level_lies_farther_than_a_common_one():
    found = Applicability.fit(cohort(1000, 0), LEVELS, masked=True)
    patients = pd.DataFrame(
        {"albumin": 0.0, "nlr": 1.0, "tmb": 0.0, "cancer_type": ["nsclc", "renal", "sarcoma"]}
    )
    common, rare, unseen = found.distance(patients)
    missing = found.distance(patients.assign(cancer_type=None).head(1))[0]
    assert rare > common
    assert unseen == missing
    # the rarest level, 3 %: half of it two-sided
    assert found.rarity["cancer_type"]["renal"] == pytest.approx(norm.isf(0.015 / 2), abs=0.2)


@pytest.mark.parametrize("n", [150, 600])
def test_about_one_new_patient_in_a_hundred_of_the_same_kind_is_far(n):
    shares = [
        Applicability.fit(cohort(n, seed), LEVELS, masked=True).far(cohort(2000, seed + 50)).mean()
        for seed in range(6)
    ]
    assert 0.003 < np.mean(shares) < 0.025


def test_patients_with_each_value_usual_but_not_together_are_far():
    found = Applicability.fit(cohort(600, 1), LEVELS, masked=True)
    usual = cohort(500, 2).dropna()
    rng = np.random.default_rng(3)
    mixed = usual.assign(
        **{name: rng.permutation(usual[name]) for name in ("albumin", "nlr", "tmb")}
    )
    assert found.far(usual).mean() < 0.03
    assert found.far(mixed).mean() > 0.25


def test_near_copies_do_not_magnify_rounding():
    table = cohort(600, 4)
    table["neutrophils"] = table["nlr"].round(1)
    found = Applicability.fit(table, LEVELS, masked=True)
    assert np.linalg.eigvalsh(np.array(found.correlation)).min() > 0.05
    new = cohort(500, 5)
    assert found.far(new.assign(neutrophils=new["nlr"].round(1))).mean() < 0.03


def test_features_never_measured_together_count_as_unrelated():
    table = cohort(200, 6).drop(columns="tmb")
    table.loc[:99, "albumin"] = np.nan
    table.loc[100:, "nlr"] = np.nan
    found = Applicability.fit(table, LEVELS, masked=True)
    assert found.correlation[0][1] == 0


def test_order_of_columns_does_not_matter():
    table = cohort(200, 7)
    other = table[table.columns[::-1]]
    assert Applicability.fit(table, LEVELS, masked=True) == Applicability.fit(
        other, LEVELS, masked=True
    )


# ------------------------------------------------------------------- panels

PANELS = pd.DataFrame(
    {
        "albumin": [4.0, 4.0, 4.0, None, None],
        "tmb": [9.0, 9.0, None, 9.0, None],
        "pdl1_tps": [5.0, None, 5.0, None, None],
    }
)


@pytest.mark.parametrize(
    ("seen", "masked", "unseen"),
    [
        ([""], True, [False, False, False, False, False]),
        (["pdl1", "tmb"], True, [True, False, False, False, False]),
        (["pdl1;tmb"], True, [True, True, True, True, False]),
        (["", "pdl1"], False, [False, False, True, True, True]),
        (["clinical;pdl1"], False, [True, True, True, False, True]),
    ],
)
def test_panels_together_that_no_training_patient_had(seen, masked, unseen):
    assert known(panels=seen, masked=masked).unseen_panels(PANELS).tolist() == unseen

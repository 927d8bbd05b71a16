"""Several seeds on several cohorts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from stratify.cohort.features import features_matrix
from stratify.errors import ArgumentError
from stratify.model.horizons import horizon_outcomes
from stratify.statistics.discrimination import delta_auroc
from stratify.validation.seeds import across_seeds, weighted_differences


@pytest.fixture(scope="module")
def found(small, patients):
    features = ["age", "albumin", "nlr", "tmb"]
    away = {"first": patients[160:200], "second": patients[200:]}
    return across_seeds(clone(small), patients[:160], features, away, seeds=[3, 4, 5])


def test_each_seed_and_cohort_is_judged_beside_the_references(found, small, patients):
    assert set(found["seed"]) == {3, 4, 5}
    assert set(found["cohort"]) == {"first", "second"}
    assert "logistic" in set(found["reference"])
    features = ["age", "albumin", "nlr", "tmb"]
    fitted = clone(small).set_params(random_state=4)
    home = patients[:160]
    label = home["label"].to_numpy()
    fitted.fit(features_matrix(home, features), label, auxiliary=horizon_outcomes(home))
    away = patients[200:]
    risk = fitted.predict_proba(features_matrix(away, features))[:, 1]
    row = found[
        (found["seed"] == 4) & (found["cohort"] == "second") & (found["reference"] == "logistic")
    ].iloc[0]
    assert row["auroc"] - row["auroc_reference"] == pytest.approx(row["difference"])
    constant = delta_auroc(away["label"].to_numpy(float), risk, np.ones(len(away)))
    assert row["auroc"] == pytest.approx(0.5 + constant.value)


def test_the_middle_seed_stands_for_all_and_weights_are_patients(found):
    summary = weighted_differences(found).set_index("reference")
    rows = found[found["reference"] == "logistic"]
    means = rows.groupby("seed").apply(
        lambda part: np.average(part["auroc"], weights=part["n"]), include_groups=False
    )
    assert summary.loc["logistic", "auroc"] == pytest.approx(means.median())
    assert summary.loc["logistic", "seed_low"] == pytest.approx(means.min())
    assert summary.loc["logistic", "seed_high"] == pytest.approx(means.max())
    assert summary.loc["logistic", "n"] == 80
    middle = summary.loc["logistic"]
    assert middle["low"] < middle["difference"] < middle["high"]
    assert middle["high"] - middle["difference"] == pytest.approx(
        middle["difference"] - middle["low"]
    )


def test_without_cohorts_there_is_nothing_to_judge(small, patients):
    with pytest.raises(ArgumentError) as refused:
        across_seeds(clone(small), patients, ["age"], {})
    assert str(refused.value) == "At least one seed and one cohort to judge on are expected."

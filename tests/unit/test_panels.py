"""What a panel adds, and what masking it costs, in patients the model never saw."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from stratify.errors import ArgumentError
from stratify.validation.panels import added_value, masking_cost


def test_every_panel_and_pair_is_masked(small, patients):
    features = ["age", "albumin", "pdl1_tps", "tmb", "ctdna_max_vaf"]
    told: list[str] = []
    found = masking_cost(clone(small), patients, features, folds=2, progress=told.append)
    assert told == ["fold 1 of 2", "fold 2 of 2"]
    assert found["masked"].tolist() == [
        *("ctdna", "pdl1", "tmb", "ctdna+pdl1", "ctdna+tmb", "pdl1+tmb"),
    ]
    assert set(found["n"]) == {240}
    assert set(found["n_events"]) == {int(patients["label"].sum())}
    np.testing.assert_allclose(
        found["difference"], found["auroc_masked"] - found["auroc_without"], atol=1e-12
    )
    assert (found["low"] <= found["difference"]).all()
    assert (found["difference"] <= found["high"]).all()


def test_a_panel_of_noise_costs_nothing(small, patients):
    table = patients.copy()
    rng = np.random.default_rng(0)
    table["tmb"] = rng.lognormal(2, 1, len(table))
    found = masking_cost(clone(small), table, ["albumin", "nlr", "tmb"], folds=3)
    assert abs(found["difference"].item()) < 0.05


def test_one_panel_cannot_be_masked(small, patients):
    with pytest.raises(ArgumentError) as refused:
        masking_cost(clone(small), patients, ["tmb", "msi_high"])
    assert str(refused.value) == (
        "The features are of one panel; without it there is nothing to score."
    )


def test_each_panel_is_added_to_the_clinical_features(small, patients):
    features = ["age", "albumin", "pdl1_tps", "tmb"]
    found = added_value(clone(small), patients, features, folds=2)
    rows = found.set_index(["panels", "patients"])
    measured = {name: int(patients[name].notna().sum()) for name in ("pdl1_tps", "tmb")}
    assert rows["n"].to_dict() == {
        ("pdl1", "all"): 240,
        ("pdl1", "measured"): measured["pdl1_tps"],
        ("tmb", "all"): 240,
        ("tmb", "measured"): measured["tmb"],
        ("pdl1+tmb", "all"): 240,
        ("pdl1+tmb", "measured"): int(patients[["pdl1_tps", "tmb"]].notna().any(axis=1).sum()),
    }
    assert found.query("patients == 'all'")["auroc_clinical"].nunique() == 1
    np.testing.assert_allclose(
        found["difference"], found["auroc"] - found["auroc_clinical"], atol=1e-12
    )


def test_a_panel_that_tells_the_label_adds_what_it_tells(small, patients):
    rng = np.random.default_rng(0)
    told = patients.assign(tmb=rng.normal(20, 2, len(patients)) - 6 * patients["label"])
    row = added_value(clone(small), told, ["age", "tmb"], folds=2).iloc[0]
    assert row["auroc"] > 0.9
    assert row["low"] > 0.2


@pytest.mark.parametrize("features", [["tmb", "pdl1_tps"], ["age", "albumin"]])
def test_nothing_can_be_added_without_two_sides(small, patients, features):
    with pytest.raises(ArgumentError) as refused:
        added_value(clone(small), patients, features)
    assert str(refused.value) == (
        "The features are of one panel; clinical features and another panel are expected."
    )

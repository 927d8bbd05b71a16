"""What a masked panel costs, in patients the model never saw."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from stratify.errors import ArgumentError
from stratify.validation.masking import masking_cost


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

"""The default model on the MSK cohort, judged on the patients of 2018."""

from __future__ import annotations

import numpy as np
import pytest

from stratify import Study, train

from .conftest import STUDIES

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def test_the_default_model_orders_patients_and_is_calibrated(public_data, tmp_path, monkeypatch):
    """Median of ten seeds: AUROC >= 0.735, Brier score <= 0.190; each slope's interval holds 1.

    For comparison in the same 461 test patients: published LORIS has AUROC 0.746, and the share
    of primary resistance is 0.65, so that the Brier score without any model is 0.227.
    """
    monkeypatch.setenv("STRATIFY_DATA", str(public_data))
    study = Study.load(STUDIES / "chowell.yaml")
    found = []
    for seed in range(10):
        seeded = study.model_copy(update={"seed": seed})
        rows = train(seeded, tmp_path / str(seed), folds=2).performance
        judged = rows[
            (rows["split"] == "test") & (rows["model"] == "stratify") & (rows["subgroup"] == "all")
        ]
        found.append(judged.set_index("metric").loc[["auroc", "brier", "calibration_slope"]])

    assert [int(rows["n"].iloc[0]) for rows in found] == [461] * 10
    assert np.median([rows.loc["auroc", "value"] for rows in found]) >= 0.735
    assert np.median([rows.loc["brier", "value"] for rows in found]) <= 0.190
    for rows in found:
        assert rows.loc["calibration_slope", "low"] <= 1 <= rows.loc["calibration_slope", "high"]

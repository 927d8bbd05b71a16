"""A policy that states errors, on public cohorts: thresholds of training, errors of others.

Chowell (10.1038/s41587-021-01070-8): trained on patients of 2015-2017, judged on those of 2018.
"""

from __future__ import annotations

import numpy as np
import pytest

from stratify import Study
from stratify.experiment.training import train
from stratify.study.borne_errors import BorneErrors
from stratify.study.policy import Policy
from stratify.treatment.guarantee import RiskCuts, both_thresholds

ERRORS = BorneErrors(monotherapy=0.40, combination=0.25)


@pytest.fixture(scope="module")
def trained(public_data, tmp_path_factory):
    """The whole training, with the shipped policy; and what its out-of-fold risks were."""
    from realdata.conftest import ROOT, STUDIES

    seen = {}
    whole = RiskCuts.of.__func__

    def keep(cls, y, risk):
        seen.setdefault("y", np.asarray(y, dtype=float))
        seen.setdefault("risk", np.asarray(risk, dtype=float))
        return whole(cls, y, risk)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRATIFY_DATA", str(public_data))
        patch.setattr(RiskCuts, "of", classmethod(keep))
        study = Study.load(STUDIES / "chowell.yaml")
        policy = Policy.load(ROOT / "pipelines" / "policies" / "example.yaml")
        study = study.model_copy(update={"policy": policy})
        results = train(study, tmp_path_factory.mktemp("chowell"))
    return results, seen["y"], seen["risk"]


@pytest.mark.slow
def test_two_of_three_patients_of_another_year_are_decided_and_the_errors_are_kept(trained):
    results, _, _ = trained
    rows = results.performance
    rows = rows[(rows["split"] == "test") & (rows["subgroup"] == "all") & (rows["reference"] == "")]
    found = rows.set_index("metric")
    assert found.loc["share_decided", "n"] == 461
    assert found.loc["share_decided", "value"] >= 0.65
    assert found.loc["error_monotherapy", "value"] <= 0.40
    assert found.loc["error_combination", "value"] <= 0.25
    for name in ("share_decided", "error_monotherapy", "error_combination", "share_refer"):
        row = found.loc[name]
        print(name, *(round(row[c], 3) for c in ("value", "low", "high")), int(row["n"]))


@pytest.mark.slow
def test_the_guarantee_holds_in_nine_of_ten_cohorts_like_the_public_one(trained):
    """Cohorts drawn with replacement from the patients, whose own errors are then the truth."""
    _, y, risk = trained
    rng, n = np.random.default_rng(0), len(y)
    broken = {"monotherapy": 0, "combination": 0}
    for _ in range(200):
        drawn = rng.integers(0, n, n)
        low, high = both_thresholds(RiskCuts.of(y[drawn], risk[drawn]), ERRORS)
        below = risk < (-1 if low.threshold is None else low.threshold)
        above = risk >= (2 if high.threshold is None else high.threshold)
        broken["monotherapy"] += bool(below.any()) and y[below].mean() > ERRORS.monotherapy
        broken["combination"] += bool(above.any()) and 1 - y[above].mean() > ERRORS.combination
    assert max(broken.values()) / 200 <= 0.1 + 1.64 * np.sqrt(0.1 * 0.9 / 200)

"""RF16 against scikit-learn's forest, and internal–external validation, on the public cohorts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stratify import Study
from stratify.cohort.features import informative_features, model_matrix
from stratify.model.classifier import ResistanceClassifier
from stratify.references import References
from stratify.references.rf16 import RF16_INPUTS, encoded
from stratify.statistics.discrimination import auroc
from stratify.validation.diagnostics import (
    cohort_from_missingness,
    missingness_auroc,
    single_feature_auroc,
)
from stratify.validation.internal_external import internal_external
from stratify.validation.training import Risks

pytestmark = pytest.mark.realdata

PIPELINES = Path(__file__).parents[2] / "pipelines"


def test_the_refitted_rf16_is_the_forest_of_the_published_code(read):
    """scikit-learn 1.9.1 with the settings of github.com/CCF-ChanLab/MSK-IMPACT-IO, same rows."""
    from sklearn.ensemble import RandomForestClassifier

    table = read("chowell_all", endpoint="objective_response").evaluable.table
    home, away = (table[table["split"] == split] for split in ("train", "test"))
    label = home["label"].to_numpy(float)
    theirs = RandomForestClassifier(
        n_estimators=1000, max_depth=8, min_samples_leaf=20, min_samples_split=2, random_state=0
    )
    matrices = [pd.DataFrame(encoded(rows, RF16_INPUTS)) for rows in (home, away)]
    medians = matrices[0].median()
    theirs.fit(matrices[0].fillna(medians), label)
    expected = theirs.predict_proba(matrices[1].fillna(medians))[:, 1]
    risk = References.fit(home, list(RF16_INPUTS), label).risk("rf16", away)
    assert np.corrcoef(risk, expected)[0, 1] > 0.995
    outcome = away["label"]
    assert auroc(outcome, risk).value == pytest.approx(auroc(outcome, expected).value, abs=0.01)


def test_no_feature_of_the_msk_cohort_is_a_leak_and_its_gaps_tell_nothing(read):
    home = read("chowell").of_split("train").evaluable
    matrix = model_matrix(home.table, informative_features(home, None))
    areas = single_feature_auroc(matrix, home.table["label"])
    assert max(areas, key=areas.__getitem__) == "tmb"
    assert areas["tmb"] == pytest.approx(0.62, abs=0.02)
    assert missingness_auroc(matrix, home.table["label"]) == pytest.approx(0.48, abs=0.03)


@pytest.mark.slow
def test_leaving_out_one_hospital_after_the_other(read):
    """MSK (two cohorts of one hospital), Samsung, SU2C-MARK: monotherapy, ``proxy_pfs6``.

    An interval over three hospitals is wide; the figures only guard against a fault.
    """
    cohorts = [read(name).evaluable for name in ("chowell", "ravi", "shim")]
    table = pd.concat([cohort.table for cohort in cohorts], ignore_index=True)
    features = list(dict.fromkeys(n for c in cohorts for n in informative_features(c, None)))
    told, largest = cohort_from_missingness(model_matrix(table, features), table["cohort"])
    assert told > largest + 0.2  # panels differ between hospitals
    found = internal_external(
        ResistanceClassifier(n_jobs=-1),
        table,
        features,
        groups={"chowell_train": "msk", "chowell_test": "msk"},
    )
    assert {part.cohort: part.n for part in found.assessments} == {
        "chowell_test": 461,
        "chowell_train": 753,
        "ravi": 228,
        "shim": 193,
    }
    pooled = found.pooled.set_index(["model", "reference", "metric"])
    assert pooled.loc[("stratify", "", "auroc"), "n_cohorts"] == 3
    assert pooled.loc[("stratify", "", "auroc"), "value"] == pytest.approx(0.685, abs=0.03)
    assert pooled.loc[("stratify", "", "calibration_slope"), "value"] == pytest.approx(1, abs=0.35)
    for name in ("loris", "rf16", "logistic", "logistic_loris", "tmb", "pdl1"):
        assert pooled.loc[("stratify", name, "delta_auroc"), "n_cohorts"] == 3


def test_published_predictions_of_the_rna_cohorts_reproduce(read):
    """Weighted by patients on eleven cohorts, as the predictions of Shen 2025 give them."""
    published = {"compass": 0.730, "netbio": 0.639, "gep_published": 0.626, "impres": 0.556}
    study = Study.load(PIPELINES / "studies" / "itrp.yaml")
    table = read("itrp").evaluable.table
    cohorts = [rows.reset_index(drop=True) for _, rows in table.groupby("cohort") if len(rows) > 20]
    assert (len(cohorts), sum(map(len, cohorts))) == (11, 859)
    for name, value in published.items():
        found = [
            (auroc(rows["label"], risks.by_model[name]).value, len(rows))
            for rows in cohorts
            for risks in [Risks({}, {}, frozenset()).with_comparators(study.references, rows)]
        ]
        assert sum(a * n for a, n in found) / 859 == pytest.approx(value, abs=0.0006), name

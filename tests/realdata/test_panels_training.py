"""INSPIRE with all four panels, each tumour cohort left out; OAK, what ctDNA adds. Minutes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.cohort.features import informative_features, model_matrix
from stratify.experiment.training import classifier_of
from stratify.statistics.discrimination import auroc
from stratify.study import Study
from stratify.tables.schema import field_named
from stratify.validation.internal_external import internal_external
from stratify.validation.panels import added_value
from stratify.validation.training import fit_with_references

from .conftest import STUDIES

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def test_inspire_with_four_panels_leaves_each_tumour_cohort_out(read):
    """24 of 104 without resistance: intervals are wide, and four of five cohorts too small.

    Cohort E: 0.70 (0.47 to 0.92), n = 31. Predictions of all five held-out cohorts together: 0.73
    (0.60 to 0.86), n = 104, to which differences between tumours contribute.
    """
    home = read("inspire").of_split("train").evaluable
    features = informative_features(home, None)
    panels = {field_named(name).panel for name in features}
    assert {"pdl1", "tmb", "infiltration", "ctdna"} <= panels

    classifier = classifier_of(Study.load(STUDIES / "inspire.yaml"))
    found = internal_external(classifier, home.table, features, by="site")
    assert len(found.too_small) == 4
    rows = found.performance
    row = rows[(rows["metric"] == "auroc") & (rows["model"] == "stratify")].iloc[0]
    assert (row["cohort"], row["n"]) == ("site=E: Mixed", 31)
    assert row["value"] == pytest.approx(0.697, abs=0.03)
    assert row["high"] - row["low"] > 0.3

    risk = pd.Series(np.nan, index=home.table.index)
    for _, held_out in home.table.groupby("site"):
        fitted, _ = fit_with_references(classifier, home.table.drop(held_out.index), features)
        matrix = model_matrix(held_out, features)
        risk[held_out.index] = fitted.predict_proba(matrix)[:, 1]
    together = auroc(home.table["label"].to_numpy(dtype=float), risk.to_numpy())
    assert together.value == pytest.approx(0.732, abs=0.03)
    assert together.low > 0.5


def test_oak_ctdna_adds_to_clinical_data(read):
    """Atezolizumab arm, n = 421: AUROC 0.569 to 0.640, difference 0.071 (0.025 to 0.117)."""
    home = read("oak").of_split("train").evaluable
    features = [
        name
        for name in informative_features(home, None)
        if field_named(name).panel in ("clinical", "ctdna")
    ]
    classifier = classifier_of(Study.load(STUDIES / "oak.yaml"))
    table = added_value(classifier, home.table, features)
    row = table[table["patients"] == "all"].iloc[0]

    assert (row["panels"], row["n"], row["n_events"]) == ("ctdna", 421, 287)
    assert row["difference"] == pytest.approx(0.071, abs=0.02)
    assert row["low"] > 0

"""Simulated patients in one table, a small classifier fitted on them, and its bundle."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from stratify.cohort.features import features_matrix
from stratify.endpoint import label_outcomes
from stratify.model.classifier import ResistanceClassifier
from stratify.references import References
from stratify.scoring import ResistanceModel
from stratify.simulation import simulate
from stratify.study.policy import Policy
from stratify.tables.schema import field_named, panel_versions, patient_panels
from stratify.uncertainty.risk_interval import Uncertainty

FEATURES = [
    *("age", "albumin", "cancer_type", "ecog", "nlr", "prior_systemic_therapy", "sex"),
    *("pdl1_cps", "pdl1_tps", "msi_high", "tmb"),
    *("cd8_density", "immune_phenotype", "ctdna_detected", "ctdna_max_vaf"),
]
POLICY = Policy(
    name="example",
    version="2",
    source="illustration only",
    monotherapy_below=0.55,
    combination_from=0.6,
    required_markers=["pdl1_tps"],
)


def joined(n: int, seed: int) -> pd.DataFrame:
    """One row a patient in the types of a cohort that was read, with labels."""
    panels = simulate(n, seed=seed, missingness=0.6).panels
    table = panels["clinical"]
    for name in [each for each in patient_panels()[1:] if each in panels]:
        table = table.merge(panels[name], on="patient_id", how="left")
    fields = [field_named(name) for name in table.columns.drop("patient_id")]
    table = table.astype({f.name: f.dtype for f in fields if f.type != "date"})
    table.insert(1, "cohort", "home")
    return pd.concat([table, label_outcomes(table, "proxy_pfs6")], axis=1)


@pytest.fixture(scope="session")
def patients() -> pd.DataFrame:
    """240 patients with a label, all panels with gaps; do not change it in place."""
    table = joined(260, seed=5)
    return table[table["label"].notna()].head(240).reset_index(drop=True)


@pytest.fixture(scope="session")
def strangers() -> pd.DataFrame:
    """Patients with a label of another cohort, as `patients`."""
    table = joined(400, seed=77).assign(cohort="local")
    return table[table["label"].notna()].reset_index(drop=True)


@pytest.fixture(scope="session")
def small() -> ResistanceClassifier:
    """Unfitted, and fast to fit; clone it."""
    return ResistanceClassifier(
        n_members=3, n_estimators=20, learning_rate=0.1, min_child_samples=5, calibration_folds=2
    )


@pytest.fixture(scope="session")
def classifier(small: ResistanceClassifier, patients: pd.DataFrame) -> ResistanceClassifier:
    return clone(small).fit(features_matrix(patients, FEATURES), patients["label"])


@pytest.fixture(scope="session")
def references(patients: pd.DataFrame) -> References:
    return References.fit(patients, FEATURES, patients["label"].to_numpy(float))


@pytest.fixture(scope="session")
def uncertainty(patients: pd.DataFrame, classifier: ResistanceClassifier) -> Uncertainty:
    matrix = features_matrix(patients, FEATURES)
    return Uncertainty.fit(classifier, matrix, patients["label"].to_numpy(float))


@pytest.fixture(scope="session")
def model(
    patients: pd.DataFrame,
    classifier: ResistanceClassifier,
    references: References,
    uncertainty: Uncertainty,
) -> ResistanceModel:
    card = {
        "study": "example",
        "endpoint_rule": "proxy_pfs6 1.0.0",
        "mixed_regimens": False,
        "risk_group_cuts": [float(q) for q in np.quantile(classifier.oof_risk_, [1 / 3, 2 / 3])],
        "assays": {"tmb": ["panel X"], "pdl1_tps": ["22C3"]},
        "schema_versions": panel_versions(),
    }
    return ResistanceModel(classifier, references, card, POLICY, uncertainty)

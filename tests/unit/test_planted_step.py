"""Profiles of simulated patients whose mechanism is known, and information against refitting."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stratify.cohort.features import model_matrix
from stratify.endpoint import label_outcomes
from stratify.interpretation.attribution import attributions
from stratify.interpretation.information import value_of_information
from stratify.interpretation.profile import profile_matrix, resistance_profiles
from stratify.model.classifier import ResistanceClassifier
from stratify.references import References
from stratify.scoring import ResistanceModel
from stratify.simulation import STEPS, SimulatedCohort, simulate
from stratify.tables.schema import field_named, known_field, panel_versions, patient_panels
from stratify.uncertainty.risk_interval import Uncertainty

STEP = {"antigenicity": "release", "infiltration": "infiltration", "checkpoint": "killing",
        "burden": "burden", "host": "host"}  # fmt: skip


def drawn(n: int, seed: int, **options: float) -> tuple[pd.DataFrame, SimulatedCohort]:
    """Patients, one row each, with labels."""
    cohort = simulate(n, seed=seed, **options)
    table = cohort.panels["clinical"]
    for name in [each for each in patient_panels()[1:] if each in cohort.panels]:
        table = table.merge(cohort.panels[name], on="patient_id", how="left")
    fields = [field_named(name) for name in table.columns.drop("patient_id")]
    table = table.astype({f.name: f.dtype for f in fields if f.type != "date"})
    table.insert(1, "cohort", "home")
    return pd.concat([table, label_outcomes(table, "proxy_pfs6")], axis=1), cohort


def features_of(table: pd.DataFrame) -> list[str]:
    fields = {name: known_field(name) for name in table.columns}
    return [
        name
        for name, field in fields.items()
        if field is not None and field.role == "feature" and table[name].nunique() >= 2
    ]


def fitted(table: pd.DataFrame, features: list[str], **options: float) -> ResistanceClassifier:
    return ResistanceClassifier(**options).fit(model_matrix(table, features), table["label"])


def named_first(seed: int, **options: float) -> pd.DataFrame:
    """Planted step and the step that leads, of unseen patients with a strong signal.

    Strong: the planted step adds at least one log-odds above the mean of the cohort.
    """
    simulated = {"planted_shift": 2.5, "missingness": 0.0}
    table, _ = drawn(1500, seed, **simulated)
    table = table[table["label"].notna()].reset_index(drop=True)
    features = features_of(table)
    model = fitted(table, features, **options)
    unseen, truth = drawn(1500, seed + 1, **simulated)
    matrix = profile_matrix(resistance_profiles(attributions(model, unseen)))
    leading = matrix[list(STEP.values())].idxmax(axis=1).to_numpy()
    added = truth.mechanism[STEPS] - truth.mechanism[STEPS].mean()
    planted = truth.truth["planted"]
    own = added.to_numpy()[np.arange(len(added)), [STEPS.index(step) for step in planted]]
    return pd.DataFrame({"planted": planted.map(STEP), "leading": leading})[own > 1]


QUICK = {"n_members": 5, "n_estimators": 60, "learning_rate": 0.05, "calibration_folds": 0}


def shares(found: pd.DataFrame) -> tuple[float, pd.Series]:
    """Share in which the planted step leads, of all patients and by planted step."""
    right = found["planted"] == found["leading"]
    return float(right.mean()), right.groupby(found["planted"]).mean()


@pytest.mark.slow
def test_the_planted_step_is_named_first_in_at_least_80_percent():
    """2026-11-23: 84 % of 3,637 patients; by seed 86, 89, 84, 79, 84, 83 %.

    Killing alone is seldom found, 8-24 %; the next test but one tells why.
    """
    seeds = [named_first(seed, **QUICK) for seed in (0, 10, 20, 30, 40, 50)]
    found = pd.concat(seeds)
    assert len(found) > 3000
    overall, by_step = shares(found)
    assert overall >= 0.80
    assert min(shares(each)[0] for each in seeds) >= 0.75
    assert by_step.drop("killing").min() >= 0.75
    # no step is named for the others' patients more often than in one of eight
    for step in STEP.values():
        others = found[found["planted"] != step]
        assert (others["leading"] == step).mean() <= 0.125, step


@pytest.mark.slow
def test_the_planted_step_is_named_first_with_the_default_settings():
    """2026-11-23: 82 % of 1,823; by seed 80, 84, 82 %."""
    found = pd.concat([named_first(seed) for seed in (30, 40, 50)])
    assert shares(found)[0] >= 0.80


@pytest.mark.slow
def test_killing_is_hidden_by_the_floor_of_pdl1_and_told_by_markers_of_other_steps():
    """Why killing is seldom named, with the planted contributions known for 30,000 patients.

    2026-11-23: in all 175 patients with a strong loss of the checkpoint axis TPS is 0, as in 51 %
    of all. A regression of each step's true contribution on all markers names killing first in
    63 % of them, the other steps in 95-98 %: it sees CPS and GEP below what infiltration explains,
    which SHAP credits to GEP's own step.
    """
    import lightgbm

    simulated = {"planted_shift": 2.5, "missingness": 0.0}
    many, truth = drawn(30_000, 900, **simulated)
    unseen, told = drawn(6_000, 901, **simulated)
    features = features_of(many)

    def numbers(table: pd.DataFrame) -> pd.DataFrame:
        levels = [name for name in features if known_field(name).categorical]
        coded = {name: table[name].astype("category").cat.codes for name in levels}
        return table[features].assign(**coded).astype(float)

    found = {}
    for step in STEPS:
        regression = lightgbm.LGBMRegressor(
            n_estimators=400, learning_rate=0.05, n_jobs=1, verbose=-1
        ).fit(numbers(many), truth.mechanism[step])
        found[step] = regression.predict(numbers(unseen)) - truth.mechanism[step].mean()
    added = (told.mechanism[STEPS] - told.mechanism[STEPS].mean()).to_numpy()
    planted = told.truth["planted"].to_numpy()
    strong = added[np.arange(len(added)), [STEPS.index(step) for step in planted]] > 1
    leading = pd.DataFrame(found).idxmax(axis=1).to_numpy()
    named = pd.Series(leading == planted)[strong].groupby(planted[strong]).mean()
    assert 0.5 < named["checkpoint"] < 0.75
    assert named.drop("checkpoint").min() > 0.9
    tps = unseen["pdl1_tps"].to_numpy()
    assert (tps[strong & (planted == "checkpoint")] == 0).all()
    assert (tps == 0).mean() > 0.45


@pytest.mark.slow
@pytest.mark.parametrize("panel", ["pdl1", "tmb", "infiltration", "ctdna"])
def test_the_value_of_a_panel_is_what_refitting_with_it_changes(panel):
    """Predicted from draws, against the risks of a model refitted without the panel.

    2026-11-23, with six members of 60 trees, seed 2, 250 patients, root mean square of the change,
    predicted against refitted: pdl1 0.079, 0.084; tmb 0.086, 0.110; infiltration 0.089, 0.098;
    ctdna 0.021, 0.029. Risks within the 80 % range: 81, 76, 70, 78 %.
    """
    table, _ = drawn(1500, 0, missingness=0.5)
    table = table[table["label"].notna()].reset_index(drop=True)
    features, label = features_of(table), table["label"].to_numpy(float)
    full = fitted(table, features, n_members=8)
    doubt = Uncertainty.fit(full, model_matrix(table, features), label)
    card = {"study": "example", "endpoint_rule": "x", "mixed_regimens": False, "assays": {},
            "risk_group_cuts": [0.4, 0.6], "schema_versions": panel_versions()}  # fmt: skip
    references = References.fit(table, features, label)
    model = ResistanceModel(full, references, card, None, doubt)
    unseen, _ = drawn(300, 1, missingness=0.0)
    own = [name for name in features if known_field(name).panel == panel]
    without = unseen.drop(columns=own)
    predicted = value_of_information(model, without, groups={panel: own}, draws=60)
    rest = [name for name in features if name not in own]
    refitted = fitted(table, rest, n_members=8).predict_proba(model_matrix(unseen, rest))[:, 1]
    risk = full.predict_proba(model_matrix(unseen, features))[:, 1]
    actual = np.sqrt(((risk - refitted) ** 2).mean())
    assert np.sqrt((predicted["spread"] ** 2).mean()) == pytest.approx(actual, rel=0.3)
    inside = (risk >= predicted["drawn_low"]) & (risk <= predicted["drawn_high"])
    assert 0.65 < inside.mean() < 0.9  # of 80 %

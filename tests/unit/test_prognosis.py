"""A frozen score against survival of patients without labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stratify.errors import ArgumentError, CohortError
from stratify.statistics.discrimination import c_index
from stratify.statistics.survival import hazard_ratio_per_sd
from stratify.validation.prognosis import prognosis, statements


@pytest.fixture
def untreated(hospital):
    """A study of survival alone, without labels."""
    for name in ("best_response", "pfs", "pfs_event"):
        del hospital.source("outcomes")["panels"]["outcomes"][name]
    hospital.column("regimen")["coding"] = {"Drug A": "none"}
    hospital.document["eligible_regimens"] = ["none"]
    cohort = hospital.read(labels=False)
    assert not cohort.findings.has_errors
    assert "label" not in cohort.table
    return cohort


def test_the_risk_is_set_against_survival(model, untreated):
    found = prognosis(model, untreated)
    table = untreated.table
    risk = model.score_cohort(untreated)["risk"].to_numpy(dtype=float)
    expected = c_index(table["os"], table["os_event"], risk)
    row = found[(found["model"] == "stratify") & (found["metric"] == "c_index")].iloc[0]
    assert row[["value", "low", "high"]].tolist() == pytest.approx(list(expected))
    assert (row["n"], row["n_events"]) == (160, table["os_event"].sum())
    assert {"c_index", "hazard_ratio_per_sd"} == set(found["metric"])
    assert {"stratify", "tmb", "pdl1", "logistic"} <= set(found["model"])


def test_a_score_that_is_survival_is_prognostic_and_says_so(model, untreated):
    table = untreated.table.copy()
    risk = model.score_cohort(untreated)["risk"].to_numpy(dtype=float)
    table["os"] = 1.0 + 40 * (1 - risk)
    table["os_event"] = 1.0
    found = prognosis(model, replace(untreated, table=table))
    (said,) = statements(found)
    assert said == (
        "home, without an ICI: the risk is associated with survival (C 1.00, 1.00 to 1.00; "
        "n = 160): prognostic."
    )
    ratio = found[(found["model"] == "stratify") & (found["metric"] == "hazard_ratio_per_sd")]
    assert ratio["value"].isna().all()  # without a maximum: every order is right


def test_a_score_without_association_is_not_called_prognostic(model, untreated):
    table = untreated.table.copy()
    rng = np.random.default_rng(0)
    table["os"] = rng.exponential(12, len(table)) + 0.1
    found = prognosis(model, replace(untreated, table=table))
    (said,) = statements(found)
    assert said.startswith(
        "home, without an ICI: no association of the risk with survival is shown (C 0."
    )


def test_without_survival_there_is_nothing_to_check(model, untreated):
    with pytest.raises(CohortError) as refused:
        prognosis(model, untreated, outcome="pfs")
    assert str(refused.value) == (
        "No patient has pfs and pfs_event recorded; map both in the outcomes panel."
    )


def test_the_hazard_ratio_per_sd_is_that_of_the_standardised_score():
    from statsmodels.duration.hazard_regression import PHReg

    rng = np.random.default_rng(3)
    score = rng.normal(5, 3, 200)
    time = rng.exponential(np.exp(-0.2 * (score - 5)))
    event = (rng.random(200) < 0.8) * 1.0
    standard = (score - score.mean()) / score.std()
    fit = PHReg(time, standard[:, None], status=event, ties="efron").fit(disp=0)
    assert hazard_ratio_per_sd(time, event, score).value == pytest.approx(np.exp(fit.params[0]))
    with pytest.raises(ArgumentError):
        hazard_ratio_per_sd(time, event, np.ones(200))


def test_of_patients_with_an_ici_nothing_is_said_to_be_prognostic(model, untreated):
    table = untreated.table.copy()
    risk = model.score_cohort(untreated)["risk"].to_numpy(dtype=float)
    table["os"], table["os_event"] = 1.0 + 40 * (1 - risk), 1.0
    table["regimen"] = np.where(np.arange(160) < 80, "anti_pd1_pdl1", "chemotherapy")
    table.loc[150:, "regimen"] = None
    found = prognosis(model, replace(untreated, table=table))
    assert found.groupby("treatment")["n"].max().to_dict() == {
        "ici": 80,
        "unknown": 10,
        "without_ici": 70,
    }
    said = statements(found)
    assert said[0] == (
        "home, with an ICI: the risk is associated with survival (C 1.00, 1.00 to 1.00; n = 80); "
        "whether it is prognostic only patients without an ICI can show (`regimen: none`, "
        "chemotherapy or targeted)."
    )
    assert [each.endswith(": prognostic.") for each in said] == [False, False, True]

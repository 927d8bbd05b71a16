"""Trials with arms: published effects reproduced, rules that fix the arm refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from stratify import Policy, Study
from stratify.statistics.survival import hazard_ratio
from stratify.treatment.arms import Arms, read_arms
from stratify.treatment.design_check import check_design
from stratify.treatment.triage import triage

pytestmark = pytest.mark.realdata
PIPELINES = Path(__file__).parents[2] / "pipelines"


def arms_of(read, name: str) -> Arms:
    estimand = Study.load(PIPELINES / "studies" / f"{name}.yaml").require_effect()
    return read_arms(read(name, labels=False, eligible_only=False), estimand)


def test_oak_gives_its_published_hazard_ratio(read):
    """OS HR 0.73 (Rittmeyer 2017, 10.1016/S0140-6736(16)32517-X), all randomised patients."""
    arms = arms_of(read, "oak_effect")
    assert arms.sizes() == {"docetaxel": 425, "atezolizumab": 425}
    table = arms.table
    ratio = hazard_ratio(table["os"], table["os_event"].astype(float), arms.treated.astype(float))
    assert ratio.value == pytest.approx(0.73, abs=0.005)
    assert check_design(arms).allowed


def test_immotion150_passes_the_check_and_gives_its_response_rates(read):
    """23 % and 32 % (McDermott 2018, 10.1038/s41591-018-0053-3)."""
    arms = arms_of(read, "immotion150")
    assert check_design(arms).allowed
    assert arms.sizes() == {"atezolizumab": 86, "atezolizumab + bevacizumab": 88}
    response = arms.with_outcomes().outcomes["objective_response"].values
    assert response[~arms.treated].mean() == pytest.approx(0.23, abs=0.005)
    assert response[arms.treated].mean() == pytest.approx(0.32, abs=0.005)


def test_amadeus_policy_gives_every_patient_the_arm_that_the_trial_gave(read):
    policy = Policy.load("amadeus.yaml", PIPELINES / "policies")
    table = read("amadeus", labels=False, eligible_only=False).table
    assert len(table) == 37
    given = table["regimen"].map({"anti_pd1_pdl1": "monotherapy", "ici_ici": "combination"})
    assert (triage(None, table, policy)["recommendation"] == given).all()


def test_amadeus_is_refused_since_cd8_fixes_the_arm(read):
    design = check_design(arms_of(read, "amadeus"))
    assert design.refusals[0] == "the arm nivolumab has 5 patients; 30 are needed"
    assert (
        "the arm follows from cd8_percent alone, so no patient could have had either treatment"
        in design.refusals
    )


def test_chowell_is_refused_with_numbers(read):
    design = check_design(arms_of(read, "chowell_effect"))
    assert design.refusals == [
        "ecog is not recorded or the same for all, and nobody was randomised; record what decided "
        "the treatment, or state other `confounders` with your reasons",
        "no overlap: of 1221 patients with one ICI only 595 had a probability of the other "
        "treatment between 0.1 and 0.9 (AUROC of the propensity 0.77)",
    ]

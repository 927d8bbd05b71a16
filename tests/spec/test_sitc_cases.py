"""The SITC rules by the tables of cases in ENDPOINTS.md; definitions.md, 1, is the source."""

from __future__ import annotations

import pandas as pd
import pytest
from endpoint_document import cases_of

from stratify.endpoint import endpoint_reasons, endpoint_rules, label_outcomes

RULES = ("sitc_mono_2020", "sitc_mono_2020_strict", "sitc_chemo_2023", "sitc_chemo_2023_strict")


def _cases() -> list[tuple[str, list[str]]]:
    return [(rule, case) for rule in RULES for case in cases_of(rule)]


def _outcomes(cells: list[str]) -> pd.DataFrame:
    pfs, event, kind, best, confirmed, rapid, cancer, exposure = cells
    yes_no = {"yes": 1.0, "no": 0.0, ".": None}
    number = {"pfs": pfs, "pfs_event": event, "exposure": exposure}
    row = {name: None if cell == "." else float(cell) for name, cell in number.items()}
    row |= {"pfs_event_kind": None if kind == "." else kind}
    row |= {"best_response": None if best == "." else best}
    row |= {"pd_confirmed": yes_no[confirmed], "rapid_progression": yes_no[rapid]}
    return pd.DataFrame([row | {"cancer_death": yes_no[cancer]}])


@pytest.mark.parametrize(("rule", "case"), _cases(), ids=lambda part: " ".join(part))
def test_sitc_rule(rule, case):
    *cells, reason = case
    row = label_outcomes(_outcomes(cells), rule).iloc[0]
    assert row["reason"] == reason
    assert row["state"] == endpoint_reasons()[reason]["state"]
    assert row["endpoint_rule"] == f"{rule}@1.0.0"
    expected = {"primary": 1.0, "secondary": 0.0, "none": 0.0}.get(row["state"])
    assert pd.isna(row["label"]) if expected is None else row["label"] == expected


def test_every_reason_of_progression_rules_has_a_case():
    seen = {case[-1] for _, case in _cases()} | {"event_before_horizon"}
    others = {"cr_or_pr", "no_cr_or_pr", "best_response_missing", "regimen_without_rule"}
    assert seen == set(endpoint_reasons()) - others


def test_a_response_that_progresses_at_month_five_depends_on_the_regimen():
    patient = pd.DataFrame(
        {"pfs": [5.0], "pfs_event": [1.0], "best_response": ["PR"], "exposure": [21.0]}
    )
    assert label_outcomes(patient, "sitc_mono_2020")["state"].item() == "none"
    assert label_outcomes(patient, "sitc_chemo_2023")["state"].item() == "primary"


def test_rules_name_the_regimens_they_are_for():
    assert endpoint_rules()["sitc_mono_2020"].regimens == ["anti_pd1_pdl1", "single_agent_ici"]
    assert endpoint_rules()["sitc_chemo_2023"].regimens == ["ici_chemotherapy"]


def test_by_regimen_each_patient_has_the_rule_of_the_regimen():
    patients = pd.DataFrame(
        {
            "regimen": ["anti_pd1_pdl1", "ici_chemotherapy", "ici_ici", None, "single_agent_ici"],
            "pfs": 5.0,
            "pfs_event": 1.0,
            "best_response": "PR",
            "exposure": 21.0,
        },
        index=list("abcde"),
    )
    labels = label_outcomes(patients, "sitc_by_regimen")
    mono, chemo = "sitc_mono_2020@1.0.0", "sitc_chemo_2023@1.0.0"
    whole = "sitc_by_regimen@1.0.0"
    assert labels["endpoint_rule"].tolist() == [mono, chemo, whole, whole, mono]
    assert labels["reason"].tolist() == [
        "early_relapse_after_response",
        "progression_within_horizon",
        "regimen_without_rule",
        "regimen_without_rule",
        "early_relapse_after_response",
    ]
    assert labels["label"].fillna(-1).tolist() == [0, 1, -1, -1, 0]


def test_a_rule_of_ones_own_differs_in_what_it_states():
    own = {"name": "ici_ici_draft", "based_on": "sitc_mono_2020", "version": "0.1"}
    own |= {"title": "ICI+ICI, draft", "source": "protocol", "confirmation": False}
    patient = pd.DataFrame({"pfs": [2.0], "pfs_event": [1.0], "best_response": ["PD"]})
    published = label_outcomes(patient, "sitc_mono_2020").iloc[0]
    row = label_outcomes(patient, own).iloc[0]
    assert published["reason"] == "pd_confirmation_not_recorded"
    assert (row["reason"], row["label"]) == ("event_before_horizon", 1.0)
    assert row["endpoint_rule"] == "ici_ici_draft@0.1"

"""The SITC rules as tables of cases; definitions.md, section 1, is the source.

Kluger 2020 (10.1136/jitc-2019-000398) for monotherapy, Rizvi 2023 (10.1136/jitc-2022-005920) for
ICI with chemotherapy. ``.`` is not recorded; months of pfs, weeks of exposure.
"""

from __future__ import annotations

import pandas as pd
import pytest

from stratify.endpoint import label_outcomes
from stratify.schema import endpoint_reasons, endpoint_rules

MONO = """
pfs    event  kind         best  confirmed  rapid  cancer  exposure  reason
# progressive disease as best response, or stable disease shorter than six months
1.9    1      progression  PD    yes        .      .       12        event_before_6_months
4.0    1      progression  SD    yes        .      .       20        event_before_6_months
5.9999 1      progression  SD    yes        .      .       26        event_before_6_months
4.0    1      .            SD    yes        .      .       20        event_before_6_months
# confirmation is asked, unless growth is rapid with clinical deterioration, or the patient died
1.9    1      progression  PD    no         .      .       12        pd_unconfirmed
1.9    1      progression  PD    .          .      .       12        pd_confirmation_not_recorded
1.9    1      progression  PD    no         yes    .       12        event_before_6_months
1.9    1      death        PD    .          .      yes     12        event_before_6_months
1.9    1      death        PD    .          .      .       12        event_before_6_months
# death from another cause without progression
1.9    1      death        SD    .          .      no      12        non_cancer_death
8.0    1      death        SD    .          .      no      30        death_after_6_months
# early events stay primary resistance in the default rule, however short the exposure
0.7    1      death        NE    .          .      yes     2         event_before_6_months_response_unknown
0.7    1      progression  PD    yes        .      .       2         event_before_6_months
0.7    1      progression  PD    yes        .      .       .         event_before_6_months
# response, then early progression: neither primary nor secondary
5.0    1      progression  PR    yes        .      .       21        early_relapse_after_response
5.0    1      progression  CR    .          .      .       21        early_relapse_after_response
# the boundary of six months
6.0    1      progression  SD    yes        .      .       27        progression_after_6_months
5.9999 0      .            SD    .          .      .       26        censored_before_6_months
6.0    0      .            SD    .          .      .       26        six_months_without_event
5.9    0      .            PR    .          .      .       25        censored_before_6_months
6.1    0      .            PR    .          .      .       26        six_months_without_event
# secondary resistance: control and exposure for six months, then confirmed progression
9.0    1      progression  PR    yes        .      .       36        progression_after_6_months
9.0    1      progression  CR    yes        .      .       27        progression_after_6_months
9.0    1      progression  SD    .          .      .       30        progression_after_6_months
9.0    1      progression  PR    no         .      .       36        late_progression_unconfirmed
9.0    1      progression  PR    yes        .      .       20        late_progression_short_exposure
9.0    1      progression  PR    yes        .      .       26        late_progression_short_exposure
9.0    1      progression  PR    yes        .      .       .         late_progression_exposure_not_recorded
9.0    1      death        PR    .          .      yes     36        death_after_6_months
# progressive disease as best response is primary resistance whenever it was seen
7.0    1      progression  PD    yes        .      .       27        best_response_pd
# not recorded
.      1      progression  PD    yes        .      .       12        pfs_missing
4.0    .      progression  PD    yes        .      .       12        pfs_missing
"""

MONO_STRICT = """
pfs    event  kind         best  confirmed  rapid  cancer  exposure  reason
0.7    1      progression  PD    yes        .      .       2         exposure_too_short
1.9    1      progression  PD    yes        .      .       5.99      exposure_too_short
1.9    1      progression  PD    yes        .      .       6         event_before_6_months
1.9    1      progression  PD    no         yes    .       2         exposure_too_short
0.7    1      death        NE    .          .      yes     2         exposure_too_short
1.9    1      death        NE    .          .      yes     8         best_response_ne
1.9    1      progression  .     yes        .      .       8         best_response_ne
1.9    1      progression  PD    yes        .      .       .         exposure_not_recorded
1.9    1      progression  PD    no         .      .       8         pd_unconfirmed
1.9    1      death        SD    .          .      no      8         non_cancer_death
4.0    0      .            SD    .          .      .       17        censored_before_6_months
12     0      .            PR    .          .      .       52        six_months_without_event
9.0    1      progression  PR    yes        .      .       36        progression_after_6_months
"""

CHEMO = """
pfs    event  kind         best  confirmed  rapid  cancer  exposure  reason
# progression within six months is primary resistance whatever the best response; no confirmation
4.0    1      progression  PR    .          .      .       17        progression_within_6_months
4.0    1      progression  CR    no         .      .       17        progression_within_6_months
4.0    1      progression  SD    .          .      .       17        progression_within_6_months
1.0    1      progression  PD    no         .      .       4         progression_within_6_months
1.0    1      death        NE    .          .      yes     4         progression_within_6_months
# the boundary belongs to primary resistance
6.0    1      progression  PR    .          .      .       26        progression_within_6_months
6.0001 1      progression  PR    .          .      .       27        progression_after_6_months
5.9    0      .            PR    .          .      .       25        censored_before_6_months
6.0    0      .            PR    .          .      .       26        six_months_without_event
# secondary resistance: exposure and progression after six months, no confirmation
9.0    1      progression  PR    no         .      .       39        progression_after_6_months
9.0    1      progression  PR    .          .      .       20        late_progression_short_exposure
9.0    1      progression  PD    .          .      .       39        progression_after_6_months
2.0    1      death        SD    .          .      no      9         non_cancer_death
"""

CHEMO_STRICT = """
pfs    event  kind         best  confirmed  rapid  cancer  exposure  reason
1.0    1      progression  PD    .          .      .       4         exposure_too_short
1.0    1      progression  PD    .          yes    .       4         progression_within_6_months
1.9    1      progression  PD    .          .      .       8         progression_within_6_months
1.9    1      progression  PD    .          yes    .       .         progression_within_6_months
1.9    1      progression  PD    .          .      .       .         exposure_not_recorded
"""

TABLES = {
    "sitc_mono_2020": MONO,
    "sitc_mono_2020_strict": MONO_STRICT,
    "sitc_chemo_2023": CHEMO,
    "sitc_chemo_2023_strict": CHEMO_STRICT,
}


def _cases() -> list[tuple[str, list[str]]]:
    cases = []
    for rule, text in TABLES.items():
        lines = [line.split() for line in text.strip().splitlines() if not line.startswith("#")]
        cases += [(rule, line) for line in lines[1:]]
    return cases


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
    seen = {case[-1] for _, case in _cases()} | {"event_before_6_months"}
    by_response = {"cr_or_pr", "no_cr_or_pr", "best_response_missing"}
    assert seen == set(endpoint_reasons()) - by_response


def test_a_response_that_progresses_at_month_five_depends_on_the_regimen():
    patient = pd.DataFrame(
        {"pfs": [5.0], "pfs_event": [1.0], "best_response": ["PR"], "exposure": [21.0]}
    )
    assert label_outcomes(patient, "sitc_mono_2020")["state"].item() == "none"
    assert label_outcomes(patient, "sitc_chemo_2023")["state"].item() == "primary"


def test_rules_name_the_regimens_they_are_for():
    assert endpoint_rules()["sitc_mono_2020"]["regimens"] == ["anti_pd1_pdl1", "single_agent_ici"]
    assert endpoint_rules()["sitc_chemo_2023"]["regimens"] == ["ici_chemotherapy"]

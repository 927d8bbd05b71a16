"""Label rules on file: dated, with source, in the words of the dictionaries."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from stratify.study.policy import LabelCheck
from stratify.tables.schema import field_named
from stratify.treatment.indications import label_rules, not_covered, on_file


@pytest.mark.parametrize("rule", label_rules(), ids=lambda rule: rule.id)
def test_a_rule_is_dated_and_speaks_the_words_of_the_dictionaries(rule):
    assert rule.cancer_type in field_named("cancer_type").enum
    assert rule.treatment in ("monotherapy", "combination")
    assert rule.jurisdiction in ("us", "eu")
    assert len(rule.source) > 10
    assert rule.read_on <= dt.date(2026, 11, 29)
    assert rule.valid_from is None or rule.valid_from <= rule.read_on
    assert rule.valid_from is None or str(rule.valid_from.year) in rule.source
    for asked in rule.also:
        assert field_named(asked.marker).role in ("feature", "design")
    if rule.condition is not None:  # a cut-off is of one metric and one assay, but for MSI
        assert rule.assay is not None or rule.condition.marker == "msi_high"


def test_names_are_given_once():
    ids = [rule.id for rule in label_rules()]
    assert len(set(ids)) == len(ids)


#   day           CPS  covered     why
DATED = [
    ("2025-05-21", 0, True, "nothing on file yet"),
    ("2025-05-22", 0, False, "the restriction holds"),
    ("2025-05-22", 1, True, "inclusive"),
    ("2026-11-23", None, False, "not measured"),
]


@pytest.mark.parametrize(("day", "cps", "covered", "why"), DATED)
def test_a_rule_holds_from_its_day_on(day, cps, covered, why):
    table = pd.DataFrame({"cohort": "ward", "cancer_type": ["gastric"], "pdl1_cps": [cps]})
    check = LabelCheck(jurisdiction="us", on=day)
    lacking = not_covered(table, "combination", check, {"pdl1_cps": {"ward": "22C3"}})
    assert (lacking.iloc[0] == "") is covered, why
    assert on_file(table, "combination", check).iloc[0] == (day >= "2025-05-22")


def test_another_metric_never_stands_in():
    """TPS 60 says nothing of CPS 1."""
    table = pd.DataFrame({"cancer_type": ["gastric"], "pdl1_tps": [60.0]})
    check = LabelCheck(jurisdiction="us", on="2026-11-23")
    assert not_covered(table, "combination", check).tolist() == [
        "us pembrolizumab with chemotherapy (HER2-negative): pdl1_cps is 1 or more (22C3)"
    ]


def test_the_clone_of_a_patient_comes_before_that_of_the_column():
    table = pd.DataFrame({"cohort": "ward", "cancer_type": "gastric", "pdl1_cps": [5.0, 5.0, 5.0],
                          "pdl1_clone": ["22C3", "28-8", None]})  # fmt: skip
    check = LabelCheck(jurisdiction="us", on="2026-11-23")
    lacking = not_covered(table, "combination", check, {"pdl1_cps": {"ward": "SP142"}})
    assert (lacking == "").tolist() == [True, False, False]

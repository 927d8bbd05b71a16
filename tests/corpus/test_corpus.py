"""Every broken export is found with its severity, before a model is trained, without values.

``make corpus`` runs all and prints the table of docs/trust.md; the default tests run every tenth.
"""

from __future__ import annotations

import re

import pandas as pd
import pytest
from defects import Defect, add_columns, defects

DEFECTS = list(defects())
RANK = {"info": 0, "warning": 1, "error": 2}
# What is not found, and why.
UNTOLD = {
    "unit: TMB x 0.1": "the median is one of renal tumours: a warning",
    "unit: cfDNA x 10": "the median lies near that of cohorts with a large burden: a warning",
    "unit: MSAF x 0.01": "the median is one of early disease",
    "a third in another unit: PFS x 0.08333": "the times of progression reach as far down",
    "a third in another unit: MTM x 1000": "the values span as many orders of magnitude",
    "a third in another unit: TMB x 0.03333": "as hypermutated beside other tumours",
    "code of missing: CPS 99": "a CPS of 99 is measured",
    "gaps filled by 0: TPS": "a third of tumours has a TPS of 0",
    "gaps filled by 0: ECOG": "an ECOG of 0 is common",
    **{
        f"table: footnote Continue in {file}": "one word is taken for a pseudonym; to be mended"
        for file in ("clinical", "markers", "outcomes")
    },
}


def outcome_of(defect: Defect, hospital) -> str:
    """What was found: right, too weak, missed, or a false alarm."""
    add_columns(hospital)
    defect.change(hospital)
    findings = hospital.findings()
    identifiers = re.compile(r"7-\d{3}")
    assert not any(identifiers.search(found["message"]) for found in findings)
    if not defect.codes:
        return "false alarm" if any(f["severity"] == "error" for f in findings) else "right"
    ranks = [RANK[f["severity"]] for f in findings if f["code"] in defect.codes]
    if not ranks:
        return "missed"
    return "right" if max(ranks) >= RANK[defect.severity] else "too weak"


def test_the_clean_study_with_more_columns_has_no_findings(hospital):
    add_columns(hospital)
    assert hospital.findings() == []


@pytest.mark.parametrize("defect", DEFECTS[::10], ids=lambda defect: defect.id)
def test_a_broken_export_is_found(defect, hospital):
    if defect.id in UNTOLD:
        assert outcome_of(defect, hospital) in ("missed", "too weak")
    else:
        assert outcome_of(defect, hospital) == "right"


@pytest.mark.slow
def test_the_whole_corpus(tmp_path_factory):
    from conftest import HospitalStudy

    rows = []
    for k, defect in enumerate(DEFECTS):
        found = outcome_of(defect, HospitalStudy(tmp_path_factory.mktemp(f"defect{k}")))
        rows.append((defect.kind, defect.id, defect.severity, found))
    table = pd.DataFrame(rows, columns=["kind", "id", "severity", "found"])
    by_kind = table.assign(right=table["found"] == "right").groupby("kind", sort=False)["right"]
    print("\n" + by_kind.agg(["size", "sum"]).to_string())
    print(table.loc[table["found"] != "right", ["id", "found"]].to_string())
    print(f"right: {(table['found'] == 'right').sum()} of {len(table)}")
    assert len(table) >= 440
    assert set(table.loc[table["found"] != "right", "id"]) == set(UNTOLD)
    assert (table["found"] == "right").mean() >= 0.97

"""Two public cBioPortal exports become studies with the figures that were published.

The files lie in STRATIFY_DATA, or in ``shared/data`` beside the repository; no row is copied.
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from stratify.cohort.reading import read_cohort
from stratify.interchange.formats import fill_ins, make_study
from stratify.study import Study

DATA = Path(os.environ.get("STRATIFY_DATA") or Path(__file__).parents[3] / "shared" / "data")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(
        not (DATA / "immotion150").is_dir() or not (DATA / "tmb_mskcc_2018").is_dir(),
        reason="the public cohorts are absent; set STRATIFY_DATA to their folder",
    ),
]


def error_columns(study: Path) -> dict[str, str]:
    findings = read_cohort(Study.load(study)).findings.table()
    errors = findings[findings["severity"] == "error"]
    return dict(zip(errors["column"], errors["code"], strict=True))


def test_the_msk_tmb_cohort_reads_with_all_its_patients(tmp_path):
    study = make_study("cbioportal", DATA / "tmb_mskcc_2018", tmp_path / "out")
    table = read_cohort(Study.load(study), eligible_only=False).table
    assert len(table) == 1661
    assert table["regimen"].value_counts().to_dict() == {
        "anti_pd1_pdl1": 1307,
        "ici_combination": 255,
        "anti_ctla4": 99,
    }
    assert table["os_event"].sum() == 832
    assert table["tmb"].notna().all()
    assert table["age"].median() == 63  # the title says days
    assert {name: len(lines) for name, lines in fill_ins(study).items()} == {"cancer_type": 1}
    assert table["cancer_type"].isna().sum() == 126  # oesophagogastric: gastric or oesophageal
    # what the cohort truly lacks
    assert error_columns(study) == {"pfs": "missing_column", "pfs_event": "missing_column"}
    assert not read_cohort(Study.load(study), outcomes=False).findings.has_errors


def test_immotion150_reads_with_its_arms_and_response_rates(tmp_path):
    study = make_study("cbioportal", DATA / "immotion150", tmp_path / "out")
    table = read_cohort(Study.load(study), eligible_only=False).table
    assert len(table) == 263
    response = table["best_response"].isin(["CR", "PR"]).groupby(table["arm"])
    expected = {
        "Atezolizumab": (86, 23),
        "Atezolizumab + Bevacizumab": (88, 32),
        "Sunitinib": (89, 27),
    }
    assert {arm: (len(r), round(100 * r.mean())) for arm, r in response} == expected
    assert table["tmb"].notna().sum() == 158
    assert table["pfs_event"].sum() == 164
    assert error_columns(study) == {"regimen": "no_patient_left"}


def test_immotion150_with_its_regimens_told_has_no_error(tmp_path):
    regimens = {
        "Atezolizumab": "anti_pd1_pdl1",
        "Atezolizumab + Bevacizumab": "ici_targeted",
        "Sunitinib": "targeted",
    }
    study = make_study("cbioportal", DATA / "immotion150", tmp_path / "out", regimens=regimens)
    cohort = read_cohort(Study.load(study))
    assert fill_ins(study) == {}
    assert not cohort.findings.has_errors
    assert len(cohort) == 86
    source = pd.read_csv(
        DATA / "immotion150" / "rcc_iatlas_immotion150_2018_patient_clinical_data.csv"
    )
    pfs = source.set_index("patientId")["PFS_MONTHS"].loc[cohort.table["patient_id"]]
    assert cohort.table["pfs"].tolist() == pfs.tolist()

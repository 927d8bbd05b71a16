"""Which public cohorts share patients, by their quasi-identifiers alone (see data/README.md)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from stratify.cohort.overlap import overlap

pytestmark = pytest.mark.realdata

MSKCC_TYPES = {
    "Non-Small Cell Lung Cancer": "nsclc",
    "Melanoma": "melanoma",
    "Bladder Cancer": "bladder",
    "Renal Cell Carcinoma": "renal",
    "Head and Neck Cancer": "head_and_neck",
    "Esophagogastric Cancer": "gastric",
    "Colorectal Cancer": "colorectal",
    "Breast Cancer": "breast",
}


@pytest.fixture(scope="module")
def tmb_mskcc(public_data: Path) -> pd.DataFrame:
    """Age in whole years at sequencing, survival in whole months, TMB with all decimals."""
    path = public_data / "tmb_mskcc_2018" / "tmb_mskcc_2018_clinical_data.tsv"
    raw = pd.read_csv(path, sep="\t")
    return pd.DataFrame(
        {
            "age": raw["Age at Which Sequencing was Reported (Days)"].astype(float),
            "sex": raw["Sex"].str.lower(),
            "cancer_type": raw["Cancer Type"].map(MSKCC_TYPES),
            "tmb": raw["TMB Score"].astype(float),
            "os": raw["Overall Survival (Months)"].astype(float),
        }
    )


@pytest.fixture(scope="module")
def su2c(public_data: Path) -> pd.DataFrame:
    """Times in months of 30 days."""
    raw = pd.read_csv(public_data / "itrp" / "clinical.csv")
    raw = raw[raw["cohort"].isin(["SU2CLC1", "SU2CLC2"])]
    return pd.DataFrame(
        {
            "age": pd.to_numeric(raw["Age"], errors="coerce"),
            "sex": raw["Gender"].map({"M": "male", "F": "female"}),
            "cancer_type": "nsclc",
            "pfs": raw["PFS_Months"],
            "os": raw["OS_Months"],
        }
    )


def test_the_msk_sets_of_two_publications_share_patients(read, tmb_mskcc):
    table = read("chowell").table
    found = overlap(table[table["split"] == "train"], tmb_mskcc)
    assert found.columns == ("sex", "cancer_type", "age", "tmb", "os")
    assert found.observed == 134
    assert found.expected == pytest.approx(9.0, abs=0.1)


def test_the_su2c_patients_are_in_both_sets(read, su2c):
    found = overlap(read("ravi").table, su2c)
    assert found.columns == ("sex", "cancer_type", "age", "pfs", "os")
    assert found.observed == 51
    assert found.expected == pytest.approx(1.7, abs=0.1)


def test_cohorts_of_different_hospitals_and_years_share_nobody(read, tmb_mskcc, su2c):
    chowell = read("chowell").table
    train, test = (chowell[chowell["split"] == split] for split in ("train", "test"))
    others = [read(name).table for name in ("shim", "ravi", "oak", "inspire")]
    for other in (test, *others, su2c):
        assert overlap(train, other) is None
    for other in (*others[:1], *others[2:], tmb_mskcc):
        assert overlap(others[1], other) is None

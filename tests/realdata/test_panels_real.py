"""IMvigor210, AMADEUS, IMmotion150 and MSK: levels, words, codes and traps of real exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stratify import Study, read_cohort
from stratify.tables.documents import read_yaml

from .conftest import STUDIES

pytestmark = pytest.mark.realdata


def changed(name: str, public_data: Path, column: str, **source: Any) -> list[tuple[str, str]]:
    """Codes and messages about a column when its entry in the study file is another."""
    document = read_yaml((STUDIES / f"{name}.yaml").read_text(encoding="utf-8"))
    document["data"] = str(public_data / name)
    document.pop("policy", None)  # of another folder
    for table in document["cohorts"][0]["tables"]:
        for columns in table["panels"].values():
            if column in columns:
                old = columns[column] if isinstance(columns[column], dict) else {}
                columns[column] = {**old, **source}
    cohort = read_cohort(Study.model_validate(document), labels=name != "tmb_mskcc_2018")
    return [
        (str(row["code"]), str(row["message"]))
        for row in cohort.findings.rows
        if row["column"] == column
    ]


@pytest.fixture(scope="module")
def imvigor210(read):
    return read("imvigor210")


def test_imvigor210_levels_are_intervals(imvigor210):
    """SP142: IC0 [0, 1), IC1 [1, 5), IC2+ [5, 100] percent, one patient without a level."""
    table = imvigor210.table
    ic = table.groupby(["pdl1_ic_low", "pdl1_ic_high"]).size().to_dict()
    tc = table.groupby(["pdl1_tc_low", "pdl1_tc_high"]).size().to_dict()

    assert ic == {(0.0, 1.0): 83, (1.0, 5.0): 112, (5.0, 100.0): 102}
    assert tc == {(0.0, 1.0): 238, (1.0, 5.0): 17, (5.0, 100.0): 42}
    assert imvigor210.assays["pdl1_ic"] == {"imvigor210": "SP142"}


def test_imvigor210_phenotypes_burden_and_responders(imvigor210):
    """Mariathasan 2018, 10.1038/nature25501: 68 of 298; TMB by FMOne in 234."""
    table = imvigor210.table
    phenotype = table["immune_phenotype"].value_counts().to_dict()

    assert phenotype == {"excluded": 113, "desert": 69, "inflamed": 62}
    assert table["objective_response"].agg(["sum", "count"]).tolist() == [68, 298]
    assert table["tmb"].notna().sum() == 234
    assert not imvigor210.findings.has_errors


def test_amadeus_arm_follows_from_cd8(read):
    """Nivolumab from 15 % CD8 on: a rule, so that the arms tell nothing of an effect."""
    table = read("amadeus").table

    assert len(table) == 37
    assert ((table["cd8_percent"] >= 15) == (table["arm"] == "CD8 HIGH")).all()
    assert (table["regimen"] == "anti_pd1_pdl1").sum() == 5
    assert table["best_response"].value_counts().to_dict() == {"PD": 14, "PR": 7, "SD": 7, "CR": 1}
    assert table["cancer_type"].value_counts().head(3).to_dict() == {
        "head_and_neck": 6,
        "prostate": 6,
        "sarcoma": 5,
    }
    assert table["msi_high"].sum() == 1


def test_amadeus_cd8_stated_as_a_fraction_is_caught(public_data):
    assert changed("amadeus", public_data, "cd8_percent", unit="fraction") == [
        (
            "looks_like_another_unit",
            "AMADEUS_Pre_Clinical.tsv: cd8_percent is stated in fraction but looks like percent "
            "(24 values exceed 1 among 37).",
        )
    ]


def test_immotion150_arms_and_responses(read):
    """McDermott 2018, 10.1038/s41591-018-0053-3: ORR 23 %, 32 %, 27 % of 86, 88 and 89."""
    table = read("immotion150", eligible_only=False).table
    responders = table["best_response"].isin(["CR", "PR"]).groupby(table["regimen"])

    assert responders.size().to_dict() == {"anti_pd1_pdl1": 86, "ici_targeted": 88, "targeted": 89}
    assert (100 * responders.mean()).round().to_dict() == {
        "anti_pd1_pdl1": 23,
        "ici_targeted": 32,
        "targeted": 27,
    }
    assert table["tmb"].notna().sum() == 158
    assert set(table["cancer_type"]) == {"renal"}


def test_immotion150_events_the_wrong_way_round_are_suspected(public_data):
    codes = changed(
        "immotion150",
        public_data,
        "pfs_event",
        coding={"0:Not_Progressed": True, "1:Progressed": False},
    )

    assert [code for code, _ in codes] == ["event_coding_suspicious"] * len(codes)
    assert codes


@pytest.fixture(scope="module")
def mskcc(read):
    return read("tmb_mskcc_2018", labels=False)


def test_msk_oncotree_codes_are_the_cancer_types_of_the_portal(mskcc, public_data):
    """93 codes; 11 of 12 types of the portal are one type here, oesophagogastric cancer two."""
    raw = pd.read_csv(
        public_data / "tmb_mskcc_2018" / "tmb_mskcc_2018_clinical_data.tsv", sep="\t"
    ).set_index("Patient ID")
    portal = raw["Cancer Type"].reindex(mskcc.table["patient_id"]).to_numpy()
    types = mskcc.table["cancer_type"].groupby(portal).unique().map(sorted).to_dict()

    assert types == {
        "Bladder Cancer": ["bladder"],
        "Breast Cancer": ["breast"],
        "Cancer of Unknown Primary": ["neuroendocrine", "unknown_primary"],
        "Colorectal Cancer": ["colorectal"],
        "Esophagogastric Cancer": ["gastric", "oesophageal"],
        "Glioma": ["glioma"],
        "Head and Neck Cancer": ["head_and_neck"],
        "Melanoma": ["melanoma"],
        "Non-Small Cell Lung Cancer": ["nsclc"],
        "Renal Cell Carcinoma": ["renal"],
        "Skin Cancer, Non-Melanoma": ["skin_nonmelanoma"],
    }


def test_msk_has_1661_patients_of_three_panels(mskcc):
    """Samstein 2019, 10.1038/s41588-018-0312-8: 832 deaths; 17 samples without matched normal."""
    table = mskcc.table

    assert table["regimen"].value_counts().to_dict() == {
        "anti_pd1_pdl1": 1307,
        "ici_combination": 255,
        "anti_ctla4": 99,
    }
    assert table["tmb_assay"].value_counts().to_dict() == {
        "IMPACT410": 1001,
        "IMPACT468": 430,
        "IMPACT341": 230,
    }
    assert table["os_event"].sum() == 832
    assert table["tmb_tumour_only"].sum() == 17


def test_msk_age_in_the_unit_of_its_name_is_caught(public_data):
    """The column is named days and holds years."""
    assert changed("tmb_mskcc_2018", public_data, "age", unit="days") == [
        (
            "looks_like_another_unit",
            "tmb_mskcc_2018_clinical_data.tsv: age is stated in days but looks like years (the "
            "median lies outside 35 to 80 years).",
        )
    ]

"""INSPIRE and MSK: burdens of two files compared, and scaled within their panels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stratify.biomarkers.reported import with_derived
from stratify.biomarkers.tmb_scale import WithinAssayScale
from stratify.tables.findings import Findings

pytestmark = pytest.mark.realdata


def test_inspire_burdens_of_two_files_differ_in_one_patient(public_data: Path):
    """``tmb`` of one file is the natural logarithm of ``TMB_n72`` of the authoritative one."""
    folder = public_data / "inspire"
    patients = pd.read_csv(folder / "survival.csv").rename(
        columns={"PATIENT_ID": "patient_id", "TMB_n72": "tmb"}
    )[["patient_id", "tmb"]]
    other = pd.read_csv(folder / "pembrolizumab.csv").set_index("id")["tmb"]
    derived = pd.DataFrame({"tmb": np.exp(other).reindex(patients["patient_id"]).to_numpy()})
    told = Findings()
    together = with_derived(patients, derived, "pembrolizumab.csv", "inspire", told)
    assert together["tmb"].equals(patients["tmb"].fillna(derived["tmb"]))
    filled = int((patients["tmb"].isna() & derived["tmb"].notna()).sum())
    assert [row["message"] for row in told.rows] == [
        "pembrolizumab.csv: tmb as derived differs from what is reported in 1 of 71 patients; the "
        "reported one is used.",
        f"pembrolizumab.csv: tmb of {filled} patients, for whom it is not reported.",
    ]
    differs = (derived["tmb"] - patients["tmb"]).abs() > 0.01 * patients["tmb"]
    assert patients["patient_id"][differs].tolist() == ["INS-D-013"]


def test_msk_panels_are_on_one_scale_within_each_and_an_unseen_one_is_missing(public_data: Path):
    """Samstein 2019: medians of three panels, 5.6, 5.9 and 7.0 mut/Mb, come to one score."""
    file = public_data / "tmb_mskcc_2018" / "tmb_mskcc_2018_clinical_data.tsv"
    table = pd.read_csv(file, sep="\t")
    tmb, panel = table["TMB Score"], table["Gene Panel"]
    scale = WithinAssayScale.fit(tmb, panel)
    assert list(scale.assays) == ["IMPACT341", "IMPACT410", "IMPACT468"]
    scores = scale.transform(tmb, panel)
    assert tmb.groupby(panel).median().round(1).tolist() == [5.6, 5.9, 7.0]
    assert scores.groupby(panel).median().abs().max() < 0.1
    assert scores.groupby(panel).mean().abs().max() < 1e-9
    older = WithinAssayScale.fit(tmb[panel != "IMPACT468"], panel[panel != "IMPACT468"])
    assert older.transform(tmb, panel).isna().eq(panel == "IMPACT468").all()

"""OAK and INSPIRE: arms, events and responses are read as published."""

from __future__ import annotations

import pandas as pd
import pytest

from stratify import Study, read_cohort
from stratify.cohort.features import informative_features
from stratify.statistics.survival import hazard_ratio
from stratify.tables.documents import read_yaml

from .conftest import STUDIES

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def both_arms(read):
    """All patients of OAK, docetaxel included."""
    return read("oak", eligible_only=False)


def test_oak_has_two_arms_of_425(both_arms):
    """Gandara 2018 (10.1038/s41591-018-0134-3): the 850 patients of the first analysis."""
    arms = both_arms.table["arm"].value_counts().to_dict()

    assert arms == {"MPDL3280A": 425, "Docetaxel": 425}
    regimens = both_arms.table.groupby("arm")["regimen"].unique().map(list).to_dict()
    assert regimens == {"MPDL3280A": ["anti_pd1_pdl1"], "Docetaxel": ["chemotherapy"]}


def test_oak_plasma_variants_become_features(both_arms):
    """bTMB as counted is what is reported in every patient of 642 with variants, so no finding.

    MSAF by the largest VAF below 20 %, of variants at a depth of 200 or more, is within 0.001 and
    1 % in 618 of 642; as reported it stands for all.
    """
    found = {(row["code"], row["column"]): row["n"] for row in both_arms.findings.rows}
    assert ("reported_differs", "btmb") not in found
    assert found["reported_differs", "ctdna_max_vaf"] == 24
    assert found["not_measured", "ctdna_detected"] == 208
    table = both_arms.table
    derived = ["ctdna_detected", "ctdna_mean_vaf", "ctdna_n_variants", "ctdna_chip_variants"]
    assert table[derived].notna().sum().to_dict() == dict.fromkeys(derived, 642)
    assert both_arms.assays["ctdna_mean_vaf"] == {"oak": "FMI bTMB"}
    assert "ctdna_mtm_per_ml" not in table


def test_oak_overall_survival_hazard_ratio(both_arms):
    """Rittmeyer 2017 (10.1016/S0140-6736(16)32517-X): 0.73, 95 % interval 0.62 to 0.87.

    Theirs is stratified and ours is not, so the upper limit may differ by 0.01. With the coding of
    CNSR the wrong way round it would be another number.
    """
    table = both_arms.table
    treated = (table["arm"] == "MPDL3280A").astype(float)
    value, low, high = hazard_ratio(table["os"], table["os_event"], treated)

    assert value == pytest.approx(0.73, abs=0.005)
    assert low == pytest.approx(0.62, abs=0.005)
    assert high == pytest.approx(0.87, abs=0.012)


def test_oak_patients_after_each_step(read):
    """Only the atezolizumab arm is eligible; 4 of 425 were censored before six months."""
    attrition = read("oak").attrition

    assert list(zip(attrition["reason"], attrition["n"], strict=True)) == [
        ("", 850),
        ("regimen chemotherapy", 425),
        ("", 425),
        ("censored_before_horizon", 4),
        ("", 421),
    ]


def test_inspire_has_18_responders_of_106(read):
    """Bratman 2020 (10.1038/s43018-020-0096-5), by survival.csv, the later data cut."""
    table = read("inspire").table

    assert len(table) == 106
    assert table["best_response"].isin(["CR", "PR"]).sum() == 18
    assert set(table["regimen"]) == {"anti_pd1_pdl1"}


@pytest.fixture(scope="module")
def inspire(read):
    return read("inspire")


def test_inspire_has_all_four_panels_in_92_patients(inspire):
    """Five files joined by one identifier: ctDNA in 94 patients at baseline, TMB in 72 or 23 more.

    Bratman 2020 (10.1038/s43018-020-0096-5) and the name of the column ``TMB_n72``.
    """
    panels = ["pdl1_tps", "tmb", "til_score", "ctdna_mtm_per_ml"]
    measured = inspire.table[panels].notna()

    assert not {"unmatched_patient", "no_patient_matched"} & set(inspire.findings.codes())
    assert measured.sum().to_dict() == {
        "pdl1_tps": 103,
        "tmb": 95,
        "til_score": 103,
        "ctdna_mtm_per_ml": 94,
    }
    assert measured.all(axis=1).sum() == 92
    assert inspire.table["cibersortx_abs_cd8"].notna().sum() == 65


def test_inspire_burdens_of_two_files_are_compared(inspire, public_data):
    """The exponential of ``tmb`` is ``TMB_n72`` in 70 of 71; INS-D-013 has that of survival.csv."""
    told = {row["code"]: row["message"] for row in inspire.findings.rows if row["panel"] == "tmb"}

    assert told["sources_differ"] == (
        "pembrolizumab.csv: tmb differs from that of an earlier file in 1 of 71 patients; the "
        "earlier one is used."
    )
    assert told["filled_from_another_file"] == (
        "pembrolizumab.csv: tmb of 23 patients, who have none in earlier files."
    )
    tmb = inspire.table.set_index("patient_id")["tmb"]
    authoritative = pd.read_csv(public_data / "inspire" / "survival.csv")
    stated = authoritative.set_index("PATIENT_ID")["TMB_n72"].dropna()
    assert tmb[stated.index].tolist() == stated.tolist()


def test_inspire_ctdna_falls_in_33_of_73(inspire):
    """Visits come from the specimens' labels: Bratman 2020, 33 of 73 fall from SB to C3B."""
    ratio = inspire.table["ctdna_ratio_week_6"]
    told = {row["code"]: row["message"] for row in inspire.findings.rows}

    assert (int((ratio < 1).sum()), int(ratio.notna().sum())) == (33, 71)
    assert "2 of 73 patients with a draw of week_6" in told["ctdna_not_evaluable"]


def test_inspire_mtm_of_two_releases_differ_by_the_number_of_targets(inspire, public_data):
    """One seems to average over all 16 targets, the series over fewer.

    Their ratio is a whole number of sixteenths.
    """
    message = next(
        row["message"]
        for row in inspire.findings.rows
        if row["code"] == "reported_differs" and row["column"] == "ctdna_mtm_per_ml"
    )

    assert "differs from what is reported in 40 of 94 patients" in message
    draws = pd.read_csv(
        public_data / "inspire" / "inspire_ctdna_longitudinal_deidentified.csv"
    ).set_index("PATIENT_ID")
    first = draws.loc[draws["SPECIMEN_REFERENCE_NUMBER"].str.contains("-SB-"), "MEAN_MOLEC"]
    reported = inspire.table.set_index("patient_id")["ctdna_mtm_per_ml"]
    sixteenths = (16 * reported / first[first > 0]).dropna()
    assert len(sixteenths) == 92
    assert (sixteenths - sixteenths.round()).abs().max() < 0.12


def test_inspire_on_treatment_values_stay_out_of_a_baseline_model(inspire):
    features = informative_features(inspire.of_split("train").evaluable, None)

    assert {"pdl1_tps", "tmb", "til_score", "cibersortx_abs_cd8", "ctdna_mtm_per_ml"} <= set(
        features
    )
    assert not [name for name in features if "week" in name]


def test_inspire_at_a_landmark_knows_no_later_draw(public_data):
    """At week 6 the draw of day 90 is unknown, and patients with an event before have left."""
    document = read_yaml((STUDIES / "inspire.yaml").read_text(encoding="utf-8"))
    document |= {"data": str(public_data / "inspire"), "landmark_weeks": 6}
    cohort = read_cohort(Study.model_validate(document))
    features = informative_features(cohort.evaluable, None, landmark_weeks=6)
    steps = cohort.attrition.set_index(["step", "reason"])["n"]
    found = {row["code"]: row["n"] for row in cohort.findings.rows}

    assert {"ctdna_ratio_week_6", "ctdna_clearance_week_6"} <= set(features)
    assert steps["landmark", "event before the landmark"] > 0
    assert len(cohort) == steps["landmark", ""] < 106
    assert found["draw_not_known_yet"] > 0
    assert cohort.table["ctdna_ratio_week_6"].notna().sum() < 71

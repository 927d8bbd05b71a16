"""Landmark models and weights for early censoring."""

import numpy as np
import pandas as pd
import pytest

from stratify.cohort.features import features_matrix, informative_features
from stratify.cohort.reading import read_cohort
from stratify.errors import DataError
from stratify.statistics.survival import censoring_weights
from stratify.study import Study
from stratify.tables.schema import convert, field_named


@pytest.fixture
def study_file(tmp_path):
    """Ten patients around a landmark at six weeks (1.38 months)."""
    table = pd.DataFrame(
        {
            "id": [f"q{i:02d}" for i in range(10)],
            "nlr": np.linspace(2, 9, 10),
            "ratio": [0.1, 0.5, None, 2.0, 1.1, 0.2, 0.9, 3.0, 0.4, 1.5],
            "pfs": [0.5, 1.0, 1.2, 2.0, 4.0, 7.0, 7.5, 8.0, 12.0, None],
            "event": [1, 0, 1, 1, 1, 1, 0, 1, 0, 1],
            "os": [0.5, 9.0, 2.0, 4.0, 8.0, 9.0, 9.0, 12.0, 14.0, 9.0],
            "died": [1, 0, 1, 1, 1, 0, 0, 1, 0, 1],
        }
    )
    table.to_csv(tmp_path / "patients.csv", index=False)
    (tmp_path / "study.yaml").write_text(
        """
stratify: 1
name: landmark
landmark_weeks: 6
cohorts:
  - name: ward
    tables:
      - file: patients.csv
        patient_id: id
        panels:
          clinical: {regimen: {value: anti_pd1_pdl1}, nlr: nlr}
          ctdna: {ctdna_ratio_week_6: ratio}
          outcomes:
            pfs: {column: pfs, unit: months}
            pfs_event: {column: event, coding: {0: false, 1: true}}
            os: {column: os, unit: months}
            os_event: {column: died, coding: {0: false, 1: true}}
""",
        encoding="utf-8",
    )
    return tmp_path / "study.yaml"


def test_the_risk_set_leaves_out_those_who_did_not_reach_the_landmark(study_file):
    cohort = read_cohort(Study.load(study_file))
    assert cohort.table["patient_id"].tolist() == ["q03", "q04", "q05", "q06", "q07", "q08"]
    steps = cohort.attrition[cohort.attrition["step"] == "landmark"]
    assert list(zip(steps["reason"], steps["n"], steps["n_remaining"], strict=True)) == [
        ("censored before the landmark", 1, 6),
        ("event before the landmark", 2, 6),
        ("pfs not recorded", 1, 6),
        ("", 6, 6),
    ]


def test_time_is_counted_from_the_landmark(study_file):
    table = read_cohort(Study.load(study_file)).table.set_index("patient_id")
    months = convert(6, "weeks", "pfs")
    assert table.loc["q05", "pfs"] == pytest.approx(7.0 - months)
    assert table.loc["q05", "os"] == pytest.approx(9.0 - months)
    # seven months from the first dose are less than six from the landmark
    assert table.loc["q05", "reason"] == "event_before_horizon_response_unknown"
    assert table.loc["q08", "reason"] == "no_event_until_horizon"


def test_a_landmark_model_may_use_what_is_known_at_the_landmark(study_file):
    cohort = read_cohort(Study.load(study_file))
    assert informative_features(cohort, None) == ["nlr"]
    known = informative_features(cohort, None, landmark_weeks=6)
    assert known == ["nlr", "ctdna_ratio_week_6"]
    assert features_matrix(cohort.table, known, landmark_weeks=6).shape == (6, 2)
    with pytest.raises(DataError) as refused:
        features_matrix(cohort.table, known, landmark_weeks=4)
    assert str(refused.value) == (
        "ctdna_ratio_week_6 (feature, known at week_6) cannot enter a model at this landmark; "
        "remove it from `features`."
    )
    assert field_named("nlr").known_by()
    assert not field_named("ctdna_ratio_week_6").known_by()


def test_weights_restore_the_patients_lost_to_censoring():
    """With random censoring, the weighted share of early events is that without censoring."""
    rng = np.random.default_rng(3)
    n, horizon = 40_000, 6.0
    true = rng.exponential(8, n)
    censor = rng.exponential(10, n)
    time, event = np.minimum(true, censor), (true <= censor).astype(float)
    weight = censoring_weights(time, event, horizon)
    early = (event == 1) & (time < horizon)
    expected = 1 - np.exp(-horizon / 8)
    assert np.average(early, weights=weight) == pytest.approx(expected, abs=0.01)
    known = weight > 0
    naive = early[known].mean()
    assert abs(naive - expected) > 0.05  # leaving them out is biased
    assert weight.sum() == pytest.approx(n, rel=0.01)
    assert (weight[(event == 0) & (time < horizon)] == 0).all()


def test_without_censoring_all_weights_are_one():
    assert censoring_weights([1, 5, 7, 9], [1, 1, 1, 0], 6).tolist() == [1, 1, 1, 1]


def test_the_order_of_patients_does_not_matter_for_weights():
    time, event = np.array([2.0, 4, 4, 9, 1, 3]), np.array([1.0, 0, 1, 0, 0, 1])
    order = np.array([3, 1, 5, 0, 2, 4])
    weights = censoring_weights(time, event, 6)
    assert censoring_weights(time[order], event[order], 6).tolist() == weights[order].tolist()

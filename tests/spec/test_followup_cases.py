"""From visits to a label by the table of cases in ENDPOINTS.md."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from endpoint_document import by_sentence
from test_recist_cases import number, visits_of

from stratify.endpoint import label_outcomes
from stratify.response.followup import assess_visits, outcomes_from_visits
from stratify.study import ResponseCriteria

YES_NO = {"yes": 1.0, "no": 0.0, ".": np.nan}


@pytest.mark.parametrize(
    ("visits", "death", "exposure", "cancer", "by", "rule", "best", "pfs", "kind", "confirmed",
     "reason"),
    by_sentence("From visits to a label"),
)  # fmt: skip
def test_label_from_visits(
    visits, death, exposure, cancer, by, rule, best, pfs, kind, confirmed, reason
):
    day = number(death)
    patients = pd.DataFrame({"patient_id": ["a"], "os": [day / 30.4375]})
    patients["os_event"] = float(np.isfinite(day))
    criteria = ResponseCriteria(by="irecist" if by == "iRECIST" else "recist_1_1")
    seen = visits_of("0:1", "someone else") if visits == "." else visits_of(visits)
    outcomes = outcomes_from_visits(assess_visits(seen, criteria), patients, criteria)
    row = outcomes.iloc[0]
    assert row["best_response"] == best or (best == "." and pd.isna(row["best_response"]))
    np.testing.assert_allclose(row["pfs"], number(pfs), atol=0.005)
    assert row["pfs_event_kind"] == kind or (kind == "." and pd.isna(row["pfs_event_kind"]))
    np.testing.assert_equal(row["pd_confirmed"], YES_NO[confirmed])
    known = outcomes.assign(exposure=number(exposure), cancer_death=YES_NO[cancer])
    assert label_outcomes(known, rule)["reason"].item() == reason

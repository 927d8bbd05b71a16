"""PFS and OS from dates of progression, death and last contact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stratify import Study
from stratify.cohort.reading import read_cohort

STUDY = """\
stratify: 1
name: dated
endpoint: proxy_pfs6
eligible_regimens: [anti_pd1_pdl1]
features: [age]
cohorts:
  - name: hospital
    role: train
    tables:
      - file: dates.csv
        patient_id: id
        panels:
          clinical:
            first_dose_date: c1d1
            age: {column: age, unit: years}
            regimen: {value: anti_pd1_pdl1}
          outcomes:
"""
COLUMNS = {
    "time_to_progression": "progression",
    "time_to_death": "death",
    "time_to_last_contact": "last_contact",
}


def outcomes_of(folder: Path, rows: list[tuple[str, ...]], mapped=COLUMNS):
    names = ["id", "c1d1", "progression", "death", "last_contact"]
    table = pd.DataFrame(rows, columns=names).assign(age=range(60, 60 + len(rows)))
    table.to_csv(folder / "dates.csv", index=False)
    lines = "".join(
        f"            {name}: {{column: {column}, unit: date}}\n" for name, column in mapped.items()
    )
    path = folder / "study.yaml"
    path.write_text(STUDY + lines, encoding="utf-8")
    cohort = read_cohort(Study.load(path))
    return cohort.table.set_index("patient_id"), cohort.findings.table()


@pytest.mark.parametrize(
    ("dates", "pfs", "pfs_event", "kind", "os", "os_event"),
    [
        # progression, death, last contact -> months of 30.4375 days from 2020-01-10
        (("2020-03-01", "", "2021-01-01"), 1.68, 1, "progression", 11.73, 0),
        (("", "2020-09-01", "2020-09-01"), 7.72, 1, "death", 7.72, 1),
        (("", "", "2020-12-01"), 10.71, 0, None, 10.71, 0),
        (("2020-03-01", "2020-09-01", "2020-09-01"), 1.68, 1, "progression", 7.72, 1),
        (("2020-09-01", "2020-09-01", "2020-09-01"), 7.72, 1, "progression", 7.72, 1),
        (("2020-03-01", "2020-09-01", ""), 1.68, 1, "progression", 7.72, 1),
        (("2020-03-01", "", ""), 1.68, 1, "progression", None, None),
        (("", "", ""), None, None, None, None, None),
        # an event stands though the last contact was entered before it
        (("2020-03-01", "", "2020-02-01"), 1.68, 1, "progression", 1.68, 0),
    ],
)
def test_survival_follows_from_dates(tmp_path, dates, pfs, pfs_event, kind, os, os_event):
    rows = [("P1", "2020-01-10", *dates), ("P2", "2020-01-10", "", "2021-01-10", "2021-01-10")]
    table, _ = outcomes_of(tmp_path, rows)
    first = table.loc["P1"]
    for name, right in (("pfs", pfs), ("os", os)):
        assert first[name] == pytest.approx(
            np.nan if right is None else right, abs=6e-3, nan_ok=True
        )
    for name, right in (("pfs_event", pfs_event), ("os_event", os_event)):
        assert first[name] == pytest.approx(np.nan if right is None else right, nan_ok=True)
    assert first["pfs_event_kind"] == kind if kind else pd.isna(first["pfs_event_kind"])


def test_what_comes_after_death_is_reported(tmp_path):
    rows = [
        ("P1", "2020-01-10", "2020-10-01", "2020-09-01", "2020-09-01"),
        ("P2", "2020-01-10", "", "2020-09-01", "2020-12-01"),
        ("P3", "2020-01-10", "", "", "2020-12-01"),
    ]
    table, findings = outcomes_of(tmp_path, rows)
    found = findings[findings["code"] == "event_times_out_of_order"]
    assert set(found["message"]) == {
        "1 of 2 deaths have a progression after them.",
        "1 of 2 deaths have a last contact after them.",
    }
    assert list(found["severity"]) == ["warning"] * 2
    assert table.loc["P1", "pfs"] == pytest.approx(7.72, abs=6e-3)  # the earliest event
    assert table.loc["P1", "pfs_event_kind"] == "death"


def test_deaths_that_are_not_mapped_are_reported(tmp_path):
    rows = [
        ("P1", "2020-01-10", "2020-10-01", "", "2021-01-01"),
        ("P2", *["2020-01-10"] * 2, "", "2021-01-01"),
    ]
    mapped = {name: column for name, column in COLUMNS.items() if name != "time_to_death"}
    table, findings = outcomes_of(tmp_path, rows, mapped)
    assert "os" not in table
    [text] = findings.loc[findings["code"] == "death_not_recorded", "message"]
    assert text == (
        "pfs follows from time_to_progression alone, since no death is recorded; deaths would be "
        "events."
    )

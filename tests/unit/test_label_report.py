"""Labels without a model: the files, the counts on the page, and no identifier on it."""

from __future__ import annotations

import re

import pandas as pd
import pytest
import yaml

from stratify.errors import CohortError, DataError
from stratify.experiment.reporting import label
from stratify.study import Study


@pytest.fixture
def labelled(hospital, tmp_path):
    hospital.add_visits()
    hospital.document["endpoint"] = "sitc_mono_2020"
    hospital.plant("visits", "Sum", {4: "61.0"})
    hospital.write()
    out = tmp_path / "labels"
    return label(hospital.study(), out), out


def test_labels_outcomes_and_responses_are_written(labelled):
    cohort, out = labelled
    assert sorted(path.name for path in out.iterdir()) == [
        *("attrition.csv", "findings.csv", "labels.csv", "labels.html"),
        *("outcomes.csv", "responses.csv"),
    ]
    labels = pd.read_csv(out / "labels.csv")
    assert labels["reason"].value_counts().to_dict() == {
        "event_before_horizon": 79,
        "pd_unconfirmed": 1,
        "death_after_horizon": int(cohort.table["reason"].eq("death_after_horizon").sum()),
        "no_event_until_horizon": int(cohort.table["reason"].eq("no_event_until_horizon").sum()),
    }
    outcomes = pd.read_csv(out / "outcomes.csv")
    assert outcomes["best_response"].value_counts().to_dict() == {"PD": 80, "PR": 80}
    responses = pd.read_csv(out / "responses.csv")
    assert len(responses) == 80 * 3 + 80 * 4
    assert responses["reason"].value_counts()["baseline"] == 160


def test_the_page_says_how_many_and_names_nobody(labelled):
    cohort, out = labelled
    page = (out / "labels.html").read_text(encoding="utf-8")
    text = re.sub(r"<img[^>]*>", "", page)
    assert not [patient for patient in cohort.table["patient_id"] if patient in text]
    assert re.search(r"event before horizon</td>\s*<td class=\"num\">79", text)
    assert re.search(r"pd unconfirmed</td>\s*<td class=\"num\">1", text)
    assert "<dd>RECIST 1.1</dd>" in text
    assert "160, 159 with a label, 79 of them 1" in text
    assert "Research use only" in text
    assert page.count("<img alt=") == 3


def test_labels_of_one_class_are_labels(hospital, tmp_path):
    hospital.change("outcomes", "Response", "PR")
    hospital.document["endpoint"] = "objective_response"
    hospital.write()
    cohort = label(hospital.study(), tmp_path / "labels")
    assert set(cohort.table["label"]) == {0.0}


def test_nothing_is_written_of_data_with_errors(hospital, tmp_path):
    hospital.plant("outcomes", "PFS", {2: "soon"})
    hospital.write()
    with pytest.raises(DataError):
        label(hospital.study(), tmp_path / "labels")
    assert not (tmp_path / "labels").exists()


def test_no_eligible_patient_is_told(hospital, tmp_path):
    hospital.document["eligible_regimens"] = ["ici_ici"]
    hospital.write()
    with pytest.raises(CohortError):
        label(hospital.study(), tmp_path / "labels")


def test_the_command_shows_the_counts(hospital, tmp_path, capsys):
    from typer.testing import CliRunner

    from stratify.cli import app

    hospital.add_visits()
    hospital.write()
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(hospital.document), encoding="utf-8")
    arguments = ["labels", str(path), "--out", str(tmp_path / "out"), "--endpoint", "proxy_pfs6"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "event_before_horizon" in result.output
    assert "│ 80 │" in result.output
    assert Study.load(path).endpoint.name == "proxy_pfs6"
    wrong = CliRunner().invoke(app, [*arguments[:-1], "pfs6"])
    assert wrong.exit_code != 0

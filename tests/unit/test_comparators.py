"""Scores that a study brings: read, judged on the same patients, never learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from stratify import Study
from stratify.cohort.features import informative_features
from stratify.model.classifier import ResistanceClassifier
from stratify.references import references
from stratify.statistics.discrimination import auroc, delta_auroc
from stratify.study.comparator import Comparator
from stratify.tables.documents import document
from stratify.validation.assessment import assess
from stratify.validation.internal_external import internal_external
from stratify.validation.training import Risks


def stated(**changes: Any) -> Comparator:
    score = {"name": "scorpio", "column": "comparator_scorpio", "higher_is": "risk"}
    return Comparator.model_validate(score | changes)


@pytest.fixture
def patients() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=200)
    return pd.DataFrame(
        {
            "cohort": "home",
            "label": (rng.random(200) < truth).astype(float),
            "comparator_scorpio": truth,
            "tmb": 10 * (1 - truth) + rng.exponential(1, 200),
        }
    )


def risks(patients: pd.DataFrame, *comparators: Comparator) -> Risks:
    ours = np.clip(patients["comparator_scorpio"].to_numpy() ** 2, 0, 1)
    return Risks({"stratify": ours}, {}, frozenset()).with_comparators(comparators, patients)


@pytest.mark.parametrize(
    ("higher_is", "kind", "risk"),
    [
        ("risk", "probability", [0.2, 0.9]),
        ("response", "probability", [0.8, 0.1]),
        ("risk", "score", [0.2, 0.9]),
        ("response", "score", [-0.2, -0.9]),
    ],
)
def test_a_score_is_turned_to_risk(higher_is, kind, risk):
    table = pd.DataFrame({"comparator_scorpio": [0.2, 0.9]})
    found = Risks({}, {}, frozenset()).with_comparators(
        [stated(higher_is=higher_is, kind=kind)], table
    )
    assert found.by_model["scorpio"].tolist() == pytest.approx(risk)
    assert found.reference("scorpio").kind == kind


def test_it_is_compared_on_the_same_patients_with_an_interval(patients):
    found = risks(patients, stated(kind="probability"))
    judged = assess(patients, found, cohort="home", split="test", thresholds=[0.5])
    rows = judged.performance[judged.performance["subgroup"] == "all"]
    label, ours, theirs = patients["label"], *found.by_model.values()
    own = rows[(rows["model"] == "scorpio") & (rows["metric"] == "auroc")].iloc[0]
    assert own["value"] == pytest.approx(auroc(label, theirs).value)
    pair = rows[(rows["reference"] == "scorpio") & (rows["metric"] == "delta_auroc")].iloc[0]
    assert pair[["value", "low", "high"]].tolist() == pytest.approx(
        list(delta_auroc(label, ours, theirs))
    )
    assert "calibration_slope" in set(rows.loc[rows["model"] == "scorpio", "metric"])


def test_a_score_that_is_no_probability_is_not_judged_on_calibration(patients):
    judged = assess(
        patients, risks(patients, stated()), cohort="home", split="test", thresholds=[0.5]
    )
    metrics = judged.performance.loc[judged.performance["model"] == "scorpio", "metric"]
    assert {"auroc"} <= set(metrics)
    assert not {"brier", "calibration_slope", "net_benefit"} & set(metrics)
    assert set(judged.calibration["model"]) == {"stratify"}


def test_where_it_is_missing_those_who_have_it_are_a_group_of_rows(patients):
    patients.loc[:59, "comparator_scorpio"] = np.nan
    table = patients.assign(comparator_scorpio=patients["comparator_scorpio"].fillna(0.5))
    found = Risks({"stratify": table["comparator_scorpio"].to_numpy()}, {}, frozenset())
    found = found.with_comparators([stated()], patients)
    judged = assess(patients, found, cohort="home", split="test", thresholds=[0.5]).performance
    rows = judged[(judged["model"] == "scorpio") & (judged["metric"] == "auroc")]
    assert rows[["subgroup", "n"]].values.tolist() == [["measured=comparator_scorpio", 140]]


def test_a_cohort_without_it_is_judged_without_it(patients):
    found = risks(patients.assign(other=1.0), stated(column="comparator_absent"))
    assert list(found.by_model) == ["stratify"]


def test_a_marker_of_the_dictionary_may_be_a_comparator(patients):
    found = risks(patients, stated(name="low_tmb", column="tmb", higher_is="response"))
    assert found.by_model["low_tmb"].tolist() == (-patients["tmb"]).tolist()


def test_cohorts_that_are_left_out_are_compared_too(patients):
    table = patients.assign(site=np.repeat(["North", "South"], 100))
    small = ResistanceClassifier(n_members=2, n_estimators=10, calibration_folds=2)
    found = internal_external(small, table, ["tmb"], by="site", comparators=[stated()])
    assert set(found.performance.loc[found.performance["reference"] == "scorpio", "cohort"]) == {
        "site=North",
        "site=South",
    }


def test_no_model_learns_from_a_comparator(hospital):
    hospital.tables["markers"]["SCORPIO"] = [str(k / 200) for k in range(160)]
    hospital.source("markers")["panels"]["comparators"] = {"comparator_scorpio": "SCORPIO"}
    cohort = hospital.read()
    assert "comparator_scorpio" in cohort.table
    assert "comparator_scorpio" not in informative_features(cohort, None)


def study(references: list[dict[str, Any]], **others: Any) -> Study:
    table = {"file": "a.csv", "patient_id": "ID", "panels": {"clinical": {"nlr": "NLR"}}}
    cohorts = [{"name": "a", "tables": [table]}]
    return Study.model_validate(
        {"stratify": 1, "name": "trial", "cohorts": cohorts, "references": references} | others
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "loris"}, "'loris' is taken; choose another name"),
        ({"name": "stratify"}, "'stratify' is taken; choose another name"),
        ({"name": "logistic"}, "'logistic' is taken; choose another name"),
        ({"column": "best_response"}, "best_response is no score or marker in numbers"),
        ({"column": "pfs"}, "pfs is no score or marker in numbers"),
        ({"higher_is": "better"}, "Input should be 'risk' or 'response'"),
        ({"kind": "rule"}, "Input should be 'probability' or 'score'"),
    ],
)
def test_what_cannot_be_compared_is_a_fault_of_the_study(change, message):
    score = {"name": "scorpio", "column": "comparator_scorpio", "higher_is": "risk"}
    with pytest.raises(ValidationError, match=message):
        study([score | change])


def test_two_of_one_name_are_a_fault():
    score = {"name": "scorpio", "column": "comparator_scorpio", "higher_is": "risk"}
    with pytest.raises(ValidationError, match="'scorpio' is taken"):
        study([score, score])


def test_names_that_are_taken_are_those_of_all_references():
    written = document("references")
    known = {*written["equations"], *written["markers"], *written["taken"]}
    assert {*references(), "stratify"} == known


def test_a_column_that_is_not_mapped_is_found_by_validate():
    named = study(
        [{"name": "scorpio", "column": "comparator_scorpio", "higher_is": "risk"}]
    ).named()
    assert [(each.place, each.name, each.required) for each in named] == [
        (("references", 0, "column"), "comparator_scorpio", True)
    ]

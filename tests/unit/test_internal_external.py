"""Leaving out a cohort, site or year: who trains, who is judged, what is pooled."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from stratify.errors import ArgumentError
from stratify.model.classifier import ResistanceClassifier
from stratify.statistics.discrimination import auroc
from stratify.statistics.performance import PERFORMANCE_COLUMNS
from stratify.tables.schema import load_schema
from stratify.validation import internal_external as module
from stratify.validation import training
from stratify.validation.internal_external import internal_external
from stratify.validation.training import EarlyCensoring, Risks

FEATURES = ["age", "albumin", "cancer_type", "nlr", "prior_systemic_therapy", "tmb", "pdl1_tps"]


@pytest.fixture(scope="module")
def sites(patients: pd.DataFrame) -> pd.DataFrame:
    """Patients of three cohorts of 100, 80 and 60, and of three years."""
    cohort = np.repeat(["east", "north", "south"], [100, 80, 60])
    rng = np.random.default_rng(0)
    return patients.sample(frac=1, random_state=0).assign(
        cohort=rng.permutation(cohort), start_year=rng.choice([2016.0, 2017.0, 2018.0], 240)
    )


@pytest.fixture(scope="module")
def cheap(small: ResistanceClassifier) -> ResistanceClassifier:
    return clone(small).set_params(n_estimators=5, calibration_folds=0)


@pytest.fixture(scope="module")
def found(cheap: ResistanceClassifier, sites: pd.DataFrame) -> module.InternalExternal:
    return internal_external(cheap, sites, FEATURES, thresholds=[0.5])


def test_each_cohort_is_judged_once_by_all_models(found, sites):
    assert [part.cohort for part in found.assessments] == ["east", "north", "south"]
    assert {part.cohort: part.n for part in found.assessments} == sites[
        "cohort"
    ].value_counts().to_dict()
    table = found.performance
    assert list(table.columns) == list(PERFORMANCE_COLUMNS)
    assert set(table["split"]) == {"left_out"}
    assert set(load_schema("performance").fields["split"].enum) >= {"left_out"}
    for _, rows in table[table["subgroup"] == "all"].groupby("cohort"):
        judged = rows.loc[rows["metric"] == "auroc", "model"]
        assert set(judged) == {"stratify", "loris", "logistic", "logistic_loris"}
    assert found.too_small == []


def test_the_models_of_a_part_are_those_of_all_others(cheap, sites, found):
    home = sites[sites["cohort"] != "south"].reset_index(drop=True)
    away = sites[sites["cohort"] == "south"].reset_index(drop=True)
    fitted, references = training.fit_with_references(cheap, home, FEATURES)
    risks = training.judged_risks(fitted, references, away)
    rows = found.performance.set_index(["cohort", "subgroup", "metric", "model"])["value"]
    for name in ("stratify", "logistic"):
        area = auroc(away["label"], risks.by_model[name]).value
        assert rows.loc[("south", "all", "auroc", name)] == pytest.approx(area, abs=1e-12)


def test_every_model_and_reference_is_pooled_with_its_difference(found):
    pooled = found.pooled.set_index(["model", "reference", "metric"])
    models = ["stratify", "loris", "tmb", "tmb10", "pdl1", "pdl1_50", "logistic", "logistic_loris"]
    for name in models:
        assert (name, "", "auroc") in pooled.index
        if name != "stratify":
            assert pooled.loc[("stratify", name, "delta_auroc"), "n_cohorts"] <= 3
    everybody = pooled.loc[("stratify", "", "calibration_slope")]
    assert (everybody["n_cohorts"], everybody["n"]) == (3, 240)
    # only patients with a measured TMB can judge it
    assert pooled.loc[("tmb", "", "auroc"), "n"] < 240
    own = found.performance
    own = own[
        (own["subgroup"] == "all") & (own["metric"] == "auroc") & (own["model"] == "stratify")
    ]
    assert own["value"].min() < pooled.loc[("stratify", "", "auroc"), "value"] < own["value"].max()


def test_a_reference_is_not_pooled_where_its_authors_fitted_it(cheap, sites, found):
    groups = {"east": "hospital", "south": "hospital"}
    seen = {"logistic": ["east"]}
    pooled = internal_external(cheap, sites, FEATURES, groups=groups, in_sample=seen).pooled
    areas = pooled[pooled["metric"].isin(["auroc", "delta_auroc"])]
    areas = areas.set_index(["model", "reference"])["n"]
    # of the hospital's parts east, the larger, is pooled, but not for logistic
    assert areas[("stratify", "")] == 180
    assert areas[("stratify", "loris")] == 180
    assert areas[("logistic", "")] == 140
    assert areas[("stratify", "logistic")] == 140


def test_patients_censored_early_weigh_in_where_their_part_trains(cheap, sites, monkeypatch):
    labelled = sites.assign(pfs=np.where(sites["label"] == 1, 3.0, 9.0), pfs_event=sites["label"])
    lost = labelled.iloc[:20].assign(pfs=2.0, pfs_event=0.0)
    seen: list[list[str]] = []
    fit = training.fit_with_references

    def recorded(classifier, home, features, *, censoring, **options):
        seen.append(sorted(censoring.table["cohort"].unique()))
        assert censoring.horizon == 6
        return fit(classifier, home, features, censoring=censoring, **options)

    monkeypatch.setattr(training, "fit_with_references", recorded)
    early = EarlyCensoring(lost, 6.0)
    internal_external(cheap, labelled, ["albumin", "nlr"], censoring=early)
    assert seen == [["north", "south"], ["east", "south"], ["east", "north"]]


def test_years_are_parts_too(cheap, sites):
    found = internal_external(cheap, sites, ["albumin", "nlr"], by="start_year")
    assert [part.cohort for part in found.assessments] == [
        "start_year=2016",
        "start_year=2017",
        "start_year=2018",
    ]


def test_parts_too_small_to_be_judged_still_train_the_others(cheap, sites, monkeypatch):
    cohort = sites["cohort"].where(np.arange(240) >= 12, "tiny")
    table, trained = sites.assign(cohort=cohort), []
    fit = training.fit_with_references

    def recorded(classifier, home, features, **options):
        trained.append(set(home["cohort"]))
        return fit(classifier, home, features, **options)

    monkeypatch.setattr(training, "fit_with_references", recorded)
    found = internal_external(cheap, table, ["albumin", "nlr"])
    assert found.too_small == ["tiny"]
    assert [part.cohort for part in found.assessments] == ["east", "north", "south"]
    assert all("tiny" in cohorts for cohorts in trained)
    assert len(trained) == 3


def test_of_cohorts_that_share_patients_only_the_largest_is_pooled(cheap, sites):
    groups = {"east": "hospital", "south": "hospital"}
    told: list[str] = []
    found = internal_external(cheap, sites, ["albumin", "nlr"], groups=groups, progress=told.append)
    assert [re.sub(", about .* left$", "", line) for line in told] == [
        "leaving out east, south",
        "leaving out north",
    ]
    assert told[1] != "leaving out north"
    assert [part.cohort for part in found.assessments] == ["east", "north", "south"]
    pooled = found.pooled[found.pooled["reference"] == ""].set_index(["model", "metric"])
    own = pooled.loc["stratify"]
    assert set(own["n_cohorts"]) == {2}
    assert set(own["n"]) == {180}  # east 100 and north 80


def test_a_feature_that_only_the_left_out_part_has_is_left_out_with_it(cheap, sites):
    own = sites["tmb"].where(sites["cohort"] == "east")
    found = internal_external(cheap, sites.assign(tmb=own), ["albumin", "nlr", "tmb"])
    assert len(found.assessments) == 3
    assert found.performance["value"].notna().any()


def test_labels_dealt_out_at_random_cannot_be_learned(cheap, sites):
    """Mean of six parts of 60 to 100 patients; its standard error is about 0.025."""
    rng = np.random.default_rng(1)
    areas = []
    for _ in range(2):
        table = sites.assign(label=rng.permutation(sites["label"]))
        rows = internal_external(cheap, table, ["albumin", "nlr"]).performance
        rows = rows[(rows["metric"] == "auroc") & (rows["subgroup"] == "all")]
        areas += rows.loc[rows["model"] == "stratify", "value"].tolist()
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)


# ------------------------------------------------------------------- nobody on both sides


@given(
    cohorts=st.lists(st.sampled_from("abcde"), min_size=8, max_size=40),
    groups=st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["g", "h"])),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_cohort_of_a_group_stands_on_both_sides(monkeypatch, cohorts, groups):
    """Fitting and judging are only recorded: by law nothing of a group trains its judge."""
    table = pd.DataFrame(
        {"cohort": cohorts, "label": np.arange(len(cohorts)) % 2.0, "albumin": range(len(cohorts))}
    )
    groups = {name: group for name, group in groups.items() if name in set(cohorts)}
    sides: list[tuple[set[str], set[str]]] = []

    def fit(classifier, home, features, **options):
        return set(home["cohort"]), None

    def judge(trained_on, references, away):
        sides.append((trained_on, set(away["cohort"])))
        return Risks({"stratify": np.full(len(away), 0.5)}, {}, frozenset())

    monkeypatch.setattr(training, "fit_with_references", fit)
    monkeypatch.setattr(training, "judged_risks", judge)
    monkeypatch.setattr(module, "large_enough", lambda label: True)
    group = {name: groups.get(name, name) for name in set(cohorts)}
    if len(set(group.values())) < 2:
        with pytest.raises(ArgumentError, match="at least two are expected"):
            internal_external(ResistanceClassifier(), table, ["albumin"], groups=groups)
        return
    internal_external(ResistanceClassifier(), table, ["albumin"], groups=groups)
    assert sorted(name for _, judged in sides for name in judged) == sorted(set(cohorts))
    for trained, judged in sides:
        assert not {group[name] for name in trained} & {group[name] for name in judged}
        left_out = {group[name] for name in judged}
        assert trained == {name for name in set(cohorts) if group[name] not in left_out}


# ------------------------------------------------------------------- refusals

MESSAGES = [
    ({"by": "hospital"}, "by is 'hospital'; a column of the table is expected."),
    (
        {"by": "tmb"},
        "tmb is missing for 63 of 240 patients; it is expected for all: leave these patients out.",
    ),
    (
        {"groups": {"west": "g"}},
        "groups names west; values of cohort are east, north, south.",
    ),
    (
        {"groups": dict.fromkeys(["east", "north", "south"], "g")},
        "all patients are in one group by cohort; at least two are expected, so that one can be "
        "left out.",
    ),
    (
        {"by": "patient_id"},
        "no patient_id has 20 patients and 5 of each label, so that none can be judged; take a "
        "column of larger groups.",
    ),
]


@pytest.mark.parametrize(("options", "message"), MESSAGES, ids=[m[:25] for _, m in MESSAGES])
def test_every_refusal_is_a_whole_sentence(cheap, sites, options, message):
    with pytest.raises(ArgumentError) as caught:
        internal_external(cheap, sites, ["albumin"], **options)
    assert str(caught.value) == message

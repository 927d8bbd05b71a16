"""Published scores by hand-computed patients; what the comparators learn, need and keep."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from stratify import extensions
from stratify.references import References, measured
from stratify.references import references as known_references
from stratify.references.logistic import LogisticModel
from stratify.references.rf16 import RF16_INPUTS
from stratify.tables.schema import field_named
from stratify.validation.assessment import assess
from stratify.validation.training import judged_risks

REFERENCES = known_references()
loris, loris_nsclc = REFERENCES["loris"].response, REFERENCES["loris_nsclc"].response

# Chang 2024, 10.1038/s43018-024-00772-7: coefficient of each cancer type, pan-cancer equation
PUBLISHED = {
    "bladder": -0.3323, "breast": -0.3323, "colorectal": -0.102, "endometrial": -0.0079,
    "oesophageal": 0.55, "gastric": 0.2306, "head_and_neck": 0.0678, "hepatobiliary": -0.1189,
    "melanoma": -0.0086, "mesothelioma": 0.1255, "nsclc": 0.0008, "ovarian": -0.052,
    "pancreatic": -1.1169, "renal": 0.5451, "sarcoma": 0.0542, "sclc": -0.0033,
}  # fmt: skip

# Patients and their score, multiplied out: tmb, prior therapy, albumin, nlr, age, type, constant.
PAN_CANCER = {
    "melanoma": (
        {"tmb": 12, "prior_systemic_therapy": 0, "albumin": 4.1, "nlr": 3, "age": 62},
        0.4452 - 0 + 2.20662 - 0.099 + 0.3038 - 0.0086 - 2.0886,
    ),
    "pancreatic": (
        {"tmb": 1.5, "prior_systemic_therapy": 1, "albumin": 3.2, "nlr": 8, "age": 55},
        0.05565 - 0.8775 + 1.72224 - 0.264 + 0.2695 - 1.1169 - 2.0886,
    ),
    "bladder": (
        {"tmb": 8.2, "prior_systemic_therapy": 0, "albumin": 3.9, "nlr": 5.5, "age": 71},
        0.30422 - 0 + 2.09898 - 0.1815 + 0.3479 - 0.3323 - 2.0886,
    ),
    "sclc": (
        {"tmb": 0, "prior_systemic_therapy": 1, "albumin": 3.5, "nlr": 12, "age": 49},
        0 - 0.8775 + 1.8837 - 0.396 + 0.2401 - 0.0033 - 2.0886,
    ),
    "renal": (  # capped: TMB 60 counts as 50, NLR 30 as 25, age 91 as 85
        {"tmb": 60, "prior_systemic_therapy": 1, "albumin": 4.4, "nlr": 30, "age": 91},
        1.855 - 0.8775 + 2.36808 - 0.825 + 0.4165 + 0.5451 - 2.0886,
    ),
    "thymic": (  # without a published coefficient, so as other
        {"tmb": 4, "prior_systemic_therapy": 0, "albumin": 4.0, "nlr": 2, "age": 50},
        0.1484 - 0 + 2.1528 - 0.066 + 0.245 + 0 - 2.0886,
    ),
}
# tmb, PD-L1 TPS, prior therapy, albumin, nlr, constant
NSCLC = {
    "high PD-L1": (
        {"tmb": 20, "pdl1_tps": 80, "prior_systemic_therapy": 1, "albumin": 4.0, "nlr": 3},
        0.706 + 0.888 - 0.375 + 1.1696 - 0.0309 - 1.5593,
    ),
    "no PD-L1": (
        {"tmb": 3, "pdl1_tps": 0, "prior_systemic_therapy": 0, "albumin": 3.1, "nlr": 9},
        0.1059 + 0 - 0 + 0.90644 - 0.0927 - 1.5593,
    ),
    "capped": (
        {"tmb": 77, "pdl1_tps": 50, "prior_systemic_therapy": 0, "albumin": 3.6, "nlr": 44},
        1.765 + 0.555 - 0 + 1.05264 - 0.2575 - 1.5593,
    ),
}
GOOD = {"tmb": 25.0, "prior_systemic_therapy": 0.0, "albumin": 4.5, "nlr": 2.0, "age": 70.0,
        "pdl1_tps": 90.0, "cancer_type": "nsclc", "btmb": 24.0, "pdl1_tc3_ic3": 1.0,
        "gep": 1.2, "cyt": 7.0}  # fmt: skip
BAD = {"tmb": 2.0, "prior_systemic_therapy": 1.0, "albumin": 2.9, "nlr": 11.0, "age": 45.0,
       "pdl1_tps": 0.0, "cancer_type": "nsclc", "btmb": 3.0, "pdl1_tc3_ic3": 0.0,
       "gep": -0.8, "cyt": 2.5}  # fmt: skip


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


# ------------------------------------------------------------------- the published equations


@pytest.mark.parametrize("cancer_type", PAN_CANCER)
def test_pan_cancer_loris_equals_the_equation_by_hand(cancer_type):
    patient, score = PAN_CANCER[cancer_type]
    table = pd.DataFrame([{**patient, "cancer_type": cancer_type}])
    assert loris(table)[0] == pytest.approx(1 / (1 + math.exp(-score)), abs=1e-12)


@pytest.mark.parametrize("case", NSCLC)
def test_nsclc_loris_equals_the_equation_by_hand(case):
    patient, score = NSCLC[case]
    table = pd.DataFrame([{**patient, "cancer_type": "nsclc"}])
    assert loris_nsclc(table)[0] == pytest.approx(1 / (1 + math.exp(-score)), abs=1e-12)


def test_every_cancer_type_adds_its_published_coefficient():
    assert REFERENCES["loris"].levels == {"cancer_type": PUBLISHED}
    types = [*PUBLISHED, "other"]
    table = pd.DataFrame([GOOD] * len(types)).assign(cancer_type=types)
    score = logit(loris(table))
    assert score - score[-1] == pytest.approx([*PUBLISHED.values(), 0], abs=1e-9)


@pytest.mark.parametrize("cancer_type", ["other", "glioma", "unknown_primary", np.nan, None])
def test_a_type_without_a_coefficient_counts_as_other(cancer_type):
    others = pd.DataFrame([{**GOOD, "cancer_type": "other"}])
    table = others.assign(cancer_type=pd.Series([cancer_type], dtype=object))
    assert loris(table).tolist() == loris(others).tolist()


@pytest.mark.parametrize(
    ("name", "beyond", "cap"), [("tmb", 51, 50), ("nlr", 26, 25), ("age", 86, 85)]
)
def test_values_beyond_the_caps_of_the_equation_count_as_the_cap(name, beyond, cap):
    rows = [{**GOOD, name: value} for value in (beyond, cap, cap - 1)]
    for equation in (loris, loris_nsclc):
        p = equation(pd.DataFrame(rows))
        assert p[0] == p[1]
        if not (equation is loris_nsclc and name == "age"):  # age is not in the NSCLC equation
            assert p[1] != p[2]


@pytest.mark.parametrize("name", ["tmb", "prior_systemic_therapy", "albumin", "nlr", "age"])
def test_pan_cancer_loris_is_missing_where_a_number_is(name):
    table = pd.DataFrame([GOOD, {**GOOD, name: np.nan}])
    assert np.isnan(loris(table)).tolist() == [False, True]
    assert np.isnan(loris(table.drop(columns=name))).all()


@pytest.mark.parametrize("name", ["tmb", "pdl1_tps", "prior_systemic_therapy", "albumin", "nlr"])
def test_nsclc_loris_is_missing_where_a_number_is(name):
    table = pd.DataFrame([GOOD, {**GOOD, name: np.nan}])
    assert np.isnan(loris_nsclc(table)).tolist() == [False, True]


def test_nsclc_loris_is_for_nsclc_only():
    rows = [{**GOOD, "cancer_type": name} for name in ("nsclc", "sclc", "melanoma")]
    assert np.isnan(loris_nsclc(pd.DataFrame([*rows, {**GOOD, "cancer_type": None}]))).tolist() == [
        False,
        True,
        True,
        True,
    ]


# ------------------------------------------------------------------- comparators


def test_the_risk_by_loris_is_the_complement_of_response(references):
    table = pd.DataFrame([GOOD, BAD])
    assert references.risk("loris", table).tolist() == (1 - loris(table)).tolist()
    assert references.risk("loris_nsclc", table).tolist() == (1 - loris_nsclc(table)).tolist()


@pytest.mark.parametrize("name", REFERENCES)
def test_a_higher_value_is_worse_for_every_reference(references, name):
    good, bad = references.risk(name, pd.DataFrame([GOOD, BAD]))
    assert good < bad


def test_rules_flag_below_their_cut_and_say_nothing_where_the_marker_is_missing(references):
    table = pd.DataFrame({"tmb": [9.99, 10.0, np.nan], "pdl1_tps": [49.0, 50.0, np.nan]})
    levels = table.assign(pdl1_tc3_ic3=[0.0, 1.0, np.nan])
    assert references.risk("pdl1_tc3_ic3", levels) == pytest.approx([1, 0, np.nan], nan_ok=True)
    for rule in ("tmb10", "pdl1_50"):
        assert references.risk(rule, table) == pytest.approx([1, 0, np.nan], nan_ok=True)
    assert references.risk("tmb", table) == pytest.approx([-9.99, -10, np.nan], nan_ok=True)
    assert np.isnan(references.risk("pdl1_50", table.drop(columns="pdl1_tps"))).all()


def test_probabilities_lie_between_0_and_1(references, patients):
    for name, reference in REFERENCES.items():
        if reference.kind == "probability" and name != "loris_nsclc":
            risk = references.risk(name, patients)
            assert ((risk > 0) & (risk < 1)).all()


def test_complete_marks_the_patients_with_every_input_measured(references):
    table = pd.DataFrame(
        [
            GOOD,
            {**GOOD, "tmb": np.nan},
            {**GOOD, "pdl1_tps": np.nan},
            {**GOOD, "cancer_type": "renal", "btmb": np.nan, "pdl1_tc3_ic3": np.nan},
            {**GOOD, "cancer_type": None},
            {**GOOD, "age": np.nan, "gep": np.nan, "cyt": np.nan},
        ]
    )
    masks = {name: mask.astype(int).tolist() for name, mask in references.complete(table).items()}
    assert masks == {
        "loris": [1, 0, 1, 1, 0, 0],
        "loris_nsclc": [1, 0, 0, 0, 0, 1],
        "tmb": [1, 0, 1, 1, 1, 1],
        "tmb10": [1, 0, 1, 1, 1, 1],
        "btmb": [1, 1, 1, 0, 1, 1],
        "pdl1": [1, 1, 0, 1, 1, 1],
        "pdl1_50": [1, 1, 0, 1, 1, 1],
        "pdl1_tc3_ic3": [1, 1, 1, 0, 1, 1],
        "gep": [1, 1, 1, 1, 1, 0],
        "cyt": [1, 1, 1, 1, 1, 0],
        "logistic": [1, 1, 1, 1, 1, 1],
        "logistic_loris": [1, 1, 1, 1, 1, 1],
        "rf16": [1, 1, 1, 1, 1, 1],
    }
    without = references.complete(table.drop(columns=["tmb", "cancer_type", "gep", "cyt"]))
    assert [n for n, mask in without.items() if mask.any()] == [
        "btmb",
        "pdl1",
        "pdl1_50",
        "pdl1_tc3_ic3",
        "logistic",
        "logistic_loris",
        "rf16",
    ]


def test_missing_inputs_of_loris_take_the_training_medians(references, patients):
    medians = references.fitted["loris"].medians
    expected = {n: np.nanmedian(patients[n].to_numpy(float)) for n in medians}
    assert medians == expected
    assert sorted(medians) == ["age", "albumin", "nlr", "prior_systemic_therapy", "tmb"]
    assert "pdl1_tps" in references.fitted["loris_nsclc"].medians
    gaps = pd.DataFrame([{**GOOD, "tmb": np.nan, "nlr": np.nan}])
    filled = gaps.assign(tmb=medians["tmb"], nlr=medians["nlr"])
    assert references.risk("loris", gaps).tolist() == (1 - loris(filled)).tolist()
    no_column = gaps.drop(columns=["tmb", "cancer_type"])
    as_other = filled.assign(cancer_type="other")
    assert references.risk("loris", no_column).tolist() == (1 - loris(as_other)).tolist()
    assert np.isnan(gaps["tmb"]).all()  # the table given is not changed


def test_columns_with_nullable_types_are_read_as_numbers(references):
    table = pd.DataFrame([GOOD, {**BAD, "prior_systemic_therapy": np.nan}])
    nullable = table.assign(
        prior_systemic_therapy=table["prior_systemic_therapy"].astype("boolean"),
        age=table["age"].astype("Int64"),
    )
    for name in REFERENCES:
        assert references.risk(name, nullable).tolist() == references.risk(name, table).tolist()


@pytest.mark.parametrize(
    ("absent", "fillable"),
    [
        ([], True),
        (["tmb", "nlr"], True),
        (["pdl1_tps", "cancer_type", "age"], True),
        (["tmb", "albumin", "nlr"], False),
    ],
)
def test_loris_is_filled_in_only_where_one_of_its_measurements_is_known(
    references, patients, absent, fillable
):
    gaps = patients.assign(**dict.fromkeys(absent, np.nan))
    for table in (patients.drop(columns=absent), gaps):
        covering = references.covering(table)
        assert ("loris" in covering) is fillable
        assert "loris_nsclc" not in covering


def test_loris_is_not_filled_in_with_a_median_that_training_could_not_give(patients):
    label = patients["label"].to_numpy(float)
    references = References.fit(patients.drop(columns="albumin"), ["age", "tmb"], label)
    assert "loris" not in references.covering(patients.assign(albumin=np.nan))
    assert "loris" in references.covering(patients.assign(albumin=4.0))


def test_references_survive_json_exactly(references, patients):
    again = References.from_json(json.loads(json.dumps(references.to_json())))
    assert again == references
    for name in REFERENCES:
        risk = references.risk(name, patients)
        assert again.risk(name, patients).tobytes() == risk.tobytes()


def test_too_few_inputs_of_a_published_model_give_no_refit_of_it(patients):
    label = patients["label"].to_numpy(float)
    few = References.fit(patients, ["age", "albumin", "tmb", "sex"], label)
    assert not {"logistic_loris", "rf16"} & set(few.fitted)
    assert not {"logistic_loris", "rf16"} & set(few.complete(patients))
    assert References.from_json(json.loads(json.dumps(few.to_json()))) == few


# ------------------------------------------------------------------- refitted logistic regression


def test_the_refit_knows_its_features_only(references, patients, classifier):
    features = classifier.features_
    assert references.fitted["logistic"].score.features == features
    assert references.fitted["logistic_loris"].score.features == [
        "age",
        "albumin",
        "cancer_type",
        "nlr",
        "prior_systemic_therapy",
        "tmb",
    ]
    changed = patients.assign(hemoglobin=99.0, regimen="other", label=1 - patients["label"])
    label = patients["label"].to_numpy(float)
    refitted = LogisticModel.fit(changed, features[::-1], label)
    assert refitted == references.fitted["logistic"]
    shuffled = changed[changed.columns[::-1]]
    risk = references.fitted["logistic"].risk(patients)
    assert references.fitted["logistic"].risk(shuffled).tolist() == risk.tolist()


def test_an_unseen_level_and_an_absent_column_count_as_missing(references, patients):
    missing = references.fitted["logistic"].risk(patients.assign(cancer_type=np.nan))
    unseen = references.fitted["logistic"].risk(patients.assign(cancer_type="mesothelioma"))
    absent = references.fitted["logistic"].risk(patients.drop(columns="cancer_type"))
    assert unseen.tolist() == missing.tolist() == absent.tolist()
    assert not np.array_equal(missing, references.fitted["logistic"].risk(patients))


def test_the_refit_orders_its_training_patients(references, patients):
    risk, label = references.fitted["logistic"].risk(patients), patients["label"]
    assert risk[label == 1].mean() > risk[label == 0].mean() + 0.1
    assert risk.mean() == pytest.approx(label.mean(), abs=1e-4)  # as any likelihood with intercept


# ------------------------------------------------------------------- RF16, refitted


def test_rf16_knows_the_inputs_of_the_paper_that_are_features(references, patients, classifier):
    """Chowell 2022: all sixteen but the drug class, which is no baseline feature."""
    assert len(RF16_INPUTS) == 15
    assert all(field_named(name).role == "feature" for name in RF16_INPUTS)
    known = set(RF16_INPUTS) & set(classifier.features_)
    assert set(references.fitted["rf16"].forest.features) == known
    assert "hemoglobin" in patients
    assert "hemoglobin" not in known
    risk = references.risk("rf16", patients)
    assert references.risk("rf16", patients.assign(hemoglobin=5.0)).tolist() == risk.tolist()


def test_rf16_counts_every_type_but_melanoma_and_nsclc_as_one(references, patients):
    by_type = {
        name: references.risk("rf16", patients.assign(cancer_type=name)).tolist()
        for name in ("melanoma", "nsclc", "renal", "thymic")
    }
    assert by_type["renal"] == by_type["thymic"]
    assert by_type["melanoma"] != by_type["nsclc"] != by_type["renal"]


def test_rf16_takes_training_medians_for_missing_inputs(references, patients):
    medians = references.fitted["rf16"].forest.medians
    assert list(medians) == references.fitted["rf16"].forest.features
    assert medians["albumin"] == np.nanmedian(patients["albumin"])
    gap = patients.assign(albumin=np.nan)
    filled = patients.assign(albumin=medians["albumin"])
    risk = references.risk("rf16", filled).tolist()
    assert references.risk("rf16", gap).tolist() == risk
    assert references.risk("rf16", gap.drop(columns="albumin")).tolist() == risk


# ------------------------------------------------------------------- references of other packages


class Anaemia:
    """As another package may add one: NaN or 1 below 10 g/dL."""

    name, title, source = "anaemia", "Haemoglobin below 10 g/dL", "this test"
    needs, kind = ("hemoglobin",), "rule"

    def fit(self, table, features, label, weight=None):
        return self

    def complete(self, table):
        return measured(table, self.needs)

    def risk(self, table):
        return table["hemoglobin"].lt(10).where(table["hemoglobin"].notna()).to_numpy(float)

    def covers(self, table):
        return False

    def to_json(self):
        return {"cut": 10}

    def from_json(self, document):
        assert document == {"cut": 10}
        return self


@pytest.fixture
def added(monkeypatch):
    """An installed package with an entry point; the cache is emptied before and after."""
    point = SimpleNamespace(name="anaemia", value=f"{__name__}:Anaemia", load=Anaemia)
    monkeypatch.setattr(extensions, "entry_points", lambda group: [point])
    known_references.cache_clear()
    yield
    known_references.cache_clear()


def test_a_reference_of_another_package_is_fitted_judged_and_kept(added, patients, classifier):
    label = patients["label"].to_numpy(float)
    fitted = References.fit(patients, classifier.features_, label)
    assert list(fitted.fitted) == [*REFERENCES, "anaemia"]
    risks = judged_risks(classifier, fitted, patients)
    performance = assess(patients, risks, cohort="demo", split="test", thresholds=[0.5]).performance
    assert "sensitivity" in set(performance.loc[performance["model"] == "anaemia", "metric"])
    again = References.from_json(json.loads(json.dumps(fitted.to_json())))
    risk = risks.by_model["anaemia"]
    assert again.risk("anaemia", patients).tobytes() == risk.tobytes()


def test_a_reference_whose_package_is_gone_is_left_out_kept_and_reported(references, caplog):
    learned = {"learned": {**references.to_json()["learned"], "anaemia": {"cut": 10}}}
    opened = References.from_json(learned)
    assert opened.fitted == references.fitted
    assert opened.to_json() == learned
    assert caplog.messages == [
        "The reference anaemia of this bundle is left out: the package that adds it is not "
        "installed."
    ]


def test_a_bundle_that_kept_the_medians_of_all_in_one_place_is_read(references, patients):
    learned = references.to_json()["learned"]
    medians = learned["loris"]["medians"] | learned["loris_nsclc"]["medians"]
    refits = {name: learned[name] for name in ("logistic", "logistic_loris")}
    opened = References.from_json({"medians": medians, **refits, "rf16": None})
    assert list(opened.fitted) == [name for name in references.fitted if name != "rf16"]
    for name in opened.fitted:
        risk = references.risk(name, patients)
        assert opened.risk(name, patients).tobytes() == risk.tobytes()

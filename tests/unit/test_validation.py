"""Cross-validation that never sees the judged patient, and the rows of an assessment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from stratify.model.classifier import ResistanceClassifier
from stratify.references import References
from stratify.references import references as known_references
from stratify.statistics.discrimination import auroc
from stratify.statistics.performance import PERFORMANCE_COLUMNS
from stratify.statistics.survival import survival_by_group
from stratify.tables.schema import load_schema
from stratify.validation.assessment import Assessment, assess, cross_validate
from stratify.validation.training import Risks, judged_risks

FOLDS = 3
# Standard error of the AUROC of a score without information, 133 and 107 patients
# (Mann and Whitney 1947): sqrt((133 + 107 + 1) / (12 * 133 * 107)).
NO_SKILL_ERROR = 0.0376
EVERYBODY = ["stratify", "loris", "logistic", "logistic_loris", "rf16"]
# Simulated patients have no blood TMB, no SP142 levels and no CYT.
REFERENCES = known_references()
SHOWN = [name for name in REFERENCES if name not in ("btmb", "pdl1_tc3_ic3", "cyt")]


@pytest.fixture(scope="module")
def held_out(
    small: ResistanceClassifier, patients: pd.DataFrame, classifier: ResistanceClassifier
) -> Risks:
    return cross_validate(small, patients, classifier.features_, folds=FOLDS)


@pytest.fixture(scope="module")
def groups(held_out: Risks) -> np.ndarray:
    risk = held_out.by_model["stratify"]
    cuts = np.quantile(risk, [1 / 3, 2 / 3])
    return np.array(["low", "intermediate", "high"], dtype=object)[np.searchsorted(cuts, risk)]


@pytest.fixture(scope="module")
def assessment(patients: pd.DataFrame, held_out: Risks, groups: np.ndarray) -> Assessment:
    return assess(
        patients, held_out, cohort="home", split="cv", thresholds=[0.5, 0.7], groups=groups
    )


def without_curves(table: pd.DataFrame, risks: Risks, **options: object) -> pd.DataFrame:
    return assess(table, risks, cohort="home", split="cv", thresholds=[], **options).performance


# ------------------------------------------------------------------- nothing leaks


class Recording(ResistanceClassifier):
    """Keeps the patients it was fitted on and asked for, over all its clones."""

    fitted: list[set[int]]
    asked: list[set[int]]

    def fit(self, X, y, sample_weight=None, auxiliary=None):
        self.fitted.append(set(X.index))
        return super().fit(X, y, sample_weight, auxiliary)

    def predict_proba(self, X):
        self.asked.append(set(X.index))
        return super().predict_proba(X)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_judged_patient_is_in_the_training_of_his_fold(small, patients, monkeypatch, seed):
    Recording.fitted, Recording.asked, learned = [], [], []
    fit = References.fit.__func__

    def recorded(cls, table, features, label, weight):
        learned.append(set(table.index))
        assert label.tolist() == table["label"].tolist()
        return fit(cls, table, features, label, weight)

    monkeypatch.setattr(References, "fit", classmethod(recorded))
    classifier = Recording(**small.get_params()).set_params(n_estimators=2, calibration_folds=0)
    cross_validate(classifier, patients, ["albumin", "nlr"], folds=4, seed=seed)
    everyone = set(patients.index)
    assert len(Recording.asked) == len(Recording.fitted) == 4
    for fitted, references, asked in zip(Recording.fitted, learned, Recording.asked, strict=True):
        assert fitted == references == everyone - asked
    assert set.union(*Recording.asked) == everyone
    assert sum(map(len, Recording.asked)) == len(everyone)


def test_a_name_that_tells_each_patient_apart_does_not_help(small, patients):
    """A number of each patient's own separates the training patients, and no others.

    Trees learn it by heart; held out it must stay at 0.5 within three standard errors.
    """
    numbers = np.random.default_rng(1).permutation(len(patients)).astype(float)
    table = patients.assign(hemoglobin=numbers)[["patient_id", "cohort", "label", "hemoglobin"]]
    greedy = clone(small).set_params(
        anchor=None, monotone=None, min_child_samples=1, num_leaves=64, max_bin=255,
        masked_weight=0, learning_rate=0.3, reg_lambda=0.0, calibration_folds=0,
    )  # fmt: skip
    label = table["label"].to_numpy()
    known = greedy.fit(table[["hemoglobin"]], label).predict_proba(table[["hemoglobin"]])[:, 1]
    assert auroc(label, known).value > 0.8
    risks = cross_validate(greedy, table, ["hemoglobin"], folds=FOLDS)
    assert risks.by_model["stratify"].std() > 0.05
    assert auroc(label, risks.by_model["stratify"]).value == pytest.approx(
        0.5, abs=3 * NO_SKILL_ERROR
    )


def test_labels_dealt_out_at_random_cannot_be_learned(small, patients, classifier):
    rng = np.random.default_rng(2)
    areas = []
    for _ in range(3):
        table = patients.assign(label=rng.permutation(patients["label"]))
        risks = cross_validate(
            clone(small).set_params(n_estimators=5), table, ["albumin", "nlr", "tmb"], folds=FOLDS
        )
        areas += [
            auroc(table["label"], risks.by_model[name]).value for name in ("stratify", "logistic")
        ]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)
    assert np.max(areas) < 0.5 + 3 * NO_SKILL_ERROR


def test_true_labels_can_be_learned(patients, held_out):
    for name in ("stratify", "logistic"):
        assert auroc(patients["label"], held_out.by_model[name]).value > 0.65


def test_each_fold_has_its_own_medians_for_loris(small, patients, held_out):
    """With a gap, LORIS is near but not at what the medians of all patients would give."""
    assert "loris" in held_out.covering
    everyone = References.fit(patients, ["albumin"], patients["label"].to_numpy())
    expected = everyone.risk("loris", patients)
    complete = held_out.complete["loris"]
    assert held_out.by_model["loris"][complete].tolist() == expected[complete].tolist()
    assert held_out.by_model["loris"][~complete] == pytest.approx(expected[~complete], abs=0.1)
    assert (held_out.by_model["loris"] != expected).any()


# ------------------------------------------------------------------- cross-validation


def test_risks_are_in_the_order_of_the_table_and_repeatable(small, patients, classifier, held_out):
    again = cross_validate(small, patients, classifier.features_[::-1], folds=FOLDS)
    assert list(held_out.by_model) == ["stratify", *SHOWN]
    assert list(held_out.complete) == list(REFERENCES)
    for name, risk in held_out.by_model.items():
        assert risk.shape == (len(patients),)
        if name != "stratify":
            assert np.isfinite(risk[held_out.complete[name]]).all()
    assert again.by_model["stratify"].tolist() == held_out.by_model["stratify"].tolist()
    assert held_out.by_model["tmb"] == pytest.approx(-patients["tmb"].to_numpy(), nan_ok=True)
    assert not hasattr(small, "ensemble_")


def test_a_fitted_classifier_is_left_as_it_is(patients, classifier):
    before = classifier.predict_proba(patients)
    few = clone(classifier).set_params(n_estimators=2).fit(patients[["nlr"]], patients["label"])
    members = few.ensemble_.members
    cross_validate(few, patients, ["albumin"], folds=2)
    assert few.ensemble_.members is members
    assert few.features_ == ["nlr"]
    assert classifier.predict_proba(patients).tolist() == before.tolist()


def test_there_are_no_more_folds_than_patients_of_a_class(small, patients):
    few = pd.concat([patients[patients["label"] == 1].head(3), patients[patients["label"] == 0]])
    told: list[str] = []
    cheap = clone(small).set_params(n_estimators=2, calibration_folds=0)
    cross_validate(cheap, few, ["albumin", "nlr"], folds=10, progress=told.append)
    lines = [line.partition(", about")[0] for line in told]
    assert lines == [f"cross-validation, fold {k} of 3" for k in (1, 2, 3)]


@pytest.mark.slow
def test_workers_change_no_risk(small, patients):
    told: list[str] = []
    found = [
        cross_validate(
            clone(small).set_params(n_members=2, calibration_folds=2),
            patients,
            ["albumin", "nlr", "tmb"],
            folds=3,
            trials=2,
            workers=workers,
            progress=told.append,
        )
        for workers in (1, 2)
    ]
    alone, shared = found
    assert shared.fold.tolist() == alone.fold.tolist()
    for name, risk in alone.by_model.items():
        np.testing.assert_array_equal(shared.by_model[name], risk)
    assert sum("done" in line for line in told) == 3


# ------------------------------------------------------------------- row groups


def test_the_table_follows_its_dictionary(assessment):
    table = assessment.performance
    fields = load_schema("performance").fields
    assert list(table.columns) == list(fields) == list(PERFORMANCE_COLUMNS)
    for name, field in fields.items():
        kind = {"number": "f", "integer": "i"}.get(field.type)
        assert table[name].dtype.kind == kind if kind else table[name].map(type).eq(str).all()
    assert set(table["cohort"]) == {"home"}
    assert set(table["split"]) == {"cv"}
    assert set(table["threshold"].dropna()) == {0.5, 0.7}
    told = table[["value", "low", "high"]].dropna()
    assert ((told["low"] <= told["value"]) & (told["value"] <= told["high"])).all()
    key = ["model", "reference", "subgroup", "metric", "threshold"]
    assert not table.duplicated(key).any()


def test_the_assessment_says_whom_it_judged(assessment, patients):
    assert (assessment.cohort, assessment.split) == ("home", "cv")
    assert (assessment.n, assessment.n_events) == (240, int(patients["label"].sum()))
    for curves in (assessment.roc, assessment.calibration):
        assert sorted(set(curves["model"])) == sorted(EVERYBODY)
    assert sorted(set(assessment.decision["model"])) == sorted(
        [*EVERYBODY, "flag_all", "flag_none"]
    )


def test_all_models_of_a_row_group_are_judged_on_the_same_patients(assessment, patients):
    table = assessment.performance
    c_index = table["metric"] == "c_index"  # counts progressions, not labels
    assert (table.loc[c_index, "n_events"] == patients["pfs_event"].sum()).any()
    for subgroup, rows in table[~c_index].groupby("subgroup"):
        if not subgroup.startswith("risk_group") and subgroup != "all":
            assert len(set(zip(rows["n"], rows["n_events"], strict=True))) == 1
    judged = table[(table["subgroup"] == "all") & ~table["metric"].str.startswith("log_rank")]
    assert set(judged["n"]) == {240}


def models(table: pd.DataFrame, subgroup: str) -> list[str]:
    rows = table[(table["subgroup"] == subgroup) & (table["metric"] == "auroc")]
    return rows["model"].tolist()


def test_a_row_group_holds_the_model_and_the_references_that_cover_it(assessment, patients):
    table = assessment.performance
    at_risk = table[table["subgroup"].str.match("all|measured=")]
    found = {s: models(table, s) for s in at_risk["subgroup"].unique()}
    refits = ["logistic", "logistic_loris", "rf16"]
    assert {s: sorted(names) for s, names in found.items()} == {
        "all": sorted(EVERYBODY),
        "measured=loris": sorted(["stratify", "loris", "tmb", "tmb10", *refits]),
        "measured=loris_nsclc": sorted(["stratify", *(n for n in SHOWN if n != "gep")]),
        "measured=tmb": sorted(["stratify", "tmb", "tmb10", *refits]),
        "measured=pdl1_tps": sorted(["stratify", "pdl1", "pdl1_50", *refits]),
        "measured=gep": sorted(["stratify", "gep", *refits]),
    }
    assert all(names[0] == "stratify" for names in found.values())
    counts = at_risk[at_risk["metric"] == "auroc"].groupby("subgroup")["n"].first()
    assert counts["measured=tmb"] == patients["tmb"].notna().sum()
    assert counts["measured=pdl1_tps"] == patients["pdl1_tps"].notna().sum()
    inputs = ["tmb", "prior_systemic_therapy", "albumin", "nlr", "age", "cancer_type"]
    complete = patients[inputs].notna().all(axis=1)
    assert counts["measured=loris"] == complete.sum()
    nsclc = complete & patients["pdl1_tps"].notna() & (patients["cancer_type"] == "nsclc")
    # age is no input of the NSCLC equation, and is known for everybody here
    assert counts["measured=loris_nsclc"] == nsclc.sum()


def measured_groups(table: pd.DataFrame) -> set[str]:
    return {name for name in table["subgroup"] if name.startswith("measured=")}


def test_every_reference_is_compared_with_the_model_pairwise(assessment, patients, held_out):
    table = assessment.performance
    pairs = table[table["metric"] == "delta_auroc"]
    assert set(pairs["model"]) == {"stratify"}
    for subgroup, rows in pairs.groupby("subgroup"):
        assert rows["reference"].tolist() == models(table, subgroup)[1:]
    measured = patients["tmb"].notna().to_numpy()
    label, risk = patients["label"].to_numpy(), held_out.by_model
    area = {n: auroc(label[measured], risk[n][measured]).value for n in ("stratify", "tmb")}
    row = pairs[(pairs["subgroup"] == "measured=tmb") & (pairs["reference"] == "tmb")].iloc[0]
    assert row["value"] == pytest.approx(area["stratify"] - area["tmb"], abs=1e-12)


def test_scores_and_rules_are_not_judged_as_probabilities(assessment):
    table = assessment.performance
    metrics = table.groupby("model")["metric"].agg(set)
    assert "brier" in metrics["loris"]
    assert not {"brier", "net_benefit", "sensitivity"} & metrics["tmb"]
    assert "sensitivity" in metrics["tmb10"]
    assert "brier" not in metrics["tmb10"]


# ------------------------------------------------------------------- LORIS and missing inputs


@pytest.fixture(scope="module")
def complete_patients(patients: pd.DataFrame, references: References) -> pd.DataFrame:
    medians = references.fitted["loris"].medians | references.fitted["loris_nsclc"].medians
    gaps = {name: patients[name].fillna(median) for name, median in medians.items()}
    return patients.assign(**gaps)


def test_with_complete_inputs_loris_stands_among_all_and_nothing_is_filled(
    complete_patients, classifier, references
):
    risks = judged_risks(classifier, references, complete_patients)
    table = without_curves(complete_patients, risks)
    expected = 1 - REFERENCES["loris"].response(complete_patients)
    assert risks.by_model["loris"].tolist() == expected.tolist()
    assert {"loris", "tmb", "pdl1"} <= set(models(table, "all"))
    assert measured_groups(table) == {"measured=loris_nsclc", "measured=gep"}


def test_with_missing_inputs_loris_stands_among_all_and_again_among_the_measured(
    patients, classifier, references
):
    table = without_curves(patients, judged_risks(classifier, references, patients))
    assert "loris" in models(table, "all")
    assert "loris" in models(table, "measured=loris")
    assert not {"tmb", "pdl1", "loris_nsclc"} & set(models(table, "all"))


def test_where_loris_cannot_be_filled_in_it_is_shown_for_the_measured_alone(
    patients, classifier, references
):
    loris = references.fitted["loris"]
    tmb_alone = replace(loris, medians={"tmb": loris.medians["tmb"]})
    unknown = replace(references, fitted={**references.fitted, "loris": tmb_alone})
    risks = judged_risks(classifier, unknown, patients)
    assert "loris" not in risks.covering
    table = without_curves(patients, risks)
    assert "loris" not in models(table, "all")
    assert "loris" in models(table, "measured=loris")


def test_where_none_of_its_blood_counts_and_no_tmb_is_measured_loris_is_left_out(
    patients, classifier, references
):
    table = patients.drop(columns=["tmb", "albumin", "nlr"])
    risks = judged_risks(classifier, references, table)
    expected = ["stratify", "pdl1", "pdl1_50", "gep", "logistic", "logistic_loris", "rf16"]
    assert list(risks.by_model) == expected
    rows = without_curves(table, risks)
    assert measured_groups(rows) == {"measured=pdl1_tps", "measured=gep"}


# ------------------------------------------------------------------- small groups


@pytest.mark.parametrize(
    ("n", "events", "shown"),
    [(20, 5, True), (20, 15, True), (19, 9, False), (40, 4, False), (40, 36, False)],
)
def test_small_groups_are_not_shown(patients, classifier, references, n, events, shown):
    """Shown from 20 patients and 5 in each class."""
    measured = pd.concat(
        [
            patients[patients["label"] == 1].head(events),
            patients[patients["label"] == 0].head(n - events),
        ]
    ).index
    marked = pd.Series(np.where(patients.index.isin(measured), 12.0, np.nan))
    table = patients.assign(tmb=marked + np.arange(240) / 10, pdl1_tps=np.nan)
    rows = without_curves(table, judged_risks(classifier, references, table))
    assert ("measured=tmb" in set(rows["subgroup"])) == shown
    if shown:
        group = rows[rows["subgroup"] == "measured=tmb"]
        assert set(zip(group["n"], group["n_events"], strict=True)) >= {(n, events)}


# ------------------------------------------------------------------- subgroups, optimism


def test_subgroups_hold_the_model_and_the_references_that_cover_everybody(assessment, patients):
    table = assessment.performance
    rows = table[table["subgroup"].str.match("sex=|age=|cancer_type=|line=|panels_missing=")]
    assert {"sex=female", "sex=male", "age=below_65", "line=first"} <= set(rows["subgroup"])
    for name, group in rows.groupby("subgroup"):
        assert sorted(models(table, name)) == sorted(EVERYBODY)
        assert group["n"].nunique() == group["n_events"].nunique() == 1
        pairs = group[group["metric"] == "delta_auroc"]
        assert sorted(pairs["reference"]) == sorted(EVERYBODY[1:])
    assert not {"average_precision", "brier_skill", "net_benefit"} & set(rows["metric"])
    women = rows[(rows["subgroup"] == "sex=female") & (rows["metric"] == "auroc")]
    assert set(women["n"]) == {(patients["sex"] == "female").sum()}


def test_a_subgroup_has_the_figures_of_its_patients_alone(assessment, patients, held_out):
    women = (patients["sex"] == "female").to_numpy()
    table = assessment.performance.set_index(["subgroup", "model", "metric"])
    row = table.loc[("sex=female", "stratify", "auroc"), ["value", "low", "high"]]
    label, risk = patients["label"].to_numpy()[women], held_out.by_model["stratify"][women]
    assert tuple(row) == auroc(label, risk)


def test_optimism_is_apparent_minus_held_out_on_the_same_patients(
    patients, held_out, classifier, references
):
    apparent = judged_risks(classifier, references, patients)
    table = without_curves(patients, held_out, apparent=apparent)
    rows = table[table["metric"].str.startswith("optimism_")].set_index(["model", "metric"])
    assert set(rows.index) == {
        (name, metric) for name in EVERYBODY for metric in ("optimism_auroc", "optimism_brier")
    }
    label = patients["label"].to_numpy()
    for name in ("stratify", "rf16"):
        seen, unseen = (auroc(label, r.by_model[name]).value for r in (apparent, held_out))
        gap = seen - unseen
        assert rows.loc[(name, "optimism_auroc"), "value"] == pytest.approx(gap, abs=1e-12)
        assert gap > 0.02  # trees know their training patients
        assert rows.loc[(name, "optimism_brier"), "value"] < 0
    assert abs(rows.loc[("loris", "optimism_auroc"), "value"]) < 0.005  # learned elsewhere
    assert not without_curves(patients, held_out)["metric"].str.startswith("optimism_").any()


# ------------------------------------------------------------------- survival


def test_survival_by_risk_group_is_told_against_the_low_group(assessment, patients, groups):
    table = assessment.performance
    rows = table[table["subgroup"].str.startswith("risk_group=")]
    assert set(rows["model"]) == {"stratify"}
    told = rows.groupby("subgroup")["metric"].agg(list).to_dict()
    both = ["median_pfs", "hazard_ratio_pfs", "median_os", "hazard_ratio_os"]
    assert told == {
        "risk_group=low": ["median_pfs", "median_os"],
        "risk_group=intermediate": both,
        "risk_group=high": both,
    }
    order = pd.Categorical(groups, ["low", "intermediate", "high"], ordered=True)
    for outcome in ("pfs", "os"):
        expected = survival_by_group(patients[outcome], patients[f"{outcome}_event"], order)[1]
        for line in expected.itertuples():
            here = rows[rows["subgroup"] == f"risk_group={line.group}"].set_index("metric")
            assert here.loc[f"median_{outcome}", "value"] == line.median
            assert here.loc[f"median_{outcome}", ["n", "n_events"]].tolist() == [
                line.n,
                line.n_events,
            ]
            if line.group != "low":
                ratio = here.loc[f"hazard_ratio_{outcome}"]
                assert ratio[["value", "low", "high"]].tolist() == [
                    line.hazard_ratio,
                    line.hazard_ratio_low,
                    line.hazard_ratio_high,
                ]
        p = table[table["metric"] == f"log_rank_p_{outcome}"].iloc[0]
        assert (p["value"], p["n"], p["subgroup"]) == (expected["log_rank_p"][0], 240, "all")
    high = rows[rows["subgroup"] == "risk_group=high"].set_index("metric")
    assert high.loc["hazard_ratio_pfs", "value"] > 1
    assert list(assessment.survival) == ["pfs", "os"]


def test_without_a_low_group_there_is_no_hazard_ratio(patients, held_out, groups):
    rows = without_curves(patients, held_out, groups=np.where(groups == "low", "high", groups))
    rows = rows[rows["subgroup"].str.startswith("risk_group=")]
    assert set(rows["subgroup"]) == {"risk_group=intermediate", "risk_group=high"}
    assert set(rows["metric"]) == {"median_pfs", "median_os"}


@pytest.mark.parametrize("why", ["no groups", "one group", "no outcome"])
def test_without_groups_or_outcomes_there_are_no_survival_rows(patients, held_out, groups, why):
    table, given = patients, groups
    if why == "no groups":
        given = None
    elif why == "one group":
        given = np.full(len(patients), "low", dtype=object)
    else:
        table = patients.drop(columns=["pfs", "os"])
    found = assess(table, held_out, cohort="home", split="cv", thresholds=[], groups=given)
    assert found.survival == {}
    assert not found.performance["metric"].str.contains("hazard|median|log_rank").any()
    assert found.performance["value"].dtype == np.float64
    assert found.performance["n"].dtype == np.int64


def test_patients_without_an_outcome_are_left_out_of_it_alone(patients, held_out, groups):
    table = patients.assign(os=patients["os"].mask(patients.index < 40))
    rows = without_curves(table, held_out, groups=groups).set_index("metric")
    assert rows.loc["log_rank_p_os", "n"] == 200
    assert rows.loc["log_rank_p_pfs", "n"] == 240
    unknown = patients.assign(pfs=patients["pfs"].mask(patients.index < 40))
    rows = without_curves(unknown, held_out, groups=groups)
    assert "c_index" not in set(rows.loc[rows["subgroup"] == "all", "metric"])


def test_one_class_gives_no_roc_curve_and_no_area(patients, classifier, references):
    table = patients[patients["label"] == 1].head(30).reset_index(drop=True)
    risks = judged_risks(classifier, references, table)
    found = assess(table, risks, cohort="home", split="external", thresholds=[0.5])
    assert len(found.roc) == 0
    area = found.performance[found.performance["metric"] == "auroc"]
    assert area[["value", "low", "high"]].isna().all(axis=None)
    assert (found.n, found.n_events) == (30, 30)


def test_judging_leaves_the_tables_as_they_are(patients, held_out, groups):
    before = patients.copy(deep=True)
    without_curves(patients, held_out, groups=groups)
    pd.testing.assert_frame_equal(patients, before)

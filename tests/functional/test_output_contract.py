"""What a training, an evaluation and a scoring write: files, columns, values, sums."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from functional.conftest import IDENTIFIER, Trained
from stratify import Study, evaluate, read_cohort, score
from stratify.cohort.reading import data_sha256
from stratify.cohort.subgroups import SMALLEST_CLASS, SMALLEST_SUBGROUP
from stratify.endpoint import endpoint_reasons, endpoint_rules
from stratify.references import references as known_references
from stratify.tables.schema import load_schema

REFERENCES = known_references()

# As users were promised, in this order: their scripts read these names.
FILES = {
    *("findings.csv", "attrition.csv", "performance.csv", "scores.csv", "labels.csv"),
    *("attributions.parquet", "profiles.parquet", "report.html", "study.yaml"),
}
COLUMNS = {
    "findings.csv": "code, severity, cohort, panel, column, n, message, advice",
    "attrition.csv": "cohort, step, reason, n, n_remaining",
    "performance.csv": "cohort, split, model, reference, subgroup, metric, threshold, value, low, "
    "high, n, n_events",
    "scores.csv": "patient_id, cohort, risk, risk_low, risk_high, risk_group, recommendation, "
    "reason, evidence_class, panels_missing, flags, model_version, endpoint_rule, "
    "would_change, decision_rule, error_bound",
    "labels.csv": "patient_id, cohort, state, reason, label, endpoint_rule, split",
    "attributions.parquet": "patient_id, cohort, feature, panel, unit, value, level, shap, "
    "base_value",
    "profiles.parquet": "patient_id, cohort, step, contribution, raising, lowering, n_measured, "
    "n_features, unmeasured",
}
KEYS = ["cohort", "patient_id"]
GROUP = ["cohort", "split", "subgroup"]
SHARES = {
    *("auroc", "average_precision", "c_index", "brier", "mean_predicted", "mean_observed"),
    *("sensitivity", "specificity", "ppv", "npv", "share_flagged"),
}
ERRORS = {"error_monotherapy", "error_combination"}
OF_POLICY = {"share_decided", "share_measure", "share_refer", "net_benefit_gain", *ERRORS}
DECISIONS = {"sensitivity", "specificity", "ppv", "npv", "share_flagged", "net_benefit"}
PLAIN = {
    *("brier_skill", "calibration_intercept", "calibration_slope", "delta_auroc", "delta_brier"),
    *("observed_expected", "optimism_auroc", "optimism_brier"),
    *(
        f"{name}_{time}"
        for name in ("median", "hazard_ratio", "log_rank_p")
        for time in ("pfs", "os")
    ),
}


@pytest.fixture(scope="session")
def evaluated(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The bundle judged on the same study: only its external cohort counts."""
    out = tmp_path_factory.mktemp("evaluated") / "out"
    return Trained(trained.study, out, evaluate(trained.bundle, trained.study, out))


@pytest.fixture(params=["trained", "evaluated"])
def written(request: pytest.FixtureRequest) -> Trained:
    found: Trained = request.getfixturevalue(request.param)
    return found


# ------------------------------------------------------------------ files and columns


def test_a_training_writes_the_files_and_a_bundle(trained):
    assert {path.name for path in trained.out.iterdir()} == FILES | {"bundle"}


def test_a_training_leaves_the_classifier_it_is_given_as_it_was(trained):
    assert [name for name in vars(trained.classifier) if name.endswith("_")] == []
    assert trained.classifier.get_params() == trained.results.model.classifier.get_params()


def test_an_evaluation_writes_the_same_files_and_no_bundle(evaluated):
    assert {path.name for path in evaluated.out.iterdir()} == FILES


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_those_promised_and_those_of_the_dictionary(written, name):
    columns = list(written.table(name).columns)

    assert columns == COLUMNS[name].split(", ")
    fields = list(load_schema(name.partition(".")[0]).fields)
    assert columns[: len(fields)] == fields


@pytest.mark.parametrize("name", COLUMNS)
def test_values_are_among_those_of_the_dictionary(written, name):
    table = written.table(name)

    for column, field in load_schema(name.partition(".")[0]).fields.items():
        if field.enum:
            assert set(table[column]) <= set(field.enum), column
        if field.minimum is not None:
            given = table[column].dropna()
            assert given.between(field.minimum, field.maximum).all(), column


def test_files_are_what_the_library_returns(written):
    returned = {
        "performance.csv": written.results.performance,
        "attrition.csv": written.results.attrition,
        "findings.csv": written.results.findings,
        "scores.csv": written.results.scores,
        "labels.csv": written.results.labels,
        "attributions.parquet": written.results.attributions,
        "profiles.parquet": written.results.profiles,
    }
    for name, table in returned.items():
        filled = table.astype({c: object for c in table if table[c].dtype.kind not in "fi"})
        pd.testing.assert_frame_equal(
            written.table(name).reset_index(drop=True),
            filled.reset_index(drop=True),
            check_dtype=False,
            check_exact=True,
            obj=name,
        )


# ------------------------------------------------------------------ performance


def test_splits_models_and_metrics_are_the_known_ones(trained, evaluated):
    table = trained.table("performance.csv")

    places = table[["cohort", "split"]].drop_duplicates().itertuples(index=False, name=None)
    assert list(places) == [
        ("simulated_train", "train"),
        ("simulated_train", "cv"),
        ("simulated_external", "external"),
    ]
    measured = set(REFERENCES) - {
        "btmb",
        "pdl1_tc3_ic3",
        "cyt",
    }  # the others are not simulated
    assert set(table["model"]) == {"stratify", "flag_all", *measured}
    assert set(table["metric"]) == SHARES | DECISIONS | PLAIN | OF_POLICY
    assert set(evaluated.table("performance.csv")["split"]) == {"external"}


def test_an_evaluation_finds_what_the_training_found_in_the_same_cohort(trained, evaluated):
    table = trained.table("performance.csv")
    external = table[table["split"] == "external"].reset_index(drop=True)

    pd.testing.assert_frame_equal(evaluated.table("performance.csv"), external, check_exact=True)


def test_estimates_lie_within_their_interval(written):
    table = written.table("performance.csv")
    whole = table.dropna(subset=["value", "low", "high"])

    assert (whole["low"] <= whole["value"]).all()
    assert (whole["value"] <= whole["high"]).all()
    # every estimate has an interval, but for p-values and what is not reached in follow-up
    bare = table[table["value"].notna() & table[["low", "high"]].isna().all(axis=1)]
    assert set(bare["metric"]) <= {"log_rank_p_pfs", "log_rank_p_os", "median_pfs", "median_os"}


def test_shares_lie_from_0_to_1_and_differences_from_minus_1_to_1(written):
    table = written.table("performance.csv")
    long = table.melt(["metric"], ["value", "low", "high"], value_name="limit").dropna()
    shares = long["metric"].isin(SHARES) | long["metric"].str.startswith("log_rank_p")
    differences = long["metric"].str.startswith(("delta_", "optimism_"))

    assert long.loc[shares, "limit"].between(0, 1).all()
    assert long.loc[differences, "limit"].between(-1, 1).all()
    assert (table["n_events"] <= table["n"]).all()
    assert (table.loc[~table["metric"].isin(ERRORS), "n"] >= 1).all()


def test_models_of_a_row_group_are_judged_on_the_same_patients(written):
    table = written.table("performance.csv")
    judged = table[~table["subgroup"].str.startswith("risk_group=")]
    judged = judged[~judged["metric"].isin(OF_POLICY)]  # an arm, or who has the rule's marker
    by_label = judged[~judged["metric"].str.contains("c_index|_pfs|_os")]

    for rows, group in ((judged, [*GROUP, "metric"]), (by_label, GROUP)):
        counts = rows.groupby(group)[["n", "n_events"]].agg(["min", "max"])
        for name in ("n", "n_events"):
            assert (counts[name, "min"] == counts[name, "max"]).all()


def test_subgroups_are_all_or_name_and_value_and_large_enough(trained):
    table = trained.table("performance.csv")

    patients = "sex=|age=|site=|cancer_type=|race=|line=|panels_missing="
    of_patients = table[table["subgroup"].str.match(patients)]
    assert set(table["subgroup"]) - set(of_patients["subgroup"]) == {
        "all",
        *(f"measured={name}" for name in ("loris", "loris_nsclc", "tmb", "pdl1_tps", "gep")),
        *(f"risk_group={name}" for name in ("low", "intermediate", "high")),
    }
    assert {"sex=female", "age=below_65", "line=first"} <= set(of_patients["subgroup"])
    measured = table[table["subgroup"].str.startswith("measured=")]
    assert (measured["n"] >= SMALLEST_SUBGROUP).all()
    of_patients = of_patients[~of_patients["metric"].isin(ERRORS)]  # of an arm
    assert (of_patients["n"] >= SMALLEST_SUBGROUP).all()
    others = of_patients["n"] - of_patients["n_events"]
    assert np.minimum(of_patients["n_events"], others).min() >= SMALLEST_CLASS


def test_every_reference_has_its_paired_difference(written):
    table = written.table("performance.csv")
    judged = table[~table["subgroup"].str.startswith("risk_group=")]

    for place, rows in judged.groupby(GROUP):
        values = rows.set_index(["metric", "model", "reference"])["value"]
        for metric, delta in (("auroc", "delta_auroc"), ("brier", "delta_brier")):
            models = values[metric].index.get_level_values("model")
            references = [name for name in models if name != "stratify"]
            ours = values[metric, "stratify", ""]

            assert references, place
            assert list(values[delta].index) == [("stratify", name) for name in references], place
            for name in references:
                assert values[delta, "stratify", name] == pytest.approx(
                    ours - values[metric, name, ""], abs=1e-12
                )
    compared = table["metric"].str.startswith("delta_") | (table["metric"] == "net_benefit_gain")
    assert (compared == (table["reference"] != "")).all()


def test_thresholds_stand_where_risks_become_decisions(written):
    table = written.table("performance.csv")
    rules = table["model"].isin([name for name, r in REFERENCES.items() if r.kind == "rule"])
    gain = table["metric"] == "net_benefit_gain"
    decided = (table["metric"].isin(DECISIONS) & ~rules) | gain

    assert sorted(table.loc[~gain, "threshold"].dropna().unique()) == [
        *(0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    ]
    assert set(table.loc[gain, "threshold"]) == {1 - 0.3}
    assert (table["threshold"].notna() == decided).all()


# ------------------------------------------------------------------ sums


def test_attrition_labels_scores_and_performance_count_the_same_patients(written):
    attrition, labels = written.table("attrition.csv"), written.table("labels.csv")
    scores, performance = written.table("scores.csv"), written.table("performance.csv")

    for cohort, steps in attrition.groupby("cohort"):
        left = steps[steps["reason"] != ""]
        stay = steps[steps["reason"] == ""].set_index("step")["n"]
        assert list(stay.index) == ["read", "eligible_regimen", "label_evaluable"]
        for before, after in (
            ("read", "eligible_regimen"),
            ("eligible_regimen", "label_evaluable"),
        ):
            assert stay[before] - left.loc[left["step"] == after, "n"].sum() == stay[after]
        here = labels[labels["cohort"] == cohort]
        assert len(here) == stay["eligible_regimen"]
        assert here["label"].notna().sum() == stay["label_evaluable"]
        assert (scores["cohort"] == cohort).sum() == stay["eligible_regimen"]
        lost = here.loc[here["label"].isna(), "reason"].value_counts().to_dict()
        assert lost == left[left["step"] == "label_evaluable"].set_index("reason")["n"].to_dict()
        judged = performance[
            (performance["cohort"] == cohort)
            & (performance["subgroup"] == "all")
            & (performance["metric"] == "mean_observed")
        ]
        assert set(judged["n"]) == {stay["label_evaluable"]}
        assert set(judged["n_events"]) == {here["label"].sum()}
    assert (attrition["n_remaining"] >= 0).all()


def test_every_state_has_its_label_and_a_reason_of_the_rule(written):
    labels = written.table("labels.csv")
    version = endpoint_rules()["proxy_pfs6"].version

    expected = labels["state"].map({"primary": 1.0, "none": 0.0, "not_evaluable": np.nan})
    pd.testing.assert_series_equal(labels["label"], expected, check_names=False)
    states = labels["reason"].map({name: r["state"] for name, r in endpoint_reasons().items()})
    assert (labels["state"] == states).all()
    assert set(labels["endpoint_rule"]) == {f"proxy_pfs6@{version}"}


def test_findings_are_known_codes_errors_first_with_their_advice(written):
    findings, codes = written.table("findings.csv"), load_schema("findings").codes

    expected = {"too_few_events", "endpoint_not_evaluable"}
    if "train" in set(written.table("performance.csv")["split"]):
        expected.add("sample_size_small")  # told of training patients alone
    assert set(findings["code"]) == expected
    for column in ("severity", "advice"):
        known = {code: entry[column] for code, entry in codes.items()}
        assert (findings[column] == findings["code"].map(known)).all()
    assert findings["severity"].map({"error": 0, "warning": 1, "info": 2}).is_monotonic_increasing
    # what is told of labels is what the attrition table counts
    attrition = written.table("attrition.csv")
    told = findings[findings["code"] == "endpoint_not_evaluable"].set_index("cohort")["n"]
    lost = attrition[(attrition["step"] == "label_evaluable") & (attrition["reason"] != "")]
    assert told.to_dict() == lost.groupby("cohort")["n"].sum().to_dict()


def test_scores_hold_each_patient_once_with_an_interval_and_flags(trained):
    scores = trained.table("scores.csv")

    assert not scores.duplicated(KEYS).any()
    assert (scores["risk_low"] <= scores["risk"]).all()
    assert (scores["risk"] <= scores["risk_high"]).all()
    assert set(scores["evidence_class"]) == {"C1"}
    assert set(scores["model_version"]) == {trained.results.model.version}
    flags = scores["flags"].str.split(";")
    known = {
        *("research_use_only", "mixed_regimens", "not_monotherapy", "unseen_category"),
        *("outside_training_range", "no_panel_measured", "assay_differs", "trained_on"),
        *("far_from_training", "unseen_panel_pattern"),
    }
    assert {flag for row in flags for flag in row} <= known
    assert all(row[0] == "research_use_only" for row in flags)
    labels = trained.table("labels.csv")
    seen = (labels["split"] == "train") & labels["label"].notna()
    assert flags.map(lambda row: "trained_on" in row).tolist() == seen.tolist()


def test_risk_groups_follow_the_cuts_of_the_card(written, trained):
    low, high = json.loads((trained.bundle / "card.json").read_text("utf-8"))["risk_group_cuts"]
    scores = written.table("scores.csv")

    expected = np.select(
        [scores["risk"] < low, scores["risk"] < high], ["low", "intermediate"], "high"
    )
    assert (scores["risk_group"] == expected).all()


# ------------------------------------------------------------------ attributions


def test_contributions_and_base_value_lead_to_the_risk(written, trained):
    long, scores = written.table("attributions.parquet"), written.table("scores.csv")
    fitted = json.loads((trained.bundle / "classifier.json").read_text("utf-8"))
    slope, intercept = fitted["calibration"]

    assert (long["base_value"] == fitted["base_value"]).all()
    parts = long.groupby(KEYS, sort=False)["shap"].agg(["sum", "size"]).reset_index()
    margin = fitted["base_value"] + parts["sum"]
    risk = 1 / (1 + np.exp(-(slope * margin + intercept)))

    assert set(parts["size"]) == {len(fitted["features_"])}
    pd.testing.assert_frame_equal(parts[KEYS], scores[KEYS], check_dtype=False)
    np.testing.assert_allclose(risk, scores["risk"], atol=1e-9)


def test_attributions_hold_the_values_of_the_study(written):
    long = written.table("attributions.parquet")
    table = read_cohort(Study.load(written.study)).table.set_index(KEYS)
    wide = long.set_index([*KEYS, "feature"])

    for name in ("albumin", "msi_high", "pdl1_tps"):
        values = wide.xs(name, level="feature")["value"]
        np.testing.assert_array_equal(values, table[name].reindex(values.index))
    levels = wide.xs("cancer_type", level="feature")["level"]
    assert (levels == table["cancer_type"].reindex(levels.index)).all()
    units = long.drop_duplicates("feature").set_index("feature")["unit"]
    assert units[["albumin", "tmb", "ever_smoker"]].tolist() == ["g/dL", "mut/Mb", ""]


# ------------------------------------------------------------------ report and study


class Resources(HTMLParser):
    """Everything a browser would load by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "srcset", "data", "poster", "background", "xlink:href")
        self.loaded += [v or "" for k, v in attrs if k in names or (tag == "link" and k == "href")]


def test_the_report_loads_nothing_and_runs_nothing(written):
    text = (written.out / "report.html").read_text(encoding="utf-8")
    page = Resources()
    page.feed(text)

    assert page.loaded
    assert all(resource.startswith("data:image/png;base64,") for resource in page.loaded)
    assert re.findall(r"@import|url\(|<script|<iframe|<object|http-equiv=\"refresh", text) == []
    assert "esearch use only" in text
    assert written.results.model.version in text


def test_the_report_names_no_patient(trained):
    assert IDENTIFIER not in (trained.out / "report.html").read_text("utf-8")


def test_the_resolved_study_gives_the_same_cohort(trained, tmp_path, monkeypatch):
    copied = tmp_path / "elsewhere.yaml"
    copied.write_bytes((trained.out / "study.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    again = read_cohort(Study.load(copied))

    card = json.loads((trained.bundle / "card.json").read_text("utf-8"))
    assert data_sha256(again.table) == card["hashes"]["data"]
    again = again.labels.astype({"label": float}).reset_index(drop=True)
    pd.testing.assert_frame_equal(again, trained.table("labels.csv"), check_dtype=False)
    resolved = Study.load(copied)
    assert resolved.resolved() == Study.load(trained.study).resolved()


# ------------------------------------------------------------------ scores of other exports


def without_training_flag(scores: pd.DataFrame) -> pd.DataFrame:
    return scores.assign(flags=scores["flags"].str.removesuffix(";trained_on"))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_scoring_gives_the_scores_of_the_training(trained, tmp_path, ending):
    out = tmp_path / f"scores.{ending}"
    returned = score(trained.bundle, trained.study, out)
    written = Trained(trained.study, tmp_path, trained.results).table(out.name)

    expected = without_training_flag(trained.table("scores.csv"))
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=1e-14)
    pd.testing.assert_frame_equal(returned, expected, check_dtype=False, rtol=1e-14)


def shuffled(document, tables):
    for name, table in tables.items():
        rng = np.random.default_rng(11)
        table = table.iloc[rng.permutation(len(table)), rng.permutation(table.shape[1])]
        tables[name] = table.assign(Comment="x", Visit=np.arange(len(table)).astype(str))


def test_order_of_rows_and_columns_and_further_columns_are_irrelevant(trained, rewritten, tmp_path):
    scores = score(trained.bundle, rewritten(shuffled), tmp_path / "scores.csv")

    expected = without_training_flag(trained.table("scores.csv"))
    pd.testing.assert_frame_equal(scores, expected, check_dtype=False, rtol=1e-14)


def absent(panel):
    def change(document, tables):
        for cohort in document["cohorts"]:
            cohort["tables"] = [t for t in cohort["tables"] if panel not in t["panels"]]
        for name in [name for name in tables if name.endswith(f"/{panel}.csv")]:
            del tables[name]

    return change


@pytest.mark.parametrize("panel", ["pdl1", "tmb", "infiltration", "ctdna"])
def test_patients_without_a_panel_are_scored_the_same_when_the_study_has_none(
    trained, rewritten, tmp_path, panel
):
    scores = score(trained.bundle, rewritten(absent(panel)), tmp_path / "scores.csv")
    before = without_training_flag(trained.table("scores.csv"))
    lacked = before["panels_missing"].str.split(";").map(lambda panels: panel in panels)

    assert 20 <= lacked.sum() < len(before)
    pd.testing.assert_frame_equal(scores[lacked], before[lacked], check_dtype=False, rtol=1e-14)
    assert scores["panels_missing"].str.split(";").map(lambda panels: panel in panels).all()
    assert scores["risk"].between(0, 1).all()


def test_outcomes_are_not_needed_for_scoring(trained, rewritten, tmp_path):
    study = rewritten(absent("outcomes"))
    scores = score(trained.bundle, study, tmp_path / "scores.csv")

    expected = without_training_flag(trained.table("scores.csv"))
    pd.testing.assert_frame_equal(scores, expected, check_dtype=False, rtol=1e-14)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Strings of a CSV as numbers where all of a column are."""
    cells = {}
    for name, column in table.items():
        numbers = pd.to_numeric(column.where(column != ""), errors="coerce")
        whole = numbers.notna().sum() == (column != "").sum()
        cells[name] = numbers if whole and name != "patient_id" else column.where(column != "")
    return pd.DataFrame(cells)


def as_workbook(table: pd.DataFrame, path: Path) -> None:
    with pd.ExcelWriter(path.with_suffix(".xlsx")) as book:
        pd.DataFrame({"read me": ["exported for the registry"]}).to_excel(book, sheet_name="About")
        typed(table).to_excel(book, sheet_name="Data", index=False)


def as_semicolons(table: pd.DataFrame, path: Path) -> None:
    typed(table).to_csv(path, index=False, sep=";", decimal=",", encoding="cp1252")


def as_parquet(table: pd.DataFrame, path: Path) -> None:
    typed(table).to_parquet(path.with_suffix(".parquet"))


@pytest.mark.parametrize(
    ("save", "options"),
    [
        (as_workbook, {"ending": ".xlsx", "sheet": "Data"}),
        (as_semicolons, {"ending": ".csv", "decimal": ","}),
        (as_parquet, {"ending": ".parquet"}),
    ],
)
def test_other_exports_of_the_same_data_give_the_same_scores(
    trained, rewritten, tmp_path, save, options
):
    def state(document, tables):
        for cohort in document["cohorts"]:
            for table in cohort["tables"]:
                stated = dict(options)
                table["file"] = str(Path(table["file"]).with_suffix(stated.pop("ending")))
                table.update(stated)

    scores = score(trained.bundle, rewritten(state, save=save), tmp_path / "scores.csv")

    expected = without_training_flag(trained.table("scores.csv"))
    pd.testing.assert_frame_equal(scores, expected, check_dtype=False, rtol=1e-12)

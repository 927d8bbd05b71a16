"""A policy that states errors, from training to scoring: thresholds found, saved, and used."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from functional.conftest import Trained, quick_classifier
from stratify.cli import main
from stratify.experiment import training
from stratify.experiment.policy_choice import choose_policy
from stratify.experiment.registry import score_registry
from stratify.experiment.reporting import report_cohort
from stratify.experiment.scores import score
from stratify.experiment.training import evaluate
from stratify.scoring import load
from stratify.scoring.resistance_model import ResistanceModel
from stratify.study import Study
from stratify.study.borne_errors import BorneErrors
from stratify.treatment.guarantee import RiskCuts, both_thresholds

OWN = {
    "name": "second board",
    "version": "2",
    "source": "illustration only",
    "monotherapy_below": 0.5,
    "combination_from": 0.6,
}


def with_policy(trained: Trained, folder: Path, policy: object) -> Path:
    """The trained study with another policy, beside its own data."""
    document = yaml.safe_load(trained.study.read_text(encoding="utf-8"))
    document |= {"policy": policy, "data": str(trained.study.parent / document.get("data", "."))}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def expected(risk: pd.Series, low: float, high: float) -> list[str]:
    answers = np.select([risk < low, risk >= high], ["monotherapy", "combination"], "refer")
    return answers.tolist()


def test_training_finds_the_thresholds_and_keeps_them_in_the_bundle(trained):
    model = load(trained.bundle)
    policy = model.policy
    low, high = both_thresholds(model.risk_cuts, policy.errors)
    assert policy.found.monotherapy_below == low.threshold
    assert policy.found.combination_from == high.threshold
    assert (policy.found.monotherapy, policy.found.combination) == (low.statement, high.statement)
    assert policy.found.n == model.risk_cuts.n == model.card["n"]
    scores = trained.results.scores
    unflagged = ~scores["flags"].str.contains("far_from|unseen|no_panel")
    assert scores.loc[unflagged, "recommendation"].tolist() == expected(
        scores.loc[unflagged, "risk"], *policy.thresholds
    )


def test_performance_counts_what_was_decided(trained):
    rows = trained.results.performance
    rows = rows[(rows["subgroup"] == "all") & (rows["split"] == "external")]
    found = rows[rows["reference"] == ""].set_index("metric")
    labels = trained.results.labels.set_index(["cohort", "patient_id"])["label"]
    scores = trained.results.scores.set_index(["cohort", "patient_id"])
    judged = scores.loc["simulated_external"].assign(label=labels.loc["simulated_external"])
    judged = judged.dropna(subset=["label"])
    given = judged["recommendation"]
    assert found.loc["share_decided", "value"] == pytest.approx((given != "refer").mean())
    assert found.loc["share_refer", "value"] == pytest.approx((given == "refer").mean())
    for arm, wrong in (("monotherapy", 1), ("combination", 0)):
        own = judged.loc[given == arm, "label"]
        assert found.loc[f"error_{arm}", "n"] == len(own)
        assert found.loc[f"error_{arm}", "value"] == pytest.approx(
            (own == wrong).mean(), nan_ok=True
        )
    gains = rows[rows["metric"] == "net_benefit_gain"].set_index("reference")
    rate = gains.loc["monotherapy for all", "threshold"]
    worth = np.where(judged["label"] == 1, 1, -rate / (1 - rate)) * (given == "combination")
    assert gains.loc["monotherapy for all", "value"] == pytest.approx(worth.mean())
    assert {
        "combination for all",
        "PD-L1 below 50 %",
        "TMB below 10",
        "LORIS at the same share",
    } <= set(gains.index)


def test_the_policy_of_a_study_counts_in_every_way_of_scoring(trained, tmp_path):
    study = with_policy(trained, tmp_path, OWN)
    scores = score(trained.bundle, study, tmp_path / "scores.csv")
    applicable = ~scores["flags"].str.contains("far_from|unseen|no_panel")
    assert scores.loc[applicable, "recommendation"].tolist() == expected(
        scores.loc[applicable, "risk"], 0.5, 0.6
    )
    assert set(scores["decision_rule"]) == {"second board 2: thresholds"}
    score_registry(trained.bundle, study, tmp_path / "parts")
    parts = pd.read_parquet(tmp_path / "parts" / "scores")
    keys = ["cohort", "patient_id"]
    both = scores.merge(parts, on=keys, suffixes=("", "_part"))
    assert len(both) == len(scores) == len(parts)
    assert (both["recommendation"] == both["recommendation_part"]).all()
    judged = evaluate(trained.bundle, study, tmp_path / "judged")
    assert set(judged.scores["decision_rule"]) == {"second board 2: thresholds"}
    report_cohort(trained.bundle, study, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Policy second board 2: monotherapy below 0.5, combination from 0.6" in page


def test_a_policy_file_stands_before_the_study_s(trained, tmp_path):
    study = with_policy(trained, tmp_path, OWN)
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump(OWN | {"name": "third board"}), encoding="utf-8")
    for found in (
        score(trained.bundle, study, tmp_path / "scores.csv", policy=file),
        evaluate(trained.bundle, study, tmp_path / "judged", policy=file).scores,
    ):
        assert set(found["decision_rule"]) == {"third board 2: thresholds"}


@pytest.mark.parametrize("command", ["score", "evaluate", "report"])
def test_errors_need_out_of_fold_risks(trained, tmp_path, capsys, command):
    model = load(trained.bundle)
    card = {name: value for name, value in model.card.items() if name != "risk_cuts"}
    replace(model, card=card, policy=None, version="").save(tmp_path / "bundle")
    policy = tmp_path / "policy.yaml"
    errors = {"monotherapy": 0.4, "combination": 0.3}
    stated = {name: OWN[name] for name in ("name", "version", "source")}
    policy.write_text(yaml.safe_dump(stated | {"errors": errors}), encoding="utf-8")
    out = tmp_path / {"score": "out.csv", "evaluate": "out", "report": "out.html"}[command]
    with pytest.raises(SystemExit) as exit_:
        main([command, str(tmp_path / "bundle"), str(trained.study), "--out", str(out),
              "--policy", str(policy)])  # fmt: skip
    assert exit_.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Error: policy second board 2 states errors, and the bundle has no out-of-fold risks by "
        "which to find thresholds: it is of an earlier version. Train again, or state "
        "monotherapy_below and combination_from in place of errors."
    )
    assert not out.exists() or not any(out.iterdir())


@pytest.mark.parametrize("command", ["validate", "score"])
def test_a_policy_file_that_does_not_exist_is_a_fault_of_the_study(
    trained, tmp_path, capsys, command
):
    study = with_policy(trained, tmp_path, "nowhere.yaml")
    asked = [str(study)]
    if command == "score":
        asked = [str(trained.bundle), str(study), "--out", str(tmp_path / "scores.csv")]
    with pytest.raises(SystemExit) as exit_:
        main([command, *asked])
    assert exit_.value.code == 10
    printed = capsys.readouterr()
    assert "nowhere.yaml" in printed.out + printed.err
    assert not (tmp_path / "scores.csv").exists()


def policy(capsys, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["policy", *(str(each) for each in arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_a_board_sees_what_errors_would_decide_and_saves_them(trained, tmp_path, capsys):
    page, saved = tmp_path / "new" / "policy.html", tmp_path / "board.yaml"
    code, out, _ = policy(
        capsys, trained.bundle, trained.study, "--out", page, "--monotherapy", 0.5,
        "--combination", 0.3, "--save", saved, "--source", "board of 3 March",
    )  # fmt: skip
    assert code == 0
    assert out.startswith("Policy chosen 1: ")
    assert f"Policy report in {page}, research use only.\nPolicy in {saved}.\nMLflow run " in out
    text = page.read_text(encoding="utf-8")
    for words in (
        *("Policy report", "Research use only", "Is it worth it?", "combination for all"),
        *("What the policy decided in subgroups", "Other errors that could be borne"),
    ):
        assert words in text
    assert not any(each in text for each in trained.results.scores["patient_id"])
    stated = yaml.safe_load(saved.read_text(encoding="utf-8"))
    assert stated["errors"] == {"monotherapy": 0.5, "combination": 0.3}
    looked = (
        r"board of 3 March; looked at on \d{4}-\d\d-\d\d in .+ \(n = \d+\) with model demo-\w{8}"
    )
    assert re.fullmatch(looked, stated["source"])
    scores = score(trained.bundle, trained.study, tmp_path / "scores.csv", policy=saved)
    again = trained.results.scores[["cohort", "patient_id", "recommendation"]]
    both = scores.merge(again, on=["cohort", "patient_id"], suffixes=("", "_before"))
    assert (both["recommendation"] == both["recommendation_before"]).all()


def test_the_pairs_of_errors_are_judged_with_thresholds_from_training(trained, tmp_path):
    found = choose_policy(trained.bundle, trained.study, tmp_path / "out")
    model = load(trained.bundle)
    pairs = pd.read_csv(tmp_path / "out" / "pairs.csv")
    shares = pairs[pairs["metric"] == "share_decided"]
    assert len(shares) == 20
    for row in shares.to_dict("records"):
        errors = BorneErrors(monotherapy=row["monotherapy"], combination=row["combination"])
        low, high = both_thresholds(model.risk_cuts, errors)
        assert (row["monotherapy_below"], row["combination_from"]) == pytest.approx(
            tuple(np.nan if each.threshold is None else each.threshold for each in (low, high)),
            nan_ok=True,
        )
    by_combination = shares.pivot_table("value", "monotherapy", "combination")
    assert (by_combination.diff().dropna() >= 0).all(axis=None)
    assert (by_combination.diff(axis=1).dropna(axis=1) >= 0).all(axis=None)
    decided = found.tables["decisions"]
    external = trained.results.performance
    external = external[external["split"] == "external"]
    external = external[external["metric"].isin(decided["metric"])]
    pd.testing.assert_frame_equal(
        decided.reset_index(drop=True), external.reset_index(drop=True), check_dtype=False
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--monotherapy", 0.4], "--monotherapy and --combination go together."),
        (["--monotherapy", 0.4, "--combination", 0.2, "--policy", "x.yaml"],
         "Errors and --policy are two policies; give one."),
        (["--save", "x.yaml"], "--save goes with --monotherapy and --combination."),
        (["--monotherapy", 0.4, "--combination", 0.2, "--save", "x.yaml"],
         "--save needs --source: who chose these errors, and where."),
    ],
)  # fmt: skip
def test_errors_of_a_command_are_whole_or_refused(trained, capsys, options, message):
    code, _, err = policy(capsys, trained.bundle, trained.study, *options)
    assert (code, err.splitlines()[-1]) == (2, f"Error: {message}")


def test_thresholds_come_from_cohorts_left_out_where_a_study_trains_on_several(
    trained, tmp_path, monkeypatch
):
    document = yaml.safe_load(trained.study.read_text(encoding="utf-8"))
    for cohort in document["cohorts"]:
        cohort["role"] = "train"
    document |= {"data": str(trained.study.parent / document.get("data", "."))}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    asked: list[int | None] = []
    judged: list[tuple[np.ndarray, np.ndarray]] = []
    kept: list[RiskCuts] = []
    whole = training.cross_validate

    def counted(*arguments, folds, **more):
        asked.append(folds)
        found = whole(*arguments, folds=folds, **more)
        if folds is None:
            table = arguments[1]
            by_cohort = pd.crosstab(found.fold, table["cohort"].to_numpy())
            assert (by_cohort.gt(0).sum(axis=1) == 1).all()
            judged.append((table["label"].to_numpy(dtype=float), found.by_model["stratify"]))
        return found

    def enough(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(training, "cross_validate", counted)
    monkeypatch.setattr(
        ResistanceModel, "judged_by", lambda model, cuts: kept.append(cuts) or model
    )
    monkeypatch.setattr(training, "_assess_training", enough)  # what follows is as ever
    with pytest.raises(InterruptedError):
        training.train(Study.load(path), tmp_path / "out", classifier=quick_classifier(), folds=2)
    assert asked == [2, None]
    assert kept[0].to_json() == RiskCuts.of(*judged[0]).to_json()

"""`stratify report`: one patient, a cohort with outcomes, a cohort without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stratify.cli import main
from stratify.cohort.reading import read_cohort
from stratify.interpretation.patient import patient_findings, the_patient
from stratify.report.patient_report import write_patient_report
from stratify.scoring import load
from stratify.study import Study
from stratify.study.policy import Policy
from stratify.tracking.runs import run_record


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def patient(trained) -> str:
    scores = trained.results.scores
    return str(scores.loc[scores["cohort"] == "simulated_external", "patient_id"].iloc[0])


def test_one_patient_is_reported_in_a_file_that_names_them(trained, patient, tmp_path, capsys):
    out = tmp_path / "new folder" / "patient.html"
    code, told, err = run(
        capsys, "report", trained.bundle, trained.study, "--patient", patient, "--cohort",
        "simulated_external", "--out", out,
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert told == f"Patient report in {out}, research use only. It names the patient.\n"
    assert patient in out.read_text(encoding="utf-8")

    board = tmp_path / "board.yaml"
    board.write_text(
        "{name: board, version: '7', source: minutes, monotherapy_below: 0.4, "
        "combination_from: 0.7, required_markers: [pdl1_ic]}"
    )
    code, _, err = run(
        capsys, "report", trained.bundle, trained.study, "--patient", patient, "--cohort",
        "simulated_external", "--out", out, "--policy", board,
    )  # fmt: skip
    assert (code, err) == (
        10,
        "Error: policy board 7 names pdl1_ic, which the study demo does not have: every patient "
        "would be referred. Map it in the study file or remove it from the policy.\n",
    )
    board.write_text(board.read_text().replace("pdl1_ic", "pdl1_tps"))
    code, _, err = run(
        capsys, "report", trained.bundle, trained.study, "--patient", patient, "--cohort",
        "simulated_external", "--out", out, "--policy", board,
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "policy board 7" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--patient", "nobody-7"],
         "Error: No patient of simulated_external, simulated_train has the identifier given "
         "(--patient); 300 patients were read. Give it as it stands in the study's files.\n"),
        (["--cohort", "simulated_external"], "Error: --cohort goes with --patient.\n"),
        (["--patient", "nobody-7", "--cohort", "elsewhere"],
         "Error: There is no cohort 'elsewhere'; there are simulated_external, "
         "simulated_train.\n"),
    ],
)  # fmt: skip
def test_a_patient_that_cannot_be_found_ends_in_wrong_usage_and_writes_nothing(
    trained, arguments, error, tmp_path, capsys
):
    out = tmp_path / "patient.html"
    code, told, err = run(capsys, "report", trained.bundle, trained.study, *arguments, "--out", out)
    assert (code, told, err) == (2, "", error)
    assert not out.exists()


def test_a_cohort_without_outcomes_is_reported_without_performance(
    trained, rewritten, tmp_path, capsys
):
    def without_outcomes(document: dict, tables: dict) -> None:
        for cohort in document["cohorts"]:
            cohort["tables"] = [t for t in cohort["tables"] if "outcomes" not in t["panels"]]

    out = tmp_path / "cohort.html"
    code, told, _ = run(capsys, "report", trained.bundle, rewritten(without_outcomes), "--out", out)
    assert code == 0
    assert told == f"Report in {out}.\n"
    page = out.read_text(encoding="utf-8")
    for words in ("Characteristics by group of predicted risk", "Patients by recommendation",
                  "Mean profile of each cluster", "Step that raises the risk most"):  # fmt: skip
        assert words in page
    assert "AUROC" not in page
    assert {path.name for path in tmp_path.iterdir()} >= {"cohort.html"}
    assert not list(Path(tmp_path).glob("*.csv"))


def test_figures_and_tables_of_a_cohort_are_logged_and_no_patient_s_profile(trained):
    record = run_record(trained.results, trained.out)
    assert {"figures/profiles.png", "figures/subgroup_profiles.png", "figures/beeswarm.png"} <= set(
        record.files
    )
    assert sum(name.startswith("figures/dependence_") for name in record.files) == 3
    assert {"leading", "clusters", "interactions", "dependence"} <= set(record.tables)
    assert not any("profiles.parquet" in name for name in record.files)
    assert all("patient_id" not in table for table in record.tables.values())


@pytest.mark.parametrize("decided", ["monotherapy", "combination", "measure"])
def test_the_page_of_a_patient_says_how_often_such_a_decision_is_wrong(trained, tmp_path, decided):
    model = load(trained.bundle)
    policy = model.policy
    asked = {"probability": 0.05, "markers": ["tmb", "pdl1_tps", "cd8_density"]}
    if decided == "measure":
        between = {"name": "board", "version": "1", "source": "minutes", "refer_flags": []}
        limits = {"monotherapy_below": 0.5, "combination_from": 0.65}
        policy = Policy.load(between | limits | {"measure": asked})
    cohort = read_cohort(Study.load(trained.study))
    model = model.with_policy(policy, cohort.table.columns, "the study")
    scores = model.score_table(cohort)
    row = scores[scores["recommendation"] == decided].iloc[0]
    found = patient_findings(model, the_patient(cohort, row["patient_id"], row["cohort"]))
    write_patient_report(tmp_path / "page.html", model, found)
    page = re.sub(r"(?s)<[^>]+>", " ", (tmp_path / "page.html").read_text(encoding="utf-8"))
    page = " ".join(page.split())
    wrong = {
        "monotherapy": "at most 50 are resistant",
        "combination": "at most 30 are not resistant",
    }
    if decided == "measure":
        assert f"Measure first {row['reason']} What each result would lead to: " in page
        assert "Of 100 patients decided like this" not in page
    else:
        assert f"Of 100 patients decided like this, {wrong[decided]}: the error that the" in page
        assert "with a confidence of 90 %" in page

"""The command line: help with examples, exit codes with whole messages, nothing half written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from functional.conftest import Trained
from stratify import ResistanceClassifier, Study, read_cohort
from stratify.cli import app, main
from stratify.endpoint import endpoint_rules
from stratify.errors import FileError
from stratify.tables.schema import load_schema

PROMISED = {"demo", "validate", "train", "evaluate", "score", "report", "ui"}
COMMANDS = [
    command.name or command.callback.__name__
    for command in app.registered_commands
    if command.callback
]
COMMANDS += [str(group.name) for group in app.registered_groups]


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """What stands on stderr but for the progress."""
        return re.sub(r"^ +\d+\.\d s  .*\n", "", self.err, flags=re.MULTILINE)


Stratify = Callable[..., Ended]


@pytest.fixture
def stratify(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stratify:
    """Run a command in this process, on a terminal of 100 columns and without a tracking store."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        code = ended.value.code
        return Ended(0 if code is None else int(code), *capsys.readouterr())

    return run


def contents(folder: Path) -> dict[str, int]:
    """Files below a folder with the time of their last change; none where there is no folder."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


# ------------------------------------------------------------------ the main job, as installed


def installed(*arguments: object, cwd: Path) -> Ended:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "stratify.cli", *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    done = subprocess.run(
        command, cwd=cwd, env=environment | {"COLUMNS": "100"}, capture_output=True, text=True
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def two_features_a_panel(document: Any, tables: Any) -> None:
    """As a hospital might choose; half the time of training on all that there is."""
    document["features"] = ["age", "albumin", "nlr", "cancer_type", "pdl1_tps", "pdl1_cps", "tmb"]
    document["features"] += ["msi_high", "cd8_density", "gep", "ctdna_max_vaf", "ctdna_detected"]


def test_a_study_is_trained_on_and_others_are_scored_and_judged(
    stratify, rewritten, tmp_path, monkeypatch
):
    """Train in a process of its own as a user does, then score and evaluate."""
    monkeypatch.chdir(tmp_path)
    study_file = rewritten(two_features_a_panel)
    trained = installed("train", study_file, "--out", "results/demo", cwd=tmp_path)

    assert (trained.code, trained.error) == (
        0,
        "Findings: too_few_events (1), sample_size_small (1). See findings.csv.\n",
    )
    bundle = tmp_path / "results" / "demo" / "bundle"
    assert {p.name for p in bundle.parent.iterdir()} == {
        *("bundle", "findings.csv", "attrition.csv", "performance.csv", "scores.csv"),
        *("labels.csv", "attributions.parquet", "profiles.parquet", "report.html", "study.yaml"),
    }
    assert len(list(bundle.glob("members/*.txt"))) == 3  # as the study file says
    steps = re.findall(r"^ +\d+\.\d s  (.*?)(?:, about .* left)?$", trained.err, flags=re.MULTILINE)
    assert [step for step in steps if not step.startswith("compiling")] == [
        "reading the cohorts",
        "fitting the model",
        *(f"cross-validation, fold {k} of 5" for k in (1, 2, 3, 4, 5)),
        "judging on patients the model never saw",
        "scoring and explaining",
        "writing the results",
    ]
    performance = pd.read_csv(bundle.parent / "performance.csv", keep_default_na=False)
    row = performance[
        (performance["split"] == "external") & (performance["model"] == "stratify")
    ].iloc[0]
    estimate, low, high = (f"{float(row[name]):.3f}" for name in ("value", "low", "high"))
    assert f"{estimate} ({low}–{high})" in trained.out
    report = "results/demo/report.html"
    where, run = trained.out.splitlines()[-2:]
    assert where == f"Results in results/demo, model in results/demo/bundle, report in {report}."
    assert re.fullmatch(r"MLflow run \w{32}\. Open it with: stratify ui --store results", run)
    assert {p.name for p in (tmp_path / "results").iterdir()} == {
        "demo",
        "mlflow.db",
        "mlartifacts",
    }

    scored = stratify("score", bundle, study_file, "--out", "new/scores.csv")

    assert (scored.code, scored.error) == (0, "")
    scores = pd.read_csv(tmp_path / "new" / "scores.csv")
    expected = pd.read_csv(bundle.parent / "scores.csv")
    assert (scores["risk"] - expected["risk"]).abs().max() < 1e-12
    counts = scores["recommendation"].value_counts()
    shares = ", ".join(f"{name} {n}" for name, n in counts.items())
    assert scored.out == f"300 patients scored ({shares}), research use only: new/scores.csv.\n"

    judged = stratify("evaluate", bundle, study_file, "--out", "away", "--no-track")

    assert (judged.code, judged.error) == (0, "Findings: too_few_events (1). See findings.csv.\n")
    assert judged.out.splitlines()[-1] == "Results in away, report in away/report.html."
    external = performance[performance["split"] == "external"].reset_index(drop=True)
    again = pd.read_csv(tmp_path / "away" / "performance.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(again, external)


# ------------------------------------------------------------------ help and start-up


def plain(text: str) -> str:
    """Text without the line breaks of a terminal."""
    return " ".join(text.split())


def test_help_lists_every_command(stratify):
    ended = stratify("--help")

    assert (ended.code, ended.err) == (0, "")
    listed = ended.out.partition("Commands:\n")[2]
    commands = re.findall(r"^  ([a-z]+)  ", listed, flags=re.MULTILINE)
    assert commands == COMMANDS
    assert set(COMMANDS) >= PROMISED
    assert "Research use only." in plain(ended.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_shows_an_example_of_its_options(stratify, command):
    ended = stratify(command, "--help")

    assert (ended.code, ended.err) == (0, "")
    assert f"Usage: stratify {command} " in ended.out
    text = plain(ended.out)
    (example,) = re.findall(r"Example: `(stratify .*?)`(?= Arguments:| Options:)", text)
    assert example.split()[1] == command
    options = text.partition(" Options: ")[2]
    assert all(option in options for option in re.findall(r"--[a-z]+", example))


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]])
def test_help_loads_none_of_the_heavy_packages(arguments, tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "stratify.cli", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    packages = {name.partition(".")[0] for name in loaded}
    assert {"stratify", "typer"} <= packages
    heavy = {"pandas", "numpy", "mlflow", "lightgbm", "shap", "sklearn", "scipy", "matplotlib"}
    assert packages & heavy == set()


# ------------------------------------------------------------------ exit 0


def test_a_study_with_warnings_alone_is_valid(stratify, study_file):
    ended = stratify("validate", study_file)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("warning  too_few_events  simulated_external/outcomes\n")
    assert ended.out.endswith(
        "\ndemo: 0 errors, 1 warning.\n"
        "Not checked: whether the patients suffice to train a model (`stratify train`); whether "
        "the policy fits the risks of a model (`stratify policy`).\n"
    )


def test_the_demo_trains_on_a_simulated_study(stratify, tmp_path, monkeypatch):
    quick = partial(ResistanceClassifier, n_members=2, n_estimators=5, calibration_folds=2)
    monkeypatch.setattr("stratify.experiment.training.ResistanceClassifier", quick)

    ended = stratify("demo", "--out", tmp_path / "demo", "--n", 100, "--no-track")

    assert ended.code == 0, ended.err
    study = tmp_path / "demo" / "study" / "study.yaml"
    assert ended.out.startswith(f"Simulated study written to {study}.\n")
    assert (tmp_path / "demo" / "results" / "report.html").is_file()
    assert {p.name for p in (tmp_path / "demo").iterdir()} == {"study", "results"}


def test_the_report_alone_is_written(stratify, trained, tmp_path):
    ended = stratify("report", trained.bundle, trained.study, "--out", tmp_path / "new" / "a.html")

    assert (ended.code, ended.error) == (0, "")
    assert ended.out == f"Report in {tmp_path / 'new' / 'a.html'}.\n"
    assert list(contents(tmp_path)) == ["new/a.html"]


# ------------------------------------------------------------------ every finding at once


def without_unit(document: Any, tables: Any) -> None:
    for cohort in document["cohorts"]:
        del cohort["tables"][0]["panels"]["clinical"]["albumin"]["unit"]


def several_defects(document: Any, tables: Any) -> None:
    without_unit(document, tables)
    clinical = tables["train/clinical.csv"]
    clinical.loc[3, "age"] = "sixty"
    clinical.loc[[5, 6], "ecog"] = "9"
    tables["external/pdl1.csv"].loc[[0, 1, 2], "pdl1_tps"] = "250"


def test_validate_prints_every_finding_and_writes_them(stratify, rewritten, tmp_path):
    study = rewritten(several_defects)
    ended = stratify("validate", study, "--out", tmp_path / "findings.csv")

    table = pd.read_csv(tmp_path / "findings.csv", keep_default_na=False)
    returned = read_cohort(Study.load(study)).findings.table()
    assert ended.code == 10
    assert ended.err == ""
    assert list(table) == list(load_schema("findings").fields)
    assert table["message"].tolist() == returned["message"].tolist()
    errors = table[table["severity"] == "error"]
    assert [(row.code, row.cohort, row.column) for row in errors.itertuples()] == [
        ("not_numeric", "simulated_train", "age"),
        ("unit_absent", "simulated_train", "albumin"),
        ("outside_limits", "simulated_train", "ecog"),
        ("unit_absent", "simulated_external", "albumin"),
        ("outside_limits", "simulated_external", "pdl1_tps"),
        ("cps_below_tps", "simulated_external", "pdl1_cps"),
    ]
    printed = plain(ended.out)
    for row in table.itertuples():
        place = "/".join(part for part in (row.cohort, row.panel, row.column) if part)
        assert f"{row.severity} {row.code} {place} {row.message} Advice: {row.advice}" in printed
    assert f"demo: {len(errors)} errors" in printed


# ------------------------------------------------------------------ every exit code, by its cause


@dataclass(frozen=True)
class Place:
    """What a planted cause may use; results go to ``out``."""

    folder: Path
    trained: Trained
    rewritten: Callable[..., Path]

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def text(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def bundle(self, change: Callable[[Path], Any]) -> Path:
        """Copy of the trained bundle, changed."""
        copied = self.folder / "bundle"
        shutil.copytree(self.trained.bundle, copied)
        change(copied)
        return copied


@pytest.fixture
def place(trained: Trained, rewritten: Callable[..., Path], tmp_path: Path) -> Place:
    return Place(tmp_path, trained, rewritten)


@dataclass(frozen=True)
class Case:
    """A cause, the code it ends with, and the whole of stderr but for the progress."""

    name: str
    code: int
    plant: Callable[[Place], list[object]]
    error: str


def train(place: Place, study: object, *options: object) -> list[object]:
    return ["train", study, "--out", place.out, "--no-track", *options]


def a_missing_study(place: Place) -> list[object]:
    return train(place, place.folder / "study.yaml")


def bad_yaml(place: Place) -> list[object]:
    return train(place, place.text("study.yaml", "stratify: 1\ncohorts: [a, b\n"))


def two_faults(place: Place) -> list[object]:
    def change(document: Any, tables: Any) -> None:
        document["cohort"] = document.pop("cohorts")

    return train(place, place.rewritten(change))


def a_unit_missing(place: Place) -> list[object]:
    return train(place, place.rewritten(without_unit))


def a_unit_missing_in_scoring(place: Place) -> list[object]:
    study = place.rewritten(without_unit)
    return ["score", place.trained.bundle, study, "--out", place.out / "scores.csv"]


def the_training_data_as_external(place: Place) -> list[object]:
    def change(document: Any, tables: Any) -> None:
        document["cohorts"] = document["cohorts"][:1]
        document["cohorts"][0]["role"] = "external"

    study = place.rewritten(change)
    for path in place.trained.study.parent.glob("train/*.csv"):
        shutil.copy(path, study.parent / "train")
    return ["evaluate", place.trained.bundle, study, "--out", place.out]


def one_class(document: Any, tables: Any) -> None:
    for name in ("train/outcomes.csv", "external/outcomes.csv"):
        kept = tables[name].astype({"PFS_days": float})["PFS_days"] > 183
        tables[name] = tables[name][kept]


def a_single_class(place: Place) -> list[object]:
    return train(place, place.rewritten(one_class))


def a_single_class_in_an_evaluation(place: Place) -> list[object]:
    study = place.rewritten(one_class)
    return ["evaluate", place.trained.bundle, study, "--out", place.out]


def no_eligible_patient(place: Place) -> list[object]:
    def change(document: Any, tables: Any) -> None:
        document["eligible_regimens"] = ["ici_chemotherapy"]
        document["cohorts"] = document["cohorts"][:1]

    return train(place, place.rewritten(change))


def no_training_cohort(place: Place) -> list[object]:
    def change(document: Any, tables: Any) -> None:
        document["cohorts"] = document["cohorts"][1:]

    return train(place, place.rewritten(change))


def an_altered_bundle(place: Place) -> list[object]:
    def change(bundle: Path) -> None:
        card = bundle / "card.json"
        card.write_text(card.read_text("utf-8").replace('"n": ', '"n": 1'), encoding="utf-8")
        (bundle / "members" / "001.txt").unlink()
        (bundle / "run.py").write_text("print('run')")

    study = place.trained.study
    return ["score", place.bundle(change), study, "--out", place.out / "scores.csv"]


def a_folder_without_a_manifest(place: Place) -> list[object]:
    (place.folder / "results").mkdir()
    return ["evaluate", place.folder / "results", place.trained.study, "--out", place.out]


def a_bundle_of_another_format(place: Place) -> list[object]:
    def change(bundle: Path) -> None:
        manifest = bundle / "manifest.json"
        text = manifest.read_text("utf-8").replace('"1.1"', '"2.0"')
        manifest.write_text(text, encoding="utf-8")

    study = place.trained.study
    return ["evaluate", place.bundle(change), study, "--out", place.out]


def no_bundle(place: Place) -> list[object]:
    bundle = place.folder / "bundle"
    return ["report", bundle, place.trained.study, "--out", place.out / "report.html"]


def an_output_folder_that_is_a_file(place: Place) -> list[object]:
    place.text("out", "a file where a folder is expected")
    return train(place, place.trained.study)


def an_output_folder_below_a_file(place: Place) -> list[object]:
    place.text("out", "a file where a folder is expected")
    out = place.out / "new" / "scores.csv"
    return ["score", place.trained.bundle, place.trained.study, "--out", out]


def data_files_missing(place: Place) -> list[object]:
    def change(document: Any, tables: Any) -> None:
        del tables["train/tmb.csv"], tables["external/tmb.csv"]

    return train(place, place.rewritten(change))


def an_empty_data_file(place: Place) -> list[object]:
    study = place.rewritten()
    (study.parent / "train" / "pdl1.csv").write_text("")
    return ["validate", study, "--out", place.out / "findings.csv"]


def no_store_for_the_ui(place: Place) -> list[object]:
    return ["ui", "--store", place.folder]


UNIT_ABSENT = """\
error    unit_absent  simulated_train/clinical/albumin
         train/clinical.csv: the unit of albumin is not stated; g/dL or g/L is expected.
         Advice: State `unit` for the column in the study file.
error    unit_absent  simulated_external/clinical/albumin
         external/clinical.csv: the unit of albumin is not stated; g/dL or g/L is expected.
         Advice: State `unit` for the column in the study file.
Error: The study demo has 2 errors (unit_absent). `stratify validate` lists every finding with \
advice.
"""
CHECK_CODING = "Check the coding of response and events; a model needs both."
CASES = [
    Case(
        "a report that is no HTML file",
        2,
        lambda p: ["report", p.trained.bundle, p.trained.study, "--out", p.out / "report.pdf"],
        "Error: --out is report.pdf; a file ending in .html is expected.\n",
    ),
    Case(
        "scores in an unknown format",
        2,
        lambda p: ["score", p.trained.bundle, p.trained.study, "--out", p.out / "scores.xlsx"],
        "Error: out is scores.xlsx; a file ending in .csv or .parquet is expected.\n",
    ),
    Case(
        "an endpoint rule that does not exist",
        2,
        lambda p: train(p, p.trained.study, "--endpoint", "sitc"),
        f"Error: endpoint 'sitc' is not known; there are {', '.join(endpoint_rules())}.\n",
    ),
    Case("missing study", 13, a_missing_study, "Error: There is no study file {0}/study.yaml.\n"),
    Case(
        "bad YAML",
        10,
        bad_yaml,
        "Error: {0}/study.yaml, line 3: not valid YAML (did not find expected ',' or ']').\n",
    ),
    Case(
        "faults in the study file",
        10,
        two_faults,
        "Error: {0}/changed/study.yaml: 2 faults in the study file:\n"
        "  line 1, cohorts: required, but not stated\n"
        "  line 18, cohort: unknown key; near keys are cohorts\n",
    ),
    Case(
        "unit missing",
        10,
        a_unit_missing,
        UNIT_ABSENT,
    ),
    Case(
        "unit missing in scoring",
        10,
        a_unit_missing_in_scoring,
        UNIT_ABSENT,
    ),
    Case(
        "training data given as external",
        10,
        the_training_data_as_external,
        "error    patients_shared\n"
        "         the model was trained on train/clinical.csv, train/ctdna.csv, "
        "train/infiltration.csv,\n"
        "         train/outcomes.csv, train/pdl1.csv, train/tmb.csv: the same file, byte by byte.\n"
        "         Advice: Remove them from one side, or train without that cohort.\n"
        "Error: The study demo has 1 error (patients_shared). `stratify validate` lists every "
        "finding with advice.\n",
    ),
    Case(
        "single class",
        11,
        a_single_class,
        "Error: The study demo cannot be used. training data: all 76 evaluable patients have the "
        f"label 0. {CHECK_CODING}\n",
    ),
    Case(
        "single class in an evaluation",
        11,
        a_single_class_in_an_evaluation,
        "Error: The study demo cannot be used. simulated_external: all 44 evaluable patients have "
        f"the label 0. {CHECK_CODING}\n",
    ),
    Case(
        "no eligible patient",
        11,
        no_eligible_patient,
        "Error: The study demo cannot be used. simulated_train: none of 200 patients has an "
        "eligible regimen (ici_chemotherapy). See the attrition table; check the regimen coding, "
        "`eligible_regimens` and the outcomes.\n",
    ),
    Case(
        "no training cohort",
        11,
        no_training_cohort,
        "Error: The study demo has no training patients; give a cohort `role: train`.\n",
    ),
    Case(
        "altered bundle",
        12,
        an_altered_bundle,
        "Error: {0}/bundle is not as it was written (altered: card.json; missing: "
        "members/001.txt; foreign: run.py). Restore the bundle from its source, or train again.\n",
    ),
    Case(
        "folder without a manifest",
        12,
        a_folder_without_a_manifest,
        "Error: {0}/results is no stratify bundle: it has no manifest.json.\n",
    ),
    Case(
        "bundle of another format",
        12,
        a_bundle_of_another_format,
        "Error: {0}/bundle has bundle format 2.0; this version of stratify reads 1.1. Train again "
        "or use the matching version.\n",
    ),
    Case("no bundle", 13, no_bundle, "Error: There is no bundle folder {0}/bundle.\n"),
    Case(
        "output folder is a file",
        13,
        an_output_folder_that_is_a_file,
        "Error: The folder {0}/out cannot be made: File exists.\n",
    ),
    Case(
        "output folder below a file",
        13,
        an_output_folder_below_a_file,
        "Error: The folder {0}/out/new cannot be made: Not a directory.\n",
    ),
    Case(
        "data files missing",
        13,
        data_files_missing,
        "Error: There is no file {0}/changed/train/tmb.csv; its folder holds clinical.csv, "
        "ctdna.csv, infiltration.csv, outcomes.csv, pdl1.csv. Correct `file` or `data` in the "
        "study file (or set STRATIFY_DATA).\n"
        "There is no file {0}/changed/external/tmb.csv; its folder holds clinical.csv, ctdna.csv, "
        "infiltration.csv, outcomes.csv, pdl1.csv. Correct `file` or `data` in the study file (or "
        "set STRATIFY_DATA).\n",
    ),
    Case(
        "data file empty",
        13,
        an_empty_data_file,
        "Error: {0}/changed/train/pdl1.csv is empty. Export the table again.\n",
    ),
    Case(
        "no store",
        13,
        no_store_for_the_ui,
        "Error: There is no MLflow store {0}/mlflow.db; train first, or name one with --store.\n",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_cause_ends_with_its_code_and_message_and_leaves_nothing_behind(stratify, place, case):
    arguments = case.plant(place)
    before = contents(place.folder)

    ended = stratify(*arguments)

    assert (ended.code, ended.error) == (case.code, case.error.format(place.folder))
    assert contents(place.folder) == before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["train"], "Missing argument 'study'."),
        (["learn"], "No such command 'learn'."),
        (["train", "study.yaml", "--fast"], "No such option: --fast"),
        (["demo", "--n", "10"], "Invalid value for '--n'"),
    ],
)
def test_wrong_usage_ends_with_2_and_points_to_the_help(
    stratify, tmp_path, monkeypatch, arguments, error
):
    monkeypatch.chdir(tmp_path)
    ended = stratify(*arguments)

    text = plain(ended.err)
    assert (ended.code, ended.out) == (2, "")
    assert text.startswith("Usage: stratify ")
    assert f"--help' for help. Error: {error}" in text
    assert contents(tmp_path) == {}


def test_a_folder_that_is_no_bundle_is_never_replaced(place):
    (place.out / "bundle").mkdir(parents=True)
    (place.out / "bundle" / "notes.txt").write_text("not a bundle")

    with pytest.raises(FileError) as refused:
        place.trained.results.write(place.out)

    message = f"{place.out}/bundle exists and is no bundle; choose another folder."
    assert str(refused.value) == message
    assert list(contents(place.out)) == ["bundle/notes.txt"]


def test_without_a_store_the_results_are_on_disk(stratify, place):
    place.text("store", "a file where a folder is expected")
    store = f"sqlite:///{place.folder}/store/mlflow.db"
    study = place.trained.study

    ended = stratify("evaluate", place.trained.bundle, study, "--out", place.out, "--store", store)

    assert (ended.code, ended.error) == (
        14,
        "Findings: too_few_events (1). See findings.csv.\n"
        f"Tracking: The MLflow store {store} cannot be used: [Errno 17] File exists: "
        f"'{place.folder}/store'. The results are on disk; the run waits in "
        f"{place.folder}/mlflow_queue. Send it later with: stratify runs sync "
        f"{place.folder}/mlflow_queue\n",
    )
    assert ended.out.endswith(f"Results in {place.out}, report in {place.out}/report.html.\n")
    written = {name for name in contents(place.folder) if not name.startswith("mlflow_queue/")}
    assert written == {
        "store",
        *(f"out/{name}" for name in ("findings.csv", "attrition.csv", "performance.csv")),
        *(f"out/{name}" for name in ("scores.csv", "labels.csv", "attributions.parquet")),
        *(f"out/{name}" for name in ("profiles.parquet", "report.html", "study.yaml")),
    }


def test_what_is_no_fault_of_the_user_keeps_its_traceback(stratify, study_file, monkeypatch):
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("stratify.cohort.study_check.read_cohort", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["validate", str(study_file)])

"""Each page of docs/recipes, carried out as it says: its files are a package, its commands run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

from stratify.cohort.feature_plan import FeaturePlan
from stratify.errors import BundleError
from stratify.scoring import load
from stratify.simulation import write_study
from stratify.tables.documents import read_yaml
from stratify.tables.schema import load_schema

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path for path in sorted((ROOT / "docs" / "recipes").glob("*.md"))}
INSTALL = "pip install -e ."
# Runs the commands and scripts of all pages in one process, the same command once.
RUNNER = """\
import contextlib, io, json, shlex, sys, traceback
from stratify.cli import main

def carry_out(kind, text):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(shlex.split(text)[1:]) if kind == "sh" else exec(text, {})
        except SystemExit as end:
            print("exit", end.code) if end.code else None
        except BaseException:
            print("exit", traceback.format_exc())
    return said.getvalue()

json.dump({text: carry_out(kind, text) for kind, text in json.load(sys.stdin)}, sys.stdout)
"""


@dataclass(frozen=True)
class Page:
    """What a page tells its reader to write and to run."""

    files: dict[str, str]
    commands: list[str]
    scripts: list[str]


def read_page(path: Path) -> Page:
    """A block whose line above begins with a name in backquotes is that file."""
    files, commands, scripts = {}, [], []
    text = path.read_text(encoding="utf-8")
    for above, language, block in re.findall(
        r"([^\n]*)\n+```(\w+)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE
    ):
        if named := re.match(r"`([\w./]+)`", above):
            files[named[1]] = block
        elif language == "sh":
            commands += [line.partition("   #")[0].strip() for line in block.splitlines()]
        else:
            assert language == "python", f"{path.name}: a block without a name: {above}"
            scripts.append(block)
    return Page(files, commands, scripts)


def install(page: Page, project: Path) -> None:
    """Write the files, and what `pip install -e .` leaves for Python to find the package by."""
    for name, text in page.files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    about = tomllib.loads(page.files["pyproject.toml"])["project"]
    info = project / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in points.items())])
        for group, points in about["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups) + "\n")


def write_inputs(folder: Path) -> None:
    """What a reader has: a study, one with a landmark, scores and labels."""
    study = write_study(folder / "study", n=100, seed=20)
    stated = read_yaml(study.read_text(encoding="utf-8"))
    stated["data"] = "study"
    stated["features"] = ["tmb", "pdl1_tps", "cd8_margin_ratio"]
    stated["model"] = {"n_members": 2, "n_estimators": 10, "calibration_folds": 2}
    for cohort in stated["cohorts"]:
        for table in cohort["tables"]:
            if "infiltration" in table["panels"]:
                density = {"column": "cd8_density_margin", "unit": "cells/mm2"}
                table["panels"]["infiltration"]["cd8_density_margin"] = density
                path = folder / "study" / table["file"]
                cells = pd.read_csv(path)
                cells["cd8_density_margin"] = 2000 - 8 * cells.index  # some more, some fewer
                cells.to_csv(path, index=False)
    (folder / "study.yaml").write_text(yaml.safe_dump(stated, sort_keys=False), encoding="utf-8")
    draws = pd.DataFrame({"detected": [0, 1, 1, 1, 1], "ratio": [None, 0, 0.5, 0.6, None]})
    draws = draws.assign(id=[*"abcde"], pfs=[9, 8, 7, 6, 5], event=1)
    draws.to_csv(folder / "draws.csv", index=False)
    (folder / "landmark.yaml").write_text(
        """
stratify: 1
name: landmark
landmark_weeks: 7
cohorts:
  - name: ward
    tables:
      - file: draws.csv
        patient_id: id
        panels:
          clinical: {regimen: {value: anti_pd1_pdl1}}
          ctdna:
            ctdna_detected: {column: detected, coding: {0: false, 1: true}}
            ctdna_ratio_week_6: ratio
          outcomes:
            pfs: {column: pfs, unit: months}
            pfs_event: {column: event, coding: {0: false, 1: true}}
"""
    )
    given = {"scores": {"risk": [0.61, 0.4]}, "labels": {"state": ["primary", "none"]}}
    for name, values in given.items():
        table = pd.DataFrame(columns=list(load_schema(name).fields), index=range(2))
        table.assign(patient_id=["007", "008"], **values).to_csv(
            folder / f"{name}.csv", index=False
        )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def pages() -> dict[str, Page]:
    return {name: read_page(path) for name, path in PAGES.items()}


@pytest.fixture(scope="module")
def said(work: Path, pages: dict[str, Page]) -> dict[str, str]:
    """What each command and script prints, with the packages of all pages installed."""
    steps, projects = [], []
    for name, page in pages.items():
        projects.append(work / "packages" / name)
        install(page, projects[-1])
        steps += [("sh", line) for line in page.commands if line != INSTALL]
    steps += [("python", script) for page in pages.values() for script in page.scripts]
    paths = os.pathsep.join(map(str, [*projects, ROOT]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER],
        input=json.dumps(list(dict.fromkeys(steps))),
        cwd=work,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_short_and_its_package_is_one_code_file_and_data(name, pages):
    page = pages[name]
    assert PAGES[name].read_text(encoding="utf-8").count("\n") <= 90
    assert page.commands[0] == INSTALL
    package, *files = {Path(file).parts[0] for file in page.files} - {"pyproject.toml"}
    assert files == []
    assert [file for file in page.files if file.endswith(".py")] == [f"{package}/__init__.py"]
    data = {file for file in page.files if not file.endswith((".py", ".toml"))}
    assert all(file.startswith(f"{package}/data_schemas/") for file in data)


def test_every_command_and_script_ends_well(said):
    assert {text: out for text, out in said.items() if "exit " in out} == {}


def test_a_biomarker_is_catalogued_and_moves_the_risk_of_a_new_patient(said, pages, work):
    page = pages["tissue_biomarker"]
    assert len(page.files) == 4
    catalogue, valid = said[page.commands[1]], said[page.commands[2]]
    assert "cd8_margin_ratio\tinfiltration\tratio\tbaseline" in catalogue
    assert "demo: 0 errors" in valid
    plan = FeaturePlan.from_json(json.loads((work / "results/bundle/inputs.json").read_text()))
    assert "cd8_margin_ratio" in plan.features
    low, high = map(float, said[page.scripts[0]].split())
    assert low != high
    assert all(0 < risk < 1 for risk in (low, high))
    assert "cd8_margin_ratio" not in (ROOT / "FEATURES.md").read_text(encoding="utf-8")


def test_a_model_is_refused_where_the_package_of_its_biomarker_is_not_installed(said, work):
    with pytest.raises(BundleError) as refused:
        load(work / "results/bundle")
    assert str(refused.value) == (
        f"{work / 'results/bundle'} needs cd8_margin_ratio, which no dictionary has. Install the "
        "package that adds it."
    )


def test_a_course_of_ctdna_is_a_level_of_the_cohort(said, pages):
    page = pages["ctdna_response"]
    assert "ctdna_course_week_6\tctdna\t\tweek_6" in said[page.commands[1]]
    counts = dict(line.split() for line in said[page.scripts[0]].splitlines()[1:-1])
    levels = ["never_detected", "cleared", "fallen", "not_fallen"]
    assert counts == dict.fromkeys(levels, "1")


def test_a_reference_is_compared_on_the_same_patients(said, pages, work):
    assert "auroc" in said[pages["reference_score"].scripts[0]]
    rows = pd.read_csv(work / "results/performance.csv")
    unseen = rows[(rows["split"] == "external") & (rows["subgroup"] == "measured=grim")]
    alone = unseen[(unseen["model"] == "grim") & (unseen["metric"] == "auroc")]
    beyond = unseen[(unseen["reference"] == "grim") & (unseen["metric"] == "delta_auroc")]
    assert len(alone) == len(beyond) == 1
    assert alone["n"].item() == beyond["n"].item() > 20


def test_a_label_rule_labels_by_its_own_horizon(said, work):
    found = {
        name: pd.read_csv(work / f"labels_{name}/labels.csv") for name in ("3_months", "benefit")
    }
    outcomes = pd.read_csv(work / "labels_3_months/outcomes.csv")
    both = found["3_months"].merge(outcomes, on=["cohort", "patient_id"])
    assert set(both["endpoint_rule"]) == {"progression_3_months@1.0.0"}
    early = (both["pfs"] < 3) & (both["pfs_event"] == 1)
    assert 0 < early.sum() < len(both)
    assert ((both["label"] == 1) == early).all()
    benefit = found["benefit"]
    assert set(benefit["endpoint_rule"]) == {"no_durable_benefit@1.0.0"}
    assert {"durable_benefit", "no_durable_benefit"} < set(benefit["reason"])
    assert set(benefit.loc[benefit["reason"] == "no_durable_benefit", "label"]) == {1.0}


def test_a_format_writes_its_file(said, pages, work):
    assert "research use only: redcap.csv." in said[pages["export_format"].commands[1]]
    table = pd.read_csv(work / "out/redcap.csv", dtype=str)
    assert table[["record_id", "stratify_risk", "stratify_state"]].to_numpy().tolist() == [
        ["007", "0.61", "primary"],
        ["008", "0.4", "none"],
    ]


def test_a_figure_stands_in_the_model_card(said, pages, work):
    html = (work / "results/report.html").read_text(encoding="utf-8")
    section = html[html.index('<section id="figures"') :]
    labelled = pd.read_csv(work / "results/labels.csv")["label"].notna().sum()
    assert f'alt="Plot. Share of resistant patients (n = {labelled})"' in section
    assert "Patients with label 1 among those with a label, by cohort" in section

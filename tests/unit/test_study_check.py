"""A study checked as a whole: a fault planted in each section is listed with its line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.cli import main
from stratify.cohort.study_check import StudyCheck, check_study
from stratify.endpoint import endpoint_rules
from stratify.errors import DataError, FileError
from stratify.study import Study
from stratify.tables.schema import field_named

# section -> its text where it is right
GOOD = {
    "stratify": "stratify: 1",
    "name": "name: board_study",
    "title": "title: A study",
    "data": "data: .",
    "endpoint": """endpoint:
  name: ici_ici
  based_on: sitc_mono_2020
  version: 1
  title: ICI and ICI
  source: protocol""",
    "eligible_regimens": """eligible_regimens:
  - anti_pd1_pdl1
  - ici_ici""",
    "split": """split:
  by: random
  test_fraction: 0.3""",
    "censored_early": "censored_early: exclude",
    "response_criteria": """response_criteria:
  by: recist_1_1
  min_sd_days: 42""",
    "region_rule": """region_rule: {}""",
    "training_scales": "training_scales: [tmb]",
    "features": """features:
  - albumin
  - age""",
    "policy": """policy:
  name: board
  version: 1
  source: minutes of June
  monotherapy_below: 0.4
  combination_from: 0.7
  required_markers: [age]""",
    "effect": """effect:
  assignment: randomised
  alternative: {name: both, arms: [A + B]}
  reference: {name: one, arms: [A]}
  covariates:
    - age""",
    "thresholds": "thresholds: [0.3, 0.5]",
    "seed": "seed: 1",
    "model": """model:
  n_members: 5
  tune: 2""",
    "cohorts": """cohorts:
  - name: home
    tables:
      - file: home.csv
        patient_id: ID
        panels:
          clinical:
            regimen: {value: anti_pd1_pdl1}
            albumin: {column: ALB, unit: g/L}
            age: {column: AGE, unit: years}
            arm: ARM""",
}
REGIMENS = ", ".join(field_named("regimen").enum)
BY_PROGRESSION = ", ".join(
    name for name, rule in endpoint_rules().items() if hasattr(rule, "inclusive")
)
# section, what is replaced by what (the fault stands in the line of the replacement), what is said
FAULTS = {
    "another version": ("stratify", "stratify: 1", "stratify: 3", "stratify: Input should be 1"),
    "a name with a space": (
        "name", "board_study", "board study",
        "name: letters, digits, '_', '.' and '-' are expected",
    ),
    "unknown section": (
        "title", "title: A study", "titel: A study", "titel: unknown key; near keys are title",
    ),
    "unknown endpoint": (
        "endpoint", GOOD["endpoint"], "endpoint: pfs6",
        f"endpoint: 'pfs6' is not known; rules are {', '.join(endpoint_rules())}",
    ),
    "a rule by nothing": (
        "endpoint", "based_on: sitc_mono_2020", "based_on: objective_response",
        f"endpoint.based_on: a rule by progression is expected: {BY_PROGRESSION}",
    ),
    "unknown regimen": (
        "eligible_regimens", "- ici_ici", "- pembrolizumab",
        f"eligible_regimens.1: 'pembrolizumab' is not known; regimens are {REGIMENS}",
    ),
    "wrong split": (
        "split", "test_fraction: 0.3", "test_fraction: 0.3\n  test_from: 2020",
        "split.test_from: is for a split by year, not by random",
    ),
    "a share above one": (
        "split", "test_fraction: 0.3", "test_fraction: 2",
        "split.test_fraction: Input should be less than 1",
    ),
    "unknown way with the censored": (
        "censored_early", "exclude", "drop",
        "censored_early: Input should be 'exclude' or 'weight'",
    ),
    "negative days": (
        "response_criteria", "min_sd_days: 42", "min_sd_days: -1",
        "response_criteria.min_sd_days: Input should be greater than or equal to 0",
    ),
    "unknown scale": (
        "training_scales", "[tmb]", "[pdl1]",
        "training_scales.0: Input should be 'expression' or 'tmb'",
    ),
    "unknown feature": (
        "features", "- albumin", "- albumine",
        "features.0: No panel has a column named 'albumine'; near names are albumin",
    ),
    "unknown marker": (
        "policy", "required_markers: [age]", "required_markers: [tmbx]",
        "policy.required_markers.0: No panel has a column named 'tmbx'; near names are tmb, btmb",
    ),
    "thresholds in the wrong order": (
        "policy", "combination_from: 0.7", "combination_from: 0.2",
        "policy.combination_from: monotherapy_below (0.4) must not exceed combination_from (0.2)",
    ),
    "no policy file": (
        "policy", GOOD["policy"], "policy: absent.yaml",
        "policy: There is no policy file absent.yaml",
    ),
    "unknown assignment": (
        "effect", "assignment: randomised", "assignment: maybe",
        "effect.assignment: Input should be 'randomised' or 'observed'",
    ),
    "an outcome as covariate": (
        "effect", "- age", "- pfs", "effect.covariates.0: pfs is no biomarker",
    ),
    "a threshold of one": (
        "thresholds", "[0.3, 0.5]", "[0.3, 1]", "thresholds.1: Input should be less than 1",
    ),
    "negative seed": ("seed", "1", "-1", "seed: Input should be greater than or equal to 0"),
    "unknown model setting": (
        "model", "n_members: 5", "n_member: 5",
        "model.n_member: unknown key; near keys are n_members",
    ),
    "a setting out of range": (
        "model", "n_members: 5", "n_members: 1",
        "model.n_members: a whole number of at least 2 is expected",
    ),
    "unknown column": (
        "cohorts", "albumin: {column: ALB, unit: g/L}", "albumine: {column: ALB, unit: g/L}",
        "cohorts.0.tables.0.panels.clinical.albumine: no such column; near names are albumin",
    ),
}  # fmt: skip


def planted(*faults: str, order: list[str] | None = None) -> tuple[str, list[tuple[int, str]]]:
    """Text of a study with faults, and the line and message of each, in order of the lines."""
    sections = dict(GOOD)
    for fault in faults:
        section, right, wrong, _ = FAULTS[fault]
        assert sections[section].count(right) == 1
        sections[section] = sections[section].replace(right, f"{wrong}  # {fault}")
    text = "\n".join(sections[name] for name in order or sections) + "\n"
    lines = text.splitlines()
    said = []
    for fault in faults:
        line = next(i for i, line in enumerate(lines, 1) if line.endswith(f"  # {fault}"))
        said.append((line, FAULTS[fault][3]))
    return text, sorted(said)


def validated(path: Path) -> tuple[int, pd.DataFrame]:
    out = path.with_name("findings.csv")
    with pytest.raises(SystemExit) as ended:
        main(["validate", str(path), "--out", str(out)])
    return int(ended.value.code or 0), pd.read_csv(out, keep_default_na=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path()


def test_the_study_without_a_fault_has_none(folder):
    path = folder / "study.yaml"
    path.write_text(planted()[0], encoding="utf-8")
    study, faults = Study.read(path)
    assert faults == []
    assert study is not None


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_any_section_is_listed_with_its_line_and_ends_with_10(folder, fault, capsys):
    path = folder / "study.yaml"
    text, ((line, said),) = planted(fault)
    path.write_text(text, encoding="utf-8")
    code, table = validated(path)
    assert code == 10
    assert table["code"].tolist() == ["study_fault"]
    assert table["message"].tolist() == [f"study.yaml, line {line}, {said}."]
    assert "Not checked: the data, and whether they have what the study names (" in (
        capsys.readouterr().out
    )
    with pytest.raises(DataError) as refusal:
        Study.load(path)
    assert str(refusal.value) == (f"study.yaml: 1 fault in the study file:\n  line {line}, {said}")


def test_faults_in_all_sections_are_listed_at_once(folder):
    path = folder / "study.yaml"
    one_a_section = {section: fault for fault, (section, *_) in reversed(FAULTS.items())}
    text, said = planted(*one_a_section.values())
    path.write_text(text, encoding="utf-8")
    code, table = validated(path)
    assert code == 10
    assert set(one_a_section) == set(GOOD) - {"data", "region_rule"}
    assert table["message"].tolist() == [f"study.yaml, line {n}, {text}." for n, text in said]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_fault_is_found_in_the_right_line_wherever_it_stands(tmp_path_factory, data):
    fault = data.draw(st.sampled_from(sorted(set(FAULTS) - {"no policy file"})))
    order = data.draw(st.permutations(list(GOOD)))
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    text, said = planted(fault, order=order)
    path.write_text(text, encoding="utf-8")
    _, found = Study.read(path)
    assert [(each.line, str(each).partition(", ")[2]) for each in found] == said


# ------------------------------------------------------------- with the data

BOARD = """\
name: board
version: 1
source: minutes of June
monotherapy_below: 0.4
combination_from: 0.7
required_markers:
  - age
"""


def checked(hospital) -> tuple[StudyCheck, list[str]]:
    """The study checked, and its messages without those of the data."""
    hospital.write()
    path = hospital.folder / "study.yaml"
    path.write_text(yaml.safe_dump(hospital.document, sort_keys=False), encoding="utf-8")
    found = check_study(path)
    own = ("study_fault", "name_without_column")
    return found, [row["message"] for row in found.findings.rows if row["code"] in own]


def line_of(hospital, text: str) -> int:
    """Line of the study file that holds a text, the only one."""
    lines = (hospital.folder / "study.yaml").read_text(encoding="utf-8").splitlines()
    (line,) = [i for i, each in enumerate(lines, 1) if text in each]
    return line


def test_faults_of_a_policy_file_name_it_and_its_lines_and_the_data_are_read(hospital):
    board = hospital.folder / "board.yaml"
    board.write_text(BOARD.replace("- age", "- tmbx").replace("0.7", "0.2"), encoding="utf-8")
    hospital.document |= {"policy": "board.yaml", "seed": -1}
    hospital.column("albumin").update(unit="g/dL")
    found, said = checked(hospital)
    assert said == [
        f"study.yaml, line {line_of(hospital, 'seed')}, seed: Input should be greater than or "
        "equal to 0.",
        f"{board}, line 5, combination_from: monotherapy_below (0.4) must not exceed "
        "combination_from (0.2).",
        f"{board}, line 7, required_markers.0: No panel has a column named 'tmbx'; near names are "
        "tmb, btmb.",
    ]
    assert "looks_like_another_unit" in found.findings.codes()
    assert found.statement == (
        "Not checked: whether the markers of the policy are measured, as `policy` has faults; "
        "whether the patients suffice to train a model (`stratify train`)."
    )


def test_names_without_a_column_are_listed_with_their_lines(hospital):
    (hospital.folder / "board.yaml").write_text(BOARD + "  - cd8_percent\n", encoding="utf-8")
    hospital.document |= {
        "policy": "board.yaml",
        "features": ["albumin", "hemoglobin"],
        "effect": {
            "assignment": "observed",
            "alternative": {"name": "both", "arms": ["A + B"]},
            "reference": {"name": "one", "arms": ["A"]},
            "confounders": ["age", "prior_lines"],
        },
    }
    found, said = checked(hospital)
    lacks = "is not among the mapped or derived columns."
    assert said == [
        f"study.yaml, line {line_of(hospital, 'hemoglobin')}, features.1: hemoglobin {lacks}",
        f"study.yaml, line {line_of(hospital, 'effect:')}, effect.column: arm {lacks}",
        f"study.yaml, line {line_of(hospital, 'prior_lines')}, effect.confounders.1: prior_lines "
        f"{lacks}",
        f"{hospital.folder / 'board.yaml'}, line 8, required_markers.1: cd8_percent {lacks}",
    ]
    severities = [row["severity"] for row in found.findings.rows[:4]]
    assert severities == ["warning", "error", "warning", "error"]
    assert found.statement == (
        "Not checked: whether the patients suffice to train a model (`stratify train`); whether "
        "the arms occur and their patients and outcomes suffice for the effect (`stratify "
        "effect`); whether the policy fits the risks of a model (`stratify policy`)."
    )


def test_a_derived_column_and_one_whose_values_have_errors_are_there(hospital):
    """Albumin has a unit to correct, which is said once; TMB is derived of mutations."""
    hospital.leave_out("tmb")
    hospital.add_measurements("mutations")
    hospital.document["features"] = ["albumin", "tmb"]
    del hospital.column("albumin")["unit"]
    found, said = checked(hospital)
    assert said == []
    assert [row["code"] for row in found.findings.rows if row["severity"] == "error"] == [
        "unit_absent"
    ]


def test_data_that_cannot_be_read_end_a_study_without_faults(hospital):
    hospital.source("clinical")["file"] = "absent.csv"
    with pytest.raises(FileError, match=r"absent\.csv"):
        checked(hospital)

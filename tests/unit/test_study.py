"""The study file: read, checked, every fault told at once."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from stratify.endpoint import endpoint_rules
from stratify.errors import DataError, FileError
from stratify.model.classifier import ResistanceClassifier
from stratify.study import Study
from stratify.study.model_settings import ModelSettings
from stratify.study.policy import Policy
from stratify.tables.documents import read_yaml

GOOD = """
stratify: 1
name: example
data: data
x-lab: &lab {unit: g/L}
cohorts:
  - name: home
    tables:
      - file: home.csv
        patient_id: ID
        panels:
          clinical:
            regimen: {value: anti_pd1_pdl1}
            albumin: {column: ALB, <<: *lab}
            sex: {column: SEX, coding: {0: female, 1: male}}
            ever_smoker: {column: SMOKE, coding: {Y: true, No: false, Off: null}}
            ecog: ECOG
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(path: Path) -> list[str]:
    """Lines of the message below its first, which is checked here, without line numbers."""
    with pytest.raises(DataError) as refused:
        Study.load(path)
    first, *lines = str(refused.value).splitlines()
    count = f"{len(lines)} faults" if len(lines) > 1 else "1 fault"
    assert first == f"{path}: {count} in the study file:"
    assert all(re.match(r"  line \d+, ", line) for line in lines)
    return [re.sub(r"^  line \d+, ", "", line) for line in lines]


# ------------------------------------------------------------- what is read


def test_a_study_file_is_read_with_its_defaults(tmp_path):
    study = Study.load(written(tmp_path, GOOD))
    columns = study.cohorts[0].tables[0].panels["clinical"]

    assert study.endpoint.name == "proxy_pfs6"
    assert study.eligible_regimens == ["anti_pd1_pdl1"]
    assert study.cohorts[0].role == "train"
    assert study.split.by == "cohort"
    assert study.source == tmp_path / "study.yaml"
    assert study.folder == tmp_path / "data"
    assert columns["ecog"].column == "ECOG"
    assert columns["albumin"].unit == "g/L"
    assert columns["sex"].coding == {"0": "female", "1": "male"}


def test_yes_and_no_in_codings_are_texts_of_the_file(tmp_path):
    study = Study.load(written(tmp_path, GOOD))
    coding = study.cohorts[0].tables[0].panels["clinical"]["ever_smoker"].coding
    assert coding == {"Y": True, "No": False, "Off": None}


def test_anchors_stand_under_keys_with_x(tmp_path):
    assert faults(written(tmp_path, GOOD.replace("x-lab", "lab"))) == ["lab: unknown key"]


def test_a_file_of_windows_is_read(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode("utf-8-sig"))
    assert Study.load(path).name == "example"


@pytest.mark.parametrize(
    ("regimens", "mixed"),
    [
        (["anti_pd1_pdl1"], False),
        (["anti_pd1_pdl1", "single_agent_ici"], False),
        (["anti_pd1_pdl1", "ici_chemotherapy"], True),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else str(value),
)
def test_regimens_beside_monotherapy_are_mixed(tmp_path, regimens, mixed):
    document = read_yaml(GOOD) | {"eligible_regimens": regimens}
    assert Study.model_validate(document).mixed_regimens is mixed


def test_another_endpoint_may_be_asked_for(tmp_path):
    path = written(tmp_path, GOOD)
    assert Study.load(path, endpoint="objective_response").endpoint.name == "objective_response"


def test_numbers_may_stand_where_texts_are_meant():
    document = read_yaml(GOOD) | {"split": {"by": "site", "test": [3, "West"]}}
    document["cohorts"][0]["tables"][0]["missing"] = [-9, 99.5, True]
    study = Study.model_validate(document)
    assert study.split.test == ["3", "West"]
    assert study.cohorts[0].tables[0].missing == ["-9", "99.5", "true"]


def test_the_resolved_study_reads_back_the_same(tmp_path):
    board = {"name": "board", "version": 1, "source": "minutes", "monotherapy_below": 0.4}
    board |= {"combination_from": 0.7, "label": {"jurisdiction": "us", "on": "2026-01-31"}}
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(board), encoding="utf-8")
    document = read_yaml(GOOD) | {"policy": "policy.yaml", "thresholds": [0.4]}
    columns = document["cohorts"][0]["tables"][0]["panels"]["clinical"]
    columns["metastatic_sites"] = {"value": 0}
    columns["stage_iv"] = {"value": False}
    columns["prior_lines"] = {"column": "LINES", "coding": {"none": 0, "007": 7}, "missing": ["-"]}
    study = Study.load(written(tmp_path, yaml.safe_dump(document)))

    resolved = study.resolved()
    again = Study.load(written(tmp_path, yaml.safe_dump(resolved)))

    assert resolved["data"] == str(tmp_path / "data")
    assert resolved["policy"] == board | {"version": "1"}
    assert again.policy == study.policy == Policy.load(tmp_path / "policy.yaml")
    assert again.cohorts == study.cohorts
    assert again.resolved() == resolved


# ------------------------------------------------------------- the data folder


@pytest.mark.parametrize(
    ("data", "value", "folder"),
    [
        (".", None, "."),
        ("sub/data", None, "sub/data"),
        ("/srv/data", None, "/srv/data"),
        ("${STRATIFY_TEST:-../data}/x", None, "../data/x"),
        ("${STRATIFY_TEST:-../data}/x", "", "../data/x"),
        ("${STRATIFY_TEST:-../data}/x", "/mnt", "/mnt/x"),
        ("${STRATIFY_TEST}", "/mnt", "/mnt"),
    ],
)
def test_the_folder_is_relative_to_the_study_file(tmp_path, monkeypatch, data, value, folder):
    monkeypatch.delenv("STRATIFY_TEST", raising=False)
    if value is not None:
        monkeypatch.setenv("STRATIFY_TEST", value)
    study = Study.load(written(tmp_path, GOOD.replace("data: data", f'data: "{data}"')))
    assert study.folder == (tmp_path / folder).resolve()


def test_a_folder_from_the_environment_is_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRATIFY_TEST", "mirror")
    study = Study.model_validate(read_yaml(GOOD) | {"data": "${STRATIFY_TEST}/x"})
    assert study.folder == tmp_path / "mirror" / "x"


def test_an_unset_environment_variable_is_told(monkeypatch):
    monkeypatch.delenv("STRATIFY_TEST", raising=False)
    study = Study.model_validate(read_yaml(GOOD) | {"data": "${STRATIFY_TEST}"})
    with pytest.raises(DataError) as unset:
        _ = study.folder
    assert str(unset.value) == "data: the environment variable STRATIFY_TEST is not set."


# ------------------------------------------------------------- files that are no study


def test_a_missing_study_file_is_told(tmp_path):
    with pytest.raises(FileError) as missing:
        Study.load(tmp_path / "none.yaml")
    assert str(missing.value) == f"There is no study file {tmp_path / 'none.yaml'}."


def test_a_folder_is_no_study_file(tmp_path):
    with pytest.raises(FileError, match=r"^The study file .* cannot be read: "):
        Study.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [a\n", ", line 2: not valid YAML (did not find expected ',' or ']')."),
        (
            GOOD + "endpoint: proxy_pfs6\nname: again\n",
            ": not valid YAML (in line 19 the key 'name' stands a second time).",
        ),
        ("- a\n- b\n", ": a study file is a YAML mapping; see the README's example."),
        ("", ": a study file is a YAML mapping; see the README's example."),
    ],
    ids=["not YAML", "a key twice", "a list", "empty"],
)
def test_what_is_no_study_is_told(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(DataError) as refused:
        Study.load(path)
    assert str(refused.value) == f"{path}{said}"


# ------------------------------------------------------------- faults

TABLE = "cohorts.0.tables.0"
CLINICAL = f"{TABLE}.panels.clinical"
SECOND = "cohorts.0.tables.1"
RULES = ", ".join(endpoint_rules())
REGIMENS = (
    "anti_pd1_pdl1, single_agent_ici, anti_ctla4, ici_ici, ici_chemotherapy, ici_targeted, "
    "ici_combination, chemotherapy, targeted, none, other"
)


def _more(d, **table):
    d["cohorts"][0]["tables"].append({"file": "more.csv", **table})


def _clinical(d, **columns):
    d["cohorts"][0]["tables"][0]["panels"]["clinical"].update(columns)


def _table(d, **options):
    d["cohorts"][0]["tables"][0].update(options)


OWN_RULE = {
    "name": "ici_ici_draft",
    "based_on": "sitc_mono_2020",
    "version": 1,
    "title": "Draft",
    "source": "protocol",
}
FAULTS = [
    ("no name", lambda d: d.pop("name"), "name: required, but not stated"),
    (
        "a name with a space",
        lambda d: d.update(name="a b"),
        "name: letters, digits, '_', '.' and '-' are expected",
    ),
    ("another version", lambda d: d.update(stratify=2), "stratify: Input should be 1"),
    (
        "unknown key",
        lambda d: d.update(endpont="x"),
        "endpont: unknown key; near keys are endpoint",
    ),
    (
        "unknown key of a column",
        lambda d: _clinical(d, age={"column": "AGE", "units": "years"}),
        f"{CLINICAL}.age.units: unknown key; near keys are unit",
    ),
    (
        "unknown endpoint",
        lambda d: d.update(endpoint="pfs6"),
        f"endpoint: 'pfs6' is not known; rules are {RULES}",
    ),
    (
        "unknown regimen",
        lambda d: d.update(eligible_regimens=["pembrolizumab"]),
        f"eligible_regimens.0: 'pembrolizumab' is not known; regimens are {REGIMENS}",
    ),
    (
        "no regimen",
        lambda d: d.update(eligible_regimens=[]),
        "eligible_regimens: List should have at least 1 item after validation, not 0",
    ),
    (
        "unknown feature",
        lambda d: d.update(features=["albumine"]),
        "features.0: No panel has a column named 'albumine'; near names are albumin",
    ),
    (
        "an outcome as a feature",
        lambda d: d.update(features=["pfs"]),
        "features.0: pfs is no biomarker",
    ),
    (
        "the regimen as a feature",
        lambda d: d.update(features=["regimen"]),
        "features.0: regimen is no biomarker",
    ),
    (
        "cohorts of one name",
        lambda d: d["cohorts"].append(copy.deepcopy(d["cohorts"][0])),
        "cohorts: two cohorts have the name 'home'",
    ),
    (
        "unknown role",
        lambda d: d["cohorts"][0].update(role="validation"),
        "cohorts.0.role: Input should be 'train', 'test' or 'external'",
    ),
    (
        "no tables",
        lambda d: d["cohorts"][0].update(tables=[]),
        "cohorts.0.tables: List should have at least 1 item after validation, not 0",
    ),
    (
        "a star for a column with a name",
        lambda d: _clinical(d, age={"column": "*", "unit": "years"}),
        f'{CLINICAL}.age: `column: "*"` and a name that ends in * need each other',
    ),
    (
        "an own rule that is taken",
        lambda d: d.update(endpoint=OWN_RULE | {"name": "SITC_combo"}),
        "endpoint.name: names of published rules, and those that begin with sitc, are taken",
    ),
    (
        "an own rule based on response",
        lambda d: d.update(endpoint=OWN_RULE | {"based_on": "objective_response"}),
        "endpoint.based_on: a rule by progression is expected: proxy_pfs6, sitc_mono_2020, "
        "sitc_mono_2020_strict, sitc_chemo_2023, sitc_chemo_2023_strict",
    ),
    (
        "an own rule with another horizon",
        lambda d: d.update(endpoint=OWN_RULE | {"months": 3}),
        "endpoint.months: unknown key",
    ),
    (
        "an own rule for an unknown regimen",
        lambda d: d.update(endpoint=OWN_RULE | {"regimens": ["pembrolizumab"]}),
        f"endpoint.regimens.0: 'pembrolizumab' is not known; regimens are {REGIMENS}",
    ),
    (
        "an own rule without source",
        lambda d: d.update(endpoint={k: v for k, v in OWN_RULE.items() if k != "source"}),
        "endpoint.source: required, but not stated",
    ),
    (
        "unknown panel",
        lambda d: d["cohorts"][0]["tables"][0]["panels"].update(imaging={"suv": "SUV"}),
        f"{TABLE}.panels.imaging: no such panel; there are clinical, pdl1, tmb, infiltration, "
        "ctdna, comparators, outcomes, visits, lesions, mutations, plasma_variants, plasma_draws, "
        "regions",
    ),
    (
        "mutations without a rule",
        lambda d: _more(d, panels={"mutations": {"consequence": "Class"}}, patient_id="ID"),
        f"{SECOND}.burden: required to count mutations, for example `burden: {{scored_mb: 1.1}}`",
    ),
    (
        "a rule without mutations",
        lambda d: _more(d, panels={"tmb": {}}, patient_id="ID", burden={"scored_mb": 1}),
        f"{SECOND}.burden: is for a table of mutations",
    ),
    (
        "a matrix with patients in a column of panels",
        lambda d: _more(d, patient_id="ID", expression={"unit": "TPM"}),
        f"{SECOND}.patient_id: not with `expression`, whose `labels` say where patients stand",
    ),
    (
        "two matrices in one file",
        lambda d: _more(d, expression={"unit": "TPM"}, deconvolution={"method": "quantiseq"}),
        f"{SECOND}: either `expression` or `deconvolution`; one file holds one matrix",
    ),
    (
        "two tables of one kind of measurement",
        lambda d: (_more(d, expression={"unit": "TPM"}), _more(d, expression={"unit": "TPM"})),
        "cohorts.0.tables: one table of expression is expected, not 2",
    ),
    (
        "a matrix first",
        lambda d: (
            _more(d, expression={"unit": "TPM"}),
            d["cohorts"][0]["tables"].reverse(),
        ),
        "cohorts.0.tables: the first table needs one row a patient",
    ),
    (
        "a pattern that is none",
        lambda d: _clinical(d, ecog={"column": "PS", "pattern": "(ECOG"}),
        f"{CLINICAL}.ecog.pattern: not a regular expression: missing ), unterminated subpattern at "
        "position 0",
    ),
    (
        "a group that the pattern lacks",
        lambda d: _more(
            d,
            panels={"tmb": {}},
            patient_id="ID",
            identifier={"pattern": r"(A)-\d+", "written": r"\1-\2"},
        ),
        f"{SECOND}.identifier.written: group 2 of a pattern with 1",
    ),
    (
        "unknown column",
        lambda d: _clinical(d, albumine="ALB2"),
        f"{CLINICAL}.albumine: no such column; near names are albumin",
    ),
    (
        "identifier in a panel",
        lambda d: _clinical(d, patient_id="ID"),
        f"{CLINICAL}.patient_id: stated for the table, not in a panel",
    ),
    (
        "neither column nor value",
        lambda d: _clinical(d, age={"unit": "years"}),
        f"{CLINICAL}.age: state either `column` (its name in the file) or `value`",
    ),
    (
        "column and value",
        lambda d: _clinical(d, age={"column": "AGE", "value": 3, "unit": "years"}),
        f"{CLINICAL}.age: state either `column` (its name in the file) or `value`",
    ),
    (
        "a list as value",
        lambda d: _clinical(d, age={"value": [1], "unit": "years"}),
        f"{CLINICAL}.age.value: a number, a text, true or false is expected",
    ),
    (
        "one column for two numbers",
        lambda d: _clinical(d, nlr="ALB"),
        f"{TABLE}.panels: 'ALB' is read as several numbers: albumin, nlr",
    ),
    (
        "one canonical column twice",
        lambda d: d["cohorts"][0]["tables"].append(
            {"file": "b.csv", "patient_id": "ID", "panels": {"clinical": {"ecog": "PS"}}}
        ),
        "cohorts.0: mapped more than once: ecog",
    ),
    (
        "missing and coded",
        lambda d: _clinical(d, ecog={"column": "PS", "coding": {9: 4}, "missing": [9]}),
        f"{CLINICAL}.ecog: both in `coding` and in `missing`: '9'",
    ),
    (
        "a unit for levels",
        lambda d: _clinical(d, sex={"column": "SEX", "unit": "g/L"}),
        f"{CLINICAL}.sex: `unit` has no meaning for a text column",
    ),
    (
        "a scale for yes or no",
        lambda d: _clinical(d, stage_iv={"column": "STAGE", "scale": "ln"}),
        f"{CLINICAL}.stage_iv: `scale` has no meaning for a yes/no column",
    ),
    (
        "a date format for numbers",
        lambda d: _clinical(d, bmi={"column": "BMI", "date_format": "%d.%m.%Y"}),
        f"{CLINICAL}.bmi: `date_format` has no meaning for a number column",
    ),
    (
        "a coding for free text",
        lambda d: _clinical(d, site={"column": "SITE", "coding": {1: "North"}}),
        f"{CLINICAL}.site: `coding` has no meaning for a text column",
    ),
    (
        "megabases without mutations",
        lambda d: _clinical(d, bmi={"column": "BMI", "scored_mb": 1.1}),
        f"{CLINICAL}.bmi: `scored_mb` is for numbers of mutations; state `unit: mutations`",
    ),
    (
        "unknown scale",
        lambda d: _clinical(d, bmi={"column": "BMI", "scale": "log"}),
        f"{CLINICAL}.bmi.scale: Input should be 'linear', 'ln', 'log2', 'log10' or 'log1p'",
    ),
    (
        "a comma for both",
        lambda d: _table(d, decimal=",", thousands=","),
        f"{TABLE}: `thousands` and `decimal` are the same sign",
    ),
    (
        "a sheet that is a list",
        lambda d: _table(d, sheet=["a"]),
        f"{TABLE}.sheet: a name or a number is expected",
    ),
    (
        "split by site without sites",
        lambda d: d.update(split={"by": "site"}),
        "split: a split by site needs `test`",
    ),
    (
        "split by year without a year",
        lambda d: d.update(split={"by": "year"}),
        "split: a split by year needs `test_from`",
    ),
    (
        "split at random without a share",
        lambda d: d.update(split={"by": "random", "seed": 3}),
        "split: a split by random needs `test_fraction`",
    ),
    (
        "a year for a split by site",
        lambda d: d.update(split={"by": "site", "test": ["A"], "test_from": 2020}),
        "split.test_from: is for a split by year, not by site",
    ),
    (
        "a share of two",
        lambda d: d.update(split={"by": "random", "test_fraction": 2}),
        "split.test_fraction: Input should be less than 1",
    ),
    (
        "a threshold of one",
        lambda d: d.update(thresholds=[0.5, 1]),
        "thresholds.1: Input should be less than 1",
    ),
    (
        "a policy that is a number",
        lambda d: d.update(policy=3),
        "policy: a file or a mapping is expected",
    ),
]


@pytest.mark.parametrize(("plant", "fault"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_fault_is_told_where_it_stands(tmp_path, plant, fault):
    document = read_yaml(GOOD)
    plant(document)
    assert faults(written(tmp_path, yaml.safe_dump(document))) == [fault]


def test_all_faults_are_told_at_once(tmp_path):
    document = read_yaml(GOOD)
    for title, plant, _ in FAULTS:
        # without tables, or with another endpoint, the others would have no place
        if title not in ("no tables", "a matrix first") and not title.startswith("an own rule"):
            plant(document)
    said = faults(written(tmp_path, yaml.safe_dump(document)))

    # faults at every depth, and beside each other: none hides another
    assert {
        "stratify: Input should be 1",
        "name: letters, digits, '_', '.' and '-' are expected",
        "endpont: unknown key; near keys are endpoint",
        "cohorts: two cohorts have the name 'home'",
        f"endpoint: 'pfs6' is not known; rules are {RULES}",
        "cohorts.0.role: Input should be 'train', 'test' or 'external'",
        f"{TABLE}: `thousands` and `decimal` are the same sign",
        f"{CLINICAL}.albumine: no such column; near names are albumin",
        f"{CLINICAL}.sex: `unit` has no meaning for a text column",
        f"{CLINICAL}.bmi.scale: Input should be 'linear', 'ln', 'log2', 'log10' or 'log1p'",
        "thresholds.1: Input should be less than 1",
        "policy: a file or a mapping is expected",
    } <= set(said)
    assert len(said) == len(set(said))


def test_a_study_made_in_python_is_checked_too():
    with pytest.raises(ValidationError, match="rules are proxy_pfs6, sitc_mono_2020"):
        Study.model_validate(read_yaml(GOOD) | {"endpoint": "pfs6"})


def test_a_rule_of_ones_own_is_read_and_written_back(tmp_path):
    document = read_yaml(GOOD) | {"endpoint": OWN_RULE | {"secondary_months": None}}
    study = Study.load(_file(tmp_path, document))
    assert study.endpoint.name == "ici_ici_draft"
    assert study.endpoint.version == "1"
    assert study.endpoint.secondary_months is None
    assert study.endpoint.confirmation is True
    again = Study.load(_file(tmp_path, study.resolved()))
    assert again.endpoint == study.endpoint


def _file(folder, document):
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_a_study_with_raw_measurements_is_written_whole_and_read_again(tmp_path):
    """What a training writes beside its results is the study that was read."""
    document = read_yaml(GOOD)
    document["training_scales"] = ["expression"]
    tables = document["cohorts"][0]["tables"]
    tables += [
        {"file": "rna.parquet", "expression": {"unit": "TPM", "scale": "log2", "offset": 1}},
        {
            "file": "maf.txt",
            "patient_id": "Patient",
            "identifier": {"pattern": r"(P\d+)-T", "written": r"\1"},
            "burden": {"scored_mb": 1.1},
            "panels": {"mutations": {"counted": {"column": "C", "coding": {"y": True}}}},
        },
    ]
    document["cohorts"][0] |= {"plasma": {"weeks": [6]}, "pdl1": {"tiers": True}}
    study = Study.load(written(tmp_path, yaml.safe_dump(document)))
    again = Study.load(written(tmp_path, yaml.safe_dump(study.resolved(), sort_keys=False)))

    assert again.resolved() == study.resolved()
    assert again.cohorts == study.cohorts


def test_the_settings_are_those_of_the_classifier_with_its_defaults():
    known = ResistanceClassifier().get_params()
    del known["random_state"], known["n_jobs"]
    assert ModelSettings().model_dump(exclude={"tune"}) == known
    assert ModelSettings().parameters == {}

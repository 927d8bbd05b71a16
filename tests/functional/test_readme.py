"""The README's example study is a valid one, and what it names exists."""

import re
from pathlib import Path

import pytest
import yaml

import stratify
from stratify.study import Study
from stratify.tables.schema import load_schema, patient_panels

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_example_study_is_valid(tmp_path):
    (tmp_path / "study.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    study = Study.load(tmp_path / "study.yaml")
    assert study.endpoint.name == "proxy_pfs6"
    assert [table.file for table in study.cohorts[0].tables] == ["patients.xlsx"]


def test_the_example_policy_is_valid(tmp_path):
    (tmp_path / "policy.yaml").write_text(blocks("yaml")[1], encoding="utf-8")
    assert stratify.Policy.load(tmp_path / "policy.yaml").required_markers == ["pdl1_tps"]


def test_every_command_of_the_readme_exists():
    from typer.main import get_command

    from stratify.cli import app

    known = set(get_command(app).commands)
    named = set(re.findall(r"^stratify (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE))
    assert named >= {"validate", "train", "evaluate", "score", "report", "ui"}
    assert named <= known


def test_the_python_example_uses_public_names():
    used = set(re.findall(r"stratify\.(\w+)", blocks("python")[0]))
    assert used <= {*stratify.__all__, *dir(stratify.Study)}


def test_public_names_load_and_are_about_fifteen():
    assert len(stratify.__all__) <= 16
    for name in stratify.__all__:
        assert getattr(stratify, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'stratify' has no attribute 'utils'"):
        stratify.utils  # noqa: B018


def test_every_metric_of_the_glossary_and_every_code_is_documented():
    glossary = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8")
    metrics = [
        *("auroc", "delta_auroc", "average_precision", "brier", "brier_skill", "delta_brier"),
        *("calibration_intercept", "calibration_slope", "mean_predicted", "mean_observed"),
        *("sensitivity", "specificity", "ppv", "npv", "share_flagged", "net_benefit", "c_index"),
    ]
    assert [m for m in metrics if m not in glossary] == []
    for code, entry in load_schema("findings").codes.items():
        assert {"severity", "meaning", "advice"} <= set(entry), code


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines/studies").glob("*.yaml")), ids=str)
def test_every_shipped_study_file_is_valid(path):
    assert Study.load(path).name == path.stem


def test_no_panel_with_one_row_a_patient_repeats_a_column():
    names = []
    for panel in patient_panels():
        path = ROOT / "data_schemas" / "panels" / f"{panel}.yaml"
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))["fields"]
        names += [f["name"] for f in fields if f["name"] != "patient_id"]
    assert sorted(set(names)) == sorted(names)

"""The feature catalogue: complete, sourced, and the same in FEATURES.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from stratify.cli import app
from stratify.errors import ArgumentError
from stratify.tables.catalogue import catalogue_markdown, feature_catalogue
from stratify.tables.schema import load_schema, patient_panels

DOCUMENT = Path(__file__).parents[2] / "FEATURES.md"


def test_features_md_is_what_is_generated():
    """Write it again with `stratify features --out FEATURES.md`."""
    assert DOCUMENT.read_text(encoding="utf-8") == catalogue_markdown()


def test_every_feature_stands_once_and_nothing_else():
    features = [
        field.name
        for panel in patient_panels()
        for field in load_schema(panel).fields.values()
        if field.enters_models
    ]
    table = feature_catalogue()
    assert table["name"].tolist() == features
    assert table["name"].is_unique
    assert "outcomes" not in set(table["panel"])


def test_every_feature_is_defined_and_every_direction_has_a_source():
    table = feature_catalogue()
    assert (table["definition"].str.len() > 15).all()
    assert table["definition"].str.rstrip().str.endswith((".", ")")).all()
    assert (table.loc[table["direction"] != "", "source"] != "").all()
    numbers = table["type"].isin(["number", "integer"])
    assert (table.loc[numbers, "unit"] != "").all()


def test_features_on_treatment_name_their_week():
    table = feature_catalogue(["ctdna"])
    later = table[table["available_at"] != "baseline"]
    assert later["name"].str.contains("week_").all()
    assert all(
        name.endswith(week) for name, week in zip(later["name"], later["available_at"], strict=True)
    )
    assert len(later) == 36


def test_an_unknown_panel_is_told():
    with pytest.raises(ArgumentError, match=r"no panel rna; there are clinical, pdl1, tmb"):
        feature_catalogue(["rna"])


@pytest.mark.parametrize("ending", ["md", "csv", "parquet"])
def test_the_command_writes_and_prints(tmp_path, ending):
    out = tmp_path / f"features.{ending}"
    result = CliRunner().invoke(app, ["features", "--panel", "tmb", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert f"16 features in {out}" in result.output.replace("\n", "")
    if ending == "md":
        assert out.read_text(encoding="utf-8") == catalogue_markdown(["tmb"])
    else:
        read = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
        assert read["name"].tolist() == feature_catalogue(["tmb"])["name"].tolist()
    printed = CliRunner().invoke(app, ["features", "--panel", "ctdna"]).output
    assert "ctdna_mtm_per_ml\tctdna\tMTM/mL\tbaseline\t" in printed

"""What other packages add to the dictionaries, and what they may not change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stratify.biomarkers.ctdna_course import response_rules
from stratify.errors import StratifyError
from stratify.extensions import data_folders
from stratify.interpretation.cycle import cycle
from stratify.report.card_figures import COHORT_FIGURES, card_figures
from stratify.tables import documents, schema
from stratify.tables.documents import document, read_yaml, schemas_folder

Add = Callable[..., Path]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Function that writes one file of the package `ours`, which from then on is installed."""
    folder = tmp_path / "ours" / "data_schemas"
    monkeypatch.setattr(documents, "data_folders", lambda: {"ours": folder})
    monkeypatch.setattr(documents, "document", document.__wrapped__)

    def write(name: str, text: str) -> Path:
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def found(name: str) -> Any:
    return document.__wrapped__(name)


def own(name: str) -> Any:
    return read_yaml((schemas_folder() / f"{name}.yaml").read_text(encoding="utf-8"))


def test_entries_come_after_ours_and_keys_into_mappings(add):
    add("panels/tmb", "fields: [{name: ours_score, type: number}]\nrules: [{code: ours}]")
    add("words/card", "titles: {ours: Ours}\ncaptions: {ours: Of us.}")
    panel, words = found("panels/tmb"), found("words/card")
    assert panel == {
        **own("panels/tmb"),
        "fields": [*own("panels/tmb")["fields"], {"name": "ours_score", "type": "number"}],
        "rules": [*own("panels/tmb").get("rules", []), {"code": "ours"}],
    }
    assert words["titles"] == own("words/card")["titles"] | {"ours": "Ours"}
    assert {k: v for k, v in words.items() if k not in ("titles", "captions")} == {
        k: v for k, v in own("words/card").items() if k not in ("titles", "captions")
    }
    assert found("panels/pdl1") == own("panels/pdl1")


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("panels/tmb", "version: 9.9.9", "version"),
        ("panels/tmb", "fields: [{name: tmb}, {name: new}, {name: new}]", "fields.tmb, fields.new"),
        ("cycle", "features: [{feature: tmb}]", "features.tmb"),
        ("label_rules", "rules: [{id: eu_hnscc_pembrolizumab}]", "rules.eu_hnscc_pembrolizumab"),
        ("endpoints", "proxy_pfs6: {months: 3}", "proxy_pfs6.months"),
        ("ctdna", "visits: {weeks: [1]}", "visits.weeks"),
        ("ctdna", "responses: [clearance]", "responses"),
    ],
)
def test_what_is_taken_stays_and_is_said(add, name, text, place):
    path = add(name, text)
    with pytest.raises(StratifyError) as refused:
        found(name)
    assert str(refused.value) == (
        f"The package ours adds {place} in {path}, which is taken. Rename it, or uninstall the "
        "package."
    )


def test_a_file_that_cannot_be_read_is_said(add):
    path = add("units", "a: [")
    with pytest.raises(StratifyError, match=r"^The package ours has a file that cannot be read, "):
        found("units")
    path.write_text("- a\n", encoding="utf-8")
    with pytest.raises(StratifyError) as refused:
        found("units")
    assert str(refused.value) == f"The package ours has a file that is no mapping: {path}."


def test_a_file_of_a_name_that_is_not_ours_is_said(add):
    path = add("panels/tbm", "fields: []")
    with pytest.raises(StratifyError) as refused:
        found("units")
    assert str(refused.value) == (
        f"The package ours adds to panels/tbm.yaml, which stratify does not have: {path}. Name it "
        f"like a file of {schemas_folder()}."
    )


@pytest.fixture
def schemas(add: Add, monkeypatch: pytest.MonkeyPatch) -> Add:
    """As `add`, with dictionaries that are read anew."""
    monkeypatch.setattr(schema, "document", document.__wrapped__)
    monkeypatch.setattr(schema, "load_schema", schema.load_schema.__wrapped__)
    return add


NUMBER = "type: number, title: T, description: D."


def test_a_column_of_another_panel_is_taken_too(schemas):
    schemas("panels/ctdna", f"fields: [{{name: tmb, {NUMBER}}}]")
    with pytest.raises(StratifyError) as refused:
        schema._fields.__wrapped__()
    assert str(refused.value) == (
        "The panels tmb and ctdna both have a column tmb. Rename it in the package that adds it, "
        "or uninstall the package."
    )


def test_a_column_that_lacks_something_is_said(schemas):
    schemas("panels/tmb", f"fields: [{{name: ours, unit: mut/Mb, {NUMBER}}}]")
    with pytest.raises(StratifyError) as refused:
        schema.load_schema("tmb")
    assert str(refused.value) == (
        "The dictionary tmb has an entry ours that cannot be read: KeyError, 'accepted_units'. "
        "Correct it in the package that adds it."
    )


def test_versions_stay_and_a_member_of_a_family_may_have_an_entry_of_its_own(schemas):
    before = schema.panel_versions()
    schemas("panels/infiltration", f"fields: [{{name: signature_ours, {NUMBER}}}]")
    assert schema.panel_versions() == before
    assert schema._fields.__wrapped__()["signature_ours"].title == "T"


def test_a_response_of_ctdna_by_cut_offs_is_data(add, monkeypatch):
    add("ctdna", "responses: {ours: {levels: {none: 0, some: null}, source: S}}")
    monkeypatch.setattr("stratify.biomarkers.ctdna_course.document", document.__wrapped__)
    added = response_rules.__wrapped__()[-1]
    assert (added.name, added.levels) == ("ours", {"none": 0, "some": None})


def test_a_feature_is_placed_in_the_cycle(add, monkeypatch):
    place = "step: host, mechanism: frailty, direction: 1, evidence: none, source: S"
    add("cycle", f"features: [{{feature: ours, {place}}}]")
    monkeypatch.setattr("stratify.interpretation.cycle.document", document.__wrapped__)
    assert cycle.__wrapped__().assignment("ours").mechanism == "frailty"


def test_folders_are_those_of_packages_that_name_a_group_of_ours(tmp_path, monkeypatch):
    groups = {
        "with_data": "stratify.data",
        "without_data": "stratify.exports",
        "other": "console_scripts",
    }
    for package, group in {**groups, "absent": "stratify.data"}.items():
        if package != "absent":
            (tmp_path / package).mkdir()
            (tmp_path / package / "__init__.py").write_text("raise RuntimeError('imported')")
        if package in ("with_data", "other"):
            (tmp_path / package / "data_schemas").mkdir()
        info = tmp_path / f"{package}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{group}]\na = {package}:a\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert data_folders.__wrapped__() == {"with_data": tmp_path / "with_data" / "data_schemas"}


def test_a_figure_of_a_name_that_is_taken_is_refused(tmp_path, monkeypatch):
    name = COHORT_FIGURES[0].name
    (tmp_path / "our_figure.py").write_text(f"class Figure:\n    name = {name!r}\nfigure = Figure")
    info = tmp_path / "our_figure-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-figure\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[stratify.figures]\nf = our_figure:figure\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StratifyError, match=r"of the group stratify\.figures is named labels"):
        card_figures(None)

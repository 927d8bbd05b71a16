"""The data dictionaries hold together, and units convert exactly."""

from __future__ import annotations

import math
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import yaml

from stratify.endpoint import KINDS, endpoint_reasons, endpoint_rules
from stratify.errors import ArgumentError, BundleError
from stratify.tables.documents import read_yaml, schemas_folder
from stratify.tables.schema import (
    Field,
    convert,
    field_named,
    load_schema,
    long_panels,
    panel_versions,
    patient_panels,
    raw_panels,
    visit_panels,
)

FIELDS = {
    name: field
    for panel in patient_panels()
    for name, field in load_schema(panel).fields.items()
    if name != "patient_id"
}
NUMBERS = {name: field for name, field in FIELDS.items() if field.numeric}
RESULTS = (
    *("attributions", "attrition", "findings", "labels", "learning_curve", "meta_analysis"),
    *("performance", "scores"),
)


# ------------------------------------------------------------- dictionaries


def test_a_canonical_name_stands_in_one_panel():
    names = [n for p in patient_panels() for n in load_schema(p).fields if n != "patient_id"]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("panel", patient_panels())
def test_a_panel_has_a_version_a_title_and_a_unique_identifier(panel):
    schema = load_schema(panel)
    assert schema.name == panel
    assert schema.version == panel_versions()[panel]
    assert schema.title
    assert schema.fields["patient_id"].role == "identifier"
    assert schema.fields["patient_id"].unique


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_says_what_it_is(name):
    field = FIELDS[name]
    assert field.title
    assert field.description.endswith(".")
    assert field.type in ("string", "number", "integer", "boolean", "date")
    assert field.role in ("feature", "alternative", "design", "outcome", "comparator")
    assert field.available_at == "baseline" or field.available_at.startswith("week_")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_has_a_unit_and_nested_limits(name):
    field = NUMBERS[name]
    if name != "start_year":
        assert field.unit in field.accepted_units
        assert field.accepted_units[field.unit] == 1
    assert field.minimum is not None
    assert field.maximum is not None
    for inner, outer in (
        (field.limits, (field.minimum, field.maximum)),
        (field.typical, field.limits or (field.minimum, field.maximum)),
        (field.cap, (field.minimum, field.maximum)),
    ):
        if inner is not None:
            assert outer[0] <= inner[0] < inner[1] <= outer[1]


@pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if f.enum])
def test_levels_differ_in_more_than_case(name):
    levels = FIELDS[name].enum
    assert len({level.lower() for level in levels}) == len(levels)


@pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if f.direction])
def test_a_direction_is_one_way_and_has_its_source(name):
    assert set(FIELDS[name].direction.values()) <= {-1, 1}
    assert FIELDS[name].reference
    assert FIELDS[name].enters_models


@pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if f.type == "date"])
def test_dates_are_never_features(name):
    assert FIELDS[name].role == "design"


def test_no_direction_stands_for_pdl1_and_infiltration():
    several = {n: f for n, f in FIELDS.items() if f.panel in ("pdl1", "infiltration")}
    assert [name for name, field in several.items() if field.direction] == []


@pytest.mark.parametrize("panel", patient_panels())
def test_rules_and_times_name_columns_of_their_panel(panel):
    schema = load_schema(panel)
    codes = load_schema("findings").codes
    for rule in schema.rules:
        assert {rule["column"], rule["at_least"]} <= set(schema.fields)
        assert rule["code"] in codes
        assert "many" not in rule or rule["many"]["code"] in codes
    for field in schema.fields.values():
        assert field.time is None or field.time in schema.fields


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_table_describes_its_columns(name):
    for field in load_schema(name).fields.values():
        assert field.title
        assert field.description.endswith(".")


CONSTRAINTS = {"required", "unique", "minimum", "maximum", "enum"}
KEYS = {field.name for field in fields(Field)} - {"panel"} - CONSTRAINTS | {"constraints", "levels"}


@pytest.mark.parametrize("name", [*patient_panels(), *RESULTS])
def test_a_dictionary_has_no_mistyped_key(name):
    folder = "panels" if name in patient_panels() else "results"
    document = read_yaml((schemas_folder() / folder / f"{name}.yaml").read_text(encoding="utf-8"))
    for entry in document["fields"]:
        assert set(entry) <= KEYS
        assert set(entry.get("constraints", {})) <= CONSTRAINTS
        assert set(entry.get("levels", {})) <= set(entry.get("constraints", {}).get("enum", ()))


@pytest.mark.parametrize("rule", endpoint_rules())
def test_an_endpoint_rule_names_its_states_and_reasons(rule):
    entry = endpoint_rules()[rule]
    states = {entry.positive, *entry.negatives}
    assert states <= set(load_schema("labels").fields["state"].enum)
    assert type(entry) in KINDS.values()
    assert set(entry.needs) | set(entry.uses) <= set(load_schema("outcomes").fields)


def test_every_reason_has_a_meaning_and_a_state():
    states = set(load_schema("labels").fields["state"].enum)
    for code, reason in endpoint_reasons().items():
        assert reason["meaning"].endswith("."), code
        assert reason["state"] in states, code


def test_panels_and_visits_are_known_by_the_dictionaries_alone():
    assert patient_panels()[0] == "clinical"
    assert patient_panels()[-1] == "outcomes"
    assert visit_panels() == ("visits", "lesions")
    assert raw_panels() == ("mutations", "plasma_variants", "plasma_draws", "regions")
    assert long_panels() == visit_panels() + raw_panels()
    draws = load_schema("plasma_draws").fields["draw_visit"]
    assert list(draws.weeks) == list(draws.enum)
    assert {field.available_at for field in FIELDS.values()} <= set(draws.enum)


def test_a_family_stands_for_its_members_and_not_for_itself():
    fields = load_schema("infiltration").fields
    assert fields["signature_tgf_beta"].title == "Expression signature: tgf beta"
    assert fields["signature_tgf_beta"].family is None
    assert fields.entry_of("mcpcounter_t_cells") == "mcpcounter_*"
    assert [name for name in ("signature_", "my_signature_x", "signature") if name in fields] == []


def test_unknown_names_are_told_with_near_ones():
    with pytest.raises(ArgumentError) as unknown:
        field_named("albumine")
    assert str(unknown.value) == "No panel has a column named 'albumine'; near names are albumin."
    with pytest.raises(ArgumentError) as unknown:
        load_schema("imaging")
    names = sorted(path.stem for path in schemas_folder().glob("*/*.yaml"))
    assert str(unknown.value) == (
        f"No data dictionary is named 'imaging'; there are {', '.join(names)}."
    )


def test_missing_dictionaries_are_told_with_both_places(monkeypatch, tmp_path):
    place = str(tmp_path / "stratify" / "tables" / "documents.py")
    monkeypatch.setattr("stratify.tables.documents.__file__", place)
    with pytest.raises(BundleError) as missing:
        schemas_folder()
    assert str(missing.value) == (
        f"The data dictionaries are missing: neither {tmp_path}/stratify/data_schemas nor "
        f"{tmp_path}/data_schemas holds units.yaml. Reinstall stratify-immuno."
    )


# ------------------------------------------------------------- units

KNOWN = [
    # value, unit, column, canonical value, source of the factor
    pytest.param(38.0, "g/L", "albumin", 3.8, id="1 dL is 0.1 L"),
    pytest.param(182.625, "days", "pfs", 6.0, id="a month is 365.25 / 12 days"),
    pytest.param(0.5, "years", "pfs", 6.0, id="a year is 12 months"),
    pytest.param(487 / 16 / 7, "weeks", "pfs", 1.0, id="a week is 7 days"),
    pytest.param(6500.0, "cells/uL", "neutrophils", 6.5, id="10^9/L is 1000 cells/uL"),
    pytest.param(6.5, "10^3/uL", "neutrophils", 6.5, id="10^9/L is 10^3/uL"),
    pytest.param(8.0, "mmol/L", "hemoglobin", 12.8912, id="haemoglobin monomer 16114 g/mol"),
    pytest.param(0.5, "fraction", "pdl1_tps", 50.0, id="50 percent is one half"),
    pytest.param(12.5, "percent", "ctdna_max_vaf", 0.125, id="12.5 percent is one eighth"),
    pytest.param(0.01, "ug/mL", "cfdna_concentration", 10.0, id="a microgram is 1000 ng"),
    pytest.param(5.4, "cm", "sum_of_diameters", 54.0, id="1 cm is 10 mm"),
    pytest.param(0.0004, "cells/um2", "cd8_density", 400.0, id="1 mm2 is 10^6 um2"),
    pytest.param(780.0, "months", "age", 65.0, id="65 years are 780 months"),
]


@pytest.mark.parametrize(("value", "unit", "column", "canonical"), KNOWN)
def test_known_conversions_hold_to_the_last_digit(value, unit, column, canonical):
    assert convert(value, unit, column) == pytest.approx(canonical, rel=1e-15, abs=0)
    assert convert(canonical, unit, column, back=True) == pytest.approx(value, rel=1e-15, abs=0)


def test_factors_are_exact():
    assert field_named("pfs").accepted_units["days"] == Fraction(16, 487)
    assert field_named("hemoglobin").accepted_units["mmol/L"] == Fraction(16114, 10000)


def test_arrays_and_series_keep_their_kind_and_are_not_modified():
    series = pd.Series([38.0, math.nan], index=[4, 9])
    assert convert(series, "g/L", "albumin").to_dict() == pytest.approx(
        {4: 3.8, 9: math.nan}, nan_ok=True
    )
    assert series.iloc[0] == 38.0
    assert convert(np.array([38.0]), "g/L", "albumin").tolist() == [3.8]


@pytest.mark.parametrize(
    ("column", "unit", "message"),
    [
        ("albumin", "mol", "albumin cannot be read in 'mol'; accepted units are g/dL, g/L."),
        ("sex", "g/L", "sex cannot be read in 'g/L'; accepted units are none."),
    ],
)
def test_a_foreign_unit_is_refused(column, unit, message):
    with pytest.raises(ArgumentError) as refused:
        convert(1.0, unit, column)
    assert str(refused.value) == message


# ------------------------------------------------------------- YAML


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("true", True),
        ("False", False),
        *((word, word) for word in ("Yes", "no", "Y", "N", "on", "Off")),
        ("007", "007"),
        ("0", 0),
        ("-12", -12),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1e3", "1e3"),
        ("1:20", "1:20"),
        ("2024-01-05", "2024-01-05"),
        ("1_000", "1_000"),
        ("null", None),
        ("~", None),
    ],
    ids=str,
)
def test_scalars_are_read_as_codings_mean_them(scalar, value):
    read = read_yaml(f"coding: {{key: {scalar}}}")["coding"]["key"]
    assert read == value
    assert type(read) is type(value)


def test_a_key_that_stands_twice_is_refused_and_anchors_may_be_overridden():
    assert read_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}")["b"] == {"x": 3, "y": 2}
    with pytest.raises(yaml.YAMLError) as twice:
        read_yaml("a: 1\nb:\n  - {c: 1}\n  - d: 1\n    d: 2\na: 3\n")
    assert twice.value.problem == (
        "in line 5 the key 'd' stands a second time; in line 6 the key 'a' stands a second time"
    )

"""The cancer-immunity cycle as data: complete, sourced, and careful in what it says."""

from __future__ import annotations

import pytest

from stratify.interpretation.cycle import cycle
from stratify.tables.documents import schemas_folder
from stratify.tables.schema import known_field, load_schema, patient_panels


def test_every_feature_of_the_dictionaries_is_assigned_to_a_step():
    features = [
        name
        for panel in patient_panels()
        for name, field in load_schema(panel).fields.items()
        if field.enters_models
    ]
    assigned = {name: cycle().assignment(name) for name in features}
    missing = {name: found.step for name, found in assigned.items() if found.by_panel}
    assert not missing, (
        f"data_schemas/cycle.yaml assigns no step to {', '.join(missing)}: add an entry with step, "
        "mechanism, evidence and source under `features`. By panel they would stand at "
        f"{', '.join(f'{name}: {step}' for name, step in missing.items())}."
    )


def test_each_panel_of_features_has_a_default_step():
    with_features = {
        panel
        for panel in patient_panels()
        if any(f.role == "feature" for f in load_schema(panel).fields.values())
    }
    assert with_features == set(cycle().panels)
    assert set(cycle().panels.values()) <= {step.id for step in cycle().steps}


def test_a_feature_without_an_entry_stands_at_the_step_of_its_panel_without_evidence():
    bare = cycle().model_copy(update={"features": []})
    found = bare.assignment("albumin")
    assert (found.step, found.mechanism, found.evidence) == ("host", "none", "none")
    assert found.by_panel


def test_steps_and_mechanisms_named_by_features_and_partners_exist():
    steps = {step.id for step in cycle().steps}
    for entry in cycle().features:
        assert {entry.step, *entry.also} <= steps, entry.feature
        assert entry.mechanism in cycle().mechanisms, entry.feature
    for partner in cycle().partners:
        assert set(partner.steps) <= {step.id for step in cycle().numbered}, partner.id
        for condition in [*partner.markers, *partner.unless]:
            assert known_field(condition.feature) is not None, partner.id
            assert (condition.below is None) != (condition.equals is None), partner.id
        known = known_field("cancer_type").enum
        assert set(partner.cancer_types) <= set(known), partner.id


def test_the_seven_steps_are_those_of_the_cycle_in_their_order():
    order = ["release", "presentation", "priming", "trafficking"]
    order += ["infiltration", "recognition", "killing"]
    assert [(step.number, step.id) for step in cycle().numbered] == list(enumerate(order, 1))


def test_whatever_has_evidence_has_a_source():
    for entry in cycle().features:
        assert entry.source or (entry.evidence == "none" and entry.step == "unmapped"), (
            entry.feature
        )


def test_nothing_that_was_not_verified_is_shipped():
    text = (schemas_folder() / "cycle.yaml").read_text(encoding="utf-8")
    assert "unverified" not in text
    # identifiers and figures that were written down from memory
    doubted = ["10.1016/j.immuni.2013.07.012", "33264544", "25428505", "31125062", "41.7"]
    doubted += ["s41591-019-0432-4", "path.6274", "NEPTUNE", "TiNivo", "PIVOT"]
    for doubtful in doubted:
        assert doubtful not in text, doubtful


def test_each_partner_class_tells_both_sides_a_caution_and_claims_no_benefit():
    assert cycle().wording["hypothesis"] == "Hypothesis, not a prediction of benefit."
    for partner in cycle().partners:
        assert partner.evidence_for, partner.id
        assert partner.evidence_against, partner.id
        assert partner.caution.endswith("."), partner.id
        assert partner.steps or partner.markers, partner.id
        told = " ".join([partner.title, partner.caution])
        assert "recommend" not in told.lower(), partner.id
        assert " mg" not in told, partner.id


def test_host_and_burden_give_no_hint_of_a_therapy():
    hinted = {step for partner in cycle().partners for step in partner.steps}
    assert not hinted & {"host", "burden", "monitoring", "unmapped"}


def test_sex_and_age_are_never_a_mechanism():
    assert {cycle().assignment(name).mechanism for name in ("sex", "age")} == {"none"}


@pytest.mark.parametrize(
    ("feature", "step"),
    [
        ("tmb", "release"),
        ("ever_smoker", "release"),
        ("hed", "presentation"),
        ("tls", "priming"),
        ("chemokines12", "trafficking"),
        ("immune_phenotype", "infiltration"),
        ("f_tbrs", "infiltration"),
        ("fraction_genome_altered", "infiltration"),
        ("hla_loh", "recognition"),
        ("pdl1_cps", "killing"),
        ("pdl1_tc3_ic3", "killing"),
        ("cells_treg", "killing"),
        ("nlr", "host"),
        ("ecog", "host"),
        ("ldh_ratio", "burden"),
        ("ctdna_max_vaf", "burden"),
        ("ctdna_ratio_week_6", "monitoring"),
        ("cancer_type", "unmapped"),
        ("signature_my_own", "unmapped"),
        ("signature_TGFb_pan", "infiltration"),
        ("cibersortx_treg", "killing"),
        ("quantiseq_cd8", "infiltration"),
    ],
)
def test_features_stand_at_the_step_of_the_mechanism_map(feature, step):
    assert cycle().assignment(feature).step == step

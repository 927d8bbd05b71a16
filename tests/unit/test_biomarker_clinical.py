"""Clinical data: indices of blood counts, scores by their points, cancer types as written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.biomarkers import clinical
from stratify.biomarkers.derivation import DerivationRules, with_derivations
from stratify.biomarkers.derivations import derivations
from stratify.tables.findings import Findings
from stratify.tables.schema import convert, field_named

nan = np.nan
law = settings(max_examples=50, deadline=None, derandomize=True)


def indices(**columns: float) -> dict[str, float]:
    patients = pd.DataFrame({k: [float(v)] for k, v in columns.items()})
    return with_derived_columns(patients, Findings()).drop(columns=[*columns]).T[0].to_dict()


def with_derived_columns(patients: pd.DataFrame, findings: Findings) -> pd.DataFrame:
    return with_derivations(patients, derivations(), DerivationRules(), "home", findings)


def test_every_index_has_a_column_of_the_dictionary():
    for index in clinical.indices():
        assert {field_named(name).panel for name in (*index.gives, *index.needs)} == {"clinical"}


def test_indices_of_one_patient():
    """By hand: 6.2/1.3; 6.2/(8.4 - 6.2); 280/1.3; 280 x 6.2/1.3; 36 + 6.5."""
    found = indices(neutrophils=6.2, lymphocytes=1.3, leukocytes=8.4, platelets=280, albumin=3.6)
    assert found == pytest.approx(
        {"nlr": 4.769231, "dnlr": 2.818182, "plr": 215.384615, "sii": 1335.384615, "pni": 42.5},
        abs=1e-6,
    )


@pytest.mark.parametrize(
    ("dnlr", "ldh_ratio", "lipi"),
    [
        (3.0, 1.0, 0),
        (3.01, 1.0, 1),
        (3.0, 1.01, 1),
        (5.0, 2.0, 2),
        (nan, 2.0, nan),
        (5.0, nan, nan),
    ],
)
def test_lipi(dnlr, ldh_ratio, lipi):
    """Mezquita 2018, 10.1001/jamaoncol.2017.4771: dNLR above 3, LDH above its upper limit."""
    white, neutrophils = 1 + dnlr, dnlr  # so that the quotient is dNLR
    found = indices(leukocytes=white, neutrophils=neutrophils, ldh=ldh_ratio, ldh_upper_limit=1)
    assert found["lipi"] == pytest.approx(lipi, nan_ok=True)


@pytest.mark.parametrize(
    ("ldh_ratio", "albumin", "sites", "score"),
    [
        (1.0, 3.5, 2, 0),
        (1.1, 3.5, 2, 1),
        (1.0, 3.4, 2, 1),
        (1.0, 3.5, 3, 1),
        (1.1, 3.4, 3, 3),
        (nan, 3.4, 3, nan),
    ],
)
def test_rmh_score(ldh_ratio, albumin, sites, score):
    """One point for LDH > ULN, albumin < 35 g/L, more than two sites (10.1002/cncr.26413)."""
    found = indices(ldh=ldh_ratio, ldh_upper_limit=1, albumin=albumin, metastatic_sites=sites)
    assert found["rmh_score"] == pytest.approx(score, nan_ok=True)


def test_a_reported_index_stays_serves_others_and_is_compared():
    patients = pd.DataFrame(
        {"ldh_ratio": [2.0, nan], "ldh": [300.0, 300.0], "ldh_upper_limit": 250.0}
        | {"albumin": 3.0, "metastatic_sites": 1.0}
    )
    told = Findings()
    together = with_derived_columns(patients, told)
    assert together["ldh_ratio"].tolist()[0] == 2.0
    assert together["rmh_score"].tolist() == [2.0, 2.0]
    assert [row["message"] for row in told.rows] == [
        "blood counts: ldh_ratio as derived differs from what is reported in 1 of 1 patients; the "
        "reported one is used.",
        "blood counts: ldh_ratio of 1 patients, for whom it is not reported.",
    ]
    assert together["ldh_ratio"].tolist()[1] == 1.2


def test_nothing_follows_from_nothing():
    patients = pd.DataFrame({"age": [60.0], "neutrophils": [4.0]})
    assert with_derived_columns(patients, Findings()) is patients


@law
@given(
    st.floats(0.1, 30),
    st.floats(0.1, 10),
    st.floats(1, 900),
    st.sampled_from(["10^9/L", "cells/uL"]),
)
def test_indices_do_not_depend_on_the_unit_of_the_file(neutrophils, lymphocytes, platelets, unit):
    counts = {"neutrophils": neutrophils, "lymphocytes": lymphocytes, "platelets": platelets}
    given_ = {name: convert(value, unit, name, back=True) for name, value in counts.items()}
    read = {name: convert(value, unit, name) for name, value in given_.items()}
    assert indices(**read) == pytest.approx(indices(**counts), rel=1e-12)


@law
@given(st.floats(0, 30), st.floats(0, 10), st.floats(0, 900))
def test_ratios_are_finite_or_missing(neutrophils, lymphocytes, platelets):
    found = indices(
        neutrophils=neutrophils,
        lymphocytes=lymphocytes,
        platelets=platelets,
        leukocytes=neutrophils + lymphocytes,
    )
    assert not any(np.isinf(value) for value in found.values())
    assert all(np.isnan(value) or value >= 0 for value in found.values())


def test_units_of_ldh():
    assert convert(4.2, "ukat/L", "ldh") == 252.0


@pytest.mark.parametrize(
    ("text", "cancer"),
    [
        ("LUAD", "nsclc"),
        ("Lung Adenocarcinoma", "nsclc"),
        ("Non-Small Cell Lung Cancer", "nsclc"),
        ("SCLC", "sclc"),
        ("SKCM", "melanoma"),
        ("UM", "melanoma"),
        ("CCRCC", "renal"),
        ("Renal Cell Carcinoma", "renal"),
        ("GEJ", "gastric"),
        ("ESCC", "oesophageal"),
        ("UTUC", "bladder"),
        ("HNSC", "head_and_neck"),
        ("Head & Neck", "head_and_neck"),
        ("COADREAD", "colorectal"),
        ("HCC", "hepatobiliary"),
        ("OV", "ovarian"),
        ("CSCC", "skin_nonmelanoma"),
        ("GBM", "glioma"),
        ("CUPNOS", "unknown_primary"),
        ("endometrial", "endometrial"),
    ],
)
def test_cancer_types_are_read_from_codes_and_words(text, cancer):
    from stratify.tables.levels import plain_text

    assert field_named("cancer_type").spellings[plain_text(text)] == cancer


def test_no_spelling_means_two_cancer_types():
    from stratify.tables.documents import read_yaml, schemas_folder
    from stratify.tables.levels import plain_text

    text = (schemas_folder() / "panels" / "clinical.yaml").read_text(encoding="utf-8")
    entry = next(f for f in read_yaml(text)["fields"] if f["name"] == "cancer_type")
    levels = entry["constraints"]["enum"]
    spelt = [(plain_text(t), level) for level in levels for t in (level, *entry["synonyms"][level])]
    twice = {text for text, _ in spelt if len({level for t, level in spelt if t == text}) > 1}
    assert twice == set()

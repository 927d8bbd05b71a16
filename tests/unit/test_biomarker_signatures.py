"""Expression signatures: values by hand and by another program, laws, coverage, the reference."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from stratify.biomarkers.expression_reference import ExpressionReference
from stratify.biomarkers.expression_signatures import signature_findings
from stratify.biomarkers.signatures import score_signatures, signature_coverage, signatures
from stratify.errors import ArgumentError
from stratify.tables.measurements import ExpressionMatrix
from stratify.tables.schema import load_schema, signature_sets

GENES = sorted(signature_sets()["genes"])
GEP = signatures()["gep"]
OTHERS = [f"GENE{i}" for i in range(10_000 - len(GEP.weights))]
TPM = ExpressionMatrix(unit="TPM")


@pytest.fixture(scope="module")
def expression() -> pd.DataFrame:
    """Twelve patients, the genes of all signatures, log2(TPM + 1)."""
    rng = np.random.default_rng(11)
    return pd.DataFrame(rng.gamma(2, 2, (12, len(GENES))), columns=GENES)


def of_one(**genes: float) -> pd.Series:
    """Scores of a patient in whom only the named genes are measured."""
    return score_signatures(pd.DataFrame([genes]), TPM).iloc[0]


def test_every_signature_has_a_column_of_the_dictionary(expression):
    fields = load_schema("infiltration").fields | load_schema("pdl1").fields
    scores = score_signatures(expression, TPM)

    assert list(scores) == list(signatures())
    for name in scores.drop(columns="gep_ssgsea"):
        assert scores[name].between(fields[name].minimum, fields[name].maximum).all()
    for signature in signatures().values():
        assert re.search(r"[A-Z][a-z]+ 20\d\d, 10\.\d{4}/\S+", signature.source)
        assert fields[signature.name].role == "feature"
        assert fields[signature.name].direction == {}


def test_means_by_hand():
    scores = of_one(GZMA=3.0, PRF1=5.0, CD8A=1.0, CD8B=2.0, FOXP3=0.25)

    assert scores["cyt"] == 4.0
    assert scores["cells_cd8"] == 1.5
    assert scores["cells_treg"] == 0.25
    assert scores[["gep", "ifng6", "tls", "impres", "cells_b"]].isna().all()


def test_cyt_is_the_geometric_mean():
    """Rooney 2015, 10.1016/j.cell.2014.12.033, on the scale of logarithms."""
    tpm = np.array([30.0, 7.0])
    score = of_one(**dict(zip(["GZMA", "PRF1"], np.log2(tpm + 1), strict=True)))["cyt"]

    assert 2**score == pytest.approx(np.sqrt(31 * 8))


def test_gep_by_hand():
    """Each gene at 1, then STAT1 at 3: the sum of the weights, and twice its weight."""
    genes = dict.fromkeys(GEP.weights, 1.0) | dict.fromkeys(GEP.housekeeping, 0.0)

    assert of_one(**genes)["gep"] == pytest.approx(1.142788, abs=1e-6)
    assert of_one(**genes | {"STAT1": 3.0})["gep"] == pytest.approx(1.142788 + 2 * 0.250229)


def test_gep_does_not_depend_on_depth(expression):
    """Housekeeping genes take up what all genes of a patient have in common."""
    deeper = expression.add(np.linspace(0, 3, len(expression)), axis=0)
    one, other = score_signatures(expression, TPM), score_signatures(deeper, TPM)

    np.testing.assert_allclose(other["gep"], one["gep"])
    np.testing.assert_allclose(other["impres"], one["impres"])
    assert (other["cyt"] >= one["cyt"]).all()


def test_impres_counts_pairs():
    """Auslander 2018: 15 pairs, the first above the second; equal ones do not count."""
    genes = sorted({gene for pair in signatures()["impres"].pairs for gene in pair})
    pairs = signatures()["impres"].pairs
    values = {gene: float(place) for place, gene in enumerate(genes)}

    assert len(pairs) == len(set(pairs)) == 15
    assert of_one(**dict.fromkeys(genes, 2.0))["impres"] == 0
    assert of_one(**values)["impres"] == sum(values[a] > values[b] for a, b in pairs)
    assert of_one(**dict.fromkeys(genes, 0.0) | {"CD40": 1.0})["impres"] == 4


def test_ssgsea_as_by_gseapy():
    """gseapy 1.3.1, `ssgsea(sample_norm_method="rank")`, divided by the 10,000 genes.

    The matrix has no ties, by which programs differ.
    """
    place = np.arange(1, 10_001)
    matrix = pd.DataFrame(
        {"a": np.log2(place * 7919 % 10_007 + 1.0), "b": np.log2(place * 104_729 % 10_007 + 1.0)},
        index=[*signatures()["gep_ssgsea"].weights, *OTHERS],
    ).T

    scores = score_signatures(matrix, TPM)["gep_ssgsea"]

    assert scores.tolist() == pytest.approx([0.060610627409859175, 0.07990726045547208], abs=1e-12)


def test_ssgsea_knows_ranks_only_and_ends_at_the_ends():
    genes = list(signatures()["gep_ssgsea"].weights)
    rng = np.random.default_rng(5)
    matrix = pd.DataFrame(rng.gamma(1, 3, (3, 10_000)), columns=[*genes, *OTHERS])
    matrix.loc[1, genes], matrix.loc[2, genes] = 99.0, -1.0
    scores = score_signatures(matrix, TPM)["gep_ssgsea"]
    shuffled = matrix[rng.permutation(matrix.columns)] ** 3

    assert scores[1] == pytest.approx(0.5)
    assert scores[2] == pytest.approx(-0.5)
    np.testing.assert_allclose(score_signatures(shuffled, TPM)["gep_ssgsea"], scores)


def test_a_patient_does_not_depend_on_the_others(expression):
    together = score_signatures(expression, TPM)
    alone = pd.concat([score_signatures(expression.iloc[[i]], TPM) for i in range(12)])
    columns = score_signatures(expression[expression.columns[::-1]], TPM)

    pd.testing.assert_frame_equal(alone, together)
    pd.testing.assert_frame_equal(columns, together)


# -- coverage --------------------------------------------------------------------------------------


def test_what_is_measured_stands_for_the_rest():
    """Eight of nine genes: their mean; seven of nine are less than 80 %."""
    genes = {gene: float(i) for i, gene in enumerate(signatures()["cells_b"].genes)}
    eight = {gene: value for gene, value in genes.items() if gene != "FAM30A"}
    seven = {gene: value for gene, value in eight.items() if gene != "BLK"}

    assert of_one(**genes)["cells_b"] == pytest.approx(4)
    assert of_one(**eight)["cells_b"] == pytest.approx(np.mean(list(eight.values())))
    assert np.isnan(of_one(**seven)["cells_b"])


def test_coverage_counts_weights_and_housekeeping_genes():
    """Without STAT1, a sixth to a quarter of the weight is lost; 8 of 11 are too few."""
    genes = dict.fromkeys([*GEP.weights, *GEP.housekeeping], 1.0)
    without = {gene: value for gene, value in genes.items() if gene != "STAT1"}
    house = {gene: v for gene, v in genes.items() if gene not in ("UBB", "TBP", "SDHA")}
    little = {gene: value for gene, value in genes.items() if gene != "PDCD1LG2"}

    assert of_one(**genes)["gep"] == pytest.approx(0)
    assert np.isnan(of_one(**without)["gep"])
    assert np.isnan(of_one(**house)["gep"])
    assert of_one(**little)["gep"] == pytest.approx(0)


def test_coverage_is_that_of_the_patient(expression):
    gaps = expression.copy()
    gaps.iloc[3, gaps.columns.get_loc("PRF1")] = np.nan

    missing = score_signatures(gaps, TPM)["cyt"].isna()

    assert missing[missing].index.tolist() == [expression.index[3]]


def test_what_is_said_of_coverage(expression):
    absent = ["FAM30A", "PRF1", *signatures()["tls"].genes[:4]]

    found = signature_findings(expression.drop(columns=absent), TPM, name="m.csv")

    assert [(each["code"], each["n"], each["message"]) for each in found.rows] == [
        (
            "gene_coverage_low",
            2,
            "m.csv: less than 80 % of the genes by weight, not scored: cyt (50 %, without PRF1), "
            "tls (56 %, without CCR6, CD1D, CD79B, CETP).",
        ),
        ("genes_not_comparable", 1, "m.csv: gep_ssgsea needs 10000 genes."),
        (
            "gene_coverage_partial",
            2,
            "m.csv: scored without some genes: cells_b (89 %, without FAM30A), cells_cytotoxic "
            "(90 %, without PRF1).",
        ),
    ]


def test_coverage_tells_what_is_scored(expression):
    matrix = expression.drop(columns=["CD8B", "STAT1", "TBX21"])
    coverage = signature_coverage(matrix, TPM).set_index("signature")
    scored = score_signatures(matrix, TPM).notna().all()

    assert (coverage["lacks"] == "").to_dict() == scored.to_dict()
    assert coverage.loc["cells_cd8", ["n_genes", "n_measured", "share"]].tolist() == [2, 1, 0.5]


@pytest.mark.parametrize("unit", ["counts", "CPM", "normalised"])
def test_genes_are_compared_with_each_other_by_length_only(expression, unit):
    settings = ExpressionMatrix(unit=unit)
    scores = score_signatures(expression, settings)
    found = signature_findings(expression, settings, name="m.csv")

    assert scores[["impres", "gep_ssgsea"]].isna().all(axis=None)
    assert scores.drop(columns=["impres", "gep_ssgsea"]).notna().all(axis=None)
    assert found.messages() == ["m.csv: gep_ssgsea needs TPM or FPKM; impres needs TPM or FPKM."]


# -- the reference ---------------------------------------------------------------------------------


def test_one_patient_is_scored_alone_against_training_patients(expression):
    train, new = expression.iloc[:8], expression.iloc[8:]
    reference = ExpressionReference.fit(train, TPM)
    read = ExpressionReference.from_json(json.loads(json.dumps(reference.to_json())))

    together = score_signatures(new, TPM, reference)
    alone = pd.concat([score_signatures(new.iloc[[i]], TPM, read) for i in range(len(new))])

    assert read == reference
    pd.testing.assert_frame_equal(alone, together)


def test_training_patients_lie_around_zero(expression):
    reference = ExpressionReference.fit(expression, TPM)
    scaled = reference.transform(expression)
    scores = score_signatures(expression, TPM, reference)

    assert scaled.mean().abs().max() < 1e-3
    assert scaled.std().to_numpy() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(scores["cyt"], scaled[["GZMA", "PRF1"]].mean(axis=1))
    np.testing.assert_allclose(
        scores["gep"], scaled[list(GEP.weights)] @ list(GEP.weights.values())
    )
    assert scores["impres"].tolist() == score_signatures(expression, TPM)["impres"].tolist()


def test_the_reference_holds_no_patient_and_no_gene_that_does_not_vary(expression):
    constant = expression.assign(PRF1=2.0)
    reference = ExpressionReference.fit(constant, TPM)

    assert set(reference.to_json()) == {"unit", "n_patients", "genes"}
    assert set(GENES) - set(reference.genes) == {"PRF1"}
    assert score_signatures(constant, TPM, reference)["cyt"].isna().all()


def test_a_reference_of_another_unit_is_refused(expression):
    reference = ExpressionReference.fit(expression, ExpressionMatrix(unit="counts"))
    message = (
        r"^reference was learned from CPM, but the matrix is in TPM; the unit of the training "
        r"patients is expected\.$"
    )

    with pytest.raises(ArgumentError, match=message):
        score_signatures(expression, ExpressionMatrix(unit="FPKM"), reference)

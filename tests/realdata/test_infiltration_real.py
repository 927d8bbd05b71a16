"""Immune infiltration in the public cohorts: signatures from expression against published ones.

The published columns (Shen 2025, medRxiv 2025.05.01.25326820) are mean log expressions of another
quantification of the same runs, scaled over all cohorts.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stratify import Study, read_cohort
from stratify.biomarkers.deconvolution import read_deconvolution
from stratify.biomarkers.expression import read_expression, read_matrix
from stratify.biomarkers.expression_reference import ExpressionReference
from stratify.biomarkers.expression_signatures import signature_findings
from stratify.biomarkers.signatures import score_signatures, signatures
from stratify.cohort.feature_plan import FeaturePlan
from stratify.cohort.training_scales import TrainingScales
from stratify.tables.measurements import DeconvolutionTable, ExpressionMatrix
from stratify.tables.schema import signature_sets

pytestmark = pytest.mark.realdata

SETTINGS = ExpressionMatrix(unit="TPM", scale="log2", offset=0.001)
FILES = {"Gide": "Gide2019_antiPD1_arm", "Riaz": "Riaz2017_pre", "Hugo": "Hugo2016"}
PATIENTS = {"Gide": 41, "Riaz": 46, "Hugo": 26}  # of 27 of Hugo one has no published signatures
# The same genes, or all but one
SAME = {
    "cyt": "CytoxAct_Rooney",
    "ifng6": "Ayers_IFNg6",
    "f_tbrs": "TGFb_pan",
    "tls": "TLS_v1_Cabrita20",
    "chemokines12": "Messina_CKS",
    "cells_cd8": "CD8Tcell_sc",
    "cells_b": "Bcell_l_Danaher17",
    "cells_cytotoxic": "Cytotoxic_l_Danaher17",
    "cells_exhausted_cd8": "ExhCD8Tcell_l_Danaher17",
    "cells_macrophage": "Macrophage_l_Danaher17",
    "cells_mast": "Mast_l_Danaher17",
    "cells_nk": "NK_l_Danaher17",
    "cells_nk_cd56dim": "CD56dimNK_l_Danaher17",
    "cells_t": "Tcell_l_Danaher17",
}


@pytest.fixture(scope="module")
def expressions(public_data: Path) -> dict[str, pd.DataFrame]:
    """log2(TPM + 1) by cohort, under the names of the published signatures."""
    folder = public_data / "itrp"
    names = pd.read_csv(folder / "clinical.csv", usecols=["Index", "cohort"])
    runs = pd.read_csv(folder / "gide_run_ids.csv").set_index("rnaseq_id")["Index"]
    read = {}
    for cohort, file in FILES.items():
        table = read_matrix(public_data / "expression" / f"{file}.log2tpm.parquet")
        expression, found = read_expression(table, SETTINGS)
        assert found.rows == []
        assert expression is not None
        index = names.loc[names["cohort"] == cohort, "Index"]
        before = index[index.str.contains("Pre|baseline")]
        own = {name.split("_")[0].split("-")[0]: name for name in before}
        read[cohort] = expression.rename(index=runs if cohort == "Gide" else own)
    return read


@pytest.fixture(scope="module")
def published(public_data: Path) -> pd.DataFrame:
    return pd.read_csv(public_data / "itrp" / "signatures.csv.gz").set_index("Index")


def spearman(expression: pd.DataFrame, published: pd.DataFrame, own: str, column: str) -> float:
    scores = score_signatures(expression, SETTINGS)[own]
    both = scores.index.intersection(published.index)
    return float(scores[both].corr(published.loc[both, column], method="spearman"))


def test_the_patients_are_found(expressions, published):
    found = {c: int(e.index.isin(published.index).sum()) for c, e in expressions.items()}

    assert found == PATIENTS


@pytest.mark.parametrize("cohort", FILES)
@pytest.mark.parametrize("own", SAME)
def test_signatures_of_the_same_genes_agree(expressions, published, cohort, own):
    """From 0.919 (NK cells in Gide: three genes, hardly expressed) to 0.999; CYT 0.99."""
    rho = spearman(expressions[cohort], published, own, SAME[own])

    assert rho >= (0.98 if own in ("cyt", "ifng6", "cells_cd8") else 0.9)


@pytest.mark.parametrize(("cohort", "rho"), [("Gide", 0.920), ("Riaz", 0.963), ("Hugo", 0.951)])
def test_gep_against_the_expanded_immune_signature(expressions, published, cohort, rho):
    """Another list: 7 of 18 genes are shared, and GEP has weights and housekeeping genes."""
    found = spearman(expressions[cohort], published, "gep", "Ayers_IFNg18")

    assert found == pytest.approx(rho, abs=0.002)


def test_cyt_of_riaz_against_the_paper(public_data, expressions):
    """The cytolytic score in the paper's own table: a geometric mean of other TPM."""
    clinical = pd.read_csv(public_data / "expression" / "Riaz2017_pre.clinical.csv")
    theirs = clinical.set_index("patientid")["Cytolytic.Score"]
    scores = score_signatures(expressions["Riaz"], SETTINGS)["cyt"]
    own = scores.rename(index=lambda name: name.split("_")[0])

    assert own.corr(theirs, method="spearman") == pytest.approx(0.981, abs=0.002)


def test_only_one_gene_is_absent(expressions):
    """FAM30A is no protein-coding gene; the matrices hold those alone."""
    for expression in expressions.values():
        assert signature_findings(expression, SETTINGS).messages() == [
            "expression: scored without some genes: cells_b (89 %, without FAM30A)."
        ]


def test_weights_and_genes_are_the_published_ones(public_data):
    folder = public_data / "signatures"
    weights = pd.read_csv(folder / "GEP18_tcell_inflamed_weights.csv").set_index("gene")["weight"]
    sets = pd.read_csv(folder / "compass_marker_gene_sets.tsv", sep="\t").set_index("Geneset")
    genes = sets["Genes"].str.split(":").to_dict()
    own = signatures()

    assert own["gep"].weights == weights.to_dict()
    assert set(own["gep_ssgsea"].weights) == set(weights.index)
    assert own["cyt"].genes == sorted(genes["Rooney_ICA"])
    assert own["ifng6"].genes == sorted(genes["Ayers_IFNg6"])
    assert own["cells_cd8"].genes == sorted(genes["CD8"])
    assert own["chemokines12"].genes == sorted(genes["Messina_CKS"])
    first, second = genes["Auslander_IMPRES1"], genes["Auslander_IMPRES2"]
    assert set(own["impres"].pairs) == set(zip(first, second, strict=True))


def test_a_wrong_statement_of_the_scale_is_told(public_data):
    """These are log2(TPM + 0.001), which nothing in the files says."""
    table = read_matrix(public_data / "expression" / f"{FILES['Gide']}.log2tpm.parquet")
    told = {}
    for name, settings in {
        "TPM": {"unit": "TPM"},
        "log2(TPM + 1)": {"unit": "TPM", "scale": "log2"},
        "columns": {"unit": "TPM", "scale": "log2", "offset": 0.001, "genes": "columns"},
    }.items():
        expression, found = read_expression(table, ExpressionMatrix(**settings), name="gide")
        assert expression is None
        told[name] = found.messages()

    assert told == {
        "TPM": ["gide: stated in TPM, but looks like log2(x + 0.001)."],
        "log2(TPM + 1)": [
            "gide: stated in log2 TPM, but 34 % of the values lie below log2(1), as of another "
            "offset or z scores."
        ],
        "columns": [
            "gide: genes are stated in columns, where 0 genes of signatures stand, but "
            f"{len(signature_sets()['genes']) - 1} stand in rows."
        ],
    }


def test_one_patient_of_gide_is_scored_alone_against_riaz_and_hugo(expressions, published):
    train = pd.concat([expressions["Riaz"], expressions["Hugo"]])
    reference = ExpressionReference.fit(train, SETTINGS)
    gide = expressions["Gide"]
    together = score_signatures(gide, SETTINGS, reference)
    alone = score_signatures(gide.iloc[[7]], SETTINGS, reference)

    pd.testing.assert_frame_equal(alone, together.iloc[[7]])
    assert together["cyt"].corr(published["CytoxAct_Rooney"], method="spearman") > 0.98
    assert reference.n_patients == 73


def test_cells_of_inspire_are_read(public_data):
    """CIBERSORTx in absolute mode: cells add up to the score, not to 1."""
    table = pd.read_csv(public_data / "inspire" / "CIBERSORTx_Job14_Results.csv")

    read, found = read_deconvolution(table, DeconvolutionTable(method="cibersortx"))

    assert read.shape == (len(table), 22)
    assert {name.rpartition("_abs_")[0] for name in read} == {"cibersortx"}
    np.testing.assert_allclose(read.sum(axis=1), table["Absolute score (sig.score)"], rtol=1e-6)
    assert {each["code"] for each in found.rows} <= {"deconvolution_poor_fit"}
    poor = int((table["P-value"] > 0.05).sum())
    assert [each["n"] for each in found.rows] == [poor]


@pytest.fixture(scope="module")
def melanoma(read):
    """Gide and Riaz for training, Hugo external; signatures on the scale of Gide and Riaz."""
    return read("melanoma_rna")


def test_a_study_file_reads_three_matrices(melanoma):
    """Hugo has one biopsy on treatment, which is left out; Riaz two patients without a response."""
    counts = melanoma.table.groupby("cohort")["cyt"].agg(["size", "count"])

    assert counts.to_dict() == {
        "size": {"gide": 41, "hugo": 26, "riaz": 46},
        "count": {"gide": 41, "hugo": 26, "riaz": 46},
    }
    assert melanoma.scales.expression.n_patients == 41 + 46
    assert not melanoma.findings.has_errors
    train = melanoma.table[melanoma.table["split"] == "train"]
    assert train["cells_th1"].mean() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("cohort", "own", "theirs", "rho"),
    [
        ("gide", "cyt", "CytoxAct_Rooney", 0.98),
        ("riaz", "cyt", "CytoxAct_Rooney", 0.98),
        ("hugo", "cyt", "CytoxAct_Rooney", 0.97),
        ("gide", "cells_cd8", "CD8Tcell_sc", 0.95),
        ("hugo", "ifng6", "Ayers_IFNg6", 0.95),
        ("riaz", "ifng6", "Ayers_IFNg6", 0.95),
    ],
)
def test_scaled_signatures_agree_with_the_published_ones(
    melanoma, published, public_data, cohort, own, theirs, rho
):
    """Scaled by training patients each gene weighs alike, which the published means do not."""
    names = pd.read_csv(public_data / "itrp" / "clinical.csv", usecols=["Index", "cohort"])
    runs = pd.read_csv(public_data / "itrp" / "gide_run_ids.csv").set_index("rnaseq_id")["Index"]
    index = names.loc[names["cohort"].str.lower() == cohort, "Index"]
    before = index[index.str.contains("Pre|baseline")]
    known = {name.split("_")[0].split("-")[0]: name for name in before}
    table = melanoma.table[melanoma.table["cohort"] == cohort]
    scores = table.set_index(table["patient_id"].map(runs if cohort == "gide" else known))[own]
    both = scores.index.intersection(published.index)

    assert len(both) == PATIENTS[cohort.title()]
    assert scores[both].corr(published.loc[both, theirs], method="spearman") >= rho


def test_one_patient_of_hugo_is_scored_alone_through_a_bundle(melanoma, public_data, tmp_path):
    """With the scales as they travel, from a matrix of one patient."""
    scales = TrainingScales.from_json(json.loads(json.dumps(melanoma.scales.to_json())))
    row = melanoma.table[melanoma.table["cohort"] == "hugo"].iloc[3]
    matrix = pd.read_parquet(public_data / "expression" / f"{FILES['Hugo']}.log2tpm.parquet")
    matrix[[row["patient_id"]]].reset_index().to_parquet(tmp_path / "one.parquet")
    pd.DataFrame({"id": [row["patient_id"]], "age": [60]}).to_csv(tmp_path / "one.csv", index=False)
    table = {"file": "one.csv", "patient_id": "id"}
    panels = {"clinical": {"regimen": {"value": "anti_pd1_pdl1"}}}
    unit = {"unit": "TPM", "scale": "log2", "offset": 0.001}
    tables = [table | {"panels": panels}, {"file": "one.parquet", "expression": unit}]
    study = Study.model_validate(
        {"stratify": 1, "name": "one", "data": str(tmp_path)}
        | {"cohorts": [{"name": "new", "tables": tables}]}
    )
    plan = FeaturePlan((), scales)
    alone = read_cohort(study, outcomes=False, plan=plan).table.iloc[0]

    for name in ("cyt", "gep", "ifng6", "impres", "gep_ssgsea"):
        assert alone[name] == pytest.approx(row[name], abs=1e-9)

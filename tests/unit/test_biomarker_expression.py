"""A matrix of expression: names of genes, orientation, scale, and what is said of each fault."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from stratify.biomarkers.expression import read_expression, read_matrix
from stratify.biomarkers.genes import known_genes, read_gene_names
from stratify.errors import FileError
from stratify.tables.measurements import ExpressionMatrix
from stratify.tables.schema import load_schema, signature_sets

GENES = sorted(signature_sets()["genes"])
OTHERS = [f"GENE{i}" for i in range(10_000)]
PATIENTS = [f"P{i}" for i in range(6)]
TPM = ExpressionMatrix(unit="TPM")


@pytest.fixture(scope="module")
def tpm() -> pd.DataFrame:
    """Genes x patients that add up to a million, as a table with a column of genes."""
    rng = np.random.default_rng(3)
    names = [*GENES, *OTHERS]
    values = rng.lognormal(1, 2.2, (len(names), len(PATIENTS)))
    frame = pd.DataFrame(values / values.sum(axis=0) * 1e6, columns=PATIENTS)
    frame.insert(0, "gene", names)
    return frame


def changed(tpm: pd.DataFrame, change: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """Matrix with its numbers changed."""
    numbers = change(tpm[PATIENTS])
    return numbers.assign(gene=tpm["gene"])[["gene", *PATIENTS]]


def said(table: pd.DataFrame, settings: ExpressionMatrix = TPM) -> list[tuple[str, int, str]]:
    """Codes, numbers and messages; all codes are known, and errors forbid reading."""
    expression, found = read_expression(table, settings, name="m.csv")
    codes = load_schema("findings").codes
    errors = [each for each in found.rows if codes[each["code"]]["severity"] == "error"]
    assert (expression is None) == bool(errors)
    return [(each["code"], each["n"], each["message"]) for each in found.rows]


def read(table: pd.DataFrame, **settings: Any) -> pd.DataFrame:
    expression, found = read_expression(table, ExpressionMatrix(**settings))
    assert found.rows == []
    assert expression is not None
    return expression


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    assert one.index.tolist() == other.index.tolist()
    assert one.columns.tolist() == other.columns.tolist()
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)


# -- scales and units ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        (lambda x: x, {"unit": "TPM"}),
        (lambda x: np.log2(x + 1), {"unit": "TPM", "scale": "log2"}),
        (lambda x: np.log2(x + 0.001), {"unit": "TPM", "scale": "log2", "offset": 0.001}),
        (np.log1p, {"unit": "TPM", "scale": "ln"}),
        (lambda x: np.log10(x + 1), {"unit": "TPM", "scale": "log10"}),
        (lambda x: x * [0.3, 0.4, 0.5, 0.6, 0.7, 0.8], {"unit": "FPKM"}),
        (lambda x: x * [20, 30, 40, 50, 60, 70], {"unit": "counts"}),
    ],
    ids=["linear", "log2", "log2 of a thousandth", "ln", "log10", "FPKM", "counts"],
)
def test_every_scale_leads_to_the_same_matrix(tpm, change, settings):
    """FPKM and counts by their total; counts as CPM."""
    expected = np.log2(tpm.set_index("gene").T + 1)

    expression = read(changed(tpm, change), **settings)

    same(expression, expected)


def test_orientation_makes_no_difference(tpm):
    turned = tpm.set_index("gene").T.rename_axis("patient").reset_index()

    one, other = read(tpm, unit="TPM"), read(turned, unit="TPM", genes="columns")

    same(one, other)


def test_normalised_values_are_taken_as_they_are():
    table = pd.DataFrame({"gene": ["GZMA", "PRF1"], "a": [1023.0, 15.0], "b": [7.0, 4095.0]})

    assert read(table, unit="normalised").to_numpy().tolist() == [[10.0, 4.0], [3.0, 12.0]]


# each: change of TPM, settings, what is said
WRONG_SCALES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], dict[str, Any], str]] = {
    "logarithms as linear": (
        lambda x: np.log2(x + 1),
        {"unit": "TPM"},
        "stated in TPM, but looks like log2(x + 1).",
    ),
    "logarithms of a thousandth as linear": (
        lambda x: np.log2(x + 0.001),
        {"unit": "TPM"},
        "stated in TPM, but looks like log2(x + 0.001).",
    ),
    "linear as logarithms": (
        lambda x: x,
        {"unit": "TPM", "scale": "log2"},
        "stated in log2 TPM, but looks like linear values.",
    ),
    "log of log": (
        lambda x: np.log2(np.log2(x + 1) + 1),
        {"unit": "TPM", "scale": "log2"},
        "stated in log2 TPM, but looks like a logarithm of a logarithm.",
    ),
    "ln as log2": (
        np.log1p,
        {"unit": "TPM", "scale": "log2"},
        "stated in log2 TPM, but looks like ln(x + 1).",
    ),
    "log10 as log2": (
        lambda x: np.log10(x + 1),
        {"unit": "TPM", "scale": "log2"},
        "stated in log2 TPM, but looks like log10(x + 1).",
    ),
    "counts as TPM": (
        lambda x: x * 30,
        {"unit": "TPM"},
        "stated in TPM, but patients add up to more than 1200000.",
    ),
    "TPM as counts": (
        lambda x: x,
        {"unit": "counts"},
        "stated in counts, but each patient adds up to a million, as TPM and CPM do.",
    ),
    "z scores": (
        lambda x: np.log2(x + 1).sub(np.log2(x + 1).mean(axis=1), axis=0),
        {"unit": "TPM", "scale": "log2"},
        "stated in log2 TPM, but 54 % of the values lie below log2(1), as of another offset or z "
        "scores.",
    ),
}


@pytest.mark.parametrize("name", WRONG_SCALES)
def test_a_wrong_scale_is_told(tpm, name):
    change, settings, text = WRONG_SCALES[name]
    expected = [("looks_like_another_unit", 6, f"m.csv: {text}")]

    assert said(changed(tpm, change), ExpressionMatrix(**settings)) == expected


def test_a_scale_that_has_been_confirmed_is_taken(tpm):
    table = changed(tpm, lambda x: x * 30)

    expression = read(table, unit="TPM", scale_confirmed=True)

    assert expression.loc["P0", "GZMA"] == np.log2(table.set_index("gene").loc["GZMA", "P0"] + 1)


def test_patients_in_another_scale_are_told(tpm):
    table = tpm.copy()
    table[["P1", "P4"]] = np.log2(table[["P1", "P4"]] + 1)
    text = "m.csv, columns 3 and 6: not in TPM like the others, by their total or highest value."

    assert said(table) == [("scales_mixed", 2, text)]


def test_negative_tpm_are_told(tpm):
    table = tpm.copy()
    table.loc[[3, 9], "P2"] = -4.0

    assert said(table) == [("outside_limits", 1, "m.csv, column 4: values below 0.")]


def test_what_is_printed_with_two_digits_is_not_below_the_logarithm_of_the_offset(tpm):
    table = changed(tpm, lambda x: np.log2(x.mask(x < 1, 0) + 0.001).round(2))
    settings = ExpressionMatrix(unit="TPM", scale="log2", offset=0.001)

    assert said(table, settings) == []


def test_few_genes_in_logarithms_are_told(tpm):
    few = changed(tpm, lambda x: np.log2(x + 1)).head(100)
    text = "m.csv: stated in TPM, but the values are as low as logarithms."

    assert said(few) == [("looks_like_another_unit", 6, text)]


def test_counts_of_few_genes_are_refused(tpm):
    text = (
        "m.csv: counts of 100 genes, where 10000 are needed to bring patients to one total; give "
        "values that are normalised before, and `unit: normalised`."
    )

    assert said(tpm.head(100), ExpressionMatrix(unit="counts")) == [("unit_unknown", 100, text)]


def test_an_offset_needs_a_logarithm():
    with pytest.raises(ValidationError, match="is what was added before a logarithm; state"):
        ExpressionMatrix(unit="TPM", offset=0.001)


# -- names of genes --------------------------------------------------------------------------------


def test_every_gene_is_found_by_each_of_its_names():
    names = signature_sets()["genes"]
    for symbol, others in names.items():
        assert set(read_gene_names([symbol, *others])) == {symbol}
    assert sum(map(len, names.values())) == len({n for others in names.values() for n in others})


def test_identifiers_are_those_of_ensembl():
    """As other programs list them (GRCh38, and GRCh37 where it differs)."""
    listed = {
        "ENSG00000145649": "GZMA",
        "ENSG00000180644": "PRF1",
        "ENSG00000153563": "CD8A",
        "ENSG00000120217": "CD274",
        "ENSG00000204287": "HLA-DRA",
        "ENSG00000271503": "CCL5",
        "ENSG00000161570": "CCL5",
        "ENSG00000277632": "CCL3",
        "ENSG00000189430": "NCR1",
        "ENSG00000049768": "FOXP3",
    }

    assert read_gene_names(list(listed)).tolist() == list(listed.values())


def test_ensembl_identifiers_lead_to_the_same_matrix(tpm):
    identifiers = {symbol: f"{others[0]}.{i}" for i, (symbol, others) in enumerate(
        signature_sets()["genes"].items()
    )}  # fmt: skip
    table = tpm.assign(gene=tpm["gene"].replace(identifiers))

    same(read(table, unit="TPM"), read(tpm, unit="TPM"))


def test_names_that_a_spreadsheet_mangled_are_told_and_left_out(tpm):
    names = ["2-Sep", "1-Mar", "2001-12-01 00:00:00", "Mrz 01", "44621", "2.31E+13"]
    table = tpm.copy()
    table.loc[200:205, "gene"] = names
    text = (
        "m.csv, rows 201, 202, 203, 204, 205 and 1 more: names that a spreadsheet turned into "
        "dates or numbers; these genes are left out."
    )

    assert said(table) == [("gene_name_mangled", 6, text)]
    expression, _ = read_expression(table, TPM)
    assert expression is not None
    assert expression.shape == (6, len(tpm) - 6)


def test_rows_without_a_name_are_told(tpm):
    table = tpm.copy()
    table.loc[200, "gene"] = None
    text = "m.csv, row 201: genes without a name are left out."

    assert said(table) == [("gene_name_mangled", 1, text)]


def test_rows_of_one_gene_are_added_up_and_copies_count_once(tpm):
    half, copied = tpm[tpm["gene"] == "GZMA"].copy(), tpm[tpm["gene"] == "PRF1"]
    half[PATIENTS] /= 2
    other = half.assign(gene="ENSG00000145649.3")
    other[PATIENTS] *= [0.5, 1, 1.5, 2, 2.5, 3]
    rest = tpm[~tpm["gene"].isin(["GZMA"])]
    table = pd.concat([rest, half, other, copied], ignore_index=True)
    text = (
        "m.csv: 2 genes in more than one row, of signatures GZMA, PRF1; the rows are added up, "
        "exact copies count once."
    )

    assert said(table) == [("gene_duplicated", 2, text)]
    expression, _ = read_expression(table, TPM)
    before = tpm.set_index("gene").loc[["GZMA", "PRF1"]]
    assert expression is not None
    linear = np.exp2(expression[["GZMA", "PRF1"]]) - 1
    expected = np.array([0.75, 1, 1.25, 1.5, 1.75, 2]) * before.loc["GZMA"]
    assert linear["GZMA"].to_numpy() == pytest.approx(expected.to_numpy())
    assert linear["PRF1"].to_numpy() == pytest.approx(before.loc["PRF1"].to_numpy())


# -- orientation and patients ----------------------------------------------------------------------


def test_a_wrong_orientation_is_told(tpm):
    n = len(GENES)
    text = (
        f"m.csv: genes are stated in columns, where 0 genes of signatures stand, but {n} stand in "
        "rows."
    )

    assert said(tpm, ExpressionMatrix(unit="TPM", genes="columns")) == [
        ("matrix_orientation", n, text)
    ]


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["3001", "5551", "925"], "; they look like numbers, as of Entrez"),
        (["Gzma", "Prf1", "Cd8a"], "; they look like names of mouse genes"),
        (["ENSMUSG00000023132.8", "ENSMUSG00000037202"], "; they look like names of mouse genes"),
        (["ENST00000274306.8", "NM_006144"], "; they look like identifiers of transcripts"),
        (["205488_at", "214617_s_at"], "; they look like names of probes"),
        (["first", "second"], ""),
    ],
)
def test_names_that_are_no_human_genes_are_told(names, hint):
    table = pd.DataFrame({"gene": names, "a": 1.0})
    text = (
        f"m.csv: none of {len(names)} names is a gene of a signature{hint}. Human symbols (HGNC) "
        "or Ensembl gene identifiers are expected."
    )

    assert said(table) == [("genes_not_found", len(names), text)]


def test_a_patient_twice_is_told(tpm):
    turned = tpm.set_index("gene").T.rename_axis("patient").reset_index()
    turned["patient"] = ["a", "b", " a", "c", None, "d"]
    settings = ExpressionMatrix(unit="TPM", genes="columns")

    assert said(turned, settings) == [
        ("missing_identifier", 1, "m.csv, row 5: no patient is named."),
        ("duplicate_patient", 2, "m.csv, rows 1 and 3: patients that stand more than once."),
    ]


def test_texts_among_numbers_are_told_and_columns_of_text_are_not_read(tpm):
    table = tpm.assign(P1=tpm["P1"].astype(str), P2=tpm["P2"].astype(str), Description="a protein")
    table.loc[4, "P1"], table.loc[7, "P1"], table.loc[9, "P2"] = "high", "NA", "3,14"

    assert said(table) == [
        ("unknown_column", 1, "m.csv, column 8: about genes or texts alone; not read."),
        ("not_numeric", 1, "m.csv, row 5: text where numbers are expected."),
        ("decimal_comma", 1, "m.csv, row 10: numbers with a decimal comma."),
    ]


def test_columns_about_genes_are_no_patients(tpm):
    """As in exports of cBioPortal and featureCounts."""
    table = tpm.copy()
    table.insert(1, "Entrez_Gene_Id", range(100_000, 100_000 + len(tpm)))
    table.insert(2, "Length", 2_000)
    text = "m.csv, columns 2 and 3: about genes or texts alone; not read."

    assert said(table) == [("unknown_column", 2, text)]


def test_a_patient_without_values_is_not_measured(tpm):
    expression = read(tpm.assign(P2=np.nan), unit="TPM")

    assert expression.isna().all(axis=1).tolist() == [False, False, True, False, False, False]


def test_the_column_of_genes_can_be_named(tpm):
    table = tpm.assign(number=range(len(tpm)))[["number", *PATIENTS, "gene"]]

    expression = read(table.drop(columns="number"), unit="TPM", labels="gene")

    assert expression.index.tolist() == PATIENTS
    assert said(table, ExpressionMatrix(unit="TPM", labels="symbol")) == [
        ("missing_column", 1, "m.csv: no column 'symbol', which `labels` names.")
    ]


def test_what_is_no_table_is_refused():
    with pytest.raises(TypeError, match=r"table is a list; expected a DataFrame\."):
        read_expression([1.0], TPM)  # type: ignore[arg-type]


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "parquet", "decimal comma"])
def test_every_kind_of_file_gives_the_same_matrix(tpm, tmp_path, kind):
    path, options = tmp_path / "matrix", {}
    if kind == "parquet":
        tpm.to_parquet(path)
    else:
        sign = {"tsv": "\t", "decimal comma": ";"}.get(kind, ",")
        options = {"decimal": ","} if kind == "decimal comma" else {}
        text = tpm.to_csv(index=False, sep=sign, **options).encode()
        path.write_bytes(gzip.compress(text) if kind.endswith("gz") else text)

    table = read_matrix(path, **options)

    assert table.index[0] == (1 if kind == "parquet" else 2)
    same(read(table, unit="TPM"), read(tpm, unit="TPM"))


def test_identifiers_of_patients_keep_their_zeros(tmp_path):
    path = tmp_path / "matrix.csv"
    path.write_text("patient,GZMA,PRF1\n007,31.5,2\n012,40,NA\n")

    expression = read(read_matrix(path), unit="TPM", genes="columns")

    assert expression.index.tolist() == ["007", "012"]
    assert expression.loc["012"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"gene,a\nGZMA,1,secret\n", r"cannot be read as a matrix: rows of one length"),
        (b"gene,a\nGZMA,\xff\xfe\n", r"cannot be read as a matrix: rows of one length"),
        (b"\x1f\x8bnot gzip", r"cannot be read as a matrix: rows of one length"),
        (b"gene,a,a\nGZMA,1,2\n", r"column 3: names that stand before\. Rename or remove"),
        (b"gene,a\n", r"has a header but no rows\. Export the table again\."),
        (b"", r"is empty\. Export the table again\."),
    ],
)
def test_a_file_that_is_no_matrix_is_refused_without_its_content(tmp_path, text, message):
    path = tmp_path / "matrix.csv"
    path.write_bytes(text)

    with pytest.raises(FileError, match=message) as error:
        read_matrix(path)

    assert "secret" not in str(error.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileError, match=r"There is no file .*matrix\.csv"):
        read_matrix(Path(tmp_path) / "matrix.csv")


def test_no_message_names_a_patient(tpm):
    """Whatever is wrong: genes and places are named, patients are not."""
    tables = [changed(tpm, change) for change, *_ in WRONG_SCALES.values()]
    tables.append(tpm.assign(P0=np.log2(tpm["P0"] + 1), P3=-1.0))
    texts = [text for table in tables for *_, text in said(table)]

    assert len(texts) >= 7
    assert [text for text in texts if any(patient in text for patient in PATIENTS)] == []


def test_genes_of_signatures_and_their_names_belong_together():
    used: set[str] = set()
    for entry in signature_sets()["signatures"].values():
        used |= {*entry.get("genes", ()), *entry.get("weights", ()), *entry.get("housekeeping", ())}
        used |= {gene for pair in entry.get("pairs", ()) for gene in pair}

    assert used == set(signature_sets()["genes"]) == set(known_genes().values())


LAYOUTS = {
    "plain": "gene\ta\tb\nGZMA\t3\t0\nPRF1\t7\t1\n",
    "R write.table": "a\tb\nGZMA\t3\t0\nPRF1\t7\t1\n",
    "R write.table, quoted": '"a"\t"b"\n"GZMA"\t3\t0\n"PRF1"\t7\t1\n',
    "R write.csv": '"","a","b"\n"GZMA",3,0\n"PRF1",7,1\n',
    "GCT": "#1.2\n2\t2\nName\tDescription\ta\tb\nGZMA\tna\t3\t0\nPRF1\tna\t7\t1\n",
    "featureCounts": "# Program:featureCounts v2.0.1; Command:x\nGeneid\tChr\tStart\tEnd\tStrand\t"
    "Length\ta\tb\nGZMA\t1;1\t1;2\t5;6\t+;+\t900\t3\t0\nPRF1\t1\t1\t9\t-\t90\t7\t1\n",
    "GEO": '!Series_title\t"x"\n!Sample_title\t"1"\t"2"\n!series_matrix_table_begin\n'
    '"ID_REF"\t"a"\t"b"\n"GZMA"\t3\t0\n"PRF1"\t7\t1\n!series_matrix_table_end\n',
    "RSEM": "gene_id\ttranscript_id(s)\tlength\teffective_length\ta\tb\nGZMA\tx\t900\t850.5\t3\t0\n"
    "PRF1\ty\t800\t750.5\t7\t1\n",
    "htseq": "gene\ta\tb\nGZMA\t3\t0\nPRF1\t7\t1\n__no_feature\t9\t9\n__ambiguous\t9\t9\n",
    "STAR": "N_unmapped\t9\t9\nN_noFeature\t9\t9\nGZMA\t3\t0\nPRF1\t7\t1\n",
    "cBioPortal": "Hugo_Symbol\tEntrez_Gene_Id\ta\tb\nGZMA\t3001\t3\t0\nPRF1\t5551\t7\t1\n",
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "STAR"])
def test_matrices_are_read_as_programs_write_them(tmp_path, name, ending):
    path = tmp_path / "matrix.txt"
    path.write_bytes(LAYOUTS[name].replace("\n", ending).encode())
    expression, found = read_expression(read_matrix(path), ExpressionMatrix(unit="TPM"))
    assert not found.has_errors
    assert expression.index.tolist() == ["a", "b"]
    assert expression.columns.tolist() == ["GZMA", "PRF1"]
    assert expression.to_numpy().tolist() == [[2.0, 3.0], [0.0, 1.0]]


def test_another_sign_of_lines_to_pass_over_can_be_stated(tmp_path):
    path = tmp_path / "matrix.txt"
    path.write_text("%made by x\ngene\ta\nGZMA\t3\n%end\n")
    assert read_matrix(path, comment="%").to_dict("list") == {"gene": ["GZMA"], "a": [3]}

"""Laws of reading expression: names of genes, scales, and scores of patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratify.biomarkers.expression import read_expression
from stratify.biomarkers.expression_scale import linear_values
from stratify.biomarkers.genes import known_genes, mangled_names, read_gene_names
from stratify.biomarkers.signatures import score_signatures
from stratify.tables.measurements import ExpressionMatrix
from stratify.tables.schema import signature_sets

quickly = settings(deadline=None, max_examples=25, derandomize=True, database=None)
GENES = sorted(signature_sets()["genes"])
NAMES = [*GENES, *(f"GENE{i}" for i in range(10_000))]
FORMS = [
    *("{0}", " {0} ", '"{0}"', "{0}|3001", "{0} (3001)", "{1}", "{1}.7", "{1}.12_PAR_Y"),
    *("{0}_{1}.3", "{1}|{0}", "{1}_{0}"),
]
SCALES = {
    "linear": ("linear", 1.0),
    "log2": ("log2", 1.0),
    "log2 of a thousandth": ("log2", 0.001),
    "ln": ("ln", 1.0),
    "log10": ("log10", 1.0),
}
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
LOGARITHM = {"ln": np.log, "log2": np.log2, "log10": np.log10}


def logarithm(values: np.ndarray, scale: str, offset: float) -> np.ndarray:
    return values if scale == "linear" else LOGARITHM[scale](values + offset)


def stated(name: str) -> ExpressionMatrix:
    scale, offset = SCALES[name]
    given_offset = {} if scale == "linear" else {"offset": offset}
    return ExpressionMatrix(unit="TPM", scale=scale, **given_offset)  # type: ignore[arg-type]


@quickly
@given(st.sampled_from(GENES), st.sampled_from(FORMS), st.sampled_from([str, str.upper, str.lower]))
def test_a_gene_is_found_however_it_is_written(symbol, form, case):
    identifier = signature_sets()["genes"][symbol][0]

    assert read_gene_names([case(form.format(symbol, identifier)), "TSPAN6"])[0] == symbol


@quickly
@given(
    st.lists(
        st.one_of(st.text("ABg01.-_|'\" ?()\t\n", max_size=9), st.sampled_from(GENES), st.none()),
        max_size=6,
    )
)
def test_names_that_were_read_are_read_again_as_they_are(names):
    once = read_gene_names(names)
    kept = once.dropna()

    assert len(once) == len(names)
    mostly_numbers = kept.str.fullmatch(r"\d+").mean() > 0.5  # then they are taken for Entrez
    if not mostly_numbers and not mangled_names(kept).any():
        assert read_gene_names(kept).tolist() == kept.tolist()


@quickly
@given(
    st.dates(),
    st.sampled_from(["{d}-{b}", "{b}-{d}", "{b}-{y}", "{d}-{b}-{y}", "{Y}-{m}-{d}", "{d}.{m}.{Y}"]),
)
def test_every_date_is_a_mangled_name(date, form):
    parts = {"d": date.day, "b": MONTHS[date.month - 1], "m": date.month, "Y": f"{date.year:04d}"}
    text = form.format(y=f"{date.year % 100:02d}", **parts)

    assert mangled_names([text, "GZMA", "PRF1"]).tolist() == [True, False, False]
    assert read_gene_names([text, "GZMA", "PRF1"])[0] is None


def test_no_gene_of_a_signature_is_taken_for_a_date():
    families = [f"{family}{i}" for family in ("SEPT", "SEPTIN", "MARCH", "MARC") for i in range(15)]

    assert not mangled_names([*known_genes(), *families, "DEC1", "OCT4", "NOV", "AGO2"]).any()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.sampled_from(list(SCALES.values())))
def test_a_logarithm_is_undone(values, scale):
    given_values = logarithm(np.array(values), *scale)

    back = linear_values(given_values, *scale)

    assert back == pytest.approx(values, rel=1e-9, abs=1e-9)


@quickly
@given(
    st.integers(0, 10_000),
    st.floats(1.8, 3),
    st.integers(1, 4),
    st.sampled_from(list(SCALES)),
    st.sampled_from(list(SCALES)),
)
def test_a_matrix_is_read_right_or_not_at_all(seed, spread, n, true, said):
    """Whatever scale is stated for TPM in whatever scale: the same numbers, or an error."""
    rng = np.random.default_rng(seed)
    tpm = rng.lognormal(0, spread, (len(NAMES), n))
    tpm *= 1e6 / tpm.sum(axis=0)
    table = pd.DataFrame(logarithm(tpm, *SCALES[true]), columns=[f"P{i}" for i in range(n)])
    table.insert(0, "gene", NAMES)

    expression, found = read_expression(table, stated(said))

    if true == said:
        assert found.rows == []
    if expression is None:
        assert {row["severity"] for row in found.rows} == {"error"}
    else:
        assert true == said
        np.testing.assert_allclose(expression, np.log2(tpm.T + 1), rtol=0, atol=1e-6)


@quickly
@given(st.integers(0, 10_000), st.floats(0, 0.6))
def test_scores_lie_between_the_genes_that_are_measured(seed, absent):
    rng = np.random.default_rng(seed)
    expression = pd.DataFrame(rng.gamma(2, 2, (3, len(GENES))), columns=GENES)
    expression = expression.mask(rng.random(expression.shape) < absent)

    scores = score_signatures(expression, ExpressionMatrix(unit="TPM"))

    means = scores.filter(regex="^(cells_|cyt|ifng6|tls|f_tbrs|chemokines12)")
    low, high = expression.min(axis=1), expression.max(axis=1)
    known = means.notna()
    assert (means.ge(low - 1e-9, axis=0) | ~known).all(axis=None)
    assert (means.le(high + 1e-9, axis=0) | ~known).all(axis=None)
    assert scores["impres"].dropna().between(0, 15).all()

"""A matrix of bulk expression read at the door: genes and patients, numbers, every finding."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.biomarkers.expression_scale import (
    WHOLE,
    linear_values,
    too_low,
    unlike_scale,
    unlike_stated,
)
from stratify.biomarkers.genes import known_genes, mangled_names, read_gene_names
from stratify.biomarkers.h5ad import read_h5ad
from stratify.errors import FileError
from stratify.tables.cells import MISSING
from stratify.tables.files import read_numbered
from stratify.tables.findings import Findings, lines_text
from stratify.tables.measurements import ExpressionMatrix
from stratify.tables.rows import check_table

__all__ = ["read_expression", "read_matrix", "some_of"]


MOST_NAMES = 8
# Columns of numbers that exports (cBioPortal, featureCounts, GCT) put between gene and patients.
ABOUT_GENES = frozenset(
    {"entrez_gene_id", "entrez", "entrezid", "entrez_id", "gene_id", "length", "start", "end"}
    | {"effective_length", "eff_length", "gene_length", "exon_length", "transcript_length", "width"}
    | {"efflength", "genelength", "gc", "gc_content", "gccontent", "strand", "chr", "chromosome"}
    | {"entrezgene_id", "ncbi_gene_id", "basemean", "description", "gene_biotype", "biotype"}
)
# Rows of htseq-count and STAR that count what is of no gene.
COUNTERS = r"__\w+|N_(?:unmapped|multimapping|noFeature|ambiguous)"
OTHER_NAMES = {
    "numbers, as of Entrez": r"\d+",
    "names of mouse genes": r"ENSMUSG.*|[A-Z][a-z0-9]*[a-z][a-z0-9.-]*",
    "identifiers of transcripts": r"ENST\d.*|N[MR]_\d.*",
    "names of probes": r".*_(?:s_|x_|a_)?at|ILMN_\d+",
}


def read_matrix(
    path: Path,
    *,
    labels: str | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    comment: str | None = None,
) -> pd.DataFrame:
    """Read a matrix of expression from a file, large text files as numbers at once.

    Parameters
    ----------
    labels : str, optional
        Column that stays text, so that 007 stays 007; the first one by default. Of h5ad the column
        of ``var`` with the names of genes; its index by default.
    delimiter : str, optional
        Of a text file; found from its header by default.
    comment : str, optional
        Lines of a text file that start with this are passed over; by default those of ``#`` and
        ``!`` before and after the matrix (featureCounts, GEO), and both first lines of a GCT file.
        A header that is one name short, as R writes it, lacks that of the genes.

    Returns
    -------
    DataFrame
        As :func:`stratify.tables.files.read_numbered`, but columns of a text file that hold
        numbers alone are numbers. Of h5ad as :func:`stratify.biomarkers.h5ad.read_h5ad`.
    """
    path = Path(path)
    magic = b""
    if path.is_file():
        with path.open("rb") as stream:
            magic = stream.read(2)
    if magic in (b"", b"PK", b"PA", b"\xd0\xcf"):
        return read_numbered(path)
    if magic == b"\x89H":
        return read_h5ad(path, labels=labels)
    import pyarrow as pa
    import pyarrow.csv as pv

    opened: Callable[..., Any] = gzip.open if magic == b"\x1f\x8b" else open
    empty = ["", "NA", "NaN", "nan", "NULL", "null", "N/A"]
    try:
        with opened(path, "rb") as stream:
            above, first, after = _header_of(stream, comment)
        sign = delimiter or max(",;\t|", key=first.count)
        heads = next(csv.reader([first], delimiter=sign), [""])
        short = len(next(csv.reader([after], delimiter=sign), [])) == len(heads) + 1
        if short and not re.search(r"gene|symbol|^id|name|^$", heads[0], re.IGNORECASE):
            heads = ["gene", *heads]
        label = heads[0] if labels is None else labels
        with opened(path, "rb") as stream:
            read = pv.read_csv(
                stream,
                read_options=pv.ReadOptions(skip_rows=above + 1, column_names=heads),
                parse_options=pv.ParseOptions(
                    delimiter=sign,
                    invalid_row_handler=lambda row: (
                        "skip" if row.text.startswith(comment or "!") else "error"
                    ),
                ),
                convert_options=pv.ConvertOptions(
                    null_values=empty,
                    strings_can_be_null=True,
                    decimal_point=decimal,
                    column_types={label: pa.string()},
                ),
            )
        if any(pa.types.is_binary(kind) for kind in read.schema.types):
            raise pa.ArrowInvalid("not UTF-8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, pa.ArrowInvalid):
        # the parser's own message quotes a patient's row
        raise FileError(
            f"{path} cannot be read as a matrix: rows of one length in UTF-8 are expected. Export "
            "it as Parquet, or as text with one delimiter and a header as long as the rows."
        ) from None
    twice = pd.Index(read.column_names).duplicated()
    if twice.any():
        where = lines_text(np.flatnonzero(twice) + 1, "column")
        raise FileError(f"{path}, {where}: names that stand before. Rename or remove the columns.")
    if not read.num_rows:
        raise FileError(f"{path} has a header but no rows. Export the table again.")
    table: pd.DataFrame = read.to_pandas()
    table.index = pd.RangeIndex(above + 2, above + len(table) + 2, name="line")
    return table


def _header_of(stream: Any, comment: str | None) -> tuple[int, str, str]:
    """Lines above the header of a matrix, the header, and the line after it."""
    signs = ("#", "!") if comment is None else (comment,)
    dimensions = False
    for above, raw in enumerate(stream):
        line = raw.decode("utf-8-sig" if not above else "utf-8")
        sizes = dimensions and re.fullmatch(r"\d+\t\d+(\t\d+)*\s*", line) is not None
        if line.strip() and not line.startswith(signs) and not sizes:
            return above, line, stream.readline().decode("utf-8")
        dimensions = dimensions or line.startswith(("#1.2", "#1.3"))
    return 0, "", ""


def read_expression(
    table: pd.DataFrame, settings: ExpressionMatrix, *, name: str = "expression"
) -> tuple[pd.DataFrame | None, Findings]:
    """Read a matrix of expression.

    Parameters
    ----------
    table : DataFrame
        Genes x patients with a column of gene names, or patients x genes with a column of
        patients, as ``settings`` say.

    Returns
    -------
    expression : DataFrame of shape (n_patients, n_genes) or None
        log2(TPM + 1), log2(CPM + 1) where counts are given, log2(x + 1) of ``normalised`` values;
        NaN where not measured. Patients by their names as text, genes by symbol (see
        :func:`stratify.biomarkers.genes.read_gene_names`). Rows of one gene are added up on the
        linear scale; exact copies of a row count once. None where an error forbids reading.
    findings : Findings
        Messages name lines, columns and genes, and never a patient or a value.

    Notes
    -----
    FPKM are brought to TPM, and counts to CPM, by the total of the patient (Wagner 2012,
    10.1007/s12064-012-0162-3) where the matrix holds 10,000 genes or more. CPM are not corrected
    for the length of genes.

    Examples
    --------
    >>> table = pd.DataFrame({"gene": ["ENSG00000145649.12", "PRF1"], "a": [3.0, 7.0],
    ...                       "b": [0.0, 1.0]})
    >>> read_expression(table, ExpressionMatrix(unit="TPM"))[0]
       GZMA  PRF1
    a   2.0   3.0
    b   0.0   1.0
    """
    check_table(table=table)
    found = Findings.of_table(table, name)
    label = table.columns[0] if settings.labels is None else settings.labels
    if label not in table:
        found.add("missing_column", f"{name}: no column {label!r}, which `labels` names.", n=1)
        return None, found
    others = np.asarray(table.columns != label)
    word = "column" if table.columns.name is None else str(table.columns.name)
    first = 1 if word == "column" else 0  # of h5ad the names are no column among the others
    numbers = pd.Index(np.flatnonzero(others) + first, name=word)
    in_rows, in_columns = pd.Index(table[label]), table.columns[others]
    symbols_in = {"rows": read_gene_names(in_rows), "columns": read_gene_names(in_columns)}
    if not _oriented(symbols_in, settings, found):
        return None, found
    values, kept = _numbers(table.loc[:, others], numbers, found)
    genes, patients, symbols = in_rows, in_columns[kept], symbols_in["rows"]
    at_genes, at_patients = found.lines, numbers[kept]
    if settings.genes == "columns":
        genes, patients, symbols = patients, genes, symbols_in["columns"][kept]
        values, at_genes, at_patients = values.T, at_patients, at_genes
    names = _check_patients(patients, at_patients, found)
    mangled, lost = mangled_names(genes), symbols.isna().to_numpy()
    text = "names that a spreadsheet turned into dates or numbers; these genes are left out."
    found.add_rows("gene_name_mangled", "", mangled, text, lines=at_genes)
    lost = lost | np.array([re.fullmatch(COUNTERS, str(gene)) is not None for gene in genes])
    text = "genes without a name are left out."
    found.add_rows("gene_name_mangled", "", lost & ~mangled, text, lines=at_genes)
    values, symbols = values[~lost], symbols[~lost]
    linear = linear_values(values, settings.scale, settings.offset)
    _check_scale(values, linear, symbols, at_patients, settings, found)
    if found.has_errors:
        return None, found
    linear, genes_read = _one_row_a_gene(np.maximum(linear, 0), symbols, found)
    if settings.unit in ("FPKM", "counts") and len(genes_read) >= WHOLE:
        with np.errstate(invalid="ignore"):  # nothing at all was counted in a patient
            linear = linear / np.nansum(linear, axis=0) * 1e6
    expression = pd.DataFrame(np.log2(linear + 1).T, index=names, columns=genes_read)
    return expression, found


def _oriented(symbols: dict[str, pd.Series], settings: ExpressionMatrix, found: Findings) -> bool:
    """Whether genes of signatures stand where they are said to stand."""
    known = set(known_genes().values())
    n = {side: int(names.isin(known).sum()) for side, names in symbols.items()}
    other = "columns" if settings.genes == "rows" else "rows"
    if n[settings.genes] and n[settings.genes] >= n[other]:
        return True
    if n[other]:
        found.add(
            "matrix_orientation",
            f"{found.table_name}: genes are stated in {settings.genes}, where "
            f"{n[settings.genes]} genes of signatures stand, but {n[other]} stand in {other}.",
            n=n[other],
        )
        return False
    texts = symbols[settings.genes].astype("string")
    looks = [kind for kind, form in OTHER_NAMES.items() if texts.str.fullmatch(form).mean() > 0.5]
    hint = f"; they look like {looks[0]}" if looks else ""
    found.add(
        "genes_not_found",
        f"{found.table_name}: none of {len(texts)} names is a gene of a signature{hint}. Human "
        "symbols (HGNC) or Ensembl gene identifiers are expected.",
        n=len(texts),
    )
    return False


def _numbers(cells: pd.DataFrame, numbers: pd.Index, found: Findings) -> tuple[Floats, Flags]:
    """Cells as numbers, and which columns are kept: not those about genes."""
    kept = ~cells.columns.astype(str).str.casefold().isin(ABOUT_GENES)
    wrong, comma = np.zeros(len(cells), dtype=bool), np.zeros(len(cells), dtype=bool)
    read = {}
    for i, (column, dtype) in enumerate(cells.dtypes.items()):
        if dtype.kind in "iuf" or not kept[i]:
            continue
        text = cells[column].astype("string").str.strip()
        number = pd.to_numeric(text, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        unread = np.isnan(number) & ~(text.isna() | text.str.lower().isin(MISSING)).to_numpy(bool)
        decimal = text.str.fullmatch(r"[-+]?\d+,\d+").to_numpy(bool, na_value=False)
        kept[i] = not unread.any() or np.isfinite(number).any() or decimal.any()
        if kept[i]:
            read[column] = number
            wrong |= unread & ~decimal
            comma |= decimal
    message = "about genes or texts alone; not read."
    found.add_rows("unknown_column", "", ~kept, message, lines=numbers)
    ours = cells.loc[:, kept]
    if read:
        ours = pd.DataFrame({column: read.get(column, ours[column]) for column in ours})
    values = ours.to_numpy(dtype=float, na_value=np.nan)
    wrong |= np.isinf(values).any(axis=1)
    found.add_rows("not_numeric", "", wrong, "text where numbers are expected.")
    found.add_rows("decimal_comma", "", comma, "numbers with a decimal comma.")
    return values, kept


def _check_patients(
    patients: pd.Index[Any], lines: pd.Index[Any] | None, found: Findings
) -> pd.Index[Any]:
    names = pd.Series(patients, dtype=object).astype("string").str.strip()
    absent = names.isna() | (names == "")
    found.add_rows("missing_identifier", "", absent, "no patient is named.", lines=lines)
    twice = names.duplicated(keep=False) & ~absent
    text = "patients that stand more than once."
    found.add_rows("duplicate_patient", "", twice, text, lines=lines)
    return pd.Index(names, dtype=object)


def _check_scale(
    values: Floats,
    linear: Floats,
    symbols: pd.Series,
    lines: pd.Index[Any] | None,
    settings: ExpressionMatrix,
    found: Findings,
) -> None:
    stated = settings.unit if settings.scale == "linear" else f"{settings.scale} {settings.unit}"
    n_genes, known = symbols.nunique(), symbols.isin(set(known_genes().values()))
    if settings.unit == "counts" and n_genes < WHOLE:
        found.add(
            "unit_unknown",
            f"{found.table_name}: counts of {n_genes} genes, where {WHOLE} are needed to bring "
            "patients to one total; give values that are normalised before, and "
            "`unit: normalised`.",
            n=n_genes,
        )
        return
    if not settings.scale_confirmed:
        wrong = unlike_stated(linear, n_genes, int(known.sum()), settings.unit)
        looks = unlike_scale(values, linear, wrong, n_genes, settings)
        if looks:
            text = f"{found.table_name}: stated in {stated}, but {looks}."
            found.add("looks_like_another_unit", text, n=len(wrong))
            return
        text = f"not in {stated} like the others, by their total or highest value."
        found.add_rows("scales_mixed", "", wrong, text, lines=lines)
    below = too_low(linear, settings).any(axis=0)
    least = "0" if settings.scale == "linear" else f"{settings.scale}({settings.offset:g})"
    found.add_rows("outside_limits", "", below, f"values below {least}.", lines=lines)


def _one_row_a_gene(
    linear: Floats, symbols: pd.Series, found: Findings
) -> tuple[Floats, pd.Index[Any]]:
    """Add up rows of one gene; exact copies of a row count once."""
    twice = symbols.duplicated(keep=False).to_numpy()
    if not twice.any():
        return linear, pd.Index(symbols)
    rows = pd.DataFrame(linear[twice]).assign(gene=symbols[twice].to_numpy())
    doubled = rows["gene"].unique()
    ours = sorted(set(doubled) & set(known_genes().values()))
    hint = f", of signatures {some_of(ours)}" if ours else ""
    found.add(
        "gene_duplicated",
        f"{found.table_name}: {len(doubled)} genes in more than one row{hint}; the rows are "
        "added up, exact copies count once.",
        n=len(doubled),
    )
    summed = rows.drop_duplicates().groupby("gene", sort=False).sum(min_count=1)
    names = pd.Index([*symbols[~twice], *summed.index], dtype=object)
    return np.vstack([linear[~twice], summed.to_numpy()]), names


def some_of(names: list[str]) -> str:
    """Name the first ones of many columns or genes.

    Examples
    --------
    >>> some_of(list("abcdefghij"))
    'a, b, c, d, e, f, g, h and 2 more'
    """
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")

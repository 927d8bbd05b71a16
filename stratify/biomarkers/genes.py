"""Names of genes as matrices write them: symbols, Ensembl identifiers, and what spreadsheets made.

Only the genes of ``data_schemas/signatures.yaml`` are brought to one name; others keep theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stratify.tables.schema import signature_sets

__all__ = ["known_genes", "mangled_names", "read_gene_names"]

# Spreadsheets turn SEPT2, MARCH1 and DEC1 into dates, and identifiers such as 2310009E13 into
# numbers (Ziemann 2016, 10.1186/s13059-016-1044-7). Months in English, German, French, Spanish.
_MONTHS = (
    "jan|feb|f[eé]v|mar|mrz|mär|mae|apr|avr|abr|may|mai|jun|jui|jul|aug|ago|ao[uû]|sep|set|"
    "oct|okt|oto|nov|dec|dez|d[eé]c|dic"
)
_DATES = (
    rf"\d{{1,2}}[-./ ] ?(?:{_MONTHS})[a-zä.]*(?:[-./ ]\d{{2,4}})?",
    rf"(?:{_MONTHS})[a-zä.]*[-./ ]\d{{1,4}}",
    r"\d{4}-\d{1,2}-\d{1,2}(?:[ t]\d.*)?",
    r"\d{1,2}[./]\d{1,2}[./]\d{2,4}",
    r"\d(?:[.,]\d+)?e\+\d+",
)
_MOUSE = r"[A-Z][a-z0-9]*[a-z][a-z0-9.-]*|ENSMUSG\d+.*"


@cache
def known_genes() -> dict[str, str]:
    """Symbol by every name of the genes of signatures, in upper case.

    Examples
    --------
    >>> names = known_genes()
    >>> names["ENSG00000107738"], names["CTGF"], names["HLA-DRA"], names["HLA.DRA"]
    ('VSIR', 'CCN2', 'HLA-DRA', 'HLA-DRA')
    """
    names: dict[str, str] = {}
    for symbol, others in signature_sets()["genes"].items():
        for name in (symbol, *others):
            # make.names of R puts points in place of dashes
            names |= {name.upper(): symbol, name.upper().replace("-", "."): symbol}
    return names


def mangled_names(names: Sequence[object] | pd.Series | pd.Index[Any]) -> NDArray[np.bool_]:
    """Names that a spreadsheet turned into dates or numbers.

    Parameters
    ----------
    names : sequence of shape (n,)

    Returns
    -------
    ndarray of bool of shape (n,)

    References
    ----------
    Ziemann 2016, 10.1186/s13059-016-1044-7; Abeysooriya 2021, 10.1371/journal.pcbi.1008984.

    Examples
    --------
    >>> mangled_names(["2-Sep", "1. Mrz", "2001-12-01", "SEPT2", "MARCH1", "DEC1"]).tolist()
    [True, True, True, False, False, False]
    """
    texts = _texts(names).str.lower()
    dates = texts.str.fullmatch("|".join(_DATES)).fillna(False)
    digits = texts.str.fullmatch(r"\d+").fillna(False)
    if 2 * digits.sum() > len(digits):  # identifiers of Entrez, not days since 1900
        digits[:] = False
    return (dates | digits).to_numpy(dtype=bool)


def _texts(names: Sequence[object] | pd.Series | pd.Index[Any]) -> pd.Series:
    given = (
        names if isinstance(names, (pd.Series, pd.Index)) else pd.Series(list(names), dtype=object)
    )
    return pd.Series(given.astype("string").array).str.strip()


def read_gene_names(names: Sequence[object] | pd.Series | pd.Index[Any]) -> pd.Series:
    """Read names of genes.

    Parameters
    ----------
    names : sequence of shape (n,)
        Symbols, present or former; Ensembl identifiers with or without version; symbols with a
        number (``GZMA|3001``, ``GZMA (3001)``) or identifier (``GZMA_ENSG00000145649.12``) joined.

    Returns
    -------
    Series of shape (n,)
        Symbol where the gene belongs to a signature, else the name without version; None where
        there is none or a spreadsheet has mangled it. Names of mouse genes keep their spelling,
        so that no signature finds them.

    Examples
    --------
    >>> read_gene_names(["ENSG00000145649.12", " prf1", "CTGF", "PRF1|5551", "2-Sep"]).tolist()
    ['GZMA', 'PRF1', 'CCN2', 'PRF1', None]
    >>> read_gene_names(["Gzma", "Prf1", "Cd8a"]).tolist()
    ['Gzma', 'Prf1', 'Cd8a']
    """
    given = _texts(names).str.strip("\"' \t\r\n")
    lost = mangled_names(given) | given.isin(["", "?", "NA", "NAN", "nan"]).to_numpy(dtype=bool)
    bare = given.str.replace(r"(?:\|| \()\d+\)?$", "", regex=True)
    joined = bare.str.upper().str.contains("ENS", regex=False).fillna(False)
    ensembl = bare[joined].str.upper().str.extract(r"(?:^|[_|:])(ENS[A-Z]*G\d{11})(?![0-9])")[0]
    bare = bare.mask(joined, ensembl.reindex(bare.index).fillna(bare))
    upper = bare.str.upper()
    if 2 * bare.str.fullmatch(_MOUSE).sum() > len(bare):
        upper = bare
    symbol = upper.map(known_genes(), na_action="ignore").fillna(bare).astype(object)
    return symbol.where(~lost & symbol.notna() & (symbol != ""), None).rename(None)

"""Expression signatures of immune infiltration: scores, and the genes they rest on.

A score depends on no other patient, so that one patient can be scored alone. Genes, weights and
sources stand in ``data_schemas/signatures.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.biomarkers.expression_reference import ExpressionReference
from stratify.biomarkers.expression_scale import WHOLE
from stratify.biomarkers.genes import known_genes
from stratify.errors import ArgumentError
from stratify.tables.measurements import ExpressionMatrix
from stratify.tables.schema import signature_sets

__all__ = [
    "Signature",
    "score_signatures",
    "signature_coverage",
    "signatures",
]


RANK_POWER = 0.25  # of ssGSEA
ROUNDING = 1e-9  # shares add up in binary


@dataclass(frozen=True)
class Signature:
    """One signature.

    Attributes
    ----------
    name : str
        Its column in the ``infiltration`` dictionary.
    score : {"mean", "weighted", "pairs", "ssgsea"}
    weights : mapping of str to float
        By gene; equal weights for means. Empty for pairs.
    housekeeping : tuple of str
        Genes to whose mean expression is relative.
    pairs : tuple of (str, str)
    source : str
    """

    name: str
    score: str
    weights: Mapping[str, float]
    housekeeping: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    source: str

    @property
    def genes(self) -> list[str]:
        """All genes that enter the score, without the housekeeping ones."""
        return sorted({*self.weights, *(gene for pair in self.pairs for gene in pair)})

    def share(self, measured: set[str]) -> float:
        """Share of the weight, or of the pairs, that rests on measured genes.

        That of the housekeeping genes if it is less.
        """
        if self.pairs:
            return sum(map(measured.issuperset, self.pairs)) / len(self.pairs)
        weights = {gene: abs(weight) for gene, weight in self.weights.items()}
        share = sum(weights[gene] for gene in measured.intersection(weights))
        share /= sum(weights.values())
        if not self.housekeeping:
            return share
        return min(share, len(measured.intersection(self.housekeeping)) / len(self.housekeeping))


@cache
def signatures() -> dict[str, Signature]:
    """Signatures by name.

    Examples
    --------
    >>> signatures()["gep"].weights["STAT1"], signatures()["cyt"].genes
    (0.250229, ['GZMA', 'PRF1'])
    """
    read = {}
    for name, entry in signature_sets()["signatures"].items():
        equal = {gene: 1 / len(entry["genes"]) for gene in entry.get("genes", ())}
        read[name] = Signature(
            name=name,
            score=entry["score"],
            weights=entry.get("weights", equal),
            housekeeping=tuple(entry.get("housekeeping", ())),
            pairs=tuple((first, second) for first, second in entry.get("pairs", ())),
            source=entry["source"],
        )
    return read


def score_signatures(
    expression: pd.DataFrame,
    settings: ExpressionMatrix,
    reference: ExpressionReference | None = None,
) -> pd.DataFrame:
    """Score all signatures.

    Parameters
    ----------
    expression : DataFrame of shape (n_patients, n_genes)
        From :func:`stratify.biomarkers.expression.read_expression`.

    Returns
    -------
    DataFrame of shape (n_patients, n_signatures)
        Means and weighted sums in the unit of ``expression``; ``impres`` as number of pairs, 0 to
        15; ssGSEA as enrichment divided by the number of genes, -1 to 1. NaN where less than
        ``min_coverage`` of the genes, by weight, are measured; what is measured stands for the
        rest. Pairs and ssGSEA are NaN unless in TPM or FPKM, ssGSEA also below 10,000 genes.

    References
    ----------
    Barbie 2009, 10.1038/nature08460 (ssGSEA); Ayers 2017, 10.1172/JCI91190, and Cristescu 2018,
    10.1126/science.aar3593 (GEP relative to housekeeping genes).

    Examples
    --------
    >>> expression = pd.DataFrame({"CD8A": [1.0, 4.0], "CD8B": [3.0, 4.0], "FOXP3": [2.0, None]})
    >>> scores = score_signatures(expression, ExpressionMatrix(unit="TPM"))
    >>> scores[["cells_cd8", "cells_treg"]]
       cells_cd8  cells_treg
    0        2.0         2.0
    1        4.0         NaN
    """
    ours = expression.reindex(columns=sorted(set(known_genes().values()))).astype(float)
    scaled = ours
    if reference is not None:
        if reference.unit != settings.unit_read:
            raise ArgumentError(
                f"reference was learned from {reference.unit}, but the matrix is in "
                f"{settings.unit_read}; the unit of the training patients is expected."
            )
        scaled = reference.transform(ours).reindex(columns=ours.columns)
    needed = settings.min_coverage
    scores: dict[str, Floats] = {}
    for name, signature in signatures().items():
        genes = list(signature.weights)
        if _lacks(signature, expression, settings):
            scores[name] = np.full(len(expression), np.nan)
        elif signature.score == "pairs":
            scores[name] = _pairs(ours, signature.pairs, needed)
        elif signature.score == "ssgsea":
            scores[name] = _ssgsea(expression, genes, needed)
        else:
            values = scaled[genes].to_numpy()
            if signature.housekeeping and reference is None:
                house = ours[list(signature.housekeeping)].to_numpy()
                level = _weighted(house, np.ones(house.shape[1]) / house.shape[1], needed)
                values = values - level[:, None]
            scores[name] = _weighted(values, np.array(list(signature.weights.values())), needed)
    return pd.DataFrame(scores, index=expression.index)


def _lacks(signature: Signature, expression: pd.DataFrame, settings: ExpressionMatrix) -> str:
    """Say what a comparison of genes with each other lacks in this matrix."""
    if signature.score not in ("pairs", "ssgsea"):
        return ""
    if settings.unit_read != "TPM":
        return "TPM or FPKM"
    return f"{WHOLE} genes" if signature.score == "ssgsea" and expression.shape[1] < WHOLE else ""


def _covered(score: Floats, measured: Floats, needed: float) -> Floats:
    """Score where enough is measured; rounding must not tip the balance."""
    return np.where(measured >= needed - ROUNDING, score, np.nan)


def _weighted(values: Floats, weights: Floats, needed: float) -> Floats:
    there = np.isfinite(values)
    share = there @ np.abs(weights) / np.abs(weights).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.where(there, values, 0) @ weights / share
    return _covered(score, share, needed)


def _pairs(ours: pd.DataFrame, pairs: tuple[tuple[str, str], ...], needed: float) -> Floats:
    first, second = (ours[list(genes)].to_numpy() for genes in zip(*pairs, strict=True))
    share = np.isfinite(first + second).mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = (first > second).sum(axis=1) / share
    return _covered(score, share, needed)


def _ssgsea(expression: pd.DataFrame, genes: list[str], needed: float) -> Floats:
    """Enrichment by the closed form of the running sum.

    The sum over all places of the difference between the weighted share of the set's genes that
    were passed and the share of the others is, with rank r from 1 (lowest) to N,
    ``sum(r**1.25) / sum(r**0.25) - (N (N + 1) / 2 - sum(r)) / (N - k)`` over the k genes of the
    set. Ties have their mean rank.
    """
    # Not by gseapy 1.3.1, which the tests hold it against: it reads a missing gene as 0, warns
    # under pandas 3, and takes six times what all signatures take here.
    matrix = np.ascontiguousarray(expression.to_numpy(dtype=float))
    own = matrix[:, expression.columns.isin(genes)]
    scores = np.full(len(matrix), np.nan)
    for i, (row, values) in enumerate(zip(matrix, own, strict=True)):
        values = values[np.isfinite(values)]
        k, n = len(values), int(np.isfinite(row).sum())
        if not k or k >= n:
            continue
        ordered = np.sort(row)[:n]
        sides = [np.searchsorted(ordered, values, side) for side in ("left", "right")]
        rank = (sides[0] + sides[1] + 1) / 2
        weight = rank**RANK_POWER
        others = (n * (n + 1) / 2 - rank.sum()) / (n - k)
        scores[i] = ((weight * rank).sum() / weight.sum() - others) / n
    return _covered(scores, np.isfinite(own).sum(axis=1) / len(genes), needed)


def signature_coverage(expression: pd.DataFrame, settings: ExpressionMatrix) -> pd.DataFrame:
    """Tell which genes of each signature are measured, in any patient.

    Parameters
    ----------
    expression : DataFrame of shape (n_patients, n_genes)
        From :func:`stratify.biomarkers.expression.read_expression`.

    Returns
    -------
    DataFrame of shape (n_signatures, 6)
        ``signature``, ``n_genes``, ``n_measured``, ``share`` measured by weight (of pairs, those
        whole; of housekeeping genes if that is less), ``absent`` (list of genes), and ``lacks``:
        what the signature lacks to be scored, empty if nothing.

    Examples
    --------
    >>> expression = pd.DataFrame({"GZMA": [1.0], "CD8A": [2.0], "CD8B": [2.0]})
    >>> coverage = signature_coverage(expression, ExpressionMatrix(unit="TPM"))
    >>> coverage.set_index("signature").loc[["cyt", "cells_cd8"]]
               n_genes  n_measured  share  absent  lacks
    signature
    cyt              2           1    0.5  [PRF1]  genes
    cells_cd8        2           2    1.0      []
    """
    there = set(expression.columns[expression.notna().any().to_numpy()])
    rows = []
    for signature in signatures().values():
        share = signature.share(there)
        few = "" if share >= settings.min_coverage - ROUNDING else "genes"
        rows.append(
            {
                "signature": signature.name,
                "n_genes": len(signature.genes),
                "n_measured": len(there.intersection(signature.genes)),
                "share": share,
                "absent": sorted({*signature.genes, *signature.housekeeping} - there),
                "lacks": _lacks(signature, expression, settings) or few,
            }
        )
    return pd.DataFrame(rows)

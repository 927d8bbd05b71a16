"""Indices of blood counts, albumin and LDH, derived where no file reports them.

What is measured has been brought to one unit before; each index is missing where one of its inputs
is. Scores of points and their cut-offs stand in ``data_schemas/clinical_scores.yaml``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from stratify.arrays import Floats
from stratify.biomarkers.derivation import Columns, DerivationFault, DerivationRules
from stratify.tables.documents import document

__all__ = ["ClinicalIndex", "PointScore", "indices"]


@dataclass(frozen=True)
class ClinicalIndex:
    """A number that a formula gives, see :class:`stratify.biomarkers.derivation.Derivation`.

    Attributes
    ----------
    name : str
        Column that it gives.
    needs : tuple of str
        Columns in the units of the dictionary: counts in 10^9/L, albumin in g/dL, LDH in U/L.
    formula : callable
        From arrays of `needs` in their order to an array, NaN where one of them is.
    divisor : str
        Column by which is divided; patients with a value of 0 are reported.

    Examples
    --------
    >>> columns = {"neutrophils": np.array([6.0, 4.0]), "lymphocytes": np.array([1.5, 0.0])}
    >>> nlr = next(index for index in indices() if index.name == "nlr")
    >>> nlr.derive(columns, DerivationRules())["nlr"]
    array([ 4., nan])
    """

    name: str
    needs: tuple[str, ...]
    formula: Callable[..., Floats]
    divisor: str = ""
    source: str = "blood counts"
    uses: tuple[str, ...] = ()
    replaces: bool = False

    @property
    def gives(self) -> tuple[str, ...]:
        """The index."""
        return (self.name,)

    def derive(self, columns: Columns, rules: DerivationRules) -> Columns:
        """Compute the index."""
        return {self.name: self.formula(*(columns[name] for name in self.needs))}

    def faults(self, columns: Columns, rules: DerivationRules) -> Iterable[DerivationFault]:
        """Report counts of 0 that are divided by."""
        zero = int((columns[self.divisor] == 0).sum()) if self.divisor else 0
        if zero:
            text = f"{zero} patients have no {self.divisor}; ratios to them are missing."
            yield DerivationFault("ratio_undefined", self.divisor, zero, text)


@dataclass(frozen=True)
class PointScore(ClinicalIndex):
    """A point for each value beyond its cut-off."""

    @classmethod
    def of(cls, name: str, points: Mapping[str, Mapping[str, float]]) -> PointScore:
        """Score by the cut-offs of the document."""

        def total(*values: Floats) -> Floats:
            beyond = [
                each > cut["above"] if "above" in cut else each < cut["below"]
                for each, cut in zip(values, points.values(), strict=True)
            ]
            known = np.all([np.isfinite(each) for each in values], axis=0)
            return np.where(known, np.sum(beyond, axis=0), np.nan)

        return cls(name, tuple(points), total)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient, missing where nothing is divided by."""
    return np.asarray(numerator / np.where(denominator > 0, denominator, np.nan))


@cache
def indices() -> tuple[ClinicalIndex, ...]:
    """Every index; the scores of points are data."""
    lymphocytes = "lymphocytes"
    ratios = (
        ClinicalIndex("nlr", ("neutrophils", lymphocytes), _ratio, lymphocytes),
        # Mezquita 2018, 10.1001/jamaoncol.2017.4771
        ClinicalIndex("dnlr", ("neutrophils", "leukocytes"), lambda n, w: _ratio(n, w - n)),
        ClinicalIndex("plr", ("platelets", lymphocytes), _ratio, lymphocytes),
        # Hu 2014, 10.1158/1078-0432.CCR-14-0442
        ClinicalIndex(
            "sii",
            ("platelets", "neutrophils", lymphocytes),
            lambda p, n, y: _ratio(p * n, y),
            lymphocytes,
        ),
        # Onodera 1984, formula as in 10.1007/s13277-015-4008-8
        ClinicalIndex("pni", ("albumin", lymphocytes), lambda a, y: 10 * a + 5 * y),
        ClinicalIndex("ldh_ratio", ("ldh", "ldh_upper_limit"), _ratio),
    )
    scores = document("clinical_scores").items()
    points = (PointScore.of(name, entry["points"]) for name, entry in scores if name != "version")
    return (*ratios, *points)

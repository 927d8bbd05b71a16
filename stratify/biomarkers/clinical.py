"""Indices of blood counts, albumin and LDH, derived where no file reports them.

What is measured has been brought to one unit before; each index is missing where one of its parts
is. Indices with points are those of their papers, cut-offs included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.biomarkers.reported import with_derived
from stratify.tables.findings import Findings
from stratify.tables.rows import numbers_of

__all__ = ["INDICES", "add_clinical", "clinical_indices"]

Parts: TypeAlias = Mapping[str, Floats]

# dNLR above which LIPI gives a point (Mezquita 2018), albumin below which, and metastatic sites
# above which, RMH does (Arkenau 2009).
HIGH_DNLR, LOW_ALBUMIN, MANY_SITES = 3.0, 3.5, 2


@dataclass(frozen=True)
class Index:
    """What an index is made of, in the units of the dictionary, and how."""

    parts: tuple[str, ...]
    formula: Callable[[Parts], Floats]


def _over(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient, missing where nothing is divided by."""
    safe = np.where(denominator > 0, denominator, np.nan)
    return np.asarray(numerator / safe)


def _points(*flags: tuple[Floats, np.ndarray]) -> Floats:
    """Points for what is true, missing where any value is."""
    known = np.all([np.isfinite(values) for values, _ in flags], axis=0)
    return np.where(known, np.sum([flag for _, flag in flags], axis=0), np.nan)


# in the order in which they are derived: later ones rest on earlier ones
INDICES: dict[str, Index] = {
    "nlr": Index(
        ("neutrophils", "lymphocytes"), lambda p: _over(p["neutrophils"], p["lymphocytes"])
    ),
    "dnlr": Index(
        ("neutrophils", "leukocytes"),
        lambda p: _over(p["neutrophils"], p["leukocytes"] - p["neutrophils"]),
    ),
    "plr": Index(("platelets", "lymphocytes"), lambda p: _over(p["platelets"], p["lymphocytes"])),
    "sii": Index(
        ("platelets", "neutrophils", "lymphocytes"),
        lambda p: _over(p["platelets"] * p["neutrophils"], p["lymphocytes"]),
    ),
    "pni": Index(("albumin", "lymphocytes"), lambda p: 10 * p["albumin"] + 5 * p["lymphocytes"]),
    "ldh_ratio": Index(("ldh", "ldh_upper_limit"), lambda p: _over(p["ldh"], p["ldh_upper_limit"])),
    "lipi": Index(
        ("dnlr", "ldh_ratio"),
        lambda p: _points((p["dnlr"], p["dnlr"] > HIGH_DNLR), (p["ldh_ratio"], p["ldh_ratio"] > 1)),
    ),
    "rmh_score": Index(
        ("ldh_ratio", "albumin", "metastatic_sites"),
        lambda p: _points(
            (p["ldh_ratio"], p["ldh_ratio"] > 1),
            (p["albumin"], p["albumin"] < LOW_ALBUMIN),
            (p["metastatic_sites"], p["metastatic_sites"] > MANY_SITES),
        ),
    ),
}


def clinical_indices(patients: pd.DataFrame) -> pd.DataFrame:
    """Derive the indices whose parts are there.

    Parameters
    ----------
    patients : DataFrame of shape (n_patients, ...)
        Columns of the ``clinical`` dictionary, in its units: counts in 10^9/L, albumin in g/dL,
        LDH in U/L.

    Returns
    -------
    DataFrame of shape (n_patients, n_indices)
        ``nlr``, ``dnlr``, ``plr``, ``sii``, ``pni``, ``ldh_ratio``, ``lipi`` and ``rmh_score`` as
        far as their parts are mapped or derived. An index that a file reports serves as a part of
        others where it has a value.

    References
    ----------
    Mezquita 2018, 10.1001/jamaoncol.2017.4771 (dNLR, LIPI); Hu 2014,
    10.1158/1078-0432.CCR-14-0442 (SII); Onodera 1984, formula as in 10.1007/s13277-015-4008-8
    (PNI); Arkenau 2009, 10.1200/JCO.2008.19.5081, as in 10.1002/cncr.26413 (RMH).

    Examples
    --------
    >>> patients = pd.DataFrame({"neutrophils": [6.0], "lymphocytes": [1.5], "leukocytes": [7.5],
    ...                          "platelets": [300.0], "albumin": [3.8], "ldh": [300.0],
    ...                          "ldh_upper_limit": [250.0]})
    >>> clinical_indices(patients).T[0].to_dict()
    {'nlr': 4.0, 'dnlr': 4.0, 'plr': 200.0, 'sii': 1200.0, 'pni': 45.5, 'ldh_ratio': 1.2,
     'lipi': 2.0}
    """
    known = {
        name: numbers_of(patients, name)
        for name in {part for index in INDICES.values() for part in index.parts}
        if name in patients
    }
    derived = {}
    for name, index in INDICES.items():
        if set(index.parts) <= set(known):
            derived[name] = index.formula(known)
            reported = known.get(name, np.full(len(patients), np.nan))
            known[name] = np.where(np.isnan(reported), derived[name], reported)
    return pd.DataFrame(derived, index=patients.index)


def add_clinical(patients: pd.DataFrame, cohort: str, findings: Findings) -> pd.DataFrame:
    """Put indices beside the columns of the files.

    Parameters
    ----------
    patients : DataFrame of shape (n_patients, ...)
        Joined panels, one row a patient.
    cohort : str
        For findings.
    findings : Findings
        Told of counts of 0, and of reported indices that differ from what their parts give.

    Returns
    -------
    DataFrame
        The same where nothing follows. An index that a file reports stays, and is compared.

    Examples
    --------
    >>> patients = pd.DataFrame({"neutrophils": [6.0, 4.0], "lymphocytes": [1.5, 0.0]})
    >>> told = Findings()
    >>> add_clinical(patients, "home", told)["nlr"].tolist()
    [4.0, nan]
    >>> told.codes()
    ['ratio_undefined']
    """
    derived = clinical_indices(patients)
    if derived.empty and not len(derived.columns):
        return patients
    zero = numbers_of(patients, "lymphocytes") == 0
    if zero.any() and {"nlr", "plr", "sii"} & set(derived):
        findings.add(
            "ratio_undefined",
            f"{int(zero.sum())} patients have no lymphocytes; ratios to them are missing.",
            cohort=cohort,
            panel="clinical",
            column="lymphocytes",
            n=int(zero.sum()),
        )
    return with_derived(patients, derived, "blood counts", cohort, findings)

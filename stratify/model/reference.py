"""Published scores and plain models that every result is compared with.

All are turned to *risk of resistance*: higher is worse. Published LORIS predicts response, so its
complement is taken. LORIS was fitted on Chowell_train, and is in-sample there; its trained models
are not part of this package, only the published equation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.model.forest import RandomForest
from stratify.model.linear import LinearScore
from stratify.tables.schema import field_named

__all__ = ["REFERENCES", "LogisticModel", "Reference", "References", "loris", "loris_nsclc"]


# Chang 2024, 10.1038/s43018-024-00772-7, pan-cancer equation for the probability of response.
LORIS_CANCER_TYPE = {
    "bladder": -0.3323,
    "breast": -0.3323,
    "colorectal": -0.102,
    "endometrial": -0.0079,
    "oesophageal": 0.55,
    "gastric": 0.2306,
    "head_and_neck": 0.0678,
    "hepatobiliary": -0.1189,
    "melanoma": -0.0086,
    "mesothelioma": 0.1255,
    "nsclc": 0.0008,
    "ovarian": -0.052,
    "pancreatic": -1.1169,
    "renal": 0.5451,
    "sarcoma": 0.0542,
    "sclc": -0.0033,
}
LORIS_INPUTS = ("tmb", "prior_systemic_therapy", "albumin", "nlr", "age", "cancer_type")
# Chowell 2022, 10.1038/s41587-021-01070-8, without the drug class: the regimen is no feature.
RF16_INPUTS = (
    *("cancer_type", "albumin", "hed", "tmb", "fraction_genome_altered", "bmi", "nlr"),
    *("platelets", "hemoglobin", "stage_iv", "age", "prior_systemic_therapy", "hla_loh"),
    *("msi_high", "sex"),
)
# What their grid search (trees, depth, leaf, split; five folds, accuracy) chose for RF16.
RF16_SETTINGS = {"n_trees": 1000, "max_depth": 8, "min_samples_leaf": 20}
# Their coding of levels.
RF16_CODES = {
    "cancer_type": {"melanoma": 0.0, "nsclc": 1.0, "other": 2.0},
    "sex": {"female": 0.0, "male": 1.0},
}


def loris(table: pd.DataFrame) -> Floats:
    """Compute published pan-cancer LORIS, the probability of objective response.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        ``tmb`` (mut/Mb), ``prior_systemic_therapy`` (1 yes), ``albumin`` (g/dL), ``nlr``, ``age``
        (years), ``cancer_type``; a type without a published coefficient counts as other (0).

    Returns
    -------
    ndarray of shape (n_patients,)
        Probability, NaN where a number is missing.

    References
    ----------
    Chang 2024, Nature Cancer, 10.1038/s43018-024-00772-7.

    Examples
    --------
    >>> patient = {"tmb": [10.0], "prior_systemic_therapy": [1], "albumin": [4.0], "nlr": [4.0],
    ...            "age": [60.0], "cancer_type": ["nsclc"]}
    >>> loris(pd.DataFrame(patient)).round(4)
    array([0.4306])
    """
    s = (
        0.0371 * _numbers(table, "tmb").clip(max=50)
        - 0.8775 * _numbers(table, "prior_systemic_therapy")
        + 0.5382 * _numbers(table, "albumin")
        - 0.033 * _numbers(table, "nlr").clip(max=25)
        + 0.0049 * _numbers(table, "age").clip(max=85)
        + table["cancer_type"].map(LORIS_CANCER_TYPE).fillna(0.0).to_numpy(dtype=float)
        - 2.0886
    )
    return np.asarray(1 / (1 + np.exp(-s)))


def loris_nsclc(table: pd.DataFrame) -> Floats:
    """Compute published NSCLC LORIS, the probability of response; NaN for other tumours.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        ``tmb``, ``pdl1_tps`` (percent), ``prior_systemic_therapy``, ``albumin``, ``nlr``,
        ``cancer_type``.

    Returns
    -------
    ndarray of shape (n_patients,)

    References
    ----------
    Chang 2024, Nature Cancer, 10.1038/s43018-024-00772-7.
    """
    s = (
        0.0353 * _numbers(table, "tmb").clip(max=50)
        + 0.0111 * _numbers(table, "pdl1_tps")
        - 0.375 * _numbers(table, "prior_systemic_therapy")
        + 0.2924 * _numbers(table, "albumin")
        - 0.0103 * _numbers(table, "nlr").clip(max=25)
        - 1.5593
    )
    nsclc = (table["cancer_type"] == "nsclc").to_numpy(dtype=bool)
    return np.where(nsclc, 1 / (1 + np.exp(-s)), np.nan)


def _numbers(table: pd.DataFrame, name: str) -> Floats:
    if name not in table:
        return np.full(len(table), np.nan)
    return table[name].to_numpy(dtype=float)


def _below(values: Floats, cut: float) -> Floats:
    return np.where(np.isnan(values), np.nan, values < cut)


@dataclass(frozen=True)
class Reference:
    """A comparator: what it needs and how its risk is read.

    Attributes
    ----------
    name, title, source : str
    needs : tuple of str
        Columns that must be measured.
    kind : {"probability", "score", "rule"}
        A probability is judged on calibration too; a rule is 0 or 1.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    kind: str
    source: str


REFERENCES = {
    reference.name: reference
    for reference in (
        Reference(
            "loris",
            "LORIS, pan-cancer (published)",
            LORIS_INPUTS,
            "probability",
            "Chang 2024, 10.1038/s43018-024-00772-7",
        ),
        Reference(
            "loris_nsclc",
            "LORIS, NSCLC (published)",
            ("tmb", "pdl1_tps", "prior_systemic_therapy", "albumin", "nlr", "cancer_type"),
            "probability",
            "Chang 2024, 10.1038/s43018-024-00772-7",
        ),
        Reference("tmb", "TMB, lower is worse", ("tmb",), "score", "Samstein 2019"),
        Reference("tmb10", "TMB below 10 mut/Mb", ("tmb",), "rule", "FDA, KEYNOTE-158"),
        Reference("btmb", "Blood TMB, lower is worse", ("btmb",), "score", "Gandara 2018"),
        Reference("pdl1", "PD-L1 TPS, lower is worse", ("pdl1_tps",), "score", "KEYNOTE-024"),
        Reference("pdl1_50", "PD-L1 TPS below 50 %", ("pdl1_tps",), "rule", "KEYNOTE-024"),
        Reference(
            "pdl1_tc3_ic3",
            "PD-L1 below TC3 and IC3",
            ("pdl1_tc3_ic3",),
            "rule",
            "Gandara 2018",
        ),
        Reference(
            "gep", "T-cell-inflamed GEP, lower is worse", ("gep",), "score", "Cristescu 2018"
        ),
        Reference("cyt", "Cytolytic activity, lower is worse", ("cyt",), "score", "Rooney 2015"),
        Reference("logistic", "Logistic regression, same features", (), "probability", "refitted"),
        Reference(
            "logistic_loris",
            "Logistic regression, LORIS inputs",
            (),
            "probability",
            "refitted on the training patients with the inputs of Chang 2024",
        ),
        Reference(
            "rf16",
            "RF16, random forest",
            (),
            "probability",
            "refitted on the training patients with inputs and settings of Chowell 2022, "
            "10.1038/s41587-021-01070-8",
        ),
    )
}
_CUTS = {"tmb10": 10.0, "pdl1_50": 50.0, "pdl1_tc3_ic3": 1.0}


@dataclass(frozen=True)
class LogisticModel:
    """Plain logistic regression on canonical columns, ridge with C = 1 as scikit-learn's default.

    Attributes
    ----------
    levels : dict of str to list of str
        Levels of categorical columns in the order of their codes.
    score : LinearScore
    """

    levels: dict[str, list[str]]
    score: LinearScore

    @classmethod
    def fit(
        cls,
        table: pd.DataFrame,
        features: Sequence[str],
        label: Floats,
        weight: Floats | None = None,
    ) -> LogisticModel:
        """Fit on training patients.

        Parameters
        ----------
        table : DataFrame of shape (n_patients, ...)
        features : sequence of str
            Canonical names.
        label : ndarray of shape (n_patients,)
            1 primary resistance, 0 not.
        weight : ndarray of shape (n_patients,), optional
        """
        names = sorted(features)
        levels = {
            name: sorted(table[name].dropna().astype(str).unique())
            for name in names
            if field_named(name).categorical
        }
        counts = {name: len(known) for name, known in levels.items()}
        matrix = _encoded(table, names, levels)
        return cls(levels, LinearScore.fit(matrix, names, counts, label, weight=weight))

    def risk(self, table: pd.DataFrame) -> Floats:
        """Probability of class 1, for every patient."""
        margin = self.score.margin(_encoded(table, self.score.features, self.levels))
        return np.asarray(1 / (1 + np.exp(-margin)))


def _rf16_matrix(table: pd.DataFrame, features: Sequence[str]) -> Floats:
    columns = []
    for name in features:
        if name in RF16_CODES and name in table:
            codes = RF16_CODES[name]
            coded = table[name].map(lambda level, codes=codes: codes.get(level, codes.get("other")))
            columns.append(coded.where(table[name].notna()).to_numpy(dtype=float))
        else:
            columns.append(_numbers(table, name))
    return np.column_stack(columns)


def _encoded(
    table: pd.DataFrame, names: Sequence[str], levels: Mapping[str, Sequence[str]]
) -> Floats:
    columns = []
    for name in names:
        if name in levels and name in table:
            codes = {level: float(code) for code, level in enumerate(levels[name])}
            columns.append(table[name].map(codes).to_numpy(dtype=float))
        else:
            columns.append(_numbers(table, name))
    return np.column_stack(columns)


@dataclass(frozen=True)
class References:
    """All comparators, with what they learned from the training patients.

    Attributes
    ----------
    medians : dict of str to float
        Training medians that stand in for missing inputs of LORIS when it must be compared on
        patients with missing values.
    logistic, logistic_loris : LogisticModel or None
    rf16 : RandomForest or None
        None where fewer than 8 of its inputs are features.
    """

    medians: dict[str, float]
    logistic: LogisticModel
    logistic_loris: LogisticModel | None
    rf16: RandomForest | None

    @classmethod
    def fit(
        cls,
        table: pd.DataFrame,
        features: Sequence[str],
        label: Floats,
        weight: Floats | None = None,
    ) -> References:
        """Fit the comparators that learn, on training patients."""
        needed = [name for name in LORIS_INPUTS if name != "cancer_type"]
        medians = {
            name: float(np.nanmedian(_numbers(table, name)))
            for name in (*needed, "pdl1_tps")
            if name in table and table[name].notna().any()
        }
        inputs = [name for name in LORIS_INPUTS if name in features]
        sixteen = [name for name in RF16_INPUTS if name in features]
        rf16 = None
        if len(sixteen) >= 8:
            matrix = _rf16_matrix(table, sixteen)
            rf16 = RandomForest.fit(matrix, sixteen, label, weight, **RF16_SETTINGS)
        return cls(
            medians,
            LogisticModel.fit(table, features, label, weight),
            LogisticModel.fit(table, inputs, label, weight) if len(inputs) >= 4 else None,
            rf16,
        )

    def complete(self, table: pd.DataFrame) -> dict[str, Flags]:
        """Patients for whom every input of a reference is measured, by reference."""
        masks = {}
        for name, reference in REFERENCES.items():
            if name in ("logistic_loris", "rf16") and getattr(self, name) is None:
                continue
            mask = np.ones(len(table), dtype=bool)
            for column in reference.needs:
                mask &= (
                    table[column].notna().to_numpy()
                    if column in table
                    else np.zeros(len(table), dtype=bool)
                )
            if name == "loris_nsclc" and "cancer_type" in table:
                mask &= (table["cancer_type"] == "nsclc").to_numpy(dtype=bool)
            masks[name] = mask
        return masks

    def fillable(self, table: pd.DataFrame) -> bool:
        """Whether LORIS can be compared on all patients, missing inputs at training medians."""
        inputs = [name for name in LORIS_INPUTS if name != "cancer_type"]
        measured = [n for n in ("tmb", "albumin", "nlr") if n in table and table[n].notna().any()]
        known = all(n in self.medians or (n in table and table[n].notna().all()) for n in inputs)
        return bool(measured) and known

    def risk(self, name: str, table: pd.DataFrame) -> Floats:
        """Risk by one reference; missing inputs of LORIS take the training medians.

        Parameters
        ----------
        name : str
            A key of :data:`REFERENCES`.
        table : DataFrame of shape (n_patients, ...)

        Returns
        -------
        ndarray of shape (n_patients,)
            Probability, score or 0/1 rule; higher is worse. NaN where an input is missing and
            nothing stands in for it.
        """
        if name == "logistic":
            return self.logistic.risk(table)
        if name == "logistic_loris":
            assert self.logistic_loris is not None
            return self.logistic_loris.risk(table)
        if name == "rf16":
            assert self.rf16 is not None
            return self.rf16.risk(_rf16_matrix(table, self.rf16.features))
        if name in ("loris", "loris_nsclc"):
            known = {column: _numbers(table, column) for column in self.medians}
            filled = table.assign(
                **{
                    column: np.where(np.isnan(values), self.medians[column], values)
                    for column, values in known.items()
                }
            )
            if "cancer_type" not in filled:
                filled["cancer_type"] = np.nan
            return 1 - (loris(filled) if name == "loris" else loris_nsclc(filled))
        values = _numbers(table, REFERENCES[name].needs[0])
        return -values if REFERENCES[name].kind == "score" else _below(values, _CUTS[name])

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> References:
        """Inverse of :meth:`to_json`."""
        second, forest = document["logistic_loris"], document.get("rf16")
        return cls(
            dict(document["medians"]),
            _logistic(document["logistic"]),
            None if second is None else _logistic(second),
            None if forest is None else RandomForest(**forest),
        )


def _logistic(document: Mapping[str, Any]) -> LogisticModel:
    return LogisticModel(dict(document["levels"]), LinearScore.from_json(document["score"]))

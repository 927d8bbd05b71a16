"""Label rules by indication: dated, with source, as ``data_schemas/label_rules.yaml``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, TypeAlias

import numpy as np
import pandas as pd
from pydantic import BeforeValidator

from stratify.arrays import Flags, Strings
from stratify.biomarkers.pdl1 import clone_in
from stratify.study.conditions import Condition
from stratify.study.policy import LabelCheck
from stratify.tables.documents import document
from stratify.tables.strict import Strict

__all__ = ["Assays", "LabelRule", "label_rules", "not_covered", "on_file"]

Assays: TypeAlias = Mapping[str, Mapping[str, str]]  # by marker and cohort
Day = Annotated[dt.date | None, BeforeValidator(lambda day: day)]


class LabelRule(Strict):
    """What one label asks; no condition means that nothing is asked of a marker."""

    id: str
    cancer_type: str
    treatment: str
    drug: str
    jurisdiction: str
    condition: Condition | None
    assay: str | None
    valid_from: Day
    valid_to: Day
    source: str
    read_on: dt.date
    prior_systemic_therapy: bool | None = None
    also: tuple[Condition, ...] = ()

    def valid(self, on: dt.date) -> bool:
        """Whether it holds on a day; one without a verified date may, and covers nobody."""
        begun = self.valid_from is None or self.valid_from <= on
        return begun and (self.valid_to is None or on < self.valid_to)

    def met(self, table: pd.DataFrame, assays: Assays) -> Flags:
        """Whether each patient is known to meet it, by the assay that it names."""
        met = np.full(len(table), self.valid_from is not None)
        for asked in (*([] if self.condition is None else [self.condition]), *self.also):
            met &= np.array([held is True for held in asked.holds(table)], dtype=bool)
        if self.condition is not None and self.assay is not None:
            met &= _clones(table, assays, self.condition.marker) == clone_in(self.assay)
        return met

    def __str__(self) -> str:
        """Words of the rule, for reasons."""
        asked = "no marker" if self.condition is None else str(self.condition)
        assay = f" ({self.assay})" if self.assay else ""
        more = "".join(f", {each}" for each in self.also)
        unverified = "" if self.valid_from is not None else ", date not verified"
        return f"{self.jurisdiction} {self.drug}: {asked}{assay}{more}{unverified}"


@cache
def label_rules() -> tuple[LabelRule, ...]:
    """Every rule of the data file.

    Examples
    --------
    >>> rule = next(r for r in label_rules() if r.id == "eu_nsclc_pembrolizumab_first_line")
    >>> str(rule)
    'eu pembrolizumab: pdl1_tps is 50 or more (22C3), egfr_mutation is false, alk_fusion is false'
    """
    return tuple(LabelRule.model_validate(rule) for rule in document("label_rules")["rules"])


def _clones(table: pd.DataFrame, assays: Assays, marker: str) -> Strings:
    """Clone by which each patient's marker was stained; None where none or several are named."""
    empty = pd.Series(None, index=table.index, dtype=object)
    clone = {cohort: clone_in(assay) for cohort, assay in assays.get(marker, {}).items()}
    of_column = table.get("cohort", empty).map(clone)
    own = table.get("pdl1_clone", empty) if marker.startswith("pdl1") else empty
    found: Strings = own.where(own.notna(), of_column).to_numpy(dtype=object)
    return found


def not_covered(
    table: pd.DataFrame,
    treatment: str,
    check: LabelCheck,
    assays: Assays | None = None,
) -> pd.Series:
    """Why no label on file covers a treatment, for each patient; empty where one does.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        ``cancer_type``, ``prior_systemic_therapy`` and markers, as far as recorded.
    assays : mapping of str to mapping of str to str, optional
        Assay by marker and ``cohort``; a rule that names an assay is met by no other, and by none
        that is not known. ``pdl1_clone`` of a patient comes first.

    Examples
    --------
    >>> table = pd.DataFrame({"cohort": "ours", "cancer_type": "nsclc",
    ...                       "prior_systemic_therapy": True, "pdl1_tps": [60, 0, None]})
    >>> check = LabelCheck(jurisdiction="eu", on="2026-11-23")
    >>> not_covered(table, "monotherapy", check, {"pdl1_tps": {"ours": "22C3"}}).tolist()
    ['', 'eu pembrolizumab: pdl1_tps is 1 or more (22C3)', 'eu pembrolizumab: pdl1_tps is 1 or
    more (22C3)']
    """
    asked = np.full(len(table), "", dtype=object)
    for rules, patients in _applying(table, treatment, check):
        met = np.zeros(len(table), dtype=bool)
        for rule in rules:
            met |= rule.met(table, assays or {})
        words = "; ".join(map(str, rules))
        lacking = patients & ~met & np.array([words not in each for each in asked], dtype=bool)
        asked[lacking] = [f"{each}; {words}" if each else words for each in asked[lacking]]
    return pd.Series(asked, index=table.index, dtype=object)


def on_file(table: pd.DataFrame, treatment: str, check: LabelCheck) -> pd.Series:
    """Whether any rule is on file for each patient's cancer type, line, treatment and jurisdiction.

    Examples
    --------
    >>> table = pd.DataFrame({"cancer_type": ["nsclc", "renal"]})
    >>> check = LabelCheck(jurisdiction="eu", on="2026-11-23")
    >>> on_file(table, "monotherapy", check).tolist()
    [True, False]
    """
    found = pd.Series(False, index=table.index)
    for _, patients in _applying(table, treatment, check):
        found |= patients
    return found


def _applying(
    table: pd.DataFrame, treatment: str, check: LabelCheck
) -> Iterator[tuple[list[LabelRule], Flags]]:
    """Rules of one indication and line, with the patients they are for."""
    empty = pd.Series(None, index=table.index, dtype=object)
    types = table.get("cancer_type", empty).astype(object)
    prior = table.get("prior_systemic_therapy", empty).astype(object)
    for line in (False, True):
        of_line = [
            known is None or known != known or bool(known) == line
            for known in prior.where(prior.notna(), None)
        ]
        by_type: dict[str, list[LabelRule]] = {}
        for rule in label_rules():
            if (
                rule.treatment == treatment
                and rule.jurisdiction == check.jurisdiction
                and rule.valid(check.on)
                and rule.prior_systemic_therapy in (None, line)
            ):
                by_type.setdefault(rule.cancer_type, []).append(rule)
        for cancer_type, rules in sorted(by_type.items()):
            yield rules, np.array(of_line) & np.array([t == cancer_type for t in types])

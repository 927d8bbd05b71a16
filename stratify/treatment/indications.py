"""Label rules by indication: dated, with source, as ``data_schemas/label_rules.yaml``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import cache
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BeforeValidator

from stratify.arrays import Flags
from stratify.study.policy import Condition, LabelCheck
from stratify.tables.documents import document
from stratify.tables.strict import Strict

__all__ = ["LabelRule", "label_rules", "not_covered", "on_file"]

Day = Annotated[dt.date | None, BeforeValidator(lambda day: day)]


class LabelRule(Strict):
    """One label's condition on a marker; no condition means that none is asked."""

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

    def valid(self, on: dt.date) -> bool:
        """Whether it is known to hold on a day."""
        begun = self.valid_from is None or self.valid_from <= on
        return begun and (self.valid_to is None or on < self.valid_to)

    def __str__(self) -> str:
        """Words of the rule, for reasons."""
        asked = "no marker" if self.condition is None else str(self.condition)
        assay = f" ({self.assay})" if self.assay else ""
        return f"{self.jurisdiction} {self.drug}: {asked}{assay}"


@cache
def label_rules() -> tuple[LabelRule, ...]:
    """Every rule of the data file.

    Examples
    --------
    >>> rule = next(r for r in label_rules() if r.id == "eu_nsclc_pembrolizumab_first_line")
    >>> str(rule)
    'eu pembrolizumab: pdl1_tps is 50 or more (22C3)'
    """
    return tuple(LabelRule.model_validate(rule) for rule in document("label_rules")["rules"])


def not_covered(table: pd.DataFrame, treatment: str, check: LabelCheck) -> pd.Series:
    """Why no label on file covers a treatment, for each patient; empty where one does.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        ``cancer_type``, ``prior_systemic_therapy`` and markers, as far as recorded.

    Examples
    --------
    >>> table = pd.DataFrame({"cancer_type": "nsclc", "prior_systemic_therapy": False,
    ...                       "pdl1_tps": [60, 20, None]})
    >>> check = LabelCheck(jurisdiction="eu", on="2026-11-23")
    >>> not_covered(table, "monotherapy", check).tolist()
    ['', 'eu pembrolizumab: pdl1_tps is 50 or more (22C3)', 'eu pembrolizumab: pdl1_tps is 50 or
    more (22C3)']
    """
    asked = np.full(len(table), "", dtype=object)
    for rules, patients in _applying(table, treatment, check):
        met = np.zeros(len(table), dtype=bool)
        for rule in rules:
            if rule.condition is None:
                met[:] = True
            else:
                met |= np.array([held is True for held in rule.condition.holds(table)], dtype=bool)
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

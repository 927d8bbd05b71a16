"""Prognostic or predictive: a frozen score and survival where no ICI was given.

A score that orders survival of patients without an ICI says who does badly, whatever is given.
That it does so under an ICI is then no sign that it says who benefits (LORIS does both).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stratify.cohort.reading import Cohort
from stratify.errors import CohortError
from stratify.scoring import ResistanceModel
from stratify.statistics.discrimination import c_index
from stratify.statistics.performance import MODEL
from stratify.statistics.survival import hazard_ratio_per_sd
from stratify.validation.training import judged_risks

__all__ = ["prognosis", "statements"]

COLUMNS = ("cohort", "treatment", "model", "metric", "value", "low", "high", "n", "n_events")
WITHOUT_ICI = ("none", "chemotherapy", "targeted")
_CLIP = 1e-6  # risks of 0 and 1 have no log-odds


def prognosis(model: ResistanceModel, cohort: Cohort, *, outcome: str = "os") -> pd.DataFrame:
    """Association of the risk, and of every reference, with survival.

    Returns
    -------
    DataFrame
        One row a cohort, treatment (``without_ici | ici | unknown``), model and metric:
        ``c_index`` (0.5 is no association; above it a higher
        risk goes with earlier events) and ``hazard_ratio_per_sd`` (of the log-odds), each with 95 %
        interval, ``n`` and ``n_events``. References stand for patients with complete inputs.
    """
    table = model.prepare(cohort).table
    known = pd.Series(False, index=table.index)
    if {outcome, f"{outcome}_event"} <= set(table):
        known = table[[outcome, f"{outcome}_event"]].notna().all(axis=1)
    if not known.any():
        raise CohortError(
            f"No patient has {outcome} and {outcome}_event recorded; map both in the outcomes "
            "panel."
        )
    rows = []
    treatment = _treatment(table)
    for (name, given), part in table[known].groupby([table["cohort"], treatment], sort=True):
        part = part.reset_index(drop=True)
        risks = judged_risks(model.classifier, model.references, part)
        for scored, risk in risks.by_model.items():
            mask = np.ones(len(part), dtype=bool)
            if scored != MODEL:
                mask = risks.complete[scored]
            mask = mask & np.isfinite(risk)
            time = part.loc[mask, outcome].to_numpy(dtype=float)
            event = part.loc[mask, f"{outcome}_event"].to_numpy(dtype=float)
            score = risk[mask]
            if len(set(score)) < 2 or event.sum() == 0:
                continue
            if score.min() >= 0 and score.max() <= 1:
                within = np.clip(score, _CLIP, 1 - _CLIP)
                score = np.log(within / (1 - within))
            for metric, found in (
                ("c_index", c_index(time, event, score)),
                ("hazard_ratio_per_sd", hazard_ratio_per_sd(time, event, score)),
            ):
                base = (
                    str(name),
                    str(given),
                    scored,
                    metric,
                    *found,
                    int(mask.sum()),
                    int(event.sum()),
                )
                rows.append(dict(zip(COLUMNS, base, strict=True)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _treatment(table: pd.DataFrame) -> pd.Series:
    """Whether each patient had an ICI, by the regimen."""
    regimen = table.get("regimen", pd.Series(None, index=table.index, dtype=object))
    had = pd.Series("ici", index=table.index).mask(regimen.isin(WITHOUT_ICI), "without_ici")
    return had.mask(regimen.isna() | (regimen == "other"), "unknown").rename("treatment")


def statements(table: pd.DataFrame) -> list[str]:
    """Say in sentences what the table of :func:`prognosis` shows for the model.

    Prognostic is said of patients without an ICI alone: under one, what orders survival may be
    the treatment's effect.

    Examples
    --------
    >>> rows = pd.DataFrame([["a", "without_ici", "stratify", "c_index", 0.61, 0.58, 0.64, 841,
    ...                       400]], columns=list(COLUMNS))
    >>> statements(rows)
    ['a, without an ICI: the risk is associated with survival (C 0.61, 0.58 to 0.64; n = 841):
    prognostic.']
    """
    own = table[(table["model"] == MODEL) & (table["metric"] == "c_index")]
    return [_statement(row) for row in own.to_dict("records")]


_WORDS = {"without_ici": "without an ICI", "ici": "with an ICI", "unknown": "treatment not known"}


def _statement(row: Mapping[Any, Any]) -> str:
    who = f"{row['cohort']}, {_WORDS[row['treatment']]}"
    figures = f"C {row['value']:.2f}, {row['low']:.2f} to {row['high']:.2f}; n = {row['n']}"
    if not row["low"] > 0.5:
        return f"{who}: no association of the risk with survival is shown ({figures})."
    shown = f"{who}: the risk is associated with survival ({figures})"
    if row["treatment"] == "without_ici":
        return f"{shown}: prognostic."
    return (
        f"{shown}; whether it is prognostic only patients without an ICI can show (`regimen: "
        "none`, chemotherapy or targeted)."
    )

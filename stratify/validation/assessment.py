"""The model and its references judged on the same patients: cross-validation, test, external.

Everything learned (model, calibration, references, medians) is learned inside the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Strings
from stratify.cohort.subgroups import large_enough, subgroups
from stratify.model.classifier import ResistanceClassifier
from stratify.progress import Progress
from stratify.references import references
from stratify.statistics.calibration import calibration_curve, delta_brier
from stratify.statistics.discrimination import delta_auroc, roc_curve_table
from stratify.statistics.performance import (
    MODEL,
    PERFORMANCE_COLUMNS,
    Prediction,
    decision_curve,
    performance_table,
)
from stratify.statistics.survival import survival_by_group
from stratify.validation.folds import Rescaled, each_fold, split_folds
from stratify.validation.training import EarlyCensoring, Risks, Training, risks_without

__all__ = ["Assessment", "assess", "cross_validate"]


OUTCOMES = ("pfs", "os")
GRID = [round(0.05 + 0.01 * k, 2) for k in range(91)]  # thresholds of decision curves


@dataclass(frozen=True)
class Assessment:
    """Performance in one cohort and split.

    Attributes
    ----------
    cohort, split : str
    n, n_events : int
    performance : DataFrame
        Rows of ``performance.csv``.
    roc, calibration, decision : DataFrame
        Curves of probability models, tall with a column ``model``.
    survival : dict of str to (curves, summary)
        Kaplan–Meier by risk group for ``pfs`` and ``os`` where recorded.
    folds : tuple of DataFrame
        Of a cross-validation, performance of the model in each fold.
    """

    cohort: str
    split: str
    n: int
    n_events: int
    performance: pd.DataFrame
    roc: pd.DataFrame
    calibration: pd.DataFrame
    decision: pd.DataFrame
    survival: dict[str, tuple[pd.DataFrame, pd.DataFrame]]
    folds: tuple[pd.DataFrame, ...] = ()


def cross_validate(
    classifier: ResistanceClassifier,
    table: pd.DataFrame,
    features: list[str],
    *,
    folds: int | None = 5,
    seed: int = 0,
    censoring: EarlyCensoring | None = None,
    trials: int = 0,
    rescaled: Rescaled | None = None,
    storage: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Risks:
    """Out-of-fold risks: model, calibration and references refitted without the judged patients.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        Training patients with ``label``, sorted by cohort and patient.
    folds : int or None
        Number of folds stratified by label; None to leave out one cohort after the other.
    rescaled : callable, optional
        Given the table and which patients train, gives it on scales learned from these, such as
        :class:`stratify.cohort.training_scales.RefittedScales`; for every fold.
    workers : int
        Processes of one thread each that share the folds; 1 for this process, with the threads
        of the classifier. The risks are the same, in the order of ``table``.
    """
    label = table["label"].to_numpy(dtype=float)
    if folds is not None:
        folds = max(2, min(folds, int(label.sum()), int((1 - label).sum())))
    splits = split_folds(table, folds, seed, rescaled)
    kind = "cross-validation, fold" if folds is not None else "left-out cohort"
    names = [f"{kind} {k + 1} of {len(splits)}" for k in range(len(splits))]
    training = Training(classifier, features, censoring, trials, storage).alone(workers)
    inside = progress if workers == 1 else None
    calls = [
        (training, fold.home, [fold.away], name, inside)
        for name, fold in zip(names, splits, strict=True)
    ]
    found = each_fold(risks_without, calls, names, workers=workers, progress=progress)
    by_model: dict[str, Floats] = {}
    complete: dict[str, Flags] = {}
    covering = frozenset(references())
    fold_of = np.zeros(len(table), dtype=int)
    for k, ((_, _, test), (risks,)) in enumerate(zip(splits, found, strict=True)):
        fold_of[test] = k
        covering &= risks.covering
        for name, risk in risks.by_model.items():
            by_model.setdefault(name, np.full(len(table), np.nan))[test] = risk
        for name, mask in risks.complete.items():
            complete.setdefault(name, np.zeros(len(table), dtype=bool))[test] = mask
    return Risks(by_model, complete, covering, fold_of)


def assess(
    table: pd.DataFrame,
    risks: Risks,
    *,
    cohort: str,
    split: str,
    thresholds: list[float],
    groups: Strings | None = None,
    apparent: Risks | None = None,
) -> Assessment:
    """Judge risks against labels and survival.

    Row group ``all`` holds every patient and the references that cover them, some with training
    medians for missing inputs. Row groups ``measured=...`` hold the patients with complete inputs
    of a reference that does not cover all. Those of
    :func:`~stratify.cohort.subgroups.subgroups` follow, with the references of ``all`` and the
    metrics that need no bootstrap.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        Evaluable patients: ``label`` and, where recorded, ``pfs, pfs_event, os, os_event``.
    groups : ndarray of shape (n_patients,), optional
        Risk group of each patient, for survival.
    """
    label = table["label"].to_numpy(dtype=float)
    judged = partial(performance_table, cohort=cohort, split=split)
    row_groups = _row_groups(risks, label)
    everyone = row_groups[0][2]
    rows = [
        judged(
            label[mask],
            _predictions(risks, names, mask),
            subgroup=subgroup,
            thresholds=tuple(thresholds),
            **_times(table[mask], "pfs"),
        )
        for subgroup, mask, names in row_groups
    ]
    rows += [
        judged(label[mask], _predictions(risks, everyone, mask), subgroup=subgroup, resampled=False)
        for subgroup, mask in subgroups(table, label)
    ]
    survival = {} if groups is None else _survival(table, groups)
    if survival:  # no empty table among the others, it would turn their numbers into objects
        rows.append(_survival_rows(survival, cohort, split))
    probabilities = {n: risks.by_model[n] for n in everyone if _kind(risks, n) == "probability"}
    both = 0 < label.sum() < len(label)
    if apparent is not None and both:
        rows.append(_optimism(label, apparent, probabilities, cohort, split))
    own = [] if risks.fold is None else [risks.fold == k for k in np.unique(risks.fold)]
    return Assessment(
        cohort=cohort,
        split=split,
        n=len(label),
        n_events=int(label.sum()),
        performance=pd.concat(rows, ignore_index=True)[list(PERFORMANCE_COLUMNS)],
        roc=_by_model({n: risks.by_model[n] for n in everyone}, lambda r: _roc(label, r))
        if both
        else pd.DataFrame(),
        calibration=_by_model(probabilities, lambda r: calibration_curve(label, r)),
        decision=decision_curve(label, probabilities, GRID),
        survival=survival,
        folds=tuple(
            judged(label[mask], _predictions(risks, [MODEL], mask), resampled=False)
            for mask in own  # by the metrics that need no bootstrap
        ),
    )


def _by_model(risks: Mapping[str, Floats], curve: Callable[[Floats], pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(
        [curve(risk).assign(model=name) for name, risk in risks.items()], ignore_index=True
    )


def _roc(label: Floats, risk: Floats) -> pd.DataFrame:
    curve = roc_curve_table(label, risk)
    rates = {"false_positive_rate": 1 - curve["specificity"]}
    return pd.DataFrame({**rates, "true_positive_rate": curve["sensitivity"]})


def _kind(risks: Risks, name: str) -> str:
    return "probability" if name == MODEL else risks.reference(name).kind


def _predictions(risks: Risks, names: Sequence[str], mask: Flags) -> dict[str, Prediction]:
    kinds = {name: _kind(risks, name) for name in names}
    return {
        name: Prediction(risks.by_model[name][mask], kind == "probability", kind == "rule")
        for name, kind in kinds.items()
    }


def _row_groups(risks: Risks, label: Floats) -> list[tuple[str, Flags, list[str]]]:
    """Name, patients and models of each group of rows; all patients come first."""
    groups = [("all", np.ones(len(label), dtype=bool), risks.whole())]
    # references that share their inputs share the row group
    seen: set[tuple[str, ...]] = set()
    for name, mask in risks.complete.items():
        inputs = risks.reference(name).needs
        if mask.all() or inputs in seen or not large_enough(label[mask]):
            continue
        seen.add(inputs)
        names = [n for n in risks.by_model if n == MODEL or risks.complete[n][mask].all()]
        groups.append((f"measured={inputs[0] if len(inputs) == 1 else name}", mask, names))
    return groups


def _optimism(
    label: Floats, apparent: Risks, held_out: Mapping[str, Floats], cohort: str, split: str
) -> pd.DataFrame:
    """Apparent minus held-out performance on the same patients; above 0 in AUROC is optimistic."""
    rows = [
        {
            "model": name,
            "metric": f"optimism_{metric}",
            **delta(label, apparent.by_model[name], risk)._asdict(),
        }
        for name, risk in held_out.items()
        for metric, delta in (("auroc", delta_auroc), ("brier", delta_brier))
    ]
    table = pd.DataFrame(rows, columns=list(PERFORMANCE_COLUMNS))
    counts = {"n": len(label), "n_events": int(label.sum())}
    return table.assign(cohort=cohort, split=split, reference="", subgroup="all", **counts)


class _Times(TypedDict, total=False):
    time: Floats
    event: Floats


def _times(table: pd.DataFrame, outcome: str) -> _Times:
    """Time and event where they are recorded for all."""
    pair = [outcome, f"{outcome}_event"]
    if not set(pair) <= set(table.columns) or table[pair].isna().to_numpy().any():
        return {}
    time, event = (table[name].to_numpy(float) for name in pair)
    return {"time": time, "event": event}


def _survival(table: pd.DataFrame, groups: Strings) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    found = {}
    for outcome in OUTCOMES:
        pair = [outcome, f"{outcome}_event"]
        if not set(pair) <= set(table.columns):
            continue
        known = table[pair].notna().all(axis=1).to_numpy()
        here = pd.Categorical(groups[known], ["low", "intermediate", "high"], ordered=True)
        if len(set(groups[known])) > 1:
            group = pd.Series(here).cat.remove_unused_categories()
            times = _times(table[known], outcome)
            found[outcome] = survival_by_group(times["time"], times["event"], group)
    return found


def _survival_rows(
    survival: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], cohort: str, split: str
) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for outcome, (_, summary) in survival.items():
        against_low = summary["group"].iloc[0] == "low"
        for k, line in enumerate(summary.to_dict("records")):
            # the summary is against the first group that there is
            names = ("median", "hazard_ratio") if k and against_low else ("median",)
            place = {"subgroup": f"risk_group={line['group']}"}
            place |= {count: line[count] for count in ("n", "n_events")}
            for name in names:
                limits = {limit: line[f"{name}_{limit}"] for limit in ("low", "high")}
                metric = {"metric": f"{name}_{outcome}", "value": line[name]}
                rows.append({**place, **metric, **limits})
        counts = {count: int(summary[count].sum()) for count in ("n", "n_events")}
        log_rank = {"metric": f"log_rank_p_{outcome}", "value": summary["log_rank_p"].iloc[0]}
        rows.append({"subgroup": "all", **log_rank, **counts})
    table = pd.DataFrame(rows, columns=list(PERFORMANCE_COLUMNS))
    return table.assign(cohort=cohort, split=split, model=MODEL, reference="")

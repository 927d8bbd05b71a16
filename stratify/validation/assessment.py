"""The model and its references judged on the same patients: cross-validation, test, external.

Everything learned (model, calibration, references, medians) is learned inside the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

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
from stratify.validation.folds import each_fold
from stratify.validation.training import EarlyCensoring, Risks, Training, risks_without

__all__ = ["Assessment", "assess", "cross_validate"]


OUTCOMES = ("pfs", "os")


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
    folds: int = 5,
    seed: int = 0,
    censoring: EarlyCensoring | None = None,
    trials: int = 0,
    rescaled: Callable[[pd.DataFrame, Flags], pd.DataFrame] | None = None,
    storage: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Risks:
    """Out-of-fold risks: model, calibration and references refitted without the judged patients.

    Parameters
    ----------
    classifier : ResistanceClassifier
        Unfitted, or fitted (then cloned).
    table : DataFrame of shape (n_patients, ...)
        Training patients with ``label``, sorted by cohort and patient.
    features : list of str
    folds : int
        Stratified by label; fewer where a class is smaller.
    seed : int
    censoring : EarlyCensoring, optional
        As in :func:`~stratify.validation.training.fit_with_references`; these patients are in no
        fold.
    trials, storage
        As in :func:`~stratify.validation.training.fit_with_references`: settings are chosen anew
        in every fold.
    rescaled : callable, optional
        Given the table and which patients train, gives it on scales learned from these, such as
        :class:`stratify.cohort.training_scales.RefittedScales`; for every fold.
    workers : int
        Processes of one thread each that share the folds; 1 for this process, with the threads
        of the classifier. The risks are the same.
    progress : callable, optional
        Told of each fold, and of the time left.

    Returns
    -------
    Risks
        In the order of ``table``.
    """
    from sklearn.model_selection import StratifiedKFold

    label = table["label"].to_numpy(dtype=float)
    folds = max(2, min(folds, int(label.sum()), int((1 - label).sum())))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    by_model: dict[str, Floats] = {}
    complete: dict[str, Flags] = {}
    covering = frozenset(references())
    fold = np.zeros(len(table), dtype=int)
    parts = list(split.split(table, label))
    names = [f"cross-validation, fold {k + 1} of {folds}" for k in range(folds)]
    scaled = [
        table if rescaled is None else rescaled(table, np.isin(np.arange(len(table)), train))
        for train, _ in parts
    ]
    training = Training(classifier, features, censoring, trials, storage)
    inside = progress if workers == 1 else None
    found = each_fold(
        risks_without,
        [
            (training.alone(workers), told.iloc[train], [told.iloc[test]], name, inside)
            for name, told, (train, test) in zip(names, scaled, parts, strict=True)
        ],
        names,
        workers=workers,
        progress=progress,
    )
    for k, ((_, test), (risks,)) in enumerate(zip(parts, found, strict=True)):
        fold[test] = k
        covering &= risks.covering
        for name, risk in risks.by_model.items():
            by_model.setdefault(name, np.full(len(table), np.nan))[test] = risk
        for name, mask in risks.complete.items():
            complete.setdefault(name, np.zeros(len(table), dtype=bool))[test] = mask
    return Risks(by_model, complete, covering, fold)


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

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        Evaluable patients: ``label`` and, where recorded, ``pfs, pfs_event, os, os_event``.
    risks : Risks
        Of the same patients in the same order.
    cohort, split : str
        Name the rows.
    thresholds : list of float
        Stated thresholds of the risk.
    groups : ndarray of shape (n_patients,), optional
        Risk group of each patient, for survival.
    apparent : Risks, optional
        Of the same patients by models that learned from them: adds the optimism, by which they
        look better than `risks`.

    Returns
    -------
    Assessment
        Row group ``all`` holds every patient and the references that cover them, some with
        training medians for missing inputs. Row groups ``measured=...`` hold the patients with
        complete inputs of a reference that does not cover all. Those of
        :func:`~stratify.cohort.subgroups.subgroups` follow, with the references of ``all`` and the
        metrics that need no bootstrap.
    """
    label = table["label"].to_numpy(dtype=float)
    rows = []
    row_groups = _row_groups(risks, label)
    everyone = row_groups[0][2]
    for subgroup, mask, names in row_groups:
        times = _times(table[mask], "pfs")
        rows.append(
            performance_table(
                label[mask],
                {name: _prediction(name, risks.by_model[name][mask]) for name in names},
                cohort=cohort,
                split=split,
                subgroup=subgroup,
                thresholds=tuple(thresholds),
                time=times.get("time"),
                event=times.get("event"),
            )
        )
    for subgroup, mask in subgroups(table, label):
        rows.append(
            performance_table(
                label[mask],
                {name: _prediction(name, risks.by_model[name][mask]) for name in everyone},
                cohort=cohort,
                split=split,
                subgroup=subgroup,
                resampled=False,
            )
        )
    survival = {}
    if groups is not None:
        survival = _survival(table, groups)
    if survival:  # no empty table among the others, it would turn their numbers into objects
        rows.append(_survival_rows(survival, cohort, split))
    probabilities = {
        name: risks.by_model[name] for name in everyone if _kind(name) == "probability"
    }
    both = 0 < label.sum() < len(label)
    if apparent is not None and both:
        rows.append(_optimism(label, apparent, probabilities, cohort, split))
    grid = np.round(np.arange(0.05, 0.96, 0.01), 2)
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
        decision=decision_curve(label, probabilities, list(grid)),
        survival=survival,
        folds=_folds(label, risks, cohort, split),
    )


def _folds(label: Floats, risks: Risks, cohort: str, split: str) -> tuple[pd.DataFrame, ...]:
    """Judge the model in each fold, by the metrics that need no bootstrap."""
    if risks.fold is None:
        return ()
    risk = risks.by_model[MODEL]
    return tuple(
        performance_table(
            label[risks.fold == k],
            {MODEL: _prediction(MODEL, risk[risks.fold == k])},
            cohort=cohort,
            split=split,
            resampled=False,
        )
        for k in np.unique(risks.fold)
    )


def _by_model(risks: Mapping[str, Floats], curve: Callable[[Floats], pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(
        [curve(risk).assign(model=name) for name, risk in risks.items()], ignore_index=True
    )


def _roc(label: Floats, risk: Floats) -> pd.DataFrame:
    curve = roc_curve_table(label, risk)
    return pd.DataFrame(
        {
            "false_positive_rate": 1 - curve["specificity"],
            "true_positive_rate": curve["sensitivity"],
        }
    )


def _kind(name: str) -> str:
    return "probability" if name == MODEL else references()[name].kind


def _prediction(name: str, risk: Floats) -> Prediction:
    kind = _kind(name)
    return Prediction(risk, probability=kind == "probability", binary=kind == "rule")


def _row_groups(risks: Risks, label: Floats) -> list[tuple[str, Flags, list[str]]]:
    everyone = np.ones(len(label), dtype=bool)
    groups = [("all", everyone, risks.whole())]
    # references that share their inputs share the row group
    told: dict[tuple[str, ...], str] = {}
    for name, mask in risks.complete.items():
        inputs = references()[name].needs
        if mask.all() or inputs in told or not large_enough(label[mask]):
            continue
        told[inputs] = inputs[0] if len(inputs) == 1 else name
        names = [n for n in risks.by_model if n == MODEL or risks.complete[n][mask].all()]
        groups.append((f"measured={told[inputs]}", mask, names))
    return groups


def _optimism(
    label: Floats, apparent: Risks, held_out: Mapping[str, Floats], cohort: str, split: str
) -> pd.DataFrame:
    """Apparent minus held-out performance on the same patients; above 0 in AUROC is optimistic."""
    rows: list[dict[str, object]] = []
    for name, risk in held_out.items():
        for metric, delta in (("auroc", delta_auroc), ("brier", delta_brier)):
            found = delta(label, apparent.by_model[name], risk)._asdict()
            rows.append({"model": name, "metric": f"optimism_{metric}", **found})
    table = pd.DataFrame(rows, columns=list(PERFORMANCE_COLUMNS))
    counts = {"n": len(label), "n_events": int(label.sum())}
    return table.assign(cohort=cohort, split=split, reference="", subgroup="all", **counts)


def _times(table: pd.DataFrame, outcome: str) -> dict[str, Floats]:
    event = f"{outcome}_event"
    if not {outcome, event} <= set(table.columns):
        return {}
    if table[[outcome, event]].isna().to_numpy().any():
        return {}
    return {"time": table[outcome].to_numpy(float), "event": table[event].to_numpy(float)}


def _survival(table: pd.DataFrame, groups: Strings) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    found = {}
    for outcome in OUTCOMES:
        if not {outcome, f"{outcome}_event"} <= set(table.columns):
            continue
        known = table[[outcome, f"{outcome}_event"]].notna().all(axis=1).to_numpy()
        here = pd.Categorical(groups[known], ["low", "intermediate", "high"], ordered=True)
        if len(set(groups[known])) < 2:
            continue
        times = _times(table[known], outcome)
        found[outcome] = survival_by_group(
            times["time"], times["event"], pd.Series(here).cat.remove_unused_categories()
        )
    return found


def _survival_rows(
    survival: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], cohort: str, split: str
) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for outcome, (_, summary) in survival.items():
        against_low = summary["group"].iloc[0] == "low"
        for k, line in enumerate(summary.to_dict("records")):
            base = {"subgroup": f"risk_group={line['group']}", "n": line["n"]}
            base["n_events"] = line["n_events"]
            for name in ("median", "hazard_ratio"):
                if name == "hazard_ratio" and (k == 0 or not against_low):
                    continue  # the summary is against the first group that there is
                rows.append(
                    {
                        **base,
                        "metric": f"{name}_{outcome}",
                        "value": line[name],
                        "low": line[f"{name}_low"],
                        "high": line[f"{name}_high"],
                    }
                )
        rows.append(
            {
                "subgroup": "all",
                "metric": f"log_rank_p_{outcome}",
                "value": summary["log_rank_p"].iloc[0],
                "n": int(summary["n"].sum()),
                "n_events": int(summary["n_events"].sum()),
            }
        )
    table = pd.DataFrame(rows, columns=list(PERFORMANCE_COLUMNS))
    return table.assign(cohort=cohort, split=split, model=MODEL, reference="")

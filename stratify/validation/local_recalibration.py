"""A model recalibrated on a small local cohort, and judged there before and after."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.cohort.reading import Cohort
from stratify.errors import ArgumentError, CohortError
from stratify.model.recalibration import METHODS, PER_NUMBER, Recalibration, rarer
from stratify.scoring import ResistanceModel
from stratify.statistics.calibration import calibration_curve
from stratify.statistics.performance import Prediction, performance_table

__all__ = ["before_and_after", "recalibrate"]

_FOLDS, _REPEATS = 5, 20


def recalibrate(
    model: ResistanceModel, cohort: Cohort, *, what: str = "closed_test"
) -> ResistanceModel:
    """Fit a model's risks to a local cohort.

    Risk, interval and risk groups follow the new line, and the interval widens
    by what the cohort leaves open about it. Contributions of features stay as they are: they
    are in log-odds before calibration.
    """
    if what not in METHODS:
        raise ArgumentError(f"what is {what!r}; one of {', '.join(METHODS)} is expected.")
    if "recalibration" in model.card:
        raise ArgumentError(
            f"The model {model.version} was recalibrated before; recalibrate "
            f"{model.card['recalibration']['from_version']}, from which it was made."
        )
    y, p = _labels_and_risks(model, cohort)
    names = ", ".join(sorted(set(cohort.evaluable.table["cohort"])))
    if rarer(y) < PER_NUMBER:
        raise CohortError(
            f"{names or 'The study'} has {int(y.sum())} patients with label 1 and "
            f"{int((1 - y).sum())} with label 0; at least {PER_NUMBER} of each are needed to "
            "recalibrate. Add patients."
        )
    line = Recalibration.fit(y, p, what)
    if line.slope.value <= 0:
        raise CohortError(
            f"The model does not rank the patients of {names}: the slope is "
            f"{line.slope.value:.2f} ({line.slope.low:.2f} to {line.slope.high:.2f}). "
            "Recalibration cannot mend that; train on patients like these."
        )
    classifier = copy.copy(model.classifier)
    slope, intercept = classifier.calibration_
    classifier.calibration_ = (line.slope.value * slope, float(line(np.array(intercept))))
    cuts = line.risk(np.array(model.card["risk_group_cuts"])).tolist()
    record = line.to_json() | {
        "asked": what,
        "cohorts": names,
        "files": dict(cohort.files),
        "from_version": model.version,
    }
    card = {**model.card, "risk_group_cuts": cuts, "recalibration": record}
    return replace(model, classifier=classifier, card=card, version="")


def before_and_after(
    model: ResistanceModel, cohort: Cohort, *, what: str = "closed_test", seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge a model in a cohort before and after recalibration on it.

    Returns
    -------
    performance : DataFrame
        Rows of ``performance.csv``, models ``before`` and ``after``. Split ``train`` judges the
        patients that fitted the line; split ``cv`` those that did not: cross-fitted in 5 folds by
        label, log-odds averaged over 20 divisions.
    """
    from sklearn.model_selection import RepeatedStratifiedKFold

    y, p = _labels_and_risks(model, cohort)
    logit = np.log(p) - np.log1p(-p)
    total = np.zeros(len(y))
    split = RepeatedStratifiedKFold(n_splits=_FOLDS, n_repeats=_REPEATS, random_state=seed)
    for rest, judged in split.split(logit, y):
        try:
            line = Recalibration.fit(y[rest], p[rest], what)
        except CohortError:  # no slope without some of the patients: what is left is fitted
            line = Recalibration.fit(y[rest], p[rest], "intercept")
        total[judged] += line(logit[judged])
    risks = {
        "train": Recalibration.fit(y, p, what).risk(p),
        "cv": 1 / (1 + np.exp(-total / _REPEATS)),
    }
    names = ", ".join(sorted(set(cohort.evaluable.table["cohort"])))
    tables = [
        performance_table(
            y,
            {"before": Prediction(p, probability=True), "after": Prediction(r, probability=True)},
            cohort=names,
            split=split_name,
            delta_for="after",
        )
        for split_name, r in risks.items()
    ]
    curves = [
        calibration_curve(y, r, n_bins=5).assign(model=name)
        for name, r in (("before", p), ("after", risks["cv"]))
    ]
    return pd.concat(tables, ignore_index=True), pd.concat(curves, ignore_index=True)


def _labels_and_risks(model: ResistanceModel, cohort: Cohort) -> tuple[Floats, Floats]:
    table, matrix = cohort.evaluable.table, model.prepare(cohort.evaluable).matrix
    return table["label"].to_numpy(dtype=float), model.classifier.predict_proba(matrix)[:, 1]

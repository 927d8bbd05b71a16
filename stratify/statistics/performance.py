"""What a model is worth for decisions, and the table of every number about every model.

Conventions of arguments and errors: :mod:`stratify.statistics.discrimination`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stratify.arrays import Floats
from stratify.errors import ArgumentError
from stratify.statistics.calibration import (
    brier,
    brier_skill,
    calibration_intercept,
    calibration_slope,
    delta_brier,
    mean_observed,
    mean_predicted,
)
from stratify.statistics.checks import checked
from stratify.statistics.discrimination import auroc, average_precision, c_index, delta_auroc
from stratify.statistics.intervals import (
    UNDEFINED,
    Estimate,
    mean_interval,
    normal_quantile,
    wilson,
)

__all__ = [
    "MODEL",
    "PERFORMANCE_COLUMNS",
    "Prediction",
    "classification_at",
    "decision_curve",
    "net_benefit",
    "observed_expected",
    "performance_table",
]

MODEL = "stratify"  # the model itself among the references, in every table
PERFORMANCE_COLUMNS = (
    *("cohort", "split", "model", "reference", "subgroup", "metric"),
    *("threshold", "value", "low", "high", "n", "n_events"),
)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one model says of each patient, and how it may be judged.

    Parameters
    ----------
    risk : array_like, shape (n_patients,)
        Higher means likelier resistance.
    probability : bool
        `risk` is a probability from 0 to 1: calibration and net benefit apply.
    binary : bool, default False
        `risk` is a rule, 1 = predicted resistant: sensitivity and the like apply.

    Examples
    --------
    >>> Prediction([0.0, 1.0], probability=False, binary=True).binary
    True
    """

    risk: ArrayLike
    probability: bool
    binary: bool = False


def classification_at(
    y: ArrayLike, risk: ArrayLike, threshold: float, level: float = 0.95
) -> dict[str, Estimate]:
    """Sensitivity, specificity, ppv, npv and share_flagged when ``risk >= threshold`` is flagged.

    `risk` and `threshold` may be on any one scale. Wilson intervals; NaN where nobody is in the
    denominator.

    References
    ----------
    Altman DG, Bland JM. BMJ 1994;308:1552 and 309:102. Wilson EB. J Am Stat Assoc 1927.

    Examples
    --------
    >>> classification_at([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], 0.5)["ppv"].value
    0.6666666666666666
    """
    truth, ranked = checked(("y", y, "binary"), ("risk", risk, "number"))
    flagged = ranked >= threshold
    hits, alarms = float(truth[flagged].sum()), float((1 - truth)[flagged].sum())
    events, n = float(truth.sum()), float(truth.size)
    rest = n - hits - alarms
    return {
        "sensitivity": wilson(hits, events, level),
        "specificity": wilson(n - events - alarms, n - events, level),
        "ppv": wilson(hits, hits + alarms, level),
        "npv": wilson(n - events - alarms, rest, level),
        "share_flagged": wilson(hits + alarms, n, level),
    }


def _net_benefit_threshold(threshold: float) -> float:
    if not 0 <= threshold < 1:
        message = f"threshold is {threshold}; expected a risk of at least 0 and below 1."
        raise ArgumentError(message)
    return threshold


def net_benefit(y: ArrayLike, risk: ArrayLike, threshold: float, level: float = 0.95) -> Estimate:
    """Net benefit TP/n - FP/n * t/(1-t) of flagging ``risk >= threshold``, in true positives.

    Wald interval from the per-patient variance. `threshold` is at least 0 and below 1.

    References
    ----------
    Vickers AJ, Elkin EB. Med Decis Making 2006;26:565-574. Marsh TL, Janes H, Pepe MS.
    Biometrics 2020;76:843-852 (inference).

    Examples
    --------
    >>> net_benefit([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], 0.5).value
    0.25
    """
    truth, risks = checked(("y", y, "binary"), ("risk", risk, "probability"))
    odds = _net_benefit_threshold(threshold) / (1 - threshold)
    gains = np.where(risks >= threshold, truth - (1 - truth) * odds, 0.0)
    return mean_interval(gains, level)


def decision_curve(
    y: ArrayLike,
    risks: Mapping[str, ArrayLike],
    thresholds: Sequence[float],
    level: float = 0.95,
) -> pd.DataFrame:
    """Net benefit of each model, of flagging all and of flagging none, at each threshold.

    Columns model, threshold, net_benefit, low, high, n, n_events, one row per model and
    threshold; the models ``flag_all`` and ``flag_none`` come last. Method as :func:`net_benefit`.

    Examples
    --------
    >>> decision_curve([0, 1], {"m": [0.2, 0.8]}, [0.5])["net_benefit"].tolist()
    [0.5, 0.0, 0.0]
    """
    names = [f"risks[{name!r}]" for name in risks]
    truth, *arrays = checked(
        ("y", y, "binary"),
        *((name, risk, "probability") for name, risk in zip(names, risks.values(), strict=True)),
    )
    _no_reserved("risks", risks)
    n, events = truth.size, int(truth.sum())
    rows: list[tuple[object, ...]] = []
    for name, risk in zip([*risks, "flag_all", "flag_none"], [*arrays, None, None], strict=True):
        for t in thresholds:
            if name == "flag_none":
                _net_benefit_threshold(t)
                estimate = Estimate(0.0, 0.0, 0.0)
            else:
                estimate = net_benefit(truth, np.ones(n) if risk is None else risk, t, level)
            rows.append((name, float(t), *estimate, n, events))
    columns = ["model", "threshold", "net_benefit", "low", "high", "n", "n_events"]
    return pd.DataFrame(rows, columns=columns)


def _no_reserved(argument: str, names: Mapping[str, object]) -> None:
    for name in ("flag_all", "flag_none"):
        if name in names:
            message = f"{argument} names a model {name!r}; the name is taken: rename the model."
            raise ArgumentError(message)


def observed_expected(y: ArrayLike, p: ArrayLike, level: float = 0.95) -> Estimate:
    """Ratio of observed to expected events, O:E; 1 is right, above 1 risks are too low.

    Interval on the log scale, the expected number taken as known; none without an observed event.
    NaN where no event is expected.

    References
    ----------
    Debray TPA et al. BMJ 2017;356:i6460 (appendix: variance of the log of O:E).

    Examples
    --------
    >>> observed_expected([0, 1, 1, 1], [0.5, 0.5, 0.5, 0.5]).value
    1.5
    """
    truth, risk = checked(("y", y, "binary"), ("p", p, "probability"))
    observed, expected = float(truth.sum()), float(risk.sum())
    z = normal_quantile(level)
    if not expected:
        return UNDEFINED
    ratio = observed / expected
    if not observed:
        return Estimate(ratio, np.nan, np.nan)
    half = z * np.sqrt((1 - observed / truth.size) / observed)
    return Estimate(ratio, float(ratio * np.exp(-half)), float(ratio * np.exp(half)))


def performance_table(
    y: ArrayLike,
    predictions: Mapping[str, Prediction],
    *,
    cohort: str,
    split: str,
    subgroup: str = "all",
    thresholds: Sequence[float] = (),
    time: ArrayLike | None = None,
    event: ArrayLike | None = None,
    level: float = 0.95,
    resampled: bool = True,
    delta_for: str | None = None,
    reference_names: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Judge all models on the same patients, and one of them against each of the others.

    Parameters
    ----------
    y, time, event : array_like, shape (n_patients,)
        See :mod:`stratify.statistics.discrimination`; `time` and `event`, both or neither, add
        c_index.
    predictions : mapping of model name to Prediction
        The models, in the order of the rows.
    cohort, split, subgroup : str
        Copied to every row.
    thresholds : sequence of float, optional
        Risks, at least 0 and below 1, at which probabilities are turned into decisions.
    level : float, default 0.95
        Coverage of the intervals.
    resampled : bool, default True
        Also the metrics whose interval takes a bootstrap: average_precision and brier_skill.
    delta_for : str, optional
        Model whose paired differences are computed: delta_auroc and, between probabilities,
        delta_brier are this model minus reference. Default ``stratify`` where it is among the
        models, else the first one.
    reference_names : sequence of str, optional
        Models to compare it with; default all others.

    Returns
    -------
    pandas.DataFrame
        Columns `PERFORMANCE_COLUMNS`, one row per number. `reference` is empty unless the row
        is a paired difference; `threshold` is NaN where none applies. `n_events` counts `y`,
        for c_index `event`. An undefined number, such as the AUROC of one class, is NaN.

    Raises
    ------
    ArgumentError
        An array does not fit, naming the model; a model name is reserved or unknown; no model
        is given; only one of `time` and `event` is given.

    Examples
    --------
    >>> models = {"stratify": Prediction([0.1, 0.4, 0.8], probability=True)}
    >>> table = performance_table([0, 0, 1], models, cohort="demo", split="test")
    >>> table.loc[table["metric"] == "auroc", "value"].item()
    1.0
    """
    if not predictions:
        raise ArgumentError("predictions is empty; expected at least one model: add one.")
    if (time is None) != (event is None):
        missing = "time" if time is None else "event"
        message = f"{missing} is absent; expected both time and event, or neither: pass both."
        raise ArgumentError(message)
    _no_reserved("predictions", predictions)
    names = list(predictions)
    main, references = _compared(names, delta_for, reference_names)
    normal_quantile(level)
    marks = [_net_benefit_threshold(float(t)) for t in thresholds]
    truth, *arrays = checked(
        ("y", y, "binary"),
        *((f"predictions[{name!r}].risk", m.risk, _kind(m)) for name, m in predictions.items()),
        *((("time", time, "time"),) if time is not None else ()),
        *((("event", event, "binary"),) if event is not None else ()),
    )
    risks = dict(zip(names, arrays, strict=False))
    n, n_events = truth.size, int(truth.sum())
    left_out = set() if resampled else _RESAMPLED
    rows: list[tuple[object, ...]] = []

    def add(model: str, found: _Figure, reference: str = "", events: int = n_events) -> None:
        metric, estimate, threshold = found
        place = (cohort, split, model, reference, subgroup, metric, threshold)
        rows.append((*place, *estimate, n, events))

    for name, risk in risks.items():
        for found in _computed(_RANKING, truth, risk, level, left_out):
            add(name, found)
        if time is not None:
            found = ("c_index", _or_nan(c_index, *arrays[-2:], risk, level), np.nan)
            add(name, found, events=int(arrays[-1].sum()))
        if predictions[name].binary:
            for metric, estimate in classification_at(truth, risk, 0.5, level).items():
                add(name, (metric, estimate, np.nan))
        if predictions[name].probability:
            for found in _computed(_CALIBRATION, truth, risk, level, left_out):
                add(name, found)
            for found in _decisions(truth, risk, marks, level):
                add(name, found)
    for other in references:
        both = predictions[main].probability and predictions[other].probability
        for metric, delta in _DELTAS.items():
            if both or metric == "delta_auroc":
                estimate = _or_nan(delta, truth, risks[main], risks[other], level)
                add(main, (metric, estimate, np.nan), reference=other)
    for mark in marks:
        add("flag_all", ("net_benefit", net_benefit(truth, np.ones(n), mark, level), mark))
    return pd.DataFrame(rows, columns=list(PERFORMANCE_COLUMNS))


_Figure: TypeAlias = tuple[str, Estimate, float]  # metric, estimate, threshold
_RANKING = {"auroc": auroc, "average_precision": average_precision}
_CALIBRATION: dict[str, Callable[[Floats, Floats, float], Estimate]] = {
    "brier": brier,
    "brier_skill": brier_skill,
    "calibration_intercept": calibration_intercept,
    "calibration_slope": calibration_slope,
    "mean_predicted": lambda y, p, level: mean_predicted(p, level),
    "mean_observed": lambda y, p, level: mean_observed(y, level),
    "observed_expected": observed_expected,
}
_RESAMPLED = {"average_precision", "brier_skill"}
_DELTAS = {"delta_auroc": delta_auroc, "delta_brier": delta_brier}  # the second of probabilities


def _computed(
    metrics: Mapping[str, Callable[..., Estimate]],
    truth: Floats,
    risk: Floats,
    level: float,
    left_out: Collection[str],
) -> Iterator[_Figure]:
    for metric, compute in metrics.items():
        if metric not in left_out:
            yield metric, _or_nan(compute, truth, risk, level), np.nan


def _decisions(
    truth: Floats, risk: Floats, thresholds: Sequence[float], level: float
) -> Iterator[_Figure]:
    """Judge a probability that is turned into a decision at thresholds."""
    for threshold in thresholds:
        for metric, estimate in classification_at(truth, risk, threshold, level).items():
            yield metric, estimate, threshold
        yield "net_benefit", net_benefit(truth, risk, threshold, level), threshold


def _compared(
    names: list[str], delta_for: str | None, reference_names: Sequence[str] | None
) -> tuple[str, list[str]]:
    """Return the model whose paired differences are computed, and the models it is held against."""
    main = delta_for
    if main is None:
        main = MODEL if MODEL in names else names[0]
    if main not in names:
        message = (
            f"delta_for is {main!r}; expected a name of predictions, which are "
            f"{', '.join(names)}: add a prediction or correct the name."
        )
        raise ArgumentError(message)
    others = [name for name in names if name != main]
    references = others if reference_names is None else list(reference_names)
    strangers = [name for name in references if name not in others]
    if strangers:
        message = (
            f"reference_names has {strangers}; expected names of predictions other than "
            f"{main!r}: add a prediction or correct the name."
        )
        raise ArgumentError(message)
    return main, references


def _kind(model: Prediction) -> str:
    if model.binary:
        return "binary"
    return "probability" if model.probability else "number"


def _or_nan(metric: Callable[..., Estimate], *arguments: object) -> Estimate:
    """Return NaN for a metric the patients cannot define; their arrays are checked already."""
    try:
        return metric(*arguments)
    except ArgumentError:
        return UNDEFINED

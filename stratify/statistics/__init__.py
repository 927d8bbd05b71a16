"""Figures of performance, each with its interval.

Every metric takes arrays of shape (n_patients,) and returns an :class:`Estimate` (value, low,
high); conventions of arguments and errors stand in :mod:`stratify.statistics.discrimination`.
"""

from __future__ import annotations

from stratify.statistics.calibration import (
    brier,
    brier_skill,
    calibration_curve,
    calibration_intercept,
    calibration_slope,
    delta_brier,
    mean_observed,
    mean_predicted,
)
from stratify.statistics.discrimination import (
    auroc,
    average_precision,
    c_index,
    delta_auroc,
    roc_curve_table,
)
from stratify.statistics.intervals import Estimate, wald, wilson
from stratify.statistics.meta_analysis import pool_performance, random_effects
from stratify.statistics.performance import (
    Prediction,
    classification_at,
    decision_curve,
    net_benefit,
    observed_expected,
    performance_table,
)
from stratify.statistics.sample_size import required_sample_size
from stratify.statistics.selective import selective_curve
from stratify.statistics.survival import hazard_ratio, log_rank, survival_by_group

__all__ = [
    "Estimate",
    "Prediction",
    "auroc",
    "average_precision",
    "brier",
    "brier_skill",
    "c_index",
    "calibration_curve",
    "calibration_intercept",
    "calibration_slope",
    "classification_at",
    "decision_curve",
    "delta_auroc",
    "delta_brier",
    "hazard_ratio",
    "log_rank",
    "mean_observed",
    "mean_predicted",
    "net_benefit",
    "observed_expected",
    "performance_table",
    "pool_performance",
    "random_effects",
    "required_sample_size",
    "roc_curve_table",
    "selective_curve",
    "survival_by_group",
    "wald",
    "wilson",
]

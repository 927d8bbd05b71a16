"""What each panel is worth: added to clinical data, and missing at scoring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from stratify.cohort.features import features_matrix
from stratify.cohort.subgroups import large_enough
from stratify.errors import ArgumentError
from stratify.model.classifier import ResistanceClassifier
from stratify.statistics.discrimination import auroc, delta_auroc
from stratify.tables.schema import field_named
from stratify.validation.folds import Rescaled, split_folds
from stratify.validation.training import fit_model, predicted

__all__ = ["added_value", "masking_cost"]

ADDED = ("panels", "patients", "auroc_clinical", "auroc", "difference", "low", "high")
MASKED = ("masked", "auroc_masked", "auroc_without", "difference", "low", "high")
COUNTS = ("n", "n_events")


def added_value(
    classifier: ResistanceClassifier,
    table: pd.DataFrame,
    features: Sequence[str],
    *,
    folds: int = 5,
    seed: int = 0,
    rescaled: Rescaled | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Add every panel to the clinical features, by cross-validation on the same folds.

    Parameters are as of :func:`masking_cost`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"albumin": rng.normal(3.9, 0.5, 150)})
    >>> table["tmb"] = rng.lognormal(2, 1, 150)
    >>> table["label"] = (rng.random(150) < 1 / (1 + np.exp(3 * (table["albumin"] - 3.9)))) * 1.0
    >>> small = ResistanceClassifier(n_members=2, n_estimators=10, calibration_folds=2)
    >>> added_value(small, table, ["albumin", "tmb"], folds=2)[["panels", "patients", "n"]]
      panels patients    n
    0    tmb      all  150
    """
    panel = {name: field_named(name).panel for name in features}
    others = sorted(set(panel.values()) - {"clinical"})
    if not others or "clinical" not in panel.values():
        raise ArgumentError(
            "The features are of one panel; clinical features and another panel are expected."
        )
    wanted = [(), *((added,) for added in others)] + [tuple(others)] * (len(others) > 1)
    sets = {added: [n for n in features if panel[n] in ("clinical", *added)] for added in wanted}
    label = table["label"].to_numpy(dtype=float)
    risks = {added: np.empty(len(label)) for added in sets}
    for k, (home, away, test) in enumerate(split_folds(table, folds, seed, rescaled), start=1):
        progress(f"fold {k} of {folds}")
        for added, names in sets.items():
            risks[added][test] = predicted(fit_model(classifier, home, names), away)
    clinical = risks.pop(())
    whole = features_matrix(table, list(features))
    rows = []
    for added, risk in risks.items():
        whose = [name for name in features if panel[name] in added]
        measured = whole[whose].notna().any(axis=1).to_numpy()
        groups = {"all": np.ones(len(label), dtype=bool)}
        if not measured.all():
            groups["measured"] = measured
        for patients, here in groups.items():
            if large_enough(label[here]):
                y, before, after = label[here], clinical[here], risk[here]
                areas = auroc(y, before).value, auroc(y, after).value
                row = ["+".join(added), patients, *areas, *delta_auroc(y, after, before)]
                rows.append([*row, len(y), int(y.sum())])
    return pd.DataFrame(rows, columns=[*ADDED, *COUNTS])


def masking_cost(
    classifier: ResistanceClassifier,
    table: pd.DataFrame,
    features: Sequence[str],
    *,
    folds: int = 5,
    seed: int = 0,
    rescaled: Rescaled | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Mask every panel but the clinical one, and every pair, in patients the model never saw.

    Parameters
    ----------
    classifier, table, features, folds, seed, rescaled, progress
        As of :func:`~stratify.validation.assessment.cross_validate`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"albumin": rng.normal(3.9, 0.5, 150)})
    >>> table["tmb"] = rng.lognormal(2, 1, 150)
    >>> table["label"] = (rng.random(150) < 1 / (1 + np.exp(3 * (table["albumin"] - 3.9)))) * 1.0
    >>> small = ResistanceClassifier(n_members=2, n_estimators=10, calibration_folds=2)
    >>> masking_cost(small, table, ["albumin", "tmb"], folds=2)[["masked", "n"]]
      masked    n
    0    tmb  150
    """
    panels = sorted({field_named(name).panel for name in features} - {"clinical"})
    sets = [(panel,) for panel in panels] + list(combinations(panels, 2))
    kept = {masked: [n for n in features if field_named(n).panel not in masked] for masked in sets}
    kept = {masked: names for masked, names in kept.items() if names}
    if not kept:
        raise ArgumentError("The features are of one panel; without it there is nothing to score.")
    label = table["label"].to_numpy(dtype=float)
    risks = {masked: np.empty((2, len(label))) for masked in kept}
    for k, (home, away, test) in enumerate(split_folds(table, folds, seed, rescaled), start=1):
        progress(f"fold {k} of {folds}")
        whole = fit_model(classifier, home, list(features))
        for masked, names in kept.items():
            masked_away = away.drop(columns=set(features) - set(names), errors="ignore")
            risks[masked][0, test] = predicted(whole, masked_away)
            risks[masked][1, test] = predicted(fit_model(classifier, home, names), away)
    rows = []
    for masked, (blind, never) in risks.items():
        areas = auroc(label, blind).value, auroc(label, never).value
        row = ["+".join(masked), *areas, *delta_auroc(label, blind, never)]
        rows.append([*row, len(label), int(label.sum())])
    return pd.DataFrame(rows, columns=[*MASKED, *COUNTS])

"""Which biomarkers act together beyond each alone, tested on patients the models had not seen.

Interaction SHAP values show what a model uses, chance patterns of its training patients among it.
Here each turn's models learn from the patients of the turns before; whether what they add for a
pair goes with the label of the new patients, beyond anything that either marker does by itself, is
a score test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from stratify.arrays import Floats, Ints
from stratify.cohort.features import model_matrix
from stratify.errors import CohortError
from stratify.interpretation.cycle import cycle
from stratify.model.classifier import ResistanceClassifier
from stratify.tables.schema import field_named
from stratify.validation.training import fit_model

__all__ = ["acting_together", "benjamini_hochberg"]

TURNS, FIRST = 6, 2  # parts of the patients, and how many of them only train
BINS = 8  # of each marker, between which its own effect is free
LEAST = 200  # patients below which no pair can be shown
_BLOCK = 500


def acting_together(
    table: pd.DataFrame,
    features: Sequence[str],
    *,
    classifier: ResistanceClassifier | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Test every pair of features for an effect on the label beyond both alone.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        Evaluable patients: ``label``, ``cohort`` and the features.
    features : sequence of str
    classifier : ResistanceClassifier, optional
        Unfitted, with other settings than the default.

    Returns
    -------
    DataFrame of shape (n_features * (n_features - 1) / 2, ...)
        feature, other, title, other_title; size (standard deviation over patients of what the two
        add together, log-odds before calibration); z and one-sided p; q (p adjusted for all pairs
        by Benjamini and Hochberg); turns (of 4 in which they added in the right direction),
        cohorts (in which they did), n_cohorts; steps (of the cancer-immunity cycle), n. Strongest
        first. A pair that no tree joined has z 0 and p 1.

    Raises
    ------
    CohortError
        With fewer than 200 patients, or too few of a label.

    References
    ----------
    Lundberg SM et al. Nat Mach Intell 2020;2:56-67 (interaction values). Luedtke AR, van der Laan
    MJ. Ann Stat 2016;44:713-742 (learning in turn). Benjamini Y, Hochberg Y. J R Stat Soc B
    1995;57:289-300.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame(rng.normal(size=(900, 3)), columns=["tmb", "nlr", "albumin"])
    >>> both = np.sign(table["tmb"]) * np.sign(table["nlr"])
    >>> table["label"] = (rng.random(900) < 1 / (1 + np.exp(-2 * both))).astype(float)
    >>> small = ResistanceClassifier(n_members=4, calibration_folds=2)
    >>> table["cohort"] = "a"
    >>> found = acting_together(table, ["tmb", "nlr", "albumin"], classifier=small)
    >>> found.loc[found["q"] < 0.05, ["feature", "other"]].values.tolist()
    [['tmb', 'nlr']]
    """
    from sklearn.base import clone

    label = table["label"].to_numpy(dtype=float)
    smaller = int(min((label == 0).sum(), (label == 1).sum()))
    if len(label) < LEAST or smaller < LEAST / 4:
        raise CohortError(
            f"{len(label)} patients, {smaller} of them with the rarer label; {LEAST} and "
            f"{LEAST // 4} are needed to test which biomarkers act together."
        )
    template = clone(classifier or ResistanceClassifier(n_jobs=-1, random_state=seed))
    template.set_params(monotone=None)  # two that act together need not act one way
    turn = _turns(label, seed)
    left, right = np.triu_indices(len(features), 1)
    added = np.full((len(label), len(left)), np.nan)
    margin = np.full(len(label), np.nan)
    matrix = model_matrix(table, list(features))
    for k in range(FIRST, TURNS):
        progress(f"turn {k - FIRST + 1} of {TURNS - FIRST}")
        home = table[turn < k].reset_index(drop=True)
        fitted = fit_model(template, home, list(features))
        place = [fitted.features_.index(name) for name in features]
        rows = np.flatnonzero(turn == k)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            values = fitted.interactions(matrix.iloc[block])[:, place][:, :, place]
            added[block] = values[:, left, right] + values[:, right, left]
            margin[block] = fitted.decision_function(matrix.iloc[block])
    judged = np.flatnonzero(turn >= FIRST)
    coded = [_binned(matrix[name].iloc[judged]) for name in features]
    cohort = table["cohort"].to_numpy(dtype=object)[judged]
    rows_found = [
        _tested(label[judged], margin[judged], added[judged, k], coded[i], coded[j],
                turn[judged], cohort)
        for k, (i, j) in enumerate(zip(left, right, strict=True))
    ]  # fmt: skip
    found = pd.DataFrame(rows_found, columns=["size", "z", "p", "turns", "cohorts", "n_cohorts"])
    names = np.array(features, dtype=object)
    titles = np.array([field_named(name).title for name in features], dtype=object)
    step_of = cycle().steps_of(features)
    steps = np.array([step_of[name] for name in features], dtype=object)
    found.insert(0, "feature", names[left])
    found.insert(1, "other", names[right])
    found.insert(2, "title", titles[left])
    found.insert(3, "other_title", titles[right])
    found["q"] = benjamini_hochberg(found["p"].to_numpy())
    found["steps"] = steps[left] + ", " + steps[right]
    found["n"] = len(judged)
    return found.sort_values("p", kind="stable", ignore_index=True)


def _turns(label: Floats, seed: int) -> Ints:
    """Turn of each patient at random, labels spread evenly."""
    rng = np.random.default_rng(seed)
    turn = np.empty(len(label), dtype=np.int64)
    for value in (0, 1):
        rows = rng.permutation(np.flatnonzero(label == value))
        turn[rows] = (np.arange(len(rows)) + value) % TURNS
    return turn


def _binned(column: pd.Series) -> Floats:
    """Mark eighths of a number, or the levels of others; missing is a level."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().sum() < column.notna().sum():
        codes = pd.factorize(column.astype(object).map(str, na_action="ignore"))[0]
    else:
        values = numbers.to_numpy(dtype=float, na_value=np.nan)
        known = ~np.isnan(values)
        if not known.any():
            return np.ones((len(column), 1))
        cuts = np.unique(np.quantile(values[known], np.arange(1, BINS) / BINS))
        codes = np.where(known, np.searchsorted(cuts, values, side="right"), -1)
    marked: Floats = (codes[:, None] == np.unique(codes)).astype(float)
    return marked


def _tested(
    label: Floats,
    margin: Floats,
    added: Floats,
    one: Floats,
    other: Floats,
    turn: Ints,
    cohort: np.ndarray,
) -> tuple[float, float, float, int, int, int]:
    """Size, z, p, turns and cohorts of a pair.

    Both the label's residual and what the pair adds are freed of anything that is a step function
    of one marker plus one of the other, so that a main effect that was learned badly is no
    interaction.
    """
    from scipy.stats import norm

    cohorts = np.unique(cohort.astype(str))
    if not np.std(added) > 1e-9:
        return 0.0, 0.0, 1.0, 0, 0, len(cohorts)
    base = margin - added
    risk = 1 / (1 + np.exp(-np.clip(base, -30, 30)))
    weight = risk * (1 - risk)
    alone = np.column_stack([base, one, other[:, 1:]])
    weighted = weight[:, None] * alone
    inverse = np.linalg.pinv(alone.T @ weighted, hermitian=True)
    residual = (label - risk) - weight * (alone @ (inverse @ (alone.T @ (label - risk))))
    free = added - alone @ (inverse @ (weighted.T @ added))
    score = free * residual
    z = float(score.sum() / np.sqrt((score**2).sum()))
    turns = sum(score[turn == k].sum() > 0 for k in np.unique(turn))
    agreeing = sum(score[cohort == name].sum() > 0 for name in cohorts)
    return float(np.std(free)), z, float(norm.sf(z)), int(turns), int(agreeing), len(cohorts)


def benjamini_hochberg(p: Floats) -> Floats:
    """Give p values adjusted so that rejecting those below a level keeps the false discovery rate.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.5, 0.02])).round(3).tolist()
    [0.03, 0.5, 0.03]
    """
    order = np.argsort(p)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(steps[::-1])[::-1])
    return adjusted

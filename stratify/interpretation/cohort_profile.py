"""Resistance profiles of a cohort: clusters, differences between subgroups, fifths of a feature."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from stratify.cohort.subgroups import SMALLEST_COUNT, SMALLEST_SUBGROUP, subgroups
from stratify.interpretation.attribution import importance
from stratify.interpretation.cycle import cycle
from stratify.interpretation.explained import Explained
from stratify.interpretation.interactions import interaction_summary
from stratify.interpretation.profile import profile_matrix
from stratify.model.classifier import ResistanceClassifier
from stratify.scoring.prepared import Prepared
from stratify.scoring.resistance_model import ResistanceModel, made_ready
from stratify.statistics.intervals import normal_quantile
from stratify.tables.schema import field_named
from stratify.trees.model_text import UnsupportedTreesError

__all__ = [
    "CohortProfile",
    "clustered_profiles",
    "cohort_profile",
    "dependence_table",
    "leading_counts",
    "subgroup_profiles",
]

_CLUSTERS = 4
_MOST = 1000  # patients that are clustered, evenly selected
_FIFTHS = 5
_SHOWN = 3  # strongest features whose dependence is shown
_PAIRED = 400  # patients over whom interactions are summarised, evenly selected


@dataclass(frozen=True)
class CohortProfile:
    """Explanations of a cohort; all but `matrix` are aggregates.

    Attributes
    ----------
    matrix, clusters : DataFrame
        From :func:`clustered_profiles`.
    leading : DataFrame
        From :func:`leading_counts`.
    subgroups : DataFrame
        From :func:`subgroup_profiles`.
    interactions : DataFrame
        From :func:`stratify.interpretation.interactions.interaction_summary`.
    dependence : DataFrame
        From :func:`dependence_table`, of the strongest features.
    partners : dict of str to str
        The feature that each of these interacts with most.
    """

    matrix: pd.DataFrame
    clusters: pd.DataFrame
    leading: pd.DataFrame
    subgroups: pd.DataFrame
    interactions: pd.DataFrame
    dependence: pd.DataFrame
    partners: dict[str, str]


def cohort_profile(
    model: ResistanceModel | ResistanceClassifier,
    source: Prepared | pd.DataFrame,
    explained: Explained,
) -> CohortProfile:
    """Summarise the explanations of a cohort.

    Parameters
    ----------
    model, source
        As for :func:`stratify.interpretation.attribution.attributions`; the patients with
        ``label`` for the subgroups, NaN where not known.
    """
    _, patients = made_ready(model, source)
    long, n = explained.attributions, len(patients)
    at = np.linspace(0, n - 1, min(n, _PAIRED)).round().astype(int)
    try:
        pairs = interaction_summary(model, patients.take(at))
    except UnsupportedTreesError:  # trees of a kind that only LightGBM scores have none
        columns = ["feature", "other", "title", "other_title", "mean_abs_shap"]
        pairs = pd.DataFrame(columns=columns)
    strongest = importance(long)["feature"].head(_SHOWN).tolist()
    partners = {}
    for name in strongest:
        with_it = pairs[(pairs["feature"] == name) | (pairs["other"] == name)]
        if len(with_it):
            row = with_it.iloc[0]
            partners[name] = str(row["other"] if row["feature"] == name else row["feature"])
    matrix, means = clustered_profiles(explained.profiles)
    return CohortProfile(
        matrix,
        means,
        leading_counts(explained.leading),
        subgroup_profiles(explained.profiles, patients.table),
        pairs,
        pd.concat([dependence_table(long, name) for name in strongest], ignore_index=True),
        partners,
    )


def clustered_profiles(profiles: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Profiles in an order that puts like next to like, and the mean profile of each cluster.

    Returns
    -------
    matrix : DataFrame of shape (n_patients, n_steps + 1)
        Contributions in log-odds by step, NaN where not assessed, and ``cluster`` from 1; at most
        1,000 patients, evenly selected. Steps that are assessed in nobody are left out.

    Notes
    -----
    Ward's linkage on Euclidean distances, cut into at most four clusters; a step that is not
    assessed counts as 0, the average of training.
    """
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage

    matrix = profile_matrix(profiles)
    matrix = matrix.loc[:, matrix.notna().any().to_numpy()]
    if len(matrix) > _MOST:
        matrix = matrix.iloc[np.linspace(0, len(matrix) - 1, _MOST).round().astype(int)]
    steps = list(matrix.columns)
    if len(matrix) < 2 or not steps:
        ordered = matrix.assign(cluster=1)
    else:
        tree = linkage(
            matrix.fillna(0).to_numpy(), method="ward", optimal_ordering=len(matrix) < 500
        )
        cluster = fcluster(tree, _CLUSTERS, criterion="maxclust")
        order = leaves_list(tree)
        _, number = np.unique(pd.factorize(cluster[order])[0], return_inverse=True)
        ordered = matrix.iloc[order].assign(cluster=number + 1)
    groups = ordered.groupby("cluster")
    means = groups[steps].mean().reset_index()
    means.insert(1, "n", groups.size().to_numpy())
    return ordered, means[means["n"] >= SMALLEST_COUNT].reset_index(drop=True)


def leading_counts(leading: pd.DataFrame) -> pd.DataFrame:
    """How many patients each step leads in; counts from 1 to 4 are not stated.

    Returns
    -------
    DataFrame
        ``step, n, share``; `step` empty where none leads.
    """
    counts = leading["leading"].value_counts()
    order = [step.id for step in cycle().steps if step.id in counts] + [""] * ("" in counts)
    n = counts.reindex(order)
    shown = n.where(n >= SMALLEST_COUNT)
    return pd.DataFrame({"step": order, "n": shown.to_numpy(), "share": shown.to_numpy() / n.sum()})


def subgroup_profiles(
    profiles: pd.DataFrame, table: pd.DataFrame, level: float = 0.95
) -> pd.DataFrame:
    """Mean contribution of each step by subgroup, and its difference from all other patients.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        The patients in the same order, with ``label``; subgroups are those in which a model is
        judged, none so small that a patient could be recognised.

    Returns
    -------
    DataFrame
        ``subgroup, step, n, mean, difference, low, high`` in log-odds; `n` counts patients of the
        subgroup in whom the step is assessed, at least 20, as among the others.
    """
    matrix = profile_matrix(profiles).to_numpy()
    known = table["label"].notna().to_numpy()
    label = table.loc[known, "label"].to_numpy(dtype=float)
    z = normal_quantile(level)
    rows = []
    for name, mask in subgroups(table[known].reset_index(drop=True), label):
        for j, step in enumerate(cycle().steps):
            values = matrix[known][:, j]
            here, there = values[mask], values[~mask]
            here, there = here[~np.isnan(here)], there[~np.isnan(there)]
            if min(len(here), len(there)) < SMALLEST_SUBGROUP:
                continue
            gap = float(here.mean() - there.mean())
            half = z * float(np.sqrt(here.var(ddof=1) / len(here) + there.var(ddof=1) / len(there)))
            found = {"subgroup": name, "step": step.id, "n": len(here), "mean": float(here.mean())}
            rows.append(found | {"difference": gap, "low": gap - half, "high": gap + half})
    columns = ["subgroup", "step", "n", "mean", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def dependence_table(long: pd.DataFrame, feature: str) -> pd.DataFrame:
    """Mean contribution of a feature by fifth of its values, by level, or by yes and no."""
    rows = long[long["feature"] == feature]
    field = field_named(feature)
    if field.categorical:
        part = rows["level"].astype(object)
    elif field.type == "boolean":
        part = rows["value"].map({1.0: "yes", 0.0: "no"}).astype(object)
    else:
        limits = np.quantile(rows["value"].dropna(), np.linspace(0, 1, _FIFTHS + 1)[1:-1])
        limits = np.unique([float(f"{limit:.2g}") for limit in limits])
        names = [f"below {limit:.2g}" for limit in limits[:1]]
        names += [f"{a:.2g} to {b:.2g}" for a, b in pairwise(limits)]
        names += [f"from {limit:.2g}" for limit in limits[-1:]]
        at = np.searchsorted(limits, rows["value"].to_numpy(dtype=float), side="right")
        part = pd.Series(np.array(names, dtype=object)[at.clip(max=len(names) - 1)], rows.index)
        part = part.where(rows["value"].notna())
    part = part.where(part.notna(), "not measured")
    order = [*dict.fromkeys(names)] if not field.categorical and field.type != "boolean" else None
    groups = rows["shap"].groupby(part)
    found = pd.DataFrame({"n": groups.size(), "mean_shap": groups.mean()})
    found = found[found["n"] >= SMALLEST_COUNT]
    if order is not None:
        found = found.reindex([name for name in [*order, "not measured"] if name in found.index])
    return (
        found.rename_axis("part")
        .reset_index()
        .assign(feature=feature)[["feature", "part", "n", "mean_shap"]]
    )

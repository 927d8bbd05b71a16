"""Internal–external validation: each cohort, site or year judged by models that never saw it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratify.cohort.subgroups import SMALLEST_CLASS, SMALLEST_SUBGROUP, large_enough
from stratify.errors import ArgumentError
from stratify.model.classifier import ResistanceClassifier
from stratify.statistics.meta_analysis import pool_performance
from stratify.study.comparator import Comparator
from stratify.validation.assessment import Assessment, assess
from stratify.validation.folds import Rescaled, each_fold
from stratify.validation.training import EarlyCensoring, Training, risks_without

__all__ = ["InternalExternal", "internal_external"]


@dataclass(frozen=True)
class InternalExternal:
    """What leaving out one cohort after the other has shown.

    Attributes
    ----------
    assessments : list of Assessment
        One a cohort, in alphabetical order; split ``left_out``.
    pooled : DataFrame
        As in the ``meta_analysis`` dictionary: every model and reference over the cohorts.
    too_small : list of str
        Cohorts that trained the others' models but are too small to be judged.
    """

    assessments: list[Assessment]
    pooled: pd.DataFrame
    too_small: list[str]

    @property
    def performance(self) -> pd.DataFrame:
        """Rows of all cohorts, as in the ``performance`` dictionary."""
        return pd.concat([each.performance for each in self.assessments], ignore_index=True)


def internal_external(
    classifier: ResistanceClassifier,
    table: pd.DataFrame,
    features: Sequence[str],
    *,
    by: str = "cohort",
    groups: Mapping[str, str] | None = None,
    in_sample: Mapping[str, Collection[str]] | None = None,
    censoring: EarlyCensoring | None = None,
    trials: int = 0,
    rescaled: Rescaled | None = None,
    thresholds: Sequence[float] = (),
    comparators: Sequence[Comparator] = (),
    workers: int = 1,
    progress: Callable[[str], None] | None = None,
) -> InternalExternal:
    """Leave out one cohort at a time, fit every model on the others and judge it on the one.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        Patients with ``label``.
    groups : mapping of str to str, optional
        Value to overlap group, as by :func:`stratify.cohort.overlap.overlap_groups`: cohorts of
        one group share patients and are left out at once, so that these never stand on both sides.
        Of a group only the largest is pooled. Those that are not named are on their own.
    censoring : EarlyCensoring, optional
        As in :func:`~stratify.validation.training.fit_with_references`, with the column `by`.
    trials, rescaled, workers, progress
        As in :func:`~stratify.validation.assessment.cross_validate`, for each that is left out.
    thresholds : sequence of float
        Risks at which probabilities are turned into decisions.
    comparators : sequence of Comparator
        Columns that the study compares with.

    References
    ----------
    Steyerberg EW, Harrell FE. J Clin Epidemiol 2016;69:245-247. Debray TPA et al. Stat Med
    2013;32:3158-3180.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"site": np.repeat(["North", "South", "West"], 100),
    ...                       "albumin": rng.normal(3.9, 0.5, 300)})
    >>> table["label"] = (rng.random(300) < 1 / (1 + np.exp(3 * (table["albumin"] - 3.9)))) * 1.0
    >>> small = ResistanceClassifier(n_members=2, n_estimators=10, calibration_folds=2)
    >>> found = internal_external(small, table, ["albumin"], by="site")
    >>> [(each.cohort, each.n) for each in found.assessments]
    [('site=North', 100), ('site=South', 100), ('site=West', 100)]
    >>> found.pooled.loc[0, ["model", "metric"]].tolist()
    ['stratify', 'auroc']
    """
    value = _values(table, by)
    group = value.map(_checked_groups(value, by, groups or {}))
    too_small: list[str] = []
    group_of: dict[str, str] = {}
    names: list[list[str]] = []
    folds: list[tuple[Training, pd.DataFrame, list[pd.DataFrame]]] = []
    for left_out in sorted(group.unique()):
        train = (group != left_out).to_numpy()
        scaled = table if rescaled is None else rescaled(table, train)
        home = scaled[train].reset_index(drop=True)
        judged, of_fold = [], []
        for each in sorted(value[group == left_out].unique()):
            name = each if by == "cohort" else f"{by}={each}"
            away = scaled[(value == each).to_numpy()].reset_index(drop=True)
            if large_enough(away["label"].to_numpy(dtype=float)):
                judged.append(away)
                of_fold.append(name)
                group_of[name] = left_out
            else:
                too_small.append(name)
        if judged:
            names.append(of_fold)
            known = [name for name in features if len(home[name].dropna().unique()) > 1]
            kept = _censored_among(censoring, by, set(value[train]))
            folds.append((Training(classifier, known, kept, trials).alone(workers), home, judged))
    lines = [f"leaving out {', '.join(of_fold)}" for of_fold in names]
    found = each_fold(risks_without, folds, lines, workers=workers, progress=progress)
    assessments = [
        assess(
            away,
            risks.with_comparators(comparators, away),
            cohort=name,
            split="left_out",
            thresholds=list(thresholds),
        )
        for (_, _, aways), of_fold, several in zip(folds, names, found, strict=True)
        for name, away, risks in zip(of_fold, aways, several, strict=True)
    ]
    if not assessments:
        raise ArgumentError(
            f"no {by} has {SMALLEST_SUBGROUP} patients and {SMALLEST_CLASS} of each label, so that "
            "none can be judged; take a column of larger groups."
        )
    assessments.sort(key=lambda each: each.cohort)
    pooled = _pooled(assessments, group_of, in_sample or {})
    return InternalExternal(assessments, pooled, sorted(too_small))


def _censored_among(
    censoring: EarlyCensoring | None, by: str, kept: Collection[str]
) -> EarlyCensoring | None:
    if censoring is None:
        return None
    here = _values(censoring.table, by).isin(kept)
    return EarlyCensoring(censoring.table[here], censoring.horizon)


def _values(table: pd.DataFrame, by: str) -> pd.Series:
    if by not in table:
        raise ArgumentError(f"by is {by!r}; a column of the table is expected.")
    missing = int(table[by].isna().sum())
    if missing:
        raise ArgumentError(
            f"{by} is missing for {missing} of {len(table)} patients; it is expected for all: "
            "leave these patients out."
        )
    if pd.api.types.is_numeric_dtype(table[by]):
        return table[by].map("{:g}".format)
    return table[by].astype(str)


def _checked_groups(values: pd.Series, by: str, groups: Mapping[str, str]) -> dict[str, str]:
    known = set(values)
    if strangers := sorted(set(groups) - known):
        raise ArgumentError(
            f"groups names {', '.join(strangers)}; values of {by} are {', '.join(sorted(known))}."
        )
    group = {each: groups.get(each, each) for each in known}
    if len(set(group.values())) < 2:
        raise ArgumentError(
            f"all patients are in one group by {by}; at least two are expected, so that one can be "
            "left out."
        )
    return group


def _pooled(
    assessments: list[Assessment],
    group_of: Mapping[str, str],
    in_sample: Mapping[str, Collection[str]],
) -> pd.DataFrame:
    """Pool the largest cohort of each group, each reference where most of its patients are."""
    rows = pd.concat([each.performance for each in assessments], ignore_index=True)
    rows = rows[rows["threshold"].isna() & rows["subgroup"].str.match("all$|measured=")]
    whose = rows["reference"].where(rows["reference"] != "", rows["model"])
    seen = [
        cohort in in_sample.get(name, ())
        for cohort, name in zip(rows["cohort"], whose, strict=True)
    ]
    rows = rows[~np.array(seen)]
    # a group's largest cohort, and of it the row group with most patients
    size = rows["cohort"].map({each.cohort: each.n for each in assessments})
    rows = rows.assign(group=rows["cohort"].map(group_of), size=size)
    rows = rows.sort_values(["size", "n"], ascending=False, kind="stable")
    once = rows.drop_duplicates(["group", "model", "reference", "metric"]).sort_index()
    return pool_performance(once.drop(columns=["group", "size"]))

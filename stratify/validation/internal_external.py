"""Internal–external validation: each cohort, site or year judged by models that never saw it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratify.arrays import Flags
from stratify.cohort.subgroups import SMALLEST_CLASS, SMALLEST_SUBGROUP, large_enough
from stratify.errors import ArgumentError
from stratify.model.classifier import ResistanceClassifier
from stratify.statistics.meta_analysis import pool_performance
from stratify.validation.assessment import Assessment, assess
from stratify.validation.folds import each_fold
from stratify.validation.training import EarlyCensoring, Training, risks_without

__all__ = ["InternalExternal", "internal_external"]


@dataclass(frozen=True)
class InternalExternal:
    """What leaving out one part after the other has shown.

    Attributes
    ----------
    assessments : list of Assessment
        One a part, in alphabetical order; split ``left_out``.
    pooled : DataFrame
        As in the ``meta_analysis`` dictionary: every model and reference over the parts.
    too_small : list of str
        Parts that trained the others' models but are too small to be judged.
    """

    assessments: list[Assessment]
    pooled: pd.DataFrame
    too_small: list[str]

    @property
    def performance(self) -> pd.DataFrame:
        """Rows of all parts, as in the ``performance`` dictionary."""
        return pd.concat([part.performance for part in self.assessments], ignore_index=True)


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
    rescaled: Callable[[pd.DataFrame, Flags], pd.DataFrame] | None = None,
    thresholds: Sequence[float] = (),
    workers: int = 1,
    progress: Callable[[str], None] | None = None,
) -> InternalExternal:
    """Leave out one part of the patients at a time, fit every model on the rest, judge on the part.

    Parameters
    ----------
    classifier : ResistanceClassifier
        Unfitted, or fitted (then cloned).
    table : DataFrame of shape (n_patients, ...)
        Patients with ``label``.
    features : sequence of str
        Those with one value in all patients of a training are left out of it.
    by : str
        Column whose values are the parts: ``cohort``, ``site``, ``start_year``, ``cancer_type``.
    groups : mapping of str to str, optional
        Part to overlap group, as by :func:`stratify.cohort.overlap.overlap_groups`: parts of one
        group share patients and are left out together, so that these never stand on both sides. Of
        a group only the largest part is pooled. Parts that are not named are on their own.
    in_sample : mapping of str to collection of str, optional
        Reference to the parts it was fitted on by its authors: it is not pooled over these.
    censoring : EarlyCensoring, optional
        As in :func:`~stratify.validation.training.fit_with_references`, with the column `by`;
        of the parts that are not left out.
    trials : int
        As in :func:`~stratify.validation.training.fit_with_references`: settings are chosen anew
        without each part.
    rescaled : callable, optional
        As in :func:`~stratify.validation.assessment.cross_validate`, without each part.
    thresholds : sequence of float
        Risks at which probabilities are turned into decisions.
    workers : int
        As in :func:`~stratify.validation.assessment.cross_validate`.
    progress : callable, optional
        Told of each part, and of the time left.

    Returns
    -------
    InternalExternal

    Raises
    ------
    ArgumentError
        If the column or a value of it is missing, `groups` names a part that is not there, all
        patients are in one group, or no part is large enough to be judged (20 patients, 5 of each
        label).

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
    >>> [(part.cohort, part.n) for part in found.assessments]
    [('site=North', 100), ('site=South', 100), ('site=West', 100)]
    >>> found.pooled.loc[0, ["model", "metric"]].tolist()
    ['stratify', 'auroc']
    """
    parts = _parts(table, by)
    group = parts.map(_checked_groups(parts, by, groups or {}))
    too_small, together = [], {}
    folds: list[tuple[Training, pd.DataFrame, list[pd.DataFrame]]] = []
    names: list[list[str]] = []
    for left_out in sorted(group.unique()):
        train = (group != left_out).to_numpy()
        scaled = table if rescaled is None else rescaled(table, train)
        home = scaled[train].reset_index(drop=True)
        judged = []
        for part in sorted(parts[group == left_out].unique()):
            name = part if by == "cohort" else f"{by}={part}"
            away = scaled[(parts == part).to_numpy()].reset_index(drop=True)
            if large_enough(away["label"].to_numpy(dtype=float)):
                judged.append((name, away))
                together[name] = left_out
            else:
                too_small.append(name)
        if not judged:
            continue
        known = [name for name in features if len(home[name].dropna().unique()) > 1]
        kept = _of_parts(censoring, by, set(parts[train]))
        training = Training(classifier, known, kept, trials).alone(workers)
        folds.append((training, home, [away for _, away in judged]))
        names.append([name for name, _ in judged])
    told = [f"leaving out {', '.join(of_fold)}" for of_fold in names]
    found = each_fold(risks_without, folds, told, workers=workers, progress=progress)
    assessments = [
        assess(away, risks, cohort=name, split="left_out", thresholds=list(thresholds))
        for (_, _, aways), of_fold, several in zip(folds, names, found, strict=True)
        for name, away, risks in zip(of_fold, aways, several, strict=True)
    ]
    if not assessments:
        raise ArgumentError(
            f"no {by} has {SMALLEST_SUBGROUP} patients and {SMALLEST_CLASS} of each label, so that "
            "none can be judged; take a column with larger parts."
        )
    assessments.sort(key=lambda part: part.cohort)
    return InternalExternal(
        assessments, _pooled(assessments, together, in_sample or {}), sorted(too_small)
    )


def _of_parts(
    censoring: EarlyCensoring | None, by: str, kept: Collection[str]
) -> EarlyCensoring | None:
    if censoring is None:
        return None
    here = _parts(censoring.table, by).isin(kept)
    return EarlyCensoring(censoring.table[here], censoring.horizon)


def _parts(table: pd.DataFrame, by: str) -> pd.Series:
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


def _checked_groups(parts: pd.Series, by: str, groups: Mapping[str, str]) -> dict[str, str]:
    known = set(parts)
    if strangers := sorted(set(groups) - known):
        raise ArgumentError(
            f"groups names {', '.join(strangers)}; parts by {by} are {', '.join(sorted(known))}."
        )
    group = {part: groups.get(part, part) for part in known}
    if len(set(group.values())) < 2:
        raise ArgumentError(
            f"all patients are in one group by {by}; at least two are expected, so that one can be "
            "left out."
        )
    return group


def _pooled(
    assessments: list[Assessment],
    together: Mapping[str, str],
    in_sample: Mapping[str, Collection[str]],
) -> pd.DataFrame:
    """Pool the largest part of each group, each reference where most of its patients are."""
    rows = pd.concat([part.performance for part in assessments], ignore_index=True)
    rows = rows[rows["threshold"].isna() & rows["subgroup"].str.match("all$|measured=")]
    whose = rows["reference"].where(rows["reference"] != "", rows["model"])
    seen = [
        cohort in in_sample.get(name, ())
        for cohort, name in zip(rows["cohort"], whose, strict=True)
    ]
    rows = rows[~np.array(seen)]
    # a group's largest part, and of it the row group with most patients
    size = rows["cohort"].map({part.cohort: part.n for part in assessments})
    rows = rows.assign(group=rows["cohort"].map(together), size=size)
    rows = rows.sort_values(["size", "n"], ascending=False, kind="stable")
    once = rows.drop_duplicates(["group", "model", "reference", "metric"]).sort_index()
    return pool_performance(once.drop(columns=["group", "size"]))

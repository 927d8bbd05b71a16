"""The course of ctDNA: blood draws -> visits, and their change from baseline.

Draws are as in ``data_schemas/panels/plasma_draws.yaml``. Everything on treatment belongs to a
landmark model: each feature is named by the week from which it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.tables.documents import document
from stratify.tables.findings import Findings
from stratify.tables.measurements import PlasmaRule
from stratify.tables.rows import add_number_faults, add_unknown_levels, check_table, numbers_of
from stratify.tables.schema import load_schema, week_of

__all__ = [
    "RatioRule",
    "ResponseRule",
    "chosen_draws",
    "course_columns",
    "course_features",
    "draw_findings",
    "response_rules",
    "visit_of_draws",
]

CHANGES = ("ratio", "log2_ratio", "slope")
ROUNDING = 1e-9  # 0.00017 / 0.0017 is slightly more than a tenth
VAF_BURDENS = ("ctdna_mean_vaf", "ctdna_max_vaf")


class ResponseRule(Protocol):
    """A response of ctDNA on treatment, by a rule on the course from baseline to a visit.

    Attributes
    ----------
    name : str
        ``ctdna_NAME_week_6`` is its column, described in the ctdna panel.
    """

    @property
    def name(self) -> str:
        """Name, one of a kind."""

    def of(self, course: pd.DataFrame) -> pd.Series:
        """Numbers (1 and 0) or levels, of ``ratio``, ``log2_ratio`` and ``slope`` by patient."""


@dataclass(frozen=True)
class RatioRule:
    """A response by the on-treatment to baseline ratio, as ``data_schemas/ctdna.yaml`` states it.

    Attributes
    ----------
    name : str
    at_most : float, optional
        Ratio up to which there is a response, else none.
    levels : mapping of str to (float or None)
        In place of it: ratio up to which there is each level, the first one that is reached; None
        is any ratio.

    Examples
    --------
    >>> course = pd.DataFrame({"ratio": [0.0, 0.5, 2.0, None]})
    >>> RatioRule("molecular_response", at_most=0.5).of(course).tolist()
    [1.0, 1.0, 0.0, nan]
    >>> levels = {"cleared": 0.0, "decrease": 0.5, "other": None}
    >>> RatioRule("category", levels=levels).of(course).tolist()
    ['cleared', 'decrease', 'other', nan]
    """

    name: str
    at_most: float | None = None
    levels: Mapping[str, float | None] = field(default_factory=dict)

    def of(self, course: pd.DataFrame) -> pd.Series:
        """Response of each patient, missing where the ratio is."""
        ratio, known = course["ratio"], course["ratio"].notna()
        if self.at_most is not None:
            return (ratio <= self.at_most * (1 + ROUNDING)).astype(float).where(known)
        bounds = [np.inf if most is None else most for most in self.levels.values()]
        reached = [ratio <= most * (1 + ROUNDING) for most in bounds]
        found = np.select(reached, list(self.levels), "")
        return pd.Series(found, course.index, dtype=object).where(known & (found != ""))


@cache
def response_rules() -> tuple[ResponseRule, ...]:
    """Responses of ``data_schemas/ctdna.yaml``."""
    return tuple(
        RatioRule(name, rule.get("at_most"), rule.get("levels", {}))
        for name, rule in document("ctdna")["responses"].items()
    )


def course_columns(rule: PlasmaRule) -> list[str]:
    """Columns that :func:`course_features` may give."""
    names = [*CHANGES, *(response.name for response in response_rules())]
    return [f"ctdna_{name}_week_{week}" for week in rule.weeks for name in names]


def visit_of_draws(draws: pd.DataFrame, rule: PlasmaRule) -> pd.Series:
    """Visit of each draw: as recorded, else by its day.

    Parameters
    ----------
    draws : DataFrame of shape (n_draws, ...)
        As in the ``plasma_draws`` dictionary.

    Returns
    -------
    Series of shape (n_draws,)
        ``baseline``, ``week_6``, ...; NaN for draws of no visit of the rule, and those whose day
        does not fit the visit that is recorded. Where any visit is recorded, days alone do not
        decide. Without days and visits all draws are ``baseline``.

    Examples
    --------
    >>> draws = pd.DataFrame({"patient_id": "a", "draw_day": [-60.0, -2.0, 45.0, 50.0]})
    >>> visit_of_draws(draws, PlasmaRule()).tolist()
    [nan, 'baseline', 'week_6', nan]
    """
    day = days_of(draws)
    recorded = _recorded(draws)
    if recorded is None and np.isnan(day).all():
        return pd.Series("baseline", index=draws.index, dtype=object)
    visit = np.full(len(draws), np.nan, dtype=object)
    for name, (first, last) in _windows(rule).items():
        fits = (day >= first) & (day <= last)
        if recorded is not None:
            fits = (recorded == name).to_numpy() & (fits | np.isnan(day))
        visit[fits] = name
    return pd.Series(visit, index=draws.index, dtype=object)


def chosen_draws(draws: pd.DataFrame, rule: PlasmaRule) -> dict[str, pd.DataFrame]:
    """One draw a patient for each visit.

    Parameters
    ----------
    draws : DataFrame of shape (n_draws, ...)
        As in the ``plasma_draws`` dictionary.

    Examples
    --------
    >>> draws = pd.DataFrame({"patient_id": "a", "draw_day": [-20.0, -2.0, 40.0, 43.0]})
    >>> chosen = chosen_draws(draws, PlasmaRule())
    >>> {visit: rows["draw_day"].tolist() for visit, rows in chosen.items()}
    {'baseline': [-2.0], 'week_6': [43.0]}
    """
    visit, day = visit_of_draws(draws, rule), days_of(draws)
    chosen = {}
    for name in _windows(rule):
        here = (visit == name).to_numpy()
        if not here.any():
            continue
        target = 7 * week_of(name)
        order = pd.DataFrame({"far": np.abs(day[here] - target), "day": day[here]})
        rows = draws[here].iloc[order.sort_values(["far", "day"], kind="stable").index]
        chosen[name] = rows.drop_duplicates("patient_id")
    return chosen


def course_features(draws: pd.DataFrame, rule: PlasmaRule) -> pd.DataFrame:
    """Change of ctDNA from baseline to each week on treatment.

    Parameters
    ----------
    draws : DataFrame of shape (n_draws, ...)
        From :func:`stratify.biomarkers.ctdna.quantified`.

    Returns
    -------
    DataFrame of shape (n_patients, ...)
        ``patient_id`` and, for each week with draws, ``ctdna_ratio_week_6`` (on treatment by
        baseline), ``ctdna_log2_ratio_week_6``, ``ctdna_slope_week_6`` (doublings a week),
        the responses of :func:`response_rules`, such as ``ctdna_clearance_week_6``. All are
        missing where baseline is undetected or not measured: such a patient is not evaluable, no
        responder.

    Notes
    -----
    Undetected is 0 in ratios, and half the limit of detection in logarithms; without a limit
    these are missing. The slope is by least squares over all draws from baseline to that of the
    week, of whatever visit.

    References
    ----------
    Zhang 2020, 10.1158/2159-8290.CD-20-0047; Bratman 2020, 10.1038/s43018-020-0096-5.

    Examples
    --------
    >>> draws = pd.DataFrame({"patient_id": "a", "draw_day": [0.0, 42.0],
    ...                       "ctdna_mean_vaf": [0.25, 0.03125], "ctdna_detected": 1.0})
    >>> course_features(draws, PlasmaRule()).iloc[0].to_dict()
    {'patient_id': 'a', 'ctdna_ratio_week_6': 0.125, 'ctdna_log2_ratio_week_6': -3.0,
     'ctdna_slope_week_6': -0.5, 'ctdna_molecular_response_week_6': 1.0,
     'ctdna_deep_response_week_6': 0.0, 'ctdna_clearance_week_6': 0.0}
    """
    number, names = pd.factorize(draws["patient_id"].to_numpy(dtype=object))
    table = pd.DataFrame({"patient_id": number}, index=draws.index).assign(
        day=days_of(draws), burden=burden_of(draws, rule), floor=_floor(draws, rule)
    )  # numbers are grouped more quickly than names
    seen = table["burden"] > 0
    table["log2"] = np.log2(table["burden"].where(seen, table["floor"]))
    chosen = {
        name: table.loc[rows.index].set_index("patient_id")
        for name, rows in chosen_draws(draws, rule).items()
    }
    first = chosen.pop("baseline", table.iloc[:0].set_index("patient_id"))
    first = first[first["burden"] > 0]
    ids = pd.RangeIndex(len(names))
    features = pd.DataFrame({"patient_id": names}, index=ids)
    for name, later in chosen.items():
        before = first.reindex(later.index)
        ratio = later["burden"] / before["burden"]
        course = pd.DataFrame(
            {
                "ratio": ratio,
                "log2_ratio": later["log2"] - before["log2"],
                "slope": _slope(table, before["day"], later["day"]),
            }
        ).where(ratio.notna(), axis=0)
        responses = {response.name: response.of(course) for response in response_rules()}
        for what, values in {**course, **responses}.items():
            features[f"ctdna_{what}_{name}"] = values.reindex(ids)
    return features


def burden_of(draws: pd.DataFrame, rule: PlasmaRule) -> pd.Series:
    """Take what the rule follows, 0 where undetected."""
    burden = pd.Series(numbers_of(draws, rule.burden), draws.index)
    return burden.mask(numbers_of(draws, "ctdna_detected") == 0, 0.0)


def draw_findings(
    draws: pd.DataFrame,
    rule: PlasmaRule,
    *,
    name: str = "plasma_draws",
    panel: str = "plasma_draws",
) -> Findings:
    """Find everything wrong or unusual in a table of draws, which are of the dictionary ``panel``.

    Examples
    --------
    >>> draws = pd.DataFrame({"patient_id": ["a", "a"], "draw_visit": ["baseline", "week_6"],
    ...                       "draw_day": [3.0, 42.0]})
    >>> draw_findings(draws, PlasmaRule()).messages()
    ['plasma_draws, row 1: a baseline draw after the first dose (day 0).']
    """
    check_table(draws=draws)
    found = Findings.of_table(draws, name, panel)
    found.add_absent([column for column in ("patient_id",) if column not in draws])
    if found.rows:
        return found
    schema = load_schema("plasma_draws")
    ids, day = draws["patient_id"], days_of(draws)
    found.add_rows("missing_identifier", "patient_id", ids.isna(), "no patient identifier.")
    add_number_faults(draws, schema, found)
    recorded = _recorded(draws)
    if recorded is not None:
        add_unknown_levels(draws, schema.fields["draw_visit"], found)
        late = (recorded == "baseline").to_numpy() & (day > 0)
        text = "a baseline draw after the first dose (day 0)."
        found.add_rows("post_baseline_value", "draw_visit", late, text)
    elif not np.isnan(day).all():
        found.add_rows("visit_day_missing", "draw_day", np.isnan(day), "no day of the draw.")
    visit = visit_of_draws(draws, rule)
    key = pd.DataFrame({"patient_id": ids, "visit": visit, "day": day})
    twice = ids.notna() & visit.notna() & key.duplicated(keep=False)
    text = "the same patient, visit and day more than once."
    found.add_rows("duplicate_visit", "draw_day", twice, text)
    if not found.rows:
        _add_warnings(draws, rule, visit, found)
    return found


def _add_warnings(draws: pd.DataFrame, rule: PlasmaRule, visit: pd.Series, found: Findings) -> None:
    """Add what can be lived with, in a table without faults."""
    ids, day = draws["patient_id"], days_of(draws)
    zero = numbers_of(draws, "cfdna_concentration") == 0
    text = "a concentration of cell-free DNA of 0; it is read as missing."
    found.add_rows("cfdna_zero", "cfdna_concentration", zero, text)
    recorded = _recorded(draws)
    misfit = np.zeros(len(draws), dtype=bool)
    if recorded is not None:
        misfit = (recorded.isin(list(_windows(rule))) & visit.isna()).to_numpy()
        text = "a day that does not fit the visit recorded; left out."
        found.add_rows("draw_outside_window", "draw_day", misfit, text)
    text = "draws of no visit that becomes a feature."
    found.add_rows("draw_unassigned", "draw_day", visit.isna() & ~misfit, text)
    several = visit.notna() & pd.DataFrame({"id": ids, "visit": visit}).duplicated(keep=False)
    text = "several draws of a patient for one visit; the one nearest to its day is used."
    found.add_rows("several_draws", "draw_day", several, text, ids[several].nunique())
    for name, (_, last) in _windows(rule).items():
        week = week_of(name)
        after = (visit == name).to_numpy() & (day > 7 * week)
        text = (
            f"draws of {name} taken after day {7 * week}; a landmark of week {np.ceil(last / 7):g} "
            "has them all behind it."
        )
        found.add_rows("draw_after_landmark", "draw_day", after, text)


def days_of(draws: pd.DataFrame) -> Floats:
    """Days of the draws, to the minute: weeks times 7 are not quite whole days."""
    return np.round(numbers_of(draws, "draw_day"), 3)


def _windows(rule: PlasmaRule) -> dict[str, tuple[float, float]]:
    """First and last day of each visit."""
    within = rule.within_days
    weeks = {f"week_{week}": (7 * week - within, 7 * week + within) for week in rule.weeks}
    return {"baseline": (-rule.baseline_within_days, 0.0), **weeks}


def _recorded(draws: pd.DataFrame) -> pd.Series | None:
    """Visits as recorded, None where none is."""
    if "draw_visit" not in draws or draws["draw_visit"].isna().all():
        return None
    return draws["draw_visit"]


def _floor(draws: pd.DataFrame, rule: PlasmaRule) -> pd.Series:
    """Half the limit of detection in the unit of the burden, missing where not known."""
    half = pd.Series(numbers_of(draws, "ctdna_detection_limit"), draws.index) / 2
    if rule.burden in VAF_BURDENS:
        return half
    if rule.burden == "ctdna_mtm_per_ml":
        return half * numbers_of(draws, "cfdna_hge_per_ml")
    return half * np.nan


def _slope(table: pd.DataFrame, start: pd.Series, end: pd.Series) -> pd.Series:
    """Least-squares slope of log2 burden by weeks, over the draws from one day to another."""
    ids = table["patient_id"]
    between = (table["day"] >= ids.map(start)) & (table["day"] <= ids.map(end))
    rows = table[between & table["log2"].notna()]
    patient = rows["patient_id"]
    x, y = rows["day"] / 7, rows["log2"]
    x, y = x - x.groupby(patient).transform("mean"), y - y.groupby(patient).transform("mean")
    spread = (x * x).groupby(patient).sum()
    slope = (x * y).groupby(patient).sum() / spread.where(spread > 0)
    return slope.reindex(start.index)

"""The policy: what a tumour board wants done with a risk or a marker, as data with its source.

There is no default policy, no default threshold and no default weight of benefit against harm.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from stratify.errors import ArgumentError, DataError
from stratify.study.borne_errors import BorneErrors, FoundThresholds
from stratify.study.conditions import Biomarker, Contraindication, NamedColumn, Text
from stratify.study.utilities import Utilities
from stratify.tables.faults import without_faults
from stratify.tables.strict import Place, Strict, as_text
from stratify.tables.tabular import read_mapping

__all__ = [
    "LabelCheck",
    "LandmarkRule",
    "MarkerRule",
    "MeasureFirst",
    "Policy",
]

Share = Annotated[float, Field(gt=0, lt=1)]
Caution = Literal[
    "not_monotherapy",
    "unseen_category",
    "outside_training_range",
    "no_panel_measured",
    "assay_differs",
    "far_from_training",
    "unseen_panel_pattern",
]


class MarkerRule(Strict):
    """A marker in place of a risk: monotherapy from one value on, combination below another."""

    marker: Biomarker
    monotherapy_from: float
    combination_below: float

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Limits in the wrong order."""
        for _, text in _in_order(data, "combination_below", "monotherapy_from"):
            yield ("combination_below",), text


class MeasureFirst(Strict):
    """When a referred patient is to be measured first: the answer ``measure`` names the marker.

    Attributes
    ----------
    probability : float
        At least so probably the value of a missing marker moves the patient to a decision.
    markers : list of str
        Features of the model that can be measured.
    required_below : float, optional
        A missing required marker refers no longer where its value would change the decision less
        probably than this; by default it always refers.
    """

    probability: Share
    markers: Annotated[list[Biomarker], Field(min_length=1)]
    required_below: Share | None = None


class LabelCheck(Strict):
    """Whose label is asked, and on which day."""

    jurisdiction: Literal["us", "eu"]
    on: Annotated[
        dt.date, BeforeValidator(lambda d: as_text(d) if not isinstance(d, dt.date) else d)
    ]


class LandmarkRule(Strict):
    """Thresholds of a landmark model's risk: continue, intensify, change.

    The landmark model is another model than that of the baseline decision: its time zero is the
    landmark, and it knows what happened up to it. Without a value of the ``required_markers``, for
    example the ctDNA ratio of the visit, the decision is referred.
    """

    weeks: Annotated[float, Field(gt=0)]
    continue_below: Share
    intensify_from: Share
    change_from: Share
    source: Text
    required_markers: list[Biomarker] = []

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Thresholds in the wrong order."""
        yield from _in_order(data, "continue_below", "intensify_from")
        yield from _in_order(data, "intensify_from", "change_from")


# What else must be for the errors of a policy to hold: a treatment in doubt has no stated error.
KEEPS_ERRORS = {"decide_by": "risk", "in_doubt": "refer"}


def _in_order(data: dict[str, Any], low: str, high: str) -> Iterator[tuple[Place, str]]:
    """Fault of two limits in the wrong order; one that is no number is a fault of its own."""
    x, y = (
        value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
        for value in (data.get(low), data.get(high))
    )
    if x > y and math.isfinite(x) and math.isfinite(y):
        yield (high,), f"{low} ({x:g}) must not exceed {high} ({y:g})"


class Policy(Strict):
    """What is done with a risk or a marker, with its source.

    Exactly one of four ways decides: two thresholds of the risk, errors that are borne, for which
    a model finds the thresholds, a rule on one marker, or utilities, which give the thresholds.

    Attributes
    ----------
    name, version, source : str
        The source says where the thresholds come from; it is required.
    endpoint : str, optional
        Endpoint rule (its name) whose risks and errors are meant; a model of another is refused.
    monotherapy_below : float
        A risk below speaks for monotherapy. Beside `errors` the greatest threshold that is tested.
    combination_from : float
        A risk at or above speaks for combination. Beside `errors` the smallest that is tested.
    errors : BorneErrors
        Share of wrongly treated patients that is borne in either arm: a model finds thresholds
        that keep them on patients it did not learn from; a side without any stays empty.
    found : FoundThresholds
        What a model found for `errors`; in a bundle's policy, and never taken from a file.
    decide_by : {"risk", "interval"}
        Whether the calibrated risk decides, or its whole interval has to lie on one side.
    marker_rule : MarkerRule
        A marker decides, and no risk.
    measure : MeasureFirst
        Which missing marker to measure first, in place of a referral that it would probably end.
    utilities : Utilities
        Benefit, harm and a grid of weights give the thresholds: see
        :class:`stratify.study.utilities.Utilities`.
    measure : MeasureFirst
        Which missing marker to measure first, in place of a referral that it would probably end.
    required_markers : list of str
        Features without which the decision is referred.
    refer_flags : list of str
        Flags of the scores with which it is referred; by default those of a patient to whom the
        model may not apply: unlike the training patients, of a category or with panels together
        that training never saw.
    contraindications : list of Contraindication
        They win over every risk.
    label : LabelCheck
        Ask the dated label rules of ``data_schemas/label_rules.yaml``.
    in_doubt : {"refer", "monotherapy", "combination"}
        What is done where the risk lies between two thresholds, or its interval crosses one and
        decides. A missing marker, a flag and a contraindication always refer.
    landmark : LandmarkRule
        For the decision at a landmark: by a landmark model.

    Examples
    --------
    >>> policy = Policy(name="example", version="1", source="illustration only",
    ...                 monotherapy_below=0.4, combination_from=0.7)
    >>> policy.required_markers, policy.thresholds
    ([], (0.4, 0.7))
    """

    name: str
    version: Annotated[str, BeforeValidator(as_text)]
    source: Text
    monotherapy_below: Share | None = None
    combination_from: Share | None = None
    endpoint: str | None = None
    errors: BorneErrors | None = None
    found: FoundThresholds | None = None
    decide_by: Literal["risk", "interval"] = "risk"
    marker_rule: MarkerRule | None = None
    utilities: Utilities | None = None
    measure: MeasureFirst | None = None
    required_markers: list[Biomarker] = []
    refer_flags: list[Caution] = ["unseen_category", "far_from_training", "unseen_panel_pattern"]
    contraindications: list[Contraindication] = []
    label: LabelCheck | None = None
    in_doubt: Literal["refer", "monotherapy", "combination"] = "refer"
    landmark: LandmarkRule | None = None

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Thresholds in the wrong order, and policies that decide in no way or in two."""
        low = data.get("monotherapy_below")
        if isinstance(low, float) and 0 < low < 1:
            yield from _in_order(data, "monotherapy_below", "combination_from")
        others = [key for key in ("marker_rule", "utilities") if data.get(key) is not None]
        limits = ("monotherapy_below", "combination_from")
        stated = [key for key in limits if data.get(key) is not None]
        borne = ["errors"] if data.get("errors") is not None else []
        if not others and not borne:
            lacking = [key for key in limits if key not in stated]
            yield from (((key,), "required, but not stated") for key in lacking)
        elif len(others) + bool(stated or borne) > 1:
            ways = " and ".join([*stated, *borne, *others])
            expected = "one is expected: both thresholds, errors, marker_rule or utilities"
            yield (), f"{ways} decide in two ways; {expected}"
        for key, kept in KEEPS_ERRORS.items() if borne else ():
            if (value := data.get(key, kept)) != kept:
                yield (key,), f"{as_text(value)} with errors: they hold with `{key}: {kept}` alone"

    @property
    def thresholds(self) -> tuple[float, float]:
        """Risks below which monotherapy, and from which combination; NaN where there are none.

        A policy that can never give one of the answers has minus or plus infinity there.
        """
        if self.utilities is not None:
            return self.utilities.thresholds
        if self.errors is not None and (found := self.found) is not None:
            below, above = found.monotherapy_below, found.combination_from
            return (-np.inf if below is None else below, np.inf if above is None else above)
        if self.errors is not None:
            return np.nan, np.nan
        low, high = self.monotherapy_below, self.combination_from
        return (np.nan if low is None else low, np.nan if high is None else high)

    def named(self, landmark_weeks: float | None = None) -> Iterator[NamedColumn]:
        """Every marker that the decision asks for, by its place; at baseline or at a landmark."""
        where: Place = () if landmark_weeks is None else ("landmark",)
        asked = self if landmark_weeks is None else self.landmark
        for i, name in enumerate([] if asked is None else asked.required_markers):
            yield NamedColumn((*where, "required_markers", i), name, required=True)
        if where and asked is not None:
            yield NamedColumn(where, "regimen", required=True)
        for i, each in enumerate(self.contraindications):
            yield NamedColumn(("contraindications", i, "marker"), each.marker, required=True)
        if self.marker_rule is not None and not where:
            yield NamedColumn(("marker_rule", "marker"), self.marker_rule.marker, required=True)

    def markers(self, landmark_weeks: float | None = None) -> list[str]:
        """Every marker that the decision asks for, once; at baseline or at a landmark."""
        return list(dict.fromkeys(each.name for each in self.named(landmark_weeks)))

    def landmark_fault(self, landmark_weeks: float | None) -> str | None:
        """Say why the policy cannot serve a model of a landmark, if it cannot."""
        if landmark_weeks is None:
            return None
        week = f"{landmark_weeks:g}"
        if self.landmark is None:
            return (
                f"The model is of week {week}, and {self.rule} has no landmark rule: what is known "
                "on treatment has no part in the decision at baseline. Add "
                f"`landmark: {{weeks: {week}, ...}}` to the policy, or take a baseline model."
            )
        if self.landmark.weeks != landmark_weeks:
            return (
                f"The model is of week {week}; {self.rule} decides at week "
                f"{self.landmark.weeks:g}: train a model with "
                f"`landmark_weeks: {self.landmark.weeks:g}` in the study file."
            )
        return None

    @property
    def rule(self) -> str:
        """How reasons name the policy."""
        return f"policy {self.name} {self.version}"

    def way(self, landmark_weeks: float | None = None) -> str:
        """How it decides, as the column `decision_rule` names it.

        Examples
        --------
        >>> Policy(name="board", version="1", source="minutes", monotherapy_below=0.4,
        ...        combination_from=0.7).way()
        'board 1: thresholds'
        """
        ways = ("errors", "marker_rule", "utilities")
        stated = [name for name in ways if getattr(self, name) is not None]
        by = [*stated, "thresholds"][0] if landmark_weeks is None else "landmark"
        return f"{self.name} {self.version}: {by}"

    def require_model(self, endpoint: str, features: Iterable[str]) -> None:
        """Refuse a model of another endpoint, or one that does not read what is to be measured.

        Parameters
        ----------
        endpoint : str
            Name of the model's endpoint rule.
        features : iterable of str
            What the model reads.

        Raises
        ------
        ArgumentError

        Examples
        --------
        >>> policy = Policy(name="board", version="1", source="minutes", monotherapy_below=0.4,
        ...                 combination_from=0.7, endpoint="sitc_mono_2020")
        >>> policy.require_model("proxy_pfs6", [])
        Traceback (most recent call last):
            ...
        stratify.errors.ArgumentError: policy board 1 is for the endpoint sitc_mono_2020, and the
        model predicts proxy_pfs6: the same risk or error means something else. Take a policy for
        proxy_pfs6, or train a model of sitc_mono_2020.
        """
        if self.endpoint is not None and self.endpoint != endpoint:
            raise ArgumentError(
                f"{self.rule} is for the endpoint {self.endpoint}, and the model predicts "
                f"{endpoint}: the same risk or error means something else. Take a policy for "
                f"{endpoint}, or train a model of {self.endpoint}."
            )
        asked, read = [] if self.measure is None else self.measure.markers, set(features)
        if unread := [name for name in asked if name not in read]:
            raise ArgumentError(
                f"{self.rule} would measure {', '.join(unread)}, which the model does not read: no "
                "result could change its risk. Remove it from `measure.markers`."
            )

    @property
    def exchange_rate(self) -> float | None:
        """Risk at which combination and monotherapy are worth the same to the policy.

        One minus the error that is borne with the combination, or the threshold of the
        combination; None where a marker decides or no threshold is a risk.
        """
        rate = self.thresholds[1] if self.errors is None else 1 - self.errors.combination
        return rate if 0 < rate < 1 else None

    def error_bounds(self, landmark_weeks: float | None = None) -> dict[str, float]:
        """Errors that are borne, by treatment; at a landmark there are none."""
        if self.errors is None or landmark_weeks is not None:
            return {}
        return {name: getattr(self.errors, name) for name in ("monotherapy", "combination")}

    def statement(self, landmark_weeks: float | None = None) -> str:
        """Say in a sentence what the policy does, at baseline or at a landmark.

        Examples
        --------
        >>> Policy(name="board", version="1", source="minutes", monotherapy_below=0.4,
        ...        combination_from=0.7).statement()
        'Policy board 1: monotherapy below 0.4, combination from 0.7, by the risk; source: minutes.'
        """
        low, high = self.thresholds
        whole = "" if self.decide_by == "risk" else "whole interval of the "
        by, source = f"by the {whole}risk", self.source
        if landmark_weeks is not None and (rule := self.landmark) is not None:
            does = (
                f"at week {rule.weeks:g} continue below {rule.continue_below:g}, intensify from "
                f"{rule.intensify_from:g}, change from {rule.change_from:g}, {by}"
            )
            source = rule.source
        elif (marker := self.marker_rule) is not None:
            does = (
                f"monotherapy where {marker.marker} is {marker.monotherapy_from:g} or more, "
                f"combination where it is below {marker.combination_below:g}"
            )
        elif self.errors is not None and self.found is None:
            does = f"{self.errors}; a model finds the thresholds"
        else:
            mono = f"monotherapy below {low:.4g}" if low > 0 else "monotherapy never"
            both = f"combination from {high:.4g}" if high <= 1 else "combination never"
            weighed = "" if self.utilities is None else " (from benefit, harm and weights)"
            kept = "" if self.errors is None else f"; {self.errors}"
            does = f"{mono}, {both}, {by}{weighed}{kept}"
        if self.measure is not None and landmark_weeks is None:
            does += (
                "; a missing marker is measured first where it would decide with a probability of "
                f"{self.measure.probability:g} or more"
            )
        return f"Policy {self.name} {self.version}: {does}; source: {source}."

    def require_known(
        self, available: Iterable[str], where: str, landmark_weeks: float | None = None
    ) -> None:
        """Refuse to be used where a marker is named that nobody has.

        Parameters
        ----------
        available : iterable of str
            Columns of the cohort or the model.
        where : str
            What has them, for the message: "the study our_trial".
        landmark_weeks : float, optional

        Raises
        ------
        DataError
            If a marker is not among them: every patient would be referred.

        Examples
        --------
        >>> policy = Policy(name="board", version="1", source="minutes", monotherapy_below=0.4,
        ...                 combination_from=0.7, required_markers=["tmb"])
        >>> policy.require_known(["pdl1_tps"], "the study our_trial")
        Traceback (most recent call last):
            ...
        stratify.errors.DataError: policy board 1 names tmb, which the study our_trial does not
        have: every patient would be referred. Map it in the study file or remove it from the
        policy.
        """
        known = set(available)
        if absent := [name for name in self.markers(landmark_weeks) if name not in known]:
            them = "them" if len(absent) > 1 else "it"
            raise DataError(
                f"{self.rule} names {', '.join(absent)}, which {where} does not have: every "
                f"patient would be referred. Map {them} in the study file or remove {them} from "
                "the policy."
            )

    @classmethod
    def load(cls, source: str | Path | dict[str, Any], folder: Path | None = None) -> Policy:
        """Read a policy from a YAML file or from plain data.

        Raises
        ------
        FileError
            If the file cannot be read.
        DataError
            If it is not YAML or anything in it is wrong; all faults are listed.
        """
        if isinstance(source, dict):
            return without_faults(cls, source, "policy")
        path = (folder or Path()) / source
        return without_faults(cls, read_mapping(path, "policy file"), "policy", path)

"""From outcomes to a label of resistance, with a reason for every patient.

Rules are versioned data in ``data_schemas/endpoints.yaml``. Label 1 means primary resistance (or
non-response), 0 initial disease control (or response), missing means not evaluable; not evaluable
is never 0. A month is 30.4375 days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, TypeAlias

import numpy as np
import pandas as pd
from pydantic import AfterValidator, BeforeValidator, Field

from stratify.arrays import Flags, Floats, Strings
from stratify.errors import ArgumentError
from stratify.extensions import by_name
from stratify.tables.documents import document
from stratify.tables.schema import field_named
from stratify.tables.strict import Place, Strict, as_text

__all__ = [
    "KINDS",
    "BestResponseRule",
    "Endpoint",
    "EndpointRule",
    "OwnRule",
    "ProgressionRule",
    "RegimenRule",
    "Regimens",
    "endpoint_reasons",
    "endpoint_rule",
    "endpoint_rules",
    "label_outcomes",
]

Text = Annotated[str, Field(min_length=1)]
Endpoint: TypeAlias = "str | Mapping[str, Any] | EndpointRule"
Version = Annotated[str, BeforeValidator(as_text), Field(min_length=1)]


def _known(name: str) -> str:
    if name not in (regimens := field_named("regimen").enum):
        raise ValueError(f"{name!r} is not known; regimens are {', '.join(regimens)}")
    return name


Regimens = Annotated[list[Annotated[str, AfterValidator(_known)]], Field(min_length=1)]


class OwnRule(Strict):
    """A rule of a study's own, for a combination without a verified one.

    It differs from the rule ``based_on`` in the settings that are stated; their meaning stands at
    the head of ``data_schemas/endpoints.yaml``. The horizon stays that of the rule.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    based_on: str
    version: Version
    title: Text
    source: Text
    regimens: Regimens | None = None
    inclusive: bool | None = None
    response_spares: bool | None = None
    best_response_pd: bool | None = None
    confirmation: bool | None = None
    exposure_weeks: Annotated[float, Field(ge=0)] | None = None
    strict: bool | None = None
    secondary_months: Annotated[float, Field(gt=0)] | None = None

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Names that are taken or claim too much, and rules that cannot be built on."""
        rules, name = endpoint_rules(), str(data.get("name"))
        fitting = [each for each, rule in rules.items() if isinstance(rule, ProgressionRule)]
        if data.get("based_on") is not None and data["based_on"] not in fitting:
            yield ("based_on",), f"a rule by progression is expected: {', '.join(fitting)}"
        if name in rules or name.lower().startswith("sitc"):
            yield ("name",), "names of published rules, and those that begin with sitc, are taken"


class EndpointRule(Strict):
    """One endpoint rule: what it is called, what it needs, and the reason it gives each patient.

    A rule of a kind that there is (``basis`` in ``data_schemas/endpoints.yaml``) is data alone. A
    new kind is a subclass with :meth:`reasons`, whose codes stand in the same file; a package of
    its own names its object in the entry points ``stratify.endpoints``.

    Attributes
    ----------
    name, version, title, source : str
    target : str
        What the risk of a model trained on it is the risk of.
    needs, uses : list of str
        Columns without which nobody has a label, and those that are looked at where they are.
    positive, negatives : str, list of str
        State of label 1, and states of label 0.
    regimens : list of str or None
        Regimens it is made for; None for any.
    months : float or None
        Horizon in months, if it has one.
    own : OwnRule or None
        How a study defined it.
    """

    name: str
    version: Version
    title: Text
    source: Text
    target: Text
    needs: list[str]
    uses: list[str]
    positive: str
    negatives: list[str]
    regimens: list[str] | None = None
    months: float | None = None
    own: OwnRule | None = Field(default=None, exclude=True)

    @property
    def id(self) -> str:
        """Name with version, as it travels with labels, models and scores.

        Examples
        --------
        >>> endpoint_rule("proxy_pfs6").id
        'proxy_pfs6@1.0.0'
        """
        return f"{self.name}@{self.version}"

    @property
    def stated(self) -> str | dict[str, Any]:
        """Name of the rule, or how a study defines it, as data."""
        return self.name if self.own is None else self.own.model_dump(exclude_unset=True)

    def reasons(self, outcomes: pd.DataFrame) -> Strings:
        """Reason code of each patient.

        Parameters
        ----------
        outcomes : DataFrame of shape (n_patients, ...)
            Columns of the ``outcomes`` dictionary; absent ones are missing.
        """
        raise NotImplementedError

    def applied(self, outcomes: pd.DataFrame) -> tuple[Strings, Strings]:
        """Reason code of each patient, and id of the rule that gave it."""
        return self.reasons(outcomes), np.full(len(outcomes), self.id, dtype=object)


class BestResponseRule(EndpointRule):
    """Whether the best overall response is CR or PR."""

    def reasons(self, outcomes: pd.DataFrame) -> Strings:
        """As :meth:`EndpointRule.reasons`."""
        responded, known, not_evaluable = _response(outcomes)
        return np.select(
            [~known, not_evaluable, responded],
            ["best_response_missing", "best_response_ne", "cr_or_pr"],
            "no_cr_or_pr",
        ).astype(object)


class ProgressionRule(EndpointRule):
    """Progression or death by a horizon; the settings stand at the head of the rules' file."""

    months: float
    inclusive: bool
    response_spares: bool
    best_response_pd: bool
    confirmation: bool
    exposure_weeks: float | None
    strict: bool
    secondary_months: float | None

    def reasons(self, outcomes: pd.DataFrame) -> Strings:
        """As :meth:`EndpointRule.reasons`; the first that holds, in the order of the lists."""
        pfs, event = _column(outcomes, "pfs"), _column(outcomes, "pfs_event")
        within = pfs <= self.months if self.inclusive else pfs < self.months
        happened = event == 1
        cases = [
            (np.isnan(pfs) | np.isnan(event), "pfs_missing"),
            *self._early(outcomes, within, happened, (pfs < self.months) & ~happened),
            *self._late(outcomes, ~within & happened),
        ]
        conditions, codes = zip(*cases, strict=True)
        reasons: Strings = np.select(conditions, codes, "no_event_until_horizon").astype(object)
        return reasons

    def _asked(self, outcomes: pd.DataFrame) -> Flags:
        """Whose progression must be confirmed; death and rapid growth are their own proof."""
        excused = (_column(outcomes, "rapid_progression") == 1) | _died(outcomes)
        return ~excused if self.confirmation else np.zeros(len(outcomes), dtype=bool)

    def _best_is_progression(self, outcomes: pd.DataFrame, late: Flags) -> Flags:
        """Whether progression after the horizon is the best response, confirmed where asked."""
        proven = ~self._asked(outcomes) | (_column(outcomes, "pd_confirmed") == 1)
        best_pd: Flags = late & _is(outcomes, "best_response", "PD") & proven
        return best_pd & self.best_response_pd

    def _early(
        self, outcomes: pd.DataFrame, within: Flags, happened: Flags, censored: Flags
    ) -> list[tuple[Flags, str]]:
        """Cases of events before the horizon, and of what makes a patient not evaluable."""
        early = within & happened
        responded, known, not_evaluable = _response(outcomes)
        exposure = _column(outcomes, "exposure")
        confirmed, asked = _column(outcomes, "pd_confirmed"), self._asked(outcomes)
        # without regard to response, rapid progression excuses any exposure
        rapid = _column(outcomes, "rapid_progression") == 1
        excused = rapid & (not self.response_spares)
        # with it, a response that is not known leaves the strict rule undecided
        undecided = early & (~known | not_evaluable) & self.response_spares
        other_death = _died(outcomes) & (_column(outcomes, "cancer_death") == 0)
        spares = self.response_spares
        # exposure tells whether failure is one of the treatment; who did not fail needs none
        failed = early | self._best_is_progression(outcomes, ~within & happened)
        judged = self.strict & failed & ~excused
        return [
            (early & other_death, "non_cancer_death"),
            (judged & np.isnan(exposure), "exposure_not_recorded"),
            (judged & (exposure < (self.exposure_weeks or 0)), "exposure_too_short"),
            (censored, "censored_before_horizon"),
            (early & responded & spares, "early_relapse_after_response"),
            (early & asked & (confirmed == 0), "pd_unconfirmed"),
            (early & asked & np.isnan(confirmed), "pd_confirmation_not_recorded"),
            (undecided & self.strict, "best_response_ne"),
            (undecided, "event_before_horizon_response_unknown"),
            (early, "event_before_horizon" if spares else "progression_within_horizon"),
        ]

    def _late(self, outcomes: pd.DataFrame, late: Flags) -> list[tuple[Flags, str]]:
        """Cases of events after the horizon."""
        exposure = _column(outcomes, "exposure")
        confirmed, asked = _column(outcomes, "pd_confirmed"), self._asked(outcomes)
        secondary = late & (self.secondary_months is not None)
        long_enough = exposure * 7 / 30.4375 >= (self.secondary_months or 0)
        return [
            (self._best_is_progression(outcomes, late), "best_response_pd"),
            (secondary & _died(outcomes), "death_after_horizon"),
            (late & asked & (confirmed == 0), "late_progression_unconfirmed"),
            (late & asked & np.isnan(confirmed), "pd_confirmation_not_recorded"),
            (secondary & np.isnan(exposure), "late_progression_exposure_not_recorded"),
            (secondary & ~long_enough, "late_progression_short_exposure"),
            (secondary, "progression_after_horizon"),
        ]


class RegimenRule(EndpointRule):
    """The rule made for each patient's regimen, among ``rules``."""

    rules: list[str]

    def applied(self, outcomes: pd.DataFrame) -> tuple[Strings, Strings]:
        """As :meth:`EndpointRule.applied`; the id is that of the patient's rule."""
        reasons = np.full(len(outcomes), "regimen_without_rule", dtype=object)
        ids = np.full(len(outcomes), self.id, dtype=object)
        for rule in map(endpoint_rule, self.rules):
            mine = _is(outcomes, "regimen", *(rule.regimens or ()))
            reasons[mine], ids[mine] = rule.applied(outcomes[mine])
        return reasons, ids


KINDS: Mapping[str, type[EndpointRule]] = {
    "progression": ProgressionRule,
    "best_response": BestResponseRule,
    "regimen": RegimenRule,
}


@cache
def endpoint_rules() -> dict[str, EndpointRule]:
    """Endpoint rules by name: those of ``data_schemas/endpoints.yaml`` and of other packages.

    Examples
    --------
    >>> endpoint_rules()["proxy_pfs6"].months
    6.0
    """
    stated = {name: dict(rule) for name, rule in document("endpoints").items() if name != "reasons"}
    own = [KINDS[rule.pop("basis")](name=name, **rule) for name, rule in stated.items()]
    return by_name("stratify.endpoints", own)


def endpoint_rule(endpoint: Endpoint) -> EndpointRule:
    """Rule by its name, or as a study file defines it from another one.

    Examples
    --------
    >>> rule = endpoint_rule({"name": "ici_ici", "based_on": "sitc_mono_2020", "version": "0.1",
    ...                       "title": "ICI+ICI", "source": "protocol", "confirmation": False})
    >>> rule.id, rule.months, rule.confirmation, rule.needs
    ('ici_ici@0.1', 6.0, False, ['pfs', 'pfs_event', 'best_response'])
    """
    if isinstance(endpoint, EndpointRule):
        return endpoint
    if isinstance(endpoint, str):
        if endpoint in (rules := endpoint_rules()):
            return rules[endpoint]
        raise ArgumentError(f"endpoint {endpoint!r} is not known; there are {', '.join(rules)}.")
    own = OwnRule.model_validate(endpoint)
    settings = own.model_dump(exclude_unset=True, exclude={"based_on"})
    target = f"risk of primary resistance ({own.title})"
    rule = endpoint_rules()[own.based_on].model_copy(
        update={"target": target, "own": own, **settings}
    )
    asked = {"pd_confirmed": "confirmation", "best_response": "best_response_pd"}
    asked |= {"exposure": "strict"}
    needed = [column for column, setting in asked.items() if getattr(rule, setting)]
    return rule.model_copy(update={"needs": ["pfs", "pfs_event", *needed]})


def endpoint_reasons() -> dict[str, dict[str, str]]:
    """State and meaning of every reason code.

    Examples
    --------
    >>> endpoint_reasons()["non_cancer_death"]["state"]
    'not_evaluable'
    """
    reasons: dict[str, dict[str, str]] = document("endpoints")["reasons"]
    return reasons


def label_outcomes(outcomes: pd.DataFrame, endpoint: Endpoint) -> pd.DataFrame:
    """Label each patient by a rule.

    Parameters
    ----------
    outcomes : DataFrame of shape (n_patients, ...)
        Any columns of the ``outcomes`` dictionary, in its units, and for ``sitc_by_regimen``
        ``regimen``; absent ones are missing.
    endpoint : str, mapping or EndpointRule
        ``proxy_pfs6``, ``sitc_mono_2020``, ``sitc_chemo_2023`` (both also with ``_strict``),
        ``sitc_by_regimen`` or ``objective_response``; or a rule of your own, see
        :func:`endpoint_rule`.

    Returns
    -------
    DataFrame of shape (n_patients, 4)
        ``state``, ``reason``, ``label`` (1, 0 or NaN) and ``endpoint_rule`` (by regimen: the one
        applied to the patient), on the same index.

    Raises
    ------
    ArgumentError
        If the rule is not known.

    Notes
    -----
    ``proxy_pfs6`` is a proxy: exposure and confirmation are not known, and it is never called the
    SITC definition (Kluger 2020, 10.1136/jitc-2019-000398; Rizvi 2023,
    10.1136/jitc-2022-005920). Early progression and death count as primary resistance unless the
    rule is strict. Under monotherapy a patient in complete or partial response whose disease
    progresses before six months is ``none``; under ICI with chemotherapy it is ``primary``.

    Examples
    --------
    >>> table = pd.DataFrame({"pfs": [2.0, 2.0, 2.0, 6.0], "pfs_event": [1, 1, 0, 1],
    ...                       "best_response": ["PD", "PR", "SD", "SD"]})
    >>> label_outcomes(table, "proxy_pfs6")["reason"].tolist()
    ['event_before_horizon', 'early_relapse_after_response', 'censored_before_horizon',
     'no_event_until_horizon']
    """
    rule = endpoint_rule(endpoint)
    reasons, ids = rule.applied(outcomes)
    reason = pd.Series(reasons, index=outcomes.index, dtype=object)
    state = reason.map({code: entry["state"] for code, entry in endpoint_reasons().items()})
    labels = {rule.positive: 1.0, **dict.fromkeys(rule.negatives, 0.0)}
    return pd.DataFrame(
        {
            "state": state,
            "reason": reason,
            "label": state.map(labels).astype(float),
            "endpoint_rule": pd.Series(ids, index=outcomes.index, dtype=object),
        },
        index=outcomes.index,
    )


def _levels(outcomes: pd.DataFrame, name: str) -> pd.Series:
    if name not in outcomes:
        return pd.Series(None, index=outcomes.index, dtype=object)
    return outcomes[name].astype(object)


def _column(outcomes: pd.DataFrame, name: str) -> Floats:
    if name not in outcomes:
        return np.full(len(outcomes), np.nan)
    return outcomes[name].to_numpy(dtype=float, na_value=np.nan)


def _is(outcomes: pd.DataFrame, name: str, *levels: str) -> Flags:
    return _levels(outcomes, name).isin(levels).to_numpy()


def _died(outcomes: pd.DataFrame) -> Flags:
    return _is(outcomes, "pfs_event_kind", "death")


def _response(outcomes: pd.DataFrame) -> tuple[Flags, Flags, Flags]:
    """Whether CR or PR was reached, whether response is recorded, whether it is NE."""
    stated = _column(outcomes, "objective_response")
    known = _levels(outcomes, "best_response").notna().to_numpy()
    responded = _is(outcomes, "best_response", "CR", "PR") | (~known & (stated == 1))
    return responded, known | ~np.isnan(stated), _is(outcomes, "best_response", "NE")

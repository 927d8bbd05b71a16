"""Thresholds that keep the errors of a policy, from risks of patients the model did not learn from.

Learn then test: candidate thresholds cut the patients, in the order of their risks, at shares of
2.5 %. They are tested one after the other, each at the full level, from the tenth with the surest
risks on, until one is not passed; the order looks at risks, never at labels. Each test is an exact
binomial one. With the stated confidence over cohorts like this one, the share of wrongly treated
new patients beyond the threshold is then at most the borne one.

References
----------
Angelopoulos AN, Bates S, Candes EJ, Jordan MI, Lei L. Learn then test. Ann Appl Stat
2025;19:1641-1662 (arXiv 2110.01052).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from stratify.arrays import Flags, Floats, Ints
from stratify.errors import ArgumentError
from stratify.statistics.checks import checked
from stratify.study.borne_errors import BorneErrors, FoundThresholds
from stratify.study.policy import Policy

__all__ = ["GuaranteedThreshold", "RiskCuts", "Side", "both_thresholds", "with_thresholds"]

Side: TypeAlias = Literal["monotherapy", "combination"]
STEPS = 40  # cuts at shares of 2.5 %
LEAST_STEP = 5  # patients between two cuts, so that none is one patient's risk
FIRST_SHARE = 0.1
LEAST_SHOWN = 0.1  # the first test has as many patients as could show this error at all
MOST = 100_000  # patients; more are not asked for
ERRORS = {"monotherapy": "resistant", "combination": "not resistant"}


class GuaranteedThreshold(NamedTuple):
    """A threshold with what it guarantees, or none.

    Attributes
    ----------
    threshold : float or None
    share_decided : float
        Patients beyond it, who get the treatment of the side.
    error : float
        Observed error rate among them, NaN where nobody is.
    statement : str
    """

    threshold: float | None
    share_decided: float
    error: float
    statement: str


class RiskCuts(NamedTuple):
    """Candidate thresholds, with the patients and the resistant ones below each: all a test needs.

    The first has nobody below, the last everybody.
    """

    cut: Floats
    below: Ints
    resistant: Ints

    @classmethod
    def of(cls, y: ArrayLike, risk: ArrayLike) -> RiskCuts:
        """Cut patients in the order of their risks.

        Examples
        --------
        >>> cuts = RiskCuts.of([0] * 12 + [1] * 8, np.arange(20) / 20)
        >>> cuts.cut.tolist(), cuts.below.tolist(), cuts.resistant.tolist()
        ([0.0, 0.25, 0.5, 0.75, 1.0], [0, 5, 10, 15, 20], [0, 0, 0, 3, 8])
        """
        truth, risks = checked(("y", y, "binary"), ("risk", risk, "probability"))
        order = np.argsort(risks, kind="stable")
        risks, events = risks[order], np.concatenate([[0], np.cumsum(truth[order])])
        steps = max(1, min(STEPS, risks.size // LEAST_STEP))
        places = np.round(np.arange(1, steps) * risks.size / steps).astype(int)
        # Rounded down, so that the patients below stay the same.
        inner = np.floor(1e4 * risks[places[places < risks.size]]) / 1e4
        cut = np.unique(inner[inner > 0])
        below = np.concatenate([[0], np.searchsorted(risks, cut, side="left"), [risks.size]])
        return cls(np.concatenate([[0.0], cut, [1.0]]), below, events[below].astype(int))

    def to_json(self) -> dict[str, list[float]]:
        """Plain data."""
        return {name: values.tolist() for name, values in self._asdict().items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RiskCuts:
        """Read what :meth:`to_json` wrote."""
        counts = (np.array(document[name], dtype=int) for name in ("below", "resistant"))
        return cls(np.array(document["cut"], dtype=float), *counts)

    @property
    def n(self) -> int:
        """Patients."""
        return int(self.below[-1])

    def beyond(self, side: Side) -> tuple[Floats, Ints, Ints]:
        """Cuts in the order of the tests, patients beyond each, and those wrongly treated."""
        if side == "monotherapy":
            return self.cut, self.below, self.resistant
        given = self.below[-1] - self.below
        wrong = given - (self.resistant[-1] - self.resistant)
        return self.cut[::-1], given[::-1], wrong[::-1].astype(int)

    def first(self, side: Side, confidence: float) -> int | None:
        """Place of the cut that is tested first, whatever the error that is borne."""
        least = max(math.floor(FIRST_SHARE * self.n), _least(confidence))
        enough = np.flatnonzero(self.beyond(side)[1] >= least)
        return int(enough[0]) if enough.size else None

    def passed(
        self, side: Side, rate: float, confidence: float, limit: float | None = None
    ) -> Floats:
        """Cuts that passed, in the order of the tests; none beyond a limit is tested."""
        first = self.first(side, confidence)
        if first is None:
            return np.empty(0)
        cuts, given, wrong = self.beyond(side)
        cuts, given, wrong = cuts[first:], given[first:], wrong[first:]
        tested = np.ones(len(cuts), dtype=bool)
        if limit is not None:
            tested = cuts <= limit if side == "monotherapy" else cuts >= limit
        fails = np.flatnonzero(~(tested & _shown(wrong, given, rate, confidence)))
        return cuts[: fails[0]] if fails.size else cuts

    def guaranteed(
        self, side: Side, rate: float, confidence: float, threshold: float | None
    ) -> GuaranteedThreshold:
        """Say what a cut that passed guarantees, or what is lacking for one."""
        words = (
            f"at most {100 * rate:g} % {ERRORS[side]} patients among those given "
            f"{'' if side == 'monotherapy' else 'the '}{side} "
            f"({self.n} patients, confidence {100 * confidence:g} %)"
        )
        if threshold is None:
            lacking = self._lacking(side, rate, confidence)
            return GuaranteedThreshold(
                None, 0.0, np.nan, f"No threshold guarantees {words}. {lacking}"
            )
        cuts, given, wrong = self.beyond(side)
        place = int(np.flatnonzero(cuts == threshold)[0])
        share, error = given[place] / self.n, wrong[place] / given[place]
        start = "Below" if side == "monotherapy" else "From"
        words = f"{start} {threshold:g}, {words}: {100 * share:.0f} % of the patients."
        return GuaranteedThreshold(float(threshold), float(share), float(error), words)

    def _lacking(self, side: Side, rate: float, confidence: float) -> str:
        """How many patients, or which separation, a threshold would need."""
        first = self.first(side, confidence)
        if first is None:
            return f"At least {_least(confidence)} patients are needed."
        _, given, wrong = (values[first] for values in self.beyond(side))
        error = wrong / given
        surest = "lowest" if side == "monotherapy" else "highest"
        found = f"of the {given} with the {surest} risks {100 * error:.0f} % are {ERRORS[side]}"
        sizes = np.arange(int(given), MOST)
        enough = sizes[_shown(np.ceil(error * sizes), sizes, rate, confidence)]
        if error < rate and enough.size:
            total = math.ceil(float(enough[0]) / (given / self.n))
            if total > self.n:
                return f"About {total} patients like these would be needed: {found}."
            return f"The limit that the policy states leaves none: {found}."
        return f"A model that separates better is needed: {found}."


def _least(confidence: float) -> int:
    """Fewest patients that could show an error of LEAST_SHOWN: all of them rightly treated."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - LEAST_SHOWN))


def _shown(wrong: Ints | Floats, given: Ints | Floats, rate: float, confidence: float) -> Flags:
    """Whether so few errors show that the rate is not exceeded: exact binomial tests."""
    from scipy.special import bdtr

    passes = bdtr(np.asarray(wrong, dtype=float), np.asarray(given, dtype=int), rate)
    return np.asarray(passes <= 1 - confidence)


def both_thresholds(
    cuts: RiskCuts,
    errors: BorneErrors,
    limits: tuple[float | None, float | None] = (None, None),
) -> tuple[GuaranteedThreshold, GuaranteedThreshold]:
    """Thresholds of monotherapy and combination that decide the most with the borne errors.

    Where both errors would be kept at the same risk, monotherapy is given: it harms less.

    Parameters
    ----------
    cuts : RiskCuts
        Of patients who neither trained nor calibrated the model.
    limits : pair of float or None
        Greatest threshold of monotherapy and smallest of the combination that are tested.

    Examples
    --------
    >>> risk = np.linspace(0.01, 0.99, 400)
    >>> cuts = RiskCuts.of(np.arange(400) % 10 < 10 * risk, risk)
    >>> mono, both = both_thresholds(cuts, BorneErrors(monotherapy=0.3, combination=0.3))
    >>> round(mono.threshold, 2), round(both.threshold, 2)
    (0.4, 0.4)
    >>> none = both_thresholds(cuts, BorneErrors(monotherapy=0.01, combination=0.3))[0]
    >>> none.statement
    'No threshold guarantees at most 1 % resistant patients among those given monotherapy (400
    patients, confidence 90 %). A model that separates better is needed: of the 40 with the
    lowest risks 10 % are resistant.'
    """
    level = errors.confidence
    low = cuts.passed("monotherapy", errors.monotherapy, level, limits[0])
    high = cuts.passed("combination", errors.combination, level, limits[1])
    mono, combination = (float(each[-1]) if each.size else None for each in (low, high))
    if mono is not None and combination is not None and mono > combination:
        common = np.intersect1d(low, high)
        if common.size:
            mono = combination = float(common[-1])
        elif np.mean(cuts.below[cuts.cut == mono]) >= cuts.n - np.mean(
            cuts.below[cuts.cut == combination]
        ):
            combination = None
        else:
            mono = None
    return (
        cuts.guaranteed("monotherapy", errors.monotherapy, level, mono),
        cuts.guaranteed("combination", errors.combination, level, combination),
    )


def with_thresholds(policy: Policy, cuts: RiskCuts | None, where: str) -> Policy:
    """Give a policy the thresholds that keep its errors; one without errors stays as it is.

    Raises
    ------
    ArgumentError
        If there are errors, and no out-of-fold risks to find thresholds by.
    """
    if policy.errors is None:
        return policy
    if cuts is None:
        raise ArgumentError(
            f"{policy.rule} states errors, and {where} has no out-of-fold risks by which to find "
            "thresholds: it is of an earlier version. Train again, or state monotherapy_below and "
            "combination_from in place of errors."
        )
    limits = (policy.monotherapy_below, policy.combination_from)
    low, high = both_thresholds(cuts, policy.errors, limits)
    found = FoundThresholds(
        monotherapy_below=low.threshold,
        combination_from=high.threshold,
        n=cuts.n,
        monotherapy=low.statement,
        combination=high.statement,
    )
    return policy.model_copy(update={"found": found})

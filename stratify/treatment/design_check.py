"""Can the arms be compared? Sizes, overlap by propensity, balance; or a refusal with numbers.

A comparison of patients who were not randomised is made only where the stated confounders are
recorded, most patients could have had either treatment, and weighting balances the arms. What is
not recorded stays a source of bias.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints
from stratify.statistics.discrimination import auroc
from stratify.treatment.arms import Arms
from stratify.treatment.covariates import CovariateMatrix
from stratify.treatment.outcomes import MEASURES

__all__ = [
    "DesignCheck",
    "balance_p",
    "check_design",
    "shares_by_stratum",
    "standardised_differences",
]


# Crump RK et al. Biometrika 2009;96:187-199: patients outside 0.1 to 0.9 are left out.
TRIM = (0.1, 0.9)
KEPT = 0.5  # least share of an arm that trimming may leave
# Standardised difference beyond which adjustment is not trusted, Stuart EA. Stat Sci 2010;25:1-21
UNBALANCED = 0.25
CHANCE = 0.001  # p below which a randomisation is not believed
FOLDS = 5
# Patients of each arm in each stratum: to know a spread, or to fit a propensity in five folds.
LEAST_IN_STRATUM = {"randomised": 2, "observed": 2 * FOLDS}
SHOWN = 5  # strata named in a refusal


@dataclass(frozen=True, eq=False)
class DesignCheck:
    """What the design allows.

    Attributes
    ----------
    propensity : ndarray of shape (n_patients,)
        Probability of the alternative: the share of the stratum that had it if randomised, else
        cross-fitted from the covariates within the stratum.
    kept : ndarray of shape (n_patients,)
        Patients left after trimming.
    sizes : DataFrame
        arm, n.
    checks : DataFrame
        check, found, expected, passed: one row each.
    balance : DataFrame
        covariate, standardised_difference, weighted; the latter among those kept.
    refusals : list of str
        Empty where the comparison is made.
    """

    propensity: Floats
    kept: Flags
    sizes: pd.DataFrame
    checks: pd.DataFrame
    balance: pd.DataFrame
    refusals: list[str] = field(default_factory=list)

    @property
    def allowed(self) -> bool:
        """Whether an effect may be estimated."""
        return not self.refusals

    @property
    def statement(self) -> str:
        """One sentence on the design."""
        if self.allowed:
            return "The design check is passed."
        return "No effect is estimated: " + "; ".join(self.refusals) + "."


def standardised_differences(X: Floats, treated: Flags, weight: Floats) -> Floats:
    """Weighted difference of the arms' means over the pooled standard deviation before weighting.

    References
    ----------
    Austin PC. Stat Med 2009;28:3083-3107.
    """
    if not X.shape[1]:
        return np.zeros(0)
    a, b = X[treated], X[~treated]
    spread = np.sqrt((a.var(axis=0) + b.var(axis=0)) / 2)
    difference = np.average(a, axis=0, weights=weight[treated]) - np.average(
        b, axis=0, weights=weight[~treated]
    )
    return np.where(spread > 0, difference / np.where(spread > 0, spread, 1), 0.0)


def check_design(arms: Arms, *, seed: int = 0) -> DesignCheck:
    """Check sizes, overlap and balance of two arms."""
    compared = _compared(arms, seed)
    checks = [row for check in CHECKS[arms.estimand.assignment] for row in check(compared)]
    before = standardised_differences(compared.X, arms.treated, np.ones(len(arms)))
    return DesignCheck(
        propensity=compared.propensity,
        kept=compared.kept,
        sizes=pd.DataFrame(arms.sizes().items(), columns=["arm", "n"]),
        checks=pd.DataFrame(checks, columns=Check._fields).drop(columns="refusal"),
        balance=pd.DataFrame(
            {
                "covariate": compared.names,
                "standardised_difference": before,
                "weighted": before if compared.arms.randomised else compared.weighted_differences,
            }
        ),
        refusals=[row.refusal for row in checks if row.refusal and not row.passed],
    )


class Check(NamedTuple):
    """One question on the design: its name, the answer, and what it should be."""

    check: str
    found: str
    expected: str
    passed: bool
    refusal: str = ""  # why no effect is estimated where it is not passed; empty where one is


@dataclass(frozen=True, eq=False)
class _Compared:
    """Arms with their covariates as a matrix and the probability of the alternative."""

    arms: Arms
    names: list[str]
    X: Floats
    propensity: Floats
    kept: Flags
    separation: float  # AUROC of the fitted propensity; NaN where patients are too few to fit one

    @cached_property
    def weight(self) -> Floats:
        return np.where(self.arms.treated, 1 / self.propensity, 1 / (1 - self.propensity))

    @property
    def both_kept(self) -> bool:
        return all((self.kept & arm).any() for _, arm in self.arms.sides)

    @cached_property
    def weighted_differences(self) -> Floats:
        """Standardised differences after weighting; NaN where trimming leaves one arm."""
        if not self.both_kept:
            return np.full(self.X.shape[1], np.nan)
        kept = self.kept
        return standardised_differences(self.X[kept], self.arms.treated[kept], self.weight[kept])


def shares_by_stratum(arms: Arms) -> Floats:
    """Share of each patient's stratum that is in the alternative arm."""
    cells = arms.cells()
    share: Floats = (cells["alternative"] / cells.sum(axis=1)).to_numpy(dtype=float)
    return share[arms.stratum]


def _compared(arms: Arms, seed: int) -> _Compared:
    matrix = CovariateMatrix(arms.covariates).fit(arms.table)
    propensity = shares_by_stratum(arms)
    kept, separation = np.ones(len(arms), dtype=bool), np.nan
    if not arms.randomised:
        if arms.cells().to_numpy().min() >= LEAST_IN_STRATUM["observed"]:
            for stratum in range(len(arms.strata)):
                rows = np.flatnonzero(arms.stratum == stratum)
                propensity[rows] = _cross_fitted(arms.take(rows), seed)
            separation = auroc(arms.treated.astype(float), propensity).value
        propensity = np.clip(propensity, 1e-3, 1 - 1e-3)
        kept = (propensity >= TRIM[0]) & (propensity <= TRIM[1])
    X = matrix.transform(arms.table)
    return _Compared(arms, matrix.names_, X, propensity, kept, separation)


def _arms(compared: _Compared) -> Iterator[Check]:
    """How patients came to their arm, and how many they are."""
    estimand = compared.arms.estimand
    least, stated = estimand.min_arm, estimand.assignment
    yield Check("assignment", stated, "randomised", compared.arms.randomised)
    for name, size in compared.arms.sizes().items():
        yield Check(
            f"patients, {name}",
            str(size),
            f"{least} or more",
            size >= least,
            f"the arm {name} has {size} patients; {least} are needed",
        )


def _strata(compared: _Compared) -> Iterator[Check]:
    """Whether each stratum has both arms."""
    arms, cells = compared.arms, compared.arms.cells()
    if len(arms.strata) < 2:
        return
    least, names = LEAST_IN_STRATUM[arms.estimand.assignment], list(arms.sizes())
    small = cells[cells.min(axis=1) < least]
    shown = [
        f"{arms.strata[int(k)]} has {row.reference} with {names[0]} and {row.alternative} with "
        f"{names[1]}"
        for k, row in zip(small.index[:SHOWN], small.itertuples(), strict=False)
    ]
    more = f" (and {len(small) - SHOWN} more strata)" if len(small) > SHOWN else ""
    yield Check(
        f"strata with {least} or more patients in each arm",
        f"{len(cells) - len(small)} of {len(cells)}",
        "all",
        not len(small),
        f"arms are compared within strata, and {'; '.join(shown)}{more}; {least} of each are "
        "needed: leave such a cohort out, or state coarser `strata`",
    )


def _baseline(compared: _Compared) -> Iterator[Check]:
    arms = compared.arms
    tested = [(name, arms.stratum == k) for k, name in enumerate(arms.strata)]
    if len(tested) > 1:
        tested.append(("all strata", np.ones(len(arms), dtype=bool)))
    least = CHANCE / len(tested)
    for name, rows in tested:
        p = balance_p(compared.X[rows], arms.treated[rows], arms.stratum[rows])
        where = f", {name}" if len(tested) > 1 else ""
        yield Check(
            f"arm predicted by the baseline (p){where}",
            f"{p:.3g}",
            f"{least:.2g} or more",
            not p < least,
            "the arms are said to be randomised, yet the baseline tells them apart "
            f"(p = {p:.1g}{where}); state `assignment: observed` or correct the arms",
        )


def _followed(compared: _Compared) -> Iterator[Check]:
    """Patients at risk at the horizon, where some were censored before."""
    arms, horizon = compared.arms, compared.arms.estimand.horizon_months
    least = arms.estimand.min_at_risk
    for outcome in arms.estimand.outcomes:
        follow_up = MEASURES[outcome].follow_up(arms.table)
        if follow_up is None:
            continue
        time, event = follow_up
        at_risk, lost = time >= horizon, (event == 0) & (time < horizon)
        for name, arm in arms.sides:
            found = int((at_risk & arm).sum())
            if (lost & arm).any():
                yield Check(
                    f"at risk at {horizon:g} months, {outcome}, {name}",
                    str(found),
                    f"{least} or more",
                    found >= least,
                    f"of {int(arm.sum())} patients with {name} {found} are at risk at {horizon:g} "
                    f"months ({outcome}); {least} are needed: choose a nearer `horizon_months`",
                )
            ended = [
                stratum
                for k, stratum in enumerate(arms.strata)
                if _ends_censored(time, event, horizon, arm & (arms.stratum == k))
            ]
            if ended and len(arms.strata) > 1:
                yield Check(
                    f"strata followed to {horizon:g} months, {outcome}, {name}",
                    f"{len(arms.strata) - len(ended)} of {len(arms.strata)}",
                    "all",
                    False,
                    f"nobody with {name} in {', '.join(ended[:SHOWN])} was followed to {horizon:g} "
                    f"months ({outcome}); choose a nearer `horizon_months` or coarser `strata`",
                )


def _ends_censored(time: Floats, event: Floats, horizon: float, rows: Flags) -> bool:
    """Whether the longest follow-up is censored before the horizon."""
    mine = rows & ~np.isnan(time) & ~np.isnan(event)
    if not mine.any():
        return False
    longest = time[mine].max()
    return bool(longest < horizon and not (event[mine & (time == longest)] == 1).any())


def _confounders(compared: _Compared) -> Iterator[Check]:
    asked = compared.arms.estimand.confounders
    lacking = [name for name in asked if name not in compared.arms.covariates]
    yield Check(
        "confounders recorded",
        f"{len(asked) - len(lacking)} of {len(asked)}",
        "all",
        not lacking,
        f"{', '.join(lacking)} {'are' if len(lacking) > 1 else 'is'} not recorded or the same "
        "for all, and nobody was randomised; record what decided the treatment, or state "
        "other `confounders` with your reasons",
    )


def _deciding(compared: _Compared) -> Iterator[Check]:
    """Covariates of which every value of one arm lies beyond every value of the other."""
    arms, deciding = compared.arms, []
    for name in arms.covariates:
        values = pd.to_numeric(arms.table[name], errors="coerce").to_numpy(float, na_value=np.nan)
        known = ~np.isnan(values)
        one, two = values[known & arms.treated], values[known & ~arms.treated]
        if one.size and two.size and (one.max() < two.min() or two.max() < one.min()):
            deciding.append(name)
    yield Check(
        "no marker alone decides the arm",
        ", ".join(deciding) or "none",
        "none",
        not deciding,
        f"the arm follows from {' and from '.join(deciding)} alone, so no patient could "
        "have had either treatment",
    )


def _overlap(compared: _Compared) -> Iterator[Check]:
    """Patients of each arm left by trimming; nothing where no propensity was fitted."""
    if np.isnan(compared.separation):
        return
    for name, arm in compared.arms.sides:
        left, size = int((compared.kept & arm).sum()), int(arm.sum())
        yield Check(
            f"overlap, {name}",
            f"{left} of {size} within {TRIM[0]:g} to {TRIM[1]:g}",
            f"{KEPT:.0%} or more",
            left >= KEPT * size,
            f"no overlap: of {size} patients with {name} only {left} had a "
            f"probability of the other treatment between {TRIM[0]:g} and {TRIM[1]:g} "
            f"(AUROC of the propensity {compared.separation:.2f})",
        )


def _weighting(compared: _Compared) -> Iterator[Check]:
    """Balance after weighting, and what the arms are then worth."""
    if not (compared.both_kept and compared.names):
        return
    differences = np.abs(compared.weighted_differences)
    worst = float(differences.max())
    yield Check(
        "largest standardised difference, weighted",
        f"{worst:.2f}",
        f"{UNBALANCED:g} or less",
        worst <= UNBALANCED,
        f"weighting does not balance the arms: {compared.names[int(differences.argmax())]} "
        f"still differs by {worst:.2f} standard deviations",
    )
    least = compared.arms.estimand.min_arm
    for name, arm in compared.arms.sides:
        weight = compared.weight[compared.kept & arm]
        effective = float(weight.sum() ** 2 / (weight**2).sum())
        yield Check(
            f"effective patients, {name}",
            f"{effective:.0f}",
            f"{least} or more",
            effective >= least,
            f"after weighting the arm {name} is worth {effective:.0f} patients; {least} are needed",
        )


# What is asked of a comparison, by how patients came to their arm; in the order of the report.
CHECKS: dict[str, tuple[Callable[[_Compared], Iterator[Check]], ...]] = {
    "randomised": (_arms, _strata, _baseline, _followed),
    "observed": (_arms, _strata, _confounders, _deciding, _overlap, _weighting, _followed),
}


def _cross_fitted(arms: Arms, seed: int) -> Floats:
    """Propensity of each patient by a logistic regression that did not see the patient."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    treated = arms.treated
    fitted = np.full(len(arms), float(treated.mean()))
    if not arms.covariates:
        return fitted
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(treated[:, None], treated):
        matrix = CovariateMatrix(arms.covariates).fit(arms.table.iloc[train])
        model = LogisticRegression(C=1.0, max_iter=2000)
        model.fit(matrix.transform(arms.table.iloc[train]), treated[train])
        fitted[test] = model.predict_proba(matrix.transform(arms.table.iloc[test]))[:, 1]
    return fitted


def balance_p(X: Floats, treated: Flags, stratum: Ints) -> float:
    """P of the test that no covariate differs between the arms within strata; 1 without covariates.

    The sum over strata of the differences, in the metric of its variance under randomisation
    within strata; chi-squared with as many degrees of freedom as that variance has rank.

    References
    ----------
    Hansen BB, Bowers J. Stat Sci 2008;23:219-236.

    Examples
    --------
    >>> age, one = np.arange(20.0)[:, None], np.zeros(20, dtype=int)
    >>> [round(balance_p(age, arm, one), 3) for arm in (np.arange(20) % 2 == 0, np.arange(20) < 10)]
    [0.705, 0.0]
    """
    from scipy.stats import chi2

    total, variance = np.zeros(X.shape[1]), np.zeros((X.shape[1], X.shape[1]))
    for k in np.unique(stratum):
        mine, arm = X[stratum == k], treated[stratum == k].astype(float)
        n, share = len(arm), arm.mean()
        if n < 2:
            continue
        centred = mine - mine.mean(axis=0)
        total += (arm - share) @ centred
        variance += share * (1 - share) * n / (n - 1) * centred.T @ centred
    spread = np.sqrt(np.diag(variance))
    some = spread > 1e-9
    if not some.any():
        return 1.0
    scaled = variance[np.ix_(some, some)] / np.outer(spread[some], spread[some])
    difference = total[some] / spread[some]
    inverse = np.linalg.pinv(scaled, rcond=1e-8, hermitian=True)
    rank = int(np.linalg.matrix_rank(scaled, tol=1e-8 * len(scaled), hermitian=True))
    return float(chi2.sf(difference @ inverse @ difference, rank))

"""Can the arms be compared? Sizes, overlap by propensity, balance; or a refusal with numbers.

A comparison of patients who were not randomised is made only where the stated confounders are
recorded, most patients could have had either treatment, and weighting balances the arms. What is
not recorded stays a reason to doubt it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.statistics.discrimination import auroc
from stratify.treatment.arms import Arms
from stratify.treatment.covariates import CovariateMatrix

__all__ = ["DesignCheck", "check_design", "standardised_differences"]


# Crump RK et al. Biometrika 2009;96:187-199: patients outside 0.1 to 0.9 are left out.
TRIM = (0.1, 0.9)
KEPT = 0.5  # least share of an arm that trimming may leave
BALANCED = 0.1  # standardised difference, Austin PC. Stat Med 2009;28:3083-3107
UNBALANCED = 0.25  # beyond which adjustment is not trusted, Stuart EA. Stat Sci 2010;25:1-21
CHANCE = 0.001  # p below which a randomisation is not believed
FOLDS = 5


@dataclass(frozen=True, eq=False)
class DesignCheck:
    """What the design allows.

    Attributes
    ----------
    propensity : ndarray of shape (n_patients,)
        Probability of the alternative: the share that had it if randomised, else cross-fitted
        from the covariates.
    kept : ndarray of shape (n_patients,)
        Patients left after trimming.
    checks : DataFrame
        check, found, expected, passed: one row each.
    balance : DataFrame
        covariate, standardised_difference, weighted; the latter among those kept.
    refusals : list of str
        Empty where the comparison is made.
    """

    propensity: Floats
    kept: Flags
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
    means = [
        np.average(part, axis=0, weights=w)
        for part, w in ((a, weight[treated]), (b, weight[~treated]))
    ]
    difference = means[0] - means[1]
    return np.where(spread > 0, difference / np.where(spread > 0, spread, 1), 0.0)


def check_design(arms: Arms, *, seed: int = 0) -> DesignCheck:
    """Check sizes, overlap and balance of two arms.

    Parameters
    ----------
    arms : Arms
    seed : int
        Of the folds of the propensity model.

    Returns
    -------
    DesignCheck
    """
    estimand, treated, n = arms.estimand, arms.treated, len(arms)
    rows: list[tuple[str, str, str, bool]] = []
    refusals: list[str] = []

    def tell(check: str, found: str, expected: str, passed: bool, refusal: str = "") -> None:
        rows.append((check, found, expected, passed))
        if not passed and refusal:
            refusals.append(refusal)

    randomised = estimand.assignment == "randomised"
    tell("assignment", estimand.assignment, "randomised", randomised)
    for name, size in arms.sizes().items():
        tell(
            f"patients, {name}",
            str(size),
            f"{estimand.min_arm} or more",
            size >= estimand.min_arm,
            f"the arm {name} has {size} patients; {estimand.min_arm} are needed",
        )
    whole = CovariateMatrix(arms.covariates).fit(arms.table)
    X = whole.transform(arms.table)
    small = min(arms.sizes().values()) < 2 * FOLDS
    share = float(treated.mean())
    fitted = np.full(n, share) if small else _cross_fitted(arms, seed)
    telling = auroc(treated.astype(float), fitted).value if not small else np.nan
    before = standardised_differences(X, treated, np.ones(n))
    if randomised:
        p = _randomisation_p(X, treated)
        tell(
            "baseline tells the arm (likelihood ratio p)",
            f"{p:.3g}",
            f"{CHANCE:g} or more",
            not p < CHANCE,
            f"the arms are said to be randomised, yet the baseline tells them apart (p = {p:.1g}); "
            "state `assignment: observed` or correct the arms",
        )
        propensity, kept = np.full(n, share), np.ones(n, dtype=bool)
    else:
        lacking = [c for c in estimand.confounders if c not in arms.covariates]
        tell(
            "confounders recorded",
            f"{len(estimand.confounders) - len(lacking)} of {len(estimand.confounders)}",
            "all",
            not lacking,
            f"{', '.join(lacking)} {'are' if len(lacking) > 1 else 'is'} not recorded or the same "
            "for all, and nobody was randomised; record what decided the treatment, or state "
            "other `confounders` with your reasons",
        )
        telling_alone = _deciding(arms)
        tell(
            "no marker alone decides the arm",
            ", ".join(telling_alone) or "none",
            "none",
            not telling_alone,
            f"the arm follows from {' and from '.join(telling_alone)} alone, so no patient could "
            "have had either treatment",
        )
        propensity = np.clip(fitted, 1e-3, 1 - 1e-3)
        kept = (propensity >= TRIM[0]) & (propensity <= TRIM[1])
        sides = ((estimand.reference.name, False), (estimand.alternative.name, True))
        for name, side in sides if not small else ():  # no propensity is fitted to so few
            arm = treated == side
            left = int((kept & arm).sum())
            tell(
                f"overlap, {name}",
                f"{left} of {int(arm.sum())} within {TRIM[0]:g} to {TRIM[1]:g}",
                f"{KEPT:.0%} or more",
                left >= KEPT * arm.sum(),
                f"no overlap: of {int(arm.sum())} patients with {name} only {left} had a "
                f"probability of the other treatment between {TRIM[0]:g} and {TRIM[1]:g} "
                f"(AUROC of the propensity {telling:.2f})",
            )
    weight = np.where(treated, 1 / propensity, 1 / (1 - propensity))
    both = all((kept & (treated == side)).any() for side in (False, True))
    after = (
        standardised_differences(X[kept], treated[kept], weight[kept])
        if both
        else np.full(X.shape[1], np.nan)
    )
    if not randomised and both and X.shape[1]:
        worst = float(np.abs(after).max())
        tell(
            "largest standardised difference, weighted",
            f"{worst:.2f}",
            f"{UNBALANCED:g} or less",
            worst <= UNBALANCED,
            f"weighting does not balance the arms: {whole.names_[int(np.abs(after).argmax())]} "
            f"still differs by {worst:.2f} standard deviations",
        )
        for name, side in ((estimand.reference.name, False), (estimand.alternative.name, True)):
            w = weight[kept & (treated == side)]
            effective = float(w.sum() ** 2 / (w**2).sum())
            tell(
                f"effective patients, {name}",
                f"{effective:.0f}",
                f"{estimand.min_arm} or more",
                effective >= estimand.min_arm,
                f"after weighting the arm {name} is worth {effective:.0f} patients; "
                f"{estimand.min_arm} are needed",
            )
    return DesignCheck(
        propensity=propensity,
        kept=kept,
        checks=pd.DataFrame(rows, columns=["check", "found", "expected", "passed"]),
        balance=pd.DataFrame(
            {
                "covariate": whole.names_,
                "standardised_difference": before,
                "weighted": before if randomised else after,
            }
        ),
        refusals=refusals,
    )


def _deciding(arms: Arms) -> list[str]:
    """Covariates of which every value of one arm lies beyond every value of the other."""
    found = []
    for name in arms.covariates:
        values = pd.to_numeric(arms.table[name], errors="coerce").to_numpy(float, na_value=np.nan)
        known = ~np.isnan(values)
        one, two = values[known & arms.treated], values[known & ~arms.treated]
        if one.size and two.size and (one.max() < two.min() or two.max() < one.min()):
            found.append(name)
    return found


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


def _randomisation_p(X: Floats, treated: Flags) -> float:
    """Likelihood ratio test that no covariate tells the arm; 1 where it cannot be made."""
    import warnings

    from scipy.stats import chi2
    from statsmodels.api import Logit

    keep = np.linalg.qr(np.column_stack([np.ones(len(X)), X]))[1] if X.size else np.zeros((1, 1))
    independent = np.abs(np.diag(keep)) > 1e-8 * len(X)
    columns = np.column_stack([np.ones(len(X)), X])[:, independent[: X.shape[1] + 1]]
    if columns.shape[1] < 2 or len(X) < 10 * columns.shape[1]:
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separation is what the test then finds
        try:
            fit = Logit(treated.astype(float), columns).fit(disp=0, maxiter=100)
        except np.linalg.LinAlgError:
            return 1.0
    return float(chi2.sf(2 * (fit.llf - fit.llnull), columns.shape[1] - 1))

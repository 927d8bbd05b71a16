"""What is compared with what: the `effect` section of a study file, and the patients it names.

ICH E9 (R1): population and treatments are the cohort's, the variable and its summary are stated
here; the strategy for what happens in between is treatment policy (as allocated, whatever came
after), and death is an event of both times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from stratify.arrays import Flags, Floats
from stratify.cohort.features import informative_features
from stratify.cohort.reading import Cohort
from stratify.errors import CohortError, DataError
from stratify.study import Study, all_faults
from stratify.tables.findings import shared_levels
from stratify.tables.strict import Place, Strict, Texts
from stratify.treatment.policy import Condition, marker_fault
from stratify.treatment.restricted_mean import unbiased_times

__all__ = ["OUTCOMES", "Arm", "Arms", "Estimand", "MarkerChoice", "read_arms"]


# outcome -> unit, words; a higher value is better for the patient
OUTCOMES = {
    "os": ("months", "overall survival"),
    "pfs": ("months", "progression-free survival"),
    "objective_response": ("share", "objective response"),
}
# Without these a comparison of patients who were not randomised says little.
CONFOUNDERS = ("age", "cancer_type", "ecog", "prior_systemic_therapy")


class Arm(Strict):
    """A treatment: its name in reports, and how the column of arms writes it.

    An empty text in `arms` stands for an empty cell.
    """

    name: Annotated[str, Field(min_length=1)]
    arms: Annotated[Texts, Field(min_length=1)]


class MarkerChoice(Condition):
    """A rule on one marker, valued beside the others: who meets it gets ``gives``."""

    name: str
    gives: Literal["alternative", "reference"] = "alternative"
    missing: Literal["alternative", "reference"] = "reference"

    def treats(self, table: pd.DataFrame) -> Flags:
        """Patients who get the alternative by the rule."""
        holds = self.holds(table).to_numpy(dtype=object)
        met = [self.gives == "alternative" if h else self.gives != "alternative" for h in holds]
        unknown = self.missing == "alternative"
        return np.array([unknown if h is None else m for h, m in zip(holds, met, strict=True)])


class Estimand(Strict):
    """The `effect` section of a study file.

    Attributes
    ----------
    alternative, reference : Arm
        The effect is that of the alternative against the reference (combination against
        monotherapy).
    column : {"arm", "regimen"}
    assignment : {"randomised", "observed"}
        How patients came to their arm.
    outcomes : list of {"os", "pfs", "objective_response"}
        The first is primary: the rules are learned and valued on it.
    horizon_months : float
        Horizon of the restricted mean survival time.
    covariates : list of str
        Baseline features for propensity and outcome models; by default all that are measured.
    confounders : list of str
        Without randomisation: what must be recorded for the comparison to be made at all.
    missing_response : {"left_out", "no_response"}
        A response that is not recorded: as in rates of all randomised patients it may count as
        none.
    score_trained_in : {"alternative", "reference"}
        Arm whose patients train the risk that is tested.
    rules : list of MarkerChoice
    min_arm : int
        Patients each arm must have.
    tree_depth : int
        Of the learned rule, 1 to 3.
    permutations : int
        Analyses with the treatment permuted, as a negative control; 0 for none.
    """

    alternative: Arm
    reference: Arm
    column: Literal["arm", "regimen"] = "arm"
    assignment: Literal["randomised", "observed"]
    outcomes: Annotated[list[Literal["os", "pfs", "objective_response"]], Field(min_length=1)] = [
        "pfs"
    ]
    horizon_months: Annotated[float, Field(gt=0)] = 12
    covariates: list[str] | None = None
    confounders: list[str] = list(CONFOUNDERS)
    missing_response: Literal["left_out", "no_response"] = "left_out"
    score_trained_in: Literal["alternative", "reference"] = "reference"
    rules: list[MarkerChoice] = []
    min_arm: Annotated[int, Field(ge=20)] = 30
    tree_depth: Annotated[int, Field(ge=1, le=3)] = 2
    permutations: Annotated[int, Field(ge=0, le=1000)] = 20

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Arms named on both sides, and covariates that are no baseline biomarkers."""
        sides = [data.get(side) for side in ("alternative", "reference")]
        named = [s.get("arms") if isinstance(s, dict) else None for s in sides]
        if all(isinstance(n, list) for n in named):
            for arm in sorted({str(x) for x in named[0]} & {str(x) for x in named[1]}):  # type: ignore[union-attr]
                yield ("reference", "arms"), f"{arm!r} stands in alternative too"
        for key in ("covariates", "confounders"):
            names = data.get(key)
            for name in names if isinstance(names, list) else []:
                if isinstance(name, str) and (fault := marker_fault(name, ("feature",))):
                    yield (key,), fault

    @classmethod
    def of(cls, study: Study) -> Estimand:
        """Read the section of a study file.

        Raises
        ------
        DataError
            If there is none, or anything in it is wrong; all faults are listed.
        """
        where = str(study.source or study.name)
        if study.effect is None:
            raise DataError(
                f"{where}: the study has no `effect` section; say which arms are compared, for "
                "example `effect: {assignment: randomised, alternative: {name: combination, arms: "
                "[A + B]}, reference: {name: monotherapy, arms: [A]}}`."
            )
        try:
            return cls.model_validate(study.effect)
        except ValidationError as error:
            raise DataError(f"{where}: {all_faults(error, 'effect section')}") from None


@dataclass(frozen=True, eq=False)
class Arms:
    """Patients of both arms, with what the analysis needs of them.

    Attributes
    ----------
    table : DataFrame of shape (n_patients, ...)
        As in the cohort; both arms, whoever has the primary outcome.
    treated : ndarray of shape (n_patients,)
        Whether the patient is in the alternative arm.
    covariates : list of str
    outcomes : dict of str to ndarray of shape (n_patients,)
        Per-patient outcomes whose mean is the arm's: months by the horizon (see
        :func:`stratify.treatment.restricted_mean.unbiased_times`), or 1 with response and 0
        without; NaN where not recorded.
    attrition : DataFrame
        step, reason, n.
    """

    estimand: Estimand
    table: pd.DataFrame
    treated: Flags
    covariates: list[str]
    outcomes: dict[str, Floats]
    attrition: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @property
    def primary(self) -> str:
        """Name of the primary outcome."""
        return self.estimand.outcomes[0]

    def sizes(self) -> dict[str, int]:
        """Patients by arm name."""
        names = (self.estimand.reference.name, self.estimand.alternative.name)
        return {name: int((self.treated == side).sum()) for side, name in enumerate(names)}


def read_arms(cohort: Cohort, estimand: Estimand) -> Arms:
    """Patients of the two arms of a cohort.

    Parameters
    ----------
    cohort : Cohort
        Read with ``eligible_only=False``.
    estimand : Estimand

    Raises
    ------
    CohortError
        If an arm has nobody, or an outcome is not recorded for anybody; everything is told.
    """
    table, column = cohort.table, estimand.column
    faults = []
    if column not in table or table[column].isna().all():
        raise CohortError(
            f"The column {column} tells no arms; map it in the clinical panel, for example "
            f"`{column}: TRT01P`."
        )
    values = table[column].astype(object).map(str, na_action="ignore").fillna("")
    found = set(values)
    shown = shared_levels(sorted(values))  # a text of one patient may be an identifier
    sides, absent_arms = {}, False
    for name in ("reference", "alternative"):
        arm: Arm = getattr(estimand, name)
        sides[name] = values.isin(arm.arms).to_numpy()
        if absent := [x for x in arm.arms if x not in found]:
            absent_arms = True
            faults.append(
                f"{name}: {', '.join(map(repr, absent))} stands nowhere in {column}, which holds "
                f"{shown}"
            )
    for outcome in estimand.outcomes:
        needed = [outcome] if outcome == "objective_response" else [outcome, f"{outcome}_event"]
        if outcome == "objective_response" and "best_response" in table:
            needed = []
        lacking = [n for n in needed if n not in table or table[n].isna().all()]
        if lacking:
            faults.append(f"outcomes: {outcome} needs {', '.join(lacking)}, which is not recorded")
    if faults:
        one = len(found) == 1
        raise CohortError(
            "The arms cannot be compared. "
            + "; ".join(faults)
            + "."
            + (" One arm only: an effect is never estimated from one arm." if one else "")
            + (f" Write `arms` as the column {column} does, or map it." if absent_arms else "")
        )
    steps = [("read", "", len(table))]
    either = sides["reference"] | sides["alternative"]
    steps += [("other_arm", "", int((~either).sum()))]
    part = table[either].reset_index(drop=True)
    treated = sides["alternative"][either]
    outcome = estimand.outcomes[0]
    known = ~np.isnan(_raw(part, outcome))
    steps += [
        ("no_primary_outcome", outcome, int((~known).sum())),
        ("compared", "", int(known.sum())),
    ]
    part, treated = part[known].reset_index(drop=True), treated[known]
    covariates = [
        name
        for name in informative_features(cohort, estimand.covariates)
        if name in part and len(part[name].dropna().unique()) > 1
    ]
    faults = [
        f"{arm.name} has no patient"
        for arm, side in ((estimand.reference, False), (estimand.alternative, True))
        if not (treated == side).any()
    ]
    if faults:
        raise CohortError(
            f"One arm only: {'; '.join(faults)}. An effect is never estimated from one arm."
        )
    return Arms(
        estimand=estimand,
        table=part,
        treated=treated,
        covariates=covariates,
        outcomes={name: _per_patient(part, treated, name, estimand) for name in estimand.outcomes},
        attrition=pd.DataFrame(steps, columns=["step", "reason", "n"]),
    )


def _raw(table: pd.DataFrame, outcome: str) -> Floats:
    """Outcome as recorded; for a time NaN too where its event is not known."""
    if outcome == "objective_response":
        return _response(table)
    time = pd.to_numeric(table[outcome]).to_numpy(dtype=float, na_value=np.nan)
    return np.where(table[f"{outcome}_event"].isna(), np.nan, time)


def _response(table: pd.DataFrame) -> Floats:
    """1 with CR or PR, 0 without (NE too, as in an intention-to-treat rate), NaN not recorded."""
    result = np.full(len(table), np.nan)
    if "best_response" in table:
        best = table["best_response"]
        result = np.where(best.notna(), best.isin(["CR", "PR"]).astype(float), np.nan)
    if "objective_response" in table:
        stated = table["objective_response"].to_numpy(dtype=float, na_value=np.nan)
        result = np.where(np.isnan(result), stated, result)
    return result


def _per_patient(table: pd.DataFrame, treated: Flags, outcome: str, estimand: Estimand) -> Floats:
    raw = _raw(table, outcome)
    if outcome == "objective_response":
        filled = estimand.missing_response == "no_response"
        return np.where(np.isnan(raw), 0.0, raw) if filled else raw
    event = table[f"{outcome}_event"].to_numpy(dtype=float, na_value=np.nan)
    result = np.full(len(table), np.nan)
    for side in (False, True):
        rows = (treated == side) & ~np.isnan(raw)
        if rows.any():
            result[rows] = unbiased_times(raw[rows], event[rows], estimand.horizon_months)
    return result

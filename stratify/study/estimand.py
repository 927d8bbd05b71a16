"""What is compared with what: the `effect` section of a study file.

ICH E9 (R1): population and treatments are the cohort's, the variable and its summary are stated
here; the strategy for what happens in between is treatment policy (as allocated, whatever came
after), and death is an event of both times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from stratify.arrays import Flags
from stratify.study.conditions import Biomarker, Condition, Marker, NamedColumn
from stratify.tables.strict import Place, Strict, Texts, list_of, mapping_of

__all__ = ["OUTCOMES", "Arm", "Estimand", "MarkerChoice"]


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
    strata : list of str
        Columns within whose levels, beside the cohorts', arms are compared: ``site``, or what a
        randomisation was stratified by.
    min_at_risk : int
        Patients of each arm who must be followed to the horizon.
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
    strata: list[Marker] = []
    min_at_risk: Annotated[int, Field(ge=5)] = 10
    covariates: list[Biomarker] | None = None
    confounders: list[Biomarker] = list(CONFOUNDERS)
    missing_response: Literal["left_out", "no_response"] = "left_out"
    score_trained_in: Literal["alternative", "reference"] = "reference"
    rules: list[MarkerChoice] = []
    min_arm: Annotated[int, Field(ge=20)] = 30
    tree_depth: Annotated[int, Field(ge=1, le=3)] = 2
    permutations: Annotated[int, Field(ge=0, le=1000)] = 20

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Arms named on both sides."""
        arms = [
            {str(arm) for arm in list_of(mapping_of(data.get(side)).get("arms"))}
            for side in ("alternative", "reference")
        ]
        for arm in sorted(arms[0] & arms[1]):
            yield ("reference", "arms"), f"{arm!r} stands in alternative too"
        if (column := data.get("column", "arm")) in list_of(data.get("strata")):
            yield ("strata",), f"{column} is the column of the arms"

    def named(self) -> Iterator[NamedColumn]:
        """Every column that the section names, by its place."""
        yield NamedColumn(("column",), self.column, required=True)
        for key in ("covariates", "confounders", "strata"):
            stated = getattr(self, key) if key in self.model_fields_set else None
            for i, name in enumerate(stated or []):
                yield NamedColumn((key, i), name)
        for i, rule in enumerate(self.rules):
            yield NamedColumn(("rules", i, "marker"), rule.marker, required=True)

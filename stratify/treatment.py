"""Monotherapy, combination or refer: triage of a prognostic risk by a stated policy.

A high risk under anti-PD-(L)1 monotherapy does not show that a combination helps; the evidence
class is C1 (prognostic). Thresholds come from the user's policy, with their source: there is no
default. Without a policy every patient is referred.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from stratify.errors import ArgumentError, DataError
from stratify.tables.schema import field_named
from stratify.tables.tabular import read_mapping

__all__ = ["EVIDENCE_CLASS", "Policy", "triage"]

EVIDENCE_CLASS = "C1"
NO_POLICY = "No policy was given: the risk is stated, the decision is referred."
MIXED = (
    "The model was trained on mixed regimens; it states no risk under monotherapy and gives no "
    "recommendation."
)
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


class Policy(BaseModel):
    """Thresholds of the risk and markers that must be known, with their source.

    Attributes
    ----------
    name, version, source : str
        The source says where the thresholds come from; it is required.
    monotherapy_below : float
        A risk whose whole interval lies below speaks for monotherapy.
    combination_from : float
        A risk whose whole interval lies at or above speaks for combination.
    required_markers : list of str
        Features without which the decision is referred.
    refer_flags : list of str
        Flags of the scores with which it is referred; by default those of a patient to whom the
        model may not apply: unlike the training patients, of a category or with panels together
        that training never saw.

    Examples
    --------
    >>> policy = Policy(name="example", version="1", source="illustration only",
    ...                 monotherapy_below=0.4, combination_from=0.7)
    >>> policy.required_markers
    []
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    source: Annotated[str, Field(min_length=3)]
    monotherapy_below: Share
    combination_from: Share
    required_markers: list[str] = []
    refer_flags: list[Caution] = ["unseen_category", "far_from_training", "unseen_panel_pattern"]

    # Checks of single fields, so that one fault does not hide another.
    @field_validator("combination_from")
    @classmethod
    def _ordered(cls, combination_from: float, known: ValidationInfo) -> float:
        monotherapy_below = known.data.get("monotherapy_below")
        if monotherapy_below is not None and monotherapy_below > combination_from:
            raise ValueError(
                f"monotherapy_below ({monotherapy_below}) must not exceed combination_from "
                f"({combination_from})"
            )
        return combination_from

    @field_validator("required_markers")
    @classmethod
    def _biomarkers(cls, names: list[str]) -> list[str]:
        faults = []
        for name in names:
            try:
                if field_named(name).role != "feature":
                    faults.append(f"{name} is no biomarker")
            except ArgumentError as error:
                faults.append(str(error).removesuffix("."))
        if faults:
            raise ValueError("; ".join(faults))
        return names

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
        where = "policy"
        document: Any = source
        if not isinstance(source, dict):
            path = (folder or Path()) / source
            where = str(path)
            document = read_mapping(path, "policy file")
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'policy'}: "
                + item["msg"].removeprefix("Value error, ")
                for item in error.errors(include_url=False, include_input=False)
            )
            raise DataError(f"{where}: {faults}.") from None


def triage(
    risk: pd.DataFrame,
    markers: pd.DataFrame,
    policy: Policy | None,
    *,
    mixed_regimens: bool,
    flags: pd.Series | None = None,
) -> pd.DataFrame:
    """Recommendation and reason for each patient.

    Parameters
    ----------
    risk : DataFrame of shape (n_patients, 3)
        ``risk``, ``risk_low``, ``risk_high`` under anti-PD-(L)1 monotherapy, 0 to 1.
    markers : DataFrame of shape (n_patients, ...)
        Features by canonical name, missing where not measured.
    policy : Policy or None
        Without one, everybody is referred.
    mixed_regimens : bool
        Whether the model was trained on other regimens too; then there is no recommendation.
    flags : Series of shape (n_patients,), optional
        Flags of each patient, separated by semicolons; those of the policy's `refer_flags` refer.

    Returns
    -------
    DataFrame of shape (n_patients, 3)
        ``recommendation`` (``monotherapy | combination | refer``, missing for mixed regimens),
        ``reason``, ``evidence_class``.

    Notes
    -----
    A missing required marker refers, then a flag that the policy names, then an interval that
    crosses a threshold. With the same interval width on the log-odds scale, a higher risk never
    moves combination to monotherapy.

    Examples
    --------
    >>> risk = pd.DataFrame({"risk": [0.2, 0.8, 0.5], "risk_low": [0.1, 0.75, 0.3],
    ...                      "risk_high": [0.3, 0.9, 0.8]})
    >>> policy = Policy(name="example", version="1", source="illustration only",
    ...                 monotherapy_below=0.4, combination_from=0.7)
    >>> triage(risk, pd.DataFrame(index=risk.index), policy, mixed_regimens=False)[
    ...     "recommendation"].tolist()
    ['monotherapy', 'combination', 'refer']
    """
    index = risk.index
    if mixed_regimens:
        return _decisions(index, np.full(len(index), None, dtype=object), MIXED)
    if policy is None:
        return _decisions(index, np.full(len(index), "refer", dtype=object), NO_POLICY)
    below, above = policy.monotherapy_below, policy.combination_from
    missing = np.full(len(index), "", dtype=object)
    for name in policy.required_markers:
        absent = (
            markers[name].isna().to_numpy() if name in markers else np.ones(len(index), dtype=bool)
        )
        missing[absent] = [f"{m}, {name}" if m else name for m in missing[absent]]
    low, high = risk["risk_low"].to_numpy(), risk["risk_high"].to_numpy()
    point = risk["risk"].to_numpy()
    rule = f"policy {policy.name} {policy.version}"
    lacking = missing != ""
    cautions = np.full(len(index), "", dtype=object)
    if flags is not None:
        named = [[f for f in told.split(";") if f in policy.refer_flags] for told in flags]
        cautions[:] = [", ".join(each) for each in named]
    cautious = (cautions != "") & ~lacking
    mono, combination = high < below, low >= above
    between = (point >= below) & (point < above)
    recommendation = np.select(
        [lacking | cautious, mono, combination], ["refer", "monotherapy", "combination"], "refer"
    )
    reason = np.select(
        [mono, combination, between],
        [
            f"The whole interval of the risk lies below {below:g} ({rule}).",
            f"The whole interval of the risk lies at or above {above:g} ({rule}).",
            f"The risk lies between {below:g} and {above:g} ({rule}).",
        ],
        f"The interval of the risk crosses a threshold ({below:g} or {above:g}; {rule}).",
    ).astype(object)
    reason[cautious] = [
        f"The model may not apply to the patient: {c} ({rule})." for c in cautions[cautious]
    ]
    reason[lacking] = [f"Required markers are missing: {m} ({rule})." for m in missing[lacking]]
    return _decisions(index, recommendation.astype(object), reason)


def _decisions(index: pd.Index, recommendation: Any, reason: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "recommendation": pd.Series(recommendation, index=index, dtype=object),
            "reason": pd.Series(reason, index=index, dtype=object),
            "evidence_class": EVIDENCE_CLASS,
        },
        index=index,
    )

"""The cancer-immunity cycle as data: which feature belongs to which step, and what follows.

Read from ``data_schemas/cycle.yaml``, which clinicians review. The assignment is a curated
hypothesis; it explains a model, not a tumour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from stratify.tables.documents import document
from stratify.tables.schema import field_named

__all__ = [
    "Assignment",
    "Cycle",
    "CycleCondition",
    "Marker",
    "Partner",
    "Step",
    "cycle",
]

Evidence = Literal["A", "B", "C", "none"]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(_Entry):
    """A step of the cycle (numbered), or what acts on it from outside."""

    id: str
    number: int | None = None
    title: str
    question: str


class Mechanism(_Entry):
    """A mechanism of resistance."""

    title: str
    meaning: str


class Assignment(_Entry):
    """Where a feature belongs.

    Attributes
    ----------
    feature : str
        Name, or a pattern with ``*``.
    step, mechanism : str
        Main step and mechanism; `also` names further steps.
    direction : int
        +1 where more goes with more resistance, -1 with less, 0 where that depends.
    evidence : {"A", "B", "C", "none"}
    prognostic : str
        ``P`` also without ICI, ``Pr`` some interaction with treatment, ``P/Pr`` mixed.
    by_panel : bool
        Whether only the panel said so.
    """

    feature: str
    step: str
    mechanism: str
    direction: Literal[-1, 0, 1]
    evidence: Evidence
    also: list[str] = []
    prognostic: str = ""
    note: str = ""
    source: str = ""
    by_panel: bool = False


class CycleCondition(_Entry):
    """What a marker has to be: below a value, or equal to one."""

    feature: str
    below: float | None = None
    equals: float | None = None

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it holds; never where the marker is missing.

        Examples
        --------
        >>> CycleCondition(feature="pdl1_tps", below=1).holds({"pdl1_tps": 0.0})
        True
        >>> CycleCondition(feature="pdl1_tps", below=1).holds({"pdl1_tps": float("nan")})
        False
        """
        value = values.get(self.feature)
        if not isinstance(value, (int, float)) or value != value:
            return False
        return value < self.below if self.below is not None else value == self.equals


class Partner(_Entry):
    """A partner class, when it is worth discussing, and the evidence on both sides."""

    id: str
    title: str
    advice: Literal["discuss", "trial", "do_not_suggest"]
    strength: Literal["A", "B", "C"]
    steps: list[str] = []
    markers: list[CycleCondition] = []
    unless: list[CycleCondition] = []
    cancer_types: list[str] = []
    evidence_for: list[str]
    evidence_against: list[str]
    caution: str


class Marker(_Entry):
    """How a marker separates cold from hot: by a level, by a cut-off, or by thirds."""

    feature: str
    hot: str | float | None = None
    cold: str | float | None = None
    excluded: str | None = None
    thirds: bool = False
    status: str = ""


class State(_Entry):
    """A named state of a patient, for the question what the risk would be in it."""

    title: str
    values: dict[str, float | str]


class _Leading(_Entry):
    least: float
    apart: float


class _SharedCredit(_Entry):
    steps: list[str]
    features: list[str]


class _Inflammation(_Entry):
    spatial: list[Marker]
    bulk: list[Marker]
    proxy: list[Marker]
    excluding: list[Marker]
    states: dict[str, str]


class Cycle(_Entry):
    """Everything ``data_schemas/cycle.yaml`` says.

    Examples
    --------
    >>> cycle().assignment("tmb").step, cycle().assignment("albumin").step
    ('release', 'host')
    >>> [step.title for step in cycle().numbered][:2]
    ['Antigen release', 'Antigen presentation']
    """

    name: str
    version: str
    dated: str
    title: str
    source: str
    steps: list[Step]
    mechanisms: dict[str, Mechanism]
    features: list[Assignment]
    panels: dict[str, str]
    shared_credit: list[_SharedCredit]
    leading: _Leading
    wording: dict[str, str]
    inflammation: _Inflammation
    partners: list[Partner]
    what_if: list[State]

    @property
    def numbered(self) -> list[Step]:
        """Steps of the cycle proper."""
        return [step for step in self.steps if step.number is not None]

    def step(self, name: str) -> Step:
        """Step by its id."""
        return next(step for step in self.steps if step.id == name)

    def assignment(self, feature: str) -> Assignment:
        """Where a feature belongs: by its entry, else by its panel."""
        for entry in self.features:
            if fnmatchcase(feature, entry.feature):
                return entry
        step = self.panels.get(field_named(feature).panel, "unmapped")
        return Assignment(
            feature=feature,
            step=step,
            mechanism="none",
            direction=0,
            evidence="none",
            by_panel=True,
        )

    def steps_of(self, features: Iterable[str]) -> dict[str, str]:
        """Step by feature."""
        return {name: self.assignment(name).step for name in features}

    def share_credit(self, one: str, other: str, features: Iterable[str]) -> bool:
        """Whether markers of two steps share credit, so that the steps cannot be separated.

        Examples
        --------
        >>> cycle().share_credit("infiltration", "killing", ["cd8_density", "pdl1_tps"])
        True
        >>> cycle().share_credit("infiltration", "release", ["cd8_density", "tmb"])
        False
        """
        names = list(features)
        for group in self.shared_credit:
            shared = [
                n for n in names if any(fnmatchcase(n, pattern) for pattern in group.features)
            ]
            if {one, other} == set(group.steps) <= set(self.steps_of(shared).values()):
                return True
        return False


@cache
def cycle() -> Cycle:
    """Read the cycle."""
    stated = document("cycle")
    partners = [
        {{"for": "evidence_for", "against": "evidence_against"}.get(k, k): v for k, v in p.items()}
        for p in stated["partners"]
    ]
    return Cycle.model_validate({**stated, "partners": partners})

"""Columns that follow from other columns of the same patient: the protocol, and how they are added.

A derivation is one object. It is used alike wherever patients come from: the files of a study, a
table, a batch of a registry or a request, of one patient or of a million.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy.typing as npt
import pandas as pd

from stratify.biomarkers.reported import merged
from stratify.biomarkers.tmb_scale import WithinAssayScale
from stratify.errors import StratifyError
from stratify.tables.findings import Findings
from stratify.tables.measurements import Pdl1Rule
from stratify.tables.schema import field_named

__all__ = [
    "Columns",
    "Derivation",
    "DerivationFault",
    "DerivationRules",
    "derive",
    "in_order",
    "inputs_of",
    "with_derivations",
]

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class DerivationRules:
    """What derivations depend on besides the patient's own values.

    Attributes
    ----------
    pdl1 : Pdl1Rule
    assays : mapping of str to str
        Assay by column, for patients without one of their own.
    tmb_scale : WithinAssayScale or None
        Learned on training patients.
    """

    pdl1: Pdl1Rule = field(default_factory=Pdl1Rule)
    assays: Mapping[str, str] = field(default_factory=dict)
    tmb_scale: WithinAssayScale | None = None


class DerivationFault(NamedTuple):
    """What a derivation finds wrong or doubtful: a code of the findings, a column, n, a text."""

    code: str
    column: str
    n: int
    message: str


class Derivation(Protocol):
    """Columns that follow from a patient's own other columns.

    Attributes
    ----------
    name : str
        Name, one of a kind.
    source : str
        From what the columns follow, for messages: "blood counts".
    needs : tuple of str
        Columns that must be there; values may be missing.
    gives : tuple of str
        Columns of the dictionaries.
    uses : tuple of str
        Columns that it looks at where they are there.
    replaces : bool
        Whether its values take the place of reported ones; otherwise they fill gaps.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def needs(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def uses(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def gives(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def replaces(self) -> bool: ...  # noqa: D102

    def derive(self, columns: Columns, rules: DerivationRules) -> Columns:
        """Columns of `gives`, as far as they follow.

        Parameters
        ----------
        columns : mapping of str to ndarray of shape (n_patients,)
            Those of `needs`, and others; numbers and yes/no as float64, NaN where missing, levels
            as objects, None or NaN where missing; in the units of the dictionaries.
        rules : DerivationRules

        Returns
        -------
        mapping of str to ndarray of shape (n_patients,)
        """

    def faults(self, columns: Columns, rules: DerivationRules) -> Iterable[DerivationFault]:
        """Report what is wrong or doubtful about its inputs."""


def derive(
    columns: Columns,
    derivations: Sequence[Derivation],
    rules: DerivationRules,
    *,
    cohort: str = "",
    findings: Findings | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Columns that are new, or have gaps filled.

    Parameters
    ----------
    columns : mapping of str to ndarray of shape (n_patients,)
        As for :meth:`Derivation.derive`; not modified.
    findings : Findings, optional
        Collector of everything wrong or doubtful; by default nothing is reported.

    Returns
    -------
    dict of str to ndarray of shape (n_patients,)
    """
    known = dict(columns)
    changed: dict[str, npt.NDArray[Any]] = {}
    reported: set[DerivationFault] = set()
    for each in derivations:
        if not all(name in known for name in each.needs):
            continue
        if findings is not None:
            for fault in each.faults(known, rules):
                if fault not in reported:
                    reported.add(fault)
                    code, column, n, text = fault
                    panel = field_named(column).panel
                    findings.add(code, text, cohort=cohort, panel=panel, column=column, n=n)
        for name, values in each.derive(known, rules).items():
            if name in known and not each.replaces:
                values = merged(name, known[name], values, each.source, cohort, findings)
                if values is known[name]:
                    continue
            known[name] = changed[name] = values
    return changed


def with_derivations(
    table: pd.DataFrame,
    derivations: Sequence[Derivation],
    rules: DerivationRules,
    cohort: str,
    findings: Findings | None,
) -> pd.DataFrame:
    """Patients with derived columns; as :func:`derive`, from table to table."""
    wanted = {name for each in derivations for name in (*each.needs, *each.gives, *each.uses)}
    columns = {
        str(name): table[name].to_numpy(
            float if field_named(str(name)).dtype == "float64" else object
        )
        for name in table
        if name in wanted
    }
    changed = derive(columns, derivations, rules, cohort=cohort, findings=findings)
    return table.assign(**changed) if changed else table


def in_order(derivations: Iterable[Derivation]) -> tuple[Derivation, ...]:
    """Order derivations so that each finds what others give; else as they are given."""
    waiting = list(derivations)
    givers: dict[str, str] = {}
    for each in waiting:
        for name in () if each.replaces else each.gives:
            if name in givers:
                raise StratifyError(
                    f"The derivations {givers[name]} and {each.name} both give {name}."
                )
            givers[name] = each.name
    ordered: list[Derivation] = []
    while waiting:
        given = {name for each in waiting for name in each.gives}
        ready = [
            each for each in waiting if not (given - set(each.gives)) & {*each.needs, *each.uses}
        ]
        if not ready:
            names = ", ".join(each.name for each in waiting)
            raise StratifyError(f"The derivations {names} rest on each other.")
        ordered.append(ready[0])
        waiting.remove(ready[0])
    return tuple(ordered)


def inputs_of(
    features: Collection[str], derivations: Sequence[Derivation]
) -> tuple[list[Derivation], list[str]]:
    """Find what leads to some features: derivations, and every column that these need."""
    wanted = dict.fromkeys(features)
    used: list[Derivation] = []
    for each in reversed(derivations):
        if any(name in wanted for name in each.gives):
            used.insert(0, each)
            wanted |= dict.fromkeys((*each.needs, *each.gives, *each.uses))
    return used, list(wanted)

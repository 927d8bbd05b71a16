"""References that are known: those of this package, then those of installed ones."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from stratify.extensions import by_name
from stratify.references.equations import Equation
from stratify.references.logistic import LogisticReference
from stratify.references.markers import SingleMarker
from stratify.references.protocol import Reference
from stratify.references.rf16 import Rf16
from stratify.tables.documents import document

__all__ = ["headline", "plain_logistic", "references"]


@cache
def references() -> dict[str, Reference]:
    """Every reference by its name, in the order of the tables.

    Examples
    --------
    >>> references()["tmb10"].title
    'TMB below 10 mut/Mb'
    """
    return by_name("stratify.references", _own())


def headline() -> dict[str, str]:
    """Short names of the references whose difference heads the summary of a run."""
    return dict(document("references")["headline"])


def plain_logistic() -> LogisticReference:
    """Logistic regression on the same features: the plain model of every comparison."""
    return LogisticReference("logistic", "Logistic regression, same features", "refitted")


def _own() -> Iterator[Reference]:
    written = document("references")
    equations = [Equation(name, **entry) for name, entry in written["equations"].items()]
    yield from equations
    for name, entry in written["markers"].items():
        yield SingleMarker(name, **entry)
    yield plain_logistic()
    yield LogisticReference(
        "logistic_loris",
        "Logistic regression, LORIS inputs",
        "refitted on the training patients with the inputs of Chang 2024",
        inputs=equations[0].needs,
        least=4,
    )
    yield Rf16()

"""Every derivation there is: those of this package, and those of other packages."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from stratify.biomarkers import event_times, pdl1, tmb
from stratify.biomarkers.clinical import indices
from stratify.biomarkers.derivation import Derivation, in_order
from stratify.extensions import by_name

__all__ = ["derivations", "resting_on"]


@cache
def derivations() -> tuple[Derivation, ...]:
    """Give every derivation, in an order in which each finds what others give.

    Examples
    --------
    >>> [each.name for each in derivations()][:3]
    ['nlr', 'dnlr', 'plr']
    """
    own: list[Derivation] = [*indices(), *event_times.SURVIVAL]
    own += [pdl1.ReportedPdl1(), pdl1.OneClone(), *map(pdl1.Tier, pdl1.METHODS)]
    own += [*tmb.TRANSFORMS, tmb.WithinPanel()]
    return in_order(by_name("stratify.derivations", own).values())


def resting_on(names: Collection[str]) -> list[Derivation]:
    """Find derivations that give some columns or rest on them, through others too.

    Examples
    --------
    >>> [each.name for each in resting_on({"dnlr"})]
    ['dnlr', 'lipi']
    """
    reached, found = set(names), []
    for each in derivations():
        if reached & {*each.needs, *each.uses, *each.gives}:
            reached |= set(each.gives)
            found.append(each)
    return found

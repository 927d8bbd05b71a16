"""Objects and data that other packages add to those of this one, by entry points.

A package adds an object by naming it in its ``pyproject.toml``, for example::

    [project.entry-points."stratify.references"]
    our_score = "our_package:our_score"

Groups are ``stratify.derivations``, ``stratify.references``, ``stratify.exports``,
``stratify.endpoints`` and ``stratify.figures``; the protocol of each stands where its objects do.
A package with data alone names itself in the group ``stratify.data``. See ``docs/recipes/``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import distributions, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeVar

from stratify.errors import StratifyError

__all__ = ["Named", "by_name", "data_folders"]


class Named(Protocol):
    """Anything that is found by its name."""

    @property
    def name(self) -> str:
        """Name, one of a kind."""


T = TypeVar("T", bound=Named)


def by_name(group: str, own: Iterable[T]) -> dict[str, T]:
    """Objects of a group by name: the given ones, then those of installed packages.

    Parameters
    ----------
    group : str
        Group of entry points.
    own : iterable of objects with a name
        Objects of this package, in their order.

    Returns
    -------
    dict of str to object

    Raises
    ------
    StratifyError
        If an entry point cannot be loaded, its object has no name, or a name is taken.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> list(by_name("stratify.none", [SimpleNamespace(name="loris")]))
    ['loris']
    """
    found = {each.name: each for each in own}
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            added: T = point.load()
            name = added.name
        except Exception as error:  # whatever another package does when it is imported
            raise StratifyError(
                f"The entry point {point.name} ({point.value}) of the group {group} cannot be "
                f"loaded: {type(error).__name__}. Correct or uninstall the package that names it."
            ) from error
        if name in found:
            raise StratifyError(
                f"The entry point {point.name} ({point.value}) of the group {group} is named "
                f"{name}, which is taken. Rename it, or uninstall the package that names it."
            )
        found[name] = added
    return found


@cache
def data_folders() -> dict[str, Path]:
    """Find the folders ``data_schemas`` of the packages that name a group, by package."""
    points = {point for installed in distributions() for point in installed.entry_points}
    ours = (point.module for point in points if point.group.startswith("stratify."))
    found = {}
    for package in sorted({module.partition(".")[0] for module in ours}):
        spec = find_spec(package)
        for place in (spec and spec.submodule_search_locations) or ():
            if (folder := Path(place, "data_schemas")).is_dir():
                found[package] = folder
    return found

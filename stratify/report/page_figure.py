"""A figure of a page: one object that says where it stands, of what it is drawn, and how.

To add one, write in one file the function that draws it and a :class:`PageFigure` of it, and enter
that in the list of its page: ``COHORT_FIGURES``, ``ASSESSMENT_FIGURES`` or ``EXPLANATION_FIGURES``
of :mod:`stratify.report.card_figures`, ``EFFECT_FIGURES`` of :mod:`stratify.report.effect_figures`,
``LABEL_FIGURES`` of :mod:`stratify.report.label_report`, ``POLICY_FIGURES`` of
:mod:`stratify.report.policy_report`. A package adds one to the model card by
the entry-point group ``stratify.figures``. The page prints it at the end of its section, and its
words stand in ``data_schemas/words/`` by its name.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from stratify.report.figures import png
from stratify.report.text import TEXT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawn", "PageFigure", "Picture", "page_figure", "pictures"]

F = TypeVar("F")
_NONE: Mapping[str, Any] = MappingProxyType({})


class Drawn(NamedTuple):
    """What one picture of a figure is drawn of.

    Attributes
    ----------
    tables : tuple
        Positional arguments of the function that draws.
    words : mapping of str to str or number
        Fill in the title and the caption.
    ending : str
        Of the name, where a figure is drawn more than once.
    options : mapping
        Named arguments of the function that draws.
    """

    tables: tuple[Any, ...]
    words: Mapping[str, Any] = _NONE
    ending: str = ""
    options: Mapping[str, Any] = _NONE


@dataclass(frozen=True)
class PageFigure(Generic[F]):
    """A figure of a page.

    Attributes
    ----------
    name : str
        Of its files.
    section : str
        Section of the page in which it stands.
    title, caption : str
        With places in braces for the words of :class:`Drawn`.
    available : callable
        Takes what was found and gives what each picture is drawn of; none where it lacks that.
    draw : callable
        Takes tables and a ``title`` and gives a matplotlib figure.

    Examples
    --------
    >>> import pandas as pd
    >>> from stratify.report.figures import decision_curve
    >>> shown = PageFigure(
    ...     "benefit", "figures", "Net benefit, {where}", "By threshold.",
    ...     lambda curves: [Drawn((curves,), {"where": "Lung A"})] if len(curves) else [],
    ...     decision_curve,
    ... )
    >>> curves = pd.DataFrame({"model": "stratify", "threshold": [0.2, 0.5], "net_benefit": 0.1})
    >>> [(each.name, each.alt) for each in pictures([shown], curves)]
    [('benefit', 'Plot. Net benefit, Lung A')]
    >>> pictures([shown], curves.head(0))
    []
    """

    name: str
    section: str
    title: str
    caption: str
    available: Callable[[F], Iterable[Drawn]]
    draw: Callable[..., Figure]


def page_figure(
    words: Mapping[str, Any],
    name: str,
    section: str,
    available: Callable[[F], Iterable[Drawn]],
    draw: Callable[..., Figure],
) -> PageFigure[F]:
    """Make a figure whose title and caption stand by its name among the words of its page."""
    title, caption = words["titles"][name], words["captions"][name]
    return PageFigure(name, section, title, caption, available, draw)


@dataclass(frozen=True)
class Picture:
    """A figure drawn, with its place and its words; its PNG is made once, when it is wanted."""

    name: str
    section: str
    caption: str
    figure: Figure

    @cached_property
    def png(self) -> bytes:
        """The figure as a PNG image."""
        return png(self.figure)

    @property
    def data(self) -> str:
        """The image as text, for a page."""
        return b64encode(self.png).decode()

    @property
    def alt(self) -> str:
        """Words for readers who do not see it."""
        title = " ".join(self.figure.get_suptitle().replace(r"\$", "$").split())
        return str(TEXT["alt"].format(title or self.name.replace("_", " ")))


def pictures(figures: Iterable[PageFigure[F]], found: F) -> list[Picture]:
    """Draw the figures that are available, in their order."""
    return [
        Picture(
            f"{figure.name}_{of.ending}" if of.ending else figure.name,
            figure.section,
            figure.caption.format_map(of.words),
            figure.draw(*of.tables, title=figure.title.format_map(of.words), **of.options),
        )
        for figure in figures
        for of in figure.available(found)
    ]

"""Pathology reports of PD-L1 in words: a report is read only if all of it is understood.

A statement is a method with its value, an SP142 level, or a disjunction of levels. What is left
may be words, but no digit, comparison, percent sign, alternative or denial.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import NamedTuple

from stratify.tables.schema import field_named, pdl1_cutoffs

__all__ = ["METHODS", "Statement", "statements_in"]

METHODS = ("pdl1_tps", "pdl1_cps", "pdl1_tc", "pdl1_ic")
_N = r"(?<![\d.,])(\d+(?:[.,]\d+)?)\s?%?"
_ABOUT = r"(?:(?:ca\.?|circa|approx\.?|approximately|about|etwa|rund|~|≈)\s?)?"
_LOW = (
    r"(?:>=|=>|>|at least|more than|greater than(?: or equal to)?|over|mindestens|mehr als|"
    r"gr(?:ö|oe)sser(?: oder gleich| als)?|über)\s?"
)
_HIGH = (
    r"(?:<=|=<|<|less than(?: or equal to)?|below|up to|under|at most|weniger als|"
    r"kleiner(?: oder gleich| als)?|unter|bis zu|höchstens)\s?"
)
_JOIN = r"\s?(?:,|and|und|but|aber|to|bis|-|/|&)?\s?"
_OPEN = r"\s?(?:or (?:more|greater|higher)|and above|(?:oder|und) (?:mehr|höher|gr(?:ö|oe)sser)|\+)"
# how a value is written -> which of its numbers are the bounds; None is the end of the scale
_FORMS: tuple[tuple[str, tuple[int | None, int | None]], ...] = (
    (rf"{_LOW}{_N}{_JOIN}{_HIGH}{_N}", (0, 1)),
    (rf"{_HIGH}{_N}{_JOIN}{_LOW}{_N}", (1, 0)),
    (rf"(?:between|zwischen)\s?{_N}\s?(?:and|und|-)\s?{_N}", (0, 1)),
    (rf"{_ABOUT}{_N}\s?(?:-|to|bis)\s?(?:{_HIGH})?{_ABOUT}{_N}", (0, 1)),
    (rf"{_ABOUT}{_N}{_OPEN}", (0, None)),
    (rf"{_ABOUT}{_N}\s?(?:or (?:less|lower|smaller)|oder weniger)", (None, 0)),
    (rf"{_LOW}{_N}", (0, None)),
    (rf"{_HIGH}{_N}", (None, 0)),
    (rf"{_ABOUT}{_N}", (0, 0)),
)
_END = r"(?![\d%+]|[.,/]\d|\s?[%+])"
_BETWEEN = (
    r"(?:\s?(?:score|is|was|of|=|:|,|\(|\)|-|tumou?r|tumou?rzellen|cells?|expression|expressing|von|"
    r"ist|beträgt|liegt bei|bei|mit|positive?|negative?|positiv|negativ|vitalen?|viable|stained|"
    r"estimated|high|low|hoch|niedrig|strong|weak)(?![a-z]))*\s?"
)
_LEVEL = re.compile(r"\b(tc|ic)\s?([0-3](?:/[0-3])*\+?)(?![\d/]*\d|\s?%)")
_CELLS = re.compile(
    r"[<>]?=?\s?\d+\s?(?:viable |vital |vitale |stained )*"
    r"(?:tumou?r ?)?(?:cells|zellen|tumou?rzellen)\b"
)
_ASSAY = re.compile(
    r"\b(?:pharm ?dx|dako|agilent|ventana|roche|ihc|assay|clone|klon|antibody|antikörper|link ?48|"
    r"benchmark(?: ultra)?|test|kit)\b"
)
_LEFT = re.compile(
    r"[\d<>%~±≈]|\b(?:or|oder|not|no|kein\w*|nicht|either|bzw|vs|versus|cut-?off|heterogen\w*)\b"
)


class Statement(NamedTuple):
    """What a report states of one method, or of tumour or immune cells, whichever it is."""

    method: str
    low: float
    high: float


def _plain(text: str) -> str:
    """Text in one form of Unicode, small, with one kind of dash, space and comparison."""
    text = unicodedata.normalize("NFKC", text).casefold()
    for signs, plain in (("\u2010\u2011\u2012\u2013\u2014\u2212", "-"), ("≥⩾", ">="), ("≤⩽", "<=")):
        for sign in signs:
            text = text.replace(sign, plain)
    return " ".join(text.split())


@cache
def _labels(method: str) -> str:
    return "|".join(re.escape(label) for label in field_named(method).labels)


@cache
def _stated(method: str) -> tuple[tuple[re.Pattern[str], tuple[int | None, int | None]], ...]:
    """Forms of a method with its value, the label before and the label after it."""
    label = rf"\b(?:{_labels(method)})\b(?:\s?\((?:{_labels(method)})\))?"
    before = ((rf"{label}{_BETWEEN}(?:{form}){_END}\s?\)?", place) for form, place in _FORMS)
    after = ((rf"(?<![\w.,/])(?:{form})\s?\)?\s?{label}", place) for form, place in _FORMS)
    return tuple((re.compile(form), place) for form, place in (*before, *after))


def statements_in(
    report: str, clones: list[str], clone_forms: list[re.Pattern[str]]
) -> tuple[list[Statement], dict[str, bool], bool]:
    """Statements of a report, what its disjunctions say, and whether all of it is understood.

    Parameters
    ----------
    clones : list of str
        Clones that it names; levels without their unit are those of SP142.
    clone_forms : list of Pattern
        How clones are written; their digits are no values.

    Examples
    --------
    >>> statements_in("TPS ≥1% and <50%", [], [])
    ([Statement(method='pdl1_tps', low=1.0, high=50.0)], {}, True)
    >>> statements_in("TC3 or IC3", [], [])[:2]
    ([], {'pdl1_tc1_ic1': True, 'pdl1_tc3_ic3': True})
    >>> statements_in("TPS 60 %, cut-off 50 %", [], [])[2]
    False
    """
    text = _plain(report)
    for form in clone_forms:
        text = form.sub(" ", text)
    text = _ASSAY.sub(" ", _CELLS.sub(" ", re.sub(r"pd[- ]?l ?1", " ", text)))
    text = " ".join(re.sub(r"\(\s*\)", " ", text).split())
    text, either = _disjunctions(text)
    found: list[Statement] = []
    text, levels, known = _levels(text)
    found += levels
    for method in METHODS:
        for form, (first, last) in _stated(method):
            while (match := form.search(text)) is not None:
                numbers = [float(x.replace(",", ".")) for x in match.groups()]
                low = 0.0 if first is None else numbers[first]
                high = 100.0 if last is None else numbers[last]
                bare = method in ("pdl1_tc", "pdl1_ic") and "%" not in match[0]
                if bare and low == high and low in (0, 1, 2, 3):
                    level = f"{method[-2:]}{low:g}".upper()
                    bounds = pdl1_cutoffs()["levels"][method].get(level)
                    known &= clones == ["SP142"] and bounds is not None
                    low, high = map(float, bounds or (low, high))
                found.append(Statement(method, low, high))
                text = f"{text[: match.start()]} | {text[match.end() :]}"
    return found, either, known and _LEFT.search(text) is None


def _disjunctions(text: str) -> tuple[str, dict[str, bool]]:
    """Take out ``TC3 or IC3``: neither is known, but that one of both holds."""
    either: dict[str, bool] = {}
    pair = re.compile(rf"{_LEVEL.pattern}\s?(?:or|oder)\s?{_LEVEL.pattern}")
    while (match := pair.search(text)) is not None:
        if match[1] == match[3]:  # TC2 or TC3 is a level of one kind; it stays, and is told
            break
        least = min(min(map(int, re.findall(r"\d", match[k]))) for k in (2, 4))
        both_highest = match[2] == match[4] == "3"
        either |= {"pdl1_tc1_ic1": True} if least >= 1 else {}
        either |= {"pdl1_tc3_ic3": True} if both_highest else {}
        if least < 1:
            break
        text = f"{text[: match.start()]} | {text[match.end() :]}"
    return text, either


def _levels(text: str) -> tuple[str, list[Statement], bool]:
    """Take out SP142 levels; one that is not on file is not understood."""
    found, known = [], True
    levels = pdl1_cutoffs()["levels"]
    for match in list(_LEVEL.finditer(text))[::-1]:
        if re.search(r"\s", match[0]):  # "IC 2" may be a percentage
            continue
        method, level = f"pdl1_{match[1]}", f"{match[1]}{match[2]}".upper()
        bounds = levels[method].get(level)
        known &= bounds is not None
        if bounds is not None:
            found.append(Statement(method, float(bounds[0]), float(bounds[1])))
        text = f"{text[: match.start()]} | {text[match.end() :]}"
    return text, found[::-1], known

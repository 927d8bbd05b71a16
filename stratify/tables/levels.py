"""Texts of levels, compared as they are meant and not as they are typed."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["plain_text"]

_PRIMES = str.maketrans("\u2032\u2019\u2018\u00b4`", "'" * 5)


def plain_text(text: str) -> str:
    """Text of a level without case and Unicode form; spaces, underscores and dashes are all alike.

    Examples
    --------
    >>> plain_text(" Stable_Disease"), plain_text("NON–CR / Non PD")
    ('stable disease', 'non cr/non pd')
    >>> plain_text("3\u2032UTR"), plain_text("Me\u0301lanome") == plain_text("Mélanome")
    ("3'utr", True)
    """
    text = unicodedata.normalize("NFKC", text.translate(_PRIMES)).casefold()
    return re.sub(r" ?/ ?", "/", re.sub(r"[\s_\u2010-\u2015\u2212-]+", " ", text)).strip()

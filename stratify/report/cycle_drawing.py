"""The resistance profile drawn on the cancer-immunity cycle: where each step stands, as data.

The template turns it into inline SVG. Raised and lowered steps differ by mark and outline, not only
by colour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from stratify.interpretation.cycle import cycle
from stratify.report.figures import estimate
from stratify.report.text import PATIENT

__all__ = ["drawn_cycle"]

_CENTRE, _RADIUS, _NODE = (300, 190), 118, 27
_SHOWN = 0.005  # log-odds below which a step neither raises nor lowers


def drawn_cycle(profile: pd.DataFrame, leading: str, second: str) -> dict[str, Any]:
    """Places, marks and words of the drawing.

    Examples
    --------
    >>> profile = pd.DataFrame({"step": ["release", "host"], "contribution": [0.31, None]})
    >>> drawing = drawn_cycle(profile, "release", "")
    >>> [(n["title"], n["text"], n["look"]) for n in drawing["nodes"]][:2]
    [('Antigen release', '▲ 0.31', 'raises'), ('Antigen presentation', 'not assessed', 'open')]
    """
    values = dict(zip(profile["step"], profile["contribution"], strict=True))
    nodes = []
    for i, step in enumerate(cycle().numbered):
        angle = 2 * math.pi * i / 7 - math.pi / 2
        x, y = _CENTRE[0] + _RADIUS * math.cos(angle), _CENTRE[1] + _RADIUS * math.sin(angle)
        out = math.cos(angle)
        anchor = "middle" if abs(out) < 0.2 else "start" if out > 0 else "end"
        gap = _NODE + 8
        words_x = x + (0 if anchor == "middle" else gap if anchor == "start" else -gap)
        words_y = y - gap - 16 if anchor == "middle" else y - 3
        node = _node(step.id, values) | {"number": step.number, "anchor": anchor}
        node |= {"x": round(x, 1), "y": round(y, 1), "r": _NODE}
        node |= {"words_x": round(words_x, 1), "words_y": round(words_y, 1)}
        nodes.append(node | {"leads": step.id in {leading, second} - {""}})
    outside = [
        _node(name, values) | {"leads": name in (leading, second)} for name in ("host", "burden")
    ]
    for k, node in enumerate(outside):
        node |= {"x": 18 + 300 * k, "y": 362}
    said = [
        PATIENT["drawing_step"].format(title=n["title"], value=n["said"]) for n in nodes + outside
    ]
    return {
        "nodes": nodes,
        "outside": outside,
        "arrows": [_arc(i) for i in range(7)],
        "alt": PATIENT["drawing"].format(" ".join(said)),
    }


def _node(name: str, values: Mapping[str, float]) -> dict[str, Any]:
    value = values.get(name)
    title = cycle().step(name).title
    unknown = cycle().wording["not_assessed"]
    if value is None or pd.isna(value):
        return {"title": title, "text": unknown, "said": unknown, "look": "open"}
    look = "raises" if value > _SHOWN else "lowers" if value < -_SHOWN else "even"
    mark = f"{PATIENT[f'{look}_mark']} " if look != "even" else ""
    amount = estimate(abs(float(value)))
    said = f"{PATIENT[look]} {amount}" if look != "even" else amount
    return {"title": title, "text": f"{mark}{amount}", "said": said, "look": look}


def _arc(i: int) -> str:
    """Path of the arrow from step i to the next, between the circles."""
    gap = (_NODE + 7) / _RADIUS
    start, end = (2 * math.pi * (i + k) / 7 - math.pi / 2 for k in (0, 1))
    points = [
        (_CENTRE[0] + _RADIUS * math.cos(a), _CENTRE[1] + _RADIUS * math.sin(a))
        for a in (start + gap, end - gap)
    ]
    (x0, y0), (x1, y1) = points
    return f"M{x0:.1f} {y0:.1f} A{_RADIUS} {_RADIUS} 0 0 1 {x1:.1f} {y1:.1f}"

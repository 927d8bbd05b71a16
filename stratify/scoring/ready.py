"""Models that ship with the package, for groups without training data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from stratify.errors import FileError

__all__ = ["PREFIX", "folder_of", "ready_folder", "ready_models"]

PREFIX = "ready:"
_FOLDER = Path(__file__).parents[1] / "ready"


def _names() -> Iterator[str]:
    yield from sorted(each.parent.name for each in _FOLDER.glob("*/manifest.json"))


def ready_folder(name: str) -> Path:
    """Bundle folder of a ready model.

    Raises
    ------
    FileError
        If there is none of the name.

    Examples
    --------
    >>> ready_folder("pan-cancer").name
    'pan-cancer'
    """
    if name not in _names():
        raise FileError(
            f"There is no ready model {name!r}; there are {', '.join(_names()) or 'none'}."
        )
    return _FOLDER / name


def folder_of(bundle: str | Path) -> Path:
    """Folder of a bundle: itself, or that of ``ready:NAME``.

    Examples
    --------
    >>> folder_of("results/bundle").as_posix(), folder_of("ready:pan-cancer").name
    ('results/bundle', 'pan-cancer')
    """
    text = str(bundle)
    return ready_folder(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else Path(bundle)


def ready_models() -> pd.DataFrame:
    """Tabulate the ready models.

    Returns
    -------
    DataFrame
        name, title, endpoint, patients, resistant, inputs (canonical names), auroc, low, high,
        judged_by, intended_use, excluded_use, sources. The AUROC is of patients that the judged
        models did not learn from, pooled over cohorts where there are several.

    Examples
    --------
    >>> "ready:pan-cancer" in set(ready_models()["name"])
    True
    """
    rows = []
    for name in _names():
        card = json.loads((_FOLDER / name / "card.json").read_text(encoding="utf-8"))
        ready = card["ready"]
        pooled = next((r for r in ready["auroc"] if r["cohort"] == "pooled"), ready["auroc"][0])
        rows.append(
            {
                "name": PREFIX + name,
                "title": ready["title"],
                "endpoint": card["endpoint_rule"],
                "patients": card["n"],
                "resistant": card["n_events"],
                "inputs": ", ".join(card["features"]),
                "auroc": pooled["value"],
                "low": pooled["low"],
                "high": pooled["high"],
                "judged_by": ready["judged_by"],
                "intended_use": ready["intended_use"],
                "excluded_use": ready["excluded_use"],
                "sources": "; ".join(each["citation"] for each in ready["sources"]),
            }
        )
    return pd.DataFrame(rows)

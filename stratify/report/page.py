"""Pages: a template of the package filled in, and written whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stratify.tables.tabular import written_whole

__all__ = ["rendered", "write_page"]


def rendered(template: str, **words: Any) -> str:
    """Fill in a template of the package; texts are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**words)


def write_page(path: str | Path, text: str) -> None:
    """Write a page whole or not at all, the same bytes on every system."""
    with written_whole(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")

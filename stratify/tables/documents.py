"""YAML as study files and data dictionaries write it; where the dictionaries are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

from stratify.errors import BundleError, StratifyError
from stratify.extensions import data_folders

__all__ = ["LinesOfYaml", "document", "read_yaml", "schemas_folder"]

# Bounds of what is read as YAML; the largest study known has 5,000 values.
CHARACTERS, DEPTH, NODES = 5_000_000, 50, 500_000
_NAMING = ("name", "id", "feature")  # keys by which the entries of a list are known


class _StudyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML 1.2 scalars: Yes, No, Y, 007, 1:20 and dates stay text, as codings write them."""


# tag -> (what is such a scalar, its first characters); the others are as in YAML 1.1
_SCALARS: Mapping[str, tuple[str, str] | None] = {
    "bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "int": (r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    "float": (
        r"^[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$",
        "-+.0123456789",
    ),
    "timestamp": None,
}
_StudyLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in _SCALARS]
    for first, resolvers in _StudyLoader.yaml_implicit_resolvers.items()
}
for _tag, _scalar in _SCALARS.items():
    if _scalar is not None:
        _StudyLoader.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(_scalar[0]), list(_scalar[1])
        )


def read_yaml(text: str) -> Any:
    """Parse YAML safely: only ``true`` and ``false`` are booleans, and no key may stand twice.

    Examples
    --------
    >>> read_yaml("coding: {Y: true, No: false, 007: 1.5}")
    {'coding': {'Y': True, 'No': False, '007': 1.5}}
    """
    _check_bounds(text)
    loader = _StudyLoader(text)
    try:
        node = loader.get_single_node()
        if doubled := _doubled_keys(node):
            raise yaml.MarkedYAMLError(problem="; ".join(doubled))
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _check_bounds(text: str) -> None:
    """Refuse YAML that is larger, deeper or longer with its aliases than any study.

    Events are counted before anything is built: what nests too deeply ends the process else.
    """
    if len(text) > CHARACTERS:
        raise yaml.MarkedYAMLError(problem=f"{len(text):,} characters; {CHARACTERS:,} is the most")
    sizes: dict[str, int] = {}  # of what an anchor names, its aliases spelled out
    open_: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            open_.append((event.anchor, total))
            total += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            anchor, before = open_.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.AliasEvent):
            total += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
            if "\0" in event.value:
                raise yaml.MarkedYAMLError(problem="a character NUL in a text")
        if len(open_) > DEPTH or total > NODES:
            most = f"{DEPTH} levels" if len(open_) > DEPTH else f"{NODES:,} values"
            raise yaml.MarkedYAMLError(problem=f"more than {most}")


def _doubled_keys(root: Any) -> list[str]:
    doubled, seen, waiting = [], set(), [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # anchors are shared
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in keys:
                    doubled.append((key.start_mark.line + 1, key.value))
                keys.add(key.value if isinstance(key, yaml.ScalarNode) else None)
                waiting.append(value)
    return [f"in line {line} the key {key!r} stands a second time" for line, key in sorted(doubled)]


class LinesOfYaml:
    r"""Lines at which the places of a YAML text stand.

    Examples
    --------
    >>> lines = LinesOfYaml("split:\n  by: site\n  test:\n  - A\n  - B\n")
    >>> lines.of(("split", "by")), lines.of(("split", "test", 1)), lines.of(("split", "absent"))
    (2, 5, 1)
    """

    def __init__(self, text: str) -> None:
        loader = _StudyLoader(text)
        try:
            self._root = loader.get_single_node()
        finally:
            loader.dispose()

    def of(self, place: Sequence[str | int]) -> int:
        """Line of a place, counted from 1; of the nearest that encloses it where it is absent."""
        node, line = self._root, self._root.start_mark.line
        for step in place:
            found = _entry(node, step)
            if found is None:
                break
            line, node = found
        return int(line) + 1


def _entry(node: Any, step: str | int) -> tuple[int, Any] | None:
    """Line and value of one entry of a mapping (or of what it merges) or of a list."""
    if isinstance(node, yaml.SequenceNode):
        if not isinstance(step, int) or step >= len(node.value):
            return None
        return node.value[step].start_mark.line, node.value[step]
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if key.value == str(step):
            return key.start_mark.line, value
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if found := _entry(merged, step):
                    return found
    return None


def schemas_folder() -> Path:
    """Folder of the dictionaries: inside the wheel, or next to the package in a checkout.

    Examples
    --------
    >>> (schemas_folder() / "panels" / "clinical.yaml").is_file()
    True
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "data_schemas", package.parent / "data_schemas"):
        if (folder / "units.yaml").is_file():
            return folder
    raise BundleError(
        f"The data dictionaries are missing: neither {package / 'data_schemas'} nor "
        f"{package.parent / 'data_schemas'} holds units.yaml. Reinstall stratify-immuno."
    )


@cache
def document(name: str) -> dict[str, Any]:
    """One file of ``data_schemas/`` with what installed packages add to it, read once.

    A package adds by a file of the same name in its own folder ``data_schemas/``: entries at the
    end of lists, keys to mappings. What is there cannot be changed.

    Parameters
    ----------
    name : str
        Without suffix: ``panels/tmb``.

    Raises
    ------
    StratifyError
        If the file of a package cannot be read, names what is taken, or adds to no file of ours.
    """
    content = read_yaml((schemas_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    for package, path in _additions().get(name, ()):
        content = _merged(content, _added(package, path), f"The package {package} adds ", path)
    return cast(dict[str, Any], content)


def _additions() -> dict[str, list[tuple[str, Path]]]:
    """List packages and files that add to a document, by its name."""
    found: dict[str, list[tuple[str, Path]]] = {}
    for package, folder in data_folders().items():
        for path in sorted(folder.rglob("*.yaml")):
            inside = path.relative_to(folder)
            if not (schemas_folder() / inside).is_file():
                raise StratifyError(
                    f"The package {package} adds to {inside}, which stratify does not have: "
                    f"{path}. Name it like a file of {schemas_folder()}."
                )
            found.setdefault(inside.with_suffix("").as_posix(), []).append((package, path))
    return found


def _added(package: str, path: Path) -> dict[str, Any]:
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StratifyError(
            f"The package {package} has a file that cannot be read, {path}: {error} Correct it, or "
            "uninstall the package."
        ) from error
    if not isinstance(content, dict):
        raise StratifyError(f"The package {package} has a file that is no mapping: {path}.")
    return content


def _merged(own: Any, added: Any, saying: str, path: Path, place: str = "") -> Any:
    """Join a part of a document and what is added to it; nothing of it is replaced."""
    if isinstance(own, dict) and isinstance(added, dict):
        inner = {
            key: _merged(own[key], value, saying, path, f"{place}.{key}") if key in own else value
            for key, value in added.items()
        }
        return own | inner
    taken = [place[1:]]
    if all(
        isinstance(part, list) and all(isinstance(e, dict) for e in part) for part in (own, added)
    ):
        names = Counter(f"{place[1:]}.{e[key]}" for e in own + added for key in _NAMING if key in e)
        taken = [name for name, n in names.items() if n > 1]
    if taken:
        raise StratifyError(
            f"{saying}{', '.join(taken)} in {path}, which is taken. Rename it, or uninstall the "
            "package."
        )
    return own + added

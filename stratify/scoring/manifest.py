"""The manifest of a bundle: its format, and the SHA-256 of every file."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stratify.errors import BundleError, FileError
from stratify.tables.schema import panel_versions
from stratify.tables.tabular import sha256_of

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "as_json",
    "check_versions",
    "is_bundle",
    "read_manifest",
    "sums_of",
    "version_of",
    "write_bundle",
]

FORMAT = "stratify-bundle"
FORMAT_VERSION = "1.1"
_PARTS = ("card.json", "classifier.json", "references.json")


def is_bundle(path: Path) -> bool:
    """Whether a folder holds a bundle, be it altered or of another version."""
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        return bool(manifest["format"] == FORMAT)
    except (ValueError, KeyError, TypeError, OSError):
        return False


def read_manifest(path: Path) -> dict[str, Any]:
    """Manifest of a bundle whose every file is as it was written."""
    try:
        manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        sums, kind = {**manifest["sha256"]}, manifest["format"]
        major = str(manifest["format_version"]).partition(".")[0]
    except FileNotFoundError:
        raise BundleError(f"{path} is no stratify bundle: it has no manifest.json.") from None
    except (ValueError, KeyError, TypeError, OSError):
        raise BundleError(
            f"{path} is no stratify bundle: its manifest.json is unreadable."
        ) from None
    if kind != FORMAT:
        raise BundleError(f"{path} is no stratify bundle: its manifest names another format.")
    if major != FORMAT_VERSION.partition(".")[0]:
        raise BundleError(
            f"{path} has bundle format {manifest['format_version']}; this version of stratify "
            f"reads {FORMAT_VERSION}. Train again or use the matching version."
        )
    present = {p.relative_to(path).as_posix() for p in path.rglob("*")} - {"members"}
    plain = {name for name in present if (path / name).is_file() and not (path / name).is_symlink()}
    present.discard("manifest.json")
    altered = sorted(n for n in sums if n in plain and sha256_of(path / n) != sums[n])
    missing, foreign = sorted({*sums, *_PARTS} - plain), sorted(present - (plain & set(sums)))
    faults = [
        f"{what}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
        for what, names in (("altered", altered), ("missing", missing), ("foreign", foreign))
        if names
    ]
    if faults:
        raise BundleError(
            f"{path} is not as it was written ({'; '.join(faults)}). Restore the bundle from its "
            "source, or train again."
        )
    return manifest


def check_versions(path: Path, versions: Mapping[str, str]) -> None:
    """Refuse dictionaries of another major version."""
    here = panel_versions()
    other = [
        f"{panel} {version} (here {here.get(panel, 'absent')})"
        for panel, version in versions.items()
        if version.partition(".")[0] != here.get(panel, "").partition(".")[0]
    ]
    if other:
        raise BundleError(
            f"{path} was trained with data dictionaries of another major version: "
            f"{', '.join(other)}. Train again, or use the matching version of stratify."
        )


def write_bundle(path: Path, texts: Mapping[str, str]) -> None:
    """Write a bundle, whole or not at all; an older one at the place is replaced."""
    if path.exists() and not is_bundle(path):
        raise FileError(f"{path} exists and is no bundle; choose another folder.")
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "sha256": sums_of(texts)}
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    older = temporary.with_suffix(".old")
    try:
        (temporary / "members").mkdir(parents=True)
        for name, text in {**texts, "manifest.json": as_json(head)}.items():
            (temporary / name).write_text(text, encoding="utf-8", newline="\n")
        if path.exists():
            path.replace(older)
        temporary.replace(path)
    except OSError as error:
        if older.exists():
            older.replace(path)
        message = f"The bundle {path} cannot be written: {error.strerror or error}."
        raise FileError(message) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(older, ignore_errors=True)


def sums_of(texts: Mapping[str, str]) -> dict[str, str]:
    """SHA-256 of each text."""
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def version_of(card: Mapping[str, Any], sums: Mapping[str, str]) -> str:
    """Version of a bundle: its study, and the first digits of a hash over all sums."""
    return f"{card['study']}-{hashlib.sha256(as_json(sums).encode()).hexdigest()[:8]}"


def as_json(document: Mapping[str, Any]) -> str:
    """JSON that is the same for the same document."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)

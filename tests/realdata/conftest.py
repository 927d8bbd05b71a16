"""Public cohorts, read through the study files of the pipelines; skipped where they are absent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stratify import Cohort, Study, read_cohort

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "pipelines" / "studies"

Read = Callable[..., Cohort]


@pytest.fixture(scope="session")
def public_data() -> Path:
    """Folder of the public cohorts; their patients are never copied into the repository."""
    named = os.environ.get("STRATIFY_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the public cohorts are absent: {folder} (STRATIFY_DATA) is no folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def read(public_data: Path) -> Read:
    """Read the cohorts of a shipped study file."""

    def reading(name: str, *, endpoint: str | None = None, **options: bool) -> Cohort:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STRATIFY_DATA", str(public_data))
            return read_cohort(Study.load(STUDIES / f"{name}.yaml", endpoint=endpoint), **options)

    return reading

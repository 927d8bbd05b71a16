"""The models that ship are those that their file builds from the public cohorts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stratify import Study
from stratify.cohort.reading import read_cohort
from stratify.experiment.ready_models import build_ready_models
from stratify.scoring import load

pytestmark = [pytest.mark.realdata, pytest.mark.slow]

FILE = Path(__file__).parents[2] / "pipelines" / "ready_models.yaml"


@pytest.mark.parametrize(
    ("name", "study"), [("pan-cancer", "shim"), ("nsclc-plasma", "oak"), ("rna", "itrp")]
)
def test_a_rebuild_gives_the_same_risks(name, study, tmp_path):
    build_ready_models(FILE, tmp_path, only=name)
    fresh, shipped = load(tmp_path / name), load(f"ready:{name}")
    stated = Study.load(FILE.parent / "studies" / f"{study}.yaml")
    risks = [
        model.score_table(read_cohort(stated, plan=model.plan).table)["risk"].to_numpy()
        for model in (fresh, shipped)
    ]
    assert np.abs(risks[0] - risks[1]).max() < 1e-12
    assert fresh.card["ready"] == shipped.card["ready"]

"""A simulated study of hospital exports, and one quick training on it that many tests look at."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from stratify import ResistanceClassifier, Study, train
from stratify.experiment.results import Results
from stratify.simulation import write_study
from stratify.tables.documents import read_yaml

# What tests look for in files that may hold no patient.
IDENTIFIER = "Qx7Kv-"
DISTINCT = frozenset({"tmb", "ALB_g_L", "cd8_density", "sum_of_diameters"})


def quick_classifier() -> ResistanceClassifier:
    """As the default but small: seconds, not minutes; what it predicts is of no interest here."""
    return ResistanceClassifier(n_members=3, n_estimators=20, calibration_folds=2)


@dataclass(frozen=True)
class Trained:
    """A training: its study file, the folder it wrote, what it returned, what it was given."""

    study: Path
    out: Path
    results: Results
    classifier: ResistanceClassifier | None = None

    @property
    def bundle(self) -> Path:
        return self.out / "bundle"

    def table(self, name: str) -> pd.DataFrame:
        """A result file as written; empty texts stay empty texts."""
        path = self.out / name
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        texts = [c for c in pd.read_csv(path, nrows=0) if c not in NUMBERS]
        return pd.read_csv(
            path,
            keep_default_na=False,
            dtype=dict.fromkeys(texts, "object"),
            na_values={name: [""] for name in NUMBERS},
        )


NUMBERS = {
    *("n", "n_remaining", "label", "threshold", "value", "low", "high", "n_events"),
    *("risk", "risk_low", "risk_high", "error_bound"),
}


@pytest.fixture(scope="session")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated study: 200 training and 100 external patients, one CSV a panel.

    With this seed each panel is unmeasured in 60 to 160 patients, either cohort has patients
    whose label cannot be told, and enough have NSCLC with all markers for every reference.
    Identifiers and some values are made so long that none occurs anywhere by chance.
    """
    study = write_study(tmp_path_factory.mktemp("simulated") / "study", n=200, seed=20)
    for path in study.parent.glob("*/*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        number = table["patient_id"].str.removeprefix("P").astype(int)
        table["patient_id"] = IDENTIFIER + table["patient_id"]
        for name in DISTINCT.intersection(table):
            known = table[name] != ""
            digits = (pd.to_numeric(table[name]) + number * 1.2345679e-5).map("{:.12f}".format)
            table[name] = table[name].mask(known, digits)
        table.to_csv(path, index=False)
    small = "model: {n_members: 3, n_estimators: 20, calibration_folds: 2}\n"
    study.write_text(study.read_text(encoding="utf-8") + small, encoding="utf-8")
    return study


@pytest.fixture(scope="session")
def trained(study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A quick training on it; nothing is tracked, and no test may change its files."""
    out = tmp_path_factory.mktemp("trained") / "out"
    classifier = quick_classifier()
    results = train(Study.load(study_file), out, classifier=classifier, folds=2)
    return Trained(study_file, out, results, classifier)


@pytest.fixture
def rewritten(study_file: Path, tmp_path: Path) -> Callable[..., Path]:
    """Function that writes a changed copy of the study into the test's own folder.

    ``change`` is given the study document and the tables by file name, both free to be changed;
    ``save`` writes a table in another format than CSV.
    """

    def write(
        change: Callable[[dict[str, Any], dict[str, pd.DataFrame]], None] = lambda *_: None,
        *,
        save: Callable[[pd.DataFrame, Path], None] = lambda t, p: t.to_csv(p, index=False),
        folder: str = "changed",
    ) -> Path:
        document = copy.deepcopy(read_yaml(study_file.read_text(encoding="utf-8")))
        tables = {
            table["file"]: pd.read_csv(
                study_file.parent / table["file"], dtype=str, keep_default_na=False
            )
            for cohort in document["cohorts"]
            for table in cohort["tables"]
        }
        change(document, tables)
        for name, table in tables.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            save(table, path)
        path = tmp_path / folder / "study.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return path

    return write

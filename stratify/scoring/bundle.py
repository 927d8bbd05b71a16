"""A model read from its bundle on disk; :meth:`ResistanceModel.save` writes it.

A bundle is a folder of LightGBM text, JSON and a manifest of SHA-256 sums. Nothing in it is code
and nothing is unpickled. Extremes of the training data are left out of it: a minimum is some
patient's value.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stratify.cohort.feature_plan import FeaturePlan
from stratify.errors import ArgumentError, BundleError, FileError
from stratify.model.classifier import ResistanceClassifier
from stratify.model.ensemble import AnchoredEnsemble
from stratify.model.linear import LinearScore
from stratify.references import References
from stratify.scoring.manifest import check_versions, read_manifest, version_of
from stratify.scoring.resistance_model import FITTED, ResistanceModel
from stratify.study.policy import Policy
from stratify.tables.schema import known_field
from stratify.trees.model_text import check_model_text
from stratify.uncertainty.risk_interval import Uncertainty

if TYPE_CHECKING:
    import lightgbm

__all__ = ["load"]


def load(path: str | Path) -> ResistanceModel:
    """Load a bundle after checking every file's SHA-256.

    Parameters
    ----------
    path : path
        Folder written by :meth:`ResistanceModel.save`.

    Raises
    ------
    FileError
        If there is no such folder.
    BundleError
        If it is no bundle, was altered, was made for another major version of the format or of a
        data dictionary, or needs a column that a package adds which is not installed.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileError(f"There is no bundle folder {path}.")
    manifest = read_manifest(path)
    texts = {name: (path / name).read_text(encoding="utf-8") for name in manifest["sha256"]}
    card = json.loads(texts["card.json"])
    check_versions(path, card["schema_versions"])
    fitted = json.loads(texts["classifier.json"])
    if unknown := [name for name in fitted["features_"] if known_field(name) is None]:
        raise BundleError(
            f"{path} needs {', '.join(unknown)}, which no dictionary has. Install the package that "
            "adds it."
        )
    classifier = ResistanceClassifier(**fitted["parameters"])
    members = [
        _member(path, name, text)
        for name, text in sorted(texts.items())
        if name.startswith("members/")
    ]
    anchor = fitted["anchor"]
    classifier.ensemble_ = AnchoredEnsemble(
        members=members,
        anchor=None if anchor is None else LinearScore.from_json(anchor),
        anchor_columns=fitted["anchor_columns"],
        base_value=fitted["base_value"],
    )
    _ = classifier.ensemble_.trees  # checked against LightGBM now, not at the first patient
    classifier.classes_ = np.array(fitted["classes"])
    classifier.calibration_ = (fitted["calibration"][0], fitted["calibration"][1])
    for name in FITTED:
        setattr(classifier, name, fitted[name])
    classifier.feature_names_in_ = np.array(fitted["features_"], dtype=object)
    classifier.n_features_in_ = len(fitted["features_"])
    policy = json.loads(texts["policy.json"]) if "policy.json" in texts else None
    uncertain = json.loads(texts["uncertainty.json"]) if "uncertainty.json" in texts else None
    inputs = json.loads(texts["inputs.json"]) if "inputs.json" in texts else None
    return ResistanceModel(
        classifier=classifier,
        references=References.from_json(json.loads(texts["references.json"])),
        card=card,
        policy=None if policy is None else Policy.model_validate(policy),
        uncertainty=None if uncertain is None else Uncertainty.from_json(uncertain),
        version=version_of(card, manifest["sha256"]),
        plan=FeaturePlan(()) if inputs is None else FeaturePlan.from_json(inputs),
    )


def _member(bundle: Path, name: str, text: str) -> lightgbm.Booster:
    import lightgbm

    try:
        check_model_text(text)
        return lightgbm.Booster(model_str=text)
    except (BundleError, ArgumentError, lightgbm.basic.LightGBMError) as error:
        raise BundleError(
            f"{bundle} holds a damaged model ({name}); LightGBM's text is expected. Restore the "
            "bundle from its source, or train again."
        ) from error

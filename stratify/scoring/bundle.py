"""A model read from its bundle on disk; :meth:`ResistanceModel.save` writes it.

A bundle is a folder of LightGBM text, JSON and a manifest of SHA-256 sums. Nothing in it is code
and nothing is unpickled. Extremes of the training data are left out of it: a minimum is some
patient's value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NotRequired

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from stratify.cohort.feature_plan import FeaturePlan
from stratify.errors import BundleError, FileError
from stratify.model.classifier import ResistanceClassifier
from stratify.model.ensemble import AnchoredEnsemble
from stratify.model.linear import LinearScore
from stratify.references import References
from stratify.scoring.manifest import check_versions, read_manifest, version_of
from stratify.scoring.ready import folder_of
from stratify.scoring.resistance_model import FITTED, ResistanceModel
from stratify.study.policy import Policy
from stratify.study.study_file import NAME_PATTERN
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
    path : path or str
        Folder written by :meth:`ResistanceModel.save`, or ``ready:NAME`` for a model that ships
        with the package, see :func:`stratify.scoring.ready.ready_models`.

    Raises
    ------
    FileError
        If there is no such folder.
    BundleError
        If it is no bundle, was altered, was made for another major version of the format or of a
        data dictionary, or needs a column that a package adds which is not installed.
    """
    path = folder_of(path)
    if not path.is_dir():
        raise FileError(f"There is no bundle folder {path}.")
    manifest = read_manifest(path)
    documents, members = {}, []
    for name in sorted(manifest["sha256"]):
        if name.startswith("members/"):
            members.append(name)
            continue
        with _reading(path, name):
            text = (path / name).read_text(encoding="utf-8")
            documents[name] = json.loads(text, parse_constant=_no_number)
    with _reading(path, "card.json"):
        card = documents["card.json"]
        Card.validate_python(card, strict=True)
    check_versions(path, card["schema_versions"])
    classifier = _classifier(path, documents["classifier.json"], members)

    def read(name: str, read_it: Callable[[Any], Any], absent: Any = None) -> Any:
        if name not in documents:
            return absent
        with _reading(path, name):
            return read_it(documents[name])

    return ResistanceModel(
        classifier=classifier,
        references=read("references.json", _references),
        card=card,
        policy=read("policy.json", Policy.model_validate),
        uncertainty=read("uncertainty.json", Uncertainty.from_json),
        version=version_of(card, manifest["sha256"]),
        plan=read("inputs.json", FeaturePlan.from_json, FeaturePlan(())),
    )


class _RiskCuts(TypedDict):
    """Cuts of the out-of-fold risks, patients and resistant ones below each."""

    cut: list[Annotated[float, Field(ge=0, le=1)]]
    below: list[Annotated[int, Field(ge=0)]]
    resistant: list[Annotated[int, Field(ge=0)]]


class _Capacity(TypedDict):
    """What larger trees gain in log loss; null where they were not tried."""

    taken: bool
    gain: float | None
    error: float | None


class _Place(TypedDict):
    """Performance of a ready model in a cohort that it had not learned from."""

    cohort: str
    n: Annotated[int, Field(ge=0)]
    n_events: Annotated[int, Field(ge=0)]
    value: Annotated[float, Field(ge=0, le=1)]
    low: Annotated[float, Field(ge=0, le=1)]
    high: Annotated[float, Field(ge=0, le=1)]


class _Ready(TypedDict):
    """What a reader must know of a model that ships with the package."""

    title: str
    intended_use: str
    excluded_use: str
    judged_by: str
    auroc: Annotated[list[_Place], Field(min_length=1)]
    sources: list[dict[str, str]]


class _Card(TypedDict):
    """Types of what a card has; `study` becomes part of names of files."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    study: Annotated[str, Field(pattern=NAME_PATTERN)]
    endpoint: NotRequired[str]
    endpoint_rule: NotRequired[str]
    mixed_regimens: bool
    capacity: NotRequired[_Capacity]
    n: NotRequired[Annotated[int, Field(ge=0)]]
    n_events: NotRequired[Annotated[int, Field(ge=0)]]
    features: NotRequired[list[str]]
    ready: NotRequired[_Ready]
    risk_cuts: NotRequired[_RiskCuts]
    risk_group_cuts: Annotated[list[float], Field(min_length=2, max_length=2)]
    schema_versions: dict[str, str]
    training_cohorts: NotRequired[list[str]]


Card = TypeAdapter(_Card)
# What reading a document raises that is not what is written.
_NONSENSE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError)


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is no number.")


@contextmanager
def _reading(bundle: Path, name: str) -> Iterator[None]:
    """Refuse a file of the bundle that is not what stratify writes."""
    try:
        yield
    except BundleError:
        raise
    except _NONSENSE as error:
        raise BundleError(
            f"{bundle} holds a damaged {name}; JSON as stratify writes it is expected. Restore "
            "the bundle from its source, or train again."
        ) from error


def _references(document: dict[str, Any]) -> References:
    for learned in document.values():
        for text in _texts_of_models(learned):
            check_model_text(text)
    return References.from_json(document)


def _texts_of_models(document: Any) -> Iterator[str]:
    """Texts of LightGBM anywhere in a document."""
    if isinstance(document, dict):
        for each in document.values():
            yield from _texts_of_models(each)
    elif isinstance(document, str) and document.startswith("tree\n"):
        yield document


def _classifier(path: Path, fitted: dict[str, Any], members: Sequence[str]) -> ResistanceClassifier:
    with _reading(path, "classifier.json"):
        unknown = [name for name in fitted["features_"] if known_field(name) is None]
    if unknown:
        raise BundleError(
            f"{path} needs {', '.join(unknown)}, which no dictionary has. Install the package that "
            "adds it."
        )
    with _reading(path, "classifier.json"):
        classifier = ResistanceClassifier(**fitted["parameters"])
        anchor, n_features = fitted["anchor"], len(fitted["features_"])
        slope, intercept = map(float, fitted["calibration"])
        if fitted["classes"] != [0, 1] or len(set(fitted["features_"])) != n_features:
            raise ValueError("classes or features")
        ensemble = AnchoredEnsemble(
            members=[_member(path, name, n_features) for name in members],
            anchor=None if anchor is None else LinearScore.from_json(anchor),
            anchor_columns=fitted["anchor_columns"],
            base_value=float(fitted["base_value"]),
        )
        if not ensemble.members or not set(ensemble.anchor_columns) <= set(range(n_features)):
            raise ValueError("members or anchor_columns")
        _ = ensemble.trees  # checked against LightGBM now, not at the first patient
        classifier.ensemble_ = ensemble
        classifier.classes_ = np.array(fitted["classes"])
        classifier.calibration_ = (slope, intercept)
        for name in FITTED:
            setattr(classifier, name, fitted[name])
        classifier.feature_names_in_ = np.array(fitted["features_"], dtype=object)
        classifier.n_features_in_ = n_features
    return classifier


def _member(bundle: Path, name: str, n_features: int) -> lightgbm.Booster:
    import lightgbm

    try:
        text = (bundle / name).read_text(encoding="utf-8")
        check_model_text(text, n_features)
        return lightgbm.Booster(model_str=text)
    except (ValueError, lightgbm.basic.LightGBMError) as error:
        raise BundleError(
            f"{bundle} holds a damaged model ({name}); LightGBM's text is expected. Restore the "
            "bundle from its source, or train again."
        ) from error

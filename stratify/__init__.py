"""Primary resistance to immune checkpoint inhibitors: predicted, explained, judged.

The public names; each is loaded when first used, so that ``import stratify`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Study": "study",
    "Cohort": "cohort.reading",
    "read_cohort": "cohort.reading",
    "label_outcomes": "endpoint",
    "ResistanceClassifier": "model.classifier",
    "ResistanceModel": "scoring",
    "load": "scoring",
    "Policy": "study.policy",
    "attributions": "interpretation.attribution",
    "explanation": "interpretation.attribution",
    "train": "experiment.training",
    "evaluate": "experiment.training",
    "score": "experiment.scores",
    "simulate": "simulation",
    "StratifyError": "errors",
}

__all__ = [
    "Cohort",
    "Policy",
    "ResistanceClassifier",
    "ResistanceModel",
    "StratifyError",
    "Study",
    "attributions",
    "evaluate",
    "explanation",
    "label_outcomes",
    "load",
    "read_cohort",
    "score",
    "simulate",
    "train",
]

if TYPE_CHECKING:
    from stratify.cohort.reading import Cohort, read_cohort
    from stratify.endpoint import label_outcomes
    from stratify.errors import StratifyError
    from stratify.experiment.scores import score
    from stratify.experiment.training import evaluate, train
    from stratify.interpretation.attribution import attributions, explanation
    from stratify.model.classifier import ResistanceClassifier
    from stratify.scoring import ResistanceModel, load
    from stratify.simulation import simulate
    from stratify.study import Study
    from stratify.study.policy import Policy


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"stratify.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'stratify' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

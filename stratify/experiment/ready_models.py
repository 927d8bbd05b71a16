"""Build the ready models: trained on public cohorts, judged by leaving each of them out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, ValidationError

from stratify.cohort.reading import read_cohort
from stratify.errors import DataError
from stratify.experiment.results import Results
from stratify.experiment.training import train
from stratify.model.classifier import ResistanceClassifier
from stratify.scoring import ResistanceModel
from stratify.study import Study
from stratify.study.policy import Policy
from stratify.study.study_file import NAME_PATTERN
from stratify.tables.faults import faults_in_words, faults_of, located
from stratify.tables.strict import Strict
from stratify.tables.tabular import read_mapping
from stratify.validation.internal_external import internal_external

__all__ = ["ReadyFile", "build_ready_models"]

# A patient is drawn 1.6 times on average and trains with masked copies, about three rows in all:
# leaves of 64 rows or more, as LightGBM counts them, are of some twenty patients or more.
LEAST_ROWS, ROWS_IN_A_LEAF = 64, 110


class PublishedCohort(Strict):
    """A cohort that a ready model learned from, and on what terms it was published."""

    cohort: str
    citation: str
    terms: str


class ReadyEntry(Strict):
    """One ready model.

    Attributes
    ----------
    studies : list of str
        Study files, relative to this one; all their cohorts train.
    features : list of str, optional
    together : mapping of str to str
        Cohorts of one hospital, which are left out at once.
    policy : str, optional
        Policy file whose errors the model finds thresholds for.
    members : int
        Of the ensemble, of 20 by default elsewhere: a bundle of less than 1 MB.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: str
    studies: Annotated[list[str], Field(min_length=1)]
    features: list[str] | None = None
    together: dict[str, str] = Field(default_factory=dict)
    policy: str | None = None
    members: Annotated[int, Field(ge=2)] = 8
    intended_use: str
    excluded_use: str
    sources: Annotated[list[PublishedCohort], Field(min_length=1)]


class ReadyFile(Strict):
    """File of all ready models."""

    stratify: Literal[1]
    models: Annotated[list[ReadyEntry], Field(min_length=1)]

    @classmethod
    def load(cls, path: Path) -> ReadyFile:
        """Read it; all faults are told at once."""
        try:
            return cls.model_validate(read_mapping(path, "file of ready models"))
        except ValidationError as error:
            faults = located(faults_of(error), path)
            raise DataError(f"{path}: {faults_in_words(faults, 'ready models')}") from None


def build_ready_models(
    path: str | Path,
    out: str | Path,
    *,
    only: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[ResistanceModel]:
    """Train every ready model and write its bundle to a folder of its name.

    Parameters
    ----------
    out : path
        An older bundle of the name is replaced once the new one is complete.
    only : str, optional
        Build the model of this name alone.
    """
    path, out = Path(path), Path(out)
    built = []
    for entry in ReadyFile.load(path).models:
        if only is not None and entry.name != only:
            continue
        study = _study(entry, path.parent)
        template = ResistanceClassifier(
            random_state=study.seed,
            n_jobs=-1,
            n_members=entry.members,
            min_child_samples=ROWS_IN_A_LEAF,
        )
        progress(f"{entry.name}: training")
        with tempfile.TemporaryDirectory() as folder:
            results = train(study, folder, classifier=template, progress=progress)
        progress(f"{entry.name}: leaving out each cohort")
        model = results.model
        card = dict(model.card) | {"ready": _ready(entry, study, template, results)}
        model = replace(model, card=card, version="")
        model.save(out / entry.name)
        built.append(model)
    return built


def _study(entry: ReadyEntry, folder: Path) -> Study:
    """One study of all cohorts, which all train."""
    studies = [Study.load(folder / name) for name in entry.studies]
    cohorts = [
        source.model_copy(update={"role": "train"}) for each in studies for source in each.cohorts
    ]
    regimens = list(dict.fromkeys(name for each in studies for name in each.eligible_regimens))
    policy = None if entry.policy is None else Policy.load(folder / entry.policy)
    return studies[0].model_copy(
        update={
            "name": entry.name,
            "title": entry.title,
            "cohorts": cohorts,
            "features": entry.features,
            "eligible_regimens": regimens,
            "policy": policy,
        }
    )


def _ready(
    entry: ReadyEntry, study: Study, template: ResistanceClassifier, results: Results
) -> dict[str, Any]:
    """Say what a reader must know of a model that they did not train."""
    table = read_cohort(study).evaluable.table
    if len(set(table["cohort"])) > 1:
        found = internal_external(
            template, table, results.model.classifier.features_, groups=entry.together
        )
        rows = pd.concat([found.performance, found.pooled.assign(cohort="pooled")])
        how = "each cohort left out in turn"
    else:
        rows, how = results.performance, "cross-validation"
        rows = rows[rows["split"] == "cv"]
    own = rows[(rows["model"] == "stratify") & (rows["reference"].fillna("") == "")]
    own = own[(own["metric"] == "auroc") & (own["subgroup"].fillna("all") == "all")]
    performance = [
        {
            "cohort": row["cohort"],
            "n": int(row["n"]),
            "n_events": int(row["n_events"]),
            **{end: round(float(row[end]), 3) for end in ("value", "low", "high")},
        }
        for row in own.to_dict("records")
    ]
    return {
        "title": entry.title,
        "intended_use": entry.intended_use,
        "excluded_use": entry.excluded_use,
        "sources": [each.model_dump() for each in entry.sources],
        "judged_by": how,
        "auroc": performance,
    }

"""The study file: everything that a hospital's export does not say about itself.

One YAML names the files, which column is which biomarker, units, codings, assays, arms, the
endpoint rule, the split, the features and the policy. Unknown keys are errors, so that a typing
mistake never passes silently; keys that start with ``x-`` are free (for YAML anchors).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from stratify.endpoint import (
    Endpoint,
    EndpointRule,
    Regimens,
    endpoint_rule,
    endpoint_rules,
)
from stratify.errors import DataError, FileError
from stratify.study.comparator import Comparator
from stratify.study.conditions import Biomarker, NamedColumn
from stratify.study.estimand import Estimand
from stratify.study.model_settings import ModelSettings
from stratify.study.policy import Policy
from stratify.study.response_criteria import ResponseCriteria
from stratify.tables.documents import document
from stratify.tables.faults import Fault, faults_in_words, faults_of, located
from stratify.tables.measurements import RegionRule
from stratify.tables.sources import CohortSource
from stratify.tables.strict import Place, Strict, Texts, list_of, mapping_of, one_of
from stratify.tables.tabular import read_mapping

__all__ = [
    "NAME_PATTERN",
    "Split",
    "Study",
]

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"  # it becomes part of names of files

MONOTHERAPY = frozenset({"anti_pd1_pdl1", "single_agent_ici"})


class Split(Strict):
    """How patients are divided into training and test data.

    ``by: cohort`` takes each cohort's ``role``. Otherwise the patients of the cohorts with role
    ``train`` are divided by ``site`` (``test``: list of sites), ``year`` (``test_from``) or at
    random (``test_fraction``, ``seed``).
    """

    by: Literal["cohort", "site", "year", "random"] = "cohort"
    test: Texts = []
    test_from: int | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: int = 0

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Keys that a split needs, and keys that only another kind of split needs."""
        by = data.get("by", "cohort")
        needs = {"site": "test", "year": "test_from", "random": "test_fraction"}
        if by in needs and not data.get(needs[by]):
            yield (), f"a split by {by} needs `{needs[by]}`"
        if by == "cohort" or by in needs:
            for other, key in needs.items():
                if other != by and data.get(key):
                    yield (key,), f"is for a split by {other}, not by {by}"


def _rule_of(value: object) -> EndpointRule:
    """Rule of an id or a definition."""
    if isinstance(value, str) and value not in endpoint_rules():
        raise ValueError(f"{value!r} is not known; rules are {', '.join(endpoint_rules())}")
    if not isinstance(value, (str, dict, EndpointRule)):
        raise ValueError("a rule id or a mapping is expected")
    return endpoint_rule(value)


def _policy_read(value: object, info: ValidationInfo) -> object:
    """Read a policy file, whose name is relative to the study file."""
    if isinstance(value, str):
        folder = Path((info.context or {}).get("folder", "."))
        try:
            return read_mapping(folder / value, "policy file")
        except FileError as error:
            raise ValueError(str(error)) from None
    if value is not None and not isinstance(value, (dict, Policy)):
        raise ValueError("a file or a mapping is expected")
    return value


class Study(Strict):
    """A study file, checked to the bottom.

    Examples
    --------
    >>> study = Study.model_validate({
    ...     "stratify": 1, "name": "example", "cohorts": [{"name": "a", "tables": [{
    ...         "file": "a.csv", "patient_id": "ID", "panels": {
    ...             "clinical": {"albumin": {"column": "ALB", "unit": "g/L"}}}}]}]})
    >>> study.endpoint.name, study.mixed_regimens
    ('proxy_pfs6', False)
    """

    stratify: Literal[1]
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: str = ""
    description: str = ""
    data: str = "."
    cohorts: Annotated[list[CohortSource], Field(min_length=1)]
    endpoint: Annotated[EndpointRule, PlainValidator(_rule_of)] = Field(
        default_factory=lambda: endpoint_rule("proxy_pfs6")
    )
    eligible_regimens: Regimens = ["anti_pd1_pdl1"]
    split: Split = Split()
    landmark_weeks: Annotated[float, Field(gt=0)] | None = None
    censored_early: Literal["exclude", "weight"] = "exclude"
    response_criteria: ResponseCriteria = ResponseCriteria()
    region_rule: RegionRule = RegionRule()
    training_scales: list[Literal["expression", "tmb"]] = []
    features: list[Biomarker] | None = None
    policy: Annotated[Policy | None, BeforeValidator(_policy_read)] = None
    references: list[Comparator] = []
    effect: Annotated[Estimand | None, one_of("a mapping", dict, Estimand)] = None
    thresholds: list[Annotated[float, Field(gt=0, lt=1)]] = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    seed: Annotated[int, Field(ge=0)] = 0
    model: ModelSettings = ModelSettings()
    source: Path | None = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_anchors(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {k: v for k, v in data.items() if not str(k).startswith("x-")}
        return data

    @classmethod
    def contradictions(cls, data: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Cohorts of one name."""
        names = [mapping_of(cohort).get("name") for cohort in list_of(data.get("cohorts"))]
        for name in sorted({str(n) for n in names if n is not None and names.count(n) > 1}):
            yield ("cohorts",), f"two cohorts have the name {name!r}"
        labels = [mapping_of(each).get("name") for each in list_of(data.get("references"))]
        written = document("references")
        known = {*written["equations"], *written["markers"], *written["taken"]}
        for i, label in enumerate(labels):
            if label in known or (label is not None and label in labels[:i]):
                yield ("references", i, "name"), f"{label!r} is taken; choose another name"

    def conflicts(self) -> Iterator[tuple[Place, str]]:
        """Find a policy that does not decide at the landmark, and weights without a horizon."""
        if self.policy and (fault := self.policy.landmark_fault(self.landmark_weeks)):
            yield ("policy",), fault
        if self.censored_early == "weight" and self.endpoint.months is None:
            yield (
                ("censored_early",),
                f"weight needs an endpoint by progression; {self.endpoint.name} has no horizon. "
                "Remove the key or change the endpoint",
            )

    @property
    def mixed_regimens(self) -> bool:
        """Whether other regimens than anti-PD-(L)1 monotherapy are eligible."""
        return not MONOTHERAPY.issuperset(self.eligible_regimens)

    @classmethod
    def load(cls, path: str | Path, *, endpoint: Endpoint | None = None) -> Study:
        """Read a study file.

        Parameters
        ----------
        path : path
            The YAML file.
        endpoint : str, mapping or EndpointRule, optional
            Takes the place of the file's endpoint rule.

        Raises
        ------
        FileError
            If it cannot be read.
        DataError
            If it is not YAML or anything in it is wrong; all faults are listed.
        """
        study, faults = cls.read(path, endpoint=endpoint)
        if study is None or faults:
            raise DataError(f"{path}: {faults_in_words(faults, 'study file')}")
        return study

    @classmethod
    def read(
        cls, path: str | Path, *, endpoint: Endpoint | None = None
    ) -> tuple[Study | None, list[Fault]]:
        """Read a study file as far as it can be read.

        Parameters
        ----------
        path, endpoint
            As for :meth:`load`.

        Returns
        -------
        study : Study or None
            Without the sections that have faults; None where none is left to be read.
        faults : list of Fault
            Everything wrong, in all sections, in the order of the lines.

        Raises
        ------
        FileError, DataError
            If the file cannot be read or is not YAML.
        """
        path = Path(path)
        whole = read_mapping(path, "study file")
        whole |= {} if endpoint is None else {"endpoint": endpoint}
        document = whole
        found: dict[tuple[Place, str], None] = {}
        wrong: set[str | int] = set()
        study = None
        while study is None:
            try:
                study = cls.model_validate(document, context={"folder": path.parent})
            except ValidationError as error:
                found |= dict.fromkeys(faults_of(error))
                more = {place[0] for place, _ in found if place} - wrong
                wrong |= more
                if not more or wrong & {"stratify", "cohorts"}:
                    break
                document = {key: value for key, value in whole.items() if key not in wrong}
                document |= {"name": "study"} if "name" in wrong else {}
        if study is not None:
            study = study.model_copy(update={"source": path.resolve()})
        return study, faults_of_study(path, found)

    def named(self) -> Iterator[NamedColumn]:
        """Every column that the sections name, by its place."""
        yield from (
            NamedColumn(("features", i), name) for i, name in enumerate(self.features or [])
        )
        yield from (
            NamedColumn(("references", i, "column"), each.column, required=True)
            for i, each in enumerate(self.references)
        )
        sections = {
            "policy": self.policy.named(self.landmark_weeks) if self.policy else (),
            "effect": self.effect.named() if self.effect else (),
        }
        for section, columns in sections.items():
            yield from (each._replace(place=(section, *each.place)) for each in columns)

    @property
    def folder(self) -> Path:
        """Folder of the data files; ``${NAME:-default}`` is replaced from the environment.

        A value from the environment is relative to the working folder, anything else to the
        study file.
        """
        base = self.source.parent if self.source else Path.cwd()
        match = re.match(r"^\$\{(\w+)(?::-([^}]*))?\}(.*)$", self.data)
        if not match:
            return (base / self.data).resolve()
        name, default, rest = match.groups()
        if os.environ.get(name):
            return Path(os.environ[name] + rest).resolve()
        if default is None:
            raise DataError(f"data: the environment variable {name} is not set.")
        return (base / (default + rest)).resolve()

    def require_effect(self) -> Estimand:
        """Give the `effect` section.

        Raises
        ------
        DataError
            If there is none.
        """
        if self.effect is None:
            raise DataError(
                f"{self.source or self.name}: the study has no `effect` section; say which arms "
                "are compared, for example `effect: {assignment: randomised, alternative: {name: "
                "combination, arms: [A + B]}, reference: {name: monotherapy, arms: [A]}}`."
            )
        return self.effect

    def resolved(self) -> dict[str, Any]:
        """Return the study with defaults filled in (but those of columns), as data for YAML."""
        document = self.model_dump(mode="json", exclude={"endpoint"})
        document["endpoint"] = self.endpoint.stated
        document["data"] = str(self.folder)
        for section in ("policy", "effect", "model"):
            if (stated := getattr(self, section)) is not None:
                document[section] = stated.model_dump(mode="json", exclude_unset=True)
        for cohort, plain in zip(self.cohorts, document["cohorts"], strict=True):
            for table, entry in zip(cohort.tables, plain["tables"], strict=True):
                entry["panels"] = table.model_dump(mode="json", exclude_defaults=True).get(
                    "panels", {}
                )
        return document


def faults_of_study(path: Path, faults: Iterable[tuple[Place, str]]) -> list[Fault]:
    """Faults of a study with their lines; those inside a policy file with its name and lines."""
    faults = list(faults)
    file = read_mapping(path, "study file").get("policy") if faults else None
    if not isinstance(file, str):
        return located(faults, path)
    inside = [each for each in faults if each[0][:1] == ("policy",) and len(each[0]) > 1]
    policy = path.parent / file
    own = located([each for each in faults if each not in inside], path)
    return own + (located(inside, policy, str(policy)) if inside else [])

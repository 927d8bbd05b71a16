"""The model registry: versions of a study's model, and which of them is approved.

Aliases: ``candidate`` (the newest), ``champion`` (approved), ``archived`` (the champion before).
"""

from __future__ import annotations

import datetime as dt
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stratify.errors import ArgumentError, BundleError
from stratify.tracking.store import opened, store_uri

if TYPE_CHECKING:
    from stratify.tracking.record import RunRecord

__all__ = ["approve", "bundle_folder", "is_registered", "register", "versions"]


def model_name(study: str) -> str:
    """Name of a study's registered model; MLflow takes no slash and no colon.

    Examples
    --------
    >>> model_name("trial/2024: A")
    'trial_2024_ A'
    """
    return study.replace("/", "_").replace(":", "_")


def register(client: Any, run_id: str, record: RunRecord) -> str:
    """Register the model of a run as the candidate, once; give MLflow's id of the model."""
    from mlflow.exceptions import MlflowException

    name = model_name(record.experiment)
    (output,) = client.get_run(run_id).outputs.model_outputs[-1:]
    model_id = str(output.model_id)
    if client.search_model_versions(f"run_id = '{run_id}'", max_results=1):
        return model_id
    try:
        client.create_registered_model(
            name,
            description="Risk of primary resistance to immune checkpoint inhibitors. Research use "
            "only. Alias `champion`: approved by comparison on external cohorts.",
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(
        name,
        f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        tags={
            "approval": "candidate",
            "bundle": record.tags["model_version"],
            "endpoint_rule": record.tags["endpoint_rule"],
            "evidence_class": record.tags["evidence_class"],
        },
        description=record.tags["mlflow.note.content"].partition("\n")[0].replace("*", ""),
    )
    former = versions(client, name).get("candidate")
    client.set_registered_model_alias(name, "candidate", version.version)
    if former is not None and former != str(version.version):
        client.set_model_version_tag(name, former, "approval", "superseded")
    return model_id


def is_registered(bundle: str | Path) -> bool:
    """Whether a bundle is named by its place in MLflow and not by a folder.

    Examples
    --------
    >>> is_registered("models:/demo@champion"), is_registered("results/demo/bundle")
    (True, False)
    """
    return str(bundle).startswith(("models:/", "runs:/"))


def bundle_folder(bundle: str | Path, store: str | Path) -> Path:
    """Folder of a bundle, wherever it is.

    ``models:/NAME@ALIAS``, ``models:/NAME/VERSION`` and ``runs:/RUN`` are looked up in a store; any
    other name is a folder already.
    """
    if not is_registered(bundle):
        return Path(bundle)
    uri = store_uri(store)
    place = str(bundle).rstrip("/")
    with opened(uri, ending="Name another store with --store.") as client:
        import mlflow
        from mlflow.exceptions import MlflowException

        try:
            model = client.get_logged_model(_model_id(client, place))
            folder = mlflow.artifacts.download_artifacts(
                f"{model.artifact_location}/artifacts/bundle", tracking_uri=uri
            )
        except (MlflowException, OSError) as error:
            raise BundleError(
                f"{bundle} holds no bundle of stratify, or its artefacts are gone "
                f"({type(error).__name__}). Name another version."
            ) from error
    return Path(folder)


def _model_id(client: Any, place: str) -> str:
    """MLflow's id of a model that is named by its place in the registry, or by its run."""
    if place.startswith("models:/"):
        version = client.get_model_version(*_named_version(client, place))
        return str(version.source).removeprefix("models:/")
    run = client.get_run(place.removeprefix("runs:/").partition("/")[0])
    models = run.outputs.model_outputs if run.outputs else []
    return str(models[-1].model_id) if models else ""


def _named_version(client: Any, place: str) -> tuple[str, str]:
    """Name and version of ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``."""
    from mlflow.exceptions import MlflowException

    rest = place.removeprefix("models:/")
    name, at, alias = rest.rpartition("@")
    if not at:
        name, slash, alias = rest.rpartition("/")
        if not slash:
            name, alias = rest, "champion"
    try:
        known = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = sorted(model.name for model in client.search_registered_models(max_results=100))
        raise ArgumentError(
            f"There is no registered model {name!r}; the store has {', '.join(names) or 'none'}."
        ) from None
    if not at and alias.isdigit():
        numbers = {v.version for v in client.search_model_versions(f"name = '{name}'")}
        if int(alias) not in {int(number) for number in numbers}:
            there = ", ".join(sorted(map(str, numbers), key=int))
            raise ArgumentError(f"Model {name} has no version {alias}; it has {there}.")
        return name, alias
    if alias not in known.aliases:
        there = ", ".join(f"{a} (version {v})" for a, v in sorted(known.aliases.items()))
        raise ArgumentError(f"Model {name} has no alias {alias!r}; it has {there or 'none'}.")
    return name, str(known.aliases[alias])


def versions(client: Any, name: str) -> dict[str, str]:
    """Version by alias of a registered model; empty where there is no such model."""
    from mlflow.exceptions import MlflowException

    try:
        return {a: str(v) for a, v in client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}


def approve(client: Any, name: str, version: str, reason: str) -> None:
    """Make a version the champion; the champion before is archived."""
    former = versions(client, name).get("champion")
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    if former is not None and former != version:
        client.set_registered_model_alias(name, "archived", former)
        client.set_model_version_tag(name, former, "approval", "archived")
        client.set_model_version_tag(name, former, "archived_on", today)
    approval = {"approval": "champion", "approved_on": today, "approved_by": _user()}
    for tag, value in (approval | {"approved_because": reason}).items():
        client.set_model_version_tag(name, version, tag, value)
    client.set_registered_model_alias(name, "champion", version)
    if versions(client, name).get("candidate") == version:
        client.delete_registered_model_alias(name, "candidate")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"

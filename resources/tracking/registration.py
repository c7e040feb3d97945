"""A logged model made a version of a registered model, and what registered models remember."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resources.records.tags import tags_to_write
from resources.tracking.client import use_uri
from resources.tracking.fits import MODEL_ID, is_complete
from resources.tracking.versions import (
    FILE,
    IDENTITY,
    LINEAGE,
    PROMOTED_AT,
    SHA256,
    DeletedError,
    TrackingError,
    Version,
    utc,
    version_of,
)


@dataclass(frozen=True)
class Registration:
    """A logged model that is to become a version of `name`."""

    name: str
    run_id: str
    identity: str
    tags: Mapping[str, str]


def create_version(client: Any, uri: str, registration: Registration) -> int:
    """Make the version and return its number; look first whether it is there, because a second call makes a second."""
    run = client.get_run(registration.run_id)
    if run.info.lifecycle_stage == "deleted":
        raise DeletedError("run", f"{run.info.run_name!r} of {registration.name!r}", registration.run_id)
    if not is_complete(run):
        raise TrackingError(
            f"run {registration.run_id} of {registration.name!r} is not completely logged: log the fit again first"
        )
    _register_name(client, registration.name)
    of_the_run = {tag: run.data.tags[tag] for tag in (SHA256, FILE, LINEAGE) if tag in run.data.tags}
    labels = tags_to_write({**registration.tags, IDENTITY: registration.identity, **of_the_run})
    model, source = run.data.tags[MODEL_ID], f"models:/{run.data.tags[MODEL_ID]}"
    with use_uri(uri):
        version = client.create_model_version(
            registration.name, source, registration.run_id, tags=labels, model_id=model
        )
    return int(version.version)


def link_model(client: Any, registration: Registration, number: int) -> None:
    """Leave what MLflow's own registration leaves on the logged model, so that its page links to the version."""
    model_id = client.get_run(registration.run_id).data.tags[MODEL_ID]
    link = json.dumps([{"name": registration.name, "version": number}])
    client.set_logged_model_tags(model_id, {"mlflow.modelVersions": link})


def anchors_of(client: Any, tag: str) -> dict[str, tuple[int, str]]:
    """The entry of the audit log that a tag names, by registered model, of those that have it."""
    named = ((model.name, anchor_of(model.tags.get(tag))) for model in models_of(client))
    return {name: anchor for name, anchor in named if anchor}


def models_of(client: Any) -> list[Any]:
    """All registered models, in order of name."""
    models, token = [], None
    while True:
        page = client.search_registered_models(max_results=200, page_token=token)
        models += page
        token = page.token
        if not token:
            return sorted(models, key=lambda model: model.name)


def aliased(client: Any, name: str, alias: str) -> Version | None:
    """The version under an alias; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return version_of(client.get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def anchor_of(text: str | None) -> tuple[int, str] | None:
    """Number and hash of the entry of the audit log that a tag names."""
    return (int(text.split()[0]), text.split()[1]) if text else None


def standing(client: Any, name: str, alias: str, tag: str) -> tuple[int | None, tuple[int, str] | None]:
    """The version under an alias, and the entry that a tag names; both None where there is no such model."""
    from mlflow.exceptions import MlflowException

    try:
        registered = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None, None
        raise
    version = registered.aliases.get(alias)
    return int(version) if version else None, anchor_of(registered.tags.get(tag))


def record_promotion(
    client: Any, versions: Sequence[Version], name: str, number: int, moment: datetime
) -> None:
    """Write down that a version became champion at a moment, and that no other one did at that moment."""
    if number not in [version.number for version in versions]:
        raise TrackingError(
            f"{name} version {number}, which the audit log makes champion, is not in the registry: it was deleted; "
            f"`mlops rollback {name} --to VERSION --by NAME --reason WHY` makes another one champion"
        )
    for version in versions:
        before, at = set(version.promotions), {utc(moment)}
        after = before | at if version.number == number else before - at
        if after != before:
            text = ", ".join(m.isoformat() for m in sorted(after))
            client.set_model_version_tag(name, str(version.number), PROMOTED_AT, text)


def version(client: Any, name: str, number: int) -> Version:
    """One version by its number; TrackingError where it is gone."""
    with _named_if_gone(name, number):
        return version_of(client.get_model_version(name, str(number)))


def home_of(client: Any, version: Version) -> str:
    """Where the version's files lie; TrackingError where it is gone."""
    with _named_if_gone(version.name, version.number):
        return client.get_model_version_download_uri(version.name, str(version.number))


@contextmanager
def _named_if_gone(name: str, number: int) -> Iterator[None]:
    """Say of a version that is not there which it is, and what to do."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise TrackingError(
            f"{name} version {number} is not in the registry: it or the model was deleted, which MLflow cannot undo; "
            f"train again, or roll back to a version that is there"
        ) from error


def _register_name(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise

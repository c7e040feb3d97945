"""A logged model made a version of a registered model, and what registered models remember."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resources.mlflow_client import use_uri
from resources.runs import MODEL_ID, is_complete
from resources.versions import FILE, IDENTITY, LINEAGE, SHA256, TrackingError


@dataclass(frozen=True)
class Registration:
    """A logged model that is to become a version of `name`."""

    name: str
    run_id: str
    identity: str
    tags: Mapping[str, str]


def create_version(client: Any, uri: str, wanted: Registration) -> int:
    """Make the version and return its number; look first whether it is there, because a second call makes a second."""
    run = client.get_run(wanted.run_id)
    if not is_complete(run):
        raise TrackingError(
            f"run {wanted.run_id} of {wanted.name!r} is not completely logged: log the fit again first"
        )
    _register_name(client, wanted.name)
    of_the_run = {tag: run.data.tags[tag] for tag in (SHA256, FILE, LINEAGE) if tag in run.data.tags}
    labels = {**wanted.tags, IDENTITY: wanted.identity, **of_the_run}
    model, source = run.data.tags[MODEL_ID], f"models:/{run.data.tags[MODEL_ID]}"
    with use_uri(uri):
        made = client.create_model_version(wanted.name, source, wanted.run_id, tags=labels, model_id=model)
    return int(made.version)


def link_model(client: Any, made: Registration, number: int) -> None:
    """Leave what MLflow's own registration leaves on the logged model, so that its page links to the version."""
    model_id = client.get_run(made.run_id).data.tags[MODEL_ID]
    link = json.dumps([{"name": made.name, "version": number}])
    client.set_logged_model_tags(model_id, {"mlflow.modelVersions": link})


def anchor_texts(client: Any, tag: str) -> dict[str, str]:
    """The value of a tag by registered model, of those that have it."""
    texts, token = {}, None
    while True:
        page = client.search_registered_models(max_results=200, page_token=token)
        texts |= {model.name: model.tags[tag] for model in page if tag in model.tags}
        token = page.token
        if not token:
            return dict(sorted(texts.items()))


def _register_name(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise

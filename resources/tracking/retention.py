"""What MLflow keeps of fits that came to nothing: the trials of long ago go, with their files.

Only what this platform logged as a trial can go, and only where no registered version of any model was made of it. A
search keeps its own run, which its record in the lake names; records of trials stay in the lake. Runs of challengers
and refits stay: versions, lineages and comparisons are made of them.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from shutil import rmtree
from typing import Any

from resources.state_folder import size_of
from resources.tracking.client import is_database, local_path
from resources.tracking.fits import KIND
from resources.tracking.searches import SEARCH_TRIAL

TRIALS = ("trial", SEARCH_TRIAL)
GOING = "retention"
"""Tag of a run that is being removed: MLflow may have it deleted already when the process is killed."""

AT_ONCE = 500


def retire(client: Any, address: str, before: datetime, dry: bool = False) -> tuple[int, int]:
    """Remove trials that ended before a moment; how many, and the bytes of their files on this machine.

    A database is MLflow's own here, and they are gone for good. A server only marks them as deleted: its owner removes
    those with `mlflow gc`.
    """
    needed = _made_of(client)
    number = freed = 0
    for run in _trials(client, before):
        if run.info.run_id in needed:
            continue
        number += 1
        freed += sum(size_of(folder) for folder in _folders(client, run))
        if not dry:
            _remove(client, address, run)
    return number, freed


def _made_of(client: Any) -> set[str]:
    """The runs that registered versions were made of, of all models."""
    return {one.run_id for one in _pages(client.search_model_versions, "")}


def _trials(client: Any, before: datetime) -> Iterator[Any]:
    from mlflow.entities import ViewType

    until = int(before.timestamp() * 1000)
    homes = [home.experiment_id for home in _pages(client.search_experiments)]
    for kind in TRIALS:
        query = f"tags.{KIND} = '{kind}' and attributes.end_time < {until}"
        for view, rule in (
            (ViewType.ACTIVE_ONLY, query),
            (ViewType.DELETED_ONLY, f"tags.{GOING} = '{kind}'"),
        ):
            if homes:
                yield from list(_pages(client.search_runs, homes, rule, view))


def _pages(search: Any, *arguments: Any) -> Iterator[Any]:
    """All that a search of MLflow finds."""
    token = None
    while True:
        page = search(*arguments, max_results=AT_ONCE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _remove(client: Any, address: str, run: Any) -> None:
    """One trial, its files before it: whatever is left is found again by its tag."""
    number, store = run.info.run_id, client._tracking_client.store
    if run.info.lifecycle_stage == "active":
        client.set_tag(number, GOING, run.data.tags[KIND])
        client.delete_run(number)
    for model in _models(client, run):
        if is_database(address):
            _remove_folder(model.artifact_location)
            store._hard_delete_logged_model(model.model_id)
        else:
            client.delete_logged_model(model.model_id)
    if is_database(address):
        _remove_folder(run.info.artifact_uri)
        store._hard_delete_run(number)


def _models(client: Any, run: Any) -> list[Any]:
    query = f"source_run_id = '{run.info.run_id}'"
    return list(client.search_logged_models([run.info.experiment_id], query))


def _folders(client: Any, run: Any) -> Iterator[Path]:
    for address in (run.info.artifact_uri, *(model.artifact_location for model in _models(client, run))):
        folder = local_path(address)
        if folder and Path(folder).is_dir():
            yield Path(folder)


def _remove_folder(address: str) -> None:
    """Files of a run or a model, on this machine or through MLflow's own door."""
    folder = local_path(address)
    if folder is None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        get_artifact_repository(address).delete_artifacts()
    elif Path(folder).is_dir():
        rmtree(folder)

"""Which replaced contents of source partitions may go: those that no registered version and no partition is made of.

Whatever cannot be asked or read refuses the whole: a version that cannot say what it is made of may be made of anything.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from resources.audit.log import Audit
from resources.lake.lake import Lake
from resources.lake.versions import TableVersion, kept_versions, made_of_now, remove_version
from resources.records.lineage import FILE, Lineage, LineageError, partitions
from resources.systems import Systems
from resources.tracking.tracking import Tracking, TrackingError, Version
from resources.tracking.versions import LINEAGE

Key = tuple[str, str, str]
"""Table, partition and hash."""


class RetentionError(Exception):
    """It cannot be told what is still needed, so nothing is removed."""


def removable(
    systems: Systems,
    gone: Collection[str] = (),
    tell: Callable[[str], Any] = print,
) -> list[TableVersion]:
    """Kept contents that nobody names, after everyone who may was asked; raises RetentionError where one cannot be.

    `gone` are models that were deleted on purpose: the audit log knows them, and MLflow need not.
    """
    _refuse_another_registry(systems.tracking, systems.audit, gone)
    storage = systems.lake.storage
    versions = kept_versions(storage)
    needed = {*named_by_versions(systems.tracking, tell), *made_of_now(storage)} if versions else set()
    return [version for version in versions if version.key not in needed]


def remove(lake: Lake, versions: list[TableVersion], tell: Callable[[TableVersion], Any] = print) -> int:
    """Remove kept contents, and return how many bytes that frees; killed in between, the same again ends it."""
    for version in versions:
        remove_version(lake.storage, version)
        tell(version)
    return sum(version.size for version in versions)


def named_by_versions(tracking: Tracking, tell: Callable[[str], Any] = print) -> Iterator[Key]:
    """All that the lineages of all registered versions of all models name."""
    if waiting := tracking.undelivered():
        raise RetentionError(
            f"{waiting} fits or registrations have not reached MLflow yet, and what they are made of is not known: "
            f"nothing is removed. Start any Dagster run, which delivers them, and try again"
        )
    with _refusing():
        versions = [version for model in tracking.models() for version in tracking.versions(model)]
    for version in versions:
        yield from _named_by(version, tracking, tell)


def _refuse_another_registry(tracking: Tracking, audit: Audit, gone: Collection[str]) -> None:
    """An MLflow that never heard of a model that was trained here is another one, and knows nothing of what is needed."""
    with _refusing():
        registered = {*tracking.models(), *gone}
    trained = {entry.model for entry in audit.entries(kinds=("trained",)) if entry.model}
    if unknown := sorted(trained - registered):
        raise RetentionError(
            f"{', '.join(unknown)}: trained here by the audit log, and not registered in MLflow: nothing is removed. "
            f"Set MLFLOW_TRACKING_URI to the right one, or name with --gone what was deleted on purpose"
        )


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except TrackingError as error:
        raise RetentionError(f"{error}: nothing is removed") from error


def _named_by(version: Version, tracking: Tracking, tell: Callable[[str], Any]) -> Iterator[Key]:
    digest = version.tags.get(LINEAGE)
    if digest is None:
        tell(f"{version.name}@{version.number}: registered before lineage was recorded, names nothing")
        return
    try:
        with _refusing():
            lineage = Lineage.read(tracking.artifact(version, FILE), digest)
    except (LineageError, OSError) as error:
        raise RetentionError(
            f"{version.name}@{version.number} cannot say what it is made of: {error}; nothing is removed"
        ) from error
    yield from partitions(lineage.sources)
    yield from partitions(lineage.tables)

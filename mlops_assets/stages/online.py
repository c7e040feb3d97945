"""The online store brought up to a partition's end."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops_assets.ml.provenance.code_digest import code_digest
from mlops_assets.ml.provenance.digest import Fingerprint, digest
from mlops_assets.spec.calendar import Calendar, Partition
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import feature_table, online_key
from mlops_assets.stages.held import bounds, standing
from resources.addresses import revealed, shown
from resources.features.store import FeatureStoreResource
from resources.features.vectors import Brought
from resources.lake.lake import Lake, as_json
from resources.lake.names import PUSHED, WHOLE
from resources.lake.pushed_span import part_now
from resources.records.documents import load_record, online_in
from resources.records.progress import OnlineContent

BASIS = "features online"


WRITES = (
    "feature_repo.online_store.engine:BulkEngine",
    "feature_repo.online_store.sqlite.store:BulkSqliteOnlineStore",
    "feature_repo.online_store.redis.store:BulkRedisOnlineStore",
)


def of_online(
    use_case: str,
    calendar: Calendar,
    views: Sequence[str],
    lake: Lake,
    feature_store: FeatureStoreResource,
    partition: str,
) -> Fingerprint:
    """The partition's rows of every view, and those that were pushed beside them; the definitions, and which store it is."""
    span = calendar.partition(partition)
    tables = {view: feature_table(use_case, view) for view in views}
    pushed = {view: part_now(lake.folder(table), span.start, span.end) for view, table in tables.items()}
    return {
        "code": code_digest(WRITES),
        "feature definitions": digest(
            {name: feature_store.definition_version(name) for name in feature_store.services()}
        ),
        "online store": shown(revealed(feature_store.online_store)) or "SQLite",
        **{table: hash_of(lake, table, calendar, span) for table in tables.values()},
        **{f"{tables[view]} {PUSHED}": part.sha256 for view, part in pushed.items() if part},
    }


def reaches(until: datetime | None, recorded: Collection[str], span: Partition, _: str) -> bool:
    """Whether the online store, which says that it was brought up `until` then, holds what was known by a partition's end.

    `recorded` are the partitions that the lake says are online.
    """
    return until is not None and span.name in recorded and until >= span.end


@dataclass(frozen=True)
class Online:
    """What a run brought online: content by partition, the span that was asked for, and what happened to each view."""

    content: dict[str, str]
    start: datetime
    end: datetime
    views: list[Brought]


def bring_online(
    use_case: str,
    calendar: Calendar,
    views: Sequence[str],
    lake: Lake,
    feature_store: FeatureStoreResource,
    partitions: Sequence[str],
    progress: Callable[[Brought], Any] | None = None,
) -> Online:
    """Materialise some partitions and all later ones, then say in the lake which content is online."""
    content = {partition: content_of(use_case, calendar, lake, views, partition) for partition in partitions}
    ready = online_content(lake, use_case) | content
    start, end = _since(use_case, calendar, lake, views, partitions[0]), calendar.partition(max(ready)).end
    brought = feature_store.materialize(list(views), start, end, progress)
    _say_online(lake, use_case, content)
    return Online(content, start, end, brought)


def _say_online(lake: Lake, use_case: str, content: Mapping[str, str]) -> None:
    """Write into the record which content is online, beside what runs at the same time write there."""

    def added(before: bytes | None) -> bytes:
        record = OnlineContent(partitions={**online_in(before, online_key(use_case)), **content})
        return as_json(record.document(), f"the record {online_key(use_case)!r}", indent=1).encode()

    lake.storage.update(f"{online_key(use_case)}.json", added)


def online_content(lake: Lake, use_case: str) -> dict[str, str]:
    """The hash of the rows that are online, by partition."""
    record = load_record(lake, OnlineContent, online_key(use_case))
    return dict(record.partitions) if record else {}


def basis(spec: ModelSpec, lake: Lake, partition: str) -> dict[str, str | None]:
    """Which content of the partition's features a report rests on."""
    return {BASIS: online_content(lake, spec.use_case).get(partition)}


def content_of(use_case: str, calendar: Calendar, lake: Lake, views: Sequence[str], partition: str) -> str:
    """Hash of a partition's rows of these views, as they are in the lake."""
    span = calendar.partition(partition)
    hashes = [hash_of(lake, feature_table(use_case, view), calendar, span) for view in views]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def hash_of(lake: Lake, table: str, calendar: Calendar, span: Partition) -> str:
    """Hashes of the partitions of a table that hold what is newest in a span; one for a table of the same cadence."""
    return "".join(lake.manifest(table, name).sha256 for name in standing(lake, table, calendar, span))


def _since(use_case: str, calendar: Calendar, lake: Lake, views: Sequence[str], partition: str) -> datetime:
    """Where the rows begin that a partition brings: of a table with longer partitions, where the one begins that holds them."""
    span = calendar.partition(partition)
    tables = [feature_table(use_case, view) for view in views]
    held = [
        (table, name) for table in tables for name in standing(lake, table, calendar, span) if name != WHOLE
    ]
    return min([span.start, *(bounds(lake, table, name, calendar)[0] for table, name in held)])

"""What a call asks of each feature view: its source, join keys, features under their names in the result, and life."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from feast import FeatureView
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.offline_stores.file_source import FileSource
from feast.utils import _parse_feature_ref

from .asking import EntityRows, ViewRequest
from .files import Place, SourceError, place
from .sources import Source


class RequestError(ValueError):
    """What was asked for cannot be answered as it stands; the message names the value, the rule and the fix."""


def view_requests(
    views: Sequence[FeatureView], refs: Iterable[str], full_names: bool, repo_path: Path | str | None
) -> list[ViewRequest]:
    """One request a view, in the order of the views; a feature that is asked for twice comes once.

    Raises RequestError where two features would have the same name in the result.
    """
    references = [_parse_feature_ref(ref) for ref in dict.fromkeys(refs)]
    requests = []
    for view in views:
        used = view.projection.name_to_use()
        features = [feature for name, version, feature in references if _versioned(name, version) == used]
        requests.append(_request(view, list(dict.fromkeys(features)), full_names, repo_path))
    twice = [name for name, n in Counter(c for r in requests for c in r.columns).items() if n > 1]
    if twice:
        raise RequestError(
            f"{', '.join(twice)}: features of several views that would have the same name in the result: "
            "ask with full_feature_names=True"
        )
    return requests


def check(entities: EntityRows, requests: Sequence[ViewRequest]) -> None:
    """Raise RequestError for entity rows that lack a join key, or have a column of a feature's name."""
    there = entities.table.column_names
    for request in requests:
        missing = [key for key in request.entity_keys if key not in there]
        if missing:
            raise RequestError(
                f"the entity rows lack {', '.join(missing)}, by which view {request.name!r} is joined; "
                f"they have {', '.join(there)}"
            )
        taken = [name for name in request.columns if name in there]
        if taken:
            raise RequestError(
                f"the entity rows have a column {', '.join(taken)}, which is also a feature of view {request.name!r}: "
                "rename it, or ask with full_feature_names=True"
            )


def place_of(data: DataSource | None, owner: str, repo_path: Path | str | None) -> Place:
    """Where a FileSource of parquet or Arrow IPC lies. Raises SourceError for any other source."""
    if not isinstance(data, FileSource):
        raise SourceError(
            f"{owner}: its source is {type(data).__name__}: this store reads FileSource (parquet, Arrow)"
        )
    if not isinstance(data.file_format, ParquetFormat | None):
        raise SourceError(
            f"{owner}: {data.path} has the format {data.file_format}: this store reads parquet and Arrow IPC"
        )
    return place(data.path, repo_path, data.s3_endpoint_override or "")


def renamed(data: DataSource) -> dict[str, str]:
    """The source's column for each name that its field mapping gives."""
    return {new: old for old, new in (data.field_mapping or {}).items()}


def view_source(view: FeatureView, features: Sequence[str], repo_path: Path | str | None) -> Source:
    """What has to be read of a view's source for some of its features."""
    where = place_of(view.batch_source, f"view {view.name!r}", repo_path)
    data: Any = view.batch_source
    column = renamed(data)
    kinds = {field.name: str(field.dtype) for field in view.features}
    return Source(
        view=view.name,
        where=where,
        timestamp=str(column.get(data.timestamp_field, data.timestamp_field)),
        created=column.get(data.created_timestamp_column, data.created_timestamp_column) or None,
        keys=tuple(column.get(key, key) for key in join_keys(view)),
        features=tuple(column.get(name, name) for name in features),
        kinds={column.get(name, name): kinds[name] for name in features if name in kinds},
    )


def join_keys(view: FeatureView) -> list[str]:
    """The view's join keys by its own names, without the stand-in of a view that has no entity."""
    return [field.name for field in view.entity_columns if field.name != DUMMY_ENTITY_ID]


def _request(
    view: FeatureView, features: list[str], full_names: bool, repo_path: Path | str | None
) -> ViewRequest:
    source = view_source(view, features, repo_path)
    alias = view.projection.join_key_map
    prefix = f"{view.projection.name_alias or view.name}__" if full_names else ""
    return ViewRequest(
        name=view.name,
        source=source,
        entity_keys=tuple(alias.get(key, key) for key in join_keys(view)),
        columns={prefix + name: column for name, column in zip(features, source.features, strict=True)},
        ttl=view.ttl or None,
    )


def _versioned(name: str, version: int | None) -> str:
    return name if version is None else f"{name}@v{version}"

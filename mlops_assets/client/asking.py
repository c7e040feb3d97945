"""Entity rows of somebody's own, joined with features of a service or of a list of names."""

from collections.abc import Sequence

import polars as pl

from mlops_assets.client.errors import ClientError
from resources.features.chosen_store import CHOSEN, chosen_features
from resources.features.store import FeatureStoreResource


def joined(
    store: FeatureStoreResource, rows: pl.DataFrame, features: str | Sequence[str], time: str
) -> pl.DataFrame:
    """The rows with the features as they were known at `time`. Raises ClientError for rows that do not say one thing."""
    resource, service = named(store, features)
    refuse_unclear(rows, time, set(resource.feature_columns(service)))
    moments = rows.with_columns(pl.col(time).dt.convert_time_zone("UTC").dt.cast_time_unit("us"))
    answer = resource.historical(service, moments, time)
    return answer.with_columns(rows[time])


def named(store: FeatureStoreResource, features: str | Sequence[str]) -> tuple[FeatureStoreResource, str]:
    """The store and the service that features are asked by: a service's name, or CHOSEN of a list.

    Raises ClientError where the registry has not what the code defines now, so that a list could mean something else.
    """
    if not store.holds(store.definitions_hash()):
        raise ClientError(
            f"the feature registry of {store.use_case} is not what its definitions say now: materialize the asset "
            f"{store.use_case}/features/registry"
        )
    return (store, features) if isinstance(features, str) else (chosen_features(store, features), CHOSEN)


def refuse_unclear(rows: pl.DataFrame, time: str, features: set[str]) -> None:
    """Raise ClientError where a moment is missing or has no zone, or a column has the name of a feature."""
    if time not in rows.columns:
        raise ClientError(
            f"the rows have no column {time!r}, which says as of when features are asked for; they have: "
            f"{', '.join(rows.columns)}. Name it by `time`"
        )
    kind = rows.schema[time]
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise ClientError(
            f"column {time!r} is {kind}, and a moment has a zone: "
            f"`pl.col({time!r}).dt.replace_time_zone(ZONE)` says which"
        )
    if missing := rows[time].null_count():
        raise ClientError(
            f"column {time!r} has no moment in {missing} of {rows.height} rows: leave these rows out"
        )
    if taken := sorted(features & set(rows.columns)):
        raise ClientError(
            f"the rows have {', '.join(taken)}, which the join would replace by the feature of that name: rename or drop it"
        )

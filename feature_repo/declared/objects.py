"""Feast's objects of a description: an entity a key, a view a table, and services by the names of their features."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType, types

from feature_repo.declared.description import Declared, Key, Service, View

VALUE_TYPES = {
    "Bool": ValueType.BOOL,
    "Int32": ValueType.INT32,
    "Int64": ValueType.INT64,
    "String": ValueType.STRING,
    "UnixTimestamp": ValueType.UNIX_TIMESTAMP,
}


def objects_of(declared: Declared, others: Iterable[Any] = ()) -> list[Any]:
    """Entities, views and services; of `others`, a package's own objects, entities are shared and views may be chosen."""
    there = {(type(thing).__name__, thing.name): thing for thing in others}
    entities = {name: there.get(("Entity", name)) or entity(key) for name, key in declared.entities().items()}
    views = [view(one, entities) for one in declared.views]
    by_name = {thing.name: thing for (kind, _), thing in there.items() if kind.endswith("FeatureView")}
    by_name |= {one.name: one for one in views}
    new_entities = [thing for name, thing in entities.items() if ("Entity", name) not in there]
    return [*new_entities, *views, *(service(one, by_name) for one in declared.services)]


def entity(key: Key) -> Entity:
    """The entity that is found by one key."""
    return Entity(name=key.name, value_type=VALUE_TYPES[key.type], description=key.description)


def view(said: View, entities: dict[str, Entity]) -> FeatureView:
    """The view over a described table."""
    keys = [
        Field(name=key.name, dtype=getattr(types, key.type), description=key.description) for key in said.keys
    ]
    values = [
        Field(
            name=feature.name,
            dtype=getattr(types, feature.type),
            description=feature.description,
            tags={"unit": feature.unit} if feature.unit else {},
        )
        for feature in said.features
    ]
    return FeatureView(
        name=said.name,
        entities=[entities[key.name] for key in said.keys],
        ttl=timedelta(seconds=said.ttl_seconds),
        schema=keys + values,
        source=FileSource(
            name=said.name,
            path=said.source,
            timestamp_field=said.time,
            created_timestamp_column=said.created,
        ),
        description=said.description,
        tags=dict(said.tags),
        owner=said.owner,
    )


def service(said: Service, views: dict[str, Any]) -> FeatureService:
    """The service of the chosen features; raises ValueError where a view or a feature is not there."""
    parts = []
    for one in said.features:
        if one.view not in views:
            raise ValueError(
                f"feature service {said.name!r} takes features of the view {one.view!r}, which is not defined; there "
                f"are: {', '.join(sorted(views)) or 'none'}"
            )
        whole = views[one.view]
        known = [field.name for field in whole.features]
        if lacking := sorted(set(one.features or ()) - set(known)):
            raise ValueError(
                f"feature service {said.name!r} takes {', '.join(lacking)} of the view {one.view!r}, which has "
                f"{', '.join(known)}"
            )
        parts.append(whole if one.features is None else whole[list(one.features)])
    return FeatureService(name=said.name, features=parts, description=said.description, owner=said.owner)

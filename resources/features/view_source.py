"""Where the values of a feature view come from."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from resources.features.feature_repository import table_of

if TYPE_CHECKING:
    from feast import FeatureView


@dataclass(frozen=True)
class ViewSource:
    """A feature view's lake table, join keys, feature columns, and time to live (None: for ever)."""

    name: str
    table: str
    keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: timedelta | None


def source_of(view: "FeatureView") -> ViewSource:
    """Where a view's values come from."""
    return ViewSource(
        name=view.name,
        table=table_of(view),
        keys=tuple(view.join_keys),
        features=tuple(field.name for field in view.features),
        ttl=view.ttl or None,
    )

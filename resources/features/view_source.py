"""Where the values of a feature view come from."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class ViewSource:
    """A feature view's lake table, join keys, feature columns, and time to live (None: for ever)."""

    name: str
    table: str
    keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: timedelta | None

"""The systems that a stage works with, as one value."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from resources.alerts.outbox import Alerts
    from resources.audit.log import Audit
    from resources.clock import Clock
    from resources.compute.compute import Compute
    from resources.features.store import FeatureStoreResource
    from resources.lake.lake import Lake
    from resources.pages import Pages
    from resources.serving.log import ServingLogResource
    from resources.serving.ray_serve import Endpoint
    from resources.tracking.tracking import Tracking


class MissingSystemError(Exception):
    """A stage asked for a system that it was not given."""


class _Missing:
    """Stands where a system was not given, and says so to whoever asks anything of it."""

    def __init__(self, name: str):
        self.__dict__["name"] = name

    def __getattr__(self, attribute: str) -> Any:
        raise MissingSystemError(
            f"this stage was not given the system {self.__dict__['name']!r}, of which it asks {attribute!r}: "
            "name it in `uses` of its definition"
        )

    def __bool__(self) -> bool:
        return False


def _missing(name: str) -> Any:
    return cast(Any, _Missing(name))


@dataclass(frozen=True)
class Systems:
    """Lake, feature store, tracking, Ray, endpoint, audit log, serving log, alerts, the addresses of pages and the clock.

    What was not given raises MissingSystemError, with its name, when it is first asked for.
    """

    lake: "Lake" = field(default=_missing("lake"))
    feature_store: "FeatureStoreResource" = field(default=_missing("feature_store"))
    tracking: "Tracking" = field(default=_missing("tracking"))
    compute: "Compute" = field(default=_missing("compute"))
    endpoint: "Endpoint" = field(default=_missing("endpoint"))
    audit: "Audit" = field(default=_missing("audit"))
    serving_log: "ServingLogResource" = field(default=_missing("serving_log"))
    alerts: "Alerts" = field(default=_missing("alerts"))
    pages: "Pages" = field(default=_missing("pages"))
    clock: "Clock" = field(default=_missing("clock"))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From systems by name; names of anything else are left aside."""
        return cls(**{one.name: given[one.name] for one in fields(cls) if one.name in given})

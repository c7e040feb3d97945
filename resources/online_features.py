"""Feature vectors as an endpoint serves them: each value with the moment its content became known, and why it is null."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from feast import FeatureStore

UTC_TIME = pl.Datetime("us", "UTC")
PRESENT, NULL_VALUE, NOT_FOUND = "PRESENT", "NULL_VALUE", "NOT_FOUND"


@dataclass(frozen=True)
class OnlineVectors:
    """Rows with the features of a service as they were served.

    `frame` is the rows with a column a feature; `event_times` has a UTC microsecond Datetime column a feature (null
    where no value was found; of an on-demand feature, the newest of its inputs); `statuses` has a string column a
    feature: PRESENT, NULL_VALUE, NOT_FOUND or OUTSIDE_MAX_AGE.
    """

    frame: pl.DataFrame
    event_times: pl.DataFrame
    statuses: pl.DataFrame


Inputs = Mapping[str, Sequence[str]]
"""Of each feature, by its full name, the stored features that it is made of; of a stored one, itself."""


def inputs_of(service: Any, on_demand: Iterable[Any]) -> dict[str, list[str]]:
    """Full names (`view__feature`) of what each feature of a service is read or computed from, in its order."""
    behind = {
        view.name: [
            f"{p.name}__{f.name}" for p in view.source_feature_view_projections.values() for f in p.features
        ]
        for view in on_demand
    }
    return {
        f"{projection.name_to_use()}__{field.name}": behind.get(
            projection.name, [f"{projection.name_to_use()}__{field.name}"]
        )
        for projection in service.feature_view_projections
        for field in projection.features
    }


def read(
    store: "FeatureStore", inputs: Inputs, rows: Mapping[str, list[Any]]
) -> tuple[dict[str, list[Any]], pl.DataFrame, pl.DataFrame]:
    """Values by short name, event times and statuses of the features named in `inputs`."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    names = dict.fromkeys([*inputs, *(stored for behind in inputs.values() for stored in behind)])
    refs = [name.replace("__", ":", 1) for name in names]
    answer = store.get_online_features(refs, dict(rows), full_feature_names=True)
    values = answer.to_dict()
    found = dict(zip(answer.proto.metadata.feature_names.val, answer.proto.results, strict=True))
    times = {name: [_moment(t) for t in vector.event_timestamps] for name, vector in found.items()}
    status = {name: [FieldStatus.Name(s) for s in vector.statuses] for name, vector in found.items()}
    short = {full: full.split("__", 1)[1] for full in inputs}
    return (
        {short[full]: values[full] for full in inputs},
        pl.DataFrame(
            {
                short[full]: pl.Series(_newest([times[i] for i in behind]), dtype=UTC_TIME)
                for full, behind in inputs.items()
            }
        ),
        pl.DataFrame({short[full]: _statuses(values[full], status[full]) for full in inputs}),
    )


def nothing(names: Iterable[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Event times and statuses of no rows."""
    names = list(names)
    return pl.DataFrame(schema=dict.fromkeys(names, UTC_TIME)), pl.DataFrame(
        schema=dict.fromkeys(names, pl.String)
    )


def _newest(times: list[list[datetime | None]]) -> list[datetime | None]:
    return [max((t for t in row if t is not None), default=None) for row in zip(*times, strict=True)]


def _moment(stamp: Any) -> datetime | None:
    from datetime import UTC

    return stamp.ToDatetime(tzinfo=UTC) if stamp.seconds or stamp.nanos else None


def _statuses(values: list[Any], statuses: list[str]) -> list[str]:
    return [NULL_VALUE if s == PRESENT and v is None else s for v, s in zip(values, statuses, strict=True)]

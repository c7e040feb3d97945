"""ServedBatch requests as an endpoint hands them to its serving log."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

from resources.features.service import DescribedService, DescribedView
from resources.features.vectors import OnlineVectors
from resources.serving.log import ServedBatch

NOON = datetime(2013, 6, 3, 12, tzinfo=UTC)
WALL = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
SERVICE = DescribedService(
    name="pumps_v1",
    definition="a1",
    inputs=("pump", "hour"),
    views=(
        DescribedView("state", "v1", ("vibration", "label"), ("pump",), 3600.0),
        DescribedView("computed", "v2", ("ratio",), inputs=("state",)),
    ),
)


def answered(
    names: list[str],
    model: str = "stops",
    served_at: datetime = WALL,
    service: DescribedService = SERVICE,
    version: str = "3",
) -> ServedBatch:
    """One batch of requests by these ids; the first has no row in the online store."""
    rows, features = len(names), ("vibration", "label", "ratio")
    times = [None, *[NOON] * (rows - 1)]
    frame = pl.DataFrame(
        {
            "pump": [f"P{i}" for i in range(rows)],
            "hour": list(range(rows)),
            "form": ["not logged"] * rows,
            "vibration": pl.Series([None, *np.arange(1.0, rows)], dtype=pl.Float32),
            "label": pl.Series([None, *"b" * (rows - 1)], dtype=pl.String),
            "ratio": pl.Series([0.5] * rows, dtype=pl.Float32),
        }
    )
    return ServedBatch(
        model=model,
        version=version,
        service=service,
        requested_at=NOON,
        served_at=served_at,
        request_ids=names,
        vectors=OnlineVectors(
            frame,
            pl.DataFrame([pl.Series(name, times, pl.Datetime("us", "UTC")) for name in features]),
            pl.DataFrame({name: ["NOT_FOUND", *["PRESENT"] * (rows - 1)] for name in features}),
        ),
        scores=np.linspace(0, 1, rows),
    )

"""What two versions said of the same requests: the one that answered, and the one that scored copies of them in shadow."""

from datetime import datetime

import polars as pl

from resources.serving.log import (
    INSTANT,
    REQUEST,
    REQUESTED_AT,
    SCORE,
    SERVED_AT,
    VERSION,
    ServingLogResource,
)

CHAMPION, CHALLENGER = "champion", "challenger"
SCHEMA = {
    "request_id": pl.String(),
    "time": INSTANT,
    "served_at": INSTANT,
    CHAMPION: pl.Float64(),
    CHALLENGER: pl.Float64(),
}


def shadow_pairs(
    log: ServingLogResource, model: str, champion: str, version: str, since: datetime
) -> pl.DataFrame:
    """One row a request that the champion answered from `since` (wall clock) on and the version scored, oldest first.

    Columns: `request_id` (String), `time` (the moment as of which features were read, UTC), `served_at` (wall clock, UTC),
    `champion` and `challenger` (Float64), and the request's columns as they were logged.
    """
    shadows = log.since(model, since, shadows=True)
    if shadows.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    theirs = shadows.filter(pl.col(VERSION) == version).unique(REQUEST, keep="first")
    served = log.since(model, since)
    if served.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    scores = theirs.select(REQUEST, pl.col(SCORE).alias(CHALLENGER))
    pairs = served.filter(pl.col(VERSION) == champion).join(scores, on=REQUEST, maintain_order="left")
    inputs = {name for one in log.definitions(model).values() for name in one.inputs}
    facts = {REQUEST: "request_id", REQUESTED_AT: "time", SERVED_AT: "served_at", SCORE: CHAMPION}
    return pairs.select(
        *(pl.col(name).alias(called) for name, called in facts.items()),
        CHALLENGER,
        *(name for name in served.columns if name in inputs and name not in SCHEMA),
    )

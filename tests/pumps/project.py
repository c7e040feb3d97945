"""What a user with pumps writes: two tables, and a spec."""

from datetime import date, timedelta

import dagster as dg
import numpy as np
import polars as pl

from mlops_assets.assets.features import registry
from mlops_assets.assets.online import online_store
from mlops_assets.automation.jobs import ingest_job
from mlops_assets.components.model import ModelComponent
from mlops_assets.kit.tables import table_asset
from mlops_assets.ml.tables import Expectation
from mlops_assets.spec.calendar import Calendar, Partition
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import features_group, ingest_group
from mlops_assets.stages.tables import Table
from resources.lake.lake import Lake

UTC = pl.Datetime("us", "UTC")
WEEKS = Calendar(cadence="weekly", start=date(2024, 1, 1), end=date(2024, 3, 4))
PUMPS = [f"pump-{i:02d}" for i in range(12)]

SPEC = ModelSpec.model_validate(
    {
        "name": "pump_stops",
        "owner": "team:water",
        "task": "classification",
        "feature_service": "pump_stops_v1",
        "prediction": {"table": "pumps/checks", "key": ["check_id"], "time": "checked_at"},
        "label": {"column": "stopped_minutes", "above": 0, "known_at": "known_at"},
        "calendar": WEEKS.model_dump(),
        "trainer": {"rounds": 40, "parameters": {"max_depth": 3}, "threads": 1},
        "window": {"hold_out_days": 7, "minimum_days": 28},
        "gate": {"metric": "log_loss", "floors": {"auc": 0.6}},
        "retrain": {"cool_down_days": 14, "max_age_days": 14},
    }
)


def states(lake: Lake, span: Partition) -> pl.DataFrame:
    """Vibration of every pump and a score that its maker gives it, every six hours."""
    times = pl.datetime_range(span.start, span.end, "6h", closed="left", eager=True, time_unit="us")
    frame = pl.DataFrame({"pump": PUMPS}).join(times.alias("event_timestamp").to_frame(), how="cross")
    rng = np.random.default_rng(int(span.start.timestamp()))
    return frame.with_columns(
        vibration=pl.Series(rng.exponential(1.0, frame.height), dtype=pl.Float32),
        score=pl.Series(rng.normal(40, 5, frame.height), dtype=pl.Float32),
    ).sort("pump", "event_timestamp")


def checks(lake: Lake, span: Partition) -> pl.DataFrame:
    """A check an hour after each reading; a pump that vibrates is likely to stop within the next hours."""
    frame = states(lake, span).with_columns(checked_at=pl.col("event_timestamp") + timedelta(hours=1))
    rng = np.random.default_rng(int(span.start.timestamp()) + 1)
    stops = rng.random(frame.height) < 1 / (1 + np.exp(3 - 2 * frame["vibration"].to_numpy()))
    return frame.select(
        pl.format("{}@{}", "pump", pl.col("checked_at").dt.strftime("%Y%m%dT%H")).alias("check_id"),
        "pump",
        "checked_at",
        pl.Series("stopped_minutes", np.where(stops, 30.0, 0.0)),
        known_at=pl.col("checked_at") + timedelta(hours=5),
    )


def definitions(resources: dict) -> dg.Definitions:
    """The project: tables, feature store, one model."""
    schema = {"pump": pl.String, "event_timestamp": UTC, "vibration": pl.Float32, "score": pl.Float32}
    state = Expectation(schema=schema, keys=("pump", "event_timestamp"), time="event_timestamp")
    check_schema = {
        "check_id": pl.String,
        "pump": pl.String,
        "checked_at": UTC,
        "stopped_minutes": pl.Float64,
        "known_at": UTC,
    }
    check = Expectation(schema=check_schema, keys=("check_id",), time="checked_at")
    tables = [
        table_asset(
            Table("pumps/checks", checks, check, WEEKS, appearance={"group_name": ingest_group("pumps")})
        ),
        table_asset(
            Table(
                "pumps/features/pump_state",
                states,
                state,
                WEEKS,
                appearance={"group_name": features_group("pumps")},
            )
        ),
        registry("pumps"),
        online_store("pumps", WEEKS, ["pump_state"]),
    ]
    jobs = [ingest_job("pumps")]
    model = ModelComponent(SPEC).build_defs(None)  # type: ignore[arg-type]
    return dg.Definitions.merge(dg.Definitions(assets=tables, jobs=jobs, resources=resources), model)

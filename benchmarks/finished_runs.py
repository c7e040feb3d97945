"""Finished runs of many partitions, as a sensor asked for them, put into Dagster's tables in one statement."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from mlops_assets.automation.tries import BASIS_TAG, TRY_TAG
from mlops_assets.kit.run_tags import PARTITION_TAG, RUN_KEY_TAG, SENSOR_TAG


def add_runs(
    instance: dg.DagsterInstance, job: str, sensor: str, names: Sequence[str], basis: str = "new"
) -> None:
    """A finished run of each partition."""
    from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
    from dagster._core.test_utils import create_run_for_test
    from dagster._serdes import serialize_value

    tags = {SENSOR_TAG: sensor, BASIS_TAG: basis, TRY_TAG: "1"}
    done = dg.DagsterRunStatus.SUCCESS
    first = create_run_for_test(
        instance, job, status=done, tags={**tags, PARTITION_TAG: names[0], RUN_KEY_TAG: "0"}
    )
    body, moment = serialize_value(first), datetime(2026, 1, 1, tzinfo=UTC)
    runs, labels = [], []
    for number, name in enumerate(names[1:], start=1):
        run = f"{job}-{number:06d}"
        own = {**tags, PARTITION_TAG: name, RUN_KEY_TAG: f"{job}:{name}"}
        runs.append(
            {
                "run_id": run,
                "pipeline_name": job,
                "status": done.value,
                "run_body": body.replace(first.run_id, run).replace(names[0], name),
                "create_timestamp": moment,
                "update_timestamp": moment,
                "end_time": moment.timestamp(),
            }
        )
        labels += [{"run_id": run, "key": key, "value": value} for key, value in own.items()]
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(RunsTable.insert(), runs)
        connection.execute(RunTagsTable.insert(), labels)

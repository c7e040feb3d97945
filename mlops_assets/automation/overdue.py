"""The alarm of a partition that is not there beyond its limit: a failed check on its table, once for each."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dagster as dg

from mlops_assets.kit.arrivals import ARRIVES, overdue_numbers
from mlops_assets.kit.checks import plain
from mlops_assets.stages.arrivals import Looks, overdue_name
from mlops_assets.stages.ingestion import Awaited

REMEMBERED_ALARMS = 200
EVALUATED = dg.DagsterEventType.ASSET_CHECK_EVALUATION


def alarms(
    instance: dg.DagsterInstance,
    looks: Looks,
    waiting: Sequence[Awaited],
    open_: Mapping[str, Collection[str]],
) -> list[dg.AssetCheckEvaluation]:
    """A failed check for each partition that is not there beyond its limit, once; the record says which are told.

    `waiting` is what was looked at, `open_` all that is over and not ingested, by table. One is noted once Dagster has its event, so that an alarm is not lost with the process that raised it.
    """
    lake, name = looks.lake, overdue_name(looks.use_case)
    noted: dict[str, dict[str, Any]] = lake.read_json(name) or {}
    now = {
        table: {
            partition: numbers
            for partition, numbers in partitions.items()
            if partition in open_.get(table, ())
        }
        for table, partitions in noted.items()
    }
    events = []
    for one in waiting:
        if not one.overdue(looks.now) or one.partition in now.get(one.table, {}):
            continue
        if one.partition in _raised(instance, one.table):
            now.setdefault(one.table, {})[one.partition] = overdue_numbers(one)
        else:
            events.append(_alarm(one))
    if (left := {table: partitions for table, partitions in now.items() if partitions}) != noted:
        lake.write_json(name, left)
    return events


def _raised(instance: dg.DagsterInstance, table: str) -> set[str]:
    """Partitions of a table of which Dagster has the alarm; a check that a run has only planned is none yet."""
    key = dg.AssetCheckKey(dg.AssetKey(table.split("/")), ARRIVES)
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=REMEMBERED_ALARMS)
    events = [one.event.dagster_event for one in history if one.event and one.event.dagster_event]
    evaluations = [event.asset_check_evaluation_data for event in events if event.event_type == EVALUATED]
    values = [evaluation.metadata.get("partition") for evaluation in evaluations]
    return {str(value.value) for value in values if value is not None}


def _alarm(one: Awaited) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(one.table.split("/")),
        check_name=ARRIVES,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=plain({"partition": one.partition, **overdue_numbers(one)}),
        description=str(one),
    )

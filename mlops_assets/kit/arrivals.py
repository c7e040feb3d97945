"""The check of a table from outside that its partitions arrive in time, as its runs and the sensor's alarms tell it."""

from collections.abc import Collection, Sequence
from typing import Any

import dagster as dg

from mlops_assets.kit.checks import check_spec, plain
from mlops_assets.spec.names import use_case_of
from mlops_assets.stages.arrivals import overdue_name
from mlops_assets.stages.ingestion import Awaited
from mlops_assets.stages.tables import Table
from resources.lake.lake import Lake

ARRIVES = "partitions_arrive_in_time"


def arrival_specs(path: Sequence[str], table: Table) -> list[dg.AssetCheckSpec]:
    """The claim of a table whose rows come from outside."""
    description = "Fails, once for each, with the partitions whose rows are not there beyond their limit (`alarm_after`)."
    return [check_spec(path, ARRIVES, False, description)] if table.arrival else []


def overdue_numbers(one: Awaited) -> dict[str, Any]:
    """What an alarm says of a partition."""
    return {
        "outcome": one.outcome,
        "over since": one.since.isoformat(),
        "limit": one.limit.isoformat(),
        "found": one.reason,
    }


def arrival_results(lake: Lake, table: Table, written: Collection[str | None]) -> list[dg.AssetCheckResult]:
    """What a run of the table says: it fails for as long as others than what it wrote are overdue."""
    if not table.arrival:
        return []
    overdue = (lake.read_json(overdue_name(use_case_of(table.key))) or {}).get(table.key, {})
    left = {name: numbers for name, numbers in overdue.items() if name not in written}
    return [
        dg.AssetCheckResult(
            check_name=ARRIVES,
            passed=not left,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata=plain({"overdue": left}),
        )
    ]

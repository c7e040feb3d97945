"""Runs of Dagster as traces: a run's trace has the run's own id, so that whoever has one has the other."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from resources.telemetry.exporting import span_of
from resources.telemetry.switch import is_on

TRACE_TAG = "mlops/trace_id"
SERVICE = "mlops-runs"


def trace_id(run_id: str) -> str:
    """The trace of a run: 32 hexadecimal digits, those of its id."""
    return run_id.replace("-", "")


@contextmanager
def step_traced(context: dg.AssetExecutionContext, asset: str) -> Iterator[None]:
    """The making of an asset as a span, and the run with its trace's id as a tag; nothing where nothing is exported."""
    if not (is_on("traces") or is_on("logs")):
        yield
        return
    run = context.run
    trace = trace_id(run.run_id)
    if TRACE_TAG not in run.tags:
        context.instance.add_run_tags(run.run_id, {TRACE_TAG: trace})
    partitions = (
        ", ".join(context.partition_keys[:10])
        if context.has_partition_key_range or context.has_partition_key
        else ""
    )
    facts = {"dagster.run_id": run.run_id, "dagster.job": run.job_name, "dagster.partitions": partitions}
    with span_of(SERVICE, asset, trace, facts):
        yield

"""What each materialization cost, in its metadata: every asset carries it, so that a run can be priced later."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import dagster as dg

from mlops_assets.ml.cost import Meter


def costed(compute: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """An asset's function whose result carries CPU-seconds, wall seconds and peak memory of the work up to it.

    What the function says of cost itself stays: a fit knows its workers and GPUs, this process does not.
    """

    @wraps(compute)
    def with_cost(*arguments: Any, **named: Any) -> Iterator[Any]:
        meter = Meter()
        try:
            for event in compute(*arguments, **named):
                yield _with_cost(event, meter) if isinstance(event, dg.MaterializeResult) else event
        finally:
            meter.stop()

    return with_cost


def _with_cost(result: dg.MaterializeResult, meter: Meter) -> dg.MaterializeResult:
    spent = {f"run {name.replace('_', ' ')}": value for name, value in meter.cost().rounded().items()}
    spent.pop("run gpu seconds")
    return result._replace(metadata={**(result.metadata or {}), **spent})

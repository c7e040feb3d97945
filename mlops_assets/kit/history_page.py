"""The pictures of the last partitions that the pages of `<model>/performance` and `<model>/drift` begin with."""

from typing import Any

from mlops_assets.kit.metadata import drawing, small_picture
from mlops_assets.ml.reports import history
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.history import Interval, anchor_metric, drift_points, performance_points
from resources.lake.lake import Lake

SMALL, LARGE = "last partitions", "last partitions, in full"
PSI = "PSI of the scores"


def performance_history(spec: ModelSpec, lake: Lake, name: str, interval: Interval) -> dict[str, Any]:
    """The gate's metric up to a partition, whose interval is given: with floor, anchor, promotions and floors missed."""
    metric = spec.gate.metric
    points, floor = performance_points(spec, lake, name, interval), spec.gate.floors.get(metric)
    limits = {"floor": floor, "anchor": anchor_metric(spec, lake, name)}
    return _pictures(points, metric, limits)


def drift_history(spec: ModelSpec, lake: Lake, name: str) -> dict[str, Any]:
    """The PSI of the scores up to a partition: with its limit, promotions and alarms."""
    return _pictures(drift_points(spec, lake, name), PSI, {"limit": spec.drift.psi})


def on_top(newest: str) -> dict[str, Any]:
    """What stands first on the page of every partition of a run, in the place of the pictures, which that of the newest has."""
    said = f"drawn for {newest}, the newest partition of the run"
    return {SMALL: said, LARGE: said}


def _pictures(points: list[history.Point], what: str, limits: dict[str, float | None]) -> dict[str, Any]:
    first = next(iter(limits.values()))
    small, large = history.small_picture(points, what, first), history.picture(points, what, limits)
    return {SMALL: small_picture(small, SMALL), LARGE: drawing(large, SMALL)}

"""How the models stand as Prometheus reads it: a number where one is defined, no sample where none is."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from mlops_assets.ml.judging.metrics import goodness
from mlops_assets.promotion.rollout_states import newest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.arrivals import overdue_name
from mlops_assets.stages.standing import NOTHING, Operations, Standing, describe_platform
from resources.records.alerts import AlertState
from resources.records.rollout import Rollout
from resources.systems import Systems

LOG = logging.getLogger(__name__)
CACHED_S = 10.0
"""So long an answer is given again: a scrape costs milliseconds, whoever and however many ask."""

HOUR_S, DAY_S = 3600, 86400
PHASES = (
    "running",
    "completing",
    "rolling_back",
    "aborting",
    "completed",
    "rolled_back",
    "aborted",
    "paused",
    "waits",
)
SIMPLE: Mapping[str, tuple[str, Callable[[Standing], float | None]]] = {
    "mlops_freshness_seconds": (
        "Now of the model minus the end of its newest ingested partition.",
        lambda one: None if one.freshness_hours is None else one.freshness_hours * HOUR_S,
    ),
    "mlops_champion_age_seconds": (
        "For how long the champion is champion, by the data.",
        lambda one: None if one.champion_age_days is None else one.champion_age_days * DAY_S,
    ),
    "mlops_label_coverage_ratio": (
        "Share of the rows that should have a label and have one.",
        lambda one: one.coverage,
    ),
    "mlops_drift_psi": ("PSI of the scores of the newest partition.", lambda one: one.drift),
    "mlops_drift_limit_psi": ("The PSI from which on it counts as drift.", lambda one: one.drift_limit),
    "mlops_drift_alarm": ("1 where the newest partition raised the alarm, else 0.", lambda one: one.alarm),
    "mlops_rollout_share_ratio": (
        "Share of the requests that the version of a roll-out has.",
        lambda one: one.rollout_share,
    ),
    "mlops_requests_day_rows": ("Rows answered in the last day.", lambda one: one.requests_24h),
    "mlops_needs_hands": ("Things that somebody has to look at.", lambda one: len(one.needs_hands)),
}
MEASURED: Mapping[str, tuple[str, Callable[[Standing], float | None]]] = {
    "mlops_performance": ("The gate's metric on the newest partition with labels.", lambda one: one.quality),
    "mlops_performance_low": ("Lower end of its 95% interval.", lambda one: one.quality_low),
    "mlops_performance_high": ("Upper end of its 95% interval.", lambda one: one.quality_high),
    "mlops_performance_floor": ("The worst value that the gate lets pass.", lambda one: one.floor),
    "mlops_performance_margin": (
        "By how much the metric is better than its floor; below 0 it is worse.",
        lambda one: margin(one),
    ),
}


@dataclass(frozen=True)
class View:
    """What one look saw: the models that could be read, those that could not, roll-outs, late tables and alerts."""

    standings: tuple[Standing, ...]
    unreadable: tuple[str, ...] = ()
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    late: Mapping[str, int] = field(default_factory=dict)
    alerts: tuple[AlertState, ...] = ()
    seconds: float = 0.0


def view_of(
    systems: Systems,
    specs: Mapping[str, ModelSpec],
    alerts: Callable[[], Iterable[AlertState]],
    operations: Operations = NOTHING,
) -> View:
    """Look at every model by itself: one that cannot be read takes no other with it."""
    began = time.monotonic()
    standings: list[Standing] = []
    unreadable: list[str] = []
    rollouts: dict[str, Rollout] = {}
    for name, spec in sorted(specs.items()):
        try:
            standings += describe_platform(systems, {name: spec}, operations).models
            state = newest(systems.lake, name)
            rollouts |= {name: state} if state else {}
        except Exception:
            LOG.exception("the standing of %s cannot be read", name)
            unreadable.append(name)
    late = _late(systems, sorted({spec.use_case for spec in specs.values()}))
    seconds = time.monotonic() - began
    return View(tuple(standings), tuple(unreadable), rollouts, late, tuple(alerts()), seconds)


def margin(one: Standing) -> float | None:
    """By how much a metric is better than its floor, in its own units; None where either is not defined."""
    if one.metric is None or one.quality is None or one.floor is None:
        return None
    return float(goodness(one.metric, one.quality) - goodness(one.metric, one.floor))


def metrics_of(view: View) -> Iterator[Metric]:
    """The families of one look; a family has samples for the models of which its number is defined, and no others."""
    for name, (said, value) in SIMPLE.items():
        yield _family(name, said, ("model",), [((one.model,), value(one)) for one in view.standings])
    for name, (said, value) in MEASURED.items():
        samples = [((one.model, one.metric or ""), value(one)) for one in view.standings]
        yield _family(name, said, ("model", "metric"), samples)
    yield _family(
        "mlops_champion_info",
        "1: the version that is champion, and who answers for the model.",
        ("model", "version", "owner"),
        [
            ((one.model, str(one.champion), one.owner or ""), 1)
            for one in view.standings
            if one.champion is not None
        ],
    )
    yield from _costs(view)
    yield _rollout_states(view)
    yield _family(
        "mlops_table_overdue_partitions",
        "Partitions that did not arrive in time.",
        ("table",),
        view.late.items(),
    )
    yield _alerts(view)
    yield _untaken(view)
    readable = [(one.model, 1) for one in view.standings] + [(name, 0) for name in view.unreadable]
    yield _family("mlops_model_readable", "0 where how a model stands cannot be read.", ("model",), readable)
    yield _family(
        "mlops_look_seconds", "How long the look took that these numbers are from.", (), [((), view.seconds)]
    )


class Exposition:
    """A collector of prometheus-client over looks, each of which is given again for some seconds."""

    def __init__(self, look: Callable[[], View], cached_s: float = CACHED_S) -> None:
        self._look, self._cached_s, self._lock = look, cached_s, threading.Lock()
        self._view: View | None = None
        self._until = 0.0

    def view(self) -> View:
        """The newest look; one asker looks, and those that come meanwhile wait for it."""
        with self._lock:
            if self._view is None or time.monotonic() >= self._until:
                self._view = self._look()
                self._until = time.monotonic() + self._cached_s
            return self._view

    def collect(self) -> Iterator[Metric]:
        """What prometheus-client asks for."""
        return metrics_of(self.view())

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering a collector is no reason to look."""
        return []


def _family(
    name: str, said: str, labels: tuple[str, ...], samples: Iterable[tuple[Any, float | None]]
) -> Metric:
    family = GaugeMetricFamily(name, said, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric([values] if isinstance(values, str) else list(values), float(value))
    return family


def _costs(view: View) -> Iterator[Metric]:
    """This month's costs, each unit under a name of its own, because sums over units mean nothing."""
    for unit in sorted({one.cost_unit for one in view.standings}):
        name = (
            "dollars" if unit in ("USD", "$", "dollars") else unit.lower().replace("-", "_").replace(" ", "_")
        )
        samples = [((one.model,), one.cost_month) for one in view.standings if one.cost_unit == unit]
        yield _family(f"mlops_cost_month_{name}", f"Cost of this month in {unit}.", ("model",), samples)


def _rollout_states(view: View) -> Metric:
    """1 for the state that a model's newest roll-out is in, 0 for the others; nothing where there never was one."""
    samples = [
        ((name, phase), float(phase == state_name(state)))
        for name, state in view.rollouts.items()
        for phase in PHASES
    ]
    return _family(
        "mlops_rollout_state", "1 for the state of the newest roll-out.", ("model", "state"), samples
    )


def state_name(state: Rollout) -> str:
    """The state of a roll-out in one word."""
    if state.ended:
        return state.phase
    return "paused" if state.paused else "waits" if state.has_asked else state.phase


def _alerts(view: View) -> Metric:
    counts: dict[tuple[str, str], int] = {}
    for state in view.alerts:
        key = state.severity, state.phase
        counts[key] = counts.get(key, 0) + 1
    return _family("mlops_alerts", "Alerts in the outbox.", ("severity", "phase"), sorted(counts.items()))


def _untaken(view: View) -> Metric:
    """By route the alerts that were given to it and that its receiver has not taken yet; 0 for one that takes all."""
    deliveries = [(route, one) for state in view.alerts for route, one in state.deliveries.items()]
    counts = {route: 0 for route, _ in deliveries}
    for route, one in deliveries:
        counts[route] += one.at is None
    said = "Alerts that were given to a route and that its receiver did not take."
    return _family("mlops_alerts_untaken", said, ("route",), sorted(counts.items()))


def _late(systems: Systems, use_cases: Iterable[str]) -> dict[str, int]:
    late: dict[str, int] = {}
    for use_case in use_cases:
        noted: dict[str, Any] = systems.lake.read_json(overdue_name(use_case)) or {}
        late |= {table: len(partitions) for table, partitions in sorted(noted.items())}
    return late

"""What only traffic can show: requests to the endpoint that a version failed or answered slowly, since the newest look."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlops_assets.ml.rollout.streams import Stream
from mlops_assets.promotion.rollout_states import plan_of, standing
from resources.records.rollout import Rollout
from resources.serving.version_counts import BUCKETS_MS, Traffic, document_of, traffic_in, version_counts
from resources.systems import Systems

NOT_ITS_FAULT = frozenset({"loading", "busy"})
"""Kinds of faults that say nothing of a version: its process is being started, or has its hands full."""

USUAL = 0.001
"""Share of faults that a bet is laid by where the plan has no limit, which decides nothing then."""


@dataclass(frozen=True)
class Counts:
    """The endpoint's counts by version as they are now, and the streams of this step with what came since the newest look."""

    counts: dict[str, Any] | None
    errors: Stream
    slow: Stream


def traffic_since(systems: Systems, state: Rollout) -> Counts:
    """The streams of a step up to now; those of the newest look where the model has no endpoint, or its counts were lost."""
    errors, slow = (Stream(**counted.model_dump()) for counted in (state.traffic, state.slow))
    if state.record is None or not systems.serving_log:
        return Counts(state.counts, errors, slow)
    there = version_counts(systems.serving_log, state.model)
    names = str(state.version), str(state.champion)
    now = [there.get(name, Traffic()) for name in names]
    documents = {name: document_of(traffic) for name, traffic in zip(names, now, strict=True)}
    if state.counts is None:
        return Counts(documents, errors, slow)
    version, champion = (
        traffic - (traffic_in(before) if (before := state.counts.get(name)) else Traffic())
        for name, traffic in zip(names, now, strict=True)
    )
    if any(block.requests < 0 or block.shadow_scored < 0 for block in (version, champion)):
        return Counts(documents, errors, slow)
    limits, alone = plan_of(state).limits, standing(state).step.share == 1
    failed, late = (
        failures(version, champion),
        slowness(version, champion, limits.latency_ms or BUCKETS_MS[-1]),
    )
    if alone:
        failed, late = (replace(one, champion_requests=0, champion_faults=0) for one in (failed, late))
    return Counts(
        documents, errors.then(failed, limits.error_rate or USUAL), slow.then(late, limits.slow_share)
    )


def failures(version: Traffic, champion: Traffic) -> Stream:
    """Requests of each, and how many gave no answer; copies that the version scored in shadow count as requests."""
    copies = _faults(version.shadow_failed)
    ours, theirs = _faults(version.faults), _faults(champion.faults)
    return Stream(
        requests=version.answered + ours + version.shadow_scored + copies,
        faults=ours + copies,
        champion_requests=champion.answered + theirs,
        champion_faults=theirs,
    )


def slowness(version: Traffic, champion: Traffic, latency_ms: float) -> Stream:
    """Answers of each, and how many took longer than the first bound of the buckets from `latency_ms` on, or came too late."""
    ours, theirs = (_slow(traffic, latency_ms) for traffic in (version, champion))
    return Stream(ours[0], ours[1], theirs[0], theirs[1])


def _slow(traffic: Traffic, latency_ms: float) -> tuple[int, int]:
    first = next(
        (number for number, bound in enumerate(BUCKETS_MS) if bound >= latency_ms), len(BUCKETS_MS) - 1
    )
    late = traffic.faults.get("late", 0)
    return sum(traffic.buckets) + late, sum(traffic.buckets[first + 1 :]) + late


def _faults(kinds: Mapping[str, int]) -> int:
    return sum(count for kind, count in kinds.items() if kind not in NOT_ITS_FAULT)

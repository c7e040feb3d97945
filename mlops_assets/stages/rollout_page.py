"""What a page shows of a roll-out: its state, its time line, its evidence, and what the next step waits for."""

from datetime import datetime
from typing import Any

from mlops_assets.ml.rollout.plot import Mark, timeline
from mlops_assets.promotion.rollout_states import in_words, plan_of, standing, steps_in
from mlops_assets.spec.base import duration_text
from resources.moments import read_moment
from resources.records.rollout import Rollout

AT_AN_END = {"completed": 1.0, "promoted": 1.0, "rolled_back": 0.0, "aborted": 0.0}


def marks_of(state: Rollout) -> list[Mark]:
    """Every transition, with the share of the requests that the version had from then on."""
    marks, steps, at = [], steps_in(state), 0
    for transition in state.transitions:
        at += transition.kind == "advanced"
        share = AT_AN_END.get(transition.kind, steps[at].share)
        marks.append(Mark(read_moment(transition.moment), transition.kind, share))
    return marks


def picture_of(state: Rollout, now: datetime | None = None) -> bytes:
    """The time line as PNG bytes, up to now, or to the newest transition."""
    marks = marks_of(state)
    return timeline(marks, now or marks[-1].moment, in_words(state).capitalize())


def transitions_table(state: Rollout) -> list[dict[str, Any]]:
    """A row a transition: when, what, in which step, by whom and why."""
    return [
        {
            "when": one.moment[:16],
            "what": one.kind.replace("_", " "),
            "step": one.step,
            "by": one.by,
            "why": one.why,
        }
        for one in state.transitions
    ]


def steps_table(state: Rollout) -> list[dict[str, Any]]:
    """A row a step: its share, its bake, its samples and whether it is over."""
    over = state.phase in ("completing", "completed")
    return [
        {
            "step": step.name,
            "answers": f"{step.share:.0%} of requests",
            "scores copies of": f"{step.shadow:.0%}",
            "lasts at least": duration_text(step.bake),
            "requests needed": f"{step.minimum_samples:,}",
            "state": "over" if over or number < state.step else "now" if number == state.step else "to come",
        }
        for number, step in enumerate(steps_in(state))
    ]


def evidence_table(state: Rollout) -> list[dict[str, Any]]:
    """A row for each thing that the version is held to, and for each dry run, which decides nothing."""
    limits, rows = plan_of(state).limits, []
    for what, counted, limit in (
        ("rows that it could not score", state.errors, limits.error_rate),
        ("requests to the endpoint that it failed", state.traffic, limits.error_rate),
        (
            f"answers slower than {limits.latency_ms or 0:g} ms",
            state.slow,
            limits.slow_share if limits.latency_ms else None,
        ),
    ):
        if limit is not None:
            rows.append(
                {
                    "what": what,
                    "version": f"{counted.faults:,} of {counted.requests:,}",
                    "champion": f"{counted.champion_faults:,} of {counted.champion_requests:,}",
                    "limit": f"at most {limit * 100:g}%",
                }
            )
    if look := state.look:
        interval = (
            f", better by {_number(look['low'])} to {_number(look['high'])}"
            if look["gain"] is not None
            else ""
        )
        rows.append(
            {
                "what": f"{look['metric']} of {look['rows']:,} rows, {look['clusters']} of {look['planned']} clusters",
                "version": f"{_number(look['challenger'])}{interval}",
                "champion": _number(look["champion"]),
                "limit": "none"
                if limits.metric_worse_by is None
                else f"not worse by more than {limits.metric_worse_by:g}",
            }
        )
    for name, (champion, version) in state.dry_run.items():
        rows.append(
            {
                "what": f"{name} (dry run)",
                "version": _number(version),
                "champion": _number(champion),
                "limit": "decides nothing",
            }
        )
    return rows


def waits_for(state: Rollout) -> str:
    """What the next step waits for; nothing, where the roll-out has ended."""
    if state.ended:
        last = state.transitions[-1]
        return f"nothing: it ended, {last.kind.replace('_', ' ')} by {last.by}: {last.why}"
    return state.waits or f"{standing(state).step.name}: the first look"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.5f}"

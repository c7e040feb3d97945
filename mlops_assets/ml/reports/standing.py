"""What of a model needs hands, which model stands on top, and the text of it all."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from resources.records.alerts import AlertState
from resources.records.standing import Platform, Standing
from resources.records.standing_words import LINK_OF, amount, headline, lines, minute

WIDTH = 100
NAMES = 10
"""Columns that the name of a line takes."""


def in_order(models: Iterable[Standing]) -> tuple[Standing, ...]:
    """Those that need hands first, then by name."""
    return tuple(sorted(models, key=lambda one: (not one.needs_hands, one.model)))


def without_champion(version: int | None, verdict: str) -> str:
    """That a model has no champion although a challenger was judged, with what was said of it."""
    return f"no version is champion; version {version} was judged last: {verdict}"


def below_the_floor(metric: str, partition: str, numbers: str) -> str:
    """That a partition did not reach a floor of the gate; `numbers` are the value and its limit."""
    return f"{metric} of {partition} is below its floor: {numbers}"


def drift_alarm(psi: float | None, limit: float | None, partition: str, remark: str | None) -> str:
    """That a partition raised the alarm of drift, with its number."""
    moved = f"PSI of the scores {psi:.4f}, limit {limit:g}" if psi is not None and limit is not None else ""
    why = "; ".join(part for part in (moved, remark) if part)
    return f"drift alarm on {partition}" + (f": {why}" if why else "")


def alert_in_words(state: AlertState) -> str:
    """An open alert, with who has it in hand or the command that says so."""
    if state.acknowledgement:
        return f"{state.summary} ({state.severity}; in the hands of {state.acknowledgement.by})"
    return f"{state.summary} ({state.severity}): `mlops alerts ack {state.id} --by NAME --why WHY`"


def broken_use_case(name: str, why: str) -> str:
    """That a use case cannot be read, with the first line of why."""
    return f"the use case {name} does not load: {why.splitlines()[0] if why else 'no reason was given'}"


def overdue(table: str, partitions: Sequence[str]) -> str:
    """That partitions of a table did not arrive within their limit."""
    names = ", ".join(partitions[:3]) + (f" and {len(partitions) - 3} more" if len(partitions) > 3 else "")
    return f"{table} is overdue: {names} did not arrive within its limit (`alarm_after`)"


def waits_for_approval(model: str, version: int, approvers: Sequence[str]) -> str:
    """That a challenger which passed waits for a person, and the commands that settle it."""
    who = " or ".join(approvers) or "a named person"
    return (
        f"version {version} passed the gate and waits for {who}: `mlops approve {model} --version {version} "
        f"--by NAME --reason WHY`, or `mlops reject` with the same options"
    )


def rollout_asks(model: str, where: str, waits: str) -> str:
    """That a roll-out asks a person, and the commands that settle it."""
    return (
        f"{where} and asks a person ({waits}): `mlops rollout {model} promote --why WHY` completes it, "
        f"`mlops rollout {model} abort --why WHY` ends it"
    )


def rollout_paused(model: str, where: str) -> str:
    """That a roll-out is held by a person, and the command that lets it go on."""
    return f"{where}: `mlops rollout {model} resume --why WHY` lets it go on"


def as_text(platform: Platform, detail: bool = False) -> Iterator[tuple[str, bool]]:
    """Lines of at most a hundred columns where words allow it, and whether each is about what needs hands.

    What needs hands stands on top, then a line a model; with `detail` all that is known of each model, with its links.
    """
    yield f"{headline(platform)} ({minute(platform.asked_at)})", False
    for sentence in platform.waits:
        yield from ((line, True) for line in _wrapped(f"! {sentence}", "  "))
    for one in platform.models:
        if one.needs_hands or detail:
            yield "", False
            yield f"{'!' if one.needs_hands else ' '} {one.model}{_owner(one)}", bool(one.needs_hands)
            yield from _block(one)
    if not detail and platform.models:
        yield "", False
        yield from ((line, False) for line in overview(platform.models))


def overview(models: Sequence[Standing]) -> list[str]:
    """A line a model: champion, newest partition, quality, drift, roll-out, traffic and cost, in aligned columns."""
    rows = [_brief(one) for one in models]
    names = list(rows[0])
    widths = {name: max(1, len(name), *(len(row[name]) for row in rows)) for name in names}
    head = "  ".join(name.ljust(widths[name]) for name in names).rstrip()
    return [head, *("  ".join(row[name].ljust(widths[name]) for name in names).rstrip() for row in rows)]


def _brief(one: Standing) -> dict[str, str]:
    age = "" if one.champion_age_days is None else f" {one.champion_age_days:.0f} d"
    quality = "-" if one.quality is None else f"{one.metric} {one.quality:.4f}"
    share = "" if one.rollout_share is None else f"{one.rollout_share:.0%}"
    return {
        "": "!" if one.needs_hands else "",
        "model": one.model,
        "champion": "none" if one.champion is None else f"v{one.champion}{age}",
        "partition": one.newest_partition or "-",
        "quality": quality,
        "labels": "-" if one.coverage is None else f"{one.coverage:.0%}",
        "drift": "-" if one.drift is None else f"{one.drift:.3f}{' !' if one.alarm else ''}",
        "roll-out": share or ("yes" if one.rollout else "-"),
        "rows/24 h": "-" if one.requests_24h is None else f"{one.requests_24h:,}",
        one.cost_unit: "-" if one.cost_month is None else amount(one.cost_month),
    }


def _block(one: Standing) -> Iterator[tuple[str, bool]]:
    for reason in one.needs_hands:
        yield from ((line, True) for line in _wrapped(f"    {reason}", "      "))
    for name, said in lines(one).items():
        if name == "waits" and one.waits == one.needs_hands:
            continue
        start = f"    {name:<{NAMES}}"
        yield from ((line, False) for line in _wrapped(f"{start}{said}", " " * len(start)))
        if link := one.links.get(LINK_OF.get(name, "")):
            yield f"{' ' * len(start)}{link}", False


def _owner(one: Standing) -> str:
    return f" ({one.owner})" if one.owner else ""


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [text]

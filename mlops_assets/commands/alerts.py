"""`mlops alerts`: what is open, who has it in hand, and whether a route reaches anybody."""

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.commands.task import command, group
from resources.settings import settings

if TYPE_CHECKING:
    from resources.records.alerts import AlertState

verbs = group("alerts: list them, say that one is in hand, try a route")


def add(app: typer.Typer) -> None:
    """Add `alerts list`, `alerts ack` and `alerts test` to the commands."""
    app.add_typer(verbs, name="alerts")


@command(verbs, "list", writes=False)
def _list(
    everything: Annotated[bool, typer.Option("--all", help="those that are over, too")] = False,
) -> int:
    """what is wrong, to whom it went, and who has it in hand

    0 where nothing is open, 1 where something is that nobody has acknowledged.
    """
    from resources.cluster import resources_of

    states = resources_of(settings())["alerts"].states()
    shown = [state for state in states if everything or state.phase != "resolved"]
    for state in shown:
        print("\n".join(_lines(state)), end="\n\n")
    waiting = sum(state.phase in ("open", "sent") for state in shown)
    print(f"{len(shown)} alerts, {waiting} of them in nobody's hands")
    return int(waiting > 0)


@command(verbs, "ack")
def _ack(
    id: Annotated[str, typer.Argument(metavar="ID", help="as the message says it")],
    by: Annotated[str, typer.Option(metavar="NAME", help="who has it in hand")],
    why: Annotated[str, typer.Option("--why", "--reason", metavar="WHY", help="what the others are told")],
) -> int:
    """say that somebody has an alert in hand, so that it goes to nobody else"""
    from mlops_assets.stages.alerting import acknowledge
    from resources.clock import wall
    from resources.cluster import resources_of

    parts = resources_of(settings())
    entry = acknowledge(parts["alerts"], parts["audit"], id, by, why, wall())
    print(f"{id}: {entry.by} has it in hand (entry {entry.seq}): {entry.why}")
    return 0


@command(verbs, "test", writes=False)
def _test(route: Annotated[str, typer.Argument(help="a route of the file that MLOPS_ALERTS names")]) -> int:
    """send a message that says it is a test; 1 where the receiver does not take it"""
    from resources.alerts.changes import AlertError
    from resources.alerts.delivery import deliver
    from resources.alerts.messages import Message
    from resources.cluster import resources_of

    routes = resources_of(settings())["alerts"].policy.routes
    if route not in routes:
        raise AlertError(
            f"{route!r} is no route: name one of {', '.join(sorted(routes)) or 'none (MLOPS_ALERTS)'}"
        )
    if error := deliver(routes[route], Message("[test] a route is tried", "Nothing is wrong.", "info")):
        raise AlertError(f"{route}: {error}")
    print(f"{route}: taken")
    return 0


def _lines(state: "AlertState") -> list[str]:
    """One alert as the list shows it."""
    from resources.alerts.messages import paragraph

    routes = [
        f"  {route}: {f'taken {one.at}' if one.at else f'{one.tries} tries, {one.error}'}"
        for route, one in sorted(state.deliveries.items())
    ]
    hand = state.acknowledgement
    held = [f"  in hand: {hand.by} since {hand.at}: {hand.why}"] if hand else []
    return [f"{state.id} [{state.severity}] {state.phase}", paragraph(state), *routes, *held]

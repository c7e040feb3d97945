"""The state machine of an alert, as functions of a state and a moment: raised, tried, delivered, acknowledged, resolved."""

from datetime import UTC, datetime, timedelta

from resources.alerts.alert import KINDS, Alert
from resources.alerts.policy import Policy
from resources.moments import read_moment
from resources.records.alerts import Acknowledgement, AlertState, Delivery

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
DOUBLINGS = 7
"""After so many failures in a row the pause is the longest one."""


class AlertError(Exception):
    """Something that cannot be done with an alert: says which, why and what to do."""


def text(moment: datetime) -> str:
    """A moment as states hold it."""
    return moment.astimezone(UTC).isoformat()


def begin(alert: Alert, now: datetime, occurrence: int = 1) -> AlertState:
    """The state of an alert that was not there."""
    return AlertState(
        id=alert.id,
        kind=alert.kind,
        subject=alert.subject,
        cause=alert.cause,
        severity=alert.weight,
        owner=alert.owner,
        summary=alert.summary,
        evidence=dict(alert.evidence),
        link=alert.link,
        fix=alert.fix or KINDS[alert.kind].fix,
        raised=text(now),
        occurrence=occurrence,
    )


def raise_again(state: AlertState | None, alert: Alert, now: datetime, policy: Policy) -> AlertState:
    """What the state becomes where an alert is seen; one that is under way, or was over only just now, is not begun anew."""
    if state is None:
        return begin(alert, now)
    if state.resolved is None:
        return state
    if now - read_moment(state.resolved) < timedelta(minutes=policy.limits.reopen_minutes):
        return state.model_copy(update={"resolved": None})
    return begin(alert, now, state.occurrence + 1)


def acknowledge(state: AlertState, by: str, why: str, now: datetime) -> AlertState:
    """Note who has it in hand; the first who said so stays."""
    if not by.strip() or not why.strip():
        raise AlertError("an acknowledgement has a name and a reason: give both, --by NAME --why WHY")
    if state.acknowledgement:
        return state
    return state.model_copy(update={"acknowledgement": Acknowledgement(by=by, why=why, at=text(now))})


def resolve(state: AlertState, now: datetime) -> AlertState:
    """Note that what was raised is over."""
    return state if state.resolved else state.model_copy(update={"resolved": text(now)})


def try_route(state: AlertState, route: str, now: datetime) -> AlertState:
    """Note, before it happens, that a message is given to a route: a killed process has left its try behind."""
    before = state.deliveries.get(route, Delivery())
    tried = Delivery(
        tries=before.tries + 1,
        first_try=before.first_try or text(now),
        last_try=text(now),
        error="no answer was noted",
    )
    return _with_delivery(state, route, tried)


def note_outcome(state: AlertState, route: str, error: str, now: datetime) -> AlertState:
    """Note what came of a try: no error means that the receiver has it."""
    before = state.deliveries[route]
    if before.at:
        return state
    after = before.model_copy(update={"error": error, "at": None if error else text(now)})
    return _with_delivery(state, route, after)


def due_routes(state: AlertState, policy: Policy, now: datetime) -> list[str]:
    """Routes that an alert is to be given to now, sorted.

    What was raised is told at least once, also where it is over by then; what somebody has in hand, or is over, goes to
    nobody else. Quiet hours hold back everything but what they except.
    """
    if policy.holds(state.severity, now):
        return []
    own = policy.routes_of(state.severity, state.owner)
    settled = state.resolved is not None or state.acknowledgement is not None
    escalated = () if settled else policy.escalates(state.severity, _first_told(state), now)
    handled = state.acknowledgement is not None
    return sorted(
        {one for one in (*(() if handled else own), *escalated) if _is_due(state, one, policy, now)}
    )


def _first_told(state: AlertState) -> datetime | None:
    tries = [read_moment(one.first_try) for one in state.deliveries.values() if one.first_try]
    return min(tries, default=None)


def _is_due(state: AlertState, route: str, policy: Policy, now: datetime) -> bool:
    delivery = state.deliveries.get(route)
    if delivery is None or delivery.last_try is None:
        return now >= read_moment(state.raised) + timedelta(seconds=policy.group_seconds)
    return delivery.at is None and now >= read_moment(delivery.last_try) + pause_after(delivery.tries)


def pause_after(tries: int) -> timedelta:
    """How long to wait after so many failures in a row: twice as long each time, an hour at most."""
    return min(FIRST_PAUSE * 2 ** min(max(tries - 1, 0), DOUBLINGS), LONGEST_PAUSE)


def _with_delivery(state: AlertState, route: str, delivery: Delivery) -> AlertState:
    return state.model_copy(update={"deliveries": {**state.deliveries, route: delivery}})

"""The outbox: every alert lies there before anybody is told, so that no killed process takes one along.

Each alert is a record of its own, changed by compare-and-put. One process sends at a time. That a message is given to a
route is noted before, and that it was taken, after: what was killed in between is sent once more, and then noted. So a
receiver has every alert at least once, and one that is not killed or cut off, once.
"""

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from resources.alerts import changes
from resources.alerts.alert import Alert
from resources.alerts.changes import AlertError
from resources.alerts.delivery import deliver
from resources.alerts.messages import Message, message_of
from resources.alerts.policy import Policy, read_policy
from resources.moments import read_moment
from resources.records.alerts import AlertState
from resources.records.reader import read_record
from resources.resource import Resource
from resources.storage.addresses import storage_at
from resources.storage.errors import AbsentError, ConflictError, LeaseHeldError
from resources.storage.storage import Storage

FOLDER, SENDING = "outbox", "sending"
KEEP = timedelta(days=90)
"""So long what is over stays listed; who acknowledged it stays in the audit log."""

Deliver = Callable[[str, Message], str]
"""Gives a message to the receiver whose address a variable holds; returns why it was not taken."""


class Alerts(Resource):
    """Alerts, and the routes by which people hear of them; `policy_file` empty: nobody is told, and they are listed."""

    folder: str
    policy_file: str = ""

    @property
    def policy(self) -> Policy:
        """What the file says now; raises PolicyError."""
        return read_policy(self.policy_file)

    def raise_alert(self, alert: Alert, now: datetime, policy: Policy | None = None) -> AlertState:
        """Put an alert into the outbox; one that is there is the same one."""
        rules = policy or self.policy

        def change(content: bytes | None) -> bytes:
            before = self._read(content, alert.id) if content else None
            return _bytes(changes.raise_again(before, alert, now, rules))

        stored = self._storage.load_or_none(_name(alert.id))
        if stored and change(stored.content) == stored.content:
            return self._read(stored.content, alert.id)
        return self._read(self._storage.update(_name(alert.id), change), alert.id)

    def states(self) -> list[AlertState]:
        """Every alert, the newest last."""
        names = self._storage.names(FOLDER, ".json")
        contents = ((name, self._storage.load_or_none(name)) for name in names)
        states = [read_record(AlertState, one.content, name) for name, one in contents if one]
        return sorted(states, key=lambda state: (state.raised, state.id))

    def state(self, id: str) -> AlertState:
        """One alert; raises AlertError where there is none of this id."""
        stored = self._storage.load_or_none(_name(id)) if id.isalnum() else None
        if stored is None:
            raise AlertError(f"there is no alert {id!r}: `mlops alerts list` shows those there are")
        return self._read(stored.content, id)

    def acknowledge(self, id: str, by: str, why: str, now: datetime) -> AlertState:
        """Note who has an alert in hand; it goes to nobody else."""
        self.state(id)
        return self._change(id, lambda state: changes.acknowledge(state, by, why, now))

    def resolve(self, id: str, now: datetime) -> AlertState:
        """Note that an alert is over."""
        return self._change(id, lambda state: changes.resolve(state, now))

    def send_due(self, now: datetime, hand_over: Deliver = deliver) -> list[str]:
        """Give every alert to the routes that are due, those of one subject in one message; a sentence on each message.

        Another process that sends now is left alone: it does the same.
        """
        policy = self.policy
        try:
            with self._storage.locked(SENDING, wait=False):
                self._forget_old(now)
                return [self._send(policy, *batch, now, hand_over) for batch in self._batches(policy, now)]
        except LeaseHeldError:
            return ["another process is sending"]

    def _batches(self, policy: Policy, now: datetime) -> list[tuple[str, list[AlertState]]]:
        """By route and subject what goes now, and what waits for others of its subject and goes along."""
        later = now + timedelta(seconds=policy.group_seconds)
        due: dict[tuple[str, str], list[AlertState]] = {}
        along: dict[tuple[str, str], list[AlertState]] = {}
        for state in self.states():
            routes = changes.due_routes(state, policy, now)
            for route in routes:
                due.setdefault((route, state.subject), []).append(state)
            for route in set(changes.due_routes(state, policy, later)) - {*routes, *state.deliveries}:
                if not policy.holds(state.severity, now) and route in policy.routes_of(
                    state.severity, state.owner
                ):
                    along.setdefault((route, state.subject), []).append(state)
        return [
            (route, [*states, *along.get((route, subject), ())])
            for (route, subject), states in sorted(due.items())
        ]

    def _send(
        self, policy: Policy, route: str, states: Iterable[AlertState], now: datetime, hand_over: Deliver
    ) -> str:
        claimed = [state for state in states if self._claim(state, route, now)]
        if not claimed:
            return f"{route}: what was due has changed, and is looked at again"
        error = hand_over(policy.routes[route], message_of(claimed))
        for state in claimed:
            self._change(state.id, lambda held: changes.note_outcome(held, route, error, now))
        ids = ", ".join(state.id for state in claimed)
        return f"{route}: {ids} {f'not taken: {error}' if error else 'taken'}"

    def _claim(self, state: AlertState, route: str, now: datetime) -> bool:
        """Note the try, unless somebody has tried or acknowledged it since it was read."""
        try:
            stored = self._storage.load(_name(state.id))
            held = self._read(stored.content, state.id)
            if (held.deliveries.get(route), held.acknowledgement) != (
                state.deliveries.get(route),
                state.acknowledgement,
            ):
                return False
            after = _bytes(changes.try_route(held, route, now))
            self._storage.put_if_unchanged(_name(state.id), after, stored.stamp)
        except (AbsentError, ConflictError):
            return False
        return True

    def _forget_old(self, now: datetime) -> None:
        for state in self.states():
            if state.resolved and now - read_moment(state.resolved) > KEEP:
                self._storage.delete(_name(state.id))

    def _change(self, id: str, change: Callable[[AlertState], AlertState]) -> AlertState:
        def changed(content: bytes | None) -> bytes:
            if content is None:
                raise AlertError(f"alert {id} was removed meanwhile")
            return _bytes(change(self._read(content, id)))

        return self._read(self._storage.update(_name(id), changed), id)

    def _read(self, content: bytes, id: str) -> AlertState:
        return read_record(AlertState, content, f"{self.folder}/{_name(id)}")

    @property
    def _storage(self) -> Storage:
        return storage_at(self.folder)


def _name(id: str) -> str:
    return f"{FOLDER}/{id}.json"


def _bytes(state: AlertState) -> bytes:
    return json.dumps(state.document(), indent=1).encode()

"""Every alert is told at least once and not repeated, whatever fails or is killed in between."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.alerts.alert import Alert
from resources.alerts.changes import AlertError, pause_after
from resources.alerts.messages import Message
from resources.alerts.outbox import Alerts
from resources.storage.addresses import storage_at

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
POLICY = """
routes: {team: TEAM, boss: BOSS}
send: [{to: [team]}]
escalate: {after_minutes: 60, to: [boss]}
"""


def alert(subject: str = "pumps", cause: str = "2026-W09", kind: str = "drift_alarm", **more) -> Alert:
    return Alert(kind, subject, cause, f"{subject} drifts", {"psi": 0.31234, "limit": 0.2}, **more)


def outbox(folder: Path, policy: str = POLICY) -> Alerts:
    (folder / "alerts.yaml").write_text(policy)
    return Alerts(folder=str(folder / "state"), policy_file=str(folder / "alerts.yaml"))


class KilledError(BaseException):
    """As if the process were gone."""


@dataclass
class Receiver:
    """Takes messages by variable; the next of its fates says what happens to one."""

    fates: list[str] = field(default_factory=list)
    got: Counter[tuple[str, str]] = field(default_factory=Counter)
    excuse: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Repetitions that may be: the message came, and its sender did not live to note it or was not told."""

    messages: list[Message] = field(default_factory=list)

    def __call__(self, variable: str, message: Message) -> str:
        fate = self.fates.pop(0) if self.fates else "takes"
        ids = [line.split()[1].rstrip(".") for line in message.body.splitlines() if line.startswith("Alert ")]
        if fate == "killed before":
            raise KilledError
        if fate == "refuses":
            return "it answers 500"
        self.messages.append(message)
        self.got.update((variable, id) for id in ids)
        if fate != "takes":
            self.excuse.update((variable, id) for id in ids)
        if fate == "killed after":
            raise KilledError
        return "the connection was cut" if fate == "cut off" else ""


def minutes(number: float) -> datetime:
    return START + timedelta(minutes=number)


def test_one_alert_is_raised_once_and_told_once_however_often_it_is_seen(tmp_path):
    alerts, receiver = outbox(tmp_path), Receiver()
    for number in range(5):
        alerts.raise_alert(alert(), minutes(number))
        alerts.send_due(minutes(number), receiver)
    (state,) = alerts.states()
    assert receiver.got == {("TEAM", state.id): 1}
    assert (state.phase, state.deliveries["team"].tries) == ("sent", 1)
    (message,) = receiver.messages
    assert message.title == "[warning] pumps: inputs or predictions drift"
    assert (
        "psi: 0.3123" in message.body and f"mlops alerts ack {state.id} --by NAME --why WHY" in message.body
    )


def test_what_comes_within_the_window_goes_in_one_message_by_subject(tmp_path):
    alerts, receiver = outbox(tmp_path, POLICY + "group_seconds: 60\n"), Receiver()
    alerts.raise_alert(alert(), START)
    alerts.raise_alert(alert(kind="labels_missing", severity="critical"), minutes(0.5))
    alerts.raise_alert(alert("valves"), minutes(0.75))
    assert alerts.send_due(minutes(0.9), receiver) == []
    alerts.send_due(minutes(1), receiver)
    (message,) = receiver.messages
    assert message.title == "[critical] pumps: labels are missing, and 1 more"
    alerts.send_due(minutes(2), receiver)
    assert [one.title for one in receiver.messages[1:]] == ["[warning] valves: inputs or predictions drift"]
    assert set(receiver.got.values()) == {1}


def test_what_nobody_acknowledges_goes_to_the_next_route_and_what_somebody_has_does_not(tmp_path):
    alerts, receiver = outbox(tmp_path), Receiver()
    ours = alerts.raise_alert(alert(), START).id
    theirs = alerts.raise_alert(alert("valves"), START).id
    alerts.send_due(minutes(1), receiver)
    alerts.acknowledge(theirs, "ada", "a sensor was exchanged", minutes(30))
    alerts.send_due(minutes(60.9), receiver)
    assert ("BOSS", ours) not in receiver.got
    alerts.send_due(minutes(61), receiver)
    assert receiver.got == {("TEAM", ours): 1, ("TEAM", theirs): 1, ("BOSS", ours): 1}
    assert alerts.state(theirs).phase == "acknowledged"


def test_the_first_who_acknowledges_stays_and_nobody_does_without_a_reason(tmp_path):
    alerts = outbox(tmp_path)
    id = alerts.raise_alert(alert(), START).id
    alerts.acknowledge(id, "ada", "I look", minutes(1))
    alerts.acknowledge(id, "bob", "I too", minutes(2))
    acknowledgement = alerts.state(id).acknowledgement
    assert acknowledgement and acknowledgement.by == "ada"
    with pytest.raises(AlertError, match="give both, --by NAME --why WHY"):
        alerts.acknowledge(id, "ada", " ", minutes(3))
    for wrong in ("0123456789ab", "../../etc", ""):
        with pytest.raises(AlertError, match=r"there is no alert .* shows those there are"):
            alerts.acknowledge(wrong, "ada", "why", START)


def test_in_quiet_hours_only_what_cannot_wait_is_told_and_the_rest_in_the_morning(tmp_path):
    rules = POLICY + 'quiet: {from: "12:00", until: "13:00", zone: UTC}\n'
    alerts, receiver = outbox(tmp_path, rules), Receiver()
    waits = alerts.raise_alert(alert(), START).id
    urgent = alerts.raise_alert(alert("valves", severity="critical"), START).id
    alerts.send_due(minutes(59), receiver)
    assert receiver.got == {("TEAM", urgent): 1}
    alerts.send_due(minutes(60), receiver)
    assert receiver.got[("TEAM", waits)] == 1 and ("BOSS", waits) not in receiver.got


def test_what_comes_back_soon_goes_on_and_what_comes_back_later_is_told_again(tmp_path):
    alerts, receiver = outbox(tmp_path), Receiver()
    id = alerts.raise_alert(alert(), START).id
    alerts.send_due(minutes(1), receiver)
    alerts.resolve(id, minutes(10))
    alerts.raise_alert(alert(), minutes(20))
    assert alerts.state(id).phase == "sent"
    alerts.resolve(id, minutes(30))
    alerts.raise_alert(alert(), minutes(100))
    alerts.send_due(minutes(101), receiver)
    assert (receiver.got[("TEAM", id)], alerts.state(id).occurrence) == (2, 2)
    assert "2 times by now" in receiver.messages[-1].body


def test_what_is_over_before_anybody_heard_of_it_is_told_all_the_same(tmp_path):
    alerts, receiver = outbox(tmp_path), Receiver(["refuses"])
    id = alerts.raise_alert(alert(), START).id
    alerts.send_due(minutes(1), receiver)
    alerts.resolve(id, minutes(2))
    alerts.send_due(minutes(3), receiver)
    assert receiver.got == {("TEAM", id): 1} and "It is over since" in receiver.messages[0].body


def test_the_pauses_between_tries_grow_up_to_an_hour():
    pauses = [pause_after(tries).total_seconds() for tries in range(1, 12)]
    assert pauses[:4] == [30, 60, 120, 240] and pauses == sorted(pauses) and pauses[-1] == 3600


def test_while_one_process_sends_another_leaves_it_alone(tmp_path):
    alerts, receiver = outbox(tmp_path), Receiver()
    alerts.raise_alert(alert(), START)
    with storage_at(alerts.folder).locked("sending"):
        assert alerts.send_due(minutes(1), receiver) == ["another process is sending"]
    assert receiver.got == {}


def test_what_was_acknowledged_while_it_was_being_read_is_not_sent(tmp_path):
    alerts = outbox(tmp_path)
    first, second = (alerts.raise_alert(alert(name), START).id for name in ("pumps", "valves"))
    got: list[str] = []

    def slow(variable: str, message: Message) -> str:
        got.append(message.title)
        alerts.acknowledge(second, "ada", "seen on the page", minutes(1))
        return ""

    lines = alerts.send_due(minutes(1), slow)
    assert len(got) == 1 and "pumps" in got[0]
    assert [first in lines[0], "has changed" in lines[1]] == [True, True]


def test_what_is_over_for_long_is_forgotten_and_what_is_not_stays(tmp_path):
    alerts = outbox(tmp_path)
    old, stays = (alerts.raise_alert(alert(name), START).id for name in ("pumps", "valves"))
    alerts.resolve(old, minutes(5))
    alerts.send_due(START + timedelta(days=91), Receiver())
    assert [state.id for state in alerts.states()] == [stays]


FATES = ("takes", "refuses", "cut off", "killed before", "killed after")
EVENTS = st.one_of(
    st.tuples(st.just("raise"), st.integers(0, 2)),
    st.tuples(st.just("resolve"), st.integers(0, 2)),
    st.tuples(st.just("acknowledge"), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.integers(1, 70)),
    st.tuples(st.just("send"), st.sampled_from(FATES)),
)
SUBJECTS = ("pumps", "pumps/west", "valves")


@settings(max_examples=25)
@given(st.lists(EVENTS, max_size=25))
def test_whatever_happens_each_is_told_at_least_once_and_only_a_kill_or_a_cut_connection_repeats_it(events):
    with TemporaryDirectory() as folder:
        alerts, receiver, now = outbox(Path(folder)), Receiver(), START
        occurrences: Counter[str] = Counter()
        for event, argument in events:
            one = alert(SUBJECTS[argument]) if isinstance(argument, int) and argument < 3 else None
            there = {state.id: state for state in alerts.states()}
            if event == "wait":
                now += timedelta(minutes=int(argument))
            elif event == "send":
                receiver.fates = [str(argument)]
                send(alerts, receiver, now)
            elif event == "raise" and one:
                state = alerts.raise_alert(one, now)
                occurrences[state.id] = state.occurrence
            elif event == "resolve" and one and one.id in there:
                alerts.resolve(one.id, now)
            elif event == "acknowledge" and one and one.id in there:
                alerts.acknowledge(one.id, "ada", "seen", now)
        receiver.fates = []
        for _ in range(3):
            now += timedelta(hours=2)
            send(alerts, receiver, now)
        for state in alerts.states():
            mine = ("TEAM", state.id)
            most = occurrences[state.id] + receiver.excuse[mine]
            assert receiver.got[mine] <= most
            if state.acknowledgement is None:
                assert receiver.got[mine] >= 1 and state.deliveries["team"].at
            if state.acknowledgement is None and state.resolved is None:
                assert receiver.got["BOSS", state.id] >= 1


def send(alerts: Alerts, receiver: Receiver, now: datetime) -> None:
    try:
        alerts.send_due(now, receiver)
    except KilledError:
        return

"""The champion changes with a record or not at all, whoever dies in between and whoever else wants to change it."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.promotion.champion import (
    ChampionError,
    Change,
    Rollback,
    change_champion,
    reconcile,
    roll_back,
)
from mlops_assets.promotion.following import record_digest
from mlops_assets.promotion.history import champion_then, in_line
from resources.audit.log import CHANGES, Audit, AuditError, Entry
from resources.records.deployment import Deployment
from resources.serving.ray_serve import Endpoint
from resources.settings import PROJECT_ROOT
from resources.storage import durable
from resources.storage.moment_files import moment_in
from resources.systems import Systems
from resources.tracking.client import client_of
from resources.tracking.tracking import Tracking, TrackingError
from tests import forked
from tests.resources.test_tracking import NAME, Killed, month, register

VERSIONS = 4
PROCESS = """
import os, signal, sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from tests.resources.test_champion_changes import promotion, State
state = State(Path(sys.argv[1]))
number, replaces, die = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "die"
if die:
    type(state.tracking).promote = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
state.tracking.champion("late_parcel")
Path(sys.argv[1], f"ready-{number}").touch()
while not die and not Path(sys.argv[1], "go").exists():
    time.sleep(0.01)
state.change(promotion(number, replaces))
"""


class State:
    """Registry, log and endpoint below one folder."""

    def __init__(self, home: Path):
        self.home = home
        self.tracking = Tracking(uri=f"sqlite:///{home}/mlflow.db", artifacts=str(home / "artifacts"))
        self.audit = Audit(folder=str(home / "audit"))
        self.endpoint = Endpoint(folder=str(home / "serving"))

    @property
    def aliases(self) -> tuple[int | None, int | None]:
        """Champion and previous."""
        found = self.tracking.champion(NAME), self.tracking.previous(NAME)
        return found[0] and found[0].number, found[1] and found[1].number

    @property
    def changes(self) -> list[tuple[str, int | None, int | None]]:
        """Kind, version and what it replaced, of every change in the log."""
        return [(e.kind, e.version, e.evidence["replaces"]) for e in self.audit.entries(NAME, CHANGES)]

    @property
    def published(self) -> str:
        return self.endpoint.records()[NAME].version

    @property
    def kinds(self) -> list[str]:
        """What was recorded of changes and deployments, in order."""
        return [e.kind for e in self.audit.entries(NAME, (*CHANGES, "deployed"))]

    @property
    def systems(self) -> Systems:
        return Systems(tracking=self.tracking, audit=self.audit, endpoint=self.endpoint)

    def change(self, wanted: Change, record: Deployment | None = None) -> Entry:
        """Change the champion, with the training and the evaluation that a promotion rests on in the log."""
        evidence = {**wanted.evidence, **grounds(self, wanted.version, wanted.replaces)}
        founded = replace(wanted, evidence=evidence)
        return change_champion(self.systems, founded, record)

    def record(self, number: int, **more: Any) -> Deployment:
        version = self.tracking.version(NAME, number)
        kept = self.endpoint.keep(NAME, number, self.tracking.load(version))
        return deployment_record(number, version.sha256, kept).model_copy(update=more)

    def deploy(self, number: int, replaces: int | None, at: int | None = None, **more: Any) -> Entry:
        change = promotion(number, replaces, month(at or number + 1))
        return self.change(change, self.record(number, **more))

    def back(self, to: int | None = None, at: int = 9) -> Any:
        wish = Rollback(NAME, to, month(at), "ada", "too many false alarms", "root")
        return roll_back(self.systems, wish)

    def reconcile(self) -> list[str]:
        return reconcile(self.systems, NAME)


def grounds(state: State, number: int, replaces: int | None, **changes: Any) -> dict[str, Any]:
    """Record configuration, training and evaluation of a version; returns what its promotion names of them."""
    record_spec(state.audit, "automatic")
    digest, sha256 = f"{number} against {replaces}", state.tracking.version(NAME, number).sha256
    judged = {"evaluation": digest, "passed": True, "champion": replaces} | changes
    evidence = {"sha256": sha256, "challenger": None}
    evidence_entry(state.audit, "trained", number, {"version": number}, evidence)
    evidence_entry(state.audit, "evaluated", number, {"evaluation": digest}, judged)
    return {"evaluation": digest, "challenger": number, "approval": None, "sha256": sha256}


def record_spec(audit: Audit, mode: str) -> Entry:
    """Record a configuration that says how promotions are decided."""
    text = json.dumps({"promotion": {"mode": mode, "approvers": ["ada"]}})
    digest = hashlib.sha256(text.encode()).hexdigest()
    audit.keep(f"specs/{digest}.json", text)
    return evidence_entry(audit, "configuration_changed", None, {"spec": digest}, {"spec": digest})


def evidence_entry(
    audit: Audit,
    kind: Any,
    version: int | None,
    identity: dict[str, Any],
    evidence: dict[str, Any],
    by: str = "ada",
) -> Entry:
    """An entry that a change can rest on."""
    more = {"by": by, "why": "so", "moment": month(1), "version": version}
    return audit.record(kind, NAME, identity=identity, evidence=evidence, **more)


def promotion(number: int, replaces: int | None, at: datetime | None = None) -> Change:
    return Change(
        "promoted", NAME, number, replaces, at or month(6), "sensor retrain", "better by 0.01", {"run": "r"}
    )


def deployment_record(number: int, sha256: str, kept: Path) -> Deployment:
    return Deployment(
        name=NAME,
        version=str(number),
        task="classification",
        model_path=str(kept),
        model_sha256=sha256,
        scorer="tests.resources.serving_fakes:FakeScorer",
        feature_service="parcels_v1",
        time="leaves_at",
    )


@pytest.fixture(scope="module")
def registered(tmp_path_factory, empty_database, model) -> Path:
    """A registry with four versions and no champion."""
    home = tmp_path_factory.mktemp("registered")
    shutil.copy(empty_database, home / "mlflow.db")
    for number in range(1, VERSIONS + 1):
        register(State(home).tracking, model, f"fit-{number}")
    return home


@pytest.fixture
def state(registered, tmp_path) -> State:
    return State(Path(shutil.copytree(registered, tmp_path / "state")))


def test_a_change_is_recorded_with_its_evidence_and_moves_both_aliases(state):
    state.change(promotion(1, None))
    entry = state.change(promotion(2, 1))
    assert state.aliases == (2, 1)
    assert state.changes == [("promoted", 1, None), ("promoted", 2, 1)]
    assert (entry.by, entry.why, entry.moment) == ("sensor retrain", "better by 0.01", month(6))
    assert entry.evidence.items() >= {"run": "r", "replaces": 1, "serves": None}.items()
    assert state.tracking.anchors() == {NAME: (entry.seq, entry.hash)}
    assert state.audit.verify({"mlflow": state.tracking.anchors()[NAME]}).problem is None


def test_the_same_change_again_is_no_second_entry(state):
    first = state.change(promotion(1, None))
    assert state.change(promotion(1, None)) == first
    assert state.change(replace(promotion(1, None), by="other")) == first
    assert state.changes == [("promoted", 1, None)]


def test_evidence_about_another_champion_is_refused(state):
    state.change(promotion(1, None))
    state.change(promotion(2, 1))
    said = "version 3 was to replace version 1, but version 2 is champion by now: judge it against that one"
    with pytest.raises(ChampionError, match=said):
        state.change(promotion(3, 1))
    assert (state.aliases, len(state.changes)) == ((2, 1), 2)


def test_an_alias_that_was_set_by_hand_is_put_back_before_the_next_change(state):
    state.change(promotion(1, None))
    client_of(state.tracking.uri).set_registered_model_alias(NAME, "champion", "4")
    with pytest.raises(ChampionError, match="was to replace version 4, but version 1 is champion by now"):
        state.change(promotion(2, 4))
    assert state.aliases == (1, None)
    state.change(promotion(2, 1))
    assert state.aliases == (2, 1)


def test_the_registry_sets_no_champion_but_through_the_record(state):
    for alias in ("champion", "previous"):
        with pytest.raises(
            TrackingError, match=r"set by change_champion in mlops_assets/promotion/champion\.py only"
        ):
            state.tracking.set_alias(NAME, alias, 1)
    state.tracking.set_alias(NAME, "challenger", 1)


def test_of_two_versions_that_became_champion_at_one_moment_the_later_one_was_it(state):
    for number, replaces in ((2, None), (1, 2)):
        state.change(promotion(number, replaces))
    assert state.tracking.version(NAME, 1).promotions == [month(6)]
    assert state.tracking.version(NAME, 2).promotions == []


def process(home: Path, number: int, replaces: int, die: bool) -> subprocess.CompletedProcess[str]:
    command = ["-c", PROCESS, str(home), str(number), str(replaces), "die" if die else "live"]
    return forked.run(command, os.environ, PROJECT_ROOT)


def test_a_process_killed_between_record_and_alias_leaves_a_change_that_the_next_one_completes(state):
    state.change(promotion(1, None))
    dead = process(state.home, 2, 1, die=True)
    assert dead.stderr.strip() == "" and dead.returncode == -signal.SIGKILL
    assert state.changes[1:] == [("promoted", 2, 1)]
    assert state.aliases == (1, None)
    state.change(promotion(2, 1))
    assert (state.aliases, state.changes[1:]) == ((2, 1), [("promoted", 2, 1)])


def test_a_change_of_another_version_completes_the_interrupted_one_before_it_is_refused(state):
    state.change(promotion(1, None))
    assert process(state.home, 2, 1, die=True).returncode == -signal.SIGKILL
    with pytest.raises(ChampionError, match="but version 2 is champion by now"):
        state.change(promotion(3, 1))
    assert state.aliases == (2, 1)


def test_of_two_processes_that_promote_at_once_one_wins_and_the_other_is_refused(state):
    state.change(promotion(1, None))
    with ThreadPoolExecutor(2) as pool:
        running = {number: pool.submit(process, state.home, number, 1, die=False) for number in (2, 3)}
        while not all((state.home / f"ready-{number}").exists() for number in running):
            assert not any(p.done() for p in running.values()), "a process died before it could begin"
            time.sleep(0.01)
        (state.home / "go").touch()
    ended = {number: p.result() for number, p in running.items()}
    (winner,) = [number for number, p in ended.items() if p.returncode == 0]
    assert f"was to replace version 1, but version {winner} is champion by now" in ended[5 - winner].stderr
    assert (state.aliases, state.changes[1:]) == ((winner, 1), [("promoted", winner, 1)])


def life(state: State) -> list[Any]:
    """Two promotions and a rollback, and all that can be seen of them afterwards, without clocks."""
    for number, replaces in ((1, None), (2, 1)):
        if number not in [e.version for e in state.audit.entries(NAME, ("deployed",))]:
            state.deploy(number, replaces)
    if state.kinds[-2:] != ["rolled_back", "deployed"]:
        state.back()
    promotions = [v.promotions for v in state.tracking.versions(NAME)]
    events = sorted((e.kind, e.version or 0, e.event) for e in state.audit.entries())
    return [state.aliases, promotions, events, state.published, state.tracking.anchors()[NAME][0]]


def watched(state: State, monkeypatch: pytest.MonkeyPatch, passes: Callable[[], None]) -> None:
    """Call `passes` before every write: to registry, log, head and endpoint."""
    client = client_of(state.tracking.uri)
    writes = ("set_registered_model_alias", "set_model_version_tag", "set_registered_model_tag")
    places = [(client, name) for name in writes]
    places += [(durable, "rename"), (durable, "second_name")]
    for owner, name in places:
        original = getattr(owner, name)

        def call(*arguments: Any, original: Any = original) -> Any:
            passes()
            return original(*arguments)

        monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize("first", range(0, 7, 2))
def test_a_life_killed_at_any_write_and_begun_again_ends_like_an_unbroken_one(
    registered, tmp_path, monkeypatch, first
):
    unbroken = life(State(Path(shutil.copytree(registered, tmp_path / "unbroken"))))
    state = State(Path(shutil.copytree(registered, tmp_path / "killed")))
    last = [*range(first + 1, 60, 7)]
    count, kills = [0], 0

    def passes() -> None:
        count[0] += 1
        if count[0] in last:
            raise Killed

    watched(state, monkeypatch, passes)
    while True:
        try:
            again = life(state)
            break
        except Killed:
            kills += 1
    assert again == unbroken
    assert kills >= 5
    assert state.audit.verify({"mlflow": state.tracking.anchors()[NAME]}).problem is None


def test_a_rollback_returns_to_the_champion_before_and_the_endpoint_follows(state):
    state.deploy(1, None)
    state.deploy(2, 1)
    entry = state.back()
    assert (state.aliases, state.published) == ((1, 2), "1")
    assert (entry.kind, entry.by, entry.why) == ("rolled_back", "ada", "too many false alarms")
    assert state.kinds[-2:] == ["rolled_back", "deployed"]
    made = [(at, v.number) for v in state.tracking.versions(NAME) for at in v.promotions]
    assert max(made) == (entry.moment, 1)
    assert entry.moment <= month(9)
    assert Path(state.endpoint.records()[NAME].model_path).read_bytes() == state.tracking.load(
        state.tracking.version(NAME, 1)
    )


def test_a_champion_from_before_the_log_can_be_gone_back_to(state):
    state.endpoint.publish(state.record(1))
    client_of(state.tracking.uri).set_registered_model_alias(NAME, "champion", "1")
    state.deploy(2, 1)
    state.back()
    assert (state.aliases, state.published) == ((1, 2), "1")
    assert state.changes == [("promoted", 2, 1), ("rolled_back", 1, 2)]


def test_one_rollback_after_the_other_goes_one_further_back_each_time(state):
    for number in (1, 2, 3):
        state.deploy(number, number - 1 or None)
    assert [state.back(at=9).version, state.back(at=10).version] == [2, 1]
    with pytest.raises(ChampionError, match="version 1 is the first champion: there is no earlier one"):
        state.back(at=11)
    assert state.back(3, at=11).version == 3


def test_what_was_rolled_back_is_not_promoted_again_by_itself(state):
    state.deploy(1, None)
    state.deploy(2, 1)
    state.back()
    said = "version 2 was rolled back by ada .too many false alarms. and is not promoted again by itself"
    with pytest.raises(ChampionError, match=said):
        state.deploy(2, 1)
    assert (state.aliases, state.published) == ((1, 2), "1")
    state.deploy(3, 1, at=10)
    assert state.back(2, at=11).version == 2
    assert state.aliases == (2, 3)


@pytest.mark.parametrize(
    ("to", "said"),
    [(2, "version 2 is champion already"), (4, "version 4 was never champion.*there were: 1, 2")],
)
def test_a_rollback_to_what_is_no_earlier_champion_is_refused(state, to, said):
    state.deploy(1, None)
    state.deploy(2, 1)
    with pytest.raises(ChampionError, match=said):
        state.back(to)
    assert state.aliases == (2, 1)


def test_a_rollback_without_any_champion_is_refused(state):
    with pytest.raises(ChampionError, match="has no champion: there is nothing to roll back"):
        state.back()


def deployed_by_an_earlier_release(state: State, number: int, replaces: int | None) -> None:
    """What the log, the registry and the endpoint's folder held when records were no part of the log."""
    record = state.record(number, moment=month(number))
    state.endpoint.keep_record(record)
    entry = state.audit.record(
        "promoted",
        NAME,
        identity={"version": number},
        by="sensor retrain",
        why="better",
        moment=month(number),
        evidence={"replaces": replaces, **grounds(state, number, replaces)},
        version=number,
    )
    state.tracking.promote(NAME, number, month(number), replaces)
    state.tracking.anchor(NAME, entry.seq, entry.hash)
    (state.home / "serving" / f"{NAME}.json").write_text(record.model_dump_json())
    digest = record_digest(record)
    state.audit.record(
        "deployed",
        NAME,
        identity={"change": entry.event, "record": digest},
        by="sensor retrain",
        why="better",
        moment=month(number),
        evidence={"change": entry.hash, "model_sha256": record.model_sha256, "record": digest},
        version=number,
    )


def test_a_record_that_an_earlier_release_kept_is_gone_back_to_unless_it_was_changed(state):
    deployed_by_an_earlier_release(state, 1, None)
    deployed_by_an_earlier_release(state, 2, 1)
    kept = state.home / "serving" / "models" / "1" / f"{NAME}.json"
    written = kept.read_text()
    kept.write_text(json.dumps(json.loads(written) | {"scorer": "evil.module:Scorer"}))
    with pytest.raises(
        ChampionError, match="deployment record kept of version 1 is not the one that was deployed"
    ):
        state.back()
    kept.unlink()
    with pytest.raises(ChampionError, match="no deployment record of version 1 was kept"):
        state.back()
    kept.write_text(written)
    record = state.endpoint.kept_record(NAME, 1)
    assert record
    Path(record.model_path).write_bytes(b"changed")
    state.back()
    assert Path(state.endpoint.records()[NAME].model_path).read_bytes() != b"changed"
    assert (state.aliases, state.published) == ((1, 2), "1")


def test_the_moment_in_a_record_of_an_earlier_release_is_kept_where_moments_are_kept(state):
    deployed_by_an_earlier_release(state, 2, None)
    assert state.reconcile() == ["the endpoint's record was of version 2, now it is of version 2"]
    assert "moment" not in json.loads((state.home / "serving" / f"{NAME}.json").read_text())
    assert moment_in(state.home / "serving" / "moment.txt") == month(2)
    assert state.reconcile() == []
    assert state.kinds == ["promoted", "deployed"]


def test_a_version_whose_registered_model_was_changed_is_not_gone_back_to(state, registered):
    state.deploy(1, None)
    state.deploy(2, 1)
    (recorded,) = (p for p in registered.rglob("model.ubj") if _is_of(state, 1, p))
    content = recorded.read_bytes()
    try:
        recorded.write_bytes(content[:-1])
        with pytest.raises(TrackingError, match="version 1: the model file's SHA-256 is"):
            state.back()
    finally:
        recorded.write_bytes(content)
    assert state.aliases == (2, 1)


def _is_of(state: State, number: int, path: Path) -> bool:
    run = client_of(state.tracking.uri).get_run(state.tracking.version(NAME, number).run_id)
    return run.data.tags["model_id"] in path.parts


def test_a_model_that_answers_nowhere_is_rolled_back_in_the_registry_alone(state):
    state.change(promotion(1, None, month(2)))
    state.change(promotion(2, 1, month(3)))
    state.back()
    assert state.aliases == (1, 2)
    assert not (state.home / "serving").exists()


def test_the_log_tells_who_was_champion_then_in_both_times(state):
    state.deploy(1, None, at=2)
    state.deploy(2, 1, at=4)
    state.back(at=6)
    changes = list(state.audit.entries(NAME, CHANGES))
    found = [champion_then(changes, month(m)) for m in (1, 2, 3, 4, 5, 6, 7)]
    assert [entry and entry.version for entry in found] == [None, 1, 1, 2, 2, 1, 1]
    by_wall = [champion_then(changes, entry.at, wall=True) for entry in changes]
    assert by_wall == changes
    assert champion_then(changes, month(7), wall=True) is None
    assert (in_line(changes), in_line(changes[:2])) == ([1], [1, 2])


def lose_the_record(state: State) -> None:
    state.endpoint.withdraw(NAME)


def put_another_versions_record_back(state: State) -> None:
    state.endpoint.publish(state.record(1))


def garble_the_record(state: State) -> None:
    (state.home / "serving" / f"{NAME}.json").write_text("{")


def lose_the_model_file(state: State) -> None:
    state.endpoint.model_file(NAME, 2).unlink()


def change_the_model_file(state: State) -> None:
    state.endpoint.model_file(NAME, 2).write_bytes(b"changed")


def move_the_alias(state: State) -> None:
    client_of(state.tracking.uri).set_registered_model_alias(NAME, "champion", "3")


def drop_the_alias(state: State) -> None:
    client_of(state.tracking.uri).delete_registered_model_alias(NAME, "champion")


@pytest.mark.parametrize(
    "differ",
    [
        lose_the_record,
        put_another_versions_record_back,
        garble_the_record,
        lose_the_model_file,
        change_the_model_file,
        move_the_alias,
        drop_the_alias,
    ],
)
def test_whatever_differs_from_the_newest_change_is_repaired_once_and_told(state, differ):
    state.deploy(1, None)
    state.deploy(2, 1)
    entries = [entry.event for entry in state.audit.entries()]
    differ(state)
    assert len(state.reconcile()) == 1
    assert (state.aliases, state.published) == ((2, 1), "2")
    kept = Path(state.endpoint.records()[NAME].model_path).read_bytes()
    assert kept == state.tracking.load(state.tracking.version(NAME, 2))
    assert state.reconcile() == []
    assert [entry.event for entry in state.audit.entries()] == entries


def test_a_log_whose_end_was_cut_off_is_not_followed(state):
    state.deploy(1, None)
    folder = Path(state.audit.folder)
    shutil.copytree(folder, state.home / "before")
    state.deploy(2, 1)
    shutil.rmtree(folder)
    shutil.move(state.home / "before", folder)
    with pytest.raises(AuditError, match=r"MLflow remembers entry 8 .* newest change here is entry 4"):
        state.reconcile()
    with pytest.raises(AuditError, match="the log was cut off or replaced"):
        state.deploy(3, 1)
    assert (state.aliases, state.published) == ((2, 1), "2")


def test_a_model_whose_deployment_is_switched_off_is_withdrawn_by_its_next_promotion(state):
    state.deploy(1, None)
    state.change(promotion(2, 1))
    assert (state.aliases, state.endpoint.records()) == ((2, 1), {})
    state.deploy(3, 2)
    assert state.published == "3"


def test_the_champion_is_published_anew_when_it_is_served_in_another_way(state):
    state.deploy(1, None)
    for owner in ("team:a", "team:b", "team:a"):
        state.deploy(1, None, owner=owner)
        assert state.endpoint.records()[NAME].owner == owner
        assert state.reconcile() == []
    assert state.kinds == ["promoted"] + 4 * ["deployed"]
    state.deploy(2, 1)
    state.back()
    assert state.endpoint.records()[NAME].owner == "team:a"


def test_a_change_never_counts_from_an_earlier_moment_than_the_one_before(state):
    state.deploy(1, None, at=5)
    assert state.deploy(2, 1, at=3).moment == month(5)
    assert state.back(at=4).moment == month(5)

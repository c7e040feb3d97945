"""The one place where a champion changes: an entry is appended to the audit log, and registry and endpoint follow it.

Entry, aliases and deployment record change in one step, under one lock a model. A process that dies in between leaves a
log that is ahead, and the next change of the model, or the sensor that reconciles, completes it. Two changes at once are
decided by the lock and by naming the champion that each means to replace: the later one is refused.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mlops_assets.promotion.errors import ChampionError
from mlops_assets.promotion.following import (
    SERVES,
    champion_lock,
    contents,
    followed,
    named,
    reconcile,
    record_deployed,
    record_of,
    registered,
    wanted_record,
)
from mlops_assets.promotion.grounds import Grounds
from mlops_assets.promotion.history import REPLACES, in_line, rolled_back
from mlops_assets.promotion.holds import refuse_frozen
from resources.audit.chain import event_identity
from resources.audit.log import CHANGES, Audit, Entry
from resources.records.deployment import Deployment
from resources.records.reader import RecordError
from resources.systems import Systems
from resources.tracking.tracking import Tracking, TrackingAwayError, TrackingError, Version

__all__ = ["ChampionError", "Change", "Rollback", "champion_now", "change_champion", "reconcile", "roll_back"]
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """A version that is to be champion from `moment` (data time) on, in place of the champion that it names."""

    kind: Literal["promoted", "rolled_back"]
    model: str
    version: int
    replaces: int | None
    moment: datetime
    by: str
    why: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


def change_champion(systems: Systems, change: Change, record: Deployment | None) -> Entry:
    """Record a change, move the aliases and publish `record` (None: not deployed); returns the entry that made the champion.

    Safe to repeat after a crash at any point: a change that was recorded is completed, and recorded once. Raises
    ChampionError where another version is champion by now than `change.replaces`, or where an automatic promotion
    asks for a version that was rolled back, and FrozenError where somebody has put the model on hold.
    """
    audit = systems.audit
    with champion_lock(audit, change.model):
        last = _settled(systems, change.model)
        now = _champion(systems.tracking, change.model, last)
        if last is None or change.version != now:
            _refuse(change, now, audit)
            last = _append(audit, change, now, last, record)
        elif record is not None and not _says(wanted_record(audit, systems.endpoint, last), record):
            record_deployed(audit, last, record)
        followed(systems, last)
        return last


def _says(deployment: Deployment | None, record: Deployment) -> bool:
    return deployment is not None and contents(deployment) == contents(record)


def champion_now(tracking: Tracking, audit: Audit, model: str) -> int | None:
    """Number of the champion as the log says it, whether or not the registry has followed yet."""
    return _champion(tracking, model, audit.latest(model, CHANGES))


@dataclass(frozen=True)
class Rollback:
    """A person's wish to go back: to the champion before (`to` None), or to one that is named."""

    model: str
    to: int | None
    moment: datetime
    by: str
    why: str
    account: str


def roll_back(systems: Systems, wish: Rollback) -> Entry:
    """Make an earlier champion champion again and put it behind the endpoint; returns the entry that did.

    The version's model file and deployment record are verified first. A rollback whose process died is completed instead
    of going back one further, whoever has repaired its effects meanwhile. Raises ChampionError where there is nothing
    to go back to, and FrozenError where the model is retired; a pause is no obstacle to who mends something.
    """
    with champion_lock(systems.audit, wish.model):
        last, pending = _left_behind(systems, wish.model), _Pending(systems.audit, wish.model)
        if last is None or not pending.is_of(last) or wish.to not in (None, last.version):
            last = _gone_back(systems, wish, last, pending)
        followed(systems, last)
        pending.done()
        return last


@dataclass(frozen=True)
class _Pending:
    """The rollback whose command has not ended yet, in a file beside the log, so that the command can be repeated."""

    audit: Audit
    model: str

    @property
    def name(self) -> str:
        return f"pending/rollback-{self.model}"

    def begin(self, event: str) -> None:
        self.audit.storage.write(self.name, event.encode())

    def is_of(self, change: Entry) -> bool:
        stored = self.audit.storage.load_or_none(self.name)
        return stored is not None and stored.content.decode() == change.event

    def done(self) -> None:
        self.audit.storage.delete(self.name)


def _gone_back(systems: Systems, wish: Rollback, last: Entry | None, pending: _Pending) -> Entry:
    tracking, audit = systems.tracking, systems.audit
    champion = _champion(tracking, wish.model, last)
    target = _target(wish, champion, Grounds.of(audit, wish.model).changes())
    version = registered(tracking, wish.model, target)
    record = _verified(systems, version)
    change = _change_back(wish, version, champion)
    pending.begin(event_identity(change.kind, change.model, _identity(change, champion, last)))
    return _append(audit, change, champion, last, record)


def _change_back(wish: Rollback, version: Version, champion: int | None) -> Change:
    evidence = {
        "sha256": version.sha256,
        "run": version.run_id,
        "identity": version.identity,
        "account": wish.account,
    }
    return Change(
        "rolled_back", wish.model, version.number, champion, wish.moment, wish.by, wish.why, evidence
    )


def _settled(systems: Systems, model: str) -> Entry | None:
    """The newest change, once registry and endpoint have followed it."""
    last = systems.audit.latest(model, CHANGES)
    for sentence in followed(systems, last) if last else ():
        LOG.warning("%s: %s", model, sentence)
    return last


def _left_behind(systems: Systems, model: str) -> Entry | None:
    """The same for who goes back from it: a change that cannot be followed, its model gone perhaps, is no obstacle."""
    try:
        return _settled(systems, model)
    except TrackingAwayError:
        raise
    except (ChampionError, TrackingError, RecordError) as broken:
        LOG.warning("%s: going back from a change that cannot be followed: %s", model, broken)
        return systems.audit.latest(model, CHANGES)


def _champion(tracking: Tracking, model: str, last: Entry | None) -> int | None:
    """Who is champion by the log; by the registry where the log knows of no change yet."""
    if last is not None:
        return last.version
    champion = tracking.champion(model)
    return champion.number if champion else None


def _refuse(change: Change, now: int | None, audit: Audit) -> None:
    if now not in (change.replaces, change.version):
        raise ChampionError(
            f"{change.model}: version {change.version} was to replace {named(change.replaces)}, but "
            f"{named(now)} is champion by now: judge it against that one (materialize {change.model}/evaluation)"
        )
    if change.kind == "promoted":
        back = rolled_back(list(audit.entries(change.model, CHANGES)), change.version)
        if back is not None:
            raise ChampionError(refusal(back))


def _refuse_unfounded(change: Change, now: int | None, audit: Audit) -> None:
    evidence = {**change.evidence, REPLACES: now}
    if why := Grounds.of(audit, change.model).objection(change.kind, change.version, evidence):
        raise ChampionError(f"{change.model}: version {change.version} does not become champion: {why}")


def _refuse_now(change: Change, now: int | None, audit: Audit) -> None:
    """What is asked last, with nobody's entry between the answer and the change."""
    refuse_frozen(audit, change.model, (change.kind,))
    _refuse_unfounded(change, now, audit)


def refusal(back: Entry) -> str:
    """Why a version that was rolled back is not promoted again, and what can be done."""
    version = back.evidence[REPLACES]
    return (
        f"{back.model}: version {version} was rolled back by {back.by} ({back.why}) and is not promoted again by "
        f"itself: train a new challenger, or `mlops rollback {back.model} --to {version} --by NAME --reason WHY`"
    )


def _identity(change: Change, now: int | None, last: Entry | None) -> dict[str, Any]:
    return {"version": change.version, REPLACES: now, "after": last.event if last else ""}


def _append(
    audit: Audit, change: Change, now: int | None, last: Entry | None, record: Deployment | None
) -> Entry:
    """Append the change, never at an earlier moment of the data than the change before it."""
    before = last.moment if last is not None else None
    return audit.record(
        change.kind,
        change.model,
        identity=_identity(change, now, last),
        by=change.by,
        why=change.why,
        moment=max(change.moment, before or change.moment),
        evidence={**change.evidence, REPLACES: now, SERVES: contents(record) if record else None},
        version=change.version,
        check=lambda: _refuse_now(change, now, audit),
    )


def _target(wish: Rollback, champion: int | None, changes: Sequence[Entry]) -> int:
    if champion is None:
        raise ChampionError(f"{wish.model} has no champion: there is nothing to roll back")
    line = in_line(changes)
    earlier = line[:-1] if line[-1:] == [champion] else line
    if wish.to is None and not earlier:
        raise ChampionError(
            f"{wish.model}: version {champion} is the first champion: there is no earlier one"
        )
    if wish.to is None:
        return earlier[-1]
    if wish.to == champion:
        raise ChampionError(f"{wish.model}: version {champion} is champion already")
    known = sorted({c.version or 0 for c in changes} | set(line))
    if wish.to not in known:
        raise ChampionError(
            f"{wish.model}: version {wish.to} was never champion, so it cannot be rolled back to; "
            f"there were: {', '.join(map(str, known)) or 'none'}"
        )
    return wish.to


def _verified(systems: Systems, version: Version) -> Deployment | None:
    """The record to publish, its model file whole in the registry; None where the model is not behind the endpoint at all."""
    endpoint = systems.endpoint
    systems.tracking.load(version)
    record = record_of(systems.audit, endpoint, version.name, version.number)
    if record is None and endpoint.published(version.name) is not None:
        raise ChampionError(
            f"{version.name}: no deployment record of version {version.number} was kept, so the endpoint could not "
            f"follow: go back to another version"
        )
    if record is not None and record.model_sha256 != version.sha256:
        raise ChampionError(
            f"{version.name}: the deployment record of version {version.number} names another model than the one that "
            f"was registered: go back to another version"
        )
    return record

"""The one place where a champion changes: the audit log is written first, then the alias follows it.

A process that dies in between leaves a log that is ahead of the alias, and the next change of that model completes it.
Two changes at once are decided by a lock and by naming the champion that each means to replace: the later one is refused.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from resources.audit import CHANGES, Audit, Entry
from resources.champions import REPLACES, in_line, rolled_back
from resources.lake import write_bytes
from resources.live_models import Record
from resources.serving import Endpoint
from resources.tracking import Tracking, Version


class ChampionError(Exception):
    """A change of the champion is refused: its evidence or its target does not fit what is champion now."""


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


def change_champion(tracking: Tracking, audit: Audit, change: Change) -> Entry:
    """Record the change, then move the aliases; returns the entry that made the version champion.

    Safe to repeat after a crash at any point: a change that was recorded is completed, and recorded once. Raises
    ChampionError where another version is champion by now than `change.replaces`, or where an automatic promotion
    asks for a version that was rolled back.
    """
    with audit.lock(f"champion-{change.model}"):
        last = audit.latest(change.model, CHANGES)
        now = _completed(tracking, change.model, last)
        if last is not None and last.version == now == change.version:
            return last
        _refuse(change, now, audit)
        entry = _record(audit, change, now, last)
        _follow(tracking, entry)
        return entry


def champion_now(tracking: Tracking, audit: Audit, model: str) -> int | None:
    """Number of the champion, after a change that was recorded and interrupted is completed."""
    with audit.lock(f"champion-{model}"):
        return _completed(tracking, model, audit.latest(model, CHANGES))


def publish(endpoint: Endpoint, audit: Audit, record: Record, change: Entry) -> Entry:
    """Put a version behind the endpoint and record that it is there; repeated, it is one entry.

    The record that it replaces is kept, if it was published before records were, so that a rollback finds it.
    """
    before = endpoint.records().get(record.name)
    if before is not None and endpoint.kept_record(before.name, before.version) is None:
        endpoint.keep_record(before)
    endpoint.publish(record)
    return audit.record(
        "deployed",
        record.name,
        identity={"change": change.event, "record": record_digest(record)},
        by=change.by,
        why=change.why,
        moment=change.moment,
        evidence={
            "change": change.hash,
            "model_sha256": record.model_sha256,
            "record": record_digest(record),
        },
        version=int(record.version),
    )


def record_digest(record: Record) -> str:
    """SHA-256 of what the endpoint answers with, wherever the file lies and however far the online store is."""
    kept = record.model_dump_json(exclude={"moment", "owner", "model_path"})
    return hashlib.sha256(kept.encode()).hexdigest()


@dataclass(frozen=True)
class Rollback:
    """A person's wish to go back: to the champion before (`to` None), or to one that is named."""

    model: str
    to: int | None
    moment: datetime
    by: str
    why: str
    account: str


def roll_back(tracking: Tracking, audit: Audit, endpoint: Endpoint, wish: Rollback) -> Entry:
    """Make an earlier champion champion again and put it behind the endpoint; returns the entry that did.

    The version's model file and deployment record are verified first. A rollback that was interrupted is completed
    instead of going back one further. Raises ChampionError where there is nothing to go back to.
    """
    champion = champion_now(tracking, audit, wish.model)
    changes = list(audit.entries(wish.model, CHANGES))
    interrupted = changes[-1] if changes and _unpublished(audit, endpoint, changes[-1]) else None
    target = interrupted.version if interrupted else _target(wish, champion, changes)
    assert target is not None
    version = tracking.version(wish.model, target)
    record = _verified(tracking, endpoint, audit, version)
    change = interrupted or change_champion(tracking, audit, _change_back(wish, version, champion))
    if record is not None:
        publish(endpoint, audit, record, change)
    return change


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


def _completed(tracking: Tracking, model: str, last: Entry | None) -> int | None:
    """The champion's number, once the alias has followed the last change that was recorded.

    An alias that neither that change nor what it replaced explains was set by hand: it is left as it is.
    """
    champion = tracking.champion(model)
    now = champion.number if champion else None
    if last is None or now == last.version or now != last.evidence[REPLACES]:
        return now
    _follow(tracking, last)
    return last.version


def _follow(tracking: Tracking, entry: Entry) -> None:
    """Bring moments, aliases and the registry's memory of the log to where an entry says."""
    assert entry.model and entry.version and entry.moment, f"entry {entry.seq} changes no champion"
    tracking.promote(entry.model, entry.version, entry.moment)
    tracking.anchor(entry.model, entry.seq, entry.hash)


def _refuse(change: Change, now: int | None, audit: Audit) -> None:
    if now not in (change.replaces, change.version):
        raise ChampionError(
            f"{change.model}: version {change.version} was to replace {_named(change.replaces)}, but "
            f"{_named(now)} is champion by now: judge it against that one (materialize {change.model}/evaluation)"
        )
    if change.kind == "promoted":
        back = rolled_back(list(audit.entries(change.model, CHANGES)), change.version)
        if back is not None:
            raise ChampionError(refusal(back))


def refusal(back: Entry) -> str:
    """Why a version that was rolled back is not promoted again, and what can be done."""
    version = back.evidence[REPLACES]
    return (
        f"{back.model}: version {version} was rolled back by {back.by} ({back.why}) and is not promoted again by "
        f"itself: train a new challenger, or `mlops rollback {back.model} --to {version} --by NAME --reason WHY`"
    )


def _record(audit: Audit, change: Change, now: int | None, last: Entry | None) -> Entry:
    evidence = {**change.evidence, REPLACES: now}
    if last is not None and last.version != now:
        evidence["champion by the log"] = last.version
    after = last.event if last else ""
    return audit.record(
        change.kind,
        change.model,
        identity={"version": change.version, REPLACES: now, "after": after},
        by=change.by,
        why=change.why,
        moment=change.moment,
        evidence=evidence,
        version=change.version,
    )


def _unpublished(audit: Audit, endpoint: Endpoint, change: Entry) -> bool:
    """Whether a rollback was recorded whose version has not been put behind the endpoint yet."""
    if change.kind != "rolled_back" or not change.model or not change.version:
        return False
    if endpoint.kept_record(change.model, change.version) is None:
        return False
    deployed = audit.entries(change.model, ("deployed",))
    return all(entry.evidence["change"] != change.hash for entry in deployed)


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


def _verified(tracking: Tracking, endpoint: Endpoint, audit: Audit, version: Version) -> Record | None:
    """The record to publish, with its model file in place; None where the model is not behind the endpoint at all."""
    content = tracking.load(version)
    record, now = endpoint.kept_record(version.name, version.number), endpoint.records().get(version.name)
    if record is None and now is None:
        return None
    if record is None:
        raise ChampionError(
            f"{version.name}: no deployment record of version {version.number} was kept, so the endpoint could not "
            f"follow: go back to another version"
        )
    _as_deployed(audit, record, version)
    write_bytes(Path(record.model_path), content)
    return record.model_copy(update={"moment": max(record.moment, now.moment if now else record.moment)})


def _as_deployed(audit: Audit, record: Record, version: Version) -> None:
    """Refuse a kept record that is not the one the log says was deployed."""
    entries = audit.entries(version.name, ("deployed",))
    known = {e.evidence["record"] for e in entries if e.version == version.number}
    if record.model_sha256 != version.sha256 or (known and record_digest(record) not in known):
        raise ChampionError(
            f"{version.name}: the deployment record kept of version {version.number} is not the one that was "
            f"deployed: it was changed; go back to another version"
        )


def _named(version: int | None) -> str:
    return "no champion" if version is None else f"version {version}"

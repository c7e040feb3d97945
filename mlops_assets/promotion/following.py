"""Registry and endpoint follow the audit log: what they say of a model is derived from the newest change of its champion.

So a change is one entry, and whatever dies or races after it is repaired from it, by whoever comes next: the next
change of the model, or the sensor that looks every few seconds. Everything here holds the model's lock.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mlops_assets.promotion.errors import ChampionError
from mlops_assets.promotion.grounds import refuse_unfounded
from mlops_assets.promotion.history import REPLACES
from resources.audit.log import CHANGES, Audit, AuditError, Entry
from resources.records.deployment import Deployment
from resources.records.moved import names_before
from resources.serving.ray_serve import Endpoint
from resources.systems import Systems
from resources.tracking.tracking import Tracking, Version
from resources.tracking.versions import sha256

SERVES = "serves"
"""Evidence of a change: the deployment record that the endpoint follows from then on, None where it follows none."""

ELSEWHERE = {"moment", "model_path"}
"""Fields of a record that the log does not hold: how far the data has come, and where the state folder lies."""


def champion_lock(audit: Audit, model: str, wait: bool = True) -> AbstractContextManager[None]:
    """Held by whoever changes a model's champion, until registry and endpoint have followed."""
    return audit.lock(f"champion-{model}", wait)


def reconcile(systems: Systems, model: str, wait: bool = True) -> list[str]:
    """Repair whatever differs from the newest change of a model's champion; returns what did, in words.

    With `wait` off, LeaseHeldError is raised at once where a change is under way. Raises ChampionError, TrackingError or
    AuditError where something differs that cannot be repaired; nothing is published then.
    """
    with champion_lock(systems.audit, model, wait):
        change = systems.audit.latest(model, CHANGES)
        return followed(systems, change) if change else []


def followed(systems: Systems, change: Entry) -> list[str]:
    """Bring registry and endpoint to where the newest change says, and return what differed.

    Raises UnfoundedError for a change that the log holds without its evaluation or approval.
    """
    tracking, audit = systems.tracking, systems.audit
    refuse_unfounded(audit, change)
    champion, remembered = tracking.standing(_model(change))
    if remembered is not None and remembered > (change.seq, "") and remembered != (change.seq, change.hash):
        raise AuditError(
            f"MLflow remembers entry {remembered[0]} of the audit log for {change.model}, whose newest change here is entry "
            f"{change.seq}: the log was cut off or replaced, so nothing follows it; `mlops audit verify` names the line"
        )
    record = wanted_record(audit, systems.endpoint, change)
    sentences = _serve(systems, change, record)
    if champion != change.version or remembered != (change.seq, change.hash):
        assert change.version is not None and change.moment is not None
        tracking.promote(_model(change), change.version, change.moment, change.evidence[REPLACES])
        tracking.anchor(_model(change), change.seq, change.hash)
    if champion != change.version:
        sentences.append(f"the registry's champion was {named(champion)}, now {named(change.version)}")
    if record is not None and deployed(audit, change) is None:
        record_deployed(audit, change, record)
    return sentences


def record_of(audit: Audit, endpoint: Endpoint, model: str, version: int) -> Deployment | None:
    """How a version was served last, from the log; of one that was deployed before the log said so, as it was kept."""
    entries = audit.entries(model, (*CHANGES, "deployed"))
    digests = [e.evidence[SERVES] for e in entries if e.version == version and e.evidence.get(SERVES)]
    return recorded(endpoint, digests[-1]) if digests else _earlier_record(audit, endpoint, model, version)


def wanted_record(audit: Audit, endpoint: Endpoint, change: Entry) -> Deployment | None:
    """The record that the endpoint has to follow after the newest change; None: none, or none is known."""
    deployment = deployed(audit, change)
    says = deployment if deployment is not None and SERVES in deployment.evidence else change
    if SERVES in says.evidence:
        return recorded(endpoint, says.evidence[SERVES]) if says.evidence[SERVES] else None
    assert change.version is not None
    return _earlier_record(audit, endpoint, _model(change), change.version)


def contents(record: Deployment) -> dict[str, Any]:
    """What the log holds of a record."""
    return {name: value for name, value in record.document().items() if name not in ELSEWHERE}


def record_deployed(audit: Audit, change: Entry, record: Deployment) -> Entry:
    """Record that the endpoint is given a change's version; with the record itself where the change names another one."""
    before, digest = deployed(audit, change), record_digest(record)
    other = contents(record) != change.evidence.get(SERVES)
    return audit.record(
        "deployed",
        record.name,
        identity={"change": change.event, "record": digest} | ({"after": before.event} if before else {}),
        by=change.by,
        why=change.why,
        moment=change.moment,
        evidence={"change": change.hash, "model_sha256": record.model_sha256, "record": digest}
        | ({SERVES: contents(record)} if other else {}),
        version=int(record.version),
    )


def deployed(audit: Audit, change: Entry) -> Entry | None:
    """The newest entry that says that the endpoint was given the version of a change."""
    newest = audit.latest(_model(change), ("deployed",))
    if newest is None or newest.seq < change.seq:
        return None
    if newest.evidence["change"] == change.hash:
        return newest
    entries = [e for e in audit.entries(change.model, ("deployed",)) if e.evidence["change"] == change.hash]
    return entries[-1] if entries else None


def record_digest(record: Deployment) -> str:
    """SHA-256 of what the endpoint answers with, wherever the file lies and however far the online store is.

    The clock of the data is left out, as it was before there was another one.
    """
    later = {"clock"} if record.clock == "data" else set()
    text = record.model_dump_json(exclude={*ELSEWHERE, "owner", *later})
    return sha256(text.encode())


def digests(record: Deployment) -> set[str]:
    """The record's hash now, and those that it had while its scorer lay elsewhere."""
    before = (record.model_copy(update={"scorer": name}) for name in names_before(record.scorer))
    return {record_digest(one) for one in (record, *before)}


def registered(tracking: Tracking, model: str, number: int) -> Version:
    """A version that must be there; ChampionError where it was deleted."""
    version_there = next((version for version in tracking.versions(model) if version.number == number), None)
    if version_there is None:
        raise ChampionError(
            f"{model}: version {number} is not in the registry: it was deleted; go back to another version"
        )
    return version_there


def named(version: int | None) -> str:
    """A version in a sentence."""
    return "no champion" if version is None else f"version {version}"


def _serve(systems: Systems, change: Entry, record: Deployment | None) -> list[str]:
    endpoint = systems.endpoint
    now = endpoint.published(_model(change))
    if record is None:
        gone = SERVES in change.evidence and endpoint.withdraw(_model(change))
        return [f"the endpoint answered, and {named(change.version)} is not deployed"] if gone else []
    sentences = with_model_file(systems.tracking, endpoint, record)
    if now != record:
        _keep_unrecorded(systems.audit, endpoint, now)
        endpoint.publish(record)
        said = f"of version {now.version}" if now else "missing"
        sentences.append(f"the endpoint's record was {said}, now it is of version {record.version}")
    return sentences


def with_model_file(tracking: Tracking, endpoint: Endpoint, record: Deployment) -> list[str]:
    """Put the model file that a record names in place, from the registry, if it is missing or not what it was."""
    path = Path(record.model_path)
    if path.is_file() and sha256(path.read_bytes()) == record.model_sha256:
        return []
    version = registered(tracking, record.name, int(record.version))
    if version.sha256 != record.model_sha256:
        raise ChampionError(
            f"{record.name}: the deployment record of version {record.version} names a model with SHA-256 "
            f"{record.model_sha256}, registered was {version.sha256}: go back to another version"
        )
    endpoint.keep(record.name, record.version, tracking.load(version))
    return [f"the model file of version {record.version} was not in place"]


def _keep_unrecorded(audit: Audit, endpoint: Endpoint, now: Deployment | None) -> None:
    """Keep a record that was published before there was a log of it, so that a rollback finds it."""
    if now is not None and record_of(audit, endpoint, now.name, int(now.version)) is None:
        endpoint.keep_record(now)


def recorded(endpoint: Endpoint, held: Mapping[str, Any]) -> Deployment:
    """The deployment record of which the log, or a state, holds the contents; its model file lies in this folder."""
    path = endpoint.model_file(held["name"], held["version"])
    return Deployment.of(
        {**held, "model_path": str(path)}, f"the deployment record that the audit log holds of {held['name']}"
    )


def _earlier_record(audit: Audit, endpoint: Endpoint, model: str, version: int) -> Deployment | None:
    """The record that an earlier release kept, refused if it is not the one that the log says was deployed."""
    record = endpoint.kept_record(model, version)
    if record is None:
        return None
    entries = audit.entries(model, ("deployed",))
    known = {e.evidence["record"] for e in entries if e.version == version}
    if known and not known & digests(record):
        raise ChampionError(
            f"{model}: the deployment record kept of version {version} is not the one that was deployed: it was changed; "
            f"go back to another version"
        )
    return record.model_copy(update={"moment": None})


def _model(change: Entry) -> str:
    assert change.model, f"entry {change.seq} changes the champion and names no model"
    return change.model

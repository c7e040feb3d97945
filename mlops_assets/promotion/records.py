"""What the assets write into the audit log: trainings, evaluations, and changes of a model's configuration."""

import getpass
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mlops_assets.promotion.history import SHOWN_BETTER
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.decides import changes
from mlops_assets.spec.earlier import as_now
from mlops_assets.spec.model import ModelSpec
from resources.audit.log import CHANGES, Audit, AuditError, Entry
from resources.lake.lake import Lake
from resources.moments import read_moment
from resources.records.attempts import Attempt
from resources.tracking.tracking import Version

SENSOR, SCHEDULE, BACKFILL = "dagster/sensor_name", "dagster/schedule_name", "dagster/backfill"


def launched_by(tags: Mapping[str, str]) -> str:
    """Who launched a run, as far as its tags tell: a sensor, a schedule, or the account that the code runs under."""
    for kind, tag in (("sensor", SENSOR), ("schedule", SCHEDULE), ("backfill", BACKFILL)):
        if tag in tags:
            return f"{kind} {tags[tag]}"
    return f"account {account()}"


def account() -> str:
    """The account that this process runs under; in a container without one, its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def record_trained(
    audit: Audit, spec: ModelSpec, version: Version, partitions: Mapping[str, str], moment: datetime
) -> Entry:
    """Record a version and the data it was fitted on; `partitions` are the training set's partitions with their SHA-256."""
    record_configuration(audit, spec, version.tags.get("launched_by", "unknown"), moment)
    names = ("week", "trained_until", "training_set", "feature_service", "feature_definitions")
    return audit.record(
        "trained",
        spec.name,
        identity={"version": version.identity},
        by=version.tags.get("launched_by", "unknown"),
        why=version.tags.get("reason", "no reason was given"),
        moment=moment,
        evidence={
            **{
                name: version.tags[name]
                for name in (*names, "code_version", "spec", "lineage", "search")
                if name in version.tags
            },
            "fit": version.tags.get("kind"),
            "weeks": {"first": min(partitions), "last": max(partitions), "number": len(partitions)},
            "sha256": version.sha256,
            "challenger": version.tags.get("challenger"),
            "identity": version.identity,
            "run": version.run_id,
            "dagster_run": version.tags.get("dagster_run"),
        },
        version=version.number,
    )


def record_evaluated(audit: Audit, spec: ModelSpec, attempt: Attempt, lineage: Mapping[str, str]) -> Entry:
    """Record that a challenger was judged, with the hash of everything that was weighed.

    Judged by another rule and then by the first one again, it has an entry for each time: the newest one holds.
    """
    by, moment = lineage.get("launched_by", "unknown"), read_moment(attempt.now)
    record_configuration(audit, spec, by, moment)
    champion, anchor, digest = attempt.champion, attempt.anchor, attempt.digest
    known = audit.find("evaluated", spec.name, {"evaluation": digest})
    last = audit.latest(spec.name, ("evaluated",))
    if known and last and last.evidence["evaluation"] == digest:
        return last
    return audit.record(
        "evaluated",
        spec.name,
        identity={"evaluation": digest} | ({"after": last.event} if known and last else {}),
        by=by,
        why=attempt.verdict,
        moment=moment,
        evidence={
            "evaluation": digest,
            "week": attempt.partition,
            "passed": attempt.promote,
            "champion": champion.version if champion else None,
            SHOWN_BETTER: attempt.shown_better,
            "anchor": anchor.content() if anchor else None,
            "dagster_run": lineage.get("dagster_run"),
        },
        version=attempt.challenger.version,
    )


def audit_entry(audit: Audit, model: str) -> dict[str, str]:
    """The entry that made the champion, as metadata: a second place that remembers where the log stood."""
    entry = audit.latest(model, CHANGES)
    return {"audit entry": f"{entry.seq} {entry.hash}"} if entry else {}


def record_configuration(audit: Audit, spec: ModelSpec, by: str, moment: datetime) -> Entry:
    """Record the model's spec where it differs from the one recorded last, and which of its fields do."""
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    last = audit.latest(spec.name, ("configuration_changed",))
    if last is not None and last.evidence["spec"] == digest:
        return last
    changed = changes(_recorded(audit, last) if last else {}, json.loads(text))
    if last is not None and not changed:
        return last
    audit.keep(_text_name(digest), text)
    return audit.record(
        "configuration_changed",
        spec.name,
        identity={"spec": digest, "after": last.event if last else ""},
        by=by,
        why=f"changed: {', '.join(changed)}" if last else "the first that was recorded",
        moment=moment,
        evidence={"spec": digest} | ({"changed": changed} if last else {}),
    )


def recorded_calendar(audit: Audit, model: str) -> tuple[Calendar, str] | None:
    """Calendar and prediction table of a model as they were recorded last, without loading any definitions."""
    last = audit.latest(model, ("configuration_changed",))
    if last is None:
        return None
    record = _recorded(audit, last)
    return Calendar.model_validate(record["calendar"]), record["prediction"]["table"]


def recorded_clock(audit: Audit, model: str) -> str:
    """Which clock a model was asked by as it was recorded last; by the data's before there was another one."""
    last = audit.latest(model, ("configuration_changed",))
    return _recorded(audit, last).get("clock", "data") if last else "data"


def spec_then(audit: Audit, model: str, before: int) -> dict[str, Any] | None:
    """A model's spec as it was recorded last before an entry; None where none was.

    Raises AuditError where its text is not the one that was recorded.
    """
    earlier = [e for e in audit.entries(model, ("configuration_changed",)) if e.seq < before]
    return _recorded(audit, earlier[-1]) if earlier else None


def data_now(calendar: Calendar, table: str, lake: Lake) -> datetime | None:
    """The end of the newest ingested partition, or None where nothing was ingested."""
    there = lake.partitions(table)
    return calendar.partition(there[-1]).end if there else None


def _recorded(audit: Audit, change: Entry) -> dict[str, Any]:
    """The spec that a change of configuration names, refused where the kept text is not the one that was recorded."""
    digest = change.evidence["spec"]
    text = audit.text(_text_name(digest))
    if text is None or hashlib.sha256(text.encode()).hexdigest() != digest:
        raise AuditError(
            f"{audit.folder}/{_text_name(digest)}, which entry {change.seq} names, is {'missing' if text is None else 'changed'}: "
            f"restore the folder from a copy"
        )
    return as_now(json.loads(text))


def _text_name(digest: str) -> str:
    return f"specs/{digest}.json"

"""The entry that somebody has an alert in hand: of the same log and chain, and no decision about a model.

It is not among `Kind`, which everything that decides about models is typed by, so that evaluations are what they were.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from resources.audit.chain import event_identity
from resources.audit.log import Audit, Entry, wall_clock

ACKNOWLEDGED = "alert_acknowledged"


def record_acknowledged(
    audit: Audit, *, identity: Mapping[str, Any], by: str, why: str, evidence: Mapping[str, Any]
) -> Entry:
    """Add who has an alert in hand and why, and return the entry; the one that is there where it was recorded before."""
    content = {
        "by": by,
        "evidence": dict(evidence),
        "kind": ACKNOWLEDGED,
        "model": None,
        "moment": None,
        "version": None,
        "why": why,
    }
    event = event_identity(ACKNOWLEDGED, None, identity)
    return Entry.of(audit.journal.append(event, wall_clock(), content, None))


def acknowledged_entries(audit: Audit) -> Iterator[Entry]:
    """Every such entry, oldest first."""
    return (entry for entry in audit.entries() if str(entry.kind) == ACKNOWLEDGED)

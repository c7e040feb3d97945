"""Which partitions are to be scored and reported: what their reports rest on is no longer, or not yet, what there is."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from mlops_assets.automation.settled import Look, listing, seal, unsettled
from mlops_assets.ml.provenance.digest import digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import online_key
from mlops_assets.stages.label_state import STATE, known_until, label_state, labels_due
from mlops_assets.stages.online import BASIS
from mlops_assets.stages.outcomes import Parts, outcome_parts
from mlops_assets.stages.partition_labels import rows_sha256
from resources.clock import Clock
from resources.lake.lake import Lake
from resources.lake.observed import partition_name
from resources.records.documents import load_note, online_in
from resources.records.notes import Making

REPORTS = ("performance", "drift")


def partitions_to_score(spec: ModelSpec, lake: Lake, clock: Clock | None = None) -> list[tuple[str, str]]:
    """Partitions whose features are online but whose reports rest on other content or labels or are missing, oldest first."""
    tables = [f"{spec.name}/{part}" for part in REPORTS]
    stored = lake.storage.load_or_none(f"{online_key(spec.use_case)}.json")
    ready: dict[str, str] = {}
    parts: dict[str, Parts] = {}

    bases: dict[str, str] = {}

    def bases_now() -> dict[str, str]:
        ready.update(online_in(stored.content if stored else None, online_key(spec.use_case)))
        parts.update(outcome_parts(spec, lake))
        names, written = listing(lake, spec.prediction.table)
        bases.update(
            {
                name: seal(ready[name], written.get(name, ""), digest(parts[name]) if name in parts else "")
                for name in sorted(names & ready.keys())
            }
        )
        return bases

    marks = [lake.storage.folder_mark(t) for t in (spec.prediction.table, spec.label.table) if t]
    rests_on = " ".join([stored.stamp if stored else "", *map(str, marks)]) if None not in marks else None
    until = cache(lambda: known_until(spec, lake, clock))

    def look(partition: str) -> Look:
        return _look(
            spec, lake, tables, partition, ready[partition], parts.get(partition, {}), until(), clock
        )

    waiting = unsettled(lake, spec.name, bases_now, rests_on, tables, look)
    return [
        (partition, ready[partition] if basis == bases[partition] else basis) for partition, basis in waiting
    ]


def _look(
    spec: ModelSpec,
    lake: Lake,
    tables: Sequence[str],
    partition: str,
    content: str,
    parts: Parts,
    until: datetime | None,
    clock: Clock | None,
) -> Look:
    """What the reports on a partition are to rest on; final where no label of it is still to come."""
    notes = [lake.manifest(table, partition).notes or {} for table in tables]
    if any(one.get(BASIS) != content for one in notes):
        return Look(content)
    state = notes[0].get(STATE)
    if others := _corrected(spec, lake, partition) or _others(spec, lake, tables, partition, state, clock):
        return Look(digest([content, others]))
    late = spec.label.waits is not None or spec.label.table is not None
    return Look(
        labels_due(spec, lake, partition, notes[0], parts, until, clock),
        state["complete"] if state else not late,
    )


def _corrected(spec: ModelSpec, lake: Lake, partition: str) -> str | None:
    """The hash of the rows to predict of a partition where it was joined from others; None where it was not."""
    joined, table = f"{spec.name}/training_set", spec.prediction.table
    if not lake.described(joined, partition) or not lake.described(table, partition):
        return None
    before = (lake.manifest(joined, partition).made_of or {}).get(partition_name(table, partition))
    now = lake.manifest(table, partition).sha256
    return now if before not in (None, now) else None


def _others(
    spec: ModelSpec,
    lake: Lake,
    tables: Sequence[str],
    partition: str,
    note_of_labels: Mapping[str, Any] | None,
    clock: Clock | None,
) -> str | None:
    """The hash of a partition's joined rows where a report was made of others: the run that joined them again failed before it."""
    joined = f"{spec.name}/training_set"
    if not lake.described(joined, partition):
        return None
    rows = lake.manifest(joined, partition)
    now = rows_sha256(rows)
    notes = [load_note(lake, Making, table, partition) for table in tables]
    made_of = [note.fingerprint.get(joined, now) if note else now for note in notes]
    if any(one != now for one in made_of):
        return rows.sha256
    if note_of_labels is None or note_of_labels["rows"] == rows.sha256:
        return None
    return (
        rows.sha256
        if label_state(spec, lake, partition, clock).content != note_of_labels["content"]
        else None
    )

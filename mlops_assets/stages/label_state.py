"""What is known of a partition's labels by now: what a report on it rests on, and whether another one is due.

A report counts what is known at the end of the newest ingested partition, by the wall clock of the newest that is over. Where labels are said to be known at once, and
nearly all of a partition's were known at its own end, the report is as of that end and stays: what came in the night after is
not worth a second one. Else it is made again whenever more of the partition's labels count, until nothing is to come.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from mlops_assets.ml.dataset import label_counts, labelled, labels_of
from mlops_assets.ml.provenance.digest import digest
from mlops_assets.promotion.records import data_now
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.content import content_sha256
from mlops_assets.stages.outcomes import Parts, lacks, unlabelled_time
from mlops_assets.stages.partition_labels import CORRECTED
from resources.clock import Clock
from resources.lake.lake import Lake

SETTLED = 0.95
"""Share of a partition's labels that, known at its end, make its report final where labels are said to be known at once."""

STATE = "label state"
"""The note of a report with the state of the labels it rests on."""


@dataclass(frozen=True)
class LabelState:
    """A partition's labels as of a moment: how many rows count, how many were corrected, and whether time alone will change it.

    `content` tells states apart; it is the same for as long as the same rows count with the same labels. `rows` is the
    hash of the partition, of which nothing else follows at the same moment.
    """

    as_of: datetime
    counts: dict[str, int]
    corrected: int
    complete: bool
    content: str
    rows: str

    def note(self) -> dict[str, Any]:
        """As a report's manifest notes it."""
        return {
            "as of": self.as_of.isoformat(),
            "corrected": self.corrected,
            "complete": self.complete,
            "content": self.content,
            "rows": self.rows,
        }


def label_state(spec: ModelSpec, lake: Lake, name: str, clock: Clock | None = None) -> LabelState:
    """The state of a partition's labels by now, of which only the columns of the label are read."""
    facts = dict.fromkeys([*spec.prediction.key, spec.prediction.time, *spec.label.facts])
    rows = lake.read(f"{spec.name}/training_set", [name], [*facts])
    as_of = reported_as_of(spec, lake, rows, name, clock)
    counts, labels = label_counts(rows, spec, as_of), labels_of(rows, spec, as_of)
    totals = rows.select(corrected=labels.corrected.sum(), to_come=labels.to_come.sum()).row(0, named=True)
    joined = lake.manifest(f"{spec.name}/training_set", name)
    complete = not totals["to_come"] or _settled(spec, rows, spec.calendar.partition(name).end)
    corrected = int(totals["corrected"]) + (joined.notes or {}).get(CORRECTED, 0)
    used = labelled(rows, spec, as_of).select(*spec.prediction.key, LABEL)
    content = digest([counts, corrected, complete, content_sha256(used)])
    return LabelState(as_of, counts, corrected, complete, content, joined.sha256)


def reported_as_of(
    spec: ModelSpec, lake: Lake, rows: pl.DataFrame, name: str, clock: Clock | None = None
) -> datetime:
    """The moment by which a label must be known to count in the report on a partition."""
    end = spec.calendar.partition(name).end
    return end if _settled(spec, rows, end) else max(end, known_until(spec, lake, clock) or end)


def known_until(spec: ModelSpec, lake: Lake, clock: Clock | None = None) -> datetime | None:
    """The end of what is ingested, or of the table of events if that ends before; None where nothing is ingested.

    By the wall clock it is the end of the newest partition that is over, ingested or not: a label that is known once time
    has passed counts also while nothing comes, and a report is made again once a partition at most.
    """
    now = data_now(spec.calendar, spec.prediction.table, lake)
    if now and spec.clock == "wall":
        over = spec.calendar.newest((clock or Clock()).now())
        now = max(now, over.end) if over else now
    return now and unlabelled_time(spec, lake, now)


def labels_due(
    spec: ModelSpec,
    lake: Lake,
    name: str,
    notes: Mapping[str, Any],
    parts: Parts,
    until: datetime | None,
    clock: Clock | None = None,
) -> str | None:
    """What a partition's report is to rest on where its labels are others than those that it rests on; None where they are not.

    `parts` are the label partitions with outcomes of the partition, `until` is now (`known_until`). A report that is complete is
    looked at again only where labels arrive in a table of their own, any other only once time has passed.
    """
    if spec.label.table and lacks(spec, lake, name, parts):
        return digest(dict(parts))
    state = notes.get(STATE)
    if state is None:
        late = spec.label.waits is not None or spec.label.table is not None
        return label_state(spec, lake, name, clock).content if late else None
    if state["complete"] or _looked_at(spec, lake, name, state, until):
        return None
    content = label_state(spec, lake, name, clock).content
    return None if content == state["content"] else content


def _looked_at(
    spec: ModelSpec, lake: Lake, name: str, note: Mapping[str, Any], until: datetime | None
) -> bool:
    """Whether a report is of this very moment and of these very rows."""
    end = spec.calendar.partition(name).end
    as_of = max(end, until or end).isoformat()
    return note["as of"] == as_of and note["rows"] == lake.manifest(f"{spec.name}/training_set", name).sha256


def _settled(spec: ModelSpec, rows: pl.DataFrame, end: datetime) -> bool:
    if spec.label.waits is not None:
        return False
    counts = label_counts(rows, spec, end)
    return counts["labelled"] >= SETTLED * (counts["labelled"] + counts["not_yet_known"])

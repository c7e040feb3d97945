"""Labels that have a table of their own, joined to the predictions that they are of.

A label comes days after its prediction, in another partition of another table. The training set's partition is where both
meet: its label columns are joined when the partition is made and joined again, alone, when labels of its keys arrive.
Its features are neither read nor computed anew, its rows stay where they are, and the hash, by which versions are told
apart, is that of all a fit reads. The partition's manifest names the label partitions that had a say, so that lineage and
`mlops verify` follow a label to the file it came from. Reading labels where they are used instead would have every
worker of a fit, every report and every rebuild join them anew.

Which label partition has outcomes of which predictions is kept in a record of the lake, `<model>/outcomes`. It follows from
the two tables alone: lost, it is made again; a new label partition is looked up once, in the newest predictions first.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache, lru_cache, partial
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from mlops_assets.ml.dataset import require
from mlops_assets.ml.labels import KNOWN, VALUE, not_binary
from mlops_assets.spec.columns import LABEL_EARLIER, LABEL_KNOWN
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.content import content_sha256
from mlops_assets.stages.errors import StageError
from mlops_assets.stages.held import bounds
from resources.lake.briefs import hashes_of
from resources.lake.lake import Lake
from resources.lake.names import WHOLE
from resources.lake.observed import partition_name

OUTCOMES = "outcomes"
"""The note of a training set's partition with the label partitions it has outcomes of, and its part in a fingerprint."""

UTC = pl.Datetime("us", "UTC")
HELD = 128
"""Partitions of a label table that a run holds: as many days as a quarter and a month have."""

TOGETHER = 32
"""Partitions of predictions that are searched at once for the outcomes of a label partition."""

BLOCKS = 16
"""So many times as many are held while label partitions are looked up one after the other."""

OF = "_partition"
LONG_AGO = datetime(1700, 1, 1, tzinfo=ZoneInfo("UTC"))
Parts = Mapping[str, str]
"""Label partition -> hash of its outcomes of one partition of predictions."""

_PARTS_KNOWN: dict[tuple[str, ...], tuple[list[str | None], Mapping[str, Parts]]] = {}
"""What was found last for a model, with the marks of the two folders: as long as these stay, so does that."""


def outcome_parts(spec: ModelSpec, lake: Lake) -> Mapping[str, Parts]:
    """Partition of the prediction table -> the label partitions that have outcomes of its keys; empty without a label table."""
    if spec.label.table is None:
        return {}
    marks = [lake.storage.folder_mark(table) for table in (spec.prediction.table, spec.label.table)]
    question = (lake.root, spec.name, spec.label.model_dump_json(), *spec.prediction.key)
    before = _PARTS_KNOWN.get(question)
    if before and None not in marks and before[0] == marks:
        return before[1]
    parts = _outcome_parts(spec, lake, spec.label.table)
    _PARTS_KNOWN[question] = marks, parts
    return parts


def _outcome_parts(spec: ModelSpec, lake: Lake, table: str) -> Mapping[str, Parts]:
    predictions, labels = hashes_of(lake, spec.prediction.table), hashes_of(lake, table)
    record = lake.read_json(_index(spec)) or {}
    named = {"key": list(spec.prediction.key), "facts": [spec.label.column, spec.label.known_at]}
    known = record.get("labels", {}) if record.get("named") == named else {}
    hashes = record.get("predictions", {}) if known else {}
    if record.get("named") != named or (hashes, _own(known)) != (predictions, labels):
        changed = [name for name in predictions if hashes.get(name) != predictions[name]]
        every, again = Keys(spec, lake, predictions), Keys(spec, lake, changed)
        known = {
            name: _looked_up(spec, lake, name, sha256, known.get(name), again, every)
            for name, sha256 in labels.items()
        }
        lake.write_json(_index(spec), {"named": named, "predictions": predictions, "labels": known})
    parts: dict[str, dict[str, str]] = {}
    for label, entry in known.items():
        for name, digest in entry["parts"].items():
            parts.setdefault(name, {})[label] = digest
    return parts


def arrived(spec: ModelSpec, lake: Lake, names: Iterable[str]) -> dict[str, Parts]:
    """Of these partitions of the training set, those that lack outcomes which are there by now, with what they should have."""
    if spec.label.table is None:
        return {}
    parts = outcome_parts(spec, lake)
    return {name: parts.get(name, {}) for name in names if lacks(spec, lake, name, parts.get(name, {}))}


def lacks(spec: ModelSpec, lake: Lake, name: str, parts: Parts) -> bool:
    """Whether a partition of the training set has other outcomes than these, which are there by now."""
    notes = lake.manifest(f"{spec.name}/training_set", name).notes or {}
    return notes.get(OUTCOMES, {}) != parts


class LabelTable:
    """A model's table of labels as one run reads it: what many partitions of predictions have outcomes in is read once."""

    def __init__(self, spec: ModelSpec, lake: Lake) -> None:
        self.outcomes = lru_cache(HELD)(partial(_outcomes_in, spec, lake))
        """The outcomes in a partition of it."""

        self.hash = cache(partial(lake.hash, str(spec.label.table)))
        """The hash of a partition's file."""


def with_outcomes(
    spec: ModelSpec, lake: Lake, parts: Parts, rows: pl.DataFrame, labels: LabelTable | None = None
) -> pl.DataFrame:
    """Rows with their label, when it was known, and the outcomes it corrects; null where there is none yet.

    Raises StageError where one key has two outcomes and nothing tells the newer, or a name or value cannot be a label.
    """
    if spec.label.table is None:
        return rows
    if met := [name for name in spec.label.facts if name in rows.columns]:
        raise StageError(
            f"column {met[0]!r} of {spec.label.table} is also a column of {spec.prediction.table} or of the features: "
            "rename it in one of them, so that label.column is one thing"
        )
    outcomes = _outcomes(spec, labels or LabelTable(spec, lake), parts)
    if not parts:
        outcomes = outcomes.cast({key: rows.schema[key] for key in spec.prediction.key})
    refuse_values(spec, outcomes[spec.label.column])
    return rows.join(_versions(spec, outcomes), on=spec.prediction.key, how="left", maintain_order="left")


def refuse_values(spec: ModelSpec, values: pl.Series) -> None:
    """Raise where a classification without `label.above` has a label that is neither 0 nor 1, true nor false."""
    if spec.task != "classification" or spec.label.above is not None:
        return
    if wrong := not_binary(values):
        raise StageError(
            f"label.column {values.name!r} of model {spec.name!r} has the values {', '.join(wrong)}: a classification "
            "without label.above needs 0 and 1, or true and false; give label.above, or another column"
        )


def made_of_outcomes(spec: ModelSpec, labels: LabelTable, parts: Parts) -> dict[str, str]:
    """Names of the label partitions that have a say, with the hashes of their files."""
    table = spec.label.table
    return {partition_name(table, name): labels.hash(name) for name in parts} if table else {}


def unlabelled_time(spec: ModelSpec, lake: Lake, now: datetime) -> datetime:
    """Now, or the moment up to which it can be told what did not happen: a table of events has nothing to say of later ones."""
    table = spec.label.table
    if table is None or spec.label.within is None:
        return now
    there = lake.partitions(table)
    if WHOLE in there:
        return now
    return min(now, bounds(lake, table, there[-1], spec.calendar)[1]) if there else LONG_AGO


def events_missing(spec: ModelSpec, lake: Lake, now: datetime) -> str | None:
    """Why nobody can say yet what did not happen within a span: the table of events does not reach up to `now`; None where it does."""
    until = unlabelled_time(spec, lake, now)
    if until >= now:
        return None
    there = "has no events" if until == LONG_AGO else f"has events until {until}"
    return (
        f"{spec.name}: {spec.label.table} {there}, and now is {now}: what did not happen within label.within cannot be told "
        f"yet; materialize {spec.label.table} up to now first"
    )


def _outcomes(spec: ModelSpec, labels: LabelTable, names: Iterable[str]) -> pl.DataFrame:
    """Rows of some label partitions: key, label and its moment."""
    frames = [labels.outcomes(name) for name in names]
    if not frames:
        return pl.DataFrame(schema=dict.fromkeys(_facts(spec), pl.Float64))
    return pl.concat(frames, how="vertical_relaxed")


def _outcomes_in(spec: ModelSpec, lake: Lake, name: str) -> pl.DataFrame:
    """Those of one."""
    frame = lake.read(str(spec.label.table), [name])
    require(frame, _facts(spec), f"the label of model {spec.name!r} in {spec.label.table}")
    return frame.select(_facts(spec))


def _facts(spec: ModelSpec) -> list[str]:
    return [*spec.prediction.key, spec.label.column, *([spec.label.known_at] if spec.label.known_at else [])]


def _versions(spec: ModelSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """One row a key: the newest outcome and when it was known, with all that were known before it, oldest first."""
    keys, label = list(spec.prediction.key), spec.label
    value = pl.col(label.column).cast(pl.Float64)
    if label.known_at is None:
        outcomes = rows.select(*keys, value).unique()
        twice = outcomes.filter(pl.struct(keys).is_duplicated())
        if twice.height:
            row = twice.row(0, named=True)
            raise StageError(
                f"{label.table} has two outcomes of {', '.join(f'{key} = {row[key]}' for key in keys)}, and nothing says "
                "which is the newer: name label.known_at, the column with the moment each was known"
            )
        return outcomes
    known = pl.col(label.known_at).cast(UTC)
    ordered = (
        rows.select(*keys, value.alias(VALUE), known.alias(KNOWN))
        .filter(pl.col(KNOWN).is_not_null())
        .unique()
        .sort(*keys, KNOWN, VALUE, nulls_last=False)
    )
    grouped = ordered.group_by(keys, maintain_order=True).agg(pl.struct(VALUE, KNOWN).alias(LABEL_EARLIER))
    last, before = pl.col(LABEL_EARLIER).list.last(), pl.col(LABEL_EARLIER).list
    kind = pl.List(pl.Struct({VALUE: pl.Float64, KNOWN: UTC}))
    return grouped.select(
        *keys,
        last.struct.field(VALUE).alias(label.column),
        last.struct.field(KNOWN).alias(LABEL_KNOWN),
        pl.when(before.len() > 1).then(before.head(before.len() - 1)).cast(kind).alias(LABEL_EARLIER),
    )


def _looked_up(
    spec: ModelSpec,
    lake: Lake,
    name: str,
    sha256: str,
    before: Mapping[str, Any] | None,
    changed: "Keys",
    predictions: "Keys",
) -> dict[str, Any]:
    """Which partitions of predictions a label partition has outcomes of: all are searched, or those that changed since."""
    parts, rows, search = {}, {}, predictions
    if before and before["sha256"] == sha256:
        if not before["missing"] and not {*changed.names} & {*before["parts"]}:
            return dict(before)
        parts, rows = (
            {p: v for p, v in before[k].items() if p not in changed.names} for k in ("parts", "rows")
        )
        search = changed
    outcomes = _outcomes_in(spec, lake, name)
    for partition, mine in search.divided(outcomes.sort(outcomes.columns)):
        parts[partition], rows[partition] = content_sha256(mine)[:16], mine.height
    missing = outcomes.height - sum(rows.values())
    return {"sha256": sha256, "parts": parts, "rows": rows, "missing": missing}


class Keys:
    """The keys of some partitions of predictions, read some partitions at a time, the newest first, and each time once."""

    def __init__(self, spec: ModelSpec, lake: Lake, names: Iterable[str]) -> None:
        self.spec, self.lake, self.names = spec, lake, sorted(names)
        self.starts = [*range(0, len(self.names), TOGETHER)][::-1]
        self.block = lru_cache(BLOCKS)(self._block)
        """The keys of the partitions from a place on, each with the name of the newest of these partitions that has it."""

    def divided(self, outcomes: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
        """The outcomes of each partition's predictions, in their order; of a key that two have, they are the newest one's."""
        keys, left = list(self.spec.prediction.key), outcomes
        for start in self.starts:
            if left.is_empty():
                return
            try:
                mine = left.join(self.block(start), on=keys, how="inner", maintain_order="left")
                left = left.join(self.block(start), on=keys, how="anti", maintain_order="left")
            except pl.exceptions.PolarsError as error:
                raise StageError(
                    f"{self.spec.label.table} and {self.spec.prediction.table} cannot be joined by {', '.join(keys)}: "
                    f"{str(error).splitlines()[0]}; give the key one type in both"
                ) from error
            for (name,), rows in mine.partition_by(OF, as_dict=True, include_key=False).items():
                yield str(name), rows

    def _block(self, start: int) -> pl.DataFrame:
        keys, table = list(self.spec.prediction.key), self.spec.prediction.table
        frames = [
            self.lake.read(table, [name], keys).select(keys).with_columns(pl.lit(name).alias(OF))
            for name in self.names[start : start + TOGETHER]
        ]
        return pl.concat(frames, how="vertical_relaxed").unique(keys, keep="last", maintain_order=True)


def _own(known: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: entry["sha256"] for name, entry in known.items()}


def _index(spec: ModelSpec) -> str:
    return f"{spec.name}/{OUTCOMES}"

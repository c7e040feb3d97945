"""Lake tables made of what a TableSpec says: the raw table, and the feature table where it is a feature view too."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.ml.provenance.digest import Fingerprint, digest
from mlops_assets.ml.tables import Column, Expectation
from mlops_assets.ml.typed import INSTANT, TYPES
from mlops_assets.spec import names
from mlops_assets.spec.calendar import Calendar, Partition
from mlops_assets.spec.sources import AssetSource, FileSource
from mlops_assets.spec.table import TableSpec
from mlops_assets.spec.table_features import CONTENT_KNOWN_AT, FEATURE_TYPES, Features
from mlops_assets.stages.errors import SourceError
from mlops_assets.stages.source_spans import Spans
from mlops_assets.stages.sources import awaited, read_rows, spans_of, states
from mlops_assets.stages.tables import EVENT_TIME, Arrival, Rows, Table, recent
from resources.lake.lake import Lake, parquet
from resources.lake.names import WHOLE
from resources.records.documents import load_note, save_note
from resources.records.notes import Reading

ALL_ALONG = datetime(1970, 1, 2, tzinfo=UTC)
"""From when on the rows of a static table are known; the first moment of 1970 is no moment to Feast."""

AN_HOUR = timedelta(hours=1)
"""By so much a span in days of a clock may be shorter than its hours, where the clock is set."""

POLARS = {"Int64": pl.Int64, "Float32": pl.Float32, "String": pl.String, "Bool": pl.Boolean}
CODE = ("mlops_assets.stages.sources:read_rows",)
FEATURE_CODE = ("mlops_assets.stages.declared_tables:feature_rows",)


def raw_table(spec: TableSpec, use_case: str, folder: Path, calendar: Calendar, **appearance: Any) -> Table:
    """`<use case>/<table>`, partitions of `calendar`, made of the source; relative paths are of `folder`.

    A partition is made again when its rows are others than those it was made of: they are read to be compared where
    a file of the source has changed, and not where none has.
    """
    origin = Origin(spec, folder, f"{use_case}/{spec.name}")
    table = Table(
        origin.table,
        lambda lake, span: origin.take(lake, span),
        promises(spec),
        None if spec.static else calendar,
        appearance={"description": spec.description, **appearance},
        columns={name: Column(one.description, one.unit) for name, one in spec.columns.items()},
        code=CODE,
        outside=lambda lake, name: origin.fingerprint(lake, name, table),
        arrival=Arrival(
            spec.lateness,
            spec.alarm_after,
            lambda lake, since: states(spec, folder, origin.before(lake, since)),
            lambda lake, span: awaited(spec, folder, span, origin.spans(lake)),
            lambda lake, name: Origin(spec, folder, origin.table).fingerprint(lake, name, table),
        ),
        after=(spec.source.asset,) if isinstance(spec.source, AssetSource) else (),
    )
    return table


def feature_table(spec: TableSpec, use_case: str, calendar: Calendar, **appearance: Any) -> Table:
    """`<use case>/features/<view>`: what the raw table's rows say, from the moment on at which each was known."""
    features, raw = features_of(spec), f"{use_case}/{spec.name}"
    back = None if spec.static else looks_back(spec)
    decides = digest([features.model_dump(), spec.time, spec.known_at, f"{spec.lateness}"])

    def build(lake: Lake, span: Partition) -> Rows:
        if back is None:
            return feature_rows(lake.read(raw), spec, None, None)
        frame = recent(lake, raw, calendar, span, back)
        refuse_known_elsewhere(frame, spec, span)
        return feature_rows(frame, spec, span.start, span.end)

    return Table(
        names.feature_table(use_case, str(spec.view)),
        build,
        feature_promises(spec),
        None if spec.static else calendar,
        {raw: back},
        {"description": spec.description, **appearance},
        feature_columns(spec, raw),
        FEATURE_CODE,
        lambda: {"declared": decides},
    )


def promises(spec: TableSpec) -> Expectation:
    """What the raw table promises."""
    return Expectation(
        schema={name: TYPES[column.kind] for name, column in spec.columns.items()},
        keys=tuple(spec.key),
        time=spec.time,
        every=spec.every,
        ranges={name: one.range for name, one in spec.expect.items() if one.range},
        nulls={name: 0.0 for name, column in spec.columns.items() if not column.nullable}
        | {name: one.nulls for name, one in spec.expect.items() if one.nulls is not None},
    )


def feature_promises(spec: TableSpec) -> Expectation:
    """What the feature table promises; ranges and nulls are those of the raw columns."""
    features, raw = features_of(spec), promises(spec)
    names = [*features.key, *(features.columns or ())]
    kinds = {name: POLARS[FEATURE_TYPES[spec.columns[name].kind]] for name in names}
    return Expectation(
        schema={**{name: kinds[name] for name in features.key}, EVENT_TIME: INSTANT}
        | {name: kinds[name] for name in names if name not in features.key}
        | {CONTENT_KNOWN_AT: INSTANT},
        keys=(*features.key, EVENT_TIME),
        time=EVENT_TIME,
        known=CONTENT_KNOWN_AT,
        every=spec.every,
        ranges={name: bounds for name, bounds in raw.ranges.items() if name in names},
        nulls={name: most for name, most in raw.nulls.items() if name in names}
        | dict.fromkeys((*features.key, EVENT_TIME, CONTENT_KNOWN_AT), 0.0),
    )


def feature_columns(spec: TableSpec, raw: str) -> dict[str, Column]:
    """What the catalogue says of the feature table's columns, with the raw columns they are made of."""
    features = features_of(spec)
    moment = ((raw, spec.known),) if spec.known else ()
    named = {name: spec.columns[name] for name in (*features.key, *(features.columns or ()))}
    return {
        **{name: Column(one.description, one.unit, ((raw, name),)) for name, one in named.items()},
        EVENT_TIME: Column("From when on the row may be used: all of it was known.", made_of=moment),
        CONTENT_KNOWN_AT: Column("When the row's content was known.", made_of=moment),
    }


def feature_rows(raw: pl.DataFrame, spec: TableSpec, start: datetime | None, end: datetime | None) -> Rows:
    """Rows known in a span, one for each key and moment; those without a key are left out and counted.

    Of two rows of one key and one moment that say the same one is kept. Where they say different things nothing decides
    between them: SourceError names both.
    """
    features = features_of(spec)
    known = pl.col(spec.known).cast(INSTANT) if spec.known else pl.lit(ALL_ALONG, dtype=INSTANT)
    values = [
        pl.col(name).cast(POLARS[FEATURE_TYPES[spec.columns[name].kind]]) for name in features.columns or ()
    ]
    computed = raw.select(
        *(pl.col(name) for name in features.key),
        known.alias(EVENT_TIME),
        *values,
        known.alias(CONTENT_KNOWN_AT),
    )
    _refuse_too_large(raw, computed, spec)
    inside = (
        computed
        if start is None
        else computed.filter(pl.col(EVENT_TIME).is_between(start, end, closed="left"))
    )
    keyed = inside.drop_nulls(features.key)
    rows = keyed.unique(maintain_order=True).sort(*features.key, EVENT_TIME)
    keys = [*features.key, EVENT_TIME]
    twice = rows.filter(pl.struct(keys).is_duplicated()).head(2)
    if twice.height:
        one, other = (dict(row) for row in twice.to_dicts())
        raise SourceError(
            f"features of {spec.name!r}: two rows have one key and one moment and say different things, "
            f"{_row(one)} and {_row(other)}: name a key that tells them apart in features.key, or a later known_at of the "
            "one that counts"
        )
    unkeyed, same = inside.height - keyed.height, keyed.height - rows.height
    return Rows(
        rows,
        {
            **({"rows without a key left out": unkeyed} if unkeyed else {}),
            **({"rows that say the same left out": same} if same else {}),
        },
    )


def features_of(spec: TableSpec) -> Features:
    """What the spec says of its feature view."""
    if spec.features is None:
        raise ValueError(f"table {spec.name!r} is no feature view: give features")
    return spec.features


def looks_back(spec: TableSpec) -> timedelta:
    """How long before a partition the rows may be from that become known in it: less than lateness after their own's end."""
    return timedelta() if spec.known_at in (None, spec.time) else spec.lateness + AN_HOUR


@dataclass
class Origin:
    """A source as one table reads it: what was read to be compared is not read again to be written."""

    spec: TableSpec
    folder: Path
    table: str
    _last: tuple[Partition, Rows] | None = field(default=None, repr=False)

    def take(self, lake: Lake, span: Partition) -> Rows:
        """The rows of a span, kept no longer."""
        last, self._last = self._last, None
        return last[1] if last and last[0] == span else self._rows(lake, span)

    def spans(self, lake: Lake) -> Spans | None:
        """What is noted of the files; None of what is no file, and of a table without a time."""
        by_file = self.spec.time and isinstance(self.spec.reads, FileSource)
        return spans_of(self.spec, lake, self.table) if by_file else None

    def before(self, lake: Lake, since: datetime | None) -> Callable[[str], bool] | None:
        """Which files had older rows alone when they were last looked at; None where that is not noted."""
        spans = self.spans(lake) if since else None
        return spans.before(since) if spans and since else None

    def _rows(self, lake: Lake, span: Partition) -> Rows:
        return read_rows(self.spec, self.folder, span, self.spans(lake))

    def fingerprint(self, lake: Lake, name: str | None, table: Table) -> Fingerprint:
        """The hash of a partition's rows: as it was, where no file of the source and nothing in the spec has changed."""
        span = table.span(name)
        read = digest(
            [
                table.code_version,
                self.spec.model_dump(mode="json", exclude={"aggregates", "outcomes"}),
                f"{span}",
                states(self.spec, self.folder),
            ]
        )
        record = f"{name or WHOLE}.source"
        before = load_note(lake, Reading, self.table, record)
        if before and before.read == read and isinstance(self.spec.reads, FileSource):
            return {"rows": before.rows}
        self._last = span, self._rows(lake, span)
        rows = hashlib.sha256(parquet(self._last[1].frame)).hexdigest()[:16]
        save_note(lake, self.table, record, Reading(read=read, rows=rows))
        return {"rows": rows}


def refuse_known_elsewhere(raw: pl.DataFrame, spec: TableSpec, span: Partition) -> None:
    """Raise for a row of a partition that was known before its start, or not before its end and lateness: no one would read it."""
    if spec.known_at in (None, spec.time):
        return
    known, time = pl.col(str(spec.known_at)), pl.col(str(spec.time))
    own = raw.filter(time.is_between(span.start, span.end, closed="left"))
    bad = (
        own.filter(~known.is_between(span.start, span.end + spec.lateness, closed="left")).head(1).to_dicts()
    )
    for row in bad:
        at = row[str(spec.known_at)]
        early = at < span.start
        fix = (
            f"let time be {spec.known_at}, so that partitions are cut by it"
            if early
            else f"set lateness to at least how long after the end of a partition {spec.known_at} may be"
        )
        raise SourceError(
            f"features of {spec.name!r}: the row {_row({name: row[name] for name in spec.key})} of partition {span.name} has "
            f"{spec.known_at} {at}, which is {'before its start' if early else 'not before its end and lateness'}: {fix}"
        )


def _refuse_too_large(raw: pl.DataFrame, features: pl.DataFrame, spec: TableSpec) -> None:
    for name in features_of(spec).columns or ():
        if features.schema[name] == pl.Float32 and (lost := features[name].is_infinite()).any():
            row = int(lost.arg_max() or 0)
            raise SourceError(
                f"features of {spec.name!r}: column {name!r} has {raw[name][row]!r}, more than 32 bits hold: scale it"
            )


def _row(row: dict[str, Any]) -> str:
    return "(" + ", ".join(f"{name} {value}" for name, value in row.items() if name != CONTENT_KNOWN_AT) + ")"

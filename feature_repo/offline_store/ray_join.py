"""The same join past one machine, on Ray Data.

For each view, entity rows and source rows are cut into parts by a hash of their join keys and brought together
part by part; the kernel answers in each, and answers are put back in the order of the entity rows. A source row
carries its place (number of its file, row in it), so that ties end as they do on one machine.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from .asking import Asker, EntityRows, ViewRequest, span
from .files import SourceError
from .join import joined
from .keys import KeyTypeError, alike, normal
from .reading import read_part, schema
from .sources import Part, Span, parts

PART, ROW, PLACE, TIME = "__part", "__row", "__place", "__time"
FILE = 1 << 40
"""Rows a file can have, in the numbers of places."""


class NoClusterError(RuntimeError):
    """The engine `ray` was chosen, and this process is connected to no cluster."""


@dataclass(frozen=True)
class Cut:
    """How both sides of one view's join are cut: join keys by the entity rows' names, their types, and the parts."""

    request: ViewRequest
    kinds: tuple[pl.DataType, ...]
    count: int
    schema: pl.Schema
    time: pl.DataType

    @property
    def keys(self) -> list[str]:
        """Names under which both sides carry the keys."""
        return [f"__key{n}" for n in range(len(self.kinds))]

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """What goes through the shuffle: the columns of both sides."""
        source = self.request.source
        values = {
            name: kind for name, kind in self.schema.items() if name in (*source.moments, *source.features)
        }
        numbers = dict.fromkeys((PART, ROW, PLACE), pl.Int64())
        return {**dict(zip(self.keys, self.kinds, strict=True)), **values, **numbers, TIME: self.time}

    def numbers(self, keys: Sequence[pl.Series], height: int) -> pl.Series:
        """The part of each row, by the hash of its keys."""
        if not keys:
            return pl.Series(PART, np.zeros(height, np.int64))
        return (pl.DataFrame(keys).hash_rows(seed=0) % self.count).cast(pl.Int64).alias(PART)


def joined_on_ray(
    entities: EntityRows,
    requests: Sequence[ViewRequest],
    only_known: bool = False,
    partitions: int | None = None,
) -> pa.Table:
    """What `join.joined` gives, computed on the Ray cluster that this process is connected to.

    `partitions` is the number of parts (None: twice the cluster's CPUs). Raises NoClusterError without a cluster,
    SourceError as on one machine.
    """
    if not entities.table.num_rows:
        return joined(entities, requests, only_known)
    with _quiet_cluster() as ray:
        count = partitions or max(int(2 * ray.cluster_resources().get("CPU", 1)), 1)
        table = entities.table
        for request in requests:
            answers = _view(ray, entities, request, only_known, count)
            for name in request.columns:
                table = table.append_column(name, answers[name])
    return table


def _view(ray: Any, entities: EntityRows, request: ViewRequest, only_known: bool, count: int) -> pa.Table:
    source, reach = request.source, span(entities, request.ttl)
    files = parts(source, reach)
    keys = [normal(entities.column(key)) for key in request.entity_keys]
    kinds = tuple(key.dtype for key in keys)
    cut = Cut(request, kinds, count, schema(source, files), entities.moments.dtype)
    questions = _questions(cut, entities, keys)
    numbered = [(n, part) for n, part in enumerate(files) if part.passing > 0]
    answers = partial(_answers, cut, only_known)
    both = ray.data.from_arrow(_chunks(_like(questions, cut), count))
    if numbered:
        pieces = ray.data.from_items([{"file": n} for n, _ in numbered], override_num_blocks=len(numbered))
        rows = partial(_source_rows, cut, dict(numbered), reach)
        both = both.union(pieces.map_batches(rows, batch_format="pyarrow", batch_size=1))
    parted = both.groupby(PART, num_partitions=count).map_groups(answers, batch_format="pyarrow")
    joined = pa.concat_tables(ray.get(parted.to_arrow_refs()), promote_options="permissive")
    return joined.take(pa.array(np.argsort(joined[ROW].to_numpy(), kind="stable")))


def _questions(cut: Cut, entities: EntityRows, key_columns: Sequence[pl.Series]) -> pl.DataFrame:
    keys = [key.alias(name) for key, name in zip(key_columns, cut.keys, strict=True)]
    height = entities.table.num_rows
    columns = [*keys, entities.moments.alias(TIME), cut.numbers(keys, height)]
    return pl.DataFrame([*columns, pl.Series(ROW, np.arange(height))])


def _source_rows(cut: Cut, files: dict[int, Part], reach: Span, batch: pa.Table) -> pa.Table:
    """Rows of the files of a batch, each with the part it belongs to and its place."""
    source = cut.request.source
    frames = []
    for number in batch["file"].to_pylist():
        rows = read_part(source, files[number], reach).cast(dict(cut.schema))  # type: ignore[arg-type]
        keys = [
            _alike(cut, rows[column], kind).alias(name)
            for column, kind, name in zip(source.keys, cut.kinds, cut.keys, strict=True)
        ]
        place = pl.Series(PLACE, np.arange(rows.height) + number * FILE)
        frames.append(rows.with_columns(*keys, place, cut.numbers(keys, rows.height)))
    return _like(pl.concat(frames), cut)


def _alike(cut: Cut, values: pl.Series, kind: pl.DataType) -> pl.Series:
    try:
        return alike(normal(values), pl.Series([], dtype=kind))
    except KeyTypeError as error:
        raise SourceError(
            f"view {cut.request.name!r}: the join key {values.name} of {cut.request.source.where.uri} does not go "
            f"with the entity rows: {error}"
        ) from error


def _answers(cut: Cut, only_known: bool, group: pa.Table) -> pa.Table:
    """The features of a part's entity rows, with their row numbers."""
    rows = pl.DataFrame(pl.from_arrow(group))
    questions = rows.filter(pl.col(ROW).is_not_null())
    source = replace(cut.request.source, keys=tuple(cut.keys))
    request = replace(cut.request, source=source, entity_keys=tuple(cut.keys))
    known = rows.filter(pl.col(PLACE).is_not_null()).sort(PLACE)
    choice = Asker(EntityRows(questions.to_arrow(), TIME), only_known).chosen(request, known)
    features = {name: choice.of(known[column]) for name, column in request.columns.items()}
    return pa.table({ROW: questions[ROW].to_arrow(), **features})


def _like(rows: pl.DataFrame, cut: Cut) -> pa.Table:
    """Either side's rows with the columns of both, null where a side lacks one."""
    missing = [
        pl.lit(None, kind).alias(name) for name, kind in cut.columns.items() if name not in rows.columns
    ]
    return rows.with_columns(missing).select(list(cut.columns)).to_arrow()


def _chunks(table: pa.Table, count: int) -> list[pa.Table]:
    size = max(-(-table.num_rows // count), 1)
    return [table.slice(start, size) for start in range(0, max(table.num_rows, 1), size)]


@contextmanager
def _quiet_cluster() -> Iterator[Any]:
    import ray
    import ray.data

    if not ray.is_initialized():
        if not os.environ.get("RAY_ADDRESS"):
            raise NoClusterError(
                "the offline store's engine is ray, but this process is connected to no cluster: set RAY_ADDRESS, "
                "call ray.init(...) first, or choose engine: local"
            )
        ray.init(log_to_driver=False)
    context = ray.data.DataContext.get_current()
    before = context.enable_progress_bars
    context.enable_progress_bars = False
    try:
        yield ray
    finally:
        context.enable_progress_bars = before

"""What waits for the serving log, as columns: the values of a row are taken out of it while it is at hand.

A row that waits for seconds as it was answered has to be fetched from memory again, value by value, which takes longer than
to answer it; and what holds it meanwhile is walked through by the garbage collector.
"""

import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl

from feature_repo.online_store.codec.moment import micros
from resources.features.column_vectors import ColumnVectors, FewRows, Origin, RowVectors
from resources.features.many_vectors import AT_ONCE, joined, nulls_of
from resources.features.vectors import NULL_VALUE, PRESENT, OnlineVectors
from resources.serving import log
from resources.serving.log import INSTANT, ServedBatch

CODE = pl.Int32()
Part = tuple[Mapping[str, Sequence[Any]], Origin]
"""Columns, and where they are from."""


def key_of(batch: ServedBatch) -> tuple[Any, ...]:
    """What batches have in common that are gathered: model, day and definition of the features, and how they were read."""
    of_file, vectors = file_of(batch), batch.vectors
    if batch.shadow or not isinstance(vectors, ColumnVectors):
        return of_file
    return *of_file, id(vectors.types), id(vectors.places)


def file_of(batch: ServedBatch) -> tuple[Any, ...]:
    """What batches have in common that go into one file."""
    return batch.model, batch.served_at.date(), batch.service.definition, batch.shadow


class Gathered:
    """Batches with one key, in the order in which they came; `first` is the first of them."""

    def __init__(self, first: ServedBatch) -> None:
        self.first, self.rows = first, 0
        self._waiting: list[ServedBatch] = []
        self._facts = _Facts()
        self._features = _features_of(first)

    def add(self, batch: ServedBatch) -> None:
        """One more."""
        self.rows += batch.rows
        self._waiting.append(batch)
        if len(self._waiting) % AT_ONCE == 0:
            with contextlib.suppress(Exception):  # whoever writes meets it again, and says it
                self._gather()

    def _gather(self) -> None:
        self._features.add([batch.vectors for batch in self._waiting])
        self._facts.add(self._waiting)
        self._waiting = []

    def frame(self) -> pl.DataFrame:
        """All of them as rows of the log."""
        self._gather()
        return pl.DataFrame([*self._facts.series(self.first), *self._features.series()])

    def forget(self) -> None:
        """Let go of all that was gathered, column by column: all at once would be one call, for which every other thread waits."""
        self._features.forget()


def _features_of(first: ServedBatch) -> Any:
    if first.shadow:
        return _Nothing()
    return _Columns(first) if isinstance(first.vectors, ColumnVectors) else _Frames(first)


class _Facts:
    """What is said of each request, beside its features."""

    def __init__(self) -> None:
        self._ids, self._versions = list[str](), list[str]()
        self._requested, self._served = list[int](), list[int]()
        self._scores: list[np.ndarray] = []
        self._traces: dict[int, str] = {}
        """By row, of those that belong to a trace."""

    def add(self, batches: Sequence[ServedBatch]) -> None:
        for batch in batches:
            rows = batch.rows
            if batch.traces:
                first = len(self._ids)
                self._traces |= {first + row: trace for row, trace in enumerate(batch.traces) if trace}
            self._ids.extend(batch.request_ids)
            self._versions.extend([batch.version] * rows)
            self._requested.extend([micros(batch.requested_at)] * rows)
            self._served.extend([micros(batch.served_at)] * rows)
        if batches:
            self._scores.append(np.concatenate([np.asarray(batch.scores, np.float64) for batch in batches]))

    def series(self, first: ServedBatch) -> list[pl.Series]:
        rows, served = len(self._ids), pl.Series(log.SERVED_AT, self._served, INSTANT)

        def same(name: str, value: str) -> pl.Series:
            return pl.Series(name, [value], pl.String).new_from_index(0, rows)

        shadow = [pl.Series(log.SHADOW, [True]).new_from_index(0, rows)] if first.shadow else []
        traces = [self._traces.get(row) for row in range(rows)] if self._traces else []
        return [
            *shadow,
            *([pl.Series(log.TRACE, traces, pl.String)] if traces else []),
            pl.Series(log.REQUEST, self._ids, pl.String),
            pl.Series(log.REQUESTED_AT, self._requested, INSTANT),
            served,
            served.dt.date().alias(log.SERVED_ON),
            same(log.MODEL, first.model),
            pl.Series(log.VERSION, self._versions, pl.String),
            same(log.SERVICE, first.service.name),
            same(log.DEFINITION, first.service.definition),
            pl.Series(log.SCORE, np.concatenate(self._scores)),
        ]


class _Nothing:
    """Features of a shadow: they stand with the answer of the version that was asked."""

    def add(self, some: Sequence[Any]) -> None:
        """Leave them out."""

    def series(self) -> list[pl.Series]:
        return []

    def forget(self) -> None:
        """There is nothing."""


class _Columns:
    """Features of answers that are columns."""

    def __init__(self, first: ServedBatch) -> None:
        vectors, service = first.vectors, first.service
        assert isinstance(vectors, ColumnVectors)
        self._types, self._places, self._inputs = vectors.types, vectors.places, vectors.inputs
        self._features, self._names = service.features, [*service.inputs, *service.features]
        self._values: dict[str, list[Any]] = {name: [] for name in self._names}
        self._times: dict[int, list[int | None]] = defaultdict(list)
        self._statuses: dict[int, list[int]] = defaultdict(list)
        self._nulls: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._rows = 0

    def add(self, some: Sequence[Any]) -> None:
        parts: list[Part] = []
        for single, run in groupby(some, lambda vectors: type(vectors) is RowVectors):
            answers = list(run)
            parts += [self._of_rows(answers)] if single else [self._of_columns(one) for one in answers]
        for values, origin in parts:
            self._take(values, origin)

    def _of_rows(self, rows: list[Any]) -> Part:
        return joined(rows, self._names), FewRows([one.views for one in rows], self._places)

    def _of_columns(self, vectors: Any) -> Part:
        return {name: vectors.values(name) for name in self._names}, vectors.origin

    def _take(self, values: Mapping[str, Sequence[Any]], origin: Origin) -> None:
        seen, codes = origin.seen, {}
        for name in self._features:
            if nulls := nulls_of(values[name]):
                codes[name] = self._codes(name, nulls, origin)
        for number, (times, statuses) in enumerate(seen):
            self._times[number].extend(times)
            self._statuses[number].extend(statuses)
        for name, column in values.items():
            self._values[name].extend(column)
        for name, some in codes.items():
            self._nulls[name] += some
        self._rows = len(self._values[self._names[0]])

    def _codes(self, name: str, nulls: Sequence[int], origin: Origin) -> list[tuple[int, int]]:
        """Rows and statuses of nulls, where their view does not say it."""
        if name in self._inputs:
            return [(self._rows + row, NULL_VALUE) for row in nulls]
        number, place = self._places[name]
        _, statuses = origin.seen[number]
        present = [row for row in nulls if statuses[row] == PRESENT]
        return [(self._rows + row, origin.gap(row, number, place)) for row in present]

    def series(self) -> list[pl.Series]:
        by_name = {name: pl.Series(name, values, self._types[name]) for name, values in self._values.items()}
        origins = _Origins(self._times, self._statuses, self._rows)
        columns = [by_name[name] for name in self._names if name not in self._features]
        called = {name: f"{view}__{name}" for name, view in self._features.items()}
        columns += [by_name[name].alias(column) for name, column in called.items()]
        for name, column in called.items():
            computed = name in self._inputs
            views = (
                [self._places[one][0] for one in self._inputs[name]] if computed else [self._places[name][0]]
            )
            times = origins.newest(views)
            statuses = origins.statuses(None if computed else views[0], self._nulls.get(name))
            columns += [times.alias(f"{column}__timestamp"), statuses.alias(f"{column}__status")]
        return columns

    def forget(self) -> None:
        for columns in (self._values, self._times, self._statuses, self._nulls):
            while columns:
                columns.popitem()


class _Origins:
    """Times and statuses as columns; what features of a view share is made once."""

    def __init__(
        self, times: Mapping[int, Sequence[int | None]], statuses: Mapping[int, Sequence[int]], rows: int
    ) -> None:
        self._codes = {None: [PRESENT] * rows, **statuses}
        self._statuses: dict[int | None, pl.Series] = {}
        self._newest: dict[frozenset[int], pl.Series] = {
            frozenset([number]): pl.Series(some, dtype=INSTANT) for number, some in times.items()
        }
        self._newest[frozenset()] = pl.Series([None] * rows, dtype=INSTANT)

    def newest(self, views: Sequence[int]) -> pl.Series:
        """The newest times of some views."""
        of_views = frozenset(views)
        if of_views not in self._newest:
            times = pl.DataFrame([self._newest[frozenset([view])].alias(str(view)) for view in of_views])
            self._newest[of_views] = times.max_horizontal()
        return self._newest[of_views]

    def statuses(self, view: int | None, nulls: Sequence[tuple[int, int]] | None) -> pl.Series:
        """A view's statuses, or of no view that all are present, with those of some rows that are null."""
        if nulls:
            codes = list(self._codes[view])
            for row, code in nulls:
                codes[row] = code
            return pl.Series(codes, dtype=CODE)
        if view not in self._statuses:
            self._statuses[view] = pl.Series(self._codes[view], dtype=CODE)
        return self._statuses[view]


class _Frames:
    """Features of answers that are frames."""

    def __init__(self, first: ServedBatch) -> None:
        self._service = first.service
        self._vectors: list[OnlineVectors] = []

    def add(self, some: Sequence[Any]) -> None:
        self._vectors += some

    def series(self) -> list[pl.Series]:
        names, vectors = [*self._service.inputs, *self._service.features], self._vectors
        whole = pl.concat([one.frame.select(names) for one in vectors], how="vertical_relaxed", rechunk=True)
        columns = [whole[name] for name in self._service.inputs]
        called = {name: f"{view}__{name}" for name, view in self._service.features.items()}
        columns += [whole[name].alias(column) for name, column in called.items()]
        for name, column in called.items():
            times = [moment for one in vectors for moment in one.times(name)]
            codes = [code for one in vectors for code in one.status_codes(name)]
            columns += [
                pl.Series(f"{column}__timestamp", times, INSTANT),
                pl.Series(f"{column}__status", codes, CODE),
            ]
        return columns

    def forget(self) -> None:
        while self._vectors:
            self._vectors.pop()

"""A feature service as an endpoint asks for it: what can be known before a request is worked out once, and no frame is made.

Values, times and statuses are those of `FeatureStoreResource.online_vectors`; only the way there is shorter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from feature_repo.online_store.codec import moment
from feature_repo.online_store.few_rows import RowKeys, judged
from resources.features.column_vectors import ColumnVectors, FewRows, OfColumns, Origin, RowVectors
from resources.features.needs import Needs

FEW = 4
"""Up to so many rows are read one by one, which costs less than reading columns."""

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, eq=False)
class Parts:
    """What a service is read by: the plan, what rows need, and its on-demand functions; None where only Feast's can be used."""

    plan: Any
    needs: Needs
    called: Sequence[Any] | None


class Source(Protocol):
    """A service of a store; `resources.features.feast_service` and `planned_store` have the real ones."""

    def parts(self) -> Parts: ...

    def one_row(self, plan: Any, row_keys: Sequence[bytes | None]) -> list[Any]: ...

    def stored(self, plan: Any, columns: Mapping[str, list[Any]]) -> Any: ...

    def computed(self, plan: Any, columns: Mapping[str, list[Any]]) -> dict[str, Any]: ...

    def differing_form(self) -> str | None: ...


class CompiledService:
    """One service of one store."""

    def __init__(self, source: Source, schema: Mapping[str, Any]) -> None:
        """`schema` has the types of the columns that rows bring, which a frame of them has."""
        self._source, self._schema = source, schema
        self.differing_form = source.differing_form
        self._renew(source.parts())

    def columns(self, given: Columns, height: int, as_of: datetime) -> ColumnVectors:
        """The rows' columns with the features of the service, as known at `as_of`."""
        if (parts := self._source.parts()) is not self._parts:
            self._renew(parts)
        with moment.as_of(as_of):
            if height == 1 and self._called is not None:
                return self._one({name: values[0] for name, values in given.items()}, moment.micros(as_of))
            if height <= FEW and self._called is not None:
                return self._few(given, height, moment.micros(as_of))
            return self._many(given, height)

    def row(self, given: Mapping[str, Any], as_of: datetime) -> RowVectors | None:
        """The same for the columns of one row, a value each; None where on-demand features can only be computed by Feast."""
        if (parts := self._source.parts()) is not self._parts:
            self._renew(parts)
        if self._called is None:
            return None
        with moment.as_of(as_of):
            return self._one(dict(given), moment.micros(as_of))

    def _renew(self, parts: Parts) -> None:
        """Work everything out again."""
        self._parts, self._plan, self._needs, self._called = parts, parts.plan, parts.needs, parts.called
        self._types = {**self._schema, **parts.needs.types}
        self._features = list(parts.needs.types)
        self._keys = RowKeys(parts.plan)
        self._places = {
            name: (number, place)
            for number, read in enumerate(parts.plan.reads)
            for place, name in enumerate(read.outputs)
        }

    def _one(self, row: dict[str, Any], moment: int) -> RowVectors:
        plan = self._plan
        views = []
        for read, stored in zip(plan.reads, self._source.one_row(plan, self._keys.of(row)), strict=True):
            status, values = judged(read, stored, moment)
            views.append((stored, status, values))
            row.update(zip(read.outputs, values, strict=True))
        for called in self._called or ():
            row.update(called.row(row))
        return RowVectors(row, self._types, self._features, views, self._places, self._needs.inputs)

    def _few(self, given: Columns, height: int, moment: int) -> ColumnVectors:
        plan = self._plan
        columns: dict[str, Any] = dict(given)
        rows = []
        columns.update((name, []) for name in plan.names)
        for row in range(height):
            row_keys = self._keys.of({name: given[name][row] for name in plan.needed})
            vector = []
            for read, stored in zip(plan.reads, self._source.one_row(plan, row_keys), strict=True):
                status, values = judged(read, stored, moment)
                vector.append((stored, status, values))
                for name, value in zip(read.outputs, values, strict=True):
                    columns[name].append(value)
            rows.append(vector)
        self._compute(columns, height)
        return self._vectors(columns, FewRows(rows, self._places))

    def _many(self, given: Columns, height: int) -> ColumnVectors:
        questions = {name: list(given[name]) for name in self._needs.columns}
        answer = self._source.stored(self._plan, questions)
        if self._called is None:
            answer.computed = self._source.computed(self._plan, answer.values)
            columns = dict(given) | {name: column.values for name, column in answer.columns.items()}
        else:
            columns = dict(given) | answer.stored
            self._compute(columns, height)
        return self._vectors(columns, OfColumns(answer, self._places))

    def _compute(self, columns: dict[str, Any], height: int) -> None:
        parts = [called.columns(columns, height) for called in self._called or ()]
        for some in parts:
            columns.update(some)

    def _vectors(self, columns: dict[str, Any], origin: Origin) -> ColumnVectors:
        needs = self._needs
        return ColumnVectors(columns, self._types, self._features, origin, needs.inputs)

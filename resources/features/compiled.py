"""A feature service as an endpoint asks for it: what can be known before a request is worked out once, and no frame is made.

Values, times and statuses are those of `FeatureStoreResource.online_vectors`; only the way there is shorter.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from resources.features import feature_repository
from resources.features.column_vectors import ColumnVectors, FewRows, OfColumns
from resources.features.errors import FeatureStoreError
from resources.features.repository import Given

FEW = 4
"""Up to so many rows are read one by one, which costs less than reading columns."""

Columns = Mapping[str, Sequence[Any]]


class Store(Protocol):
    """The part of a feature store that is compiled; `resources.features.store` is the real one."""

    @property
    def repository(self) -> Given: ...

    def feast(self) -> Any: ...

    def registered(self, service: str) -> Any: ...


class CompiledService:
    """One service of one store; raises FeatureStoreError where it cannot be read this way."""

    def __init__(self, resource: Store, service: str, schema: Mapping[str, Any]) -> None:
        """`schema` has the types of the columns that rows bring, which a frame of them has."""
        from feature_repo.online_store.reading import BulkReads

        self._resource, self._service = resource, service
        self._store: Any = resource.feast()
        self._online = self._store.provider.online_store
        if not isinstance(self._online, BulkReads):
            raise FeatureStoreError(f"{type(self._online).__name__} hands out no bytes")
        self._needs = feature_repository.needs(resource.repository, service)
        self._forms = feature_repository.forms(resource.repository)
        self._types = {**schema, **self._needs.types}
        self._seen: Any = None
        self._renew()

    def differing_form(self) -> str | None:
        """The first function of one row, or of arrays, that gives other features on a sample than Feast's; None for none."""
        from feature_repo.online_store.on_demand import computed
        from resources.features.form_samples import difference

        if self._by_feast:
            return None

        def by_feast(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
            return {name: given.shown for name, given in computed(self._plan, columns, False).items()}

        return difference(self._plan.on_demand, self._called, by_feast)

    def columns(self, given: Columns, height: int, as_of: datetime) -> ColumnVectors:
        """The rows' columns with the features of the service, as known at `as_of`."""
        from feature_repo.online_store.codec import moment

        if not self._is_current():
            self._renew()
        with moment.as_of(as_of):
            if height <= FEW and not self._by_feast:
                return self._few(given, height, moment.micros(as_of))
            return self._many(given, height)

    def _is_current(self) -> bool:
        registry = self._store.registry
        return registry.is_cache_valid() and self._seen == registry.cached_registry_proto_created

    def _renew(self) -> None:
        """Work everything out again, after the registry was read anew."""
        from feature_repo.online_store.few_rows import RowKeys

        wanted = self._resource.registered(self._service)
        if getattr(wanted, "precompute_online", False):
            raise FeatureStoreError(f"{self._service!r} is computed when it is written")
        self._seen = self._store.registry.cached_registry_proto_created
        self._plan = self._online.plan_of(self._store.registry, self._store.project, wanted)
        self._keys = RowKeys(self._plan)
        self._places = {
            name: (number, place)
            for number, read in enumerate(self._plan.reads)
            for place, name in enumerate(read.outputs)
        }
        self._called = [called for view in self._plan.on_demand if (called := self._calls(view))]
        self._by_feast = len(self._called) < len(self._plan.on_demand)

    def _calls(self, view: Any) -> Any:
        from feature_repo.online_store.called import Called

        form = self._forms.get(view.name)
        if form is None or view.aggregations or view.write_to_online_store:
            return None
        kinds = {field.name: field.dtype.to_value_type() for field in view.features}
        return Called(kinds, form.reads, form.scalar, form.numpy)

    def _few(self, given: Columns, height: int, moment: int) -> ColumnVectors:
        from feature_repo.online_store.few_rows import judged

        config, plan = self._store.config, self._plan
        rows = []
        for row in range(height):
            row_keys = self._keys.of({name: given[name][row] for name in plan.needed})
            stored = self._online.one_row(config, plan, row_keys)
            rows.append(
                [(one, *judged(read, one, moment)) for read, one in zip(plan.reads, stored, strict=True)]
            )
        columns = dict(given)
        for number, read in enumerate(plan.reads):
            values = zip(*[row[number][2] for row in rows], strict=True)
            columns.update(zip(read.outputs, map(list, values), strict=True))
        self._compute(columns, height)
        return self._vectors(columns, FewRows(rows, self._places, columns))

    def _many(self, given: Columns, height: int) -> ColumnVectors:
        from feature_repo.online_store.on_demand import computed

        asked = {name: list(given[name]) for name in self._needs.columns}
        answer = self._online.stored(self._store.config, self._plan, asked)
        if self._by_feast:
            answer.computed = computed(self._plan, answer.values, False)
            columns = dict(given) | {name: column.values for name, column in answer.columns.items()}
        else:
            columns = dict(given) | answer.stored
            self._compute(columns, height)
        return self._vectors(columns, OfColumns(answer, columns))

    def _compute(self, columns: dict[str, Any], height: int) -> None:
        made = [called.columns(columns, height) for called in self._called]
        for some in made:
            columns.update(some)

    def _vectors(self, columns: dict[str, Any], origin: FewRows | OfColumns) -> ColumnVectors:
        needs = self._needs
        return ColumnVectors(columns, self._types, list(needs.types), origin, needs.inputs)

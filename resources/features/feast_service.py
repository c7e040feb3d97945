"""A feature service as Feast's own objects give it: the plan of its reads, its on-demand functions, and where its values are."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from resources.features import feature_repository
from resources.features.compiled import Parts
from resources.features.errors import FeatureStoreError
from resources.features.repository import Given


class Store(Protocol):
    """The part of a feature store that is read; `resources.features.store` is the real one."""

    @property
    def repository(self) -> Given: ...

    def feast(self) -> Any: ...

    def registered(self, service: str) -> Any: ...


class FeastService:
    """One service of one store; raises FeatureStoreError where it cannot be read by columns."""

    def __init__(self, resource: Store, service: str) -> None:
        from feature_repo.online_store.reading import BulkReads

        self._resource, self._service = resource, service
        self._store: Any = resource.feast()
        self._online = self._store.provider.online_store
        if not isinstance(self._online, BulkReads):
            raise FeatureStoreError(f"{type(self._online).__name__} hands out no bytes")
        self._forms = feature_repository.forms(resource.repository)
        self._seen: Any = None
        self._parts = self._read()

    def parts(self) -> Parts:
        """What it is read by, worked out again after the registry was read anew."""
        if not self._is_current():
            self._parts = self._read()
        return self._parts

    def one_row(self, plan: Any, row_keys: Sequence[bytes | None]) -> list[Any]:
        """What is stored for one row, view by view."""
        return self._online.one_row(self._store.config, plan, row_keys)

    def stored(self, plan: Any, columns: Mapping[str, list[Any]]) -> Any:
        """The answer without what is computed on demand."""
        return self._online.stored(self._store.config, plan, columns)

    def computed(self, plan: Any, columns: Mapping[str, list[Any]]) -> dict[str, Any]:
        """What Feast's functions compute on demand."""
        from feature_repo.online_store.on_demand import computed

        return computed(plan, columns, False)

    def differing_form(self) -> str | None:
        """The first function of one row, or of arrays, that gives other features on a sample than Feast's; None for none."""
        from resources.features.form_samples import difference

        plan, called = self._parts.plan, self._parts.called
        if called is None:
            return None

        def by_feast(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
            return {name: given.shown for name, given in self.computed(plan, columns).items()}

        return difference(plan.on_demand, called, by_feast)

    def _is_current(self) -> bool:
        registry = self._store.registry
        return registry.is_cache_valid() and self._seen == registry.cached_registry_proto_created

    def _read(self) -> Parts:
        definition = self._resource.registered(self._service)
        if getattr(definition, "precompute_online", False):
            raise FeatureStoreError(f"{self._service!r} is computed when it is written")
        self._seen = self._store.registry.cached_registry_proto_created
        plan = self._online.plan_of(self._store.registry, self._store.project, definition)
        called = [self._calls(view) for view in plan.on_demand]
        needs = feature_repository.needs(self._resource.repository, self._service)
        return Parts(plan, needs, None if None in called else called)

    def _calls(self, view: Any) -> Any:
        from feature_repo.online_store.called import Called

        form = self._forms.get(view.name)
        if form is None or view.aggregations or view.write_to_online_store:
            return None
        kinds = {field.name: field.dtype.to_value_type() for field in view.features}
        return Called(kinds, form.reads, form.scalar, form.numpy)

"""Writes what an endpoint reads of a use case's feature services, from Feast's objects and the registry."""

import logging
from pathlib import Path
from typing import Any, Protocol

from resources.features import feature_repository
from resources.features.errors import FeatureStoreError
from resources.features.feast_service import FeastService
from resources.features.inputs import ServiceInputs
from resources.features.planned_file import FORMAT, PlannedFile, code_hash
from resources.features.planned_service import (
    PlannedForm,
    PlannedGroup,
    PlannedService,
    PlannedSource,
    PlannedStore,
    PlannedView,
    names_of,
)
from resources.features.push_sources import defined_sources
from resources.features.repository import Given
from resources.features.service import DescribedService

LOG = logging.getLogger(__name__)


class Registered(Protocol):
    """A feature store whose definitions were applied; `resources.features.store` has the real one."""

    @property
    def home(self) -> str: ...

    @property
    def repository(self) -> Given: ...

    @property
    def online_store(self) -> str: ...

    @property
    def shared(self) -> str: ...

    def feast(self) -> Any: ...

    def registered(self, service: str) -> Any: ...

    def services(self) -> list[str]: ...

    def inputs(self, service: str) -> ServiceInputs: ...

    def describe(self, service: str) -> DescribedService: ...


def write_plans(resource: Registered, registry: str) -> None:
    """Write the file of a store whose registry was applied with this hash, unless it is there."""
    file = PlannedFile(Path(resource.home), resource.repository, resource.shared)
    if file.read() is None:
        file.write(planned_store(resource, registry))


def planned_store(resource: Registered, registry: str) -> PlannedStore:
    """Everything that an endpoint reads of a store."""
    store: Any = resource.feast()
    store.refresh_registry()
    online, database = _online(resource, store)
    names = resource.services()
    services = {name: _service(resource, name, online) for name in names}
    sources = defined_sources(resource.repository)
    return PlannedStore(
        format=FORMAT,
        code=code_hash(resource.repository),
        registry=registry,
        project=store.project,
        online=online,
        database=database,
        services=services,
        sources=tuple(PlannedSource(**source) for source in sources),
    )


def _online(resource: Registered, store: Any) -> tuple[str, str]:
    """The kind of the online store, and the SQLite file below the registry's folder; "" for one that only Feast can read."""
    name = type(store.provider.online_store).__name__
    if name == "BulkSqliteOnlineStore":
        path = Path(store.provider.online_store._get_db_path(store.config)).absolute()
        home = Path(resource.home).absolute()
        return "sqlite", str(path.relative_to(home) if path.is_relative_to(home) else path)
    return ("redis", "") if name == "BulkRedisOnlineStore" and resource.online_store else ("", "")


def _service(resource: Registered, name: str, online: str) -> PlannedService:
    try:
        if not online:
            raise FeatureStoreError("its online store is read by Feast alone")
        return _planned(resource, name)
    except FeatureStoreError as error:
        return PlannedService(name=name, by_feast=str(error))
    except Exception as error:
        LOG.exception("feature service %s is left to Feast", name)
        return PlannedService(name=name, by_feast=f"{type(error).__name__}: {error}")


def _planned(resource: Registered, name: str) -> PlannedService:
    service = FeastService(resource, name)
    parts, inputs = service.parts(), resource.inputs(name)
    plan, needs = parts.plan, parts.needs
    if parts.called is None:
        raise FeatureStoreError("an on-demand view of it has no form for one row or for arrays")
    if problem := service.differing_form():
        raise FeatureStoreError(problem)
    store: Any = resource.feast()
    online_store = store.provider.online_store
    online_store._check_versioned_read_support([(read.view, read.features) for read in plan.reads])
    paths = feature_repository.form_paths(resource.repository)
    return PlannedService(
        name=name,
        described=resource.describe(name).to_json(),
        columns=needs.columns,
        types={one.name: one.kind for one in inputs.given},
        inputs=needs.inputs,
        asked=tuple((one.owner, one.name, one.kind) for one in inputs.request_fields),
        keys=tuple(inputs.keys),
        groups=tuple(
            PlannedGroup(
                columns=group.columns,
                join_keys=group.join_keys,
                views=tuple(_view(store.config, online_store, read) for read in group.views),
            )
            for group in plan.groups
        ),
        kinds=names_of(plan.kinds),
        join_keys=tuple(sorted(plan.join_keys)),
        entities=dict(plan.entities),
        request_data=tuple(sorted(plan.request_data)),
        wanted=tuple(sorted(plan.answered_names)),
        entityless=plan.entityless,
        forms=tuple(_form(view, paths[view.name]) for view in plan.on_demand),
    )


def _view(config: Any, store: Any, read: Any) -> PlannedView:
    place = store.place(config, read)
    return PlannedView(
        name=place.name,
        features=read.features,
        outputs=read.outputs,
        lives=read.lives,
        declared=names_of(read.declared),
        table=place.table,
        fields=tuple(field.hex() for field in place.fields),
        stamp=place.stamp.decode(),
    )


def _form(view: Any, path: str) -> PlannedForm:
    gives = {field.name: field.dtype.to_value_type() for field in view.features}
    requested = names_of(view.get_request_data_schema())
    return PlannedForm(view=view.name, form=path, asked=requested, gives=names_of(gives))

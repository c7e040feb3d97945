"""The features that a use case's YAML describes: a view of every table with `features`, a service of every model with `features`."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pydantic

from feature_repo.declared.description import Declared, Feature, Key, Service, View
from mlops_assets.spec.aggregates import Aggregates
from mlops_assets.spec.files import TABLE, documents, read_use_case, specs_that_choose
from mlops_assets.spec.given import AllBut
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import feature_table
from mlops_assets.spec.table import TableSpec
from mlops_assets.spec.table_features import FEATURE_TYPES, Features
from mlops_assets.stages.declared_aggregates import shape_of
from resources.features.chosen import service_of, with_services
from resources.features.errors import FeatureStoreError
from resources.features.repository import Repository
from resources.use_case_folders import UseCaseFolder
from resources.yaml_files import YamlError

Stamp = tuple[tuple[str, int], ...]


def described(package: Repository, folder: UseCaseFolder) -> Repository:
    """The repository of a use case: its package, and what its YAML describes beside it.

    Raises FeatureStoreError where a file is not as it must be, or names features that are not there.
    """
    files = [folder.file, *folder.component_files]
    return _described(package, folder, tuple((str(file), file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=64)
def _described(package: Repository, folder: UseCaseFolder, stamp: Stamp) -> Repository:
    """Asked for at every request for features; read again where a file has changed."""
    try:
        use_case, written = read_use_case(folder), list(documents(folder))
        tables = [one.table() for one in written if one.kind == TABLE]
        models = specs_that_choose(use_case, written)
        views = tuple(view for table in tables for view in views_of(table, folder.name, use_case.owner))
        whole = Repository(package=package.package, declared=Declared(views=views), project=package.project)
    except (YamlError, ValueError) as error:
        raise FeatureStoreError(_sentence(error)) from error
    if not models:
        return whole
    by_name = {f"{folder.name}/{table.name}": table for table in tables}
    return with_services(
        whole, [_service(spec, whole, by_name.get(spec.prediction.table)) for spec in models]
    )


def views_of(table: TableSpec, use_case: str, owner: str) -> Iterator[View]:
    """The feature views that a table is: that of its values, and those of its aggregates."""
    if table.features:
        yield view_of(table, use_case, owner)
    for name, aggregates in table.aggregates.items():
        yield aggregate_view(table, name, aggregates, use_case, owner)


def view_of(table: TableSpec, use_case: str, owner: str) -> View:
    """The feature view over a table's feature table."""
    features = table.features or Features(key=table.key)
    said = table.columns
    return View(
        name=str(table.view),
        keys=tuple(_key(table, name) for name in features.key),
        features=tuple(
            Feature(
                name=name,
                type=FEATURE_TYPES[said[name].kind],
                description=said[name].description,
                unit=said[name].unit,
            )
            for name in features.columns or ()
        ),
        source=f"{feature_table(use_case, str(table.view))}/*.parquet",
        ttl_seconds=features.ttl.total_seconds() if features.ttl else 0,
        description=table.description,
        owner=owner,
        place=f"table {use_case}/{table.name}",
    )


def aggregate_view(table: TableSpec, name: str, aggregates: Aggregates, use_case: str, owner: str) -> View:
    """A feature view of aggregates; no value is ever too old, for one changes in the table when it does in time."""
    kinds = shape_of(table).kinds(aggregates)
    return View(
        name=name,
        keys=tuple(_key(table, key) for key in aggregates.key),
        features=tuple(
            Feature(
                name=feature,
                type=FEATURE_TYPES[kinds[feature]],
                description=one.description or one.words,
                unit=one.unit,
            )
            for feature, one in aggregates.features.items()
        ),
        source=f"{feature_table(use_case, name)}/*.parquet",
        ttl_seconds=0,
        description=aggregates.description,
        owner=owner,
        place=f"table {use_case}/{table.name}",
    )


def _key(table: TableSpec, name: str) -> Key:
    column = table.columns[name]
    return Key(name=name, type=FEATURE_TYPES[column.kind], description=column.description)  # type: ignore[arg-type]


def _service(spec: ModelSpec, repository: Repository, table: TableSpec | None) -> Service:
    """The service of a model's features: all but some are those of views that the rows of its table have the keys of."""
    said: dict[str, Any] = {
        "description": spec.description,
        "owner": spec.owner,
        "place": f"model {spec.name}",
        "may_be_none": bool(spec.prediction.columns),
    }
    if not isinstance(spec.features, AllBut):
        return service_of(spec.name, repository, spec.features, **said)
    known = table is not None and spec.prediction.rows is None
    given = [*table.columns] if table and known else None
    return service_of(spec.name, repository, None, spec.features.exclude, given, **said)


def _sentence(error: Exception) -> str:
    if isinstance(error, pydantic.ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)

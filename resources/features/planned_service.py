"""A feature service as plain data: all that an endpoint has to know of it, so that it neither opens Feast's registry nor imports Feast."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pydantic

from feature_repo.forms import Form
from feature_repo.online_store.called import Called
from feature_repo.online_store.codec import keys
from feature_repo.online_store.codec.kinds import ValueType
from feature_repo.online_store.plan import KeyGroup, Plan, ViewRead
from feature_repo.online_store.reads import Place
from resources.features.compiled import Parts
from resources.features.errors import FeatureStoreError
from resources.features.needs import Needs
from resources.features.types import FEATURES

Kinds = dict[str, str]
"""Names of Feast's value types by column."""


class Planned(pydantic.BaseModel):
    """A part of what is known of a service."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class PlannedView(Planned):
    """What is read of one view: its features in order, their names in the answer, its life in microseconds, and its place."""

    name: str
    features: tuple[str, ...]
    outputs: tuple[str, ...]
    lives: int
    declared: Kinds
    table: str = ""
    fields: tuple[str, ...] = ()
    stamp: str = ""

    def read(self) -> ViewRead:
        """The view as a plan has it."""
        declared = kinds_of(self.declared)
        return ViewRead(
            view=Place(self.name, self.table, tuple(map(bytes.fromhex, self.fields)), self.stamp.encode()),
            features=self.features,
            kinds=tuple(declared.get(name, ValueType.UNKNOWN) for name in self.features),
            outputs=self.outputs,
            lives=self.lives,
            declared=declared,
        )


class PlannedGroup(Planned):
    """Views that are read with one key."""

    columns: tuple[str, ...]
    join_keys: tuple[str, ...]
    views: tuple[PlannedView, ...]

    def group(self) -> KeyGroup:
        """The group as a plan has it."""
        views = tuple(view.read() for view in self.views)
        return KeyGroup(keys.prefix(self.join_keys), self.columns, self.join_keys, views)


class PlannedForm(Planned):
    """An on-demand view: the import path of its form, the columns of the request that it reads, and the features that it gives."""

    view: str
    form: str
    asked: Kinds
    gives: Kinds

    def get_request_data_schema(self) -> dict[str, ValueType]:
        """Types of the columns of the request, by the name that Feast's view has for it."""
        return kinds_of(self.asked)

    def called(self, package: str) -> Called:
        """Its functions; of the repository's package alone."""
        module, _, name = self.form.partition(":")
        if not f"{module}.".startswith(f"{package}."):
            raise FeatureStoreError(
                f"the form {self.form!r} of the on-demand view {self.view!r} is not in the package {package!r}: materialize "
                "the asset features/registry of the use case"
            )
        form = getattr(import_module(module), name, None)
        if not isinstance(form, Form):
            raise FeatureStoreError(
                f"{self.form!r} is no form any more: materialize the asset features/registry of the use case"
            )
        return Called(kinds_of(self.gives), form.reads, form.scalar, form.numpy)


class PlannedService(Planned):
    """One service. `by_feast` says why only Feast can read it, and then nothing else is known of it.

    `described` is a DescribedService as JSON; `types` has Feast's types of its features; `asked` the columns of a request
    that has no model of its own (view, name, type), `keys` which of them are join keys.
    """

    name: str
    by_feast: str = ""
    described: str = ""
    columns: tuple[str, ...] = ()
    types: dict[str, str] = {}
    inputs: dict[str, list[str]] = {}
    asked: tuple[tuple[str, str, str], ...] = ()
    keys: tuple[str, ...] = ()
    groups: tuple[PlannedGroup, ...] = ()
    kinds: Kinds = {}
    join_keys: tuple[str, ...] = ()
    entities: dict[str, str] = {}
    request_data: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    entityless: bool = False
    forms: tuple[PlannedForm, ...] = ()

    def parts(self, package: str) -> Parts:
        """What it is read by; `package` is the repository's, in which its functions have to be."""
        needs = Needs(self.columns, {name: FEATURES[kind] for name, kind in self.types.items()}, self.inputs)
        return Parts(self.plan(), needs, [form.called(package) for form in self.forms])

    def plan(self) -> Plan:
        """The plan of its reads."""
        return Plan(
            refs=(),
            groups=tuple(group.group() for group in self.groups),
            kinds=kinds_of(self.kinds),
            join_keys=frozenset(self.join_keys),
            entities=self.entities,
            request_data=frozenset(self.request_data),
            answered_names=frozenset(self.wanted),
            on_demand=self.forms,
            entityless=self.entityless,
        )


class PlannedSource(Planned):
    """A push source: `table` is the folder of its rows in the lake."""

    name: str
    views: tuple[str, ...]
    keys: dict[str, str]
    features: dict[str, str]
    table: str


class PlannedStore(Planned):
    """Everything of one use case: `online` is `sqlite` or `redis`, `database` the SQLite file, from the registry's folder on."""

    format: int
    code: str
    registry: str
    project: str
    online: str = ""
    database: str = ""
    services: dict[str, PlannedService] = {}
    sources: tuple[PlannedSource, ...] = ()


def kinds_of(names: Mapping[str, str]) -> dict[str, Any]:
    """Types by column."""
    return {name: ValueType[kind] for name, kind in names.items()}


def names_of(kinds: Mapping[str, Any]) -> Kinds:
    """The same in text."""
    return {name: kind.name for name, kind in kinds.items()}

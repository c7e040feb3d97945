"""How the on-demand views of a service can be called when a request waits, told without importing Feast."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from feature_repo.forms import Form
from resources.features import feature_repository
from resources.features.inputs import UNTOLD, service_inputs
from resources.features.modules import modules_of
from resources.features.repository import Given, Repository
from resources.features.stand_in import Reading


@dataclass(frozen=True)
class Way:
    """One on-demand view: the mode that Feast calls its function in, where it is defined, and its form where it has one."""

    view: str
    mode: str
    place: str
    form: Form | None

    @property
    def alone(self) -> bool:
        """Whether there is but the function that Feast calls."""
        return self.form is None


def on_demand_ways(service: str, repository: Given) -> list[Way]:
    """The on-demand views of a service, in its order."""
    given = Repository.of(repository)
    if not given.package:
        return []
    inputs = service_inputs(service, repository)
    names = [name for name in inputs.features if name not in inputs.stored]
    try:
        ways = {way.view: way for way in _by_stand_in(given.package)}
    except UNTOLD:
        ways = {way.view: way for way in _by_feast(repository)}
    return [ways[name] for name in names if name in ways]


def _by_stand_in(package: str) -> Iterator[Way]:
    reading = Reading(package)
    objects = reading.objects()
    modules = [reading.module(name) for name in modules_of(package)]
    forms = {v.view: v for module in modules for v in vars(module).values() if isinstance(v, Form)}
    for one in objects:
        if one.kind == "OnDemandFeatureView":
            yield Way(one.name, one.named.get("mode", "pandas"), one.place, forms.get(one.name))


def _by_feast(repository: Given) -> Iterator[Way]:
    forms = feature_repository.forms(repository)
    for thing in feature_repository.definitions(repository):
        view: Any = thing
        if feature_repository.kind(view) == "OnDemandFeatureView":
            place = Repository.of(repository).package or ""
            yield Way(view.name, view.mode, place, forms.get(view.name))

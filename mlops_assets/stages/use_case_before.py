"""Whose the state of an earlier release is, which knew one use case and did not say which."""

import json
from collections.abc import Iterable, Iterator

from mlops_assets.spec.names import use_case_of
from resources.lake.names import MANIFESTS, manifest_names
from resources.lake.versions import tables
from resources.storage.storage import Storage

FEATURES = "features/"
STAGES = ("training_set", "predictions", "performance", "drift", "reference", "skew")
"""Tables that belong to a model, not to a use case."""


class UnknownUseCaseError(Exception):
    """A state of an earlier release that does not say, or says twice, which use case it is of."""


def use_case_before(storage: Storage) -> str:
    """The first part of the tables that training sets were made of, or else of the raw tables.

    Raises UnknownUseCaseError where these are none, or of several use cases.
    """
    names = tables(storage)
    upstreams = [list(_upstreams(storage, name)) for name in names if name.endswith("/training_set")]
    old = [names for names in upstreams if any(name.startswith(FEATURES) for name in names)]
    owners = _first_parts(name for names in old or upstreams for name in names)
    models = {use_case_of(name) for name in names if name.partition("/")[2] in STAGES}
    owners = owners or _first_parts(name for name in names if use_case_of(name) not in models)
    if len(owners) != 1:
        several = f"the use cases {', '.join(sorted(owners))}"
        raise UnknownUseCaseError(
            f"{storage.address} is of an earlier release, and its tables are of "
            f"{several if owners else 'no use case'}: name the one that its feature "
            "tables belong to, `mlops migrate --use-case NAME`"
        )
    return owners.pop()


def _upstreams(storage: Storage, table: str) -> Iterator[str]:
    """The names that the newest manifest of a table says it was made of."""
    folder, ending = manifest_names(table)
    for name in storage.names(folder, ending)[-1:]:
        assert f"/{MANIFESTS}/" in name
        yield from json.loads(storage.read(name)).get("made_of") or {}


def _first_parts(names: Iterable[str]) -> set[str]:
    return {use_case_of(name) for name in names if "/" in name and not name.startswith(FEATURES)}

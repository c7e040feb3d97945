"""Features that somebody names, joined as those of a feature service are, with nothing of it in the registry."""

from collections.abc import Mapping, Sequence
from typing import Any

from resources.features.chosen import service_of, with_services
from resources.features.errors import FeatureStoreError
from resources.features.inputs import read
from resources.features.store import FeatureStoreResource

CHOSEN = "chosen_features"
"""What the service of the named features is called, which no registry has."""


class ChosenFeatures(FeatureStoreResource):
    """A store whose repository has the service CHOSEN too: Feast is asked for its features one by one."""

    def feast_request(self, service: str) -> Any:
        """The features of the service by name."""
        features = self.inputs(service).features
        return [f"{view}:{name}" for view, names in features.items() for name in names]


def chosen_features(store: FeatureStoreResource, names: Sequence[str]) -> ChosenFeatures:
    """The store with the service CHOSEN of some features: `view`, `view:feature`, or a feature that one view alone has.

    Raises FeatureStoreError for a name that is nothing or several things, and where two features would have one name.
    """
    views = read(store.repository).views
    service = service_of(CHOSEN, store.repository, [full_name(name, views) for name in names])
    owners: dict[str, str] = {}
    for one in service.features:
        for feature in views[one.view] if one.features is None else one.features:
            if (other := owners.setdefault(feature, one.view)) != one.view:
                raise FeatureStoreError(
                    f"feature {feature!r} is in the views {other} and {one.view}, and a frame has one column of a name: "
                    f"leave one of {other}:{feature} and {one.view}:{feature} out"
                )
    known: dict[str, Any] = dict(store)
    return ChosenFeatures(**(known | {"repository": with_services(store.repository, [service])}))


def full_name(name: str, views: Mapping[str, Sequence[str]]) -> str:
    """A name with the view that has the feature; `view` and `view:feature` as they are.

    Raises FeatureStoreError where it is both a view and a feature of another, a feature of several views, or none.
    """
    meant = [f"{view}:{name}" for view, features in views.items() if name in features]
    meant += [name] if name in views else []
    if ":" in name or meant == [name]:
        return name
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise FeatureStoreError(
            f"{name!r} may be {' or '.join(meant)}: name the one that is meant by its view"
        )
    raise FeatureStoreError(
        f"there is no feature view and no feature {name!r}; the views are: {', '.join(sorted(views)) or 'none'}"
    )

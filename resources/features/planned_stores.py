"""The feature stores of all use cases as an endpoint needs them, without Feast."""

from resources.features.planned_store import PlannedFeatures
from resources.features.push_sources import PushSource
from resources.features.stores import FeatureStores, sources_of
from resources.use_case_folders import use_case_folders


class PlannedStores:
    """The store of each use case, read by what was written down when its definitions were applied."""

    def __init__(self, stores: FeatureStores) -> None:
        self.stores = stores
        self._stores: dict[str, PlannedFeatures] = {}

    def of(self, use_case: str) -> PlannedFeatures:
        """The store of one use case; raises FeatureStoreError where there is no such use case."""
        resource = self.stores.of(use_case)
        features = self._stores.get(use_case)
        if features is None or features.resource != resource:
            features = self._stores[use_case] = PlannedFeatures(resource)
        return features

    @property
    def sources(self) -> dict[str, PushSource]:
        """Every push source that some use case defines, by name; raises FeatureStoreError where two have one name."""
        every = {folder.name: self.of(folder.name) for folder in use_case_folders()}
        return {name: source for name, (_, source) in sources_of(every).items()}

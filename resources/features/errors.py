"""What the feature store refuses."""


class FeatureStoreError(Exception):
    """A service, column, table or row that the feature store was asked for is not as it must be."""

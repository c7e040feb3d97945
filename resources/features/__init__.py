"""The feature store, reached through Feast."""

from resources.features import feast_import

feast_import.install()

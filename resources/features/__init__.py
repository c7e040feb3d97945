"""The feature store, reached through Feast."""

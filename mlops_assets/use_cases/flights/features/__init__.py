"""The Feast package of the flights: entities, feature views, services, and what is said of each feature."""

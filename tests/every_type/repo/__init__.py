"""A feature repository with a field of every type that Feast has."""

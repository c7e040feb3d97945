"""A feature repository with every type that Feast has, and values for it."""

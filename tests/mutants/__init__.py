"""Mutations of the product, each of which a named test must notice; `python -m tests.mutants` makes them one at a time."""

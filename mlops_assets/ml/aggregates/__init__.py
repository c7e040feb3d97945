"""Trailing aggregates: the rows of a feature view, one for each moment at which a value may change, of the rows of a table."""

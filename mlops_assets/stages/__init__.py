"""The work behind each asset, over resources; no Dagster."""

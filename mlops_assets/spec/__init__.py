"""What a data scientist writes, read and checked; knows no Dagster."""

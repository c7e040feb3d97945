"""Names of what every use case has: feature tables, registry, online store, progress of its replay, its job and groups."""

OUTCOME_TABLE = "partitions.csv"
"""The table of a replay's outcome, one line a partition."""


def use_case_of(table: str) -> str:
    """The use case that a lake table belongs to: the first part of its name."""
    return table.partition("/")[0]


def feature_table(use_case: str, view: str) -> str:
    """The lake table behind a feature view."""
    return f"{use_case}/features/{view}"


def registry_key(use_case: str) -> str:
    """The asset that applies the use case's feature definitions."""
    return f"{use_case}/features/registry"


def online_key(use_case: str) -> str:
    """The asset that brings the online store up to a partition's end, and the record of what is online."""
    return f"{use_case}/features/online"


def progress_name(use_case: str) -> str:
    """The record of the partition up to which the use case was replayed."""
    return f"{use_case}/replay/progress"


def ingest_job_name(use_case: str) -> str:
    """The job that ingests partitions of the use case."""
    return f"ingest_{use_case}"


def ingest_group(use_case: str) -> str:
    """The asset group of its raw tables."""
    return f"{use_case}_ingest"


def features_group(use_case: str) -> str:
    """The asset group of its feature tables, registry and online store."""
    return f"{use_case}_features"

"""What the files of a lake's tables are called in its storage."""

WHOLE = "all"
"""The partition of a table that is written whole."""

PUSHED = "pushed-"
"""How the files begin that the offline store writes beside a table's partitions when rows are pushed."""

MANIFESTS, VERSIONS = "_manifests", "_kept"


def file_name(table: str, partition: str | None = None) -> str:
    """What a partition's parquet is called."""
    return f"{table}/{partition or WHOLE}.parquet"


def manifest_name(table: str, partition: str | None = None) -> str:
    """What a partition's manifest is called."""
    return f"{table}/{MANIFESTS}/{partition or WHOLE}.json"


def manifest_names(table: str) -> tuple[str, str]:
    """The folder of a table's manifests, and how their names end."""
    return f"{table}/{MANIFESTS}", ".json"


def making_name(table: str, partition: str | None = None) -> str:
    """What the record of how a partition was made is called."""
    return f"{table}/{MANIFESTS}/{partition or WHOLE}.made"


def kept_name(table: str, partition: str | None, sha256: str, ending: str = ".parquet") -> str:
    """What replaced content of a partition is called; with `.json`, the record of what and when it was."""
    return f"{table}/{VERSIONS}/{partition or WHOLE}/{sha256}{ending}"

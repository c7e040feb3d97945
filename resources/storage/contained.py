"""Names that become paths: whatever a record, a lineage or a request calls a thing, it stays below its folder."""

from pathlib import Path


class OutsideError(ValueError):
    """A name that would lead out of the folder it belongs to."""


def below(root: Path | str, name: str) -> Path:
    """The path of `name` (parts between slashes) below `root`; raises OutsideError where a part is no plain name."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise OutsideError(
            f"{name!r} is no name below {root}: parts between slashes may not be empty, '.' or '..', nor hold a "
            f"backslash or a zero byte"
        )
    return Path(root, *parts)

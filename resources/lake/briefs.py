"""What the manifests of a table say in short, remembered: one is read again only where it was written since.

Whoever looks at all partitions of a table, for each of its partitions, would read every manifest again and again; so it is
one look at the folder, and none where nothing was written to it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from resources.lake.lake import Lake
from resources.lake.names import manifest_names


class Brief(NamedTuple):
    """The hash of a partition's content, its notes, how many rows it has, and the names of its columns."""

    sha256: str
    notes: Mapping[str, Any]
    rows: int
    columns: frozenset[str]


@dataclass(frozen=True)
class _Known:
    """What was read of a table's manifests: the mark of their folder then, and of each."""

    folder: str | None
    marks: Mapping[str, str]
    briefs: Mapping[str, Brief]


_KNOWN: dict[tuple[str, str], _Known] = {}
"""By the lake's root and the table."""


def briefs(lake: Lake, table: str) -> Mapping[str, Brief]:
    """What every manifest of a table says, by partition; also of one whose content is not there yet."""
    folder, ending = manifest_names(table)
    before, mark = _KNOWN.get((lake.root, table)), lake.storage.folder_mark(folder)
    if before and mark is not None and mark == before.folder:
        return before.briefs
    marks = lake.storage.marks(folder, ending)
    by_partition: dict[str, Brief] = {}
    for name, state in marks.items():
        partition = name[len(folder) + 1 :].removesuffix(ending)
        if before and before.marks.get(name) == state:
            by_partition[partition] = before.briefs[partition]
        elif (stored := lake.storage.load_or_none(name)) is not None:
            by_partition[partition] = _brief(json.loads(stored.content))
    _KNOWN[lake.root, table] = _Known(mark, marks, by_partition)
    return by_partition


def _brief(manifest: Mapping[str, Any]) -> Brief:
    notes, columns = manifest.get("notes") or {}, _names(tuple(manifest["columns"]))
    return Brief(manifest["sha256"], notes, manifest["rows"], columns)


@lru_cache(maxsize=256)
def _names(columns: tuple[str, ...]) -> frozenset[str]:
    """One set for all partitions that have the same columns."""
    return frozenset(columns)


def hashes_of(lake: Lake, table: str) -> dict[str, str]:
    """The partitions that there are, in order, with the hashes of their content by their manifests.

    Raises LakeError for one without a manifest.
    """
    known = briefs(lake, table)
    return {
        name: known[name].sha256 if name in known else lake.manifest(table, name).sha256
        for name in lake.partitions(table)
    }

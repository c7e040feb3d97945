"""Which partitions need no second look: a record in the lake that spares a tick the manifests of what it found settled before.

A tick reads one record and lists folders, however many partitions there are, and reads the manifests of those that are
new or were written again. The record is no state: every entry says of which files, as they stood, it is true, so one
that is old, lost or of another lake costs a tick that reads all manifests, and changes nothing else.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from resources.lake.lake import Lake
from resources.lake.names import manifest_names
from resources.storage.storage import Storage


@dataclass(frozen=True)
class Look:
    """What a look at a partition found: what its tables are to rest on now, None where they do; and whether that is final.

    It is final where nothing but another wish, or another write of its tables, can change it.
    """

    due: str | None
    final: bool = True


def unsettled(
    lake: Lake, model: str, wanted: Mapping[str, str], tables: Sequence[str], look: Callable[[str], Look]
) -> list[tuple[str, str]]:
    """The partitions whose tables are missing or due, in order, with what they are to rest on.

    What is wanted of a partition is any text that changes when its tables have to be looked at again.
    """
    there = [set(lake.partitions(table)) for table in tables]
    marks = [manifest_marks(lake.storage, table) for table in tables]
    made = [name for name in wanted if all(name in names for names in there)]
    seals = {name: _seal(wanted[name], *(mark.get(name, "") for mark in marks)) for name in made}
    before = _read(lake, model)
    looks = {name: look(name) for name, seal in seals.items() if before.get(name) != seal}
    settled = {
        name: seal
        for name, seal in seals.items()
        if name not in looks or (looks[name].due is None and looks[name].final)
    }
    if settled != before:
        lake.storage.write(_record(model), json.dumps(settled, sort_keys=True).encode(), flush=False)
    open_ = {
        name: looks[name].due if name in looks else wanted[name] for name in wanted if name not in settled
    }
    return [(name, due) for name, due in open_.items() if due is not None]


def manifest_marks(storage: Storage, table: str) -> dict[str, str]:
    """The mark of each partition's manifest, by the partition's name."""
    folder, ending = manifest_names(table)
    start = len(folder) + 1
    return {name[start:].removesuffix(ending): mark for name, mark in storage.marks(folder, ending).items()}


def _seal(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _read(lake: Lake, model: str) -> dict[str, str]:
    """What was found settled; a record that cannot be read is none."""
    stored = lake.storage.load_or_none(_record(model))
    try:
        found = json.loads(stored.content) if stored else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _record(model: str) -> str:
    return f"{model}/ticks/reported.json"

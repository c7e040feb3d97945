"""Which partitions need no second look: a record in the lake that spares a tick the manifests of what it found settled before.

A tick lists folders and reads the manifests of those that are new or were written again; where nothing was written at
all since a tick that found everything settled, it lists nothing either. The record is no state: every entry says of which
files, as they stood, it is true, so one that is old, lost or of another lake costs a tick that reads all manifests, and
changes nothing else.
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
    lake: Lake,
    model: str,
    marks_of: Callable[[], Mapping[str, str]],
    rests_on: str | None,
    tables: Sequence[str],
    look: Callable[[str], Look],
) -> list[tuple[str, str]]:
    """The partitions whose tables are missing or due, in order, with what they are to rest on.

    `marks_of` gives by partition any text that changes when its tables have to be looked at again, and is asked only where
    something changed: `rests_on` or a table's folder. So whatever it depends on belongs into `rests_on`; None: it cannot
    be told whether that changed.
    """
    whole = _whole(lake, rests_on, tables)
    if whole is not None and whole == _whole_before(lake, model):
        return []
    waiting, final = _looked_at(lake, model, marks_of(), tables, look)
    if whole is not None and final and not waiting:
        lake.storage.write(_all(model), whole.encode(), flush=False)
    return waiting


def _looked_at(
    lake: Lake, model: str, bases: Mapping[str, str], tables: Sequence[str], look: Callable[[str], Look]
) -> tuple[list[tuple[str, str]], bool]:
    """What waits, and whether all else is final."""
    there = [set(lake.partitions(table)) for table in tables]
    marks = [manifest_marks(lake.storage, table) for table in tables]
    whole = [name for name in bases if all(name in names for names in there)]
    seals = {name: _seal(bases[name], *(mark.get(name, "") for mark in marks)) for name in whole}
    before = _read(lake, model)
    looks = {name: look(name) for name, seal in seals.items() if before.get(name) != seal}
    is_open = {name for name, result in looks.items() if result.due is not None or not result.final}
    settled = {name: seal for name, seal in seals.items() if name not in is_open}
    if settled != before:
        lake.storage.write(_record(model), json.dumps(settled, sort_keys=True).encode(), flush=False)
    due = {name: looks[name].due if name in looks else bases[name] for name in bases if name not in settled}
    return [(name, basis) for name, basis in due.items() if basis is not None], len(settled) == len(bases)


def _whole(lake: Lake, rests_on: str | None, tables: Sequence[str]) -> str | None:
    """All that an answer rests on as one text; None where the storage cannot tell whether a folder changed."""
    folders = [folder for table in tables for folder in (table, manifest_names(table)[0])]
    marks = [lake.storage.folder_mark(folder) for folder in folders]
    return None if None in (rests_on, *marks) else _seal(*map(str, (rests_on, *marks)))


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
        content = json.loads(stored.content) if stored else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _whole_before(lake: Lake, model: str) -> str | None:
    stored = lake.storage.load_or_none(_all(model))
    return stored.content.decode(errors="replace") if stored else None


def _all(model: str) -> str:
    return f"{model}/ticks/all_reported"


def _record(model: str) -> str:
    return f"{model}/ticks/reported.json"

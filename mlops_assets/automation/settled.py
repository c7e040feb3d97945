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

Listing = tuple[set[str], dict[str, str]]
_LISTED: dict[str, tuple[str, Listing]] = {}
"""By table of rows to predict, at which many models look, its listing and the seal of the folders as they then stood."""


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


@dataclass(frozen=True)
class Noted:
    """What was found settled: the basis of each partition, the seal of its manifests, and the seal of the folders when these were listed."""

    folders: str | None
    partitions: Mapping[str, Sequence[str]]


def _looked_at(
    lake: Lake,
    model: str,
    bases: Mapping[str, str],
    tables: Sequence[str],
    look: Callable[[str], Look],
    listed: bool = False,
) -> tuple[list[tuple[str, str]], bool]:
    """What waits, and whether all else is final; folders are listed where one changed, or where something new is settled."""
    before, folders = _read(lake, model), _folders(lake, tables)
    known, manifests = before.partitions, None
    if listed or folders is None or folders != before.folders:
        manifests = _manifests(lake, tables)
        known = {name: noted for name, noted in known.items() if manifests.get(name) == noted[1]}
    settled = {name: known[name] for name in bases if name in known and known[name][0] == bases[name]}
    looks = {
        name: look(name) for name in bases if name not in settled and _is_there(lake, tables, name, manifests)
    }
    done = [name for name, result in looks.items() if result.due is None and result.final]
    if done and manifests is None:  # which manifests these are has to be known before they are looked at
        return _looked_at(lake, model, bases, tables, look, listed=True)
    settled |= {name: [bases[name], manifests[name]] for name in done if manifests}
    now = Noted(folders, settled)
    if now != before:
        lake.storage.write(_record(model), json.dumps(vars(now), sort_keys=True).encode(), flush=False)
    due = {name: looks[name].due if name in looks else bases[name] for name in bases if name not in settled}
    return [(name, basis) for name, basis in due.items() if basis is not None], len(settled) == len(bases)


def _is_there(lake: Lake, tables: Sequence[str], name: str, manifests: Mapping[str, str] | None) -> bool:
    if manifests is not None:
        return name in manifests
    return all(lake.exists(table, name) for table in tables)


def _manifests(lake: Lake, tables: Sequence[str]) -> dict[str, str]:
    """A seal of the manifests of each partition that all tables have."""
    listings = [_list(lake, table) for table in tables]
    names = set.intersection(*(names for names, _ in listings))
    return {name: seal(*(marks.get(name, "") for _, marks in listings)) for name in names}


def _whole(lake: Lake, rests_on: str | None, tables: Sequence[str]) -> str | None:
    """All that an answer rests on as one text; None where the storage cannot tell whether a folder changed."""
    folders = _folders(lake, tables)
    return None if None in (rests_on, folders) else seal(str(rests_on), str(folders))


def _folders(lake: Lake, tables: Sequence[str]) -> str | None:
    folders = [folder for table in tables for folder in (table, manifest_names(table)[0])]
    marks = [lake.storage.folder_mark(folder) for folder in folders]
    return None if None in marks else seal(*map(str, marks))


def listing(lake: Lake, table: str) -> Listing:
    """The partitions of a table, and the mark of each one's manifest; listed again where something was written."""
    folders, place = _folders(lake, [table]), lake.storage.at(table)
    if folders is None:
        return _list(lake, table)
    before = _LISTED.get(place)
    if before is None or before[0] != folders:
        before = _LISTED[place] = folders, _list(lake, table)
    return before[1]


def _list(lake: Lake, table: str) -> Listing:
    folder, ending = manifest_names(table)
    start, marks = len(folder) + 1, lake.storage.marks(folder, ending)
    return set(lake.partitions(table)), {n[start:].removesuffix(ending): mark for n, mark in marks.items()}


def seal(*parts: str) -> str:
    """A short text that is another one after any change of the parts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _read(lake: Lake, model: str) -> Noted:
    """What was found settled; a record that cannot be read is none."""
    stored = lake.storage.load_or_none(_record(model))
    try:
        content = json.loads(stored.content) if stored else {}
        return Noted(
            content["folders"],
            {name: [*pair] for name, pair in content["partitions"].items() if len(pair) == 2},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Noted(None, {})


def _whole_before(lake: Lake, model: str) -> str | None:
    stored = lake.storage.load_or_none(_all(model))
    return stored.content.decode(errors="replace") if stored else None


def _all(model: str) -> str:
    return f"{model}/ticks/all_reported"


def _record(model: str) -> str:
    return f"{model}/ticks/reported.json"

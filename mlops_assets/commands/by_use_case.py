"""What an earlier release kept for its one use case, brought to where each use case has its own.

Feature tables were `features/<view>`, the progress of the replay `replay/progress`, and its outcome the files of
`replay/`. A table's files are given their new names one after the other and lose the old ones, and texts that name a
feature table are written again. The texts of tables that stay come first, so that whoever looks whether anything
waits has only to look at the old places. All of it goes through the storage, so that it is the same in an object store.
"""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from mlops_assets.commands.change import ASIDE, Change, put_aside
from mlops_assets.spec.names import OUTCOME_TABLE, online_key, progress_name
from mlops_assets.stages.use_case_before import use_case_before
from resources.lake.names import MANIFESTS, VERSIONS
from resources.moments import read_moment
from resources.records.notes import Making, kind_of_note
from resources.records.progress import OnlineContent, ReplayProgress
from resources.records.reader import forward, read_record
from resources.serving.reached import FOLDER, SHARED
from resources.settings import Settings
from resources.storage.addresses import storage_at
from resources.storage.storage import Storage

FEATURES, PROGRESS, ONLINE = "features", "replay/progress.json", "features/online.json"
TABLE_BEFORE, NOTE_ENDING = "weeks.csv", ".made"
NAMED = re.compile(r"features/(?=[\w.:+-]+(@|\s|$))")
"""How a text begins that names a feature table as an earlier release did: alone, with a partition, or with a remark."""


class PlaceTakenError(Exception):
    """What has to be moved is not what lies at its new place already."""


@dataclass(frozen=True)
class Move:
    """A file of a storage, its new name, and its new content; None leaves it as it is."""

    source: str
    target: str
    content: bytes | None = None


def lake_changes(where: Settings, use_case: str | None = None) -> Iterator[Change]:
    """Feature tables and records of the replay and the online store, and all texts in the lake that name such a table.

    Raises UnknownUseCaseError where it cannot be told whose they are, and PlaceTakenError where another is in the way.
    """
    storage = storage_at(where.lake)
    names = old_names(storage)
    if not names:
        return
    owner = use_case or use_case_before(storage)
    yield from _texts(where, storage, owner)
    tables = [name for name in names if name.count("/") > 1]
    for table, files in groupby(tables, lambda name: "/".join(name.split("/")[:2])):
        moves = [_move(storage, name, f"{owner}/{name}", owner) for name in files]
        what = f"{where.lake}/{table}: {_files(moves)} of a feature table, to {owner}/{table}"
        yield _change(where, storage, what, moves)
    for source, target, kind in (
        (PROGRESS, progress_name(owner), ReplayProgress),
        (ONLINE, online_key(owner), OnlineContent),
    ):
        if source in names:
            record = read_record(kind, storage.read(source), storage.at(source))
            content = json.dumps(record.document(), indent=1, sort_keys=True).encode()
            move = _checked(storage, Move(source, f"{target}.json", content))
            yield _change(where, storage, f"{where.lake}/{source}: to {move.target}", [move])


def old_names(storage: Storage) -> list[str]:
    """Every file of a lake that lies where an earlier release kept what belongs to its one use case.

    What an undo that was cut off left beside a table in a folder is hidden from a storage's names.
    """
    names = storage.names(FEATURES, deep=True)
    hidden = Path(storage.address, FEATURES).glob("*/.undo-*.parquet")
    names += [path.relative_to(storage.address).as_posix() for path in hidden]
    return [*sorted(names), *([PROGRESS] if storage.exists(PROGRESS) else [])]


def outcome_changes(where: Settings, use_case: str | None = None) -> Iterator[Change]:
    """The outcome of the replay, for the folder of its use case; its table was `weeks.csv`, by the name of its first column.

    Where a replay of now has written its table beside an earlier one, that of now stays, and the earlier one is put aside.
    """
    storage = storage_at(where.replay)
    if names := storage.names():
        owner = use_case or use_case_before(storage_at(where.lake))
        moves = [_checked(storage, _outcome(storage, name, owner)) for name in names]
        what = f"{where.replay}: {_files(moves)} of a replay's outcome, to {owner}"
        yield _change(where, storage, what, moves, "replay")
    for name in storage.names(ending=f"/{TABLE_BEFORE}", deep=True):
        move = _outcome(storage, name, name.rpartition("/")[0])
        if there := storage.load_or_none(move.target):
            move = replace(move, content=there.content)
        yield _change(where, storage, f"{where.replay}/{name}: to {move.target}", [move], "replay")


def _outcome(storage: Storage, name: str, folder: str) -> Move:
    """A file of a replay's outcome, which belongs into a folder."""
    file = name.rpartition("/")[2]
    if file != TABLE_BEFORE:
        return Move(name, f"{folder}/{file}")
    before = storage.read(name)
    after = re.sub(rb"^week(?=,)", b"partition", before)
    return Move(name, f"{folder}/{OUTCOME_TABLE}", after if after != before else None)


def moment_changes(where: Settings, use_case: str | None = None) -> Iterator[Change]:
    """How far the data that is online has come; the later of two moments stays where the use case has one already."""
    storage = storage_at(where.serving)
    if not storage.exists(SHARED):
        return
    owner = use_case or use_case_before(storage_at(where.lake))
    target = f"{FOLDER}/{owner}.txt"
    moments = [read_moment(storage.read(name).decode()) for name in (SHARED, target) if storage.exists(name)]
    move = Move(SHARED, target, max(moments).isoformat().encode() if len(set(moments)) > 1 else None)
    yield _change(where, storage, f"serving/{SHARED}: to {target}", [move], "serving")


def tidy(where: Settings) -> None:
    """Remove the folders that nothing lies in any more but locks."""
    storage = storage_at(where.lake)
    if old_names(storage):
        return
    for name in (FEATURES, PROGRESS.split("/")[0]):
        left = Path(storage.address, name)
        if left.is_dir() and not storage.names(name, deep=True):
            shutil.rmtree(left)


def _texts(where: Settings, storage: Storage, use_case: str) -> Iterator[Change]:
    """Manifests and notes of tables that stay where they are, but name feature tables."""
    names = [
        name for name in storage.names(deep=True) if _is_text(name) and not name.startswith(f"{FEATURES}/")
    ]
    for table, files in groupby(names, lambda name: re.split(f"/{MANIFESTS}/|/{VERSIONS}/", name)[0]):
        moves = [move for name in files if (move := _move(storage, name, name, use_case)).content is not None]
        if moves:
            what = f"{where.lake}/{table}: {_files(moves)} of notes and of names of feature tables, as they are now"
            yield _change(where, storage, what, moves)


def _is_text(name: str) -> bool:
    return (f"/{MANIFESTS}/" in name or f"/{VERSIONS}/" in name) and name.endswith((".json", NOTE_ENDING))


def _move(storage: Storage, source: str, target: str, use_case: str) -> Move:
    if not _is_text(source):
        return _checked(storage, Move(source, target))
    before = storage.read(source)
    try:
        document = json.loads(before)
    except json.JSONDecodeError:
        return _checked(storage, Move(source, target))
    after = _of_now(source, renamed(document, use_case))
    content = None if after == document else json.dumps(after, sort_keys=True).encode()
    return _checked(storage, Move(source, target, content))


def _of_now(name: str, document: Any) -> Any:
    """A note in the version of now; a manifest as it is."""
    if not name.endswith(NOTE_ENDING):
        return document
    kind = kind_of_note(name)
    return {kind.VERSION_FIELD: kind.newest(), **forward(kind, document, name)}


def note_changes(where: Settings) -> Iterator[Change]:
    """Notes of an older version on tables that lie where they belong; those of other tables come with their tables."""
    storage = storage_at(where.lake)
    if old_names(storage):
        return
    names = [name for name in storage.names(ending=NOTE_ENDING, deep=True) if f"/{MANIFESTS}/" in name]
    for table, files in groupby(names, lambda name: name.split(f"/{MANIFESTS}/")[0]):
        moves = [move for name in files if (move := _move(storage, name, name, "")).content is not None]
        if moves:
            what = f"{where.lake}/{table}: {_files(moves)} of notes, to version {Making.newest()}"
            yield _change(where, storage, what, moves)


def renamed(content: Any, use_case: str) -> Any:
    """A JSON value in which every key and text that names a feature table of an earlier release has its name of now."""
    if isinstance(content, dict):
        return {renamed(key, use_case): renamed(value, use_case) for key, value in content.items()}
    if isinstance(content, list):
        return [renamed(value, use_case) for value in content]
    return f"{use_case}/{content}" if isinstance(content, str) and NAMED.match(content) else content


def _checked(storage: Storage, move: Move) -> Move:
    there = None if move.source == move.target else storage.load_or_none(move.target)
    content = move.content if there is None or move.content is not None else storage.read(move.source)
    if there is not None and there.content != content:
        raise PlaceTakenError(
            f"{storage.at(move.source)} belongs at {storage.at(move.target)}, where another lies: work went on beside the "
            "earlier release's state. Keep one of the two and move the other away, then give `mlops migrate` again"
        )
    return move


def _change(
    where: Settings, storage: Storage, what: str, moves: Sequence[Move], part: str = "lake"
) -> Change:
    is_rewritten = any(move.content is not None for move in moves)
    said = what.removeprefix(f"{where.home}/")
    aside = str(where.home / ASIDE) if is_rewritten else None
    return Change(said, aside, partial(_carry_out, where, storage, moves, part), len(moves))


def _carry_out(where: Settings, storage: Storage, moves: Sequence[Move], part: str) -> None:
    for move in moves:
        if move.content is None:
            storage.keep(move.source, move.target)
        else:
            put_aside(where.home, f"{part}/{move.source}", storage.read(move.source))
            storage.write(move.target, move.content)
        if move.source != move.target:
            storage.delete(move.source)


def _files(moves: Sequence[Move]) -> str:
    return "1 file" if len(moves) == 1 else f"{len(moves)} files"

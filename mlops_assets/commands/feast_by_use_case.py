"""Feast's registry and online store of an earlier release, which were one project, as those of a use case.

The online store is copied under the names that its project has now, in a Redis its keys are renamed, so that what was
pushed is answered as before. The registry is made anew where the use case is declared, else by its next ingestion; the old one is put aside.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from mlops_assets.commands.change import ASIDE, Change
from mlops_assets.stages.use_case_before import use_case_before
from resources.addresses import handed_on
from resources.settings import Settings
from resources.storage.addresses import storage_at
from resources.storage.durable import flush_folder, make_folder
from resources.use_case_folders import use_case_folders

ONLINE = "online.db"
FILES = ("registry.db", "registry.db-wal", "registry.db-shm", "applied.sha256", "applied.json", ONLINE)
"""What lay in the folder, in the order in which it is put aside."""


def feast_changes(where: Settings, use_case: str | None = None) -> Iterator[Change]:
    """The registry and the online store, where they lie in the folder of all use cases."""
    if there := [name for name in FILES if (where.feast / name).exists()]:
        owner = use_case or use_case_before(storage_at(where.lake))
        what = f"feast: {', '.join(there)}, to feast/{owner}"
        if where.online_store:
            what += f"; the keys of {_project(where)} in Redis, to those of {owner}"
        yield Change(what, str(where.home / ASIDE), partial(_carry_out, where, owner, there), len(there))


def _carry_out(where: Settings, use_case: str, names: list[str]) -> None:
    if ONLINE in names:
        _copy_online(where.feast / ONLINE, where.feast / use_case / ONLINE, _project(where), use_case)
    if where.online_store:
        from feature_repo.online_store.redis.renaming import rename_project

        rename_project(where.online_store, _project(where), use_case)
    _apply(where, use_case)
    for name in names:
        _move_aside(where, name)


def _apply(where: Settings, use_case: str) -> None:
    """Make the registry where the definitions are there; where they are not, who adds them ingests, which makes it."""
    from resources.features.repository import Repository
    from resources.features.store import FeatureStoreResource

    declared = {folder.name: folder.features for folder in use_case_folders()}
    if package := where.feature_repository or declared.get(use_case):
        FeatureStoreResource(
            lake_root=where.lake,
            home=str(where.feast / use_case),
            repository=Repository(package=package, project=use_case),
            online_store=handed_on("MLOPS_ONLINE_STORE", where.online_store),
            offline_engine=where.offline_engine,
        ).apply()


def _project(where: Settings) -> str:
    """What the one project of the earlier release was called."""
    from resources.features.configuration import filled
    from resources.features.repository import TEMPLATE, Repository

    return filled(Repository(package=where.feature_repository or TEMPLATE), str(where.feast))["project"]


def _copy_online(source: Path, target: Path, before: str, now: str) -> None:
    """A copy of the online store whose tables begin with another project's name, in its place at once."""
    make_folder(target.parent)
    for left in target.parent.glob(f".{target.name}.*.tmp*"):
        left.unlink()
    temporary = target.with_name(f".{target.name}.0.{os.getpid()}.tmp")
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(temporary)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")
        with new:
            for (name,) in _tables(new, before):
                _rename(new, name, f"{now}{name.removeprefix(before)}")
    for ending in ("-wal", "-shm"):
        target.with_name(target.name + ending).unlink(missing_ok=True)
    temporary.replace(target)
    flush_folder(target.parent)


def _tables(database: sqlite3.Connection, project: str) -> list[tuple[str]]:
    rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    return [(name,) for (name,) in rows if name.startswith(f"{project}_")]


def _rename(database: sqlite3.Connection, before: str, now: str) -> None:
    """Rename a table and its triggers, whose names begin with the table's."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
    triggers = database.execute(query, (before,)).fetchall()
    for name, _ in triggers:
        database.execute(f"DROP TRIGGER {_quoted(name)}")
    database.execute(f"ALTER TABLE {_quoted(before)} RENAME TO {_quoted(now)}")
    for _, text in triggers:
        database.execute(text.replace(f'"{before}', f'"{now}'))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _move_aside(where: Settings, name: str) -> None:
    source, target = where.feast / name, where.home / ASIDE / "feast" / name
    make_folder(target.parent)
    source.replace(target)
    flush_folder(target.parent)

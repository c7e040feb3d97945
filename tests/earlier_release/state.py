"""The kept state of an earlier release: unpacked and moved to a folder of the test's own, or packed from where it was made."""

import hashlib
import json
import sqlite3
import tarfile
from pathlib import Path

import polars as pl

from resources.audit.log import Audit, Entry
from resources.audit.migration import migration_of
from resources.settings import Settings, settings

ARCHIVE = Path(__file__).parent / "state.tar.xz"
HOME = "/srv/earlier-release"
"""Where the state says that it lies; no test runs there."""

KEPT = hashlib.sha256(b"replaced").hexdigest()

REMADE = ("*.html", "evidently.js", "*.lock", "registry.db*", "applied.*")
"""Left out: pages of reports, locks, and the feature registry, which every ingestion applies again."""


def unpack(folder: Path) -> Path:
    """MLOPS_HOME of the state, below a folder that is there."""
    home = folder / "home"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(home, filter="data")
    relocate(home, HOME, str(home))
    return home


def settings_of(home: Path) -> Settings:
    """The settings of who works on it."""
    return settings({"MLOPS_HOME": str(home), "MLOPS_FEATURE_REPO": "tests.pumps.repo"})


def undeclared(home: Path) -> Settings:
    """The settings of who works on it without the definitions of its features: nothing applies a registry."""
    return settings({"MLOPS_HOME": str(home)})


def with_everything(home: Path, only: str) -> None:
    """What the archive does not have and others do: pushed rows, a replaced version, a replay's outcome, a registry.

    Of the weeks only one is left, so that few files tell what each kind of them does.
    """
    lake, table = home / "lake", home / "lake" / "features" / "pump_state"
    naming = [path for path in (lake / "pump_stops" / "training_set").rglob("*") if path.is_file()]
    for path in [*(lake / "features").rglob("*.*"), *naming]:
        if path.is_file() and path.stem not in (only, "all", "online"):
            path.unlink()
    manifest = json.loads((table / "_manifests" / f"{only}.json").read_text())
    pl.DataFrame({"pump": ["pump-00"]}).write_parquet(table / "pushed-20240220T000000-abc.parquet")
    pl.DataFrame({"pump": ["pump-01"]}).write_parquet(table / ".undo-20240220T000000.000000.parquet")
    kept = table / "_kept" / only
    kept.mkdir(parents=True)
    (kept / f"{KEPT}.parquet").write_bytes(b"replaced")
    (kept / f"{KEPT}.json").write_text(
        json.dumps({"written": "2024-02-26T00:00:00+00:00", "manifest": manifest})
    )
    (home / "replay").mkdir()
    for name in ("weeks.csv", "report.txt", "finished.json"):
        (home / "replay" / name).write_text("{}")
    for name in ("registry.db", "applied.sha256"):
        (home / "feast" / name).write_text("of one project")


def contents(home: Path) -> dict[str, str]:
    """Every file but locks, with its hash."""
    files = [p for p in sorted(home.rglob("*")) if p.is_file() and p.suffix != ".lock"]
    files = [p for p in files if p.parent.name != ".locks"]
    return {p.relative_to(home).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def changed(home: Path, before: dict[str, str]) -> set[str]:
    """Files that came, went or are not what they were."""
    after = contents(home)
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def audit_of(where: Settings) -> Audit:
    """Its audit log, old or sealed."""
    return Audit(folder=where.audit, key_file=str(where.audit_key))


def entries_in(audit: Audit) -> list[Entry]:
    """What the log says: the old one, as its migration reads it, or the sealed one."""
    old = migration_of(audit)
    return [Entry.of(line) for line in old.lines] if old else list(audit.entries())


def pack(made: Path) -> None:
    """The archive, from a state that make.py has made; `made` is changed."""
    for pattern in REMADE:
        for path in made.rglob(pattern):
            path.unlink()
    relocate(made, str(made), HOME)
    with tarfile.open(ARCHIVE, "w:xz", preset=9) as archive:
        for path in sorted(made.rglob("*")):
            archive.add(path, path.relative_to(made), recursive=False, filter=_without_owner)


def relocate(home: Path, before: str, now: str) -> None:
    """Write another folder for the one that texts and SQLite tables name."""
    for path in home.rglob("*"):
        if path.suffix == ".db":
            _relocate_tables(path, before, now)
        elif path.is_file() and not path.name.endswith(("-wal", "-shm")):
            content = path.read_bytes()
            if before.encode() in content:
                path.write_bytes(content.replace(before.encode(), now.encode()))


def _relocate_tables(path: Path, before: str, now: str) -> None:
    database = sqlite3.connect(path)
    with database:
        for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
            for _, column, kind, *_ in database.execute(f'pragma table_info("{table}")').fetchall():
                if "CHAR" in kind.upper() or "TEXT" in kind.upper():
                    replaced = f'update "{table}" set "{column}" = replace("{column}", ?, ?) where instr("{column}", ?)'
                    database.execute(replaced, (before, now, before))
    database.execute("pragma wal_checkpoint(truncate)")
    database.execute("vacuum")
    database.close()


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member

"""`mlops migrate`: the state folder of an earlier release brought forward, file by file.

Every change is found before the first is made, and each replaces one file whole after its original was put aside, or
moves it whole. So a state that was migrated in part is one that is migrated by running it again. The audit log comes
first, since it is what may be refused. What is not changed is not touched: records of this release, and lineages, whose
hashes are registered and which are brought forward each time they are read.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_assets.commands import by_use_case, feast_by_use_case
from mlops_assets.commands.change import ASIDE, Change, put_aside
from mlops_assets.commands.task import command
from resources.at_work import alone, serving
from resources.records.attempts import Attempt, Challenger, Timings, digest_of
from resources.records.deployment import Deployment
from resources.records.progress import OnlineContent, ReplayProgress
from resources.records.reader import Record, forward, parsed, validated, version_in
from resources.records.references import Reference
from resources.records.searches import SearchResult, TrialOutcome
from resources.settings import Settings, settings
from resources.storage.durable import sweep, write_bytes

if TYPE_CHECKING:
    from resources.audit.log import Audit

PLACES: tuple[tuple[str, type[Record]], ...] = (
    ("lake/*/challenger.json", Challenger),
    ("lake/*/attempts/*.json", Attempt),
    ("lake/*/timings/*.json", Timings),
    ("lake/*/profiles/*.json", Reference),
    ("lake/*/features/online.json", OnlineContent),
    ("lake/*/replay/progress.json", ReplayProgress),
    ("lake/*/search/*.json", SearchResult),
    ("lake/*/search/*/*.json", TrialOutcome),
    ("serving/*.json", Deployment),
    ("serving/models/*/*.json", Deployment),
)
"""Where records of each kind lie in a state folder."""


class OldPlacesError(Exception):
    """A state that lies where an earlier release kept it, for one use case, where work would start anew beside it."""


def add(app: typer.Typer) -> None:
    """Add `migrate` to the commands."""
    command(app, "migrate")(_migrate)


def _migrate(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would change, and change nothing")
    ] = False,
    use_case: Annotated[
        str | None,
        typer.Option("--use-case", metavar="NAME", help="whose feature tables an earlier release's are"),
    ] = None,
) -> int:
    """bring a state folder of an earlier release forward"""
    return migrate(settings(), dry_run, use_case)


def migrate(where: Settings, dry_run: bool, use_case: str | None = None) -> int:
    """Bring the state folder forward and say what changed, or with `dry_run` what would; 0, whether or not anything did.

    Raises, before anything is changed, RecordError for a record that is damaged or of a newer release, AuditError for an
    old audit log that does not hold, UnknownUseCaseError where nobody says whose the feature tables are, PlaceTakenError
    where a use case has others already, and AtWorkError while somebody is at work on the folder.
    """
    if dry_run:
        _tell(where, list(pending(where, use_case)), "would change")
        return 0
    if not where.home.is_dir():
        _tell(where, [], "changed")
        return 0
    with alone(where.home, "a migration"), serving(where.home):
        for part in ("lake", "serving", "keys", ASIDE):
            sweep(where.home / part)
        _audit(where).storage.sweep()
        changes = list(pending(where, use_case))
        for change in changes:
            change.apply()
        by_use_case.tidy(where)
    _tell(where, changes, "changed")
    return 0


def pending(where: Settings, use_case: str | None = None) -> Iterator[Change]:
    """Everything that a state folder holds of an earlier release; what had one use case is of `use_case`, or says whose it is."""
    for find in FINDERS:
        yield from find(where)
    yield from moves(where, use_case)
    yield from by_use_case.note_changes(where)


def moves(where: Settings, use_case: str | None = None) -> Iterator[Change]:
    """What lies where an earlier release kept it, for one use case."""
    yield from by_use_case.outcome_changes(where, use_case)
    yield from by_use_case.moment_changes(where, use_case)
    yield from feast_by_use_case.feast_changes(where, use_case)
    yield from by_use_case.lake_changes(where, use_case)


def tell_what_waits(where: Settings) -> None:
    """Say to who starts to work on a state folder how many of its files are of an earlier release, if any are.

    Records are read as they are, so nothing has to be done about them; the audit log is not, and raises OldLogError where
    it is the old one, nor are tables at their old places, which raise OldPlacesError. RecordError where a file is of a
    newer release.
    """
    count = sum(1 for find in FINDERS for _ in find(where))
    _refuse_old_log(where)
    if misplaced := sum(change.files for change in moves(where)):
        raise OldPlacesError(
            f"{where.home} is of an earlier release, which had one use case: {misplaced} of its files belong elsewhere, and "
            "work would start anew beside them. `mlops migrate` moves them, `mlops migrate --dry-run` says where to"
        )
    if count:
        files = "1 file of the state is" if count == 1 else f"{count} files of the state are"
        print(
            f"{files} of an earlier release, and read as such; `mlops migrate` brings them forward",
            flush=True,
        )


def record_changes(where: Settings) -> Iterator[Change]:
    """Records of an older version, each to be replaced by the same one in the version of now."""
    for pattern, kind in PLACES:
        for path in sorted(where.home.glob(pattern)):
            if not path.name.startswith("."):
                yield from _of_a_record(where.home, path, kind)


def audit_log_changes(where: Settings) -> Iterator[Change]:
    """The audit log where it is the one file of an earlier release, or where that one was not taken over to the end."""
    from resources.audit.migration import is_unfinished, migration_of
    from resources.audit.old_log import HEAD_FILE, LOG_FILE, MIGRATED_FOLDER

    audit = _audit(where)
    log, head, aside = (audit.storage.at(name) for name in (LOG_FILE, HEAD_FILE, MIGRATED_FOLDER))
    what = None
    if old := migration_of(audit):
        what = f"{log}: audit log, {old.end.seq} entries, sha256 {old.sha256}, to sealed entries"
    elif is_unfinished(audit):
        what = f"{head}: left of an audit log that was taken over"
    if what:
        yield Change(what.removeprefix(f"{where.home}/"), aside, partial(_take_over, audit))


FINDERS: tuple[Callable[[Settings], Iterator[Change]], ...] = (audit_log_changes, record_changes)
"""Each finds what one part of the state has to change; a part with a format of its own adds its finder here."""


def _take_over(audit: "Audit") -> None:
    from mlops_assets.promotion.records import account
    from resources.audit.migration import take_over

    take_over(audit, account())


def _refuse_old_log(where: Settings) -> None:
    from resources.audit.reading import refuse_unmigrated

    refuse_unmigrated(_audit(where).storage)


def _audit(where: Settings) -> "Audit":
    from resources.audit.log import Audit

    return Audit(folder=where.audit, key_file=str(where.audit_key))


def _of_a_record(home: Path, path: Path, kind: type[Record]) -> Iterator[Change]:
    original = path.read_bytes()
    document = parsed(kind, original, str(path))
    version = version_in(kind, document, str(path))
    record = validated(kind, forward(kind, document, str(path)), str(path))
    if version < kind.newest() and _keeps_its_digest(document, record):
        what = f"{path.relative_to(home)}: {kind.CALLED}, version {version} to {kind.newest()}"
        yield Change(what, str(home / ASIDE), partial(_replace, home, path, original, record))


def _keeps_its_digest(document: dict[str, Any], record: Record) -> bool:
    """Whether the audit log still names a record by its hash once it is rewritten; if not, it stays as it was written."""
    if not isinstance(record, Attempt):
        return True
    content = {name: value for name, value in document.items() if name != record.VERSION_FIELD}
    return digest_of(content) == record.digest


def _replace(home: Path, path: Path, original: bytes, record: Record) -> None:
    """Put the original aside, then the new one in its place; either may be the last thing that a process does.

    A file that somebody else has replaced meanwhile is left to the next migration.
    """
    if path.read_bytes() != original:
        return
    put_aside(home, path.relative_to(home).as_posix(), original)
    write_bytes(path, json.dumps(record.document(), indent=1, sort_keys=True, allow_nan=False).encode())


def _tell(where: Settings, changes: list[Change], done: str) -> None:
    for change in changes:
        print(f"{done} {change.what}")
    if not changes:
        print(f"{where.home}: nothing to migrate, everything is of this release")
    elif done == "changed":
        folders = " and ".join(sorted({change.aside for change in changes if change.aside}))
        where_from = f"; the originals are in {folders}" if folders else ", all of them moved as they are"
        print(f"{_files(changes)} changed{where_from}")
    else:
        print(f"{_files(changes)} would change; nothing was written")


def _files(changes: list[Change]) -> str:
    count = sum(change.files for change in changes)
    return "1 file" if count == 1 else f"{count} files"

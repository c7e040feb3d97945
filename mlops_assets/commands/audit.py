"""`mlops audit` and `mlops history`: is the log whole, what is in it, and what was champion when."""

import argparse
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from mlops_assets.commands.moments import WHEN, when
from resources.addresses import shown
from resources.settings import Settings, settings, sqlite_file

if TYPE_CHECKING:
    from resources.audit.log import Audit, Entry


def add(commands: Any) -> None:
    """Add `audit verify`, `audit show`, `audit migrate`, `audit rotate` and `history` to the parser's commands."""
    audit = commands.add_parser(
        "audit", help="the log of who decided what: verify it, show it, change its key"
    )
    inner = audit.add_subparsers(required=True, metavar="verify|show|migrate|rotate")
    verify = inner.add_parser("verify", help="find an altered, extra, doubled, foreign or missing entry")
    verify.add_argument(
        "--head", metavar="SEQ:HASH", type=_head, help="a head that was noted down before must be in the log"
    )
    verify.add_argument(
        "--no-anchors", action="store_true", help="leave out what MLflow remembers of the log"
    )
    verify.set_defaults(act=_verify, writes=False)
    show = inner.add_parser("show", aliases=["log"], help="print the entries")
    show.add_argument("--model")
    show.add_argument("--kind", help="trained, evaluated, promoted, ...")
    show.add_argument(
        "--since", metavar="TIME", type=when, help=f"recorded at or after, wall clock: {WHEN} UTC"
    )
    show.set_defaults(act=_show, writes=False)
    migrate = inner.add_parser("migrate", help="take over the log of an earlier release and keep its proof")
    migrate.add_argument(
        "--from",
        dest="source",
        metavar="FOLDER",
        help="where the old log lies, if not where the new one does",
    )
    migrate.set_defaults(act=_migrate)
    rotate = inner.add_parser("rotate", help="seal what follows with another key")
    rotate.add_argument("--by", required=True, metavar="NAME")
    rotate.add_argument("--reason", required=True, metavar="WHY")
    rotate.set_defaults(act=_rotate)
    history = commands.add_parser("history", help="which version was champion when, and on which data")
    history.add_argument("model")
    history.add_argument(
        "--at",
        metavar="TIME",
        type=when,
        help=f"{WHEN} the model's time zone",
    )
    history.add_argument("--wall", action="store_true", help="--at is the wall clock's time, not the data's")
    history.set_defaults(act=_history, writes=False)


def _verify(options: argparse.Namespace) -> int:
    """0 where every entry is what was written, 1 where one is not, with its number."""
    where = settings()
    audit = _audit(where)
    anchors = {} if options.no_anchors else _anchors(where)
    if options.head:
        anchors["--head"] = options.head
    report = audit.verify(anchors)
    for note in report.notes:
        print(f"note: {note}")
    if report.problem is not None:
        held = report.head.seq
        print(f"NOT WHOLE: {audit.folder}: {report.problem.what}", file=sys.stderr)
        print(f"{held} entries follow one another unbroken from the start.", file=sys.stderr)
        return 1
    seen = ", ".join(anchors) or "none"
    print(f"whole: {report.head.seq} entries; agrees with what is remembered elsewhere: {seen}")
    print(f"head: {report.head.seq}:{report.head.hash}")
    return 0


def _migrate(options: argparse.Namespace) -> int:
    """0 where an old log was taken over, or where none waits."""
    from mlops_assets.promotion.records import account
    from resources.audit.migration import migrate
    from resources.storage.addresses import storage_at

    audit = _audit(settings())
    old = migrate(audit, account(), storage_at(options.source) if options.source else None)
    if old is None:
        print(f"{audit.folder}: no log of an earlier release waits")
        return 0
    print(
        f"{audit.folder}: {old.end.seq} entries are kept in migrated/log.jsonl, sha256 {old.sha256}; entry "
        f"{old.end.seq + 1} seals them"
    )
    return 0


def _rotate(options: argparse.Namespace) -> int:
    """0 once an entry, sealed with the key of before, names the next one."""
    audit = _audit(settings())
    entry = audit.change_key(options.by, options.reason)
    print(f"entry {entry.seq}: key {entry.evidence['key']} seals what follows, in place of {entry.key}")
    return 0


def _anchors(where: Settings) -> dict[str, tuple[int, str]]:
    """What MLflow's registered models remember; nothing where there is no MLflow yet."""
    from resources.audit.log import AuditError
    from resources.tracking.tracking import Tracking, TrackingError

    database = sqlite_file(where.mlflow_uri)
    if database is not None and not database.exists():
        return {}
    tracking = Tracking(uri=where.mlflow_uri, artifacts=str(where.mlflow_artifacts))

    try:
        return {f"MLflow's model {name}": found for name, found in tracking.anchors().items()}
    except TrackingError as error:
        raise AuditError(
            f"MLflow at {shown(where.mlflow_uri)} cannot be asked what it remembers of the log ({error}): start it, or give "
            f"--no-anchors, which verifies the files alone"
        ) from error


def _show(options: argparse.Namespace) -> int:
    """0 where something was printed, 1 where nothing matches."""
    from resources.audit.log import KINDS

    if options.kind and options.kind not in KINDS:
        print(f"error: kind {options.kind!r} is not one of {', '.join(KINDS)}", file=sys.stderr)
        return 2
    kinds = (options.kind,) if options.kind else ()
    since = _in_zone(options.since, ZoneInfo("UTC")) if options.since else None
    count = _print_rows(_audit(settings()).entries(options.model, kinds, since))
    if not count:
        print("no entry matches", file=sys.stderr)
    return 0 if count else 1


def _print_rows(entries: Iterable["Entry"]) -> int:
    from mlops_assets.replay.tables import text_table

    rows = [_row(entry) for entry in entries]
    if rows:
        print(text_table(rows))
    return len(rows)


def _row(entry: "Entry") -> dict[str, Any]:
    return {
        "entry": str(entry.seq),
        "recorded": _minute(entry.at),
        "data's now": _minute(entry.moment) if entry.moment else "-",
        "model": entry.model or "-",
        "what": entry.kind.replace("_", " "),
        "version": str(entry.version or "-"),
        "by": entry.by,
        "why": entry.why,
    }


def _history(options: argparse.Namespace) -> int:
    """0 with an answer; 1 where the model had no champion (then)."""
    from resources.audit.log import CHANGES

    audit = _audit(settings())
    changes = list(audit.entries(options.model, CHANGES))
    if not changes:
        print(f"{options.model} never had a champion, as far as the audit log knows", file=sys.stderr)
        return 1
    if options.at is None:
        _print_rows(changes)
        return 0
    return _champion_then(audit, changes, options)


def _champion_then(audit: "Audit", changes: "list[Entry]", options: argparse.Namespace) -> int:
    from mlops_assets.promotion.history import champion_then

    then = _in_zone(options.at, _zone(audit, options.model))
    clock = "wall clock" if options.wall else "data time"
    change = champion_then(changes, then, options.wall)
    if change is None:
        first = changes[0].at if options.wall else changes[0].moment or changes[0].at
        print(
            f"{options.model} had no champion at {then.isoformat()} ({clock}); the first came {first.isoformat()}"
        )
        return 1
    print(f"{options.model} at {then.isoformat()} ({clock}): version {change.version}")
    for name, value in _facts(audit, change).items():
        print(f"  {name:<21}{value}")
    return 0


def _facts(audit: "Audit", change: "Entry") -> dict[str, str]:
    """How the version became champion, and the data that it was fitted on."""
    what = f"{change.kind.replace('_', ' ')} by {change.by} (entry {change.seq})"
    facts = {"since, data's now": f"{change.moment}", "since, wall clock": f"{change.at}", "how": what}
    facts |= {"why": change.why}
    fits = audit.entries(change.model, ("trained",))
    fit = next((entry for entry in fits if entry.version == change.version), None)
    if fit is None:
        return facts | {"data": "unknown: the log has no training of this version"}
    weeks = fit.evidence["weeks"]
    return facts | {
        "weeks": f"{weeks['first']} to {weeks['last']} ({weeks['number']})",
        "labels known until": fit.evidence["trained_until"],
        "training set sha256": fit.evidence["training_set"],
        "feature definitions": fit.evidence["feature_definitions"],
        "model sha256": fit.evidence["sha256"],
        "MLflow run": fit.evidence["run"],
    }


def _zone(audit: "Audit", model: str) -> ZoneInfo:
    from mlops_assets.promotion.records import recorded_weeks

    recorded = recorded_weeks(audit, model)
    return ZoneInfo(recorded[0].timezone if recorded else "UTC")


def _in_zone(given: date, zone: ZoneInfo) -> datetime:
    """A moment, or the first one of a day."""
    return given if isinstance(given, datetime) else datetime.combine(given, time(), zone).astimezone(UTC)


def _head(text: str) -> tuple[int, str]:
    seq, _, digest = text.partition(":")
    return int(seq), digest


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _audit(where: Settings) -> "Audit":
    from resources.audit.log import Audit

    return Audit(folder=where.audit, key_file=str(where.audit_key))

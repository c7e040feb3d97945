"""`mlops audit` and `mlops history`: is the log whole, what is in it, and what was champion when."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from mlops_assets.commands.moments import WHEN, when
from mlops_assets.commands.task import command, group, read
from resources.addresses import shown
from resources.settings import Settings, settings, sqlite_file

if TYPE_CHECKING:
    from resources.audit.log import Audit, Entry


verbs = group("the log of who decided what: verify it, show it, change its key")


def add(app: typer.Typer) -> None:
    """Add `audit verify`, `audit show`, `audit migrate`, `audit rotate` and `history` to the commands."""
    app.add_typer(verbs, name="audit")
    command(app, "history", writes=False)(_history)


@dataclass(frozen=True)
class Noted:
    """A head that somebody noted down: how many entries there were, and the hash of the last."""

    seq: int
    hash: str


def _read_head(text: str) -> Noted:
    seq, _, digest = text.partition(":")
    if not seq.isdigit() or not digest:
        raise ValueError(f"{text!r} is no head: give SEQ:HASH, as `mlops audit verify` printed it")
    return Noted(int(seq), digest)


@command(verbs, "verify", writes=False)
def _verify(
    head: Annotated[
        Noted | None,
        typer.Option(
            metavar="SEQ:HASH",
            parser=read(_read_head, ValueError),
            help="a head that was noted down before must be in the log",
        ),
    ] = None,
    no_anchors: Annotated[
        bool, typer.Option("--no-anchors", help="leave out what MLflow remembers of the log")
    ] = False,
) -> int:
    """find an altered, extra, doubled, foreign or missing entry

    0 where every entry is what was written, 1 where one is not, with its number.
    """
    where = settings()
    audit = _audit(where)
    anchors = {} if no_anchors else _anchors(where)
    if head:
        anchors["--head"] = (head.seq, head.hash)
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


@command(verbs, "migrate")
def _migrate(
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FOLDER", help="where the old log lies, if not where the new one does"
        ),
    ] = None,
) -> int:
    """take over the log of an earlier release and keep its proof"""
    from mlops_assets.promotion.records import account
    from resources.audit.migration import take_over
    from resources.storage.addresses import storage_at

    audit = _audit(settings())
    old = take_over(audit, account(), storage_at(source) if source else None)
    if old is None:
        print(f"{audit.folder}: no log of an earlier release waits")
        return 0
    print(
        f"{audit.folder}: {old.end.seq} entries are kept in migrated/log.jsonl, sha256 {old.sha256}; entry "
        f"{old.end.seq + 1} seals them"
    )
    return 0


@command(verbs, "rotate")
def _rotate(
    by: Annotated[str, typer.Option(metavar="NAME", help="who decides")],
    reason: Annotated[str, typer.Option(metavar="WHY")],
) -> int:
    """seal what follows with another key

    0 once an entry, sealed with the key of before, names the next one.
    """
    audit = _audit(settings())
    entry = audit.change_key(by, reason)
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
        return {f"MLflow's model {name}": anchor for name, anchor in tracking.anchors().items()}
    except TrackingError as error:
        raise AuditError(
            f"MLflow at {shown(where.mlflow_uri)} cannot be asked what it remembers of the log ({error}): start it, or give "
            f"--no-anchors, which verifies the files alone"
        ) from error


@command(verbs, "log", writes=False)
@command(verbs, "show", writes=False)
def _show(
    model: str | None = None,
    kind: Annotated[str | None, typer.Option(help="trained, evaluated, promoted, ...")] = None,
    since: Annotated[
        date | None,
        typer.Option(metavar="TIME", parser=when, help=f"recorded at or after, wall clock: {WHEN} UTC"),
    ] = None,
) -> int:
    """print the entries

    0 where something was printed, 1 where nothing matches.
    """
    from resources.audit.log import KINDS

    if kind and kind not in KINDS:
        print(f"error: kind {kind!r} is not one of {', '.join(KINDS)}", file=sys.stderr)
        return 2
    kinds = (kind,) if kind else ()
    moment = _in_zone(since, ZoneInfo("UTC")) if since else None
    count = _print_rows(_audit(settings()).entries(model, kinds, moment))
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


def _history(
    model: str,
    at: Annotated[
        date | None, typer.Option(metavar="TIME", parser=when, help=f"{WHEN} the model's time zone")
    ] = None,
    wall: Annotated[
        bool, typer.Option("--wall", help="--at is the wall clock's time, not the data's")
    ] = False,
) -> int:
    """which version was champion when, and on which data

    0 with an answer; 1 where the model had no champion (then).
    """
    from mlops_assets.promotion.holds import Holds
    from resources.audit.log import CHANGES

    audit = _audit(settings())
    changes = list(audit.entries(model, CHANGES))
    if not changes:
        print(f"{model} never had a champion, as far as the audit log knows", file=sys.stderr)
        return 1
    if at is None:
        _print_rows(changes)
        if frozen := Holds.of(audit).freeze(model):
            print(f"on hold: {frozen}")
        return 0
    return _champion_then(audit, changes, model, at, wall)


def _champion_then(audit: "Audit", changes: "list[Entry]", model: str, at: date, wall: bool) -> int:
    from mlops_assets.promotion.history import champion_then

    then = _in_zone(at, _zone(audit, model))
    clock = "wall clock" if wall else "data time"
    change = champion_then(changes, then, wall)
    if change is None:
        first = changes[0].at if wall else changes[0].moment or changes[0].at
        print(f"{model} had no champion at {then.isoformat()} ({clock}); the first came {first.isoformat()}")
        return 1
    print(f"{model} at {then.isoformat()} ({clock}): version {change.version}")
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
    partitions = fit.evidence["weeks"]
    return facts | {
        "partitions": f"{partitions['first']} to {partitions['last']} ({partitions['number']})",
        "labels known until": fit.evidence["trained_until"],
        "training set sha256": fit.evidence["training_set"],
        "feature definitions": fit.evidence["feature_definitions"],
        "model sha256": fit.evidence["sha256"],
        "MLflow run": fit.evidence["run"],
    }


def _zone(audit: "Audit", model: str) -> ZoneInfo:
    from mlops_assets.promotion.records import recorded_calendar

    recorded = recorded_calendar(audit, model)
    return ZoneInfo(recorded[0].timezone if recorded else "UTC")


def _in_zone(given: date, zone: ZoneInfo) -> datetime:
    """A moment, or the first one of a day."""
    return given if isinstance(given, datetime) else datetime.combine(given, time(), zone).astimezone(UTC)


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _audit(where: Settings) -> "Audit":
    from resources.audit.log import Audit

    return Audit(folder=where.audit, key_file=str(where.audit_key))

"""`mlops pushes`: which events were pushed to the endpoint, and one push taken back."""

import argparse
import sys
from datetime import datetime
from typing import Any

from resources.moments import MomentError, read_moment
from resources.settings import settings


def add(commands: Any) -> None:
    """Add `pushes list` and `pushes undo` to the parser's commands."""
    inner = commands.add_parser("pushes", help="events pushed to the endpoint: list them, take one push back")
    verbs = inner.add_subparsers(required=True, metavar="list|undo")
    shown = verbs.add_parser("list", help="every push: when it was received, its rows and their span")
    shown.add_argument("source", nargs="?", help="a push source; by default all of them")
    shown.set_defaults(act=_list, writes=False)
    undo = verbs.add_parser("undo", help="take one push back, offline and online")
    undo.add_argument("source")
    undo.add_argument("received", type=_received, metavar="RECEIVED", help="as `mlops pushes list` shows it")
    undo.add_argument("--by", required=True, metavar="NAME", help="who decides")
    undo.add_argument("--reason", required=True, metavar="WHY")
    undo.set_defaults(act=_undo)


def _received(text: str) -> datetime:
    try:
        return read_moment(text)
    except MomentError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _list(options: argparse.Namespace) -> int:
    from resources.features.push_sources import push_sources
    from resources.features.pushes import pushes
    from resources.storage.addresses import storage_at

    where = settings()
    sources = push_sources(where.feature_repository, storage_at(where.lake))
    if options.source and options.source not in sources:
        return _unknown(options.source, sources)
    for name in [options.source] if options.source else sources:
        for push in pushes(sources[name].folder):
            received = push.received.isoformat(timespec="microseconds") if push.received else "not known"
            span = f"{push.first.isoformat()} to {push.last.isoformat()}"
            print(f"{name}  received {received}  {push.rows} rows  events {span}")
    return 0


def _undo(options: argparse.Namespace) -> int:
    """Take a push back; 1 where there is no such push, with the rule."""
    from resources.features.push_undo import UndoError, take_back
    from resources.features.pushed_moments import PushedMoments
    from resources.local import local_resources

    where = settings()
    parts = local_resources(where)
    store, audit = parts["feature_store"], parts["audit"]
    sources = store.push_sources()
    if options.source not in sources:
        return _unknown(options.source, sources)
    moments = PushedMoments(where.serving / "pushed")
    source = sources[options.source]
    try:
        entry = take_back(store, moments, audit, source, options.received, options.by, options.reason)
    except UndoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"{entry.evidence['rows']} rows of {source.name} are taken back, offline and online (entry {entry.seq}, by {entry.by})"
    )
    return 0


def _unknown(name: str, sources: Any) -> int:
    known = ", ".join(sorted(sources)) or "none"
    print(f"error: no push source {name!r} is defined: there are {known}", file=sys.stderr)
    return 1

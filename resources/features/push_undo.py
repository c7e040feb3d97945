"""A push taken back: out of the offline files, out of the online store, out of now, and into the audit log.

What is being taken back lies in a hidden file beside the table until all of it is done, so that an undo that was killed
is completed by the same command.
"""

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import polars as pl

from resources.audit.log import Audit, Entry
from resources.features.push_sources import PushSource, restate
from resources.features.pushed_moments import PushedMoments
from resources.features.pushes import pushed_rows, taken_out
from resources.lake.lake import parquet
from resources.lake.pushed_files import CREATED, EVENT, rows_in
from resources.lake.pushed_span import content_hash
from resources.storage.storage import Storage

if TYPE_CHECKING:
    from feast import FeatureStore


class UndoError(Exception):
    """A push that cannot be taken back; says why and what there is."""


class Online(Protocol):
    """The part of the feature store that an undo needs."""

    def feast(self) -> "FeatureStore": ...


def pushing(folder: Storage) -> AbstractContextManager[None]:
    """Held by whoever pushes to a table or takes a push back, in any process."""
    return folder.locked("push")


def take_back(
    store: Online,
    moments: PushedMoments,
    audit: Audit,
    source: PushSource,
    received: datetime,
    by: str,
    why: str,
) -> Entry:
    """Take the rows that were received at a moment back everywhere; returns the entry that says so.

    For each key that the push touched the online store then holds the newest of what is left: rows up to where it was
    brought, and other pushes. Now of a view goes back only where this push was the one that moved it there. What was taken
    back is not taken back twice.
    """
    with pushing(source.folder):
        pending = f".undo-{received.astimezone(UTC):%Y%m%dT%H%M%S.%f}.parquet"
        gone = _gone(pending, source, received)
        if gone is None:
            return _recorded(audit, source, received)
        entry = _record(audit, source, received, gone, by, why)
        taken_out(source.folder, received)
        left = pushed_rows(source.folder)
        restate(store.feast(), source.views, gone, left)
        _move_back(moments, source, gone, left)
        source.folder.delete(pending)
        return entry


def _gone(pending: str, source: PushSource, received: datetime) -> pl.DataFrame | None:
    """The rows of a push, kept until they are taken back everywhere; None where there are none."""
    if not source.folder.exists(pending):
        gone = pushed_rows(source.folder).filter(pl.col(CREATED) == received).unique(maintain_order=True)
        if gone.is_empty():
            return None
        source.folder.write(pending, parquet(gone))
    return rows_in(source.folder, pending)


def _record(
    audit: Audit, source: PushSource, received: datetime, gone: pl.DataFrame, by: str, why: str
) -> Entry:
    first, last = gone[EVENT].min(), gone[EVENT].max()
    assert isinstance(first, datetime) and isinstance(last, datetime)
    figures = {
        "views": list(source.views),
        "rows": gone.height,
        "first": first.isoformat(),
        "last": last.isoformat(),
        "sha256": content_hash(gone),
    }
    identity = _identity(source, received)
    return audit.record(
        "erased", None, identity=identity, by=by, why=why, moment=last, evidence=identity | figures
    )


def _recorded(audit: Audit, source: PushSource, received: datetime) -> Entry:
    identity = _identity(source, received).items()
    entry = next((e for e in audit.entries(kinds=("erased",)) if identity <= e.evidence.items()), None)
    if entry is None:
        raise UndoError(
            f"nothing was pushed to {source.name!r} at {received.astimezone(UTC).isoformat()}: `mlops pushes list "
            f"{source.name}` shows what was"
        )
    return entry


def _identity(source: PushSource, received: datetime) -> dict[str, str]:
    return {"push": source.name, "received": received.astimezone(UTC).isoformat(timespec="microseconds")}


def _move_back(moments: PushedMoments, source: PushSource, gone: pl.DataFrame, left: pl.DataFrame) -> None:
    was, newest = gone[EVENT].max(), left[EVENT].max()
    assert isinstance(was, datetime) and (newest is None or isinstance(newest, datetime))
    for view in source.views:
        moments.go_back(view, was, newest, source.use_case)

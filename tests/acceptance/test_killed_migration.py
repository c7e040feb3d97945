"""A migration of an earlier release's state folder that is killed at any write is finished by the next one."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlops_assets.commands import migrate
from resources.audit.journal import journal_of
from resources.settings import Settings
from tests.acceptance.test_earlier_release import RECORDS
from tests.earlier_release.make import THROUGH
from tests.earlier_release.state import audit_of, contents, entries_in, undeclared, unpack, with_everything

WRITES = ("link", "replace", "unlink")
"""By what of `os` every file of the state gets, changes or loses its name."""


def killed_at(where: Settings, writes: int) -> bool:
    """Migrate in a process of its own that is killed when it is about to write for the n-th time, or has ended."""
    child = os.fork()
    if child == 0:
        try:
            left = iter(range(writes))
            for name in WRITES:
                setattr(os, name, _or_die(getattr(os, name), left))
            migrate.migrate(where, dry_run=False)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, "it failed by itself"
    return os.WIFSIGNALED(status)


def _or_die(write: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
    def written(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*arguments, **named)

    return written


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.nightly)])
def test_a_migration_that_is_killed_at_any_write_is_finished_by_the_next_one(tmp_path, step):
    where = undeclared(unpack(tmp_path))
    with_everything(where.home, only=THROUGH)
    for untouched in ("dagster", "mlflow"):
        shutil.rmtree(where.home / untouched)
    shutil.copytree(where.home, tmp_path / "before")
    migrate.migrate(where, dry_run=False)
    names = set(contents(where.home))
    assert not [name for name in names if name.startswith(("lake/features/", "lake/replay/"))]
    sealed = {n for n in names if n.startswith(("audit/entries/", "audit/sealed_head"))}
    records = [n for n in names if n.endswith((".json", ".made", ".parquet", ".csv")) and n not in sealed]
    expected = {name: (where.home / name).read_bytes() for name in records}
    log, writes, killed = entries_in(audit_of(where))[:-1], 0, True
    while killed:
        shutil.rmtree(where.home)
        shutil.copytree(tmp_path / "before", where.home)
        journal_of.cache_clear()
        killed = killed_at(where, writes)
        migrate.migrate(where, dry_run=False)
        assert set(contents(where.home)) == names, f"killed at write {writes}"
        assert {name: (where.home / name).read_bytes() for name in records} == expected
        report = audit_of(where).verify()
        assert (report.problem, report.notes, report.head.seq) == (None, [], len(log) + 1)
        assert entries_in(audit_of(where))[:-1] == log and list(migrate.pending(where)) == []
        writes += step
    moved = 4 * 2 + 3 * 2 + 4 * 3
    assert writes > 2 * RECORDS + 8 + moved, (
        "records with originals, the audit log, and what moves, as it is or rewritten"
    )

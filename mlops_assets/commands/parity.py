"""`mlops parity`: a use case replayed over the parts of a laptop and over those of a cluster, and every difference between the two."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.commands.task import command
from resources.cluster_settings import NEEDED
from resources.settings import PROJECT_ROOT, Settings, settings
from resources.use_case_folders import default_use_case

if TYPE_CHECKING:
    from mlops_assets.verify.parity import Verdict

TENTH = 10
PARTS = (*NEEDED, "MLOPS_ENV", "MLOPS_SECRET", "MLOPS_AUDIT_KEY_FILE", "DAGSTER_HOME")
"""Variables that name parts which are there already: both replays begin with parts of their own."""


class ParityError(Exception):
    """A replay that was to be compared did not come to its end."""


def add(app: typer.Typer) -> None:
    """Add `parity` to the commands."""
    command(app, "parity")(_parity)


def _parity(
    use_case: Annotated[
        str, typer.Argument(help="which use case; the project's own example by default")
    ] = "",
    through: Annotated[
        str, typer.Option(metavar="PARTITION", help="stop after this one; the tenth by default")
    ] = "",
) -> int:
    """replay a use case on a laptop's parts and on a cluster's, and list what differs; 1 where a difference is not a listed one"""
    return compare_replays(settings(), use_case or default_use_case(), through)


def compare_replays(where: Settings, use_case: str, through: str) -> int:
    """Replay twice into empty folders below `parity`, compare, print, and say with the exit status whether all is as expected."""
    from mlops_assets.verify.expected import EXPECTED
    from mlops_assets.verify.parity import judged
    from mlops_assets.verify.snapshot import read_snapshot

    last = through or tenth(use_case)
    for name in PARTS:
        os.environ.pop(name, None)
    folder = where.home / "parity" / use_case
    shutil.rmtree(folder, ignore_errors=True)
    replays = [("a laptop's parts", _on_laptop), ("a cluster's parts", _on_cluster)]
    for number, (said, replayed) in enumerate(replays):
        print(f"{use_case} up to {last} on {said}; state in {folder / str(number)}", flush=True)
        replayed(folder / str(number), use_case, last)
    first, second = (read_snapshot(folder / str(number) / "snapshot") for number in (0, 1))
    verdict = judged(first, second, EXPECTED)
    print("\n".join(told(verdict)))
    return 1 if verdict.unlisted else 0


def told(verdict: "Verdict") -> Iterator[str]:
    """What was compared, how much of the expected was there, and every difference that nobody expects."""
    yield f"\ncompared: {verdict.tables} partitions of tables and scores, {verdict.documents} decisions and records"
    for expected, found in verdict.expected.items():
        yield f"  expected: {len(found)} of {expected.places}: {expected.why}"
    if not verdict.unlisted:
        yield "no other difference"
        return
    yield f"not expected: {len(verdict.unlisted)}"
    yield from (f"  {one.place}: {one.what}" for one in verdict.unlisted)


def listed() -> list[str]:
    """The list of expected differences as a table of the docs: reasons once, with the places that they are of."""
    from mlops_assets.verify.expected import EXPECTED

    reasons: dict[str, list[str]] = {}
    for one in EXPECTED:
        reasons.setdefault(one.why, []).append(f"`{one.places}`")
    rows = [f"| {', '.join(places)} | {why} |" for why, places in reasons.items()]
    return ["| places | why |", "|---|---|", *rows]


def tenth(use_case: str) -> str:
    """The tenth partition, or the last one where there are fewer."""
    from mlops_assets.replay.reach import partitions_to_replay
    from resources.clock import now_at
    from resources.use_case_folders import use_case_folder

    names = partitions_to_replay(use_case_folder(use_case), now_at(settings()))[:TENTH]
    if not names:
        raise ParityError(
            f"no partition of {use_case!r} is over, so there is nothing to replay: add data of one"
        )
    return names[-1]


def _commands(use_case: str, last: str, folder: Path) -> list[tuple[str, list[str]]]:
    """The replay, and what writes down what it left."""
    replay = ["mlops_assets.cli", "run", use_case, "--through", last, "--no-compare", "--no-second-model"]
    snapshot = ["mlops_assets.verify.snapshot", use_case, str(folder / "snapshot")]
    return [("the replay", _python(replay)), ("the snapshot of it", _python(snapshot))]


def _python(module: Sequence[str]) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", *module]


def _on_laptop(home: Path, use_case: str, last: str) -> None:
    given = {**os.environ, "MLOPS_HOME": str(home)}
    for what, line in _commands(use_case, last, home):
        done = subprocess.run(line, env=given, cwd=PROJECT_ROOT, check=False)
        _refuse(what, done.returncode)


def _on_cluster(home: Path, use_case: str, last: str) -> None:
    from mlops_assets.local.cluster import Up, while_up
    from mlops_assets.local.running import Stop
    from resources.ports import free

    def replay(up: Up) -> None:
        for what, line in _commands(use_case, last, home):
            _refuse(what, up.run(line))

    names = ("MLOPS_DAGSTER_PORT", "MLOPS_MLFLOW_PORT", "MLOPS_SERVE_PORT")
    given = dict(zip(names, map(str, free(len(names))), strict=True))
    while_up(settings({"MLOPS_HOME": str(home), **given}), Stop(), replay)


def _refuse(what: str, status: int) -> None:
    if status:
        raise ParityError(
            f"{what} ended with status {status}, so there is nothing to compare: see what it printed"
        )

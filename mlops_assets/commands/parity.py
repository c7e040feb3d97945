"""`mlops parity`: a use case replayed over the parts of a laptop and over those of a cluster, and every difference between the two."""

import hashlib
import os
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
    """replay a use case on a laptop's parts and on a cluster's, and list what differs; 1 where a difference is not a listed one

    Broken off, it goes on where it was if it is started again over the same code.
    """
    return compare_replays(settings(), use_case or default_use_case(), through)


def compare_replays(where: Settings, use_case: str, through: str) -> int:
    """Replay twice into folders below `parity`, compare, print, and say with the exit status whether all is as expected.

    A comparison of the same that was broken off is gone on with; any other begins with empty folders.
    """
    from mlops_assets.verify.expected import EXPECTED
    from mlops_assets.verify.parity import judged
    from mlops_assets.verify.snapshot import read_snapshot
    from mlops_assets.verify.unfinished import Comparison

    last = through or tenth(use_case)
    for name in PARTS:
        os.environ.pop(name, None)
    whole = Comparison(where.home / "parity" / use_case, {"through": last, "code": _code(use_case)})
    if whole.begin():
        print("a comparison of the same was broken off: going on with it", flush=True)
    replays = [("a laptop's parts", _on_laptop), ("a cluster's parts", _on_cluster)]
    for number, (said, replayed) in enumerate(replays):
        done = ", is done" if whole.has(number) else ""
        print(f"{use_case} up to {last} on {said}{done}; state in {whole.home(number)}", flush=True)
        if not done:
            replayed(whole.home(number), use_case, last)
    first, second = (read_snapshot(whole.snapshot(number)) for number in (0, 1))
    verdict = judged(first, second, EXPECTED)
    print("\n".join(verdict_lines(verdict)))
    whole.finish()
    return 1 if verdict.unlisted else 0


def _code(use_case: str) -> str:
    """A hash of all that replays are made with: the platform, and the folder of the use case."""
    from mlops_assets.ml.provenance.provenance import code
    from resources.use_case_folders import use_case_folder

    digest, folder = hashlib.sha256(code("feature_repo")["digest"].encode()), use_case_folder(use_case).path
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".yaml"):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def verdict_lines(verdict: "Verdict") -> Iterator[str]:
    """What was compared, how much of the expected was there, and every difference that nobody expects."""
    yield f"\ncompared: {verdict.tables} partitions of tables and scores, {verdict.documents} decisions and records"
    for expected, differences in verdict.expected.items():
        yield f"  expected: {len(differences)} of {expected.places}: {expected.why}"
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
    from mlops_assets.local.running import DevError, Stop
    from mlops_assets.verify.unfinished import servers_up
    from resources.ports import free

    stopping = Stop()

    def replay(up: Up) -> None:
        for what, line in _commands(use_case, last, home):
            _refuse(what, up.run(line))

    names = ("MLOPS_DAGSTER_PORT", "MLOPS_MLFLOW_PORT", "MLOPS_SERVE_PORT")
    given = dict(zip(names, map(str, free(len(names))), strict=True))
    with servers_up(home):
        try:
            while_up(settings({"MLOPS_HOME": str(home), **given}), stopping, replay)
        except DevError:
            if not stopping.due:
                raise
    if stopping.due:
        raise KeyboardInterrupt


def _refuse(what: str, status: int) -> None:
    if status:
        raise ParityError(
            f"{what} ended with status {status}, so there is nothing to compare: see what it printed"
        )

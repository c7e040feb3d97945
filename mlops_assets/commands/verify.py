"""`mlops verify`: a registered version rebuilt from its lineage in an empty folder, and compared byte by byte."""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.settings import Settings, settings

if TYPE_CHECKING:
    from mlops_assets.project import Declared
    from mlops_assets.verify.rebuild import Rebuild
    from mlops_assets.verify.verdict import Verdict


def add(commands: Any) -> None:
    """Add `verify` to the parser's commands."""
    parser = commands.add_parser(
        "verify", help="rebuild a version from its lineage: IDENTICAL, EQUAL WITHIN, or DIFFERENT"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("version", nargs="?", metavar="MODEL[@VERSION]", help="without a version the champion")
    what.add_argument("--all", action="store_true", help="every version of every model")
    what.add_argument("--lineage", type=Path, metavar="FILE", help="a lineage.json, without any registry")
    parser.add_argument(
        "--raw", type=Path, metavar="FOLDER", help="a lake that holds the raw tables; by default this state's"
    )
    parser.add_argument(
        "--within",
        type=_distance,
        default=1e-6,
        metavar="E",
        help="how far a prediction may be off (default 1e-6)",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="rebuild in this empty folder and leave it"
    )
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    parser.set_defaults(act=_verify, writes=False, status=2)


def _distance(text: str) -> float:
    """A finite number that is not negative: within NaN nothing is equal, and within infinity everything."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no finite number from 0 up: give one, for example 1e-6"
        )
    return value


def _verify(options: argparse.Namespace) -> int:
    """0 where everything is identical or equal within what is allowed, 1 where something differs, 2 without an answer."""
    from mlops_assets.project import Declared

    verdicts = list(_verdicts(options, settings(), Declared.load()))
    if options.json:
        print(json.dumps([verdict.as_json() for verdict in verdicts], indent=1))
    if not verdicts:
        print("error: there is no version to verify: train a model first", file=sys.stderr)
        return 2
    return 0 if all(verdict.holds for verdict in verdicts) else 1


def _verdicts(options: argparse.Namespace, where: Settings, declared: "Declared") -> Iterator["Verdict"]:
    from mlops_assets.verify.rebuild import Rebuild
    from resources.lake.lake import Lake

    origin = Lake(root=str(options.raw or where.lake))
    with _folder(options.keep) as folder:
        rebuild = Rebuild(
            folder, origin, declared.tables, where.feature_repository, where.ray_address, _progress
        )
        for verdict in _asked(options, where, declared, rebuild):
            if not options.json:
                _show(verdict)
            yield verdict


def _asked(
    options: argparse.Namespace, where: Settings, declared: "Declared", rebuild: "Rebuild"
) -> Iterator["Verdict"]:
    from mlops_assets.verify.verdict import verify, verify_all, verify_version
    from resources.local import local_resources
    from resources.records.lineage import Lineage

    if options.lineage:
        lineage = Lineage.read(_content(options.lineage))
        yield verify(lineage, rebuild, declared.specs.get(lineage.model), within=options.within)
        return
    parts = local_resources(where)
    tracking, audit = parts["tracking"], parts["audit"]
    if options.all:
        yield from verify_all(tracking, audit, rebuild, declared.specs, options.within, _progress)
        return
    name, _, number = options.version.partition("@")
    version = _version(tracking, name, number)
    yield verify_version(version, tracking, audit, rebuild, declared.specs.get(name), options.within)


def _version(tracking: Any, name: str, number: str) -> Any:
    """The version that was named, or the champion."""
    from mlops_assets.verify.verdict import VerificationError

    there = {str(version.number): version for version in tracking.versions(name)}
    champion = tracking.champion(name) if there and not number else None
    found = there.get(number) or champion
    if found is None:
        known = ", ".join(there) or "none"
        what = f"version {number!r}" if number else "champion"
        raise VerificationError(f"{name!r} has no {what}; versions: {known}. For example: flight_delay@2")
    return found


def _content(path: Path) -> bytes:
    from mlops_assets.verify.verdict import VerificationError

    if not path.is_file():
        raise VerificationError(f"{path} is no file: give the lineage.json of a version's MLflow run")
    return path.read_bytes()


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    from mlops_assets.verify.verdict import VerificationError

    if keep is None:
        with tempfile.TemporaryDirectory(prefix="mlops-verify-") as folder:
            yield Path(folder)
        return
    if keep.exists() and any(keep.iterdir()):
        raise VerificationError(f"{keep} is not empty: a rebuild begins in an empty folder, name another one")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()


def _show(verdict: "Verdict") -> None:
    print(str(verdict), flush=True)
    if verdict.largest is not None:
        print(f"  predictions on the rows of the fit differ by up to {verdict.largest:g}")
    for difference in verdict.differences[1:]:
        print(f"  also {difference}")
    workers = verdict.layout.get("workers")
    print(f"  lineage {verdict.lineage[:12]}, {workers} worker(s), {verdict.seconds} s")


def _progress(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)

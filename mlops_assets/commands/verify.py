"""`mlops verify`: a registered version rebuilt from its lineage in an empty folder, and compared byte by byte."""

import json
import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_assets.commands.task import command
from resources.settings import Settings, settings

if TYPE_CHECKING:
    from mlops_assets.project import Declared
    from mlops_assets.verify.rebuild import Rebuild
    from mlops_assets.verify.verdict import Verdict


@dataclass(frozen=True)
class Request:
    """What is to be verified: one version, all, or a lineage; from which raw tables, and where."""

    version: str | None
    lineage: Path | None
    raw: Path | None
    within: float
    keep: Path | None
    json: bool


def add(app: typer.Typer) -> None:
    """Add `verify` to the commands."""
    command(app, "verify", writes=False, status=2)(_verify)


def _distance(text: str) -> float:
    """A finite number that is not negative: within NaN nothing is equal, and within infinity everything."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise typer.BadParameter(f"{text!r} is no finite number from 0 up: give one, for example 1e-6")
    return value


def _verify(
    version: Annotated[
        str | None, typer.Argument(metavar="MODEL[@VERSION]", help="without a version the champion")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="every version of every model")] = False,
    lineage: Annotated[
        Path | None, typer.Option(metavar="FILE", help="a lineage.json, without any registry")
    ] = None,
    raw: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="a lake that holds the raw tables; by default this state's"),
    ] = None,
    within: Annotated[
        float,
        typer.Option(
            metavar="E",
            parser=_distance,
            help="how far a prediction may be off (default 1e-6)",
            show_default=False,
        ),
    ] = 1e-6,
    keep: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="rebuild in this empty folder and leave it")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the verdicts as JSON")] = False,
) -> int:
    """rebuild a version from its lineage, and compare the bytes

    Says IDENTICAL, EQUAL WITHIN, or DIFFERENT. 0 where everything is identical or equal within what is allowed, 1 where something differs, 2 without an answer.
    """
    from mlops_assets.project import Declared
    from mlops_assets.verify.verdict import VerificationError

    if (version is not None) + all_ + (lineage is not None) != 1:
        raise VerificationError(
            "give one of MODEL[@VERSION], --all and --lineage; for example: loan_default@2"
        )
    request = Request(version, lineage, raw, within, keep, as_json)
    verdicts = list(_verdicts(request, settings(), Declared.load()))
    if as_json:
        print(json.dumps([verdict.as_json() for verdict in verdicts], indent=1))
    if not verdicts:
        print("error: there is no version to verify: train a model first", file=sys.stderr)
        return 2
    return 0 if all(verdict.holds for verdict in verdicts) else 1


def _verdicts(request: Request, where: Settings, declared: "Declared") -> Iterator["Verdict"]:
    from mlops_assets.verify.rebuild import Rebuild
    from resources.features.stores import repository_of
    from resources.lake.lake import Lake

    origin = Lake(root=str(request.raw or where.lake))
    with _folder(request.keep) as folder:
        rebuild = Rebuild(folder, origin, declared.tables, repository_of, where.ray_address, _progress)
        for verdict in _verdicts_of(request, where, declared, rebuild):
            if not request.json:
                _show(verdict)
            yield verdict


def _verdicts_of(
    request: Request, where: Settings, declared: "Declared", rebuild: "Rebuild"
) -> Iterator["Verdict"]:
    from mlops_assets.verify.verdict import verify, verify_all, verify_version
    from resources.cluster import resources_of
    from resources.records.lineage import Lineage

    if request.lineage:
        lineage = Lineage.read(_content(request.lineage))
        yield verify(lineage, rebuild, declared.specs.get(lineage.model), within=request.within)
        return
    parts = resources_of(where)
    tracking, audit = parts["tracking"], parts["audit"]
    if request.version is None:
        yield from verify_all(tracking, audit, rebuild, declared.specs, request.within, _progress)
        return
    name, _, number = request.version.partition("@")
    version = _version(tracking, name, number)
    yield verify_version(version, tracking, audit, rebuild, declared.specs.get(name), request.within)


def _version(tracking: Any, name: str, number: str) -> Any:
    """The version that was named, or the champion."""
    from mlops_assets.verify.verdict import VerificationError

    there = {str(version.number): version for version in tracking.versions(name)}
    champion = tracking.champion(name) if there and not number else None
    one = there.get(number) or champion
    if one is None:
        known = ", ".join(there) or "none"
        what = f"version {number!r}" if number else "champion"
        raise VerificationError(f"{name!r} has no {what}; versions: {known}. For example: loan_default@2")
    return one


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

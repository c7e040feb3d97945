"""`mlops data`: the versions of a table, one of them read, and replaced ones that nobody needs removed."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_assets.commands.task import command, group
from resources.settings import settings

if TYPE_CHECKING:
    from resources.lake.versions import TableVersion

verbs = group("versions of the lake's tables: list them, read one, remove those that no model names")


class DataError(Exception):
    """A version that is named wrongly, or a file that must not be written over."""


def add(app: typer.Typer) -> None:
    """Add `data log`, `data show` and `data clean` to the commands."""
    app.add_typer(verbs, name="data")


@command(verbs, "log", writes=False)
def _log(
    table: Annotated[str, typer.Argument(help="for example loans/applications")],
    partition: Annotated[
        str | None, typer.Option(metavar="NAME", help="of one partition only, for example 2024-01-14")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print whole hashes, as JSON")] = False,
) -> int:
    """a table's versions by time and hash: what stands there now, and what was replaced"""
    from resources.lake.versions import versions
    from resources.storage.addresses import storage_at

    there = versions(storage_at(settings().lake), table)
    shown = [version for version in there if partition in (None, version.partition)]
    if not shown:
        raise DataError(f"table {table!r} has no version of a partition {partition!r}")
    if as_json:
        print(json.dumps([_plain(version) for version in shown], indent=1))
        return 0
    for version in shown:
        print(_line(version))
    return 0


@command(verbs, "show", writes=False)
def _show(
    name: Annotated[str, typer.Argument(metavar="TABLE@HASH", help="a hash, or how it begins")],
    rows: Annotated[int, typer.Option(min=0, help="how many rows to print")] = 10,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the parquet file here, byte by byte")
    ] = None,
) -> int:
    """read one version of a table's partition"""
    from resources.lake.versions import read_version, version_named
    from resources.storage.addresses import storage_at
    from resources.storage.durable import create_bytes

    table, _, start = name.rpartition("@")
    if not table:
        raise DataError(
            f"{name!r} names no version: give TABLE@HASH, for example loans/applications@5c0f3a9e41d2"
        )
    storage = storage_at(settings().lake)
    version = version_named(storage, table, start)
    content = read_version(storage, version)
    print(_line(version))
    if to is None:
        _print_rows(content, rows)
        return 0
    try:
        create_bytes(to, content)
    except FileExistsError:
        raise DataError(f"{to} is there already: name a new file") from None
    print(f"written to {to}")
    return 0


@command(verbs, "clean")
def _clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would go, and remove nothing")] = False,
    gone: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="a model that was deleted from MLflow on purpose"),
    ] = None,
) -> int:
    """remove replaced versions that no registered model version and no table of the lake is made of"""
    from mlops_assets.verify.retention import removable, remove
    from resources.at_work import alone
    from resources.cluster import resources_of
    from resources.systems import Systems

    where = settings()
    parts = resources_of(where)
    with alone(where.home, "the removal of replaced data"):
        systems = Systems.of(parts | {"tracking": parts["tracking"].at_once})
        versions = removable(systems, gone or [])
        if dry_run:
            for version in versions:
                print(f"would remove {_line(version)}")
            size = sum(version.size for version in versions)
        else:
            size = remove(parts["lake"], versions, lambda version: print(f"removed {_line(version)}"))
    print(f"{len(versions)} replaced versions, {size:,} bytes {'would be' if dry_run else 'were'} removed")
    return 0


def _line(version: "TableVersion") -> str:
    rows = "rows not known" if version.rows is None else f"{version.rows:,} rows"
    written = version.written.isoformat(timespec="seconds")
    state = "now" if version.current else "replaced"
    return f"{version}  {version.sha256[:12]}  written {written}  {rows}  {version.size:,} bytes  {state}"


def _plain(version: "TableVersion") -> dict[str, Any]:
    return {**vars(version), "written": version.written.isoformat()}


def _print_rows(content: bytes, rows: int) -> None:
    import io

    import polars as pl

    with pl.Config(tbl_rows=rows, tbl_cols=-1, tbl_width_chars=200):
        print(pl.read_parquet(io.BytesIO(content)).head(rows))

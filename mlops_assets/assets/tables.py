"""Lake tables as assets: built a week at a time, examined while in memory, and written only when nothing blocks."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.checks import table_check_results, table_check_specs
from mlops_assets.metadata import table_metadata
from mlops_assets.ml.tables import Expectation, Finding, examine
from mlops_assets.partitions import Week, week, weekly, weeks_back
from mlops_assets.spec import Weeks
from resources.lake import Lake, Manifest

WHOLE_TABLE = Week("", *(None, None))  # type: ignore[arg-type]
Build = Callable[[Lake, Week], pl.DataFrame]


def table_asset(
    key: str,
    build: Build,
    expected: Expectation,
    weeks: Weeks | None,
    *,
    deps: Mapping[str, int | None] | None = None,
    **appearance: Any,
) -> dg.AssetsDefinition:
    """An asset that writes the table `key`, one partition a week, or whole where `weeks` is None.

    `build(lake, week)` gives the rows of one week. `deps` maps upstream tables to how many earlier weeks a week
    reads (None: the upstream is not cut into weeks). A partition that breaks a blocking claim is not written.
    """
    path = key.split("/")

    def table(context: dg.AssetExecutionContext, lake: Lake) -> Iterator[Any]:
        names = context.partition_keys if weeks else [None]
        findings: dict[str, list[Finding]] = {}
        written: dict[str | None, Manifest] = {}
        for name in names:
            span = week(weeks, name) if weeks and name else WHOLE_TABLE
            frame = build(lake, span)
            found = findings[name or key] = examine(frame, expected, span.end)
            if all(f.holds for f in found if f.blocking):
                written[name] = lake.write(key, frame, name, keys=expected.keys)
        yield from table_check_results(findings)
        yield from materialized(context, written, len(names))

    return dg.asset(
        key=path,
        deps=[upstream(name, back) for name, back in (deps or {}).items()],
        partitions_def=weekly(weeks) if weeks else None,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=table_check_specs(path, expected),
        **appearance,
    )(table)


def materialized(
    context: dg.AssetExecutionContext, written: Mapping[Any, Manifest], asked: int
) -> Iterator[dg.MaterializeResult]:
    """One result for the partitions a run wrote: metadata for each, the content hash as data version.

    Fails where fewer were written than asked for; what was sound is written and stays.
    """
    if len(written) < asked:
        raise dg.Failure(
            f"{asked - len(written)} of {asked} partitions broke a claim that blocks and were not written: "
            "the failed checks name them with their numbers; the lake keeps what it had"
        )
    for name, manifest in written.items():
        context.add_asset_metadata(table_metadata(manifest), partition_key=name)
    yield dg.MaterializeResult(data_version=dg.DataVersion(combined(written.values())))


def combined(manifests: Iterable[Manifest]) -> str:
    """One hash of one or several partitions' contents."""
    hashes = [manifest.sha256 for manifest in manifests]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def upstream(table: str, back: int | None) -> dg.AssetDep:
    """A dependency on the same week of a table and on `back` weeks before it."""
    mapping = dg.TimeWindowPartitionMapping(start_offset=-back, end_offset=0) if back else None
    return dg.AssetDep(dg.AssetKey(table.split("/")), partition_mapping=mapping)


def recent(lake: Lake, table: str, weeks: Weeks, span: Week, back: int) -> pl.DataFrame:
    """Rows of a week and of those of the `back` weeks before it that exist; the week itself must."""
    there = set(lake.partitions(table)) | {span.name}
    return lake.read(table, [name for name in weeks_back(weeks, span.name, back) if name in there])

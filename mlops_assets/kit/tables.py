"""Lake tables as assets: built a partition at a time, examined while in memory, and written only when nothing blocks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.kit.arrivals import arrival_results, arrival_specs
from mlops_assets.kit.catalogue import (
    LINEAGE,
    SCHEMA,
    column_lineage,
    column_schema,
    features_metadata,
    newest_metadata,
)
from mlops_assets.kit.checks import table_check_results, table_check_specs
from mlops_assets.kit.metadata import table_metadata
from mlops_assets.kit.partitions import by_time
from mlops_assets.kit.reuse import Reuse
from mlops_assets.kit.stage import Run, stage
from mlops_assets.ml.tables import Finding
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.files import declared_specs
from mlops_assets.spec.names import feature_table, use_case_of
from mlops_assets.stages.errors import NotYetThereError, StageError
from mlops_assets.stages.feature_catalogue import feature_names, models_by_feature
from mlops_assets.stages.tables import Table, build_partition, combined, refusals
from resources.features.stores import repository_of
from resources.lake.lake import Manifest
from resources.use_case_folders import use_case_folders

SHOWN_REFUSALS = 3


def table_asset(table: Table) -> dg.AssetsDefinition:
    """The asset that writes a table; a partition that breaks a claim which blocks is not written."""
    path = table.key.split("/")

    @stage(
        path,
        after=[
            upstream(name, table.calendar, back, table.calendars.get(name))
            for name, back in table.deps.items()
        ]
        + [dg.AssetDep(dg.AssetKey(key.split("/"))) for key in table.after],
        uses=[],
        calendar=table.calendar,
        code_version=table.code_version,
        check_specs=[*table_check_specs(path, table.expected), *arrival_specs(path, table)],
        metadata={
            SCHEMA: column_schema(table.expected, table.columns),
            LINEAGE: column_lineage(table.columns),
        },
        **table.appearance,
    )
    def write(run: Run) -> Iterator[Any]:
        names = run.partitions if table.calendar else [None]
        findings: dict[str, list[Finding]] = {}
        written: dict[str | None, Manifest] = {}
        awaited: dict[str, NotYetThereError] = {}
        for name in names:
            try:
                outcome = reused(run.reuse, table, name) or built(run.reuse, table, name)
            except NotYetThereError as error:
                awaited[name or table.key] = error
                continue
            findings[name or table.key], manifest = outcome
            if manifest:
                written[name] = manifest
        yield from table_check_results(findings)
        yield from arrival_results(run.systems.lake, table, written)
        refuse_awaited(table.key, awaited, len(names))

        def page(manifest: Manifest) -> dict[str, Any]:
            frame = run.systems.lake.read(table.key, [manifest.partition])
            return shown_of(table, frame)

        yield from materialized(run, written, len(names), page, refusals(table.key, findings))

    return write


def shown_of(table: Table, frame: pl.DataFrame) -> dict[str, Any]:
    """What the page of a table shows of its newest partition; of a feature view also what its features mean to whom."""
    readers = readers_of(table)
    if readers is None:
        return newest_metadata(frame, table.expected, table.columns)
    use_case = use_case_of(table.key)
    is_there = any(folder.name == use_case for folder in use_case_folders())
    names = feature_names(table, repository_of(use_case) if is_there else None)
    return features_metadata(frame, table, names, readers)


def readers_of(table: Table) -> dict[str, list[str]] | None:
    """The models that read each feature of a table; None of a table that is no feature view."""
    use_case = use_case_of(table.key)
    ours = feature_table(use_case, "")
    if not table.key.startswith(ours):
        return None
    specs = [spec for spec in declared_specs().values() if spec.use_case == use_case]
    readers = models_by_feature(specs, repository_of(use_case)) if specs else {}
    return {name: models for (view, name), models in readers.items() if view == table.key.removeprefix(ours)}


def refuse_awaited(table: str, awaited: Mapping[str, NotYetThereError], partitions: int) -> None:
    """Raise for partitions whose rows are not there yet: the first one's error, with the names of all."""
    for name, error in awaited.items():
        sentence = f"{len(awaited)} of {partitions} partitions of {table} are not there yet; {name}: {error}"
        raise NotYetThereError(sentence, error.outcome, {**error.numbers, "partitions": [*awaited]})


def reused(reuse: Reuse, table: Table, name: str | None) -> tuple[list[Finding], Manifest] | None:
    """What was found and written when nothing that decides the partition was different; None where something was."""
    content = reuse.unchanged(name, table.fingerprint(reuse.lake, name))
    if content is None:
        return None
    return [Finding(**finding) for finding in content["findings"]], reuse.lake.manifest(table.key, name)


def built(reuse: Reuse, table: Table, name: str | None) -> tuple[list[Finding], Manifest | None]:
    """Build a partition and, if it is written, remember what decided it."""
    findings, manifest = build_partition(reuse.lake, table, name)
    if manifest:
        reuse.note(name, manifest.sha256, {"findings": [asdict(finding) for finding in findings]})
    return findings, manifest


def materialized(
    run: Run,
    written: Mapping[Any, Manifest],
    partitions: int,
    newest: Callable[[Manifest], dict[str, Any]] | None = None,
    refused: Sequence[str] = (),
    first: Mapping[str, Any] | None = None,
) -> Iterator[dg.MaterializeResult]:
    """One result for the partitions a run wrote: metadata for each, the content hash as data version.

    `newest` gives what is shown of the newest of them alone, above what is shown of all; `first` stands on top of every page, unless a partition shows
    something else by the same name. Fails where fewer were written than asked for, with the
    first reasons of `refused`; what was sound is written and stays.
    """
    if len(written) < partitions:
        reasons = "".join(f"\n{line}" for line in refused[:SHOWN_REFUSALS])
        raise StageError(
            f"{partitions - len(written)} of {partitions} partitions broke a claim that blocks and were not written: "
            f"the failed checks name them with their numbers; the lake keeps what it had{reasons}"
        )
    for name, manifest in written.items():
        more = newest(manifest) if newest and name == max(written) else {}
        run.show(name, {**more, **table_metadata(manifest), **run.reuse.metadata(name), **more})
    yield run.result(combined(written.values()), dict(first or {}))


def upstream(
    table: str, calendar: Calendar | None, back: timedelta | None = None, theirs: Calendar | None = None
) -> dg.AssetDep:
    """A dependency, by time, on the partitions of a table that overlap one's own and what lies so long before it.

    `theirs` is the table's calendar where it is another one than `calendar`.
    """
    mapping = by_time(calendar, back or timedelta(), theirs or calendar) if calendar else None
    return dg.AssetDep(dg.AssetKey(table.split("/")), partition_mapping=mapping)

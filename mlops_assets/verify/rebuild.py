"""A version rebuilt from its lineage: raw partitions in, feature tables, training set and model made again.

It happens in a folder of its own that begins empty, through the functions that the assets call, without Dagster. Several
versions may be rebuilt in one folder: what two of them share is made once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.ml.provenance.differences import Difference
from mlops_assets.ml.training.fit import Fit, fit
from mlops_assets.ml.training.layout import laid_out
from mlops_assets.spec.decides import of_a_fit, of_a_training_set
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.lineage import surroundings
from mlops_assets.stages.recalibrating import recalibrated_fit
from mlops_assets.stages.tables import Table, build_partition, refusals
from mlops_assets.stages.training import training_files
from mlops_assets.stages.training_set import join_partition, training_data
from resources.compute.compute import Compute
from resources.features.repository import Given
from resources.features.store import FeatureStoreResource
from resources.lake.lake import Lake, parquet
from resources.lake.names import PUSHED, WHOLE, file_name
from resources.lake.pushed_span import PushedPart, content_hash, rows_of
from resources.records.lineage import Lineage, partitions
from resources.tracking.tracking import Version

REFUSED, MISSING = "refused", "missing"
Pushed = Mapping[str, Mapping[str, Any]]
"""Table -> the part of its pushed rows that a join had before it."""


class Rebuild:
    """One folder in which versions are rebuilt from the raw partitions of `origin`, another lake.

    `tables` build what is derived, each after those that it is made from. `tell` gets a line for each step.
    """

    def __init__(
        self,
        home: Path,
        origin: Lake,
        tables: Sequence[Table],
        repositories: Callable[[str], Given],
        ray_address: str = "",
        tell: Callable[[str], Any] = print,
    ):
        self.lake, self.origin = Lake(root=str(home / "lake")), origin
        self._tables = {table.key: table for table in tables}
        self._stores, self._repositories = home / "feast", repositories
        self._compute = Compute(folder=str(home / "training"), address=ray_address)
        self._tell = tell
        self._results: dict[tuple[str, str], tuple[Any, str]] = {}

    def _store(self, spec: ModelSpec) -> FeatureStoreResource:
        return FeatureStoreResource(
            lake_root=self.lake.root,
            home=str(self._stores / spec.use_case),
            repository=self._repositories(spec.use_case),
        )

    def surroundings(self, lineage: Lineage, declared: ModelSpec | None) -> dict[str, Any]:
        """What code, machine and definitions are now, in the lineage's sections; the spec as it is `declared` now."""
        now = surroundings(spec_of(lineage))
        views = self._store(spec_of(lineage)).describe(lineage.spec["feature_service"]).views
        now["definitions"] = {view.name: view.definition for view in views}
        if declared is not None:
            now["spec"] = of_a_fit(declared.model_dump(mode="json"))
        return now

    def sources(self, lineage: Lineage) -> list[Difference]:
        """Bring the raw partitions here, each held against its hash; those, and pushed rows, that are others or missing."""
        self._tell(f"{lineage.model}: {sum(map(len, lineage.sources.values()))} source files")
        if any(self._holds_other(*source) for source in partitions(lineage.sources)):
            self._begin_empty()
        taken = [
            (f"{t}@{p}", digest, self._taken(t, p, digest)) for t, p, digest in partitions(lineage.sources)
        ]
        taken += [
            (f"{table}@pushed for {partition}", str(part["sha256"]), content_hash(self._pushed(table, part)))
            for partition, parts in sorted(lineage.pushed.items())
            for table, part in sorted(parts.items())
        ]
        return [Difference(f"source {name}", then, now) for name, then, now in taken if then != now]

    def tables(self, lineage: Lineage) -> Iterator[Difference]:
        """Make every feature table again; partitions that came out as other bytes."""
        order = {key: number for number, key in enumerate(self._tables)}
        todo = sorted(partitions(lineage.tables), key=lambda p: (p[1] != WHOLE, p[1], order.get(p[0], -1)))
        before = ""
        for table, partition, then in todo:
            if partition != before:
                self._tell(f"{lineage.model}: feature tables {partition}")
            before, now = partition, self._built(table, partition)
            if now != then:
                yield Difference(f"table {table}@{partition}", then, now)

    def training_set(self, lineage: Lineage) -> Iterator[Difference]:
        """Join every partition again; those that came out as other bytes."""
        spec, table = spec_of(lineage), f"{lineage.model}/training_set"
        self._store(spec).apply()
        for partition, then in sorted(lineage.training_set.items()):
            if partition in lineage.sources.get(table, {}):
                continue
            self._tell(f"{lineage.model}: training set {partition}")
            now = self._joined(spec, partition, lineage.pushed.get(partition, {}))
            if now != then:
                yield Difference(f"training set {partition}", then, now)

    def model(self, lineage: Lineage) -> Fit:
        """Fit again on the rebuilt training set, on the lineage's number of workers and threads."""
        spec = spec_of(lineage)
        data = training_data(spec, self.lake, lineage.partition, list(lineage.training_set))
        files = training_files(spec, data, hold_out=lineage.kind != "refit")
        trainer = laid_out(spec.trainer, lineage.layout, self._compute.address)
        self._tell(
            f"{lineage.model}: fit on {files.rows:,} rows, {lineage.layout['workers']} worker"
            + "s" * (lineage.layout["workers"] > 1)
        )
        forced = spec.model_copy(update={"trainer": trainer})
        return fit(files, forced, data.features, rounds=lineage.rounds, reach=self._compute)

    def recalibrated(self, lineage: Lineage, version: Version, content: bytes) -> Fit:
        """Recalibrate the bytes of the version that the lineage names, by the rebuilt rows."""
        spec = spec_of(lineage)
        data = training_data(spec, self.lake, lineage.partition, list(lineage.training_set))
        curve = lineage.result["recalibration"]["curve"] if lineage.kind == "refit" else None
        self._tell(f"{lineage.model}: recalibration of version {version.number}")
        return recalibrated_fit(spec, data, version, content, curve)

    def rows(self, lineage: Lineage) -> pl.DataFrame:
        """The rows that the model was fitted on, to compare two models by."""
        spec = spec_of(lineage)
        data = training_data(spec, self.lake, lineage.partition, list(lineage.training_set))
        return training_files(spec, data, hold_out=lineage.kind != "refit").part(spec, 0, 1)

    def _holds_other(self, table: str, partition: str, sha256: str) -> bool:
        """Whether a version that was rebuilt here before rests on another content of this partition."""
        return self.lake.exists(table, partition) and self.lake.hash(table, partition) != sha256

    def _begin_empty(self) -> None:
        """Forget what was rebuilt here: all of it may follow from what is replaced now."""
        for name in self.lake.storage.names(deep=True):
            self.lake.storage.delete(name)
        self._results.clear()

    def _taken(self, table: str, partition: str, sha256: str) -> str:
        """The hash of what is here now: the lineage's content, wherever the origin has it, or what the origin has instead."""
        if self.lake.exists(table, partition) or self.lake.take_version(
            self.origin, table, partition, sha256
        ):
            return sha256
        return self.origin.hash(table, partition) if self.origin.exists(table, partition) else MISSING

    def _built(self, name: str, partition: str) -> str:
        table = self._tables.get(name)
        if table is None:
            return "nothing builds it"
        return self._once((name, partition), None, lambda: self._build(table, partition))

    def _build(self, table: Table, partition: str) -> str:
        name = None if partition == WHOLE else partition
        findings, manifest = build_partition(self.lake, table, name)
        reasons = refusals(table.key, {partition: findings})
        return manifest.sha256 if manifest else f"{REFUSED}: {'; '.join(reasons)}"

    def _joined(self, spec: ModelSpec, partition: str, pushed: Pushed) -> str:
        recipe = (of_a_training_set(spec.model_dump(mode="json")), pushed)
        return self._once(
            (f"{spec.name}/training_set", partition), recipe, lambda: self._join(spec, partition, pushed)
        )

    def _join(self, spec: ModelSpec, partition: str, pushed: Pushed) -> str:
        self._lay_out_pushed_rows(partition, pushed)
        joined = join_partition(spec, self.lake, self._store(spec), partition)
        if joined.manifest:
            return joined.manifest.sha256
        return f"{REFUSED}: {joined.lost} rows lost, {joined.duplicates} doubled, cells not as known: {joined.differ}"

    def _lay_out_pushed_rows(self, partition: str, pushed: Pushed) -> None:
        """Beside the feature tables are those pushed rows alone that were there when the partition was joined."""
        for name in self.lake.storage.names(ending=".parquet", deep=True):
            if name.rpartition("/")[2].startswith(PUSHED):
                self.lake.storage.delete(name)
        for table, part in pushed.items():
            rows = parquet(self._pushed(table, part))
            self.lake.storage.write(file_name(table, f"{PUSHED}{partition}"), rows)

    def _pushed(self, table: str, part: Mapping[str, Any]) -> pl.DataFrame:
        return rows_of(self.origin.folder(table), PushedPart(**part))

    def _once(self, name: tuple[str, str], recipe: Any, make: Callable[[], str]) -> str:
        """The hash of a partition that was made here already by the same recipe, else of one that is made now."""
        copy = self._results.get(name)
        if copy is None or copy[0] != recipe:
            copy = self._results[name] = (recipe, make())
        return copy[1]


def spec_of(lineage: Lineage) -> ModelSpec:
    """The spec that the version was fitted under, whatever is declared now."""
    return ModelSpec.model_validate(lineage.spec)

"""The lineage of a fit, gathered from the manifests of what it was fitted on and from this process's code and machine."""

import json
from collections.abc import Mapping
from typing import Any

from mlops_assets.ml.provenance import provenance
from mlops_assets.ml.training.fit import Fit
from mlops_assets.spec.decides import version_code
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.joined_from import PUSHED_ROWS, VIEW
from mlops_assets.stages.training_set import TrainingData
from resources.features.repository import TEMPLATE
from resources.features.stores import repository_of
from resources.lake.lake import Lake, LakeError
from resources.records.lineage import Hashes, Lineage
from resources.tracking.tracking import Kind
from resources.tracking.versions import sha256


def lineage_of(
    spec: ModelSpec, data: TrainingData, fitted: Fit, kind: Kind, parameters: Mapping[str, Any] | None = None
) -> Lineage:
    """The lineage of a fit on `data`; `parameters` are those that a search won with, which the spec has already."""
    traced = Trace(data)
    return Lineage(
        model=spec.name,
        kind=kind,
        partition=data.partition,
        sources=traced.sources,
        pushed=traced.pushed,
        definitions=traced.definitions,
        spec=spec.model_dump(mode="json"),
        seed=spec.trainer.seed,
        rounds=fitted.rounds if kind == "refit" else None,
        parameters=dict(parameters) if parameters else None,
        **surroundings(spec),
        layout=fitted.layout,
        tables=traced.tables,
        training_set=data.hashes,
        result={"sha256": sha256(fitted.model), "rounds": fitted.rounds, **_recalibration(fitted)},
    )


def _recalibration(fitted: Fit) -> dict[str, Any]:
    """Of which version's bytes the model is a recalibration, and its numbers; nothing of a model that was fitted."""
    return {"recalibration": fitted.recalibration} if fitted.recalibration else {}


def surroundings(spec: ModelSpec) -> dict[str, Any]:
    """The code, packages and machine of this process, as a lineage names them."""
    modules = [path.partition(":")[0] for path in version_code(spec)]
    return {
        "packages": provenance.packages([spec.trainer.kind]),
        "lock": provenance.lock(),
        "platform": provenance.platform(),
        "code": provenance.code(repository_of(spec.use_case).package or TEMPLATE, modules),
    }


class Trace:
    """The training set followed back through the manifests, from the newest partition to the raw partitions.

    A partition whose manifest names nothing that it was made of is a source; so is one from before manifests did.
    Where two partitions rest on different contents of one partition, the newest partition's counts.
    """

    def __init__(self, data: TrainingData):
        self.sources: Hashes = {}
        self.tables: Hashes = {}
        self.pushed: dict[str, dict[str, dict[str, str | None]]] = {}
        self.definitions: dict[str, str] = {}
        for partition in sorted(data.hashes, reverse=True):
            self._joined(data, partition)

    def _joined(self, data: TrainingData, partition: str) -> None:
        made_of = data.lake.manifest(data.table, partition).made_of
        if not made_of:
            self.sources.setdefault(data.table, {})[partition] = data.hashes[partition]
        for name, digest in (made_of or {}).items():
            table, _, upstream = name.partition("@")
            if name.startswith(VIEW):
                self.definitions.setdefault(name.removeprefix(VIEW), digest)
            elif upstream == PUSHED_ROWS:
                self.pushed.setdefault(partition, {})[table] = json.loads(digest)
            else:
                self._partition(data.lake, name, digest)

    def _partition(self, lake: Lake, name: str, digest: str) -> None:
        table, _, partition = name.partition("@")
        if partition in self.sources.get(table, {}) or partition in self.tables.get(table, {}):
            return
        made_of = _made_of(lake, table, partition)
        (self.tables if made_of else self.sources).setdefault(table, {})[partition] = digest
        for upstream, theirs in (made_of or {}).items():
            self._partition(lake, upstream, theirs)


def _made_of(lake: Lake, table: str, partition: str) -> dict[str, str] | None:
    """What the manifest says; a file of pushed rows has none, and neither has a partition that was removed since."""
    try:
        return lake.manifest(table, partition).made_of
    except LakeError:
        return None

"""`python -m mlops_assets.verify.snapshot USE_CASE FOLDER`: what a state holds of a use case, as files that outlive its servers.

It is read through the resources, wherever they keep it, so that a state of a laptop and one of a cluster are read alike.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.verify.parity import State
from resources.lake.lake import parquet
from resources.lake.names import WHOLE
from resources.records import lineage
from resources.settings import Settings, settings, silence_usage_reports
from resources.storage.addresses import storage_at
from resources.storage.durable import write_bytes, write_text
from resources.storage.mirror import Mirror
from resources.tracking.versions import sha256

if TYPE_CHECKING:
    from mlops_assets.spec.model import ModelSpec

DOCUMENTS, TABLES = "documents.json", "tables"
AT_MOST = 2000
"""Rows for which online features are read, of each model."""


def write_snapshot(where: Settings, use_case: str, folder: Path) -> None:
    """Write what the state holds of a use case into a folder that is empty or not there."""
    documents: dict[str, Any] = {}
    for place, content in _contents(where, use_case):
        if isinstance(content, bytes):
            write_bytes(folder / TABLES / f"{place}.parquet", content, flush=False)
        else:
            documents[place] = content
    write_text(folder / DOCUMENTS, json.dumps(documents, sort_keys=True, default=str))


def read_snapshot(folder: Path) -> State:
    """A state as it was written down."""
    files = {path.relative_to(folder / TABLES): path for path in sorted((folder / TABLES).rglob("*.parquet"))}
    tables = {name.as_posix().removesuffix(".parquet"): path.read_bytes() for name, path in files.items()}
    return State(tables, json.loads((folder / DOCUMENTS).read_text()))


def _contents(where: Settings, use_case: str) -> Iterator[tuple[str, Any]]:
    """Places and what is there: bytes of a table, or a value."""
    from mlops_assets.spec.files import read_specs
    from resources.cluster import resources_of

    resources = resources_of(where)
    specs = [spec for spec in read_specs().values() if spec.use_case == use_case]
    names = {use_case, *(spec.name for spec in specs)}
    yield from _lake(where, names)
    yield from _audit(resources)
    yield from _records(where, use_case, names)
    for spec in specs:
        yield from _registry(resources["tracking"], spec.name)
        yield from _online(resources, spec)


def _lake(where: Settings, names: set[str]) -> Iterator[tuple[str, Any]]:
    storage = storage_at(where.lake)
    for name in storage.names(deep=True):
        if name.partition("/")[0] not in names:
            continue
        content = storage.read(name)
        stem, _, ending = name.rpartition(".")
        table, _, partition = stem.rpartition("/")
        if ending == "parquet":
            kind = "scores" if table.endswith("/predictions") else "tables"
            yield (f"{kind}/{table}" if partition == WHOLE else f"{kind}/{table}@{partition}"), content
        elif ending in ("json", "made"):
            kind = "decisions" if "/attempts/" in stem else "records"
            yield f"{kind}/{name}", json.loads(content)
        else:
            yield f"records/{name}", sha256(content)


def _audit(resources: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    report = resources["audit"].verify(resources["tracking"].anchors())
    yield "decisions/audit/whole", str(report.problem)
    for entry in resources["audit"].entries():
        yield f"decisions/audit/{entry.seq:06d}", json.loads(json.dumps(asdict(entry), default=str))


def _records(where: Settings, use_case: str, names: set[str]) -> Iterator[tuple[str, Any]]:
    """What the endpoint goes by: deployment records, moments, and the models' bytes."""
    storage = Mirror(where.serving, where.shared("serving")).storage
    for name in storage.names(deep=True):
        content = storage.read(name)
        if name.endswith(".json"):
            yield f"decisions/deployed/{name}", json.loads(content)
        elif name.startswith("moments/"):
            yield f"records/serving/{name}", content.decode().strip()
        elif name.endswith(".model"):
            yield f"records/serving/{name}", sha256(content)


def _registry(tracking: Any, model: str) -> Iterator[tuple[str, Any]]:
    aliases = {alias: getattr(tracking, alias)(model) for alias in ("challenger", "champion", "previous")}
    yield f"decisions/registry/{model}", {name: one and one.number for name, one in aliases.items()}
    for version in tracking.versions(model):
        value = json.loads(json.dumps(asdict(version), default=str))
        bytes_of = sha256(tracking.load(version))
        yield f"decisions/registry/{model}/{version.number}", {**value, "bytes": bytes_of}
        if tracking.holds(version, lineage.FILE):
            document = json.loads(tracking.artifact(version, lineage.FILE))
            yield f"records/lineage/{model}/{version.number}", document


def _online(resources: dict[str, Any], spec: "ModelSpec") -> Iterator[tuple[str, Any]]:
    """The features that a request would be answered with, for the newest rows of a model."""
    from mlops_assets.stages.entity_rows import entity_rows

    lake = resources["lake"]
    partitions = lake.partitions(spec.prediction.table)
    if not partitions or spec.features == []:
        return
    rows = entity_rows(spec, lake.read(spec.prediction.table, [partitions[-1]])).head(AT_MOST)
    as_of = spec.calendar.partition(partitions[-1]).end
    store = resources["feature_store"].of(spec.use_case)
    names_asked = list(dict.fromkeys([*spec.prediction.key, *store.input_columns(spec.feature_service)]))
    yield (
        f"tables/online/{spec.name}",
        parquet(store.online(spec.feature_service, rows.select(names_asked), as_of)),
    )


if __name__ == "__main__":
    silence_usage_reports()
    write_snapshot(settings(), sys.argv[1], Path(sys.argv[2]))

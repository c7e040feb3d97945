"""What a replay leaves behind, in a form that two replays can be compared by."""

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from resources.audit.log import Audit
from resources.lake.lake import Lake
from resources.serving.reached import reached
from resources.settings import settings
from resources.tracking.tracking import Tracking


def end_state(home: Path) -> dict[str, Any]:
    """Everything of a state folder that must not depend on how often its replay was killed, by name."""
    return {
        **_files(home, home / "replay", ("*/partitions.csv", "*/predictions.parquet")),
        **_files(home, home / "lake", ("**/*.parquet", "**/*.json")),
        **_manifests(home / "lake"),
        **_online(home / "feast" / "flights" / "online.db"),
        **_serving(home / "serving"),
        **_versions(home, "flight_delay"),
        **_decisions(home),
    }


def _files(home: Path, folder: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    by_pattern = {pattern: sorted(folder.glob(pattern)) for pattern in patterns}
    assert all(by_pattern.values()), f"nothing to compare in {folder}: {by_pattern}"
    found = [path for paths in by_pattern.values() for path in paths]
    # What was timed is another number each time, and what a tick notes names files of this disk.
    left = ("_manifests", "timings", "ticks")
    kept = [path for path in found if path.parent.name not in left and not path.name.startswith(".")]
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def _manifests(lake: Path) -> dict[str, str]:
    found = sorted(lake.glob("**/_manifests/*.json"))
    return {str(path.relative_to(lake.parent)): json.loads(path.read_text())["sha256"] for path in found}


def _online(database: Path) -> dict[str, str]:
    with sqlite3.connect(database) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {
            name: connection.execute(
                f'SELECT entity_key, feature_name, value, event_ts FROM "{name}" ORDER BY 1, 2'
            )
            for name in names
        }
        return {
            f"online {name}": hashlib.sha256(repr(list(found)).encode()).hexdigest()
            for name, found in rows.items()
        }


def _serving(folder: Path) -> dict[str, Any]:
    records = {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("[!.]*.json"))}
    moment = {"serving moment": reached(folder, "flights")}
    return moment | {
        f"serving {name}": {k: v for k, v in r.items() if k != "model_path"} for name, r in records.items()
    }


def _versions(home: Path, model: str) -> dict[str, Any]:
    tracking = tracking_of(home)
    versions = tracking.versions(model)
    aliases = {a: getattr(tracking, a)(model) for a in ("challenger", "champion", "previous")}
    hashes = {v.number: hashlib.sha256(tracking.load(v)).hexdigest() for v in versions}
    return {
        "aliases": {alias: version and version.number for alias, version in aliases.items()},
        "models": hashes,
        "kinds": {
            v.number: (v.tags["kind"], v.identity, v.tags["trained_until"], v.promotions) for v in versions
        },
    }


def _decisions(home: Path) -> dict[str, Any]:
    """What was decided, in order, without the clock and the runs in which it was; and that the log is whole."""
    audit = Audit(folder=settings({"MLOPS_HOME": str(home)}).audit)
    assert audit.verify(tracking_of(home).anchors()).problem is None
    return {"decisions": [(entry.kind, entry.model, entry.version, entry.event) for entry in audit.entries()]}


def lake_of(home: Path) -> Lake:
    """The lake of a state folder."""
    return Lake(root=str(home / "lake"))


def tracking_of(home: Path) -> Tracking:
    """The registry of a state folder."""
    where = settings({"MLOPS_HOME": str(home)})
    return Tracking(uri=where.mlflow_uri, artifacts=str(where.mlflow_artifacts))


def champion(home: Path, model: str) -> tuple[int, str]:
    """Number and SHA-256 of the version that serves."""
    found = tracking_of(home).champion(model)
    assert found is not None, f"{model} has no champion"
    return found.number, found.sha256

"""What must hold after any fault, checked from logs and tables alone: nothing here reaches a system.

Each rule is a function that yields a sentence for every breach. `breaches` gives those of all rules.
"""

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from mlops_assets.verify.parity import State

CHANGES = ("promoted", "rolled_back")
UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")


@dataclass(frozen=True)
class Model:
    """Where a model's rows lie, and what names and dates one of them."""

    name: str
    table: str
    key: str
    time: str
    ingests: str
    """The job that ingests a window."""


@dataclass(frozen=True)
class Run:
    """One run of Dagster's log."""

    id: str
    job: str
    status: str
    partition: str | None = None
    sensor: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Seen:
    """Everything that the rules are held against."""

    model: Model
    state: State
    runs: Sequence[Run] = ()
    windows: Sequence[str] = ()
    """Windows whose ingestion was accepted: Dagster answered the launch with a run."""
    answers: int | None = None
    """The version that the endpoint answers with."""
    pushes: Mapping[str, Any] = field(default_factory=dict)
    """The value of each push that was acknowledged, by entity."""
    joined: Mapping[str, Any] = field(default_factory=dict)
    """What a join gives for these entities."""

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        """Entries of the audit log about the model, in their order."""
        documents = self.state.documents
        names = sorted(n for n in documents if n.startswith("decisions/audit/") and n[-1].isdigit())
        found = [documents[name] for name in names]
        return [one for one in found if one["model"] == self.model.name and one["kind"] in kinds]

    def rows(self, kind: str, table: str) -> pl.DataFrame | None:
        """All rows of a table, of whichever partition."""
        begin = f"{kind}/{table}@"
        parts = [
            content
            for name, content in sorted(self.state.tables.items())
            if name.startswith(begin) or name == f"{kind}/{table}"
        ]
        frames = [pl.read_parquet(io.BytesIO(content)) for content in parts]
        return pl.concat(frames, how="vertical_relaxed") if frames else None


def breaches(seen: Seen) -> list[str]:
    """A sentence for every rule that is broken, in the order of the rules."""
    return [said for rule in RULES for said in rule(seen)]


def log_is_whole(seen: Seen) -> Iterator[str]:
    """The audit log is the one that was written."""
    problem = seen.state.documents.get("decisions/audit/whole")
    if problem != "None":
        yield f"the audit log is not whole: {problem}"


def windows_are_there(seen: Seen) -> Iterator[str]:
    """Every window whose ingestion was accepted is a partition of the table, each row once."""
    for window in seen.windows:
        if f"tables/{seen.model.table}@{window}" not in seen.state.tables:
            yield f"window {window} was accepted, and {seen.model.table} does not have it"
    rows = seen.rows("tables", seen.model.table)
    if rows is not None:
        yield from _twice(rows[seen.model.key], f"{seen.model.table} has")


def rows_are_scored_once(seen: Seen) -> Iterator[str]:
    """Every row from the first promotion on is scored, once; none before is."""
    moments = [datetime.fromisoformat(one["moment"]) for one in seen.entries("promoted")]
    rows, scored = (
        seen.rows("tables", seen.model.table),
        seen.rows("scores", f"{seen.model.name}/predictions"),
    )
    if scored is not None:
        yield from _twice(scored[seen.model.key], "scored was")
    if not moments or rows is None:
        return
    due = rows.filter(pl.col(seen.model.time) >= min(moments))[seen.model.key]
    have = set() if scored is None else set(scored[seen.model.key].to_list())
    if missing := sorted(set(due.to_list()) - have):
        yield f"{len(missing)} of {due.len()} rows since the first promotion are not scored, the first {missing[0]}"
    if foreign := sorted(have - set(rows[seen.model.key].to_list())):
        yield f"{len(foreign)} scores are of rows that are not there, the first {foreign[0]}"


def _twice(keys: pl.Series, what: str) -> Iterator[str]:
    if doubled := [key for key, times in Counter(keys.to_list()).items() if times > 1]:
        yield f"{what} {len(doubled)} rows more than once, the first {min(doubled)}"


def promotions_are_backed(seen: Seen) -> Iterator[str]:
    """A version is promoted after an evaluation that it passed, and that its entry names; none twice in a row."""
    passed: set[str] = set()
    before = None
    for entry in seen.entries("evaluated", *CHANGES):
        evidence = entry["evidence"]
        if entry["kind"] == "evaluated":
            passed |= {evidence["evaluation"]} if evidence["passed"] else set()
            continue
        if entry["kind"] == "promoted" and evidence.get("evaluation") not in passed:
            yield f"version {entry['version']} was promoted (entry {entry['seq']}) without an evaluation that it passed"
        if entry["version"] == before:
            yield f"version {before} was made champion twice in a row (entry {entry['seq']})"
        before = entry["version"]


def champion_is_one(seen: Seen) -> Iterator[str]:
    """Log, registry, deployment record and endpoint name the same version."""
    changes, documents, name = seen.entries(*CHANGES), seen.state.documents, seen.model.name
    record = documents.get(f"decisions/deployed/{name}.json")
    said = {
        "the log": changes[-1]["version"] if changes else None,
        "the registry": documents.get(f"decisions/registry/{name}", {}).get("champion"),
        "the record": int(record["version"]) if record else None,
        "the endpoint": seen.answers,
    }
    if len({*said.values()}) > 1:
        yield "different champions: " + ", ".join(f"{who} says {version}" for who, version in said.items())


def versions_are_fitted_once(seen: Seen) -> Iterator[str]:
    """No two registered versions are the same fit, and each has the bytes that it was registered with."""
    begin = f"decisions/registry/{seen.model.name}/"
    versions = [value for name, value in seen.state.documents.items() if name.startswith(begin)]
    for identity, times in Counter(one["identity"] for one in versions).items():
        if times > 1:
            yield f"{times} versions are the same fit {identity[:12]}"
    for one in versions:
        if one["bytes"] != one["sha256"]:
            yield f"version {one['number']} has other bytes than it was registered with"


def requests_run_once(seen: Seen) -> Iterator[str]:
    """What a sensor asked for succeeded once; what was accepted was made; nothing hangs."""
    keys = Counter((run.sensor, run.key) for run in seen.runs if run.key and run.status == "SUCCESS")
    for (sensor, key), times in keys.items():
        if times > 1:
            yield f"{sensor} asked once for {key}, and {times} runs made it"
    ended = {(r.job, r.partition) for r in seen.runs if r.status == "SUCCESS"}
    for window in seen.windows:
        if (seen.model.ingests, window) not in ended:
            yield f"window {window} was accepted, and no run of {seen.model.ingests} succeeded"
    for run in seen.runs:
        if run.status in UNFINISHED:
            yield f"run {run.id} of {run.job} is {run.status} though everything has ended"


def pushes_are_joined(seen: Seen) -> Iterator[str]:
    """Every push that was acknowledged is what a join gives."""
    for entity, value in seen.pushes.items():
        if entity not in seen.joined:
            yield f"the push of {entity} was acknowledged, and no join has it"
        elif seen.joined[entity] != value:
            yield f"the push of {entity} was acknowledged as {value}, and a join gives {seen.joined[entity]}"


RULES = (
    log_is_whole,
    windows_are_there,
    rows_are_scored_once,
    promotions_are_backed,
    champion_is_one,
    versions_are_fitted_once,
    requests_run_once,
    pushes_are_joined,
)

"""The main job, `mlops run`: a use case's history replayed, the table at its end, and what retraining was worth."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pydantic

from mlops_assets.errors import WorkError
from mlops_assets.replay.reach import partitions_to_replay
from mlops_assets.spec.decides import changes, of_a_fit
from mlops_assets.spec.earlier import as_now
from mlops_assets.spec.files import read_use_case, specs_in
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import OUTCOME_TABLE
from mlops_assets.spec.use_case import UseCase
from resources.at_work import alone
from resources.clock import now_at
from resources.settings import Settings
from resources.state_folder import size_of
from resources.storage.addresses import storage_at
from resources.storage.durable import write_text
from resources.use_case_folders import use_case_folder
from resources.yaml_files import YamlError

if TYPE_CHECKING:
    from mlops_assets.project import Project

FEATURE_TABLE = re.compile(r"\w+/features/(?!online$|registry$)\w+")


@dataclass(frozen=True)
class ReplayOrder:
    """What somebody wants replayed: a use case, up to which partition, and what is to follow the partitions."""

    use_case: str
    through: str | None = None
    compare: bool = True
    others: bool = True

    def folder(self, settings: Settings) -> Path:
        """Where what came of it is written."""
        return settings.replay / self.use_case


def replay_history(settings: Settings, order: ReplayOrder) -> int:
    """Replay all partitions (or up to one), train the other models once, write and print what came of it."""
    folder = order.folder(settings)
    content: dict[str, Any] = {
        "through": order.through,
        "compare": order.compare,
        "models": _models(order),
        **_newest(settings, order),
    }
    finished = _finished(folder)
    if finished == content and content["models"] is not None:
        print(f"The replay is done; its table is {folder / OUTCOME_TABLE}. `make dev` shows the rest.\n")
        print((folder / "report.txt").read_text())
        print_size(settings)
        return 0
    for line in _changes(finished, content["models"]):
        print(line, flush=True)
    with alone(settings.home, "a replay"):
        storage_at(settings.lake).sweep()
        report = _replay(settings, order)
        write_text(folder / "report.txt", report)
        write_text(folder / "finished.json", json.dumps(content))
    print_size(settings)
    return 0


def _models(order: ReplayOrder) -> dict[str, Any] | None:
    """The whole spec of each model: one that is added, or a field that changes, makes a finished replay unfinished.

    None where a spec cannot be read; what is wrong is told when the definitions are loaded.
    """
    try:
        folder = use_case_folder(order.use_case)
        use_case, specs = read_use_case(folder), specs_in(folder)
    except (YamlError, pydantic.ValidationError):
        return None
    retrained = use_case.replay.models
    return {
        spec.name: spec.model_dump(mode="json")
        for spec in specs
        if order.others or retrained is None or spec.name in retrained
    }


def _newest(settings: Settings, order: ReplayOrder) -> dict[str, str | None]:
    """The newest partition that is there, where the calendar has no end: a replay that was finished goes on when one comes."""
    folder = use_case_folder(order.use_case)
    try:
        if read_use_case(folder).calendar.over:
            return {}
        return {"newest": max(partitions_to_replay(folder, now_at(settings)), default=None)}
    except (YamlError, pydantic.ValidationError, WorkError):
        return {}


def _changes(finished: Mapping[str, Any] | None, models: Mapping[str, Any] | None) -> Iterator[str]:
    """A line for each model whose spec changed since a replay was finished; earlier releases kept no specs to compare with."""
    before = (finished or {}).get("models")
    if not isinstance(before, dict):
        return
    for name, now in (models or {}).items():
        if fields := changes(before.get(name, now), now):
            yield f"{name}: {', '.join(fields)} changed since the replay was finished; {_follows(before[name], now)}."


def _follows(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if of_a_fit(before) != of_a_fit(now):
        return "a training by the spec as it is now is due"
    return "that makes no other model: it counts from the next partition, training or deployment on"


def _finished(folder: Path) -> dict[str, Any] | None:
    marker = folder / "finished.json"
    if not marker.exists():
        return None
    record = json.loads(marker.read_text())
    models = record.get("models")
    return record | {"models": {name: as_now(spec) for name, spec in models.items()}} if models else record


def _replay(settings: Settings, order: ReplayOrder) -> str:
    started = time.monotonic()
    from mlops_assets.project import Project, ProjectError
    from mlops_assets.replay.by_wall import answers_since, lived_by_the_wall, none_is_over, retrain_sensors
    from mlops_assets.replay.clock import Progress, clock
    from mlops_assets.replay.owed import first_model, follow_spec, score_served_partitions, under_two_specs
    from mlops_assets.replay.policies import compare_policies
    from mlops_assets.replay.shared import SharedRuns
    from mlops_assets.replay.tables import partitions_table, steps_table, text_table

    project = Project.open(settings)
    use_case = project.use_case(order.use_case)
    retrained, others = models_of(project, use_case)
    if not retrained:
        raise ProjectError(
            f"use case {use_case.name!r} has no model to replay: add one, or name it in replay.models"
        )
    partitions = up_to(project.partition_names(retrained[0]), order.through)
    if not partitions:
        raise ProjectError(none_is_over(use_case))
    print(
        f"Replaying {len(partitions)} partitions, {partitions[0]} to {partitions[-1]}; state in {settings.home}",
        flush=True,
    )
    progress = Progress(len(partitions))
    progress.seconds["start up"] = time.monotonic() - started
    by_wall = use_case.clock == "wall"
    later = retrain_sensors(retrained) if by_wall else []
    replay = use_case.replay
    shared = SharedRuns(project, retrained) if replay.shared_runs else None
    project.clock([spec.name for spec in retrained]).replay(
        use_case.name, partitions, progress, later, shared
    )
    lines = [line for spec in retrained for line in follow_spec(project, spec, progress)]
    for other in others if order.others else ():
        first_model(project, other, progress)
        lines += [*follow_spec(project, other, progress), score_served_partitions(project, other, progress)]
    parts = []
    for spec in retrained:
        table = partitions_table(spec, project.lake)
        shown = steps_table(spec, project.lake) if shared else table
        title = f"{spec.name}: {spec.description}\n" if len(retrained) > 1 else ""
        parts.append(title + text_table(shown.iter_rows(named=True)))
        folder = order.folder(settings) if spec is retrained[0] else order.folder(settings) / spec.name
        write_outcome(folder, table, project.lake.read(f"{spec.name}/predictions"))
    if order.compare:
        compared = next((s for s in retrained if s.name == replay.compare), retrained[0])
        refusal = lived_by_the_wall(compared) or under_two_specs(compared, project.lake)
        parts.append(refusal or compare_policies(project, compared, replay.periods, progress, replay.naive))
    lines += [answers_since(spec, project) for spec in retrained] if by_wall else []
    parts += ["\n".join(lines)] if lines else []
    print("\n" + "\n\n".join(parts))
    tell_status(project)
    seconds = time.monotonic() - started
    print("\n" + text_table(stage_rows(progress.seconds, seconds)))
    print(f"\nDone in {clock(seconds)}.")
    return "\n\n".join(parts) + "\n"


def tell_status(project: "Project") -> None:
    """Have the endpoint's first page and the asset `platform/status` show how the models stand at the end."""
    from mlops_assets.kit.described import described
    from mlops_assets.kit.status_page import status_event, tell
    from resources.systems import Systems

    systems, instance = Systems.of(project.resources), project.instance
    platform = described(systems, project.specs, project.declared.broken, instance)
    instance.report_runless_asset_event(status_event(tell(systems, platform, instance)))


def up_to(names: Sequence[str], through: str | None) -> list[str]:
    """The partitions up to and with one; all where none is named. Raises ProjectError for a name that none has."""
    from mlops_assets.project import ProjectError

    if through is not None and through not in names:
        there = f"they go from {names[0]} to {names[-1]}" if names else "none is over yet"
        raise ProjectError(f"no partition is called {through!r}: {there}, name one of them")
    return [name for name in names if through is None or name <= through]


def models_of(project: "Project", use_case: UseCase) -> tuple[list[ModelSpec], list[ModelSpec]]:
    """The models of a use case that the sensors retrain while it is replayed, and those that are trained once after it."""
    ours = [spec for spec in project.specs.values() if spec.use_case == use_case.name]
    named = use_case.replay.models
    retrained = ours if named is None else [spec for name in named for spec in ours if spec.name == name]
    return retrained, [spec for spec in ours if spec not in retrained]


def write_outcome(folder: Path, table: pl.DataFrame, predictions: pl.DataFrame) -> None:
    """`OUTCOME_TABLE`, one line a partition, and `predictions.parquet`, one row a prediction."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / OUTCOME_TABLE, table.write_csv())
    temporary = folder / ".predictions.parquet.tmp"
    predictions.write_parquet(temporary)
    temporary.replace(folder / "predictions.parquet")


def stage_rows(seconds: Mapping[str, float], total: float) -> Iterable[dict[str, Any]]:
    """Seconds by stage, longest first; what no step accounts for is Dagster's own and the replay's."""
    grouped: dict[str, float] = {}
    for step, spent in seconds.items():
        stage = step.replace("__", "/")
        name = "feature tables" if FEATURE_TABLE.fullmatch(stage) else stage
        grouped[name] = grouped.get(name, 0.0) + spent
    rows = sorted(grouped.items(), key=lambda pair: -pair[1])
    rows.append(("runs, events and sensors", total - sum(grouped.values())))
    return [
        {"stage": name, "seconds": f"{spent:.1f}", "share": f"{spent / total:.0%}"} for name, spent in rows
    ]


def print_size(settings: Settings) -> None:
    """The size of the state folder, by its parts."""
    print(f"State in {settings.home}: {size_of(settings.home) / 1e6:.0f} MB")
    for folder in sorted(p for p in settings.home.glob("*") if p.is_dir()):
        print(f"  {folder.name:<10} {size_of(folder) / 1e6:8.1f} MB")

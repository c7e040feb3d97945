"""The main job, `make run`: the year replayed, the table at its end, and what retraining was worth."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl
import pydantic

from mlops_assets.spec.decides import changes, of_a_fit
from mlops_assets.spec.files import declared_specs
from resources.at_work import alone
from resources.settings import Settings
from resources.state_folder import size_of
from resources.storage.addresses import storage_at
from resources.storage.durable import write_text
from resources.yaml_files import YamlError

MAIN_MODEL = "flight_delay"
FEATURE_TABLE = re.compile(r"\w+/features/(?!online$|registry$)\w+")


def replay_year(settings: Settings, through: str | None, compare: bool, others: bool) -> int:
    """Replay all weeks (or up to `through`), train the other models once, write and print what came of it."""
    wanted = {"through": through, "compare": compare, "models": _models(others)}
    finished = _finished(settings)
    if finished == wanted and wanted["models"] is not None:
        print(
            f"The replay is done; its table is {settings.replay / 'weeks.csv'}. `make dev` shows the rest.\n"
        )
        print((settings.replay / "report.txt").read_text())
        print_size(settings)
        return 0
    for line in _changes(finished, wanted["models"]):
        print(line, flush=True)
    with alone(settings.home, "a replay"):
        storage_at(settings.lake).sweep()
        report = _replay(settings, through, compare, others)
        write_text(settings.replay / "report.txt", report)
        write_text(settings.replay / "finished.json", json.dumps(wanted))
    print_size(settings)
    return 0


def _models(others: bool) -> dict[str, Any] | None:
    """The whole spec of each model: one that is added, or a field that changes, makes a finished replay unfinished.

    None where a spec cannot be read; what is wrong is told when the definitions are loaded.
    """
    try:
        specs = declared_specs()
    except (YamlError, pydantic.ValidationError):
        return None
    return {
        name: spec.model_dump(mode="json") for name, spec in specs.items() if others or name == MAIN_MODEL
    }


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
    return "that makes no other model: it counts from the next week, training or deployment on"


def _finished(settings: Settings) -> dict[str, Any] | None:
    marker = settings.replay / "finished.json"
    return json.loads(marker.read_text()) if marker.exists() else None


def _replay(settings: Settings, through: str | None, compare: bool, others: bool) -> str:
    started = time.monotonic()
    from mlops_assets.project import Project
    from mlops_assets.replay.clock import Progress, clock
    from mlops_assets.replay.owed import first_model, follow_spec, score_served_weeks, under_two_specs
    from mlops_assets.replay.policies import compare_policies
    from mlops_assets.replay.tables import text_table, weeks_table

    project = Project.open(settings)
    spec = project.specs[MAIN_MODEL]
    weeks = [week for week in project.week_names(spec) if through is None or week <= through]
    print(f"Replaying {len(weeks)} weeks, {weeks[0]} to {weeks[-1]}; state in {settings.home}", flush=True)
    progress = Progress(len(weeks))
    progress.seconds["start up"] = time.monotonic() - started
    project.clock([MAIN_MODEL]).replay(spec.use_case, weeks, progress)
    told = list(follow_spec(project, spec, progress))
    for other in project.specs.values() if others else ():
        if other.name != MAIN_MODEL:
            first_model(project, other, progress)
            told += [*follow_spec(project, other, progress), score_served_weeks(project, other, progress)]
    table = weeks_table(spec, project.lake)
    parts = [text_table(table.iter_rows(named=True))]
    write_outcome(settings, table, project.lake.read(f"{spec.name}/predictions"))
    if compare:
        parts.append(under_two_specs(spec, project.lake) or compare_policies(project, spec, progress))
    parts += ["\n".join(told)] if told else []
    print("\n" + "\n\n".join(parts))
    seconds = time.monotonic() - started
    print("\n" + text_table(stage_rows(progress.seconds, seconds)))
    print(f"\nDone in {clock(seconds)}.")
    return "\n\n".join(parts) + "\n"


def write_outcome(settings: Settings, table: pl.DataFrame, predictions: pl.DataFrame) -> None:
    """`replay/weeks.csv`, one line a week, and `replay/predictions.parquet`, one row a prediction."""
    settings.replay.mkdir(parents=True, exist_ok=True)
    write_text(settings.replay / "weeks.csv", table.write_csv())
    temporary = settings.replay / ".predictions.parquet.tmp"
    predictions.write_parquet(temporary)
    temporary.replace(settings.replay / "predictions.parquet")


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

"""The project opened for work in this process: definitions, instance, resources and specs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pydantic
from dagster.components.core.component_tree import ComponentTreeException

from mlops_assets.kit.run_tags import REASON_TAG, TRIGGER_TAG
from mlops_assets.replay.clock import Clock, Progress
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.tables import Table
from resources.lake.lake import Lake
from resources.settings import Settings
from resources.tracking.tracking import Tracking
from resources.yaml_files import YamlError


class ProjectError(Exception):
    """The definitions cannot be loaded; says in which file and line and why."""


@dataclass(frozen=True)
class Declared:
    """What the code declares: definitions, specs by model, and tables, each after those that it is made from."""

    defs: dg.Definitions
    specs: dict[str, ModelSpec]
    tables: list[Table]

    @classmethod
    def load(cls) -> "Declared":
        """Load it without touching any state; a mistake in a defs.yaml in a few lines instead of a traceback."""
        try:
            from mlops_assets.definitions import defs, specs, tables
        except (ComponentTreeException, pydantic.ValidationError) as error:
            said = str(error.__cause__ or error).splitlines()
            raise ProjectError(
                "\n".join(line for line in said if "errors.pydantic.dev" not in line)
            ) from error
        return cls(defs, specs(), tables())


@dataclass
class Project:
    """What the main job and the command line work with."""

    defs: dg.Definitions
    instance: dg.DagsterInstance
    settings: Settings
    resources: dict[str, Any]
    specs: dict[str, ModelSpec]

    @classmethod
    def open(cls, settings: Settings) -> "Project":
        """Load the definitions and the Dagster instance that `make dev` shows."""
        from mlops_assets.local.servers import prepare_dagster_home

        try:
            prepare_dagster_home(settings)
        except YamlError as error:
            raise ProjectError(str(error)) from error
        from resources.local import local_resources

        loaded = Declared.load()
        return cls(loaded.defs, dg.DagsterInstance.get(), settings, local_resources(settings), loaded.specs)

    @property
    def lake(self) -> Lake:
        return self.resources["lake"]

    def week_names(self, spec: ModelSpec) -> list[str]:
        """Every partition of a model's data; of a calendar without an end, those that are over now."""
        return spec.calendar.names(spec.calendar.over or datetime.now(UTC))

    @property
    def tracking(self) -> Tracking:
        return self.resources["tracking"]

    def clock(self, models: Sequence[str]) -> Clock:
        """A clock that listens to the sensors of these models."""
        known = {sensor.name for sensor in self.defs.sensors or []}
        names = [n for m in models for n in (f"score_{m}_when_features_arrive", f"retrain_{m}_on_evidence")]
        return Clock(self.defs, self.instance, self.lake, [name for name in names if name in known])

    def join(self, spec: ModelSpec, progress: Progress) -> None:
        """Join the weeks that a model trained now learns from."""
        weeks = self.lake.partitions(spec.prediction.table)
        now, days = spec.calendar.partition(weeks[-1]).end, spec.window.days
        within = spec.calendar.covering(spec.calendar.days_before(now, days), now) if days else weeks
        needed = [week for week in weeks if week in {*within}]
        progress.stage(weeks[-1], f"{spec.name}_week: training set of {len(needed)} weeks")
        span = {
            "dagster/asset_partition_range_start": needed[0],
            "dagster/asset_partition_range_end": needed[-1],
        }
        self.clock([]).execute(f"{spec.name}_week", progress, tags=span, assets=[[spec.name, "training_set"]])

    def train(self, spec: ModelSpec, reason: str, trigger: str, progress: Progress) -> None:
        """Train a challenger now, judge it, and deploy it if it passes."""
        progress.stage(self.lake.partitions(spec.prediction.table)[-1], f"{spec.name}_retrain: {reason}")
        self.clock([]).execute(
            f"{spec.name}_retrain", progress, tags={REASON_TAG: reason, TRIGGER_TAG: trigger}
        )

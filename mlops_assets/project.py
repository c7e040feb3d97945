"""The project opened for work in this process: definitions, instance, resources and specs side by side."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets.kit.run_tags import FIRST_TAG, LAST_TAG, REASON_TAG, TRIGGER_TAG
from mlops_assets.replay.clock import Clock, Progress, sensors_of
from mlops_assets.replay.reach import partitions_to_replay
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.use_case import UseCase
from mlops_assets.stages.tables import Table
from resources.clock import now_at
from resources.lake.lake import Lake
from resources.settings import Settings
from resources.tracking.tracking import Tracking
from resources.use_case_folders import UseCaseFolderError, use_case_folder
from resources.yaml_files import YamlError


class ProjectError(Exception):
    """The definitions cannot be loaded; says in which file and line and why."""


@dataclass(frozen=True)
class Declared:
    """What the code declares: definitions, specs by model, and tables, each after those that it is made from."""

    defs: dg.Definitions
    specs: dict[str, ModelSpec]
    tables: list[Table]
    use_cases: dict[str, UseCase]
    broken: dict[str, str]
    """Of each use case that does not load, why."""

    @classmethod
    def load(cls) -> "Declared":
        """Load it without touching any state; a mistake in a defs.yaml in a few lines instead of a traceback."""
        logging.getLogger("mlops_assets.definitions").setLevel(
            logging.CRITICAL
        )  # what is broken is told here
        try:
            from mlops_assets.definitions import defs, loaded, specs, tables
        except UseCaseFolderError as error:
            raise ProjectError(str(error)) from error
        there, broken = loaded()
        use_cases = {name: one.use_case for name, one in there.items()}
        return cls(defs, specs(), tables(), use_cases, broken)

    def use_case(self, name: str) -> UseCase:
        """The use case of that name; ProjectError, with file and line, where it does not load."""
        if name in self.broken:
            raise ProjectError(self.broken[name])
        if name not in self.use_cases:
            there = ", ".join(sorted({*self.use_cases, *self.broken}))
            raise ProjectError(f"use case {name!r} does not exist; there are: {there}")
        return self.use_cases[name]


@dataclass
class Project:
    """What the main job and the command line work with."""

    instance: dg.DagsterInstance
    settings: Settings
    resources: dict[str, Any]
    declared: Declared

    @classmethod
    def open(cls, settings: Settings) -> "Project":
        """Load the definitions and the Dagster instance that `make dev` shows."""
        from mlops_assets.local.servers import prepare_dagster_home

        try:
            prepare_dagster_home(settings)
        except YamlError as error:
            raise ProjectError(str(error)) from error
        from resources.cluster import resources_of

        declared = Declared.load()
        return cls(dg.DagsterInstance.get(), settings, resources_of(settings), declared)

    @property
    def defs(self) -> dg.Definitions:
        return self.declared.defs

    @property
    def specs(self) -> dict[str, ModelSpec]:
        return self.declared.specs

    def use_case(self, name: str) -> UseCase:
        """The use case of that name; ProjectError where it does not load."""
        return self.declared.use_case(name)

    @property
    def lake(self) -> Lake:
        return self.resources["lake"]

    def partition_names(self, spec: ModelSpec) -> list[str]:
        """Every partition of a model's data; of a calendar without an end, those whose rows can be there by now."""
        return partitions_to_replay(use_case_folder(spec.use_case), now_at(self.settings))

    @property
    def tracking(self) -> Tracking:
        return self.resources["tracking"]

    def clock(self, models: Sequence[str]) -> Clock:
        """A clock that listens to the sensors of these models."""
        known = {sensor.name for sensor in self.defs.sensors or []}
        names = [name for model in models for name in sensors_of(model)]
        return Clock(self.defs, self.instance, self.lake, [name for name in names if name in known])

    def join(self, spec: ModelSpec, progress: Progress) -> None:
        """Join the partitions that a model trained now learns from."""
        partitions = self.lake.partitions(spec.prediction.table)
        now, days = spec.calendar.partition(partitions[-1]).end, spec.window.days
        within = spec.calendar.covering(spec.calendar.days_before(now, days), now) if days else partitions
        needed = [partition for partition in partitions if partition in {*within}]
        progress.stage(partitions[-1], f"{spec.name}_partition: training set of {len(needed)} partitions")
        span = {FIRST_TAG: needed[0], LAST_TAG: needed[-1]}
        self.clock([]).execute(
            f"{spec.name}_partition", progress, tags=span, assets=[[spec.name, "training_set"]]
        )

    def train(self, spec: ModelSpec, reason: str, trigger: str, progress: Progress) -> None:
        """Train a challenger now, judge it, and deploy it if it passes."""
        progress.stage(self.lake.partitions(spec.prediction.table)[-1], f"{spec.name}_retrain: {reason}")
        self.clock([]).execute(
            f"{spec.name}_retrain", progress, tags={REASON_TAG: reason, TRIGGER_TAG: trigger}
        )

"""The fits that simulated policies ask for: each made once, or taken from the registry, with word of when the last is done."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from mlops_assets.ml.training.fit import fit
from mlops_assets.project import Project
from mlops_assets.replay.clock import Progress
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.identity import version_identity
from mlops_assets.stages.search_results import training_spec
from mlops_assets.stages.training import training_files
from mlops_assets.stages.training_set import TrainingData, training_data
from resources.tracking.tracking import Kind

KINDS: tuple[Kind, Kind] = ("challenger", "refit")


class Fits:
    """Fits as the pipeline fits; policies that train on the same rows share a fit, also with the pipeline itself.

    `ahead` has the fits that are expected at some partitions and not made yet, by partition and kind, with the partitions that each
    learns from: what a fit costs grows with them.
    """

    def __init__(
        self, project: Project, spec: ModelSpec, progress: Progress, expected: Sequence[str]
    ) -> None:
        self.project, self.spec, self.progress = project, spec, progress
        self.registered = {version.identity: version for version in project.tracking.versions(spec.name)}
        self.models: dict[str, tuple[bytes, int]] = {}
        self.ahead = dict(self._expected(expected))
        self.fitted, self.seconds, self.learnt_partitions = 0, 0.0, 0

    def __call__(self, partition: str, now: datetime, held: bool, rounds: int | None) -> tuple[bytes, int]:
        """Model bytes and rounds of a training at the end of a partition, with the newest days held out or refitted on all."""
        spec, data = self._question(partition)
        kind = KINDS[0] if held else KINDS[1]
        identity = version_identity(spec, data, kind)
        if identity not in self.models:
            version = self.registered.get(identity)
            self.models[identity] = self._loaded(version) if version else self._fit(spec, data, kind, rounds)
        return self.models[identity]

    def to_go(self, partition: str, kind: Kind) -> float | None:
        """Seconds that this fit and those after it should take, by what the ones before took; None before the first."""
        if not self.learnt_partitions:
            return None
        later = [
            partitions
            for (at, which), partitions in self.ahead.items()
            if at > partition or (at == partition and which >= kind)
        ]
        return self.seconds / self.learnt_partitions * sum(later)

    def _expected(self, partitions: Sequence[str]) -> Iterator[tuple[tuple[str, Kind], int]]:
        for partition in partitions:
            spec, data = self._question(partition)
            for kind in KINDS:
                if version_identity(spec, data, kind) not in self.registered:
                    yield (partition, kind), len(data.hashes)

    def _question(self, partition: str) -> tuple[ModelSpec, TrainingData]:
        spec, _ = training_spec(self.spec, self.project.lake, partition)
        return spec, training_data(spec, self.project.lake, partition)

    def _loaded(self, version: Any) -> tuple[bytes, int]:
        return self.project.tracking.load(version), int(version.tags["rounds"])

    def _fit(self, spec: ModelSpec, data: TrainingData, kind: Kind, rounds: int | None) -> tuple[bytes, int]:
        self.fitted, started = self.fitted + 1, time.monotonic()
        what = f"comparison of policies: {kind}, fit {self.fitted} of at most {self._most()}"
        self.progress.stage(data.partition, what, self.to_go(data.partition, kind))
        files = training_files(spec, data, hold_out=kind == KINDS[0])
        fitted = fit(files, spec, data.features, rounds=rounds, reach=self.project.resources["compute"])
        self.ahead.pop((data.partition, kind), None)
        self.seconds += time.monotonic() - started
        self.learnt_partitions += len(data.hashes)
        return fitted.model, fitted.rounds

    def _most(self) -> int:
        """This fit, those before it and all that are expected still."""
        return self.fitted - 1 + max(1, len(self.ahead))

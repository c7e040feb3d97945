"""Partitions of a replay that share a run: those between which no model can be asked to be trained.

Partitions are ingested up to the first at whose end some model may be; a model's own are scored and reported on where it is
that one, with what got labels since, and at the end.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

from mlops_assets.automation.unreported import partitions_to_score
from mlops_assets.ml.monitoring.policy import quiet_until
from mlops_assets.project import Project
from mlops_assets.promotion.rollout_states import under_way
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.model import ModelSpec

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


class SharedRuns:
    """What follows from the retrain policies of the models: until when nothing is decided, and what is then to be scored."""

    def __init__(self, project: Project, specs: Sequence[ModelSpec]) -> None:
        self.project, self.specs = project, specs

    def count(self, waiting: Sequence[str]) -> int:
        """How many of the partitions that wait are ingested together: up to the first at whose end something may be decided."""
        calendar = self.specs[0].calendar
        moments = [until for spec in self.specs if (until := self._quiet_until(spec))]
        quiet = (
            n for n, name in enumerate(waiting, 1) if any(calendar.partition(name).end >= m for m in moments)
        )
        return next(quiet, len(waiting))

    def resting(self, partition: str) -> Collection[str]:
        """The models of which nothing can be decided at the end of a partition."""
        end = self.specs[0].calendar.partition(partition).end
        return {spec.name for spec in self.specs if (until := self._quiet_until(spec)) is None or end < until}

    def due(self, resting: Collection[str] = ()) -> Iterator[tuple[str, Sequence[str]]]:
        """The jobs that score what was ingested and report again on what got labels, with partitions that follow each other."""
        for spec in self.specs:
            if spec.name in resting:
                continue
            due = partitions_to_score(spec, self.project.lake, self.project.resources["clock"])
            for names in in_a_row(spec.calendar, [name for name, _ in due]):
                yield f"{spec.name}_partition", names

    def _quiet_until(self, spec: ModelSpec) -> datetime | None:
        """Until when nothing can be decided about a model; while a roll-out is under way each partition decides."""
        if spec.rollout and under_way(self.project.lake, spec.name):
            return LONG_AGO
        attempts = self.project.lake.records(f"{spec.name}/attempts")
        last = spec.calendar.partition(attempts[-1]).end if attempts else None
        return quiet_until(last, spec, self.project.tracking.champion(spec.name) is not None)


def in_a_row(calendar: Calendar, names: Sequence[str]) -> Iterator[list[str]]:
    """Partitions in groups in which each follows the one before it."""
    row: list[str] = []
    for name in names:
        if row and calendar.next(row[-1]) != name:
            yield row
            row = []
        row.append(name)
    if row:
        yield row

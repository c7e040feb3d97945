"""What a replay is of a use case with `clock: wall`: what is over is caught up with, and nothing is said to have been served then.

A model answers from the moment at which it was promoted. Whoever catches up promotes now, so that one training at the
end does what trainings at earlier ends could not: no past row can be scored by any of them.
"""

from collections.abc import Sequence

from mlops_assets.project import Project
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.use_case import UseCase


def retrain_sensors(specs: Sequence[ModelSpec]) -> list[str]:
    """Those that act after the last partition alone: what they would train before it could have scored nothing."""
    return [f"retrain_{spec.name}_on_evidence" for spec in specs]


def none_is_over(use_case: UseCase) -> str:
    """What to say where there is nothing to replay yet."""
    first = use_case.calendar.first
    return (
        f"no partition of use case {use_case.name!r} is over yet, or none of its sources has rows: the first, {first.name}, "
        f"ends at {first.end:%Y-%m-%d %H:%M} UTC; `mlops dev` waits for it"
    )


def lived_by_the_wall(spec: ModelSpec) -> str | None:
    """Why the policies of a model cannot be compared: by the wall clock no policy was lived through in a replay."""
    if spec.clock != "wall":
        return None
    return (
        f"The comparison of policies is left out: {spec.name} lives by the wall clock, by which a past partition was answered "
        "by nobody. With clock: data its history is replayed as it would have been."
    )


def answers_since(spec: ModelSpec, project: Project) -> str:
    """Since when a model answers, and who goes on from here."""
    promotions = [moment for version in project.tracking.versions(spec.name) for moment in version.promotions]
    goes_on = "`mlops dev` goes on by itself as partitions end"
    if not promotions:
        return f"{spec.name}: no version was promoted yet, so nothing is scored; {goes_on}."
    return (
        f"{spec.name}: its first champion answers from {min(promotions):%Y-%m-%d %H:%M} UTC on, by the wall clock; rows before "
        f"that have no scores; {goes_on}."
    )

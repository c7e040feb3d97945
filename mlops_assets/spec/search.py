"""Hyperparameter search: how much of it, judged by which metric, over which values."""

from collections.abc import Iterator, Mapping
from itertools import count, takewhile
from math import ceil
from typing import Any, Self

import pydantic
from pydantic import Field, TypeAdapter

from mlops_assets.spec.base import Part
from mlops_assets.spec.dimensions import Choices, Dimension, Range
from mlops_assets.spec.gate import METRICS
from mlops_assets.spec.trainers import AnyTrainer, Trainer, spec_kind

GRACE_SHARE = 4
"""By default every trial gets this part of `trainer.rounds` before it can be stopped."""


class Asha(Part):
    """Asynchronous successive halving: at each rung only the best trials go on (Li and others 2020)."""

    grace: int | None = Field(
        default=None,
        ge=1,
        description="Rounds or epochs of the first rung; a quarter of trainer.rounds by default.",
    )
    reduction: float = Field(
        default=3, ge=1.5, description="One trial in so many goes on, and rungs lie so many times apart."
    )

    def rungs(self, rounds: int) -> list[int]:
        """After how many rounds trials are compared, the last round left out."""
        first = self.grace or max(1, rounds // GRACE_SHARE)
        rungs = (ceil(first * self.reduction**k) for k in count())
        return sorted(set(takewhile(lambda rung: rung < rounds, rungs)))


class Search(Part):
    """A search over the trainer's parameters, scored on the newest rows that a challenger may see."""

    trials: int | None = Field(
        default=None, ge=1, description="Trials in all, the spec's own parameters first."
    )
    minutes: float | None = Field(default=None, gt=0, description="No trial starts after so many minutes.")
    metric: str | None = Field(
        default=None, description="What trials are compared by; the gate's by default."
    )
    space: dict[str, Dimension] | None = Field(
        default=None,
        min_length=1,
        description="Parameter -> its values; by default those of the trainer's kind.",
    )
    asha: Asha | None = Field(
        default=Asha(), description="Stops bad trials early; null lets all run to their end."
    )
    seed: int = 0
    concurrent: int = Field(
        default=1, ge=1, description="Trials at a time. With one the same search gives the same winner."
    )
    apply: bool = Field(default=True, description="Whether the next training takes the winner's parameters.")

    @pydantic.model_validator(mode="after")
    def _has_a_budget(self) -> Self:
        if self.trials is None and self.minutes is None:
            raise ValueError(
                "search has no budget: give trials, minutes or both, for example search: {trials: 20}"
            )
        return self


def space_of(search: Search, trainer: AnyTrainer) -> dict[str, Range | Choices]:
    """The dimensions of a search by the names that the spec spells them by."""
    if search.space is not None:
        return dict(search.space)
    given, kind = getattr(trainer, "parameters", {}), spec_kind(trainer.kind)
    other = kind.aliases
    return {(other[n] if other.get(n) in given else n): dimension for n, dimension in kind.space.items()}


def own_values(trainer: AnyTrainer, names: Mapping[str, object]) -> dict[str, Any]:
    """What the spec itself says of these parameters; those it leaves to the library are left out."""
    given = trainer.hyperparameters()
    return {name: given[name] for name in names if name in given}


def with_parameters(trainer: AnyTrainer, parameters: Mapping[str, Any]) -> AnyTrainer:
    """The trainer with these parameters: of its library where it passes some on, else fields of its own."""
    given = trainer.model_dump()
    given |= {"parameters": given["parameters"] | dict(parameters)} if "parameters" in given else parameters
    return TypeAdapter(Trainer).validate_python(given)


def search_fits(search: Search, task: str, trainer: AnyTrainer) -> str | None:
    """What is wrong with a search for a task and a trainer, or None."""
    if search.metric is not None and search.metric not in METRICS[task]:
        return f"search.metric={search.metric!r} does not exist for task {task}: choose from {', '.join(METRICS[task])}"
    space = space_of(search, trainer)
    if not space:
        return f"search has no space, and a trainer of kind {trainer.kind} has none by default: name its parameters in search.space"
    return next(_misfits(space, trainer), None)


def _misfits(space: Mapping[str, Range | Choices], trainer: AnyTrainer) -> Iterator[str]:
    tunable = set(trainer.hyperparameters())
    for name, dimension in space.items():
        if name in type(trainer).model_fields and name not in tunable:
            yield f"search.space.{name}: trainer.{name} is the same for all trials; leave it out of the space"
        elif "parameters" not in type(trainer).model_fields and name not in tunable:
            yield f"search.space.{name} is no parameter of the trainer: choose from {', '.join(sorted(tunable))}"
        else:
            yield from _refused(name, dimension, trainer)


def _refused(name: str, dimension: Range | Choices, trainer: AnyTrainer) -> Iterator[str]:
    for value in dimension.samples:
        try:
            with_parameters(trainer, {name: value})
        except pydantic.ValidationError as error:
            yield f"search.space.{name} allows {value!r}, which trainer.{name} refuses: {error.errors()[0]['msg']}"

"""Hyperparameter search: how much of it, judged by which metric, over which values."""

from collections.abc import Iterator, Mapping
from itertools import count, takewhile
from math import ceil
from typing import Annotated, Any, Self

import pydantic
from pydantic import BeforeValidator, Field, TypeAdapter

from mlops_assets.spec.base import FreeValues, Part
from mlops_assets.spec.gate import METRICS
from mlops_assets.spec.trainers import AnyTrainer, Trainer

GRACE_SHARE = 4
"""By default every trial gets this part of `trainer.rounds` before it can be stopped."""


class Range(Part):
    """A number from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = Field(default=False, description="Drawn evenly on a logarithmic scale.")
    integer: bool = False

    @pydantic.model_validator(mode="after")
    def _is_a_range(self) -> Self:
        ends = f"low={self.low:g} and high={self.high:g}"
        if self.low >= self.high:
            raise ValueError(
                f"{ends} leave nothing to choose: set low below high, or leave the parameter out"
            )
        if self.log and self.low <= 0:
            raise ValueError(
                f"{ends} with log=true: a logarithmic scale has no 0; set low above 0, or log to false"
            )
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"{ends} with integer=true: give whole numbers, or set integer to false")
        return self

    @property
    def samples(self) -> list[Any]:
        """Values of which a trainer must accept each: both ends."""
        return [int(end) if self.integer else end for end in (self.low, self.high)]

    def holds(self, value: Any) -> bool:
        """Whether a value lies in the range."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and not (self.integer and value % 1)


class Choices(Part):
    """One of these values; they have no order."""

    choices: FreeValues = Field(min_length=2)

    @property
    def samples(self) -> list[Any]:
        return self.choices

    def holds(self, value: Any) -> bool:
        return value in self.choices


def _of_its_kind(value: object) -> object:
    """Check a dimension as the one kind that its fields show, so that a mistake is told once."""
    if not isinstance(value, dict):
        return value
    return (Choices if "choices" in value else Range).model_validate(value)


Dimension = Annotated[Range | Choices, BeforeValidator(_of_its_kind)]


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


ALIASES = {
    "eta": "learning_rate",
    "lambda": "reg_lambda",
    "learning_rate": "eta",
    "min_data_in_leaf": "min_child_samples",
    "feature_fraction": "colsample_bytree",
    "lambda_l2": "reg_lambda",
}
"""A library's other name of a parameter: the spec's own spelling is kept, so that none is given twice."""

SPACES: dict[str, dict[str, Range | Choices]] = {
    "xgboost": {
        "eta": Range(low=0.02, high=0.3, log=True),
        "max_depth": Range(low=3, high=10, integer=True),
        "min_child_weight": Range(low=1, high=100, log=True),
        "subsample": Range(low=0.5, high=1),
        "colsample_bytree": Range(low=0.3, high=1),
        "lambda": Range(low=0.1, high=100, log=True),
    },
    "lightgbm": {
        "learning_rate": Range(low=0.02, high=0.3, log=True),
        "num_leaves": Range(low=8, high=256, log=True, integer=True),
        "min_data_in_leaf": Range(low=5, high=200, log=True, integer=True),
        "feature_fraction": Range(low=0.3, high=1),
        "lambda_l2": Range(low=0.01, high=100, log=True),
    },
    "torch_tabular": {
        "learning_rate": Range(low=1e-4, high=1e-2, log=True),
        "weight_decay": Range(low=1e-6, high=1e-2, log=True),
        "dropout": Range(low=0, high=0.5),
        "batch_size": Choices(choices=[256, 512, 1024, 2048]),
        "hidden": Choices(choices=[[64], [128, 64], [256, 128], [256, 128, 64]]),
    },
}
"""What is searched where the spec names no space."""


def space_of(search: Search, trainer: AnyTrainer) -> dict[str, Range | Choices]:
    """The dimensions of a search by the names that the spec spells them by."""
    if search.space is not None:
        return dict(search.space)
    given = getattr(trainer, "parameters", {})
    known = SPACES.get(getattr(trainer, "kind", ""), {})
    return {(ALIASES[n] if ALIASES.get(n) in given else n): dimension for n, dimension in known.items()}


def own_values(trainer: AnyTrainer, names: Mapping[str, object]) -> dict[str, Any]:
    """What the spec itself says of these parameters; those it leaves to the library are left out."""
    given = trainer.hyperparameters()
    return {name: given[name] for name in names if name in given}


def with_parameters(trainer: AnyTrainer, parameters: Mapping[str, Any]) -> Trainer:
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
        kind = getattr(trainer, "kind", "")
        return f"search has no space, and a trainer of kind {kind} has none by default: name its parameters in search.space"
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

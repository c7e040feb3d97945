"""What a parameter may be in a search: a range of numbers, or one of some values."""

from typing import Annotated, Any, Self

import pydantic
from pydantic import BeforeValidator, Field

from mlops_assets.spec.base import FreeValues, Part


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

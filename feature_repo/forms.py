"""Ways to call the function of an on-demand view beside the one that Feast calls: with the values of one row, or with arrays.

A module that imports no Feast has a `Form` at its top level, and whoever serves the view finds it by the view's name. Feast
goes on with the function that the view was made of, which alone decides what the features are.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Form:
    """Of one view, a function of one row (`scalar`), of columns as float64 arrays (`numpy`), or both.

    Each takes columns of the request and features by the names of its parameters, and gives every feature of the view by its
    name. A missing value is None to `scalar` and NaN to `numpy`, in what they take as in what they give.
    """

    view: str
    scalar: Callable[..., Mapping[str, Any]] | None = None
    numpy: Callable[..., Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        if self.scalar is None and self.numpy is None:
            raise ValueError(
                f"the form of the on-demand view {self.view!r} has no function: give scalar or numpy"
            )

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Names of the columns that the functions take, of both the same."""
        given = [tuple(inspect.signature(f).parameters) for f in (self.scalar, self.numpy) if f]
        if set(given[0]) != set(given[-1]):
            raise ValueError(
                f"the functions of the on-demand view {self.view!r} take {', '.join(given[0])} and {', '.join(given[-1])}: "
                "give both the same parameters"
            )
        return given[0]

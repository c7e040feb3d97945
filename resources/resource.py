"""What every system is to the platform: a plain value whose fields say how it is reached."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Resource(BaseModel):
    """A system by its settings; nothing is reached before a method is called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @contextmanager
    def during(self, log: Any, in_run: bool) -> Iterator[Self]:
        """The system for as long as somebody works with it: a run of assets (`in_run`), or a sensor that only looks."""
        yield self

"""Moments and days as they come from outside, read by the one reader that the feature store has too."""

from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator

from feature_repo.offline_store.iso8601 import MomentError, read_day, read_moment

__all__ = ["Moment", "MomentError", "read_day", "read_moment"]

Moment = Annotated[AwareDatetime, BeforeValidator(read_moment)]
"""A field of a pydantic model: ISO 8601 with a zone, in UTC. Pydantic alone takes numbers too, and guesses their unit."""

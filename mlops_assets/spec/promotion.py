"""Who lets a challenger that passed become champion, and whether the champion answers."""

from typing import Literal, Self

import pydantic
from pydantic import Field

from mlops_assets.spec.base import Part


class Promotion(Part):
    """Who lets a challenger that passed the gate become champion: nobody, or a person who is named."""

    mode: Literal["automatic", "approval"] = Field(
        default="automatic", description="approval: a challenger that passed waits for one of the approvers."
    )
    approvers: list[str] = Field(default_factory=list, description="Names of those who may approve.")

    @pydantic.model_validator(mode="after")
    def _somebody_may_approve(self) -> Self:
        if self.mode == "approval" and not any(name.strip() for name in self.approvers):
            raise ValueError(
                "promotion.mode=approval and promotion.approvers names nobody: no challenger could ever be promoted; "
                "name at least one person, for example approvers: [ada]"
            )
        return self


class Deployment(Part):
    """Whether the champion answers at the endpoint, `/v1/models/<name>/predict`."""

    enabled: bool = True

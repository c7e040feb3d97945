"""What every piece of a spec is made of."""

from typing import Annotated

import pydantic
from pydantic import Field

ImportPath = Annotated[
    str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", examples=["package.module:function"])
]


class Part(pydantic.BaseModel):
    """A piece of a spec: unknown fields are errors, so that a typo never passes silently."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

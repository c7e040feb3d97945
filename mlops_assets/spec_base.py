"""What every piece of a spec is made of."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import pydantic
from pydantic import AfterValidator, Field

ImportPath = Annotated[
    str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", examples=["package.module:function"])
]


class Part(pydantic.BaseModel):
    """A piece of a spec: unknown fields are errors, so that a typo never passes silently, and every number is finite."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def not_finite(value: Any, texts: bool = False, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every NaN and infinity inside dicts and lists, with the path to it; with `texts` also what reads as one."""
    if isinstance(value, float) or (texts and isinstance(value, str)):
        if _reads_as_not_finite(value):
            yield at, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from not_finite(part, texts, f"{at}.{name}" if at else str(name))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from not_finite(part, texts, f"{at}[{number}]")


def _reads_as_not_finite(value: float | str) -> bool:
    try:
        return not math.isfinite(float(value))
    except ValueError:
        return False


def _all_finite(value: Any, texts: bool = False) -> Any:
    for at, found in not_finite(value, texts):
        raise ValueError(f"{at} is {found!r}, which is no finite number: give a number, or leave it out")
    return value


FreeForm = Annotated[dict[str, Any], AfterValidator(_all_finite)]
"""What is passed on as it is written: any values, but no NaN and no infinity in them."""

ForALibrary = Annotated[dict[str, Any], AfterValidator(partial(_all_finite, texts=True))]
"""The same for a library that reads texts as numbers, to which the text nan is NaN."""

FreeValues = Annotated[list[Any], AfterValidator(_all_finite)]

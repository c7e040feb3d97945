"""The key that a value of a request names: 1, 1.0, Decimal("1.00"), "1" and "1.0" are the whole number 1, "01" is not.

A key that is text is taken as it is; a number names the text that a whole number or a plain decimal is written as.
"""

import re
from decimal import Decimal
from typing import Any

WHOLE = re.compile(r"-?(0|[1-9][0-9]*)(\.0+)?")


def key_value(value: Any, kind: type) -> int | str | None:
    """The value as a key that is `int` or `str`, None for a missing one.

    Raises ValueError, which names the value and the rule, for what equals no key of that type.
    """
    value = value.item() if hasattr(value, "item") else value
    if value is None or value != value:
        return None
    text = _text(value)
    if kind is str and text is not None:
        return text
    if text is not None and WHOLE.fullmatch(text):
        return int(text.partition(".")[0])
    expected = "text" if kind is str else "a whole number"
    raise ValueError(
        f"{value!r} ({type(value).__name__}) is not {expected}: send the value in the type that is declared for it"
    )


def _text(value: Any) -> str | None:
    """Text as it is, a number as it is written without needless zeros; None for anything else."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if value in (float("inf"), float("-inf")):
        return None
    if value == int(value):
        return str(int(value))
    text = format(Decimal(repr(value)) if isinstance(value, float) else value, "f")
    return text.rstrip("0")

"""What a feature service needs of a row, and what it gives."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Needs:
    """Of a service: columns that rows must have, types of its features, and what on-demand features are made of."""

    columns: tuple[str, ...]
    types: dict[str, Any]
    inputs: dict[str, list[str]]

"""Contents of specs as earlier releases wrote them, in records and files that are still read."""

from collections.abc import Mapping
from typing import Any


def as_now(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content (JSON or YAML values) in today's words: `weeks` were a calendar of weeks."""
    if "weeks" not in content or "calendar" in content:
        return dict(content)
    before = content["weeks"]
    calendar = {"cadence": "weekly", **before} if isinstance(before, Mapping) else before
    return {"calendar" if name == "weeks" else name: value for name, value in content.items()} | {
        "calendar": calendar
    }

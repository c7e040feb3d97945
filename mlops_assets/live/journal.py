"""Events as they are told: a line on the screen, and a line of JSON in a file, with the numbers behind it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from resources.clock import wall

Kind = Literal[
    "history",
    "planted",
    "landed",
    "partition in",
    "reported",
    "drift",
    "retraining",
    "judged",
    "promoted",
    "answers",
    "traffic",
    "speed",
    "waiting",
    "failed",
    "refused",
    "alarm",
    "run",
    "ended",
]
SHOWN = 240
"""Characters of an event that a line of the screen shows."""

SILENT: frozenset[Kind] = frozenset({"run"})
EVENTS = "events.jsonl"


@dataclass(frozen=True)
class Event:
    """Something that happened: to which partition and model, in words, with its numbers (JSON values)."""

    kind: Kind
    text: str
    partition: str | None = None
    model: str | None = None
    numbers: dict[str, Any] = field(default_factory=dict)


class Journal:
    """Tells events as they come; `now` is the simulated clock."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file, self._now = folder / EVENTS, now

    def tell(self, event: Event) -> None:
        """Print an event, and add it to the file with the machine's time and the simulated one."""
        now = self._now()
        line = {
            "at": wall().isoformat(),
            "now": now.isoformat(),
            "kind": event.kind,
            "partition": event.partition,
            "model": event.model,
            "text": event.text,
            **event.numbers,
        }
        with self._file.open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")
        if event.kind not in SILENT:
            text = event.text if len(event.text) <= SHOWN else event.text[: SHOWN - 1] + "…"
            print(f"  {now:%Y-%m-%d %H:%M}  {event.kind:<12}  {text}", flush=True)


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The events of a state so far, oldest first."""
    return [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()]

"""What of a lineage is other than it was: every entry that differs from the present one, named, with both values."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resources.records.lineage import Lineage

NODES = {
    "definitions": "feature definition",
    "spec": "spec",
    "packages": "package",
    "lock": "lock",
    "platform": "platform",
    "code": "code",
}
"""Sections that are compared before anything is computed, the most specific first, and what one of their entries is called."""


@dataclass(frozen=True)
class Difference:
    """A node of the lineage that is not what it was, with both values."""

    node: str
    then: str
    now: str

    def __str__(self) -> str:
        return f"{self.node}: {_short(self.then)} then, {_short(self.now)} now"


def differences(lineage: Lineage, now: Mapping[str, Any]) -> list[Difference]:
    """Every entry of the sections in `now` that the lineage has otherwise, in the order of `NODES`.

    `now` maps a section to its present content; sections that it leaves out are not compared. Nobody declares the
    parameters that a search won with, so they are not compared either.
    """
    all_differences, parameters = [], _of_a_search(lineage)
    for section, called in NODES.items():
        if section not in now:
            continue
        then, today = (_comparable(section, value) for value in (getattr(lineage, section), now[section]))
        for name in sorted({*then, *today} - (parameters if section == "spec" else set())):
            if then.get(name) != today.get(name):
                all_differences.append(Difference(f"{called} {name}", _said(then, name), _said(today, name)))
    return all_differences


def _of_a_search(lineage: Lineage) -> set[str]:
    return {f"trainer.{above}{name}" for name in lineage.parameters or {} for above in ("", "parameters.")}


def _comparable(section: str, value: Any) -> dict[str, Any]:
    """A section as entries by dotted name; of the code the files count, because a revision alone changes no byte."""
    if section == "code":
        return dict(value["files"])
    if section == "lock":
        return {"requirements.lock": value}
    return dict(_flat(value))


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _said(entries: Mapping[str, Any], name: str) -> str:
    value = entries.get(name)
    if name not in entries or value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def _short(value: str) -> str:
    return f"{value[:12]}…" if len(value) == 64 else value

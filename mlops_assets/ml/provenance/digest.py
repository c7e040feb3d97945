"""What decides a content, in short: the name of each thing that does, with a digest of it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Fingerprint = Mapping[str, str]
"""Name of what decides a content (code, rules, a table with its partition) -> digest. Equal ones give equal content."""


def digest(value: Any) -> str:
    """A short hash of a JSON value; what JSON does not know counts by its text."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Names of what changed, came or went between two fingerprints, sorted."""
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def names_in_words(changed: list[str], most: int = 3) -> str:
    """Names of what changed as words: `code and rules`, `a, b, c and 4 more`."""
    shown = changed[:most] + ([f"{len(changed) - most} more"] if len(changed) > most else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)

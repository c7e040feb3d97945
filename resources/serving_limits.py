"""What one request may ask of an endpoint, and how long what was accepted may take."""

from dataclasses import dataclass

LARGEST_BODY = 8 * 2**20
"""Bytes; a thousand requests of a few kilobytes each."""

LARGEST_BATCH = 1000
DEADLINE_S = 30
WAIT_MS = 100
VERSION_MB = 2048


@dataclass(frozen=True)
class Limits:
    """Bytes of a body, rows of a body, seconds until an answer, and seconds that a request may wait for those before it."""

    body_bytes: int = LARGEST_BODY
    rows: int = LARGEST_BATCH
    deadline_s: float = DEADLINE_S
    wait_s: float = WAIT_MS / 1000

"""What goes between the endpoint and the process of a version: frames of data, each behind its length.

A frame is JSON, or a table in Arrow's format where values have no JSON. Neither side runs anything that the other sent.
"""

import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from resources.features.column_vectors import ColumnVectors
from resources.features.vectors import OnlineVectors

LENGTH = struct.Struct("<I")
LARGEST = 256 * 2**20
"""Bytes of a frame."""

COLUMNS, TABLE = b"C", b"T"


class WireError(Exception):
    """What came is no frame that the other side sends."""


@dataclass(frozen=True)
class Hello:
    """What a process says first: why it has no model (None: it has it), the features that this reads (None: all), and whether as columns."""

    failed: str | None
    features: Sequence[str] | None = None
    by_columns: bool = False


@dataclass(frozen=True)
class Reply:
    """Scores [rows] and unseen categories by row; or the kind of a fault, and in words what it was."""

    scores: np.ndarray
    unseen: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    fault: str | None = None
    why: str = ""


def framed(content: bytes) -> bytes:
    """A frame; raises WireError for one that would be too large."""
    if len(content) > LARGEST:
        raise WireError(
            f"a frame of {len(content)} bytes, and at most {LARGEST} are sent: ask fewer rows at a time"
        )
    return LENGTH.pack(len(content)) + content


def length_of(head: bytes) -> int:
    """How long the frame behind a length is."""
    (length,) = LENGTH.unpack(head)
    if length > LARGEST:
        raise WireError(f"a frame of {length} bytes is announced, and at most {LARGEST} are read")
    return length


def asked(vectors: OnlineVectors, told: Hello) -> bytes:
    """Of some vectors the columns that a model reads, to be scored."""
    if isinstance(vectors, ColumnVectors) and told.by_columns:
        columns = vectors.columns
        there = columns if told.features is None else [name for name in told.features if name in columns]
        try:
            return COLUMNS + json.dumps({name: columns[name] for name in there}).encode()
        except (TypeError, ValueError):
            pass  # a value that JSON does not know
    frame, content = vectors.frame, io.BytesIO()
    if told.features is not None:
        frame = frame.select(name for name in told.features if name in frame.columns)
    frame.write_ipc(content)
    return TABLE + content.getvalue()


def columns_of(content: bytes) -> Mapping[str, Sequence[Any]] | pl.DataFrame:
    """What is to be scored."""
    if content[:1] == COLUMNS:
        return json.loads(content[1:])
    if content[:1] == TABLE:
        return pl.read_ipc(io.BytesIO(content[1:]))
    raise WireError(f"a frame of kind {content[:1]!r}")


def hello(said: Hello) -> bytes:
    """The first frame of a process."""
    features = None if said.features is None else list(said.features)
    return json.dumps({"failed": said.failed, "features": features, "by_columns": said.by_columns}).encode()


def hello_of(content: bytes) -> Hello:
    """The same, read."""
    told = _object(content)
    failed, features = told.get("failed"), told.get("features")
    if not (failed is None or isinstance(failed, str)) or not (features is None or _texts(features)):
        raise WireError("the first frame is not one of a version's process")
    return Hello(failed, features, told.get("by_columns") is True)


def reply(scores: Any, unseen: Mapping[int, Mapping[str, str]]) -> bytes:
    """Scores, to be sent; raises what numpy does where they are no list of numbers."""
    found = np.asarray(scores, np.float64)
    listed = {str(row): dict(values) for row, values in unseen.items()}
    return json.dumps({"scores": found.tolist(), "unseen": listed}).encode()


def fault(kind: str, why: str) -> bytes:
    """That there are no scores, to be sent."""
    return json.dumps({"fault": kind, "why": why[:1000]}).encode()


def reply_of(content: bytes) -> Reply:
    """What a process answered, as far as it has the form of an answer."""
    told = _object(content)
    if "fault" in told:
        return Reply(np.empty(0), fault=str(told["fault"]), why=str(told.get("why", "")))
    try:
        scores = np.asarray(told["scores"], np.float64)
        unseen = {
            int(row): {str(n): str(v) for n, v in found.items()} for row, found in told["unseen"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"an answer without scores: {type(error).__name__}: {error}") from error
    return Reply(scores, unseen)


def _object(content: bytes) -> dict[str, Any]:
    try:
        told = json.loads(content)
    except ValueError as error:
        raise WireError(f"an answer that is no JSON: {error}") from error
    if not isinstance(told, dict):
        raise WireError("an answer that is no object")
    return told


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)

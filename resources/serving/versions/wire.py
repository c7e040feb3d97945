"""What goes between the endpoint and the process of a version: frames of data, each behind its length.

A frame is JSON, or a table in Arrow's format where values have no JSON. Neither side runs anything that the other sent.
"""

import io
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from resources.features.column_vectors import ColumnVectors
from resources.features.vectors import OnlineVectors
from resources.serving.explanations import FORMULAS

LENGTH = struct.Struct("<I")
LARGEST = 256 * 2**20
"""Bytes of a frame."""

COLUMNS, TABLE, EXPLAIN = b"C", b"T", b"E"
"""Kinds of what is to be scored: columns, a table, and a table of which it is told what each feature added, too."""


class WireError(Exception):
    """What came is no frame that the other side sends."""


@dataclass(frozen=True)
class Hello:
    """What a process says first: why it has no model (None: it has it), the features that this reads (None: all), whether as columns,
    and whether it can say what each of them adds."""

    failed: str | None
    features: Sequence[str] | None = None
    by_columns: bool = False
    explains: bool = False


@dataclass(frozen=True)
class ContributionsOfRows:
    """What each feature added to some scores, as `explanations.Contributions` has it."""

    link: str
    base: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Reply:
    """Scores [rows], unseen categories by row and contributions; or the kind of a fault, and in words what it was.

    `cpu_s` is what its process worked for it.
    """

    scores: np.ndarray
    unseen: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    fault: str | None = None
    why: str = ""
    contributions: ContributionsOfRows | None = None
    cpu_s: float = 0.0


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


def scoring_frame(vectors: OnlineVectors, greeting: Hello, explain: bool = False) -> bytes:
    """Of some vectors the columns that a model reads, to be scored, and explained."""
    if isinstance(vectors, ColumnVectors) and greeting.by_columns and not explain:
        columns = vectors.columns
        there = (
            columns if greeting.features is None else [name for name in greeting.features if name in columns]
        )
        try:
            return COLUMNS + json.dumps({name: columns[name] for name in there}).encode()
        except (TypeError, ValueError):
            pass  # a value that JSON does not know
    frame, content = vectors.frame, io.BytesIO()
    if greeting.features is not None:
        frame = frame.select(name for name in greeting.features if name in frame.columns)
    frame.write_ipc(content)
    return (EXPLAIN if explain else TABLE) + content.getvalue()


def columns_of(content: bytes) -> Mapping[str, Sequence[Any]] | pl.DataFrame:
    """What is to be scored."""
    if content[:1] == COLUMNS:
        return json.loads(content[1:].decode())
    if content[:1] in (TABLE, EXPLAIN):
        return pl.read_ipc(io.BytesIO(content[1:]))
    raise WireError(f"a frame of kind {content[:1]!r}")


def hello(said: Hello) -> bytes:
    """The first frame of a process."""
    features = None if said.features is None else list(said.features)
    can = {"by_columns": said.by_columns, "explains": said.explains}
    return json.dumps({"failed": said.failed, "features": features, **can}).encode()


def hello_of(content: bytes) -> Hello:
    """The same, read."""
    document = _object(content)
    failed, features = document.get("failed"), document.get("features")
    if not (failed is None or isinstance(failed, str)) or not (features is None or _texts(features)):
        raise WireError("the first frame is not one of a version's process")
    return Hello(failed, features, document.get("by_columns") is True, document.get("explains") is True)


def reply(
    scores: Any, unseen: Mapping[int, Mapping[str, str]], contributions: Any = None, cpu_s: float = 0.0
) -> bytes:
    """Scores and contributions, to be sent; raises what numpy does where they are no numbers."""
    numbers = np.asarray(scores, np.float64)
    listed = {str(row): dict(values) for row, values in unseen.items()}
    document: dict[str, Any] = {"scores": numbers.tolist(), "unseen": listed, "cpu_s": cpu_s}
    if contributions is not None:
        document["contributions"] = {
            "link": contributions.link,
            "base": np.asarray(contributions.base, np.float64).tolist(),
            "values": np.asarray(contributions.values, np.float64).tolist(),
        }
    return json.dumps(document).encode()


def fault(kind: str, why: str, cpu_s: float = 0.0) -> bytes:
    """That there are no scores, to be sent."""
    return json.dumps({"fault": kind, "why": why[:1000], "cpu_s": cpu_s}).encode()


def reply_of(content: bytes) -> Reply:
    """What a process answered, as far as it has the form of an answer."""
    document = _object(content)
    cpu_s = _seconds(document.get("cpu_s"))
    if "fault" in document:
        kind, why = str(document["fault"]), str(document.get("why", ""))
        return Reply(np.empty(0), fault=kind, why=why, cpu_s=cpu_s)
    try:
        scores = np.asarray(document["scores"], np.float64)
        unseen = {
            int(row): {str(n): str(v) for n, v in texts.items()} for row, texts in document["unseen"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"an answer without scores: {type(error).__name__}: {error}") from error
    contributions = _contributions(document.get("contributions"), len(scores))
    return Reply(scores, unseen, contributions=contributions, cpu_s=cpu_s)


def _seconds(value: Any) -> float:
    """Of what a process says, which may be anything."""
    return float(value) if isinstance(value, int | float) and 0 <= value < math.inf else 0.0


def _contributions(document: Any, rows: int) -> ContributionsOfRows | None:
    if document is None:
        return None
    try:
        base, values = np.asarray(document["base"], np.float64), np.asarray(document["values"], np.float64)
        contributions = ContributionsOfRows(str(document["link"]), base, values)
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"contributions that are none: {type(error).__name__}: {error}") from error
    if contributions.link not in FORMULAS or base.shape != (rows,) or values.ndim != 2 or len(values) != rows:
        raise WireError(
            f"contributions of link {contributions.link!r} and shape {values.shape} for {rows} rows"
        )
    return contributions


def _object(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content.decode())
    except ValueError as error:
        raise WireError(f"an answer that is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise WireError("an answer that is no object")
    return document


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)

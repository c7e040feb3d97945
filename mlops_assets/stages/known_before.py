"""The scored rows of the partitions before one whose labels were known by its end: what its report rests on, read once for all who ask.

A row is read again by the reports of the twelve partitions after its own, so what is small is remembered by the hashes of what it was
read from.
"""

from collections import OrderedDict

import numpy as np
import polars as pl

from mlops_assets.ml.dataset import labelled
from mlops_assets.spec.columns import SCORE, STORED_SCORE, STORED_VERSION
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.partition_labels import rows_sha256
from resources.lake.briefs import briefs
from resources.lake.lake import Lake

BEFORE = 12
"""Partitions that scores are calibrated on, and of which estimate and truth are compared."""

SMALL, MOST = 20_000, 64
"""Rows of a partition that is remembered at most, and how many of them."""

NUMBER = "_partition"
_REMEMBERED: OrderedDict[tuple[object, ...], pl.DataFrame] = OrderedDict()


def partitions_before(spec: ModelSpec, lake: Lake, name: str) -> list[str]:
    """The newest partitions before one that have rows and scores, oldest first."""
    scored, rows = f"{spec.name}/predictions", set(lake.partitions(f"{spec.name}/training_set"))
    return [one for one in lake.partitions(scored) if one < name and one in rows][-BEFORE:]


def hashes_before(spec: ModelSpec, lake: Lake, name: str) -> dict[str, str]:
    """Hashes of the partitions before one that its report rests on: its estimate, and what its loss is compared with."""
    rows, scores = briefs(lake, f"{spec.name}/training_set"), briefs(lake, f"{spec.name}/predictions")
    return {
        one: f"{rows_sha256(rows[one])} {scores[one].sha256}" for one in partitions_before(spec, lake, name)
    }


def known_before(spec: ModelSpec, lake: Lake, name: str) -> dict[str, pl.DataFrame]:
    """LABEL, SCORE, STORED_VERSION, key, time and slices of the scored rows, by partition; a slice that one has no column of is missing there."""
    names, end = partitions_before(spec, lake, name), spec.calendar.partition(name).end
    frames = [_scored_rows(spec, lake, one) for one in names]
    if (
        len({tuple(frame.schema.items()) for frame in frames}) != 1
    ):  # none, or a slice or a type that came in between
        return {one: labelled(frame, spec, end) for one, frame in zip(names, frames, strict=True)}
    number = np.repeat(np.arange(len(names)), [frame.height for frame in frames])
    known = labelled(pl.concat(frames).with_columns(pl.Series(NUMBER, number)), spec, end)
    parts = known.partition_by(NUMBER, as_dict=True, include_key=False)
    return {one: parts.get((place,), known.clear().drop(NUMBER)) for place, one in enumerate(names)}


def _scored_rows(spec: ModelSpec, lake: Lake, one: str) -> pl.DataFrame:
    """A partition's rows that have a score, with what says which label counts when."""
    table, predictions = f"{spec.name}/training_set", f"{spec.name}/predictions"
    rows, scores = briefs(lake, table)[one], briefs(lake, predictions)[one]
    facts = (*spec.prediction.key, spec.prediction.time, *spec.label.facts)
    columns = tuple(dict.fromkeys([*facts, *(name for name in spec.slices if name in rows.columns)]))
    known = (lake.root, spec.name, one, rows.sha256, scores.sha256, columns)
    if (frame := _REMEMBERED.get(known)) is not None:
        return frame
    scored = lake.read(predictions, [one], [*spec.prediction.key, STORED_SCORE, STORED_VERSION])
    frame = lake.read(table, [one], list(columns)).join(
        scored.rename({STORED_SCORE: SCORE}), on=spec.prediction.key, maintain_order="left"
    )
    if frame.height <= SMALL:
        _REMEMBERED[known] = frame
        while len(_REMEMBERED) > MOST:
            _REMEMBERED.popitem(last=False)
    return frame

"""Rows into labelled matrices: what is known by a moment, splits in time order, categories as codes.

Frames are polars; moments are time-zone aware datetimes, compared in UTC.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from mlops_assets.ml.labels import Labels
from mlops_assets.ml.values import SINGLE, Kind, Known, kind_of, places
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.model import ModelSpec


class DatasetError(Exception):
    """A column or a row is missing that training or scoring needs."""


def moment(value: datetime) -> datetime:
    """The same moment in UTC; a datetime without time zone is refused, because it may mean two moments."""
    if value.tzinfo is None:
        raise DatasetError(f"{value} has no time zone: give an aware datetime, for instance with tzinfo=UTC")
    return value.astimezone(UTC)


def require(frame: pl.DataFrame, columns: Sequence[str], use: str) -> None:
    """Refuse a frame that lacks columns, naming them and what they are for."""
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise DatasetError(
            f"{use} needs the columns {', '.join(missing)}, which the frame lacks; it has: {', '.join(frame.columns)}"
        )


def refuse_too_large(frame: pl.DataFrame, columns: Sequence[str], keys: Sequence[str], use: str) -> None:
    """Refuse infinity, and what becomes it in single precision, in which models calculate; NaN and null are missing and fine.

    The error names the first such column, how many of its values they are, and the key of the first one's row.
    """
    floats = [c for c in dict.fromkeys(columns) if c in frame.columns and frame.schema[c].is_float()]
    wrong = frame.select(_too_large(c).sum() for c in floats)
    for name, count in wrong.row(0, named=True).items() if floats else ():
        if count:
            first = frame.filter(_too_large(name)).row(0, named=True)
            where = ", ".join(f"{key} = {first[key]}" for key in keys if key in first)
            raise DatasetError(
                f"column {name!r} holds {count} of {frame.height} values that are infinite or too large for single "
                f"precision, in which models calculate, the first is {first[name]} at {where}: {use} needs numbers up to "
                f"{SINGLE:.4g} in size; correct such values, or make them null where they are missing"
            )


def _too_large(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float32).is_infinite()


def labelled(frame: pl.DataFrame, spec: ModelSpec, now: datetime) -> pl.DataFrame:
    """The rows that count at `now`, with a Float32 column LABEL (`ml/labels.py`).

    Classification: 1.0 where the label column exceeds `spec.label.above`, or is true or 1, else 0.0; regression: the value
    itself. Rows whose label is null, became known after `now`, or whose horizon has not passed, are dropped: live training
    could not have seen them, or would have seen them by the speed of their label.
    """
    labels = labels_of(frame, spec, now)
    return frame.filter(labels.usable).with_columns(labels.number.alias(LABEL))


def label_counts(frame: pl.DataFrame, spec: ModelSpec, now: datetime) -> dict[str, int]:
    """How many rows count (`labelled`), are `unlabelled`, or are `not_yet_known`; the three add up to `rows`.

    With a horizon, rows that it has not passed for are not yet known, and those that it has and that have no label are
    unlabelled; without one, a row is unlabelled that never will have a label.
    """
    labels = labels_of(frame, spec, now)
    later = labels.has & ~labels.is_known if labels.matured is None else ~labels.matured
    counted = frame.select(
        rows=pl.len(),
        labelled=labels.usable.sum(),
        unlabelled=(~labels.usable & ~later).sum(),
        not_yet_known=later.sum(),
    )
    return {name: int(count) for name, count in counted.row(0, named=True).items()}


def labels_of(frame: pl.DataFrame, spec: ModelSpec, now: datetime) -> Labels:
    """What is known of a frame's labels at a moment; DatasetError where a column of theirs is missing."""
    counted_from = [spec.prediction.time] if spec.label.waits else []
    require(frame, [*counted_from, *spec.label.facts], f"the label of model {spec.name!r}")
    return Labels(frame.schema, spec, moment(now))


def split_newest(frame: pl.DataFrame, time_column: str, share: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut a frame, sorted by time, into (older, newest `share`); rows of one moment stay on one side.

    A moment that lies across the cut goes to the newest part, unless nothing older would be left.
    """
    require(frame, [time_column], "a split in time")
    ordered = frame if frame[time_column].is_sorted() else frame.sort(time_column, maintain_order=True)
    cut = _whole_moment(ordered[time_column], round(ordered.height * (1 - share)))
    return ordered[:cut], ordered[cut:]


def split_moment(times: pl.Series, share: float) -> datetime:
    """The moment from which on the newest `share` of sorted times lies, as `split_newest` cuts them.

    Raises DatasetError where one side would be empty.
    """
    cut = _whole_moment(times, round(len(times) * (1 - share)))
    if not 0 < cut < len(times):
        raise DatasetError(
            f"{len(times)} rows cannot be split in time into {1 - share:.0%} to train on and "
            f"{share:.0%} to validate on: give more rows, or rows of more than one moment"
        )
    return times[cut]


def between(
    frame: pl.DataFrame, time_column: str, start: datetime | None, end: datetime | None
) -> pl.DataFrame:
    """Rows with `start <= time < end`; None leaves that side open."""
    require(frame, [time_column], "a window in time")
    time = pl.col(time_column)
    if start is not None:
        frame = frame.filter(time >= moment(start))
    if end is not None:
        frame = frame.filter(time < moment(end))
    return frame


@dataclass(frozen=True)
class Encoding:
    """Which columns make the matrix, in order, and the known values of those that are categories.

    Values are canonical texts (`ml/values.py`); `kinds` says of a category that was no text what it was. A model file
    from before `kinds` names none: its values are read as text, among which a number still finds the one that spells it.
    """

    features: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    @classmethod
    def fit(cls, frame: pl.DataFrame, features: Sequence[str], categories: Sequence[str]) -> Self:
        """Learn the sorted values of each category; a category that is no feature yet is added as the last ones."""
        names = tuple(dict.fromkeys([*features, *categories]))
        require(frame, names, "the encoding")
        texts = [c for c in names if c not in categories and kind_of(frame.schema[c]) == "text"]
        if texts:
            raise DatasetError(
                f"feature {texts[0]!r} is {frame.schema[texts[0]]}, which is no number: "
                f"list it in trainer.categories or leave it out of the features"
            )
        known = {c: Known.of(frame[c]) for c in categories}
        kinds: dict[str, Kind] = {c: values.kind for c, values in known.items() if values.kind != "text"}
        return cls(names, {c: tuple(values.values) for c, values in known.items()}, kinds)

    def matrix(self, frame: pl.DataFrame) -> np.ndarray:
        """Float32 array [rows, features]; a category becomes its code, an unseen or null value becomes NaN.

        So does a number that is infinite in single precision: trainers disagree on what it would mean, and drift
        counts it as missing too. Training refuses it (`refuse_too_large`).
        """
        require(frame, self.features, "the model")
        out = self._small(frame) if frame.height <= 8 else self._large(frame)
        infinite = np.isinf(out)
        return np.where(infinite, np.float32(np.nan), out) if infinite.any() else out

    def _large(self, frame: pl.DataFrame) -> np.ndarray:
        columns = [
            self._code(frame[c]) if c in self._codes else pl.col(c).cast(pl.Float32) for c in self.features
        ]
        return frame.select(columns).to_numpy(order="fortran").astype(np.float32, order="C", copy=False)

    def coded(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with its categories as their codes; an unseen or null value becomes null."""
        return frame.with_columns(self._code(frame[c]) for c in self.categories)

    def unseen(self, frame: pl.DataFrame) -> dict[int, dict[str, str]]:
        """By row, the categories whose value no training row had, as canonical texts; a missing value is not unseen."""
        texts: dict[int, dict[str, str]] = {}
        for name, codes in self._codes.items():
            for row, text in enumerate(self._read(name, frame[name])):
                if text is not None and text not in codes:
                    texts.setdefault(row, {})[name] = text
        return texts

    def to_json(self) -> str:
        """Text with the same bytes for the same encoding."""
        return json.dumps(self.as_dict(), sort_keys=True)

    def as_dict(self) -> dict[str, Any]:
        """The encoding as JSON values; `kinds` is there where a category was no text."""
        names = {"features": self.features, "categories": self.categories}
        return names | ({"kinds": dict(self.kinds)} if self.kinds else {})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back what `to_json` wrote."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read back what `as_dict` gave."""
        categories = {c: tuple(v) for c, v in data["categories"].items()}
        return cls(tuple(data["features"]), categories, dict(data.get("kinds", {})))

    @cached_property
    def _known(self) -> dict[str, Known]:
        return {c: Known(values, self.kinds.get(c, "text")) for c, values in self.categories.items()}

    @cached_property
    def _codes(self) -> dict[str, dict[str | None, float]]:
        return {c: {v: float(i) for i, v in enumerate(values)} for c, values in self.categories.items()}

    def _code(self, column: pl.Series) -> pl.Series:
        known = self._known[column.name]
        return places(known.read(column), known.values, pl.Float32)

    def _read(self, name: str, column: pl.Series) -> list[str | None]:
        known = self._known[name]
        if len(column) > 8:
            return known.read(column).to_list()
        return [known.read_one(value) for value in column.to_list()]

    def _small(self, frame: pl.DataFrame) -> np.ndarray:
        """The same for a few rows, without the set-up that a query costs."""
        out = np.empty((frame.height, len(self.features)), np.float32)
        with np.errstate(over="ignore"):
            for i, name in enumerate(self.features):
                codes, values = self._codes.get(name), frame[name].to_list()
                out[:, i] = (
                    values if codes is None else [codes.get(self._known[name].read_one(v)) for v in values]
                )
        return out


def _whole_moment(times: pl.Series, cut: int) -> int:
    if not 0 < cut < len(times):
        return min(max(cut, 0), len(times))
    first = int(times.search_sorted(times[cut], side="left"))
    return first or int(times.search_sorted(times[cut], side="right"))

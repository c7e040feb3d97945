"""Skew between serving and training: logged cells against the same cells replayed offline, and why they differ.

Two clocks are kept apart. The moment of a request is data time: it decides which rows count. The time at which it was
served, and the time at which an offline row was written, are wall time: they decide what could have been known.

Verdicts on a cell that differs, the first that applies:

- rounding: two numbers within 1e-6 of each other, relative to the larger.
- changed definition: what decides the view's values (fields, keys, time to live, source, on-demand code, or that of
  a view it reads) is not what it was when the request was served.
- missing entity: one side has no row for the key. Offline had a valid one, written before the request, and the
  online store none; or the online store had one and offline has none.
- stale: offline had a newer valid row than the one served, or a correction of it, written before the request.
- expired: the row served was older at the moment of the request than the view's time to live.
- late data: the offline row that decides now was written after the request was served.
- unexplained: none of these.

A cell computed on demand takes the first verdict that applies to any stored view that it is computed from.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from mlops_assets.ml.skew.known_rows import QUESTION_AT, SERVED, known_rows

ROUNDING, CHANGED, MISSING, STALE, EXPIRED, LATE, UNEXPLAINED = VERDICTS = (
    "rounding",
    "changed definition",
    "missing entity",
    "stale",
    "expired",
    "late data",
    "unexplained",
)
VERDICT = pl.Enum(VERDICTS)
RELATIVE = 1e-6
FOR_EVER = timedelta(days=36_500)
INSTANT = pl.Datetime("us", "UTC")
CELLS = {
    "row": pl.UInt32,
    "feature": pl.String,
    "view": pl.String,
    "served": pl.String,
    "replayed": pl.String,
    "gap": pl.Float64,
    "rounding": pl.Boolean,
    "served_event": INSTANT,
    "found": pl.Boolean,
    "held": pl.Boolean,
}

SKEWED = {
    "row": pl.UInt32,
    "feature": pl.String,
    "view": pl.String,
    "served": pl.String,
    "replayed": pl.String,
    "gap": pl.Float64,
    "served_event": INSTANT,
    "offline_event": INSTANT,
    "verdict": VERDICT,
}
"""Columns of the cells that differ, as `skewed_cells` gives them."""


@dataclass(frozen=True)
class View:
    """A feature view as a verdict needs it: `inputs` are the stored views of an on-demand one, `ttl` None for ever."""

    name: str
    features: Sequence[str]
    keys: Sequence[str] = ()
    ttl: timedelta | None = None
    inputs: Sequence[str] = ()
    changed: bool = False


@dataclass(frozen=True)
class Logged:
    """Requests as they were served: frames of one height and order, all but `questions` with a column a feature.

    `values`; `event_times` (UTC, null where nothing was found); `presence`, whether the online store had a row; `held`,
    whether it held the value back as too old. `questions` has the join keys, `__asked_at` and `__served_at` (UTC).
    """

    values: pl.DataFrame
    event_times: pl.DataFrame
    presence: pl.DataFrame
    held: pl.DataFrame
    questions: pl.DataFrame


Offline = Callable[[View, pl.DataFrame], pl.DataFrame]
"""Gives the rows of a stored view for the keys of some requests, as `known_rows` takes them."""


def skewed_cells(
    logged: Logged, replayed: pl.DataFrame, views: Sequence[View], offline: Offline
) -> pl.DataFrame:
    """Every cell that differs, with its verdict.

    Args:
        replayed: the requests' features as the offline join gives them now, rows in the order of `logged`.
        views: the views whose features are compared, and the stored ones that on-demand views read.
        offline: asked only for views on which a differing cell rests, and for the keys of its requests.
    Returns:
        `row` (index of the request), `feature`, `view`, `served` and `replayed` as text, `gap` (absolute difference
        of two numbers), `served_event` and `offline_event` (event timestamps of the rows on both sides) and `verdict`.
    """
    cells = differing(logged, replayed, views).with_row_index("cell")
    causes = _causes(_cases(cells, logged, views), logged, views, offline)
    changed = [view.name for view in views if view.changed]
    verdict = (
        pl.when("rounding")
        .then(pl.lit(ROUNDING))
        .when(pl.col("view").is_in(changed))
        .then(pl.lit(CHANGED))
        .otherwise(pl.col("cause").cast(pl.String))
        .cast(VERDICT)
    )
    return (
        cells.join(causes, on="cell", how="left", maintain_order="left")
        .with_columns(verdict=verdict)
        .select(*SKEWED)
    )


def differing(logged: Logged, replayed: pl.DataFrame, views: Sequence[View]) -> pl.DataFrame:
    """The cells that are not the same on both sides, null and NaN being the same, with the columns of `CELLS`."""
    parts = [
        _differing(logged, replayed[feature], view.name, feature)
        for view in views
        for feature in view.features
    ]
    return pl.concat([pl.DataFrame(schema=CELLS), *(part for part in parts if part is not None)])


def _differing(logged: Logged, replayed: pl.Series, view: str, feature: str) -> pl.DataFrame | None:
    served, replayed = _plain(logged.values[feature]), _plain(replayed)
    rows = served.ne_missing(replayed).arg_true()
    if not len(rows):
        return None
    served, replayed = served.gather(rows), replayed.gather(rows)
    gap, rounding = _gap(served, replayed)
    columns = {
        "row": rows,
        "feature": pl.Series([feature]).new_from_index(0, len(rows)),
        "view": pl.Series([view]).new_from_index(0, len(rows)),
        "served": served,
        "replayed": replayed,
        "gap": gap,
        "rounding": rounding,
        "served_event": logged.event_times[feature].gather(rows),
        "found": logged.presence[feature].gather(rows),
        "held": logged.held[feature].gather(rows),
    }
    return pl.DataFrame(columns).cast(CELLS)  # type: ignore[arg-type]


def _plain(values: pl.Series) -> pl.Series:
    return values.fill_nan(None) if values.dtype.is_float() else values


def _gap(served: pl.Series, replayed: pl.Series) -> tuple[pl.Series, pl.Series]:
    """How far two numbers are apart, and whether that is rounding; nothing else is ever rounded."""
    if not (served.dtype.is_numeric() and replayed.dtype.is_numeric()):
        nothing = pl.Series([None], dtype=pl.Float64).new_from_index(0, len(served))
        return nothing, nothing.is_not_null()
    pair = pl.DataFrame({"a": served.cast(pl.Float64), "b": replayed.cast(pl.Float64)})
    gap = (pl.col("a") - pl.col("b")).abs()
    larger = pl.max_horizontal(pl.col("a").abs(), pl.col("b").abs())
    columns = pair.select(gap=gap, rounding=(gap <= larger * RELATIVE).fill_null(False))
    return columns["gap"], columns["rounding"]


def _cases(cells: pl.DataFrame, logged: Logged, views: Sequence[View]) -> pl.DataFrame:
    """A row for each stored view that a cell rests on: `cell`, `row`, `source`, and what the online store had of it."""
    stored = [view.name for view in views if not view.inputs]
    side = ("served_event", "found", "held")
    parts = [
        cells.filter(pl.col("view").is_in(stored)).select(
            "cell", "row", pl.col("view").alias("source"), *side
        )
    ]
    by_name = {view.name: view for view in views}
    for view in views:
        for source in view.inputs:
            online = _online(logged, by_name[source].features or view.features)
            mine = cells.filter(pl.col("view") == view.name).select("cell", "row")
            parts.append(
                mine.join(online, on="row", how="left", maintain_order="left").select(
                    "cell", "row", pl.lit(source).alias("source"), *side
                )
            )
    return pl.concat(parts)


def _online(logged: Logged, features: Sequence[str]) -> pl.DataFrame:
    """What the online store had of a view, told from some of its features."""
    return pl.DataFrame(
        [
            logged.event_times.select(pl.max_horizontal(*features).cast(INSTANT))
            .to_series()
            .alias("served_event"),
            logged.presence.select(pl.any_horizontal(*features)).to_series().alias("found"),
            logged.held.select(pl.any_horizontal(*features)).to_series().alias("held"),
        ]
    ).with_row_index("row")


def _causes(cases: pl.DataFrame, logged: Logged, views: Sequence[View], offline: Offline) -> pl.DataFrame:
    """`cell`, `offline_event` and `cause`: of several stored views, the first cause in the order of the verdicts."""
    facts = pl.concat([_NO_FACTS, *_facts(cases, logged, views, offline)])
    moments = logged.questions.select(QUESTION_AT, SERVED).with_row_index("row")
    known = cases.join(facts, on=["row", "source"], how="left").join(moments, on="row", how="left")
    return (
        known.with_columns(cause=_cause())
        .group_by("cell")
        .agg(pl.col("event_now").max().alias("offline_event"), pl.col("cause").min())
    )


_NO_FACTS = pl.DataFrame(
    schema={
        "row": pl.UInt32,
        "source": pl.String,
        "ttl": pl.Duration("us"),
        "event_now": INSTANT,
        "written_now": INSTANT,
        "event_then": INSTANT,
        "corrected": pl.Boolean,
    }
)


def _facts(
    cases: pl.DataFrame, logged: Logged, views: Sequence[View], offline: Offline
) -> Iterator[pl.DataFrame]:
    """What offline knew, for each stored view and each request of which a cell rests on it."""
    for view in views:
        rows = cases.filter(pl.col("source") == view.name)["row"].unique()
        if len(rows):
            questions = logged.questions[rows]
            known = known_rows(questions, offline(view, questions), view.keys)
            named = (
                pl.lit(view.name).alias("source"),
                pl.lit(view.ttl or FOR_EVER, pl.Duration("us")).alias("ttl"),
            )
            yield pl.DataFrame({"row": rows}).with_columns(*named).hstack(known).cast(_NO_FACTS.schema)  # type: ignore[arg-type]


def _cause() -> pl.Expr:
    served, now, then = pl.col("served_event"), pl.col("event_now"), pl.col("event_then")
    oldest = pl.col(QUESTION_AT) - pl.col("ttl")
    valid = (then >= oldest).fill_null(False)
    late = (pl.col("written_now") > pl.col(SERVED)).fill_null(False)
    missing = (~pl.col("found") & valid) | (pl.col("found") & now.is_null())
    newer = then.gt(served).fill_null(True) | (pl.col("corrected") & (then == served) & ~late)
    expired = (pl.col("found") & ~pl.col("held") & (served < oldest)).fill_null(False)
    return (
        pl.when(missing)
        .then(pl.lit(MISSING))
        .when(valid & newer)
        .then(pl.lit(STALE))
        .when(expired)
        .then(pl.lit(EXPIRED))
        .when(late)
        .then(pl.lit(LATE))
        .otherwise(pl.lit(UNEXPLAINED))
        .cast(VERDICT)
    )


def by_feature(cells: pl.DataFrame, compared: Mapping[str, int]) -> pl.DataFrame:
    """One row a feature, the most skewed first: cells compared and differing, by verdict, and by how much.

    `compared` has the number of cells a feature. `largest gap` is the largest difference of two numbers, `behind` the
    median by which the served row was older than the offline one.
    """
    names = pl.DataFrame({"feature": list(compared), "cells": list(compared.values())})
    counts = [(pl.col("verdict") == verdict).sum().alias(verdict) for verdict in VERDICTS]
    tallies = cells.group_by("feature").agg(
        pl.len().alias("differ"),
        *counts,
        pl.col("gap").max().alias("largest gap"),
        (pl.col("offline_event") - pl.col("served_event")).median().alias("behind"),
    )
    table = names.join(tallies, on="feature", how="left", maintain_order="left")
    return table.with_columns(pl.col("differ", *VERDICTS).fill_null(0)).sort(
        "differ", descending=True, maintain_order=True
    )


def totals(cells: pl.DataFrame) -> dict[str, int]:
    """Cells that differ, by verdict; verdicts that none has are left out."""
    counts = dict(cells.group_by("verdict").len().iter_rows())
    return {verdict: counts[verdict] for verdict in VERDICTS if verdict in counts}

"""Which row of a view decided at a moment: as it is known today, and as it was known when somebody asked.

Two clocks, as in bitemporal databases: `event_timestamp` says from when a row counts, `written` when it got into the
table. A row that got in late counts today for a moment at which nobody could have known it.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from mlops_assets.ml.values import alike

EVENT, CREATED, WRITTEN = "event_timestamp", "created", "_written"
QUESTION_AT, SERVED = "__asked_at", "__served_at"
NOWHERE = -1
ALWAYS = np.iinfo(np.int64).min


def known_rows(questions: pl.DataFrame, rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """What a view's rows say to each question, whatever its time to live.

    Args:
        questions: the view's keys, `__asked_at` (data time) and `__served_at` (wall time), UTC, one row a question, any order.
        rows: the view's keys, `event_timestamp`, `created` (breaks ties, null loses) and `_written` (null: always
            there), all UTC; among rows that tie on both timestamps the last wins.
    Returns:
        One row a question, in order: `event_now` and `written_now` of the newest row at or before `__asked_at`;
        `event_then` of the newest such row that was written by `__served_at`; `corrected`, whether that row replaced
        one of the same event timestamp. Null keys match nothing.
    """
    questions, rows = alike(questions, rows, keys)
    ordered = _ordered(rows, keys)
    now = _newest(questions, ordered, keys)
    events, written = (_micros(ordered[name]) for name in (EVENT, WRITTEN))
    same_key = _same_as_before(ordered, keys)
    then = _written_by(now, _micros(questions[SERVED]), written, same_key)
    corrected = _corrected(then, events, same_key)
    return pl.DataFrame(
        {
            "event_now": _at(ordered[EVENT], now),
            "written_now": _at(ordered[WRITTEN], now),
            "event_then": _at(ordered[EVENT], then),
            "corrected": corrected,
        }
    )


def _ordered(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    known = rows.select(*keys, EVENT, CREATED, WRITTEN).drop_nulls([*keys, EVENT])
    return known.sort(*keys, EVENT, CREATED, nulls_last=False, maintain_order=True)


def _newest(questions: pl.DataFrame, ordered: pl.DataFrame, keys: Sequence[str]) -> np.ndarray:
    """Index into `ordered` of the newest row at or before each question's moment, -1 where there is none."""
    moments = questions.select(*keys, pl.col(QUESTION_AT).alias(EVENT)).with_row_index("_question")
    places = (
        moments.drop_nulls()
        .sort(EVENT)
        .join_asof(
            ordered.select(*keys, EVENT).with_row_index("_at").sort(EVENT, maintain_order=True),
            on=EVENT,
            by=list(keys),
            strategy="backward",
            check_sortedness=False,
        )
        .drop_nulls("_at")
    )
    index = np.full(questions.height, NOWHERE, np.int64)
    index[places["_question"].to_numpy()] = places["_at"].to_numpy()
    return index


def _written_by(now: np.ndarray, served: np.ndarray, written: np.ndarray, same_key: np.ndarray) -> np.ndarray:
    """Go back from each row to the newest one of its key that was written by `served`.

    Rows of a key that follow one another and were written at once are passed in one step, so that a table written
    a partition at a time takes as many steps as it has late partitions.
    """
    starts_run = ~same_key | (written != np.roll(written, 1))
    start = np.maximum.accumulate(np.where(starts_run, np.arange(len(written)), 0))
    before = np.where(same_key[start], start - 1, NOWHERE) if len(written) else written
    then = now.copy()
    late = np.flatnonzero(then != NOWHERE)
    while len(late := late[written[then[late]] > served[late]]):
        then[late] = before[then[late]]
        late = late[then[late] != NOWHERE]
    return then


def _same_as_before(ordered: pl.DataFrame, keys: Sequence[str]) -> np.ndarray:
    """Whether a row has the keys of the row before it."""
    same = ordered.select(pl.all_horizontal(pl.col(key) == pl.col(key).shift(1) for key in keys))
    return same.to_series().fill_null(False).to_numpy()


def _corrected(then: np.ndarray, events: np.ndarray, same_key: np.ndarray) -> np.ndarray:
    twice = same_key & (events == np.roll(events, 1))
    return np.where(then != NOWHERE, twice[then] if len(twice) else False, False)


def _micros(moments: pl.Series) -> np.ndarray:
    return moments.cast(pl.Datetime("us", "UTC")).to_physical().fill_null(ALWAYS).to_numpy()


def _at(values: pl.Series, index: np.ndarray) -> pl.Series:
    """The values at some places, null where there is no place."""
    return values.gather(pl.Series(index).set(pl.Series(index == NOWHERE), None))

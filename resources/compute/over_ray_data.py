"""A function of frames applied to many of them by several processes, over Ray Data."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import pyarrow

ORDER = "_order"


class Worker:
    """One process: it is given the function once and frames as Arrow tables."""

    def __init__(self, work: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        self._work = work

    def __call__(self, table: "pyarrow.Table") -> "pyarrow.Table":
        rows = pl.DataFrame(pl.from_arrow(table))
        results = self._work(rows.drop(ORDER))
        return as_table(results.with_columns(rows[ORDER]))


def as_table(frame: pl.DataFrame) -> "pyarrow.Table":
    """The frame in types of Arrow that Ray can put together."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def mapped(
    parts: Sequence[pl.DataFrame], work: Callable[[pl.DataFrame], pl.DataFrame], workers: int
) -> Iterator[pl.DataFrame]:
    """What `work` gives for each row of the parts, in frames of some rows each; column `_order` has the row's number.

    `work` is pickled, gives a row for a row, and is called by so many `workers` with rows of one or more parts. The Ray that
    this process is connected to is used.
    """
    import ray.data

    context: Any = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    before, tables = 0, []
    for part in parts:
        tables.append(as_table(part.with_row_index(ORDER, before)))
        before += part.height
    results = ray.data.from_arrow(tables).map_batches(
        Worker,
        fn_constructor_args=(work,),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    for table in results.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield pl.DataFrame(pl.from_arrow(table))

"""Now, for whatever decides about data: the end of what was ingested, or the moment that the clock says."""

from datetime import datetime
from typing import Literal

from mlops_assets.promotion.records import data_now
from mlops_assets.spec.model import Weeks
from resources.clock import Clock
from resources.lake.lake import Lake

Kind = Literal["data", "wall"]


def now_of(kind: Kind, weeks: Weeks, table: str, lake: Lake, clock: Clock) -> datetime | None:
    """Now of a use case: `data`, the end of the newest ingested partition of a table, None before the first; `wall`, the clock's.

    What a partition is made of, trained on or judged by never depends on it, only on the partition's own end: so that
    anything can be made again later as it was.
    """
    return clock.now() if kind == "wall" else data_now(weeks, table, lake)

"""Now, for whatever decides about data: the end of what was ingested, or the moment that the clock says."""

from datetime import datetime

from mlops_assets.promotion.records import data_now
from mlops_assets.spec.model import ModelSpec
from resources.clock import Clock
from resources.lake.lake import Lake


def now_of(spec: ModelSpec, lake: Lake, clock: Clock) -> datetime | None:
    """Now of a model: by the data, the end of the newest ingested partition, None before the first; by the wall, the clock's.

    What a partition is made of, trained on or judged by follows from the partition's own end under either clock, so that
    it can be made again later as it was.
    """
    return clock.now() if spec.clock == "wall" else data_now(spec.calendar, spec.prediction.table, lake)

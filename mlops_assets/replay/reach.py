"""How far a use case can be replayed: to its calendar's end, or where that has none, to the end of its data."""

from collections.abc import Iterator
from datetime import datetime

from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.files import read_use_case, table_specs_in
from mlops_assets.stages.sources import newest_row
from resources.use_case_folders import UseCaseFolder


def partitions_to_replay(folder: UseCaseFolder, now: datetime) -> list[str]:
    """The partitions that are over by now and whose rows can be there, in order.

    Without an end, the last is the one with the newest row of the table that has come the least far: what is behind it
    is waited for by the ingestion sensor, not by a replay. Tables that Python makes are taken to go on up to now.
    """
    calendar = read_use_case(folder).calendar
    if calendar.over:
        return calendar.names(calendar.over)
    return calendar.names(min([now, *_ends(folder, calendar)]))


def _ends(folder: UseCaseFolder, calendar: Calendar) -> Iterator[datetime]:
    """The end of the partition with the newest row, of each table that is cut by time and waited for."""
    for spec in table_specs_in(folder):
        newest = newest_row(spec, folder.path) if spec.time and spec.empty == "wait" else None
        if newest is not None and newest >= calendar.first.start:
            yield calendar.at(newest).end

"""However many events are pushed, now moves at most seven days beyond what was ingested."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.features.push import MOST_AHEAD, Pusher, PushError
from resources.features.pushed_moments import PushedMoments
from tests.resources.endpoint_in_process import EVENT, Sink

INGESTED = datetime(2014, 1, 6, 5, tzinfo=UTC)


class Endpoint:
    """A pusher over a folder; what a push reads of the models follows what was pushed, as it does when they serve."""

    def __init__(self, folder: Path, ingested: datetime | None = INGESTED) -> None:
        self.moments = PushedMoments(folder / "pushed")
        self.pusher = Pusher(Sink(folder), self.moments, lambda *_: self.now(), lambda _: ingested)
        self.source = self.pusher.sources["readings"]

    def now(self) -> datetime:
        return self.moments.newest(["weather"]) or INGESTED

    def push(self, moment: datetime, to="both") -> None:
        event = self.source.event.model_validate(EVENT | {"event_timestamp": moment.isoformat()})
        self.pusher.push(self.source, [event], to)


@settings(max_examples=50)
@given(
    steps=st.lists(st.tuples(st.floats(-1, 7), st.sampled_from(["both", "online", "offline"])), max_size=12)
)
def test_no_row_of_pushes_moves_now_beyond_seven_days_after_what_was_ingested(steps):
    with TemporaryDirectory() as folder:
        endpoint = Endpoint(Path(folder))
        for days, to in steps:
            wanted = endpoint.now() + timedelta(days=days)
            try:
                endpoint.push(wanted, to)
            except PushError as error:
                assert wanted > INGESTED + MOST_AHEAD and "pushes do not count" in str(error)
            else:
                assert wanted <= INGESTED + MOST_AHEAD
        assert endpoint.now() <= INGESTED + MOST_AHEAD


@pytest.mark.parametrize("ingested_week", [True, False])
def test_before_anything_is_online_the_limit_counts_from_the_table_or_the_clock_and_not_from_pushed_rows(
    tmp_path, ingested_week
):
    table, clock = tmp_path / "weather", datetime.now(UTC)
    table.mkdir()
    far = INGESTED + timedelta(days=40_000)
    pl.DataFrame({"event_timestamp": [far]}).write_parquet(table / "pushed-2123-abc.parquet")
    if ingested_week:
        pl.DataFrame({"event_timestamp": [INGESTED]}).write_parquet(table / "2014-01-06.parquet")
    endpoint = Endpoint(tmp_path, ingested=None)
    reached = INGESTED if ingested_week else clock
    endpoint.push(reached + timedelta(days=6), "online")
    with pytest.raises(PushError, match="more than 7 days after"):
        endpoint.push(reached + timedelta(days=8), "online")

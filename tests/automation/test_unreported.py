"""A report that failed after its rows were made again is asked for again, and only until it rests on these rows."""

from typing import Any

import polars as pl
import pytest

from mlops_assets.automation.unreported import partitions_to_score
from resources.lake.lake import Lake
from resources.lake.observed import partition_name
from tests.assets.test_labels_in_columns import DELAY, Living, materialized

JOINED = f"{DELAY.name}/training_set"
pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]


def due(living: Living) -> list[str]:
    return [name for name, _ in partitions_to_score(living.spec, living.lake)]


def join(living: Living, name: str, **changed: pl.Expr) -> None:
    """What a run leaves that made the rows of a partition again and then failed."""
    lake: Lake = living.lake
    rows, made = lake.read(JOINED, [name]), {partition_name("parcels", name): _rows(living, name)}
    notes = lake.manifest(JOINED, name).notes
    lake.write(JOINED, rows.with_columns(**changed), name, living.spec.prediction.key, notes, made)


def _rows(living: Living, name: str) -> str:
    return living.lake.manifest("parcels", name).sha256


@pytest.fixture
def living(tmp_path: Any) -> Living:
    """Eight partitions, all reported on; the first ones have all their labels."""
    found = Living(tmp_path, DELAY, 30)
    for name in found.names[:8]:
        found.ingest(name)
        join(found, name)
        for one in due(found):
            materialized(found, one)
    assert due(found) == []
    return found


def test_a_report_that_failed_after_a_correction_of_its_rows_is_made_again(living):
    name = living.names[1]
    before = living.report(name)
    living.lake.write("parcels", living.lake.read("parcels", [name]).head(90), name)
    assert due(living) == [name]
    join(living, name, delay=pl.lit(99.0))
    for _ in range(2):
        assert due(living) == [name]
    materialized(living, name)
    assert due(living) == [] and living.report(name)["log_loss"] != before["log_loss"]


def test_rows_that_were_made_again_as_they_were_need_no_other_report(living):
    name = living.names[1]
    living.lake.write("parcels", living.lake.read("parcels", [name]).head(90), name)
    join(living, name)
    assert due(living) == []


def test_a_report_of_an_earlier_release_that_notes_no_rows_is_left_as_it_is(living):
    name = living.names[1]
    table = f"{living.spec.name}/performance"
    kept = living.lake.manifest(table, name).notes or {}
    frame = living.lake.read(table, [name])
    living.lake.write(table, frame, name, notes={k: v for k, v in kept.items() if k == "features online"})
    living.lake.remember(table, name, {"fingerprint": {}, "sha256": "", "kept": {}})
    join(living, name)
    materialized(living, name)
    assert due(living) == []

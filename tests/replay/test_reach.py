"""A replay of a calendar without an end goes to the end of the data, and no further than now."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_assets.replay.reach import partitions_to_replay
from resources.use_case_folders import UseCaseFolder, use_case_folder

TABLE = """\
type: mlops_assets.components.table.TableComponent
attributes:
  name: NAME
  source: {kind: csv, path: NAME.csv}
  columns: {order_id: int, ordered_at: datetime}
  key: [order_id]
  time: ordered_at
"""
LATER = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> UseCaseFolder:
    here = tmp_path / "shops"
    here.mkdir()
    (here / "use_case.yaml").write_text("owner: team:shops\ncalendar: {cadence: daily, start: 2024-01-01}\n")
    (here / "defs.yaml").write_text(
        "---\n".join(TABLE.replace("NAME", name) for name in ("orders", "visits"))
    )
    rows(here, "orders", "2024-01-05T10:00:00Z")
    rows(here, "visits", "2024-01-03T23:59:59Z")
    return UseCaseFolder(here, "shops")


def rows(folder: Path, table: str, *newest: str) -> None:
    """A file with a row of the first day, and these."""
    lines = [f"{number},{at}" for number, at in enumerate(("2024-01-01T00:00:00Z", *newest))]
    (folder / f"{table}.csv").write_text("\n".join(["order_id,ordered_at", *lines, ""]))


def test_the_table_that_has_come_the_least_far_decides(folder):
    assert partitions_to_replay(folder, LATER) == ["2024-01-01", "2024-01-02", "2024-01-03"]
    rows(folder.path, "visits", "2024-01-08T00:00:00Z")
    assert partitions_to_replay(folder, LATER)[-1] == "2024-01-05"


def test_what_is_not_over_by_now_is_left_out(folder):
    assert partitions_to_replay(folder, datetime(2024, 1, 3, tzinfo=UTC)) == ["2024-01-01", "2024-01-02"]


def test_a_table_whose_days_may_be_empty_sets_no_end(folder):
    text = (folder.path / "defs.yaml").read_text()
    (folder.path / "defs.yaml").write_text(
        text.replace("time: ordered_at", "time: ordered_at\n  empty: allowed")
    )
    assert partitions_to_replay(folder, datetime(2024, 1, 11, tzinfo=UTC))[-1] == "2024-01-10"


def test_a_calendar_with_an_end_is_replayed_to_it():
    names = partitions_to_replay(use_case_folder("flights"), datetime(2013, 2, 1, tzinfo=UTC))
    assert (names[0], names[-1], len(names)) == ("2012-12-31", "2013-12-30", 53)

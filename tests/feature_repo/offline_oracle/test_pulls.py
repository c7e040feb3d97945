"""What materialisation reads: the newest row of each key in a span, and all rows of a span, as the oracle has them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.feature_repo.offline_oracle.cases import NOON, ask, moment, row, view
from tests.feature_repo.offline_oracle.oracle import Nanoseconds, Question, Row, answer
from tests.feature_repo.offline_oracle.outcome import Line, lines
from tests.feature_repo.offline_oracle.timelines import Setting, settings, world_of
from tests.feature_repo.offline_oracle.world import OURS, View, World, store_over, write_source

SETTINGS = [setting for setting in settings(100) if setting.unit == "us"]
VIEWS = ("plain", "versioned", "pair")


def when(nanoseconds: Nanoseconds) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)


def pulled(kind: str, one: View, folder: Path, start: Nanoseconds, end: Nanoseconds) -> list[Line]:
    """What the store gives Feast's providers for that view and span."""
    write_source(one, folder)
    store = store_over(World([one], ask(["a"], [0])), folder, {"type": OURS})
    feast_view = store.get_feature_view(one.name)
    names: dict[str, Any] = {
        "join_key_columns": list(one.keys),
        "feature_name_columns": list(one.features),
        "timestamp_field": "event_timestamp",
        "created_timestamp_column": "created" if one.created else None,
    }
    offline = store._get_provider().offline_store  # type: ignore[attr-defined]
    pull = getattr(offline, f"pull_{kind}_from_table_or_query")
    job = pull(store.config, feast_view.batch_source, **names, start_date=when(start), end_date=when(end))
    return lines(job.to_arrow())


def line_of(one: View, stored: Row) -> Line:
    known = {"created": stored.created} if one.created else {}
    values = {name: stored.values.get(name) for name in one.features}
    return dict(zip(one.keys, stored.key, strict=True)) | {"event_timestamp": stored.event} | known | values


def latest(one: View, start: Nanoseconds, end: Nanoseconds) -> list[Line]:
    """The oracle's answer, for every key, to what was newest at the end, of rows not before the start."""
    inside = [stored for stored in one.rows if stored.event is not None and stored.event >= start]
    keys = dict.fromkeys(stored.key for stored in inside if None not in stored.key)
    rows = [answer(Question(key, end), [s for s in inside if s.key == key]) for key in keys]
    return [line_of(one, stored) for stored in rows if stored]


def by_values(found: list[Line]) -> list[str]:
    return sorted(repr(sorted(line.items())) for line in found)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: f"world-{setting.seed}")
def test_the_newest_row_of_each_key_is_pulled(setting: Setting, name: str, tmp_path: Path) -> None:
    one = world_of(setting).views[VIEWS.index(name)]
    start, end = setting.base + 2 * setting.tick, setting.base + 7 * setting.tick
    assert by_values(pulled("latest", one, tmp_path, start, end)) == by_values(latest(one, start, end))


@pytest.mark.parametrize("setting", SETTINGS[::3], ids=lambda setting: f"world-{setting.seed}")
def test_all_rows_from_start_to_end_are_pulled_in_the_sources_order(setting: Setting, tmp_path: Path) -> None:
    one = world_of(setting).views[1]
    start, end = setting.base + 2 * setting.tick, setting.base + 7 * setting.tick
    inside = [line_of(one, s) for s in one.rows if s.event is not None and start <= s.event <= end]
    assert pulled("all", one, tmp_path, start, end) == inside


@pytest.mark.parametrize("kind", ["latest", "all"])
def test_both_ends_of_the_span_belong_to_it(kind: str, tmp_path: Path) -> None:
    one = view([row("a", 1, 1), row("b", 5, 2), row("c", 6, 3), row("d", 0, 4)])
    assert {line["id"] for line in pulled(kind, one, tmp_path, NOON + 3600 * 10**9, moment(5) or 0)} == {
        "a",
        "b",
    }


def test_an_empty_span_gives_the_columns_without_a_row(tmp_path: Path) -> None:
    assert pulled("latest", view([row("a", 1, 1)]), tmp_path, NOON - 10**12, NOON - 10**11) == []

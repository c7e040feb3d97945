"""Partitions that are joined in one question are what each is by itself, and the probe judges what it can see."""

from datetime import timedelta

import polars as pl
import pytest

from mlops_assets.ml.skew.brute_force import ViewTable, differing
from mlops_assets.stages import training_set
from mlops_assets.stages.tables import Table, build_partition
from mlops_assets.stages.training_set import join_partition, join_partitions, together
from resources.local import local_resources
from resources.settings import settings
from tests.pumps.project import SPEC, WEEKS, checks, states
from tests.stages.test_held import CHECK, STATE

NAMES = WEEKS.names()[:4]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_FEATURE_REPO", "tests.pumps.repo")
    made = local_resources(settings({"MLOPS_HOME": str(tmp_path)}))
    store = made["feature_store"].of("pumps")
    for table, build, expected in (
        ("pumps/features/pump_state", states, STATE),
        ("pumps/checks", checks, CHECK),
    ):
        for name in NAMES:
            build_partition(made["lake"], Table(table, build, expected, WEEKS), name)
    store.apply()
    return made["lake"], store


def test_all_at_once_they_are_what_each_is_by_itself(parts):
    lake, store = parts
    by_itself = [join_partition(SPEC, lake, store, name).manifest for name in NAMES]
    at_once = join_partitions(SPEC, lake, store, NAMES)
    assert [*at_once] == NAMES and None not in by_itself
    assert [one.manifest and one.manifest.sha256 for one in at_once.values()] == [
        one and one.sha256 for one in by_itself
    ]
    assert [one.manifest and one.manifest.made_of for one in at_once.values()] == [
        one and one.made_of for one in by_itself
    ]


def test_a_partition_with_a_cell_that_was_not_known_is_refused_and_the_others_are_written(parts):
    lake, store = parts

    class Leaking:
        def __getattr__(self, name):
            return getattr(store, name)

        def historical(self, service, rows, time):
            joined = store.historical(service, rows, time)
            wrong = pl.col("checked_at").is_between(*_span(NAMES[2]), closed="left")
            return joined.with_columns(
                vibration=pl.when(wrong).then(99.0).otherwise("vibration").cast(pl.Float32)
            )

    found = join_partitions(SPEC, lake, Leaking(), NAMES)  # type: ignore[arg-type]
    assert [name for name, one in found.items() if one.manifest is None] == [NAMES[2]]
    assert found[NAMES[2]].differ == {"pump_state": {"vibration": training_set.PROBE_ROWS}}
    assert lake.partitions("pump_stops/training_set") == [NAMES[0], NAMES[1], NAMES[3]]


def _span(name):
    span = WEEKS.partition(name)
    return span.start, span.end


def test_no_more_rows_than_fit_are_joined_at_once(parts, monkeypatch):
    lake, store = parts
    rows = lake.manifest("pumps/checks", NAMES[0]).rows
    assert [*together(SPEC, lake, store, NAMES)] == [NAMES]
    monkeypatch.setattr(training_set, "TOGETHER", 2 * rows)
    assert [*together(SPEC, lake, store, NAMES)] == [NAMES[:2], NAMES[2:]]
    monkeypatch.setattr(training_set, "TOGETHER", rows - 1)
    assert [*together(SPEC, lake, store, NAMES)] == [[name] for name in NAMES]
    assert [*together(SPEC, lake, store, [])] == []


def test_rows_that_a_function_makes_are_joined_a_partition_at_a_time(parts):
    lake, store = parts
    own = SPEC.prediction.model_copy(update={"rows": "tests.pumps.project:checks"})
    spec = SPEC.model_copy(update={"prediction": own})
    assert [*together(spec, lake, store, NAMES)] == [[name] for name in NAMES]


def test_of_values_that_live_for_ever_those_from_before_what_is_read_are_not_judged():
    noon = WEEKS.first.start + timedelta(hours=12)
    rows = pl.DataFrame({"pump": ["a"], "event_timestamp": [noon], "level": [3]})
    table = ViewTable("levels", rows, ["pump"], ["level"], None)
    asked = pl.DataFrame({"pump": ["a", "b", "a"], "at": [noon, noon, noon - timedelta(days=1)]})
    joined = pl.DataFrame({"level": [4, 7, 1]})
    assert differing(asked, joined, "at", table)["level"].to_list() == [True, True, True]
    assert differing(asked, joined, "at", table, whole=False)["level"].to_list() == [True, False, False]


def test_a_probe_of_the_first_weeks_has_read_all_there_is(parts):
    lake, store = parts
    (view,) = store.view_tables(SPEC.feature_service)
    spans = [WEEKS.partition(name) for name in NAMES]
    for_ever = type(view)(view.name, view.table, view.keys, view.features, None)
    assert training_set._probed(SPEC, lake, store, for_ever, spans)[1]
    later = [WEEKS.partition(WEEKS.names()[7])]
    assert not training_set._probed(SPEC, lake, store, for_ever, later)[1]
    assert training_set._probed(SPEC, lake, store, view, later)[1]

"""The whole graph materialised at once on three weeks of flights, as one run and from nothing."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from mlops_assets.kit.catalogue import SCHEMA
from mlops_assets.local.servers import prepare_dagster_home
from mlops_assets.use_cases.flights.tables import all_tables
from resources.local import local_resources
from resources.settings import settings
from tests.flights.shortened import definitions, short_spec
from tests.flights.thinned import thin

SPECS = [short_spec("flight_delay"), short_spec("arrival_minutes")]
WEEKS = SPECS[0].calendar.names()[:3]
RANGE = {"dagster/asset_partition_range_start": WEEKS[0], "dagster/asset_partition_range_end": WEEKS[-1]}
Graph = tuple[dg.Definitions, dict[str, Any], dg.DagsterInstance]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """Definitions, resources and instance after one run over all assets and three weeks."""
    home = tmp_path_factory.mktemp("graph")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(home / "home"))
        patch.setenv("MLOPS_DATA", str(thin(home / "data", every=8, before="2013-01-22")))
        patch.setenv("DAGSTER_HOME", "")
        resources = local_resources(settings())
        everything = dg.Definitions(jobs=[dg.define_asset_job("everything", dg.AssetSelection.all())])
        defs = dg.Definitions.merge(definitions(resources, *SPECS), everything)
        with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings()))) as instance:
            done = defs.resolve_job_def("everything").execute_in_process(instance=instance, tags=RANGE)
            assert done.success
            yield defs, resources, instance


def test_every_asset_is_materialised_for_every_week(graph):
    defs, _, instance = graph
    assets = defs.resolve_asset_graph()
    assert len(assets.materializable_asset_keys) == 5 + 12 + 2 * 9
    for key in assets.materializable_asset_keys:
        assert instance.get_latest_materialization_event(key), key
        if assets.get(key).is_partitioned:
            assert instance.get_materialized_partitions(key) == set(WEEKS), key


def test_every_check_is_present_and_passes(graph):
    defs, _, instance = graph
    checks = list(defs.resolve_asset_graph().asset_check_keys)
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)
    assert sorted(set(checks) - set(found)) == []
    assert [key.to_user_string() for key, record in found.items() if record.status.value != "SUCCEEDED"] == []
    assert len(checks) > 80


def test_every_table_shows_words_lineage_and_distributions_of_its_newest_week(graph):
    _, resources, instance = graph
    tables = [*(table.key for table in all_tables()), *(f"{spec.name}/training_set" for spec in SPECS)]
    for table in tables:
        event = instance.get_latest_materialization_event(dg.AssetKey(table.split("/")))
        assert event and event.asset_materialization
        shown = event.asset_materialization.metadata
        assert event.asset_materialization.partition in (WEEKS[-1], None)
        columns = {column.name: column.description for column in shown["dagster/column_schema"].value.columns}
        assert list(columns) == resources["lake"].read(table).columns
        assert "" not in columns.values()
        assert {line.split(" | ")[0][2:] for line in shown["distributions"].value.splitlines()[2:]} <= set(
            columns
        )
        assert set(shown["dagster/column_lineage"].value.deps_by_column) <= set(columns)


def test_every_column_of_every_table_that_an_asset_shows_is_described(graph):
    defs, resources, instance = graph
    shown = {}
    for key in defs.resolve_asset_graph().materializable_asset_keys:
        event = instance.get_latest_materialization_event(key)
        if (
            event
            and event.asset_materialization
            and (one := event.asset_materialization.metadata.get(SCHEMA))
        ):
            shown[key.to_user_string()] = one.value.columns
    reports = {f"{spec.name}/{name}" for spec in SPECS for name in ("predictions", "performance", "drift")}
    assert reports <= shown.keys()
    undescribed = {name: [c.name for c in columns if not c.description] for name, columns in shown.items()}
    assert {name: columns for name, columns in undescribed.items() if columns} == {}
    for name in reports:
        assert {column.name for column in shown[name]} == set(
            resources["lake"].read(name, WEEKS[-1:]).columns
        )


def test_the_pages_of_performance_and_drift_begin_with_a_picture_of_the_last_partitions(graph):
    _, _, instance = graph
    for spec in SPECS:
        for name in ("performance", "drift"):
            event = instance.get_latest_materialization_event(dg.AssetKey([spec.name, name]))
            first, second, *_ = event.asset_materialization.metadata
            assert (first, second) == ("last partitions", "last partitions, in full")


def test_training_columns_lead_back_to_feature_tables_and_to_the_request(graph):
    _, _, instance = graph
    event = instance.get_latest_materialization_event(dg.AssetKey(["flight_delay", "training_set"]))
    lineage = event.asset_materialization.metadata["dagster/column_lineage"].value.deps_by_column

    def sources(column: str) -> set[str]:
        return {f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in lineage[column]}

    assert sources("trip_minutes") == {"flights/raw.scheduled_departure", "flights/raw.scheduled_arrival"}
    assert sources("temp") == {
        *(f"flights/features/weather.{column}" for column in ("temp", "origin", "event_timestamp")),
        *("flights/raw.origin", "flights/raw.prediction_time"),
    }
    assert "flights/features/aircraft.aircraft_seen_at" in sources("aircraft_unseen_minutes")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_each_model_has_one_champion_and_it_is_the_one_that_is_deployed(graph, spec):
    _, resources, _ = graph
    tracking = resources["tracking"]
    champion = tracking.champion(spec.name)
    assert [v.number for v in tracking.versions(spec.name) if v.promotions] == [champion.number]
    assert tracking.previous(spec.name) is None
    record = resources["endpoint"].records()[spec.name]
    assert (record.version, record.model_sha256) == (str(champion.number), champion.sha256)


def test_no_week_that_trained_the_champion_is_scored_by_it(graph):
    _, resources, _ = graph
    assert resources["lake"].read("flight_delay/predictions").is_empty()

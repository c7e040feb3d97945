"""The asset `<model>/batch_predictions`: what it says of a run, what it need not make again, and when it makes nothing."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.assets.batch_predictions import CLAIM, batch_predictions
from mlops_assets.assets.bundle import model_assets
from mlops_assets.automation.jobs import model_jobs
from mlops_assets.kit.reuse import BECAUSE, SKIPPED
from mlops_assets.spec.batch import Batch
from mlops_assets.spec.model import ModelSpec
from mlops_assets.use_cases.flights.request import flight_id
from resources.clock import Clock
from resources.compute.compute import Compute
from resources.lake.lake import Lake
from tests.flights import lakes
from tests.flights.endpoint_state import FIELDS, VERSION, State

TABLE = "flights/coming"
SECOND = f"{lakes.MONDAYS[1]:%Y-%m-%d}"


class Registry:
    """Stands in for MLflow: of a version the trainer is asked, and of a model the champion."""

    def version(self, name: str, number: int) -> Any:
        return type("Version", (), {"number": number, "tags": {"trainer": "xgboost"}})

    def champion(self, name: str) -> None:
        return None


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    state = State(tmp_path_factory.mktemp("batch"), trainers={"flight_delay": {"rounds": 5}})
    rows = state.flights.head(60).select(FIELDS).with_columns(flight_id())
    Lake(root=state.home.lake).write(TABLE, rows, SECOND)
    return state


@pytest.fixture
def spec(state: State) -> ModelSpec:
    return state.specs["flight_delay"].model_copy(update={"batch": Batch(table=TABLE)})


def run(
    state: State, spec: ModelSpec, instance: dg.DagsterInstance, partition: str | None = SECOND, **more: Any
) -> dict[str, Any] | None:
    """Materialises the asset; returns what its page shows, and the outcome of its check; None where nothing was made."""
    resources = {
        "lake": Lake(root=state.home.lake),
        "feature_store": state.store,
        "endpoint": state.endpoint,
        "tracking": Registry(),
        "clock": Clock(),
        "compute": Compute(folder=str(state.home.training)),
    }
    done = dg.materialize(
        [batch_predictions(spec)], resources=resources | more, partition_key=partition, instance=instance
    )
    (check,) = done.get_asset_check_evaluations()
    told = done.asset_materializations_for_node(f"{spec.name}__batch_predictions")
    if not told:
        return None
    return {name: value.value for name, value in told[0].metadata.items()} | {"check": check}


def test_what_was_scored_is_told_and_is_not_scored_again(state, spec):
    with dg.DagsterInstance.ephemeral() as instance:
        first, again = run(state, spec, instance), run(state, spec, instance)
        assert first and again
        assert (first["dagster/row_count"], first["version"], first["rows refused"]) == (60, VERSION, 0)
        assert first["scored in"] == "this process" and first["features without a value"].endswith("%")
        assert all(column.description for column in first["dagster/column_schema"].columns)
        assert first["seconds"] > 0 and first["check"].passed and BECAUSE in first and SKIPPED in again
        lake = Lake(root=state.home.lake)
        before = lake.manifest(f"{spec.name}/batch_predictions", SECOND)
        assert before.made_of and f"{spec.name} version {VERSION}" in before.made_of
        rows = lake.read(TABLE, [SECOND])
        lake.write(
            TABLE, rows.with_columns(origin=rows["origin"].replace(rows["origin"][0], "Newark")), SECOND
        )
        changed = run(state, spec, instance)
        assert changed and changed[BECAUSE] == "changed: rows" and changed["rows refused"] > 0
        assert not changed["check"].passed
        lake.write(TABLE, rows, SECOND)


def test_files_are_one_table_without_partitions(state, spec, tmp_path):
    Lake(root=state.home.lake).read(TABLE, [SECOND]).write_parquet(tmp_path / "rows.parquet")
    files = spec.model_copy(update={"batch": Batch(path=str(tmp_path / "*.parquet"))})
    with dg.DagsterInstance.ephemeral() as instance:
        found = run(state, files, instance, None)
        assert found and found["dagster/row_count"] == 60
        again = run(state, files, instance, None)
        assert again and SKIPPED in again
    assert batch_predictions(files).partitions_def is None


def test_before_a_version_answers_nothing_is_made_and_the_run_succeeds(state, spec, tmp_path):
    nobody = state.endpoint.model_copy(update={"folder": str(tmp_path)})
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(state, spec, instance, endpoint=nobody) is None


def test_a_model_that_is_not_deployed_scores_with_its_champion(state, spec, tmp_path):
    content = state.models[spec.name]
    record = state.endpoint.records()[spec.name]
    version = type(
        "Version", (), {"number": 9, "sha256": record.model_sha256, "tags": {"trainer": "xgboost"}}
    )

    class WithAChampion(Registry):
        def champion(self, name: str) -> Any:
            return version

        def load(self, asked: Any) -> bytes:
            assert asked is version
            return content

    endpoint = state.endpoint.model_copy(update={"folder": str(tmp_path)})
    endpoint.advance(lakes.bounds(lakes.MONDAYS[1])[1], "flights")
    alone = spec.model_copy(update={"deployment": spec.deployment.model_copy(update={"enabled": False})})
    with dg.DagsterInstance.ephemeral() as instance:
        found = run(state, alone, instance, endpoint=endpoint, tracking=WithAChampion())
    assert found and found["version"] == 9
    assert endpoint.records() == {} and Path(endpoint.model_file(spec.name, 9)).exists()


def test_it_is_there_where_the_spec_asks_for_it_and_a_part_of_the_week_where_it_is_cut(spec):
    plain = spec.model_copy(update={"batch": None})
    whole = spec.model_copy(update={"batch": Batch(table=TABLE, whole=True)})
    key = dg.AssetKey([spec.name, "batch_predictions"])

    def there(one: ModelSpec) -> tuple[bool, bool]:
        assets = model_assets(one)
        week = model_jobs(one)[0].selection.resolve(assets)
        return key in {asset.key for asset in assets}, key in week

    assert [there(one) for one in (plain, spec, whole)] == [(False, False), (True, True), (True, False)]
    assert {check.name for asset in model_assets(spec) for check in asset.check_specs} >= {CLAIM}

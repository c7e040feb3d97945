"""A dbt project in YAML becomes assets and checks, by what dbt itself wrote; tests/acceptance/test_dbt.py has dbt at work."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.commands.check import complaints
from mlops_assets.components.use_case import UseCaseError, load_use_case
from mlops_assets.stages.dbt_project import MANIFEST, RESULTS
from tests.dbt_shop import RECORDED, YAML, DbtShop, checks_of, failure_of, tables_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
ORDERS, BIG, SHOPS = (f"shop/warehouse/{name}" for name in ("orders", "big_orders", "shops"))
SOURCE = "shop/warehouse/till/receipts"
COMMAND = """\
#!/bin/sh
printf '%s\\n' "$@" > {folder}/arguments
echo "what dbt prints"
cp {folder}/results.json {target} 2>/dev/null
exit $(cat {folder}/status)
"""


class Recorded(DbtShop):
    """The shop with a command in the place of dbt that leaves the results which dbt once wrote."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        super().__init__(root, instance)
        (self.project / "target").mkdir()
        shutil.copy(RECORDED / MANIFEST.name, self.project / MANIFEST)
        (root / "dbt").write_text(COMMAND.format(folder=root, target=self.project / RESULTS))
        (root / "dbt").chmod(0o755)
        self.leave(0)

    def leave(self, status: int, **statuses: str) -> None:
        """Let the next build end so, with another status of some models or tests."""
        content = json.loads((RECORDED / RESULTS.name).read_text())
        for one in content["results"]:
            one["status"] = statuses.get(one["unique_id"].split(".")[2], one["status"])
        (self.root / "results.json").write_text(json.dumps(content))
        (self.root / "status").write_text(str(status))

    def arguments(self) -> list[str]:
        return (self.root / "arguments").read_text().splitlines()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    for name, value in (DbtShop.variables(tmp_path) | {"DBT": str(tmp_path / "dbt")}).items():
        monkeypatch.setenv(name, value)
    with dg.instance_for_test() as instance:
        yield Recorded(tmp_path, instance)


def test_models_are_assets_with_their_lineage_and_the_table_stands_behind_them(shop):
    graph = shop.defs().resolve_asset_graph()
    edges = {
        key.to_user_string(): {one.to_user_string() for one in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert edges[ORDERS] == {SOURCE}, "an ephemeral model leaves no table, and what it reads is behind it"
    assert edges[BIG] == {ORDERS, SHOPS} and edges[SHOPS] == set()
    assert edges["shop/orders"] == {ORDERS}
    node = graph.get(dg.AssetKey(ORDERS.split("/")))
    assert (node.group_name, list(node.owners)) == ("shop_warehouse", ["team:shop"])
    assert node.description == "One row an order, of the lines of its receipt."


def test_its_tests_are_checks_of_what_they_are_about(shop):
    keys = shop.defs().resolve_asset_graph().asset_check_keys
    about = {one.name: one.asset_key.to_user_string() for one in keys if one.asset_key.path[1] == "warehouse"}
    assert about.pop("source_not_null_till_receipts_pieces") == SOURCE
    assert len(about) == 4 and set(about.values()) == {ORDERS}


def test_a_build_says_what_was_made_and_what_passed(shop):
    done = shop.run(ORDERS, BIG, SHOPS)
    assert done.success and tables_of(done) == {ORDERS, BIG, SHOPS}
    assert len(checks_of(done)) == 5 and all(passed for passed, _ in checks_of(done).values())
    assert "--select" not in shop.arguments()
    shown = done.asset_materializations_for_node("dbt_shop_warehouse")
    assert {one.asset_key.path[-1]: one.metadata["seconds"].value for one in shown}["orders"] == 0.5


def test_what_is_selected_is_built_with_its_own_tests_alone(shop):
    shop.run(BIG)
    assert shop.arguments()[-4:] == ["--indirect-selection", "empty", "--select", "big_orders"]


def test_a_failed_test_fails_the_run_and_its_check_and_a_model_that_was_skipped_is_not_made(shop):
    shop.leave(1, not_null_orders_order_id="fail", big_orders="skipped", orders_cost_something="warn")
    done = shop.run(ORDERS, BIG, SHOPS)
    assert not done.success and tables_of(done) == {ORDERS, SHOPS}
    checks = checks_of(done)
    assert checks["not_null_orders_order_id"] == (False, "ERROR")
    assert checks["orders_cost_something"] == (False, "WARN")
    assert "test.warehouse.not_null_orders_order_id" in failure_of(done)
    assert "skipped because of that: model.warehouse.big_orders" in failure_of(done)


def test_a_build_without_results_says_what_dbt_printed(shop):
    (shop.root / "results.json").unlink()
    (shop.root / "status").write_text("2")
    assert "ended with 2 and left no results:\nwhat dbt prints" in failure_of(shop.run(ORDERS))


def test_a_model_that_came_after_the_definitions_were_loaded_asks_for_a_reload(shop):
    content = json.loads((shop.root / "results.json").read_text())
    content["results"][0]["unique_id"] = "model.warehouse.newer"
    (shop.root / "results.json").write_text(json.dumps(content))
    assert "dbt built model.warehouse.newer, which was not in its manifest" in failure_of(shop.run(ORDERS))


def test_a_command_that_is_not_there_says_what_to_install(shop):
    (shop.root / "dbt").unlink()
    assert "install dbt-core and the adapter of your database" in failure_of(shop.run(ORDERS))


def test_there_is_one_job_and_a_schedule_by_its_line(shop):
    defs = shop.defs()
    assert "build_shop_warehouse" in {job.name for job in defs.jobs or ()}
    (schedule,) = defs.schedules or ()
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.cron_schedule == "0 5 * * *" and schedule.execution_timezone == "UTC"
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (
            "project: dbt",
            "project: elsewhere",
            r"defs\.yaml:2: .*elsewhere is no dbt project: it has no dbt_project\.yml",
        ),
        ("project: dbt", 'project: "${NOWHERE}"', "needs the environment variable NOWHERE, which is not set"),
        ("schedule: 0 5 * * *", "schedule: 0 5 * *", "has 4 fields: a cron line has five"),
        ("project: dbt", "projekt: dbt", "projekt"),
    ],
)
def test_a_mistake_is_told_when_it_is_loaded(shop, before, after, says):
    (shop.folder.path / "defs.yaml").write_text(YAML.replace(before, after))
    with pytest.raises(UseCaseError, match=says):
        load_use_case(shop.folder)


def test_a_warehouse_that_was_never_built_is_told_with_what_builds_it(shop):
    (one,) = complaints(load_use_case(shop.folder))
    assert "database does not exist" in one.sentence
    assert one.sentence.endswith(
        f"; {ORDERS} makes what is read here: materialize that first, if it never was"
    )


def test_a_project_that_was_not_parsed_says_how(shop):
    (shop.project / MANIFEST).unlink()
    with pytest.raises(UseCaseError, match=r"manifest\.json is not there: run `dbt parse` in "):
        load_use_case(shop.folder)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('"project_name": "warehouse"', '"project_name": "ingest"', "cannot be called 'ingest'"),
        (
            '"name": "big_orders"',
            '"name": "orders"',
            "big_orders and model.warehouse.orders have one name, 'orders'",
        ),
    ],
)
def test_names_that_do_not_keep_assets_apart_are_refused(shop, before, after, says):
    text = (shop.project / MANIFEST).read_text()
    assert before in text
    (shop.project / MANIFEST).write_text(text.replace(before, after))
    with pytest.raises(UseCaseError, match=says):
        load_use_case(shop.folder)

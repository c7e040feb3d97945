"""A real dbt project on DuckDB stands behind a table: built and tested by dbt itself, from Dagster."""

import json
import os
import subprocess
from collections.abc import Iterator

import dagster as dg
import pytest

from tests.conftest import needed_program
from tests.dbt_shop import FIRST, RECEIPTS, RECORDED, DbtShop, checks_of, failure_of, recorded, tables_of

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
INSTALL = "python -m venv dbt && dbt/bin/pip install 'dbt-core<1.12' dbt-duckdb, and set DBT to its bin/dbt"
MODELS = {"shop/warehouse/orders", "shop/warehouse/big_orders", "shop/warehouse/shops"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DbtShop]:
    dbt = needed_program(os.environ.get("DBT", "dbt"), INSTALL)
    root = tmp_path_factory.mktemp("dbt")
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        for name, value in (DbtShop.variables(root) | {"DBT": dbt, "DO_NOT_TRACK": "1"}).items():
            patch.setenv(name, value)
        shop = DbtShop(root, instance)
        command = [
            dbt,
            "--quiet",
            "parse",
            "--project-dir",
            str(shop.project),
            "--profiles-dir",
            str(shop.project),
        ]
        subprocess.run(command, cwd=shop.project, check=True, timeout=120)
        yield shop


def test_a_build_makes_the_models_tests_them_and_is_read_by_the_table_behind(shop):
    done = shop.run(*MODELS)
    assert done.success and tables_of(done) == MODELS
    assert set(checks_of(done).values()) == {(True, "ERROR"), (True, "WARN")} and len(checks_of(done)) == 5
    for name, content in recorded(shop.project).items():
        assert content == json.loads((RECORDED / name).read_text()), (
            "dbt writes something else: record it again"
        )
    ingested = shop.run("shop/orders", partition=FIRST)
    assert ingested.success, [event.message for event in ingested.all_events if event.is_failure]
    rows = shop.lake.read("shop/orders", [FIRST]).sort("order_id")
    assert rows.select("order_id", "amount").rows() == [(1, 124.0), (2, 5.0)]


def test_one_model_that_is_selected_is_built_alone(shop):
    assert tables_of(shop.run("shop/warehouse/big_orders")) == {"shop/warehouse/big_orders"}


def test_what_breaks_a_test_fails_the_run_with_dbts_words_and_what_is_behind_is_left(shop):
    shop.sell(RECEIPTS + "4,south,2024-01-02 10:00:00,1,-2,7\n")
    done = shop.run(*MODELS)
    assert not done.success
    assert tables_of(done) == MODELS - {"shop/warehouse/big_orders"}
    checks = checks_of(done)
    assert checks["orders_cost_something"] == (False, "WARN")
    assert checks["accepted_values_orders_sent_back__False__0__1"] == (False, "ERROR")
    told_by_dbt = failure_of(done)
    assert "Got 1 result, configured to fail if != 0" in told_by_dbt
    assert "skipped because of that: model.warehouse.big_orders" in told_by_dbt

"""Declared tables held back: the copy of the folder reads what has come, and nothing else."""

import polars as pl
import pytest

from mlops_assets.live.declared import DeclaredSource
from mlops_assets.live.order import LiveError
from mlops_assets.spec.files import read_use_case, table_specs_in
from mlops_assets.spec.use_case import reading
from mlops_assets.stages.sources import awaited, read_rows
from resources.use_case_folders import UseCaseFolder
from tests.acceptance.parcels import write_shop


@pytest.fixture
def shop(tmp_path) -> UseCaseFolder:
    return UseCaseFolder(write_shop(tmp_path), "parcels")


def held(shop: UseCaseFolder, tmp_path) -> DeclaredSource:
    source = DeclaredSource(shop, read_use_case(shop), tmp_path / "state")
    source.open()
    return source


def orders_of(folder: UseCaseFolder):
    with reading(read_use_case(folder)):
        return next(spec for spec in table_specs_in(folder) if spec.name == "orders")


def test_the_copy_reads_the_same_rows_of_what_has_come_and_waits_for_the_rest(shop, tmp_path):
    source = held(shop, tmp_path)
    copy = UseCaseFolder(tmp_path / "state" / "use_cases" / "parcels", "parcels")
    first, second = source.names()[:2]
    assert source.bring(first) == 40
    calendar, spec = read_use_case(copy).calendar, orders_of(copy)
    one = read_rows(spec, copy.path, calendar.partition(first)).frame
    assert one.equals(read_rows(orders_of(shop), shop.path, calendar.partition(first)).frame)
    assert awaited(spec, copy.path, calendar.partition(second)) is not None
    assert one.equals(source.rows(first).select(one.columns))


def test_static_tables_are_there_from_the_start_and_the_copy_stands_in_the_place_of_the_folder(
    shop, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLOPS_USE_CASES", f"{shop.path}:{tmp_path / 'other'}")
    source = held(shop, tmp_path)
    assert pl.read_parquet(tmp_path / "state" / "source" / "shops" / "whole.parquet").height == 12
    assert source.variables == {
        "MLOPS_USE_CASES": f"{tmp_path / 'other'}:{tmp_path / 'state' / 'use_cases' / 'parcels'}"
    }


def test_plants_move_numbers_and_turn_labels_round(shop, tmp_path):
    source = held(shop, tmp_path)
    name = source.names()[0]
    true, file = source.rows(name), tmp_path / "state" / "source" / "orders" / f"{name}.parquet"
    source.bring(name, "bad-labels")
    assert pl.read_parquet(file)["sent_back"].equals(~true["sent_back"])
    source.bring(name, "drift")
    assert pl.read_parquet(file)["amount"].mean() > 2 * true["amount"].mean()
    source.spoil(name)
    with pytest.raises(Exception, match="parquet"):
        pl.read_parquet(file)


def test_a_table_with_a_cadence_of_its_own_is_refused(shop, tmp_path):
    file = shop.path / "defs.yaml"
    file.write_text(file.read_text().replace("  lateness: 1h", "  cadence: monthly\n  lateness: 1h"))
    with pytest.raises(LiveError, match="'orders' has the cadence 'monthly'"):
        held(shop, tmp_path)

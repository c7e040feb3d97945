"""The catalogue: every column of every table of the flights has words, promises and a lineage that leads somewhere."""

import dagster as dg
import polars as pl
import pytest

from mlops_assets.kit.catalogue import (
    DISTRIBUTIONS,
    LINEAGE,
    SCHEMA,
    column_schema,
    described,
    newest_metadata,
    type_name,
)
from mlops_assets.kit.tables import table_asset
from mlops_assets.ml.tables import Column, Expectation
from mlops_assets.use_cases.flights.features.catalogue import TRIP, VIEWS
from mlops_assets.use_cases.flights.tables import all_tables

UTC = pl.Datetime("us", "UTC")
EXPECTED = Expectation(
    schema={"pump": pl.String, "at": UTC, "bar": pl.Float32, "state": pl.Int64},
    keys=("pump", "at"),
    ranges={"bar": (0, 16)},
    nulls={"pump": 0.0, "bar": 0.05},
)
COLUMNS = {
    "bar": Column("Pressure.", "bar", (("pumps/raw", "pa"), ("pumps/raw", "at"), ("pumps/kinds", "scale")))
}
TABLES = {table.key: table for table in all_tables()}


ASSETS = {key: table_asset(table) for key, table in TABLES.items()}


def shown(table: str, what: str):
    """The table's column schema or lineage, as Dagster has it before anything is materialised."""
    return ASSETS[table].metadata_by_key[ASSETS[table].key][what]


def column(schema: dg.TableSchema, name: str) -> dg.TableColumn:
    return next(column for column in schema.columns if column.name == name)


def test_promises_are_shown_beside_the_type():
    schema = column_schema(EXPECTED, COLUMNS)
    assert schema.constraints.other == ["unique: pump, at"]
    assert not column(schema, "pump").constraints.nullable
    assert column(schema, "bar").constraints == dg.TableColumnConstraints(
        True, False, ["0 to 16", "at most 5% null"]
    )
    assert column(schema, "bar").tags == {"unit": "bar"}
    assert [c.type for c in schema.columns] == ["String", "Datetime (UTC)", "Float32", "Int64"]


def test_a_key_of_one_column_is_unique_by_itself():
    schema = column_schema(Expectation({"id": pl.Int64, "v": pl.Int64}, ("id",)), {})
    assert [c.constraints.unique for c in schema.columns] == [True, False]
    assert schema.constraints.other == []


def test_a_description_says_what_a_column_is_made_of():
    assert described(COLUMNS["bar"]) == "Pressure.\n\n*from pumps/raw:* pa, at; *from pumps/kinds:* scale"
    assert described(Column("Pressure.")) == "Pressure."
    assert type_name(pl.Datetime("us")) == "Datetime(time_unit='us', time_zone=None)"


def test_the_newest_partition_shows_how_its_values_are_spread():
    at = pl.Series([0, 1, 2], dtype=pl.Int64).cast(UTC)
    frame = pl.DataFrame({"pump": ["a", "b", "c"], "at": at, "bar": [1.0, None, 3.5], "state": [1, 1, 2]})
    newest = newest_metadata(frame, EXPECTED, COLUMNS)
    assert newest[SCHEMA] == column_schema(EXPECTED, COLUMNS)
    rows = newest[DISTRIBUTIONS].md_str.splitlines()[2:]
    assert [line.split(" | ")[0] for line in rows] == ["| bar", "| state"]
    assert rows[0].startswith("| bar | ![bar](data:image/svg+xml,")
    assert rows[0].endswith(" | 33.3% | 1 | 2.25 | 3.5 |")
    [sources] = newest[LINEAGE].deps_by_column.values()
    assert {(dep.asset_key.to_user_string(), dep.column_name) for dep in sources} == set(
        COLUMNS["bar"].made_of
    )


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_a_table_is_described(table):
    asset, schema = ASSETS[table], shown(table, SCHEMA)
    assert [c.name for c in schema.columns] == list(TABLES[table].expected.schema)
    for listed in schema.columns:
        assert listed.description.split("\n")[0].endswith("."), listed.name
    assert list(asset.owners_by_key[asset.key]) == ["team:flights"]
    assert asset.tags_by_key[asset.key]["domain"] == "flights"
    assert asset.descriptions_by_key[asset.key]


@pytest.mark.parametrize("table", TABLES)
def test_lineage_leads_to_columns_of_the_tables_that_a_table_is_made_from(table):
    above = {dep.asset_key for dep in ASSETS[table].get_asset_spec().deps}
    for name, sources in shown(table, LINEAGE).deps_by_column.items():
        assert name in TABLES[table].expected.schema
        for source in sources:
            assert source.asset_key in above
            assert source.column_name in TABLES[source.asset_key.to_user_string()].expected.schema


@pytest.mark.parametrize("view", VIEWS)
def test_every_column_of_a_feature_table_has_a_lineage_but_a_constant_and_when_a_row_was_pushed(view):
    table = f"flights/features/{view}"
    constant = {"event_timestamp"} if view == "plane" else set()
    constant |= {"created"} if VIEWS[view].pushed_as else set()
    columns = {c.name for c in shown(table, SCHEMA).columns}
    assert columns - set(shown(table, LINEAGE).deps_by_column) == constant


def test_a_feature_table_is_found_by_entity_and_life():
    tags = {view: ASSETS[f"flights/features/{view}"].get_asset_spec().tags for view in VIEWS}
    assert {"entity": "carrier.origin", "ttl": "30min"}.items() <= tags["carrier_traffic"].items()
    assert tags["plane"]["ttl"] == "for_ever"


def test_no_two_features_have_one_name_and_each_has_a_unit_and_a_sentence_of_its_own():
    features = [feature for thing in (*VIEWS.values(), TRIP) for feature in thing.features]
    assert len({f.name for f in features}) == len(features)
    assert len({f.description for f in features}) == len(features)
    assert all(f.unit and f.description.endswith(".") for f in features)

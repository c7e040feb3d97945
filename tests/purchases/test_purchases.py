"""The purchases are the file's, and what is bought tomorrow moves neither today's features nor today's model."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.components.table import declared_tables
from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.training.fit import fit
from mlops_assets.spec.files import read_use_case, specs_in, table_specs_in
from mlops_assets.stages.outcomes import outcome_parts, with_outcomes
from mlops_assets.stages.tables import build_partition
from mlops_assets.use_cases.purchases import source
from resources.lake.lake import Lake
from resources.use_case_folders import use_case_folder

FIRST = datetime(1997, 1, 1, tzinfo=UTC)
TODAY, LAST = FIRST + timedelta(days=42), FIRST + timedelta(days=46)
FOLDER = use_case_folder("purchases")


def test_a_customers_day_is_one_purchase_known_at_its_end():
    found = source.purchases(FIRST, datetime(1998, 7, 1, tzinfo=UTC))
    assert (found.height, found["customer"].n_unique()) == (67_591, 23_570)
    assert found.select("customer", "bought_at").is_duplicated().sum() == 0
    day = found.filter(customer=2).to_dicts()
    assert day == [
        {
            "customer": 2,
            "bought_at": datetime(1997, 1, 12, 23, 59, 59, tzinfo=UTC),
            "pieces": 6,
            "amount": 89.0,
        }
    ]
    joined = found.group_by("customer").agg(pl.col("bought_at").min())["bought_at"].max()
    assert joined == datetime(1997, 3, 25, 23, 59, 59, tzinfo=UTC)


def test_a_line_that_has_not_four_values_is_told(tmp_path):
    (tmp_path / "cut.txt").write_text(" customer_id date number_of_cds dollar_value\n 00001 19970101  1\n")
    with pytest.raises(source.SourceError, match=r"line 2: ' 00001 19970101  1' has not 4 values"):
        source._all(tmp_path / "cut.txt")


def made(folder, until) -> Lake:
    """The lake with all tables of the purchases up to a moment, a day a partition."""
    use_case, lake = read_use_case(FOLDER), Lake(root=str(folder))
    (spec,) = table_specs_in(FOLDER)
    tables = declared_tables(spec, use_case, FOLDER.path)
    for name in use_case.calendar.names(until):
        for table in tables:
            findings, _ = build_partition(lake, table, name)
            assert all(one.holds for one in findings if one.blocking), (table.key, findings)
    return lake


def model(lake: Lake) -> tuple[pl.DataFrame, bytes]:
    """The features of today's purchases, and a model of what is known today."""
    (spec,) = (one for one in specs_in(FOLDER) if one.name == "buys_again")
    calendar = spec.calendar
    features = lake.read("purchases/features/customer").sort("event_timestamp")
    parts, rows = outcome_parts(spec, lake), []
    for name in calendar.names(TODAY):
        bought = lake.read("purchases/purchases", [name])
        of = {label: digest for label, digest in parts.get(name, {}).items() if label < f"{TODAY:%Y-%m-%d}"}
        rows.append(with_outcomes(spec, lake, of, bought))
    joined = (
        pl.concat(rows)
        .sort("bought_at")
        .join_asof(
            features,
            left_on="bought_at",
            right_on="event_timestamp",
            by="customer",
            suffix="_so_far",
            check_sortedness=False,
        )
        .sort("bought_at", "customer")
    )
    given = [name for name in features.columns if name not in ("customer", "event_timestamp", "pieces")]
    known = labelled(joined, spec, TODAY)
    assert 0.1 < known["_label"].mean() < 0.4 and known["bought_at"].max() < TODAY - timedelta(days=30)
    return joined.filter(pl.col("bought_at") > TODAY - timedelta(days=1)), fit(
        known, spec, given, rounds=5
    ).model


@pytest.mark.nightly
def test_what_is_bought_tomorrow_moves_neither_features_nor_model_of_today(tmp_path):
    without, with_more = made(tmp_path / "today", TODAY), made(tmp_path / "later", LAST)
    now, then = model(without), model(with_more)
    assert now[0].height > 200 and now[0].equals(then[0]) and now[1] == then[1]
    other = with_more.read("purchases/bought_again").filter(pl.col("known_at") > TODAY)
    assert other.height > 100

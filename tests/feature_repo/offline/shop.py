"""Two views over one folder of files, with everything that a join has to get right, and rows that ask about them."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTES = 300
SERVICE = "all"


def write(folder: Path) -> None:
    """Three files: keys that are null, ties, one file without created timestamps."""
    folder.mkdir()
    for number in range(3):
        dice = np.random.default_rng(number)
        shops = [f"s{n}" if n else None for n in dice.integers(0, 6, 400)]
        table = pl.DataFrame(
            {
                "shop": shops,
                "item": dice.integers(0, 4, 400),
                "moment": moments(dice, 400),
                "amount": dice.normal(size=400),
                "note": [f"{number}-{n}" if n % 5 else None for n in range(400)],
                "created": moments(dice, 400),
            }
        )
        table = table.drop("created") if number == 1 else table
        table.write_parquet(folder / f"{number}.parquet")


def asked(count: int) -> pl.DataFrame:
    """Entity rows in no order, with keys that nobody knows and one that is null."""
    dice = np.random.default_rng(9)
    shops = [f"s{n}" if n < 7 else None for n in dice.integers(1, 8, count)]
    return pl.DataFrame(
        {"shop": shops, "thing": dice.integers(0, 5, count), "event_timestamp": moments(dice, count)}
    )


def store(folder: Path, settings: dict[str, Any]) -> Any:
    """A Feast store over the folder; `settings` are those of the offline store."""
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.repo_config import RepoConfig
    from feast.types import Float64, Int64, String

    config: dict[str, Any] = {
        "project": "shop",
        "provider": "local",
        "registry": str(folder / "registry.db"),
        "offline_store": settings,
        "online_store": {"type": "sqlite", "path": str(folder / "online.db")},
        "entity_key_serialization_version": 3,
    }
    made = FeatureStore(config=RepoConfig(repo_path=folder, **config))
    shop = Entity(name="shop", value_type=ValueType.STRING)
    item = Entity(name="item", value_type=ValueType.INT64)
    keys = {shop: Field(name="shop", dtype=String), item: Field(name="item", dtype=Int64)}

    def view(name: str, entities: list[Entity], ttl: timedelta, created: str) -> FeatureView:
        data = FileSource(
            name=name, path="tables/*.parquet", timestamp_field="moment", created_timestamp_column=created
        )
        fields = [Field(name="amount", dtype=Float64), Field(name="note", dtype=String)]
        schema = [*(keys[entity] for entity in entities), *fields]
        return FeatureView(name=name, entities=entities, ttl=ttl, schema=schema, source=data)

    views = [
        view("sales", [shop, item], timedelta(minutes=90), "created"),
        view("everywhere", [item], timedelta(0), ""),
    ]
    aliased = [one.with_join_key_map({"item": "thing"}) for one in views]
    made.apply(
        [shop, item, *views, FeatureService(name=SERVICE, features=[aliased[0], aliased[1][["amount"]]])]
    )
    return made


def joined(made: Any, rows: pl.DataFrame, **options: Any) -> Any:
    """The features of the rows, whose `thing` stands for the join key `item`."""
    service = made.get_feature_service(SERVICE)
    return made.get_historical_features(rows, service, full_feature_names=True, **options).to_arrow()


def moments(dice: np.random.Generator, count: int) -> pl.Series:
    """Whole minutes of a few hours."""
    minutes = dice.integers(0, MINUTES, count).tolist()
    return pl.Series([START + timedelta(minutes=n) for n in minutes]).cast(pl.Datetime("us", "UTC"))


if __name__ == "__main__":
    folder, kind = Path(sys.argv[1]), sys.argv[2]
    table = joined(store(folder, {"type": kind}), asked(200))
    assert not {"feature_repo", "resources"} & set(sys.modules), "the copy leans on this repository"
    pl.DataFrame(pl.from_arrow(table)).write_parquet(folder / "answer.parquet")

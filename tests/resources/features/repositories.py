"""Feature repositories that tests write: a package of modules, and the description of two views."""

from pathlib import Path

import pytest

from feature_repo.declared.description import Declared, Feature, Key, View

VIEWS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Float64, Int64, String

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
city = Entity(name="city", value_type=ValueType.STRING)


def view(name, entity, key, kind, *features):
    return FeatureView(
        name=name, entities=[entity], ttl=timedelta(days=3),
        schema=[Field(name=key, dtype=kind), *(Field(name=f, dtype=Float32) for f in features)],
        source=FileSource(name=name, path=f"features/{name}/*.parquet", timestamp_field="event_timestamp"),
    )


history = view("history", customer, "customer_id", Int64, "amount", "age")
streets = view("streets", city, "city", String, "width")
"""


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, **modules: str) -> str:
    """A package of that name which can be imported; `__` in a module's name stands for a folder."""
    for path, text in {"__init__": "", **modules}.items():
        file = folder / name / f"{path if path == '__init__' else path.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    return name


def loans(prefix: str = "loans") -> Declared:
    """Two views over tables of a use case: a static one without and one with a time to live."""
    return Declared(
        views=(
            View(
                name="places",
                keys=(Key(name="zipcode", type="Int64", description="Postal code."),),
                features=(
                    Feature(name="city", type="String"),
                    Feature(name="population", type="Float64", unit="people"),
                ),
                source=f"{prefix}/features/places/*.parquet",
                place=f"{prefix}/defs.yaml:3",
            ),
            View(
                name="debts",
                keys=(Key(name="borrower", type="String"), Key(name="zipcode", type="Int64")),
                features=(Feature(name="owed", type="Float64"), Feature(name="missed", type="Int64")),
                source=f"{prefix}/features/debts/*.parquet",
                ttl_seconds=30 * 86_400,
                place=f"{prefix}/defs.yaml:20",
            ),
        )
    )

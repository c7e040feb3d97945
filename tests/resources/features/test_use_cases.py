"""Two use cases beside each other: what one registers and brings online, the other neither sees, changes nor removes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from feature_repo.declared.description import Declared, View
from resources.features.chosen import service_of, with_services
from resources.features.registry_lock import OPENING
from resources.features.repository import Repository
from resources.features.store import FeatureStoreResource
from resources.settings import PROJECT_ROOT
from resources.storage.errors import LeaseHeldError
from resources.storage.locks import file_lock
from tests.resources.features.repositories import loans

START = datetime(2024, 5, 1, tzinfo=UTC)
NOW = START + timedelta(days=2)


def repository(use_case: str, *more: str) -> Repository:
    """The two views of the loans under another use case's name, and further views like the first."""
    described = loans(use_case)
    first = described.views[0].model_dump()
    views = [View.model_validate(first | {"name": name}) for name in more]
    whole = Repository(declared=Declared(views=(*described.views, *views)), project=use_case)
    return with_services(whole, [service_of("all", whole)])


def store(folder: Path, use_case: str, *more: str, online_store: str = "") -> FeatureStoreResource:
    return FeatureStoreResource(
        lake_root=str(folder / "lake"),
        home=str(folder / "feast" / use_case),
        repository=repository(use_case, *more),
        online_store=online_store,
    )


def fill(folder: Path, use_case: str, city: str) -> None:
    """A row of each view, which names the use case."""
    keys = {"zipcode": [1], "event_timestamp": [START]}
    tables = {
        "places": {**keys, "city": [city], "population": [1.5]},
        "debts": {"borrower": ["ann"], **keys, "owed": [float(len(city))], "missed": [len(city)]},
    }
    for name, columns in tables.items():
        path = folder / "lake" / use_case / "features" / name / "2024-05-01.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        types = {"event_timestamp": pl.Datetime("us", "UTC")}
        pl.DataFrame(columns, schema_overrides=types).write_parquet(path)


def names(of: FeatureStoreResource) -> set[str]:
    feast = of.feast()
    return {
        *(view.name for view in feast.list_feature_views()),
        *(service.name for service in feast.list_feature_services()),
        *(entity.name for entity in feast.list_entities() if not entity.name.startswith("__")),
    }


ALL = {"places", "debts", "all", "zipcode", "borrower"}


@pytest.fixture(params=["sqlite", "redis"])
def online_store(request) -> str:
    """SQLite in each use case's folder, or one Redis for both."""
    if request.param == "sqlite":
        return ""
    return f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/9"


def asked(of: FeatureStoreResource) -> dict[str, list]:
    rows = pl.DataFrame({"borrower": ["ann", "bob"], "zipcode": [1, 1]})
    return of.online("all", rows, NOW).select("city", "missed").to_dict(as_series=False)


def test_two_use_cases_share_a_state_folder_a_lake_and_an_online_store(tmp_path, online_store):
    """`autoloans` ends as `loans` does, and a project's name is the end of a key in Redis."""
    cities = {"loans": "Ulm", "autoloans": "Hamburg"}
    stores = {name: store(tmp_path, name, online_store=online_store) for name in cities}
    for name, of in stores.items():
        fill(tmp_path, name, cities[name])
        of.apply()
        of.materialize(["places", "debts"], START, NOW)
    for name, of in stores.items():
        assert asked(of) == {"city": [cities[name]] * 2, "missed": [len(cities[name]), None]}
    assert {name: names(of) for name, of in stores.items()} == dict.fromkeys(cities, ALL)


def test_what_one_use_case_takes_away_is_left_to_the_other(tmp_path, online_store):
    cities = {"loans": "Ulm", "autoloans": "Hamburg"}
    stores = {name: store(tmp_path, name, online_store=online_store) for name in cities}
    for name, of in stores.items():
        fill(tmp_path, name, cities[name])
        of.apply()
        of.materialize(["places", "debts"], START, NOW)
    (tmp_path / "lake" / "loans" / "features" / "places" / "2024-05-01.parquet").unlink()
    fill(tmp_path, "autoloans", "Kiel")
    nowhere = pl.DataFrame(
        schema={
            "zipcode": pl.Int64,
            "event_timestamp": pl.Datetime("us", "UTC"),
            "city": pl.String,
            "population": pl.Float64,
        }
    )
    nowhere.write_parquet(tmp_path / "lake" / "loans" / "features" / "places" / "2024-05-01.parquet")
    done = stores["loans"].materialize(["places"], START, NOW)
    assert [view.removed for view in done] == [1]
    assert asked(stores["loans"])["city"] == [None, None]
    assert asked(stores["autoloans"])["city"] == ["Hamburg", "Hamburg"]

    feast = stores["loans"].feast()
    view = feast.get_feature_view("debts")
    feast.provider.online_store.update(feast.config, [view], [], [], [], partial=True)  # type: ignore[attr-defined]
    if online_store:  # In SQLite it is a table, which is gone.
        assert asked(stores["loans"])["missed"] == [None, None]
    assert asked(stores["autoloans"])["missed"] == [len("Hamburg"), None]


def test_applying_removes_what_is_no_longer_defined_of_its_own_use_case_alone(tmp_path, monkeypatch):
    """Both in one database, as where a feature_store.yaml names a server."""
    template = (PROJECT_ROOT / "feature_repo" / "feature_store.yaml").read_text()
    shared = template.replace("${MLOPS_FEAST}/registry.db", f"{tmp_path}/shared.db")
    assert shared != template
    (tmp_path / "template").mkdir()
    (tmp_path / "template" / "feature_store.yaml").write_text(shared)
    monkeypatch.setattr(
        "resources.features.configuration.folder_of_repository", lambda _: tmp_path / "template"
    )
    store(tmp_path, "loans", "more").apply()
    store(tmp_path, "autoloans", "other").apply()
    assert names(store(tmp_path, "loans", "more")) == ALL | {"more"}
    store(tmp_path, "loans").apply()
    assert names(store(tmp_path, "loans")) == ALL
    assert names(store(tmp_path, "autoloans", "other")) == ALL | {"other"}


def test_while_a_registry_is_opened_and_its_tables_are_made_no_other_process_opens_it(tmp_path, monkeypatch):
    from feast.infra.registry.sql import SqlRegistry

    held, real = [], SqlRegistry.__init__

    def opened(self, *given, **named):
        with pytest.raises(LeaseHeldError), file_lock(tmp_path / "feast" / "loans" / OPENING, wait=False):
            pass
        held.append(named or given)
        real(self, *given, **named)

    monkeypatch.setattr(SqlRegistry, "__init__", opened)
    assert store(tmp_path, "loans").feast().registry is not None
    assert len(held) == 1

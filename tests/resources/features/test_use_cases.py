"""Two use cases beside each other: what one registers and brings online, the other neither sees, changes nor removes."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from feature_repo.declared.description import Declared, View
from resources.features.chosen import service_of, with_services
from resources.features.feature_repository import FeatureStoreError
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


APPLY = """
import os, signal, sys
from pathlib import Path
from tests.resources.features.test_use_cases import store
folder, use_case, killed_after, *more = sys.argv[1:]
of = store(Path(folder), use_case, *more)
registry = of.feast().registry
calls, real = 0, type(registry).apply_feature_view

def counted(self, *given, **named):
    global calls
    calls += 1
    if calls > int(killed_after):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *given, **named)

type(registry).apply_feature_view = counted
print("ready", flush=True)
sys.stdin.readline()
of.apply()
"""


def applying(folder: Path, use_case: str, *more: str, killed_after: int = 1000) -> subprocess.Popen:
    """A process that applies when it is told to, and may die by SIGKILL between two views."""
    command = [sys.executable, "-W", "ignore", "-c", APPLY, str(folder), use_case, str(killed_after), *more]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        command, cwd=PROJECT_ROOT, env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}, **pipes
    )


def together(*processes: subprocess.Popen) -> list[int]:
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    found = [process.wait() for process in processes]
    for process in processes:
        process.communicate()
    return found


def test_processes_that_apply_at_once_lose_nothing_and_one_that_is_killed_is_made_up_for(
    tmp_path, monkeypatch
):
    """Two of one use case, one of another; of the first use case one dies with half of its views registered."""
    more = [f"view_{number}" for number in range(12)]
    ended = together(
        applying(tmp_path, "loans", *more),
        applying(tmp_path, "loans", *more, killed_after=5),
        applying(tmp_path, "autoloans", *more),
    )
    assert ended[0] == ended[2] == 0
    assert ended[1] in (0, -signal.SIGKILL)  # The one that came second found all applied.
    for use_case in ("loans", "autoloans"):
        assert names(store(tmp_path, use_case, *more)) == ALL | set(more)

    assert together(applying(tmp_path, "loans", *more, "last_one", killed_after=2)) == [-signal.SIGKILL]
    loans = store(tmp_path, "loans", *more, "last_one")
    assert json.loads((tmp_path / "feast" / "loans" / "applied.json").read_text()).keys() >= {
        "feature view places"
    }
    monkeypatch.setattr(FeatureStoreResource, "_require_tables", lambda *_: None)
    with pytest.raises(FeatureStoreError, match="materialize the asset features/registry"):
        loans.historical("all", pl.DataFrame({"borrower": ["a"], "zipcode": [1], "at": [NOW]}), "at")
    loans.apply()
    assert names(loans) == ALL | {*more, "last_one"}
    assert names(store(tmp_path, "autoloans", *more)) == ALL | set(more)


def test_what_was_half_applied_and_taken_back_is_applied_again(tmp_path):
    before, after = store(tmp_path, "loans"), ["more", "yet_more"]
    before.apply()
    assert together(applying(tmp_path, "loans", *after, killed_after=1)) == [-signal.SIGKILL]
    assert not before.holds(before.definitions_hash())
    before.apply()
    assert before.holds(before.definitions_hash()) and names(before) == ALL

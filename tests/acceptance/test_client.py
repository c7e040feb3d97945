"""The client's five calls on the shop that `mlops new use-case shop` writes, replayed; nothing of its state may change."""

import doctest
import hashlib
import http.server
import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.client import Client, ClientError, open_project, project
from mlops_assets.stages.errors import NotReadyError
from mlops_assets.stages.variants import VariantError
from resources.features.errors import FeatureStoreError
from resources.records.attempts import Attempt
from resources.settings import PROJECT_ROOT
from resources.use_case_folders import UseCaseFolderError
from tests import forked
from tests.small_year import environment, serving

MODEL = "shop_sent_back"
CALLS = ("open_project", "Client.training_set", "Client.compare", "Client.predict", "Client.evidence")
EXAMPLES = [one for one in doctest.DocTestFinder().find(project) if one.examples]
PAGE = (PROJECT_ROOT / "docs" / "client.md").read_text()
SHARED = "replay: {shared_runs: true}\n"
"""Days between which nothing is decided are replayed together, which takes less time and gives the same."""

DAY = datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the use case lies in `businesses/shop` and its state in `state`."""
    here = tmp_path_factory.mktemp("scientist")
    env = environment(here / "state", MLOPS_USE_CASES=str(here / "businesses" / "shop"))
    for arguments in (["new", "use-case", "shop", "--in", "businesses"], ["run", "shop", "--no-compare"]):
        done = forked.run(["-m", "mlops_assets.cli", *arguments], env, here)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        with (here / "businesses" / "shop" / "use_case.yaml").open("a") as file:
            file.write(SHARED if arguments[0] == "new" else "")
    return here


@pytest.fixture(autouse=True)
def there(folder: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]) -> None:
    """The test is somebody in that folder, whose variables name the use case and a port that nobody answers at."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLOPS_USE_CASES", str(folder / "businesses" / "shop"))
    monkeypatch.setenv("MLOPS_SERVE_PORT", str(free_port()))


@pytest.fixture
def shop(there: None) -> Client:
    return open_project("state", "shop")


def orders(shop: Client) -> pl.DataFrame:
    return shop.systems.lake.read("shop/orders").sort("order_id")


def content(folder: Path) -> dict[str, str]:
    """Every file that says what is there and what was decided: tables, records, entries, deployments, models."""
    files = [
        p for part in ("lake", "audit", "serving", "mlflow/artifacts") for p in (folder / part).rglob("*")
    ]
    kept = {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files if p.is_file()}
    with sqlite3.connect(folder / "mlflow" / "mlflow.db") as database:
        tables = ("runs", "model_versions", "registered_model_aliases", "registered_model_tags", "metrics")
        return kept | {t: repr(database.execute(f"SELECT * FROM {t}").fetchall()) for t in tables}


def test_every_call_has_an_example():
    assert {one.name.removeprefix(f"{project.__name__}.") for one in EXAMPLES} == {*CALLS}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name.rpartition(".")[2])
def test_the_example_of_a_call_says_what_happens(example: doctest.DocTest):
    said: list[str] = []
    outcome = doctest.DocTestRunner().run(example, out=said.append, clear_globs=False)
    assert outcome.attempted > 0 and outcome.failed == 0, "".join(said)


def test_the_lines_of_the_page_run_in_order_and_change_nothing(folder):
    before = content(folder / "state")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    assert content(folder / "state") == before


def test_a_list_of_features_is_joined_as_the_service_of_the_same_features(shop):
    rows = orders(shop).select("order_id", "shop", "ordered_at", "amount")
    by_service = shop.training_set(rows, MODEL, time="ordered_at")
    names = shop.store.feature_columns(MODEL)
    assert by_service.equals(shop.training_set(rows, ["shops"], time="ordered_at").select(by_service.columns))
    few = shop.training_set(rows, [f"shops:{names[-1]}"], time="ordered_at")
    assert few.equals(by_service.select(*rows.columns, names[-1]))
    assert by_service.select(rows.columns).equals(rows)


def test_features_are_those_that_the_model_was_trained_on(shop):
    trained = shop.systems.lake.read(f"{MODEL}/training_set").sort("order_id")
    asked = orders(shop).filter(pl.col("order_id").is_in(trained["order_id"].implode()))
    joined = shop.training_set(asked, MODEL, time="ordered_at")
    names = shop.store.feature_columns(MODEL)
    assert joined.select("order_id", *names).equals(trained.select("order_id", *names))


def test_a_moment_in_another_zone_is_the_same_moment(shop):
    rows = pl.DataFrame({"shop": ["s03"], "at": [DAY]})
    there = rows.with_columns(pl.col("at").dt.convert_time_zone("Asia/Tokyo"))
    joined = shop.training_set(there, ["shops"], time="at")
    assert joined["at"].equals(there["at"])
    assert joined.drop("at").equals(shop.training_set(rows, ["shops"], time="at").drop("at"))


@pytest.mark.parametrize(
    ("rows", "features", "said"),
    [
        ({"shop": ["s03"], "at": [datetime(2024, 2, 1)]}, ["shops"], "a moment has a zone"),
        ({"shop": ["s03", "s04"], "at": [DAY, None]}, ["shops"], "no moment in 1 of 2 rows"),
        ({"shop": ["s03"]}, ["shops"], "no column 'at'"),
        ({"shop": ["s03"], "at": [DAY], "shop_size": [1.0]}, ["shops"], "the rows have shop_size"),
        ({"shop": ["s03"], "at": [DAY]}, ["shop_height"], "no feature view and no feature 'shop_height'"),
        (
            {"shop": ["s03"], "at": [DAY]},
            "shops_v2",
            "no feature service 'shops_v2'; there are: shop_sent_back",
        ),
        ({"at": [DAY]}, ["shops"], "the rows lack shop"),
    ],
)
def test_what_does_not_say_one_thing_is_refused(shop, rows, features, said):
    with pytest.raises((ClientError, FeatureStoreError), match=re.escape(said)):
        shop.training_set(pl.DataFrame(rows), features, time="at")


def test_a_variant_with_the_models_own_features_is_the_model_trained_now(shop):
    own = shop.compare(MODEL)
    for features in (MODEL, ["shops"], [f"shops:{name}" for name in shop.store.feature_columns(MODEL)]):
        assert shop.compare(MODEL, features=features).rows.equals(own.rows)


def test_every_variant_meets_the_champion_on_the_same_rows(shop):
    names = shop.store.feature_columns(MODEL)
    variants = [
        shop.compare(MODEL, trainer={"max_depth": 1}),
        shop.compare(MODEL, features=names[:1]),
        shop.compare(MODEL, trainer={"kind": "lightgbm", "parameters": {"num_leaves": 4}}),
    ]
    first = variants[0]
    for one in variants:
        same = [name for name in one.rows.columns if name != "variant"]
        assert one.rows.select(same).equals(first.rows.select(same)) and one.champion == first.champion
        assert not one.rows["variant"].equals(one.rows["champion"])
        assert one.metrics[f"champion {one.champion}"].equals(first.metrics[f"champion {one.champion}"])
    assert len({tuple(one.rows["variant"]) for one in variants}) == 3


def test_a_comparison_says_what_the_command_says_of_the_same_variant(shop, folder, tmp_path):
    found = shop.compare(MODEL, trainer={"max_depth": 1})
    env = environment(folder / "state", MLOPS_USE_CASES=os.environ["MLOPS_USE_CASES"])
    command = ["-m", "mlops_assets.cli", "train", MODEL, "--set", "max_depth=1", "--no-register"]
    done = forked.run(command, env, folder)
    assert done.returncode == 0, done.stderr
    assert found.reason in done.stdout
    assert set(found.pictures()) >= {"gain_by_day", "reliability", "roc", "importance"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trainer": {"kind": "oracle"}}, "trainer kind 'oracle' does not exist"),
        ({"trainer": {"rounds": 0}}, "rounds"),
        ({"trainer": {"parameters": 3}}, "parameters=3 is no mapping"),
    ],
)
def test_a_variant_that_cannot_be_is_refused(shop, changes, said):
    with pytest.raises(VariantError, match=re.escape(said)):
        shop.compare(MODEL, **changes)


def test_the_endpoint_and_this_process_give_equal_numbers(shop, folder):
    asked = orders(shop).select("shop", "amount").head(40)
    here = shop.predict(MODEL, asked)
    port = int(os.environ["MLOPS_SERVE_PORT"])
    with serving(folder / "state", port):
        _wait_for(shop)
        there = shop.predict(MODEL, asked)
        one = shop.predict(MODEL, asked.row(0, named=True))
    assert [a["probability"] for a in there] == [a["probability"] for a in here]
    assert {(a["version"], a["as_of"]) for a in [*there, one]} == {(a["version"], a["as_of"]) for a in here}
    assert one["probability"] == here[0]["probability"]


def _wait_for(shop: Client) -> None:
    for _ in range(240):
        if shop.predictor.serves(MODEL):
            return
        threading.Event().wait(0.25)
    raise TimeoutError("the endpoint never served the model")


@pytest.fixture
def stranger(free_port: Callable[[], int]) -> Iterator[str]:
    """An endpoint that serves a model of the same name and another file, and must not be asked for a prediction."""

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps([{"name": MODEL, "version": "2", "model_sha256": "0" * 64}]).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    with http.server.HTTPServer(("127.0.0.1", free_port()), Other) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_endpoint_over_another_state_is_not_asked(shop, stranger):
    request = {"shop": "s03", "amount": 12.5}
    elsewhere = open_project("state", "shop", endpoint=stranger)
    assert elsewhere.predict(MODEL, request)["probability"] == shop.predict(MODEL, request)["probability"]


@pytest.mark.parametrize(
    ("model", "request_", "said"),
    [
        (MODEL, {"shop": "s03", "amount": "much"}, "amount"),
        (MODEL, {"shop": "s03", "amounts": 3.0}, "amounts"),
        ("late", {}, "shop has no model 'late'; there are: shop_sent_back"),
    ],
)
def test_a_request_that_is_wrong_is_told_by_its_field(shop, model, request_, said):
    with pytest.raises(ClientError, match=re.escape(said)):
        shop.predict(model, request_)


def test_the_evidence_of_every_version_is_what_the_records_say(shop):
    lake, audit = shop.systems.lake, shop.systems.audit
    attempts = {
        name: Attempt.of(lake.read_json(f"{MODEL}/attempts/{name}"), name)
        for name in lake.records(f"{MODEL}/attempts")
    }
    trained = [entry.version for entry in audit.entries(MODEL, ("trained",))]
    assert attempts and len(trained) > len(attempts)
    judged = {one.challenger.version: one for one in attempts.values()}
    made = {one.final.version: one for one in attempts.values() if one.final}
    for version in trained:
        found, attempt = shop.evidence(MODEL, version), (judged | made)[version]
        assert found.evaluation == attempt and found.objection is None
        assert found.outcome.startswith("promoted" if attempt.promote else "not promoted: it did not pass")
        assert attempt.verdict in found.why and version in found.log["version"].to_list()
        assert found.criteria["passes"].all() is attempt.promote


def test_a_version_that_is_not_there_is_told_with_those_that_are(shop):
    with pytest.raises(NotReadyError, match=r"no training of version 99 of shop_sent_back; there are: 1, 2"):
        shop.evidence(MODEL, 99)


def test_a_project_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ClientError, match="does not exist: `mlops run shop` makes it"):
        open_project(tmp_path / "nowhere", "shop")
    with pytest.raises(UseCaseFolderError, match="use case 'shops' does not exist"):
        open_project("state", "shops")


def test_a_registry_of_other_definitions_answers_no_list(shop, folder):
    file = folder / "businesses" / "shop" / "defs.yaml"
    text = file.read_text()
    rows = pl.DataFrame({"shop": ["s03"], "at": [DAY + timedelta(hours=1)]})
    try:
        file.write_text(text.replace("One row for each shop, known all along.", "Shops."))
        with pytest.raises(ClientError, match="materialize the asset shop/features/registry"):
            open_project("state", "shop").training_set(rows, ["shops"], time="at")
    finally:
        file.write_text(text)

"""What need not run does not: the whole graph twice, and what is made again after one thing changed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.kit.reuse import BECAUSE, FORCE_TAG, SKIPPED
from mlops_assets.local.servers import prepare_dagster_home
from mlops_assets.ml.provenance.code_digest import code_digest, project_source
from mlops_assets.stages import tables
from mlops_assets.use_cases.flights.tables import all_tables
from resources.cluster import resources_of
from resources.lake.lake import Lake
from resources.serving.ray_serve import Endpoint
from resources.settings import settings
from resources.storage.addresses import storage_at
from resources.storage.mirror import Mirror
from tests.flights.shortened import definitions, short_spec
from tests.flights.thinned import thin
from tests.parts import parts

SPEC = short_spec()
NAME = SPEC.name
WEEKS = SPEC.calendar.names()[:4]
RANGE = {"dagster/asset_partition_range_start": WEEKS[0], "dagster/asset_partition_range_end": WEEKS[-1]}
RAW = ["flights/raw", "flights/schedule", "flights/weather", "flights/planes", "flights/airports"]
VIEWS = [
    *("weather", "origin_traffic", "carrier_traffic", "dest_traffic", "carrier_record"),
    *("route_record", "flight_record", "aircraft", "schedule", "plane"),
]
STAGES = [f"{NAME}/{part}" for part in ("training_set", "predictions", "performance", "drift")]
JUDGED = [f"{NAME}/model", f"{NAME}/evaluation"]
CODED = [
    *RAW,
    *(f"flights/features/{view}" for view in VIEWS),
    "flights/features/online",
    *STAGES,
    *JUDGED,
    f"{NAME}/skew",
]
SKIPPABLE = [*CODED, "flights/features/registry", f"{NAME}/deployment", f"{NAME}/card"]


@dataclass
class Graph:
    """A small real project that can be run again and asked what the last run did."""

    home: Path
    data: Path
    defs: dg.Definitions
    instance: dg.DagsterInstance
    lake: Lake
    endpoint: Endpoint

    def run(self, *assets: str, **tags: str) -> "Did":
        selection = [dg.AssetKey(name.split("/")) for name in assets] or None
        job = self.defs.resolve_job_def("everything")
        done = job.execute_in_process(instance=self.instance, tags=RANGE | tags, asset_selection=selection)
        assert done.success
        events = [e for e in done.all_events if e.event_type_value == "ASSET_MATERIALIZATION"]
        said: Did = {}
        for materialization in (e.step_materialization_data.materialization for e in events):
            key = materialization.asset_key.to_user_string()
            said[key, materialization.partition] = {k: v.value for k, v in materialization.metadata.items()}
        return said

    def checks(self) -> dict[str, str]:
        keys = list(self.defs.resolve_asset_graph().asset_check_keys)
        found = self.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        return {key.to_user_string(): record.status.value for key, record in found.items()}


Did = dict[tuple[str, str | None], dict[str, Any]]


def skipped(did: Did) -> set[tuple[str, str | None]]:
    return {which for which, said in did.items() if SKIPPED in said}


def made(did: Did, *assets: str) -> dict[str, list[str | None]]:
    """Asset -> the partitions that were made, of those that can be skipped."""
    found: dict[str, list[str | None]] = {}
    for (asset, partition), said in did.items():
        if asset in (assets or SKIPPABLE) and SKIPPED not in said:
            found.setdefault(asset, []).append(partition)
    return found


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    home = tmp_path_factory.mktemp("skipping")
    data = thin(home / "data", every=16, before="2013-01-29")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in parts().environment(home / "home").items():
            patch.setenv(name, value)
        patch.setenv("MLOPS_DATA", str(data))
        patch.setenv("DAGSTER_HOME", "")
        resources = resources_of(settings())
        everything = dg.Definitions(jobs=[dg.define_asset_job("everything", dg.AssetSelection.all())])
        defs = dg.Definitions.merge(definitions(resources, SPEC), everything)
        with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings()))) as instance:
            graph = Graph(home / "home", data, defs, instance, resources["lake"], resources["endpoint"])
            first = graph.run()
            assert not skipped(first)
            assert {said[BECAUSE] for which, said in first.items() if which[0] in SKIPPABLE} == {
                "it was not made before"
            }
            yield graph


def test_a_second_run_makes_nothing_again_and_says_since_when(graph):
    before, checks = graph.lake.read(f"{NAME}/training_set"), graph.checks()
    first = graph.instance.get_runs()[-1].run_id
    did = graph.run()
    assert made(did) == {}
    assert len(skipped(did)) > 15 * len(WEEKS)
    for which in skipped(did):
        assert re.fullmatch(
            rf"nothing changed since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(run {first[:8]}\)",
            did[which][SKIPPED],
        )
    assert graph.lake.read(f"{NAME}/training_set").equals(before)
    assert graph.checks() == checks
    assert did[f"{NAME}/training_set", WEEKS[0]]["partitions skipped"] == len(WEEKS)
    assert did[f"{NAME}/training_set", WEEKS[0]]["rows changed since last time"] == 0


def test_the_page_of_what_was_skipped_still_shows_what_was_found(graph):
    did = graph.run(*JUDGED)
    assert "verdict" in did[f"{NAME}/evaluation", None]
    assert "most important features" in did[f"{NAME}/model", None]
    assert "fit seconds" not in did[f"{NAME}/model", None]


def test_a_file_that_is_gone_is_made_again_and_nothing_that_rests_on_it(graph):
    storage_at(graph.lake.root).delete(f"flights/features/weather/{WEEKS[1]}.parquet")
    did = graph.run()
    assert made(did) == {"flights/features/weather": [WEEKS[1]]}
    assert did["flights/features/weather", WEEKS[1]][BECAUSE] == "what was stored is missing or changed"
    assert did["flights/features/weather", WEEKS[1]]["partitions skipped"] == len(WEEKS) - 1


def test_a_model_that_is_not_behind_the_endpoint_any_more_is_put_back(graph):
    before = graph.endpoint.published(NAME)
    assert before
    assert Mirror(graph.home / "serving", graph.endpoint.shared).remove(f"{NAME}.json")
    assert graph.endpoint.published(NAME) is None
    did = graph.run(f"{NAME}/deployment")
    assert did[f"{NAME}/deployment", None][BECAUSE] == "what was stored is missing or changed"
    assert graph.endpoint.published(NAME) == before
    assert made(graph.run(f"{NAME}/deployment")) == {}


def test_the_tag_makes_everything_anew(graph):
    did = graph.run("flights/weather", "flights/features/weather", **{FORCE_TAG: "true"})
    assert not skipped(did)
    assert {said[BECAUSE] for said in did.values()} == {f"the run's tag {FORCE_TAG} asks for it"}


def test_other_code_with_the_same_outcome_stops_where_it_was_changed(graph, monkeypatch):
    asked: list[str] = []

    def other(roots):
        asked.extend(roots)
        return code_digest([*roots, "mlops_assets.ml.monitoring.policy:decide"])

    monkeypatch.setattr(tables, "code_digest", other)
    did = graph.run("flights/features/schedule", *STAGES)
    assert "mlops_assets.use_cases.flights.feature_tables:schedule" in asked
    assert made(did) == {"flights/features/schedule": WEEKS}
    assert did["flights/features/schedule", WEEKS[0]][BECAUSE] == "changed: code"


def test_a_changed_week_is_made_again_with_what_descends_from_it(graph):
    graph.run(*SKIPPABLE)
    lines = pl.read_csv(graph.data / "flights.csv", infer_schema=False, empty_string_is_null=False)
    third = pl.col("day").cast(pl.Int32).is_between(15, 17) & (pl.col("arr_delay") != "NA")
    worse = pl.when(third).then(pl.col("arr_delay").cast(pl.Int32, strict=False) + 300)
    lines.with_columns(arr_delay=worse.cast(pl.String).fill_null(pl.col("arr_delay"))).write_csv(
        graph.data / "flights.csv"
    )
    did = graph.run(*SKIPPABLE)
    again = made(did)
    assert {asset for asset in again if asset in RAW} == {"flights/raw", "flights/schedule"}
    changed = [did["flights/raw", week]["rows changed since last time"] for week in WEEKS]
    assert [count > 0 for count in changed] == [False, False, True, False]
    assert did["flights/raw", WEEKS[0]][BECAUSE] == "changed: flights.csv"
    assert again["flights/features/origin_traffic"] == again[f"{NAME}/training_set"] == WEEKS[2:]
    assert "flights/features/weather" not in again and "flights/features/plane" not in again
    assert again[f"{NAME}/model"] == again[f"{NAME}/evaluation"] == [None]
    assert did[f"{NAME}/training_set", WEEKS[2]][BECAUSE].startswith("changed: flights/features/")
    weeks = " and ".join(f"{NAME}/training_set {week}" for week in WEEKS[2:])
    assert did[f"{NAME}/model", None][BECAUSE] == f"changed: {weeks}"
    assert made(graph.run(*SKIPPABLE)) == {}


def edited(old: str, new: str) -> str:
    """Digest of the weather features' code after an edit to their file."""

    def read(module: str) -> str | None:
        source = project_source(module)
        return source.replace(old, new) if source and module.endswith("flights.feature_tables") else source

    assert old in str(project_source("mlops_assets.use_cases.flights.feature_tables"))
    return code_digest(["mlops_assets.use_cases.flights.feature_tables:origin_traffic"], read)


def test_a_comment_edited_in_the_feature_code_changes_no_code_version_and_a_constant_does():
    table = next(t for t in all_tables() if t.key == "flights/features/origin_traffic")
    (root,) = table.code
    assert root == "mlops_assets.use_cases.flights.feature_tables:origin_traffic"
    assert edited("LATE_MINUTES = 15", "LATE_MINUTES = 15  # more or less") == code_digest([root])
    assert edited('"""Departures, delays', '"""All departures, delays') == code_digest([root])
    assert edited("RECENT = timedelta(hours=3)", "RECENT = timedelta(hours=4)") != code_digest([root])
    assert str(table.code_version).startswith(code_digest([root])[:12])


def test_every_asset_that_can_be_skipped_tells_dagster_its_code_version(graph):
    assets = graph.defs.resolve_asset_graph()
    for name in [*CODED, f"{NAME}/deployment"]:
        assert assets.get(dg.AssetKey(name.split("/"))).code_version, name

"""The replay holds no rule of its own: its sensors decide, its clock only moves on, and what changed shows."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.workspace.context import LoadingContext

from mlops_assets.automation.sensors import decision_now
from mlops_assets.local.servers import prepare_dagster_home
from mlops_assets.ml.dataset import moment
from mlops_assets.project import Declared, Project
from mlops_assets.replay.clock import Clock, Progress, ReplayError
from mlops_assets.replay.owed import follow_spec, under_two_specs
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.card import gather, sections
from resources.local import local_resources
from resources.settings import settings
from resources.systems import Systems
from resources.tracking.client import download, use_uri
from tests.flights.shortened import definitions, short_spec
from tests.flights.thinned import thin

SCORE, RETRAIN = "score_flight_delay_when_features_arrive", "retrain_flight_delay_on_evidence"
SPEC = short_spec()
WEEKS = SPEC.calendar.names()[:6]
LAST = WEEKS[-1]


@dataclass
class Replayed:
    """Six weeks: four without the retrain sensor, the rest with it."""

    data: Path
    defs: dg.Definitions
    instance: dg.DagsterInstance
    resources: dict[str, Any]
    without_sensor: dict[str, Any]

    @property
    def lake(self) -> Any:
        return self.resources["lake"]

    def clock(self, *sensors: str) -> Clock:
        return Clock(self.defs, self.instance, self.lake, sensors)

    def tick(self, spec: ModelSpec, sensor: str) -> Any:
        defs = definitions(self.resources, spec)
        with dg.build_sensor_context(
            instance=self.instance,
            repository_def=defs.get_repository_def(),
            sensor_name=sensor,
            resources={name: self.resources[name] for name in ("lake", "audit", "clock")},
        ) as context:
            return defs.get_sensor_def(sensor).evaluate_tick(context)

    def ingest_again(self, *assets: list[str]) -> dg.DagsterInstance:
        self.clock().execute("ingest_flights", Progress(1), partition=LAST, assets=assets or None)
        return self.instance


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    home = tmp_path_factory.mktemp("replayed")
    data = thin(home / "data", every=16, before="2013-02-12")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(home / "home"))
        patch.setenv("MLOPS_DATA", str(data))
        resources = local_resources(settings())
        patch.setenv("DAGSTER_HOME", "")
        with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings()))) as instance:
            found = Replayed(data, definitions(resources, SPEC), instance, resources, {})
            found.clock(SCORE).replay("flights", WEEKS[:4], Progress(4))
            found.without_sensor = {
                "attempts": found.lake.records("flight_delay/attempts"),
                "versions": resources["tracking"].versions("flight_delay"),
                "decision": decision_now(SPEC, found.lake)[1],
            }
            found.clock(SCORE, RETRAIN).replay("flights", WEEKS, Progress(6))
            yield found


def retrainings(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(job_name="flight_delay_retrain"))[::-1]


def test_without_the_retrain_sensor_the_replay_never_retrains_though_the_policy_would(replayed):
    assert replayed.without_sensor["decision"].retrain
    assert replayed.without_sensor["attempts"] == replayed.without_sensor["versions"] == []


def test_with_the_sensor_each_retraining_carries_reason_and_trigger_in_its_tags(replayed):
    runs = retrainings(replayed.instance)
    assert [run.tags["mlops/partition"] for run in runs] == WEEKS[4:]
    assert [run.tags["mlops/trigger"] for run in runs] == ["first_model", "age"]
    assert "35 days of history since 2012-12-31, 21 needed" in runs[0].tags["mlops/reason"]
    assert "last training 7 days ago, reached the limit of 7" in runs[1].tags["mlops/reason"]
    assert all(run.is_success for run in runs)


def test_the_attempts_record_says_why_as_well(replayed):
    attempts = [replayed.lake.read_json(f"flight_delay/attempts/{week}") for week in WEEKS[4:]]
    tags = [(run.tags["mlops/reason"], run.tags["mlops/trigger"]) for run in retrainings(replayed.instance)]
    assert [(a["reason"], a["trigger"]) for a in attempts] == tags
    assert [a["final"]["version"] for a in attempts] == [2, 4]


def test_the_card_tells_what_became_of_a_champion_and_links_each_line_to_its_source(replayed):
    tracking, pages = replayed.resources["tracking"], replayed.resources["pages"]
    version = tracking.version("flight_delay", 2)
    known = sections(
        gather(SPEC, version, Systems(replayed.lake, audit=replayed.resources["audit"], pages=pages))
    )
    facts = {fact.name: fact for section in known for fact in section.facts}
    report = replayed.lake.read("flight_delay/performance", [LAST]).row(0, named=True)
    attempt = replayed.lake.read_json(f"flight_delay/attempts/{WEEKS[4]}")
    assert (
        facts["partitions scored"].value == 1
        and facts["scored rows with a known label"].value == report["scored"]
    )
    assert facts["log_loss, newest partition"].value == f"{report['log_loss']:.4g} ({LAST})"
    low, high = attempt["challenger"]["intervals"]["auc"]
    auc = attempt["challenger"]["metrics"]["auc"]
    assert low < auc < high and facts["auc"].value == f"{auc:.4g} ({low:.4g} to {high:.4g})"
    assert facts["because"].value == attempt["verdict"] and facts["champion before"].value == "none"
    assert facts["rows fitted on"].value > 100 and facts["CPU-seconds of the fit"].value > 0
    assert facts["ms for 1 row"].value > 0 and facts["model file, SHA-256"].value == version.sha256
    assert facts["partitions"].value == f"{WEEKS[0]} to {WEEKS[4]} (5 partitions)"
    assert facts["largest PSI of the scores"].value > 0
    addresses = (pages.asset("flight_delay", ""), pages.version("flight_delay", 2))
    assert all(fact.source.link.startswith(addresses) for fact in facts.values())
    unknown = {name for name, fact in facts.items() if fact.text == "unknown"}
    assert unknown <= {"source revision", "lineage document, SHA-256"}


def test_the_newest_champions_card_is_on_the_asset_page_and_among_the_artifacts_of_its_run(replayed):
    event = replayed.instance.get_latest_materialization_event(dg.AssetKey(["flight_delay", "card"]))
    shown = event.asset_materialization.metadata
    champion = replayed.resources["tracking"].champion("flight_delay")
    assert shown["model version"].value == champion.number
    assert shown["card"].value.startswith(f"# Model card: flight_delay, version {champion.number}\n")
    with use_uri(replayed.resources["tracking"].uri):
        kept = download(f"runs:/{champion.run_id}/model_card.md", replayed.resources["tracking"].uri)
        page = download(f"runs:/{champion.run_id}/model_card.html", replayed.resources["tracking"].uri)
    assert kept.decode() == shown["card"].value
    assert page.decode().count("<tr>") == kept.decode().count("\n| ")


def test_no_prediction_is_made_by_a_version_that_was_trained_after_its_prediction_time(replayed):
    versions = replayed.resources["tracking"].versions("flight_delay")
    until = pl.DataFrame(
        {"model_version": [v.number for v in versions], "until": [v.trained_until for v in versions]}
    )
    scored = replayed.lake.read("flight_delay/predictions").join(until, on="model_version", how="left")
    assert scored.height > 100
    assert scored.filter(pl.col("until").is_null() | (pl.col("until") > pl.col("prediction_time"))).is_empty()
    assert scored["prediction_time"].min() >= moment(versions[1].trained_until)


def test_paused_automation_asks_for_nothing_and_says_so(replayed):
    tick = replayed.tick(short_spec(automation="paused"), RETRAIN)
    assert not tick.run_requests
    assert (
        tick.skip_message
        == f"{LAST}: automation is paused in the model's spec: no retraining until it is on again."
    )


def test_a_sensor_that_keeps_quiet_gives_its_numbers(replayed):
    calm = short_spec(retrain={"cool_down_days": 14, "max_age_days": 28})
    assert (
        "last training 0 days ago, inside the cool-down of 14 days"
        in replayed.tick(calm, RETRAIN).skip_message
    )
    assert replayed.tick(calm, SCORE).skip_message == "every ingested partition is scored"


def test_a_run_that_fails_ends_the_replay_whatever_failed_in_it(replayed):
    """A check that blocks is a fault on an evaluation too; what a rejection looks like is the gate's affair."""

    @dg.asset(
        key=["other", "evaluation"],
        check_specs=[dg.AssetCheckSpec("holds", asset=dg.AssetKey(["other", "evaluation"]), blocking=True)],
    )
    def broken():
        yield dg.MaterializeResult()
        yield dg.AssetCheckResult(check_name="holds", passed=False)

    defs = dg.Definitions(assets=[broken], jobs=[dg.define_asset_job("other_retrain")])
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(ReplayError, match="other__evaluation: "):
        Clock(defs, instance, replayed.lake, []).execute("other_retrain", Progress(1))


def test_a_replay_that_is_done_makes_no_run(replayed):
    before = replayed.instance.get_runs_count()
    replayed.clock(SCORE, RETRAIN).replay("flights", WEEKS, Progress(6))
    assert replayed.instance.get_runs_count() == before


def owed(replayed: Replayed, spec: ModelSpec) -> tuple[list[str], int]:
    """What a replay says of a model that is deployed already, and how many runs it made for it."""
    declared = Declared(definitions(replayed.resources, spec), {}, [], {}, {})
    project = Project(replayed.instance, settings(), replayed.resources, declared)
    before = replayed.instance.get_runs_count()
    said = list(follow_spec(project, spec, Progress(1)))
    return said, replayed.instance.get_runs_count() - before


def test_a_model_whose_spec_did_not_change_is_left_alone(replayed):
    assert owed(replayed, short_spec(owner="team:other", slices=["dest"])) == ([], 0)
    assert under_two_specs(SPEC, replayed.lake) is None


def test_a_changed_spec_that_is_paused_is_not_trained_by_and_the_job_is_named(replayed):
    paused = short_spec(automation="paused", label=SPEC.label.model_dump() | {"above": 20})
    (said,), runs = owed(replayed, paused)
    assert "the spec changed since version 3 was trained, and automation is paused" in said
    assert "run the job flight_delay_retrain" in said and runs == 0


def test_a_challenger_that_could_not_be_judged_is_not_fitted_and_the_days_are_named(replayed):
    longer = short_spec(
        window={"hold_out_days": 14, "minimum_days": 21}, retrain={"cool_down_days": 14, "max_age_days": 14}
    )
    (said,), runs = owed(replayed, longer)
    assert "no challenger of it is trained yet: flight_delay: champion 4 was trained until" in said
    assert "Ingest more partitions, until 14 days after its training" in said and runs == 1
    assert [v.number for v in replayed.resources["tracking"].versions("flight_delay")] == [1, 2, 3, 4]


def test_a_training_by_a_changed_spec_that_was_killed_is_made_again(replayed):
    replayed.lake.write_json("flight_delay/spec_change", {"after": 3, "done": False})
    (said,), runs = owed(replayed, SPEC)
    assert "it was trained by the spec as it is now. Version 4 answers. Promoted" in said and runs == 2
    assert owed(replayed, SPEC) == ([], 0)


def stale(replayed: Replayed, *keys: str) -> dict[str, StaleStatus]:
    class Context(LoadingContext):
        loaders: dict[Any, Any] = {}
        instance = replayed.instance

    graph = replayed.defs.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(replayed.instance, graph, Context())
    return {
        key: resolver.get_status(path, LAST if graph.get(path).is_partitioned else None)
        for key in keys
        for path in [dg.AssetKey(key.split("/"))]
    }


BELOW = ("flights/features/origin_traffic", "flights/features/carrier_record", "flight_delay/training_set")


def changed_rows(replayed: Replayed) -> object:
    event = replayed.instance.get_latest_materialization_event(dg.AssetKey(["flights", "raw"]))
    assert event is not None and event.asset_materialization is not None
    return event.asset_materialization.metadata["rows changed since last time"].value


def test_a_week_ingested_again_unchanged_makes_nothing_stale(replayed):
    replayed.ingest_again(["flights", "raw"], ["flights", "weather"], ["flights", "airports"])
    assert changed_rows(replayed) == 0
    assert stale(replayed, *BELOW, "flights/features/weather") == dict.fromkeys(
        [*BELOW, "flights/features/weather"], StaleStatus.FRESH
    )


def test_a_week_ingested_again_with_changed_rows_tells_how_many_and_marks_what_descends_from_it(replayed):
    lines = pl.read_csv(replayed.data / "flights.csv", infer_schema=False, empty_string_is_null=False)
    shutil.copy(replayed.data / "flights.csv", replayed.data.parent / "kept.csv")
    late = (pl.col("month") == "2") & (pl.col("day") == "6") & (pl.col("arr_delay") != "NA")
    count = lines.filter(late).height
    worse = pl.when(late).then(pl.col("arr_delay").cast(pl.Int32, strict=False) + 300)
    lines.with_columns(arr_delay=worse.cast(pl.String).fill_null(pl.col("arr_delay"))).write_csv(
        replayed.data / "flights.csv"
    )
    replayed.ingest_again(["flights", "raw"])
    assert changed_rows(replayed) == count > 10
    assert stale(replayed, *BELOW) == dict.fromkeys(BELOW, StaleStatus.STALE)
    assert stale(replayed, "flights/features/weather") == {"flights/features/weather": StaleStatus.FRESH}

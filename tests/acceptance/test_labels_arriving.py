"""Labels in a table of their own that come late, early, corrected or never: pumps that live through them, with every run a Dagster run."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.automation.sensors import model_sensors
from mlops_assets.automation.unreported import partitions_to_score
from mlops_assets.ml.dataset import labelled
from mlops_assets.replay.clock import Clock, Progress
from mlops_assets.spec.columns import LABEL, LABEL_EARLIER, LABEL_KNOWN
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.errors import NotReadyError, StageError
from mlops_assets.stages.judging import hold_out
from mlops_assets.stages.label_state import STATE
from mlops_assets.stages.outcomes import outcome_parts
from mlops_assets.stages.reporting import FIRST
from mlops_assets.stages.training import hold_out_start, training_files
from mlops_assets.stages.training_set import join_partition, refuse_late_labels, training_data
from resources.features.stores import repository_of
from resources.lake.lake import Lake
from resources.local import local_resources
from resources.settings import settings
from tests.pumps import project
from tests.pumps.project import SPEC, WEEKS, checks

HORIZON = timedelta(days=10)
LATE = ModelSpec.model_validate(
    SPEC.model_dump()
    | {
        "label": {"table": "pumps/outcomes", "column": "stopped", "known_at": "told_at", "horizon": "10d"},
        "window": {"hold_out_days": 7, "minimum_days": 14},
        "retrain": {"cool_down_days": 14, "max_age_days": 21},
    }
)
NAMES = WEEKS.names()


def outcomes(lake: Lake, name: str, seed: int = 0) -> pl.DataFrame:
    """What became known in a week: of pumps that stopped within hours, of the others after ten days."""
    span, told = WEEKS.partition(name), []
    for earlier in NAMES[: NAMES.index(name) + 1]:
        rows = checks(lake, WEEKS.partition(earlier)).select(
            "check_id", "checked_at", stopped=pl.col("stopped_minutes") > 0
        )
        told.append(
            rows.with_columns(
                told_at=pl.col("checked_at") + pl.when("stopped").then(timedelta(hours=2)).otherwise(HORIZON)
            )
        )
    every = pl.concat(told).filter(pl.col("told_at").is_between(span.start, span.end, closed="left"))
    return every.filter(pl.col("check_id").hash(seed) % 50 > 0).drop("checked_at")


def tell(lake: Lake, name: str, frame: pl.DataFrame) -> None:
    lake.write("pumps/outcomes", frame, name, keys=["check_id"])


class Pumps:
    """The pumps' project, a week at a time: what became known in it is told, its checks are ingested, the sensors act."""

    def __init__(self, resources: dict[str, Any], instance: dg.DagsterInstance) -> None:
        self.resources, self.instance, self.lake = resources, instance, resources["lake"]
        sensors = [sensor.name for sensor in model_sensors(LATE)]
        self.clock = Clock(project.definitions(resources), instance, self.lake, sensors)

    def live(self, name: str) -> None:
        tell(self.lake, name, outcomes(self.lake, name))
        self.clock.replay("pumps", [name], Progress(1))

    def settle(self) -> list[str]:
        """Let the sensors act on what was told; the weeks that a run was made of."""
        before = {run.run_id for run in self.instance.get_runs()}
        self.clock.settle("told", Progress(0))
        runs = [run for run in self.instance.get_runs() if run.run_id not in before]
        return sorted(run.tags["dagster/partition"] for run in runs if run.job_name == "pump_stops_partition")

    def report(self, name: str) -> dict[str, Any]:
        return self.lake.read("pump_stops/performance", [name]).row(0, named=True)

    def notes(self, name: str, part: str = "performance") -> dict[str, Any]:
        return self.lake.manifest(f"pump_stops/{part}", name).notes or {}


@pytest.fixture(scope="module")
def pumps(tmp_path_factory) -> Iterator[Pumps]:
    """Nine weeks of pumps, whose labels come within hours or after ten days, and some never."""
    home = tmp_path_factory.mktemp("pumps")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(home))
        patch.setenv("MLOPS_FEATURE_REPO", "tests.pumps.repo")
        patch.setattr(project, "SPEC", LATE)
        resources = local_resources(settings())
        (home / "dagster").mkdir()
        with dg.instance_for_test(temp_dir=str(home / "dagster")) as instance:
            pumps = Pumps(resources, instance)
            for name in NAMES:
                pumps.live(name)
            yield pumps


def test_each_week_is_reported_again_for_as_long_as_labels_come_and_no_longer(pumps):
    """A week's rows count ten days after they were made: some a week after it, all two weeks after."""
    runs = [run for run in pumps.instance.get_runs() if run.job_name == "pump_stops_partition"]
    assert all(run.is_success for run in pumps.instance.get_runs())
    made = [sum(run.tags["dagster/partition"] == name for run in runs) for name in NAMES]
    assert made == [3] * 7 + [2, 1]
    assert partitions_to_score(LATE, pumps.lake) == []
    complete = [pumps.notes(name)[STATE]["complete"] for name in NAMES]
    assert complete == [True] * 7 + [False] * 2


def test_first_and_final_numbers_of_a_week_are_both_kept(pumps):
    for name in NAMES[:7]:
        first, final = pumps.notes(name)[FIRST], pumps.report(name)
        assert (first["labelled"], first["not_yet_known"], first["scored"]) == (0, first["rows"], 0)
        assert final["not_yet_known"] == 0 and 0.95 < final["labelled"] / final["rows"] < 1
        assert final["labelled"] + final["unlabelled"] == final["rows"]
    assert pumps.report(NAMES[6])["log_loss"] > 0 and pumps.notes(NAMES[6])[FIRST]["log_loss"] is None


def test_the_page_of_a_report_has_coverage_and_both_values(pumps):
    records = pumps.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(["pump_stops", "performance"]), asset_partitions=[NAMES[6]]),
        limit=9,
    ).records
    newest, oldest = (one.asset_materialization.metadata for one in (records[0], records[-1]))
    assert "matured" in newest["coverage"].value and newest["report"].value.startswith("final")
    assert oldest["report"].value.startswith("not final")
    assert oldest["coverage"].value == f"0 labelled of 0 matured of {newest['rows'].value} rows"
    assert newest["first labelled"].value == 0 and newest["labelled"].value > 300
    assert "no label is known yet" in newest["first log_loss"].value


def test_only_labels_are_joined_again_and_the_bytes_are_those_of_a_whole_join(pumps):
    store, name = pumps.resources["feature_store"].of("pumps"), NAMES[4]
    relabelled = pumps.lake.manifest("pump_stops/training_set", name)
    whole = join_partition(LATE, pumps.lake, store, name).manifest
    assert whole is not None
    assert (whole.sha256, whole.made_of, whole.notes) == (
        relabelled.sha256,
        relabelled.made_of,
        relabelled.notes,
    )
    assert {part for part in relabelled.made_of or {} if part.startswith("pumps/outcomes@")} == {
        f"pumps/outcomes@{label}" for label in NAMES[4:7]
    }
    assert {*outcome_parts(LATE, pumps.lake)[name]} == {*NAMES[4:7]}


def test_a_fit_and_a_judge_see_the_days_whose_horizon_has_passed_and_never_the_same(pumps):
    data = training_data(LATE, pumps.lake, NAMES[-1])
    trained, held = training_files(LATE, data).read(LATE), hold_out(LATE, data)
    start, until = hold_out_start(LATE, data), data.now - HORIZON
    assert start == until - timedelta(days=7)
    assert (trained["checked_at"] < start).all() and (held["checked_at"] >= start).all()
    assert (held["checked_at"] < until).all() and held.height
    everything = pumps.lake.read("pump_stops/training_set")
    days = everything.filter(pl.col("checked_at") < until)
    in_the_end = labelled(days, LATE, data.now + timedelta(days=100))
    assert trained.height + held.height == in_the_end.height
    assert pl.concat([trained, held])[LABEL].mean() == in_the_end[LABEL].mean()
    soon, later = everything.drop_nulls("stopped")["stopped"].to_numpy(), in_the_end[LABEL].to_numpy()
    assert soon.mean() > 1.05 * later.mean()


def test_a_model_is_trained_promoted_and_trained_again_on_what_is_known(pumps):
    versions = pumps.resources["tracking"].versions("pump_stops")
    assert len(versions) >= 3 and pumps.resources["tracking"].champion("pump_stops") is not None
    for version in versions:
        now = WEEKS.partition(version.tags["week"]).end
        waits = HORIZON + (timedelta(0) if version.tags["kind"] == "refit" else timedelta(days=7))
        assert version.trained_until == now - waits


def test_a_version_is_rebuilt_from_its_label_partitions_to_the_byte(pumps, tmp_path):
    from mlops_assets.verify.rebuild import Rebuild
    from mlops_assets.verify.verdict import verify_version

    tracking, audit = pumps.resources["tracking"], pumps.resources["audit"]
    rebuild = Rebuild(tmp_path, pumps.lake, [], repository_of, tell=lambda _: None)
    version = tracking.champion("pump_stops")
    verdict = verify_version(version, tracking, audit, rebuild, LATE)
    assert (verdict.outcome, [*verdict.differences]) == ("IDENTICAL", [])


def test_a_correction_and_a_late_label_touch_their_own_weeks_alone(pumps):
    """Last, because it changes what the others look at."""
    lake, newest = pumps.lake, NAMES[-1]
    told, now = lake.read("pumps/outcomes", [newest]), WEEKS.partition(newest).end
    before = {name: lake.manifest("pump_stops/performance", name).sha256 for name in NAMES}
    known = lake.read("pump_stops/training_set", [NAMES[5]])
    one = known.filter(pl.col("stopped").is_not_null()).row(0, named=True)
    missing = (
        lake.read("pump_stops/training_set", [NAMES[3]])
        .filter(pl.col("stopped").is_null())
        .row(0, named=True)
    )
    moment = now - timedelta(hours=1)
    more = pl.DataFrame(
        {
            "check_id": [one["check_id"], missing["check_id"]],
            "stopped": [not one["stopped"], True],
            "told_at": [moment, moment],
        }
    )
    tell(lake, newest, pl.concat([told, more.cast(dict(told.schema))]))
    assert [name for name, _ in partitions_to_score(LATE, lake)] == [NAMES[3], NAMES[5]]
    data = training_data(LATE, lake, newest)
    with pytest.raises(
        NotReadyError, match=f"lacks for {NAMES[3]}, {NAMES[5]}: materialize these partitions"
    ):
        refuse_late_labels(LATE, lake, data)
    assert pumps.settle() == [NAMES[3], NAMES[5]]
    after = {name: lake.manifest("pump_stops/performance", name).sha256 for name in NAMES}
    assert {name for name in NAMES if after[name] != before[name]} == {NAMES[3], NAMES[5]}
    assert pumps.notes(NAMES[5])[STATE]["corrected"] == 1 and pumps.notes(NAMES[3])[STATE]["corrected"] == 0
    rows = lake.read("pump_stops/training_set", [NAMES[5]]).filter(pl.col("check_id") == one["check_id"])
    assert rows[LABEL_KNOWN].to_list() == [moment]
    assert rows[LABEL_EARLIER].to_list() == [[{"value": one["stopped"], "known": one[LABEL_KNOWN]}]]
    assert [labelled(rows, LATE, at)[LABEL][0] for at in (moment - timedelta(seconds=1), moment)] == [
        one["stopped"],
        1 - one["stopped"],
    ]
    refuse_late_labels(LATE, lake, training_data(LATE, lake, newest))


def test_a_label_that_is_neither_no_nor_yes_is_refused_at_the_first_join(pumps):
    table = pumps.lake.read("pumps/outcomes", [NAMES[0]])
    spec = LATE.model_copy(update={"label": LATE.label.model_copy(update={"table": "pumps/grades"})})
    pumps.lake.write("pumps/grades", table.with_columns(stopped=pl.lit(7)), NAMES[0])
    with pytest.raises(
        StageError, match=r"has the values 7: a classification without label.above needs 0 and 1"
    ):
        join_partition(spec, pumps.lake, pumps.resources["feature_store"].of("pumps"), NAMES[0])

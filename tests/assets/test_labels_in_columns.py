"""Labels in the prediction table that come a month later: which reports are made again and when, and what policies see of it."""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.assets.monitoring import LABELS, performance
from mlops_assets.automation.sensors import decision_now, partition_evidence
from mlops_assets.automation.unreported import partitions_to_score
from mlops_assets.ml.labels import Labels
from mlops_assets.ml.monitoring.backtest import backtest
from mlops_assets.ml.monitoring.policy import PartitionEvidence, decide
from mlops_assets.ml.training.fit import fit
from mlops_assets.replay.policies import history_of
from mlops_assets.replay.tables import partitions_table
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import online_key
from mlops_assets.spec.retrain import Retrain
from mlops_assets.stages.judging import hold_out
from mlops_assets.stages.label_state import STATE, label_state
from mlops_assets.stages.online import BASIS, online_content
from mlops_assets.stages.outcomes import events_missing
from mlops_assets.stages.partition_labels import CORRECTED, label_notes
from mlops_assets.stages.reporting import FIRST, coverage, write_performance
from mlops_assets.stages.training import training_files
from mlops_assets.stages.training_set import training_data
from resources.clock import Clock, wall
from resources.lake.lake import Lake
from resources.records.documents import save_record
from resources.records.progress import OnlineContent
from tests.ml.conftest import FEATURES, parcel_spec, parcels
from tests.parcel_weeks import TRAINER, parcel_lake, report_parts

A_DAY, A_WEEK, WEEKS = 96, 7 * 96, 10
POLICY = {"cool_down_days": 14, "metric_worse_by": 0.05}


def spec_of(label: dict[str, Any], **changes: Any) -> ModelSpec:
    return parcel_spec(
        **{
            "trainer": TRAINER,
            "retrain": POLICY,
            "label": {"column": "delay", "above": 15, **label},
            **changes,
        }
    )


KNOWN = spec_of({"known_at": "seen"})
DELAY = spec_of({"delay": "30d"})
HORIZON = spec_of({"known_at": "seen", "horizon": "30d"})


def rows_of(days: float) -> pl.DataFrame:
    return parcels(WEEKS * A_WEEK).with_columns(seen=pl.col("sent") + timedelta(days=days))


class Living:
    """A lake into which a week after the other is ingested; what the score sensor asks for is reported on."""

    def __init__(self, folder: Any, spec: ModelSpec, days: float) -> None:
        self.spec, self.whole = spec, parcel_lake(folder / "whole", spec, rows_of(days))
        self.lake = Lake(root=str(folder / "lake"))
        self.names = self.whole.partitions(f"{spec.name}/training_set")

    def ingest(self, name: str) -> None:
        table = f"{self.spec.name}/training_set"
        self.lake.take(self.whole, table, name)
        rows = self.lake.read(table, [name])
        self.lake.write("parcels", rows.select("parcel", "sent"), name)
        scored = rows.select("parcel", "sent", score=pl.lit(0.4), model_version=pl.lit(1, pl.Int64))
        self.lake.write(f"{self.spec.name}/predictions", scored, name)
        partitions = online_content(self.lake, self.spec.use_case) | {name: "online"}
        save_record(self.lake, online_key(self.spec.use_case), OnlineContent(partitions=partitions))
        notes = {BASIS: "online", "reference metric": 0.8}
        self.lake.write(f"{self.spec.name}/drift", pl.DataFrame({"column": ["queue"]}), name, notes=notes)

    def live(self, name: str) -> list[str]:
        """The weeks that were reported on once this one was ingested; a second look asks for nothing."""
        self.ingest(name)
        due = [week for week, _ in partitions_to_score(self.spec, self.lake)]
        for one in due:
            write_performance(self.spec, self.lake, one)
        assert partitions_to_score(self.spec, self.lake) == []
        return due

    def report(self, name: str) -> dict[str, Any]:
        return self.lake.read(f"{self.spec.name}/performance", [name]).row(0, named=True)

    def notes(self, name: str) -> dict[str, Any]:
        return self.lake.manifest(f"{self.spec.name}/performance", name).notes or {}


@pytest.mark.parametrize("spec", [DELAY, HORIZON, KNOWN], ids=["delay", "horizon", "known_at alone"])
def test_a_report_is_made_again_for_exactly_the_weeks_that_labels_came_for(tmp_path, spec):
    living = Living(tmp_path, spec, 30)
    names = living.names
    asked = [living.live(name) for name in names]
    assert asked[:4] == [[name] for name in names[:4]]
    assert asked[4:] == [
        [*names[i - 4 : i - 4 + 1], name] if i == 4 else [names[i - 5], names[i - 4], name]
        for i, name in enumerate(names)
        if i >= 4
    ]
    for name in names[:5]:
        first, final = living.notes(name)[FIRST], living.report(name)
        assert (first["scored"], first["labelled"], first["auc"]) == (0, 0, None)
        assert final["labelled"] + final["unlabelled"] == final["rows"] == A_WEEK
        assert final["log_loss"] > 0 and living.notes(name)[STATE]["complete"]
    assert coverage(living.report(names[0])).startswith(
        f"{living.report(names[0])['labelled']} labelled of {A_WEEK} matured"
    )


def test_labels_that_are_known_at_once_are_reported_once_as_of_the_weeks_end(tmp_path):
    living = Living(tmp_path, KNOWN, 0.2)
    assert [living.live(name) for name in living.names] == [[name] for name in living.names]
    for name in living.names:
        assert living.report(name)["not_yet_known"] > 0
        assert label_state(KNOWN, living.lake, name).as_of == KNOWN.calendar.partition(name).end
        assert write_performance(KNOWN, living.lake, name)[1] == living.notes(name)[FIRST]


def test_what_was_first_reported_is_never_overwritten(tmp_path):
    living = Living(tmp_path, DELAY, 30)
    for name in living.names[:7]:
        living.live(name)
    name, before = living.names[0], living.notes(living.names[0])[FIRST]
    final = living.report(name)
    write_performance(DELAY, living.lake, name)
    assert living.notes(name)[FIRST] == before != final == living.report(name)


def materialized(living: Living, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    result = dg.materialize(
        [performance(living.spec)], resources=report_parts(living.lake), partition_key=name
    )
    (event,) = result.asset_materializations_for_node("late_parcel__performance")
    found = {key: value.value for key, value in event.metadata.items()}
    return found, {check.check_name: check for check in result.get_asset_check_evaluations()}


def test_the_page_shows_first_and_final_numbers_and_only_a_week_that_should_have_labels_warns(tmp_path):
    living = Living(tmp_path, DELAY, 30)
    living.ingest(living.names[0])
    found, checks = materialized(living, living.names[0])
    assert found["coverage"] == f"0 labelled of 0 matured of {A_WEEK} rows"
    assert found["report"].startswith("not final: labels are to come") and "first auc" not in found
    assert found["auc"] == f"no label is known yet for {A_WEEK} rows" and checks[LABELS].passed
    for name in living.names[1:6]:
        living.ingest(name)
    found, checks = materialized(living, living.names[0])
    assert found["report"].startswith("final: no label is to come, as of 2020-02-17")
    assert found["first labelled"] == 0 < found["labelled"] and checks[LABELS].passed
    assert found["first auc"] == f"no label is known yet for {A_WEEK} rows"


def test_a_matured_week_without_a_single_label_says_so_and_warns(tmp_path):
    living = Living(tmp_path, HORIZON, 30)
    table = f"{DELAY.name}/training_set"
    rows = living.whole.read(table, [living.names[0]])
    living.whole.write(
        table,
        rows.with_columns(delay=pl.lit(None, pl.Float64)),
        living.names[0],
        notes={"features": list(FEATURES)},
    )
    for name in living.names[:6]:
        living.live(name)
    found, checks = materialized(living, living.names[0])
    assert found["labels"] == f"none of {A_WEEK} rows has a label" and not checks[LABELS].passed
    evidence = partition_evidence(HORIZON, living.lake, living.names[0])
    decision = decide([evidence], evidence.end - timedelta(days=20), HORIZON, evidence.end)
    assert (decision.retrain, decision.trigger) == (False, "none")


def test_the_retraining_is_decided_by_the_newest_judged_week_and_by_none_from_before_the_last_training(
    tmp_path,
):
    living = Living(tmp_path, DELAY, 30)
    for name in living.names[:9]:
        living.live(name)
    judged = living.names[4]
    _, decision = decision_now(DELAY, living.lake)
    assert decision.trigger == "first_model"
    living.lake.write_json(f"late_parcel/attempts/{living.names[1]}", {})
    _, decision = decision_now(DELAY, living.lake)
    assert (decision.retrain, decision.trigger) == (True, "performance")
    assert f"in partition {judged} is" in decision.reason
    living.lake.write_json(f"late_parcel/attempts/{judged}", {})
    _, decision = decision_now(DELAY, living.lake)
    assert not decision.retrain and "no label is known yet: not held against" in decision.reason


def test_a_partition_with_one_of_its_two_reports_decides_nothing_yet(tmp_path):
    """They are written one after the other, and a sensor may look in between."""
    living = Living(tmp_path, DELAY, 30)
    for name in living.names[:3]:
        living.live(name)
    before = decision_now(DELAY, living.lake)
    drift = living.lake.read("late_parcel/drift", [living.names[2]])
    living.lake.write("late_parcel/drift", drift, living.names[3], notes={})
    assert before[0] == living.names[2] and decision_now(DELAY, living.lake) == before


@pytest.mark.parametrize("spec", [DELAY, HORIZON], ids=["delay", "horizon"])
def test_with_a_horizon_a_row_is_trained_on_or_held_out_or_neither_and_never_both(tmp_path, spec):
    lake = parcel_lake(tmp_path, spec, rows_of(30 if spec is DELAY else 1))
    data = training_data(spec, lake, lake.partitions(f"{spec.name}/training_set")[-1])
    start, until = data.now - timedelta(days=44), data.now - timedelta(days=30)
    trained, held = training_files(spec, data).read(spec), hold_out(spec, data)
    assert (trained["sent"] < start).all() and (held["sent"] >= start).all() and (held["sent"] < until).all()
    everything = lake.read(f"{spec.name}/training_set").drop_nulls("delay")
    assert trained.height + held.height == everything.filter(pl.col("sent") < until).height
    refitted = training_files(spec, data, hold_out=False).read(spec)
    assert refitted["parcel"].to_list() == [*trained["parcel"], *held["parcel"]]


def test_history_counts_from_the_days_whose_horizon_has_passed():
    at = datetime.fromisoformat("2020-02-24T00:00Z")
    early, late = (decide([], None, DELAY, at + timedelta(days=days)) for days in (8, 9))
    assert (early.trigger, late.trigger) == ("too_little_history", "first_model")
    assert "27 days of history since 2020-01-06 whose labels have had their 30d, 28 needed" in early.reason


def test_the_comparison_of_policies_lives_with_a_horizon_as_the_pipeline_does(tmp_path):
    spec = spec_of({"delay": "30d"}, window={"hold_out_days": 14, "minimum_days": 28})
    lake = parcel_lake(tmp_path, spec, parcels(16 * A_WEEK))
    for name in lake.partitions(f"{spec.name}/training_set"):
        lake.write(f"{spec.name}/drift", pl.DataFrame({"column": ["queue"]}), name)

    def train(name: str, now: Any, held: bool, rounds: int | None) -> tuple[bytes, int]:
        data = training_data(spec, lake, name)
        fitted = fit(training_files(spec, data, hold_out=held), spec, FEATURES, rounds=rounds)
        return fitted.model, fitted.rounds

    monthly = backtest(spec, Retrain(cool_down_days=14, max_age_days=28), history_of(spec, lake), train)
    assert monthly.refused == {} and len(monthly.retrained) >= 2 and monthly.promoted
    first = spec.calendar.partition(monthly.retrained[0]).end
    assert first - timedelta(days=30) >= spec.calendar.partition(lake.partitions(f"{spec.name}/drift")[3]).end
    data = training_data(spec, lake, monthly.retrained[0])
    assert (hold_out(spec, data)["sent"] < first - timedelta(days=30)).all()
    watchful = Retrain(cool_down_days=14, metric_worse_by=0.000001)
    asked = backtest(spec, watchful, history_of(spec, lake), train).retrained
    assert len(asked) >= 2 and asked[0] == monthly.retrained[0]


def test_a_label_that_is_corrected_in_its_column_is_counted(tmp_path):
    living = Living(tmp_path, DELAY, 30)
    name, table = living.names[0], f"{DELAY.name}/training_set"
    living.ingest(name)
    rows = living.lake.read(table, [name])
    changed = rows.with_columns(delay=pl.when(pl.int_range(pl.len()) < 3).then(99.0).otherwise("delay"))
    notes = label_notes(DELAY, living.lake, DELAY.calendar.partition(name), changed, FEATURES, {})
    assert notes[CORRECTED] == 3 - rows[:3]["delay"].null_count() > 0
    living.lake.write(table, changed, name, notes=notes)
    assert label_state(DELAY, living.lake, name).corrected == notes[CORRECTED]
    assert CORRECTED not in label_notes(
        DELAY, Lake(root=str(tmp_path / "none")), DELAY.calendar.partition(name), rows, FEATURES, {}
    )


def test_what_did_not_happen_is_told_only_as_far_as_the_events_reach(tmp_path):
    spec = spec_of(
        {
            "table": "parcels/complaints",
            "column": "complained",
            "above": None,
            "within": "10d",
            "known_at": "told",
        }
    )
    lake = Lake(root=str(tmp_path))
    now = spec.calendar.partition("2020-02-03").end
    assert "parcels/complaints has no events, and now is" in str(events_missing(spec, lake, now))
    lake.write("parcels/complaints", pl.DataFrame({"parcel": ["p000001"]}), "2020-01-27")
    assert "parcels/complaints has events until 2020-02-03" in str(events_missing(spec, lake, now))
    lake.write("parcels/complaints", pl.DataFrame({"parcel": ["p000001"]}), "2020-02-03")
    assert events_missing(spec, lake, now) is None
    assert events_missing(DELAY, lake, now) is None
    assert Labels(pl.Schema({"complained": pl.Float64}), spec, now).matured is not None


def test_the_table_of_weeks_has_matured_rows_only(tmp_path):
    living = Living(tmp_path, DELAY, 30)
    for name in living.names[:6]:
        living.live(name)
    table = partitions_table(DELAY, living.lake)
    assert [(found > 0) for found in table["labelled"]] == [True, True, False, False, False, False]
    assert table["auc"].is_null().to_list()[2:] == [True] * 4


def test_weeks_that_nobody_judged_are_neither_good_nor_bad():
    """Whatever thresholds there are: evidence without labels never asks for a retraining by its metric."""
    end = datetime.fromisoformat("2020-03-02T00:00Z")
    blind = PartitionEvidence("2020-02-24", end, 0, None, 0.8, served=True)
    assert decide([blind], end - timedelta(days=20), DELAY, end).trigger == "none"
    bad = PartitionEvidence("2020-02-17", end - timedelta(days=7), 90, 0.2, 0.8, served=True)
    assert decide([blind, bad], end - timedelta(days=20), DELAY, end).trigger == "performance"
    assert (
        decide([blind, bad], end - timedelta(days=15), spec_of({"delay": "30d"}), end).trigger
        == "performance"
    )
    assert (
        decide([bad, blind], end - timedelta(days=7), spec_of({"delay": "30d"}), end).trigger == "cool_down"
    )


def test_by_the_wall_clock_labels_count_as_time_passes_and_once_a_partition(tmp_path):
    """Nothing more is ingested, and a report is made again where a partition's end made labels known, not in between."""
    spec = DELAY.model_copy(update={"clock": "wall"})
    living = Living(tmp_path, spec, 30)
    first, *_ = living.names
    start = spec.calendar.partition(first).end
    living.ingest(first)

    def due(days: float) -> list[str]:
        at = Clock(offset=start + timedelta(days=days) - wall())
        asked = [week for week, _ in partitions_to_score(spec, living.lake, at)]
        for one in asked:
            write_performance(spec, living.lake, one, at)
        return asked

    assert due(0.1) == [first] and living.report(first)["labelled"] == 0
    assert [due(days) for days in (7.1, 14.1, 21.1, 27.9)] == [[]] * 4
    assert due(28.1) == [first] and 0 < living.report(first)["labelled"] < A_WEEK
    assert [due(days) for days in (28.2, 30.5, 34.9)] == [[]] * 3
    assert due(35.1) == [first] and living.report(first)["not_yet_known"] == 0
    assert due(300) == []
    assert living.notes(first)[FIRST]["labelled"] == 0

"""A partition's alarm is noted with its columns, rests on the weeks before it, and says in words where nothing can be said yet."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_assets.assets.monitoring import alarm_check
from mlops_assets.kit.alarm_page import alarm_page
from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.monitoring.drift import reference_profile
from mlops_assets.ml.monitoring.readings import Readings
from mlops_assets.ml.training.fit import fit
from mlops_assets.spec.decides import of_a_stage
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages import drift_alarm
from mlops_assets.stages.drift_alarm import (
    ALARM,
    COLUMNS,
    REMARK,
    THRESHOLD,
    alarm_basis,
    alarm_table,
    read_partitions,
    rests_on,
    strongest_readings,
    write_alarm,
)
from mlops_assets.stages.drift_cause import CAUSE, write_cause
from mlops_assets.stages.judging import attempt_name
from resources.lake.lake import Lake, Manifest
from resources.records.documents import save_record
from resources.tracking.versions import Version
from tests.ml.conftest import FEATURES, parcel_spec, parcels
from tests.parcel_weeks import TRAINER, parcel_lake
from tests.record_samples import attempt

SPEC = parcel_spec(drift={"false_alarm_every": 10}, trainer=TRAINER)
WEEKS = SPEC.calendar.names()[:12]
TRAINED = WEEKS[8]
NOTED = (ALARM, COLUMNS, REMARK)


def moved(rows: pl.DataFrame, since: str = "") -> pl.DataFrame:
    """Parcels that are heavier from a week on."""
    start = SPEC.calendar.partition(since).start
    return rows.with_columns(pl.col("weight") + (pl.col("sent") >= start).cast(pl.Float32) * 0.8)


@pytest.fixture(scope="module")
def profile() -> dict[str, Any]:
    rows = parcels(4 * 24 * 7 * 9)
    return reference_profile(rows, FEATURES, ["depot"])


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """Twelve weeks, of which version 1 was trained on nine, and the last two are heavier."""
    made = parcel_lake(tmp_path_factory.mktemp("lake"), SPEC, moved(parcels(4 * 24 * 7 * 12), WEEKS[10]))
    trained(made, 1, TRAINED)
    return made


def trained(lake: Lake, version: int, at: str) -> None:
    save_record(lake, attempt_name(SPEC, at), attempt(week=at, final={"version": version}))


@pytest.fixture(scope="module")
def said(lake, profile) -> dict[str, dict[str, Any]]:
    return {week: write_alarm(SPEC, lake, week, 1, profile) for week in WEEKS[9:]}


def test_a_week_like_those_before_is_no_alarm_and_a_shift_is_one_that_names_its_column(said):
    quiet, *shifted = (said[week] for week in WEEKS[9:])
    assert quiet[ALARM] is False and quiet[COLUMNS] == [] and "within the threshold of" in quiet[REMARK]
    raised = next(one for one in shifted if one[ALARM])
    assert raised[COLUMNS] == ["weight"] and raised["alarm_value"] >= raised[THRESHOLD] >= 3
    assert "weight (place) +0.2" in raised[REMARK] and "one false alarm in" in raised[REMARK]


def test_the_strongest_reading_stands_first_on_the_page(lake, said):
    readings = strongest_readings(SPEC, lake, WEEKS[11])
    assert readings is not None and readings["column"][0] == "weight" and readings["reading"][0] == "place"


def test_the_check_fails_by_an_alarm_and_names_the_column(said):
    def manifest(notes: dict[str, Any]) -> Manifest:
        return Manifest("late_parcel/drift", "x", 1, "hash", {}, notes=notes)

    outcome = alarm_check({week: manifest(notes) for week, notes in said.items()})
    assert not outcome.passed and outcome.metadata["columns"].value == "weight"
    assert alarm_check({WEEKS[9]: manifest(said[WEEKS[9]])}).passed


def test_saying_it_again_says_the_same(lake, profile, said):
    stored = lake.hash(alarm_table(SPEC), WEEKS[11])
    assert write_alarm(SPEC, lake, WEEKS[11], 1, profile) == said[WEEKS[11]]
    assert lake.hash(alarm_table(SPEC), WEEKS[11]) == stored


def test_what_an_alarm_rests_on_changes_with_a_week_before_it(lake, profile, said):
    before = rests_on(SPEC, lake, WEEKS[11], 1)
    table = f"{SPEC.name}/training_set"
    rows, notes = lake.read(table, [WEEKS[10]]), lake.manifest(table, WEEKS[10]).notes
    lake.write(table, rows[:100], WEEKS[10], notes=notes)
    write_alarm(SPEC, lake, WEEKS[10], 1, profile)
    assert rests_on(SPEC, lake, WEEKS[11], 1) != before
    lake.write(table, rows, WEEKS[10], notes=notes)
    write_alarm(SPEC, lake, WEEKS[10], 1, profile)
    assert rests_on(SPEC, lake, WEEKS[11], 1) == before


def test_a_version_of_too_short_a_history_says_how_much_is_missing_and_takes_the_first_weeks_after_it(
    tmp_path, profile
):
    lake = parcel_lake(tmp_path, SPEC, parcels(4 * 24 * 7 * 10))
    trained(lake, 2, WEEKS[4])
    early = write_alarm(SPEC, lake, WEEKS[6], 2, profile)
    assert (
        early[ALARM] is None
        and early[REMARK] == "not calibrated yet: 6 of 8 partitions of history for version 2"
    )
    assert write_alarm(SPEC, lake, WEEKS[9], 2, profile)[ALARM] is False


def test_a_week_without_rows_or_without_a_column_is_no_part_of_the_history(tmp_path, profile):
    lake = parcel_lake(tmp_path, SPEC, parcels(4 * 24 * 7 * 10))
    trained(lake, 1, TRAINED)
    table = f"{SPEC.name}/training_set"
    rows, whole = lake.read(table, [WEEKS[0]]), alarm_basis(SPEC, lake, WEEKS[9], 1)
    assert whole is not None and list(whole.history) == WEEKS[:9]
    lake.write(table, rows.clear(), WEEKS[0])
    lake.write(table, rows.drop("weight"), WEEKS[1])
    left = alarm_basis(SPEC, lake, WEEKS[9], 1)
    assert left is not None and list(left.history) == WEEKS[2:9]
    assert "7 of 8 partitions" in write_alarm(SPEC, lake, WEEKS[9], 1, profile)[REMARK]


@pytest.mark.parametrize(
    ("spec", "version", "remark"),
    [
        (parcel_spec(drift={"false_alarm_every": None}), 1, "off: drift.false_alarm_every is null"),
        (SPEC, 7, "not calibrated: no evaluation on record led to version 7"),
    ],
)
def test_where_nothing_is_said_it_says_why(lake, profile, spec: ModelSpec, version, remark):
    said = write_alarm(spec, lake, WEEKS[9], version, profile)
    assert [said[name] for name in NOTED] == [None, [], remark]
    assert rests_on(spec, lake, WEEKS[9], version) == []


def test_a_spec_that_says_nothing_of_alarms_decides_what_it_decided_before_there_were_any():
    silent, loud = parcel_spec(), parcel_spec(drift={"false_alarm_every": 20, "minimum_effect": 0.1})
    before = {"sample_rows": 1500, "psi": 0.25, "columns": None}
    for stage in ("deployment", "performance", "drift"):
        assert of_a_stage(stage, silent.model_dump(mode="json"))["drift"] == before
    for stage in ("deployment", "performance"):
        assert of_a_stage(stage, loud.model_dump(mode="json"))["drift"] == before
    assert of_a_stage("drift", loud.model_dump(mode="json"))["drift"] != before


def registry(model: bytes) -> Any:
    version = Version(SPEC.name, 1, "1", "run", "sha", {"trainer": "xgboost"}, None)
    return SimpleNamespace(version=lambda *_: version, load=lambda _: model)


def test_of_an_alarm_the_page_shows_what_moved_the_score_where_it_comes_from_and_pictures(tmp_path, profile):
    rows = moved(parcels(4 * 24 * 7 * 12), WEEKS[10]).with_columns(pl.col("delay") + 8 * pl.col("weight"))
    lake = parcel_lake(tmp_path, SPEC, rows)
    trained(lake, 1, TRAINED)
    week, table = WEEKS[11], f"{SPEC.name}/training_set"
    now, manifest = lake.read(table, [week]), lake.manifest(table, week)
    lake.write("features/parcel", now.select("parcel", "weight"), week)
    lake.write(table, now, week, notes=manifest.notes, made_of={f"features/parcel@{week}": "hash"})
    known = labelled(rows, SPEC, SPEC.calendar.partition(TRAINED).end)
    model = fit(known, SPEC, FEATURES).model
    lake.write(f"{SPEC.name}/reference", known.select(*FEATURES, "depot").head(1500), "000001")
    assert write_cause(SPEC, lake, registry(model), week, 1) == ""
    notes = {ALARM: True, REMARK: "over", COLUMNS: ["weight"], CAUSE: "", "reference version": 1}
    page = alarm_page(SPEC, lake, week, notes)
    first = page["what moved the score"].value.splitlines()[2]
    assert first.startswith("| weight | ") and f"features/parcel {week} (content " in first
    assert "depot" in page["slices that moved the score"].value
    assert page["then and now"].value.count("data:image/svg") >= 2
    assert page["what moved the loss"].endswith("tells it once labels of the partition are known")
    why = write_cause(SPEC, lake, registry(b"no model"), week, 1)
    told = alarm_page(SPEC, lake, week, notes | {CAUSE: why})["what moved the score"]
    assert told.startswith("not attributed: version 1 cannot be loaded")


@pytest.mark.parametrize("at_once", [1, 1000, 1_000_000])
def test_a_history_that_is_read_at_once_says_what_each_of_its_weeks_says(lake, profile, monkeypatch, at_once):
    each = Readings.joined([read_partitions(SPEC, lake, [week], profile) for week in WEEKS])
    monkeypatch.setattr(drift_alarm, "ROWS_AT_ONCE", at_once)
    together = read_partitions(SPEC, lake, WEEKS, profile)
    assert together.names == each.names and together.days == each.days
    np.testing.assert_array_equal(together.sums, each.sums)
    np.testing.assert_array_equal(together.counts, each.counts)


def test_what_an_alarm_rests_on_is_told_without_reading_the_history_again(lake, said, monkeypatch):
    before = rests_on(SPEC, lake, WEEKS[11], 1)
    reads = list[str]()
    load = type(lake.storage).load
    monkeypatch.setattr(
        type(lake.storage), "load", lambda self, name: (reads.append(name), load(self, name))[1]
    )
    assert rests_on(SPEC, lake, WEEKS[11], 1) == before
    assert [name for name in reads if "training_set" in name or "alarms" in name] == []

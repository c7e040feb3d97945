"""Labels that come after thirty days: every report of a week says that none is known, and nothing takes it for good news."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.assets.monitoring import LABELS, performance
from mlops_assets.automation.sensors import partition_evidence
from mlops_assets.ml.monitoring.backtest import Backtest, backtest
from mlops_assets.ml.monitoring.policy import decide
from mlops_assets.ml.training.fit import fit
from mlops_assets.replay.policies import history_of, policy_row, refusals
from mlops_assets.replay.tables import partitions_table, text_table, totals
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.retrain import Retrain
from mlops_assets.stages.card import Evidence, sections
from mlops_assets.stages.judging import hold_out
from mlops_assets.stages.reporting import labels_known, write_performance
from mlops_assets.stages.training_set import training_data
from resources.lake.lake import Lake
from resources.pages import Pages
from resources.tracking.versions import Version
from tests.ml.conftest import FEATURES, parcel_spec, parcels
from tests.parcel_weeks import TRAINER, parcel_lake, report_parts

A_WEEK = 7 * 96
"""Parcels of a week."""

POLICY = {"cool_down_days": 14, "metric_worse_by": 0.05}


def spec_of(**changes: Any) -> ModelSpec:
    return parcel_spec(**{"trainer": TRAINER, "retrain": POLICY, **changes})


def late(weeks: int, days: float = 30) -> pl.DataFrame:
    """Parcels whose label is known so many days after they were sent."""
    return parcels(weeks * A_WEEK).with_columns(seen=pl.col("sent") + timedelta(days=days))


def reported(folder: Any, days: float = 30, served: bool = True) -> Lake:
    """A lake with three weeks that a champion scored, each reported on at its end."""
    spec = spec_of()
    lake = parcel_lake(folder, spec, late(3, days))
    for name in lake.partitions(f"{spec.name}/training_set"):
        rows = lake.read(f"{spec.name}/training_set", [name])
        scored = rows.select("parcel", "sent", score=pl.lit(0.4), model_version=pl.lit(1, pl.Int64))
        lake.write(f"{spec.name}/predictions", scored if served else scored.clear(), name)
        write_performance(spec, lake, name)
        notes = {"reference metric": 0.8 if served else None, "drift_share": None, "prediction_psi": None}
        lake.write(f"{spec.name}/drift", pl.DataFrame({"column": ["queue"]}), name, notes=notes)
    return lake


@pytest.fixture
def lake(tmp_path) -> Lake:
    return reported(tmp_path)


def report_of(lake: Lake, name: str) -> dict[str, Any]:
    return lake.read("late_parcel/performance", [name]).row(0, named=True)


def test_every_week_says_that_no_label_is_known_yet(lake):
    for name in lake.partitions("late_parcel/performance"):
        report = report_of(lake, name)
        assert (report["auc"], report["log_loss"], report["scored"]) == (None, None, 0)
        assert labels_known(report) == f"no label is known yet for {report['not_yet_known']} rows"
        assert report["not_yet_known"] > 0.95 * A_WEEK


def materialized(lake: Lake, spec: ModelSpec) -> tuple[dict[str, Any], dict[str, dg.AssetCheckEvaluation]]:
    """The metadata of the newest week's report as Dagster has it, and its checks."""
    name = lake.partitions("late_parcel/performance")[-1]
    result = dg.materialize([performance(spec)], resources=report_parts(lake), partition_key=name)
    (event,) = result.asset_materializations_for_node("late_parcel__performance")
    found = {key: value.value for key, value in event.metadata.items()}
    return found, {check.check_name: check for check in result.get_asset_check_evaluations()}


def test_the_page_of_the_report_says_so_and_warns(lake):
    found, checks = materialized(lake, spec_of())
    assert found["labels"].startswith("no label is known yet for 6")
    assert found["auc"] == found["log_loss"] == found["labels"]
    assert not checks[LABELS].passed and checks[LABELS].severity == dg.AssetCheckSeverity.WARN
    assert "no label is known yet" in str(checks["partition_meets_the_floors"].metadata["not measured"].value)


def test_some_labels_are_counted_and_do_not_warn(tmp_path):
    found, checks = materialized(reported(tmp_path, days=2), spec_of())
    known, of_all = found["labels"].split(" rows, ")[0].removeprefix("labelled ").split(" of ")
    assert 0.6 * A_WEEK < int(known) < 0.75 * A_WEEK == 0.75 * int(of_all)
    assert found["labels"].endswith(" not known yet")
    assert checks[LABELS].passed and found["log_loss"] > 0


def test_a_week_of_one_class_misses_a_floor_on_the_auc_and_says_why(tmp_path):
    spec = spec_of(label={"column": "delay", "known_at": "seen", "above": 1e9})
    found, checks = materialized(reported(tmp_path, days=1), spec)
    assert found["auc"] == "undefined, one class" and found["log_loss"] > 0
    assert checks[LABELS].passed and not checks["partition_meets_the_floors"].passed
    assert "undefined, one class, limit 0.6" in str(
        checks["partition_meets_the_floors"].metadata["missed"].value
    )


def test_the_retraining_is_not_asked_for_and_the_reason_says_why(lake):
    spec = spec_of()
    for name in lake.partitions("late_parcel/performance"):
        evidence = partition_evidence(spec, lake, name)
        decision = decide([evidence], evidence.end - timedelta(days=20), spec, evidence.end)
        assert (decision.retrain, decision.trigger) == (False, "none")
        assert (
            f"auc in partition {name} is not known, no label is known yet: not held against"
            in decision.reason
        )


def test_a_champion_whose_own_metric_was_undefined_is_still_a_champion(lake):
    spec = spec_of()
    name = lake.partitions("late_parcel/performance")[-1]
    evidence = replace(partition_evidence(spec, lake, name), reference=None)
    assert not decide([evidence], evidence.end - timedelta(days=20), spec, evidence.end).retrain
    nobody = replace(evidence, served=False)
    asked = decide([nobody], evidence.end - timedelta(days=20), spec, evidence.end)
    assert asked.trigger == "first_model"


def test_the_table_of_weeks_has_a_dash_for_what_is_not_known(lake):
    table = partitions_table(spec_of(), lake)
    lines = text_table(table.iter_rows(named=True)).splitlines()
    assert [line.split()[3:6] for line in lines[1:]] == [["-", "-", "-"]] * 3
    assert text_table([{"auc": float("nan"), "mae": float("inf")}]).splitlines()[1].split() == ["-", "-"]
    assert "NaN" not in table.write_csv()


def facts(lake: Lake, attempt: dict[str, Any]) -> dict[str, str]:
    """The lines of the champion's card."""
    version = Version("late_parcel", 1, "one", "run", "a" * 64, {})
    weeks = lake.read("late_parcel/performance").to_dicts()
    pages = Pages(dagster="http://127.0.0.1:3000", mlflow="http://127.0.0.1:5000")
    known = Evidence(spec_of(), version, pages, attempt, partitions=weeks)
    return {fact.name: fact.text for section in sections(known) for fact in section.facts}


def test_the_card_says_how_many_weeks_have_no_label_and_why_a_metric_has_no_value(lake):
    slices = [{"slice": "depot", "value": "north", "rows": 60, "auc": None, "log_loss": 0.3}]
    side = {"metrics": {"auc": None, "log_loss": 0.31}, "intervals": {"log_loss": [0.2, 0.4]}}
    shown = facts(lake, {"challenger": side, "slices": slices})
    assert shown["auc"] == "undefined, one class" and shown["log_loss"] == "0.31 (0.2 to 0.4)"
    assert shown["depot = north"] == "auc undefined, one class on 60 rows"
    assert shown["partitions without a known label"] == shown["partitions scored"] == "3"
    assert shown["auc, mean of the partitions"] == "unknown"
    assert facts(lake, {})["auc"] == "unknown"


def lived_through(folder: Any, spec: ModelSpec, weeks: int) -> tuple[Lake, dict[str, Backtest]]:
    """What never retraining, every four weeks and a policy on evidence come to over weeks of late labels."""
    lake = parcel_lake(folder, spec, late(weeks))
    for name in lake.partitions(f"{spec.name}/training_set"):
        lake.write(f"{spec.name}/drift", pl.DataFrame({"column": ["queue"]}), name)

    def train(name: str, now: Any, held: bool, rounds: int | None) -> tuple[bytes, int]:
        data = training_data(spec, lake, name)
        known = hold_out(
            spec.model_copy(update={"window": spec.window.model_copy(update={"hold_out_days": 500})}), data
        )
        start = spec.calendar.days_before(now, spec.window.hold_out_days)
        rows = known.filter(pl.col("seen") <= start) if held else known
        fitted = fit(rows, spec, FEATURES, rounds=rounds)
        return fitted.model, fitted.rounds

    days = spec.window.hold_out_days
    policies = {
        "never": Retrain(cool_down_days=days),
        "every four weeks": Retrain(cool_down_days=days, max_age_days=28),
        "on evidence": Retrain(cool_down_days=days, metric_worse_by=0.001),
    }
    history = history_of(spec, lake)
    return lake, {name: backtest(spec, policy, history, train) for name, policy in policies.items()}


def test_the_comparison_of_policies_survives_weeks_without_a_label(tmp_path):
    spec = spec_of(window={"hold_out_days": 35, "minimum_days": 84}, retrain={"cool_down_days": 35})
    lake, policies = lived_through(tmp_path, spec, 20)
    names = lake.partitions("late_parcel/training_set")
    assert [len(result.retrained) for result in policies.values()] == [1, 2, 2]
    assert all(result.refused == {} for result in policies.values())
    assert all(result.scored.height >= 8 * A_WEEK for result in policies.values())
    found = totals(spec, policies["never"].scored, names, lake)
    assert found["log_loss"] is not None and found["rows"] > 0
    newest = totals(spec, policies["never"].scored, names[-3:], lake)
    assert newest == {}


def test_a_hold_out_that_no_label_reaches_refuses_each_training_and_the_comparison_says_so(tmp_path):
    spec = spec_of()
    lake, policies = lived_through(tmp_path, spec, 8)
    for name, result in policies.items():
        assert (result.retrained, result.promoted) == ([], [])
        assert len(result.refused) == 5
        weeks = lake.partitions("late_parcel/training_set")
        row = policy_row(spec, lake, name, result, {"all": weeks, "the end": weeks[-4:]})
        assert set(text_table([row]).splitlines()[1].split()[-4:]) == {"-"}
        assert totals(spec, result.scored, lake.partitions("late_parcel/training_set"), lake) == {}
    first = next(iter(refusals(policies)))
    assert "never: 5 trainings were refused, the first at 2020-01-27: " in first
    assert spec.calendar.partition("2020-01-27").end == history_of(spec, lake)[3].end

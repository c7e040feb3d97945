"""How a model stands by real records: what is not there is None, what is wrong is said with the command that settles it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import polars as pl
import pytest
from hypothesis import strategies as st

from mlops_assets.promotion.history import REPLACES
from mlops_assets.promotion.holds import pause, resume, retire
from mlops_assets.promotion.rollout_states import put
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.arrivals import overdue_name
from mlops_assets.stages.history import INTERVAL
from mlops_assets.stages.standing import Operations, Standing, describe_platform
from resources.alerts.alert import Alert
from resources.clock import wall
from resources.local import local_resources
from resources.records.documents import save_note
from resources.records.notes import Making
from resources.records.rollout import Promise, Rollout, Transition
from resources.serving.log_writer import ServingLog
from resources.settings import settings
from resources.systems import Systems
from tests.ml.conftest import parcel_spec
from tests.resources.serving_log_samples import answered

SPEC = parcel_spec()
BY_ADA = parcel_spec(promotion={"mode": "approval", "approvers": ["ada", "lin"]})
FIRST, SECOND = "2020-02-03", "2020-02-10"
END = datetime(2020, 2, 17, tzinfo=UTC)
PLAN = {
    "answers_influence_labels": False,
    "shadow": {"bake": "6d", "minimum_samples": 20},
    "canary": [{"bake": "6d", "minimum_samples": 20, "share": 0.1}],
    "full": {"bake": "6d", "minimum_samples": 20},
}


BURNING = Alert("prometheus", SPEC.name, "ErrorBudget", "the error budget burns", {})


def systems_in(folder: Path) -> Systems:
    return Systems.of(local_resources(settings({"MLOPS_HOME": str(folder)})))


@pytest.fixture
def systems(tmp_path: Path) -> Systems:
    return systems_in(tmp_path)


def standing(systems: Systems, spec: ModelSpec = SPEC, operations: Operations | None = None) -> Standing:
    (one,) = describe_platform(systems, {spec.name: spec}, operations or Operations()).models
    return one


def ingest(systems: Systems) -> None:
    for name in (FIRST, SECOND):
        systems.lake.write(SPEC.prediction.table, pl.DataFrame({"parcel": ["a"]}), name)


def report(systems: Systems, name: str, **numbers: Any) -> None:
    """A report of 100 rows, of which 90 are labelled, unless the test says otherwise."""
    counts = {"rows": 100, "labelled": 90, "unlabelled": 5, "not_yet_known": 5, "scored": 90}
    row = {"week": name, **counts, "auc": 0.8, "log_loss": 0.4, "brier": 0.1, "calibration_error": 0.0}
    schema: dict[str, Any] = dict.fromkeys(("auc", "log_loss", "brier", "calibration_error"), pl.Float64)
    frame = pl.DataFrame([row | {"model_version": 1} | numbers], schema_overrides=schema)
    systems.lake.write(f"{SPEC.name}/performance", frame, name)


def drifted(systems: Systems, **notes: Any) -> None:
    systems.lake.write(f"{SPEC.name}/drift", pl.DataFrame({"column": ["queue"]}), SECOND, notes=notes)


def promote(systems: Systems, version: int, moment: datetime, replaces: int | None = None) -> None:
    systems.audit.record(
        "promoted",
        SPEC.name,
        identity={"version": version},
        by="ada",
        why="passed",
        moment=moment,
        evidence={REPLACES: replaces},
        version=version,
    )


def evaluated(systems: Systems, version: int, champion: int | None, passed: bool = True) -> str:
    digest = f"{version:064d}"
    evidence = {"evaluation": digest, "week": SECOND, "passed": passed, "champion": champion}
    systems.audit.record(
        "evaluated",
        SPEC.name,
        identity={"evaluation": digest},
        by="a sensor",
        why="better",
        moment=END,
        evidence=evidence,
        version=version,
    )
    return digest


def decided(systems: Systems, kind: Any, digest: str) -> None:
    systems.audit.record(
        kind,
        SPEC.name,
        identity={"evaluation": digest},
        by="ada",
        why="fine",
        moment=END,
        evidence={},
        version=2,
    )


def rollout(systems: Systems, **changes: Any) -> None:
    moment = END.isoformat()
    state = Rollout(
        model=SPEC.name,
        number=1,
        version=2,
        champion=1,
        origin="by_hand",
        plan=PLAN,
        promise=Promise(kind="promoted", by="ada", why="to see", evidence={}),
        started=moment,
        since=moment,
        step=1,
        waits="canary 10%: bakes until 2020-02-23",
        transitions=[
            Transition(number=0, kind="started", step="shadow", by="ada", why="to see", moment=moment)
        ],
    )
    put(systems.lake, state.model_copy(update=changes), None)


def test_of_an_empty_state_nothing_is_known_and_nothing_is_asked_or_written(systems, tmp_path):
    one = standing(systems)
    known = {name for name, value in vars(one).items() if value not in (None, (), {})}
    assert known == {"model", "owner", "metric", "floor", "drift_limit", "cost_unit", "links"}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_model_that_does_well_is_described_from_its_records(systems):
    ingest(systems)
    promote(systems, 1, END - timedelta(days=10))
    report(systems, FIRST)
    report(systems, SECOND, auc=0.75)
    kept = {INTERVAL: [0.7, 0.8]}
    save_note(systems.lake, f"{SPEC.name}/performance", SECOND, Making(sha256="a", fingerprint={}, kept=kept))
    drifted(systems, prediction_psi=0.03, prediction_drifted=False)
    one = standing(systems, operations=Operations(costs={SPEC.name: 1.5}))
    assert (one.champion, one.champion_age_days) == (1, 10)
    assert (one.newest_partition, one.partition_end, one.freshness_hours) == (SECOND, END.isoformat(), 0)
    assert (one.quality, one.quality_low, one.quality_high, one.floor) == (0.75, 0.7, 0.8, 0.6)
    assert (one.coverage, one.quality_partition) == (90 / 95, SECOND)
    assert (one.drift, one.alarm, one.drift_partition) == (0.03, False, SECOND)
    assert (one.cost_month, one.needs_hands, one.waits) == (1.5, (), ())
    assert one.links["registry"].endswith(f"/models/{SPEC.name}/versions/1")


def test_quality_is_that_of_the_newest_partition_whose_labels_say_something(systems):
    ingest(systems)
    report(systems, FIRST)
    report(systems, SECOND, auc=None, labelled=0, unlabelled=0, not_yet_known=100, scored=0)
    one = standing(systems)
    assert (one.quality, one.quality_partition, one.coverage) == (0.8, FIRST, 90 / 95)


@hypothesis.settings(max_examples=8, deadline=None)
@hypothesis.given(st.lists(st.sampled_from(["floor", "alarm", "overdue", "alert", "champion"]), unique=True))
def test_each_thing_that_is_wrong_is_one_reason_and_nothing_else_is(tmp_path_factory, wrong):
    systems = systems_in(tmp_path_factory.mktemp("state"))
    ingest(systems)
    if "champion" in wrong:
        evaluated(systems, 1, champion=None, passed=False)
    else:
        promote(systems, 1, END)
    report(systems, SECOND, auc=0.5 if "floor" in wrong else 0.9)
    drifted(systems, prediction_psi=0.4, prediction_drifted=True, alarm="alarm" in wrong)
    if "overdue" in wrong:
        systems.lake.write_json(overdue_name(SPEC.use_case), {"parcels": {"2020-02-17": {}}})
    if "alert" in wrong:
        systems.alerts.raise_alert(BURNING, END)
    one = standing(systems)
    words = {
        "floor": "auc of 2020-02-10 is below its floor: 0.5",
        "alarm": "drift alarm on 2020-02-10: PSI of the scores 0.4000, limit 0.25",
        "overdue": "parcels is overdue: 2020-02-17",
        "alert": "the error budget burns",
        "champion": "no version is champion; version 1 was judged last: better",
    }
    assert len(one.needs_hands) == len(wrong)
    assert all(any(reason.startswith(words[name]) for reason in one.needs_hands) for name in wrong)


def test_an_open_alert_is_listed_and_needs_hands_until_somebody_has_it_in_hand(systems):
    promote(systems, 1, END)
    state = systems.alerts.raise_alert(BURNING, END)
    assert standing(systems).needs_hands == standing(systems).alerts
    assert f"`mlops alerts ack {state.id} --by NAME --why WHY`" in standing(systems).alerts[0]
    systems.alerts.acknowledge(state.id, "ada", "it is the load test", END)
    assert standing(systems).alerts == ("the error budget burns (warning; in the hands of ada)",)
    assert standing(systems).needs_hands == ()
    systems.alerts.resolve(state.id, END)
    assert standing(systems).alerts == ()


def test_an_alert_on_what_the_records_say_by_themselves_is_one_reason(systems):
    promote(systems, 1, END)
    report(systems, SECOND, auc=0.5)
    systems.alerts.raise_alert(Alert("quality_under_floor", SPEC.name, SECOND, "auc is low", {}), END)
    one = standing(systems)
    assert len(one.alerts) == len(one.needs_hands) == 1 and "below its floor" in one.needs_hands[0]


def test_the_alarm_of_a_report_that_has_none_is_the_check_on_the_scores(systems):
    drifted(systems, prediction_psi=0.4, prediction_drifted=True)
    assert standing(systems).alarm is True
    drifted(systems, prediction_psi=None, prediction_drifted=None, alarm=None, alarm_remark="too few rows")
    one = standing(systems)
    assert (one.alarm, one.drift, one.alarm_remark) == (None, None, "too few rows")


def test_a_challenger_waits_for_its_approvers_until_somebody_decides_or_the_champion_is_another(systems):
    promote(systems, 1, END)
    digest = evaluated(systems, 2, champion=1)
    assert standing(systems).waits == ()
    (waits,) = standing(systems, BY_ADA).waits
    assert "version 2 passed the gate and waits for ada or lin" in waits
    assert f"`mlops approve {SPEC.name} --version 2 --by NAME --reason WHY`" in waits
    assert standing(systems, BY_ADA).needs_hands == (waits,)
    decided(systems, "rejected", digest)
    assert standing(systems, BY_ADA).waits == ()
    evaluated(systems, 3, champion=1)
    assert len(standing(systems, BY_ADA).waits) == 1
    promote(systems, 9, END, replaces=1)
    assert standing(systems, BY_ADA).waits == ()


def test_a_challenger_that_did_not_pass_waits_for_nobody(systems):
    evaluated(systems, 2, champion=None, passed=False)
    assert standing(systems, BY_ADA).waits == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"has_asked": True}, f"`mlops rollout {SPEC.name} promote --why WHY`"),
        ({"paused": "paused by lin: a storm"}, f"`mlops rollout {SPEC.name} resume --why WHY`"),
    ],
)
def test_a_roll_out_waits_for_a_person_where_it_asks_or_is_paused(systems, changes, words):
    promote(systems, 1, END)
    rollout(systems, **changes)
    one = standing(systems)
    assert (one.rollout_share, one.rollout_waits) == (0.1, "canary 10%: bakes until 2020-02-23")
    assert "the roll-out of version 2 in place of version 1 is in step 2 of 3" in str(one.rollout)
    assert [words in said for said in one.needs_hands] == ([True] if words else [])


def test_a_hold_is_told_with_what_lifts_it_and_asks_nothing_of_whoever_is_on_call(systems):
    ingest(systems)
    pause(systems.audit, systems.endpoint, None, "lin", "a storm")
    one = standing(systems)
    assert "everything is paused" in one.waits[0] and "`mlops resume` lifts it" in one.waits[0]
    resume(systems.audit, systems.endpoint, None, "lin", "over")
    evaluated(systems, 1, champion=None, passed=False)
    assert standing(systems).needs_hands == ("no version is champion; version 1 was judged last: better",)
    retire(systems.audit, systems.endpoint, SPEC.name, "lin", "another one does it")
    one = standing(systems)
    assert (one.needs_hands, len(one.waits)) == ((), 1)


def test_rows_of_the_last_day_are_counted_once_and_shadows_are_not(systems):
    now = wall()
    log = ServingLog(Path(systems.serving_log.folder))
    log.append(answered(["r1", "r2"], SPEC.name, now - timedelta(hours=2)))
    log.append(answered(["old"], SPEC.name, now - timedelta(hours=30)))
    log.append(replace(answered(["r1"], SPEC.name, now - timedelta(hours=1)), shadow=True))
    log.close()
    assert standing(systems).requests_24h == 2
    assert standing(systems, parcel_spec(name="other_parcel")).requests_24h is None

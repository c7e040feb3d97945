"""Who may promote, what the log says of it, and how a champion is taken back: the real assets on pumps made up on the spot."""

import hashlib
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.assets.card import card
from mlops_assets.automation.decisions import DecisionError, decide, go_back
from mlops_assets.automation.reconciling import DifferenceError
from mlops_assets.spec.model import ModelSpec
from resources.audit.chain import Place, entry_name, head_text
from resources.audit.journal import journal_of
from resources.audit.log import CHANGES, AuditError
from resources.storage.addresses import storage_at
from resources.systems import Systems
from resources.tracking.client import client_of
from tests.command_lines import command_line
from tests.parts import parts
from tests.pumps.project import SPEC, WEEKS
from tests.pumps.promotion import (
    AUTOMATIC,
    BY_ADA,
    FIRST,
    NAME,
    NAMES,
    OUT_OF_REACH,
    PASSES,
    STAGES,
    Project,
    add_week,
    copied,
    spec,
    tick,
)

pytestmark = pytest.mark.usefixtures("pumps_features")


@pytest.fixture(scope="module")
def judged(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder in which version 1 passed the gate and waits for a person; not to be changed."""
    project = copied(ingested, tmp_path_factory.mktemp("judged"))
    project.make(BY_ADA)
    return project.home


@pytest.fixture
def waiting(judged: Path, tmp_path: Path) -> Project:
    return copied(judged, tmp_path)


@pytest.fixture(scope="module")
def twice(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder in which version 2 was promoted, and a week later version 4; not to be changed."""
    project = copied(ingested, tmp_path_factory.mktemp("twice"))
    project.make(AUTOMATIC)
    add_week(project.lake, NAMES[FIRST])
    add_week(project.lake, NAMES[FIRST + 1])
    project.make(AUTOMATIC)
    return project.home


@pytest.fixture
def promoted_twice(twice: Path, tmp_path: Path) -> Project:
    return copied(twice, tmp_path)


def test_a_life_from_training_to_deployment_is_in_the_log_once_however_often_it_is_made(project):
    project.make(AUTOMATIC)
    expected = [
        ("configuration_changed", None),
        ("trained", 1),
        ("evaluated", 1),
        ("trained", 2),
        ("promoted", 2),
        ("deployed", 2),
    ]
    assert project.log == expected
    project.make(AUTOMATIC)
    assert project.log == expected
    assert project.audit.verify(project.tracking.anchors()).problem is None


def test_each_entry_names_the_evidence_that_it_rests_on(project):
    project.make(AUTOMATIC)
    _, _, evaluated, trained, promoted, deployed = project.audit.entries()
    version = project.tracking.version(NAME, 2)
    assert trained.evidence["training_set"] == version.tags["training_set"]
    assert trained.evidence["weeks"] == {"first": NAMES[0], "last": NAMES[4], "number": 5}
    assert promoted.evidence["evaluation"] == evaluated.evidence["evaluation"]
    assert promoted.evidence["sha256"] == trained.evidence["sha256"] == version.sha256
    assert promoted.why == evaluated.why
    assert promoted.moment == WEEKS.partition(NAMES[4]).end
    assert deployed.evidence["change"] == promoted.hash
    assert deployed.evidence["model_sha256"] == project.endpoint.records()[NAME].model_sha256


def test_a_change_of_the_spec_is_recorded_with_what_changed_and_so_is_the_way_back(project):
    stricter = spec(gate=PASSES | {"tolerance": 4.0})
    for given in (AUTOMATIC, AUTOMATIC, stricter, AUTOMATIC):
        project.make(given, "model", "evaluation")
    _, to, back = project.audit.entries(NAME, ("configuration_changed",))
    assert (to.why, to.evidence["changed"]) == ("changed: gate.tolerance", {"gate.tolerance": [5.0, 4.0]})
    assert back.evidence["changed"] == {"gate.tolerance": [4.0, 5.0]}


def test_how_a_model_is_watched_judged_and_promoted_and_where_its_calendar_ends_makes_no_other_model(project):
    project.make(AUTOMATIC, "model")
    longer = SPEC.calendar.model_dump() | {"end": SPEC.calendar.end + timedelta(days=364)}
    project.make(BY_ADA, "model")
    project.make(spec(skew={"requests": 7}, calendar=longer, gate=OUT_OF_REACH, slices=["pump"]), "model")
    assert [v.number for v in project.tracking.versions(NAME)] == [1]


def test_a_challenger_that_passed_waits_and_the_page_says_for_whom_and_how_to_approve(project):
    said = project.said(BY_ADA)
    assert f"{NAME}: version 1 passed the gate and waits for ada or lin" in said
    assert f"`mlops approve {NAME} --version 1 --by NAME --reason WHY`" in said
    assert "job approve_challenger" in said
    assert (project.champion, project.endpoint.records()) == (None, {})
    assert "promoted" not in dict(project.log)


def test_an_approval_promotes_and_deploys_and_both_name_the_person(waiting):
    project = waiting
    assert project.approve(1) == project.champion == 2
    (approved,) = project.audit.entries(NAME, ("approved",))
    (promoted,) = project.audit.entries(NAME, ("promoted",))
    assert (approved.by, approved.why, approved.version) == ("ada", "looks right", 1)
    assert (promoted.by, promoted.evidence["approval"]) == ("ada", approved.hash)
    assert promoted.why.startswith("looks right; Promoted as the first champion")
    assert project.endpoint.records()[NAME].version == "2"


def test_an_approval_that_was_interrupted_is_completed_by_the_next_run_of_the_asset(waiting):
    project = waiting
    decide(BY_ADA, Systems(project.lake, audit=project.audit), "approved", 1, "ada", "")
    assert project.champion is None
    project.make(BY_ADA, "deployment")
    assert project.champion == 2


def refused(act: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(DecisionError) as caught:
        act(*arguments)
    return str(caught.value)


def test_who_is_no_approver_decides_nothing(waiting):
    project = waiting
    before = project.log
    assert refused(project.approve, 1, "eve") == (
        f"'eve' may not decide about {NAME}; promotion.approvers: ada, lin"
    )
    assert (project.champion, project.log) == (None, before)


def test_what_does_not_wait_is_not_approved(project):
    assert "version 1 was never judged" in refused(project.approve, 1)
    strict = BY_ADA.model_copy(update={"gate": spec(gate=OUT_OF_REACH).gate})
    project.make(strict, "model", "evaluation")
    assert "version 1 did not pass the gate" in refused(project.approve, 1)
    project.make(BY_ADA)
    project.approve(1)
    assert refused(project.approve, 1) == f"{NAME} version 1 is champion already (as version 2)"
    assert refused(project.approve, 2) == f"{NAME} version 2 is champion already"


def test_a_challenger_that_is_judged_by_another_rule_and_by_the_first_again_waits_again(project):
    strict = BY_ADA.model_copy(update={"gate": spec(gate=OUT_OF_REACH).gate})
    for given in (BY_ADA, strict, strict, BY_ADA):
        project.make(given, "model", "evaluation")
    judged = project.audit.entries(NAME, ("evaluated",))
    assert [(entry.version, entry.evidence["passed"]) for entry in judged] == [
        (1, True),
        (1, False),
        (1, True),
    ]
    assert project.approve(1) == project.champion == 2


def test_a_superseded_challenger_is_not_approved(waiting):
    project = waiting
    add_week(project.lake, NAMES[FIRST])
    project.make(BY_ADA, "model")
    assert "version 1 is superseded: challenger 2 was trained after it" in refused(project.approve, 1)
    project.make(BY_ADA, "evaluation")
    assert "version 1 is superseded: version 2 was judged after it" in refused(project.approve, 1)
    assert project.approve(2) == 3


def test_a_rejected_challenger_is_neither_approved_nor_deployed(waiting):
    project = waiting
    decide(
        BY_ADA,
        Systems(project.lake, audit=project.audit),
        "rejected",
        1,
        "lin",
        "trained in the wrong season",
    )
    assert "was rejected by lin already: trained in the wrong season" in refused(project.approve, 1)
    assert f"{NAME}: version 1 was rejected by lin: trained in the wrong season" in project.said(
        BY_ADA, "deployment"
    )
    assert project.champion is None


def test_where_promotion_is_automatic_nobody_approves(project):
    parts = (Systems(project.lake, audit=project.audit), "approved", 1, "ada", "")
    assert "promotion.mode=automatic: a challenger that passes is promoted by itself" in refused(
        decide, AUTOMATIC, *parts
    )


def test_a_promotion_that_waited_counts_from_the_weeks_that_came_in_by_then(waiting):
    project = waiting
    add_week(project.lake, NAMES[FIRST], joined=False)
    project.approve(1)
    (promoted,) = project.audit.entries(NAME, ("promoted",))
    assert promoted.moment == WEEKS.partition(NAMES[FIRST]).end
    assert [at for v in project.tracking.versions(NAME) for at in v.promotions] == [promoted.moment]


def test_an_evaluation_whose_record_was_changed_afterwards_promotes_nothing(project):
    project.make(AUTOMATIC, "model", "evaluation")
    attempts = storage_at(project.lake.root).below(f"{NAME}/attempts")
    [name] = attempts.names("", ".json")
    said = json.loads(attempts.read(name)) | {"verdict": "Promoted: because I say so."}
    attempts.write(name, json.dumps(said).encode())
    done = project.make(AUTOMATIC, "deployment", fails=True)
    assert "was changed after it was judged" in failure(done)
    assert project.champion is None


def failure(done: dg.ExecuteInProcessResult) -> str:
    (event,) = [e for e in done.all_events if e.event_type_value == "STEP_FAILURE"]
    return str(event.step_failure_data.user_failure_data.description)  # type: ignore[union-attr]


def made(done: dg.ExecuteInProcessResult) -> list[str]:
    """The assets that a run materialized, in order."""
    keys = [event.asset_key for event in done.all_events if event.is_step_materialization]
    return [key.path[-1] for key in keys if key]


def test_a_run_whose_challenger_is_rejected_ends_green_with_the_verdict_and_makes_nothing_downstream(project):
    strict = spec(gate=OUT_OF_REACH)
    wanted = [stage(strict) for stage in (*STAGES.values(), card)]
    done = dg.materialize(wanted, resources=project.parts)
    assert done.success and made(done) == ["model", "evaluation"]
    checks = {one.check_name: one for one in done.get_asset_check_evaluations()}
    assert checks["leaks"].passed
    check = checks["challenger_passes_the_gate"]
    assert (check.passed, check.blocking, check.severity) == (False, True, dg.AssetCheckSeverity.WARN)
    assert str(check.metadata["verdict"].value).startswith("Rejected: auc 0.")
    assert [e.step_key for e in done.all_events if e.is_step_skipped] == [f"{NAME}__card"]
    assert (project.champion, project.endpoint.records()) == (None, {})


def test_a_champion_stays_where_its_challenger_is_rejected_and_the_next_one_may_win(promoted_twice):
    project = promoted_twice
    add_week(project.lake, NAMES[FIRST + 2])
    before = (project.champion, project.endpoint.records())
    assert made(project.make(spec(gate=OUT_OF_REACH))) == ["model", "evaluation"]
    assert (project.champion, project.endpoint.records()) == before
    assert made(project.make(AUTOMATIC)) == ["model", "evaluation", "deployment"]
    assert project.champion == 6


@pytest.mark.parametrize("held", [{}, {"automation": "paused"}, {"promotion": BY_ADA.promotion.model_dump()}])
def test_a_deployment_made_alone_never_deploys_a_rejected_challenger(project, held):
    project.make(spec(gate=OUT_OF_REACH, **held), "model", "evaluation")
    for given in (spec(gate=OUT_OF_REACH, **held), spec(**held)):
        assert made(project.make(given, "deployment")) == []
    assert (project.champion, project.endpoint.records()) == (None, {})


def test_a_challenger_that_was_never_judged_is_not_deployed_on_the_word_about_an_earlier_one(project):
    deeper = spec(trainer={"parameters": {"max_depth": 5}, "rounds": 10, "threads": 1})
    done = project.make(AUTOMATIC, "deployment", fails=True)
    assert failure(done) == f"{NAME} has no challenger yet: materialize {NAME}/model first"
    project.make(AUTOMATIC)
    done = project.make(deeper, "deployment", fails=True)
    assert "the spec changed since challenger 1 was fitted and judged" in failure(done)
    project.make(deeper, "model")
    done = project.make(deeper, "deployment", fails=True)
    assert failure(done) == f"{NAME}: challenger 3 was not judged yet: materialize {NAME}/evaluation first"
    assert project.champion == 2


def test_evidence_about_a_champion_that_was_replaced_meanwhile_promotes_nothing(promoted_twice):
    project = promoted_twice
    add_week(project.lake, NAMES[FIRST + 2])
    add_week(project.lake, NAMES[FIRST + 3])
    project.make(AUTOMATIC, "model", "evaluation")
    project.back()
    done = project.make(AUTOMATIC, "deployment", fails=True)
    assert "challenger 5 was judged against version 4, and version 2 is champion by now" in failure(done)


def test_a_rollback_is_not_undone_by_the_automation_and_the_next_challenger_can_still_win(promoted_twice):
    project = promoted_twice
    assert project.champion == 4
    entry = project.back()
    assert (project.champion, project.endpoint.records()[NAME].version) == (2, "2")
    assert entry.moment == WEEKS.partition(NAMES[FIRST + 1]).end
    assert "version 4 was rolled back by lin (too many alarms)" in project.said(AUTOMATIC)
    assert project.champion == 2
    add_week(project.lake, NAMES[FIRST + 2])
    project.make(AUTOMATIC)
    assert project.champion == 6
    assert [entry.version for entry in project.audit.entries(NAME, CHANGES)] == [2, 4, 2, 6]


LENIENT = spec(gate=PASSES | {"evidence": "non_inferiority"})


def judged_next(project: Project, given: ModelSpec = LENIENT) -> dict[str, Any]:
    """The record of a challenger that was trained when another two weeks were in."""
    there = project.lake.partitions(f"{NAME}/training_set")
    for name in NAMES[len(there) : len(there) + 2]:
        add_week(project.lake, name)
    project.make(given, "model", "evaluation")
    return project.lake.read_json(f"{NAME}/attempts/{NAMES[len(there) + 1]}")


def test_the_anchor_is_the_last_champion_that_was_shown_to_be_better_and_every_record_names_it(
    promoted_twice,
):
    project = promoted_twice
    first, second = project.audit.entries(NAME, ("promoted",))
    assert first.evidence["shown_better"] is False
    expected = 4 if second.evidence["shown_better"] else 2
    attempt = judged_next(project)
    anchor = attempt["anchor"]
    assert (anchor["version"], anchor["margin"], anchor["passes"]) == (expected, 5.0, True)
    assert anchor["spent"] + anchor["left"] == pytest.approx(5.0)
    assert attempt["champion"]["version"] == 4
    criterion = next(c for c in attempt["evidence"]["criteria"] if c["kind"] == "anchor")
    assert criterion["champion"] == anchor["metric"] and criterion["limit"] == -5.0
    evaluated = project.audit.latest(NAME, ("evaluated",))
    assert evaluated.evidence["anchor"] == anchor
    project.make(LENIENT, "deployment")
    promoted = project.audit.latest(NAME, CHANGES)
    assert promoted.evidence["shown_better"] is attempt["shown_better"]


def test_a_champion_that_was_refitted_on_the_held_out_days_is_stood_in_for_by_its_challenger(promoted_twice):
    project = promoted_twice
    project.make(
        spec(trainer=SPEC.trainer.model_dump() | {"parameters": {"max_depth": 2}}), "model", "evaluation"
    )
    attempt = project.lake.read_json(f"{NAME}/attempts/{NAMES[FIRST + 1]}")
    assert project.champion == 4
    assert [attempt[side]["version"] for side in ("challenger", "champion")] == [5, 3]
    seen = [project.tracking.version(NAME, number).trained_until for number in (3, 4)]
    start = WEEKS.days_before(WEEKS.partition(NAMES[FIRST + 1]).end, SPEC.window.hold_out_days)
    assert seen[0] <= start < seen[1]


def test_after_a_rollback_the_anchor_is_that_of_the_champion_that_came_back(promoted_twice):
    promoted_twice.back()
    assert judged_next(promoted_twice)["anchor"]["version"] == 2


def test_an_anchor_that_is_gone_is_told_and_only_superiority_counts(project):
    project.make(LENIENT)
    judged_next(project)
    project.make(LENIENT, "deployment")
    before = judged_next(project)
    assert (before["promote"], before["shown_better"], before["anchor"]["version"]) == (True, False, 2)

    def again() -> tuple[str, Any]:
        project.make(LENIENT, "evaluation")
        after = project.lake.read_json(f"{NAME}/attempts/{before['week']}")
        assert not after["promote"] and after["anchor"]["left"] is None
        return after["verdict"], after["anchor"]["why"]

    gone = project.tracking.version(NAME, 2)
    artifacts = storage_at(project.tracking.artifacts)
    for name in artifacts.names(deep=True):
        if "/model." in name and hashlib.sha256(artifacts.read(name)).hexdigest() == gone.sha256:
            artifacts.delete(name)
    verdict, why = again()
    assert "the anchor, version 2, has no whole model file any more" in verdict
    assert "restore the artifacts folder" in why
    client_of(project.tracking.uri).delete_model_version(NAME, "2")
    verdict, _ = again()
    assert "the anchor, version 2, is not in the registry any more: only a challenger" in verdict


def test_a_rollback_that_names_nobody_or_no_reason_is_refused(promoted_twice):
    systems = Systems.of(promoted_twice.parts)
    assert "give both, --by NAME --reason WHY" in refused(go_back, systems, NAME, None, " ", "x")
    assert "give both, --by NAME --reason WHY" in refused(go_back, systems, NAME, None, "lin", "")
    assert "knows no champion of 'nobody'" in refused(go_back, systems, "nobody", None, "lin", "x")


def test_the_jobs_of_the_ui_decide_the_same_and_show_it_on_the_deployments_page(waiting):
    project = waiting
    done = project.decide("approve_challenger", version=1, by="eve")
    assert failure(done) == f"'eve' may not decide about {NAME}; promotion.approvers: ada, lin"
    done = project.decide("approve_challenger", version=1, by="ada", reason="fine")
    (shown,) = done.asset_materializations_for_node("approve")
    assert shown.asset_key == dg.AssetKey([NAME, "deployment"])
    assert shown.metadata["champion"].value == project.champion == 2
    assert shown.tags == {"dagster/data_version": "endpoint"}
    add_week(project.lake, NAMES[FIRST])
    add_week(project.lake, NAMES[FIRST + 1])
    project.make(BY_ADA)
    assert project.decide("reject_challenger", version=3, by="lin", reason="no").success
    assert dict(project.log)["rejected"] == 3
    done = project.decide("roll_back_champion", by="lin", reason="x")
    assert failure(done) == f"{NAME}: version 2 is the first champion: there is no earlier one"


def test_the_sensor_repairs_what_differs_from_the_log_and_says_so(promoted_twice):
    project = promoted_twice
    agree = "registry and endpoint follow the audit log (1 models)"
    moved = f"{NAME}: the endpoint's record was of version 4, now it is of version 4"
    assert [tick(project), tick(project)] == [moved, agree], (
        "the state folder is a copy, with paths of its own"
    )
    client_of(project.tracking.uri).set_registered_model_alias(NAME, "champion", "2")
    record = project.endpoint.records()[NAME]
    project.endpoint.publish(record.model_copy(update={"version": "2"}))
    Path(record.model_path).unlink()
    assert tick(project) == (
        f"{NAME}: the model file of version 4 was not in place; "
        f"{NAME}: the endpoint's record was of version 2, now it is of version 4; "
        f"{NAME}: the registry's champion was version 2, now version 4"
    )
    assert (project.champion, project.endpoint.records()[NAME]) == (4, record)
    assert Path(record.model_path).read_bytes() == project.tracking.load(project.tracking.version(NAME, 4))
    assert tick(project) == agree


def test_the_sensor_waits_for_no_change_and_fails_where_it_cannot_repair(promoted_twice):
    project = promoted_twice
    with project.audit.lock(f"champion-{NAME}"):
        assert tick(project) == f"{NAME}: a change is under way"
    client_of(project.tracking.uri).delete_model_version(NAME, "4")
    with pytest.raises(DifferenceError, match=f"{NAME} version 4.* is not in the registry: it was deleted"):
        tick(project)
    Path(project.endpoint.records()[NAME].model_path).unlink()
    with pytest.raises(DifferenceError, match=f"{NAME}: version 4 is not in the registry: it was deleted"):
        tick(project)
    assert project.back().version == 2
    assert (project.champion, project.endpoint.records()[NAME].version) == (2, "2")
    assert "version 4 is not in the registry: it was deleted" in refused(project.back, 4)


def test_one_model_is_deployed_by_one_at_a_time_whoever_asks(project):
    project.make(AUTOMATIC, "model", "evaluation")
    order, begun = [], threading.Event()

    def deploy() -> None:
        begun.set()
        project.make(AUTOMATIC, "deployment")
        order.append("the run")

    run = threading.Thread(target=deploy)
    with project.audit.lock(f"deploy-{NAME}"):
        run.start()
        begun.wait()
        run.join(timeout=2)
        order.append("the one before")
    run.join()
    assert (order, project.champion) == (["the one before", "the run"], 2)


@pytest.fixture
def mlops(promoted_twice, monkeypatch, capsys):
    """A function that runs a command on the state with two champions: exit status and what was printed."""
    for name, value in parts().environment(promoted_twice.home).items():
        monkeypatch.setenv(name, value)
    return command_line(capsys)


def test_history_tells_what_was_champion_then_and_on_which_data(mlops, promoted_twice):
    code, said = mlops("history", NAME, "--at", "2024-02-10")
    assert code == 0
    assert said.startswith(f"{NAME} at 2024-02-10T00:00:00+00:00 (data time): version 2\n")
    digest = promoted_twice.tracking.version(NAME, 2).tags["training_set"]
    assert f"partitions           {NAMES[0]} to {NAMES[4]} (5)" in said
    assert f"training set sha256  {digest}" in said
    assert "version 4\n" in mlops("history", NAME, "--at", "2024-02-19")[1]
    code, said = mlops("history", NAME, "--at", "2024-02-01")
    assert (code, "had no champion" in said) == (1, True)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert "(wall clock): version 4\n" in mlops("history", NAME, "--wall", "--at", tomorrow)[1]
    assert mlops("history", NAME, "--wall", "--at", "2024-02-19")[0] == 1


def test_a_rollback_from_the_command_line_is_in_history_and_log(mlops, promoted_twice):
    code, said = mlops("rollback", NAME, "--by", "lin", "--reason", "too many alarms")
    assert (code, said) == (0, f"{NAME}: version 2 is champion (entry 12, rolled back by lin)\n")
    code, said = mlops("history", NAME)
    assert [line.split()[0] for line in said.splitlines()[1:]] == ["5", "10", "12"]
    code, said = mlops("audit", "show", "--kind", "rolled_back")
    assert (code, "too many alarms" in said) == (0, True)
    assert mlops("rollback", NAME, "--by", "lin", "--reason", "x")[0] == 1
    assert mlops("audit", "show", "--model", "nobody")[0] == 1
    assert mlops("audit", "show", "--kind", "renamed")[0] == 2


def test_verify_finds_a_tail_that_was_cut_off_with_its_head_by_what_mlflow_remembers(mlops, promoted_twice):
    code, said = mlops("audit", "verify")
    assert (code, said.splitlines()[0]) == (
        0,
        f"whole: 11 entries; agrees with what is remembered elsewhere: MLflow's model {NAME}",
    )
    head = said.split("head: ")[1].strip()
    log = storage_at(promoted_twice.audit.folder)
    fourth, key = list(promoted_twice.audit.entries())[3], promoted_twice.audit.journal.key_file.load()
    for number in range(5, 12):
        log.delete(entry_name(number))
    code, said = mlops("audit", "verify", "--no-anchors")
    assert (code, "the log ends with entry 4, and its head names entry 11" in said) == (1, True)
    forged = head_text(Place(4, fourth.hash), *key.values())
    log.write("sealed_head.json", forged)
    code, said = mlops("audit", "verify")
    assert (code, "remembers entry 10, the log ends with entry 4" in said) == (1, True)
    assert mlops("audit", "verify", "--no-anchors")[0] == 0
    assert mlops("audit", "verify", "--no-anchors", "--head", head)[0] == 1


def test_an_altered_log_ends_every_question_with_a_sentence(mlops, promoted_twice):
    log, name = storage_at(promoted_twice.audit.folder), entry_name(5)
    log.write(name, log.read(name).replace(b'"kind":"promoted"', b'"kind":"promotes"', 1))
    journal_of.cache_clear()
    code, said = mlops("audit", "verify")
    assert (code, "entry 5 was altered" in said) == (1, True)
    assert "4 entries follow one another unbroken from the start." in said
    code, said = mlops("audit", "show")
    assert (code, said.startswith("error: ") and "entry 5 was altered" in said) == (1, True)


def test_a_promotion_that_somebody_sealed_without_an_evaluation_is_an_alarm_of_the_sensor(promoted_twice):
    tick(promoted_twice)
    planted = promoted_twice.audit.record(
        "promoted",
        NAME,
        identity={"planted": True},
        by="mallory",
        why="trust me",
        moment=None,
        evidence={
            "replaces": 4,
            "sha256": promoted_twice.tracking.version(NAME, 1).sha256,
            "challenger": None,
        },
        version=1,
    )
    with pytest.raises(
        DifferenceError, match=rf"entry {planted.seq} .*makes version 1 champion, and its evaluation"
    ):
        tick(promoted_twice)
    assert promoted_twice.champion == 4
    assert promoted_twice.back().version == 4
    assert "follow the audit log" in tick(promoted_twice)


def test_the_key_of_the_log_is_changed_from_the_command_line(mlops, promoted_twice):
    code, said = mlops("audit", "rotate", "--by", "ada", "--reason", "the laptop was lost")
    assert (code, said.startswith("entry 12: key ")) == (0, True)
    assert mlops("audit", "verify")[0] == 0
    assert mlops("audit", "log", "--kind", "key_changed")[0] == 0
    Path(promoted_twice.home, "keys", "audit.key").unlink()
    code, said = mlops("audit", "verify")
    assert (code, "is missing: put it back from a copy" in said) == (1, True)


def test_a_kept_spec_that_was_changed_is_noticed(promoted_twice):
    specs = storage_at(promoted_twice.audit.folder).below("specs")
    [kept] = specs.names("", ".json")
    specs.write(kept, specs.read(kept).replace(b"team:water", b"team:fire"))
    with pytest.raises(AuditError, match="which entry 1 names, is changed"):
        promoted_twice.back()

"""Roll-outs of the pumps' model: steps, evidence, roll-back, what people ask for, and a process killed at every write."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.promotion.errors import FrozenError, HeldBackError
from mlops_assets.promotion.grounds import Grounds
from mlops_assets.promotion.holds import pause
from mlops_assets.promotion.rollout_states import newest, rollouts_of, split_of
from mlops_assets.promotion.rollouts import Act, RolloutError, act
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages import rollout_rows
from mlops_assets.stages.deploying import deploy
from mlops_assets.stages.rolling_out import Looked, advance
from mlops_assets.stages.rollout_start import start
from resources.audit.log import ROLLOUTS
from resources.records.rollout import Rollout, TransitionKind
from resources.records.split import Split, split_in
from resources.serving.splits import split_file
from resources.storage.local import LocalStorage
from resources.systems import Systems
from tests.pumps.project import SPEC, WEEKS
from tests.pumps.promotion import AUTOMATIC, FIRST, NAME, NAMES, Project, add_week, copied, spec

pytestmark = pytest.mark.usefixtures("pumps_features")
STEP = {"bake": "6d", "minimum_samples": 20}
PLAN = {
    "answers_influence_labels": False,
    "shadow": STEP,
    "canary": [STEP | {"share": 0.1}],
    "full": STEP,
    "ask_after": "21d",
}
PLANNED = spec(rollout=PLAN)
QUIET = spec(rollout=PLAN | {"shadow": STEP | {"minimum_samples": 10_000}, "ask_after": "13d"})
SPLIT = spec(rollout=PLAN | {"judge": "split", "by": ["check_id"], "answers_influence_labels": True})


@pytest.fixture(autouse=True)
def scored_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version scores in this process, which is spoilt and killed here; its own process has tests of its own."""
    monkeypatch.setattr(rollout_rows, "alone", rollout_rows.here)


@pytest.fixture
def project(championed: Path, tmp_path: Path) -> Project:
    return copied(championed, tmp_path)


def systems(project: Project) -> Systems:
    return Systems.of(project.parts)


def begun(project: Project, given: ModelSpec = PLANNED, version: int = 1, **more: Any) -> Rollout:
    return start(given, systems(project), version, "ada", "to see", **more)


def looked(project: Project, given: ModelSpec = PLANNED) -> Looked:
    found = advance(given, systems(project))
    assert found is not None
    return found


def weeks(project: Project, count: int, given: ModelSpec = PLANNED) -> list[str]:
    """The phase and step after each of so many weeks more."""
    seen = []
    for _ in range(count):
        there = len(project.lake.partitions(SPEC.prediction.table))
        add_week(project.lake, NAMES[there])
        found = advance(given, systems(project))
        if found is None:
            return seen
        state = found.state
        seen.append(state.phase if state.phase != "running" else split_of(state).share)
    return seen


def divided(project: Project) -> Split | None:
    path = split_file(Path(project.endpoint.folder), NAME)
    return split_in(path) if path.exists() else None


def kinds(project: Project) -> list[str]:
    return [entry.kind.removeprefix("rollout_") for entry in project.audit.entries(NAME, ROLLOUTS)]


def asked(kind: TransitionKind, why: str = "it is time") -> Act:
    return Act(kind, "lin", why, WEEKS.partition(NAMES[FIRST]).end, {})


def test_a_version_takes_the_requests_in_steps_and_is_champion_once_it_has_baked(project):
    begun(project)
    assert divided(project) is not None and project.champion == 2
    assert weeks(project, 3) == [0.1, 1.0, "completed"]
    assert (project.champion, divided(project)) == (1, None)
    assert project.endpoint.records()[NAME].version == "1"
    assert kinds(project) == ["started", "advanced", "advanced", "completed"]
    assert advance(PLANNED, systems(project)) is None


def test_a_completed_rollout_is_the_ground_of_its_promotion_and_the_log_is_whole(project):
    begun(project)
    weeks(project, 3)
    promoted = project.audit.latest(NAME, ("promoted",))
    assert promoted is not None and promoted.evidence["rollout"] == f"{NAME}/1"
    assert Grounds.of(project.audit, NAME).objection_to(promoted) is None
    assert project.audit.verify(project.tracking.anchors()).problem is None


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ({"rollout": f"{NAME}/7"}, "was not begun and completed in the log before it"),
        ({"replaces": 3}, "was beside version 2, and it replaces 3"),
        ({"sha256": "0" * 64}, "the model file is not the one of its training"),
        ({"rollout": None}, "its evaluation .* is not in the log before it"),
    ],
)
def test_a_promotion_that_does_not_fit_its_rollout_is_refused(project, evidence, said):
    begun(project)
    weeks(project, 3)
    promoted = project.audit.latest(NAME, ("promoted",))
    objection = Grounds.of(project.audit, NAME).objection("promoted", 1, promoted.evidence | evidence)
    assert objection is not None
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(objection)


def test_a_rollout_that_is_not_completed_is_no_ground(project):
    begun(project)
    evidence = newest(project.lake, NAME).promise.evidence | {"rollout": f"{NAME}/1", "replaces": 2}
    assert "not begun and completed" in str(
        Grounds.of(project.audit, NAME).objection("promoted", 1, evidence)
    )


def test_the_refit_of_a_challenger_that_passed_is_rolled_out_and_not_promoted_at_once(project):
    for week in (FIRST, FIRST + 1):
        add_week(project.lake, NAMES[week])
    project.make(PLANNED)
    state = newest(project.lake, NAME)
    assert (project.champion, state.version, state.champion, state.origin) == (2, 4, 2, "promotion")
    refit = project.tracking.version(NAME, 4)
    assert state.record["model_sha256"] == refit.sha256 and state.promise.evidence["sha256"] == refit.sha256
    with pytest.raises(
        HeldBackError, match="in step 1 of 3, shadow; `mlops rollout pump_stops abort` ends it"
    ):
        deploy(PLANNED, systems(project), {})
    assert [state.number for state in rollouts_of(project.lake, NAME)] == [1]
    assert weeks(project, 2) == [0.1, 1.0]
    assert act(systems(project), NAME, asked("promoted")).phase == "completed"
    assert (project.champion, project.endpoint.records()[NAME].version) == (4, "4")
    promoted = project.audit.latest(NAME, ("promoted",))
    assert promoted.by == "lin" and promoted.evidence["evaluation"] == state.promise.evidence["evaluation"]


def test_one_that_was_rolled_back_is_not_begun_again_by_itself(project):
    for week in (FIRST, FIRST + 1):
        add_week(project.lake, NAMES[week])
    project.make(PLANNED)
    act(systems(project), NAME, asked("aborted", "not today"))
    with pytest.raises(
        HeldBackError, match=r"is aborted by lin \(not today\) and is not begun again by itself"
    ):
        deploy(PLANNED, systems(project), {})
    assert project.champion == 2 and len(rollouts_of(project.lake, NAME)) == 1


def worse(version: int, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Any], Any]) -> None:
    """A version whose scores are spoilt, in this process alone."""
    from mlops_assets.ml.training.fit import Scorer

    right = Scorer.predict

    def predict(self: Scorer, frame: Any) -> Any:
        found = right(self, frame)
        return fault(found) if self.name.startswith(f"version {version} ") else found

    monkeypatch.setattr(Scorer, "predict", predict)


def fails(scores: Any) -> Any:
    raise RuntimeError("out of order")


def one_in_fifty(scores: Any) -> Any:
    if (scores * 1e4 % 1 < 0.02).any():
        raise RuntimeError("out of order")
    return scores


@pytest.mark.parametrize(
    ("fault", "by"),
    [
        (fails, "errors"),
        (one_in_fifty, "errors"),
        (lambda scores: scores * float("nan"), "errors"),
        (lambda scores: scores[:-1], "errors"),
        (lambda scores: 1 - scores, "metric"),
        (lambda scores: scores * 0 + 0.97, "metric"),
    ],
    ids=["raises", "raises for one row in fifty", "NaN", "wrong shape", "inverted", "constant"],
)
def test_a_bad_version_is_rolled_back_by_itself_and_the_champion_has_everything(
    project, monkeypatch, fault, by
):
    worse(1, monkeypatch, fault)
    long = spec(rollout=PLAN | {"shadow": STEP | {"bake": "20d"}})
    begun(project, long)
    assert weeks(project, 3, long)[-1] == "rolled_back"
    entry = project.audit.latest(NAME, ("rollout_rolled_back",))
    assert entry.evidence["decided by"] == by and entry.by == "the roll-out itself"
    assert (project.champion, divided(project)) == (2, None)
    assert project.endpoint.records()[NAME].version == "2"


def test_no_traffic_waits_says_so_and_asks_a_person_once(project):
    begun(project, QUIET)
    for expected in (["started"], ["started", "asked"], ["started", "asked"]):
        weeks(project, 1, QUIET)
        assert kinds(project) == expected
    assert "and 10,000 are needed; it has waited for 13d" in newest(project.lake, NAME).waits


def test_a_step_before_its_bake_goes_on_and_a_look_at_the_same_evidence_changes_nothing(project):
    begun(project)
    before = looked(project)
    assert before.decision is not None and before.decision.outcome == "continue"
    assert looked(project).state == before.state


def test_pause_resume_promote_and_abort_are_recorded_with_who_and_why(project):
    begun(project)
    act(systems(project), NAME, asked("paused", "holidays"))
    assert weeks(project, 1) == [0.0] and "paused by lin: holidays" in newest(project.lake, NAME).waits
    with pytest.raises(RolloutError, match="paused by lin: holidays, already"):
        act(systems(project), NAME, asked("paused"))
    act(systems(project), NAME, asked("resumed"))
    with pytest.raises(RolloutError, match="is not paused"):
        act(systems(project), NAME, asked("resumed"))
    assert looked(project).state.step == 1
    act(systems(project), NAME, asked("aborted"))
    assert kinds(project) == ["started", "paused", "resumed", "advanced", "aborted"]
    assert {entry.by for entry in project.audit.entries(NAME, ROLLOUTS)} == {
        "ada",
        "lin",
        "the roll-out itself",
    }
    with pytest.raises(RolloutError, match="has no roll-out under way"):
        act(systems(project), NAME, asked("paused"))


def test_a_champion_that_changes_otherwise_ends_the_rollout(project):
    begun(project)
    act(systems(project), NAME, asked("promoted"))
    start(PLANNED, systems(project), 2, "ada", "back")
    project.back(2)
    state = looked(project).state
    assert state.phase == "aborted" and "version 2 is champion by now" in state.transitions[-1].why


def test_a_model_on_hold_completes_only_once_the_hold_is_lifted(project):
    begun(project)
    weeks(project, 2)
    pause(project.audit, project.endpoint, NAME, "lin", "incident")
    assert weeks(project, 1) == [1.0]
    assert "is paused: nothing is retrained or promoted" in newest(project.lake, NAME).waits
    with pytest.raises(FrozenError):
        act(systems(project), NAME, asked("promoted"))
    assert project.champion == 2


@pytest.mark.parametrize(
    ("given", "version", "more", "said"),
    [
        (AUTOMATIC, 1, {}, "has no plan for a roll-out"),
        (PLANNED, 2, {}, "version 2 is champion already"),
        (PLANNED, 9, {}, "version 9 is not in the registry"),
        (PLANNED, 1, {"ab_test": True}, "declares no A/B test"),
        (
            spec(rollout=PLAN, promotion={"mode": "approval", "approvers": ["eve"]}),
            1,
            {},
            "'ada' may not decide",
        ),
    ],
)
def test_a_start_that_makes_no_sense_is_refused(project, given, version, more, said):
    with pytest.raises(Exception, match=said):
        begun(project, given, version, **more)
    assert kinds(project) == [] and divided(project) is None


def test_two_rollouts_at_once_are_refused_and_the_same_one_is_gone_on_with(project):
    first = begun(project)
    assert begun(project) == first
    with pytest.raises(RolloutError, match="is in step 1 of 3"):
        start(PLANNED, systems(project), 1, "eve", "another reason")


def test_an_ab_test_is_asked_about_at_its_end_and_changes_nothing_by_itself(project):
    test = {"share": 0.5, "metric": "log_loss", "ends_after": "13d"}
    given = spec(rollout=PLAN | {"ab_test": test})
    begun(project, given, ab_test=True)
    assert weeks(project, 2, given) == [0.5, 0.5]
    assert kinds(project) == ["started", "asked"] and project.champion == 2
    assert "A/B test has ended" in newest(project.lake, NAME).waits
    act(systems(project), NAME, asked("promoted"))
    assert project.champion == 1


def test_a_split_judges_each_version_on_the_entities_it_answered(project):
    begun(project, SPLIT)
    assert weeks(project, 2, SPLIT) == [0.1, 1.0]
    shadow, canary = (one.evidence for one in newest(project.lake, NAME).transitions[1:])
    assert shadow["metric"] is None and shadow["errors"]["requests"] == shadow["errors"]["champion_requests"]
    assert 0 < canary["requests"] < canary["errors"]["champion_requests"]
    assert canary["metric"]["rows"] == canary["requests"]


class KilledError(BaseException):
    """Stands for the end of a process, which no handler of errors sees."""


@contextmanager
def killed_at(write: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The process ends before its n-th durable write, or runs to its end."""
    done: list[str] = []
    with monkeypatch.context() as patched:
        for name in ("write", "put_if_absent", "put_if_unchanged", "delete"):
            right = getattr(LocalStorage, name)

            def counted(self: LocalStorage, *arguments: Any, _right: Any = right, **named: Any) -> Any:
                if len(done) == write:
                    raise KilledError
                done.append(str(arguments[0]))
                return _right(self, *arguments, **named)

            patched.setattr(LocalStorage, name, counted)
        yield done


def story(project: Project) -> Any:
    """All that a roll-out leaves, but for clocks and hashes."""
    states = [state.document() for state in rollouts_of(project.lake, NAME)]
    published = project.endpoint.records()[NAME]
    return states, kinds(project), project.champion, divided(project), published.version


BY_EVIDENCE: tuple[TransitionKind, ...] = ("advanced", "asked", "completed", "rolled_back")
BY_PEOPLE: tuple[TransitionKind, ...] = ("paused", "resumed", "promoted", "aborted")
WEEKS_BEFORE = {"asked": 1, "completed": 2}


def move(project: Project, kind: TransitionKind) -> None:
    if kind in BY_PEOPLE:
        act(systems(project), NAME, asked(kind))
    elif kind == "started":
        begun(project)
    else:
        looked(project)


def before_it(project: Project, kind: TransitionKind) -> None:
    if kind == "started":
        return
    begun(project, QUIET if kind == "asked" else PLANNED)
    weeks(project, WEEKS_BEFORE.get(kind, 0))
    if kind in BY_EVIDENCE:
        add_week(project.lake, NAMES[len(project.lake.partitions(SPEC.prediction.table))])
    if kind == "resumed":
        act(systems(project), NAME, asked("paused"))


@pytest.mark.parametrize("kind", ["started", *BY_EVIDENCE, *BY_PEOPLE])
def test_a_process_that_is_killed_before_any_write_of_a_transition_resumes_and_ends_in_the_same_place(
    championed, tmp_path, monkeypatch, kind
):
    if kind == "rolled_back":
        worse(1, monkeypatch, fails)
    whole = copied(championed, tmp_path / "whole")
    before_it(whole, kind)
    with killed_at(10**6, monkeypatch) as writes:
        move(whole, kind)
    settled(whole)
    assert len(writes) >= 3 and kinds(whole)[-1] == kind
    for write in range(len(writes)):
        project = copied(championed, tmp_path / str(write))
        before_it(project, kind)
        with killed_at(write, monkeypatch), pytest.raises(KilledError):
            move(project, kind)
        again(project, kind)
        settled(project)
        assert story(project) == story(whole), f"killed before write {write}, of {writes[write]}"
        assert project.audit.verify(project.tracking.anchors()).problem is None


def settled(project: Project) -> None:
    """Looked at until a look finds nothing new."""
    before = None
    while (now := newest(project.lake, NAME)) != before:
        before = now
        advance(PLANNED, systems(project))


def again(project: Project, kind: TransitionKind) -> None:
    """The next process: what a sensor does, and the person who got no answer and asks again."""
    if kind == "started":
        begun(project)
    state = newest(project.lake, NAME)
    if kind in BY_PEOPLE and state.transitions[-1].kind != kind:
        move(project, kind)
    advance(PLANNED, systems(project))
